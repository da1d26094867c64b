"""Loss functions and modules against PyTorch, with their corner cases."""
import nncc
import pytest
import torch
import torch.nn as nn
import torch.nn.functional as F


class Loss(nn.Module):
    def __init__(self, body):
        super().__init__()
        self.body = body

    def forward(self, x, y):
        return self.body(x, y)


def classes(*shape, low=0):
    return torch.randint(low, 7, shape)


X = (4, 7)
W = torch.rand(7) + 0.5
CASES = {
    "cross_entropy": (F.cross_entropy, X, classes(4)),
    "cross_entropy_vector": (F.cross_entropy, (7,), classes()),
    "cross_entropy_image": (F.cross_entropy, (2, 7, 3, 5), classes(2, 3, 5)),
    "cross_entropy_smooth": (lambda x, y: F.cross_entropy(
        x, y, label_smoothing=0.1), X, classes(4)),
    "cross_entropy_ignore": (lambda x, y: F.cross_entropy(
        x, y, ignore_index=2), (40, 7), classes(40)),
    "cross_entropy_outside": (lambda x, y: F.cross_entropy(
        x, y, ignore_index=-1), (40, 7), classes(40, low=-1)),
    "cross_entropy_none": (lambda x, y: F.cross_entropy(
        x, y, ignore_index=2, reduction="none"), (40, 7), classes(40)),
    "cross_entropy_sum": (lambda x, y: F.cross_entropy(
        x, y, reduction="sum"), X, classes(4)),
    "cross_entropy_probabilities": (lambda x, y: F.cross_entropy(
        x, y.softmax(1), label_smoothing=0.2), X, torch.randn(4, 7)),
    "cross_entropy_module": (nn.CrossEntropyLoss(
        W, ignore_index=3, label_smoothing=0.1), (40, 7), classes(40)),
    "cross_entropy_weighted_probabilities": (nn.CrossEntropyLoss(W), X,
                                             torch.rand(4, 7)),
    "nll": (lambda x, y: F.nll_loss(F.log_softmax(x, 1), y), X, classes(4)),
    "nll_module": (nn.NLLLoss(W, reduction="sum"), X, classes(4)),
    "mse": (F.mse_loss, X, torch.randn(4, 7)),
    "mse_none": (nn.MSELoss(reduction="none"), X, torch.randn(4, 7)),
    "l1": (nn.L1Loss(), X, torch.randn(4, 7)),
    "smooth_l1": (nn.SmoothL1Loss(beta=0.5), X, torch.randn(4, 7)),
    "smooth_l1_zero": (lambda x, y: F.smooth_l1_loss(x, y, beta=0.0), X,
                       torch.randn(4, 7)),
    "huber": (nn.HuberLoss(delta=0.7), X, torch.randn(4, 7)),
    "bce": (lambda x, y: F.binary_cross_entropy(x.sigmoid(), y), X,
            torch.rand(4, 7)),
    "bce_weight": (lambda x, y: nn.BCELoss(W)(x.sigmoid(), y), X,
                   torch.rand(4, 7)),
    "bce_certain": (lambda x, y: F.binary_cross_entropy((x > 0).to(x.dtype), y),
                    X, torch.rand(4, 7).round()),
    "bce_logits": (F.binary_cross_entropy_with_logits, X, torch.rand(4, 7)),
    "bce_logits_module": (nn.BCEWithLogitsLoss(W, pos_weight=W + 1), X,
                          torch.rand(4, 7)),
    "bce_logits_large": (lambda x, y: F.binary_cross_entropy_with_logits(
        x * 1000, y), X, torch.rand(4, 7).round()),
    "kl": (lambda x, y: F.kl_div(F.log_softmax(x, 1), y.softmax(1),
                                 reduction="batchmean"), X,
           torch.randn(4, 7)),
    "kl_zero": (lambda x, y: F.kl_div(F.log_softmax(x, 1), y), X,
                torch.rand(4, 7).round()),
    "kl_log": (nn.KLDivLoss(log_target=True), X, torch.randn(4, 7)),
}
# A lambda that makes a module with weights has state that no model lists.
CASES["bce_weight"] = (nn.BCELoss(W), X, torch.rand(4, 7))


@pytest.mark.parametrize("name", CASES)
def test_loss(parity, name):
    torch.manual_seed(0)
    body, shape, target = CASES[name]
    x = torch.randn(*shape)
    if name == "bce_weight":
        x = x.sigmoid()
    parity(Loss(body), (x, target))


def test_target_out_of_range(tmp_path):
    nncc.export(Loss(F.cross_entropy), (torch.randn(4, 7), classes(4)),
                str(tmp_path))
    model = nncc.compile(str(tmp_path))
    model(torch.randn(4, 7), torch.tensor([0, 6, -100, 3]))
    with pytest.raises(RuntimeError) as error:
        model(torch.randn(4, 7), torch.tensor([0, 7, 1, 3]))
    assert str(error.value) == "input y: element 1 is 7, outside [0, 7)"


@pytest.mark.parametrize("seed", range(4))
def test_targets_that_are_probabilities(tmp_path, seed):
    """The second trace draws targets that this loss refuses; whether it had
    read as another graph depended on the draw."""
    torch.manual_seed(seed)
    net = nn.Sequential(nn.Linear(4, 3), nn.Sigmoid())
    nncc.export(net, (torch.randn(5, 4),), tmp_path, loss=nn.BCELoss(),
                targets=(torch.rand(5, 3),),
                optimizer=torch.optim.SGD(net.parameters(), lr=0.1))
