"""Damaged models end in a sentence: exit 0, 1, 4 or 6 and, unless 0, what is
wrong at file:line:column; never a signal, an abort, "internal" or a hang.

    python tests/damage/test_damage.py 100000 [FIRST SEED]    by hand
"""
import os
import re
import subprocess
import sys
import tempfile

import pytest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)

from corpus import MODELS
from damage import damage

BUILD = os.environ.get("NNCC_BUILD", os.path.join(HERE, "..", "..", "build"))
DRIVER = os.path.join(BUILD, "tests", "damage", "damage-driver")
STAGES = ("graph", "nncc", "kernels", "linalg", "report", "reportJson", "llvm",
          "assembly", "ptx", "object")  # as the compiler numbers them
# Mostly the end of all that looks at the model; code takes longest.
ENDS = ("kernels",) * 4 + ("graph", "nncc", "reportJson", "ptx", "object")
# In the model, or what a flag asked of it: a size, an entry.
LOCATED = re.compile(
    r"^m\.json(:\d+:\d+: error: \S|: error: (--dim |the entry ))", re.M)


def compiled(models, jobs=2):
    """(how it ended, what was said) of each of (text, entries, stage, dim)."""
    with tempfile.TemporaryDirectory() as folder:
        lines = []
        for i, (text, entries, stage, dim) in enumerate(models):
            path = os.path.join(folder, str(i))
            open(path, "w").write(text)
            lines.append(f"{STAGES.index(stage)} {','.join(entries)} {dim} "
                         f"{path}\n")
        done = subprocess.run([DRIVER, str(jobs)], input="".join(lines),
                              text=True, capture_output=True, check=True)
        ends = dict(line.split(" ", 1) for line in done.stdout.splitlines())
        for i in range(len(models)):
            path = os.path.join(folder, str(i))
            yield ends[path], open(path + ".txt", errors="replace").read()


def fault(end, said):
    """What is wrong with this end, or nothing."""
    if end == "exit 0":
        return None
    if end not in ("exit 1", "exit 4", "exit 6"):
        return end
    if "internal" in said:
        return "internal"
    return None if LOCATED.search(said) else "no located sentence"


def tries(seeds, jobs=2):
    """Faults of these seeds: (seed, fault, model, what was said)."""
    for start in range(0, len(seeds), 500):
        part = seeds[start:start + 500]
        damaged = [damage(seed) for seed in part]
        models = [(text, entries, ENDS[seed % len(ENDS)], dim)
                  for seed, (text, entries, dim, _) in zip(part, damaged)]
        for seed, model, (end, said) in zip(part, models,
                                            compiled(models, jobs)):
            if problem := fault(end, said):
                yield seed, problem, model, said


@pytest.mark.parametrize("line", ["2 forward FILE", "kernels forward - FILE",
                                  "2 forward - FILE 3", ""])
def test_driver_refuses_other_lines(tmp_path, line):
    """It wrote FILE.txt into whatever folder it was started in."""
    done = subprocess.run([os.path.abspath(DRIVER)], input=line + "\n",
                          cwd=tmp_path, text=True, capture_output=True)
    assert (done.returncode, done.stdout, done.stderr) == (
        2, "", f"damage-driver: not STAGE ENTRIES DIM FILE: {line}\n")
    assert os.listdir(tmp_path) == []


def test_corpus_is_valid():
    models = [(text, lists[-1], "graph", "-") for text, lists in MODELS]
    for (text, *_), (end, said) in zip(models, compiled(models)):
        assert end == "exit 0", (text, said)


def test_corpus_has_every_name():
    nncc = os.path.join(BUILD, "bin", "nncc")
    schema = subprocess.run([nncc, "schema"], capture_output=True, text=True,
                            check=True).stdout
    text = "\n".join(model for model, _ in MODELS)
    names = set(re.findall(r'"((?:nn|F|torch|Tensor)\.\w+)"', schema))
    assert len(names) > 290
    assert sorted(n for n in names if f'"{n}"' not in text) == []


def test_corpus_backward_graph():
    """Ops without a result end calls of integers there: seed 2044."""
    models = [(text, ["backward"], "graph", "-") for text, lists in MODELS
              if "clamp" in text]
    models += [(text.replace('"f32"', '"i8"'), *rest)
               for text, *rest in models]
    assert [said for end, said in compiled(models) if fault(end, said)] == []


def test_damaged_models():
    assert list(tries(range(3000))) == []


if __name__ == "__main__":
    first = int(sys.argv[2]) if len(sys.argv) > 2 else 0
    count = 0
    for seed, problem, (text, entries, stage, dim), said in tries(
            range(first, first + int(sys.argv[1]))):
        count += 1
        print(f"--- seed {seed}: {problem} ({stage}, "
              f"{','.join(entries)}, {dim})\n{text}\n{said}", flush=True)
    print(f"{count} faults")
