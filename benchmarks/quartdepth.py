"""QuartDepth's Table 3 by the cost model: 18 latencies of Metric3D, their ratios, a fitted and a blind column.

    python -m benchmarks.quartdepth        # with the preset's parameters, the table of ratios
    python -m benchmarks.quartdepth fit    # looks for the parameters first, in some minutes

Four parameters are looked for on a grid: trees and lanes of a core in each mode, powers of two, and outputs of a layer
that the vector units pass a cycle. `fitted` takes those of the least squares of log latency over all 18. `blind` takes,
for every ratio, those of the other network's nine latencies alone: what is told of ViT-L is by ViT-S, and the other way
round. What the model is, other than these parameters, was chosen with the table in sight.
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
from hwq.costmodel.networks.quartdepth import MODES, OPS, OUTPUTS, Mode, accelerator

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
TREES = {
    "FP32": ((4, 8), (8, 8), (8, 16)),
    "W4A8": ((8, 16), (16, 16), (16, 32)),
    "W4A4": ((16, 32), (32, 32), (32, 64)),
}
VECTOR = (0.8, 0.9, 1.0, 1.1, 1.2)
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
def latency(point: Point, trees: tuple[int, int], outputs: float) -> float:
    """ms of the cost model."""
    net, side, mode = point
    widths = MODES[mode].widths
    layers = metric3d(NETS[net], side, widths, OPS)
    return price(layers, accelerator(Mode(widths, *trees), outputs, mode)).latency_ms


def error(point: Point, parameters: Parameters) -> float:
    """ln of the model's latency over the table's."""
    trees, outputs = parameters
    return math.log(latency(point, trees[point[2]], outputs) / published(point))


def fit(points: list[Point]) -> Parameters:
    """The parameters on the grid with the least squares of errors at some points; trees of each mode by themselves."""
    best: dict[float, Parameters] = {}
    for outputs in VECTOR:
        squares = {
            (mode, trees): sum(error(p, ({mode: trees}, outputs)) ** 2 for p in points if p[2] == mode)
            for mode in MODES
            for trees in TREES[mode]
        }
        chosen = {mode: min(TREES[mode], key=lambda t, mode=mode: squares[mode, t]) for mode in MODES}  # type: ignore[misc]
        best[sum(squares[mode, trees] for mode, trees in chosen.items())] = chosen, outputs
    return best[min(best)]


def ratios() -> Iterator[tuple[str, str, Point, Point]]:
    """(network, what, numerator, denominator) of every ratio: between modes, and between resolutions."""
    for net in NETS:
        for side, (one, other) in itertools.product(SIDES, itertools.combinations(MODES, 2)):
            yield net, f"{net} {side}, {one} / {other}", (net, side, one), (net, side, other)
        for mode, (small, large) in itertools.product(MODES, itertools.combinations(SIDES, 2)):
            yield net, f"{net} {mode}, {large} / {small}", (net, large, mode), (net, small, mode)


def rows(fitted: Parameters, blind: Mapping[str, Parameters]) -> Iterator[tuple[str, float, float, float]]:
    """(what, published ratio, error of the fitted one, error of the blind one)."""
    for net, what, top, bottom in ratios():
        errors = [math.exp(error(top, p) - error(bottom, p)) - 1 for p in (fitted, blind[net])]
        yield what, published(top) / published(bottom), errors[0], errors[1]


def measure() -> Iterator[Line]:
    """With the parameters of the preset, which the fit finds from either network."""
    found = list(rows(PRESET, dict.fromkeys(NETS, PRESET)))
    yield Line("QuartDepth, Table 3: worst of 36 ratios", max(abs(row[2]) for row in found), "", LIMIT)


def main(argv: list[str]) -> int:
    """Print the table; 1 if a ratio is further off than the limit."""
    fitted, blind = PRESET, dict.fromkeys(NETS, PRESET)
    if argv == ["fit"]:
        fitted = fit(POINTS)
        blind = {net: fit([point for point in POINTS if point[0] != net]) for net in NETS}
        named = {"all": fitted} | {f"without {net}": blind[net] for net in NETS}
        for name, (trees, outputs) in named.items():
            print(f"from {name}: trees x lanes {dict(trees)}, {outputs:g} outputs a cycle")
    print("| network | " + " | ".join(f"{mode}, ms | error" for mode in MODES) + " |\n" + "| --- " * 7 + "|")
    for net, side in TABLE:
        cells = [f"{published(p):,.1f} | {math.exp(error(p, fitted)) - 1:+.1%}" for p in POINTS if p[:2] == (net, side)]
        print(f"| {net}, {side} | {' | '.join(cells)} |")
    print("\n| ratio | published | fitted, error | blind, error |\n| --- | --- | --- | --- |")
    found = list(rows(fitted, blind))
    for what, wanted, one, other in found:
        print(f"| {what} | {wanted:.2f} | {one:+.1%} | {other:+.1%} |")
    worst = [max(abs(row[at]) for row in found) for at in (2, 3)]
    print(f"\nworst: fitted {worst[0]:.1%}, blind {worst[1]:.1%}; {len(found)} ratios")
    return int(max(worst) > LIMIT)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
