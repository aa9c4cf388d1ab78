"""The modules that hold a plan's blocks: edge decoders, the processing element, the epilogue."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from hwq.bits.cells import Block, Net
from hwq.datapath import Plan
from hwq.datapath.device import Rows
from hwq.rtl.cells import Body
from hwq.rtl.wires import Bits, bus, whole

__all__ = ["Leaf", "Port", "decoder", "element", "epilogue", "leaves"]


@dataclass(frozen=True)
class Port:
    """A module's port: a vector of bits, "input" or "output"."""

    name: str
    direction: str
    width: int


@dataclass(frozen=True)
class Leaf:
    """One module without submodules: its ports in order, and its Verilog."""

    name: str
    ports: tuple[Port, ...]
    text: str

    @property
    def widths(self) -> dict[str, int]:
        return {port.name: port.width for port in self.ports}


def decoder(plan: Plan, top: str, operand: str) -> Leaf:
    """Module `<top>_decode_<operand>`: `code` -> `fields`, packed in port order, the first lowest."""
    block = plan.blocks[f"decode_{operand}"]
    about = f"Edge decoder: a code of operand {operand} -> {{{_order(name for name, _ in block.outputs)}}}."
    outputs = {"fields": [name for name, _ in block.outputs]}
    return _leaf(f"{top}_decode_{operand}", about, plan.rows, block, {"code": list(block.inputs)}, outputs)


def element(plan: Plan, top: str) -> Leaf:
    """Module `<top>_pe`: decoded operands `a` and `w` -> the sum `acc`, its flags, the operands for the neighbours."""
    block = plan.blocks["pe"]
    inputs = {side: [net for net in block.inputs if net.name.startswith(f"{side}_")] for side in "aw"}
    outputs = {state.q.name: [state.q.name] for state in block.states}
    outputs |= {f"{side}_q": [net.name for net in inputs[side]] for side in "aw"}
    fields = "; ".join(f"{side} = {{{_order(net.name for net in inputs[side])}}}" for side in "aw")
    about = f"Processing element: acc + a * w in each enabled clock, 0 after a clear. {fields}."
    return _leaf(f"{top}_pe", about, plan.rows, block, inputs, outputs)


def epilogue(plan: Plan, top: str) -> Leaf:
    """Module `<top>_epilogue`: a finished sum, its flags and its channel's parameters -> a result `code`."""
    block = plan.blocks["epilogue"]
    inputs = {net.name: [net] for net in block.inputs}
    outputs = {name: [name] for name, _ in block.outputs}
    return _leaf(f"{top}_epilogue", "Epilogue: a sum -> a result code.", plan.rows, block, inputs, outputs)


def leaves(plan: Plan, top: str) -> dict[str, Leaf]:
    """The modules that a top is made of, by what they are."""
    return {
        "pe": element(plan, top),
        "decode_a": decoder(plan, top, "a"),
        "decode_w": decoder(plan, top, "w"),
        "epilogue": epilogue(plan, top),
    }


def _order(names: object) -> str:
    return ", ".join(reversed(list(names)))  # type: ignore[call-overload]


def _leaf(
    name: str,
    about: str,
    rows: Rows,
    block: Block,
    inputs: Mapping[str, Sequence[Net]],
    outputs: Mapping[str, Sequence[str]],
) -> Leaf:
    """A module of one block; each port packs the named fields, lowest first."""
    clocks = [Port(wire, "input", 1) for wire in _clocks(block)]
    ports = clocks + [Port(port, "input", sum(net.width for net in nets)) for port, nets in inputs.items()]
    width = {field: net.width for field, net in block.outputs}
    ports += [Port(port, "output", sum(width[field] for field in fields)) for port, fields in outputs.items()]
    body = Body(rows, {port.name: port.width for port in ports})
    given = {net: bits for port, nets in inputs.items() for net, bits in _unpacked(port, nets).items()}
    fields = body.add(block, given)
    driven = {port: sum((fields[field] for field in names), ()) for port, names in outputs.items()}
    lines = [f"// {about}", f"module {name} ("]
    lines += [f"  {port.direction} wire {bus(port.width)}{port.name}{',' * (port != ports[-1])}" for port in ports]
    lines += [");", *body.lines]
    lines += [f"  assign {port} = {body.text(bits)};" for port, bits in driven.items()]
    return Leaf(name, tuple(ports), "\n".join([*lines, "endmodule", ""]))


def _clocks(block: Block) -> list[str]:
    """The control inputs that a block's registers and sums need."""
    registers = any(cell.op == "reg" for cell in block.cells)
    states = bool(block.states)
    needed = {"clk": registers or states, "rst": registers, "en": registers or states, "clear": states}
    return [name for name, need in needed.items() if need]


def _unpacked(port: str, nets: Sequence[Net]) -> dict[str, Bits]:
    """Fields packed into one port, the first lowest: net name -> its bits of the port."""
    bits = whole(port, sum(net.width for net in nets))
    found: dict[str, Bits] = {}
    for net in nets:
        found[net.name], bits = bits[: net.width], bits[net.width :]
    return found
