"""The algebra of recorded integers: ranges hold and are reached, and every reader gives what plain integers give."""

from __future__ import annotations

import gc
import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hwq.bits import OPS, Word, const, evaluate, ilog2, lookup, maximum, minimum, mux, negate_if, topological, variable
from hwq.bits.loops import array_dtype, compile_map, from_wide, to_wide
from hwq.formats import Unpacked

LIMIT = 1 << 200  # texts grow until a number could pass this


# random texts: each operation is done on words and, beside it, on Python integers


@dataclass
class Text:
    """Words, and the values of each at every sample point; the first words are the variables."""

    words: list[Word]
    values: list[list[int]]

    def add(self, word: Word, values: list[int]) -> None:
        if max(abs(word.lo), abs(word.hi)) < LIMIT:
            self.words.append(word)
            self.values.append(values)


def wrapped(x: int, n: int) -> int:
    return (x + (1 << (n - 1))) % (1 << n) - (1 << (n - 1))


UNARY: dict[str, Callable[[Any, int], tuple[Word, Callable[[int], int]]]] = {
    "negate": lambda x, n: (-x, lambda v: -v),
    "low": lambda x, n: (x.low(n), lambda v: v % (1 << n)),
    "wrap": lambda x, n: (x.wrap(n), lambda v: wrapped(v, n)),
    "clamp": lambda x, n: (x.clamp(-n, 3 * n), lambda v: min(max(v, -n), 3 * n)),
    "shl": lambda x, n: (x << n, lambda v: v << n),
    "shr": lambda x, n: (x >> n, lambda v: v >> n),
    "plus": lambda x, n: (x + (n << 3 * n), lambda v: v + (n << 3 * n)),
    "times": lambda x, n: (x * (5 - n), lambda v: v * (5 - n)),
    "stage": lambda x, n: (x.stage("mul"), lambda v: v),
    "within": lambda x, n: (x.within(x.lo - 1, x.hi), lambda v: v),
    "excess": lambda x, n: (x.low(9 * n).excess(n), lambda v: max((v % (1 << 9 * n)).bit_length() - n, 0)),
    "ilog2": lambda x, n: (ilog2(x.low(n)), lambda v: max((v % (1 << n)).bit_length() - 1, 0)),
    "lookup": lambda x, n: (lookup(x.low(3), [n * i - 7 for i in range(8)]), lambda v: n * (v % 8) - 7),
}
BINARY: dict[str, Callable[[Any, Any], tuple[Word, Callable[[int, int], int]]]] = {
    "add": lambda x, y: (x + y, lambda u, v: u + v),
    "sub": lambda x, y: (x - y, lambda u, v: u - v),
    "mul": lambda x, y: (x * y, lambda u, v: u * v),
    "lt": lambda x, y: (x < y, lambda u, v: int(u < v)),
    "gt": lambda x, y: (x > y, lambda u, v: int(u > v)),
    "le": lambda x, y: (x <= y, lambda u, v: int(u <= v)),
    "ge": lambda x, y: (x >= y, lambda u, v: int(u >= v)),
    "eq": lambda x, y: (x.eq(y), lambda u, v: int(u == v)),
    "max": lambda x, y: (maximum(x, y), max),
    "min": lambda x, y: (minimum(x, y), min),
    "and": lambda x, y: (x.low(40) & y.low(9), lambda u, v: u % 2**40 & v % 2**9),
    "or": lambda x, y: (x.low(40) | y.low(9), lambda u, v: u % 2**40 | v % 2**9),
    "xor": lambda x, y: (x.low(9) ^ y.low(70), lambda u, v: u % 2**9 ^ v % 2**70),
    "shl": lambda x, y: (x << y.low(5), lambda u, v: u << v % 32),
    "shr": lambda x, y: (x >> y.low(7), lambda u, v: u >> v % 128),
    "lost": lambda x, y: (x.lost(y.low(7)), lambda u, v: int(u % 2 ** (v % 128) != 0)),
    "mux": lambda x, y: (mux(x.low(1), y, x), lambda u, v: v if u % 2 else u),
    "negate_if": lambda x, y: (negate_if(x, y.low(1)), lambda u, v: -u if v % 2 else u),
}


@st.composite
def texts(draw: st.DrawFn) -> Text:
    text = Text([], [])
    bounds = []
    for _ in range(3):
        size = draw(st.sampled_from([1, 4, 8, 31, 32, 33, 63, 64, 90]))
        ends = sorted(draw(st.integers(-(1 << size), 1 << size)) for _ in range(2))
        bounds.append((ends[0], ends[1] + 1))
    corners = list(itertools.product(*bounds))
    inside = [tuple(draw(st.integers(lo, hi)) for lo, hi in bounds) for _ in range(9)]
    for j, (lo, hi) in enumerate(bounds):
        text.add(variable(f"v{j}", lo, hi), [point[j] for point in corners + inside])
    for _ in range(draw(st.integers(1, 14))):
        i, j = (draw(st.integers(0, len(text.words) - 1)) for _ in range(2))
        if draw(st.booleans()):
            word, on_one = UNARY[draw(st.sampled_from(sorted(UNARY)))](text.words[i], draw(st.integers(1, 12)))
            text.add(word, [on_one(u) for u in text.values[i]])
        else:
            word, on_two = BINARY[draw(st.sampled_from(sorted(BINARY)))](text.words[i], text.words[j])
            text.add(word, [on_two(u, v) for u, v in zip(text.values[i], text.values[j], strict=True)])
    return text


@settings(max_examples=200)
@given(texts())
def test_words_are_integers_within_their_ranges(text: Text) -> None:
    for word, values in zip(text.words, text.values, strict=True):
        assert word.op in OPS
        assert word.lo <= min(values) and max(values) <= word.hi
        assert -(1 << word.width - word.signed) * word.signed <= word.lo and word.hi < 1 << word.width - word.signed
    inputs = {f"v{j}": np.array(text.values[j], dtype=object) for j in range(3)}
    for read, values in zip(evaluate(text.words, inputs), text.values, strict=True):
        assert np.broadcast_to(np.asarray(read), len(values)).tolist() == values
    scalars = {f"v{j}": text.values[j][0] for j in range(3)}
    assert evaluate(text.words, scalars) == [values[0] for values in text.values]


@settings(max_examples=40)
@given(texts())
def test_compiled_texts_are_their_definition(text: Text) -> None:
    dtypes = [array_dtype(word) for word in text.words]
    given_values = [numbers(text.values[j], dtypes[j]) for j in range(3)]
    run = compile_map(text.words, {f"v{j}": dtypes[j] for j in range(3)}, dtypes)
    for word, out, values in zip(text.words, run(given_values), text.values, strict=True):
        read = from_wide(out) if out.dtype.kind == "V" else out
        assert read.tolist() == values, word


def numbers(values: list[int], dtype: np.dtype[Any]) -> np.ndarray[Any, Any]:
    return to_wide(np.array(values, dtype=object), dtype) if dtype.kind == "V" else np.array(values, dtype=dtype)


@pytest.mark.parametrize("size", [31, 32, 63, 64, 65, 127, 128, 190])
def test_machine_sizes_have_no_edges(size: int) -> None:
    """Sums, products and shifts that just fit a machine integer, and those that just do not."""
    top = 1 << (size - 1)
    x, y, n = variable("x", -top, top - 1), variable("y", -top, top - 1), variable("n", 0, size)
    words = [
        x + y,
        x - y,
        x * y,
        -x,
        x < y,
        x.eq(y),
        x << n,
        x >> n,
        maximum(x, y),
        x.wrap(size - 1),
        x.low(size - 1),
        x - top + top,
    ]
    ends = [-top, -top + 1, -1, 0, 1, top - 2, top - 1]
    points = list(itertools.product(ends, ends, [0, 1, size - 1, size]))
    inputs = {k: np.array([p[j] for p in points], dtype=object) for j, k in enumerate("xyn")}
    dtypes = {k: array_dtype(w) for k, w in (("x", x), ("y", y), ("n", n))}
    results = [array_dtype(w) for w in words]
    outs = compile_map(words, dtypes, results)([numbers(list(inputs[k]), dtypes[k]) for k in "xyn"])
    assert len(points) == 196
    for out, want in zip(outs, evaluate(words, inputs), strict=True):
        assert (from_wide(out) if out.dtype.kind == "V" else out).tolist() == [int(v) for v in want]


# ranges are reached


RANGES = [(0, 1), (0, 5), (-3, 2), (-4, -1), (2, 7), (3, 3)]
TIGHT: dict[str, Callable[[Any, Any], Word]] = {
    "add": lambda x, y: x + y,
    "sub": lambda x, y: x - y,
    "mul": lambda x, y: x * y,
    "negate": lambda x, y: -x,
    "negate_if": lambda x, y: negate_if(x, y.eq(variable("z", 0, 7))),
    "shl": lambda x, y: x << maximum(y, 0),
    "shr": lambda x, y: x >> maximum(y, 0),
    "max": maximum,
    "min": minimum,
    "clamp": lambda x, y: (x + y).clamp(-2, 6),
    "lt": lambda x, y: x < y,
    "le": lambda x, y: x <= y,
    "gt": lambda x, y: x > y,
    "ge": lambda x, y: x >= y,
    "eq": lambda x, y: x.eq(y),
    "mux": lambda x, y: mux(variable("z", 0, 1), x, y),
    "many": lambda x, y: (x + 3) * 5 - (y << 2),
}


@pytest.mark.parametrize("name", TIGHT)
def test_ranges_are_reached(name: str) -> None:
    for a, b in itertools.product(RANGES, RANGES):
        x, y = variable("x", *a), variable("y", *b)
        word = TIGHT[name](x, y)
        points = list(itertools.product(range(a[0], a[1] + 1), range(b[0], b[1] + 1), range(8)))
        if any(w.attr == "z" and w.hi == 1 for w in topological([word])):
            points = [p for p in points if p[2] < 2]
        inputs = {k: np.array([p[j] for p in points]) for j, k in enumerate("xyz")}
        found = np.broadcast_to(evaluate([word], inputs)[0], len(points))
        assert (found.min(), found.max()) == (word.lo, word.hi), (name, a, b)


def test_bit_operations_stay_below_the_next_power_of_two() -> None:
    x, y = variable("x", 0, 5), variable("y", 0, 9)
    assert ((x & y).hi, (x | y).hi, (x ^ y).hi) == (5, 15, 15)
    assert (x.low(2).hi, x.low(3)) == (3, x)
    assert ((y - 3).wrap(3).lo, (y - 3).wrap(3).hi) == (-4, 3)
    assert (y - 3).wrap(4) is y - 3
    assert lookup(x, [3, 1, 4, 1, 5, 9]).hi == 9


# identities


def test_equal_nodes_are_one_object() -> None:
    x, y = variable("x", -8, 7), variable("y", 0, 3)
    assert variable("x", -8, 7) is x
    assert variable("x", -8, 6) is not x
    assert x + y is x + y
    assert (x * y + 1) >> 2 is (x * y + 1) >> 2
    assert x + y is not y + x
    assert lookup(y, [1, 2, 3, 4]) is lookup(y, (1, 2, 3, 4))
    assert const(5) is const(5)


def test_nodes_die_with_their_last_user() -> None:
    from hwq.bits import word

    x = variable("only here", 0, 100)
    gc.collect()
    before = len(word._nodes)
    for n in range(50):
        assert ((x + 1000 + n) * 3 >> 2).hi == (1100 + n) * 3 >> 2
    gc.collect()
    assert len(word._nodes) == before


def test_constants_fold_and_neutral_elements_vanish() -> None:
    x, bit = variable("x", -8, 7), variable("b", 0, 1)
    for same in (
        x + 0,
        x - 0,
        x * 1,
        1 * x,
        x << 0,
        x >> 0,
        0 + x,
        mux(bit, x, x),
        mux(const(1), x, 3),
        mux(const(0), 3, x),
    ):
        assert same is x
    for same in (x.within(-8, 7), x.clamp(-8, 7), x.wrap(4), maximum(x, -8), minimum(x, 7), negate_if(x, 0), 0 - (-x)):
        assert same is x
    assert bit.low(1) is (bit & 1) is (bit | 0) is (bit ^ 0)
    for word, number in (
        (x * 0, 0),
        (const(3) + 4, 7),
        (const(3) << 2, 12),
        (bit & 0, 0),
        (x.eq(x), 1),
        (x < 8, 1),
        (x > 7, 0),
    ):
        assert word is const(number)
    assert x.stage("mul") is not x and const(2).stage("mul") is const(2)


def test_a_sum_of_sums_is_one_sum() -> None:
    x, y, z = (variable(n, 0, 9) for n in "xyz")
    word = (x + 1) + (y + 2) + (z - 3)
    assert word.op == "add" and word.args == (x, y, z)
    assert ((x + 5) + (y + 2)).args[-1] is const(7)


def test_a_sign_undone_is_free() -> None:
    x, s, t = variable("x", -9, 5), variable("s", 0, 1), variable("t", 0, 1)
    assert negate_if(negate_if(x, s), s) is x
    assert negate_if(negate_if(x, s), t) is not x
    assert negate_if(negate_if(x, s).within(-5, 9), s) is x
    assert Unpacked.of(x).sig is x
    assert (Unpacked.of(x).mag.lo, Unpacked.of(x).mag.hi) == (0, 9)


@pytest.mark.parametrize("bits", [1, 2, 3, 7, 8, 9, 12])
def test_ilog2_of_every_number(bits: int) -> None:
    for top in {(1 << bits) - 1, 1 << (bits - 1), (1 << bits) - 2} - {0}:
        x = np.arange(top + 1)
        (found,) = evaluate([ilog2(variable("x", 0, top))], {"x": x})
        assert np.broadcast_to(found, x.shape).tolist() == [max(int(v).bit_length() - 1, 0) for v in x]
        assert ilog2(variable("x", 0, top)).hi >= top.bit_length() - 1


@pytest.mark.parametrize("bits", [24, 53, 64, 65, 200])
def test_ilog2_at_the_powers(bits: int) -> None:
    x = sorted({max(0, (1 << n) + d) for n in range(bits) for d in (-1, 0, 1)} | {(1 << bits) - 1})
    (found,) = evaluate([ilog2(variable("x", 0, (1 << bits) - 1))], {"x": np.array(x, dtype=object)})
    assert found.tolist() == [max(v.bit_length() - 1, 0) for v in x]


# claims and misuse


def test_a_wrong_claim_is_caught_by_the_definition() -> None:
    claim = variable("x", 0, 9).within(0, 5)
    assert evaluate([claim], {"x": 5}) == [5]
    with pytest.raises(AssertionError, match="left its range"):
        evaluate([claim], {"x": 6})
    with pytest.raises(AssertionError, match="left its range"):
        evaluate([claim], {"x": np.array([1, 6])})


def test_an_input_outside_its_range_is_caught() -> None:
    with pytest.raises(AssertionError, match="left its range"):
        evaluate([variable("x", 0, 9) + 1], {"x": 10})


def test_misuse_fails_while_the_text_is_read() -> None:
    x = variable("x", -1, 3)
    with pytest.raises(AssertionError, match="lo <= hi must hold for 'y', not 3 > 2"):
        variable("y", 3, 2)
    for misuse in (lambda: x & 1, lambda: 1 | x, lambda: x ^ x, lambda: x << x, lambda: x >> x):
        with pytest.raises(AssertionError, match="negative"):
            misuse()
    with pytest.raises(AssertionError, match="leaves a table of 3"):
        lookup(x + 1, [1, 2, 3])
    with pytest.raises(AssertionError):
        ilog2(x)


def test_arguments_come_before_their_users() -> None:
    x, y = variable("x", 0, 9), variable("y", 0, 9)
    shared = x * y
    order = topological([shared + x, shared + y, shared])
    assert len(order) == len(set(order)) == 5
    for at, word in enumerate(order):
        assert all(order.index(a) < at for a in word.args)
