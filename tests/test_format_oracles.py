"""`quantize` against implementations that share no code with this package, each where its overflow mode is ours.

gfloat transcribes the standards; ml_dtypes and torch are the casts that models are trained with; numpy rounds integers.
Inputs: all 65,536 bfloat16 and all 65,536 float16 numbers, and in float32 every value, every midpoint between two
neighbours and the first beyond the ends, each with both its float32 neighbours. Values are compared, nan equal to nan;
a nan input is left out where the format has no nan. `pytest -s` prints the counts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import gfloat
import ml_dtypes
import numpy as np
import pytest
import torch

from hwq import catalog, parse_format
from hwq.formats import ROUNDINGS, Format, Int, MiniFloat, Range, Special, Ternary

Array = np.ndarray[Any, Any]
Oracle = Callable[[Array], Array]

# bfloat16 has 254 nans and float16 2,046.
NUMBERS = 2 * 65_536 - 254 - 2_046

GFLOAT_ROUNDINGS = {
    "rne": gfloat.RoundMode.TiesToEven,
    "rna": gfloat.RoundMode.TiesToAway,
    "rtz": gfloat.RoundMode.TowardZero,
    "rdn": gfloat.RoundMode.TowardNegative,
    "rup": gfloat.RoundMode.TowardPositive,
}
NUMPY_ROUNDINGS: dict[str, Oracle] = {
    "rne": np.rint,
    "rna": lambda x: np.copysign(np.floor(np.abs(x) + 0.5), x),
    "rtz": np.trunc,
    "rdn": np.floor,
    "rup": np.ceil,
}
# The overflow behaviour of each cast is part of the text: ml_dtypes never saturates where there is a special.
ML_DTYPES = {
    "fp(4,3,nan,ovf=nan)": ml_dtypes.float8_e4m3fn,
    "fp(5,2,inf,ovf=inf)": ml_dtypes.float8_e5m2,
    "fp(4,3,inf,ovf=inf)": ml_dtypes.float8_e4m3,
    "fp(3,4,inf,ovf=inf)": ml_dtypes.float8_e3m4,
    "fp(4,3,bias=8,fnuz,ovf=nan)": ml_dtypes.float8_e4m3fnuz,
    "fp(5,2,bias=16,fnuz,ovf=nan)": ml_dtypes.float8_e5m2fnuz,
    "fp(4,3,bias=11,fnuz,ovf=nan)": ml_dtypes.float8_e4m3b11fnuz,
    "fp(3,2)": ml_dtypes.float6_e3m2fn,
    "fp(2,3)": ml_dtypes.float6_e2m3fn,
    "fp(2,1)": ml_dtypes.float4_e2m1fn,
    "fp(8,7,inf,ovf=inf)": ml_dtypes.bfloat16,
    "fp(5,10,inf,ovf=inf)": np.float16,
}
TORCH = {
    "fp(4,3,nan)": torch.float8_e4m3fn,  # saturates, infinities too
    "fp(5,2,inf,ovf=inf)": torch.float8_e5m2,
    "fp(4,3,bias=8,fnuz,ovf=nan)": torch.float8_e4m3fnuz,
    "fp(5,2,bias=16,fnuz,ovf=nan)": torch.float8_e5m2fnuz,
    "fp(8,7,inf,ovf=inf)": torch.bfloat16,
    "fp(5,10,inf,ovf=inf)": torch.float16,
}


def with_overflows(formats: list[Format]) -> Iterator[str]:
    """Each floating-point format in every overflow mode that gfloat knows for it."""
    for fmt in formats:
        if isinstance(fmt, MiniFloat) and fmt.bits <= 16 and fmt.zero:
            yield fmt.text
            if fmt.specials:
                yield fmt.text[:-1] + (",ovf=inf)" if fmt.has_inf else ",ovf=nan)")


GFLOAT = [
    *with_overflows([catalog[name] for name in catalog]),
    *["fp(1,2)", "fp(3,1)", "fp(4,2)", "fp(5,3,bias=12)", "fp(6,3)", "fp(4,3,inf)", "fp(3,4,inf,ovf=inf)"],
    *["fp(5,3,bias=16,p3109)", "fp(5,3,p3109,unsigned,ovf=inf)", "fp(3,4,unsigned)", "fp(7,1,inf,unsigned)"],
]
INTEGERS = [str(fmt) for fmt in (catalog[name] for name in catalog) if isinstance(fmt, Int | Ternary | Range)]
INTEGERS += ["int(7,narrow)", "fixed(8,4)", "fixed(9,-3)", "ufixed(8,8)", "fixed(12,20,narrow)"]


@cache
def every_16_bit_float() -> tuple[torch.Tensor, torch.Tensor]:
    """(all bfloat16, all float16) numbers, each [65536]."""
    patterns = torch.from_numpy(np.arange(1 << 16, dtype=np.uint16).view(np.int16))
    return patterns.view(torch.bfloat16), patterns.view(torch.float16)


@cache
def boundaries(fmt: Format) -> Array:
    """float32: every value, every midpoint of neighbours and the next ones beyond, with both float32 neighbours."""
    values = {float(v) for c in fmt.codes().tolist() if not isinstance(v := fmt.value(c), Special)}
    table = np.array(sorted(values))
    beyond = [table[0] - (table[1] - table[0]) / 2, table[-1] + (table[-1] - table[-2]) / 2]
    centres = np.concatenate([table, (table[1:] + table[:-1]) / 2, beyond, 2 * np.array(beyond)])
    with np.errstate(over="ignore"):  # twice the largest bfloat16 is beyond float32: an infinity, which is meant
        exact = centres.astype(np.float32)
    assert np.array_equal(exact[np.isfinite(exact)], centres[np.isfinite(exact)])
    ends = np.float32([-np.inf, np.inf])
    return np.concatenate([exact, np.nextafter(exact, ends[0]), np.nextafter(exact, ends[1])])


def compare(name: str, fmt: Format, oracle: Oracle, rounding: str, native: bool) -> tuple[int, int]:
    """(numbers compared, mismatches) over all inputs, given as float32 and, if `native`, in their own dtype."""
    bf16, fp16 = every_16_bit_float()
    inputs: list[Any] = [bf16.float().numpy(), fp16.float().numpy(), boundaries(fmt)]
    if native:
        inputs += [x for x in (bf16, fp16.numpy()) if carries(fmt, x)]
    compared = mismatches = 0
    for x in inputs:
        quantized = fmt.quantize(x, rounding)
        assert quantized.dtype == x.dtype
        wide, got = widen(x), widen(quantized)
        kept = np.ones(len(wide), dtype=bool) if fmt.has_nan else ~np.isnan(wide)
        got, want = got[kept], oracle(wide[kept])
        compared += len(got)
        mismatches += int((~((got == want) | (np.isnan(got) & np.isnan(want)))).sum())
    print(f"{name} {fmt.text} {rounding}: compared {compared}, mismatches {mismatches}")
    return compared, mismatches


def widen(x: Any) -> Array:
    with np.errstate(invalid="ignore"):  # signalling nans are among the inputs
        return x.double().numpy() if isinstance(x, torch.Tensor) else x.astype(np.float64)


def carries(fmt: Format, x: Any) -> bool:
    """True if the dtype of `x` holds every value of the format, by a round trip."""
    values = torch.from_numpy(fmt.decode(fmt.codes()).astype(np.float64))
    through = values.to(x.dtype if isinstance(x, torch.Tensor) else torch.float16).double()
    return bool(((through == values) | values.isnan()).all())


def gfloat_oracle(fmt: MiniFloat, rounding: str) -> Oracle:
    info = gfloat.FormatInfo(
        fmt.text,
        k=fmt.bits,
        precision=fmt.man + 1,
        bias=fmt.offset,
        is_signed=fmt.signed,
        domain=gfloat.Domain.Extended if fmt.has_inf else gfloat.Domain.Finite,
        has_nz=fmt.signed and not fmt.one_zero,
        num_high_nans={"": 0, "nan": 1, "inf": 2**fmt.man - 1, "fnuz": 0, "p3109": 1 - fmt.signed}[fmt.specials],
        has_subnormals=fmt.subnormals,
        is_twos_complement=False,
    )
    mode = GFLOAT_ROUNDINGS[rounding]

    def run(x: Array) -> Array:
        if not fmt.signed:  # to us what is below the least value becomes that, in any mode
            x = np.where(x < 0, 0.0, x)
        # An infinity is no overflow to us: where it has a code it stays one, also in a format that saturates.
        stays = np.isinf(x) & fmt.has_inf
        out = np.array(gfloat.round_ndarray(info, np.where(stays, 0.0, x), mode, sat=fmt.overflow == "sat"))
        if stays.any():
            out[stays] = gfloat.round_ndarray(info, x[stays], mode, sat=False)
        return out

    return run


@pytest.mark.parametrize("rounding", ROUNDINGS)
@pytest.mark.parametrize("text", GFLOAT)
def test_gfloat(text: str, rounding: str) -> None:
    fmt = parse_format(text)
    assert isinstance(fmt, MiniFloat)
    compared, mismatches = compare("gfloat", fmt, gfloat_oracle(fmt, rounding), rounding, native=rounding == "rne")
    assert compared > NUMBERS
    assert mismatches == 0


@pytest.mark.parametrize("text", ML_DTYPES)
def test_ml_dtypes(text: str) -> None:
    def oracle(x: Array) -> Array:
        with np.errstate(all="ignore"):
            return x.astype(np.float32).astype(ML_DTYPES[text]).astype(np.float64)

    compared, mismatches = compare("ml_dtypes", parse_format(text), oracle, "rne", native=True)
    assert compared > NUMBERS
    assert mismatches == 0


@pytest.mark.parametrize("text", TORCH)
def test_torch(text: str) -> None:
    def oracle(x: Array) -> Array:
        return torch.from_numpy(x).float().to(TORCH[text]).double().numpy()

    compared, mismatches = compare("torch", parse_format(text), oracle, "rne", native=True)
    assert compared > NUMBERS
    assert mismatches == 0


@pytest.mark.parametrize("rounding", ROUNDINGS)
@pytest.mark.parametrize("text", INTEGERS)
def test_numpy_integers(text: str, rounding: str) -> None:
    fmt = parse_format(text)
    unit = 2.0**fmt.lsb

    def oracle(x: Array) -> Array:
        return np.clip(NUMPY_ROUNDINGS[rounding](x / unit), fmt.min / unit, fmt.max / unit) * unit

    compared, mismatches = compare("numpy", fmt, oracle, rounding, native=rounding == "rne")
    assert compared > NUMBERS
    assert mismatches == 0


@pytest.mark.parametrize("rounding", ROUNDINGS)
@pytest.mark.parametrize("text", ["tf32", "fp(8,10)", "fp(4,14,nan)", "fp(9,9,inf,ovf=inf)"])
def test_gfloat_on_formats_of_19_bits(text: str, rounding: str) -> None:
    """All 16-bit floats, and float32 numbers of every exponent."""
    fmt = parse_format(text)
    assert isinstance(fmt, MiniFloat) and fmt.bits == 19
    bf16, fp16 = every_16_bit_float()
    some = np.random.default_rng(4).integers(0, 1 << 32, 1 << 16, dtype=np.uint64).astype(np.uint32).view(np.float32)
    x = np.concatenate([bf16.float().numpy(), fp16.float().numpy(), some])
    x = x[np.isfinite(x) | fmt.has_nan]
    got, wide = fmt.decode(fmt.encode(x, rounding)).astype(np.float64), widen(x)
    kept = np.ones(len(x), dtype=bool) if fmt.has_nan else ~np.isnan(wide)
    want = gfloat_oracle(fmt, rounding)(wide)
    assert kept.sum() > NUMBERS
    assert (((got == want) | (np.isnan(got) & np.isnan(want)))[kept]).all()


@pytest.mark.parametrize("name", ["ml_dtypes", "torch"])
def test_scales_of_powers_of_two(name: str) -> None:
    """E8M0, which others define for positive numbers from its least value up."""
    fmt = parse_format("e8m0")
    bf16, fp16 = every_16_bit_float()
    x = np.concatenate([bf16.float().numpy(), fp16.float().numpy(), boundaries(fmt)])
    x = x[np.isfinite(x) & (x >= np.float32(2.0**-126))]
    if name == "torch":
        want = torch.from_numpy(x).to(torch.float8_e8m0fnu).view(torch.uint8).numpy()
    else:
        want = x.astype(ml_dtypes.float8_e8m0fnu).view(np.uint8)
    got = fmt.encode(x)
    inside = want != 255  # to them what rounds past the largest is NaN
    assert inside.sum() > 60_000 and (got[~inside] == 254).all()
    assert np.array_equal(got[inside], want[inside])


def test_float32_is_the_identity_on_float32() -> None:
    fmt = catalog["fp32"]
    x = np.random.default_rng(1).integers(0, 1 << 32, 1 << 20, dtype=np.uint64).astype(np.uint32).view(np.float32)
    x = np.concatenate([x, np.float32([0, -0.0, np.inf, -np.inf, np.nan])])
    codes = fmt.encode(x)
    assert codes.dtype == np.uint32
    numbers = ~np.isnan(x)
    assert np.array_equal(codes[numbers], x[numbers].view(np.uint32))
    assert np.array_equal(fmt.quantize(x)[numbers].view(np.uint32), x[numbers].view(np.uint32))
    assert np.array_equal(fmt.decode(codes)[numbers].view(np.uint32), x[numbers].view(np.uint32))
    assert np.isnan(fmt.decode(codes[~numbers])).all()


@pytest.mark.parametrize("rounding", ROUNDINGS)
def test_float64_to_float32(rounding: str) -> None:
    """numpy casts to nearest even; the directed modes bracket the number."""
    fmt = parse_format("fp(8,23,inf,ovf=inf)")
    assert isinstance(fmt, MiniFloat)
    rng = np.random.default_rng(2)
    x = np.concatenate(
        [rng.normal(size=4096) * 2.0 ** rng.integers(-160, 140, 4096), [3.4028235677973366e38, 1e300, 1e-300]]
    )
    got = fmt.decode(fmt.encode(x, rounding))
    assert got.dtype == np.float32
    want = gfloat_oracle(fmt, rounding)(x)
    assert np.array_equal(got.astype(np.float64), want)
    if rounding == "rne":
        with np.errstate(over="ignore"):
            assert np.array_equal(got, x.astype(np.float32))


def test_the_catalogue_is_covered() -> None:
    covered = {str(parse_format(text)) for text in (*GFLOAT, *INTEGERS)}
    left = {name for name in set(catalog) - covered if isinstance(catalog[name], Int | MiniFloat)}
    assert left == {"fp32", "tf32", "e8m0"}  # which have tests of their own; and so have tables and blocks
    assert all(isinstance(parse_format(text), Int | MiniFloat) or text in catalog for text in INTEGERS)
