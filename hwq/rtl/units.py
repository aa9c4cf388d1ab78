"""Verilog of a unit: its blocks as they stand, a buffer of two rows and what steers them.

A row enters one half of the buffer while the one before it is read from the other. Where results wait, only what works
on them stands still: the next row goes on entering until it is whole.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib.metadata import version
from pathlib import Path

from hwq.datapath.device import DEVICES
from hwq.rtl.blocks import leaf
from hwq.rtl.emit import Manifest, publish
from hwq.rtl.modules import Leaf, Port, assigned, instance, module, wire
from hwq.rtl.wires import bus
from hwq.units import Unit, UnitPlan, plan
from hwq.units.plans import ENDED, FILL, OUT, PASSES, RESULT, THERE
from hwq.units.program import CODE, Fold, Let, Map, Row
from hwq.units.serial import FIRST, START
from hwq.units.timing import interval, latency

__all__ = ["emit_unit", "unit_sources"]


def emit_unit(unit: Unit, folder: str | Path, device: str = "portable") -> Manifest:
    """Write one file a module and manifest.json into a folder, made if it is missing."""
    modules, texts = unit_sources(unit, device)
    return publish(
        folder,
        Manifest(
            datapath=unit.parametric(),
            device=device,
            version=version("hwq"),
            top=unit.top,
            modules=modules,
            latency=latency(unit),
            interval=interval(unit),
            files=texts,
            project={},
        ),
    )


def unit_sources(unit: Unit, device: str = "portable") -> tuple[dict[str, tuple[Port, ...]], dict[str, str]]:
    """(ports of every module, the top first; Verilog by file name) of a unit."""
    of = plan(unit, device)
    tops = [_each(of)] if isinstance(unit.program, Map) else [_Rows(of).top]
    leaves = [_leaf(of, name) for name in of.blocks]
    header = f"// hwq {version('hwq')}: {unit.parametric()}\n// rows for {device}\n"
    modules = [*tops, *leaves]
    return {m.name: m.ports for m in modules}, {f"{m.name}.v": header + m.text for m in modules}


def _leaf(of: UnitPlan, name: str) -> Leaf:
    """Module `<top>_<name>`: a block of the unit."""
    block = of.blocks[name]
    about = {FILL: "Pass over a row as it enters.", PASSES: "Passes over a row that is in.", OUT: "Result of a code."}
    inputs = {net.name: [net] for net in block.inputs}
    outputs = {port: [port] for port, _ in block.outputs}
    what = about.get(name, f"Phase {name}.")
    return leaf(f"{of.unit.top}_{name}", what, DEVICES[of.device][1], block, inputs, outputs)


def _streams(of: UnitPlan) -> list[Port]:
    """clk, rst, codes `x_` in, results `o_` out, each with valid, ready, payload and a row's last."""
    bits = {"x": of.unit.x.format.bits, "o": of.unit.y.format.bits}
    ports = [Port("clk", "input", 1), Port("rst", "input", 1)]
    for stream, way in (("x", "input"), ("o", "output")):
        back = "output" if way == "input" else "input"
        ports += [Port(f"{stream}_valid", way, 1), Port(f"{stream}_ready", back, 1)]
        ports += [Port(f"{stream}_payload", way, bits[stream]), Port(f"{stream}_last", way, 1)]
    return ports


def _instance(of: UnitPlan, name: str, given: Mapping[str, str]) -> list[str]:
    """An instance of a block's module; what it is not given comes from a signal of the same name."""
    pins = {port.name: given.get(port.name, port.name) for port in _leaf(of, name).ports}
    return instance(f"{of.unit.top}_{name}", f"{name}_block", pins)


def _each(of: UnitPlan) -> Leaf:
    """The top of a unit that takes each code by itself: a pipeline that waits as a whole."""
    pins = {CODE: "x_payload", f"valid_{OUT}": "x_valid", f"last_{OUT}": "x_last"}
    pins |= {RESULT: "o_payload", THERE: "offered", f"{ENDED}_{OUT}": "o_last"}
    body = [wire("offered", 1), assigned("o_valid", "offered & ~rst"), wire("en", 1, "o_ready | ~offered")]
    body += [assigned("x_ready", "en & ~rst"), *_instance(of, OUT, pins)]
    about = f"{of.unit.kind}: a result a cycle, {of.depths[OUT]} cycles behind its code."
    return module(of.unit.top, [about], _streams(of), body)


class _Rows:
    """The top of a unit that works on rows: who fills, who works, and what is handed over between them."""

    def __init__(self, of: UnitPlan) -> None:
        assert isinstance(of.unit.program, Row)
        self.of, self.program, self.bits = of, of.unit.program, of.address
        self.names = [phase.name for phase in self.program.then] + [OUT]
        self.passes = [phase.name for phase in self.program.then if isinstance(phase, Fold)] + [OUT]
        self.serial = [phase for phase in self.program.then if not isinstance(phase, Fold | Let)]

    @property
    def top(self) -> Leaf:
        about = [f"{self.of.unit.kind} of rows. A row enters while the one before it is worked on, in these phases:"]
        about += [f"  {name}: {what}" for name, what in self._told()]
        body = [*self._declared(), *self._wires(), *self._blocks(), *self._clocked()]
        return module(self.of.unit.top, about, _streams(self.of), body)

    def _told(self) -> Iterator[tuple[str, str]]:
        """What happens in each phase, in words."""
        for phase in self.program.then:
            if isinstance(phase, Fold):
                yield phase.name, f"a pass over the row, for {', '.join(str(word.attr) for word in phase.before)}"
            elif isinstance(phase, Let):
                yield phase.name, "a register takes what was found, in one cycle"
            else:
                rounds = f"{phase.rounds} times " * (phase.rounds > 1)
                yield phase.name, f"a {type(phase).__name__.lower()}, {rounds}{phase.steps} cycles behind its start"
        yield OUT, "a pass over the row for its results"

    @property
    def _count(self) -> int:
        """Bits of the counter of serial steps."""
        return max((phase.steps for phase in self.serial), default=0).bit_length()

    @property
    def _rounds(self) -> int:
        """Bits of the counter of rounds; 0 where each serial phase has one."""
        return (max((phase.rounds for phase in self.serial), default=1) - 1).bit_length()

    def _declared(self) -> list[str]:
        """Registers of the control, and wires from blocks."""
        at, (words, bits) = bus(self.bits), self.of.buffer
        lines = ["  reg filling, full; // a row enters; it is in, and waits for who works on it", f"  reg {at}fill_at;"]
        lines += [f"  reg {', '.join(['idle', *(f'in_{name}' for name in self.names)])}; // one of these is 1"]
        lines += [f"  reg {at}last_at, read_at;"]
        lines += ["  reg read, present, present_last; // an element is read, is there, and is its row's last"]
        if words:  # one half is written while the other is read: what a collision would give matters to nobody
            lines += ["  reg fill_half, work_half; // of the buffer"]
            lines += [f"  (* no_rw_check *) reg {bus(bits)}buffer [0:{words - 1}];", f"  reg {bus(bits)}element;"]
        lines += [f"  reg {bus(self._count)}count;"] * bool(self._count)
        lines += [f"  reg {bus(self._rounds)}round;"] * bool(self._rounds)
        lines += [f"  reg {bus(word.width)}{word.attr};" for word in self.of.held]
        for name, block in self.of.blocks.items():
            lines += [f"  wire {bus(net.width)}{self._signal(name, port)};" for port, net in block.outputs]
        return lines

    def _signal(self, name: str, port: str) -> str:
        """What the top calls an output of a block: a register of a row by its own name."""
        return f"fill_{port}" if name == FILL and not port.startswith(ENDED) else port

    def _wires(self) -> list[str]:
        """What follows from the registers."""
        last = f"{self.bits}'d{max(1, self.of.unit.n) - 1}"
        lines = ["", wire("accept", 1, "x_valid & x_ready")]
        lines += [wire("fill_end", 1, f"accept & (x_last | fill_at == {last})")]
        lines += [wire("en", 1, f"o_ready | ~{THERE}"), wire("hand", 1, "full & idle & en")]
        lines += [wire("read_end", 1, "read & read_at == last_at")]
        for phase in self.serial:
            name, rounds = phase.name, phase.rounds
            lines += [wire(f"{name}_round", 1, f"in_{name} & count == {self._count}'d{phase.steps}")]
            lines += [wire(f"{name}_start", 1, f"in_{name} & count == {self._count}'d0")]
            if rounds > 1:
                first = f"{name}_start & round == {self._rounds}'d0"
                lines += [wire(f"{name}_first", 1, first)]
                lines += [wire(f"{ENDED}_{name}", 1, f"{name}_round & round == {self._rounds}'d{rounds - 1}")]
            else:
                lines += [wire(f"{ENDED}_{name}", 1, f"{name}_round")]
        lets = [phase.name for phase in self.program.then if isinstance(phase, Let)]
        lines += [wire(f"{ENDED}_{name}", 1, f"in_{name}") for name in lets]
        lines += [assigned("x_ready", "filling & ~rst"), assigned("o_valid", f"{THERE} & ~rst")]
        return [*lines, assigned("o_payload", RESULT), assigned("o_last", f"{ENDED}_{OUT}"), ""]

    def _blocks(self) -> list[str]:
        """The instances: a block works in its phase alone, on the element that was read."""
        reading = {CODE: "element", "clear": "hand"}
        for name in self.passes:
            reading |= {f"{pulse}_{name}": f"{here} & in_{name}" for pulse, here in READ.items()}
        lines = _instance(self.of, FILL, self._pins(FILL) | FILLING) + _instance(self.of, PASSES, reading)
        for name in self.names:
            if name not in self.passes:
                pins = {"en": f"en & in_{name}", START_PIN: f"{name}_start", FIRST_PIN: f"{name}_first"}
                lines += _instance(self.of, name, pins)
        return lines

    def _pins(self, name: str) -> dict[str, str]:
        return {port: self._signal(name, port) for port, _ in self.of.blocks[name].outputs}

    def _clocked(self) -> list[str]:
        """The registers' next values: who fills, who works, the buffer, the counters."""
        one = f"{self.bits}'d1"
        lines = ["", "  always @(posedge clk) begin"]
        if self.of.buffer[0]:
            lines += ["    if (accept) buffer[{fill_half, fill_at}] <= x_payload;"]
            lines += ["    if (en) element <= buffer[{work_half, read_at}];"]
        lines += ["    if (hand) begin", "      last_at <= fill_at;"]
        lines += ["      work_half <= fill_half;"] * bool(self.of.buffer[0])
        lines += [f"      {word.attr} <= fill_{word.attr};" for word in self.of.held]
        lines += ["    end", "    if (rst) begin"]
        zeros = ["full", "read", "present", "present_last", *(f"in_{name}" for name in self.names)]
        zeros += ["fill_half"] * bool(self.of.buffer[0])
        lines += [f"      {name} <= 1'b1;" for name in ("filling", "idle")]
        lines += [f"      {name} <= 1'b0;" for name in zeros]
        lines += [f"      {name} <= {self.bits}'d0;" for name in ("fill_at", "read_at")]
        lines += [f"      count <= {self._count}'d0;"] * bool(self._count)
        lines += [f"      round <= {self._rounds}'d0;"] * bool(self._rounds)
        lines += ["    end else begin", "      filling <= hand | filling & ~fill_end;"]
        lines += [f"      full <= {ENDED}_{FILL} | full & ~hand;"]
        lines += ["      fill_half <= fill_half ^ hand;"] * bool(self.of.buffer[0])
        lines += [f"      fill_at <= hand ? {self.bits}'d0 : accept & ~fill_end ? fill_at + {one} : fill_at;"]
        lines += ["      if (en) begin", f"        idle <= {ENDED}_{OUT} | idle & ~hand;"]
        for before, name in zip(["", *self.names[:-1]], self.names, strict=True):
            lines += [
                f"        in_{name} <= {f'{ENDED}_{before}' if before else 'hand'} | in_{name} & ~{ENDED}_{name};"
            ]
        lines += [f"        read <= {' | '.join(self._begins())} | read & ~read_end;"]
        lines += [f"        read_at <= read ? read_at + {one} : {self.bits}'d0;"]
        lines += ["        present <= read;", "        present_last <= read_end;", *self._counting(), "      end"]
        return [*lines, "    end", "  end"]

    def _begins(self) -> list[str]:
        """What the passes begin with."""
        before = dict(zip(self.names, ["hand", *(f"{ENDED}_{name}" for name in self.names)], strict=False))
        return [before[name] for name in self.passes]

    def _counting(self) -> list[str]:
        if not self.serial:
            return []
        goes = " | ".join(f"in_{phase.name} & ~{phase.name}_round" for phase in self.serial)
        lines = [f"        count <= {goes} ? count + {self._count}'d1 : {self._count}'d0;"]
        for phase in self.serial:
            if phase.rounds > 1:
                zero, one = (f"{self._rounds}'d{value}" for value in (0, 1))
                lines += [f"        round <= in_{phase.name} ? ({phase.name}_round ? round + {one} : round) : {zero};"]
        return lines


FILLING = {
    CODE: "x_payload",
    f"valid_{FILL}": "accept",
    f"last_{FILL}": "fill_end",
    "en": "1'b1",
    "clear": "hand | rst",
}
READ = {"valid": "present", "last": "present_last"}
START_PIN, FIRST_PIN = str(START.attr), str(FIRST.attr)
