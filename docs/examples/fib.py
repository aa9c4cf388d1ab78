"""A number format of one's own: zero, and 1, 2, 3, 5, 8, ... of either sign, in two's complement order of codes."""

from dataclasses import dataclass
from fractions import Fraction

from hwq import HwqError
from hwq.formats import Table, family, whole_numbers


@dataclass(frozen=True)
class Fibonacci(Table):
    width: int

    def __post_init__(self) -> None:
        if not 2 <= self.width <= 7:
            raise HwqError(f"fib takes 2 to 7 bits, not {self.width}")

    @property
    def text(self) -> str:
        return f"fib({self.width})"

    @property
    def levels(self) -> tuple[Fraction | None, ...]:
        numbers, next_one = [0, 1], 2
        while len(numbers) < 1 << (self.width - 1):
            numbers.append(next_one)
            next_one += numbers[-2]
        negative = [-n for n in reversed(numbers[1:])]
        return tuple(None if n is None else Fraction(n) for n in [*numbers, None, *negative])


@family("fib")
def parse(args: list[str], text: str) -> Fibonacci:
    return Fibonacci(*whole_numbers(args, (1,), text))
