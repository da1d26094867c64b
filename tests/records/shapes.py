"""Views, joining, indexing, creation."""
import torch

from .record import I, Sample as S, T, record, second

record("nn.Flatten", S(T(2, 3, 4)), S(T(2, 3, 4, 5), make=dict(
    start_dim=2)), S(T(2, 3, 4), make=dict(start_dim=0, end_dim=-2)))
record("torch.flatten Tensor.flatten", S(T(2, 3, 4)), S(T(2, 3, 4), 1),
       S(T(2, 3, 4), start_dim=0, end_dim=1), S(T()))
record("Tensor.view Tensor.reshape", S(T(3, 8), 6, -1), S(T(3, 8), [2, 12]),
       S(T(3, 8), 24), S(T(1, 1), []))
record("torch.reshape", S(T(3, 8), [6, -1]), S(T(3, 8), [4, 3, 2]),
       S(T(6), [6]))
record("Tensor.expand", S(T(5, 1, 7), 5, 4, 7), S(T(3, 1), [2, 3, 4]),
       S(T(1, 4), -1, -1), S(T(7), 3, 7))
record("Tensor.permute", S(T(3, 4, 5), 2, 0, 1), S(T(3, 4), [1, 0]),
       S(T(2, 3, 4, 5), [0, -1, 1, 2]))
record("torch.permute", S(T(3, 4, 5), [2, 0, 1]), S(T(3, 4), [1, 0]))
record("torch.transpose Tensor.transpose Tensor.transpose_",
       S(T(3, 4, 5), 0, 1), S(T(5, 17), -1, 0), S(T(4, 4), 1, 1), S(T(), 0, -1))
second("torch.transpose", "torch.swapaxes Tensor.swapaxes torch.swapdims "
       "Tensor.swapdims")
record("torch.unsqueeze Tensor.unsqueeze Tensor.unsqueeze_",
       S(T(3, 4), 0), S(T(3, 4), -1), S(T(3, 4), dim=1), S(T(), 0))
record("torch.squeeze Tensor.squeeze Tensor.squeeze_", S(T(3, 1, 4, 1)),
       S(T(3, 1, 4), 1), S(T(3, 1, 4), dim=0), S(T(1, 1)), S(T(), 0),
       S(T(), -1))
record("torch.unbind Tensor.unbind", S(T(3, 5)), S(T(2, 3, 4), dim=-1))
record("Tensor.split", S(T(5, 9), 4, 1), S(T(5, 9), [2, 1, 6], dim=-1),
       S(T(6), 2))
record("torch.split", S(T(5, 9), 4, 1), S(T(5, 9), [2, 3], 0),
       S(T(6), split_size_or_sections=5))
record("torch.chunk Tensor.chunk", S(T(5, 9), 4, 1), S(T(5, 9), 4),
       S(T(8), chunks=2, dim=0))
record("torch.cat", S([T(5, 9), T(2, 9)]),
       S([T(5, 9), T(5, 1), T(5, 4)], 1), S([T(3), T(4)], dim=-1))
second("torch.cat", "torch.concat torch.concatenate")
record("torch.stack", S([T(5, 9), T(5, 9)]), S([T(4, 3), T(4, 3)], dim=-1))
record("torch.index_select Tensor.index_select",
       S(T(7, 5), 0, I(4, high=7)), S(T(3, 6, 4), 1, I(9, high=6)),
       S(T(3, 6), dim=-1, index=I(2, high=6)), S(T(), 0, I(1, high=1)),
       S(T(5, 8), 0, I(900, high=5)))

ALL = slice(None)
record("Tensor.__getitem__", *[S(T(5, 9, 3), index=index) for index in [
    (0,), (ALL, -1, None, Ellipsis), (slice(1, None), slice(None, None, 2)),
    (Ellipsis, slice(-2, None)), (slice(10, 20),), (None, 2, 3, 1), (Ellipsis,),
    (ALL, I(4, low=-9, high=9)), (I(2, 3, high=5), ALL, 1)]])
record("torch.arange", S(9), S(2, 9), S(9, 2, -3), S(0, 10, 3),
       S(5, dtype=torch.float32), differentiable=False)
record("torch.zeros torch.ones", S(3, 4), S([2, 3]), S([]),
       S([3], dtype=torch.int64), differentiable=False)
record("torch.full", S([2, 3], 2.5), S([4], 7), S([], -1.0),
       S([3], 1, dtype=torch.float64), differentiable=False)
record("Tensor.detach Tensor.detach_", S(T(3, 4)), differentiable=False)
record("Tensor.contiguous Tensor.clone", S(T(3, 4)), S(T()))
