"""What a unit is, and its text: `softmax int8[s=1/16] ->uint8[s=1/256] n=197`, of any format."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any

from hwq.bits import Word, topological
from hwq.errors import HwqError
from hwq.formats import Format, parse_format

if TYPE_CHECKING:
    from hwq.units.program import Program

__all__ = ["ACCURATE", "COMPATIBLE", "EPS", "Operand", "Unit"]

ACCURATE, COMPATIBLE = "accurate", "compatible"
EPS = Fraction(1, 100000)  # of torch's LayerNorm
LONGEST = 1 << 16  # elements of a row

_OPERAND = re.compile(r"(.+?)(?:\[s=([^\]]*)\])?")
_NUMBER = re.compile(r"[0-9]{1,18}(/[1-9][0-9]{0,17}|\.[0-9]{1,18})?")


@dataclass(frozen=True)
class Operand:
    """Codes of a format, each of which stands for its value times `scale`."""

    format: Format
    scale: Fraction = Fraction(1)

    def __post_init__(self) -> None:
        if self.scale <= 0:
            raise HwqError(f"a scale must be above 0, not {self.scale}")

    @property
    def unit(self) -> Fraction:
        """What an integer of the format, its value over `2**lsb`, stands for."""
        return self.scale * Fraction(2) ** self.format.lsb

    @classmethod
    def parse(cls, text: str) -> Operand:
        found = _OPERAND.fullmatch(text)
        if found is None:
            raise HwqError("an operand must be a format such as 'int(8)[s=1/16]', not empty")
        return cls(parse_format(found[1]), _number("a scale", found[2]) if found[2] is not None else Fraction(1))

    def written(self, name: str) -> str:
        return name + (f"[s={self.scale}]" if self.scale != 1 else "")

    def __str__(self) -> str:
        return self.written(str(self.format))


@dataclass(frozen=True)
class Unit:
    """A non-linear operation in integers: of each code, or of rows of up to `n` codes.

    Calling it runs the emulator, bit for bit the hardware: codes of `x` [..., n] in, codes of `y` out, numpy or torch.
    `mode`: the form that I-ViT published, with its errors, or the one that is recommended. `eps` is added to a variance
    (accurate norms). `cuts` name the stages behind which there is a register; no bit depends on them.
    """

    kind: str
    x: Operand
    y: Operand
    n: int = 0
    mode: str = ACCURATE
    eps: Fraction = EPS
    cuts: tuple[str, ...] = ()
    program: Program = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        from hwq.units.kinds import check, program

        check(self)
        object.__setattr__(self, "program", program(self))
        missing = [cut for cut in self.cuts if cut not in self.stages]
        if missing:
            raise HwqError(
                f"cut= must be among {', '.join(self.stages) or 'none here'}, not {missing[0]}; leave it out"
            )
        object.__setattr__(self, "cuts", tuple(stage for stage in self.stages if stage in self.cuts))

    @cached_property
    def stages(self) -> tuple[str, ...]:
        """Where the unit can be cut, in order."""
        texts = self.texts
        return tuple(dict.fromkeys(str(word.attr) for word in topological(texts) if word.op == "stage"))

    @property
    def texts(self) -> tuple[Word, ...]:
        """Every text of the unit that runs an element a cycle."""
        from hwq.units.program import Fold, Map

        if isinstance(self.program, Map):
            return (self.program.code,)
        folds = [phase for phase in (self.program.first, *self.program.then) if isinstance(phase, Fold)]
        return (*(word for fold in folds for word in fold.after), self.program.code)

    @property
    def scale(self) -> float:
        """What a result's value is multiplied by to be a number: that of `y`, or the published form's own."""
        from hwq.units.kinds import form

        own = form(self).scale
        return float(self.y.scale) if own is None else own(self)

    @classmethod
    def parse(cls, text: str) -> Unit:
        """The unit that a text describes; `str()` of it is the canonical text."""
        if not isinstance(text, str):
            raise HwqError(f"a unit must be a text such as 'softmax int(8)[s=1/16] ->uint(8) n=64', not {text!r}")
        return _parsed(text)

    def __str__(self) -> str:
        return self._written(str(self.x), str(self.y))

    def parametric(self) -> str:
        """The text without catalogue names, which files and digests are made of."""
        return self._written(self.x.written(self.x.format.text), self.y.written(self.y.format.text))

    def _written(self, x: str, y: str) -> str:
        options = [f"n={self.n}"] * bool(self.n) + [f"mode={self.mode}"] * (self.mode != ACCURATE)
        options += [f"eps={self.eps}"] * (self.eps != EPS) + [f"cut={','.join(self.cuts)}"] * bool(self.cuts)
        return " ".join([self.kind, x, f"->{y}", *options])

    @property
    def top(self) -> str:
        """The name of the unit's hardware."""
        return f"hwq_{hashlib.sha256(self.parametric().encode()).hexdigest()[:10]}"

    def __call__(self, codes: Any) -> Any:
        """Codes of `y` for codes of `x`, of the same shape; rows lie along the last axis."""
        from hwq.units.emulate import emulate

        return emulate(self, codes)

    def cycles(self, lengths: Sequence[int]) -> int:
        """Cycles from the first code of these rows to their last result, where nobody waits."""
        from hwq.units.timing import cycles

        return cycles(self, lengths)


@lru_cache(maxsize=4096)
def _parsed(text: str) -> Unit:
    words = text.split()
    if len(words) < 3 or not words[2].startswith("->"):
        raise HwqError(f"a unit goes kind x ->y option..., not {text!r}")
    options: dict[str, str] = {}
    for word in words[3:]:
        key, equals, value = word.partition("=")
        if not equals or key in options or key not in ("n", "mode", "eps", "cut"):
            raise HwqError(f"options are n=, mode=, eps=, cut=, each once, not {word!r} in {text!r}")
        options[key] = value
    n = options.get("n", "0")
    if not re.fullmatch("[0-9]{1,9}", n):
        raise HwqError(f"n= takes a whole number, not {n!r}")
    return Unit(
        words[0],
        Operand.parse(words[1]),
        Operand.parse(words[2][2:]),
        int(n),
        options.get("mode", ACCURATE),
        _number("eps", options["eps"]) if "eps" in options else EPS,
        tuple(filter(None, options.get("cut", "").split(","))),
    )


def _number(what: str, text: str) -> Fraction:
    if not _NUMBER.fullmatch(text):
        raise HwqError(f"{what} must be a number such as 1/16 or 0.0625, not {text!r}")
    return Fraction(text)
