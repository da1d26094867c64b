"""Samples large enough that kernels of each kind are split into tiles, with
sizes that no number of tiles or lanes divides: a share of rows or vectors that
is uneven, and a rest of narrower vectors. That there is one of each kind says
`parity/test_records.py`.

They belong to records of other families; one name stands for all that compile
to the same kind of kernel.
"""
from .record import I, Sample as S, T, more

SPLIT = {
    # Loops: over flat memory, over rows and lanes, over pieces of few rows.
    "torch.exp": S(T(29, 283)),
    "torch.add": S(T(37, 1, 17), T(29, 1)),
    "torch.mul": S(T(2, 1), T(8208)),
    "torch.cat": S([T(57, 83), T(57, 70)], 1),
    "Tensor.permute": S(T(3, 53, 55), 0, 2, 1),
    # Sums of rows, of columns, of all, and what is made of them.
    "torch.sum": S(T(57, 150), 1),
    "torch.mean": S(T(174, 48), 0),
    "torch.amax": S(T(57, 150), -1),
    "nn.Softmax": S(T(57, 150), make=dict(dim=-1)),
    "F.log_softmax": S(T(9, 929), dim=0),
    "nn.LayerNorm": S(T(57, 150), make=dict(normalized_shape=150)),
    "nn.BatchNorm2d": S(T(4, 6, 19, 20), make=dict(num_features=6)),
    "nn.CrossEntropyLoss": S(T(57, 150), I(57, high=150)),
    "F.mse_loss": S(T(57, 150), T(57, 150), reduction="none"),
    # Windows, of all channels and of each by itself.
    "nn.MaxPool2d": S(T(1, 17, 47, 49), make=dict(kernel_size=3, stride=2,
                                                  padding=1)),
    "nn.AvgPool2d": S(T(1, 17, 23, 25), make=dict(kernel_size=2, stride=1)),
    "nn.Conv2d": S(T(1, 33, 16, 17), make=dict(
        in_channels=33, out_channels=33, kernel_size=3, padding=1, groups=33)),
    # Rows of tables, and what is added to them.
    "nn.Embedding": S(I(9, 7, high=57), make=dict(num_embeddings=57,
                                                  embedding_dim=150)),
    "nn.EmbeddingBag": S(I(57, 3, high=57), make=dict(num_embeddings=57,
                                                      embedding_dim=150)),
    # A step's gates.
    "nn.LSTM": S(T(2, 65, 3), make=dict(input_size=3, hidden_size=129)),
}

for name, sample in SPLIT.items():
    more(name, sample)
