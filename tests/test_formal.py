"""Elements proved: every variant, row of each device and kind of accumulator, up to what the solver closes."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from hwq.datapath import VARIANTS, Datapath
from hwq.rtl import emit
from tests.formal import prove

SEGMENTS = "int4*int4 +fixed(16) cut=mul1,mul use=gated"  # two, a carry between them
# Operands of 4 bits: one problem each
ELEMENTS = [
    ("int4*int4 +fixed(16)", "portable xc7 ecp5 ge nangate45"),
    ("int4*int4 +fixed(16) use=dsp", "xc7"),
    ("fp8_e4m3*int4 +fixed(48) use=dsp", "xc7"),
    ("fp(4,3,inf)*int4 +fixed(48) use=dsp", "xc7"),
    ("fp8_e4m3*fp(2,1,inf) +fixed(48) cut=mul use=dsp", "xc7"),
    ("fp(4,3,inf)*fp(2,1,inf) +fixed(48) use=dsp", "xc7"),
    ("int4*int4 +fixed(16) cut=mul use=dsp", "ecp5 ice40 versal"),
    ("int4*int4 +fixed(16) @1x1x3 use=dsp", "versal"),
    ("uint4*int4 +fixed(16) @1x1x2 cut=mul use=dsp", "versal"),
    ("int8*int4 +fixed(24) @1x2 use=dsp2", "xc7"),
    ("int3*int3 +fixed(12) @2x2 use=dsp4", "xc7"),
    ("int4*int4 +fixed(16) use=gated", "ecp5"),
    (SEGMENTS, "ecp5"),
    ("int8*int4 +fixed(24) cut=mul1,mul use=gated", "ecp5"),
    ("int4*uint4 cut=unpack,mul1,mul k=1 use=gated", "ecp5"),
    ("uint4*int4 +fixed(14) cut=mul1 use=gated", "ecp5"),
    ("int8*int4 +fixed(24) use=prefix", "nangate45"),
    ("fp4_e2m1*fp4_e2m1 +fixed(20) use=table", "xc7 ecp5"),
    ("fp4_e2m1*fp4_e2m1 +fixed(20) use=rows", "xc7 ge"),
    ("int8*int4 +fixed(24) cut=mul", "xc7 ecp5 ge"),
    ("int8*int4 +fixed(24) cut=unpack,mul1,mul", "xc7 nangate45"),
    ("int8*ternary +fixed(20)", "portable xc7 ecp5 ge"),
    ("int4*ternary +fixed(12) @1x1x2", "xc7 ecp5 nangate45"),
    ("int4*ternary +fixed(12) @1x1x2 use=pairs", "xc7"),
    ("fp(5,0)*fp(2,1) +fixed(24) k=2 use=banks", "xc7"),
    ("int8*binary +fixed(20) @1x1x2", "xc7"),
    ("int4*uint4 +fixed(14,sat)", "xc7 ge"),
    ("int4*int4 +fixed(9,sat) @1x1x2 order=tree(2)", "xc7 ecp5"),
    ("int3*int2 +fixed(6,sat) @1x1x2 order=tree(2)", "nangate45"),
    ("fp8_e4m3*int4 +fixed(48) cut=mul", "portable xc7 ecp5 nangate45"),
    ("fp8_e5m2*fp4_e2m1 +fixed(48) cut=mul,align", "xc7 ecp5 ge"),
    ("fp6_e3m2*int4 +fixed(24)", "xc7 ge"),
    ("nf4*int4 +fixed(32)", "xc7 ge"),
    ("log4*log4 +fixed(40)", "xc7 nangate45"),
    ("sm(4)*sm(4) +fixed(16)", "xc7"),
    ("int4*int4 +fixed(16) use=load", "portable xc7 ecp5 nangate45"),
    ("uint4*int4 +fixed(12,sat) cut=unpack,mul1,mul use=load", "ecp5"),
    ("uint4*uint4 cut=mul use=load", "xc7"),
    ("int8*ternary +fixed(20) @1x1x2 cut=mul use=load", "xc7 ge"),
    ("fp8_e4m3*int4 +fixed(48) cut=mul use=load", "xc7"),
    ("fp8_e5m2*fp4_e2m1 +fixed(48) decode=pe cut=unpack,mul,align use=load", "ecp5"),
    ("int8*int4 +fixed(24) cut=mul1,mul use=gated,load", "ecp5"),
]
# Of 6 and 8 bits: a problem for each third code of w, so that each bit of it is seen beside each other's values
STRIDE = 3
# slow ones; of minifloats a zero, top binades and a NaN are among them, of integers both signs
SPARSE = {
    "fp8_e4m3*fp8_e4m3 +fixed(48) use=dsp": 15,
    "int8*int8 +fixed(32) cut=mul1,mul2,mul3,mul use=gated": 29,
}
WIDE = [
    ("fp6_e2m3*fp6_e2m3 +fixed(24)", "xc7"),
    ("int8*int8 +fixed(32)", "xc7"),
    ("int8*int8 +fixed(32) use=dsp", "xc7"),
    ("fp8_e4m3*fp8_e4m3 +fixed(48) use=dsp", "xc7"),
    ("int8*int8 +fixed(32) cut=mul", "ecp5"),
    ("fp8_e4m3*fp8_e4m3 +fixed(48) cut=mul", "xc7"),
    ("int8*int8 +fixed(32) cut=mul1,mul2,mul3,mul use=gated", "ecp5"),
    ("int6*int5 +fixed(20) cut=mul2,mul use=gated", "ecp5"),
    ("int(7)*int5 +fixed(16) cut=mul1,mul2,mul decode=pe use=gated", "ecp5"),
    ("int8*int8 +fixed(32)", "nangate45"),
]


def each(designs: list[tuple[str, str]]) -> list[tuple[str, str]]:
    return [(text, device) for text, devices in designs for device in devices.split()]


def proved(text: str, device: str, folder: Path, say: Callable[[str], None], stride: int = 1) -> None:
    dp = Datapath.parse(text)
    emit(dp, folder, device)
    proof = prove(dp, device, folder, stride=stride)
    say(f"{text} on {device}: {proof.proved} of {proof.problems} problems proved")
    assert proof.problems >= 1
    assert proof.proved == proof.problems, proof.doubt


@pytest.mark.parametrize(("text", "device"), each(ELEMENTS))
def test_an_element_is_its_definition(tmp_path: Path, text: str, device: str, say: Callable[[str], None]) -> None:
    proved(text, device, tmp_path, say)


@pytest.mark.slow  # a minute or two each
@pytest.mark.parametrize(("text", "device"), each(WIDE))
def test_an_element_of_wide_operands_is_its_definition(
    tmp_path: Path, text: str, device: str, say: Callable[[str], None]
) -> None:
    proved(text, device, tmp_path, say, SPARSE.get(text, STRIDE))


def test_every_variant_is_proved() -> None:
    """But for registers of weights, which no product or sum knows of: they are exhausted, see test_doubled.py."""
    assert {use for text, _ in ELEMENTS for use in Datapath.parse(text).uses} == set(VARIANTS) - {"double"}


@pytest.mark.parametrize(
    ("text", "device", "line", "fault"),
    [
        ("int4*int4 +fixed(16)", "portable", "acc_high = ", (r"\+ .*;", "+ 1'b0;")),  # a carry that is lost
        ("fp8_e4m3*int4 +fixed(48) cut=mul", "portable", "nan_ <= or", ("or", "~or")),
        ("int4*uint4 +fixed(14,sat)", "portable", "acc_ <= ", (r"acc_ <= 14'h0", "acc_ <= 14'h1")),
        ("int4*int4 +fixed(16) cut=mul use=load", "portable", "acc_held = ", ("start_q_q", "start_q_")),  # too soon
        (SEGMENTS, "ecp5", "carry_2 <= ", (r"<= sum\[2\]", "<= 1'h0")),
        (SEGMENTS, "ecp5", "acc_0 <= ", (r"\(clear\)", "(rst)")),
        (SEGMENTS, "ecp5", "sum = ", (r"row_q\[1:0\]", "row[1:0]")),  # a cycle too soon
    ],
)
def test_a_wrong_element_is_not_proved(
    tmp_path: Path, text: str, device: str, line: str, fault: tuple[str, str]
) -> None:
    dp = Datapath.parse(text)
    path = tmp_path / f"{emit(dp, tmp_path, device).pe}.v"
    lines = [re.sub(*fault, one) if line in one else one for one in path.read_text("utf-8").splitlines(keepends=True)]
    assert "".join(lines) != path.read_text("utf-8")
    path.write_text("".join(lines), "utf-8")
    proof = prove(dp, device, tmp_path)
    assert proof.proved < proof.problems
    assert proof.doubt
