"""What must hold of a number format's `encode`, `decode` and `quantize` on arrays of every kind."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch

from hwq.errors import HwqError
from hwq.formats import Format, Special
from hwq.testing.nearest import Nearest

__all__ = ["TORCH", "ArrayConformance", "one_line", "values_of"]

Array = np.ndarray[Any, Any]
TORCH = {"float16": torch.float16, "bfloat16": torch.bfloat16, "float32": torch.float32, "float64": torch.float64}
NUMPY: dict[str, Any] = {"float16": np.float16, "float32": np.float32, "float64": np.float64}


@cache
def values_of(fmt: Format) -> dict[int, Fraction | Special]:
    return {code: fmt.value(code) for code in fmt.codes().tolist()}


@cache
def floats(fmt: Format) -> Array:
    """The value of every valid code as float64, in code order, -0 and specials included."""
    values = values_of(fmt).items()
    return np.array(
        [-0.0 if fmt.negative_zero(c) else float(v.value if isinstance(v, Special) else v) for c, v in values]
    )


def one_line(error: pytest.ExceptionInfo[HwqError]) -> str:
    text = str(error.value)
    assert text and "\n" not in text
    return text


@cache
def _nearest(fmt: Format, beyond: Fraction | None) -> Nearest:
    return Nearest(fmt, beyond)


class ArrayConformance:
    """The part of `FormatConformance` that is about arrays."""

    def beyond(self, fmt: Format) -> Fraction | None:
        """The number after the largest, if the format went on: where an overflow begins.

        None means the same step again, which is right unless the largest number is the first of its binade.
        """
        return None

    def nearest(self, fmt: Format) -> Nearest:
        return _nearest(fmt, self.beyond(fmt))

    def boundaries(self, fmt: Format, dtype: str) -> Array:
        """Every value, midpoint and end, with both neighbours in `dtype`; zeros, infinities and nan; in that dtype."""
        kind = NUMPY[dtype]
        info = np.finfo(kind)
        with np.errstate(over="ignore"):
            points = self.nearest(fmt).points.astype(kind)
        extra = np.array([0.0, -0.0, np.inf, -np.inf, np.nan, info.max, info.min, info.smallest_subnormal], dtype=kind)
        up, down = np.nextafter(points, kind(np.inf)), np.nextafter(points, kind(-np.inf))
        return np.concatenate([points, up, down, extra]).astype(kind)

    def test_decode_is_value(self, fmt: Format) -> None:
        codes = fmt.codes()
        decoded = fmt.decode(codes)
        want = floats(fmt)
        with np.errstate(over="ignore", invalid="ignore"):
            narrow = np.array_equal(want.astype(np.float32).astype(np.float64), want, equal_nan=True)
        assert decoded.dtype == (np.float32 if narrow else np.float64)
        assert np.array_equal(decoded, want, equal_nan=True)
        numbers = ~np.isnan(want)
        assert np.array_equal(np.signbit(decoded[numbers]), np.signbit(want[numbers]))

    def test_codes_survive_decoding(self, fmt: Format) -> None:
        codes = fmt.codes()
        again = fmt.encode(fmt.decode(codes))
        assert again.dtype == codes.dtype
        assert np.array_equal(fmt.decode(again), fmt.decode(codes), equal_nan=True)
        nearest = self.nearest(fmt)
        assert np.array_equal(fmt.encode(nearest.values), nearest.codes)

    @pytest.mark.parametrize("dtype", TORCH)
    def test_quantize_is_decode_of_encode(self, fmt: Format, dtype: str) -> None:
        values = torch.from_numpy(floats(fmt))
        holds = bool(((values.to(TORCH[dtype]).double() == values) | values.isnan()).all())
        x = torch.from_numpy(self.boundaries(fmt, "float64")).to(TORCH[dtype])
        if not holds:
            with pytest.raises(HwqError, match=f"{dtype} cannot hold every value of") as error:
                fmt.quantize(x)
            one_line(error)
            return
        want = fmt.decode(fmt.encode(x)).double()
        for given in (x, x.numpy()) if dtype in NUMPY else (x,):
            quantized = fmt.quantize(given)
            assert type(quantized) is type(given) and quantized.dtype == given.dtype and quantized.shape == given.shape
            wide = torch.as_tensor(quantized).double()
            assert torch.equal(wide.nan_to_num(0.5), want.nan_to_num(0.5)) and torch.equal(wide.isnan(), want.isnan())
            again = torch.as_tensor(fmt.quantize(quantized)).double()
            assert torch.equal(again.nan_to_num(0.5), wide.nan_to_num(0.5))

    def test_numpy_and_torch_agree(self, fmt: Format) -> None:
        x = self.boundaries(fmt, "float32")
        codes, as_tensor = fmt.encode(x), fmt.encode(torch.from_numpy(x))
        assert as_tensor.dtype == (torch.uint8 if fmt.bits <= 8 else torch.int64)
        assert np.array_equal(as_tensor.numpy(), codes)
        decoded = fmt.decode(as_tensor)
        assert isinstance(decoded, torch.Tensor)
        assert np.array_equal(decoded.numpy(), fmt.decode(codes), equal_nan=True)

    def test_any_shape_and_layout(self, fmt: Format) -> None:
        x = np.linspace(fmt.min, fmt.max, 24).reshape(2, 3, 4)
        for given in (x, torch.from_numpy(x)):
            codes = fmt.encode(given)
            decoded = fmt.decode(codes)
            for at in (
                (slice(None), slice(None, None, 2), slice(1, None)),
                (..., 2),
                (1, 2, 3),
                slice(0),
                (slice(None), slice(0)),
            ):
                part, want = given[at], codes[at]
                assert fmt.encode(part).shape == fmt.quantize(part).shape == part.shape
                assert np.array_equal(fmt.encode(part), want)
                assert np.array_equal(fmt.decode(want), decoded[at])
            assert np.array_equal(fmt.encode(given.swapaxes(0, 2)), codes.swapaxes(0, 2))

    def test_whole_numbers_encode_as_floats_do(self, fmt: Format) -> None:
        x = np.arange(-20, 21)
        want = fmt.encode(x.astype(np.float64))
        assert np.array_equal(fmt.encode(x), want)
        assert np.array_equal(fmt.encode(x.tolist()), want)
        assert np.array_equal(fmt.encode(torch.from_numpy(x)).numpy(), want)
        assert np.array_equal(fmt.quantize(x.tolist()), fmt.decode(want), equal_nan=True)

    def test_any_byte_order_and_whole_number(self, fmt: Format) -> None:
        x = np.linspace(fmt.min, fmt.max, 7)
        assert np.array_equal(fmt.encode(x.astype(">f8")), fmt.encode(x))
        codes = fmt.codes()
        swapped = codes.astype(codes.dtype.newbyteorder(">"))
        assert np.array_equal(fmt.decode(swapped), fmt.decode(codes), equal_nan=True)
        assert all(fmt.value(code) == fmt.value(int(code)) for code in codes[:: max(1, len(codes) // 64)])
        ends = np.array([-(1 << 62), 1 << 62])
        assert np.array_equal(fmt.encode(ends), fmt.encode(ends.astype(np.float64)))

    def test_bad_input_is_one_line(self, fmt: Format) -> None:
        one = np.ones(1)
        top = 1 << fmt.bits
        self.refused("x must be an array of numbers", fmt.encode, one.astype(complex))
        self.refused("x must be an array of numbers", fmt.encode, np.array(["1"]))
        self.refused("x must be an array of numbers", fmt.quantize, torch.ones(1, dtype=torch.complex64))
        self.refused("quantize needs a float array", fmt.quantize, np.ones(1, dtype=np.int32))
        self.refused("round must be one of", fmt.encode, one, "nearest")
        self.refused("round must be one of", fmt.quantize, one, "nearest")
        self.refused("an array must have no mask", fmt.encode, np.ma.masked_array(one, [True]))
        self.refused("x must be an array or nested lists of numbers", fmt.encode, [[1.0], [1.0, 2.0]])
        self.refused("a tensor must be dense", fmt.encode, torch.ones(1).to_sparse())
        self.refused("a code must be a whole number", fmt.value, 1.0)
        self.refused("codes must be unsigned integers", fmt.decode, one)
        self.refused(f"must be between 0 and {top - 1}, not {top}", fmt.decode, np.array([0, top]))
        self.refused(f"must be between 0 and {top - 1}, not -1", fmt.decode, np.array([-1]))
        for code in range(top):
            if fmt.reserved(code):
                self.refused(f"code {code} of", fmt.decode, np.array([code]))

    def refused(self, text: str, call: Callable[..., Any], *given: Any) -> None:
        """The call raises HwqError, and its one line contains the text."""
        with pytest.raises(HwqError) as error:
            call(*given)
        assert text in one_line(error)
