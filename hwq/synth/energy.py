"""The energy of a processing element of standard cells, by a stream of operands: a row a stream.

`switching` says what is counted and what is not. The element is mapped for area, as `measure` does it.
"""

from __future__ import annotations

import json
import re
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from hwq.datapath import Datapath, Plan, plan
from hwq.datapath.draw import Codes
from hwq.datapath.streams import RUNS, SEED, STREAMS, TERMS, codes
from hwq.errors import HwqError
from hwq.rtl import leaves, top_name
from hwq.synth.job import Job
from hwq.synth.liberty import LIBRARIES, library_files
from hwq.synth.netlist import netlist
from hwq.synth.streams import stimulus
from hwq.synth.switching import Parts, parts
from hwq.synth.waves import Circuit, Stimulus, circuit, simulate

__all__ = ["Energy", "measure_energy"]

SLEWS_PS = {"nangate45": 20.0, "sky130": 60.0, "asap7": 20.0}  # of every input's transitions


@dataclass(frozen=True)
class Energy:
    """What one multiply-accumulate of an element takes under a stream of operands, in pJ, and its leakage in nW.

    combinational, flip_flops_and_clock, nets: inside the gates; inside flip-flops and clock gates and on their clock
    nets; on the nets between them. cycles: those counted, one more a run than macs. toggles: of a net in a cycle, by
    what drives it. tools: versions, and digests of the library's files.
    """

    design: str
    module: str
    device: str
    stream: str
    cycles: int
    macs: int
    combinational: float
    flip_flops_and_clock: float
    nets: float
    leakage_nw: float
    slew_ps: float
    toggles: Mapping[str, float]
    tools: Mapping[str, str]

    @property
    def pj_per_mac(self) -> float:
        """All of it, without leakage."""
        return self.combinational + self.flip_flops_and_clock + self.nets

    def to_json(self) -> str:
        """One line of JSON, keys sorted, energies and rates to six digits."""
        fields = asdict(self)
        for name in ("combinational", "flip_flops_and_clock", "nets", "leakage_nw"):
            fields[name] = _short(fields[name])
        fields["toggles"] = {name: _short(rate) for name, rate in self.toggles.items()}
        return json.dumps(fields, sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> Energy:
        """The row that `to_json` wrote; HwqError for any other text."""
        try:
            return cls(**json.loads(text))
        except (ValueError, TypeError) as error:
            raise HwqError(f"a row of energy must be as hwq keeps it, not one with {error}; measure again") from None


def measure_energy(
    dp: Datapath,
    device: str,
    streams: Sequence[str] = STREAMS,
    given: Mapping[str, tuple[Codes, Codes]] | None = None,
    *,
    runs: int = RUNS,
    terms: int = TERMS,
    seed: int = SEED,
    liberty: Sequence[str | Path] = (),
    slew_ps: float | None = None,
) -> list[Energy]:
    """Map a datapath's element once and simulate it under each stream; `given` are codes a, w [runs, terms] by name."""
    if device not in LIBRARIES:
        raise HwqError(f"energy needs a device of standard cells ({', '.join(LIBRARIES)}), not {device!r}")
    operands = {name: codes(dp, name, runs, terms, seed) for name in streams} | dict(given or {})
    hardware, slew = plan(dp, device), SLEWS_PS[device] if slew_ps is None else slew_ps
    ports = [port.name for port in leaves(hardware, top_name(dp))["pe"].ports if port.direction == "input"]
    stimuli = {name: stimulus(hardware, ports, a, w) for name, (a, w) in operands.items()}
    with tempfile.TemporaryDirectory() as folder:
        mapped = _mapped(hardware, library_files(device, liberty), Path(folder))
        found = {name: mapped.parts(one, slew) for name, one in stimuli.items()}
        return [_row(mapped, name, operands[name][0].size, one, slew) for name, one in found.items()]


@dataclass(frozen=True, eq=False)
class _Mapped:
    """An element's netlist in its folder, beside the decoders of its operands."""

    plan: Plan
    job: Job
    netlist: Path
    circuit: Circuit
    decoders: Mapping[str, Path]

    def parts(self, stimulus: Stimulus, slew: float) -> Parts:
        """The energies of one stimulus, its codes decoded on the way."""
        through = {side: path.stem for side, path in self.decoders.items()}
        decoded = replace(stimulus, through=through, sources=tuple(self.decoders.values()))
        waves = simulate(self.netlist, self.circuit, decoded, self.netlist.parent)
        return parts(self.circuit, waves, self.job.liberty, slew)


def _mapped(hardware: Plan, files: tuple[Path, ...], folder: Path) -> _Mapped:
    written = leaves(hardware, top_name(hardware.dp))
    paths = {kind: folder / f"{written[kind].name}.v" for kind in ("pe", "decode_a", "decode_w")}
    for kind, path in paths.items():
        path.write_text(written[kind].text, encoding="utf-8")
    job = Job.of([paths["pe"]], written["pe"].name, hardware.device, liberty=files)
    mapped = netlist(job.files, job.module, job.device, folder, liberty=files)
    decoders = {side: paths[f"decode_{side}"] for side in "aw"}
    return _Mapped(hardware, job, mapped, circuit(mapped, job.module, folder), decoders)


def _row(mapped: _Mapped, stream: str, macs: int, found: Parts, slew: float) -> Energy:
    fj = 1000 * macs
    return Energy(
        design=str(mapped.plan.dp),
        module=mapped.job.module,
        device=mapped.job.device,
        stream=stream,
        cycles=found.cycles,
        macs=macs,
        combinational=found.combinational / fj,
        flip_flops_and_clock=found.flip_flops_and_clock / fj,
        nets=found.nets / fj,
        leakage_nw=found.leakage_nw,
        slew_ps=slew,
        toggles=found.toggles,
        tools={**mapped.job.tools(), "iverilog": _icarus()},
    )


def _icarus() -> str:
    """Version of the simulator."""
    said = subprocess.run(["iverilog", "-V"], capture_output=True, text=True, check=False).stdout
    found = re.search(r"version (\S+)", said)
    return found[1] if found else "unknown"


def _short(value: float) -> float:
    return float(f"{value:.6g}")
