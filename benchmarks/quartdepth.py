"""QuartDepth's Table 3 by the cost model: 18 latencies of Metric3D, their ratios, a fitted and a blind column.

    python -m benchmarks.quartdepth        # with the preset's parameters, the table of ratios
    python -m benchmarks.quartdepth fit    # looks for the parameters first, in some minutes

Four parameters are looked for on a grid: trees and lanes of a core in each mode, powers of two, and outputs of a layer
that the vector unit passes a cycle, by quarters. The paper's figure has the speed-ups of ViT-L at 256 with 2 and 4
cores beside the 8 of the table. `fitted` takes the least squares of logarithms over all 18 latencies and the four
speed-ups; `blind` those of ViT-L at 256 alone, its three latencies and its speed-ups: all that is told of the other
five rows is from there. What the model is, other than these parameters, was chosen with table and figure in sight.
"""

from __future__ import annotations

import itertools
import math
import sys
from collections.abc import Iterator, Mapping
from functools import cache

from benchmarks.timing import Line
from hwq.costmodel.networks import price
from hwq.costmodel.networks.metric3d import LARGE, SMALL, metric3d
from hwq.costmodel.networks.quartdepth import CORES, MODES, OPS, OUTPUTS, Mode, accelerator

NETS = {"ViT-S": SMALL, "ViT-L": LARGE}
SIDES = (256, 512, 1024)
TABLE = {  # ms, FP32 / W4A8 / W4A4
    ("ViT-S", 256): (76.8, 42.6, 38.3),
    ("ViT-S", 512): (325.5, 159.0, 133.4),
    ("ViT-S", 1024): (2181.4, 836.8, 616.7),
    ("ViT-L", 256): (584.1, 223.5, 167.9),
    ("ViT-L", 512): (2214.5, 798.4, 568.5),
    ("ViT-L", 1024): (13297.1, 4228.3, 2725.1),
}
FIGURE = {2: (3.4, 5.5), 4: (3.0, 4.5), 8: (2.6, 3.5)}  # cores -> FP32 over W4A8, over W4A4
TREES = {
    "FP32": ((4, 8), (8, 8), (8, 16)),
    "W4A8": ((8, 16), (16, 16), (16, 32)),
    "W4A4": ((16, 16), (16, 32), (32, 32)),
}
VECTOR = (1.0, 1.25, 1.5, 1.75, 2.0)
KNOWN = ("ViT-L", 256)  # what the blind column is told from
LIMIT = 0.25

Point = tuple[str, int, str]  # network, side, mode
Parameters = tuple[Mapping[str, tuple[int, int]], float]
PRESET: Parameters = ({name: (mode.trees, mode.lanes) for name, mode in MODES.items()}, OUTPUTS)
POINTS = [(net, side, mode) for net, side in TABLE for mode in MODES]


def published(point: Point) -> float:
    """ms of the table."""
    net, side, mode = point
    return TABLE[net, side][list(MODES).index(mode)]


@cache
def latency(point: Point, trees: tuple[int, int], outputs: float, cores: int = CORES) -> float:
    """ms of the cost model."""
    net, side, mode = point
    widths = MODES[mode].widths
    layers = metric3d(NETS[net], side, widths, OPS)
    return price(layers, accelerator(Mode(widths, *trees), outputs, mode, cores)).latency_ms


def error(point: Point, parameters: Parameters) -> float:
    """ln of the model's latency over the table's."""
    trees, outputs = parameters
    return math.log(latency(point, trees[point[2]], outputs) / published(point))


def speedup(mode: str, cores: int, parameters: Parameters) -> float:
    """How many times faster than FP32 a mode runs ViT-L at 256."""
    trees, outputs = parameters
    slow, fast = (latency((*KNOWN, one), trees[one], outputs, cores) for one in ("FP32", mode))
    return slow / fast


def squares(points: list[Point], parameters: Parameters) -> float:
    """The squares of errors of latencies and of the figure's speed-ups with fewer cores."""
    figure = (
        math.log(speedup(mode, cores, parameters) / FIGURE[cores][at])
        for cores in FIGURE
        for at, mode in enumerate(("W4A8", "W4A4"))
        if cores < CORES
    )
    return sum(error(point, parameters) ** 2 for point in points) + sum(one**2 for one in figure)


def fit(points: list[Point]) -> Parameters:
    """The parameters on the grid with the least squares."""
    grid = itertools.product(itertools.product(*TREES.values()), VECTOR)
    return min(
        ((dict(zip(MODES, trees, strict=True)), outputs) for trees, outputs in grid),
        key=lambda parameters: squares(points, parameters),
    )


def ratios() -> Iterator[tuple[str, Point, Point]]:
    """(what, numerator, denominator) of every ratio: between modes, and between resolutions."""
    for net in NETS:
        for side, (one, other) in itertools.product(SIDES, itertools.combinations(MODES, 2)):
            yield f"{net} {side}, {one} / {other}", (net, side, one), (net, side, other)
        for mode, (small, large) in itertools.product(MODES, itertools.combinations(SIDES, 2)):
            yield f"{net} {mode}, {large} / {small}", (net, large, mode), (net, small, mode)


def off(top: Point, bottom: Point, parameters: Parameters) -> float:
    """How far a ratio is off."""
    return math.exp(error(top, parameters) - error(bottom, parameters)) - 1


def measure() -> Iterator[Line]:
    """With the parameters of the preset, which both fits find."""
    worst = max(abs(off(top, bottom, PRESET)) for _, top, bottom in ratios())
    yield Line("QuartDepth, Table 3: worst of 36 ratios", worst, "", LIMIT)


def main(argv: list[str]) -> int:
    """Print the tables; 1 if a ratio is further off than the limit."""
    fitted, blind = PRESET, PRESET
    if argv == ["fit"]:
        blind, fitted = fit([point for point in POINTS if point[:2] == KNOWN]), fit(POINTS)
        for name, (trees, outputs) in (("fitted", fitted), ("blind", blind)):
            print(f"{name}: trees x lanes {dict(trees)}, {outputs:g} outputs a cycle")
    print("| network | " + " | ".join(f"{mode}, ms | error" for mode in MODES) + " |\n" + "| --- " * 7 + "|")
    for net, side in TABLE:
        cells = [f"{published(p):,.1f} | {math.exp(error(p, fitted)) - 1:+.1%}" for p in POINTS if p[:2] == (net, side)]
        print(f"| {net}, {side} | {' | '.join(cells)} |")
    print("\n| ratio | published | fitted, error | blind, error |\n| --- | --- | --- | --- |")
    worst = [0.0, 0.0]
    for what, top, bottom in ratios():
        known = top[:2] == bottom[:2] == KNOWN
        errors = [off(top, bottom, parameters) for parameters in (fitted, blind)]
        worst = [
            max(most, abs(one) * (not (at and known))) for at, (most, one) in enumerate(zip(worst, errors, strict=True))
        ]
        told = "fitted" if known else f"{errors[1]:+.1%}"
        print(f"| {what} | {published(top) / published(bottom):.2f} | {errors[0]:+.1%} | {told} |")
    print("\n| cores | FP32 / W4A8 | model | FP32 / W4A4 | model |\n| --- | --- | --- | --- | --- |")
    for cores, wanted in FIGURE.items():
        cells = [f"{w} | {speedup(mode, cores, fitted):.2f}" for w, mode in zip(wanted, ("W4A8", "W4A4"), strict=True)]
        print(f"| {cores} | {' | '.join(cells)} |")
    print(f"\nworst of 36 ratios: fitted {worst[0]:.1%}; of 33: blind {worst[1]:.1%}")
    return int(max(worst) > LIMIT)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
