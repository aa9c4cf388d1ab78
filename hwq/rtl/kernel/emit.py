"""A kernel as a folder of Verilog-2005 with a makefile: a project of its own."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path

from hwq.datapath import Plan
from hwq.datapath.schedule import output_depth, pe_depth
from hwq.kernel import Kernel, drain
from hwq.kernel.schedule import FETCH
from hwq.rtl.axi import Axi, Wrapper
from hwq.rtl.emit import MODELS, Manifest, blocks, publish
from hwq.rtl.hard import model
from hwq.rtl.kernel.project import project
from hwq.rtl.kernel.top import KernelTop

__all__ = ["emit_kernel"]


FRAME = ("i", "o")  # an image enters, its results leave


def emit_kernel(
    kernel: Kernel, plan: Plan, folder: str | Path, clock: float | None = None, bus: Axi | None = None
) -> Manifest:
    """Write one file a module, a makefile and manifest.json, as `hwq.rtl.emit` does for a datapath.

    `plan` is that of `hwq.kernel.units`; `clock` in MHz is that of the constraints. With a `bus` the top's wrapper is
    beside it, module `<top>_axi`, and `<top>_axi.h`, its registers for C. The manifest's latency is that of a
    word of results after its last beat, its interval what a layer takes beside its beats.
    """
    top = KernelTop(kernel, plan, kernel.top)
    header = f"// hwq {version('hwq')}: {kernel}\n// rows for {plan.device}\n"
    leaves, extra, outer = top.modules, dict[str, str](), kernel.top
    if bus is not None:
        wrapper = Wrapper(kernel.top, top.ports, FRAME, bus, int(kernel.top.removeprefix("hwq_")[:8], 16))
        leaves, outer = (*leaves, *wrapper.modules), wrapper.name
        extra = {f"{wrapper.name}.h": header + wrapper.header}
    texts = {f"{leaf.name}.v": header + leaf.text for leaf in leaves}
    models = {f"{MODELS}{name}.v": model(name) for name in blocks(plan)}
    around = project(str(kernel), plan.device, kernel.top, outer, list(texts), list(models), clock)
    return publish(
        folder,
        Manifest(
            datapath=plan.dp.parametric(),
            device=plan.device,
            version=version("hwq"),
            top=kernel.top,
            modules={leaf.name: leaf.ports for leaf in leaves},
            latency=pe_depth(plan.dp) + output_depth(plan.dp) + kernel.share,
            interval=FETCH + drain(plan, kernel.share),
            files=texts,
            project=models | extra | around,
        ),
    )
