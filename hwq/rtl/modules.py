"""Modules as text: ports, registers, instances. What every module that hwq writes is made of."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from hwq.rtl.wires import bus

__all__ = ["ALWAYS", "WIDEST", "Leaf", "Port", "assigned", "instance", "module", "part", "register", "wire"]

ALWAYS = "1'b1"  # the enable of what never waits
WIDEST = 120  # columns of a line, where a list can be broken


@dataclass(frozen=True)
class Port:
    """A module's port: a vector of bits, "input" or "output"."""

    name: str
    direction: str
    width: int


@dataclass(frozen=True)
class Leaf:
    """One module: its ports in order, and its Verilog."""

    name: str
    ports: tuple[Port, ...]
    text: str

    @property
    def widths(self) -> dict[str, int]:
        return {port.name: port.width for port in self.ports}


def module(name: str, about: Iterable[str], ports: Sequence[Port], lines: Iterable[str]) -> Leaf:
    """A module of statements. What is clocked inside is a register of another name than its port."""
    head = [f"// {line}" for line in about] + [f"module {name} ("]
    head += [f"  {port.direction} wire {bus(port.width)}{port.name}{',' * (port != ports[-1])}" for port in ports]
    return Leaf(name, tuple(ports), "\n".join([*head, ");", *lines, "endmodule", ""]))


def wire(name: str, width: int, value: str = "") -> str:
    return f"  wire {bus(width)}{name}{' = ' * bool(value)}{value};"


def assigned(name: str, value: str) -> str:
    return f"  assign {name} = {value};"


def register(
    name: str, width: int, value: str, enable: str = "en", reset: str | None = None, keep: bool = False
) -> list[str]:
    """A register that takes a value under an enable, and `reset` (default 0) under rst whatever the enable says.

    `keep`: it stays one of its own though others are equal to it. The attribute belongs to the statement: Yosys gives
    it to the flip-flop from there, while one of the declaration would only keep its wire.
    """
    start = f"{width}'h0" if reset is None else reset
    clocked = f"  {'(* keep *) ' * keep}always @(posedge clk) if (rst) {name} <= {start};"
    taken = f"else {'' if enable == ALWAYS else f'if ({enable}) '}{name} <= {value};"
    fits = len(clocked) + 1 + len(taken) <= WIDEST
    return [f"  reg {bus(width)}{name};", *([f"{clocked} {taken}"] if fits else [clocked, f"    {taken}"])]


def part(name: str, at: int, width: int, whole: int) -> str:
    """Bits [at, at + width) of a vector of `whole` bits."""
    if width == whole:
        return name
    return f"{name}[{at}]" if width == 1 else f"{name}[{at + width - 1}:{at}]"


def instance(leaf: str, name: str, pins: Mapping[str, str]) -> list[str]:
    """An instance with its pins by name, as many a line as fit."""
    lines, line = [], f"  {leaf} {name} ("
    for port, signal in pins.items():
        pin = f".{port}({signal}), "
        if len(line) + len(pin) > WIDEST:
            lines.append(line.rstrip())
            line = "    "
        line += pin
    return [*lines, f"{line.rstrip(', ')});"]
