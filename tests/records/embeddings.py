"""Rows of tables."""
from .record import I, Sample as S, T, record

TABLE = dict(num_embeddings=11, embedding_dim=24)
IDS = I(4, 7, high=11)

record("nn.Embedding", S(IDS, make=TABLE), S(I(3, high=11), make=TABLE),
       S(IDS, make=dict(TABLE, padding_idx=2)),
       S(IDS, make=dict(TABLE, padding_idx=-1)))
record("F.embedding", S(IDS, T(11, 24)), S(IDS, T(11, 3), padding_idx=4),
       S(I(high=11), T(11, 5)))
record("nn.EmbeddingBag", S(IDS, make=TABLE),
       *[S(IDS, make=dict(TABLE, mode=mode)) for mode in ("sum", "mean")])
