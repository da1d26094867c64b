"""Which value each tensor of a trace is, and which tensors share memory."""
import numpy
import torch

from .graph import Value, version_of
from .modules import DTYPES, UnsupportedModel

_PLAIN = (torch.Tensor, torch.nn.Parameter, torch.nn.Buffer)


def dtype_of(tensor, what):
    """The format's name of a tensor's element type; refuses others."""
    if tensor.layout is not torch.strided or tensor.is_quantized:
        kind = "quantized" if tensor.is_quantized else str(tensor.layout)
        raise UnsupportedModel(f"{what} is a {kind} tensor: nncc has dense "
                               "ones, use to_dense() or dequantize()")
    if tensor.dtype not in DTYPES:
        kind = str(tensor.dtype).replace("torch.", "")
        hint = ("split it into real and imaginary parts"
                if tensor.dtype.is_complex else "convert it")
        raise UnsupportedModel(f"{what} is {kind}: nncc has "
                               f"{', '.join(DTYPES.values())}; {hint}")
    if tensor.device.type == "meta":
        raise UnsupportedModel(f"{what} is on the meta device: give it "
                               "values first")
    return DTYPES[tensor.dtype]


def overlaps(model, changed=()):
    """Parameters that are trained, and tensors that are `changed` (ids), with
    other tensors of the state on the same memory: pairs of paths."""
    ranges = []
    for path, tensor in [*model.named_parameters(), *model.named_buffers()]:
        if tensor.numel() and storage_of(tensor):
            last = sum((n - 1) * s for n, s in
                       zip(tensor.shape, tensor.stride()))
            ranges.append((tensor.data_ptr(), tensor.data_ptr() +
                           last * tensor.element_size(), path, tensor))
    before = []
    for first, last, path, tensor in sorted(ranges, key=lambda r: r[:2]):
        before = [r for r in before if r[1] >= first]
        for _, _, other, one in before:
            if (one.requires_grad or tensor.requires_grad or
                    {id(one), id(tensor)} & set(changed)) and \
                    numpy.shares_memory(_elements(one), _elements(tensor)):
                yield other, path
        before.append((first, last, path, tensor))


def _elements(tensor):
    """A view by NumPy, which has no bf16."""
    tensor = tensor.detach()
    kinds = {2: torch.int16, 4: torch.int32, 8: torch.int64}
    return tensor.view(kinds.get(tensor.element_size(), tensor.dtype)).numpy()


def plain_attributes(module):
    """The tensors that a module keeps as plain attributes, also in lists and
    dicts: (name, tensor)."""
    for name, value in vars(module).items():
        if not name.startswith("_") or isinstance(value, torch.Tensor):
            yield from _dotted(value, name)


def _dotted(value, name, depth=0):
    if isinstance(value, torch.Tensor):
        yield name, value
    elif isinstance(value, (list, tuple, dict)) and depth < 3:
        items = value.items() if isinstance(value, dict) else enumerate(value)
        for key, item in items:
            yield from _dotted(item, f"{name}.{key}", depth + 1)


class Values:
    """Values by the tensors that Python holds. Tensors stay alive with it, so
    that their ids stay unique."""

    def __init__(self, model, leaves):
        self._by_tensor = {}
        self._by_storage = {}
        self.count = 0
        self.keep = []  # tensors that are no value any more
        self.constants = []
        # Plain attributes: path -> (path of the module, name, tensor).
        self.attributes = {}
        # Buffers that are no part of state_dict(), but for what forward makes
        # of them.
        self.transient = {
            f"{path}.{name}".lstrip(".") for path, module in
            model.named_modules(remove_duplicate=False)
            for name in module._non_persistent_buffers_set}
        paths = {}
        for kind in (model.named_parameters, model.named_buffers):
            for path, tensor in kind(remove_duplicate=False):
                paths.setdefault(id(tensor), (tensor, []))[1].append(path)
        memory = {storage_of(tensor) for tensor, _ in paths.values()} - {0}
        for prefix, module in model.named_modules(remove_duplicate=False):
            for name, tensor in plain_attributes(module):
                path = f"{prefix}.{name}".lstrip(".")
                if module not in leaves and tensor.grad_fn is None and \
                        storage_of(tensor) not in memory:
                    paths.setdefault(id(tensor), (tensor, []))[1].append(path)
                    self.attributes[path] = (prefix, name, tensor)
        self.states = set(paths)  # ids
        for tensor, names in paths.values():
            is_constant = names[0] in self.attributes
            trains = isinstance(tensor, torch.nn.Parameter)
            self._add(Value(names[0], "state", tensor, not is_constant, trains,
                            names, None if trains else frozenset(names)))

    def _add(self, value):
        value.number = self.count
        self.count += 1
        self.keep.append(value)
        self._by_tensor[id(value.tensor)] = value
        place = storage_of(value.tensor)
        if place:
            self._by_storage.setdefault(place, []).append(value)
        return value

    def bind(self, tensor, hint, source, varies, flows, buffers=None):
        """The value that this tensor is from now on."""
        flows = flows and tensor.is_floating_point()
        return self._add(Value(hint, source, tensor, varies, flows,
                               buffers=buffers))

    def known(self, tensor):
        return self._by_tensor.get(id(tensor))

    def find(self, tensor, report):
        """The value that a tensor is when it is read."""
        value = self.known(tensor)
        if value is None:
            return self._constant(tensor, report)
        if value.is_updated:
            report(f"{value.hint} is read after the module that it is of has "
                   "changed it: read it before" if value.source == "state" else
                   f"{value.hint}, which is no buffer of the model, is read "
                   "after a batch norm has updated it: give the batch norm "
                   "buffers")
        elif value.is_stale or version_of(tensor) != value.version:
            if not value.varies and not value.is_stale:
                return self._constant(tensor, report)  # by constants
            report(f"{value.hint} was changed in place through another "
                   "tensor that shares its memory: change the tensor itself, "
                   "or a clone", place=value.stale_at)
        return value

    def _constant(self, tensor, report):
        """A tensor that nothing in the trace has made."""
        if type(tensor) not in _PLAIN:
            report(f"a tensor of the class {type(tensor).__name__}: give "
                   "plain tensors")
        shared = any(v.varies for v in
                     self._by_storage.get(storage_of(tensor), []))
        if shared or tensor.grad_fn is not None:
            report(f"a tensor {list(tensor.shape)} that is made of another "
                   "one in a way that cannot be followed: use functions of "
                   "torch")
        value = self.bind(tensor, "constant", "constant", False, False)
        self.constants.append(value)
        return value

    def written(self, tensor, varies, place):
        """`tensor` was changed in place: what the others that share its memory
        are now."""
        for other in self._by_storage.get(storage_of(tensor), []):
            if other.tensor is tensor:
                continue
            if self._by_tensor.get(id(other.tensor)) is not other:
                continue
            if varies or other.varies:
                other.is_stale, other.stale_at = True, place
            else:
                other.version = -1  # read it again

    def freeze(self, tensor):
        """`tensor` is about to be changed in place: constants keep what they
        are."""
        for value in self._by_storage.get(storage_of(tensor), []):
            if value.buffers is not None and value.data is None:
                value.data = value.tensor.detach().clone()

    def alias(self, tensor, value, source):
        """Another tensor with the same elements and gradient, so that both
        have values of their own."""
        with torch.enable_grad():  # it is the tensor itself
            other = torch.ops.aten.alias.default(tensor)
        result = self.bind(other, value.hint, source, value.varies,
                           value.flows, value.buffers)
        return other, result


def storage_of(tensor):
    """Where the memory of a tensor begins, or 0."""
    try:
        return tensor.untyped_storage().data_ptr()
    except (RuntimeError, NotImplementedError):
        return 0
