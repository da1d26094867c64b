"""What `run` and `training` share: their flags, and the line under a table."""
import argparse
import importlib.util
import math


def parse(doc, models, engines, threads):
    """Flags of a benchmark over `models`; ends with a message if they cannot
    be meant."""
    parser = argparse.ArgumentParser(description=doc.splitlines()[0])
    parser.add_argument("--models", default=",".join(models))
    parser.add_argument("--engines", default=engines)
    parser.add_argument("--threads", default=threads)
    parser.add_argument("--out", help="write the table to a file too")
    options = parser.parse_args()
    for kind, known in (("models", models), ("engines", engines.split(","))):
        chosen = getattr(options, kind).split(",")
        setattr(options, kind, chosen)
        for name in chosen:
            if name not in known:
                parser.error(f"--{kind}: {name} is none of {', '.join(known)}")
    if not all(n.isdecimal() and int(n) for n in options.threads.split(",")):
        parser.error(f"--threads: {options.threads} is no list of numbers")
    options.threads = [int(n) for n in options.threads.split(",")]
    if not importlib.util.find_spec("torch"):
        parser.error("this Python has no torch; scripts/test.sh makes one that "
                     "has: build/venv/bin/python")
    return options


def summary(ratios):
    mean = math.exp(sum(map(math.log, ratios)) / len(ratios))
    return (f"\nGeometric mean of best / nncc: {mean:.2f}, least "
            f"{min(ratios):.2f}")
