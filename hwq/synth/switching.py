"""Energy of a mapped module under a stream of operands: toggles of a simulated netlist, priced by its cell library.

Counted, in fJ, over whole clock cycles:

- inside each cell, the library's internal power at each transition of each pin: of an output by the input that it
  follows, the slew given and its load; of an input that moves by itself; of a clock pin at both edges. A condition of a
  table is read as the netlist then is: before the edge for cells with state, whose data change after their clock, and
  after it for all others. Where several tables fit, their mean counts; energies of several supplies are added.
- C V^2 / 2 for each transition of each net, C being the capacitances of the pins it drives. What drives an input port
  is counted here, what an output port drives is not.

Not counted: wires, glitches (no cell has a delay), the clock tree above the module, what a voltage other than the
library's would make of it. Leakage is the cells' own figure, whatever their inputs are, and no part of the energy.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hwq.synth.conditions import holds
from hwq.synth.power import Arc, PowerCell, PowerPin, power_cells, supply
from hwq.synth.waves import Bit, Bits, Circuit, Instance, Waves

__all__ = ["CLASSES", "Parts", "parts"]

Times = NDArray[np.intp]
CLASSES = ("clock", "inputs", "registers", "logic")


@dataclass(frozen=True)
class Parts:
    """Energies of a whole simulation in fJ, the leakage in nW, and toggles of a net in a cycle by what drives it.

    `nets` are those that carry data; the energy of clock nets is with the flip-flops and clock gates.
    """

    combinational: float
    flip_flops_and_clock: float
    nets: float
    leakage_nw: float
    cycles: int
    toggles: Mapping[str, float]


def parts(what: Circuit, waves: Waves, files: tuple[Path, ...], slew_ps: float) -> Parts:
    """The energies of a simulated circuit whose cells are those of some Liberty files."""
    cells = power_cells(files, sorted({cell.cell for cell in what.cells}))
    loads, clocks = _loads(what, cells)
    internal = {True: 0.0, False: 0.0}
    for one in what.cells:
        cell = cells[one.cell]
        internal[cell.state] += _internal(cell, one, waves, loads, slew_ps)
    volts = supply(files)
    switched = {True: 0.0, False: 0.0}
    for bit, load in loads.items():
        switched[bit in clocks] += waves.toggles(bit) * load * volts**2 / 2
    return Parts(
        combinational=internal[False],
        flip_flops_and_clock=internal[True] + switched[True],
        nets=switched[False],
        leakage_nw=sum(cells[one.cell].leakage for one in what.cells),
        cycles=waves.cycles,
        toggles=_rates(what, cells, waves, clocks),
    )


def _loads(what: Circuit, cells: Mapping[str, PowerCell]) -> tuple[dict[Bit, float], frozenset[Bit]]:
    """Capacitance of the pins on each net, in fF, and the nets that end in clock pins."""
    loads: dict[Bit, float] = {}
    clocks = set()
    for one in what.cells:
        for name, bit in one.pins.items():
            pin = cells[one.cell].pins[name]
            if isinstance(bit, int):
                loads[bit] = loads.get(bit, 0.0) + pin.load
                if pin.clock:
                    clocks.add(bit)
    return loads, frozenset(clocks)


def _rates(what: Circuit, cells: Mapping[str, PowerCell], waves: Waves, clocks: frozenset[Bit]) -> Mapping[str, float]:
    """Toggles of a net in a cycle, the mean of each class; a class without nets is absent."""
    of: dict[Bit, str] = {}
    for one in what.cells:
        cell = cells[one.cell]
        of |= {bit: "registers" if cell.state else "logic" for pin, bit in one.pins.items() if cell.pins[pin].output}
    of |= {bit: "inputs" for bits in what.inputs.values() for bit in bits}
    of |= dict.fromkeys(clocks, "clock")
    toggles, nets = Counter[str](), Counter(kind for bit, kind in of.items() if isinstance(bit, int))
    for bit, kind in of.items():
        toggles[kind] += waves.toggles(bit)
    return {kind: toggles[kind] / nets[kind] / waves.cycles for kind in CLASSES if nets[kind]}


def _internal(cell: PowerCell, one: Instance, waves: Waves, loads: Mapping[Bit, float], slew: float) -> float:
    """What one cell takes inside itself."""
    pins = {name: waves.of(bit) for name, bit in one.pins.items()}
    moved = {name: wave[1:] ^ wave[:-1] for name, wave in pins.items()}
    total = 0.0
    for name, bit in one.pins.items():
        pin = cell.pins[name]
        if pin.arcs and moved[name].any():
            early = cell.state and (pin.output or pin.clock)
            seen = {other: wave[:-1] if early else wave[1:] for other, wave in pins.items()}
            load = loads.get(bit, 0.0) if pin.output else 0.0
            for edge, at in (("rise", moved[name] & pins[name][1:]), ("fall", moved[name] & pins[name][:-1])):
                total += _edges(pin, edge, np.flatnonzero(at), moved, seen, slew, load)
    return total


def _edges(
    pin: PowerPin, edge: str, at: Times, moved: Mapping[str, Bits], seen: Mapping[str, Bits], slew: float, load: float
) -> float:
    """What a pin's transitions of one kind take, `at` their times: from each supply the mean of the arcs that fit.

    An output that no arc fits follows any of them; an input that moves under no arc's condition takes nothing.
    """
    total = 0.0
    for name in sorted({arc.supply for arc in pin.arcs}):
        arcs = [arc for arc in pin.arcs if arc.supply == name]
        values = np.array([(arc.rise if edge == "rise" else arc.fall).at(slew, load) for arc in arcs])
        fits = np.array([_fits(arc, at, moved, seen) for arc in arcs])
        count = fits.sum(axis=0)
        mean = np.where(count, values @ fits / np.maximum(count, 1), values.mean() if pin.output else 0.0)
        total += float(mean.sum())
    return total


def _fits(arc: Arc, at: Times, moved: Mapping[str, Bits], seen: Mapping[str, Bits]) -> Bits:
    """At which times the arc's condition holds and one of the pins it follows has moved."""
    found = holds(arc.when, {name: wave[at] for name, wave in seen.items()}, len(at))
    followed = [moved[name][at] for name in arc.related if name in moved]
    return found & np.logical_or.reduce(followed) if followed else found
