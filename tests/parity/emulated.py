"""The emulator as a host of GPUs sees it: memory, streams, and arrays there
that look like CuPy's and like PyTorch's."""
import ctypes
import os
import sys
import types

import numpy as np
import torch

LIBRARIES = os.path.join(os.path.dirname(__file__), "..", "..", "build", "lib")
PATH = os.path.abspath(os.path.join(LIBRARIES, "libnncc_emulator.so"))


class Driver:
    """Some functions of CUDA's driver, on the primary context of a GPU."""

    def __init__(self):
        self.library = ctypes.CDLL(PATH)
        self.call("cuInit", 0)
        self.contexts = {}

    def call(self, name, *arguments):
        code = getattr(self.library, name)(*arguments)
        assert code == 0, (name, code)

    def use(self, number):
        """Its context is this thread's from here on."""
        if number not in self.contexts:
            device, context = ctypes.c_int(), ctypes.c_void_p()
            self.call("cuDeviceGet", ctypes.byref(device), number)
            self.call("cuDevicePrimaryCtxRetain", ctypes.byref(context),
                      device)
            self.contexts[number] = context
        self.call("cuCtxPushCurrent_v2", self.contexts[number])

    def allocate(self, size):
        address = ctypes.c_uint64()
        self.call("cuMemAlloc_v2", ctypes.byref(address),
                  ctypes.c_size_t(max(size, 16)))
        return address.value

    def stream(self):
        stream = ctypes.c_void_p()
        # Not in order with the null stream.
        self.call("cuStreamCreate", ctypes.byref(stream), 1)
        return stream.value

    def copy_in(self, address, array, stream=None):
        self.call("cuMemcpyHtoDAsync_v2", ctypes.c_uint64(address),
                  ctypes.c_void_p(array.ctypes.data),
                  ctypes.c_size_t(array.nbytes), ctypes.c_void_p(stream))

    def copy_out(self, array, address, stream=None):
        self.call("cuMemcpyDtoHAsync_v2", ctypes.c_void_p(array.ctypes.data),
                  ctypes.c_uint64(address), ctypes.c_size_t(array.nbytes),
                  ctypes.c_void_p(stream))
        self.call("cuStreamSynchronize", ctypes.c_void_p(stream))


class ndarray:
    """As CuPy's. Its memory is never freed."""
    __module__ = "cupy"
    driver = stream = None  # the current ones

    def __init__(self, shape, dtype, address=None, strides=None):
        self.shape, self.dtype = tuple(shape), np.dtype(dtype)
        self.strides, self.made_on = strides, self.stream
        size = int(np.prod(shape, dtype=int)) * self.dtype.itemsize
        self.address = address or self.driver.allocate(size)

    @property
    def __cuda_array_interface__(self):
        return {"shape": self.shape, "typestr": self.dtype.str, "version": 3,
                "data": (self.address, False), "strides": self.strides,
                "stream": self.made_on or 1}

    def get(self):
        host = np.empty(self.shape, self.dtype)
        self.driver.copy_out(host, self.address, self.made_on)
        return host


def asarray(x):
    interface = getattr(x, "__cuda_array_interface__", None)
    if interface:
        return ndarray(interface["shape"], interface["typestr"],
                       interface["data"][0])
    x = np.ascontiguousarray(x).reshape(np.shape(x))
    there = ndarray(x.shape, x.dtype)
    there.driver.copy_in(there.address, x, there.made_on)
    return there


def array(x, order):
    """A packed copy; by the host, which the emulator allows."""
    x.get()  # waits
    size = sum((n - 1) * s for n, s in zip(x.shape, x.strides or ()))
    raw = np.empty(size // x.dtype.itemsize + int(np.prod(x.shape)), x.dtype)
    x.driver.copy_out(raw[:size // x.dtype.itemsize + 1], x.address, x.made_on)
    return asarray(np.lib.stride_tricks.as_strided(raw, x.shape, x.strides))


def cupy():
    """Stands for the module."""
    module = types.ModuleType("cupy")
    module.ndarray, module.asarray, module.array = ndarray, asarray, array
    module.empty = ndarray
    return module


class CudaTensor(torch.Tensor):
    """A tensor in the emulator's memory, which the host may touch too."""
    number = 0

    @property
    def device(self):
        return torch.device("cuda", self.number)

    @staticmethod
    def over(address, shape, dtype):
        count = int(np.prod(shape, dtype=int))
        raw = (ctypes.c_char * max(count * dtype.itemsize, 1)).from_address(
            address)
        flat = torch.frombuffer(raw, dtype=dtype, count=count) if count else \
            torch.empty(0, dtype=dtype)
        return flat.reshape(shape).as_subclass(CudaTensor)

    def clone(self, **_):
        copy = torch.empty(self.shape, dtype=self.dtype, device=self.device)
        copy.copy_(self)
        return copy

    def contiguous(self):
        return self if self.is_contiguous() else self.clone()


def cuda_torch(monkeypatch, driver):
    """PyTorch with CUDA, as far as nncc asks for it."""
    makers = {name: getattr(torch, name) for name in
              ("empty", "zeros", "as_tensor")}

    def empty(*shape, dtype=torch.float32, device=None, **rest):
        if device is None or torch.device(device).type != "cuda":
            return makers["empty"](*shape, dtype=dtype, device=device, **rest)
        shape = tuple(shape[0]) if len(shape) == 1 and not isinstance(
            shape[0], int) else shape
        size = int(np.prod(shape, dtype=int)) * dtype.itemsize
        return CudaTensor.over(driver.allocate(size), shape, dtype)

    def zeros(*shape, device=None, **rest):
        if device is None or torch.device(device).type != "cuda":
            return makers["zeros"](*shape, device=device, **rest)
        return empty(*shape, device=device, **rest).zero_()

    def as_tensor(x, device=None, **rest):
        if device is None or torch.device(device).type != "cuda":
            return makers["as_tensor"](x, device=device, **rest)
        interface = x.__cuda_array_interface__
        kind = makers["empty"](0).new_tensor(
            np.empty(0, interface["typestr"])).dtype
        return CudaTensor.over(interface["data"][0], interface["shape"], kind)

    def to(tensor, *where, **rest):
        if where and isinstance(where[0], torch.device) and \
                where[0].type == "cuda":
            there = empty(tensor.shape, dtype=tensor.dtype, device=where[0])
            there.copy_(tensor)
            return there
        return own_to(tensor, *where, **rest)

    own_to = torch.Tensor.to
    monkeypatch.setattr(torch.Tensor, "to", to)
    monkeypatch.setattr(torch.Tensor, "cpu", lambda t: makers["empty"](
        t.shape, dtype=t.dtype).copy_(t.as_subclass(torch.Tensor)))
    for name, function in (("empty", empty), ("zeros", zeros),
                           ("as_tensor", as_tensor)):
        monkeypatch.setattr(torch, name, function)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "current_stream",
                        lambda number: types.SimpleNamespace(cuda_stream=0))
    return lambda x: to(x, torch.device("cuda", 0))
