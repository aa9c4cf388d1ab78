"""The array around the processing elements, as counted pieces: what a top consists of beside its blocks' cells."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache, reduce
from typing import Any

import numpy as np

from hwq.bits.cells import Block, Net
from hwq.datapath import steps
from hwq.datapath.banks import FOOT, banks
from hwq.datapath.elements import MARKS, OPERAND, START, SUM, TAKEN, WEIGHT
from hwq.datapath.plans import FIRST, Plan
from hwq.datapath.schedule import Size, doubled, output_depth, pe_depth, skew, start, taking, waves, words
from hwq.datapath.tiles import spacing
from hwq.formats import STOCHASTIC
from hwq.formats.rounding import SEED_BITS

__all__ = ["Counts", "around", "modules", "structure", "surroundings"]

Counts = Any  # an integer, or one for each of many arrays

STATES = {"os": 5, "tree": 5, "ws": 4}  # clear, run, flush, drain, tail; clear, load, run, tail: one flip-flop each


def modules(plan: Plan, rows: Size, cols: Size) -> dict[str, Size]:
    """How many of each block a top of that kind holds."""
    array, (down, across) = plan.dp.array, plan.tile
    outputs, rows, cols = cols, rows // down, cols // across
    first = cols if array.dataflow == "ws" else 0 * cols
    found = {"pe": rows * cols - first, FIRST: first, "decode_a": rows * array.lanes, "decode_w": cols * array.lanes}
    if array.dataflow != "ws":
        del found[FIRST]
    feet = {FOOT: outputs} if FOOT in plan.blocks else {}
    return found | feet | {"epilogue": outputs}


def structure(plan: Plan) -> list[tuple[str, int, Block]]:
    """(name, count, block) of every module in the top."""
    array = plan.dp.array
    return [(name, count, plan.blocks[name]) for name, count in modules(plan, array.rows, array.cols).items()]


def around(plan: Plan) -> list[tuple[str, Mapping[str, float]]]:
    """(name, counts) of what the top itself adds to its modules."""
    array = plan.dp.array
    return list(surroundings(plan, array.rows, array.cols).items())


def _most(*sizes: Counts) -> Counts:
    """The largest, of each of many arrays where one of the sizes is of these."""
    if all(isinstance(size, int) for size in sizes):
        return max(sizes)
    return reduce(np.maximum, sizes)


def _bits(size: Counts) -> Counts:
    """The bit length of a number, which is the binary exponent of it as a float."""
    return size.bit_length() if isinstance(size, int) else np.frexp(size)[1]


def surroundings(plan: Plan, rows: Counts, cols: Counts) -> dict[str, dict[str, Counts]]:
    """What tops of the datapath add to their modules, one for each array of `rows` x `cols`.

    Counts: `ff` flip-flops; `shift` tables that shift in place of some; `gate` code bits forced to zero outside a run
    before logic, `valid` those of streams, each row's, and `lane` those that only a register takes, once a lane; `read`
    tables that choose among the rows; `column` those that know of a waiting result, `turn` bits of their counters;
    `control:...` the state machine of a dataflow, `count` its counter's bits. `ahead` is what tells tiles from one
    another that are on their way at once.
    `merged` are flip-flops that a synthesiser finds twice: an operand's delay within an element is also the next
    element's operand register, or, where operands reach all elements at once, that of each of them.
    """
    dp = plan.dp
    mac, array, depth = dp.mac, dp.array, output_depth(dp)
    flow, streaming = array.dataflow, array.dataflow == "ws"
    down, across = plan.tile
    high, wide = rows // down, cols // across  # elements
    going = skew(flow, high, wide) + pe_depth(dp)
    longest = (_most(rows, going + depth) if streaming else _most(going - 1, rows, depth)) - 1
    if doubled(dp):
        longest = _most(rows, waves(dp, rows, cols)) - 1
    waits = cols - 1 if FOOT in plan.blocks else 0 * cols  # for the last column's results
    if FOOT in plan.blocks:
        longest = _most(words(dp) + pe_depth(dp), depth + waits, words(dp) + 1, cols) - 1
    count = _bits(longest)
    sums = sum(w.width for w in plan.state.words.values())
    if FOOT in plan.blocks:
        sums += banks(mac).width - mac.acc_bits
    held = sum(w.width for w in steps.parameters(mac).values())
    delays = _delays(plan.blocks["pe"])
    a, w = (operand.bits * array.lanes for operand in plan.operands)
    delayed = a * down * (high * (high - 1) // 2) + w * across * (wide * (wide - 1) // 2) * (not streaming)
    delayed = delayed * (flow != "tree")
    shifts = 0 * cols
    if flow == "os":  # codes wait as they came, but for the last cycle; a bit of each lane says whether they are any
        for operand, tile, edge in zip(plan.operands, plan.tile, (high, wide), strict=True):
            kept, shifted = _waiting(edge, plan.rows.shifts)
            earlier = _most(edge - 1, 0) * _most(edge - 2, 0) // 2
            delayed = delayed + array.lanes * tile * (operand.fmt.bits * kept - operand.bits * earlier)
            delayed = delayed + _most(edge - 2, 0)
            shifts = shifts + array.lanes * tile * operand.fmt.bits * shifted
    results = mac.output.bits * (cols * (cols - 1) // 2) * streaming
    valid = going + depth if streaming else depth + waits - (rows * depth == 1) * (FOOT not in plan.blocks)
    # each column counts by itself which row's turn it is and whether its result waits
    alone = not streaming and FOOT not in plan.blocks
    turns, columns = cols * _bits(rows - 1) * alone, cols * (cols > 1) * (rows * depth > 1) * alone
    lanes = (high + wide - 2) * (flow == "os") + (high - 1) * streaming
    gated = rows * a + cols * w * (not streaming)
    if plan.rows.kept and flow != "tree":  # flip-flops are set back for nothing: what counts is logic before them
        gates = {"a": a * (not streaming or not plan.rows.free), "w": w * (not streaming)}
        gated = 0 * rows + sum(bits for side, bits in gates.items() if plan.blocks[f"decode_{side}"].cells)
    # a cycle later: the load of weights behind decoders with a register, the clear of each row, or of all at once
    begun = 0 * cols
    late = streaming * (plan.blocks["decode_w"].depth > 0) + high * (flow == "os") + (flow == "tree")
    if not start(dp):  # it goes with the codes, a cycle later in each row; and whether parameters have come
        late = plan.blocks["decode_a"].depth + (high - 1) * (flow == "os") + bool(held)
        # of those with the same delay, along a diagonal, one is left; where operands reach all at once, of all
        begun = delays[START] * (high * wide - 1)
        if flow == "os":
            begun = (1 + delays[START]) * high * wide - (wide + delays[START])
    ahead = dict.fromkeys(("ff", "enable"), 0 * cols)
    if doubled(dp):  # of bits with the same delay one is left, as of what they enable
        _, last = taking(dp, rows, cols)
        marks = _most(plan.blocks["decode_a"].depth + high + wide - 2, last * bool(held))
        ahead["ff"], ahead["enable"] = valid + marks - high * wide, (high + wide - 1 - high * wide) * plan.rows.kept
    return {
        "edge": {
            "gate": gated,
            "valid": rows * a * streaming * plan.rows.free,
            "lane": lanes * plan.rows.kept,
            "ff": delayed,
            "shift": shifts,
        },
        # with stochastic rounding a seed is loaded, or goes on
        "noise": {"gate": cols * (SEED_BITS if mac.round == STOCHASTIC else 0)},
        "read_out": {
            "read": cols * (sums * _choice(rows, plan.rows.choice) - _cleared(plan, rows)) * (not streaming),
            "column": columns * plan.rows.kept,  # of standard cells these are too few to tell from the choice
            "turn": turns * plan.rows.kept,
            "ff": cols * mac.output.bits + results + columns + turns,
        },
        # of one row, and without output registers, the last state is the valid bit
        "control": {f"control:{flow}": 0 * rows + 1, "count": count, "ff": STATES[flow] + count + valid + late},
        "parameters": {"ff": cols * held},
        "ahead": ahead,
        "merged": {
            "ff": -(delays["a"] * high * (wide - 1) + delays["w"] * wide * (high - 1) * (not streaming)) - begun
        },
        **_shared(plan, high, wide),
        **_single(plan, rows, cols),
        **_unread(plan, high, wide),
        **_indexed(plan, rows, cols),
    }


def _waiting(edge: Counts, least: int | None) -> tuple[Counts, Counts]:
    """(flip-flops, shifting tables) of a bit that waits 1, 2, ... cycles in the lanes of an edge."""
    if isinstance(edge, int):
        return _waits(edge, least)
    found = np.array([_waits(int(lanes), least) for lanes in edge])
    return found[:, 0], found[:, 1]


@lru_cache(maxsize=4096)
def _waits(edge: int, least: int | None) -> tuple[int, int]:
    """A table of Xilinx holds up to 32 cycles; the first of 17 and of 33 is a flip-flop (Yosys, xilinx/cells_map.v)."""
    ff = tables = 0
    for cycles in range(1, edge - 1):
        rest = cycles % 32
        shifted = least is not None and cycles >= least
        ff += rest in (1, 17) if shifted else cycles
        tables += (cycles // 32 + (rest > 1)) * shifted
    return ff, tables


def _indexed(plan: Plan, rows: Counts, cols: Counts) -> dict[str, dict[str, Counts]]:
    """What banks ask for: their index and the codes that it stands for, rows that are left, what columns wait for."""
    if FOOT not in plan.blocks:
        return {}
    index, left = _bits(_most(words(plan.dp) - 1, cols - 2)), _bits(rows - 1)
    edges = zip(plan.operands, (rows, cols), strict=True)
    late = sum(operand.bits * _most(edge - 2, 0) for operand, edge in edges)
    return {"indices": {"count": index + left, "ff": index + left + late + (cols - 1) * (1 + left)}}


def _choice(rows: Counts, more: int) -> Counts:
    """Tables that choose one of so many bits; with one row a table, every fifth is one that joins four."""
    return -(-(rows - 1) // more) if more > 1 else (rows - 1) - (rows - 1) // 4


def _cleared(plan: Plan, rows: Counts) -> Counts:
    """Tables of an output path that clear its number under a NaN, and which the choice among rows takes in.

    Where a table chooses one of four, nothing is one more of these; where it chooses one of two it has an input left.
    """
    mac, more = plan.dp.mac, plan.rows.choice
    if mac.out is not None or mac.floats is not None or mac.has_inf or not mac.has_nan or not plan.rows.kept:
        return 0 * rows
    further = _choice(rows + 1, more) - _choice(rows, more) if more > 1 else 0 * rows
    return mac.acc_bits * (1 - further) * (rows > 1)


def _shared(plan: Plan, rows: Counts, cols: Counts) -> dict[str, dict[str, Counts]]:
    """What joins enable and reset in each element, which an array has once, and once for each row's clear."""
    if not plan.rows.joined:
        return {}
    element = plan.blocks["pe"]
    clears = (rows if plan.dp.array.dataflow == "os" else 1) * bool(element.states)
    return {
        "shared": {
            "joined": (element.register_kinds - bool(element.states)) + clears - element.register_kinds * rows * cols
        }
    }


def _single(plan: Plan, rows: Counts, cols: Counts) -> dict[str, dict[str, Counts]]:
    """What a synthesiser finds twice in a weight-stationary array, whose first row of sums are products.

    Above a product's sign a sum of one row has one register. Of the next row, where such a sum comes in, all places
    above but one are `alike`: both of their bits are signs, and of tables that are not bound to their place in a chain
    one is left. Where the product is logic, not itself a chain, no place is bound, and of the registers behind them
    one is left too, here and wherever that row's sums go. A first row's NaN of the one operand that may be NaN is
    what the next element gets.
    """
    mac, element = plan.dp.mac, plan.blocks["pe"]
    if plan.dp.array.dataflow != "ws" or plan.dp.array.lanes > 1:
        return {}
    twice = (cols - 1) * (mac.a.has_nan and not mac.has_inf and not mac.w.has_nan)
    if mac.floats is not None:
        return {"signs": {"ff": -twice}}
    hard = any(cell.op == "hard" for cell in element.cells)  # a multiplier block has no such tables
    above, waiting = max(0, mac.acc_bits - mac.sum_bits(1)), cols + cols * (cols - 1) // 2  # results that wait
    loose = plan.rows.kept and not plan.rows.free and _adds_logic(element)
    alike = max(0, above - 1) * cols * (rows > 1) * ((plan.rows.free or loose) and not hard)
    joined = twice + alike * loose
    if mac.out is None and mac.k == 1:
        joined = joined + above * waiting * (rows == 1)
    if mac.out is None and loose and not mac.has_inf:
        joined = joined + max(0, above - 1) * waiting * (rows == 2)
    return {"signs": {"alike": -alike, "ff": -joined}}


def _adds_logic(element: Block) -> bool:
    """Whether the last row of an element adds what multiplexers choose, not what another row formed."""
    driver = {cell.out: cell for cell in element.cells}
    rows = [cell for cell in element.cells if cell.op == "row"]
    source = driver.get(rows[-1].args[1]) if rows else None
    while source is not None and source.op in ("view", "reg"):
        source = driver.get(source.args[0])
    return source is not None and source.op == "select"


def _unread(plan: Plan, rows: Counts, cols: Counts) -> dict[str, dict[str, Counts]]:
    """What a multiplier block makes needless, in an array of rows x cols elements.

    It has operand registers inside: where the operand is not passed on, none is beside it, but for a significand that
    logic looks at because the other operand may be infinite. Between two numbers side by side every bit is a sign.
    """
    if not any(cell.op == "hard" for cell in plan.blocks["pe"].cells):
        return {}
    apart, (down, across) = spacing(plan.dp.mac), plan.tile
    own = [operand.fields["sig"].width for operand in plan.operands]
    signs = [(apart * step - width) * (n - 1) for step, width, n in zip((1, down), own, (down, across), strict=True)]
    if plan.dp.array.dataflow == "tree":
        return {"inside": {"ff": -(rows * signs[0] + cols * signs[1])}}
    numbers = [net for net in plan.blocks["pe"].inputs if net.name.endswith("_sig")]
    a, w = (sum(net.width for net in numbers if net.name[0] == side) for side in "aw")
    a, w = a * (not plan.dp.mac.w.has_inf), w * (not plan.dp.mac.a.has_inf and not doubled(plan.dp))
    passing = rows * (cols - 1) * signs[0] + (rows - 1) * cols * signs[1]
    return {"inside": {"ff": -(rows * a + cols * w + passing)}}


@lru_cache(maxsize=4096)
def _delays(element: Block) -> dict[str, int]:
    """Bits of each operand and of MARKS that an element holds beyond its operand registers: delays of the same."""
    inputs = [net for net in element.inputs if not net.name.startswith(SUM)]
    side: dict[Net, str] = {net: net.name if net.name in MARKS else net.name[0] for net in inputs}
    bits = {"a": 0, "w": 0, **dict.fromkeys(MARKS, 0)}
    for cell in element.cells:
        if cell.op == "reg" and cell.attr in (OPERAND, WEIGHT, TAKEN):
            side[cell.out] = side[cell.args[0]]
        elif cell.op in ("reg", "view") and cell.args[0] in side:
            side[cell.out] = side[cell.args[0]]
            bits[side[cell.out]] += cell.out.width * (cell.op == "reg")
    return bits
