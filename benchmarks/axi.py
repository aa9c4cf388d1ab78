"""What stands between a core and AXI: LUT and flip-flops by Yosys (T1), and on ECP5 the clock after routing (T2).

The core is left out as a black box. For the clock it is a wire from `i` to `o`, and the wrapper alone in the device:
three seeds, speed grade 6. `python -m benchmarks axi` prints the lines.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from benchmarks.timing import Line
from hwq.datapath import Datapath
from hwq.rtl import Axi, Leaf, Port, Wrapper
from hwq.rtl.axis import Stream, joiner, skid, splitter
from hwq.rtl.emit import sources
from hwq.synth import Job, measure_many

DEVICES = ("ecp5", "xc7")
ARRAY = "int8*int8 +fixed(32) ->int8[bias,requant] @8x8"
BITS, WIDTH = 256, 64
PORTS = (
    *(Port("clk", "input", 1), Port("rst", "input", 1)),
    *(Port("i_valid", "input", 1), Port("i_ready", "output", 1), Port("i_payload", "input", BITS)),
    *(Port("i_last", "input", 1), Port("o_valid", "output", 1), Port("o_ready", "input", 1)),
    *(Port("o_payload", "output", BITS), Port("o_last", "output", 1)),
)
WIRE = "assign {o_valid, o_payload, o_last, i_ready} = {i_valid & ~rst, i_payload, i_last, o_ready & ~rst};"


def declared(name: str, ports: Sequence[Port], body: str = "") -> str:
    """A module of these ports, a black box if it has no body."""
    listed = ", ".join(f"{port.direction} [{port.width - 1}:0] {port.name}" for port in ports)
    return f"{'' if body else '(* blackbox *) '}module {name}({listed}); {body} endmodule\n"


def parts() -> Mapping[str, tuple[Sequence[Leaf], str]]:
    """By what is said of it: modules, the one that is measured first, and the text of the core."""
    wide = Stream("x", "input", BITS, WIDTH)
    found: dict[str, tuple[Sequence[Leaf], str]] = {
        f"buffer of {WIDTH} bits": ([skid("skid", WIDTH)], ""),
        f"joiner, {BITS} bits from {WIDTH}": ([joiner("join", wide)], ""),
        f"splitter, {BITS} bits into {WIDTH}": ([splitter("split", wide)], ""),
    }
    modules, _ = sources(Datapath.parse(ARRAY))
    top, ports = next(iter(modules.items()))
    for width in (None, 32):
        wrapper = Wrapper(top, ports, ("a", "o"), Axi(width), 0)
        if width is None:
            found["registers of four streams"] = ([wrapper.slave], "")
        how = f"{width} bits" if width else "as wide as payloads"
        found[f"wrapper of {ARRAY}, {how}"] = (wrapper.modules, declared(top, ports))
    return found


def measure() -> Iterator[Line]:
    """LUT of each part on each device, its flip-flops beside; then the clock of a wrapper."""
    with tempfile.TemporaryDirectory(prefix="hwq-axi-") as place:
        jobs = []
        for at, (name, (leaves, core)) in enumerate(parts().items()):
            path = Path(place) / f"{at}.v"
            path.write_text("\n".join([core, *(leaf.text for leaf in leaves)]), "utf-8")
            jobs += [Job.of([path], leaves[0].name, device, design=name) for device in DEVICES]
        wrapper = Wrapper("core", PORTS, ("i", "o"), Axi(WIDTH), 0)
        path = Path(place) / "wire.v"
        path.write_text("\n".join([declared("core", PORTS, WIRE), *(leaf.text for leaf in wrapper.modules)]), "utf-8")
        jobs.append(Job.of([path], wrapper.name, "ecp5", place_and_route=True, design="wrapper of a wire"))
        for row in measure_many(jobs):
            if row.fmax_mhz is not None:
                yield Line(
                    f"{row.design}, ecp5",
                    row.fmax_mhz.value,
                    "MHz",
                    note=f"{row.comb_post_route} COMB, {row.ff_post_route} FF",
                )
            else:
                assert row.lut is not None
                yield Line(f"{row.design}, {row.device}", row.lut, "LUT", note=f"{row.lut} LUT, {row.ff} FF")
