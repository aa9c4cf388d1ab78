"""`hwq ptq --matrix`: every published method on the networks that it is for, scored exactly and priced."""

from __future__ import annotations

import hashlib
import json
import time
import tomllib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hwq.cli.console import progress
from hwq.cli.objectives import code_digest
from hwq.errors import HwqError

if TYPE_CHECKING:
    from torch import Tensor

    from hwq.ptq import QuantizedModel
    from hwq.zoo import Model

__all__ = ["Case", "cases", "markdown", "of_model", "run"]

DEVICES = ("xc7", "nangate45")
_SOLVED = ("bits", "formats", "datapath", "ptq", "zoo", "costmodel")  # the packages whose code decides a row
_BASE, _SIZES = "rtn", ("images", "calibration")


@dataclass(frozen=True)
class Case:
    """A row: a method for a model in formats; `why` says what is known of one that falls behind rounding.

    The assignment has the formats of what the method alone puts into the network, too.
    """

    model: str
    formats: str
    assignment: tuple[tuple[str, str], ...]
    method: str
    images: int
    calibration: int
    crops: int = 0
    why: str = ""

    @property
    def key(self) -> str:
        """What identifies the row's result: everything that decides it, `why` apart."""
        packaged = resources.files("hwq.ptq") / "recipes" / f"{self.method}.toml"
        passes = packaged.read_text() if packaged.is_file() else _read(self.method)
        model = _read(self.model.rpartition(":")[0])
        said = [self.model, model, self.assignment, self.method, passes, self.images, self.calibration, self.crops]
        return hashlib.sha256(json.dumps([said, code_digest(_SOLVED)]).encode()).hexdigest()[:16]


def _read(named: str) -> str:
    """What is in the file that a model or a recipe of one's own is in, as a digest; nothing where it is none."""
    path = Path(named)
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""


def cases(path: Path | None = None) -> list[Case]:
    """The rows of a TOML file, by default of the packaged one, rounding before the other methods of each formats."""
    text = (resources.files("hwq.cli") / "matrix.toml").read_text() if path is None else _text(path)
    found: list[Case] = []
    try:
        for block in tomllib.loads(text)["on"]:
            given = block["assignment"]
            if not isinstance(block["methods"], list) or not all(type(block[size]) is int for size in _SIZES):
                raise HwqError(f"a matrix must have methods = [words] and whole {' and '.join(_SIZES)}, not {block!r}")
            sizes = (block["images"], block["calibration"], block.get("crops", 0))
            for method in dict.fromkeys((_BASE, *block["methods"])):
                assignment = given | block.get("also", {}).get(method, {})
                why = block.get("why", {}).get(method, "")
                found.append(Case(block["model"], block["formats"], tuple(assignment.items()), method, *sizes, why))
    except (KeyError, TypeError, AttributeError, tomllib.TOMLDecodeError) as error:
        raise HwqError(f"a matrix must have [[on]] tables with model, formats, ..., not fail with {error!r}") from error
    return found


def of_model(rows: list[Case], model: str) -> list[Case]:
    """The rows of one model."""
    found = [case for case in rows if case.model == model]
    if not found:
        raise HwqError(
            f"a matrix must have rows of {model!r}, not of {', '.join({case.model: 0 for case in rows})} alone"
        )
    return found


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise HwqError(f"a matrix must be a TOML file, not {path}: {error}") from error


def run(rows: list[Case], store: Path) -> tuple[list[dict[str, Any]], list[str]]:
    """A record a row, kept in `store` once it is made and not made again, and what is said of rows that cannot be."""
    kept, refused = _kept(store), []
    todo = [case for case in rows if case.key not in kept]
    with progress("methods", len(todo)) as tick, store.open("a") as file:
        for case in todo:
            try:
                kept[case.key] = _row(case)
            except HwqError as error:
                refused.append(f"{case.model} {case.formats} {case.method}: {error}")
                continue
            file.write(json.dumps({"key": case.key, **kept[case.key]}) + "\n")
            file.flush()
            tick(f"{case.model} {case.formats} {case.method}")
    found, base = [], None
    for case in rows:  # each table begins with its own rounding
        own = kept.get(case.key)
        base = own if case.method == _BASE else base
        found += [_judged(case, own, base)] if own and base else []
    return found, refused


def _kept(store: Path) -> dict[str, dict[str, Any]]:
    if not store.is_file():
        return {}
    found = {}
    for number, line in enumerate(store.read_text().splitlines(), 1):
        try:
            record = json.loads(line)
            found[record.pop("key")] = record
        except (ValueError, KeyError, AttributeError) as error:
            raise HwqError(f"line {number} of {store} must be a record, not {line[:40]!r}; delete the line") from error
    return found


def _row(case: Case) -> dict[str, Any]:
    from hwq import ptq

    subject = _subject(case.model)
    engine = ptq.quantizer(subject, case.calibration)
    roles = set(engine.roles.values())
    assignment = {role: text for role, text in case.assignment if role in roles or role not in ("first", "last")}
    recipe = ptq.Recipe.parse(case.method)
    began = time.process_time()
    model = engine.quantize(assignment, recipe)
    seconds = time.process_time() - began
    inputs, targets = subject.test(case.images)
    task, outputs = subject.task, model.outputs(inputs)
    floats = _floats(case.model, case.calibration, case.images, 0)
    record: dict[str, Any] = {
        "metric": task.name,
        "n": task.score(outputs, targets).n,
        "float": task.score(floats, targets).json(),
        "exact": task.score(outputs, targets).json(),
        "items": [round(x, 9) for x in task.items(outputs, targets).double().tolist()],
        "higher": task.higher,
        "share": task.share,
        "beside": task.beside(floats, outputs),
        "calibration_s": round(seconds, 1),
        "float_ops": dict(Counter(str(each["op"]) for each in model.float_ops)),
        "hardware": _hardware(model),
    }
    if case.crops:
        unlabelled = subject.crops(case.crops)
        record["beside"] = task.beside(_floats(case.model, case.calibration, 0, case.crops), model.outputs(unlabelled))
    return record


@cache
def _subject(name: str) -> Model:
    from hwq import zoo

    return zoo.load(name)


@cache
def _floats(name: str, calibration: int, images: int, crops: int) -> Tensor:
    """The float network's outputs for test items, or for unlabelled crops; by the quantizer's own graph."""
    from hwq import ptq

    subject = _subject(name)
    inputs = subject.crops(crops) if crops else subject.test(images)[0]
    return ptq.float_outputs(ptq.quantizer(subject, calibration).graph, inputs)


def _hardware(model: QuantizedModel) -> dict[str, Any]:
    """What the network's instances take on each device, the energy of its products for one image, and its weights."""
    from hwq.costmodel import estimate

    told: dict[str, Any] = {}
    for device in DEVICES:
        cost = estimate(model.instances, device)
        field, *_ = cost.figures
        told[device] = {field: cost.figures[field].json(), "energy_nj": _energy(model, device)}
    return told | {"weights": {"kib": _stored(model)}}


def _stored(model: QuantizedModel) -> float:
    """KiB of the codes of all weights, with the scales of their blocks."""
    from hwq.formats import packed_bytes

    total = 0
    for layer in model.layers:
        if layer.datapath is not None and (layer.name, "weight") in model.state:
            rows = model.state[layer.name, "weight"].flatten(1)
            total += packed_bytes(layer.datapath.mac.w, tuple(rows.shape))
    return total / 1024


def _energy(model: QuantizedModel, device: str) -> float | None:
    """Nanojoules of an image's products under streams of normal numbers; None where an element is not modelled."""
    total = 0.0
    for text, rows, columns, depth in model.products():
        each = _per_mac(text, device)
        if each is None:
            return None
        total += each * rows * columns * depth
    return total / 1000


@cache
def _per_mac(text: str, device: str) -> float | None:
    from hwq.costmodel.energy import energy
    from hwq.datapath import Datapath

    try:
        return energy(Datapath.parse(text), device).pj_per_mac.value
    except HwqError:
        return None


def _judged(case: Case, found: Mapping[str, Any], base: Mapping[str, Any]) -> dict[str, Any]:
    """The record beside that of rounding: what the method gains, paired, and what it takes more."""
    import numpy as np

    from hwq.zoo.score import matched, mean

    better, worse = (found, base) if found["higher"] else (base, found)
    first, second = (np.asarray(record["items"]) for record in (better, worse))
    gain = matched(first.astype(bool), second.astype(bool)) if found["share"] else mean(first - second)
    more = {}
    for device, figures in found["hardware"].items():
        for field, value in figures.items():
            then = base["hardware"][device][field]
            values = [x["value"] if isinstance(x, dict) else x for x in (value, then)]
            more[f"{device} {field}"] = None if None in values else round(values[0] - values[1], 1)
    names = dict.fromkeys([*found["float_ops"], *base["float_ops"]])
    host = {name: found["float_ops"].get(name, 0) - base["float_ops"].get(name, 0) for name in names}
    behind = gain.high < 0
    return {
        "model": case.model,
        "formats": case.formats,
        "method": case.method,
        **{key: found[key] for key in ("metric", "share", "n", "float")},
        "rtn": base["exact"],
        **{key: found[key] for key in ("exact", "beside", "calibration_s", "float_ops", "hardware")},
        "gain": gain.json(),
        "more": more,
        "unmodelled": {name: n for name, n in host.items() if n},
        "behind": behind,
        "why": case.why,
    }


def markdown(records: list[dict[str, Any]]) -> str:
    """The records as a table; the metric in percent where it is a share."""
    lines = [
        "| model | formats | method | metric (n) | float | rtn | method [95 %] | gain over rtn, paired | beside float "
        "| CPU s | more LUT, nJ an image (xc7) | more um2, nJ an image (nangate45) | more KiB of weights "
        "| more on the host, in float, not modelled | |",
        "|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for record in records:
        form = "{:.2%}".format if record["share"] else "{:.4f}".format
        exact, gain, more = record["exact"], record["gain"], record["more"]
        cells = [
            record["model"],
            record["formats"],
            record["method"],
            f"{record['metric']} ({record['n']:,})",
            form(record["float"]["value"]),
            form(record["rtn"]["value"]),
            f"{form(exact['value'])} [{form(exact['low'])}, {form(exact['high'])}]",
            f"{form(gain['value'])} [{form(gain['low'])}, {form(gain['high'])}]",
            ", ".join(f"{key} {value:.4g}" for key, value in record["beside"].items() if value is not None),
            f"{record['calibration_s']:.0f}",
            f"{_signed(more['xc7 lut'])}, {_signed(more['xc7 energy_nj'])}",
            f"{_signed(more['nangate45 area_um2'])}, {_signed(more['nangate45 energy_nj'])}",
            f"{more['weights kib']:+.1f}",
            ", ".join(f"{count:+d} {name}" for name, count in record["unmodelled"].items()) or "nothing",
            record["why"] or ("**behind rtn**" if record["behind"] else ""),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _signed(value: float | None) -> str:
    return "not modelled" if value is None else f"{value:+,.0f}"
