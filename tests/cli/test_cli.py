"""The command line: verbs, help, exit codes, files."""
import json
import os
import re
import resource
import shlex
import subprocess
import time

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from lenet_model import NNCC, weights

RUNTIME = os.path.join(os.path.dirname(NNCC), "..", "..", "runtime")
VERBS = ["compile", "run", "check", "bench", "inspect", "train", "schema"]
W = ("--weights", "lenet.safetensors")
X = ("--input", "x=random:normal,seed=1")


@pytest.mark.parametrize("stage", ["graph", "nncc", "kernels", "linalg", "llvm",
                                   "asm"])
def test_emit(nncc, stage):
    marker = {"graph": "conv: nn.Conv2d -> f32 [1, 6, 12, 12]",
              "nncc": "nncc.convolution", "kernels": "nncc.call",
              "linalg": "vector.load", "llvm": "define", "asm": ".globl"}
    text = nncc("compile", "lenet.json", f"--emit={stage}").stdout
    assert marker[stage] in text
    assert text == nncc("compile", "lenet.json", f"--emit={stage}", "-o",
                        "-").stdout


def test_graph_shows_the_results_that_are_read(nncc, tmp_path):
    model = {"format": "nncc-model/1", "name": "tagger",
             "inputs": {"x": {"shape": [5, 2, 4], "dtype": "f32"}},
             "modules": {"rnn": {"type": "nn.LSTM", "input_size": 4,
                                 "hidden_size": 3}},
             "nodes": [{"name": ["y", ["h", "c"]], "module": "rnn",
                        "inputs": ["x"]},
                       {"name": "z", "op": "F.relu", "inputs": ["y"]}],
             "outputs": ["z", "h"]}
    (tmp_path / "m.json").write_text(json.dumps(model))
    assert nncc("compile", tmp_path / "m.json", "--emit=graph").stdout == (
        "entry forward\n"
        "  input x: f32 [5, 2, 4]\n"
        "  rnn: nn.LSTM -> f32 [5, 2, 3], f32 [1, 2, 3]\n"
        "  F.relu -> f32 [5, 2, 3]\n"
        "  output z: f32 [5, 2, 3]\n"
        "  output h: f32 [1, 2, 3]\n")


@pytest.mark.parametrize("suffix", ["o", "a", "so"])
def test_outputs(nncc, lenet, suffix):
    done = nncc("lenet.json", "-o", f"out.{suffix}", "-mcpu=x86-64-v3")
    assert done.stdout == ""
    assert "lenet for x86-64-v3" in done.stderr
    assert (lenet / f"out.{suffix}").stat().st_size > 1000
    header = lenet / "out.h"
    for language, standard in (("c", "c99"), ("c++", "c++17")):
        subprocess.run(["cc", "-fsyntax-only", "-Wall", "-Wextra", "-Werror",
                        "-pedantic", "-x", language, f"-std={standard}",
                        "-I", RUNTIME, str(header)],
                       check=True)


def test_object_needs_only_libc(nncc, lenet):
    nncc("lenet.json", "-o", "m.o")
    names = subprocess.run(["nm", "m.o"], cwd=lenet, capture_output=True,
                           text=True, check=True).stdout
    symbols = [line.split()[-2:] for line in names.splitlines()]
    assert [n for k, n in symbols if k == "T"] == ["lenet_model"]
    undefined = {n for k, n in symbols if k == "U"}
    assert undefined <= {"memset", "memcpy"}


def test_only_checked_instructions(nncc, lenet):
    """No AVX512_FP16, which loading would not look for."""
    model = {"format": "nncc-model/1",
             "inputs": {"x": {"shape": [64], "dtype": "f32"}},
             "nodes": [{"name": "y", "op": "Tensor.to", "inputs": ["x"],
                        "dtype": "f16"}],
             "outputs": ["y"]}
    (lenet / "half.json").write_text(json.dumps(model))
    asm = nncc("compile", "half.json", "--emit=asm",
               "-mcpu=sapphirerapids").stdout
    assert re.search(r"\bvcvtps2ph\b", asm)
    assert "vcvtps2phx" not in asm


def test_same_bytes(nncc, lenet):
    nncc("lenet.json", "-o", "a.o")
    nncc("lenet.json", "-o", "b.o")
    assert (lenet / "a.o").read_bytes() == (lenet / "b.o").read_bytes()


def test_threads_do_not_change_bytes(nncc, lenet):
    for threads in ("1", "2", "3"):
        nncc("lenet.json", "-o", f"j{threads}.o", "-j", threads)
    assert len({(lenet / f"j{t}.o").read_bytes() for t in "123"}) == 1


def test_verbose(nncc):
    talk = nncc("lenet.json", "-o", "m.o", "-v").stderr
    times = re.findall(r"^nncc: +(\d+\.\d\d) s (.*)$", talk, re.M)
    assert [what for _, what in times] == [
        "reading the model", "forming kernels", "writing loops and vectors",
        "lowering to LLVM", "optimizing", "writing machine code"]
    assert [float(t) for t, _ in times] == sorted(float(t) for t, _ in times)


def test_debug_lines(nncc, lenet):
    nncc("lenet.json", "-o", "m.o", "-g")
    table = subprocess.run(["llvm-dwarfdump-22", "--debug-line", "m.o"],
                           cwd=lenet, capture_output=True, text=True,
                           check=True).stdout
    assert 'name: "lenet.json"' in table
    lines = {int(row.split()[1]) for row in table.splitlines()
             if row.startswith("0x")}
    model = (lenet / "lenet.json").read_text().splitlines()
    assert any("nn.Conv2d" in model[line - 1] or '"conv"' in model[line - 1]
               for line in lines if line)
    nncc("lenet.json", "-o", "m.o")
    assert "debug_line" not in subprocess.run(
        ["llvm-readelf-22", "-S", "m.o"], cwd=lenet, capture_output=True,
        text=True, check=True).stdout


@pytest.mark.parametrize("triple", ["x86_64-linux-gnu",
                                    "x86_64-unknown-linux-gnu"])
def test_target(nncc, lenet, triple):
    nncc("lenet.json", "-o", "a.o", f"--target={triple}")
    nncc("lenet.json", "-o", "b.o")
    assert (lenet / "a.o").read_bytes() == (lenet / "b.o").read_bytes()


@pytest.mark.parametrize("suffix", ["so", "a", "o"])
def test_embedded_weights(nncc, lenet, suffix):
    nncc("lenet.json", "-o", f"own.{suffix}", *W, "--embed-weights")
    own = nncc("run", f"own.{suffix}", "--inputs", "in.safetensors").stdout
    assert own == nncc("run", "lenet.json", *W, "--inputs",
                       "in.safetensors").stdout
    # Other weights still replace them.
    other = {k: 2 * v for k, v in weights().items()}
    save_file(other, lenet / "other.safetensors")
    w = ("--weights", "other.safetensors", "--inputs", "in.safetensors")
    assert nncc("run", f"own.{suffix}", *w).stdout == nncc(
        "run", "lenet.json", *w).stdout != own


def test_run_matches_numpy(nncc, lenet):
    nncc("run", "lenet.json", *W, "--inputs", "in.safetensors", "--outputs",
         "out.safetensors")
    w, x = weights(), load_file(lenet / "in.safetensors")["x"]
    padded = np.pad(x[0, 0], 1)
    a = np.array([[[(padded[i:i + 3, j:j + 3] * k[0]).sum() for j in range(12)]
                   for i in range(12)] for k in w["conv.weight"]])
    a = np.maximum(a + w["conv.bias"][:, None, None], 0)
    c = a.reshape(6, 6, 2, 6, 2).max((2, 4))
    expected = w["head.1.weight"] @ c.ravel() + w["head.1.bias"]
    got = load_file(lenet / "out.safetensors")["logits"][0]
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-4)


def test_run_shared_object(nncc):
    nncc("lenet.json", "-o", "lenet.so")
    from_so = nncc("run", "lenet.so", *W, *X).stdout
    assert from_so == nncc("run", "lenet.json", *W, *X).stdout
    assert from_so.startswith("logits f32 [1, 10]: ")


def test_other_size(nncc, lenet):
    save_file({"x": np.zeros((3, 1, 12, 12), np.float32)},
              lenet / "three.safetensors")
    nncc("run", "lenet.json", *W, "--inputs", "three.safetensors",
         "--outputs", "out.safetensors")
    assert load_file(lenet / "out.safetensors")["logits"].shape == (3, 10)


def test_size_not_compiled(nncc, lenet):
    save_file({"x": np.zeros((2, 1, 12, 12), np.float32)},
              lenet / "two.safetensors")
    done = nncc("run", "lenet.json", *W, "--inputs", "two.safetensors", code=1)
    assert done.stderr == ("nncc: no compiled size fits these inputs; "
                           "compiled: x [1, 1, 12, 12]; x [3, 1, 12, 12]\n")


def test_dim_flag(nncc, lenet):
    save_file({"x": np.zeros((2, 1, 12, 12), np.float32)},
              lenet / "two.safetensors")
    nncc("run", "lenet.json", "--dim", "N=2", *W, "--inputs",
         "two.safetensors")
    done = nncc("run", "lenet.json", "--dim", "N", *W, code=2)
    assert done.stderr == "nncc: --dim N: expected NAME=SIZE,...\n"


def test_check(nncc):
    done = nncc("check", "lenet.json", *W, *X, "--bisect")
    assert re.fullmatch(
        r"logits: largest difference \S+ of its scale, allowed 1e-4, ok\n"
        r"bisect: no pass and no kernel differs\n", done.stdout)


@pytest.mark.parametrize("verb", ["run", "check", "bench"])
def test_more_than_memory(verb, tmp_path):
    """A valid model with tensors that the machine has no memory for."""
    model = tmp_path / "m.json"
    model.write_text("""{"format": "nncc-model/1",
        "inputs": {"x": {"shape": [2], "dtype": "f32"}},
        "nodes": [{"name": "y", "op": "torch.zeros",
                   "inputs": [[1073741824, 1024]]}], "outputs": ["y"]}""")
    done = subprocess.run(
        ["bash", "-c", f"ulimit -v 8000000; exec {NNCC} {verb} {model} "
         "--input x=ones"], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (
        6, "nncc: not enough memory for this model's tensors\n")


def test_check_halves(nncc, tmp_path):
    """The interpreter does not round to halves."""
    model = tmp_path / "m.json"
    model.write_text("""{"format": "nncc-model/1",
        "inputs": {"x": {"shape": [50], "dtype": "f32"}},
        "nodes": [{"name": "a", "op": "Tensor.to", "inputs": ["x"],
                   "dtype": "f16"},
                  {"name": "b", "op": "Tensor.to", "inputs": ["x"],
                   "dtype": "bf16"}],
        "outputs": ["a", "b"]}""")
    assert re.fullmatch(
        r"a: largest difference \S+ of its scale, allowed 4e-3, ok\n"
        r"b: largest difference \S+ of its scale, allowed 3e-2, ok\n",
        nncc("check", str(model)).stdout)


def test_bisect_finds_a_wrong_kernel(nncc):
    done = nncc("check", "lenet.json", *W, *X, "--bisect", "--wrong-kernel",
                "k2", code=3)
    assert "first difference at step 2, kernel k2, pool: nn.MaxPool2d" in \
        done.stdout


def test_bisect_finds_a_wrong_pass(nncc):
    done = nncc("check", "lenet.json", *W, *X, "--bisect", "--wrong-pass",
                "nncc-layout", code=3)
    assert "bisect: outputs change with nncc-layout" in done.stdout


def test_schedules(nncc, tmp_path):
    """A schedule by hand changes the code and not the bits."""
    def outputs():
        return nncc("run", "lenet.json", *W, *X, "--schedules",
                    "schedules.json").stdout

    report = json.loads(nncc("inspect", "lenet.json", "--json").stdout)
    kernel = next(k for k in report["kernels"] if "rows" in k["schedule"])
    (tmp_path / "schedules.json").write_text("{}")
    plain = outputs()
    (tmp_path / "schedules.json").write_text(json.dumps(
        {kernel["key"]: {"rows": 1, "splits": 3}}))
    assert outputs() == plain
    report = json.loads(nncc("inspect", "lenet.json", "--json", "--schedules",
                             "schedules.json").stdout)
    changed = next(k for k in report["kernels"] if k["key"] == kernel["key"])
    assert changed["schedule"] == {**kernel["schedule"], "rows": 1,
                                   "splits": 3}


WRONG_SCHEDULES = [
    ('[1]', "s.json:1:1: error: schedules must be an object, got a list\n"
     "  [1]\n  ^\n1 error"),
    ('{"a": 1}', "s.json:1:7: error: a schedule must be an object, got 1\n"
     '  {"a": 1}\n        ^\n1 error'),
    ('{"a": {"row": 1}}', 's.json:1:8: error: unknown number "row" in a '
     'schedule\n  {"a": {"row": 1}}\n         ^~~~~\n1 error'),
    ('{"a": {"rows": 0}}', "s.json:1:16: error: rows must be an integer from 1 "
     'to 32, got 0\n  {"a": {"rows": 0}}\n                 ^\n1 error'),
    ('{"a": {"keys": 1048577}}', "s.json:1:16: error: keys must be an integer "
     "from 1 to 1048576, got 1048577\n"
     '  {"a": {"keys": 1048577}}\n                 ^~~~~~~\n1 error'),
]


@pytest.mark.parametrize("text,expected", WRONG_SCHEDULES)
def test_wrong_schedules(nncc, tmp_path, text, expected):
    (tmp_path / "s.json").write_text(text)
    done = nncc("compile", "lenet.json", "-o", "m.o", "--schedules", "s.json",
                code=1)
    assert done.stderr.strip() == expected


def test_schedule_of_another_kernel(nncc, tmp_path):
    report = json.loads(nncc("inspect", "lenet.json", "--json").stdout)
    kernel = next(k for k in report["kernels"] if "tiles" in k["schedule"])
    (tmp_path / "s.json").write_text(json.dumps({kernel["key"]: {"keys": 4}}))
    call = ("compile", "lenet.json", "-o", "m.o", "--schedules", "s.json")
    name, key = kernel["name"], kernel["key"]
    assert nncc(*call, code=1).stderr == (
        f"s.json:1:23: error: the schedule of this kernel, {name}, has no "
        f'keys, only tiles\n  {{"{key}": {{"keys": 4}}}}\n'
        "                        ^~~~~~\n1 error\n")
    assert not (tmp_path / "m.o").exists()
    stale = '{"82c8be8f5ba2d9db": {"tiles": 1}}'
    (tmp_path / "s.json").write_text(stale)
    assert nncc(*call, code=1).stderr == (
        's.json:1:2: error: no kernel has the key "82c8be8f5ba2d9db": nncc '
        f"inspect --json says what kernels there are on this CPU\n  {stale}\n"
        "   ^~~~~~~~~~~~~~~~~~\n1 error\n")
    # One file may serve several entries.
    (tmp_path / "s.json").write_text(
        f'{{"{key}": {{"tiles": 1}},\n "82c8be8f5ba2d9db": {{}}}}')
    assert nncc(*call).stderr.startswith(
        's.json:2:2: warning: no kernel has the key "82c8be8f5ba2d9db"\n'
        '   "82c8be8f5ba2d9db": {}}\n   ^~~~~~~~~~~~~~~~~~\n')


def test_check_differs(nncc):
    nncc("check", "lenet.json", *W, *X, "--tolerance", "0", code=3)


def test_check_against_a_file(nncc, lenet):
    nncc("run", "lenet.json", *W, *X, "--outputs", "y.safetensors")
    nncc("compile", "lenet.json", "-o", "lenet.so")
    for model in ("lenet.json", "lenet.so"):
        done = nncc("check", model, *W, *X, "--expect", "y.safetensors")
        assert done.stdout == ("logits: largest difference 0.0e+00 of its "
                               "scale, allowed 1e-4, ok\n")
    y = load_file(lenet / "y.safetensors")["logits"]
    y[0, 0] += abs(y).max()
    save_file({"logits": y}, lenet / "z.safetensors")
    nncc("check", "lenet.so", *W, *X, "--expect", "z.safetensors", code=3)
    done = nncc("check", "lenet.so", *W, *X, "--expect", "lenet.safetensors",
                code=1)
    assert done.stderr.splitlines()[-1] == (
        'nncc: lenet.safetensors has no tensor "logits"')
    done = nncc("check", "lenet.so", *W, *X, code=2)
    assert done.stderr == (
        "nncc: the interpreter needs the model's JSON; compare a compiled "
        "model with --expect FILE.safetensors\n")
    done = nncc("check", "lenet.json", *W, *X, "--expect", "y.safetensors",
                "--bisect", code=2)
    assert done.stderr == ("nncc: --bisect compares with the interpreter, "
                           "leave out --expect\n")
    result = json.loads(nncc("check", "lenet.so", *W, *X, "--json", "--expect",
                             "z.safetensors", code=3).stdout)
    assert not result["ok"] and result["results"] == [
        {"output": "logits", "ok": False,
         "error": result["results"][0]["error"]}]


def test_check_gradients(nncc):
    """Finite differences, without PyTorch."""
    done = nncc("check", "lenet.json", *W, *X, "--grad")
    names = re.findall(r"^grad\.(\S+): largest difference \S+ from "
                       r"differences, allowed 1e-4, ok$", done.stdout, re.M)
    assert names == ["conv.bias", "conv.weight", "head.1.bias",
                     "head.1.weight", "x"]
    nncc("check", "lenet.json", *W, *X, "--grad", "--tolerance", "0", code=3)


def test_backward_runs(nncc, lenet):
    nncc("run", "lenet.json", *W, *X, "--entry", "backward", "--input", "grad.logits=random:normal",
         "--outputs", "g.safetensors")
    gradients = load_file(lenet / "g.safetensors")
    assert gradients["grad.conv.weight"].shape == (6, 1, 3, 3)
    nncc("lenet.json", "-o", "forward.so")
    done = nncc("run", "forward.so", *W, *X, "--entry", "backward", code=2)
    assert done.stderr == ('nncc: forward.so has no entry "backward", only '
                           "forward: compile it with --entries=backward\n")


def test_entries_that_cannot_be(nncc, lenet):
    (lenet / "m.json").write_text("""{"format": "nncc-model/1",
 "inputs": {"x": {"shape": [4], "dtype": "f32"}},
 "nodes": [{"name": "y", "op": "F.dropout", "inputs": ["x"],
            "training": "mode"}],
 "outputs": ["y"]}""")
    done = nncc("compile", "m.json", "-o", "m.o", "--entries",
                "loss_and_grad", code=1)
    assert done.stderr.startswith(
        "m.json: error: the entry loss_and_grad needs a \"training\" section: "
        "what to minimise and how, as in\n  \"training\": {")
    assert "^" not in done.stderr
    done = nncc("compile", "m.json", "-o", "m.o", "--entries", "train", code=2)
    assert done.stderr == (
        'nncc: --entries train: "train" is no entry: they are forward, '
        "backward, loss, loss_and_grad, train_step and train_forward\n")


def test_json_of_run_and_compile(nncc, lenet):
    nncc("run", "lenet.json", *W, *X, "--outputs", "y.safetensors")
    y = load_file(lenet / "y.safetensors")["logits"]
    done = json.loads(nncc("run", "lenet.json", *W, *X, "--json").stdout)
    logits, = done["outputs"]
    assert (logits["name"], logits["dtype"], logits["shape"]) == (
        "logits", "f32", [1, 10])
    assert np.array_equal(np.float32(logits["values"]), y.ravel())
    done = json.loads(nncc("compile", "lenet.json", "-o", "m.o",
                           "--json").stdout)
    assert done["object_bytes"] == (lenet / "m.o").stat().st_size
    assert (done["model"], done["output"], done["header"]) == (
        "lenet", "m.o", "m.h")


@pytest.mark.parametrize("suffix", ["o", "a", "so"])
def test_inspect_compiled(nncc, suffix):
    nncc("compile", "lenet.json", "-o", f"m.{suffix}", "-mcpu=x86-64")
    text = nncc("inspect", f"m.{suffix}").stdout
    assert re.match(r"lenet for x86-64, by nncc 0\.1\.0, ABI \d+\n", text)
    assert "  conv.weight f32 [6, 1, 3, 3]\n" in text
    report = json.loads(nncc("inspect", f"m.{suffix}", "--json").stdout)
    model = json.loads(nncc("inspect", "lenet.json", "--json",
                            "-mcpu=x86-64").stdout)
    assert report["weights"] == model["weights"]
    body = report["entries"][0]["bodies"][0]
    for key in ("inputs", "outputs", "flops", "arena_bytes"):
        assert body[key] == model["entries"][0][key]


def test_inspect_weights(nncc):
    lines = nncc("inspect", "lenet.safetensors").stdout.splitlines()
    assert lines[0].startswith("4 tensors, ")
    assert "  conv.weight f32 [6, 1, 3, 3]" in lines
    report = json.loads(nncc("inspect", "lenet.safetensors", "--json").stdout)
    assert report["bytes"] == sum(t["bytes"] for t in report["tensors"])
    done = nncc("inspect", "none.o", code=5)
    assert done.stderr == "nncc: cannot read none.o: No such file or directory\n"


@pytest.mark.parametrize("suffix", ["so", "o", "a"])
def test_files_that_are_no_models(nncc, lenet, suffix):
    (lenet / f"bad.{suffix}").write_text("text")
    done = nncc("run", f"bad.{suffix}", code=1)
    assert done.stderr == f"nncc: bad.{suffix} is text, not a compiled model\n"


def test_progress_on_a_terminal(lenet):
    """Work of more than a second shows its stage and the kernels that are done,
    at most ten times a second, and leaves the line empty."""
    text = subprocess.run(
        ["script", "-qec", f"{NNCC} {deep_model(lenet, 60)} -o m.so -j1",
         "/dev/null"], cwd=lenet, capture_output=True,
        check=True).stdout.decode()
    times = [float(t) for t in re.findall(
        r"\r\x1b\[K\[(\d+\.\d) s\] deep.json: ", text)]
    assert times and times[0] >= 1 and len(times) <= 10 * times[-1] + 1
    done = re.findall(r"(?:optimizing|writing machine code), "
                      r"(\d+) of (\d+) kernels", text)
    assert done and all(0 < int(some) <= int(of) for some, of in done)
    assert text.rsplit("\r\x1b[K", 1)[1].startswith("nncc: deep for ")


def deep_model(folder, layers):
    """Products of different sizes, which take a while to compile."""
    modules, nodes, value = {}, [], "x"
    for i in range(layers):
        modules[f"fc{i}"] = {"type": "nn.Linear", "in_features": 16 + i,
                             "out_features": 17 + i}
        nodes += [{"name": f"a{i}", "module": f"fc{i}", "inputs": [value]},
                  {"name": f"b{i}", "op": "torch.tanh", "inputs": [f"a{i}"]}]
        value = f"b{i}"
    (folder / "deep.json").write_text(json.dumps({
        "format": "nncc-model/1", "name": "deep",
        "inputs": {"x": {"shape": [8, 16], "dtype": "f32"}},
        "modules": modules, "nodes": nodes, "outputs": [value]}))
    return "deep.json"


def limited(size):
    return lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


@pytest.mark.parametrize("arguments,file", [
    (("compile", "lenet.json", "-o", "m.o"), "m.o"),
    (("compile", "lenet.json", "-o", "m.a"), "m.a"),
    (("compile", "lenet.json", "-o", "m.so"), "m.so"),
    (("compile", "lenet.json", "--emit=llvm", "-o", "m.ll"), "m.ll"),
    (("run", "m.json", "--outputs", "y.npy"), "y.npy")])
def test_full_disk(lenet, arguments, file):
    """No space: an error, and neither the output nor a part of it."""
    (lenet / "m.json").write_text(json.dumps({
        "format": "nncc-model/1", "inputs": {},
        "nodes": [{"name": "y", "op": "torch.arange", "inputs": [9999]}],
        "outputs": ["y"]}))
    if file == "y.npy":  # what is run must be written somewhere
        subprocess.run([NNCC, "m.json", "-o", "m.so"], cwd=lenet, check=True,
                       capture_output=True)
        arguments = ("run", "m.so", "--outputs", "y.npy")
    before = set(os.listdir(lenet))
    done = subprocess.run([NNCC, *arguments], cwd=lenet, capture_output=True,
                          text=True, preexec_fn=limited(4096))
    assert done.returncode == 5, done.stderr
    assert re.match(rf"nncc: cannot (write|link) {file}: ", done.stderr)
    assert ".tmp" not in done.stderr
    assert set(os.listdir(lenet)) == before


def test_kill(lenet):
    """Whenever it is killed: the output is whole or not there."""
    for tenth in range(1, 8):
        job = subprocess.Popen([NNCC, "lenet.json", "-o", "k.so"], cwd=lenet,
                               stderr=subprocess.DEVNULL)
        time.sleep(tenth / 10)
        job.kill()
        job.wait()
        if (lenet / "k.so").exists():
            subprocess.run([NNCC, "inspect", "k.so"], cwd=lenet, check=True,
                           capture_output=True)
            (lenet / "k.so").unlink()


def test_bench_json(nncc):
    done = nncc("bench", "lenet.json", *W, *X, "--threads", "1,2",
                "--seconds", "0.1", "--json")
    results = json.loads(done.stdout)["results"]
    assert [r["threads"] for r in results] == [1, 2]
    assert all(r["entry"] == "forward" and r["runs"] >= 10 and
               r["min_ms"] <= r["median_ms"] <= r["p90_ms"] and
               0 < r["gflops"] and 0 < r["peak_share"] for r in results)


def test_bench_compare_and_kernels(nncc, lenet):
    bench = ("bench", "lenet.json", *W, *X, "--seconds", "0.1")
    (lenet / "b.json").write_text(nncc(*bench, "--json").stdout)
    text = nncc(*bench, "--compare", "b.json", "--kernels").stdout
    assert re.search(r"; \d\.\d\d x as fast as in b\.json\n", text)
    report = json.loads(nncc("inspect", "lenet.json", "--json").stdout)
    calls = report["entries"][0]["calls"]
    assert len(text.splitlines()) == 1 + len(calls)
    assert text.startswith("forward N=1, 1 thread: median ")
    (lenet / "b.json").write_text("[]")
    done = nncc(*bench, "--compare", "b.json", code=1)
    assert done.stderr == ("nncc: --compare b.json: not the output of nncc "
                           "bench --json\n")


def test_inspect_json(nncc):
    # Columns are counted in whole panels, whose width is the CPU's.
    report = json.loads(nncc("inspect", "lenet.json", "-mcpu=x86-64-v4",
                             "--json").stdout)
    assert report["parameters"] == 6 * 9 + 6 + 2160 + 10
    entry = report["entries"][0]
    assert entry["flops"] == 2 * (12 * 12 * 16 * 9 + 16 * 216)
    reasons = [r for c in entry["calls"] for r in c["operands_from_memory"]]
    assert "a weight" in reasons and all(reasons)
    origins = [c["origin"] for c in entry["calls"]]
    assert any(o.startswith("conv: nn.Conv2d + ") for o in origins), origins


def test_schema_describes_modules(nncc):
    schema = json.loads(nncc("schema").stdout)
    conv = [m for m in schema["$defs"]["module"]["anyOf"]
            if "nn.Conv2d" in m["properties"]["type"].get("enum", [])][0]
    assert conv["required"] == ["type", "in_channels", "out_channels",
                                "kernel_size"]
    assert conv["properties"]["groups"] == {"type": "integer", "minimum": 1,
                                            "default": 1}


@pytest.mark.parametrize("verb", [None] + VERBS)
def test_help_fits_a_screen(nncc, verb):
    text = nncc(*([verb] if verb else []), "--help").stdout
    lines = text.splitlines()
    assert len(lines) <= 40 and "Examples:" in text
    assert max(map(len, lines)) <= 120


@pytest.mark.parametrize("verb", VERBS)
def test_examples_of_help_work(nncc, lenet, verb):
    text = nncc(verb, "--help").stdout
    if "lenet.so" in text:
        nncc("lenet.json", "-o", "lenet.so")
    for line in text.split("Examples:")[1].splitlines():
        if line.strip():
            command = line.split(">")[0]
            done = subprocess.run(
                [NNCC] + shlex.split(command)[1:], cwd=lenet, timeout=120,
                capture_output=True, text=True)
            assert done.returncode == 0, (line, done.stderr)


def test_npy(nncc, lenet):
    np.save(lenet / "x.npy", load_file(lenet / "in.safetensors")["x"])
    by_npy = nncc("run", "lenet.json", *W, "--input", "x=@x.npy").stdout
    assert by_npy == nncc("run", "lenet.json", *W, "--inputs",
                          "in.safetensors").stdout


def test_run_prints_wide_integers(nncc, lenet):
    (lenet / "i.json").write_text(json.dumps({
        "format": "nncc-model/1", "name": "i", "inputs": {},
        "nodes": [{"name": "a", "op": "torch.arange",
                   "inputs": [-300, 700, 500], "dtype": "i32"}],
        "outputs": ["a"]}))
    assert nncc("run", "i.json").stdout == "a i32 [2]: -300 200\n"
