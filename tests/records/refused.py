"""How many calls near a name's samples (variants.py) nncc refuses though PyTorch
takes them: mixed element types, null where a number has a meaning, sizes that
only PyTorch broadcasts. `parity/test_record_variants.py` counts again; a number
that grows says that something was lost, one that shrinks is written down here.
"""
REFUSED = {
    "F.adaptive_avg_pool1d": 4, "F.adaptive_avg_pool2d": 8,
    "F.adaptive_avg_pool3d": 10, "F.avg_pool1d": 7, "F.avg_pool2d": 8,
    "F.avg_pool3d": 8, "F.batch_norm": 5, "F.binary_cross_entropy": 2,
    "F.binary_cross_entropy_with_logits": 20, "F.conv1d": 2, "F.conv2d": 2,
    "F.conv3d": 2, "F.cross_entropy": 10, "F.dropout": 3, "F.huber_loss": 15,
    "F.kl_div": 10, "F.l1_loss": 16, "F.layer_norm": 2, "F.linear": 5,
    "F.log_softmax": 24, "F.max_pool1d": 1, "F.max_pool3d": 1,
    "F.mse_loss": 20, "F.scaled_dot_product_attention": 189,
    "F.smooth_l1_loss": 24, "F.softmax": 20, "Tensor.__matmul__": 7,
    "Tensor.index_select": 5, "Tensor.to": 20, "nn.AdaptiveAvgPool1d": 4,
    "nn.AdaptiveAvgPool2d": 8, "nn.AdaptiveAvgPool3d": 10, "nn.AvgPool1d": 8,
    "nn.AvgPool2d": 10, "nn.AvgPool3d": 9, "nn.BCELoss": 1,
    "nn.BCEWithLogitsLoss": 16, "nn.BatchNorm1d": 10, "nn.BatchNorm2d": 10,
    "nn.BatchNorm3d": 9, "nn.Conv1d": 1, "nn.Conv2d": 1, "nn.Conv3d": 1,
    "nn.ConvTranspose1d": 1, "nn.ConvTranspose2d": 1, "nn.ConvTranspose3d": 1,
    "nn.CrossEntropyLoss": 9, "nn.Dropout": 7, "nn.Embedding": 5,
    "nn.HuberLoss": 15, "nn.KLDivLoss": 10, "nn.L1Loss": 16, "nn.LayerNorm": 4,
    "nn.Linear": 1, "nn.LogSoftmax": 12, "nn.MSELoss": 16, "nn.MaxPool1d": 1,
    "nn.MaxPool3d": 1, "nn.SmoothL1Loss": 24, "nn.Softmax": 14,
    "torch.arange": 7, "torch.index_select": 5, "torch.where": 3,
}
