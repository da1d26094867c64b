"""Products."""
from .record import INTEGERS, Sample as S, T, record

record("nn.Linear", S(T(4, 3, 19), make=dict(in_features=19, out_features=23)),
       S(T(19), make=dict(in_features=19, out_features=130)),
       S(T(7, 70), make=dict(in_features=70, out_features=200, bias=False)),
       S(T(7, 1), make=dict(in_features=1, out_features=1)))
record("F.linear", S(T(4, 3, 19), T(23, 19), T(23)), S(T(7, 70), T(9, 70)),
       S(T(5), T(3, 5), bias=T(3)), lacks=INTEGERS)
record("torch.mm Tensor.mm", S(T(3, 4), T(4, 5)), S(T(70, 33), T(33, 101)),
       S(T(1, 1), T(1, 1)))
record("torch.bmm Tensor.bmm", S(T(2, 3, 4), T(2, 4, 5)),
       S(T(3, 20, 20), T(3, 20, 20)), S(T(2, 96, 96), T(2, 96, 96)))
record("torch.matmul Tensor.matmul Tensor.__matmul__",
       S(T(3, 4), T(4, 5)), S(T(4), T(4)), S(T(3, 4), T(4)), S(T(4), T(4, 5)),
       S(T(2, 1, 3, 4), T(5, 4, 2)), S(T(6, 3, 4), T(4, 7)),
       S(T(2, 5, 3, 4), T(4)))
