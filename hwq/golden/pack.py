"""A conformance pack: what codes mean, how numbers become codes and what sums give, for anyone's RTL or emulator."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from hwq.bits import const
from hwq.datapath import Datapath, Fixed, Float, Mac, matmul
from hwq.datapath.draw import Draw
from hwq.errors import HwqError
from hwq.formats import ROUNDINGS, STOCHASTIC, Format, Special, Unpacked, catalog, noise_words
from hwq.formats.intake import CARRIERS
from hwq.formats.rounding import NOISE_BITS, first_state
from hwq.golden.points import ALL_BITS, boundaries

__all__ = ["PACK_VERSION", "write_pack"]

PACK_VERSION = 1
KEY = "hwq_vectors"  # of the manifest: a folder with one may be written again
SEED = 1
TERMS = 3
SIDE = 16  # rows of either operand: all their pairs are summed
OVERFLOWS = ("sat", "wrap", "inf", "nan")
LONGEST = 48  # characters of a folder's name

Port = tuple[str, int]
Range = tuple[int, int]
NAN = {"float32": [(0x7F800001, 0x7FFFFFFF), (0xFF800001, 0xFFFFFFFF)]}
NAN["float64"] = [(at + (0x7FF << 52) + 1, at + (1 << 63) - 1) for at in (0, 1 << 63)]


@dataclass(frozen=True)
class Vectors:
    """One file: what it is of, its columns of numbers, inputs first, and which outputs are all NaN."""

    name: str
    about: Mapping[str, str]
    inputs: Sequence[Port]
    outputs: Sequence[Port]
    columns: Sequence[Sequence[int]]
    nan: Sequence[Range]

    @property
    def text(self) -> str:
        """A comment that names the fields, and a line a vector: their hexadecimal digits, joined by underscores."""
        ports = (*self.inputs, *self.outputs)
        head = f"// {' '.join(self.about.values())}: {' '.join(f'{name}[{bits - 1}:0]' for name, bits in ports)}\n"
        digits = [-(-bits // 4) for _, bits in ports]
        rows = zip(*self.columns, strict=True)
        return head + "".join("_".join(f"{x:0{n}x}" for x, n in zip(row, digits, strict=True)) + "\n" for row in rows)

    def entry(self, text: str) -> dict[str, Any]:
        """The file's part of the manifest."""
        return {
            "name": self.name,
            **self.about,
            "inputs": self.inputs,
            "outputs": self.outputs,
            "nan": self.nan,
            "count": len(self.columns[0]),
            "sha256": hashlib.sha256(text.encode()).hexdigest(),
        }


def write_pack(
    formats: Sequence[Format], folder: str | Path, tick: Callable[[str], object] = lambda name: None
) -> dict[str, Any]:
    """Write a pack of these formats, or of all the catalogue's of one number and at most 16 bits; its manifest.

    Everything is computed before the folder is touched; it must be new, empty, or an earlier pack, which is replaced.
    `tick` is called with the name of each format that is done.
    """
    path = Path(folder)
    old = _earlier(path)
    left_out: dict[str, str] = {}
    chosen = list(dict.fromkeys(formats)) or list(_scalars(left_out))
    for fmt in formats:
        _check(fmt)
    made: dict[str, tuple[Vectors, str]] = {}
    for fmt in chosen:
        made.update((v.name, (v, v.text)) for v in _vectors(fmt, left_out))
        tick(str(fmt))
    texts = {name: text for name, (_, text) in made.items()}
    here = Path(__file__).parent
    texts |= {"reader.py": (here / "reader.py").read_text("utf-8"), "README.md": (here / "pack.md").read_text("utf-8")}
    manifest = {
        KEY: PACK_VERSION,
        "hwq": version("hwq"),
        "formats": {str(fmt): _parameters(fmt) for fmt in chosen},
        "vectors": sum(len(v.columns[0]) for v, _ in made.values()),
        "left_out": left_out,
        "files": [v.entry(text) for v, text in made.values()],
    }
    for name in old:
        (path / name).unlink(missing_ok=True)
    for name, text in {**texts, "manifest.json": json.dumps(manifest, indent=1) + "\n"}.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_text(text, encoding="utf-8")
    return manifest


def _earlier(path: Path) -> list[str]:
    """The files of an earlier pack in that folder; refuses a folder with anything else."""
    if path.exists() and not path.is_dir():
        raise HwqError(f"a pack is written to a folder, not over the file {str(path)!r}")
    if not path.exists() or not any(path.iterdir()):
        return []
    try:
        manifest = json.loads((path / "manifest.json").read_text("utf-8"))
        names = [str(file["name"]) for file in manifest["files"] if manifest[KEY]]
    except (OSError, ValueError, KeyError, TypeError):
        names = []
    if not names or any(name.startswith("/") or ".." in name.split("/") for name in names):
        raise HwqError(f"a pack needs a new or empty folder, or an earlier pack, not {str(path)!r} with other files")
    return names


def _scalars(left_out: dict[str, str]) -> Iterator[Format]:
    for name in catalog:
        try:
            _check(catalog[name])
        except HwqError as error:
            left_out[name] = str(error)
        else:
            yield catalog[name]


def _check(fmt: Format) -> None:
    """Refuse what float32 vectors cannot be made of."""
    if fmt.bits > 16:
        raise HwqError(f"vectors list the codes of formats to 16 bits, not {fmt} with {fmt.bits}")
    fmt.pack(Unpacked.of(const(0)), fmt.lsb, "rne")  # a format that packs no single number says so
    ends = max(map(abs, fmt.extremes))
    if ends > CARRIERS["float32"][0].extremes[1] or fmt.least_positive < CARRIERS["float32"][0].least_positive:
        raise HwqError(f"vectors are of float32, which must reach to the ends of the format, not fall short of {fmt}")


def _parameters(fmt: Format) -> dict[str, Any]:
    return {
        "text": fmt.text,
        "bits": fmt.bits,
        "lsb": fmt.lsb,
        "min": fmt.min,
        "max": fmt.max,
        "nan": fmt.has_nan,
        "inf": fmt.has_inf,
        "overflow": [variant.overflow for variant in _variants(fmt)],
        "rounding": _roundings(fmt),
        "boundaries": "all" if fmt.bits <= ALL_BITS else "some",
        "folder": _stem(fmt),
    }


def _stem(fmt: Format) -> str:
    """A folder's name: the catalogue's, or the text without signs that file systems dislike."""
    stem = re.sub(r"[^A-Za-z0-9_=.-]+", "_", str(fmt)).strip("_")
    return stem if len(stem) <= LONGEST else f"{stem[:LONGEST]}-{hashlib.sha256(fmt.text.encode()).hexdigest()[:8]}"


def _roundings(fmt: Format) -> list[str]:
    return [*ROUNDINGS, *[STOCHASTIC] * (not fmt.uneven)]


def _variants(fmt: Format) -> list[Format]:
    """The format itself, then the same with each other overflow that it can have."""
    found = [fmt]
    if not any(field.name == "overflow" for field in fields(fmt)):  # type: ignore[arg-type]  # formats are dataclasses
        return found
    for mode in OVERFLOWS:
        try:
            found.append(replace(fmt, overflow=mode))  # type: ignore[type-var]
        except HwqError:  # no code for it
            continue
    return list(dict.fromkeys(found))


def _vectors(fmt: Format, left_out: dict[str, str]) -> Iterator[Vectors]:
    stem = _stem(fmt)
    yield _decode(stem, fmt)
    x = boundaries(fmt)
    for variant in _variants(fmt):
        for rounding in _roundings(fmt):
            yield _encode(stem, variant, rounding, x)
    for kind, make in _MACS.items():
        try:
            yield _sums(stem, kind, make(fmt))
        except HwqError as error:
            left_out[f"{stem}/sum.{kind}"] = str(error)


def _decode(stem: str, fmt: Format) -> Vectors:
    codes = fmt.codes()
    values = np.asarray(fmt.decode(codes))
    carrier = values.dtype.name
    patterns = np.where(np.isnan(values), np.array(np.nan, dtype=values.dtype), values).view(f"u{values.itemsize}")
    return Vectors(
        f"{stem}/decode.hex",
        {"operation": "decode", "format": fmt.text, "result": carrier},
        [("code", fmt.bits)],
        [("value", 8 * values.itemsize)],
        [codes.tolist(), patterns.tolist()],
        NAN[carrier],
    )


def _encode(stem: str, fmt: Format, rounding: str, x: Any) -> Vectors:
    noisy = rounding == STOCHASTIC
    noise = [noise_words(first_state(SEED), x.size).tolist()] if noisy else []
    return Vectors(
        f"{stem}/encode.{rounding}.{fmt.overflow}.hex",
        {"operation": "encode", "format": fmt.text, "rounding": rounding, "overflow": fmt.overflow},
        [("x", 32), *[("noise", NOISE_BITS)] * noisy],
        [("code", fmt.bits)],
        [x.view(np.uint32).tolist(), *noise, fmt.encode(x, rounding, SEED).tolist()],
        _nan_codes(fmt),
    )


def _nan_codes(fmt: Format) -> list[Range]:
    """Runs of codes that are NaN; of the wide sums with flags those with the top bit, the flag of NaN."""
    if not fmt.has_nan:
        return []
    if fmt.bits > 16:
        return [(1 << (fmt.bits - 1), (1 << fmt.bits) - 1)]
    codes = np.array([code for code in fmt.codes().tolist() if fmt.value(code) is Special.NAN])
    runs = np.split(codes, np.flatnonzero(np.diff(codes) > 1) + 1)
    return [(int(run[0]), int(run[-1])) for run in runs]


def _narrow(fmt: Format, overflow: str) -> Mac:
    """Two's complement of the width of a product: two of them may leave it."""
    return Mac(fmt, fmt, Fixed(Mac(fmt, fmt, k=TERMS).sum_bits(1), overflow=overflow), k=TERMS)


_MACS: Mapping[str, Callable[[Format], Mac]] = {
    "exact": lambda fmt: Mac(fmt, fmt, k=TERMS),
    "rounded": lambda fmt: Mac(fmt, fmt, out=fmt, k=TERMS),
    "wrapped": lambda fmt: _narrow(fmt, "wrap"),
    "saturated": lambda fmt: _narrow(fmt, "sat"),
    "float": lambda fmt: Mac(fmt, fmt, Float(CARRIERS["float32"][0]), k=TERMS),
}


def _sums(stem: str, kind: str, mac: Mac) -> Vectors:
    """The results after one, two and three products of every row of a with every row of w."""
    draw = Draw(mac, SEED)
    a, w = (draw.operand(side, (SIDE, TERMS)) for side in "aw")
    rows = np.indices((SIDE, SIDE)).reshape(2, -1)
    results = [np.asarray(matmul(mac, a[:, :t], w[:, :t])).ravel().tolist() for t in range(1, TERMS + 1)]
    operands = [
        (name, codes[row, t]) for t in range(TERMS) for name, codes, row in (("a", a, rows[0]), ("w", w, rows[1]))
    ]
    ports = [(f"{name}{at // 2}", (mac.a if name == "a" else mac.w).bits) for at, (name, _) in enumerate(operands)]
    out = mac.output
    return Vectors(
        f"{stem}/sum.{kind}.hex",
        {"operation": "sum", "datapath": Datapath(mac).parametric()},
        ports,
        [(f"s{t}", out.bits) for t in range(1, TERMS + 1)],
        [*[codes.tolist() for _, codes in operands], *results],
        NAN["float32"] if mac.floats is not None and mac.out is None else _nan_codes(out),
    )
