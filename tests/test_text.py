"""The text form of a datapath: canonical, read back equal, and one line on what is wrong or not available yet."""

from __future__ import annotations

import re

import pytest

from hwq import HwqError
from hwq.costmodel import estimate
from hwq.datapath import Datapath

FORMAT = "format must be a catalogue name or a text such as fp(4,3), not "
ACCUMULATOR = (
    "the accumulator must be exact, fixed(bits[,frac][,wrap|sat][,rdn|rne|rtz]), "
    "align(lanes,bits,rtz|rne[,format[,rtz|rne]]) or a float format, not "
)
MANY = "9" * 5000
STEPS = "output steps are bias, requant, requant(format), relu, not "
SCALE = "requant takes an unsigned integer scale such as uint(16), not "
ZERO_POINT = "a zero point is part of the format, as in uint(8,zp=128), not loaded as in 'uint8[zp]'"


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("int(8)*int8 +exact @1x1x1/os k=4096 round=rne order=seq decode=edge", "int8*int8"),
        ("fp(4,3,nan)*int(4)  ->fp(8,7,inf) @16x16 cut=mul", "fp8_e4m3*int4 ->bf16 @16x16 cut=mul"),
        ("int8*int8 +fixed(24,0,wrap,rdn) ->int8[requant(uint(16))]", "int8*int8 +fixed(24,0) ->int8[requant]"),
        ("int8*int8 +fp(8,7,inf) cut=mul order=tree(4)", "int8*int8 +bf16 order=tree(4) cut=mul"),
        ("int8*int8 +align(8,24,rtz,fp(8,23,inf,ovf=inf),rtz)", "int8*int8 +align(8,24,rtz)"),
        ("int8*int8 +align(hopper_fp8)", "int8*int8 +align(32,13,rtz,fp(8,13,inf,ovf=inf))"),
        ("int8*int8 +align(8,24,rne,bf16)", "int8*int8 +align(8,24,rne,bf16)"),
        (
            "fixed(8,4)*int(4,narrow) +fixed(20,4,sat,rne) ->int5[bias,requant(uint(17)),relu]"
            " @2x3/os cut=act,mul round=rtz decode=pe k=64",
            "fixed(8,4)*int(4,narrow) +fixed(20,4,sat,rne) ->int5[bias,requant(uint(17)),relu]"
            " @2x3 k=64 decode=pe round=rtz cut=mul,act",
        ),
    ],
)
def test_texts_are_canonical(text: str, canonical: str) -> None:
    assert str(Datapath.parse(text)) == canonical
    assert Datapath.parse(canonical) == Datapath.parse(text) == Datapath.parse(Datapath.parse(text).parametric())


# What the grammar of the design names and no reader has yet: refused by a line that says what there is.
@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("int8*int8 ->int8[lut(gelu)]", f"{STEPS}'lut(gelu)'"),
        ("int8*int8 ->int8[bias,gelu]", f"{STEPS}'gelu'"),
        ("int8*int8 ->int8[requant(e8m0)]", f"{SCALE}e8m0"),
        ("int8*int8 ->int8[requant(bf16)]", f"{SCALE}bf16"),
        ("uint8[zp]*int8", ZERO_POINT),
        ("int8*uint8[zp]", ZERO_POINT),
        ("int8*int8 ->uint8[zp]", ZERO_POINT),
        ("int8*int8 ->uint8[zp][requant,relu]", ZERO_POINT),
        ("int8*int8 round=rand", "round must be one of rne, rna, rtz, rdn, rup, sr, not 'rand'"),
        *((f"{name}*int8", FORMAT) for name in ("posit8_1", "float")),
    ],
)
def test_what_comes_later_is_refused_by_name(text: str, message: str) -> None:
    refused(text, message)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "a datapath must be a text such as 'int(8)*int(8) +exact', not an empty one"),
        ("int8", "a datapath begins act*weight, not 'int8'"),
        ("int8*int8 -", "quote the datapath: the shell took a '>' and the name behind it out of 'int8*int8 -'"),
        ("int8*int8 - @2x2", "quote the datapath: the shell took a '>' and the name behind it out of "),
        ("int8*int8- @2x2", "quote the datapath: the shell took a '>' and the name behind it out of "),
        ("int8*int8 ->int8 +exact", "a datapath goes act*weight +acc ->out @RxC option..., not "),
        ("int8*int8 k=4 k=5", "option k= may be given once, not twice, in "),
        ("int8*int8 k=-4", "k= takes a whole number of at most 9 digits, not '-4'"),
        ("int8*int8 k=²", "k= takes a whole number of at most 9 digits, not '²'"),
        ("int8*int8 k=٨", "k= takes a whole number of at most 9 digits, not '٨'"),
        (f"int8*int8 k={MANY}", "k= takes a whole number of at most 9 digits, not '999"),
        (f"int8*int8 @{MANY}x1", "the array is @RxC or @RxCxL, then /os, /ws or /tree if need be, not '@999"),
        ("int8*int8 @٨x1", "the array is @RxC or @RxCxL, then /os, /ws or /tree if need be, not '@٨x1'"),
        (
            f"int8*int8 +fixed({MANY})",
            "fixed(...) takes bits and at most one frac, of up to 9 characters, not 'fixed(999",
        ),
        (
            f"int8*int8 +fixed(24,-{MANY})",
            "fixed(...) takes bits and at most one frac, of up to 9 characters, not 'fixed(24,-9",
        ),
        ("int8*int8 +fixed(24,-99999999)", "accumulator frac must be a whole number between -1024 and 1024, not -9"),
        (f"int({MANY})*int8", "int(...) takes 1 whole number(s), not 'int(999"),
        ("int(٨)*int8", "int(...) takes 1 whole number(s), not 'int(٨)'"),
        ("int8*int8 +exakt", f"{ACCUMULATOR}'exakt'"),
        ("int8*int8 +int8", "an accumulator must be a float format with both signs whose code 0 is 0, not int8; "),
        (
            "int8*int8 +ternary",
            "an accumulator must be a float format with both signs whose code 0 is 0, not ternary; ",
        ),
        ("int8*int8 +align(8)", "the accumulator is align(lanes,bits,rtz|rne[,format[,rtz|rne]]) or align(NAME), not "),
        ("int8*int8 +align(pascal)", "align(NAME) takes one of volta, volta_half, turing, "),
        ("int8*int8 +align(8,24,rtz,bf16,)", "the accumulator is align(lanes,bits,rtz|rne[,format[,rtz|rne]]) or "),
        (
            "int8*int8 +mxfp8_e4m3",
            "an output must round one number alone, not mxfp8_e4m3, whose scale is that of a block",
        ),
        ("int8*int8 +align(0,24,rtz)", "align lanes must be a whole number between 1 and 64, not 0"),
        ("int8*int8 +align(8,24,rup)", "align mode must be rtz or rne, not 'rup'"),
        ("int8*int8 +align(8,24,rtz,bf16,rup)", "align rounding must be rtz or rne, not 'rup'"),
        (
            "int8*int8 +align(8,24,rtz,fp(4,3,nan,ovf=nan))",
            "align that rounds rtz needs a format that saturates or is full to a power of two, not fp(4,3,nan,ovf=nan)",
        ),
        ("int8*int8 order=tree(1)", "order must be seq or tree(n) with n of 2 or more, not 'tree(1)'"),
        ("int8*int8 order=random", "order must be seq or tree(n) with n of 2 or more, not 'random'"),
        (
            "int8*int8 order=tree(4)",
            "order=tree(n) needs +fixed(...) or +FORMAT, which lose bits, not +exact; drop it",
        ),
        ("int8*int8 +align(volta) order=tree(4)", "order=tree(n) needs +fixed(...) or +FORMAT, which lose bits, not "),
        (
            "int8*int8 +fp(11,52,inf) ->int8[bias]",
            "a bias on +fp(11,52,inf) needs 2100 bits, not at most 1024; drop bias",
        ),
        ("int8*int8 clock=200", "options are k=, decode=, round=, order=, cut=, use=, not 'clock'"),
        ("int8*int8 decode=lane", "decode must be edge or pe, not 'lane'"),
        ("int8*int8 hello", "expected +acc, ->out, @RxC or option=value, not 'hello' in "),
        ("int8*int8 use=magic", "use must name variants of "),
        ("int8*int8 use=table", "use=table needs operands of sign and magnitude"),
        ("fp4_e2m1*fp4_e2m1 use=table,rows", "use may name one variant a step, and table is not the only one"),
        ("int8*int8 @8x8/xs", "dataflow must be one of os, ws, tree, not 'xs'"),
        ("int8*int8 @8x8/ws", "a weight-stationary array holds all terms of a sum: k must be at most 8 for @8x8/ws"),
        ("int8*int8 @8x8x65", "lanes must be a whole number between 1 and 64, not 65"),
        ("fp8_e4m3*int4 +bf16 @1x1x4", "lanes=4 adds that many products at once, which +bf16 tells from one after"),
        ("int8*int8 +fixed(16,sat) @1x1x4 order=tree(2)", "lanes=4 adds that many products at once, which +fixed("),
        ("int8*int8 +align(4,25,rtz) @1x1x2", "lanes=2 adds that many products at once, which +align(4,25,rtz) tells"),
        ("int8*int8 @8", "the array is @RxC or @RxCxL, then /os, /ws or /tree if need be, not '@8'"),
        ("int8*int8 +fixed(8,1,2)", "fixed(...) takes bits and at most one frac, of up to 9 characters, not "),
        ("int8*int8 +fixed(8,rne,sat)", "fixed(...) takes (bits[,frac][,wrap|sat][,rdn|rne|rtz]), not "),
        ("int8*int8 ->int8]", "the output is ->format[step,...], not '->int8]'"),
        ("int8*int8 cut=foo", "cut must name stages of "),
    ],
)
def test_texts_wrong(text: str, message: str) -> None:
    refused(text, message)


@pytest.mark.parametrize("device", ["gowin", "nexus"])
def test_devices_that_come_later_are_refused_by_name(device: str) -> None:
    with pytest.raises(HwqError, match=f"^device must be one of portable, .*, not '{device}'$"):
        estimate("int8*int8", device)


def refused(text: str, message: str) -> None:
    with pytest.raises(HwqError, match=f"^{re.escape(message)}") as caught:
        Datapath.parse(text)
    assert "\n" not in str(caught.value)
