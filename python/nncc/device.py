"""Where the tensors of a call lie: `Host` and `Gpu` hand them to the runtime
by address and make the results, like what was given.

On the host they are NumPy's and PyTorch's; on a GPU PyTorch's, or arrays with
__cuda_array_interface__ (CuPy's, Numba's), all of a call on that one GPU.
"""
import ctypes
import re
import sys
import weakref

import numpy as np

from . import abi


def is_torch(x):
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(x, torch.Tensor)


def is_there(x):
    """Whether it lies on a GPU."""
    return x.device.type == "cuda" if is_torch(x) else \
        hasattr(x, "__cuda_array_interface__")


def parse(device):
    """An nncc_device and the number of a GPU."""
    match = re.fullmatch("cpu|auto|cuda(?::([0-9]{1,3}))?", str(device))
    if not match:
        raise ValueError("device must be cpu, cuda, cuda:NUMBER or auto, got "
                         f"{device!r}")
    return (["cpu", "cuda", "auto"].index(match[0].partition(":")[0]),
            int(match[1] or 0))


def _check_type(where, found, dtype):
    expected = abi.NAMES[dtype]
    if dtype == abi.BF16 and not isinstance(found, str):
        expected = "uint16, the bits of bfloat16"
    if found != (abi.NAMES[dtype] if isinstance(found, str)
                 else np.dtype(abi.NUMPY[dtype])):
        raise TypeError(f"{where} must be {expected}, got {found}")


def _torch_type(x):
    return str(x.dtype).replace("torch.", "")


def as_array(name, x, dtype):
    """A contiguous array over the same memory, if x is contiguous. `name` and
    the model's `dtype` are for errors."""
    where = f"input {name}"
    if is_torch(x):
        if x.device.type != "cpu" or "strided" not in str(x.layout):
            place = x.device if x.device.type != "cpu" else x.layout
            raise TypeError(f"{where} must be a dense tensor on the CPU, it "
                            f"is on {place}")
        _check_type(where, _torch_type(x), dtype)
        x = x.detach()
        if dtype == abi.BF16:
            import torch
            return np.asarray(x.view(torch.int16).numpy(),
                              order="C").view(np.uint16)
        x = x.resolve_neg().numpy()
    elif is_there(x):
        raise TypeError(f"{where} must be on the CPU, it is on a GPU")
    elif not isinstance(x, (np.ndarray, np.generic)) and \
            not hasattr(x, "__array__"):
        raise TypeError(f"{where} must be an array or a tensor, got "
                        f"{type(x).__name__}")
    array = np.asarray(x, order="C")  # keeps scalars scalars
    _check_type(where, array.dtype, dtype)
    return array


def as_tensor(array, dtype):
    import torch
    if dtype == abi.BF16:
        return torch.from_numpy(array.view(np.int16)).view(torch.bfloat16)
    return torch.from_numpy(array)


class Host:
    """NumPy arrays; tensors share their memory."""
    is_gpu, streams = 0, (None,)

    def __init__(self, makes_tensors):
        self.makes_tensors = makes_tensors

    def take(self, name, x, dtype):
        return as_array(name, x, dtype)

    def address(self, array):
        return array.ctypes.data

    def empty(self, shape, dtype):
        return np.empty(shape, abi.NUMPY[dtype])

    def result(self, array, dtype):
        return as_tensor(array, dtype) if self.makes_tensors else array

    def share(self, address, count, dtype):
        kind = np.dtype(abi.NUMPY[dtype])
        raw = (ctypes.c_char * (count * kind.itemsize)).from_address(address)
        return np.frombuffer(raw, kind)


class _Pointer:
    """Memory of a GPU that somebody else owns."""

    def __init__(self, address, count, kind):
        self.__cuda_array_interface__ = {
            "data": (address, False), "shape": (count,), "version": 3,
            "typestr": np.dtype(kind).str}


class _Torch:
    def __init__(self, torch, number):
        self.torch, self.device = torch, torch.device("cuda", number)

    def empty(self, shape, dtype):
        return self.torch.empty(shape, device=self.device,
                                dtype=getattr(self.torch, abi.NAMES[dtype]))

    def put(self, value):
        return self.torch.from_numpy(np.array(value)).to(self.device)

    def copy(self, x):
        return x.clone(memory_format=self.torch.contiguous_format)

    def share(self, address, count, dtype):
        kind = np.int16 if dtype == abi.BF16 else abi.NUMPY[dtype]
        x = self.torch.as_tensor(_Pointer(address, count, kind),
                                 device=self.device)
        return x.view(self.torch.bfloat16) if dtype == abi.BF16 else x


class _Cupy:
    def __init__(self, cupy, _):
        self.put, self.cupy = cupy.asarray, cupy

    def empty(self, shape, dtype):
        return self.cupy.empty(shape, abi.NUMPY[dtype])

    def copy(self, x):
        return self.cupy.array(x, order="C")

    def share(self, address, count, dtype):
        return self.put(_Pointer(address, count, abi.NUMPY[dtype]))


class _Numba:
    def __init__(self, numba, _):
        self.cuda = numba.cuda
        self.put = numba.cuda.to_device

    def empty(self, shape, dtype):
        return self.cuda.device_array(shape, abi.NUMPY[dtype])

    def copy(self, x):
        raise TypeError("arrays of Numba must be contiguous, and aligned to "
                        "16 bytes")

    def share(self, address, count, dtype):
        return self.cuda.as_cuda_array(
            _Pointer(address, count, abi.NUMPY[dtype]))


_LIBRARIES = {"torch": _Torch, "cupy": _Cupy, "numba": _Numba}


def _library_of(x, number):
    name = "torch" if is_torch(x) else type(x).__module__.partition(".")[0]
    if name not in _LIBRARIES:
        raise TypeError("arrays on a GPU may be PyTorch's, CuPy's or Numba's, "
                        f"got {type(x).__name__}")
    return _LIBRARIES[name](sys.modules[name], number)


def _is_packed(interface, size):
    """Row-major, without gaps."""
    shape, strides = interface["shape"], interface.get("strides")
    if strides is None or 0 in shape:
        return True
    for count, stride in zip(reversed(shape), reversed(strides)):
        if count > 1 and stride != size:
            return False
        size *= count
    return True


class Gpu:
    """Tensors on GPU `number`; results are of the library that made those
    given, of PyTorch if it made one, or if it is to."""
    is_gpu = 1

    def __init__(self, number, given, makes_tensors):
        there = [x for x in given if is_there(x)]
        torch = sys.modules.get("torch")
        makes_tensors = makes_tensors or any(map(is_torch, there))
        self.number = number
        self.library = _Torch(torch, number) if makes_tensors else \
            _library_of(there[0], number)
        # What has to be done before; the run goes to the last of them.
        self.streams = [_handle(x.__cuda_array_interface__.get("stream"))
                        for x in there if not is_torch(x)]
        if makes_tensors:
            self.streams.append(_handle(
                torch.cuda.current_stream(number).cuda_stream))

    def take(self, name, x, dtype):
        where = f"input {name}"
        if isinstance(x, np.generic):  # lr
            x = self.library.put(x)
        if not is_there(x):
            if not is_torch(x):
                as_array(name, x, dtype)  # knows what it may be
            raise TypeError(f"{where} must be on cuda:{self.number} like the "
                            "other tensors, it is on "
                            f"{x.device if is_torch(x) else 'the CPU'}")
        if is_torch(x):
            return self._take_tensor(where, x, dtype)
        interface = x.__cuda_array_interface__
        kind = np.dtype(interface["typestr"])
        _check_type(where, kind, dtype)
        if interface.get("mask") is not None:
            raise TypeError(f"{where} must be without a mask")
        if _is_packed(interface, kind.itemsize) and \
                interface["data"][0] % 16 == 0:
            return x
        return _library_of(x, self.number).copy(x)

    def _take_tensor(self, where, x, dtype):
        _check_type(where, _torch_type(x), dtype)
        if "strided" not in str(x.layout):
            raise TypeError(f"{where} must be a dense tensor, it is {x.layout}")
        if x.device.index != self.number:
            raise TypeError(f"{where} must be on cuda:{self.number}, where the "
                            f"model runs, it is on {x.device}")
        x = x.detach().resolve_neg()
        if x.is_contiguous() and x.data_ptr() % 16 == 0:
            return x
        return self.library.copy(x)

    def address(self, x):
        return x.data_ptr() if is_torch(x) else \
            x.__cuda_array_interface__["data"][0]

    def empty(self, shape, dtype):
        return self.library.empty(shape, dtype)

    def result(self, x, _):
        return x

    def share(self, address, count, dtype):
        return self.library.share(address, count, dtype)


def _handle(stream):
    """A CUstream; None for CUDA's null stream, with which the context's own is
    in order."""
    return None if stream in (None, 0, 1) else stream


def place_of(number, given, makes_tensors=False):
    """Of tensors for a model on GPU `number`; None: it runs on the CPU."""
    if number is not None and any(map(is_there, given)):
        return Gpu(number, given, makes_tensors)
    return Host(makes_tensors or any(map(is_torch, given)))


class Mirror:
    """Tensors that stand for weights on a GPU, where nobody else sees them:
    those that somebody holds are written there before the model looks at its
    weights, and read after it has changed them."""

    def __init__(self):
        self.held = weakref.WeakValueDictionary()

    def tensors(self, arrays, dtypes, number):
        """Of these names, the same for all who ask."""
        import torch
        result = {}
        for name, array in arrays.items():
            tensor = self.held.get(name)
            if tensor is None:
                tensor = as_tensor(array, dtypes[name])
                if torch.cuda.is_available():
                    tensor = tensor.to(torch.device("cuda", number))
                self.held[name] = tensor
            result[name] = tensor
        return result

    def each(self, move):
        """`move(name, tensor)` of all that are held."""
        for name, tensor in self.held.items():
            move(name, tensor)
