"""What a unit does, as texts over words: a map of each code, or passes over a row with serial steps between them.

A row is read as often as there are passes. The first pass is made while the row enters, the last one gives its codes;
between two passes a number of the whole row may be divided or its root taken, digit by digit (`hwq.units.serial`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from hwq.bits import Word, topological, variable
from hwq.units.serial import Division, Newton, Root

__all__ = ["CODE", "Fold", "Let", "Map", "Phase", "Program", "Row", "Serial", "last", "valid", "variables"]

CODE = "code"  # the variable that carries an element of a row


def valid(name: str) -> Word:
    """Whether an element of the pass of that name is there: what the pass adds is 0 where it is not."""
    return variable(f"valid_{name}", 0, 1)


def last(name: str) -> Word:
    """With a row's last element in that pass."""
    return variable(f"last_{name}", 0, 1)


@dataclass(frozen=True)
class Map:
    """A function of each code by itself."""

    code: Word


@dataclass(frozen=True)
class Fold:
    """A pass: registers, 0 before it, and what they are after an element that is `valid(name)`."""

    name: str
    before: tuple[Word, ...]
    after: tuple[Word, ...]

    @property
    def texts(self) -> tuple[Word, ...]:
        return self.after


@dataclass(frozen=True)
class Let:
    """A register that takes what was found of a row so far, in a cycle of its own."""

    name: str
    result: Word
    value: Word

    @property
    def texts(self) -> tuple[Word, ...]:
        return (self.value,)


Serial = Division | Root | Newton
Phase = Fold | Let | Serial


@dataclass(frozen=True)
class Row:
    """`first`, while a row enters; `then`, one after the other; at last `code` of each element.

    Texts read the code of an element, and registers of the phases before.
    """

    first: Fold
    then: tuple[Phase, ...]
    code: Word


Program = Map | Row


def variables(texts: Sequence[Word]) -> Iterator[Word]:
    """The inputs of texts, each once, in a deterministic order."""
    return (word for word in topological(texts) if word.op == "var")
