"""Layers walked loop by loop with sets of coordinates, in plain Python: the oracle of hwq.costmodel.networks.

It shares no code with what it checks: tiles are ranges, what a tile needs is the set of coordinates that its
multiply-accumulates name, it is loaded where the ranges before were others, and slots of the pipeline run one by one.
"""

import itertools
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from math import ceil, prod

Pair = tuple[int, int]
Coordinates = frozenset[tuple[int, ...]]


@dataclass
class Nest:
    """A layer as loops, with the bits of input, weight, sum and output."""

    k: int
    c: int
    out: Pair
    image: Pair
    kernel: Pair
    stride: Pair
    padding: Pair
    dilation: Pair
    groups: int
    batch: int
    bits: tuple[int, int, int, int]
    vector_ops: int


@dataclass
class Found:
    """What a walk counted."""

    total: int = 0
    compute: int = 0
    loaded: Counter[str] = field(default_factory=Counter)
    passed: Counter[str] = field(default_factory=Counter)
    most: Counter[str] = field(default_factory=Counter)
    macs: int = 0


def cut(size: int, tile: int) -> list[range]:
    return [range(at, min(at + tile, size)) for at in range(0, size, tile)]


def blocks(size: int, tile: int) -> Iterator[list[int]]:
    for at in range(0, size, tile):
        yield list(range(size))[at : at + tile]


def streamed(shape: tuple[int, int, int], im2col: bool, held: str, start: int) -> Callable[..., Counter[str]]:
    """A tile on an array of pixels x outputs x inputs that takes a block of each a cycle."""

    def tile(pixels: int, outputs: int, inputs: int, taps: int) -> Counter[str]:
        done: Counter[str] = Counter(cycles=start)
        terms = list(blocks(taps * inputs, shape[2]))
        if not im2col:
            terms = [block for _ in range(taps) for block in blocks(inputs, shape[2])]
        for ps in blocks(pixels, shape[0]):
            for ks in blocks(outputs, shape[1]):
                for cs in terms:
                    done["cycles"] += 1
                    done["inputs"] += len(ps) * len(cs)
                    done["weights"] += len(ks) * len(cs)
                    done["sums"] += len(ps) * len(ks) * (held == "weight")
                done["sums"] += len(ps) * len(ks) * (held == "sum")
        if held == "weight":
            done["weights"] = outputs * inputs * taps
        return done

    return tile


def needed(nest: Nest, b: int, rows: range, cols: range, ks: range, cs: range) -> tuple[Coordinates, ...]:
    """Coordinates of the inputs, weights and outputs of a tile of one group."""
    inputs, weights, outputs = set(), set(), set()
    for k, y, x, c, fy, fx in itertools.product(ks, rows, cols, cs, range(nest.kernel[0]), range(nest.kernel[1])):
        iy = y * nest.stride[0] + fy * nest.dilation[0] - nest.padding[0]
        ix = x * nest.stride[1] + fx * nest.dilation[1] - nest.padding[1]
        if 0 <= iy < nest.image[0] and 0 <= ix < nest.image[1]:
            inputs.add((b, c, iy, ix))
        weights.add((k, c, fy, fx))
        outputs.add((b, k, y, x))
    return frozenset(inputs), frozenset(weights), frozenset(outputs)


def tiles(
    nest: Nest, tile: tuple[int, int, int, int], order: str
) -> Iterator[tuple[int, int, range, range, range, range]]:
    rows, cols, ks, cs = (cut(size, t) for size, t in zip((*nest.out, nest.k, nest.c), tile, strict=True))
    for g in range(nest.groups):
        if order == "pixels":
            for b, r, x, k, c in itertools.product(range(nest.batch), rows, cols, ks, cs):
                yield g, b, r, x, k, c
        else:
            for k, b, r, x, c in itertools.product(ks, range(nest.batch), rows, cols, cs):
                yield g, b, r, x, k, c


def walk(
    nest: Nest,
    tile: tuple[int, int, int, int],
    order: str,
    array: Callable[..., Counter[str]],
    per_bit: Fraction,
    per_op: Fraction,
    overlaps: bool = True,
) -> Found:
    """The layer, step by step and slot by slot."""
    found, whole, steps = Found(), Counter(), []
    names, taps = ("input", "weight", "output"), prod(nest.kernel)
    width = dict(zip(("input", "weight", "sum", "output"), nest.bits, strict=True))
    before: tuple[object, ...] = (None, None)
    for g, b, rows, cols, ks, cs in tiles(nest, tile, order):
        ranges = (g, b, rows, cols, cs), (g, ks, cs), (g, b, rows, cols, ks)
        sets = tuple(zip(ranges, needed(nest, b, rows, cols, ks, cs), strict=True))
        load = 0
        for name, old, new in zip(names, before, sets, strict=False):
            bits = len(new[1]) * width[name] * (old != new[0])
            found.loaded[name] += bits
            load += bits
        before = ranges[:2]
        for place in sets[2][1]:
            whole[(g, *place)] += len(cs) * taps
        found.macs += len(sets[2][1]) * len(cs) * taps
        ended = all(whole[(g, *place)] == nest.c * taps for place in sets[2][1])
        store = len(sets[2][1]) * width["output"] * ended
        found.loaded["output"] += store
        done = array(len(rows) * len(cols), len(ks), len(cs), taps)
        for name in ("inputs", "weights", "sums"):
            found.passed[name] += done[name]
        found.compute += done["cycles"]
        steps.append((load, done["cycles"], store, len(sets[2][1]) * nest.vector_ops * ended, sets))
    assert set(whole.values()) == {nest.c * taps}
    idle = (0, 0, 0, 0, None)
    for slot in range(len(steps) + 2):
        first, second, third = (steps[slot - lag] if 0 <= slot - lag < len(steps) else idle for lag in range(3))
        waiting = second[1] + (0 if overlaps else ceil(second[3] * per_op))
        passing = ceil(third[3] * per_op) if overlaps else 0
        found.total += max(ceil((first[0] + third[2]) * per_bit), waiting, passing)
        for at, name in enumerate(names):
            live = {step[4][at] for step in ((first, second) if at < 2 else (second, third)) if step[4] is not None}
            bits = max(width["sum"], width["output"]) if at == 2 else width[name]
            found.most[name] = max(found.most[name], sum(len(one[1]) * bits for one in live))
    return found
