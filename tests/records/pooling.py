"""Pooling of one to three dimensions."""
import torch

from .convolutions import SIZES
from .record import Sample as S, T, record

for rank in (1, 2, 3):
    x = T(2, 6, *SIZES[rank])
    windows = [dict(kernel_size=2), dict(kernel_size=3, stride=2, padding=1),
               dict(kernel_size=[2] * rank, stride=[1] * rank, ceil_mode=True),
               dict(kernel_size=3, stride=2, ceil_mode=True, padding=1)]
    largest = windows + [dict(kernel_size=2, stride=1, dilation=2)]
    means = windows + [dict(kernel_size=3, stride=2, padding=1,
                            count_include_pad=False),
                       dict(kernel_size=3, stride=2, padding=1, ceil_mode=True,
                            count_include_pad=False)]
    if rank > 1:
        means.append(dict(kernel_size=2, divisor_override=3))
    sizes = [1, 3, [2] * rank] + ([[None] * (rank - 1) + [2]] if rank > 1
                                  else [])
    record(f"nn.MaxPool{rank}d", *[S(x, make=w) for w in largest])
    record(f"F.max_pool{rank}d", *[S(x, **w) for w in largest])
    record(f"nn.AvgPool{rank}d", *[S(x, make=w) for w in means],
           S(T(6, *SIZES[rank]), make=windows[0]), lacks=(torch.int64,))
    record(f"F.avg_pool{rank}d", *[S(x, **w) for w in means],
           lacks=(torch.int64,))
    record(f"nn.AdaptiveAvgPool{rank}d",
           *[S(x, make=dict(output_size=size)) for size in sizes])
    record(f"F.adaptive_avg_pool{rank}d", *[S(x, size) for size in sizes])
