"""What must hold for a number format of at most 16 bits, as a test class to derive from."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from functools import cache
from typing import Any, ClassVar

import numpy as np
import pytest
import torch

from hwq.bits import evaluate, variable
from hwq.errors import HwqError
from hwq.formats import ROUNDINGS, STOCHASTIC, Format, Special, Unpacked, noise, noise_words, parse_format
from hwq.formats.intake import CARRIERS
from hwq.formats.rounding import first_state
from hwq.testing.nearest import Nearest

__all__ = ["FormatConformance"]

Array = np.ndarray[Any, Any]
SOME = 4096  # numbers put through the integer reader, which is slow, where a format has more boundaries than that
TORCH = {"float16": torch.float16, "bfloat16": torch.bfloat16, "float32": torch.float32, "float64": torch.float64}
NUMPY: dict[str, Any] = {"float16": np.float16, "float32": np.float32, "float64": np.float64}
every_rounding = pytest.mark.parametrize("rounding", ROUNDINGS)


@cache
def _nearest(fmt: Format, beyond: Fraction | None) -> Nearest:
    return Nearest(fmt, beyond)


@cache
def _values(fmt: Format) -> dict[int, Fraction | Special]:
    return {code: fmt.value(code) for code in fmt.codes().tolist()}


@cache
def _floats(fmt: Format) -> Array:
    """The value of every valid code as float64, in code order, -0 and specials included."""
    values = _values(fmt).items()
    return np.array(
        [-0.0 if fmt.negative_zero(c) else float(v.value if isinstance(v, Special) else v) for c, v in values]
    )


def _one_line(error: pytest.ExceptionInfo[HwqError]) -> str:
    text = str(error.value)
    assert text and "\n" not in text
    return text


class FormatConformance:
    """Derive from it and state the format: `class TestMine(FormatConformance): format = parse_format("fp(4,3)")`.

    To run it on several formats, override the fixture `fmt` with a parametrised one.
    """

    format: ClassVar[Format]

    @pytest.fixture
    def fmt(self) -> Format:
        return self.format

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

    # what a code means

    def test_text_reads_back(self, fmt: Format) -> None:
        for text in (str(fmt), fmt.text):
            assert parse_format(text) == fmt
            assert hash(parse_format(text)) == hash(fmt)
            assert str(parse_format(text)) == str(fmt)

    def test_codes_are_the_valid_patterns(self, fmt: Format) -> None:
        codes = fmt.codes()
        assert codes.dtype == fmt.code_dtype == np.min_scalar_type((1 << fmt.bits) - 1)
        assert len(codes) > 1
        assert codes.tolist() == [c for c in range(1 << fmt.bits) if not fmt.reserved(c)]
        for wrong in (-1, 1 << fmt.bits, *(c for c in range(1 << fmt.bits) if fmt.reserved(c))):
            with pytest.raises(HwqError) as error:
                fmt.value(wrong)
            assert str(wrong) in _one_line(error)

    def test_unpack_is_value(self, fmt: Format) -> None:
        codes = fmt.codes().astype(np.int64)
        u = fmt.unpack(fmt.code_word)
        columns = [
            np.broadcast_to(x, codes.shape).tolist()
            for x in evaluate([u.neg, u.mag, u.exp, u.nan, u.inf], {"code": codes})
        ]
        unit = Fraction(2) ** fmt.lsb
        for code, neg, mag, exp, nan, inf in zip(codes.tolist(), *columns, strict=True):
            value = _values(fmt)[code]
            if isinstance(value, Special):
                assert (nan, inf, mag) == (value is Special.NAN, value is not Special.NAN, 0)
                assert nan or neg == (value is Special.NINF)
            else:
                assert (nan, inf) == (0, 0)
                assert (-1) ** neg * mag * 2**exp * unit == value
                assert fmt.negative_zero(code) == (neg == 1 and mag == 0)
            assert not u.normal or exp == 0 or mag >> (u.mag.width - 1) == 1

    def test_specials_are_declared(self, fmt: Format) -> None:
        found = {v for v in _values(fmt).values() if isinstance(v, Special)}
        assert (Special.NAN in found) == fmt.has_nan
        assert (Special.PINF in found) == fmt.has_inf >= (Special.NINF in found)
        assert fmt.overflow in ("sat", "wrap", *["nan"] * fmt.has_nan, *["inf"] * fmt.has_inf)

    def test_ranges_are_tight(self, fmt: Format) -> None:
        numbers = [v for v in _values(fmt).values() if isinstance(v, Fraction)]
        assert fmt.extremes == (min(numbers), max(numbers))
        assert (fmt.min, fmt.max) == (float(min(numbers)), float(max(numbers)))
        unit = Fraction(2) ** fmt.lsb
        assert [n * unit for n in fmt.integer_range] == [min(numbers), max(numbers)]
        assert all((v / unit).denominator == 1 for v in numbers)

    def test_integers_embed_the_values(self, fmt: Format) -> None:
        if max(map(abs, fmt.integer_range)) >= 1 << 62:
            with pytest.raises(HwqError, match="62 bits"):
                fmt.integers()
            return
        table = fmt.integers()
        assert table.dtype == np.int64 and len(table) == 1 << fmt.bits
        unit = Fraction(2) ** fmt.lsb
        for code, number in enumerate(table.tolist()):
            value = _values(fmt).get(code, Special.NAN)
            assert number * unit == (0 if isinstance(value, Special) else value)

    # how a number becomes a code

    @every_rounding
    @pytest.mark.parametrize("dtype", ["float64", "float32"])
    def test_encode_is_nearest(self, fmt: Format, dtype: str, rounding: str) -> None:
        x = self.boundaries(fmt, dtype)
        assert len(x) > 20
        self.compare(fmt, fmt.encode(x, rounding), x, rounding)

    @pytest.mark.parametrize("dtype", ["float64", "float32"])
    def test_stochastic_rounding_is_the_noise_in_the_fraction(self, fmt: Format, dtype: str) -> None:
        """Every boundary under the shift register's own words, and under those that decide least and most."""
        x = self.boundaries(fmt, dtype)
        if fmt.uneven:
            self.refused("sr needs even steps", fmt.encode, x, STOCHASTIC)
            return
        self.compare(fmt, fmt.encode(x, STOCHASTIC, seed=77), x, STOCHASTIC, noise_words(first_state(77), x.size))
        source, pattern = CARRIERS[dtype]
        some = x[:: max(1, len(x) // SOME)]
        code = fmt.pack(source.unpack(source.code_word), source.lsb, noise())
        for word in (0, 1, 0x7FFF, 0x8000, 0xFFFF):
            words = np.full(some.shape, word)
            (codes,) = evaluate([code], {"code": some.view(pattern), "noise": words})
            self.compare(fmt, np.broadcast_to(codes, some.shape), some, STOCHASTIC, words)

    @pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
    def test_encode_is_nearest_on_all_16_bit_numbers(self, fmt: Format, dtype: str) -> None:
        x = torch.from_numpy(np.arange(1 << 16, dtype=np.uint16).view(np.int16)).view(TORCH[dtype])
        self.compare(fmt, fmt.encode(x).numpy(), x.double().numpy(), "rne")

    @every_rounding
    @pytest.mark.parametrize("dtype", ["float64", "float32"])
    def test_the_definition_is_what_is_compiled(self, fmt: Format, dtype: str, rounding: str) -> None:
        """`pack` read as integers, on as many boundaries as that takes in reasonable time."""
        x = self.boundaries(fmt, dtype)
        x = x[:: max(1, len(x) // SOME)]
        source, pattern = CARRIERS[dtype]
        code = fmt.pack(source.unpack(source.code_word), source.lsb, rounding)
        (codes,) = evaluate([code], {"code": x.view(pattern)})
        assert np.array_equal(codes.astype(np.int64), fmt.encode(x, rounding).astype(np.int64))

    @every_rounding
    def test_pack_is_nearest_from_any_grid(self, fmt: Format, rounding: str) -> None:
        """Signed integers in finer and coarser units, as an accumulator has them; also shifted at run time."""
        width = 11
        top = max(map(abs, fmt.integer_range)).bit_length() - width + 3
        x, exp = variable("x", -(1 << width), 1 << width), variable("exp", 0, 9)
        numbers = np.arange(-(1 << width), (1 << width) + 1)
        shifts = np.arange(len(numbers)) * 7 % 10
        for lsb in {fmt.lsb - 4, fmt.lsb - 1, fmt.lsb, fmt.lsb + 3, fmt.lsb + top}:
            for unpacked, values in (
                (Unpacked.of(x), np.ldexp(numbers.astype(np.float64), lsb)),
                (Unpacked.of(x, exp), np.ldexp(numbers.astype(np.float64), lsb + shifts)),
            ):
                given: dict[str, Any] = {"x": numbers, "exp": shifts}
                (codes,) = evaluate([fmt.pack(unpacked, lsb, rounding)], given)
                self.compare(fmt, np.broadcast_to(codes, numbers.shape), values, rounding)

    def compare(self, fmt: Format, codes: Array, x: Array, rounding: str, noise: Array | None = None) -> None:
        """Every code is the one that the table gives."""
        assert codes.size == x.size > 0
        with np.errstate(invalid="ignore"):
            wide = x.astype(np.float64)
        nearest = self.nearest(fmt)
        want, got = nearest.encode(wide, rounding, noise), nearest.canonical(codes)
        wrong = np.flatnonzero(got != want)
        assert not wrong.size, (
            f"{wide[wrong[0]]!r} becomes code {got[wrong[0]]}, not {want[wrong[0]]} ({wrong.size} wrong)"
        )

    # arrays

    def test_decode_is_value(self, fmt: Format) -> None:
        codes = fmt.codes()
        decoded = fmt.decode(codes)
        want = _floats(fmt)
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
        values = torch.from_numpy(_floats(fmt))
        holds = bool(((values.to(TORCH[dtype]).double() == values) | values.isnan()).all())
        x = torch.from_numpy(self.boundaries(fmt, "float64")).to(TORCH[dtype])
        if not holds:
            with pytest.raises(HwqError, match=f"{dtype} cannot hold every value of") as error:
                fmt.quantize(x)
            _one_line(error)
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
        assert text in _one_line(error)
