"""nncc from Python: export PyTorch modules, run compiled models."""
from .export import export
from .modules import UnsupportedModel
from .runner import compile, CompiledModel

__all__ = ["export", "compile", "CompiledModel", "UnsupportedModel"]
