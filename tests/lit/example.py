"""Prints the example in a pass's description: example.py PASS."""
import os
import re
import sys
import textwrap

PASSES = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..",
                      "compiler", "passes", "Passes.td")


def example(name):
    after = open(PASSES).read().split(f'Pass<"{name}"', 1)[1]
    description = after.split("\n}\n", 1)[0]
    return textwrap.dedent(re.search(r"```mlir\n(.*?)    ```", description,
                                     re.S).group(1))


if __name__ == "__main__":
    print(example(sys.argv[1]))
