"""Recorded integer texts and their readers: numbers, compiled scalar source, hardware rows."""

from hwq.bits.ints import evaluate, topological
from hwq.bits.word import OPS, Word, const, ilog2, lookup, maximum, minimum, mux, negate_if, variable

__all__ = [
    "OPS",
    "Word",
    "const",
    "evaluate",
    "ilog2",
    "lookup",
    "maximum",
    "minimum",
    "mux",
    "negate_if",
    "topological",
    "variable",
]
