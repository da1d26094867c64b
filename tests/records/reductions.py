"""Sums, means, maxima over dimensions."""
from .record import Sample as S, T, record

DIMS = [S(T(5, 70), 1), S(T(40, 33), 0), S(T(3, 4, 5), dim=[0, 2]),
        S(T(3, 4, 5), [-1, 1], keepdim=True), S(T(5, 9)),
        S(T(6), dim=0, keepdim=True), S(T(), 0),
        S(T(), [-1], keepdim=True)]

record("torch.sum Tensor.sum", *DIMS, S(T(3, 4), dim=None))
record("torch.mean Tensor.mean", *DIMS)
record("torch.amax Tensor.amax", *DIMS)
