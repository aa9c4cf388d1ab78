"""What stands between a stream of hwq and AXI4-Stream: a buffer that cuts every path, and changes of width.

hwq's handshake is that of AXI: a beat moves in a clock cycle with valid and ready, and one that is offered stays as it
is until it moves. So nothing is translated; a payload is padded to bytes, or goes in several transfers, low end first.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from hwq.errors import HwqError
from hwq.rtl.modules import Leaf, Port, assigned, module, part, wire
from hwq.rtl.wires import bus

__all__ = ["MEMBERS", "Stream", "joiner", "skid", "splitter", "streams"]

BYTE = 8
MEMBERS = ("valid", "ready", "payload", "last")


@dataclass(frozen=True)
class Stream:
    """A stream of a module, seen from there: "input" or "output"; `bits` of a payload, `width` of TDATA."""

    name: str
    direction: str
    bits: int
    width: int

    @property
    def transfers(self) -> int:
        """Transfers of a payload."""
        return -(-self.bits // self.width)

    @property
    def enters(self) -> bool:
        return self.direction == "input"

    @property
    def axis(self) -> str:
        """What its AXI4-Stream is called."""
        return f"{'s' if self.enters else 'm'}_axis_{self.name}"

    @property
    def held(self) -> int:
        """Bits of TDATA that carry something: all of them in a transfer of several, the padding of a single one not."""
        return min(self.bits, self.width)


def streams(ports: Sequence[Port], width: int | None = None) -> tuple[Stream, ...]:
    """The streams among a module's ports, in their order: `x_valid`, `x_ready`, `x_payload` and `x_last`.

    `width` of TDATA; without one as many bytes as the payload has.
    """
    by_name = {port.name: port for port in ports}
    found = []
    for payload in [port for port in ports if port.name.endswith("_payload")]:
        name = payload.name.removesuffix("_payload")
        if missing := [f"{name}_{member}" for member in MEMBERS if f"{name}_{member}" not in by_name]:
            raise HwqError(f"a stream must have {', '.join(MEMBERS)}, not lack {missing[0]}; add it")
        found.append(Stream(name, payload.direction, payload.width, width or -(-payload.width // BYTE) * BYTE))
    return tuple(found)


def skid(name: str, bits: int) -> Leaf:
    """A buffer of two places: ready and valid are registers, and a beat moves in every cycle all the same."""
    about = [
        "Two places. `in_ready` is withdrawn a cycle after `out_ready`; the beat that comes meanwhile waits in `late`.",
        "Neither ready nor valid from the first cycle of rst to the one after its last.",
    ]
    lines = [
        "  reg ready, full, waits; // full: a beat is in `held`; waits: another is in `late`",
        f"  reg {bus(bits + 1)}held; // last and payload",
        f"  reg {bus(bits + 1)}late;",
        assigned("in_ready", "ready"),
        assigned("out_valid", "full"),
        assigned("{out_last, out_payload}", "held"),
        wire("comes", 1, "waits | in_valid & ready"),
        wire("stays", 1, "full & ~out_ready"),
        "  always @(posedge clk) begin",
        "    ready <= ~rst & ~(stays & comes);",
        "    waits <= ~rst & stays & comes;",
        "    full <= ~rst & (stays | comes);",
        "    if (~stays) held <= waits ? late : {in_last, in_payload};",
        "    if (ready) late <= {in_last, in_payload};",
        "  end",
    ]
    return module(name, about, _ports(bits, bits), lines)


def joiner(name: str, stream: Stream) -> Leaf:
    """Transfers into payloads. `broken`: one ended amid a payload, of which the rest is zero then."""
    about = [
        f"{stream.transfers} transfers of {stream.width} bits into a payload of {stream.bits}, low end first.",
        "A last amid a payload ends it there: the rest is zero, and the next transfer begins the next payload.",
    ]
    ports = (*_ports(stream.width, stream.bits), Port("broken", "output", 1))
    return module(name, about, ports, _joined(stream))


def _joined(stream: Stream) -> Iterator[str]:
    count = stream.transfers
    yield "  reg full, last;"
    yield f"  reg {bus(count)}place; // of the next transfer"
    yield f"  reg {bus(stream.bits)}payload;"
    yield assigned("in_ready", "~full | out_ready")
    yield assigned("out_valid", "full")
    yield assigned("out_payload", "payload")
    yield assigned("out_last", "last")
    yield wire("takes", 1, "in_valid & in_ready")
    yield assigned("broken", f"takes & in_last & ~place[{count - 1}]")
    yield "  always @(posedge clk) begin"
    yield f"    if (rst) place <= {count}'d1;"
    turned = f"{{{part('place', 0, count - 1, count)}, place[{count - 1}]}}"
    yield f"    else if (takes) place <= in_last ? {count}'d1 : {turned};"
    yield "    if (rst) full <= 1'b0;"
    yield f"    else if (takes) full <= in_last | place[{count - 1}];"
    yield "    else if (out_ready) full <= 1'b0;"
    yield "    if (takes) last <= in_last;"
    for at in range(count):
        low, high = at * stream.width, min((at + 1) * stream.width, stream.bits)
        given = part("in_payload", 0, high - low, stream.width)
        vector = part("payload", low, high - low, stream.bits)
        yield f"    if (takes & place[{at}]) {vector} <= {given};"
        if at:
            yield f"    else if (takes & place[0]) {vector} <= {high - low}'d0;"
    yield "  end"


def splitter(name: str, stream: Stream) -> Leaf:
    """Payloads into transfers, the last of which has the payload's last."""
    about = [f"A payload of {stream.bits} bits into {stream.transfers} transfers of {stream.width}, low end first."]
    count = stream.transfers
    lines = [
        "  reg full, last;",
        f"  reg {bus(count)}place; // of the transfer that is offered",
        f"  reg {bus(stream.bits)}rest; // what has not gone",
        assigned("in_ready", f"~full | out_ready & place[{count - 1}]"),
        assigned("out_valid", "full"),
        assigned("out_payload", part("rest", 0, stream.width, stream.bits)),
        assigned("out_last", f"last & place[{count - 1}]"),
        wire("takes", 1, "in_valid & in_ready"),
        "  always @(posedge clk) begin",
        "    if (rst) full <= 1'b0;",
        f"    else full <= takes | full & ~(out_ready & place[{count - 1}]);",
        f"    if (takes) place <= {count}'d1;",
        "    else if (out_ready) place <= place << 1;",
        "    if (takes) rest <= in_payload;",
        f"    else if (out_ready) rest <= rest >> {stream.width};",
        "    if (takes) last <= in_last;",
        "  end",
    ]
    return module(name, about, _ports(stream.bits, stream.width), lines)


def _ports(enters: int, leaves: int) -> tuple[Port, ...]:
    """Clock, reset, and two streams of so many bits."""
    found = [Port("clk", "input", 1), Port("rst", "input", 1)]
    for side, bits, ahead, back in (("in", enters, "input", "output"), ("out", leaves, "output", "input")):
        found += [Port(f"{side}_valid", ahead, 1), Port(f"{side}_ready", back, 1)]
        found += [Port(f"{side}_payload", ahead, bits), Port(f"{side}_last", ahead, 1)]
    return tuple(found)
