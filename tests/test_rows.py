"""Rows equal the text they were lowered from: blocks run cycle by cycle against the integer reader."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from hwq.bits import Word, evaluate, flipped, variable, window
from hwq.bits.cells import CELL_OPS, Block, Net
from hwq.bits.gated import Gated
from hwq.bits.pairs import Pairs
from hwq.bits.rows import Lowering
from hwq.costmodel.context import Context
from hwq.datapath import Datapath, plan, steps
from hwq.datapath.operand import operands

X, U, N, T = variable("x", -300, 255), variable("u", 0, 1000), variable("n", 0, 13), variable("t", -2, 1)
MINUS = X < 0
Values = dict[Net, Any]


def number(net: Net, values: Values) -> Any:
    """The net's value as a signed or unsigned number."""
    if net.value is not None:
        return net.value - (net.signed and net.value >> (net.width - 1)) * (1 << net.width)
    raw = values[net]
    return np.where((raw >> (net.width - 1)) & 1, raw - (1 << net.width), raw) if net.signed else raw


def settle(block: Block, values: Values) -> None:
    """Compute every combinational cell; `reg` cells hold what they have."""
    for cell in block.cells:
        assert cell.op in CELL_OPS
        if cell.op == "reg":
            continue
        args = [number(a, values) for a in cell.args]
        raws = [a.value if a.value is not None else values[a] for a in cell.args]
        found = np.asarray(_run(cell.op, cell.attr, args, raws, cell.args)).astype(object)
        values[cell.out] = found & ((1 << cell.out.width) - 1)


def _run(op: str, attr: Any, args: list[Any], raws: list[Any], nets: tuple[Net, ...]) -> Any:
    if op == "view":
        return args[0] >> attr
    if op == "cat":
        total, at = raws[0] * 0, 0
        for raw, net in zip(raws, nets, strict=True):
            total, at = total + (raw << at), at + net.width
        return total
    if op == "not":
        return ~args[0]
    if op == "select":
        return np.choose(np.asarray(raws[0]).astype(np.int64), np.broadcast_arrays(*args[1:]))
    if op == "booth":
        d = raws[1]
        digit = -2 * (d >> 2 & 1) + (d >> 1 & 1) + (d & 1)
        return digit * args[0] - (d >> 2 & 1)
    if op == "row":
        return args[0] + args[1] + args[2]
    if op == "gated":
        assert np.all(np.asarray(raws[3] <= raws[2]))  # else the chain makes a carry that it should not
        return args[0] + (1 - 2 * raws[3]) * args[1] * raws[2]
    if op == "twin":
        return args[0] * args[1] + args[2] * args[3] - (raws[3] >> 1 & 1)
    if op == "triple":
        return sum(args)
    if op == "pair":
        return args[0] * args[1] + args[2] * args[3]
    if op in ("lt", "eq"):
        return (args[0] < args[1]) * 1 if op == "lt" else (args[0] == args[1]) * 1
    if op == "table":
        return np.array(attr, dtype=object)[np.asarray(raws[0]).astype(np.int64)]
    result = args[0]
    for a in args[1:]:
        result = result & a if op == "and" else result | a if op == "or" else result ^ a
    return result


def clock(block: Block, values: Values, clear: bool = False) -> None:
    following = {c.out: values[c.args[0]] for c in block.cells if c.op == "reg"}
    following |= {s.q: values[s.q] * 0 if clear else values[s.d] for s in block.states}
    values.update(following)


def codes(fmt: Any, shape: tuple[int, ...], rng: np.random.Generator) -> Any:
    valid = fmt.codes().astype(np.int64)
    return valid[rng.integers(0, len(valid), shape)].astype(object)


TEXTS = [
    "int8*int8 +fixed(32)",
    "int4*int4 +fixed(16)",
    "int8*int8 +fixed(12)",
    "int8*ternary +fixed(20)",
    "ternary*int8",
    "ternary*ternary",
    "uint8*int8",
    "uint8*uint4 k=100",
    "int5*int6 k=9",
    "int(3)*int(7) +fixed(14,sat)",
    "int8*int8 +fixed(24,sat) cut=mul",
    "int8*int8 +fixed(32) cut=mul1,mul2,mul3,mul",
    "int8*int8 +fixed(16,-4,rne)",
    "fp4_e2m1*fp4_e2m1 +fixed(20)",
    "fp6_e2m3*fp6_e2m3 +fixed(24) cut=mul1",
    "fp6_e3m2*fp6_e3m2",
    "fp8_e4m3*fp8_e4m3 +fixed(48) cut=mul",
    "fp8_e4m3*fp8_e4m3 +fixed(40,10,sat,rne) cut=mul,align",
    "fp8_e4m3*fp8_e4m3 +fixed(40,12,rtz) decode=pe cut=unpack,mul,align",
    "fp8_e5m2*fp8_e5m2 cut=mul",
    "fp8_e5m2*int8 +fixed(44)",
    "fp8_e4m3*int4",
    "bf16*int4 +fixed(80,20)",
    "fp(1,3)*fp(3,0)",
    "fp(4,2,nosub)*int4 cut=align",
]


@pytest.mark.parametrize("text", TEXTS)
def test_a_pe_accumulates_as_its_text_says(text: str) -> None:
    dp = Datapath.parse(text)
    block = plan(dp).blocks["pe"]
    mac, rng, n, terms = dp.mac, np.random.default_rng(1), 200, 12
    pair = operands(mac)
    stream = [[codes(o.fmt, (n,), rng) for o in pair] for _ in range(terms)]
    values: Values = {s.q: np.zeros(n, dtype=object) for s in block.states}
    values |= {c.out: np.zeros(n, dtype=object) for c in block.cells if c.op == "reg"}
    state = steps.state(mac)
    fields = [o.decode(o.fmt.code_word) for o in pair]
    expected = {name: np.zeros(n, dtype=object) for name in state.words}
    inputs = [o.inputs(p) for o, p in zip(pair, "aw", strict=True)]
    after = steps.step(mac, state, steps.product(mac, *inputs))
    for j in range(terms + block.depth + 1):
        now = stream[j] if j < terms else [np.full(n, int(o.fmt.encode(np.zeros(1))[0]), dtype=object) for o in pair]
        decoded: dict[str, Any] = {}
        for prefix, field, code in zip("aw", fields, now, strict=True):
            decoded[f"{prefix}_code"] = code
            for name, word in field.items():
                decoded[f"{prefix}_{name}"] = evaluate([word], {"code": code})[0]
        for net in block.inputs:
            values[net] = decoded[net.name] & ((1 << net.width) - 1)
        settle(block, values)
        clock(block, values)
        if j < terms:
            given = decoded | dict(expected)
            found = evaluate(list(after.words.values()), given)
            expected = {k: np.broadcast_to(f, (n,)) for k, f in zip(after.words, found, strict=True)}
    compared = 0
    for name, net in block.outputs:
        if name in expected:
            np.testing.assert_array_equal(number(net, values), expected[name], err_msg=f"{text}: {name}")
            compared += n
    assert compared >= n


EPILOGUES = [
    "int8*int8 +fixed(24) ->int8[bias,requant,relu]",
    "int8*int8 +fixed(24) ->int8[bias,requant] round=rna",
    "int8*int4 +fixed(20) ->int4[requant] cut=requant",
    "int8*ternary +fixed(20) ->uint8[bias,requant,relu] cut=bias,requant,act",
    "fp8_e4m3*int4 ->fp8_e4m3[bias,requant]",
    "fp8_e4m3*fp8_e4m3 ->bf16",
    "fp8_e5m2*fp8_e5m2 ->fp8_e5m2[relu] k=16",
    "fp8_e5m2*int4 ->fp(5,2,inf,ovf=inf)[bias] round=rup",
    "int8*int8 ->fp4_e2m1[requant(uint8)] round=rtz",
    "fp6_e2m3*fp6_e2m3 ->fp6_e2m3 round=rdn",
    "fp8_e5m2*fp8_e4m3 k=8",
]


@pytest.mark.parametrize("text", EPILOGUES)
def test_an_epilogue_finishes_as_its_text_says(text: str) -> None:
    dp = Datapath.parse(text)
    block, mac, rng, n = plan(dp).blocks["epilogue"], dp.mac, np.random.default_rng(2), 3000
    state, given = steps.state(mac), steps.parameters(mac)
    words = {**state.words, **given}
    data = {}
    for name, w in words.items():
        sizes = rng.integers(0, (w.hi - w.lo).bit_length() + 1, n).tolist()
        draws = [int(d) * (1 << 40) + int(e) for d, e in rng.integers(0, 1 << 40, (n, 2))]
        low = [
            w.lo + d % (w.hi - w.lo + 1) if w.lo >= 0 else (d % (1 << s)) * (1 - 2 * (d & 1))
            for d, s in zip(draws, sizes, strict=True)
        ]
        data[name] = np.array([max(w.lo, min(w.hi, v)) for v in low], dtype=object)
        data[name][:2] = [w.lo, w.hi]
    (expected,) = evaluate([steps.finish(mac, state, given)], data)
    values: Values = {c.out: np.zeros(n, dtype=object) for c in block.cells if c.op == "reg"}
    for net in block.inputs:
        values[net] = data[net.name] & ((1 << net.width) - 1)
    for _ in range(block.depth + 1):
        settle(block, values)
        clock(block, values)
    settle(block, values)
    ((_, out),) = block.outputs
    np.testing.assert_array_equal(number(out, values), expected)


@pytest.mark.parametrize(
    "name", ["int8", "ternary", "fp8_e4m3", "fp8_e5m2", "fp6_e3m2", "fp6_e2m3", "fp4_e2m1", "fp16", "uint8"]
)
def test_a_decoder_unpacks_every_code(name: str) -> None:
    dp = Datapath.parse(f"{name}*int4 k=4")
    block, operand = plan(dp).blocks["decode_a"], operands(dp.mac)[0]
    every = operand.fmt.codes().astype(np.int64).astype(object)
    values: Values = {block.inputs[0]: every}
    settle(block, values)
    for field, net in block.outputs:
        np.testing.assert_array_equal(number(net, values), evaluate([operand.fields[field]], {"code": every})[0])
    assert len(block.outputs) >= 1


OPERATIONS: dict[str, Callable[[], list[Word]]] = {
    "a shift down": lambda: [X >> N, U >> N],
    "of which few bits are read": lambda: [(X >> N).low(3), (U >> N).low(2)],
    "by twos": lambda: [X >> (N << 1), (U >> (N.low(2) << 2)).low(4), X.lost(N << 1)],
    "a shift up": lambda: [X << N, U << N],
    "what is lost": lambda: [X.lost(N), U.lost(N), X.lost(5), (X >> N).low(4) + X.lost(N)],
    "a leading one": lambda: [U.excess(1), U.excess(4), U.excess(9), U.low(8).excess(0)],
    "a leading bit": lambda: [flipped(X, MINUS, 10).excess(3), flipped(X, MINUS, 9).excess(4)],
    "a window": lambda: [*window(X, MINUS, 4, 3, 7), *window(X, MINUS, 1, 4, 3), *window(U, U < 0, 2, 5, 99)],
    "a window below the last bit": lambda: [*window(X, MINUS, 0, 6, 99), *window(T, T < 0, 3, 2, 1)],
    "a sum of many": lambda: [X + U + N + T + 7, X - N + MINUS + (T << 4), U + N.eq(3) + (X > U) + (T < 0)],
    "a bit's complement": lambda: [1 - N.eq(4), 1 - X.lost(2)],
    "comparisons": lambda: [U < 64, U > 63, U >= 64, U <= 63, U > 0, X < 64, X > -65, X < U, N >= 8],
}


@pytest.mark.parametrize("name", OPERATIONS)
def test_an_operation_is_what_it_says(name: str) -> None:
    words, low = OPERATIONS[name](), Lowering("operation")
    rng, count = np.random.default_rng(3), 4000
    data = {str(v.attr): rng.integers(v.lo, v.hi + 1, count).astype(object) for v in (X, U, N, T)}
    data |= {str(v.attr): np.append(data[str(v.attr)], [v.lo, v.hi] * 40) for v in (X, U, N, T)}
    for v in (X, U, N, T):
        low.input(v)
    block = low.block([(f"o{j}", net) for j, net in enumerate(low.lower(words))])
    values: Values = {net: data[net.name] & ((1 << net.width) - 1) for net in block.inputs}
    settle(block, values)
    for (_, net), word, expected in zip(block.outputs, words, evaluate(words, data), strict=True):
        np.testing.assert_array_equal(number(net, values), np.broadcast_to(expected, len(data["x"])), err_msg=str(word))
    assert len(words) >= 2


CHAINS = [
    ((-128, 127), (-128, 127), 4, 24),
    ((-128, 127), (-128, 127), 1, 32),
    ((-12, 12), (-12, 12), 8, 20),
    ((-128, 127), (-1, 1), 5, 20),
    ((0, 255), (-8, 7), 3, 16),
    ((0, 15), (0, 15), 2, 13),
    ((-1, 1), (-1, 1), 6, 8),
    ((-2000, 2000), (-3, 3), 3, 15),
]


MADE = [(make, *chain) for make in (Lowering, Gated) for chain in CHAINS] + [(Pairs, *CHAINS[3]), (Pairs, *CHAINS[6])]


@pytest.mark.parametrize(("make", "a", "w", "lanes", "bits"), MADE)
def test_products_of_lanes_run_through_each_other(
    make: type[Lowering], a: tuple[int, int], w: tuple[int, int], lanes: int, bits: int
) -> None:
    low, total = make("lanes"), variable("acc", -(1 << bits - 1), (1 << bits - 1) - 1)
    pairs = [(variable(f"a{j}", *a), variable(f"w{j}", *w)) for j in range(lanes)]
    after = total
    for x, y in pairs:
        low.input(x), low.input(y)
        after = after + x * y
    low.state(total)
    after = after.wrap(bits)
    low.lower([after])
    low.feed(total, after)
    block = low.block([("acc", low.net(total))], aligned=False)
    rng, n, terms = np.random.default_rng(4), 300, 9
    values: Values = {s.q: np.zeros(n, dtype=object) for s in block.states}
    expected: Any = np.zeros(n, dtype=object)
    for step in range(terms):
        data = {str(v.attr): rng.integers(v.lo, v.hi + 1, n).astype(object) for pair in pairs for v in pair}
        for v in [v for pair in pairs for v in pair]:
            data[str(v.attr)][:20] = v.lo if step % 2 else v.hi
        expected = evaluate([after], data | {"acc": expected})[0]
        values |= {net: data[net.name] & ((1 << net.width) - 1) for net in block.inputs}
        settle(block, values)
        clock(block, values)
    ((_, out),) = block.outputs
    np.testing.assert_array_equal(number(out, values), expected)
    rows = [cell for cell in block.cells if cell.op == "row"]
    assert sum(cell.out.width >= bits for cell in rows) == 0  # none has the accumulator's width


def test_four_lanes_of_eight_bits_take_their_bound() -> None:
    """36 bits of rows a product, the parts above what a product takes, and the register's top."""
    block = plan(Datapath.parse("int8*int8 +fixed(24) @1x1x4"), "xc7").blocks["pe"]
    context = Context(block)
    assert sum(context.row_luts(cell) for cell in block.cells if cell.op == "row") == 4 * 36 + (7 + 8 + 8) + 15
