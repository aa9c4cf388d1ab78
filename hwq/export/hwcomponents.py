"""hwcomponents: a Python module with one ComponentModel, in joules, square metres, watts and seconds."""

from __future__ import annotations

from hwq.export.component import Component
from hwq.export.text import comments, quoted

__all__ = ["hwcomponents"]

NEEDED = ("energy_pj_per_mac", "area_um2", "leakage_nw", "fmax_mhz")

MODULE = '''\
from hwcomponents import ActionCost, ComponentModel, action


class {name}(ComponentModel):
    """One multiply-accumulate of {datapath} on {device}."""

    component_name = "{name}"
    source = {source}
    error_percent = {error:.6g}

    def __init__(self):
        super().__init__(leak_power={leakage:.6g}, area={area:.6g})

    @action
    def compute(self):
        """One multiply-accumulate."""
        return ActionCost(energy={energy:.6g}, latency={latency:.6g}, throughput={throughput:.6g})
'''


def hwcomponents(made: Component) -> dict[str, str]:
    """File name -> text."""
    made.need("hwcomponents", *NEEDED)
    hz = made.of_one("fmax_mhz") * 1e6
    body = MODULE.format(
        name=made.name,
        datapath=made.dp,
        device=made.device,
        source=quoted(made.sources(*NEEDED)),
        error=100 * made.error(*NEEDED),
        leakage=made.of_one("leakage_nw") * 1e-9,
        area=made.of_one("area_um2") * 1e-12,
        energy=made.of_one("energy_pj_per_mac") * 1e-12,
        latency=made.dp.latency / hz,
        throughput=hz,
    )
    about = [*made.about(*NEEDED), f"latency: {made.dp.latency} cycles from the last operands of a sum to the result"]
    return {f"{made.name}_hwcomponents.py": comments(about) + body}
