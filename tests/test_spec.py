"""Datapaths made by constructors: whole numbers of any integer type, and one line on whatever does not fit."""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np
import pytest

from hwq import Array, Datapath, HwqError, Mac, estimate, parse_format
from hwq.datapath import Bias, Fixed

INT8 = parse_format("int8")


def test_numpy_integers_are_whole_numbers() -> None:
    made = Datapath(Mac(INT8, INT8, Fixed(np.int64(24)), k=np.int32(64)), Array(np.uint8(4), np.int64(2)))
    assert made == Datapath.parse("int8*int8 +fixed(24) @4x2 k=64")
    assert {type(n) for n in (made.array.rows, made.array.cols, made.mac.k, made.mac.acc_bits)} == {int}


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Array("4", 2), "rows must be a whole number between 1 and 256, not '4'"),
        (lambda: Array(1.5, 2), "rows must be a whole number between 1 and 256, not 1.5"),
        (lambda: Array(2, True), "cols must be a whole number between 1 and 256, not True"),
        (lambda: Array(2, 257), "cols must be a whole number between 1 and 256, not 257"),
        (lambda: Mac(INT8, INT8, k=3.5), "k must be a whole number between 1 and 2**24, not 3.5"),
        (lambda: Mac(INT8, INT8, k=0), "k must be a whole number between 1 and 2**24, not 0"),
        (lambda: Mac("int8", INT8), "an operand must be a Format, not str int8; "),
        (
            lambda: Mac(INT8, INT8, "exact"),
            "an accumulator must be Exact(), Fixed(bits), Float(format) or Align(lanes, bits), not str exact; ",
        ),
        (lambda: Mac(INT8, INT8, out="int8"), "an output must be a Format or None, not str int8; "),
        (lambda: Mac(INT8, INT8, out=INT8, epilogue=[Bias()]), "an epilogue must be a tuple of steps, not list "),
        (lambda: Mac(INT8, INT8, out=INT8, epilogue=("bias",)), "an epilogue step must be Bias(), Requant() or Relu()"),
        (lambda: Fixed("8"), "accumulator bits must be a whole number between 2 and 1024, not '8'"),
        (lambda: Fixed(8, 1.5), "accumulator frac must be a whole number between -1024 and 1024, not 1.5"),
        (lambda: Datapath.parse(["int8*int8"]), "a datapath must be a text such as 'int(8)*int(8) +exact', not ['int8"),
        (
            lambda: estimate(None, "xc7"),
            "estimate takes a datapath, its text, a list of these or {role: text}, not None",
        ),
        (lambda: estimate([None], "xc7"), "a datapath must be a text such as 'int(8)*int(8) +exact', not None"),
        (lambda: estimate({"body": 3}, "xc7"), "a datapath must be a text such as 'int(8)*int(8) +exact', not 3"),
        (lambda: Datapath("int8*int8"), "the numerics must be a Mac, not str int8*int8; "),
        (lambda: Datapath(Mac(INT8, INT8), "8x8"), "the structure of a datapath must be an Array, not str 8x8; "),
    ],
)
def test_constructors_wrong(make: Callable[[], object], message: str) -> None:
    with pytest.raises(HwqError, match=f"^{re.escape(message)}") as caught:
        make()
    assert "\n" not in str(caught.value)
