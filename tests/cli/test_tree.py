"""Rules about the tree that a program can check."""
import os
import re
import subprocess

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", ".."))

# Layer -> what it may include of ours (docs/architecture.md).
MAY_INCLUDE = {
    "compiler/support": {"support"},
    "compiler/dialect": {"support", "dialect"},
    "compiler/frontend": {"support", "dialect", "frontend"},
    "compiler/passes": {"support", "dialect", "passes"},
    "compiler/codegen": {"support", "dialect", "passes", "codegen",
                         "runtime/abi.h"},
    "runtime": set(),
    "tools": {"compiler/Compiler.h", "compiler/Reference.h", "runtime",
              "support/FileIO.h", "dialect/Nncc.h", "passes/Passes.h"},
}


def tracked(*suffixes):
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, text=True,
                            capture_output=True, check=True).stdout
    return [f for f in listed.splitlines() if f.endswith(suffixes)
            and os.path.exists(os.path.join(ROOT, f))]


def lines(path):
    return open(os.path.join(ROOT, path)).read().splitlines()


def test_includes_follow_the_layers():
    wrong = []
    for path in tracked(".h", ".cpp", ".c"):
        layer = next((x for x in MAY_INCLUDE if path.startswith(x + "/")),
                     None)
        if layer is None:
            continue
        for line in lines(path):
            match = re.match(r'#include "([^"]+)"', line)
            if not match or "/" not in match[1]:
                continue
            if match[1].startswith(("mlir/", "llvm/")):
                continue
            allowed = MAY_INCLUDE[layer]
            if not any(match[1] == a or match[1].startswith(a + "/")
                       for a in allowed):
                wrong.append(f"{path}: {match[1]}")
    assert wrong == []


def test_cpu_and_gpu_do_not_know_each_other():
    for path in tracked(".h", ".cpp"):
        if path.startswith("compiler/codegen/gpu/"):
            assert not any("codegen/cpu/" in x for x in lines(path)), path
        if path.startswith("compiler/codegen/cpu/"):
            assert not any("codegen/gpu/" in x for x in lines(path)), path


def test_files_are_short():
    long = [f for f in tracked(".h", ".cpp", ".c", ".py", ".td", ".sh")
            if len(lines(f)) > 600]
    assert long == []


def test_every_pass_has_a_lit_test():
    text = "\n".join(lines("compiler/passes/Passes.td"))
    for flag in re.findall(r'Pass<"([^"]+)"', text):
        assert os.path.exists(os.path.join(
            ROOT, "tests", "lit", "passes", flag + ".mlir")), flag


def test_every_constraint_has_a_negative_test():
    """C1, C2, ... of an op's description appear as @op_c1 in errors.mlir."""
    tests = "\n".join(lines("tests/lit/ops/errors.mlir"))
    missing = []
    for path in tracked(".td"):
        text = "\n".join(lines(path))
        for block in re.split(r"\ndef ", text)[1:]:
            name = re.match(r'Nncc_\w+ : Nncc_\w+<"(\w+)"', block)
            if not name:
                continue
            for label in sorted(set(re.findall(r"\bC(\d):", block))):
                if f"@{name[1]}_c{label}" not in tests:
                    missing.append(f"{name[1]} C{label}")
    assert missing == []
