"""nncc from Python: export PyTorch modules, run compiled models."""
from .export import export, UnsupportedModel
from .runner import compile, CompiledModel

__all__ = ["export", "compile", "CompiledModel", "UnsupportedModel"]
