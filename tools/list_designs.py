"""Draw a fresh experiment for the cost model: `python tools/list_designs.py SEED` rewrites the list of designs.

Everything listed before joins the fit; the new held-out designs come from the universe below, ranked by the SHA-256 of
seed and text, and were never measured. Commit the list before measuring anything: a hold-out that was looked at is
none.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import sys
from collections.abc import Iterator
from pathlib import Path

from hwq.datapath import Datapath
from hwq.datapath.stages import pe_stages
from hwq.errors import HwqError

LIST = Path(__file__).parents[1] / "hwq" / "costmodel" / "data" / "designs.json"

INTEGERS = [f"int{n}" for n in (3, 4, 5, 6, 7, 8, 9, 10, 12)] + ["uint4", "uint5", "uint6", "uint8", "int(6,narrow)"]
WEIGHTS = ["int2", "int3", "int4", "int5", "int6", "int7", "int8", "ternary"]
SUMS = ["fixed(18)", "fixed(20)", "fixed(24)", "fixed(28)", "fixed(32)", "fixed(24,sat)"]
MINIFLOATS = [f"fp({e},{m})" for e in (2, 3, 4, 5) for m in range(6)] + [
    "fp8_e4m3",
    "fp8_e5m2",
    "fp8_e4m3fnuz",
    "fp(3,3,nosub)",
    "fp(4,3,inf)",
]
OTHERS = ["int4", "int6", "int8", "ternary", "fp8_e4m3", "fp4_e2m1"]
TERMS = (64, 256, 1024)
RESULTS = ["int4", "int6", "int8", "uint8", "fp4_e2m1", "fp6_e2m3", "fp6_e3m2", "fp8_e4m3", "fp8_e5m2"]
STEPS = ("", "bias", "relu", "bias,relu")
REQUANT = ("requant", "bias,requant", "bias,requant,relu")

# (part, universe) -> designs to add to the fit, designs to hold out
DRAWS = {
    ("pe", "integer"): (30, 34),
    ("pe", "minifloat"): (40, 32),
    ("epilogue", "plain"): (14, 7),
    ("epilogue", "requant"): (5, 3),
    ("decode_a", "decoder"): (6, 4),
    ("top", "array"): (10, 8),
}
PLACED = (20, 17)  # of each universe of processing elements, also placed and routed where that can be done


def integer() -> Iterator[str]:
    """Integer and ternary processing elements, fused, with a registered product, with every row registered."""
    for a, w, acc, cut in itertools.product(INTEGERS, WEIGHTS, SUMS, ("", "mul", "rows")):
        yield from _valid(f"{a}*{w} +{acc}", cut)


def minifloat() -> Iterator[str]:
    """Minifloats with themselves, an integer, ternary or another minifloat; exact sums of k terms."""
    for fmt, k, cut in itertools.product(MINIFLOATS, TERMS, ("", "mul", "align", "mul,align")):
        for other in (fmt, *OTHERS):
            yield from _valid(f"{fmt}*{other} k={k}", cut)


def plain() -> Iterator[str]:
    """Output paths without a multiplier."""
    for acc, result, steps in itertools.product((14, 16, 20, 24, 28, 32), RESULTS, STEPS):
        yield from _valid(f"int8*int4 +fixed({acc}) ->{result}" + (f"[{steps}]" if steps else ""), "")


def requant() -> Iterator[str]:
    """Output paths with one."""
    for acc, result, steps in itertools.product((14, 16, 18, 20), RESULTS, REQUANT):
        yield from _valid(f"int4*int4 +fixed({acc}) ->{result}[{steps}]", "")


def decoder() -> Iterator[str]:
    """Edge decoders of minifloats."""
    for fmt in MINIFLOATS:
        yield from _valid(f"{fmt}*int4 k=4", "")


def array() -> Iterator[str]:
    """Small arrays with plain output."""
    pairs = ("int8*int8", "int4*int4", "int8*int4", "int6*int5", "int8*ternary", "fp6_e2m3*int4", "fp4_e2m1*fp4_e2m1")
    for pair, acc, shape in itertools.product(pairs, (18, 24), ("1x1", "1x4", "2x2", "3x2", "2x5", "4x3", "4x4")):
        yield from _valid(f"{pair} +fixed({acc}) @{shape}", "")


UNIVERSES = {f.__name__: f for f in (integer, minifloat, plain, requant, decoder, array)}


def _valid(text: str, cut: str) -> Iterator[str]:
    """The canonical text, if there is such a design."""
    try:
        dp = Datapath.parse(text)
        rows = [s for s in pe_stages(dp.mac) if s.startswith("mul")]
        cut = ",".join(rows) if cut == "rows" else cut
        yield str(Datapath.parse(text + (f" cut={cut}" if cut else "")))
    except HwqError:
        return


def draw(part: str, universe: str, seed: str, listed: set[str]) -> tuple[list[str], list[str]]:
    """Designs of a universe that are not listed yet: those for the fit, those held out."""
    fresh = dict.fromkeys(t for t in UNIVERSES[universe]() if t not in listed)
    ranked = sorted(fresh, key=lambda text: hashlib.sha256(f"{seed} {part} {text}".encode()).digest())
    fit, held = DRAWS[part, universe]
    return ranked[held : held + fit], ranked[:held]


def main(seed: str) -> None:
    """Rewrite the list."""
    before = json.loads(LIST.read_text(encoding="utf-8"))
    after = {
        part: {
            "fit": sorted({str(Datapath.parse(t)) for texts in before[part].values() for t in texts}),
            "held_out": [],
        }
        for part in dict.fromkeys(part for part, _ in DRAWS)
    }
    placed: dict[str, list[str]] = {"fit": [], "held_out": []}
    for part, universe in DRAWS:
        listed = {text for group in after[part].values() for text in group}
        fit, held = draw(part, universe, seed, listed)
        after[part]["fit"] += fit
        after[part]["held_out"] += held
        if part == "pe":
            placed["fit"] += fit[: PLACED[0]]
            placed["held_out"] += held[: PLACED[1]]
    LIST.write_text(json.dumps({**after, "clock": placed}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1])
