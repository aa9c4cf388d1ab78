"""The hardware of a unit as blocks of cells: what `rtl` emits and `costmodel` prices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from hwq.bits import Word
from hwq.bits.cells import Block, Net
from hwq.bits.rows import Lowering
from hwq.datapath.device import check_device
from hwq.units.program import CODE, Fold, Let, Map, Serial, last, valid, variables
from hwq.units.serial import FIRST, START
from hwq.units.spec import Unit

__all__ = ["ENDED", "FILL", "OUT", "PASSES", "RESULT", "THERE", "UnitPlan", "plan"]

FILL, OUT = "fill", "out"  # the first pass, while a row enters, and the last one, for its results
PASSES = "passes"  # the block of all passes but the first: what two of them read of an element is made once
RESULT, THERE, ENDED = "result", "there", "ended"  # what leaves: a code, whether it is one; the end of a pass


@dataclass(frozen=True)
class UnitPlan:
    """The blocks of a unit on a device: FILL and PASSES, and each other phase by its name; of single codes OUT alone.

    `depths` are the registers behind each other within a pass, by its name.
    """

    unit: Unit
    device: str
    blocks: Mapping[str, Block]
    depths: Mapping[str, int]

    @property
    def held(self) -> tuple[Word, ...]:
        """The registers that keep what was found of a row while the next one enters."""
        program = self.unit.program
        return () if isinstance(program, Map) else program.first.before

    @property
    def buffer(self) -> tuple[int, int]:
        """(words, bits) of the memory of two rows; (0, 0) where nobody reads their elements again."""
        if PASSES not in self.blocks or all(net.name != CODE for net in self.blocks[PASSES].inputs):
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
        return _assembled(unit, device, {OUT: _passes(OUT, (), program.code, unit)})
    folds = tuple(phase for phase in program.then if isinstance(phase, Fold))
    made = {FILL: _passes(FILL, (program.first,), None, unit), PASSES: _passes(PASSES, folds, program.code, unit)}
    for phase in program.then:
        if not isinstance(phase, Fold):
            made[phase.name] = (_let(phase) if isinstance(phase, Let) else _serial(phase)), {}
    return _assembled(unit, device, made)


def _assembled(unit: Unit, device: str, made: Mapping[str, tuple[Block, Mapping[str, int]]]) -> UnitPlan:
    depths = {name: depth for _, each in made.values() for name, depth in each.items()}
    return UnitPlan(unit, device, {name: block for name, (block, _) in made.items()}, depths)


def _lowering(
    name: str, texts: Sequence[Word], moving: Sequence[str], cuts: Sequence[str], own: Sequence[Word]
) -> Lowering:
    """A block with the inputs of its texts, of which those that are `moving` come anew in each cycle; and registers."""
    low = Lowering(f"unit_{name}", cuts)
    for word in variables(texts):
        if word not in own:
            low.input(word, 0 if word.attr in moving else None)
    for word in own:
        low.state(word)
    return low


def _passes(name: str, folds: Sequence[Fold], code: Word | None, unit: Unit) -> tuple[Block, dict[str, int]]:
    """Passes over elements, and results: registers; of each pass whether it sees a row's last; the depths of all."""
    results = [] if code is None else [code, valid(OUT)]
    names = [fold.name for fold in folds] + [OUT] * bool(results)
    ends = [last(pass_) for pass_ in names]
    texts = [*(word for fold in folds for word in fold.after), *results, *ends]
    moving = [CODE, *(str(word.attr) for pass_ in names for word in (valid(pass_), last(pass_)))]
    own = [word for fold in folds for word in fold.before]
    low = _lowering(name, texts, moving, unit.cuts, own)
    low.lower(texts)
    outputs: list[tuple[str, Net]] = []
    depths: dict[str, int] = {}
    for fold in folds:
        depths[fold.name] = _depth(low, fold.after)
        for before, after in zip(fold.before, fold.after, strict=True):
            low.feed(before, after)
            outputs.append((str(before.attr), low.net(before)))
    if code is not None:
        depths[OUT] = _depth(low, results)
        code_net, there = (low.at(low.net(word), depths[OUT]) for word in results)
        outputs += [(RESULT, low.fit(code_net, unit.y.format.bits)), (THERE, there)]
    outputs += [(f"{ENDED}_{p}", low.at(low.net(end), depths[p])) for p, end in zip(names, ends, strict=True)]
    return low.block(outputs, aligned=False), depths


def _depth(low: Lowering, texts: Sequence[Word]) -> int:
    return max((cycle for word in texts if (cycle := low.cycle[low.net(word)]) is not None), default=0)


def _let(phase: Let) -> Block:
    low = _lowering(phase.name, phase.texts, [str(word.attr) for word in variables(phase.texts)], (), ())
    (net,) = low.lower(phase.texts)
    return low.block([(str(phase.result.attr), low.fit(low.reg(net, "set"), phase.result.width))])


def _serial(phase: Serial) -> Block:
    """Registers that `start` loads, and the result."""
    registers = phase.registers
    texts, own = [after for _, after in registers.values()], [before for before, _ in registers.values()]
    result = phase.found(registers)
    low = _lowering(phase.name, [*texts, result], [str(word.attr) for word in (START, FIRST)], (), own)
    low.lower([*texts, result])
    for before, after in registers.values():
        low.feed(before, after)
    return low.block([(phase.name, low.fit(low.net(result), phase.result.width))], aligned=False)
