"""Division and square roots one digit a cycle: exact floors by non-restoring recurrences, written once as texts.

A cycle of `start` loads the operands; a digit of the result follows in each further one. What is left is kept as the
pattern of a signed number: whether it is negative says both the digit that was found and the sign of the next row, so
that each cycle is one row of carries (Ercegovac and Lang, Digital Arithmetic, 2004, chapters 5 and 6). Left over, a
negative rest needs no correction, as only the digits are read.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from hwq.bits import Word, const, mux, negate_if, variable

__all__ = ["FIRST", "ROUNDS", "SEED", "START", "Division", "Newton", "Root"]

START = variable("start", 0, 1)
FIRST = variable("first", 0, 1)  # with the first start of several
SEED = 1 << 16  # of the published root by Newton's method
ROUNDS = 10  # its iterations

Texts = dict[str, tuple[Word, Word]]  # by register: its variable, and what it is next


@dataclass(frozen=True)
class Division:
    """`result` = floor(num / den), num >= 0 and den >= 1; a cycle a digit that the largest quotient has."""

    name: str
    num: Word
    den: Word
    rounds = 1

    @property
    def texts(self) -> tuple[Word, ...]:
        return self.num, self.den

    @property
    def steps(self) -> int:
        return max(1, (self.num.hi // self.den.lo).bit_length())

    @property
    def result(self) -> Word:
        """The quotient, as later texts read it."""
        return variable(self.name, self.num.lo // self.den.hi, self.num.hi // self.den.lo)

    @cached_property
    def registers(self) -> Texts:
        """The registers with their next values, and among them, under the phase's own name, the quotient."""
        return quotient_digits(self.num, self.den, self.steps)

    def found(self, registers: Texts) -> Word:
        """The result, from the registers after the last step."""
        return registers["digits"][0].within(self.result.lo, self.result.hi)

    def run(self, num: Any, den: Any) -> Any:
        """The same of integers or of arrays."""
        return num // den


def quotient_digits(num: Word, den: Word, steps: int) -> Texts:
    """The rest, as a pattern, and the digits: those of num that are still to come above those that were found."""
    assert num.lo >= 0 and den.lo >= 1 and num.hi >> steps < den.lo, f"{num} / {den} has more than {steps} digits"
    bits = den.width + 1
    rest, digits = variable("rest", 0, (1 << bits) - 1), variable("digits", 0, (1 << steps) - 1)
    minus = rest >> (bits - 1)
    shifted = ((rest << 1).low(bits) | (digits >> (steps - 1))).wrap(bits)
    after = (shifted + negate_if(den, const(1) - minus)).wrap(bits)
    found = const(1) - (after < 0)
    return {
        "rest": (rest, mux(START, num >> steps, after.low(bits))),
        "digits": (digits, mux(START, num.low(steps), (digits << 1).low(steps) | found)),
    }


@dataclass(frozen=True)
class Root:
    """`result` = floor(2**places * sqrt(num)), num >= 0; a cycle a bit of the largest root."""

    name: str
    num: Word
    places: int = 0
    rounds = 1

    @property
    def texts(self) -> tuple[Word, ...]:
        return (self.num,)

    @property
    def steps(self) -> int:
        return -(-self.num.width // 2) + self.places

    @property
    def result(self) -> Word:
        return variable(self.name, *(math.isqrt(end << 2 * self.places) for end in (self.num.lo, self.num.hi)))

    @cached_property
    def registers(self) -> Texts:
        """The rest, the radicand's bits to come, the root so far; two bits come down in each cycle, at last zeros."""
        n, bits, wide = self.steps, self.steps + 2, 2 * (self.steps - self.places)
        rest, radicand = variable("rest", 0, (1 << bits) - 1), variable("radicand", 0, (1 << wide) - 1)
        root = variable("digits", 0, (1 << n) - 1)
        minus = rest >> (bits - 1)
        shifted = ((rest << 2).low(bits) | (radicand >> (wide - 2))).wrap(bits)
        ones = mux(minus, const(0), const((1 << n) - 1))
        other = ((root ^ ones) << 2 | 3).wrap(bits)  # 4 * root + 3 to a negative rest, else -(4 * root + 1)
        after = (shifted + other).wrap(bits)
        found = const(1) - (after < 0)
        return {
            "rest": (rest, mux(START, const(0), after.low(bits))),
            "radicand": (radicand, mux(START, self.num, (radicand << 2).low(wide))),
            "digits": (root, mux(START, const(0), (root << 1).low(n) | found)),
        }

    def found(self, registers: Texts) -> Word:
        return registers["digits"][0].within(self.result.lo, self.result.hi)

    def run(self, num: Any) -> Any:
        num = num << 2 * self.places
        root = np.sqrt(num.astype(np.float64)).astype(np.int64)  # of numbers to 62 bits at most one off
        root -= root * root > num
        return root + ((root + 1) * (root + 1) <= num)


@dataclass(frozen=True)
class Newton:
    """I-ViT's root: k = floor((k + floor(num / k)) / 2), ten times from 2**16, each a division.

    It is never below the floor of the root, and above it where ten steps are too few: of a small number they stop at 64
    at least. Once it is at the root or above, a step takes it up by 1 at most, so that the first one bounds them all.
    """

    name: str
    num: Word
    rounds = ROUNDS

    @property
    def texts(self) -> tuple[Word, ...]:
        return (self.num,)

    @property
    def _k(self) -> Word:
        return variable("k", SEED >> ROUNDS, max(SEED, (SEED + self.num.hi // SEED) // 2))

    @property
    def steps(self) -> int:
        return max(1, (self.num.hi // self._k.lo).bit_length())

    @property
    def result(self) -> Word:
        return variable(self.name, self._k.lo, self._k.hi)

    @cached_property
    def registers(self) -> Texts:
        k = self._k
        found = quotient_digits(self.num, k, self.steps)
        following = mux(FIRST, const(SEED), self._following(k, found)).low(k.width)  # no root amid a division
        return {**found, "k": (k, mux(START, following, k))}

    def _following(self, k: Word, registers: Texts) -> Word:
        return (k + registers["digits"][0]) >> 1

    def found(self, registers: Texts) -> Word:
        return self._following(registers["k"][0], registers).within(self.result.lo, self.result.hi)

    def run(self, num: Any) -> Any:
        k = num * 0 + SEED
        for _ in range(ROUNDS):
            k = (k + num // k) >> 1
        return k
