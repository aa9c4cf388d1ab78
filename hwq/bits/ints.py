"""Reader 1, the definition: runs a recorded text over integers (Python ints or numpy arrays)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from hwq.bits.word import Word

__all__ = ["evaluate", "topological"]


def topological(outputs: Sequence[Word], args: Callable[[Word], Sequence[Word]] = lambda w: w.args) -> list[Word]:
    """Every node that the outputs need, arguments before users, in one deterministic order.

    `args` are what a reader takes for a node's arguments, if it prints or builds some nodes of its own accord.
    """
    order: list[Word] = []
    seen: set[Word] = set()
    stack: list[tuple[Word, bool]] = [(w, False) for w in reversed(outputs)]
    while stack:
        word, ready = stack.pop()
        if ready:
            order.append(word)
        elif word not in seen:
            seen.add(word)
            stack.append((word, True))
            stack.extend((a, False) for a in reversed(args(word)) if a not in seen)
    return order


def _sum(*terms: Any) -> Any:
    total = terms[0]
    for t in terms[1:]:
        total = total + t
    return total


def _wrap(x: Any, n: int) -> Any:
    return ((x + (1 << (n - 1))) & ((1 << n) - 1)) - (1 << (n - 1))


_RUN: dict[str, Callable[..., Any]] = {
    "add": _sum,
    "mul": lambda x, y: x * y,
    "neg": lambda x, s: x * (1 - 2 * s),
    "shl": lambda x, n: x << n,
    "shr": lambda x, n: x >> n,
    "and": lambda x, y: x & y,
    "or": lambda x, y: x | y,
    "xor": lambda x, y: x ^ y,
    "lost": lambda x, n: ((x >> n) << n != x) * 1,
    "lt": lambda x, y: (x < y) * 1,
    "eq": lambda x, y: (x == y) * 1,
    "mux": lambda c, x, y: c * x + (1 - c) * y,
    "within": lambda x: x,
    "stage": lambda x: x,
}


def evaluate(outputs: Sequence[Word], inputs: Mapping[str, Any]) -> list[Any]:
    """The value of each output word, given a value (int or integer array) for each variable.

    Arrays are computed in int64 where every node of the text provably fits, else as Python integers. Every range,
    proved or claimed by `within`, is checked: a violated claim is our bug and raises AssertionError.
    """
    order = topological(outputs)
    wide = any(w.lo < -(1 << 62) or w.hi >= 1 << 62 for w in order)
    values: dict[Word, Any] = {}
    for w in order:
        if w.op == "const":
            value: Any = w.lo
        elif w.op == "var":
            value = inputs[str(w.attr)]
            if isinstance(value, np.ndarray):
                value = value.astype(object) if wide else value.astype(np.int64)
        else:
            args = [values[a] for a in w.args]
            if w.op == "low":
                assert isinstance(w.attr, int)
                value = args[0] & ((1 << w.attr) - 1)
            elif w.op == "wrap":
                assert isinstance(w.attr, int)
                value = _wrap(args[0], w.attr)
            elif w.op == "excess":
                assert isinstance(w.attr, int)
                value = sum((args[0] >> place > 0) * 1 for place in range(w.attr, w.args[0].width))
            elif w.op == "lookup":
                value = _take(w.attr, args[0], wide)
            else:
                value = _RUN[w.op](*args)
        if wide and isinstance(value, np.ndarray) and value.dtype != object:
            value = value.astype(object)  # a comparison of Python integers is a machine boolean
        _check(w, value)
        values[w] = value
    return [values[w] for w in outputs]


def _take(table: Any, index: Any, wide: bool) -> Any:
    if not isinstance(index, np.ndarray):
        return table[index]
    return np.array(table, dtype=object if wide else np.int64)[index.astype(np.int64)]


def _check(w: Word, value: Any) -> None:
    if isinstance(value, np.ndarray):
        if value.size:
            assert w.lo <= value.min() and value.max() <= w.hi, f"{w} left its range: {value.min()}..{value.max()}"
    else:
        assert w.lo <= value <= w.hi, f"{w} left its range: {value}"
