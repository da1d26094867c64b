"""The archive for a GPU's machine, made for the emulator and run on it."""
import json
import os
import re
import subprocess

import pytest
from safetensors import safe_open
from safetensors.torch import load_file, save_file

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.join(HERE, "..", "..")
FULL = os.environ.get("NNCC_FULL") == "1"
ONLY = "f12,b20,lstm"


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    path = tmp_path_factory.mktemp("pack") / "emulator.tar.xz"
    done = subprocess.run(
        [os.path.join(ROOT, "scripts", "device.sh"), "pack", "emulator",
         *([] if FULL else ["--only", ONLY]), "--archive", path],
        capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return path


@pytest.fixture(scope="module")
def folder(archive):
    subprocess.run(["tar", "-C", archive.parent, "-xf", archive], check=True)
    return archive.parent / "device"


def run_all(archive, out):
    return subprocess.run(
        [os.path.join(HERE, "run.sh"), archive], text=True,
        capture_output=True, env={**os.environ, "OUT": str(out)})


def runner(folder, *arguments, **environment):
    """The output without times, and the JSON."""
    log = folder.parent / "cases.json"
    done = subprocess.run(
        [folder / "runner-emulator", *arguments, "--json", log], text=True,
        capture_output=True, env={
            **os.environ, **environment,
            "NNCC_CUDA_DRIVER": str(folder / "libnncc_emulator.so")})
    text = re.sub(r"; \d+\.\d s\n$", "", done.stdout).rstrip("\n")
    return done.returncode, text, json.loads(log.read_text())


@pytest.mark.xdist_group("device-pack")
def test_all_cases_have_the_expected_bits(archive, tmp_path):
    done = run_all(archive, tmp_path)
    assert done.returncode == 0, done.stdout
    cases = json.loads((tmp_path / "emulator.json").read_text())
    assert {c["result"] for c in cases} == {"same"}
    assert len(cases) == (84 if FULL else 4)
    table = done.stdout.split("== table\n")[1]
    assert re.fullmatch(
        r"facts-emulator +\d+ s  nncc emulator, sm_0, 132 .*\n"
        rf"emulator +\d+ s  emulator: {len(cases)} cases: {len(cases)} with "
        r"the expected bits; .* s\n"
        r"times-emulator +\d+ s  emulator: \d+ cases: \d+ timed; .* s\n",
        table)
    times = json.loads((tmp_path / "times-emulator.json").read_text())
    assert all(c["host_ms"] > 0 and c["device_ms"] > 0 for c in times)


def altered(folder, change):
    """A file of numbers where one differs."""
    path = folder / "numbers.safetensors"
    with safe_open(path, "pt") as file:
        metadata = file.metadata()
    tensors = load_file(path)
    change(tensors, metadata)
    other = folder.parent / "altered.safetensors"
    save_file(tensors, other, metadata)
    return other


@pytest.mark.xdist_group("device-pack")
def test_what_differs_is_told(folder):
    name = "lstm.forward.o.fc"

    def change(tensors, metadata):
        tensors[name].view(-1)[7] = 0.5
    numbers = altered(folder, change)
    code, text, cases = runner(folder, numbers, "check", "--only",
                               "lstm.forward,lstm.train_step")
    assert code == 1
    first, last = text.splitlines()
    assert re.fullmatch(
        r"  lstm\.forward fc: 1 of 1024 differ, by at most \S+ of the "
        r"value; \[7\] is 0x\w+ \(\S+\), not 0x3f000000 \(0\.5\)", first)
    assert last == ("emulator: 2 cases: 1 with the expected bits, 1 differ")
    assert [c["result"] for c in cases] == ["differs", "same"]
    assert cases[0]["differs"][0]["unlike"] == 1


@pytest.mark.xdist_group("device-pack")
def test_steps_go_on_after_a_difference(folder, tmp_path):
    def change(tensors, metadata):
        tensors["lstm.forward.o.fc"].view(-1)[7] = 0.5
    numbers = altered(folder, change)
    copy = tmp_path / "device"
    copy.mkdir()
    for path in folder.iterdir():
        source = numbers if path.name == "numbers.safetensors" else path
        (copy / path.name).symlink_to(source)
    subprocess.run(["tar", "-C", tmp_path, "-chf", tmp_path / "a.tar",
                    "device"], check=True)
    done = run_all(tmp_path / "a.tar", tmp_path / "out")
    assert done.returncode == 1
    table = done.stdout.split("== table\n")[1].splitlines()
    assert len(table) == 3 and ", 1 differ; " in table[1], table


@pytest.mark.xdist_group("device-pack")
def test_sampled_results_are_summed_up(folder):
    """Of a large tensor some elements are known, and a sum over all."""
    def change(tensors, metadata):
        key = next(k for k in metadata if k.startswith("digest.lstm.train"))
        stride, total = metadata[key].split()
        metadata[key] = f"{stride} {int(total) ^ 1}"
    code, text, _ = runner(folder, altered(folder, change), "check", "--only",
                           "lstm.train_step")
    assert code == 1
    assert re.fullmatch(
        r"  lstm\.train_step state \S+: the sum over all differs, none of "
        r"\d+ looked at\nemulator: 1 case: 0 with the expected bits, 1 "
        r"differ", text)


@pytest.mark.xdist_group("device-pack")
def test_a_fault_costs_one_case(folder):
    """Each case has a process: others go on."""
    numbers = folder / "numbers.safetensors"
    code, text, cases = runner(
        folder, numbers, "check", "--only", "lstm.train_step,f12",
        NNCC_EMULATOR="fault=k60")
    assert code == 1
    assert "\n  lstm.train_step: " in "\n" + text
    assert text.endswith("CUDA works in this process any more, it has to end\n"
                         "emulator: 2 cases: 1 with the expected bits, 1 "
                         "failed")
    assert {c["case"]: c["result"] for c in cases} == {
        "f12": "same", "lstm.train_step": "failed"}


@pytest.mark.xdist_group("device-pack")
def test_a_slow_case_is_stopped(folder):
    numbers = folder / "numbers.safetensors"
    code, text, cases = runner(folder, numbers, "check", "--only", "b20",
                               "--case-limit", "0")
    assert code == 1
    assert text == ("  b20: stopped after 0 s\nemulator: 1 case: 0 with the "
                    "expected bits, 1 crashed or were stopped")
    assert cases[0]["stopped"]


def test_what_does_not_compile_is_listed(tmp_path):
    """A compiler that knows no GPU: nothing is left out in silence."""
    fake = tmp_path / "nncc"
    fake.write_text("#!/bin/sh\necho 'LLVM ERROR: Cannot select' >&2\nexit 9\n")
    fake.chmod(0o755)
    done = subprocess.run(
        [os.path.join(ROOT, "scripts", "device.sh"), "pack", "emulator",
         "--only", "f12", "--archive", tmp_path / "a.tar.xz"], text=True,
        capture_output=True, env={**os.environ, "NNCC": str(fake)})
    assert done.returncode == 1
    lines = done.stderr.splitlines()
    assert re.fullmatch(r"did not compile: f12 \(.*\.\..*\): LLVM ERROR: "
                        r"Cannot select \(code 9\)", lines[-2]), lines
    assert lines[-1] == "1 of 1 models did not compile"
