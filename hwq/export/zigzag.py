"""ZigZag (zigzag-dse 3.9): an accelerator of our array under the user's memories, and the mapping that it is wired for.

D1 are the rows, D2 the columns, D3 the lanes of an element. Registers of the array are a memory level without a cost of
its own: `unit_energy` and `unit_area` have them.
"""

from __future__ import annotations

import re
import textwrap
from pathlib import Path

from hwq.datapath import plan
from hwq.errors import HwqError
from hwq.export.component import Component
from hwq.export.text import comments, number, quoted

__all__ = ["zigzag"]

NEEDED = ("energy_pj_per_mac", "area_um2")
SYSTOLIC = {"os": True, "ws": True, "tree": False}  # operands pass a unit a cycle


def zigzag(made: Component, memories: Path | None) -> dict[str, str]:
    """File name -> text; `memories` is a YAML file of ZigZag's, of whose `memories` those above the array are taken."""
    made.need("zigzag", *NEEDED)
    if memories is None:
        raise HwqError(
            "zigzag must be given the memories above the array, which hwq does not model; write --memories FILE, a "
            "ZigZag accelerator whose memories those are"
        )
    above, indent = _memories(memories.read_text(encoding="utf-8", errors="replace"), str(memories), len(_sizes(made)))
    level = textwrap.indent("\n".join([*_registers(made), ""]), indent)
    about = [*made.about(*NEEDED), f"memories: of {memories.name}, not of hwq; units: pJ, um2, bits, bits a cycle"]
    if "leakage_nw" in made.figures:
        about.append(f"leakage_nw: {made.of_one('leakage_nw'):.6g} of one; ZigZag has no place for it")
    accelerator = f"name: {made.name}\n\nmemories:\n{level}{above}\n{_array(made)}"
    return {
        f"{made.name}.zigzag.yaml": comments(about) + accelerator,
        f"{made.name}.mapping.yaml": comments(made.about()[:1]) + _mapping(made),
    }


def _sizes(made: Component) -> list[int]:
    """Of D1, D2 and, with lanes, D3."""
    array = made.dp.array
    return [array.rows, array.cols, *([array.lanes] if array.lanes > 1 else [])]


def _dimensions(made: Component) -> list[str]:
    return [f"D{n + 1}" for n in range(len(_sizes(made)))]


def _memories(text: str, name: str, dimensions: int) -> tuple[str, str]:
    """The entries below `memories:`, and how far they are indented."""
    found = re.search(r"^memories:[^\S\n]*(?:#.*)?\n((?:[ \t].*\n|[ \t]*(?:#.*)?\n)+)", text + "\n", re.MULTILINE)
    first = found and re.search(r"^( +)[^\s#]", found[1], re.MULTILINE)
    if not found or not first:
        raise HwqError(f"{name} must have a block of `memories:`, as ZigZag's accelerators have; name another file")
    block = found[1].rstrip() + "\n"
    if dimensions == 3 and "D3" not in block:
        raise HwqError(f"the memories of {name} must serve D3, the lanes of the array; add it to served_dimensions")
    for level in ("sums", "weights"):
        if re.search(rf"^{first[1]}{level}:", block, re.MULTILINE):
            raise HwqError(f"the memories of {name} must not have one called {level}, the array's own; rename it")
    return block, first[1]


def _registers(made: Component) -> list[str]:
    """What stays in an element: the sum, or in a weight-stationary array the weight."""
    dp = made.dp
    if dp.array.dataflow == "ws":
        bits = dp.mac.w.bits * (2 if "double" in dp.uses else 1)
        return _level("weights", bits, "I2", [("w_port_1", "write", "fh"), ("r_port_1", "read", "tl")], [])
    bits = sum(word.width for word in plan(dp, made.device).state.words.values())
    ports = [("w_port_1", "write", "fh"), ("r_port_1", "read", "tl"), ("w_port_2", "write", "fl")]
    return _level("sums", bits, "O", [*ports, ("r_port_2", "read", "th")], _dimensions(made)[2:])


def _level(name: str, bits: int, operand: str, ports: list[tuple[str, str, str]], served: list[str]) -> list[str]:
    lines = [f"{name}:", f"  size: {bits}"]
    lines += [f"  {cost}: 0.0 # in unit_{kind}" for cost, kind in (("r_cost", "energy"), ("w_cost", "energy"))]
    lines += ["  area: 0.0 # in unit_area", "  latency: 1", f"  operands: [{operand}]", "  ports:"]
    for port, kind, way in ports:
        lines += [f"    - name: {port}", f"      type: {kind}", f"      bandwidth_min: {bits}"]
        lines += [f"      bandwidth_max: {bits}", "      allocation:", f"        - {operand}, {way}"]
    return [*lines, f"  served_dimensions: [{', '.join(served)}]", ""]


def _array(made: Component) -> str:
    mac = made.dp.mac
    moving = _dimensions(made)[:2] if SYSTOLIC[made.dp.array.dataflow] else []
    return "\n".join(
        [
            "operational_array:",
            f"  input_precision: [{mac.a.bits}, {mac.w.bits}]",
            f"  unit_energy: {number(made.of_one('energy_pj_per_mac'))} # pJ",
            f"  unit_area: {number(made.of_one('area_um2'))} # um2",
            f"  dimensions: [{', '.join(_dimensions(made))}]",
            f"  sizes: [{', '.join(map(str, _sizes(made)))}]",
            f"  systolic_dimensions: [{', '.join(moving)}]",
            "",
        ]
    )


def _mapping(made: Component) -> str:
    """Which loops run along rows, columns and lanes: of convolutions, and of products I[D][C] * W[C][K]."""
    down = {"default": "OX", "Conv": "OX", "Gemm": "D", "MatMul": "D"}
    text = ""
    for layer, outer in down.items():
        loops = ["C" if made.dp.array.dataflow == "ws" else outer, "K", "C"]
        text += f"- name: {quoted(layer)}\n  spatial_mapping:\n"
        for dimension, loop, size in zip(_dimensions(made), loops, _sizes(made), strict=False):
            text += f"    {dimension}:\n      - {loop}, {size}\n"
        text += "  memory_operand_links:\n    O: O\n    W: I2\n    I: I1\n\n"
    return text
