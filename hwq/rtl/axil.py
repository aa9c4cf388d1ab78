"""The registers behind AXI4-Lite: their map, the slave that reads and writes them, a header for programs in C.

Each of the five channels has a register of its own and depends on no other in its cycle: an address may come before,
with or after its data. One read and one write are under way at most. An address without a register is answered with
DECERR, a write to a register that is only read with SLVERR; the lowest two bits of an address are not looked at.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from textwrap import wrap

from hwq.errors import HwqError
from hwq.rtl.axis import Stream
from hwq.rtl.modules import WIDEST, Leaf, Port, assigned, module, part, wire
from hwq.rtl.wires import bus

__all__ = ["ADDRESS", "CORE", "STREAMS", "Register", "header", "lite_ports", "register_map", "slave"]

ADDRESS = 12  # bits: 4 KiB, the least that AMBA gives a slave
WORD = 32
ID = 0x68777101  # "hwq", and the number of this map
STREAMS = 8  # at most: each has a bit in a byte of STATUS
BEATS, HOOKS = 8, 16  # where they begin, in words
FRAMES = 16  # bits of how many frames are under way
CORE = "core_"  # before the name of a port that is neither clock, reset nor stream
CONTROL = 2  # a word
PLACE, BYTES = ADDRESS - 2, WORD // 8  # bits of a word's number; bytes of a word
RESPONSES = {"OKAY": "2'd0", "SLVERR": "2'd2", "DECERR": "2'd3"}
_TURNED = {"input": "output", "output": "input"}
_INPUTS = (
    "moves, stalls: a transfer of a stream moves, or waits; breaks: it ends amid a payload.",
    "enters: a transfer of a frame enters, ends: with last; leaves: a frame's last result; offers: one waits.",
)


@dataclass(frozen=True)
class Register:
    """A word that a program reads, and writes if it is `written`; `value` is the Verilog of what is read."""

    name: str
    word: int
    value: str
    about: str
    written: bool = False

    @property
    def offset(self) -> int:
        """Bytes from the slave's first address."""
        return self.word * BYTES


def lite_ports() -> tuple[Port, ...]:
    """The slave's side of AXI4-Lite, channel by channel."""
    channels = (
        ("aw", "input", (("addr", ADDRESS), ("prot", 3))),
        ("w", "input", (("data", WORD), ("strb", BYTES))),
        ("b", "output", (("resp", 2),)),
        ("ar", "input", (("addr", ADDRESS), ("prot", 3))),
        ("r", "output", (("data", WORD), ("resp", 2))),
    )
    found = []
    for channel, direction, members in channels:
        back = "output" if direction == "input" else "input"
        found += [Port(f"s_axil_{channel}valid", direction, 1), Port(f"s_axil_{channel}ready", back, 1)]
        found += [Port(f"s_axil_{channel}{member}", direction, bits) for member, bits in members]
    return tuple(found)


def register_map(found: Sequence[Stream], hooks: Sequence[Port], digest: int) -> tuple[Register, ...]:
    """All registers. `hooks` are ports of the core: its inputs are written here, its outputs read."""
    if len(found) > STREAMS:
        raise HwqError(f"a register map has room for {STREAMS} streams, not {len(found)}; join some of them")
    waits, breaks = (", ".join(f"{at + index} {one.name}" for index, one in enumerate(found)) for at in (8, 16))
    spare = f"{STREAMS - len(found)}'d0, " * (len(found) < STREAMS)
    status = f"{{8'd0, {spare}errors, {spare}waits, 6'd0, |errors, busy}}"
    control = "bit 0 run: streams enter (1 after reset); bit 1 reset: of the core, for a cycle"
    asked = f"bit 0 busy, 1 an error; waiting: {waits}; ended amid a payload: {breaks}"
    beats = [
        Register(f"BEATS_{one.name.upper()}", BEATS + at, f"beats_{one.name}", f"transfers of {one.axis}")
        for at, one in enumerate(found)
    ]
    return (
        Register("ID", 0, f"{WORD}'h{ID:x}", "0x687771, and the number of this map"),
        Register("TEXT", 1, f"{WORD}'h{digest:08x}", "first 32 bits of the SHA-256 of the text"),
        Register("CONTROL", CONTROL, "{31'd0, runs}", control, True),
        Register("STATUS", 3, status, asked),
        Register("CYCLES", 4, "cycles", "clock cycles in which busy was 1"),
        *beats,
        *(_hooked(port, index, HOOKS + at) for at, (port, index) in enumerate(_words(hooks))),
    )


def _words(hooks: Sequence[Port]) -> list[tuple[Port, int]]:
    """The words of each port, the lowest first."""
    found = [(port, index) for port in hooks for index in range(-(-port.width // WORD))]
    if (HOOKS + len(found)) * BYTES > 1 << ADDRESS:
        raise HwqError(f"ports beside the streams must fit {(1 << PLACE) - HOOKS} words, not {len(found)}; narrow them")
    return found


def _hooked(port: Port, index: int, word: int) -> Register:
    """A word of a port."""
    low, high = index * WORD, min((index + 1) * WORD, port.width)
    value, bits = part(CORE + port.name, low, high - low, port.width), high - low
    padded = value if bits == WORD else f"{{{WORD - bits}'d0, {value}}}"
    several = port.width > WORD
    about = f"the core's {port.direction} {port.name}" + f", bits {low} to {high - 1}" * several
    return Register(
        f"{(CORE + port.name).upper()}{f'_{index}' * several}", word, padded, about, port.direction == "input"
    )


def line(one: Register) -> str:
    """A register in words."""
    return f"0x{one.offset:03x} {one.name}, read{' and written' * one.written}: {one.about}"


def header(top: str, registers: Sequence[Register], about: Sequence[str]) -> str:
    """The map for a program in C."""
    guard = f"{top.upper()}_AXI_H"
    lines = [*(f"// {one}" for one in about), f"#ifndef {guard}", f"#define {guard}", ""]
    for one in registers:
        lines += [f"// {line(one)}", f"#define {top.upper()}_{one.name} 0x{one.offset:03x}"]
    return "\n".join([*lines, "", "#endif", ""])


def slave(name: str, found: Sequence[Stream], hooks: Sequence[Port], digest: int) -> Leaf:
    """The module of the registers."""
    count = len(found)
    ports = [Port("aclk", "input", 1), Port("aresetn", "input", 1), *lite_ports()]
    ports += [Port("run", "output", 1), Port("reset", "output", 1), Port("rst", "input", 1)]
    ports += [Port(vector, "input", count) for vector in ("moves", "stalls", "breaks")]
    ports += [Port(bit, "input", 1) for bit in ("enters", "ends", "leaves", "offers")]
    ports += [Port(CORE + port.name, _TURNED[port.direction], port.width) for port in hooks]
    registers = register_map(found, hooks, digest)
    about = ["Registers behind AXI4-Lite, by offset:", *(f"  {line(one)}" for one in registers)]
    about += _INPUTS
    parts = (_counted(found), _channels(registers), _written(hooks), _read(registers))
    return module(name, about, ports, [text for lines in parts for text in ("", *lines)])


def _counted(found: Sequence[Stream]) -> Iterator[str]:
    """What is known of the streams."""
    count = len(found)
    yield "  // what the streams have done"
    yield f"  reg {bus(WORD)}cycles;"
    yield from (f"  reg {bus(WORD)}beats_{one.name};" for one in found)
    yield f"  reg {bus(count)}errors;"
    yield f"  reg {bus(count)}waits;"
    yield "  reg open, comes, goes, busy; // a frame has begun to enter; one has entered; one has left; any of it"
    yield f"  reg {bus(FRAMES)}frames; // that have entered, and not left"
    yield "  always @(posedge aclk) begin"
    yield "    if (rst) open <= 1'b0;"
    yield "    else if (enters) open <= ~ends;"
    yield "    comes <= ~rst & enters & ends;"
    yield "    goes <= ~rst & leaves;"
    yield f"    if (rst) frames <= {FRAMES}'d0;"
    yield f"    else if (comes & ~goes) frames <= frames + {FRAMES}'d1;"
    yield f"    else if (goes & ~comes) frames <= frames - {FRAMES}'d1;"
    yield "    busy <= open | comes | |frames | offers;"
    yield f"    if (rst) cycles <= {WORD}'d0;"
    yield f"    else if (busy) cycles <= cycles + {WORD}'d1;"
    for at, one in enumerate(found):
        yield f"    if (rst) beats_{one.name} <= {WORD}'d0;"
        yield f"    else if ({part('moves', at, 1, count)}) beats_{one.name} <= beats_{one.name} + {WORD}'d1;"
    yield f"    if (rst) errors <= {count}'d0;"
    yield "    else errors <= errors | breaks;"
    yield "    waits <= stalls;"
    yield "  end"


def _channels(registers: Sequence[Register]) -> Iterator[str]:
    """The channels of writes."""
    yield "  // writes: address and data wait for each other, and then until the response is taken"
    yield "  reg awready, wready, aw_full, w_full, bvalid;"
    yield f"  reg {bus(2)}bresp;"
    yield f"  reg {bus(PLACE)}aw_word;"
    yield f"  reg {bus(WORD)}w_data;"
    yield f"  reg {bus(BYTES)}w_strb;"
    yield from (assigned(f"s_axil_{port}", port) for port in ("awready", "wready", "bvalid", "bresp"))
    yield wire("aw_comes", 1, "s_axil_awvalid & awready")
    yield wire("w_comes", 1, "s_axil_wvalid & wready")
    yield wire("writes", 1, "aw_full & w_full & ~bvalid")
    yield wire("taken", 1, "bvalid & s_axil_bready")
    yield from _among("can_write", "aw_word", [one for one in registers if one.written])
    yield from _among("can_read", "aw_word", [one for one in registers if not one.written])
    yield "  always @(posedge aclk) begin"
    for channel in ("aw", "w"):
        yield f"    {channel}_full <= aresetn & ~taken & ({channel}_full | {channel}_comes);"
        yield f"    {channel}ready <= aresetn & (taken | ~({channel}_full | {channel}_comes));"
    yield "    bvalid <= aresetn & (writes | bvalid & ~s_axil_bready);"
    yield f"    if (awready) aw_word <= s_axil_awaddr[{ADDRESS - 1}:2];"
    yield "    if (wready) w_data <= s_axil_wdata;"
    yield "    if (wready) w_strb <= s_axil_wstrb;"
    given = f"can_write ? {RESPONSES['OKAY']} : can_read ? {RESPONSES['SLVERR']} : {RESPONSES['DECERR']}"
    yield f"    if (writes) bresp <= {given}; // OKAY, SLVERR, DECERR"
    yield "  end"


def _among(name: str, word: str, registers: Sequence[Register]) -> Iterator[str]:
    """Whether a word is one of those."""
    found = " | ".join(f"{word} == {PLACE}'d{one.word}" for one in registers)
    yield from wrap(f"wire {name} = {found};", WIDEST, initial_indent="  ", subsequent_indent="    ")


def _written(hooks: Sequence[Port]) -> Iterator[str]:
    """The registers that are written."""
    inputs = [port for port in hooks if port.direction == "input"]
    yield "  // registers that are written"
    yield "  reg runs, resets;"
    yield from (f"  reg {bus(port.width)}held_{port.name};" for port in inputs)
    yield assigned("run", "runs")
    yield assigned("reset", "resets")
    yield from (assigned(CORE + port.name, f"held_{port.name}") for port in inputs)
    yield wire("controls", 1, f"writes & aw_word == {PLACE}'d{CONTROL} & w_strb[0]")
    yield "  always @(posedge aclk) begin"
    yield "    if (~aresetn) runs <= 1'b1;"
    yield "    else if (controls) runs <= w_data[0];"
    yield "    resets <= aresetn & controls & w_data[1];"
    for word, (port, index) in enumerate(_words(hooks), HOOKS):
        if port.direction == "input":
            yield from _bytes(port, index, word)
    yield "  end"


def _bytes(port: Port, index: int, word: int) -> Iterator[str]:
    """A word of a port, byte by byte."""
    low, high = index * WORD, min((index + 1) * WORD, port.width)
    held = part(f"held_{port.name}", low, high - low, port.width)
    yield f"    if (~aresetn) {held} <= {high - low}'d0;"
    yield f"    else if (writes & aw_word == {PLACE}'d{word}) begin"
    for at in range(0, high - low, 8):
        bits = min(8, high - low - at)
        one, given = part(f"held_{port.name}", low + at, bits, port.width), part("w_data", at, bits, WORD)
        yield f"      if (w_strb[{at // 8}]) {one} <= {given};"
    yield "    end"


def _read(registers: Sequence[Register]) -> Iterator[str]:
    """The channels of reads."""
    yield "  // reads: the word is there in the second cycle after its address, and waits to be taken"
    yield "  reg arready, ar_full, rvalid;"
    yield f"  reg {bus(2)}rresp;"
    yield f"  reg {bus(PLACE)}ar_word;"
    yield f"  reg {bus(WORD)}rdata;"
    yield from (assigned(f"s_axil_{port}", port) for port in ("arready", "rvalid", "rresp", "rdata"))
    yield wire("ar_comes", 1, "s_axil_arvalid & arready")
    yield "  always @(posedge aclk) begin"
    yield "    ar_full <= aresetn & ar_comes;"
    yield "    rvalid <= aresetn & (ar_full | rvalid & ~s_axil_rready);"
    yield "    arready <= aresetn & ~ar_comes & ~ar_full & (~rvalid | s_axil_rready);"
    yield f"    if (arready) ar_word <= s_axil_araddr[{ADDRESS - 1}:2];"
    yield "    if (ar_full) begin"
    yield f"      rresp <= {RESPONSES['OKAY']};"
    yield "      case (ar_word)"
    for one in registers:
        yield f"        {PLACE}'d{one.word}: rdata <= {one.value}; // {one.name}"
    yield "        default: begin"
    yield f"          rdata <= {WORD}'d0;"
    yield f"          rresp <= {RESPONSES['DECERR']};"
    yield "        end"
    yield "      endcase"
    yield "    end"
    yield "  end"
