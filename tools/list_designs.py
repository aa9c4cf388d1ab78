"""Draw a fresh experiment for the cost model: `python tools/list_designs.py SEED` rewrites the list of designs.

What was listed before joins the fit, thinned where many designs say the same; the new held-out designs come from the
universes below, ranked by the SHA-256 of seed and text, and were never measured. A quarter of a universe's formats are
drawn to be absent from the fit: half of its held-out designs have one. Commit the list before measuring anything: a
hold-out that was looked at is none.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import re
import sys
from collections.abc import Iterable, Iterator
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

LOGS = ["log4", "logsqrt4", *(f"lognp({n})" for n in ("4,1/2", "4,1/4", "5,1/2"))]
LOGS += ["power(4,1/2)", "power(5,1/2)", "sulq(4,1/20)", "adalog(4,20)"]
BLOCKS = ["mxint8", "nvfp4", *(f"mx{f}" for f in ("fp8_e4m3", "fp8_e5m2", "fp6_e3m2", "fp6_e2m3", "fp4_e2m1"))]
BLOCKS += [f"msfp{n}" for n in (12, 13, 14, 16)]
CODEBOOKS = [
    "nf4",
    "fp4_bnb",
    "codebook(-7,-4,-2,-1,0,1,3,6)",
    "codebook(0,1,3,-5)",
    "codebook(-9,-3,0,2,5,8,11,15)",
    "codebook(2,7,-1,0,12,3,-9,5,-30,14,2,-4,6,1,-7,9)",
    "codebook(-6,-5,-4,-3,-2,-1,0,1)",
    "codebook(0,4,-4,8,-8,12,-12,16)",
]
FLOATS = ["bf16", "fp16", "fp32", "fp(5,6)", "fp(6,9,inf)"]

# (part, universe) -> designs to add to the fit, designs to hold out
DRAWS = {
    ("pe", "integer"): (10, 16),
    ("pe", "minifloat"): (60, 32),
    ("pe", "logarithm"): (16, 8),
    ("pe", "block"): (48, 10),
    ("pe", "codebook"): (12, 8),
    ("pe", "floating"): (32, 6),
    ("epilogue", "plain"): (10, 7),
    ("decode_a", "decoder"): (12, 8),
    ("top", "array"): (30, 24),
}
PLACED = (24, 18)  # of integers and minifloats each, also placed and routed where that can be done
KEPT = 60  # integer elements of those listed before: the price of their rows is known


def integer() -> Iterator[str]:
    """Integer and ternary processing elements, fused, with a registered product, with every row registered."""
    for a, w, acc, cut in itertools.product(INTEGERS, WEIGHTS, SUMS, ("", "mul", "rows")):
        yield from _valid(f"{a}*{w} +{acc}", cut)


def minifloat() -> Iterator[str]:
    """Minifloats with themselves, an integer, ternary or another minifloat; exact sums of k terms."""
    for fmt, k, cut in itertools.product(MINIFLOATS, TERMS, ("", "mul", "align", "mul,align")):
        for other in (fmt, *OTHERS):
            yield from _valid(f"{fmt}*{other} k={k}", cut)


def logarithm() -> Iterator[str]:
    """Logarithmic formats with themselves and with integers."""
    for fmt, k, cut in itertools.product(LOGS, (64, 1024), ("", "mul")):
        for other in (fmt, "int4", "int8", "ternary"):
            yield from _valid(f"{fmt}*{other} k={k}", cut)


def block() -> Iterator[str]:
    """Scaled blocks with themselves and with integers, summed in a float or in a fixed-point number."""
    for fmt, acc, cut in itertools.product(
        BLOCKS, ("fp32", "bf16", "fp16", "fixed(40,12)", "fixed(64,24)"), ("", "mul")
    ):
        for other in (fmt, "int4", "int8"):
            yield from _valid(f"{fmt}*{other} +{acc}", cut)


def codebook() -> Iterator[str]:
    """Tables of integers with themselves and with integers."""
    for fmt, k, cut in itertools.product(CODEBOOKS, (64, 1024), ("", "mul")):
        for other in (fmt, "int4", "int8", "fp4_e2m1"):
            yield from _valid(f"{fmt}*{other} k={k}", cut)


def floating() -> Iterator[str]:
    """Float sums of integers and minifloats."""
    for a, acc, cut in itertools.product(("int8", "int4", *MINIFLOATS), FLOATS, ("", "mul", "mul,align")):
        for other in (a, "int4"):
            yield from _valid(f"{a}*{other} +{acc}", cut)


def plain() -> Iterator[str]:
    """Output paths without a multiplier."""
    for acc, result, steps in itertools.product((14, 16, 20, 24, 28, 32), RESULTS, STEPS):
        yield from _valid(f"int8*int4 +fixed({acc}) ->{result}" + (f"[{steps}]" if steps else ""), "")


def decoder() -> Iterator[str]:
    """Edge decoders."""
    for fmt in (*MINIFLOATS, *LOGS, *CODEBOOKS):
        yield from _valid(f"{fmt}*int4 k=4", "")
    for fmt in BLOCKS:
        yield from _valid(f"{fmt}*int4 +fp32", "")


def array() -> Iterator[str]:
    """Arrays of the three dataflows with plain output."""
    pairs = ("int8*int8", "int4*int4", "int8*int4", "int6*int5", "int8*ternary", "fp6_e2m3*int4", "fp4_e2m1*fp4_e2m1")
    shapes = ("1x1", "1x4", "2x2", "3x2", "2x5", "4x3", "4x4", "6x6", "5x8", "8x8")
    for pair, acc, shape, flow in itertools.product(pairs, (18, 24), shapes, ("", "/ws k={rows}", "/tree")):
        yield from _valid(f"{pair} +fixed({acc}) @{shape}{flow.format(rows=shape[0])}", "")
    for pair, shape in itertools.product(("fp8_e4m3*int4", "fp6_e3m2*fp6_e3m2", "log4*int8"), shapes[:7]):
        yield from _valid(f"{pair} k=64 @{shape}", "mul")


UNIVERSES = {f.__name__: f for f in (integer, minifloat, logarithm, block, codebook, floating, plain, decoder, array)}


def _valid(text: str, cut: str) -> Iterator[str]:
    """The canonical text, if there is such a design."""
    try:
        dp = Datapath.parse(text)
        rows = [s for s in pe_stages(dp.mac) if s.startswith("mul")]
        cut = ",".join(rows) if cut == "rows" else cut
        yield str(Datapath.parse(text + (f" cut={cut}" if cut else "")))
    except HwqError:
        return


def _rank(seed: str, part: str, texts: Iterable[str]) -> list[str]:
    return sorted(texts, key=lambda text: hashlib.sha256(f"{seed} {part} {text}".encode()).digest())


def _formats(text: str) -> set[str]:
    return {str(f) for f in (Datapath.parse(text).mac.a, Datapath.parse(text).mac.w)}


def draw(part: str, universe: str, seed: str, listed: set[str]) -> tuple[list[str], list[str]]:
    """Designs of a universe that are not listed yet: those for the fit, those held out."""
    fresh = _rank(seed, part, dict.fromkeys(t for t in UNIVERSES[universe]() if t not in listed))
    names = _rank(seed, "format", {f for text in fresh for f in _formats(text)})
    absent = set(names[: len(names) // 4]) - {f for text in listed for f in _formats(text)}
    fit, held = DRAWS[part, universe]
    new = [text for text in fresh if _formats(text) & absent]
    known = [text for text in fresh if not _formats(text) & absent]
    out = new[: held // 2]
    out += known[: held - len(out)]
    return [text for text in known if text not in out][:fit], out


def thinned(part: str, seed: str, texts: set[str]) -> list[str]:
    """What was listed before: few of the integers that are alike, and no requantizer that takes minutes."""
    if part == "epilogue":
        return sorted(text for text in texts if "requant" not in text or "[requant]" in text)
    if part != "pe":
        return sorted(texts)
    alike = {text for text in texts if not re.search("fp|use=|sat", text)}
    return sorted((texts - alike) | set(_rank(seed, part, alike)[:KEPT]))


def main(seed: str) -> None:
    """Rewrite the list."""
    before = json.loads(LIST.read_text(encoding="utf-8"))
    after = {}
    for part in dict.fromkeys(part for part, _ in DRAWS):
        texts = {str(Datapath.parse(t)) for group in before[part].values() for t in group}
        after[part] = {"fit": thinned(part, seed, texts), "held_out": []}
    earlier = {str(Datapath.parse(t)) for group in before["clock"].values() for t in group}
    placed = {"fit": sorted(earlier & set(after["pe"]["fit"])), "held_out": list[str]()}
    for part, universe in DRAWS:
        listed = {text for group in after[part].values() for text in group}
        fit, held = draw(part, universe, seed, listed)
        after[part]["fit"] += fit
        after[part]["held_out"] += held
        if universe in ("integer", "minifloat"):
            placed["fit"] += _rank(seed, "clock", fit)[: PLACED[0]]
            placed["held_out"] += held[: PLACED[1]]
    LIST.write_text(json.dumps({**after, "clock": placed}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1])
