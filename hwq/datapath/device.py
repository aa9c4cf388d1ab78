"""Devices as data files: how rows are kept, what cells cost, how long they take, and where the figures come from."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from pathlib import Path

from hwq.datapath.pricefile import checked
from hwq.errors import HwqError

__all__ = ["DEVICES", "Device", "Rows", "check_device", "device", "load"]


@dataclass(frozen=True)
class Rows:
    """How a fabric wants its rows written.

    `kept`: as they stand, a carry chain each; an ASIC flow picks its own adders. `free`: one of a chain's two inputs
    costs nothing and the other absorbs logic, so that the base must come first. `shortest`: the fewest bits that make
    a chain; fewer become tables, which are larger. `tree`: a sum is a tree of full adders and one adder instead of
    rows (`hwq.bits.compress`). `shifts`: so many flip-flops in a row, never reset, or more, become a table that shifts.
    `choice`: the rows that a table more adds to a choice among rows. `joined`: registers of a kind share a table that
    joins enable and reset (iCE40 resets only what is enabled), or a clock gate.
    """

    kept: bool
    free: bool = False
    shortest: int = 1
    tree: bool = False
    shifts: int | None = None
    choice: int = 1
    joined: bool = False


DEVICES: Mapping[str, tuple[str, Rows]] = {
    "portable": ("any target; not priced", Rows(kept=True, free=True, choice=3)),
    "xc7": ("Xilinx 7 series, without DSP blocks", Rows(kept=True, free=True, shifts=3, choice=3)),
    "xcup": ("Xilinx UltraScale+, without DSP blocks", Rows(kept=True, free=True, shifts=3, choice=3)),
    "versal": ("AMD Versal; not priced", Rows(kept=True, free=True, shifts=3, choice=3)),
    "ecp5": ("Lattice ECP5, speed grade 6", Rows(kept=True, shortest=5)),
    "ice40": ("Lattice iCE40 UltraPlus, without DSP blocks", Rows(kept=True, joined=True)),
    "ge": ("ASIC in gate equivalents (NAND2 areas)", Rows(kept=False, choice=3)),
    "nangate45": ("Nangate 45 nm cells", Rows(kept=False, tree=True, joined=True)),
    "sky130": ("SkyWater 130 nm high-density cells", Rows(kept=False, tree=True, joined=True)),
    "asap7": ("ASAP7 predictive 7 nm cells", Rows(kept=False, tree=True, joined=True)),
}


@dataclass(frozen=True)
class Device:
    """One device file. All but delays are keyed by field (`lut`, `area_um2`, ...), then by family of modules.

    `prices` of features; `spread`: the half-width of the 90 % interval over what is
    uncertain of a price; `doubt`: that of the relative errors of what is priced exactly; `region`: the largest count
    of each feature that a price was fitted to. `delays` (ns) exist only where place and route does.
    """

    name: str
    title: str
    rows: Rows
    source: str = "not calibrated"
    level: str = ""
    prices: Mapping[str, Mapping[str, Mapping[str, float]]] | None = None
    spread: Mapping[str, Mapping[str, float]] | None = None
    doubt: Mapping[str, Mapping[str, float]] | None = None
    region: Mapping[str, Mapping[str, Mapping[str, float]]] | None = None
    delays: Mapping[str, float] | None = None
    digest: str = ""

    def __hash__(self) -> int:
        return hash((self.name, self.digest))


def check_device(name: str) -> None:
    if not isinstance(name, str) or name not in DEVICES:
        raise HwqError(f"device must be one of {', '.join(DEVICES)}, not {name!r}")


@lru_cache(maxsize=32)
def device(name: str) -> Device:
    """The device of that name, with the prices that its file holds."""
    check_device(name)
    title, rows = DEVICES[name]
    path = resources.files("hwq") / "devices" / f"{name}.json"
    if not path.is_file():
        return Device(name, title, rows)
    text = path.read_text(encoding="utf-8")
    return read(name, text)


def load(name: str, path: Path) -> Device:
    """A device with the prices of a file that `hwq calibrate -d name -o path` wrote."""
    check_device(name)
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise HwqError(f"the device file must be readable, not {path}: {error}; give one of hwq calibrate -o") from None
    return read(name, text)


def read(name: str, text: str) -> Device:
    """A device from the text of its file."""
    title, rows = DEVICES[name]
    data = checked(name, text)
    return Device(
        name,
        title,
        rows,
        data["source"],
        data["level"],
        data["prices"],
        data["spread"],
        data["doubt"],
        data["region"],
        data.get("delays"),
        hashlib.sha256(text.encode()).hexdigest()[:12],
    )
