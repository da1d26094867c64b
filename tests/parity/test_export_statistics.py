"""Running statistics of batch norms, whose changes torch does not count."""
import pytest
import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.utils.checkpoint import checkpoint

from exported import Wrap, check
from test_export_refused import refusal

torch.manual_seed(0)
X, Y = torch.randn(8, 6), torch.randn(8, 6)


def norm(m, x, mean=None, var=None):
    return F.batch_norm(x, m.mean if mean is None else mean,
                        m.var if var is None else var, training=m.training)


def module(function, **parts):
    made = Wrap(function, a=nn.Linear(6, 6), **parts)
    for name, value in (("mean", 0.), ("var", 1.), ("last", 0.)):
        if name not in parts:
            made.register_buffer(name, torch.full((6,), value))
    made.register_buffer("both", torch.stack([torch.zeros(6), torch.ones(6)]))
    return made


def unused(m, x):
    y = m.a(x)
    if m.training:
        norm(m, y)
    return y + m.mean


def read_behind(m, x):
    y = norm(m, m.a(x))
    if m.training:
        m.last.copy_(m.mean)
    return y + m.last * m.var


def of_this_batch(m, x):
    return F.batch_norm(m.a(x), torch.zeros(6), torch.ones(6), training=True)


RIGHT = {"the result is not used": unused, "read behind": read_behind,
         "a mean that is dropped": of_this_batch}


@pytest.mark.parametrize("name", RIGHT)
def test_updates(tmp_path, name):
    torch.manual_seed(0)
    check(tmp_path, module(RIGHT[name]), (X,), (Y,))


def kept(m, x):
    mean, var = m.mean.clone(), m.var.clone()
    y = norm(m, m.a(x), mean, var)
    if m.training:
        m.mean.copy_(mean)
    return y


def parts(m, x):
    return norm(m, m.a(x), m.both[0], m.both[1])


def in_a_checkpoint(m, x):
    return checkpoint(lambda y: norm(m, y), m.a(x), use_reentrant=False)


def reset_before(m, x):
    if m.training:
        m.b.running_mean.zero_()
    return m.b(m.a(x))


def alias(m, x):
    return m.b(m.a(x)) + m.last.exp()


FOLLOWED = ("the buffer {} is changed by forward in a way that cannot be "
            "followed{} (FILE): assign it or change it in place, in its shape "
            "and type")
REFUSED = {
    "clones": (kept, "clone, which is no buffer of the model, is read after a "
               "batch norm has updated it (FILE): give the batch norm buffers"),
    "parts of a buffer": (parts, FOLLOWED.format("both", "")),
    "a checkpoint": (
        in_a_checkpoint, "mean is changed in a checkpoint, which PyTorch runs, "
        "and changes it, twice (FILE): leave the module out of the "
        "checkpoint"),
    "reset before": (reset_before, FOLLOWED.format("b.running_mean", "")),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(tmp_path, name):
    torch.manual_seed(0)
    function, text = REFUSED[name]
    model = module(function, b=nn.BatchNorm1d(6))
    said = refusal(tmp_path, model, (X,), loss=F.mse_loss, targets=(Y,))
    assert said.splitlines()[0] == text
    check(tmp_path, model, (X,), (Y,), trains=False)


def test_a_buffer_on_their_memory(tmp_path):
    model = module(alias, b=nn.BatchNorm1d(6))
    model.last = model.b.running_mean.data
    said = refusal(tmp_path, model, (X,), loss=F.mse_loss, targets=(Y,))
    assert said.splitlines()[-1] == FOLLOWED.format("last", " in b")


@pytest.mark.parametrize("mode", ["train", "eval"])
def test_what_is_no_buffer(tmp_path, mode):
    def function(m, x):
        return F.batch_norm(m.a(x), m.mean, m.var,
                            training=mode == "eval" or m.training)

    frozen = {name: nn.Parameter(value, requires_grad=False) for name, value
              in (("mean", torch.zeros(6)), ("var", torch.ones(6)))}
    for model in (module(function, **frozen),
                  module(function, mean=torch.zeros(6), var=torch.ones(6))):
        said = refusal(tmp_path, model, (X,), loss=F.mse_loss, targets=(Y,))
        assert said.splitlines()[0] == (
            "a batch norm updates mean, which is no buffer of the model "
            "(FILE): register it as one")


def test_updated_in_eval_mode(tmp_path):
    model = module(lambda m, x: F.batch_norm(m.a(x), m.mean, m.var,
                                             training=True))
    assert refusal(tmp_path, model, (X,)).splitlines()[0] == (
        "mean is changed by forward (FILE): put the module into eval mode, "
        "since entries that do not train keep their state")
