"""Scaled dot product attention."""
from .record import B, Sample as S, T, record

Q = T(2, 3, 21, 32)

record("F.scaled_dot_product_attention", S(Q, Q, Q), S(Q, Q, Q, is_causal=True),
       S(Q, T(2, 3, 9, 32), T(2, 3, 9, 5)), S(Q, Q, Q, T(21, 21)),
       S(Q, Q, Q, attn_mask=T(2, 1, 21, 21), scale=0.3),
       S(*[T(2, 37, 13)] * 3, dropout_p=0.0),
       S(T(2, 19, 8), T(2, 19, 8), T(2, 19, 3), is_causal=True),
       S(T(1, 2, 1, 64), *[T(1, 2, 70, 64)] * 2),
       # Several blocks of keys.
       S(T(1, 9, 150), T(1, 1300, 150), T(1, 1300, 24)),
       S(*[T(1, 2, 1300, 24)] * 3), S(*[T(1, 1301, 20)] * 3, is_causal=True),
       S(*[T(1, 300, 1100)] * 3))
