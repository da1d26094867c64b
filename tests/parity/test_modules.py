"""Single modules and functions against live PyTorch, on two CPUs."""
import pytest
import torch
import torch.nn as nn
import torch.nn.functional as F

CPUS = ("native", "x86-64-v3", "x86-64")


class Wrap(nn.Module):
    """A module or function of tensors as a model."""

    def __init__(self, body):
        super().__init__()
        self.body = body

    def forward(self, x):
        return self.body(x)


class Pair(nn.Module):
    def __init__(self, body):
        super().__init__()
        self.body = body

    def forward(self, x, y):
        return self.body(x, y)


IMAGE = (2, 6, 9, 11)
MODULES = {
    "conv2d": (nn.Conv2d(6, 10, 3), IMAGE),
    "conv2d_stride_padding": (nn.Conv2d(6, 70, 3, 2, 1), IMAGE),
    "conv2d_uneven": (nn.Conv2d(6, 33, (3, 2), (2, 1), (1, 0)), IMAGE),
    "conv2d_dilation": (nn.Conv2d(6, 16, 3, dilation=2), IMAGE),
    "conv2d_groups": (nn.Conv2d(6, 9, 3, groups=3), IMAGE),
    "conv2d_depthwise": (nn.Conv2d(6, 6, 3, padding=1, groups=6), IMAGE),
    "conv2d_multiplier": (nn.Conv2d(6, 12, 3, groups=6), IMAGE),
    "conv2d_pointwise_stride": (nn.Conv2d(6, 8, 1, 2), IMAGE),
    "conv1d": (nn.Conv1d(5, 7, 4, 2, 1), (3, 5, 17)),
    "conv3d": (nn.Conv3d(3, 5, 2), (1, 3, 4, 5, 6)),
    "conv2d_same": (nn.Conv2d(6, 10, (4, 3), padding="same", dilation=(1, 2)),
                    IMAGE),
    "conv2d_valid": (nn.Conv2d(6, 10, 3, padding="valid"), IMAGE),
    "conv2d_unbatched": (nn.Conv2d(6, 10, 3), IMAGE[1:]),
    "conv_transpose2d": (nn.ConvTranspose2d(6, 5, 3, 2, 1, 1), IMAGE),
    "conv_transpose2d_blocks": (nn.ConvTranspose2d(6, 16, 2, 2), IMAGE),
    "conv_transpose2d_narrow": (nn.ConvTranspose2d(6, 5, 2, 2), IMAGE),
    "conv_transpose2d_rest": (nn.ConvTranspose2d(6, 72, 2, 2), IMAGE),
    "conv_transpose2d_padding": (nn.ConvTranspose2d(6, 5, 2, 3, (2, 3), 1),
                                 IMAGE),
    "conv_transpose2d_groups": (nn.ConvTranspose2d(6, 4, 3, groups=2), IMAGE),
    "conv_transpose1d": (nn.ConvTranspose1d(5, 7, 4, 3), (2, 5, 6)),
    "max_pool2d": (nn.MaxPool2d(3, 2, 1), IMAGE),
    "max_pool2d_ceil": (nn.MaxPool2d(2, 2, ceil_mode=True), IMAGE),
    "max_pool2d_dilation": (nn.MaxPool2d(2, 1, dilation=2), IMAGE),
    "avg_pool2d": (nn.AvgPool2d(3, 2, 1), IMAGE),
    "avg_pool2d_exclude": (nn.AvgPool2d(3, 2, 1, count_include_pad=False),
                           IMAGE),
    "avg_pool2d_ceil": (nn.AvgPool2d(3, 2, 1, ceil_mode=True), IMAGE),
    "avg_pool2d_ceil_exclude": (nn.AvgPool2d(
        3, 2, 1, ceil_mode=True, count_include_pad=False), IMAGE),
    "avg_pool2d_divisor": (nn.AvgPool2d(2, divisor_override=3), IMAGE),
    "adaptive_avg_pool2d": (nn.AdaptiveAvgPool2d((3, 4)), IMAGE),
    "adaptive_avg_pool2d_none": (nn.AdaptiveAvgPool2d((None, 4)), IMAGE),
    "adaptive_avg_pool2d_global": (nn.AdaptiveAvgPool2d(1), IMAGE),
    "batch_norm2d": (nn.BatchNorm2d(6), IMAGE),
    "batch_norm2d_plain": (nn.BatchNorm2d(6, affine=False), IMAGE),
    "batch_norm1d": (nn.BatchNorm1d(7), (4, 7)),
    "layer_norm": (nn.LayerNorm(37), (3, 5, 37)),
    "layer_norm_two_dims": (nn.LayerNorm((5, 20)), (3, 5, 20)),
    "linear": (nn.Linear(19, 23), (4, 3, 19)),
    "linear_vector": (nn.Linear(19, 130), (19,)),
    "linear_wide": (nn.Linear(70, 200, bias=False), (7, 70)),
    "relu": (nn.ReLU(), (3, 7)),
    "relu6": (nn.ReLU6(), (3, 7)),
    "silu": (nn.SiLU(), (3, 70)),
    "gelu": (nn.GELU(), (3, 70)),
    "gelu_tanh": (nn.GELU(approximate="tanh"), (3, 70)),
    "tanh": (nn.Tanh(), (3, 70)),
    "sigmoid": (nn.Sigmoid(), (3, 70)),
    "softmax": (nn.Softmax(-1), (3, 70)),
    "softmax_first": (nn.Softmax(0), (9, 70)),
    "softmax_short": (nn.Softmax(1), (9, 5)),
    "log_softmax": (nn.LogSoftmax(1), (9, 33)),
    "flatten": (nn.Flatten(), (2, 3, 4)),
    "dropout": (nn.Dropout(0.3), (2, 3)),
    "identity": (nn.Identity(), (2, 3)),
    "sequential": (nn.Sequential(nn.Conv2d(6, 8, 3), nn.BatchNorm2d(8),
                                 nn.ReLU(), nn.MaxPool2d(2)), IMAGE),
}


@pytest.mark.parametrize("name", MODULES)
def test_module(parity, name):
    torch.manual_seed(0)
    module, shape = MODULES[name]
    for part in module.modules():
        if getattr(part, "running_var", None) is not None:
            part.running_mean.normal_()
            part.running_var.uniform_(0.5, 2)
    parity(Wrap(module), (torch.randn(*shape),), CPUS, (1, 2))


FUNCTIONS = {
    "transpose": (lambda x: x.transpose(0, 1) + 1.0, (5, 17)),
    "permute_reshape": (lambda x: x.permute(2, 0, 1).reshape(6, -1), (3, 4, 8)),
    "slice": (lambda x: x[1:, ::2] * 2.0, (5, 9)),
    "index": (lambda x: x[:, -1, None, ...], (5, 9, 3)),
    "cat": (lambda x: torch.cat([x, x * 2.0, x[:, :3]], 1), (5, 9)),
    "stack": (lambda x: torch.stack([x, x + 1.0], 1), (5, 32)),
    "mean": (lambda x: x.mean([1, 2]), (5, 9, 40)),
    "mean_first": (lambda x: x.mean(0), (40, 33)),
    "sum_all": (lambda x: torch.sum(x), (5, 9)),
    "amax": (lambda x: x.amax(-1, keepdim=True), (5, 70)),
    "exp": (torch.exp, (5, 70)),
    "log": (lambda x: torch.log(x.abs() + 0.1), (5, 70)),
    "sqrt": (lambda x: torch.sqrt(x.abs()), (5, 70)),
    "erf": (torch.erf, (5, 70)),
    "sin_cos": (lambda x: torch.sin(x) * torch.cos(x), (5, 70)),
    "clamp": (lambda x: x.clamp(-0.5, 0.5), (5, 70)),
    "where": (lambda x: torch.where(x > 0, x, x * 0.1), (5, 70)),
    "division": (lambda x: x / (x.abs() + 1.0), (5, 70)),
    "matmul_self": (lambda x: torch.matmul(x, x.transpose(1, 2)), (3, 9, 20)),
    "bmm": (lambda x: torch.bmm(x, x), (3, 20, 20)),
    "expand": (lambda x: x.unsqueeze(1).expand(5, 4, 70) * 2.0, (5, 70)),
    "attention": (lambda x: F.scaled_dot_product_attention(x, x, x),
                  (2, 3, 21, 32)),
    "attention_causal": (lambda x: F.scaled_dot_product_attention(
        x, x, x, is_causal=True), (2, 3, 70, 16)),
    "matmul_self_wide": (lambda x: torch.matmul(x, x.transpose(1, 2)),
                         (2, 128, 40)),
    "matmul_self_row": (lambda x: torch.matmul(x[:, :1], x.transpose(1, 2)),
                        (2, 70, 40)),
    "matmul_uneven": (lambda x: torch.matmul(x, x.transpose(1, 2)),
                      (1, 101, 37)),
    "matmul_packed": (lambda x: torch.bmm(x, x), (2, 96, 96)),
    "matmul_shared": (lambda x: torch.matmul(x, x[0].transpose(0, 1)),
                      (3, 30, 64)),
    "transpose_copy": (lambda x: x.transpose(1, 2).contiguous().view(3, -1),
                       (3, 50, 37)),
    "transpose_add": (lambda x: x + x.transpose(1, 2), (2, 33, 33)),
    "transpose_outer": (lambda x: x.permute(2, 1, 0) * 2.0, (40, 5, 23)),
    "attention_odd": (lambda x: F.scaled_dot_product_attention(x, x, x),
                      (2, 3, 37, 13)),
    "attention_narrow": (lambda x: F.scaled_dot_product_attention(
        x, x, x[..., :3], is_causal=True), (2, 19, 8)),
    "attention_wide": (lambda x: F.scaled_dot_product_attention(x, x, x),
                       (1, 9, 150)),
    "attention_one": (lambda x: F.scaled_dot_product_attention(
        x[:, :, :1], x, x), (1, 2, 70, 64)),
    "attention_blocks": (lambda x: F.scaled_dot_product_attention(x, x, x),
                         (1, 2, 1300, 24)),
    "attention_blocks_causal": (lambda x: F.scaled_dot_product_attention(
        x, x, x, is_causal=True), (1, 1, 1301, 20)),
    "attention_deep": (lambda x: F.scaled_dot_product_attention(x, x, x),
                       (1, 300, 1100)),
    "attention_transposed": (lambda x: F.scaled_dot_product_attention(
        x.transpose(1, 2), x.transpose(1, 2), x.transpose(1, 2)),
        (2, 40, 33)),
    "arange": (lambda x: x + torch.arange(9), (5, 9)),
    "split": (lambda x: torch.split(x, 4, 1), (5, 9)),
    "split_sizes": (lambda x: x.split([2, 1, 6], dim=-1), (5, 9)),
    "chunk": (lambda x: x.chunk(4, 1), (5, 9)),
    "chunk_fewer": (lambda x: torch.chunk(x, 4), (5, 9)),
    "constants": (lambda x: x * torch.ones(5, 1) + torch.zeros((9,)) +
                  torch.full((5, 9), 2.5), (5, 9)),
    "several_outputs": (lambda x: (x.exp(), x.transpose(0, 1), x), (5, 9)),
    "unused_and_shared": (lambda x: (x + 1.0, x + 1.0), (5, 9)),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_function(parity, name):
    torch.manual_seed(0)
    function, shape = FUNCTIONS[name]
    parity(Wrap(function), (torch.randn(*shape),), CPUS, (1, 2))


def test_attention_mask(parity):
    torch.manual_seed(0)
    model = Pair(lambda x, m: F.scaled_dot_product_attention(x, x, x, m))
    parity(model, (torch.randn(2, 3, 21, 32), torch.randn(21, 21)), CPUS)


def test_attention_mask_hides_blocks(parity):
    """Rows whose first blocks of keys are all masked."""
    torch.manual_seed(0)
    mask = torch.zeros(70, 1200)
    mask[::2, :700] = float("-inf")
    model = Pair(lambda x, m: F.scaled_dot_product_attention(
        x[:, :70], x, x, m))
    parity(model, (torch.randn(2, 1200, 32), mask), CPUS, (1, 2))


@pytest.mark.parametrize("kind", [nn.Embedding, nn.EmbeddingBag])
def test_embedding(parity, kind):
    torch.manual_seed(0)
    parity(Wrap(kind(50, 24)), (torch.randint(0, 50, (4, 7)),), CPUS)
