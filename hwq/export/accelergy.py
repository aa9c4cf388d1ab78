"""Accelergy 0.4: a compound component for architectures, and the plug-in that answers for its only part.

Formats: `compound_components`, `*.estimator.yaml` and `AccelergyPlugIn` of github.com/Accelergy-Project/accelergy. The
older table-based plug-in cannot serve 0.4, which hands every action arguments (cycle, latency, instances) that its
tables would have to spell.
"""

from __future__ import annotations

import json

from hwq.export.component import Component
from hwq.export.text import comments, number, quoted

__all__ = ["accelergy"]

NEEDED = ("energy_pj_per_mac", "area_um2")
WRITTEN = (*NEEDED, "leakage_nw")

PLUG_IN = '''\
from accelergy.plug_in_interface.interface import AccelergyPlugIn, AccuracyEstimation, Estimation

COMPONENT = "{name}_mac"
ACCURACY = {accuracy}  # percent: what the largest 90 % interval leaves
ENERGY_PJ = {energy}
AREA_UM2 = {area}
{leakage}

class {name}(AccelergyPlugIn):
    """One multiply-accumulate of {datapath} on {device}."""

    def get_name(self):
        return "{name}"

    def primitive_action_supported(self, query):
        ours = query.class_name == COMPONENT and query.action_name in {actions}
        return AccuracyEstimation(ACCURACY if ours else 0)

    def estimate_energy(self, query):
{leak}        return Estimation(ENERGY_PJ, "p")

    def primitive_area_supported(self, query):
        return AccuracyEstimation(ACCURACY if query.class_name == COMPONENT else 0)

    def estimate_area(self, query):
        return Estimation(AREA_UM2, "u^2")
'''
LEAK = """\
        if query.action_name == "leak":  # joules of a cycle
            return Estimation(LEAKAGE_NW * 1e-9 * query.class_attrs["global_cycle_seconds"])
"""


def accelergy(made: Component) -> dict[str, str]:
    """File name -> text."""
    made.need("accelergy", *NEEDED)
    about = comments(made.about(*WRITTEN))
    return {
        f"{made.name}.accelergy.yaml": about + _components(made),
        f"{made.name}.estimator.yaml": about + _descriptor(made),
        f"{made.name}_accelergy.py": about + _plug_in(made),
    }


def _figures(made: Component) -> list[str]:
    return [name for name in WRITTEN if name in made.figures]


def _actions(made: Component) -> list[str]:
    """A leakage that nobody knows is no action of zero, but none."""
    return ["compute", *(["leak"] if "leakage_nw" in made.figures else [])]


def _components(made: Component) -> str:
    """The class that an architecture names."""
    figures = _figures(made)
    calls = [
        f"    - {{name: {action}, subcomponents: [{{name: mac, actions: [{{name: {action}}}]}}]}}"
        for action in _actions(made)
    ]
    return "\n".join(
        [
            "compound_components:",
            "  version: 0.4",
            "  classes:",
            f"  - name: {made.name}",
            "    attributes:",
            f"      datapath: {quoted(str(made.dp))}",
            f"      source: {quoted(made.sources(*figures))}",
            f"      error_percent: {number(100 * made.error(*figures))}",
            "    subcomponents:",
            "    - name: mac",
            f"      class: {made.name}_mac",
            "      attributes: {}",
            "    actions:",
            *calls,
            "",
        ]
    )


def _descriptor(made: Component) -> str:
    """What Accelergy finds a plug-in by."""
    return f"version: 0.4\n{made.name}:\n  module: {made.name}_accelergy\n  class: {made.name}\n"


def _plug_in(made: Component) -> str:
    leaks = "leakage_nw" in made.figures
    return PLUG_IN.format(
        name=made.name,
        datapath=made.dp,
        device=made.device,
        accuracy=number(max(100 * (1 - made.error(*_figures(made))), 1)),  # 0 would mean: does not answer
        energy=number(made.of_one("energy_pj_per_mac")),
        area=number(made.of_one("area_um2")),
        leakage=f"LEAKAGE_NW = {number(made.of_one('leakage_nw'))}\n" if leaks else "",
        actions=json.dumps(_actions(made)),
        leak=LEAK if leaks else "",
    )
