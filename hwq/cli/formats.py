"""`hwq formats`: the catalogue, one format's codes, formats side by side, and vectors for others to test against."""

from __future__ import annotations

import math
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hwq.cli.console import Json, show, table
from hwq.errors import HwqError

if TYPE_CHECKING:
    from hwq.formats import Format

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("formats")(formats)


def formats(
    name: Annotated[str | None, typer.Argument(help="A format: a name, or a text such as fp(4,3).")] = None,
    compare: Annotated[list[str] | None, typer.Option("--compare", help="Formats to put side by side.")] = None,
    vectors: Annotated[Path | None, typer.Option("--vectors", metavar="DIR", help="Write codes and roundings.")] = None,
    as_json: Json = False,
) -> None:
    """The catalogue, the codes of one format, or formats side by side."""
    from hwq.formats import catalog

    if vectors is not None:
        if name is None:
            raise HwqError("--vectors needs the name of a format, such as hwq formats NAME --vectors DIR")
        files = write_vectors(_format(name), vectors)
        show({"files": files}) if as_json else print(*files, sep="\n")
    elif compare:
        _print_rows([_fidelity(_format(text)) for text in ([name] if name else []) + compare], as_json)
    elif name is not None:
        _print_codes(_format(name), as_json)
    else:
        _print_rows([_summary(catalog[key]) for key in catalog], as_json)


def _format(text: str) -> Format:
    """The format of a text, if float64, in which values are printed, reaches to its ends."""
    from hwq.formats import parse_format

    fmt = parse_format(text)
    if fmt.max == 0 or _least_positive(fmt) == 0:  # the largest is looked at first, and refused where it is beyond
        raise HwqError(f"values that are shown must be numbers of float64, not as small as those of {fmt}")
    return fmt


def _print_rows(rows: list[dict[str, Any]], as_json: bool) -> None:
    if as_json:
        show(rows)
    else:
        table([f"{key} " if key == "text" else key for key in rows[0]], [list(row.values()) for row in rows])


def _summary(fmt: Format) -> dict[str, Any]:
    specials = [flag for flag, has in (("nan", fmt.has_nan), ("inf", fmt.has_inf)) if has]
    return {
        "name": str(fmt),
        "text": fmt.text,
        "bits": fmt.bits,
        "min": fmt.min,
        "max": fmt.max,
        "least": _least_positive(fmt),
        "specials": " ".join(specials),
    }


def _least_positive(fmt: Format) -> float:
    """The value of the first positive code: positive numbers have ascending codes in every family."""
    values = (fmt.value(code) for code in range(1 << fmt.bits) if not fmt.reserved(code))
    return float(next(value for value in values if isinstance(value, Fraction) and value > 0))


def _fidelity(fmt: Format) -> dict[str, Any]:
    """A summary with the dynamic range, and the signal-to-noise ratio on normally distributed numbers."""
    if fmt.bits > 64:
        raise HwqError(f"formats that are compared must have at most 64 bits, not {fmt} with {fmt.bits}")
    row = _summary(fmt)
    row["range_db"] = 20 * math.log10(row["max"] / row["least"])
    row["normal_sqnr_db"] = _normal_sqnr(fmt)
    return row


def _normal_sqnr(fmt: Format) -> float:
    """The best ratio in dB over scales that put the largest value at 2**-2 to 2**6 standard deviations."""
    from statistics import NormalDist

    import numpy as np

    n = 1 << 12
    normal = np.array([NormalDist().inv_cdf((i + 0.5) / n) for i in range(n)])
    scales = [2.0 ** (step / 8) / fmt.max for step in range(-16, 49)]
    with np.errstate(over="ignore"):  # beyond float64 is beyond the format too
        found = [fmt.decode(fmt.encode(normal / scale)) * scale for scale in scales]
    noise = min(filter(math.isfinite, (float(np.square(x - normal).sum()) for x in found)))
    return 10 * math.log10(float(np.square(normal).sum()) / noise)


def _print_codes(fmt: Format, as_json: bool) -> None:
    """A summary and the value of every code; the summary alone for a format with more codes than a table holds."""
    rows = [(code, _value(fmt, code)) for code in fmt.codes().tolist()] if fmt.bits <= 16 else []
    if as_json:
        show({**_summary(fmt), "values": [{"code": code, "value": value} for code, value in rows]})
        return
    _print_rows([_summary(fmt)], as_json)
    if rows:
        print()
        table(["code", "bits ", "value"], [(code, f"{code:0{fmt.bits}b}", value) for code, value in rows])


def _value(fmt: Format, code: int) -> float | str:
    """The value of a code from the specification, not from the circuit; a special by its name."""
    from hwq.formats import Special

    value = fmt.value(code)
    if isinstance(value, Special):
        return str(value.value)
    return -0.0 if fmt.negative_zero(code) else float(value)


def write_vectors(fmt: Format, folder: Path) -> list[str]:
    """Two CSV files: what each code means, and the code of every float32 at and beside each rounding boundary.

    `decode.csv`: code, value (hexadecimal float, exact). `encode.csv`: the bits of a float32, code under rne.
    """
    import numpy as np

    if fmt.max > float(np.finfo(np.float32).max) or np.float32(_least_positive(fmt)) == 0:
        raise HwqError(f"vectors are of float32, which must reach to the ends of the format, not fall short of {fmt}")
    folder.mkdir(parents=True, exist_ok=True)
    stem = fmt.text.replace("(", "_").replace(")", "").replace(",", "_").replace("=", "")
    decode, encode = folder / f"{stem}.decode.csv", folder / f"{stem}.encode.csv"
    values = [(code, _value(fmt, code)) for code in fmt.codes().tolist()]
    lines = [f"{code},{value if isinstance(value, str) else value.hex()}" for code, value in values]
    decode.write_text("code,value\n" + "\n".join(lines) + "\n")

    finite = np.unique(np.array([value for _, value in values if isinstance(value, float)]))
    middles = ((finite[:-1] + finite[1:]) / 2).astype(np.float32)
    points = np.concatenate([finite.astype(np.float32), middles])
    around = [np.nextafter(points, np.float32(end)) for end in (-np.inf, np.inf)]
    inputs = np.unique(np.concatenate([points, *around]))
    pairs = zip(inputs.view(np.uint32).tolist(), fmt.encode(inputs).tolist(), strict=True)
    encode.write_text("float32_bits,code\n" + "".join(f"0x{bits:08x},{code}\n" for bits, code in pairs))
    return [str(decode), str(encode)]
