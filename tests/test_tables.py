"""Formats that look their values up: codebooks, companded curves, planes and ranges."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest

from hwq import HwqError, Mac, catalog, matmul, parse_format
from hwq.formats import CURVES, Codebook, Format, lloyd_max
from hwq.testing import FormatConformance

TEXTS = [
    *["codebook(2,1,5,-3,9)", "codebook(0,7,-7)", "codebook(-3,0,4,1,2,9)", "codebook(30,1,-536870912,77,3)"],
    *["log(2)", "log(5,1/2)", "log(4,1/2,frac=6)", "log(4,1,zero)", "log(4,1/2,axis)", "log(8,1/8,zero,axis)"],
    *["adalog(3,20)", "adalog(4,37,axis)", "adalog(5,51)", "sulq(3)", "sulq(4,1/10)", "sulq(3,1/50,axis)"],
    *["tan(3)", "tan(6,7/5,frac=16)", "tan(4,1,axis)", "power(4)", "power(8,1/2)", "power(5,3/4,axis)"],
    *["lognp(4)", "lognp(4,1/4,axis)", "twin(4,3)", "twin(6,0)", "twin(8,4)"],
    *["trits(1)", "trits(3,1)", "trits(9,3,1)", "trits(5,2)", "signs(1)", "signs(4,2,1)", "signs(3,3)"],
    *["range(-2,2)", "range(0,5)", "range(-1,6)", "range(3,9)", "range(-9,-2)", "range(-1,0)"],
]


class TestTables(FormatConformance):
    @pytest.fixture(params=TEXTS)
    def fmt(self, request: pytest.FixtureRequest) -> Format:
        return parse_format(request.param)


def levels(text: str) -> list[float]:
    fmt = parse_format(text)
    return [float(fmt.decode(np.array([code]))[0]) for code in fmt.codes().tolist()]


def test_published_levels() -> None:
    """Constants of the papers and their implementations, not derived here."""
    assert levels("adalog(3,20)") == [14 / 2**t for t in (0,)] + [10.0, 13 / 2, 9 / 2, 13 / 4, 9 / 4, 12 / 8, 8 / 8]
    sulq = [-0.0022, 0.0056, 0.0213, 0.0525, 0.115, 0.24, 0.49, 0.99]
    assert levels("sulq(3,1/100,frac=20)") == pytest.approx(sulq, abs=6e-5)
    assert sorted(set(levels("sulq(3,1/10,frac=20)"))) == pytest.approx([0.025, 0.15, 0.4, 0.9], abs=1e-6)
    assert levels("power(4,1/2,frac=24)")[1:8] == pytest.approx([(c / 7) ** 2 for c in range(1, 8)], abs=1e-7)
    assert [round(x, 4) for x in levels("fp4_bnb")[:8]] == [0, 0.0625, 8, 12, 4, 6, 2, 3]
    assert levels("nf4")[0] == -1 and levels("nf4")[7] == 0 and levels("nf4")[15] == 1
    assert [np.float32(x) for x in levels("nf4")] == levels("nf4")
    assert sorted(levels("tritplanes2")) == [float(x) for x in range(-4, 5)]
    assert sorted(levels("abq2")) == [-2, -1, 0, 1, 2]
    assert levels("binary") == [-1, 1]
    assert levels("log(4,1,zero)")[-2:] == [2.0**-14, 0.0]
    tan = levels("tan(4,3/2,frac=24)")
    steps = np.diff(tan)
    assert (tan[0], tan[-1]) == (0, 1) and (np.diff(steps) < 0).all()
    assert levels("tan(4,1/64,frac=24)") == pytest.approx([c / 15 for c in range(16)], abs=2e-4)


def test_power_of_one_is_the_even_grid() -> None:
    assert levels("power(4,1,frac=24)")[1:8] == pytest.approx([c / 7 for c in range(1, 8)], abs=1e-7)


@pytest.mark.parametrize("kind", sorted(CURVES))
def test_every_curve_has_a_source_and_a_text(kind: str) -> None:
    fmt = parse_format(f"{kind}(4)")
    assert "arXiv" in CURVES[kind].source and parse_format(fmt.text) == fmt


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("log(4,1,axis)", lambda x: np.round(-np.log2(x))),
        ("log(5,1/2,axis,frac=16)", lambda x: np.round(-2 * np.log2(x))),
        ("adalog(4,20,axis)", lambda x: np.round(-np.log2(x / 30) * 37 / 20)),
        ("tan(5,1,axis)", lambda x: np.round(31 * np.tan(x) / math.tan(1))),
    ],
)
def test_axis_rounds_as_the_papers_do(text: str, code: object) -> None:
    """On the curve's own axis; a number within a decision point's rounding of one is left out."""
    fmt = parse_format(text)
    x = np.random.default_rng(1).uniform(0.002, fmt.max, 200_000)
    want = np.clip(code(x), 0, (1 << fmt.bits) - 1)  # type: ignore[operator]
    far = np.abs(x[:, None] - np.array([float(p) for p in fmt.points])).min(1) > 1e-4  # type: ignore[attr-defined]
    assert far.sum() > 150_000
    assert np.array_equal(fmt.encode(x)[far], want[far])


def test_lloyd_max_reaches_the_limits_of_the_normal_distribution() -> None:
    """Max, IRE Trans. Information Theory 1960: 0.3634, 0.1175, 0.03454, 0.009497 of the variance at 1 to 4 bits."""
    from statistics import NormalDist

    n = 1 << 16
    x = np.array([NormalDist().inv_cdf((i + 0.5) / n) for i in range(n)])
    for bits, error in ((1, 0.3634), (2, 0.1175), (3, 0.03454), (4, 0.009497)):
        book = lloyd_max(x, 1 << bits, frac=12, rounds=2000)
        found = np.square(book.decode(book.encode(x)) - x).mean() / np.square(x).mean()
        assert found == pytest.approx(error, rel=0.02)


def test_codebooks_of_values() -> None:
    book = Codebook.of([-1.5, 0.25, 3])
    assert book == parse_format("codebook(2,-6,1,12)") and book.bits == 2 and book.reserved(3)
    assert Codebook.of([1 / 3, 1], frac=4) == Codebook(4, (5, 16))
    with pytest.raises(HwqError, match=r"a level must be a multiple of a power of two, not 1/3"):
        Codebook.of([Fraction(1, 3), Fraction(1)])
    with pytest.raises(HwqError, match="levels must be from 2 to as many as there are finite numbers, not 4 of 2"):
        lloyd_max([1.0, 2.0], 4, 8)


@pytest.mark.parametrize("pair", ["nf4*int8", "log4*int8", "logsqrt4*fp8_e4m3", "tritplanes2*int8", "binary*binary"])
def test_products_are_exact(pair: str) -> None:
    a, w = (catalog[name] for name in pair.split("*"))
    mac = Mac(a, w, k=64)
    rng = np.random.default_rng(3)
    x, y = rng.choice(a.codes(), (5, 64)), rng.choice(w.codes()[: -1 - w.has_nan], (3, 64))
    got = matmul(mac, x, y)
    for row, codes in zip(x, got, strict=True):
        for column, code in zip(y, codes, strict=True):
            terms = [(a.value(int(p)), w.value(int(q))) for p, q in zip(row, column, strict=True)]
            if all(isinstance(v, Fraction) for pair in terms for v in pair):
                assert mac.output.value(int(code)) == sum(p * q for p, q in terms)  # type: ignore[operator]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "codebook(3,1)",
            "codebook takes frac and two or more whole numbers, each times 2**-frac, not 'codebook(3,1)'",
        ),
        ("codebook(3,1,1)", "a codebook has 2 to 65536 numbers, two of them different, not (1, 1)"),
        ("log(9)", "log takes 2 to 8 bits and a frac of 1 to 24, not 9 and 12"),
        ("log(4,5)", "log's number must be between 1/64 and 4, not 5"),
        ("power(4,1/2,zero)", "zero gives a curve without sign a code of 0; power has one"),
        ("twin(4,3,axis)", "axis needs a curve that rises with its codes, not twin; leave it out"),
        ("tan(x)", "tan takes bits, a number such as 1/2 or 0.5, frac=N, axis, zero, not 'tan(x)'"),
        ("trits(0)", "planes have 1 to 4 weights from 1 to 65535, not (0,)"),
        ("range(3,3)", "range(lo,hi) needs lo < hi within 16 bits, not 3 and 3"),
    ],
)
def test_messages(text: str, message: str) -> None:
    with pytest.raises(HwqError) as error:
        parse_format(text)
    assert str(error.value) == message
