"""A datapath inside an Amaranth design: its streams as `amaranth.lib.stream`, its Verilog as an instance."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import ClockSignal, Instance, Module, ResetSignal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hwq.datapath import Datapath
from hwq.rtl.emit import sources

__all__ = ["MacArray"]


class MacArray(wiring.Component):  # type: ignore[misc]  # shipped without types
    """The array of a datapath as a component, in the clock domain `sync`.

    *Members*: streams `a`, `w`, `o`, and `p` if the datapath has run-time parameters, whose payload is a structure of
    `codes` and `last`: see `hwq.rtl.Top`. *Files*: `files` maps names to Verilog; a platform is given them, and who
    converts the design by hand adds them to it.
    """

    def __init__(self, dp: Datapath, device: str = "portable", clock: float | None = None) -> None:
        modules, self.files = sources(dp, device, clock)
        self.top, ports = next(iter(modules.items()))
        self._pins = [port.name for port in ports if port.name not in ("clk", "rst")]
        widths = {port.name[0]: port.width for port in ports if port.name.endswith("_payload")}
        super().__init__({name: (Out if name == "o" else In)(_stream(bits)) for name, bits in widths.items()})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        if platform is not None:
            for name, text in self.files.items():
                platform.add_file(name, text)
        pins = {f"{'o' if self._drives(name) else 'i'}_{name}": self._signal(name) for name in self._pins}
        m.submodules.array = Instance(self.top, i_clk=ClockSignal(), i_rst=ResetSignal(), **pins)
        return m

    def _drives(self, pin: str) -> bool:
        """Whether the array drives a pin of its own: its results, and who is ready for the rest."""
        side, _, member = pin.partition("_")
        return (side == "o") != (member == "ready")

    def _signal(self, pin: str) -> Any:
        side, _, member = pin.partition("_")
        interface = getattr(self, side)
        return getattr(interface, member) if member in ("valid", "ready") else _member(interface.payload, member)


def _stream(bits: int) -> Any:
    return stream.Signature(data.StructLayout({"codes": bits, "last": 1}))


def _member(payload: Any, member: str) -> Any:
    return payload["codes" if member == "payload" else "last"]
