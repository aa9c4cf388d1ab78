"""Named parts: how much of one a design takes, resource by resource, from a table of the vendors' totals."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

from hwq.costmodel.cost import Cost, Quantity
from hwq.errors import HwqError

__all__ = ["RESOURCES", "Fpga", "Share", "fpga", "fpgas", "share", "shares"]

RESOURCES = ("lut", "ff", "dsp", "bram")


@dataclass(frozen=True)
class Fpga:
    """A part that can be bought. `totals` count what figures of these names count on `device`: see data/parts.toml."""

    name: str
    device: str
    totals: Mapping[str, int]
    source: str


@dataclass(frozen=True)
class Share:
    """What a design takes of one resource of a part: `used` of `total`."""

    used: Quantity
    total: int

    @property
    def share(self) -> Quantity:
        """Of the whole resource, 1 being all; what is not used takes 0 of a part that has none."""
        return self.used * (1 / self.total) if self.total else Quantity.exact(0)

    def json(self) -> dict[str, float]:
        """The share's interval is that of the figure."""
        share = self.share
        return {"used": self.used.value, "total": self.total} | {
            "share": share.value,
            "low": share.low,
            "high": share.high,
        }


@cache
def _table() -> dict[str, dict[str, Fpga]]:
    """Device -> name -> part."""
    text = (resources.files("hwq.costmodel") / "data" / "parts.toml").read_text(encoding="utf-8")
    return {
        device: {
            name: Fpga(name, device, {kind: row[kind] for kind in RESOURCES}, row["source"])
            for name, row in rows.items()
        }
        for device, rows in tomllib.loads(text).items()
    }


def fpgas(device: str) -> Mapping[str, Fpga]:
    """The parts of a device by name; none of one that is no FPGA."""
    return _table().get(device, {})


def fpga(name: str, device: str) -> Fpga:
    """The part of that name, which must be one of the device's."""
    known = fpgas(device)
    if name in known:
        return known[name]
    if not known:
        raise HwqError(f"part must be of a device with parts ({', '.join(_table())}), not of {device}; leave it out")
    owner = next((other for other, rows in _table().items() if name in rows), None)
    if owner is not None:
        raise HwqError(f"part must be one of {device}, not {name!r}, which is of {owner}; write --device {owner}")
    raise HwqError(f"part must be one of {', '.join(known)} on {device}, not {name!r}")


def shares(cost: Cost, part: Fpga) -> dict[str, Share]:
    """What a design takes of each resource of a part. A design that needs what the part has not is refused."""
    if cost.device != part.device:
        raise HwqError(f"a cost on {cost.device} has no share of {part.name}, which is of {part.device}")
    found = {kind: Share(cost.figures[kind], part.totals[kind]) for kind in RESOURCES if kind in cost}
    for kind, one in found.items():
        if one.used.value and not one.total:
            raise HwqError(f"{part.name} has no {kind}, the design needs {one.used.value:g}; name another part")
    return found


def share(cost: Cost, part: Fpga) -> Quantity:
    """The largest of the shares, 1 being all of a resource: the part of the part that a design costs."""
    return max((one.share for one in shares(cost, part).values()), key=lambda q: q.value)


def report(cost: Cost, part: Fpga) -> dict[str, Any]:
    """The `part` of the record that `hwq cost --json` prints."""
    found = shares(cost, part)
    return (
        {"name": part.name, "source": part.source}
        | {kind: one.json() for kind, one in found.items()}
        | {"largest_share": share(cost, part).value}
    )
