"""nncc train --resume: what is the same training, and what is another."""
import json
import subprocess

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from lenet_model import NNCC
from net_model import MODEL


def resumed(train, folder, *arguments, code=1, **data):
    """What --resume says behind a training of three steps."""
    train("--steps", "3", "--checkpoint", "c.safetensors", "--seed", "5",
          "--warmup", "2", "--schedule", "step:2,0.5")
    given = dict(zip(arguments[::2], arguments[1::2]))
    plain = {"--steps": "5", "--seed": "5", "--warmup": "2",
             "--schedule": "step:2,0.5", **given}
    flags = [x for pair in plain.items() for x in pair if x != ""]
    before = (folder / "c.safetensors").read_bytes()
    done = train("--resume", "--checkpoint", "c.safetensors", *flags,
                 code=code, start=(), **data)
    if code:
        assert (folder / "c.safetensors").read_bytes() == before
    return done.stderr


ANOTHER = ("nncc: c.safetensors is the checkpoint of another training, "
           "--resume would not go on with it:\n  %s\n  to train its weights "
           "anew: --weights c.safetensors\n")


@pytest.mark.parametrize("arguments,text", [
    (("--seed", "6"), "seed: 5 then, 6 now"),
    (("--schedule", "constant"), "schedule: step:2,0.5 then, constant now"),
    (("--warmup", "3"), "warm-up steps: 2 then, 3 now"),
    (("--in-order", ""), "order: shuffled then, as in the files now")])
def test_resume_with_other_flags(train, folder, arguments, text):
    assert resumed(train, folder, *arguments) == ANOTHER % text


def test_resume_of_another_training(train, folder):
    text = resumed(train, folder, data=("--data", "a.safetensors"))
    assert text.startswith((ANOTHER % "samples: 42 then, 20 now\n  data: "
                            ).split("\n  to train")[0])
    x, t = np.load(folder / "x.npy"), np.load(folder / "t.npy")
    np.savez(folder / "other.npz", x=-x, t=t)
    assert "  data: " in resumed(train, folder, data=("--data", "other.npz"))
    assert resumed(train, folder, "--lr", "0.5", code=0)  # it is typed
    model = json.loads(MODEL)

    def trained(**changes):
        (folder / "net.json").write_text(MODEL)
        train("--steps", "3", "--checkpoint", "c.safetensors")
        (folder / "net.json").write_text(json.dumps({**model, **changes}))
        return train("--steps", "5", "--resume", "--checkpoint",
                     "c.safetensors", code=1, start=()).stderr

    optimizer = {**model["training"],
                 "optimizer": {"type": "optim.AdamW", "lr": 0.02}}
    assert trained(training=optimizer) == \
        ANOTHER % "optimizer: optim.Adam then, optim.AdamW now"
    optimizer["optimizer"] = {"type": "optim.Adam", "lr": 0.03}
    assert trained(training=optimizer) == ANOTHER % (
        'the model\'s "training" section is another one\n'
        "  learning rate: 0.0199999996 then, 0.0299999993 now")
    inputs = {"x": {"shape": [2, 6], "dtype": "f32"}}
    training = {**model["training"],
                "inputs": {"t": {"shape": [2], "dtype": "i64"}}}
    assert "\n  batch: 4 then, 2 now" in trained(inputs=inputs,
                                                 training=training)
    assert trained(name="other") == ANOTHER % "model: net then, other now"


GRAPH = "the model's graph (modules, nodes, inputs) is another one"


def test_resume_with_another_graph(train, folder):
    """What the state's names and shapes do not tell."""
    train("--steps", "3", "--checkpoint", "c.safetensors")
    rest = ("--steps", "5", "--resume", "--checkpoint", "c.safetensors")
    for old, new in (("F.relu", "F.tanh"), ('"p": 0.1', '"p": 0.2'),
                     ('["b"]}', '["b"], "training": false}'),
                     ('["c"]}', '["b"]}')):
        assert MODEL.count(old) == 1
        (folder / "net.json").write_text(MODEL.replace(old, new))
        assert train(*rest, start=(), code=1).stderr == ANOTHER % GRAPH
        subprocess.run([NNCC, "net.json", "--entries=train_step", "-o",
                        "net.so"], cwd=folder, check=True)
        done = subprocess.run([NNCC, "train", "net.so", "--data", "train.npz",
                               *rest], cwd=folder, capture_output=True,
                              text=True)
        assert (done.returncode, done.stderr) == (1, ANOTHER % GRAPH)


def test_resume_with_the_same_graph(train, folder):
    """Order, comments and the sizes of other bodies change nothing."""
    train("--steps", "3", "--checkpoint", "c.safetensors")
    model = json.loads(MODEL)

    def turned(value):
        return {k: turned(v) for k, v in reversed(value.items())} \
            if isinstance(value, dict) else value

    (folder / "net.json").write_text(json.dumps(
        {"comment": "the same", **turned(model)}))
    done = train("--steps", "5", "--resume", "--checkpoint", "c.safetensors",
                 start=())
    assert "nncc: done after step 5" in done.stderr


def test_resume_with_another_size(train, folder):
    model = json.loads(MODEL)
    model["inputs"]["x"]["shape"] = ["N", 6]
    model["training"]["inputs"]["t"]["shape"] = ["N"]
    (folder / "net.json").write_text(json.dumps({**model,
                                                 "dims": {"N": [4, 2]}}))
    rest = ("--steps", "5", "--checkpoint", "c.safetensors")
    train(*rest, "--dim", "N=4")
    (folder / "net.json").write_text(json.dumps({**model,
                                                 "dims": {"N": [4]}}))
    assert "step 5 of 5 already" in train(*rest, "--resume", start=()).stderr
    assert train(*rest, "--resume", "--dim", "N=2", start=(), code=1).stderr \
        == ANOTHER % ("batch: 4 then, 2 now\n  sizes of dims: N=4 then, N=2 "
                      "now")


def test_resume_without_what_to_compare(train, folder):
    """Other tools drop metadata, or some of them."""
    train("--steps", "3", "--checkpoint", "c.safetensors")
    with safe_open(folder / "c.safetensors", "np") as file:
        metadata = file.metadata()
    state = load_file(folder / "c.safetensors")

    def resumed(metadata, **options):
        save_file(state, folder / "d.safetensors", metadata)
        return train("--steps", "3", "--resume", "--checkpoint",
                     "d.safetensors", start=(), **options).stderr

    end = "nncc: d.safetensors is at step 3 of 3 already\n"
    for other in (None, {"format": "pt"}):
        assert resumed(other).startswith(
            "nncc: d.safetensors does not say how its training went: nothing "
            "but names and shapes of its tensors was compared with this one\n"
            + end)
    del metadata["nncc.graph"], metadata["nncc.seed"]
    assert resumed(metadata).startswith(
        "nncc: d.safetensors does not say all of how its training went, not "
        "compared: graph and seed\n" + end)
    metadata["nncc.batch"] = "5"
    assert resumed(metadata, code=1) == (ANOTHER % "batch: 5 then, 4 now"
                                         ).replace("c.safe", "d.safe")
    for key in metadata:
        assert key.startswith("nncc.")


def assert_refused(train, folder, text):
    """The state in d.safetensors, by train and by run."""
    assert train("--resume", "--checkpoint", "d.safetensors", start=(),
                 code=1).stderr == text
    done = subprocess.run(
        [NNCC, "run", "net.json", "--entry", "train_step", "--weights",
         "d.safetensors", "--input", "*=zeros"], cwd=folder,
        capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (1, text)


def test_a_step_that_no_training_has(train, folder):
    train("--steps", "3", "--checkpoint", "c.safetensors")
    state = load_file(folder / "c.safetensors")
    state["optimizer.step"] = np.array(-1)
    save_file(state, folder / "d.safetensors")
    text = ("nncc: d.safetensors is damaged: its optimizer.step is -1, no "
            "number of steps\n")
    assert_refused(train, folder, text)


def test_stretched_schedules_keep_their_length(train, folder):
    for schedule, text in (("constant", ""), ("cosine", ANOTHER % (
            "steps in all: 3 then, 5 now"))):
        train("--steps", "3", "--checkpoint", "c.safetensors", "--schedule",
              schedule)
        done = train("--steps", "5", "--checkpoint", "c.safetensors",
                     "--resume", "--schedule", schedule, start=(),
                     code=1 if text else 0)
        assert not text or done.stderr == text


def test_resume_at_and_behind_the_end(train, folder):
    train("--steps", "3", "--checkpoint", "c.safetensors")
    rest = ("--resume", "--checkpoint", "c.safetensors")
    assert train(*rest, "--steps", "3", start=()).stderr.startswith(
        "nncc: c.safetensors is at step 3 of 3 already\nnncc: done after step 3")
    assert train(*rest, "--steps", "2", start=(), code=2).stderr == (
        "nncc: c.safetensors is at step 3, behind the 2 of this training: "
        "--epochs and --steps count from its start\n")


def test_checkpoints_of_other_optimizers(train, folder):
    """Files without what nncc train writes down tell by their tensors."""
    train("--steps", "3", "--checkpoint", "c.safetensors")
    state = load_file(folder / "c.safetensors")
    del state["optimizer.exp_avg.fc1.bias"]
    state["optimizer.momentum_buffer.fc1.bias"] = np.zeros(16, np.float32)
    save_file(state, folder / "d.safetensors")
    text = ("nncc: d.safetensors has the state of another optimizer: it lacks "
            "optimizer.exp_avg.fc1.bias\n")
    assert_refused(train, folder, text)


def test_weights_of_a_checkpoint_start_anew(train, folder):
    train("--steps", "3", "--checkpoint", "c.safetensors")
    done = train("--steps", "2", "--checkpoint", "d.safetensors",
                 start=("--weights", "c.safetensors"))
    assert done.stderr.startswith(
        "nncc: c.safetensors holds the state of an optimizer: this is a new "
        "training, without it; --resume goes on with a training\n")
    assert load_file(folder / "d.safetensors")["optimizer.step"] == 2
    state = load_file(folder / "c.safetensors")
    save_file({k: v for k, v in state.items()
               if not k.startswith("optimizer.")}, folder / "p.safetensors")
    train("--steps", "2", "--checkpoint", "e.safetensors",
          start=("--weights", "p.safetensors"))
    assert (folder / "d.safetensors").read_bytes() == \
        (folder / "e.safetensors").read_bytes()


def test_resume_needs_a_checkpoint(train, folder):
    rest = ("--resume", "--checkpoint")
    assert train(*rest, "no", start=(), code=5).stderr == \
        "nncc: cannot read no: No such file or directory\n"
    assert train(*rest, "w.safetensors", start=(), code=1).stderr == (
        "nncc: w.safetensors is no checkpoint of nncc train, it has no "
        "optimizer.step: --weights starts from a file of weights\n")
    train("--steps", "2", "--checkpoint", "c.safetensors")
    assert train(*rest, "c.safetensors", "--csv", "net.json", start=(),
                 code=2).stderr == (
        "nncc: --csv net.json: it is written as csv, not as JSON\n")
    head = "step,lr,loss,validation\n1,0.1,2,\n"
    for text, line in (("{}", 1), ("", 1), (head + "2,0.1,2\n", 3),
                       (head + "2,0.1,2,3,4\n", 3), (head + "-2,0.1,2,\n", 3),
                       (head + "1,0.1,2,\n", 3), (head + "2,0.1,nan,\n", 3),
                       (head + "2,0.1,2,\n3,x,2,\n", 4),
                       (head + "2,1e999,2,\n", 3)):
        (folder / "c.csv").write_text(text)
        assert train(*rest, "c.safetensors", "--csv", "c.csv", start=(),
                     code=1).stderr == (
            f"nncc: c.csv is not the curve of nncc train: line {line} is none "
            "of it\n")
