"""One record for each name of the model format; all checks read them."""
from .record import RECORDS, Record, Sample, Tensor, record
from . import (activations, attention, convolutions, elementwise, embeddings,
               linear, losses, norms, pooling, recurrent, reductions, shapes)
from . import split  # of records that are there

__all__ = ["RECORDS", "Record", "Sample", "Tensor", "record"]
