"""The modules that hold a plan's blocks: edge decoders, the processing element, the epilogue."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from hwq.bits.cells import Block, Net
from hwq.datapath import Plan
from hwq.datapath.banks import FOOT
from hwq.datapath.device import Rows
from hwq.datapath.elements import ENABLES, MARKS, START, SUM, TAKE, WEIGHT
from hwq.datapath.hard import Hard
from hwq.datapath.plans import FIRST
from hwq.rtl.cells import Body
from hwq.rtl.modules import Leaf, Port, assigned, module
from hwq.rtl.wires import Bits, whole

__all__ = ["decoder", "element", "epilogue", "foot", "leaf", "leaves"]


def decoder(plan: Plan, top: str, operand: str) -> Leaf:
    """Module `<top>_decode_<operand>`: `code` -> `fields`, packed in port order, the first lowest."""
    block = plan.blocks[f"decode_{operand}"]
    codes = "a code" if len(block.inputs) == 1 else f"{len(block.inputs)} codes"
    about = f"Edge decoder: {codes} of operand {operand} -> {{{_order(name for name, _ in block.outputs)}}}."
    outputs = {"fields": [name for name, _ in block.outputs]}
    return leaf(f"{top}_decode_{operand}", about, plan.rows, block, {"code": list(block.inputs)}, outputs)


def element(plan: Plan, top: str, kind: str = "pe") -> Leaf:
    """Module `<top>_pe`: operands `a` and `w` -> the sum `acc`, its flags, the operands for the neighbours."""
    block, array = plan.blocks[kind], plan.dp.array
    given = [net.name for net in block.inputs if net.name.startswith(SUM)]
    inputs = {side: [net for net in block.inputs if net.name[0] == side and net.name not in given] for side in "aw"}
    inputs |= {net.name: [net] for net in block.inputs if net.name in (*given, *MARKS)}
    passed = [name for name, _ in block.outputs if name in {net.name for side in "aw" for net in inputs[side]}]
    outputs = {name: [name] for name, _ in block.outputs if name not in (*passed, *MARKS)}
    outputs |= {f"{name}_q": [name] for name, _ in block.outputs if name in MARKS}
    outputs |= {f"{side}_q": names for side in "aw" if (names := [name for name in passed if name[0] == side])}
    fields = "; ".join(f"{side} = {{{_order(net.name for net in inputs[side])}}}" for side in "aw")
    terms = " + ".join(f"a{lane} * w{lane}" for lane in range(array.lanes)) if 1 < array.lanes < 5 else "a * w"
    terms = f"{array.lanes} products a * w" if array.lanes > 4 else terms
    since = "take, loaded before" if TAKE in inputs else "its load"
    about = {
        "os": f"Processing element: acc + {terms} in each enabled clock, 0 after a clear. {fields}.",
        "tree": f"Dot-product unit: acc + {terms} in each enabled clock, 0 after a clear. {fields}.",
        "ws": f"Processing element: {'the sum from above + ' * bool(given)}{terms}, w held since {since}. {fields}.",
    }
    if START in inputs:
        about = {flow: text.replace("0 after a clear", f"{terms} alone with start") for flow, text in about.items()}
    banked = f"Processing element: {terms} in each enabled clock, into the word that its exponent chooses. {fields}."
    what = banked if FOOT in plan.blocks else about[array.dataflow]
    return leaf(f"{top}_{kind}", what, plan.rows, block, inputs, outputs)


def foot(plan: Plan, top: str) -> Leaf:
    """Module `<top>_pe_foot`: a `word` of a sum in each enabled clock, the lowest first -> the sum `acc`."""
    block = plan.blocks[FOOT]
    about = "Foot of a column: acc, the sum of the words since a clear, each the next bank's."
    return leaf(f"{top}_{FOOT}", about, plan.rows, block, {"word": list(block.inputs)}, {"acc": ["acc"]})


def epilogue(plan: Plan, top: str) -> Leaf:
    """Module `<top>_epilogue`: a finished sum, its flags and its channel's parameters -> a result `code`."""
    block = plan.blocks["epilogue"]
    inputs = {net.name: [net] for net in block.inputs}
    outputs = {name: [name] for name, _ in block.outputs}
    return leaf(f"{top}_epilogue", "Epilogue: a sum -> a result code.", plan.rows, block, inputs, outputs)


def leaves(plan: Plan, top: str) -> dict[str, Leaf]:
    """The modules that a top is made of, by what they are."""
    return {
        **{kind: element(plan, top, kind) for kind in ("pe", FIRST) if kind in plan.blocks},
        **({FOOT: foot(plan, top)} if FOOT in plan.blocks else {}),
        "decode_a": decoder(plan, top, "a"),
        "decode_w": decoder(plan, top, "w"),
        "epilogue": epilogue(plan, top),
    }


def _order(names: object) -> str:
    return ", ".join(reversed(list(names)))  # type: ignore[call-overload]


def leaf(
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
    lines = body.lines + [assigned(port, body.text(bits)) for port, bits in driven.items()]
    return module(name, [about], ports, lines)


def _clocks(block: Block) -> list[str]:
    """The control inputs that a block's registers and sums need."""
    stages = {cell.attr for cell in block.cells if cell.op == "reg"}
    hard = [cell.attr for cell in block.cells if isinstance(cell.attr, Hard)]
    stages |= {use.waits or "sum" for use in hard}
    states = bool(block.states) or any(use.sums and not use.chained for use in hard)
    enabled = bool(stages - {WEIGHT, ENABLES[WEIGHT]}) or states
    cleared = states and all(net.name != START for net in block.inputs)
    needed = {
        "clk": stages or states,
        "rst": stages,
        "en": enabled,
        "load": {WEIGHT, ENABLES[WEIGHT]} & stages,
        "clear": cleared,
    }
    return [name for name, need in needed.items() if need]


def _unpacked(port: str, nets: Sequence[Net]) -> dict[str, Bits]:
    """Fields packed into one port, the first lowest: net name -> its bits of the port."""
    bits = whole(port, sum(net.width for net in nets))
    found: dict[str, Bits] = {}
    for net in nets:
        found[net.name], bits = bits[: net.width], bits[net.width :]
    return found
