"""Activations, softmax, dropout."""
from .record import INTEGERS, Sample as S, T, record, second
import torch

WIDE = [S(T(3, 70)), S(T(5)), S(T(2, 3, 4, 5)), S(T())]

record("nn.ReLU F.relu F.relu_ torch.relu Tensor.relu Tensor.relu_", *WIDE)
record("nn.ReLU6 F.relu6", *WIDE, S(T(3, 70, low=-2, high=9)))
record("nn.SiLU F.silu", *WIDE)
record("nn.Tanh F.tanh torch.tanh Tensor.tanh Tensor.tanh_", *WIDE)
record("nn.Sigmoid F.sigmoid torch.sigmoid Tensor.sigmoid Tensor.sigmoid_",
       *WIDE)
second("F.sigmoid", "torch.special.expit")
record("nn.Identity", *WIDE)
record("nn.GELU", *WIDE, S(T(3, 70), make=dict(approximate="tanh")))
record("F.gelu", *WIDE, S(T(3, 70), approximate="tanh"))
record("nn.Softmax nn.LogSoftmax", *[
    S(T(*shape), make=dict(dim=dim)) for shape, dim in
    [((3, 70), -1), ((9, 70), 0), ((9, 5), 1), ((2, 3, 4, 5), 1), ((7,), 0),
     ((), -1)]])
record("F.softmax torch.softmax Tensor.softmax F.log_softmax torch.log_softmax "
       "Tensor.log_softmax", *[
           S(T(*shape), dim=dim) for shape, dim in
           [((3, 70), -1), ((9, 33), 0), ((2, 3, 4, 5), 2), ((1,), 0),
            ((), -1)]])
# In train mode it draws random numbers: tests/parity/test_training.py.
record("nn.Dropout", *WIDE, S(T(3, 4), make=dict(p=0.0)),
       S(T(3, 4), make=dict(p=0.3, inplace=True)), differentiable=False,
       lacks=INTEGERS + (torch.bool,))
record("F.dropout", S(T(3, 70), training=False), S(T(3, 70), p=0.0),
       S(T(7), 0.5, False), lacks=INTEGERS + (torch.bool,))
