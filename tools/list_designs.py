"""Writes the calibration experiment: which designs are synthesised, and which of them no fit may see.

A design is held out if the first byte of its text's SHA-256 is below a quarter of 256: decided by the text alone,
before anything is measured; a second byte thins the grid. Run once; the list is committed before the fit.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from hwq.datapath import Datapath
from hwq.errors import HwqError

INTEGERS = [
    ("int8", "int8"),
    ("int4", "int4"),
    ("int8", "int4"),
    ("int6", "int6"),
    ("int5", "int5"),
    ("int8", "int6"),
    ("int10", "int8"),
    ("int12", "int6"),
    ("int3", "int3"),
    ("int8", "int3"),
    ("int8", "int2"),
    ("int6", "int4"),
    ("int5", "int3"),
    ("int(7)", "int(7)"),
    ("int(9)", "int5"),
    ("uint8", "int8"),
    ("uint4", "int4"),
    ("uint8", "int4"),
    ("int16", "int8"),
    ("int8", "int5"),
    ("int12", "int12"),
    ("int6", "int3"),
]
TERNARY = [
    ("int8", "ternary"),
    ("int4", "ternary"),
    ("int6", "ternary"),
    ("int12", "ternary"),
    ("ternary", "ternary"),
    ("int16", "ternary"),
    ("uint8", "ternary"),
    ("int(7)", "ternary"),
]
FLOATS = [
    ("fp8_e4m3",) * 2,
    ("fp8_e5m2",) * 2,
    ("fp6_e3m2",) * 2,
    ("fp6_e2m3",) * 2,
    ("fp4_e2m1",) * 2,
    ("fp(3,1)",) * 2,
    ("fp(2,2)",) * 2,
    ("fp(3,3)",) * 2,
    ("fp(4,1)",) * 2,
    ("fp(4,2)",) * 2,
    ("fp(3,4)",) * 2,
    ("fp(4,3)",) * 2,
    ("fp(4,4)",) * 2,
    ("fp(5,1)",) * 2,
    ("fp(3,0)",) * 2,
    ("fp(4,0)",) * 2,
    ("fp(2,4)",) * 2,
    ("fp8_e4m3", "int4"),
    ("fp8_e4m3", "int8"),
    ("fp8_e4m3", "ternary"),
    ("fp6_e3m2", "int4"),
    ("int8", "fp4_e2m1"),
    ("fp8_e5m2", "int4"),
    ("fp8_e5m2", "fp8_e4m3"),
    ("fp6_e2m3", "fp4_e2m1"),
    ("int8", "fp(3,1)"),
    ("fp8_e4m3", "fp4_e2m1"),
    ("fp(4,2)", "int6"),
    ("fp(3,2,nosub)", "int4"),
    ("fp6_e3m2", "ternary"),
]


def texts() -> list[str]:
    found: list[str] = []
    for a, w in INTEGERS:
        found += [f"{a}*{w} +fixed({b}){cut}" for b in (20, 24, 32) for cut in ("", " cut=mul")]
        found += [f"{a}*{w} +fixed(24,sat)", f"{a}*{w} +fixed(28) cut=mul1,mul2,mul3,mul"]
    for a, w in TERNARY:
        found += [f"{a}*{w} +fixed({b}){cut}" for b in (16, 20, 24, 32) for cut in ("", " cut=mul")]
    for a, w in FLOATS:
        found += [f"{a}*{w} k={k}{cut}" for k in (64, 1024) for cut in ("", " cut=mul")]
        found += [f"{a}*{w} k=4096 cut=mul,align", f"{a}*{w} k=256 cut=align"]
    for a, w in (
        ("int8", "int8"),
        ("int4", "int4"),
        ("int8", "ternary"),
        ("fp8_e4m3", "fp8_e4m3"),
        ("fp4_e2m1", "fp4_e2m1"),
        ("fp6_e2m3", "int4"),
        ("int6", "int6"),
        ("fp8_e4m3", "int4"),
        ("int8", "int4"),
        ("fp6_e3m2", "fp6_e3m2"),
    ):
        for shape in ("1x1", "2x2", "3x3", "4x4", "2x4", "4x2"):
            found += [f"{a}*{w} @{shape} k=256", f"{a}*{w} ->{a}[bias,requant,relu] @{shape} k=256"]
        found += [f"{a}*{w} ->int8[requant] @2x2 k=512 cut=mul,requant", f"{a}*{w} ->fp8_e4m3[bias,requant] @2x2 k=64"]
    kept: dict[str, None] = {}
    for text in found:
        try:
            kept[str(Datapath.parse(text))] = None
        except HwqError as error:
            if "cut must name" not in str(error):
                raise
    return list(kept)


def held_out(text: str) -> bool:
    return hashlib.sha256(text.encode()).digest()[0] < 64


def kept(text: str) -> bool:
    """A bit over a third of the grid: what two processors synthesise on three devices in half an hour."""
    return hashlib.sha256(text.encode()).digest()[1] < 96


if __name__ == "__main__":
    groups: dict[str, dict[str, list[str]]] = {m: {"fit": [], "held_out": []} for m in ("pe", "top")}
    for text in filter(kept, texts()):
        groups["top" if "@" in text or "[" in text else "pe"]["held_out" if held_out(text) else "fit"].append(text)
    path = Path(__file__).parent.parent / "hwq" / "costmodel" / "data" / "designs.json"
    path.write_text(json.dumps(groups, indent=1) + "\n")
    print({m: {k: len(v) for k, v in g.items()} for m, g in groups.items()})
