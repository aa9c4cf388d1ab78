"""The hardware of a unit as blocks of cells: what `rtl` emits and `costmodel` prices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from hwq.bits import Word, const, variable
from hwq.bits.cells import Block
from hwq.bits.rows import Lowering
from hwq.datapath.device import check_device
from hwq.units.program import CODE, VALID, Fold, Let, Map, Row, Serial, variables
from hwq.units.serial import FIRST, START
from hwq.units.spec import Unit

__all__ = ["ENDED", "FILL", "LAST", "OUT", "RESULT", "THERE", "UnitPlan", "plan"]

OUT, FILL = "out", "fill"  # the blocks that give results, and that see a row enter
LAST = variable("last", 0, 1)  # with a row's last element
RESULT, THERE, ENDED = "result", "there", "ended"  # what leaves: a code, whether it is one, whether it is a row's last
_PULSES = (CODE, *(str(word.attr) for word in (VALID, LAST, START, FIRST)))


@dataclass(frozen=True)
class UnitPlan:
    """The blocks of a unit on a device, in the order of its phases; that of its results comes last.

    `held` are the registers that keep what was found of a row while the next one enters.
    """

    unit: Unit
    device: str
    blocks: Mapping[str, Block]

    @property
    def held(self) -> tuple[Word, ...]:
        program = self.unit.program
        return () if isinstance(program, Map) else program.first.before

    @property
    def buffer(self) -> tuple[int, int]:
        """(words, bits) of the memory of two rows; (0, 0) where there is none."""
        if isinstance(self.unit.program, Map):
            return 0, 0
        return 2 << self.address, self.unit.x.format.bits

    @property
    def address(self) -> int:
        """Bits of an element's place in its row."""
        return max(1, (max(self.unit.n, 1) - 1).bit_length())


def plan(unit: Unit, device: str = "portable") -> UnitPlan:
    """Lower a unit for a device."""
    check_device(device)
    return _plan(unit, device)


@lru_cache(maxsize=4096)
def _plan(unit: Unit, device: str) -> UnitPlan:
    program = unit.program
    if isinstance(program, Map):
        return UnitPlan(unit, device, {OUT: _results(unit)})
    blocks = {FILL: _fold(program.first, unit.cuts)}
    for phase in program.then:
        if isinstance(phase, Fold):
            blocks[phase.name] = _fold(phase, unit.cuts)
        elif isinstance(phase, Let):
            blocks[phase.name] = _let(phase)
        else:
            blocks[phase.name] = _serial(phase)
    return UnitPlan(unit, device, {**blocks, OUT: _results(unit)})


def _lowering(name: str, texts: Sequence[Word], cuts: Sequence[str], own: Sequence[Word] = ()) -> Lowering:
    """A block with the inputs of its texts: codes and pulses come in each cycle, all else holds still."""
    low = Lowering(f"unit_{name}", cuts)
    registers = {id(word) for word in own}
    for word in variables(texts):
        if id(word) not in registers:
            low.input(word, 0 if word.attr in _PULSES else None)
    for word in own:
        low.state(word)
    return low


def _results(unit: Unit) -> Block:
    """The code of an element, and whether there is one, and whether it is a row's last, as late as that."""
    texts = (unit.program.code, VALID, LAST)
    low = _lowering(OUT, texts, unit.cuts)
    net, *pulses = low.lower(texts)
    outputs = low.fit(net, unit.y.format.bits), *pulses
    return low.block(list(zip((RESULT, THERE, ENDED), outputs, strict=True)))


def _fold(fold: Fold, cuts: Sequence[str]) -> Block:
    """The registers of a pass, and whether what they take in this cycle is of a row's last element."""
    low = _lowering(fold.name, (*fold.after, LAST), cuts, fold.before)
    *after, last = low.lower([*fold.after, LAST])
    depth = max((c for net in after if (c := low.cycle[net]) is not None), default=0)
    for before, text in zip(fold.before, fold.after, strict=True):
        low.feed(before, text)
    held = [(str(word.attr), low.net(word)) for word in fold.before]
    return low.block([*held, (ENDED, low.at(last, depth))], aligned=False)


def _let(phase: Let) -> Block:
    low = _lowering(phase.name, (phase.value,), ())
    for net in low.inputs:
        low.cycle[net] = 0
    (net,) = low.lower([phase.value])
    return low.block([(str(phase.result.attr), low.fit(low.reg(net, "set"), phase.result.width))])


def _serial(phase: Serial) -> Block:
    """Registers that `start` loads, and the result."""
    registers = phase.registers
    texts, own = [after for _, after in registers.values()], [before for before, _ in registers.values()]
    result = phase.found(registers)
    low = _lowering(phase.name, (*texts, result), (), own)
    low.lower([*texts, result])
    for before, after in registers.values():
        low.feed(before, after)
    return low.block([(phase.name, low.fit(low.net(result), phase.result.width))], aligned=False)
