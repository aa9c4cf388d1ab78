"""What a device file holds, checked where it is read: an estimate never meets half of one."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from hwq.datapath.timing import COUNTS
from hwq.errors import HwqError

__all__ = ["FAMILIES", "FIELDS", "checked"]

FIELDS: Mapping[str, tuple[str, ...]] = {  # device -> what of it is priced
    **dict.fromkeys(("xc7", "xcup", "ecp5", "ice40"), ("lut",)),
    "ge": ("ge",),
    **dict.fromkeys(("nangate45", "sky130", "asap7"), ("area_um2", "fast_um2")),
}
FAMILIES = ("pe", "decode", "epilogue", "around")  # of modules, that every file has
LEVELS = ("T1", "T1 cells, T2 clock", "T2", "T3")
NAMES = ("device", "source", "level", "prices", "spread", "doubt", "region")
TABLES = {"prices": 3, "region": 3, "spread": 2, "doubt": 2}  # how deep the numbers are
MOST = 1e15  # of a number: far above any price, and no product of two is infinite


def checked(name: str, text: str) -> dict[str, Any]:
    """The record of a device's file."""
    if name not in FIELDS:
        raise HwqError(f"a device with a file of prices must be one of {', '.join(FIELDS)}, not {name!r}; choose one")
    data = _record(name, text)
    if data["device"] != name:
        raise HwqError(f"a device file must be of {name}, not of {data['device']}; give --device {data['device']}")
    if not isinstance(data["source"], str):
        raise _wrong(name, "a text as source", _json(data["source"]))
    if data["level"] not in LEVELS:
        raise _wrong(name, f"one of {'; '.join(LEVELS)} as level", _json(data["level"]))
    for what, depth in TABLES.items():
        _check_numbers(name, data[what], what, depth)
        for field in FIELDS[name]:
            _check_names(name, data[what].get(field, {}), f"{what}.{field}", FAMILIES)
    if data.get("delays") is not None:
        _check_delays(name, data)
    return data


def _record(name: str, text: str) -> dict[str, Any]:
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _wrong(name, "JSON", str(error)) from None
    if not isinstance(data, dict):
        raise _wrong(name, "an object of JSON", _json(data))
    _check_names(name, data, "it", NAMES)
    return data


def _check_delays(name: str, data: Mapping[str, Any]) -> None:
    """Delays that make a clock, and how far it may be off."""
    delays = data["delays"]
    _check_numbers(name, delays, "delays", 1)
    _check_names(name, delays, "delays", COUNTS)
    if not delays["base"] + delays["lut"] + delays["row"]:
        raise _wrong(name, "delays of which one is above 0", _json(delays))
    _check_names(name, data["spread"].get("fmax_mhz", {}), "spread.fmax_mhz", ("pe",))


def _check_names(name: str, found: Mapping[str, Any], where: str, names: tuple[str, ...]) -> None:
    missing = [one for one in names if one not in found]
    if missing:
        raise _wrong(name, f"{', '.join(names)} in {where}", f"lack {', '.join(missing)}")


def _check_numbers(name: str, found: Any, where: str, depth: int) -> None:
    """Refuse all but tables within tables to that depth, with numbers at the bottom."""
    if not depth:
        if isinstance(found, bool) or not isinstance(found, int | float) or not 0 <= found <= MOST:
            raise _wrong(name, f"a number between 0 and {MOST:g} as {where}", _json(found))
        return
    if not isinstance(found, dict):
        raise _wrong(name, f"an object as {where}", _json(found))
    for key, inner in found.items():
        _check_numbers(name, inner, f"{where}.{key}", depth - 1)


def _json(found: object) -> str:
    """A value as the file writes it."""
    return json.dumps(found, ensure_ascii=False)


def _wrong(name: str, wanted: str, found: str) -> HwqError:
    return HwqError(f"the device file of {name} must hold {wanted}, not {found}; write one with hwq calibrate -o FILE")
