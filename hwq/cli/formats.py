"""`hwq formats`: the catalogue, one format in full, formats side by side, and vectors for others to test against."""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hwq.cli import explore
from hwq.cli.console import PRICED, Json, Tick, progress, show, table
from hwq.errors import HwqError

if TYPE_CHECKING:
    from hwq.formats import Format

__all__ = ["register"]

DEVICES = ("xc7", "ge")  # an FPGA and an ASIC, where none is asked for
TEXT = 28  # characters of a parametric text in the catalogue
SHOWN = 5  # significant digits of a number in a table


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("formats")(formats)


def formats(
    names: Annotated[list[str] | None, typer.Argument(help="Formats: names, or texts such as fp(4,3).")] = None,
    compare: Annotated[
        bool, typer.Option("--compare", help="Accuracy and cost side by side, of all if none is named.")
    ] = False,
    vectors: Annotated[Path | None, typer.Option("--vectors", metavar="DIR", help="Write a conformance pack.")] = None,
    device: Annotated[
        str | None, typer.Option("--device", "-d", metavar="D", help=f"What a comparison is priced for: {PRICED}.")
    ] = None,
    plot: Annotated[Path | None, typer.Option("--plot", metavar="FILE", help="Draw as PNG, SVG or PDF.")] = None,
    as_json: Json = False,
) -> None:
    """The catalogue; one format in full; formats side by side; or vectors that other implementations are run on."""
    texts = names or []
    _check(texts, compare, vectors, device, plot)
    if vectors is not None:
        _write_vectors(texts, vectors, as_json)
    elif compare:
        _compare(
            [explore.read_format(text) for text in texts or _all()], (device,) if device else DEVICES, plot, as_json
        )
    elif texts:
        _one(explore.read_format(texts[0]), plot, as_json)
    else:
        _catalogue(as_json)


def _check(texts: list[str], compare: bool, vectors: Path | None, device: str | None, plot: Path | None) -> None:
    """Refuse options that do not go together before any work."""
    if vectors is not None and (compare or plot or device):
        raise HwqError("--vectors goes with names alone, not with --compare, --plot or --device")
    if device and not compare:
        raise HwqError("--device goes with --compare, which prices formats; add it")
    if plot is not None and not texts and not compare:
        raise HwqError("--plot needs a format, or --compare, not none")
    if len(texts) > 1 and not compare and vectors is None:
        raise HwqError(f"one format is shown at a time, not {len(texts)}; add --compare")
    if device:
        from hwq.costmodel.estimate import priced

        priced(device)
    if plot is not None:
        from hwq.plot import check_picture

        check_picture(plot)


# the catalogue


def _catalogue(as_json: bool) -> None:
    from hwq.formats import catalog

    if as_json:
        show([explore.summary(catalog[name]) for name in catalog])
        return
    columns = ["name", "text ", "bits", "min", "max", "least", "specials "]
    families = [(title, [_row(fmt) for fmt in members]) for title, members in _families()]
    for title, rows in families:
        print(f"{title}\n")
        table(columns, rows)
        print()
    print("least: the smallest positive value. hwq formats NAME shows one in full.")


def _families() -> Iterator[tuple[str, list[Format]]]:
    """(what a family is, its members), by the first line of the file that reads its texts."""
    from hwq.formats import catalog
    from hwq.formats.families import FAMILIES

    found: dict[str, list[Format]] = {}
    for name in catalog:
        fmt = catalog[name]
        reader = FAMILIES[fmt.text.partition("(")[0]]
        about = (sys.modules[reader.__module__].__doc__ or reader.__module__).splitlines()[0]
        found.setdefault(re.split("[:`]", about)[0].rstrip(" ."), []).append(fmt)
    yield from found.items()


def _row(fmt: Format) -> list[object]:
    row = explore.summary(fmt)
    text = row["text"] if len(row["text"]) <= TEXT else row["text"][: TEXT - 1] + "\u2026"
    return [row["name"], text, row["bits"], *(_number(row[key]) for key in ("min", "max", "least")), row["specials"]]


def _number(x: float | None) -> str:
    return "" if x is None else f"{x:.{SHOWN}g}"


# one format


def _one(fmt: Format, plot: Path | None, as_json: bool) -> None:
    """All that is known of a format; its values unless they are more than a table holds."""
    if plot is not None:
        from hwq.plot import check_drawable

        check_drawable(fmt)
    rows = [(code, explore.value(fmt, code)) for code in fmt.codes().tolist()] if fmt.bits <= 16 else []
    found = {
        **explore.summary(fmt),
        **explore.details(fmt),
        "hardware": explore.hardware(fmt),
        "fidelity": explore.fidelities(fmt),
    }
    if plot is not None:
        from hwq.plot import format_sheet

        format_sheet(fmt, [(row["source"], row["sqnr_db"]) for row in found["fidelity"]], plot)
    if as_json:
        show({**found, "values": [{"code": code, "value": value} for code, value in rows]})
        return
    _print_one(found)
    _print_values(fmt.bits, rows)


def _print_values(bits: int, rows: list[tuple[int, float | str]]) -> None:
    """Code, pattern and value; printed plainly, since there may be 65,536."""
    texts = [value if isinstance(value, str) else f"{value:.6g}" for _, value in rows]
    first, last = max(4, len(str(rows[-1][0] if rows else 0))), max(map(len, ["value", *texts]))
    middle = max(4, bits)
    if rows:
        print(f"\n{'code':<{first}}   {'bits':<{middle}}   {'value':>{last}}\n{'─' * (first + middle + last + 6)}")
    for (code, _), text in zip(rows, texts, strict=True):
        print(f"{code:<{first}}   {f'{code:0{bits}b}':<{middle}}   {text:>{last}}")


def _print_one(found: dict[str, Any]) -> None:
    name, text = found["name"], found["text"]
    print(f"{name} = {text}\n" if name != text else f"{name}\n")
    for label, said in _facts(found):
        print(f"{label:<18}{said}")
    if found["fidelity"]:
        print()
        table(["at its best scale on", "SQNR dB", "error", "largest/sigma"], map(_fidelity_row, found["fidelity"]))


def _fidelity_row(row: dict[str, Any]) -> list[object]:
    ratio = "exact" if row["sqnr_db"] is None else f"{row['sqnr_db']:.2f}"
    return [row["source"], ratio, f"{row['mse']:.4g}", f"{row['clip']:.4g}"]


def _facts(found: dict[str, Any]) -> Iterator[tuple[str, str]]:
    stored = found["stored_bits"]
    yield "bits", f"{found['bits']}" + (f", {stored:g} a number in memory" if stored != found["bits"] else "")
    yield "range", f"{_number(found['min'])} to {_number(found['max'])}"
    if found["least"] is not None:
        normal = found["least_normal"]
        more = f", least normal {_number(normal)}" if normal not in (None, found["least"]) else ""
        yield "least positive", _number(found["least"]) + more
        yield "dynamic range", f"{found['range_db']:.1f} dB, {found['range_db'] / (20 * math.log10(2)):.1f} octaves"
    yield "significand", f"{found['significand_bits']} bits"
    if found["levels"] is not None:
        zero = "with -0" if found["negative_zero"] else "no -0"
        yield "levels", f"{found['levels']}, {zero}"
    yield "specials", found["specials"] or "none"
    yield from _widths(found["hardware"])


def _widths(found: dict[str, Any]) -> Iterator[tuple[str, str]]:
    yield "as one integer", f"{found['embedding_bits']} bits"
    if "unavailable" in found:
        yield "in a datapath", f"none: {found['unavailable']}"
        return
    fields = ", ".join(f"{name} {width}" for name, width in found["fields"].items())
    yield "operand", f"{fields} bits ({found['operand']})"
    yield "product", f"{found['product_bits']} bits"
    yield "exact sum", f"{found['accumulator_bits']} bits for {found['k']:,} products"


# formats side by side


def _compare(found: list[Format], devices: tuple[str, ...], plot: Path | None, as_json: bool) -> None:
    with progress("formats", len(found)) as tick:
        rows = [_ticked(explore.compared(fmt, devices), tick) for fmt in found]
    if plot is not None:
        from hwq.plot import format_tradeoff

        format_tradeoff(rows, devices, explore.ACCUMULATOR, plot)
    if as_json:
        show(rows)
        return
    names = [row["source"].strip("|") for row in rows[0]["fidelity"]]
    table(
        ["format", "bits", "least", "max", "range dB", *(f"{d}" for d in devices)],
        [_cost_row(r, devices) for r in rows],
    )
    print()
    table(["SQNR dB", *names], [[row["name"], *map(_ratio, row["fidelity"])] for row in rows])
    _notes(rows, devices)


def _ticked(row: dict[str, Any], tick: Tick) -> dict[str, Any]:
    tick(row["name"])
    return row


def _all() -> list[str]:
    """The catalogue."""
    from hwq.formats import catalog

    return list(catalog)


def _cost_row(row: dict[str, Any], devices: tuple[str, ...]) -> list[object]:
    costs = [row["cost"][device] for device in devices]
    shown = [_number(row["least"]), _number(row["max"]), f"{row['range_db']:.1f}"]
    return [row["name"], row["bits"], *shown, *map(_cost, costs)]


def _cost(found: dict[str, Any]) -> str:
    if "unavailable" in found:
        return "unknown"
    figure = found[found["unit"]]
    low, value, high = (f"{figure[key]:,.0f}" for key in ("low", "value", "high"))
    return value if low == high else f"{value} ({low} to {high})"


def _ratio(row: dict[str, Any]) -> str:
    ratio = "exact" if row["sqnr_db"] is None else f"{row['sqnr_db']:.2f}"
    return f"|x| {ratio}" if row["source"].startswith("|") else ratio


def _notes(rows: list[dict[str, Any]], devices: tuple[str, ...]) -> None:
    """What the figures are, and why some are missing."""
    print("\nSQNR at the best scale; |x|: of magnitudes, where a format has no negative values")
    print(f"one element that multiplies two numbers of the format; {explore.ACCUMULATOR}")
    for device in devices:
        costs = [(row["name"], row["cost"][device]) for row in rows]
        for level in dict.fromkeys(
            f"{c['unit']}, {c['level']}, fitted to {c['source']}" for _, c in costs if "level" in c
        ):
            print(f"{device}: {level}")
        for name, cost in costs:
            if "unavailable" in cost:
                print(f"{device}: {name} has no price: {cost['unavailable']}")


# vectors


def _write_vectors(texts: list[str], folder: Path, as_json: bool) -> None:
    from hwq.formats import catalog, parse_format
    from hwq.golden import write_pack

    with progress("vectors of", len(texts) or len(catalog)) as tick:
        manifest = write_pack([parse_format(text) for text in texts], folder, tick)
    if as_json:
        show(manifest)
        return
    print(f"{len(manifest['formats'])} formats, {len(manifest['files'])} files, {manifest['vectors']:,} vectors")
    for name, reason in manifest["left_out"].items():
        print(f"left out: {name}: {reason}")
    print(f"check an emulator with: python {folder / 'reader.py'} MODULE:FUNCTION")
