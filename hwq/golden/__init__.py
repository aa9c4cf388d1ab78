"""Reference models in C99 for testbenches: the model, a DPI-C wrapper, vectors and a self-test."""

from hwq.golden.emit import Manifest, emit

__all__ = ["Manifest", "emit"]
