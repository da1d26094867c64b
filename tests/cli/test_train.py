"""nncc train: data, schedules, checkpoints, resuming, what goes wrong."""
import json
import math
import os
import re
import signal
import subprocess
import time
import xml.etree.ElementTree

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from lenet_model import NNCC
from net_model import MODEL

def test_loss_falls(train, folder):
    done = train("--epochs", "30", "--checkpoint", "c.safetensors", "--csv",
                 "c.csv", "--svg", "c.svg", "--validate", "a.safetensors")
    lines = done.stdout.splitlines()
    assert len(lines) == 30
    numbers = [re.fullmatch(
        r"epoch (\d+): loss ([\d.e-]+), validation ([\d.e-]+), \d+\.\d\d s",
        line)
        for line in lines]
    assert [int(n[1]) for n in numbers] == list(range(1, 31))
    assert float(numbers[-1][2]) < 0.5 * float(numbers[0][2])
    assert float(numbers[-1][3]) < 0.5 * float(numbers[0][3])
    assert re.search(r"nncc: done after step 300, .* weights in "
                     r"c.safetensors\n$", done.stderr)
    rows = (folder / "c.csv").read_text().splitlines()
    assert rows[0] == "step,lr,loss,validation" and len(rows) == 301
    assert [int(r.split(",")[0]) for r in rows[1:]] == list(range(1, 301))
    assert sum(r.split(",")[3] != "" for r in rows[1:]) == 30
    chart = xml.etree.ElementTree.parse(folder / "c.svg").getroot()
    lines = chart.findall("{http://www.w3.org/2000/svg}polyline")
    assert [len(p.get("points").split()) for p in lines] == [300, 300, 30]
    state = load_file(folder / "c.safetensors")
    assert state["optimizer.step"] == 300
    assert state["optimizer.exp_avg.fc1.weight"].shape == (16, 6)
    # The file runs like any other, in eval mode.
    subprocess.run([NNCC, "run", "net.json", "--weights", "c.safetensors",
                    "--input", "x=zeros"], cwd=folder, check=True,
                   capture_output=True)


@pytest.mark.parametrize("data", [
    ("--data", "packed.npz"), ("--data", "x=@x.npy", "--data", "t=@t.npy"),
    ("--data", "a.safetensors", "--data", "b.safetensors")])
def test_the_same_from_every_format(train, folder, data):
    train("--csv", "a.csv")
    train("--csv", "b.csv", data=data)
    assert (folder / "a.csv").read_bytes() == (folder / "b.csv").read_bytes()


def test_resume_is_bit_identical(train, folder):
    """In the middle of an epoch, with dropout, shuffling and a schedule."""
    rest = ("--schedule", "cosine", "--warmup", "3", "--seed", "5")
    train("--steps", "37", "--checkpoint", "whole.safetensors", "--csv",
          "whole.csv", *rest)
    # An interrupted training has the same total.
    process = subprocess.Popen(
        [NNCC, "train", "net.json", "--data", "train.npz", "--weights",
         "w.safetensors", "--steps", "37", "--checkpoint", "part.safetensors",
         "--checkpoint-every", "13", "--csv", "part.csv", *rest], cwd=folder,
        stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    process.wait()
    train("--steps", "13", "--checkpoint", "short.safetensors", "--csv",
          "short.csv", "--seed", "5")
    train("--steps", "37", "--checkpoint", "short.safetensors", "--csv",
          "short.csv", "--resume", "--seed", "5", start=())
    train("--steps", "37", "--checkpoint", "plain.safetensors", "--csv",
          "plain.csv", "--seed", "5")
    for kind in ("safetensors", "csv"):
        assert (folder / f"short.{kind}").read_bytes() == (
            folder / f"plain.{kind}").read_bytes()
        assert (folder / f"part.{kind}").read_bytes() == (
            folder / f"whole.{kind}").read_bytes()


def test_threads_give_equal_bits(train, folder):
    for threads in "123":
        train("--threads", threads, "--checkpoint", f"{threads}.safetensors")
    assert len({(folder / f"{t}.safetensors").read_bytes()
                for t in "123"}) == 1


def test_interrupt(train, folder):
    process = subprocess.Popen(
        [NNCC, "train", "net.json", "--data", "train.npz", "--weights",
         "w.safetensors", "--steps", "100000000", "--checkpoint",
         "c.safetensors"], cwd=folder, stderr=subprocess.PIPE,
        stdout=subprocess.PIPE, text=True)
    process.stdout.readline()  # the first epoch is over
    process.send_signal(signal.SIGINT)
    _, talk = process.communicate(timeout=60)
    assert process.returncode == 130
    done = int(re.search(r"nncc: stopped after step (\d+), ", talk)[1])
    assert load_file(folder / "c.safetensors")["optimizer.step"] == done
    train("--steps", str(done + 5), "--checkpoint", "c.safetensors",
          "--resume", start=())
    assert load_file(folder / "c.safetensors")["optimizer.step"] == done + 5


def rates(train, folder, *arguments, steps=20):
    train("--steps", str(steps), "--csv", "c.csv", *arguments)
    return [float(r.split(",")[1]) for r in
            (folder / "c.csv").read_text().splitlines()[1:]]


def torch_rates(make, steps=20, lr=0.02):
    import torch
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=lr)
    schedule, list_ = make(torch.optim.lr_scheduler, optimizer), []
    for _ in range(steps):
        list_.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    return list_


@pytest.mark.parametrize("text,make", [
    ("constant", lambda s, o: s.ConstantLR(o, 1)),
    ("step:6,0.5", lambda s, o: s.StepLR(o, 6, 0.5)),
    ("cosine", lambda s, o: s.CosineAnnealingLR(o, 20)),
    ("linear", lambda s, o: s.LinearLR(o, 1, 0, 20)),
    ("one-cycle", lambda s, o: s.OneCycleLR(o, 0.02, total_steps=20))])
def test_schedules(train, folder, text, make):
    np.testing.assert_allclose(rates(train, folder, "--schedule", text),
                               torch_rates(make), rtol=1e-6, atol=1e-9)


def test_warmup_and_rate(train, folder):
    got = rates(train, folder, "--warmup", "4", "--lr", "0.1", steps=6)
    np.testing.assert_allclose(got, [0.025, 0.05, 0.075, 0.1, 0.1, 0.1],
                               rtol=1e-6)


def test_rate_of_doubles(train, folder):
    """A model in f64 is trained at rates in f64, and its curve has them."""
    (folder / "net.json").write_text(MODEL.replace("f32", "f64").replace(
        '"in_features"', '"dtype": "f64", "in_features"'))
    save_file({k: v.astype("f8") for k, v in
               load_file(folder / "w.safetensors").items()},
              folder / "w.safetensors")
    data = np.load(folder / "train.npz")
    np.savez(folder / "train.npz", x=data["x"].astype("f8"), t=data["t"])
    assert rates(train, folder, steps=2) == [0.02, 0.02]
    got = rates(train, folder, "--warmup", "3", "--lr", "0.1", steps=4)
    assert got == [0.1 * (1 / 3), 0.1 * (2 / 3), 0.1, 0.1]
    train("--steps", "2", "--checkpoint", "c.safetensors", "--csv", "c.csv")
    before = (folder / "c.csv").read_text()
    train("--steps", "4", "--checkpoint", "c.safetensors", "--csv", "c.csv",
          "--resume", start=())
    rows = (folder / "c.csv").read_text().splitlines()
    assert rows[:3] == before.splitlines() and len(rows) == 5


def test_order(train, folder):
    """Each epoch takes 10 of 42 samples' batches; seeds shuffle otherwise."""
    texts = []
    for arguments in (("--seed", "1"), ("--seed", "2"), ("--in-order",),
                      ("--in-order", "--seed", "0")):
        train("--steps", "5", "--csv", "c.csv", *arguments)
        texts.append((folder / "c.csv").read_text())
    assert len(set(texts)) == 3 and texts[2] == texts[3]


def test_nan(train, folder):
    done = train("--steps", "50", "--lr", "1e38", "--checkpoint",
                 "c.safetensors", code=1)
    assert re.fullmatch(
        r"nncc: --data: 2 of 42 samples fill no batch of 4, each epoch leaves "
        r"others out\nnncc: step \d+: the loss is -?nan; the first parameter "
        r"whose gradient is not finite is fc2.bias\n", done.stderr)
    assert not (folder / "c.safetensors").exists()


def test_json_and_compiled(train, folder):
    summary = json.loads(train("--steps", "7", "--json", "--validate",
                               "a.safetensors").stdout)
    assert summary["steps"] == 7 and not summary["interrupted"]
    assert math.isfinite(summary["loss"]) and summary["validation"] > 0
    subprocess.run([NNCC, "net.json", "-o", "net.so", "--entries",
                    "train_step,loss"], cwd=folder, check=True,
                   capture_output=True)
    done = subprocess.run([NNCC, "train", "net.so", "--data", "train.npz",
                           "--weights", "w.safetensors", "--steps", "7",
                           "--json", "--validate", "a.safetensors"],
                          cwd=folder, check=True, capture_output=True)
    again = json.loads(done.stdout)
    assert again["loss"] == summary["loss"]
    assert again["validation"] == summary["validation"]


def test_embedded_start(train, folder):
    """An object with weights trains from them without a file."""
    subprocess.run([NNCC, "net.json", "-o", "own.so", "--entries",
                    "forward,train_step", "--weights", "w.safetensors",
                    "--embed-weights"], cwd=folder, check=True,
                   capture_output=True)
    for model in (("own.so",), ("net.json", "--weights", "w.safetensors")):
        done = subprocess.run([NNCC, "train", *model, "--data", "train.npz",
                               "--steps", "5", "--json", "--checkpoint",
                               model[0] + ".st"], cwd=folder, check=True,
                              capture_output=True)
        assert json.loads(done.stdout)["steps"] == 5
    ours, other = (load_file(folder / f"{m}.st") for m in ("own.so",
                                                           "net.json"))
    assert ours.keys() == other.keys()
    assert all(np.array_equal(ours[k], other[k]) for k in ours)


def test_check(train, folder):
    """train_step against the interpreter: adding up, updating, with dropout."""
    model = json.loads(MODEL)
    model["training"]["accumulate_steps"] = 2
    (folder / "net.json").write_text(json.dumps(model))
    weights = "w.safetensors"
    for step in range(2):
        call = ["net.json", "--entry", "train_step", "--weights", weights,
                "--input", "x=random:normal", "--input", "t=zeros"]
        done = subprocess.run([NNCC, "check", *call, "--bisect"], cwd=folder,
                              capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        lines = done.stdout.splitlines()
        assert lines[0].startswith("loss: ") and len(lines) > 5
        assert any(line.startswith("fc1.weight: ") for line in lines) == (
            step == 1)
        weights = f"{step}.safetensors"
        subprocess.run([NNCC, "run", *call, "--save-weights", weights],
                       cwd=folder, check=True, capture_output=True)


@pytest.mark.parametrize("cpu", ["x86-64", "x86-64-v3", "native"])
def test_check_on_every_cpu(folder, cpu):
    """Batch norm, dropout, clipping, accumulation. The bias before the batch
    norm has a gradient of 0, which is noise in f32."""
    root = os.path.join(os.path.dirname(__file__), "..", "runtime")
    random = np.random.default_rng(0)
    state = {"fc1.weight": (64, 8), "fc1.bias": (64,), "norm.weight": (64,),
             "norm.bias": (64,), "norm.running_mean": (64,),
             "norm.running_var": (64,), "fc2.weight": (3, 64),
             "fc2.bias": (3,)}
    weights = {n: random.uniform(0.1, 0.5, s).astype(np.float32)
               for n, s in state.items()}
    weights["norm.num_batches_tracked"] = np.array(0)
    save_file(weights, folder / "t.safetensors")
    done = subprocess.run(
        [NNCC, "check", os.path.join(root, "trained.json"), "--entry",
         "train_step", "--weights", "t.safetensors", "--input",
         "x=random:normal", "--input", "t=zeros", "--seed", "9",
         f"-mcpu={cpu}"], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "optimizer.gradient.fc1.bias: " in done.stdout


def test_lines_of_epochs(train):
    """Loss and time of each, also without data to validate on."""
    lines = train("--epochs", "3").stdout.splitlines()
    assert len(lines) == 3 and all(
        re.fullmatch(rf"epoch {i + 1}: loss [\d.e-]+, \d+\.\d\d s", line)
        for i, line in enumerate(lines))


def test_chart_of_a_long_training(train, folder):
    """As large as the picture needs; peaks stay; round ticks inside."""
    train("--steps", "4000", "--svg", "long.svg", "--csv", "long.csv")
    text = (folder / "long.svg").read_text()
    assert len(text) < 80_000
    name = "{http://www.w3.org/2000/svg}"
    chart = xml.etree.ElementTree.fromstring(text)
    loss = chart.find(f"{name}polyline")
    points = [tuple(map(float, p.split(","))) for p in
              loss.get("points").split()]
    assert len(points) <= 2 * 712 and points == sorted(points,
                                                       key=lambda p: p[0])
    losses = [float(row.split(",")[2]) for row in
              (folder / "long.csv").read_text().splitlines()[1:]]
    heights = [y for _, y in points]
    assert min(heights) == pytest.approx(40, abs=1e-2)  # the largest loss
    assert max(heights) == pytest.approx(405, abs=1e-2)
    ticks = [t for t in chart.iter(f"{name}text")
             if re.fullmatch(r"[\d.e-]+", t.text or "")]
    for tick in ticks:
        digits = f"{float(tick.text):e}"[0]
        assert float(tick.text) == 0 or re.fullmatch(
            r"\d(\.[05]0*)?0*e[+-]\d+|\d\.\d0*e[+-]\d+",
            f"{float(tick.text):e}"), digits
        left = float(tick.get("x"))
        assert 0 < left <= 796
    assert len(ticks) >= 6 and losses


def test_titles_are_escaped(train, folder):
    model = json.loads(MODEL)
    model["name"] = "a<b>&c"
    (folder / "net.json").write_text(json.dumps(model))
    train("--steps", "2", "--svg", "c.svg")
    xml.etree.ElementTree.parse(folder / "c.svg")


def test_progress_of_short_steps(folder):
    """At most ten lines a second on a terminal."""
    done = subprocess.run(
        ["script", "-qec", f"{NNCC} train net.json --data train.npz --weights "
         "w.safetensors --steps 40000", "/dev/null"], cwd=folder,
        capture_output=True)
    assert done.returncode == 0
    text = done.stdout.decode()
    seconds = float(re.search(r"done after step 40000, ([\d.]+) s", text)[1])
    assert text.count("] step ") <= 10 * seconds + 1


def test_a_rate_of_nothing(train, folder):
    train("--lr", "0", "--csv", "c.csv", "--checkpoint", "c.safetensors")
    before, after = (load_file(folder / f"{n}.safetensors") for n in "wc")
    assert all(np.array_equal(before[k], after[k]) for k in before)
    assert {r.split(",")[1] for r in (folder / "c.csv").read_text().split()[
        1:]} == {"0"}


def test_sizes(train, folder):
    """--dim chooses the batch, of a compiled model too."""
    model = json.loads(MODEL)
    model["dims"] = {"N": [4, 2]}
    model["inputs"]["x"]["shape"][0] = "N"
    model["training"]["inputs"]["t"]["shape"][0] = "N"
    (folder / "net.json").write_text(json.dumps(model))
    several = ("nncc: compiled for several sizes: training takes N=4, --dim "
               "chooses\n")
    assert train("--epochs", "1").stderr.startswith(several)
    train("--epochs", "1", "--dim", "N=2", "--csv", "a.csv")
    subprocess.run([NNCC, "net.json", "-o", "net.so", "--entries=train_step"],
                   cwd=folder, check=True, capture_output=True)
    subprocess.run([NNCC, "train", "net.so", "--data", "train.npz",
                    "--weights", "w.safetensors", "--dim", "N=2", "--csv",
                    "b.csv"], cwd=folder, check=True, capture_output=True)
    text = (folder / "a.csv").read_text()
    assert text == (folder / "b.csv").read_text() and text.count("\n") == 22


TRAIN = ("--data", "train.npz")
WRONG = [
    ((), (), 2, "nncc: the data are missing: --data FILE.npz, FILE.safetensors "
     "or NAME=@FILE.npy\n"),
    ((), ("--data", "none.npz"), 5,
     "nncc: cannot read none.npz: No such file or directory\n"),
    ((), ("--data", "w.safetensors"), 1,
     'nncc: the data have no array "x": --data needs one for each input\n'),
    ((), ("--data", "net.json"), 1, "nncc: --data net.json: it is JSON text, "
     "not a safetensors, .npz or .npy file\n"),
    ((), ("--data", "x.npy"), 2, "nncc: --data x.npy: a .npy file has no name, "
     "give --data NAME=@x.npy\n"),
    ((), (*TRAIN, *TRAIN), 2, "nncc: --data train.npz is given twice\n"),
    ((), ("--data", "x=@x.npy", "--data", "t=@x.npy"), 1,
     "nncc: x.npy: t is f32 [42, 6], a batch of the model is i64 [4]: save it "
     "as .astype('int64')\n"),
    ((), ("--data", "a.safetensors", "--data", "x=@x.npy"), 1,
     "nncc: a.safetensors: t has 20 samples, x 62\n"),
    ((), ("--data", "x=@t.npy", "--data", "a.safetensors"), 1,
     "nncc: a.safetensors: x f32 [20, 6] does not continue i64 [42]\n"),
    ((), (*TRAIN, "--data", "extra=@x.npy"), 1, 'nncc: x.npy has an array '
     '"extra", which is no input of train_step: they are x and t\n'),
    ((), (*TRAIN, "--validate", "few.npz"), 1,
     "nncc: the data have 3 samples, a batch needs 4\n"),
    ((), ("--data", "few.npz"), 1,
     "nncc: the data have 3 samples, a batch needs 4\n"),
    ((), ("--data", "uneven.npz"), 1,
     "nncc: uneven.npz: t has 41 samples, x 42\n"),
    ((), ("--data", "broken.npz"), 1, "nncc: --data broken.npz: it is text, "
     "not a safetensors, .npz or .npy file\n"),
    ((), ("--data", "scalar.npz"), 1,
     "nncc: scalar.npz: x is a scalar: the first dimension must count "
     "samples\n"),
    ((), ("--data", "wide.npz"), 1,
     "nncc: input t: element 1 is 3, outside [0, 3)\nnncc: in step 1\n"),
    (("--last", "error"), TRAIN, 1,
     "nncc: 42 samples are no whole number of batches of 4: --last=drop "
     "leaves the rest out\n"),
    (("--schedule", "sine"), TRAIN, 2,
     "nncc: --schedule sine: expected constant, step:EVERY,FACTOR, cosine, "
     'linear or one-cycle, did you mean "cosine"?\n'),
    (("--schedule", "step:-5,0.5"), TRAIN, 2,
     "nncc: --schedule step:-5,0.5: expected constant, step:EVERY,FACTOR, "
     "cosine, linear or one-cycle\n"),
    (("--schedule", "one-cycle", "--warmup", "2"), TRAIN, 2,
     "nncc: --warmup does nothing here: one-cycle has a warm-up of its own\n"),
    (("--lr", "-1"), TRAIN, 2,
     "nncc: --lr -1: expected a learning rate that f32 holds: 0, or 1.4e-45 to "
     "3.4e38\n"),
    (("--lr", "nan"), TRAIN, 2,
     "nncc: --lr nan: expected a learning rate that f32 holds: 0, or 1.4e-45 to "
     "3.4e38\n"),
    (("--lr", "1e39"), TRAIN, 2,
     "nncc: --lr 1e39: expected a learning rate that f32 holds: 0, or 1.4e-45 "
     "to 3.4e38\n"),
    (("--lr", "1e-50"), TRAIN, 2,
     "nncc: --lr 1e-50: expected a learning rate that f32 holds: 0, or 1.4e-45 "
     "to 3.4e38\n"),
    (("--warmup", "11"), TRAIN, 2,
     "nncc: --warmup 11: the training has 10 steps\n"),
    (("--warmup", "4", "--steps", "3"), TRAIN, 2,
     "nncc: --warmup 4: the training has 3 steps\n"),
    (("--schedule", "step:10,0.5"), TRAIN, 2, "nncc: --schedule step:10,0.5: "
     "the training has 10 steps, the rate would never change\n"),
    (("--schedule", "step:99999999999999999999,0.5"), TRAIN, 2,
     "nncc: --schedule step:99999999999999999999,0.5: expected constant, "
     "step:EVERY,FACTOR, cosine, linear or one-cycle\n"),
    (("--epochs", "0"), TRAIN, 2,
     "nncc: --epochs 0: expected a whole number from 1 to 2147483647\n"),
    (("--steps", "0"), TRAIN, 2, "nncc: --steps 0: expected a whole number "
     "from 1 to 9223372036854775807\n"),
    (("--steps", "3", "--epochs", "2"), TRAIN, 2, "nncc: --steps and --epochs "
     "both say how long to train: give one\n"),
    (("--checkpoint-every", "2"), TRAIN, 2, "nncc: --resume and "
     "--checkpoint-every need --checkpoint FILE.safetensors\n"),
    (("--resume",), TRAIN, 2,
     "nncc: --resume and --checkpoint-every need --checkpoint "
     "FILE.safetensors\n"),
    (("--resume", "--checkpoint", "no"), TRAIN, 2, "nncc: --weights does "
     "nothing beside --resume, which starts from the checkpoint\n"),
    (("--steps", "3", "--csv", "no/c.csv"), TRAIN, 5,
     "nncc: cannot write no/c.csv: No such file or directory\n"),
    (("--checkpoint", "no/c.safetensors"), TRAIN, 5,
     "nncc: cannot write no/c.safetensors: No such file or directory\n"),
    (("--svg", "."), TRAIN, 5, "nncc: cannot write .: it is a directory\n"),
    (("--checkpoint", "c.pt"), TRAIN, 2, "nncc: --checkpoint c.pt: it is "
     "written as safetensors, not as PyTorch\n"),
    (("--csv", "c.svg"), TRAIN, 2,
     "nncc: --csv c.svg: it is written as csv, not as svg\n"),
    (("--csv", "c", "--svg", "./c"), TRAIN, 2,
     "nncc: --csv and --svg are one file, ./c\n"),
    (("--checkpoint", "w.safetensors"), TRAIN, 2,
     "nncc: --checkpoint w.safetensors would overwrite --weights\n"),
    (("--checkpoint", "a.safetensors"), ("--data", "a.safetensors"), 2,
     "nncc: --checkpoint a.safetensors would overwrite --data\n"),
]


@pytest.mark.parametrize("arguments,data,code,text", WRONG)
def test_wrong_calls(train, folder, arguments, data, code, text):
    x = np.load(folder / "x.npy")
    np.savez(folder / "few.npz", x=x[:3], t=np.zeros(3, np.int64))
    np.savez(folder / "scalar.npz", x=np.float32(1))
    np.savez(folder / "wide.npz", x=x[:4], t=np.full(4, 3))
    wide = np.zeros(4, np.int64)
    wide[1] = 3
    np.savez(folder / "wide.npz", x=x[:4], t=wide)
    np.savez(folder / "uneven.npz", x=x, t=np.zeros(41, np.int64))
    (folder / "broken.npz").write_bytes(b"PK not a zip at all" * 9)
    before = sorted(p.name for p in folder.iterdir())
    done = train(*arguments, code=code, data=data + (
        ("--in-order",) if "wide.npz" in data else ()))
    assert done.stderr == text and "epoch" not in done.stdout
    assert sorted(p.name for p in folder.iterdir()) == before


def test_models_that_do_not_train(train, folder):
    text = (folder / "net.json").read_text()
    done = train(start=(), code=2)
    assert done.stderr == ("nncc: net has state: give --weights "
                           "FILE.safetensors\n")
    model = json.loads(text)
    del model["training"]["optimizer"]
    (folder / "net.json").write_text(json.dumps(model))
    assert 'the entry train_step needs an "optimizer"' in train(code=1).stderr
    del model["training"]
    (folder / "net.json").write_text(json.dumps(model))
    assert ('the entry train_step needs a "training" section'
            in train(code=1).stderr)
    subprocess.run([NNCC, "net.json", "-o", "net.so"], cwd=folder, check=True,
                   capture_output=True)
    done = subprocess.run([NNCC, "train", "net.so", "--data", "train.npz"],
                          cwd=folder, capture_output=True, text=True)
    assert done.returncode == 2 and done.stderr == (
        'nncc: net.so has no entry "train_step": compile it with '
        "--entries=train_step,loss\n")
