"""Everything that runs on a GPU's machine, as one archive: device.sh pack.

    pack.py --archive build/device.tar.xz [--emulator] [--only NAME,...]

The compiler cannot travel, so what it makes does: the cases (cases.py) as
objects, with the runtime and runner.c in one program for each kind of image,
and a file of numbers. With --emulator images are host code, and the emulator
comes along.
"""
import argparse
import concurrent.futures
import os
import shutil
import subprocess
import sys
import tempfile

import cases
import torch
from safetensors.torch import save_file

ROOT = os.path.join(cases.HERE, "..", "..")
MOST_BYTES = 60 << 20
CUBIN = {"cubin": ["--target=cuda:sm_90a", "--images=cubin"]}
PTX = {"ptx": ["--target=cuda:sm_80", "--images=ptx"]}
EMULATOR = {"emulator": ["--target=cuda:emulator"]}
# Which networks a driver compiles too, with batches up to so many cases.
FROM_PTX, PTX_CASES = ("lenet5", "gpt2", "lstm"), 30
SMALL = 40


def from_ptx(models):
    """Evenly spread batches, and some networks."""
    batches = [m for m in models if m.batch]
    nets = [m for m in models if m.name in FROM_PTX]
    count = PTX_CASES - sum(len(m.entries) for m in nets)
    step = max(1, len(batches) / count)
    return nets + [batches[int(i * step)]
                   for i in range(min(count, len(batches)))]


def c_text(text):
    return '"' + str(text).replace("\\", "\\\\").replace('"', '\\"') + '"'


def table(models, images, small):
    """cases.c."""
    lines = ['#include "tests/device/device.h"']
    rows = []
    for model in models:
        lines.append(f"const nncc_model *{model.name}_model(void);")
        labels = "0"
        if model.batch:
            labels = f"{model.name}_labels"
            lines.append(f"static const char *const {labels}[] = {{" +
                         ", ".join(map(c_text, model.batch)) + "};")
        rows += [f"  {{{c_text(name)}, {model.name}_model, {c_text(entry)}, "
                 f"{labels}, {int(name in small)}, {int(not model.batch)}}},"
                 for name, entry in model.cases()]
    return "\n".join([
        *lines, "const device_case device_cases[] = {", *rows, "};",
        f"const int device_case_count = {len(rows)};",
        f"const char device_images[] = {c_text(images)};", ""])


def link(models, images, small, build, to):
    """The runner of these models' objects; needs libc alone."""
    with open(f"{build}/{images}.c", "w") as file:
        file.write(table(models, images, small))
    subprocess.run(
        ["gcc", "-std=gnu11", "-O2", "-I", ROOT, "-I", f"{ROOT}/runtime",
         "-o", to, f"{build}/{images}.c",
         *[f"{cases.HERE}/{name}.c" for name in ("runner", "case", "numbers")],
         *[f"{build}/{m.name}/{images}.o" for m in models],
         f"{ROOT}/build/lib/libnncc_rt.a", "-ldl", "-lpthread", "-lm"],
        check=True)


def make(model, build, targets):
    torch.set_num_threads(1)
    try:
        return cases.make(model, f"{build}/{model.name}", targets)
    except RuntimeError as error:
        return str(error)


def make_all(models, build, targets_of):
    """Numbers by model, and what did not compile."""
    made, failed = {}, {}
    with concurrent.futures.ProcessPoolExecutor(os.cpu_count()) as pool:
        jobs = {pool.submit(make, m, build, targets_of(m)): m for m in models}
        for job in concurrent.futures.as_completed(jobs):
            model, found = jobs[job], job.result()
            if isinstance(found, str):
                failed[model] = found
                print(f"did not compile: {model.title()}: {found}",
                      file=sys.stderr, flush=True)
            else:
                made[model] = found
                print(f"{len(made) + len(failed)}/{len(models)} {model.name}",
                      flush=True)
    return made, failed


def commit():
    return subprocess.run(["git", "log", "-1", "--format=%h %cs"], cwd=ROOT,
                          text=True, capture_output=True).stdout.strip()


def fill(folder, models, made, images, build):
    """The archive's folder."""
    def size(model):
        return sum(t.nbytes for t in made[model].tensors.values())
    small = {name for m in sorted([m for m in made if m.batch],
                                  key=size)[:SMALL] for name, _ in m.cases()}
    for kind, chosen in images.items():
        link([m for m in chosen if m in made], kind, small, build,
             f"{folder}/runner-{kind}")
    tensors = {k: t for m in models if m in made
               for k, t in made[m].tensors.items()}
    metadata = {k: t for m in models if m in made
                for k, t in made[m].metadata.items()}
    save_file(tensors, f"{folder}/numbers.safetensors", metadata)
    with open(f"{folder}/commit", "w") as file:
        file.write(commit() + "\n")
    if "emulator" in images:
        shutil.copy(f"{ROOT}/build/lib/libnncc_emulator.so", folder)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--archive", required=True)
    parser.add_argument("--emulator", action="store_true")
    parser.add_argument("--only", help="names, with commas: f00,b03,lenet5")
    options = parser.parse_args()
    models = cases.models()
    if options.only:
        names = options.only.split(",")
        models = [m for m in models if m.name in names]
    ptx = [] if options.emulator else from_ptx(models)
    base = EMULATOR if options.emulator else CUBIN
    images = {next(iter(base)): models, **({"ptx": ptx} if ptx else {})}
    with tempfile.TemporaryDirectory() as build:
        made, failed = make_all(
            models, build, lambda m: {**base, **(PTX if m in ptx else {})})
        os.makedirs(f"{build}/device")
        fill(f"{build}/device", models, made, images, build)
        subprocess.run(["tar", "-C", build, "-cJf",
                        os.path.abspath(options.archive), "device"],
                       check=True, env={**os.environ, "XZ_OPT": "-T0"})
    count = os.path.getsize(options.archive)
    print(f"{options.archive}: {len(made)} models, {count / 1e6:.1f} MB, "
          f"commit {commit()}")
    if count > MOST_BYTES:
        sys.exit(f"{options.archive} has {count} bytes, at most {MOST_BYTES} "
                 "travel")
    if failed:
        sys.exit(f"{len(failed)} of {len(models)} models did not compile")


if __name__ == "__main__":
    main()
