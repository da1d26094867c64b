"""RNN, LSTM, GRU."""
from .record import Sample as S, T, record

SIZES = dict(input_size=9, hidden_size=20)
DEEP = dict(SIZES, num_layers=2, bidirectional=True, batch_first=True)
STATE, DEEP_STATE = T(1, 3, 20), T(4, 3, 20)

for name in ("RNN", "GRU"):
    record(f"nn.{name}", S(T(5, 3, 9), make=SIZES), S(T(3, 5, 9), make=DEEP),
           S(T(5, 3, 9), STATE, make=dict(SIZES, bias=False)),
           S(T(3, 2, 9), DEEP_STATE, make=DEEP), S(T(4, 9), make=SIZES),
           *([S(T(5, 3, 9), make=dict(SIZES, nonlinearity="relu"))]
             if name == "RNN" else []))
record("nn.LSTM", S(T(5, 3, 9), make=SIZES), S(T(3, 5, 9), make=DEEP),
       S(T(5, 3, 9), [STATE, STATE], make=dict(SIZES, bias=False)),
       S(T(3, 1, 9), hx=[DEEP_STATE, DEEP_STATE], make=DEEP),
       S(T(4, 9), make=SIZES))
