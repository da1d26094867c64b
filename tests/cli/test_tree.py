"""Rules about the tree that a program can check."""
import os
import re
import subprocess

import pytest

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", ".."))

# Layer -> what it may include of ours (docs/architecture.md).
MAY_INCLUDE = {
    "compiler/support": {"support"},
    "compiler/dialect": {"support", "dialect"},
    "compiler/frontend": {"support", "dialect", "frontend"},
    "compiler/passes": {"support", "dialect", "passes"},
    "compiler/codegen": {"support", "dialect", "passes", "codegen",
                         "runtime/abi.h"},
    "runtime": {"internal.h"},  # from runtime/cuda
    "tools": {"compiler/Compiler.h", "compiler/Reference.h", "runtime",
              "support/FileIO.h", "support/Diagnostics.h",
              "support/Identifier.h", "support/Version.h", "dialect/Nncc.h",
              "passes/Passes.h"},
}


def tracked(*suffixes):
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, text=True,
                            capture_output=True, check=True).stdout
    return [f for f in listed.splitlines() if f.endswith(suffixes)
            and os.path.exists(os.path.join(ROOT, f))]


def lines(path):
    return open(os.path.join(ROOT, path)).read().splitlines()


def includes(path):
    """The files of ours that one includes, but for its neighbours: a bare name
    that is no neighbour's is found from the root of the compiler."""
    for line in lines(path):
        match = re.match(r'#include "([^"]+)"', line)
        if not match or match[1].startswith(("mlir/", "llvm/")):
            continue
        name = match[1]
        beside = os.path.join(ROOT, os.path.dirname(path), name)
        if "/" in name or not os.path.exists(beside):
            yield name


def test_includes_follow_the_layers():
    wrong = []
    for path in tracked(".h", ".cpp", ".c"):
        layer = next((x for x in MAY_INCLUDE if path.startswith(x + "/")),
                     None)
        for name in includes(path) if layer else ():
            allowed = MAY_INCLUDE[layer]
            if not any(name == a or name.startswith(a + "/")
                       for a in allowed):
                wrong.append(f"{path}: {name}")
    assert wrong == []


def test_only_a_target_knows_itself():
    """What is under codegen/cpu/ and the like, nobody else includes."""
    shared = {"kernels"}
    for path in tracked(".h", ".cpp"):
        for line in lines(path):
            match = re.match(r'#include "codegen/(\w+)/', line)
            if match and match[1] not in shared:
                assert path.startswith(f"compiler/codegen/{match[1]}/"), \
                    f"{path}: {line}"


def test_files_are_short():
    long = [f for f in tracked(".h", ".cpp", ".c", ".py", ".td", ".sh")
            if len(lines(f)) > 600]
    assert long == []


def functions(path):
    """(number of lines, first line) of functions outside classes: what a `}`
    alone ends, back to the line in the first column that began it."""
    text = lines(path)
    for end, line in enumerate(text):
        if line != "}":
            continue
        start = end - 1
        while start > 0 and (not text[start] or text[start][0].isspace() or
                             re.match(r"//|#|\w+:$", text[start])):
            start -= 1
        head = "".join(text[start:start + 6])
        if "(" in head and not re.match(r"struct|class|enum|namespace|extern",
                                        head):
            yield end - start + 1, text[start]


def test_functions_fit_a_screen():
    """But tables of tests, which are lists."""
    long = [f"{path}: {count} lines: {head}"
            for path in tracked(".cpp", ".h", ".c")
            if not path.startswith("tests/unit/")
            for count, head in functions(path) if count > 60]
    assert long == []


def test_every_pass_has_a_lit_test():
    text = "\n".join(lines("compiler/passes/Passes.td"))
    examples = "\n".join(lines("tests/lit/passes/descriptions.test"))
    for flag in re.findall(r'Pass<"([^"]+)"', text):
        assert f"%example {flag} " in examples, flag
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


# The commits up to this one were written without the rule.
BEFORE_THE_RULE = "a57c7ac"
# Imperatives that look like another form of a verb.
IMPERATIVES = {"Bring", "Embed", "Exceed", "Feed", "Need", "Seed", "Shed",
               "Speed", "Focus", "Bias", "Alias"}


def complaints(subject, body):
    """What is wrong with a commit's message (conventions.md, Commits)."""
    if len(subject) > 72:
        yield "subject is longer than 72 columns"
    area = re.match(r"\[[a-z0-9, -]+\] ([A-Z][a-z-]*)\b", subject)
    if not area:
        yield "subject is no [area] Do one thing"
    elif area[1] not in IMPERATIVES and \
            re.search(r"(ed|ing|[^s]s)$", area[1]):
        yield f"{area[1]} is no imperative"
    if len(body.split()) < 5:
        yield "body does not say why"


def test_commit_messages():
    log = subprocess.run(
        ["git", "log", "--first-parent", "--no-merges",
         "--format=%h%x00%s%x00%b%x01",
         BEFORE_THE_RULE + "..HEAD"], cwd=ROOT, text=True,
        capture_output=True)
    if log.returncode:
        pytest.skip("a clone without history")
    wrong = [f"{name.strip()}: {text}" for commit in
             log.stdout.split("\1")[:-1]
             for name, subject, body in [commit.split("\0")]
             for text in complaints(subject, body)]
    assert wrong == []


@pytest.mark.parametrize("subject, text", [
    ("[passes] Visits each node once", "Visits is no imperative"),
    ("[passes] Fixed a hang", "Fixed is no imperative"),
    ("passes: Fix a hang", "subject is no [area] Do one thing"),
    ("[passes] fix a hang", "subject is no [area] Do one thing"),
    ("[passes] Visit " + "x" * 72, "subject is longer than 72 columns"),
    ("[frontend, tests] Pass null on", None),
])
def test_commit_rule(subject, text):
    body = "It took exponential time in chains that use a value twice."
    assert list(complaints(subject, body)) == ([text] if text else [])
