"""Convolutions of one to three dimensions."""
import torch

from .record import INTEGERS, Sample as S, T, more, record

SIZES = {1: (17,), 2: (9, 11), 3: (4, 5, 6)}


def module(rank, channels, out, kernel, *more, **options):
    make = dict(in_channels=channels, out_channels=out, kernel_size=kernel,
                **options)
    return S(T(2, channels, *SIZES[rank]), make=make)


for rank in (1, 2, 3):
    record(f"nn.Conv{rank}d", module(rank, 6, 10, 3),
           module(rank, 6, 7, 2, stride=2, padding=1, bias=False),
           module(rank, 6, 9, 3, groups=3, dilation=1),
           module(rank, 6, 12, 3, groups=6, padding="same"),
           module(rank, 4, 5, 2, dilation=2, padding="valid"),
           S(T(6, *SIZES[rank]), make=dict(in_channels=6, out_channels=4,
                                           kernel_size=1)))
    if rank == 2:  # panels of vectors with a rest, each dimension of its own
        more("nn.Conv2d", module(2, 6, 70, 3, stride=2, padding=1),
             module(2, 6, 33, [3, 2], stride=[2, 1], padding=[1, 0]),
             module(2, 6, 10, [4, 3], padding="same", dilation=[1, 2]),
             module(2, 6, 8, 1, stride=2))
    record(f"nn.ConvTranspose{rank}d", module(rank, 6, 5, 3),
           module(rank, 6, 8, 2, stride=2),
           module(rank, 6, 4, 3, stride=2, padding=1, output_padding=1),
           module(rank, 6, 4, 3, groups=2, dilation=2, bias=False))
    if rank == 2:  # blocks that do not overlap, and gaps between windows
        more("nn.ConvTranspose2d", module(2, 6, 72, 2, stride=2),
             module(2, 6, 5, 2, stride=2),
             module(2, 6, 5, 2, stride=3, padding=[2, 3], output_padding=1))
    k = (3,) * rank
    record(f"F.conv{rank}d",
           S(T(2, 6, *SIZES[rank]), T(10, 6, *k), T(10)),
           S(T(2, 6, *SIZES[rank]), T(9, 2, *k), groups=3, padding=1),
           S(T(2, 6, *SIZES[rank]), T(4, 6, *k), None, 2, [1] * rank),
           S(T(6, *SIZES[rank]), T(4, 6, *k), bias=T(4), stride=[2] * rank,
             padding="valid"), lacks=INTEGERS)
    record(f"F.conv_transpose{rank}d",
           S(T(2, 6, *SIZES[rank]), T(6, 5, *k), T(5)),
           S(T(2, 6, *SIZES[rank]), T(6, 2, *k), None, 2, 1, 1, 2),
           S(T(6, *SIZES[rank]), T(6, 4, *k), padding=1,
             dilation=[2] * rank), lacks=(torch.int64,))
