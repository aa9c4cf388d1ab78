"""What must hold for a number format of at most 16 bits, as a test class to derive from."""

from __future__ import annotations

from fractions import Fraction
from typing import Any, ClassVar

import numpy as np
import pytest
import torch

from hwq.bits import evaluate, variable
from hwq.errors import HwqError
from hwq.formats import ROUNDINGS, STOCHASTIC, Format, Special, Unpacked, noise, noise_words, parse_format
from hwq.formats.intake import CARRIERS
from hwq.formats.rounding import first_state
from hwq.testing.arrays import TORCH, ArrayConformance, one_line, values_of

__all__ = ["FormatConformance"]

Array = np.ndarray[Any, Any]
SOME = 4096  # numbers put through the integer reader, which is slow, where a format has more boundaries than that
every_rounding = pytest.mark.parametrize("rounding", ROUNDINGS)


class FormatConformance(ArrayConformance):
    """Derive from it and state the format: `class TestMine(FormatConformance): format = parse_format("fp(4,3)")`.

    To run it on several formats, override the fixture `fmt` with a parametrised one.
    """

    format: ClassVar[Format]

    @pytest.fixture
    def fmt(self) -> Format:
        return self.format

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
            assert str(wrong) in one_line(error)

    def test_unpack_is_value(self, fmt: Format) -> None:
        codes = fmt.codes().astype(np.int64)
        u = fmt.unpack(fmt.code_word)
        columns = [
            np.broadcast_to(x, codes.shape).tolist()
            for x in evaluate([u.neg, u.mag, u.exp, u.nan, u.inf], {"code": codes})
        ]
        unit = Fraction(2) ** fmt.lsb
        for code, neg, mag, exp, nan, inf in zip(codes.tolist(), *columns, strict=True):
            value = values_of(fmt)[code]
            if isinstance(value, Special):
                assert (nan, inf, mag) == (value is Special.NAN, value is not Special.NAN, 0)
                assert nan or neg == (value is Special.NINF)
            else:
                assert (nan, inf) == (0, 0)
                assert (-1) ** neg * mag * 2**exp * unit == value
                assert fmt.negative_zero(code) == (neg == 1 and mag == 0)
            assert not u.normal or exp == 0 or mag >> (u.mag.width - 1) == 1

    def test_specials_are_declared(self, fmt: Format) -> None:
        found = {v for v in values_of(fmt).values() if isinstance(v, Special)}
        assert (Special.NAN in found) == fmt.has_nan
        assert (Special.PINF in found) == fmt.has_inf >= (Special.NINF in found)
        assert fmt.overflow in ("sat", "wrap", *["nan"] * fmt.has_nan, *["inf"] * fmt.has_inf)

    def test_ranges_are_tight(self, fmt: Format) -> None:
        numbers = [v for v in values_of(fmt).values() if isinstance(v, Fraction)]
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
            value = values_of(fmt).get(code, Special.NAN)
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
