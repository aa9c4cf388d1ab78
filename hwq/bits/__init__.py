"""Recorded integer texts and their readers: numbers, compiled scalar source, hardware rows."""

from hwq.bits.ints import evaluate, topological
from hwq.bits.search import flipped, ilog2, stored, window
from hwq.bits.word import OPS, Word, const, lookup, maximum, minimum, mux, negate_if, variable

__all__ = [
    "OPS",
    "Word",
    "const",
    "evaluate",
    "flipped",
    "ilog2",
    "lookup",
    "maximum",
    "minimum",
    "mux",
    "negate_if",
    "stored",
    "topological",
    "variable",
    "window",
]
