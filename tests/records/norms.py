"""Batch and layer normalisation."""
from .convolutions import SIZES
from .record import Sample as S, T, record

for rank in (1, 2, 3):
    x = T(4, 6, *SIZES[rank])
    record(f"nn.BatchNorm{rank}d", *[S(x, make=dict(num_features=6, **more))
                                     for more in [
        {}, dict(affine=False), dict(momentum=None, eps=0.1),
        dict(track_running_stats=False), dict(bias=False)]],
        *([S(T(4, 7), make=dict(num_features=7))] if rank == 1 else []))
record("F.batch_norm", *[
    S(T(4, 6, 5), T(6), T(6, low=0.5, high=2), **more) for more in [
        {}, dict(weight=T(6), bias=T(6)), dict(eps=0.1, momentum=0.3),
        dict(training=False)]], fixed=(1, 2))
record("nn.LayerNorm", *[S(T(3, 5, 37), make=make) for make in [
    dict(normalized_shape=37), dict(normalized_shape=[5, 37], eps=0.1),
    dict(normalized_shape=[37], elementwise_affine=False),
    dict(normalized_shape=[37], bias=False)]])
record("F.layer_norm", S(T(3, 5, 37), [37]), S(T(3, 5, 37), [5, 37], T(5, 37)),
       S(T(3, 37), [37], weight=T(37), bias=T(37), eps=0.1))
