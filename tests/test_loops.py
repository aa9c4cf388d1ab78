"""Compiled texts equal their definition: vectors, tails, wide integers, per-channel inputs and recurrences."""

from __future__ import annotations

from functools import reduce

import numpy as np
import pytest

from hwq.bits import Word, const, evaluate, lookup, mux, variable
from hwq.bits.loops import array_dtype, compile_map, compile_scan, from_wide, threads, to_wide
from hwq.datapath import Datapath, steps
from hwq.datapath.operand import operands
from hwq.errors import HwqError

TEXTS = (
    "int8*int8",
    "int8*int8 +fixed(24) ->int8[bias,requant,relu] round=rna",
    "int4*int4 +fixed(12,sat) ->uint4[requant] round=rtz",
    "fp8_e4m3*fp8_e4m3 ->fp8_e4m3[bias] round=rdn",
    "fp8_e5m2*fp8_e5m2 +fixed(81) ->fp8_e4m3[bias,requant] round=rup",
    "fp8_e5m2*fp8_e5m2 ->fp8_e5m2[relu]",
    "bf16*int8 ->bf16[requant] round=rdn",
    "bf16*bf16 ->bf16",
    "bf16*bf16 ->fp6_e2m3[bias,requant,relu]",
    "fp16*fp16 +fixed(90,40,sat,rne)",
)


def drawn(word: Word, n: int, rng: np.random.Generator) -> np.ndarray:
    """Random integers of every length in the word's range, and its ends."""
    bits = max(abs(word.lo), word.hi).bit_length()
    found = [word.lo, word.hi, min(max(0, word.lo), word.hi), min(max(1, word.lo), word.hi)]
    while len(found) < n:
        number = reduce(lambda x, d: x << 32 | int(d), rng.integers(0, 1 << 32, bits // 32 + 1), 0)
        number >>= int(rng.integers(max(0, number.bit_length() - bits), number.bit_length() + 1))
        number = -number if rng.integers(2) else number
        if word.lo <= number <= word.hi:
            found.append(number)
    array = np.empty(n, dtype=object)
    array[:] = [found[j] for j in rng.permutation(n)]
    return array


def stored(word: Word, numbers: np.ndarray) -> np.ndarray:
    dtype = array_dtype(word)
    return to_wide(numbers, dtype) if dtype.kind == "V" else numbers.astype(dtype)


def numbers(array: np.ndarray) -> np.ndarray:
    return from_wide(array) if array.dtype.kind == "V" else array.astype(object)


@pytest.mark.parametrize("text", TEXTS)
def test_a_compiled_epilogue_equals_its_definition(text):
    mac, rng, n = Datapath.parse(text).mac, np.random.default_rng(0), 1003
    words = steps.state(mac).words | steps.parameters(mac)
    code = steps.finish(mac, steps.state(mac), steps.parameters(mac))
    values = {name: drawn(word, n, rng) for name, word in words.items()}
    arrays = {name: stored(word, values[name]) for name, word in words.items()}
    run = compile_map([code], {name: x.dtype for name, x in arrays.items()}, [array_dtype(code)])
    found = numbers(run(list(arrays.values()))[0])
    assert found.size == n and len(set(found.tolist())) > 4
    np.testing.assert_array_equal(found, evaluate([code], values)[0])


@pytest.mark.parametrize("text", TEXTS)
def test_a_compiled_recurrence_equals_its_definition(text):
    mac, rng, (m, k, n) = Datapath.parse(text).mac, np.random.default_rng(1), (3, 9, 70)
    sides, fields = [], []
    for prefix, operand, shape in zip("aw", operands(mac), ((m, k), (k, n)), strict=True):
        codes = rng.choice(operand.fmt.codes(), shape)
        read = dict(zip(operand.fields, evaluate(list(operand.fields.values()), {"code": codes}), strict=True))
        moving = {name: word for name, word in operand.fields.items() if not word.constant}
        sides.append({f"{prefix}_{name}": stored(word, read[name].astype(object)) for name, word in moving.items()})
        fields.append(operand.inputs(prefix))
    before = steps.state(mac)
    after = steps.step(mac, before, steps.product(mac, *fields)).words
    kinds = [{name: x.dtype for name, x in side.items()} for side in sides]
    found = compile_scan(before.words, list(after.values()), *kinds)(*(list(side.values()) for side in sides))
    now = {name: np.zeros((m, n), dtype=object) for name in after}
    for j in range(k):
        terms = {name: numbers(x)[:, j, None] for name, x in sides[0].items()}
        terms |= {name: numbers(x)[None, j, :] for name, x in sides[1].items()}
        wide = {name: np.broadcast_to(x, (m, n)) for name, x in terms.items()}
        now = dict(zip(after, evaluate(list(after.values()), now | wide), strict=True))
    assert len(found) == len(now) >= 1
    for x, name in zip(found, now, strict=True):
        np.testing.assert_array_equal(numbers(x), now[name])


@pytest.mark.parametrize("columns", [1, 3, 600])
def test_one_value_per_column_meets_every_row(columns):
    x, c = variable("x", -1000, 1000), variable("c", 0, 99)
    run = compile_map([x * c + 1], {"x": np.int16}, [np.int32], {"c": np.uint8})
    rng = np.random.default_rng(0)
    rows, along = rng.integers(-1000, 1001, (5, columns)).astype(np.int16), rng.integers(0, 100, columns)
    np.testing.assert_array_equal(run([rows], [along])[0], rows.astype(int) * along + 1)


@pytest.mark.parametrize("workers", ["1", "3"])
def test_pieces_of_several_threads_make_the_whole(workers, monkeypatch):
    monkeypatch.setenv("HWQ_THREADS", workers)
    assert threads() == int(workers)
    x, c = variable("x", -(1 << 31), (1 << 31) - 1), variable("c", 0, 6)
    numbers = np.arange(7 * 40001, dtype=np.int32).reshape(-1, 7)
    run = compile_map([x * 3 + c], {"x": np.int32}, [np.int64], {"c": np.int32})
    np.testing.assert_array_equal(run([numbers], [np.arange(7)])[0], numbers * 3 + np.arange(7))


def test_floats_carry_integers_in_and_out():
    x = variable("x", -(1 << 53), 1 << 53)
    numbers = np.array([0.0, -1.0, 2.0**53, -(2.0**53), 12345.0])
    double, single = compile_map([x, mux(x < 0, x, const(7))], {"x": np.float64}, [np.float64, np.float32])([numbers])
    assert double.tolist() == numbers.tolist()
    assert single.tolist() == [7, -1, 7, -(2.0**53), 7]


def test_scalars_empty_arrays_and_constants_keep_their_shape():
    x = variable("x", 0, 3)
    run = compile_map([lookup(x, [5, 6, 7, 8]), const(9)], {"x": np.uint8}, [np.int64, np.int8])
    assert [y.shape for y in run([np.uint8(2)])] == [(), ()]
    assert [int(y) for y in run([np.uint8(2)])] == [7, 9]
    assert run([np.zeros((0, 4), np.uint8)])[0].shape == (0, 4)


def test_wide_integers_survive_the_round_trip():
    word = variable("x", -(1 << 300), 1 << 300)
    values = drawn(word, 50, np.random.default_rng(2)).reshape(5, 10)
    assert array_dtype(word).itemsize == 40
    np.testing.assert_array_equal(from_wide(to_wide(values, array_dtype(word))), values)


@pytest.mark.parametrize("text", ["0", "two", "-1"])
def test_threads_must_be_a_number(text, monkeypatch):
    monkeypatch.setenv("HWQ_THREADS", text)
    with pytest.raises(HwqError, match="HWQ_THREADS must be a positive whole number, not"):
        threads()
