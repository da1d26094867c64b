"""The structs of runtime/abi.h and runtime/nncc.h, for ctypes."""
import ctypes

import numpy as np

# By nncc_dtype. NumPy has no bf16: its bits stand for it.
NUMPY = [np.float32, np.float64, np.float16, np.uint16, np.int64, np.int32,
         np.int16, np.int8, np.uint8, np.bool_]
NAMES = ["float32", "float64", "float16", "bfloat16", "int64", "int32",
         "int16", "int8", "uint8", "bool"]
BF16 = 3
ERROR_WEIGHTS = 2  # an nncc_status


class Tensor(ctypes.Structure):
    _fields_ = [("name", ctypes.c_char_p), ("dtype", ctypes.c_uint64),
                ("rank", ctypes.c_uint64),
                ("dims", ctypes.POINTER(ctypes.c_int64)),
                ("bytes", ctypes.c_uint64), ("fresh", ctypes.c_uint64),
                ("initial", ctypes.c_void_p), ("reached", ctypes.c_char_p)]

    @property
    def shape(self):
        return tuple(self.dims[i] for i in range(self.rank))


class Body(ctypes.Structure):
    _fields_ = [("inputs", ctypes.POINTER(Tensor)),
                ("outputs", ctypes.POINTER(Tensor)),
                ("steps", ctypes.c_void_p), ("step_count", ctypes.c_uint64),
                ("arena_bytes", ctypes.c_uint64),
                ("limits", ctypes.c_void_p), ("limit_count", ctypes.c_uint64),
                ("accumulate", ctypes.c_void_p),
                ("sizes", ctypes.c_char_p)]


class Entry(ctypes.Structure):
    _fields_ = [("name", ctypes.c_char_p), ("input_count", ctypes.c_uint64),
                ("output_count", ctypes.c_uint64),
                ("bodies", ctypes.POINTER(Body)),
                ("body_count", ctypes.c_uint64), ("period", ctypes.c_uint64),
                ("trains", ctypes.c_uint64)]


class Alias(ctypes.Structure):
    _fields_ = [("name", ctypes.c_char_p), ("weight", ctypes.c_uint64)]


class Model(ctypes.Structure):
    _fields_ = [("abi_version", ctypes.c_uint32),
                ("reserved", ctypes.c_uint32),
                ("compiler", ctypes.c_char_p), ("name", ctypes.c_char_p),
                ("cpu", ctypes.c_char_p), ("cpu_features", ctypes.c_uint64),
                ("entries", ctypes.POINTER(Entry)),
                ("entry_count", ctypes.c_uint64),
                ("weights", ctypes.POINTER(Tensor)),
                ("weight_count", ctypes.c_uint64),
                ("prepare", ctypes.c_void_p),
                ("prepared_bytes", ctypes.c_uint64),
                ("aliases", ctypes.POINTER(Alias)),
                ("alias_count", ctypes.c_uint64)]


class Gradient(ctypes.Structure):
    _fields_ = [("name", ctypes.c_char_p), ("dtype", ctypes.c_int),
                ("count", ctypes.c_uint64), ("data", ctypes.c_void_p)]


AllReduce = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p,
                             ctypes.POINTER(Gradient), ctypes.c_uint32)


class Options(ctypes.Structure):
    _fields_ = [("threads", ctypes.c_uint32),
                ("parallel_for", ctypes.c_void_p), ("host", ctypes.c_void_p),
                ("trains", ctypes.c_uint32), ("seed", ctypes.c_uint64),
                ("all_reduce", AllReduce),
                ("all_reduce_host", ctypes.c_void_p),
                ("device", ctypes.c_uint32),
                ("device_number", ctypes.c_uint32),
                ("device_pointers", ctypes.c_uint32),
                ("stream", ctypes.c_void_p)]


def load(path):
    """The library with the types of the functions that are called."""
    library = ctypes.CDLL(path)
    library.nncc_last_error.restype = ctypes.c_char_p
    library.nncc_context_tensor.restype = ctypes.c_void_p
    library.nncc_context_weights.restype = ctypes.c_void_p
    for name in ("nncc_context_tensor", "nncc_context_weights",
                 "nncc_context_free", "nncc_context_changed",
                 "nncc_weights_free"):
        getattr(library, name).argtypes = [ctypes.c_void_p] + (
            [ctypes.c_char_p] if name.endswith("tensor") else [])
    for name in ("nncc_context_device", "nncc_context_synchronize"):
        getattr(library, name).argtypes = [ctypes.c_void_p]
    for name in ("nncc_context_read", "nncc_context_write"):
        getattr(library, name).argtypes = [ctypes.c_void_p, ctypes.c_char_p,
                                           ctypes.c_void_p, ctypes.c_size_t]
    library.nncc_context_set_pointers.argtypes = [
        ctypes.c_void_p, ctypes.c_uint32, ctypes.c_void_p]
    library.nncc_weights_save.argtypes = [ctypes.c_void_p, ctypes.c_char_p]
    library.nncc_context_seed.argtypes = [ctypes.c_void_p, ctypes.c_uint64,
                                          ctypes.c_uint64]
    return library
