"""The synthesised netlist as Verilog that a simulator runs by itself, models of its cells included."""

import re
from collections.abc import Sequence
from pathlib import Path

from hwq.synth.batch import run_netlist
from hwq.synth.job import Job
from hwq.synth.liberty import clock_gates
from hwq.synth.target import gates, target
from hwq.synth.tools import share

__all__ = ["netlist"]


def netlist(
    files: Sequence[str | Path], module: str, device: str, folder: str | Path, liberty: Sequence[str | Path] = ()
) -> Path:
    """Write <module>_<device>.v: the mapped module under its own name and ports, and the models of its cells."""
    job = Job.of(files, module, device, liberty=liberty)
    Path(folder).mkdir(parents=True, exist_ok=True)
    path = Path(folder) / f"{module}_{device}.v"
    run_netlist(job, path)
    text = path.read_text(encoding="utf-8")
    path.write_text(text + "".join(_models(text, job)), encoding="utf-8")
    return path


def _models(text: str, job: Job) -> list[str]:
    """Models of the cells that a netlist names, and of those that these models name."""
    vendor = target(job.device).models
    known = clock_gates(job.liberty) if job.liberty else _vendor_models(vendor) if vendor else _gate_models()
    found: dict[str, str] = {}  # Yosys itself writes those of a cell library, all but its clock gates
    todo = [text]
    while todo:
        words = set(re.findall(r"\w+", todo.pop()))
        new = {cell: model for cell, model in known.items() if cell in words and cell not in found}
        found |= new
        todo += new.values()
    return [found[cell] for cell in sorted(found)]


def _vendor_models(names: Sequence[str]) -> dict[str, str]:
    """Every module of Yosys' simulation models, without its timing."""
    texts = [(share() / name).read_text(encoding="utf-8") for name in names]
    models: dict[str, str] = {}
    for match in re.finditer(r"^module (\w+).*?^endmodule", "\n".join(texts), re.MULTILINE | re.DOTALL):
        models.setdefault(match[1], re.sub(r"\bspecify\b.*?\bendspecify\b", "", match[0], flags=re.DOTALL) + "\n")
    return models


def _gate_models() -> dict[str, str]:
    """The gate library as Verilog; Yosys writes its flip-flop as plain Verilog already."""
    return {name: _gate_model(name, function) for name, (_, function) in gates().items()}


def _gate_model(name: str, function: str) -> str:
    pins = sorted(set(re.findall(r"[a-d]", function)))
    value = {"CONST0": "1'b0", "CONST1": "1'b1"}.get(function, function.translate(str.maketrans("*+!", "&|~")))
    ports = ", ".join(["output O", *(f"input {pin}" for pin in pins)])
    return f"module {name}({ports}); assign O = {value}; endmodule\n"
