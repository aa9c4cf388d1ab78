"""A module with hwq's streams behind AXI4-Stream and AXI4-Lite: the wrapper, as modules around it.

From the outside in: a buffer of two places, so that no path leads through; transfers joined to payloads or payloads
split; the module itself, in reset for as long as the outside is, and for one cycle where a program asks for it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from hwq.errors import HwqError
from hwq.rtl.axil import CORE, Register, header, lite_ports, register_map, slave
from hwq.rtl.axis import MEMBERS, Stream, joiner, skid, splitter, streams
from hwq.rtl.modules import Leaf, Port, assigned, instance, module, part, wire

__all__ = ["Axi", "Wrapper"]

WIDTHS = [1 << at for at in range(3, 11)]  # bits of TDATA, as AMBA has them


@dataclass(frozen=True)
class Axi:
    """A bus that is asked for: bits of TDATA, the same for all streams; None: as many bytes as a payload has."""

    data_width: int | None = None

    def __post_init__(self) -> None:
        if self.data_width is not None and self.data_width not in WIDTHS:
            raise HwqError(f"data_width must be a power of two from 8 to 1024, not {self.data_width}")


class Wrapper:
    """Module `<core>_axi` and what stands in it, around a core that is a name and ports.

    *Core*: `clk`, `rst` (synchronous; no beat is taken while it is held), streams `x_valid`, `x_ready`, `x_payload`,
    `x_last`. Any other port is a register: an input is written, an output read, both in words of 32 bits.
    *Ports*: `aclk`, `aresetn` (active low, looked at where aclk rises; one cycle is enough), `s_axis_x_*` for what
    enters, `m_axis_x_*` for results, `s_axil_*` for the registers. Padding of TDATA is not looked at, and 0 in results.
    `frame`: the streams whose last say that a frame has entered and that its results have left, one for one, for busy.
    `digest`: 32 bits for a program to know the core by.
    """

    def __init__(self, core: str, ports: Sequence[Port], frame: tuple[str, str], axi: Axi, digest: int) -> None:
        self.core, self.ports_of_core = core, tuple(ports)
        self.name, self.digest = f"{core}_axi", digest
        self.streams = streams(ports, axi.data_width)
        own = {"clk", "rst"}.union(*({f"{one.name}_{member}" for member in MEMBERS} for one in self.streams))
        self.hooks = tuple(port for port in ports if port.name not in own)
        enters, leaves = ([one for one in self.streams if one.name == name] for name in frame)
        if not enters or not leaves or not enters[0].enters or leaves[0].enters:
            raise HwqError(f"a frame must enter by one of the core's streams and leave by another, not {frame}")
        self.enters, self.leaves = enters[0], leaves[0]

    @cached_property
    def registers(self) -> tuple[Register, ...]:
        """What a program finds behind AXI4-Lite."""
        return register_map(self.streams, self.hooks, self.digest)

    @cached_property
    def header(self) -> str:
        """The registers for a program in C."""
        about = [
            f"Registers of {self.name}: 32 bits each, by offset in bytes.",
            "Another offset is answered with DECERR, a write to what is only read with SLVERR.",
        ]
        return header(self.core, self.registers, about)

    @cached_property
    def modules(self) -> tuple[Leaf, ...]:
        """The wrapper first; not the core."""
        inner = {leaf.name: leaf for leaf in [self.slave, *(skid(self._skid(one), one.held) for one in self.streams)]}
        changed = [one for one in self.streams if one.transfers > 1]
        changers = [(joiner if one.enters else splitter)(self._changer(one), one) for one in changed]
        return (self.top, *inner.values(), *changers)

    @cached_property
    def slave(self) -> Leaf:
        """The registers' module."""
        return slave(f"{self.name}_registers", self.streams, self.hooks, self.digest)

    @cached_property
    def ports(self) -> tuple[Port, ...]:
        """The wrapper's ports."""
        found = [Port("aclk", "input", 1), Port("aresetn", "input", 1)]
        for one in self.streams:
            into, back = ("input", "output") if one.enters else ("output", "input")
            found += [Port(f"{one.axis}_tvalid", into, 1), Port(f"{one.axis}_tready", back, 1)]
            found += [Port(f"{one.axis}_tdata", into, one.width), Port(f"{one.axis}_tlast", into, 1)]
        return (*found, *lite_ports())

    @cached_property
    def top(self) -> Leaf:
        about = [f"{self.core} behind AXI4-Stream and AXI4-Lite; {self.core}_axi.h has the registers."]
        for one in self.streams:
            how = f"in {one.transfers} transfers, low end first" if one.transfers > 1 else "at the low end of TDATA"
            about.append(f"{one.axis}: payloads of {one.bits} bits, {how}.")
        parts = [self._resets(), *(self._stream(one) for one in self.streams), self._control(), self._core()]
        return module(self.name, about, self.ports, [line for lines in parts for line in ("", *lines)])

    def _changer(self, one: Stream) -> str:
        return f"{self.name}_{'join' if one.enters else 'split'}_{one.name}"

    def _skid(self, one: Stream) -> str:
        return f"{self.name}_skid_{one.held}"

    def _resets(self) -> Iterator[str]:
        yield "  // buffers are empty a cycle before the core and what changes widths is in reset"
        yield wire("run", 1)
        yield wire("reset", 1)
        yield "  reg rst;"
        yield "  always @(posedge aclk) rst <= ~aresetn | reset;"
        for port in self.ports_of_core:
            if port.name not in ("clk", "rst"):
                yield wire(self._net(port), port.width)

    def _net(self, port: Port) -> str:
        return CORE + port.name if port in self.hooks else port.name

    def _stream(self, one: Stream) -> Iterator[str]:
        yield f"  // {one.axis}"
        yield from self._entering(one) if one.enters else self._leaving(one)

    def _entering(self, one: Stream) -> Iterator[str]:
        """Buffer, then joiner: nothing is taken unless a program lets it."""
        name, axis = one.name, one.axis
        part_of = f"{name}_part" if one.transfers > 1 else name
        yield wire(f"{name}_space", 1)
        yield assigned(f"{axis}_tready", f"{name}_space & run")
        pins = {"clk": "aclk", "rst": "~aresetn | reset", **_pins("in", axis), **_pins("out", part_of)}
        pins |= {"in_valid": f"{axis}_tvalid & run", "in_ready": f"{name}_space"}
        pins |= {"in_payload": part(f"{axis}_tdata", 0, one.held, one.width), "in_last": f"{axis}_tlast"}
        yield from self._between(one)
        yield from instance(self._skid(one), f"skid_{name}", pins)
        if one.transfers > 1:
            pins = {"clk": "aclk", "rst": "rst", **_pins("in", part_of), **_pins("out", name)}
            yield from instance(self._changer(one), f"join_{name}", pins | {"broken": f"{part_of}_broken"})

    def _leaving(self, one: Stream) -> Iterator[str]:
        """Splitter, then buffer: what is offered stays offered, whatever a program does."""
        name, axis = one.name, one.axis
        part_of = f"{name}_part" if one.transfers > 1 else name
        yield from self._between(one)
        if one.transfers > 1:
            pins = {"clk": "aclk", "rst": "rst", **_pins("in", name), **_pins("out", part_of)}
            yield from instance(self._changer(one), f"split_{name}", pins)
        pins = {"clk": "aclk", "rst": "~aresetn", **_pins("in", part_of), "in_valid": f"{part_of}_valid & ~rst"}
        pins |= {"out_valid": f"{axis}_tvalid", "out_ready": f"{axis}_tready", "out_last": f"{axis}_tlast"}
        pins["out_payload"] = part(f"{axis}_tdata", 0, one.held, one.width)
        yield from instance(self._skid(one), f"skid_{name}", pins)
        if one.held < one.width:
            padding = one.width - one.held
            yield assigned(part(f"{axis}_tdata", one.held, padding, one.width), f"{padding}'d0")

    def _between(self, one: Stream) -> Iterator[str]:
        """Wires between a buffer and what changes widths."""
        if one.transfers > 1:
            widths = {"valid": 1, "ready": 1, "payload": one.width, "last": 1}
            yield from (wire(f"{one.name}_part_{member}", width) for member, width in widths.items())
            yield from [wire(f"{one.name}_part_broken", 1)] * one.enters

    def _control(self) -> Iterator[str]:
        """The registers, and what they are told of the streams."""
        yield "  // registers"
        enters, leaves = self.enters, self.leaves
        moves = [f"{one.axis}_tvalid & {one.axis}_tready" for one in self.streams]
        stalls = [f"{one.axis}_tvalid & ~{one.axis}_tready" for one in self.streams]
        breaks = [f"{one.name}_part_broken" if one.enters and one.transfers > 1 else "1'b0" for one in self.streams]
        told = {"moves": moves, "stalls": stalls, "breaks": breaks}
        for vector, bits in told.items():
            yield wire(vector, len(bits))
            yield from (assigned(part(vector, at, 1, len(bits)), bit) for at, bit in enumerate(bits))
        last = f"{leaves.name}_part" if leaves.transfers > 1 else leaves.name
        pins = {port.name: port.name for port in self.slave.ports}
        pins |= {"enters": part("moves", self.streams.index(enters), 1, len(moves)), "ends": f"{enters.axis}_tlast"}
        pins |= {"leaves": f"{last}_valid & {last}_ready & {last}_last", "offers": f"{leaves.axis}_tvalid"}
        yield from instance(self.slave.name, "registers", pins)

    def _core(self) -> Iterator[str]:
        yield "  // what is wrapped"
        pins = {port.name: self._net(port) for port in self.ports_of_core} | {"clk": "aclk", "rst": "rst"}
        yield from instance(self.core, "core", pins)


def _pins(side: str, base: str) -> dict[str, str]:
    """One side of a buffer, joiner or splitter on the wires of a stream."""
    return {f"{side}_{member}": f"{base}_{member}" for member in MEMBERS}
