"""What the exporter refuses, in full: the sentence, the module, the line."""
import functools
import random
import re

import nncc
import numpy as np
import pytest
import torch
import torch.nn as nn
import torch.nn.functional as F

from exported import Wrap, check

torch.manual_seed(0)
X, Y = torch.randn(4, 6), torch.randn(4, 6)


def linear():
    return nn.Linear(6, 6)


class Part(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.layer, self.spare = linear(), linear()
        self.function = function
        self.register_buffer("count", torch.zeros(()))
        self.register_buffer("other", torch.zeros(()))
        self.calls, self.memory, self.tables = 0, None, [torch.zeros(6)]

    def forward(self, x):
        return self.function(self, x)


def read(what):
    return (f"the value of {what} and would be frozen in the model in 1 "
            "(FILE): compute with tensors, such as torch.where for a branch, "
            "or export with allow_branches=True")


def branch(m, x):
    return x if x.sum() > 0 else -x


def in_data(m, x):
    y = x * 2
    y.data.add_(1)
    return y * 3


def in_view(m, x):
    y = x * 2
    y.view(-1).add_(1)
    return y


def counts(m, x):
    m.calls += 1
    return x * 2


def remembers(m, x):
    if m.memory is None:
        m.memory = x * 2
    return x + m.memory


def first_call(m, x):
    if m.calls == 0:
        m.calls = 1
        return x * 2
    return x * 3


def cached_weight(m, x):
    if m.memory is None:
        m.memory = m.layer.weight.detach().exp()
    return x @ m.memory


def swapped(m, x):
    """Equal elements in both calls, of other buffers."""
    if m.memory is None:
        m.memory = m.count.exp()
        return x * m.memory
    return x * m.other.exp()


def grows(m, x):
    if m.memory is None:
        m.memory = torch.zeros(6)
    m.memory += 1
    return x + m.memory


def again(what, when):
    return (f"{what} is called in another way {when}" + (
        ": what Python computes, draws or keeps between calls would be frozen "
        "in the model" if when.startswith("when forward runs") else ""))


REPEATED = "when forward runs again on other values in 1 (FILE)"
RESULTS = ("torch.mul is called in another way for inputs that require a "
           "gradient in 1 (FILE): decide by self.training, not by "
           "requires_grad, is_leaf, grad_fn or _version")
INFERENCE = ("torch.mul is called in another way in eval mode under "
             "torch.inference_mode in 1 (FILE): leave out what asks for it")
CHANGED = ("the parameter 1.layer.weight is changed by forward in 1 (FILE): "
           "only an optimizer may do that, keep averages in buffers")
READ = "grad of a tensor is read in 1 (FILE): it is no value of the model"


def ties(m, x):
    m.spare.weight = m.layer.weight
    return m.spare(m.layer(x))


def clamps(m, x):
    with torch.no_grad():
        m.layer.weight.clamp_(-0.1, 0.1)
    return m.layer(x)


def decays(m, x):
    m.layer.weight.data.mul_(0.9)
    return m.layer(x)


def reshapes(m, x):
    m.other = x * 2
    return x * m.layer(x)


def in_list(m, x):
    m.tables[0].add_(1)
    return x + m.tables[0]


def assigns_data(m, x):
    m.other.data = x.mean()
    return x + m.other


def cast(m, x):
    with torch.autocast("cpu", torch.bfloat16):
        return m.layer(x)


def cached(m, x):
    with nn.utils.parametrize.cached():
        return m.layer(x) + m.layer(x * 2)


def inference(m, x):
    with torch.inference_mode():
        return m.layer(x) * 2


def increments(m, x):
    m.count += 1
    return x * m.count


class Tagged(torch.Tensor):
    pass


TAGGED = torch.randn(6).as_subclass(Tagged)
IN_PLACE = ("mul was changed in place through another tensor that shares its "
            "memory in 1 (FILE): change the tensor itself, or a clone")
REFUSED = {
    "item": (lambda m, x: x * x.mean().item(),
             read("mean is read by .item()")),
    "float": (lambda m, x: x * float(x.mean()), read("mean is read by float()")
              ),
    "int": (lambda m, x: x[:int(x.abs().mean())],
            read("mean is read by int()")),
    "bool": (branch, read("gt is read by bool() (an if, while, and, or, not "
                          "or assert)")),
    "range": (lambda m, x: [x for _ in range(x.argmax())][0],
              read("argmax is read by an index or range()")),
    "slice": (lambda m, x: x[:x.argmax()],
              read("argmax is read by an index or range()")),
    "tolist": (lambda m, x: x * x.tolist()[0][0],
               read("0 is read by .tolist()")),
    "numpy": (lambda m, x: x * float(m.layer(x).detach().numpy()[0, 0]),
              read("detach is read by .numpy()")),
    "array": (lambda m, x: x * float(np.asarray(x)[0, 0]),
              read("0 is read by numpy")),
    "format": (lambda m, x: x if f"{x[0, 0]:.1f}" > "0" else -x,
               read("getitem is read by str.format() or an f-string")),
    "str": (lambda m, x: x if "-" in str(x) else -x,
            read("0 is read by str() or print()")),
    "in": (lambda m, x: x if 1.0 in x else -x, read("0 is read by in")),
    "equal": (lambda m, x: x if torch.equal(x, x * 1) else -x,
              read("0 is read by torch.equal")),
    "allclose": (lambda m, x: x if torch.allclose(x, x * 1) else -x,
                 read("0 is read by torch.allclose")),
    "a parameter": (lambda m, x: x if m.layer.weight.sum() > 0 else -x,
                    read("gt is read by bool() (an if, while, and, or, not "
                         "or assert)")),
    "tensor of tensors": (
        lambda m, x: x * torch.tensor([x.sum(), 1., 2., 3., 4., 5.]),
        read("sum is read by torch.tensor")),
    "view": (in_view, IN_PLACE),
    "data": (in_data, IN_PLACE),
    "item assignment": (lambda m, x: x.clone().__setitem__(0, 1) or x.abs()
                        .__setitem__(0, 1) or torch.linalg.norm(x),
                        "torch.linalg.norm is not supported in 1 (FILE)"),
    # Which call functions of torch that have two names.
    "two names": (lambda m, x: F.interpolate(x[None], scale_factor=2),
                  "F.interpolate is not supported in 1 (FILE)"),
    "another two": (lambda m, x: F.multilabel_soft_margin_loss(x, x * 0),
                    "F.multilabel_soft_margin_loss is not supported in 1 "
                    "(FILE)"),
    "input in place": (lambda m, x: x.add_(1), "the input x is changed in "
                       "place, which who calls a compiled model does not see "
                       "in 1 (FILE): change a clone"),
    "python's random": (
        lambda m, x: x * random.random(),
        "forward draws numbers from Python's random, which would be frozen in "
        "the model in 1 (FILE): draw them with torch"),
    "numpy's random": (
        lambda m, x: x * float(np.random.rand()),
        "forward draws numbers from numpy.random, which would be frozen in the"
        " model in 1 (FILE): draw them with torch"),
    "random": (lambda m, x: x * torch.randn(6), "torch.randn is not supported, "
               "which draws random numbers in 1 (FILE): take them as an input, "
               "or use F.dropout"),
    "with gradients": (
        lambda m, x: x * 2 if torch.is_grad_enabled() else -x,
        "torch.mul is called in another way in eval mode under torch.no_grad "
        "in 1 (FILE): decide by self.training, not by whether there are "
        "gradients"),
    "requires_grad": (
        lambda m, x: (lambda y: y * 2 if y.requires_grad else y)(m.layer(x)),
        "torch.mul is called in another way in eval mode under torch.no_grad "
        "in 1 (FILE): decide by self.training, not by whether there are "
        "gradients"),
    "cached weights": (
        cached, "torch.nn.utils.parametrize.cached computes weights once for "
        "several calls in 1.layer and 1 other module (FILE): leave it out"),
    "an argument": (
        lambda m, x: F.embedding(torch.tensor([1, 1]), m.layer.weight,
                                 scale_grad_by_freq=True),
        "F.embedding with scale_grad_by_freq is not supported in 1 (FILE)"),
    "bools as an index": (
        lambda m, x: x * x[x > 0].sum(), "an index of bools, which takes as "
        "many elements as are true in 1 (FILE): use torch.where"),
    "counter": (counts, "the attribute 1.calls is changed by each call of "
                "forward in 1 (FILE): a compiled model would keep the "
                "example's, so make it a buffer, or leave it out"),
    "memory": (remembers, "torch.mul is called in another way when forward "
               "runs again on other values in 1 (FILE): what Python computes, "
               "draws or keeps between calls would be frozen in the model"),
    "the first call": (first_call, again("torch.mul", REPEATED)),
    "cached weight": (cached_weight, again("Tensor.detach", REPEATED)),
    "another buffer": (swapped, again("Tensor.exp", REPEATED)),
    "a memory that grows": (grows, again("torch.zeros", REPEATED)),
    "requires_grad of an input": (
        lambda m, x: x * 2 if x.requires_grad else x * 3, RESULTS),
    "is_leaf": (lambda m, x: x * 2 if x.is_leaf else x * 3, RESULTS),
    "grad_fn": (lambda m, x: x * (2 if x.grad_fn is None else 3), RESULTS),
    "_version": (lambda m, x: x * 2 if x._version else x * 3, RESULTS),
    "a number of it": (lambda m, x: x * int(x.requires_grad), RESULTS),
    "is_inference_mode_enabled": (
        lambda m, x: x * (2 if torch.is_inference_mode_enabled() else 3),
        INFERENCE),
    "is_inference": (lambda m, x: x * (3 if x.is_inference() else 2),
                     INFERENCE),
    "grad of an input": (lambda m, x: x * 2 if x.grad is None else -x, READ),
    "grad of a parameter": (
        lambda m, x: x * (2 if m.layer.weight.grad is None else 3), READ),
    "changed parameter": (clamps, CHANGED),
    "parameter's data": (decays, CHANGED),
    "changed buffer": (increments, "the buffer 1.count is changed by forward "
                       "in eval mode, where a compiled model keeps its state "
                       "in 1 (FILE): return it as an output, or change it "
                       "only if self.training; if it is filled once, call the "
                       "module before export"),
    "a buffer of another shape": (
        reshapes, "the buffer 1.other is changed by forward in a way that "
        "cannot be followed in 1 (FILE): assign it or change it in place, in "
        "its shape and type"),
    "a list of tensors": (
        in_list, "1.tables.0 is changed by forward in 1 (FILE): register it "
        "as a buffer"),
    "assigned data": (
        assigns_data, "data of a tensor is assigned in 1 (FILE): assign the "
        "attribute of the module, or use copy_"),
    "assigned parameter": (
        ties, CHANGED.replace("layer", "spare").replace(" in 1 (FILE)", "")),
    "autocast": (cast, "torch.autocast chooses other element types in "
                 "1.layer (FILE): convert with Tensor.to, or disable it"),
    "inference_mode": (inference, "torch.inference_mode inside of the model "
                       "in 1.layer and 1 other module (FILE): use "
                       "torch.no_grad"),
    "vmap": (lambda m, x: torch.vmap(lambda row: row * 2)(x),
             "torch.vmap and torch.func transform the functions inside in 1 "
             "(FILE): write the loop or the batch out"),
    "grad": (lambda m, x: x * torch.autograd.grad(
        m.layer(x).sum(), m.layer.weight)[0].sum(),
        "a gradient inside of the model or the loss (torch.autograd.grad) in "
        "1 (FILE): compiled entries have no second derivatives"),
    "subclass": (lambda m, x: x * TAGGED,
                 "a tensor of the class Tagged, whose functions may do other "
                 "things in 1 (FILE): give plain tensors"),
    "torch.Tensor": (lambda m, x: torch.Tensor(x) * 2,
                     "a tensor [4, 6] that is made of another one in a way "
                     "that cannot be followed in 1 (FILE): use functions of "
                     "torch"),
    "out": (lambda m, x: torch.add(x, 1, out=torch.empty(4, 6)),
            "torch.add with out= in 1 (FILE): use its result"),
    "a tensor as a number": (
        lambda m, x: x.clamp(min=m.layer.bias),
        "Tensor.clamp with min = a tensor is not supported in 1 (FILE)"),
    "a tensor by position": (
        lambda m, x: torch.clamp(x, m.layer.bias, None),
        "torch.clamp with min = a tensor is not supported in 1 (FILE)"),
    "a word": (lambda m, x: F.kl_div(x, x, reduction="elementwise_mean"),
               'F.kl_div with reduction = "elementwise_mean" is not supported '
               "in 1 (FILE)"),
    "a type as a size": (
        lambda m, x: x.view(torch.int32),
        'Tensor.view with shape = "i32" is not supported in 1 (FILE)'),
    "an odd type": (
        lambda m, x: x.to(torch.float8_e4m3fn).float(),
        'Tensor.to with dtype = "torch.float8_e4m3fn" is not supported in 1 '
        "(FILE)"),
    "rounding": (lambda m, x: torch.div(x, 2, rounding_mode="trunc"),
                 "torch.div with rounding_mode is not supported in 1 (FILE)"),
    "no dim": (lambda m, x: F.softmax(x),
               "nncc does not take F.softmax in 1 (FILE): missing dim"),
    "shapes": (lambda m, x: torch.cat([torch.zeros(0), x]),
               "nncc does not take torch.cat in 1 (FILE): cannot join [0] and "
               "[4, 6] along dim 0"),
    "complex numbers": (
        lambda m, x: x * torch.polar(torch.ones(6), torch.ones(6)),
        "a tensor [6] made in forward is complex64 in 1 (FILE): nncc has f32, "
        "f64, f16, bf16, i64, i32, i16, i8, u8, bool; split it into real and "
        "imaginary parts"),
    "sparse constants": (
        lambda m, x: torch.mm(torch.eye(4).to_sparse(), x),
        "a tensor [4, 4] made in forward is a torch.sparse_coo tensor in 1 "
        "(FILE): nncc has dense ones, use to_dense() or dequantize()"),
    "imag": (lambda m, x: torch.view_as_complex(x.view(4, 3, 2)).imag,
             "torch.view_as_complex is not supported in 1 (FILE)"),
    "two dimensions of bools": (
        lambda m, x: x[torch.ones(4, 6) > 0], "an index of bools, which takes "
        "as many elements as are true in 1 (FILE): use torch.where"),
    "a complex number": (
        lambda m, x: (x * 1j).abs(), "an argument of type complex of torch.mul "
        "in 1 (FILE): nncc has no complex numbers, compute real and imaginary "
        "parts"),
    "complex": (lambda m, x: torch.fft.fft(x).real,
                "torch.fft.fft is not supported in 1 (FILE)"),
}


def refusal(folder, *args, **how):
    with pytest.raises(nncc.UnsupportedModel) as error:
        nncc.export(*args, folder, **how)
    assert not any(folder.iterdir())
    return re.sub(r"\w+\.py:\d+", "FILE", str(error.value))


@pytest.mark.parametrize("name", REFUSED)
def test_refused(tmp_path, name):
    function, text = REFUSED[name]
    module = nn.Sequential(nn.Identity(), Part(function))
    said = refusal(tmp_path, module, (X,)).splitlines()
    assert text in said, said


@pytest.mark.parametrize("mode", ["reflect", "circular", "replicate"])
@pytest.mark.parametrize("dims", [1, 2])
def test_attributes_that_are_not_there(tmp_path, dims, mode):
    """Of a type that is: at the root, in a part, in a module with a line."""
    kind, x = f"nn.Conv{dims}d", torch.randn(1, 2, *[8] * dims)
    layer = getattr(nn, kind[3:])(2, 3, 3, padding=1, padding_mode=mode)
    text = f'{kind} with padding_mode = "{mode}" is not supported'
    assert refusal(tmp_path, layer, (x,)) == text
    assert refusal(tmp_path, nn.Sequential(nn.Sequential(layer)), (x,)) == \
        text + " in 0.0"
    assert refusal(tmp_path, Wrap(lambda m, x: m.a(x), a=layer), (x,)) == \
        text + " in a (FILE)"


@pytest.mark.parametrize("verify", [True, False])
def test_what_the_compiler_does_not_take(tmp_path, verify):
    def two(m, x):
        i = torch.zeros(2, dtype=torch.int64)
        return m.layer(x)[i * 1, i]
    assert refusal(tmp_path, nn.Sequential(nn.ReLU(), Part(two)), (X,),
                   verify=verify) == (
        "nncc does not take Tensor.__getitem__ in 1 (FILE): more than one "
        "tensor in an index is not supported yet")
    said = refusal(tmp_path, nn.Sequential(Wrap(
        lambda m, x: m.a(x) if m.training else x,
        a=Part(lambda m, x: F.softmax(m.layer(x))))), (X,), verify=verify)
    assert said == ("nncc does not take F.softmax in 0.a (FILE): missing dim")
    assert refusal(tmp_path, linear(), (X,), targets=(Y,), verify=verify,
                   loss=lambda y, t: F.softmax(y).sum()) == (
        "nncc does not take F.softmax (FILE): missing dim")


class Alternates(nn.Module):
    """Nothing but modules of torch.nn, chosen by the user's code."""

    def __init__(self, choose):
        super().__init__()
        self.choose, self.count = choose, 0
        self.a, self.b = linear(), linear()

    def forward(self, x):
        self.count += self.training
        return self.a(x) if self.choose(self, x) else self.b(x)


@pytest.mark.parametrize("choose,text", [
    (lambda m, x: torch.is_grad_enabled(), "a is called in another way in eval "
     "mode under torch.no_grad in a (FILE): decide by self.training, not by "
     "whether there are gradients"),
    (lambda m, x: m.count % 2, "a is called in another way when forward runs "
     "again on other values in a (FILE): what Python computes, draws or keeps "
     "between calls would be frozen in the model"),
    (lambda m, x: m.training and x.requires_grad, "b is called in another way "
     "for inputs that require a gradient in b (FILE): decide by self.training, "
     "not by requires_grad, is_leaf, grad_fn or _version")])
def test_chosen_modules(tmp_path, choose, text):
    assert refusal(tmp_path, Alternates(choose), (X,), loss=F.mse_loss,
                   targets=(Y,)) == text


def doubles_in_use(module, args, result):
    return result if torch.is_grad_enabled() else result * 2


def hooked(module, at=None):
    (module if at is None else module[at]).register_forward_hook(
        doubles_in_use)
    return module


class ShorterInUse(nn.Sequential):
    def __iter__(self):
        parts = list(self._modules.values())
        return iter(parts if torch.is_grad_enabled() else parts[:1])


@pytest.mark.parametrize("make,text", [
    (lambda: hooked(nn.Sequential(linear(), nn.ReLU()), 1), "torch.mul is "
     "called in another way in eval mode under torch.no_grad in 1 (FILE): "),
    (lambda: hooked(linear()), "torch.mul is called in another way in eval "
     "mode under torch.no_grad in module (FILE): "),
    (lambda: ShorterInUse(linear(), nn.ReLU()), "1 is called in another way in "
     "eval mode under torch.no_grad in 1: ")])
def test_chains_of_torch_modules(tmp_path, make, text):
    assert refusal(tmp_path, make(), (X,)) == text + (
        "decide by self.training, not by whether there are gradients")


def test_branches_may_be_allowed(tmp_path):
    nncc.export(Wrap(lambda m, x: branch(m, x)), (X.abs(),), tmp_path,
                allow_branches=True)
    assert torch.equal(nncc.compile(tmp_path)(-X.abs()), -X.abs())


def test_one_line_per_place(tmp_path):
    """However many modules meet it."""
    def both(m, x):
        return torch.linalg.svd(x)[0] + torch.cumprod(x, 1)
    assert refusal(tmp_path, nn.Sequential(*[Part(both) for _ in range(3)]),
                   (torch.randn(6, 6),)) == (
        "torch.linalg.svd is not supported in 0 and 2 other modules (FILE)\n"
        "torch.cumprod is not supported in 0 and 2 other modules (FILE)")


class Holder:
    def __init__(self, tensor):
        self.tensor = tensor


def test_odd_arguments(tmp_path):
    holder = "tensors may be in tuples, lists, dicts and dataclasses"
    taking = Wrap(lambda m, x: x.tensor * 2)
    assert refusal(tmp_path, taking, (Holder(X),)) == (
        "the example input args_0 is a test_export_refused.Holder: " + holder)
    giving = Wrap(lambda m, x: (x, Holder(x * 2)))
    assert refusal(tmp_path, giving, (X,)) == (
        "forward's result 1 is a test_export_refused.Holder: " + holder)
    assert refusal(tmp_path, linear(), (X.numpy(),)) == (
        "the example input input is a numpy.ndarray: " + holder)
    assert refusal(tmp_path, linear(), (X.to(torch.complex64),)) == (
        "an example of shape [4, 6] is complex64: nncc has f32, f64, f16, "
        "bf16, i64, i32, i16, i8, u8, bool; split it into real and imaginary "
        "parts")
    assert refusal(tmp_path, linear(), (X.to_sparse(),)) == (
        "an example of shape [4, 6] is a torch.sparse_coo tensor: nncc has "
        "dense ones, use to_dense() or dequantize()")
    with pytest.raises(TypeError) as error:
        nncc.export(linear(), (X, X), tmp_path)
    assert str(error.value) == (
        "the example inputs do not fit forward(input: torch.Tensor) -> "
        "torch.Tensor: too many positional arguments")
    with pytest.raises(TypeError, match="export takes a torch.nn.Module, got "
                       "function"):
        nncc.export(linear, (X,), tmp_path)


def scripted(x):
    return x * torch.sigmoid(x)


class Replacement:
    def __call__(self, x):
        return x * 2


@pytest.mark.parametrize("replacement", [
    lambda x: x * 2, Replacement(), functools.partial(torch.mul, 2),
    functools.wraps(torch.relu)(lambda x: x * 2)])
def test_replaced_functions(tmp_path, monkeypatch, replacement):
    """Inside of one that is recorded by its name."""
    monkeypatch.setattr(torch, "relu", replacement)
    assert refusal(tmp_path, nn.Sequential(linear(), nn.ReLU()), (X,)) == (
        "F.relu calls a function of torch that was replaced in 1: undo that, or "
        "call the replacement itself")


def test_odd_modules(tmp_path):
    script = torch.jit.script(linear())
    assert refusal(tmp_path, script, (X,)) == (
        "a torch.jit.ScriptModule: export the module that it was made of")
    assert refusal(tmp_path, Wrap(lambda m, x: m.a(x), a=script), (X,)) == (
        "a torch.jit.ScriptModule, whose functions cannot be seen (FILE): "
        "give the module that it was made of")
    assert refusal(tmp_path, nn.Sequential(nn.LazyLinear(3)), (X,)) == (
        "0.weight is not initialized yet: call the module once before")
    assert refusal(tmp_path, nn.Linear(6, 6, device="meta"), (X,)) == (
        "weight is on the meta device: give it values first")
    odd = nn.Parameter(torch.randn(6, dtype=torch.complex64))
    assert refusal(tmp_path, Wrap(lambda m, x: x * m.p.real, p=odd), (X,)) \
        .startswith("p is complex64: nncc has f32")
    function = torch.jit.script(scripted)
    assert refusal(tmp_path, nn.Sequential(Part(
        lambda m, x: function(m.layer(x)))), (X,)) == (
        "a function of torch.jit.script, whose steps cannot be seen in 0 "
        "(FILE): give the function that it was made of")
    wrong = Wrap(lambda m, x: x @ x)
    assert refusal(tmp_path, wrong, (X,)) == (
        "forward fails in eval mode on the example (FILE): RuntimeError: mat1 "
        "and mat2 shapes cannot be multiplied (4x6 and 4x6)")


def test_export_in_other_contexts(tmp_path):
    """Of the caller, who must not change what is exported."""
    with torch.inference_mode():
        check(tmp_path / "a", linear(), (X.clone(),), trains=False)
    with torch.no_grad():
        nncc.export(linear(), (X,), tmp_path / "b")
        model = (tmp_path / "b" / "model.json").read_text()
    assert "detach" not in model


def attention(m, q, k, v):
    """As torch.nn.MultiheadAttention: one product where all are one."""
    if q is k and k is v:
        q, k, v = (q @ m.a.weight.T).chunk(3, -1)
    else:
        q, k, v = (x @ w.T for x, w in zip((q, k, v), m.a.weight.chunk(3)))
    return (q @ k.T).softmax(-1) @ v


def test_one_tensor_given_twice(tmp_path):
    def function(m, q, k, scale=1.):
        return m.a(q) * (2 if q is k else 3) + k

    module = Wrap(function, a=linear())
    text = ("torch.mul is called in another way where one tensor is given as "
            "{} and {} (FILE): a compiled model takes them for 2, so give "
            "clones as examples, or export a module that takes it once")
    assert refusal(tmp_path, module, (X, X)) == text.format("args_0", "args_1")
    assert refusal(tmp_path, module, (X, X), allow_branches=True) == \
        text.format("args_0", "args_1")
    assert refusal(tmp_path, module, {"q": X, "k": X}) == text.format("q", "k")
    trains = Wrap(lambda m, d: m.a(d["x"]) * (
        3. if m.training and d["x"] is d["y"][0] else 2.), a=linear())
    assert refusal(tmp_path, trains, ({"x": X, "y": [X]},), loss=F.mse_loss,
                   targets=(Y,)).startswith("torch.mul is called in another "
                                            "way where one tensor is given as")
    check(tmp_path / "two", module, (X, X.clone()), (X, Y))
    heads = Wrap(attention, a=nn.Linear(6, 18, bias=False))
    check(tmp_path / "heads", heads, (X, X, X), (X, X * 2, Y))
    nncc.export(heads, (X, X, X), tmp_path / "heads", loss=F.mse_loss,
                targets=(Y,))
    check(tmp_path / "sum", Wrap(lambda m, x, y: m.a(x) + y, a=linear()),
          (X, X), (X, Y))
