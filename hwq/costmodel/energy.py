"""The energy of a multiply-accumulate in standard cells: toggles of the plan's gates under a stream, each with a price.

The element's plan is run on the operands themselves, clock cycle by clock cycle, and what moves is counted (`gates`).
A device has one price a count, whatever the stream, fitted to gate-level energies of mapped elements by the part that
they are measured in:

| part | counts |
|---|---|
| `flip_flops_and_clock` | cycles of each flip-flop (`clock`) and `clock gate`, toggles of registers (`q`, `d`) |
| `combinational` | toggles of outputs: of a `gate` of two inputs; of a `place` of a multiplexer, table or adder |
| `nets` | toggles of what a `pin` reads |

Self-consistent, as `docs/energy.md` says what gate-level energy is: no measurement of silicon.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from importlib import resources
from typing import Any

import numpy as np
from scipy.optimize import nnls

from hwq.bits.cells import Block, Net
from hwq.bits.trace import Bits, trace
from hwq.costmodel.context import Context
from hwq.costmodel.cost import Cost, Quantity
from hwq.costmodel.fit import spread, uncertain
from hwq.costmodel.gates import toggles
from hwq.datapath import Align, Datapath, Float, Plan, plan
from hwq.datapath.device import check_device
from hwq.datapath.draw import Codes
from hwq.datapath.streams import beats, codes
from hwq.errors import HwqError
from hwq.formats.arrays import check_codes

__all__ = ["PARTS", "Energy", "Sample", "counts", "energy", "fit_energy", "left_out", "with_energy"]

SURE = "flip_flops_and_clock"  # told to a thousandth: all that moves in it is known
PARTS: Mapping[str, tuple[str, ...]] = {
    SURE: ("clock", "clock gate", "q", "d"),
    "combinational": ("gate", "place"),
    "nets": ("pin",),
}
UNSURE = tuple(name for part, names in PARTS.items() for name in names if part != SURE)
FIGURE = "energy_pj_per_mac"
OUTSIDE = 2.0  # how much wider the interval is of what has more of something than the fit ever saw
LEAST = 9  # designs of a fit: of fewer the 90 % quantile of one stream is none

Counts = Mapping[str, float]
Stream = str | tuple[Codes, Codes]


@dataclass(frozen=True)
class Energy:
    """What one multiply-accumulate of an element takes under a stream, in pJ with its 90 % interval; its `parts` in pJ.

    The clear cycle of each run is shared out among its products; `unmodelled` names what is not counted.
    """

    datapath: str
    device: str
    stream: str
    pj_per_mac: Quantity
    parts: Mapping[str, float]
    source: str
    unmodelled: tuple[str, ...]

    def json(self) -> dict[str, Any]:
        """The stream, the parts in pJ and where the prices come from."""
        return {"stream": self.stream, "parts_pj": dict(self.parts), "source": self.source}


def energy(dp: Datapath, device: str, stream: Stream = "gaussian") -> Energy:
    """The energy of a datapath's element under a named stream, or under codes a, w [runs, terms]."""
    check_device(device)
    known = _devices()
    if device not in known:
        raise HwqError(f"energy needs a device with measured energies ({', '.join(known)}), not {device!r}")
    a, w = codes(dp, stream) if isinstance(stream, str) else _checked(dp, *stream)
    name = stream if isinstance(stream, str) else "given codes"
    fitted, moved = known[device], counts(dp, device, a, w)
    parts = _parts(moved, fitted["prices"])
    beyond = [
        f"{moved[count]:.4g} of {count!r} a product, the fit at most {most:g}"
        for count, most in fitted["region"].items()
        if moved[count] > most
    ]
    if Context(plan(dp, device).blocks["pe"]).windowed:
        beyond.append("a shifter of which a window is read, the fit has none")
    value = sum(parts.values())
    half = fitted["spread"] * _doubtful(parts) * (OUTSIDE if beyond else 1)
    left = "decoders, control, skew, output path, memories, wires, glitches and leakage are not in it"
    wider = f"{FIGURE}: {', '.join(beyond)}: its interval is {OUTSIDE:g} times as wide"
    return Energy(
        datapath=str(dp),
        device=device,
        stream=name,
        pj_per_mac=Quantity(value, max(value - half, parts[SURE]), value + half),
        parts=parts,
        source=fitted["source"],
        unmodelled=(f"{FIGURE}: of one element under {name}; {left}", *[wider] * bool(beyond)),
    )


def _checked(dp: Datapath, a: Codes, w: Codes) -> tuple[Codes, Codes]:
    """A stream's codes, or one line on what is wrong with them."""
    return check_codes(dp.mac.a, a), check_codes(dp.mac.w, w)


def with_energy(cost: Cost, found: Energy) -> Cost:
    """A cost with an energy among its figures."""
    others = tuple(note for note in cost.unmodelled if not note.startswith(FIGURE))
    return replace(cost, figures={**cost.figures, FIGURE: found.pj_per_mac}, unmodelled=others + found.unmodelled)


def counts(dp: Datapath, device: str, a: Codes, w: Codes) -> Counts:
    """What moves in an element for each product of codes a, w [runs, terms]."""
    made = plan(dp, device)
    block = made.blocks["pe"]
    _check(made)
    shown = beats(a, w, block.depth)
    fields = _decoded(made.blocks["decode_a"], "a", shown.a) | _decoded(made.blocks["decode_w"], "w", shown.w)
    found = toggles(block, trace(block, {net.name: fields[net.name] for net in block.inputs}, shown.clear), shown.warm)
    cycles = len(shown.a) - shown.warm
    clocks = {"clock": block.flip_flops * cycles, "clock gate": block.register_kinds * cycles}
    return {name: count / a.size for name, count in (clocks | found).items()}


def _check(made: Plan) -> None:
    """Prices are known of elements that take a code of each operand a cycle."""
    decoders = {side: made.blocks[f"decode_{side}"] for side in "aw"}
    fields = {f"{side}_{name}" for side, block in decoders.items() for name, _ in block.outputs}
    alone = all(len(block.inputs) == 1 and not block.depth for block in decoders.values())
    if isinstance(made.dp.mac.acc, Float | Align):
        raise HwqError(
            f"energy is known of fixed-point sums, not of +{made.dp.mac.acc.text}: one that was measured was told "
            "44 % too high; write +fixed(bits)"
        )
    if made.dp.array.dataflow != "os" or made.dp.array.lanes > 1 or not alone or fields != _names(made.blocks["pe"]):
        raise HwqError(
            f"energy is known of elements of one product a cycle that keep their sum, not of {made.dp}; "
            "leave out its lanes, /ws, /tree, cut=unpack and use="
        )


def _names(block: Block) -> set[str]:
    return {net.name for net in block.inputs}


def _decoded(block: Block, side: str, shown: Sequence[int]) -> dict[str, list[int]]:
    """The fields of codes, as they enter an element."""
    traced = trace(block, {block.inputs[0].name: shown})
    return {f"{side}_{name}": _values(net, traced, len(shown)) for name, net in block.outputs}


def _values(net: Net, traced: Mapping[Net, Bits], cycles: int) -> list[int]:
    if net.value is not None:
        return [net.value] * cycles
    places = np.array([1 << at for at in range(net.width)], dtype=object)
    values: list[int] = (traced[net].astype(object) @ places).tolist()
    return values


def _parts(moved: Counts, prices: Mapping[str, float]) -> dict[str, float]:
    return {part: sum(moved[name] * prices[name] for name in names) for part, names in PARTS.items()}


def _doubtful(parts: Mapping[str, float]) -> float:
    """How much of an energy may err."""
    total = sum(parts.values())
    return float(uncertain(total - parts[SURE], total))


@lru_cache(maxsize=1)
def _devices() -> Mapping[str, Any]:
    """The file of prices: device -> source, prices in pJ, spread, region."""
    text = (resources.files("hwq.costmodel") / "data" / "energy.json").read_text(encoding="utf-8")
    found: Mapping[str, Any] = json.loads(text)
    return found


@dataclass(frozen=True)
class Sample:
    """One measured element: its parts in pJ a product under a stream, and what moved in it."""

    design: str
    stream: str
    parts: Mapping[str, float]
    counts: Counts

    @property
    def total(self) -> float:
        """pJ of one multiply-accumulate."""
        return sum(self.parts.values())


def fit_energy(samples: Sequence[Sample], source: str) -> dict[str, Any]:
    """What the file says of a device, from its samples; its spread from those that designs have when left out."""
    designs = len({sample.design for sample in samples})
    if designs < LEAST:
        raise HwqError(f"a fit of energy needs at least {LEAST} designs, not {designs}; measure more")
    scores = [
        abs(sum(parts.values()) - sample.total) / _doubtful(parts)
        for sample, parts in zip(samples, left_out(samples), strict=True)
    ]
    return {
        "source": f"{designs} elements under {len(samples)} streams in all, at the gates: {source}",
        "prices": {name: float(f"{price:.5g}") for name, price in _solve(samples).items()},
        "spread": round(spread(scores), 4),
        "region": {name: max(sample.counts[name] for sample in samples) for name in UNSURE},
    }


def left_out(samples: Sequence[Sample]) -> list[Mapping[str, float]]:
    """The parts of each sample as the others tell them, none of its own design among these."""
    without = {
        design: _solve([other for other in samples if other.design != design])
        for design in dict.fromkeys(sample.design for sample in samples)
    }
    return [_parts(sample.counts, without[sample.design]) for sample in samples]


def _solve(samples: Sequence[Sample]) -> dict[str, float]:
    """Prices that are not negative, by least squares of errors relative to a sample's whole energy."""
    found: dict[str, float] = {}
    weights = 1 / np.array([sample.total for sample in samples])
    for part, names in PARTS.items():
        table = np.array([[sample.counts[name] for name in names] for sample in samples])
        wanted = np.array([sample.parts[part] for sample in samples])
        found |= dict(zip(names, nnls(table * weights[:, None], wanted * weights)[0].tolist(), strict=True))
    return found
