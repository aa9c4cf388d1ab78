"""`hwq ptq --protocol FILE`: a published figure, run again on the user's model and images, passed or failed."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hwq.errors import HwqError

if TYPE_CHECKING:
    from hwq.zoo import Model

__all__ = ["judged", "lines"]

_NEEDED = {"title": str, "source": str, "model": str, "recipe": str, "assignment": dict, "published": dict}
_OTHERS = ("images", "calibration", "preprocessing", "calibrated_on")


def judged(path: Path) -> dict[str, Any]:
    """The record of a protocol: exact and float top-1 in percent, the published figure, and whether it is reached.

    It is where the exact top-1 is at most `tolerance` points below. Files are named from the protocol's folder.
    """
    from hwq import ptq
    from hwq.cli.console import progress
    from hwq.ptq.progress import watched

    asked = _read(path)
    model = _model(asked, path.parent)
    engine = ptq.quantizer(model, asked.get("calibrated_on"))
    with watched(progress):
        quantized = engine.quantize(asked["assignment"], asked["recipe"])
    report = ptq.report(model, quantized)
    target, tolerance = (float(asked["published"][name]) for name in ("top1", "tolerance"))
    value = 100 * report["exact"]["value"]
    return {
        "title": asked["title"],
        "source": asked["source"],
        "n": report["n"],
        "float": report["float"],
        "exact": report["exact"],
        "published": target,
        "tolerance": tolerance,
        "passed": value >= target - tolerance,
    }


def lines(record: dict[str, Any]) -> list[str]:
    """The record in words."""
    exact = {part: 100 * record["exact"][part] for part in ("value", "low", "high")}
    return [
        f"{record['title']} ({record['source']})",
        f"published {record['published']:.2f} %, at most {record['tolerance']:.2f} points below passes",
        f"exact {exact['value']:.2f} % [{exact['low']:.2f}, {exact['high']:.2f}], float "
        f"{100 * record['float']['value']:.2f} %, n={record['n']}",
        "PASS" if record["passed"] else "FAIL",
    ]


def _read(path: Path) -> dict[str, Any]:
    try:
        asked = tomllib.loads(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise HwqError(f"a protocol must be a TOML file, not {path}: {error}") from error
    for name, kind in _NEEDED.items():
        if not isinstance(asked.get(name), kind):
            raise HwqError(f"protocol {path} must have {name} as {kind.__name__}, not {asked.get(name)!r}")
    if unknown := [name for name in asked if name not in (*_NEEDED, *_OTHERS)]:
        raise HwqError(f"protocol {path} may have {', '.join((*_NEEDED, *_OTHERS))}, not {', '.join(unknown)}")
    figures = asked["published"]
    if not all(isinstance(figures.get(name), int | float) for name in ("top1", "tolerance")):
        raise HwqError(f"protocol {path} must have published.top1 and published.tolerance in percent, not {figures}")
    return asked


def _model(asked: dict[str, Any], folder: Path) -> Model:
    """The model of a protocol, with the images that it names."""
    from dataclasses import replace

    from hwq import zoo
    from hwq.zoo.folder import Folder, Preprocessing
    from hwq.zoo.program import SUFFIX, program

    spec = asked["model"]
    if "images" not in asked:
        return zoo.load(str(folder / spec) if ":" in spec else spec)
    try:
        how: Any = {key: tuple(v) if isinstance(v, list) else v for key, v in asked.get("preprocessing", {}).items()}
        preprocessing = Preprocessing(**how)
    except TypeError as error:
        raise HwqError(f"preprocessing must have the fields of hwq.zoo.folder.Preprocessing, not: {error}") from error
    other = asked.get("calibration")
    data = Folder(folder / asked["images"], preprocessing, None if other is None else folder / other)
    if spec.endswith(SUFFIX):
        return program(folder / spec, data)
    return replace(zoo.load(str(folder / spec) if ":" in spec else spec), data=data)
