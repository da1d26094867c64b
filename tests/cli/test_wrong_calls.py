"""Command lines that cannot be meant, each with its full sentence and code.

Nothing is written and stdout is empty, or with --json one error object.
"""
import json
import os

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from lenet_model import weights

W = ("--weights", "lenet.safetensors")
X = ("--input", "x=random:normal,seed=1")
RUN = ("run", "lenet.json")
ENTRIES = ("forward, backward, loss, loss_and_grad, train_step and "
           "train_forward")
KINDS = ("expected @FILE, zeros, ones, a number, a list [1, 2], random:normal "
         "or random:uniform")
BEFORE = " nothing here: --emit=%s is text of a stage before they matter"

# By what was typed: (arguments, exit code, what stderr says behind "nncc: ").
WRONG = [
    # Verbs and flags.
    (("comple", "x.json"), 2, 'unknown verb "comple", did you mean "compile"?'),
    (("frobnicate",), 2, 'unknown verb "frobnicate": the verbs are compile, '
     "run, check, bench, inspect, train and schema"),
    (("help", "rum"), 2, 'unknown verb "rum", did you mean "run"?'),
    (("help", "run", "train"), 2,
     'nncc help takes one verb, got also "train"'),
    (("-v", "run"), 2, 'nncc -v takes nothing more, got also "run"'),
    (("inspect", "lenet.json", "-O3"), 2,
     "-O is a flag of nncc compile, not of nncc inspect"),
    (("inspect", "lenet.json", "-j4"), 2,
     "-j is a flag of nncc compile, not of nncc inspect"),
    ((*RUN, "--weight", "w"), 2,
     'nncc run has no flag "--weight", did you mean "--weights"?'),
    ((*RUN, "--optimize"), 2, 'nncc run has no flag "--optimize"; nncc run '
     "--help lists them"),
    ((*RUN, "--epochs", "3"), 2,
     "--epochs is a flag of nncc train, not of nncc run"),
    ((*RUN, "--json=1"), 2, '--json takes no value, got "1"'),
    ((*RUN, "--weights"), 2, "--weights needs a value: --weights FILE"),
    ((*RUN, "--weights", "--json"), 2,
     "--weights needs a value: --weights FILE"),
    ((*RUN, "--weights", ""), 2, "--weights needs a value, got an empty text"),
    ((*RUN, *W, *W), 2, "--weights is given twice"),
    ((*RUN, "x.json"), 2, 'nncc run takes one model, got also "x.json"'),
    (("run",), 2, "the model is missing: nncc run FILE; nncc run --help says "
     "more"),
    (("run", ""), 2, "the path of the model is empty"),
    (("schema", "x"), 2, 'nncc schema takes no file, got also "x"'),
    ((*RUN, "-Os"), 2, "-Os: nncc has -O0 to -O3 and nothing for size; -O2 is "
     "the default"),
    ((*RUN, "--threads", "0"), 2,
     "--threads 0: expected a whole number from 1 to 1024"),
    ((*RUN, "--seed", "-1"), 2,
     "--seed -1: expected a whole number from 0"),
    (("bench", "lenet.json", "--threads", "1,,2"), 2, "--threads 1,,2: "
     "expected whole numbers from 1 to 1024, as in 1,2"),
    (("bench", "lenet.json", "--seconds", "nan"), 2,
     "--seconds nan: expected a number, more than 0"),
    (("check", "lenet.json", "--tolerance", "nan"), 2,
     "--tolerance nan: expected a number, at least 0"),
    ((*RUN, "--max-arena", "0"), 2, "--max-arena 0: expected a size that is "
     "more than 0, as in 1048576, 1024KiB or 256MiB"),
    ((*RUN, "-j", "many"), 2, "-j many: expected a whole number from 1 to "
     "1024"),
    ((*RUN, "--entry", "back"), 2, f"--entry back: expected one of {ENTRIES}"),
    ((*RUN, "--entry", "forwad"), 2, f"--entry forwad: expected one of "
     f'{ENTRIES}, did you mean "forward"?'),
    (("compile", "lenet.json", "--entries", "forward,forward"), 2,
     "--entries forward,forward: forward stands there twice"),
    (("compile", "lenet.json", "--name", "a b"), 2, '--name a b: a name for '
     "symbols has letters, digits and _, no digit in front, and does not begin "
     "with nncc_"),
    (("compile", "lenet.json", "-mcpu=znver9"), 2, 'unknown CPU "znver9", did '
     'you mean "znver1"? (native, x86-64, x86-64-v2, x86-64-v3, x86-64-v4 and '
     "the names of clang's -mcpu= are known)"),
    (("compile", "lenet.json", "--target=aarch64-linux-gnu"), 4,
     "no code generator for --target=aarch64-linux-gnu; "
     "x86_64-unknown-linux-gnu and cuda are supported"),
    # Flags that would do nothing, or say different things.
    (("compile", "lenet.json", "-o", "m.txt"), 2, "-o m.txt: a compiled model "
     "ends in .o, .a or .so, assembly in .s, LLVM's in .ll, PTX in .ptx; "
     "--emit=STAGE writes others"),
    # Programs for GPUs.
    (("compile", "lenet.json", "--target=cuda:sm_91"), 2,
     'unknown GPU architecture "sm_91", did you mean "sm_90"? (sm_80, '
     "sm_86, sm_87, sm_89, sm_90, sm_90a, sm_100, sm_100a, sm_103, sm_103a, "
     "sm_120, sm_120a, sm_121, sm_121a are known)"),
    (("compile", "lenet.json", "--target=cuda:"), 2,
     'unknown GPU architecture "" (sm_80, sm_86, sm_87, sm_89, sm_90, '
     "sm_90a, sm_100, sm_100a, sm_103, sm_103a, sm_120, sm_120a, sm_121, "
     "sm_121a are known)"),
    (("compile", "lenet.json", "--target=cuda:sm_80,sm_80"), 2,
     "--target names sm_80 twice"),
    (("compile", "lenet.json", "--target=cuda:emulator,sm_80"), 2,
     "the emulator stands alone in --target"),
    (("compile", "lenet.json", "--target=cuda:sm_80,native"), 2,
     "native stands alone in --target"),
    (("compile", "lenet.json", "--device-only"), 2,
     "--device-only needs --target=cuda"),
    (("compile", "lenet.json", "--emit=ptx"), 2,
     "--emit=ptx needs --target=cuda:sm_80"),
    (("compile", "lenet.json", "--emit=ptx", "--target=cuda"), 2,
     "--emit=ptx shows one architecture: --target=cuda:sm_80"),
    (("compile", "lenet.json", "--emit=ptx", "--target=cuda:emulator"), 2,
     "the emulator runs no PTX"),
    (("compile", "lenet.json", "--emit=asm", "--target=cuda",
      "--device-only"), 2,
     "there is no assembly with --device-only, --emit=ptx is what a GPU "
     "runs"),
    (("compile", "lenet.json", "--emit=llvm", "-o", "m.s"), 2,
     "--emit=llvm and -o m.s ask for different things: llvm and asm"),
    (("compile", "lenet.json", "-c", "-S"), 2,
     "-c and -S ask for different things: object and asm"),
    (("compile", "lenet.json", "-c", "-o", "m.so"), 2,
     "-c writes an object, -o m.so does not end in .o"),
    (("compile", "lenet.json", "--emit=graph", "-O3", "--json"), 2,
     "-O and --json do" + BEFORE % "graph"),
    (("compile", "lenet.json", "--emit=nncc", "--target=cuda",
      "--device-only"), 2,
     "--target and --device-only do" + BEFORE % "nncc"),
    (("compile", "lenet.json", "--emit=ptx", "--target=cuda:sm_80",
      "--images=cubin"), 2, "--images does" + BEFORE % "ptx"),
    (("compile", "lenet.json", "--images=ptx"), 2,
     "--images needs --target=cuda"),
    (("compile", "lenet.json", "--emit=kernels", "-g"), 2,
     "-g does" + BEFORE % "kernels"),
    (("compile", "lenet.json", "--embed-weights"), 2,
     "--embed-weights needs --weights FILE.safetensors"),
    (("compile", "lenet.json", *W), 2, "--weights does nothing here without "
     "--embed-weights: weights are loaded at run time"),
    (("run", "two.so", *W, *X, "-mcpu=native", "-O1"), 2,
     "-mcpu and -O do nothing here: two.so is compiled already"),
    (("run", "two.so", *W, *X, "-v"), 2,
     "-v does nothing here: two.so is compiled already"),
    (("inspect", "in.safetensors", "-v"), 2,
     "-v does nothing here: in.safetensors is not compiled here"),
    (("inspect", "lenet.safetensors", "--entries=forward", "--dim", "N=1"), 2,
     "--entries and --dim do nothing here: lenet.safetensors is not compiled "
     "here"),
    (("check", "lenet.json", "--grad", "--expect", "in.safetensors"), 2,
     "--grad compares with the interpreter, leave out --expect"),
    (("check", "lenet.json", "--grad", "--entry", "loss"), 2, "--grad: the "
     "entry loss gives no gradients, backward and loss_and_grad do"),
    # Dims.
    ((*RUN, *W, *X, "--dim", "N"), 2, "--dim N: expected NAME=SIZE,..."),
    ((*RUN, *W, *X, "--dim", "N=-1"), 2, "--dim N=-1: expected NAME=SIZE,..."),
    ((*RUN, *W, *X, "--dim", "N=2,2"), 2,
     "--dim N=2,2: the size 2 stands there twice"),
    ((*RUN, *W, *X, "--dim", "N=1", "--dim", "N=2"), 2,
     "--dim N is given twice"),
    (("run", "two.so", *W, *X, "--dim", "N=2"), 1,
     "--dim N=2: two.so was compiled for N=1; N=3"),
    (("run", "two.so", *W, *X, "--dim", "M=1"), 1,
     "--dim M=1: two.so was compiled for N=1; N=3"),
    (("run", "two.so", *W, *X, "--dim", "N=1,3"), 2,
     "--dim N: of a compiled model one size is chosen"),
    # Inputs.
    (RUN, 2, "lenet has 4 tensors of state: give --weights FILE.safetensors"),
    ((*RUN, *W), 2, "input x is missing: give --inputs FILE or --input "
     "x=random:normal"),
    ((*RUN, *W, "--input", "z=zeros"), 2, '--input z=zeros: the entry has no '
     'input "z", its input is x'),
    ((*RUN, *W, "--input", "x"), 2,
     "--input x: expected NAME=SPEC with the name of an input"),
    ((*RUN, *W, "--input", "x=twos"), 2,
     f'--input x: unknown kind "twos", {KINDS}'),
    ((*RUN, *W, "--input", "x=x.npy"), 2,
     "--input x: a file is @x.npy, with an @ in front"),
    ((*RUN, *W, "--input", "x=w.pt"), 2,
     "--input x: a file is @w.pt, with an @ in front"),
    ((*RUN, *W, "--input", "x=data/x"), 2,
     "--input x: a file is @data/x, with an @ in front"),
    ((*RUN, *W, "--input", "x=zeros,seed=1"), 2,
     '--input x: "zeros" takes no options, got "seed=1"'),
    ((*RUN, *W, "--input", "x=random:normal,sed=1"), 2,
     '--input x: unknown option "sed=1", expected seed=NUMBER'),
    ((*RUN, *W, "--input", "x=[[1,2],[3]]"), 2, "--input x: [[1,2],[3]] is no "
     "list of numbers whose rows are equally long"),
    ((*RUN, *W, "--input", "x=[1,2]"), 1, "--input x=[1,2]: a list of shape "
     "[2] for a tensor [1, 1, 12, 12]"),
    ((*RUN, *W, *X, "--input", "x=zeros"), 2, "--input x is given twice: "
     "x=random:normal,seed=1 and x=zeros"),
    ((*RUN, *W, *X, "--inputs", "in.safetensors"), 2, "input x is given by "
     "--inputs in.safetensors and by --input x=random:normal,seed=1"),
    ((*RUN, *W, "--input", "*=@x.npy"), 2, "--input *=@x.npy: a file is for "
     "one input, --inputs FILE is for all"),
    ((*RUN, *W, "--inputs", "lenet.safetensors"), 1, "\nnncc: ".join(
        f'--inputs lenet.safetensors: the entry has no input "{name}", its '
        "input is x" for name in ("conv.bias", "conv.weight", "head.1.bias",
                                  "head.1.weight"))),
    ((*RUN, *W, "--input", "x=@many.npz"), 1, "many.npz holds 2 arrays and none "
     "is called x: y, z"),
    ((*RUN, *W, "--input", "x=@double.npy"), 1, "input x must be f32, got f64 "
     "from --input x=@double.npy: --convert converts it"),
    (("run", "ids.json", "--input", "i=0.5"), 1,
     "--input i=0.5: 0.5 is no value of this input: i8 holds whole numbers from "
     "-128 to 127"),
    (("run", "ids.json", "--input", "i=300"), 1,
     "--input i=300: 300 is no value of this input: i8 holds whole numbers from "
     "-128 to 127"),
    (("run", "ids.json", "--input", "i=@halves.npy", "--convert"), 1,
     "input i: element 1 is 0.5: i8 holds whole numbers from -128 to 127"),
    (("run", "ids.json", "--input", "i=1", *W), 1, "the weights do not fit "
     "ids: it has no state, the file has 4 tensors"),
    (("check", "lenet.json", *W, *X, "--expect", "flat.npy"), 1,
     "flat.npy: logits has shape [10], the output [1, 10]"),
    (("check", "lenet.json", *W, *X, "--expect", "many.npz"), 1,
     'many.npz: the entry has no output "y", only logits\n'
     'nncc: many.npz: the entry has no output "z", only logits\n'
     'nncc: many.npz has no tensor "logits"'),
    # Numbers that a type does not hold.
    ((*RUN, *W, "--input", "x=1e999"), 1, "--input x=1e999: 1e999 is no value "
     "of this input: f32 holds numbers up to 3.4e38, inf, -inf and nan"),
    (("bench", "lenet.json", "--input", "x=-1e39"), 1, "--input x=-1e39: -1e39 "
     "is no value of this input: f32 holds numbers up to 3.4e38, inf, -inf and "
     "nan"),
    (("check", "types.json", "--input", "u=300"), 1, "--input u=300: 300 is no "
     "value of this input: u8 holds whole numbers from 0 to 255"),
    (("run", "types.json", "--input", "*=1", "--input", "l=1.5"), 1,
     "--input l=1.5: 1.5 is no value of this input: i64 holds whole numbers "
     "from -9223372036854775808 to 9223372036854775807"),
    (("run", "types.json", "--input", "*=1", "--input", "l=[1, "
      "9223372036854775808]"), 1, "--input l=[1, 9223372036854775808]: "
     "9223372036854775808 is no value of this input: i64 holds whole numbers "
     "from -9223372036854775808 to 9223372036854775807"),
    (("run", "types.json", "--input", "*=2"), 1, "--input *=2: b: 2 is no "
     "value of this input: bool holds 0, 1, false and true"),
    (("run", "types.json", "--input", "*=1", "--input", "h=65520"), 1,
     "--input h=65520: 65520 is no value of this input: f16 holds numbers up "
     "to 65504, inf, -inf and nan"),
    (("run", "types.json", "--input", "*=1", "--input", "d=-1e309"), 1,
     "--input d=-1e309: -1e309 is no value of this input: f64 holds numbers up "
     "to 1.8e308, inf, -inf and nan"),
    (("run", "types.json", "--input", "*=1", "--input", "h=@huge.npy",
      "--convert"), 1, "input h: element 1 is 1e+300: f16 holds numbers up to "
     "65504, inf, -inf and nan"),
    # Stdin and stdout.
    ((*RUN, "--weights", "-", *X), 2, "--weights -: stdin may be a model or "
     "other JSON, this is read from a file"),
    ((*RUN, *W, "--input", "x=@-"), 2, "--input x -: stdin may be a model or "
     "other JSON, this is read from a file"),
    (("train", "lenet.json", *W, "--data", "-"), 2, "--data -: stdin may be a "
     "model or other JSON, this is read from a file"),
    (("check", "lenet.json", "--expect", "-"), 2, "--expect -: stdin may be a "
     "model or other JSON, this is read from a file"),
    (("compile", "-", "--schedules", "-"), 2, "the model and --schedules are "
     "both stdin, which can be read once"),
    ((*RUN, *W, *X, "--outputs", "-"), 2,
     "--outputs -: a file is written, /dev/stdout is stdout"),
    (("train", "lenet.json", *W, "--data", "train.npz", "--csv", "-"), 2,
     "--csv -: a file is written, /dev/stdout is stdout"),
    # Paths.
    (("compile", "none.json"), 5,
     "cannot read none.json: No such file or directory"),
    (("compile", "folder"), 5, "cannot read folder: it is a directory"),
    ((*RUN, "--weights", "none", *X), 5,
     "cannot read none: No such file or directory"),
    ((*RUN, *W, "--input", "x=@none.npy"), 5,
     "cannot read none.npy: No such file or directory"),
    (("compile", "lenet.json", "-o", "no/m.o"), 5,
     "cannot write no/m.o: No such file or directory"),
    (("compile", "lenet.json", "-o", "folder.o"), 5,
     "cannot write folder.o: it is a directory"),
    (("compile", "lenet.json", "-o", "mine.so"), 2, "-o mine.so writes mine.h "
     "beside it, which is there and not by nncc: choose another name"),
    (("compile", "lenet.json", "--emit=graph", "-o", "lenet.json"), 2,
     "-o lenet.json would overwrite the model"),
    ((*RUN, *W, *X, "--outputs", "y.pt"), 2,
     "--outputs y.pt: it is written as safetensors, not as PyTorch"),
    ((*RUN, *W, *X, "--outputs", "y.mat"), 2,
     "--outputs y.mat: arrays are written as .safetensors, .npz or .npy"),
    ((*RUN, *W, *X, "--outputs", "no/y.npz"), 5,
     "cannot write no/y.npz: No such file or directory"),
    ((*RUN, *W, *X, "--outputs", "./lenet.safetensors"), 2,
     "--outputs ./lenet.safetensors would overwrite --weights"),
    ((*RUN, *W, *X, "--outputs", "y.safetensors", "--save-weights",
      "./y.safetensors"), 2,
     "--outputs and --save-weights are one file, ./y.safetensors"),
    # A model that has several outputs does not fit into one .npy.
    (("run", "pair.json", "--outputs", "y.npy"), 2, "y.npy: a .npy file holds "
     "one array, the entry gives 2: write .npz"),
    (("bench", "lenet.json", "--compare", "lenet.json"), 1,
     "--compare lenet.json: not the output of nncc bench --json"),
    # What would do nothing.
    ((*RUN, *W, *X, "--seed", "3"), 2,
     "--seed does nothing here: forward draws no random numbers"),
    (("bench", "lenet.json", "--seed", "3"), 2,
     "--seed does nothing here: forward draws no random numbers"),
    (("check", "lenet.json", "--seed", "3", "--grad"), 2,
     "--seed does nothing here: backward draws no random numbers"),
    ((*RUN, *W, *X, "--convert"), 2, "--convert does nothing here: it converts "
     "arrays of files, and none is given"),
    (("bench", "lenet.json", "--convert"), 2, "--convert does nothing here: it "
     "converts arrays of files, and none is given"),
    ((*RUN, *W, *X, "--save-weights", "w.safetensors"), 2, "--save-weights "
     "does nothing new here: forward changes no weights, train_step does"),
    (("bench", "lenet.json", "--threads", "1,2,1"), 2,
     "--threads 1,2,1: 1 stands there twice"),
    (("compile", "lenet.json", "--target", "x86_64-linux-gnux32"), 4,
     "no code generator for --target=x86_64-linux-gnux32; "
     "x86_64-unknown-linux-gnu and cuda are supported"),
    (("compile", "lenet.json", "--target", "x86_64-linux-android"), 4,
     "no code generator for --target=x86_64-linux-android; "
     "x86_64-unknown-linux-gnu and cuda are supported"),
    ((*RUN, *W, *X, "--outputs", "y"), 2,
     "--outputs y: arrays are written as .safetensors, .npz or .npy"),
    ((*RUN, "-x"), 2,
     'nncc run has no flag "-x"; nncc run --help lists them'),
    # Arrays without a name, and without elements.
    (("run", "types.json", "--inputs", "flat.npy"), 2, "--inputs flat.npy: a "
     ".npy file has no name for its array, and the entry has 5 inputs: --input "
     "NAME=@flat.npy"),
    (("run", "pair.json", "--inputs", "flat.npy"), 1,
     "--inputs flat.npy: the entry has no inputs"),
    (("check", "pair.json", "--expect", "flat.npy"), 2, "--expect flat.npy: a "
     ".npy file has no name for its array, the outputs are a and b: .npz has "
     "names"),
    (("run", "ids.json", "--input", "i=@empty.npy"), 1,
     "input i must have shape [2], got [0]"),
    (("bench", "lenet.json", *W, *X, "--dim", "N=1", "--compare", "other.json"),
     1,
     '--compare other.json is of something else: name "dims", here "lenet"; '
     'state_bytes 0, here 8920; inputs ["x f32 [1]"], here '
     '["x f32 [1, 1, 12, 12]"]; outputs none, here ["logits f32 [1, 10]"]'),
    (("compile", "lenet.json", "-mcpu=i386"), 2,
     'the CPU "i386" has no 64-bit code'),
]

PREPARED = {"two.so"}


@pytest.fixture
def files(lenet, nncc):
    os.mkdir(lenet / "folder")
    os.mkdir(lenet / "folder.o")
    (lenet / "mine.h").write_text("int mine;\n")
    np.savez(lenet / "many.npz", y=np.zeros(2, "f"), z=np.zeros(3, "f"))
    np.save(lenet / "double.npy", np.zeros((1, 1, 12, 12)))
    np.save(lenet / "x.npy", np.zeros((1, 1, 12, 12), "f"))
    np.save(lenet / "halves.npy", np.array([0, 0.5], "f"))
    np.save(lenet / "empty.npy", np.zeros(0, "i1"))
    np.save(lenet / "flat.npy", np.zeros(10, "f"))
    (lenet / "other.json").write_text(json.dumps({
        "model": {"name": "dims", "cpu": "native", "state_bytes": 0,
                  "inputs": ["x f32 [1]"]},
        "results": [{"entry": "forward", "threads": 1, "median_ms": 1.0}]}))
    np.save(lenet / "huge.npy", np.array([1.0, 1e300]))
    types = {"b": "bool", "u": "u8", "l": "i64", "h": "f16", "d": "f64"}
    (lenet / "types.json").write_text(json.dumps({
        "format": "nncc-model/1", "name": "types",
        "inputs": {n: {"shape": [2], "dtype": d} for n, d in types.items()},
        "nodes": [{"name": f"y{n}", "op": "Tensor.clone", "inputs": [n]}
                  for n in types], "outputs": [f"y{n}" for n in types]}))
    for name, nodes in (("ids", ["a"]), ("pair", ["a", "b"])):
        (lenet / f"{name}.json").write_text(json.dumps({
            "format": "nncc-model/1", "name": name,
            "inputs": {"i": {"shape": [2], "dtype": "i8"}}
            if name == "ids" else {},
            "nodes": [{"name": n, "op": "torch.neg", "inputs": ["i"]}
                      if name == "ids" else
                      {"name": n, "op": "torch.arange", "inputs": [3]}
                      for n in nodes], "outputs": nodes}))
    return lenet


@pytest.fixture(scope="session")
def two_sizes(tmp_path_factory):
    """A compiled model of two sizes, made once."""
    import subprocess
    from lenet_model import MODEL, NNCC
    folder = tmp_path_factory.mktemp("two")
    (folder / "lenet.json").write_text(MODEL)
    subprocess.run([NNCC, "lenet.json", "-o", "two.so"], cwd=folder, check=True,
                   capture_output=True)
    return folder / "two.so"


@pytest.mark.parametrize("arguments,code,text", WRONG,
                         ids=[" ".join(w[0])[:60] for w in WRONG])
def test_wrong_call(nncc, files, two_sizes, arguments, code, text):
    if "two.so" in arguments:
        os.symlink(two_sizes, files / "two.so")
    before = sorted(os.listdir(files))
    done = nncc(*arguments, code=code)
    assert done.stderr == f"nncc: {text}\n"
    assert (done.stdout == "") == ("--json" not in arguments)
    assert sorted(os.listdir(files)) == before


@pytest.mark.parametrize("number", [0, 9, 16, 50, 62, 79, len(WRONG) - 1])
def test_wrong_call_as_json(nncc, files, two_sizes, number):
    """The same as an error object, also for what is no flag."""
    arguments, code, text = WRONG[number]
    if "two.so" in arguments:
        os.symlink(two_sizes, files / "two.so")
    done = nncc(*arguments, "--json", code=code)
    result = json.loads(done.stdout)
    assert result["exit"] == code
    assert set(result["error"]) == {"code", "text", "file", "line", "column",
                                    "notes"}
    assert result["error"]["text"] == text.split("\nnncc: ")[0]


def test_model_errors_as_json(nncc, lenet):
    (lenet / "bad.json").write_text(
        '{"format": "nncc-model/1", "format": "x",\n "inputs": 3}')
    result = json.loads(nncc("compile", "bad.json", "--json", code=1).stdout)
    error = result["error"]
    assert error["notes"] == [{"text": "first defined here",
                               "file": "bad.json", "line": 1, "column": 2}]
    assert {k: v for k, v in error.items() if k != "notes"} == {"code": "rejected", "text": 'duplicate key "format"',
                     "file": "bad.json", "line": 1, "column": 28}
    for verb in ("run", "check", "bench", "inspect", "train"):
        data = ("--data", "train.npz") if verb == "train" else ()
        assert json.loads(nncc(verb, "bad.json", "--json", *data,
                               code=1).stdout)["error"] == result["error"]


def test_dim_that_no_shape_has(nncc, files):
    done = nncc("compile", "lenet.json", "--dim", "M=3", code=1)
    assert done.stderr == ('lenet.json: error: --dim M: no shape of the model '
                           'has the dim "M"; it has N\n1 error\n')
    done = nncc("run", "pair.json", "--dim", "N=3", code=1)
    assert done.stderr == ('pair.json: error: --dim N: no shape of the model '
                           'has the dim "N", or any other\n1 error\n')


def test_help(nncc):
    text = nncc().stdout
    assert text == nncc("help").stdout == nncc("--help").stdout
    for verb in ("compile", "run", "check", "bench", "inspect", "train",
                 "schema"):
        assert f"\n  {verb} " in text
        assert nncc("help", verb).stdout == nncc(verb, "--help").stdout == \
            nncc(verb, "-h").stdout == nncc(verb, "--help-all").stdout
    assert nncc("-v").stdout == nncc("--version").stdout == "nncc 0.1.0\n"
    assert json.loads(nncc("schema", "--json").stdout)


def test_spellings_of_clang(nncc, lenet):
    def written(*arguments):
        nncc("lenet.json", "-om.o", *arguments)
        return (lenet / "m.o").read_bytes()

    plain = written("-mcpu=x86-64-v3")
    for cpu in (("-mcpu", "x86-64-v3"), ("-march=x86-64-v3",), ()):
        assert (written(*cpu) == plain) == (cpu != ())
    assert written("-O") == written("-O2") == written() == written("-j1")
    assert written("-O4") == written("-O3")
    assert nncc("-j", "1", "lenet.json", "-o", "m.o").stdout == ""


def test_what_is_written_where(nncc, lenet):
    """Stages by suffix and letter; NAME.o without -o; - is stdin."""
    import subprocess
    from lenet_model import MODEL, NNCC
    asm = nncc("lenet.json", "--emit=asm").stdout
    nncc("lenet.json", "-S")
    nncc("lenet.json", "-o", "m.s")
    assert (lenet / "lenet.s").read_text() == (lenet / "m.s").read_text() == asm
    nncc("lenet.json", "-o", "m.ll")
    assert (lenet / "m.ll").read_text() == nncc("lenet.json",
                                                "--emit=llvm").stdout
    talk = nncc("lenet.json", "--name", "net").stderr
    assert (lenet / "net.o").exists() and "net_forward_N1(" in \
        (lenet / "net.h").read_text()
    assert ": net.o, arena " in talk and " bytes, " in talk
    done = subprocess.run([NNCC, "compile", "-", "-c"], input=MODEL, text=True,
                          cwd=lenet, capture_output=True)
    assert done.returncode == 0, done.stderr
    assert (lenet / "lenet.o").exists()
    done = subprocess.run([NNCC, "compile", "-"], input="{", text=True,
                          cwd=lenet, capture_output=True)
    assert done.returncode == 1 and done.stderr.startswith("<stdin>:1:2: error")


def test_arena_larger_than_memory(nncc, lenet):
    (lenet / "big.json").write_text(json.dumps({
        "format": "nncc-model/1", "name": "big",
        "inputs": {"x": {"shape": ["N", 1024], "dtype": "f32"}},
        "nodes": [{"name": "a", "op": "torch.softmax", "inputs": ["x"],
                   "dim": 1},
                  {"name": "b", "op": "torch.softmax", "inputs": ["a"],
                   "dim": 0},
                  {"name": "y", "op": "torch.softmax", "inputs": ["b"],
                   "dim": 1}],
        "outputs": ["y"]}))
    for more in ((), ("--json",)):
        talk = nncc("big.json", "--dim", "N=1000000000",
                    *more).stderr.splitlines()
        assert talk[0].startswith("nncc: warning: an arena of 41")
        assert talk[0].endswith(" bytes is more than this machine's memory; "
                                "--max-arena bounds it")


def test_names_in_the_header(nncc, lenet):
    """One identifier for symbol and header; parameters that differ."""
    import subprocess
    from test_cli import RUNTIME
    linear = {"type": "nn.Linear", "in_features": 2, "out_features": 2}
    (lenet / "odd.json").write_text(json.dumps({
        "format": "nncc-model/1", "name": "3 nets",
        "inputs": {"int": {"shape": [1, 2], "dtype": "f32"}},
        "modules": {"a_0": linear, "a": {"type": "nn.Sequential",
                                         "modules": [linear]}},
        "nodes": [{"name": "y", "module": "a", "inputs": ["int"]},
                  {"name": "z", "module": "a_0", "inputs": ["y"]}],
        "outputs": ["z"]}))
    nncc("odd.json", "--entries=backward")
    symbols = subprocess.run(["nm", "_3_nets.o"], cwd=lenet, text=True,
                             capture_output=True, check=True).stdout
    assert " T _3_nets_model\n" in symbols
    subprocess.run(["cc", "-fsyntax-only", "-Wall", "-Wextra", "-Werror",
                    "-pedantic", "-x", "c", "-I", RUNTIME,
                    str(lenet / "_3_nets.h")], check=True)
    text = (lenet / "_3_nets.h").read_text()
    assert "*in_int," in text
    assert "*out_grad_a_0_weight," in text
    assert "*out_grad_a_0_weight_2" in text


def test_formats_of_inputs_and_outputs(nncc, lenet):
    x = load_file(lenet / "in.safetensors")["x"]
    plain = nncc(*RUN, *W, "--inputs", "in.safetensors").stdout
    np.savez(lenet / "in.npz", x=x)
    np.savez_compressed(lenet / "packed.npz", x=x)
    np.save(lenet / "x.npy", x)
    np.save(lenet / "d.npy", x.astype(np.float64))
    for arguments in (("--inputs", "in.npz"), ("--inputs", "packed.npz"),
                      ("--inputs", "x.npy"), ("--input", "x=@in.npz"),
                      ("--input", "x=@in.safetensors"),
                      ("--input", "x=@d.npy", "--convert")):
        assert nncc(*RUN, *W, *arguments).stdout == plain
    for name in ("Y.NPY", "y.npy", "y.npz", "y.safetensors"):
        nncc(*RUN, *W, "--inputs", "in.npz", "--outputs", name)
    y = load_file(lenet / "y.safetensors")["logits"]
    assert np.array_equal(np.load(lenet / "y.npy"), y)
    assert (lenet / "Y.NPY").read_bytes() == (lenet / "y.npy").read_bytes()
    assert np.array_equal(np.load(lenet / "y.npz")["logits"], y)
    three = np.zeros((3, 1, 12, 12), np.float32)
    np.save(lenet / "three.npy", three)  # a file's shape chooses the size
    assert nncc(*RUN, *W, "--input", "x=@three.npy").stdout.startswith(
        "logits f32 [3, 10]: ")


def test_values_on_the_command_line(nncc, files):
    (files / "add.json").write_text(json.dumps({
        "format": "nncc-model/1", "name": "add",
        "inputs": {n: {"shape": [2], "dtype": d} for n, d in
                   (("a", "i64"), ("b", "i64"), ("f", "f16"), ("t", "bool"))},
        "nodes": [{"name": "s", "op": "torch.add", "inputs": ["a", "b"]},
                  {"name": "g", "op": "torch.neg", "inputs": ["f"]},
                  {"name": "n", "op": "torch.where", "inputs": ["t", "a", 0]}],
        "outputs": ["s", "g", "n"]}))
    done = nncc("run", "add.json", "--input", "a=[9007199254740993, -3]",
                "--input", "b=ones", "--input", "f=[0.1, -inf]", "--input",
                "*=true", "--json").stdout
    s, g, n = (json.loads(done)["outputs"])
    assert s["values"] == [9007199254740994, -2]
    assert g["values"] == [-float(np.float16(0.1)), "inf"]
    assert n["values"] == [9007199254740993, -3]


def test_random_by_default(nncc, lenet):
    """Timing and checking need no data; what is random is said."""
    random = "nncc: not given and random: the weights and x\n"
    done = nncc("check", "lenet.json")
    assert done.stderr == random and done.stdout.endswith(", ok\n")
    done = nncc("check", "lenet.json", "--grad")
    assert done.stdout.count(" from differences, allowed 1e-4, ok\n") == 5
    assert nncc("check", "lenet.json", "--entry", "train_step").returncode == 0
    done = nncc("bench", "lenet.json", "--seconds", "0.01")
    assert done.stderr == random + ("nncc: compiled for several sizes: this is "
                                    "N=1, --dim chooses\n")
    nncc("lenet.json", "-o", "two.so")
    for model in ("lenet.json", "two.so"):
        done = nncc("bench", model, "--seconds", "0.01", "--dim", "N=3")
        assert done.stdout.startswith("forward N=3, 1 thread: median ")
        assert done.stderr == random
    result = json.loads(nncc("bench", "two.so", "--seconds", "0.01", "--json",
                             "--dim", "N=3").stdout)
    assert result["results"][0]["sizes"] == "N=3"
