"""Losses, as functions and modules."""
from .record import INTEGERS, I, Sample as S, T, record

X, Y, W = T(4, 7), T(4, 7), T(7, low=0.5, high=1.5)
UNIT = T(4, 7, low=0.02, high=0.98)
LOGS = T(4, 7, low=-5, high=-0.1)


def loss(module, function, *calls, lacks=()):
    """Both faces of one loss: calls are (input, target, options)."""
    record(module, *[S(x, y, make=options) for x, y, options in calls],
           lacks=lacks)
    record(function, *[S(x, y, **options) for x, y, options in calls],
           fixed=("weight", "pos_weight"), lacks=lacks)


REDUCTIONS = [dict(reduction=word) for word in ("none", "sum", "mean")]
loss("nn.L1Loss", "F.l1_loss", (T(5), T(5), {}),
     *[(X, Y, options) for options in REDUCTIONS], lacks=INTEGERS)
for module, function, more in [
        ("nn.MSELoss", "F.mse_loss", []),
        ("nn.SmoothL1Loss", "F.smooth_l1_loss", [dict(beta=0.5),
                                                 dict(beta=0.0)]),
        ("nn.HuberLoss", "F.huber_loss", [dict(delta=0.7)])]:
    loss(module, function, (T(5), T(5), {}),
         *[(X, Y, options) for options in REDUCTIONS + more])
loss("nn.BCELoss", "F.binary_cross_entropy",
     *[(UNIT, UNIT, options) for options in REDUCTIONS + [dict(weight=W)]])
loss("nn.BCEWithLogitsLoss", "F.binary_cross_entropy_with_logits",
     *[(X, UNIT, options) for options in REDUCTIONS + [
         dict(weight=W), dict(pos_weight=W), dict(weight=W, pos_weight=W)]])
loss("nn.KLDivLoss", "F.kl_div",
     *[(LOGS, UNIT, options) for options in REDUCTIONS + [
         dict(reduction="batchmean")]],
     (LOGS, LOGS, dict(log_target=True)))
CLASSES = I(4, high=7)
CLASS_OPTIONS = [dict(weight=W), dict(ignore_index=3), *REDUCTIONS]
loss("nn.NLLLoss", "F.nll_loss", *[(LOGS, CLASSES, options)
                                   for options in CLASS_OPTIONS],
     (T(2, 7, 3, 5), I(2, 3, 5, high=7), {}), (T(7), I(high=7), {}))
loss("nn.CrossEntropyLoss", "F.cross_entropy", *[
    (X, CLASSES, options) for options in CLASS_OPTIONS + [
        dict(label_smoothing=0.1), dict(weight=W, label_smoothing=0.2)]],
     (T(2, 7, 3, 5), I(2, 3, 5, high=7), {}), (T(7), I(high=7), {}),
     (X, UNIT, {}), (X, UNIT, dict(weight=W)))
