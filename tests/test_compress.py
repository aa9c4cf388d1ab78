"""Trees of full adders give the numbers that their addends add up to, in any mixture of signs, shifts and constants."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from test_rows import Values, number, settle

from hwq.bits import Word, evaluate, negate_if, variable
from hwq.bits.cells import Block, Net
from hwq.bits.compress import Compressed
from hwq.bits.word import const

PREFIX = pytest.mark.parametrize("prefix", [False, True], ids=["row", "prefix"])


def lowered(inputs: Sequence[Word], result: Word, prefix: bool, cuts: Sequence[str] = ()) -> Block:
    """A block of one sum."""
    low = Compressed("sum", cuts, prefix=prefix)
    for word in inputs:
        low.input(word)
    return low.block([("result", low.lower([result])[0])])


def ran(block: Block, given: Mapping[str, Any]) -> Any:
    values: Values = {net: given[net.name] & ((1 << net.width) - 1) for net in block.inputs}
    settle(block, values)
    return number(block.outputs[0][1], values)


def agree(inputs: Sequence[Word], result: Word, given: Mapping[str, Any], prefix: bool) -> int:
    """Compare a text's rows with its numbers; how many were compared."""
    found = ran(lowered(inputs, result, prefix), given)
    np.testing.assert_array_equal(found, evaluate([result], dict(given))[0])
    return len(found)


def every(*words: Word) -> list[Any]:
    """All combinations of the words' values, one array each."""
    grids = np.meshgrid(*(np.arange(word.lo, word.hi + 1) for word in words), indexing="ij")
    return [grid.ravel().astype(object) for grid in grids]


@PREFIX
@pytest.mark.parametrize("signs", [(True, True), (True, False), (False, True), (False, False)])
def test_products_of_all_small_numbers(signs: tuple[bool, bool], prefix: bool) -> None:
    compared = 0
    for n in range(1, 7):
        for m in range(1, 7):
            a, w = (
                variable(name, -(1 << bits - 1) if signed else 0, (1 << bits - signed) - 1)
                for name, bits, signed in zip("aw", (n, m), signs, strict=True)
            )
            x, y = every(a, w)
            compared += agree([a, w], a * w, {"a": x, "w": y}, prefix)
    assert compared == (2 + 4 + 8 + 16 + 32 + 64) ** 2


@PREFIX
@pytest.mark.parametrize("bits", [(8, 8, 32), (8, 4, 24), (4, 4, 16), (5, 5, 11), (8, 2, 12), (3, 7, 10)])
def test_an_accumulator_enters_the_tree(bits: tuple[int, int, int], prefix: bool) -> None:
    n, m, width = bits
    a, w, s = (variable(name, -(1 << b - 1), (1 << b - 1) - 1) for name, b in zip("aws", bits, strict=True))
    x, y = every(a, w)
    rng = np.random.default_rng(0)
    sums = rng.integers(-(1 << width - 1), 1 << width - 1, len(x)).astype(object)
    sums[: len(x) // 2] = rng.choice([-(1 << width - 1), -1, 0, 1, (1 << width - 1) - 1], len(x) // 2)
    result = (s + a * w).wrap(width)
    assert agree([a, w, s], result, {"a": x, "w": y, "s": sums}, prefix) == 1 << n + m


@PREFIX
def test_negations_shifts_and_lone_bits_are_addends(prefix: bool) -> None:
    a, b, flag = variable("a", -8, 7), variable("b", 0, 15), variable("flag", 0, 1)
    x, y, z = every(a, b, flag)
    compared = 0
    for result in (
        a + b + flag,
        negate_if(a, flag) + (b << const(2)),
        a * b - b + flag,
        a + b + (a * b) + 100,
        negate_if(b, const(1)) + a,
        (a << const(3)) + b + 5,
    ):
        compared += agree([a, b, flag], result, {"a": x, "b": y, "flag": z}, prefix)
    assert compared == 6 * 512


@PREFIX
def test_random_addends_modulo_a_power_of_two(prefix: bool) -> None:
    rng, compared = np.random.default_rng(7), 0
    for _ in range(150):
        width = int(rng.integers(1, 24))
        low = Compressed("total", prefix=prefix)
        addends: list[tuple[Net, int]] = []
        for at in range(rng.integers(1, 9)):
            signed, bits = bool(rng.integers(2)), int(rng.integers(1, 14))
            word = variable(f"v{at}", -(1 << bits - 1) if signed else 0, (1 << bits - signed) - 1)
            addends.append((low.input(word), int(rng.integers(0, 10))))
        addends += [(low.constant(int(rng.integers(-300, 300))), int(rng.integers(0, 4)))] * int(rng.integers(0, 3))
        block = low.block([("result", low.total(addends, width))])
        given = {n.name: rng.integers(0, 1 << n.width, 64).astype(object) for n in block.inputs}
        expected = sum((number(net, {net: given.get(net.name)}) << by for net, by in addends), 0 * given["v0"])
        np.testing.assert_array_equal(ran(block, given), expected % (1 << width))
        compared += 64
    assert compared == 150 * 64


def test_what_a_sum_is_made_of() -> None:
    a, w, s = variable("a", -128, 127), variable("w", -128, 127), variable("s", -(1 << 31), (1 << 31) - 1)
    result = (s + a * w).wrap(32)
    row, prefix = (lowered([a, w, s], result, prefix) for prefix in (False, True))
    assert [cell.op for cell in row.cells].count("row") == 1
    assert "row" not in [cell.op for cell in prefix.cells]
    for block in (row, prefix):
        adders = [cell.out for cell in block.cells if cell.op == "xor" and cell.out.name.startswith("save")]
        # the 15 columns below the signs' ones hold 36 bits of multiples, 4 carries, 15 of the sum and 4 ones; a full
        # adder takes one away for good: 4 columns keep two bits, 11 keep one, and one carry leaves
        assert sum(net.width for net in adders) == 36 + 4 + 15 + 4 - (4 * 2 + 11) - 1
    assert len([cell for cell in row.cells if cell.op == "booth"]) == 4
    b, v = variable("b", -16, 15), variable("v", -16, 15)
    assert not [cell for cell in lowered([b, v], b * v, False).cells if cell.op == "booth"]  # gates are fewer here


def test_cuts_inside_a_product_keep_its_rows() -> None:
    a, w = variable("a", -128, 127), variable("w", -128, 127)
    block = lowered([a, w], a * w, True, ["mul1"])
    assert next(cell.attr for cell in block.cells if cell.op == "reg") == "mul1"
    assert [cell.op for cell in block.cells].count("row") == 4
