"""Chains of AMD's LUT6_2 and CARRY4, and memories beside them: a table of two outputs a bit, and the carry of that bit.

O6 passes the carry on, O5 makes one. Both are functions of the same five inputs, O6 where I5 is 1: where it is 0 the
two are equal. One site holds a table and its carry (AMD UG474).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from hwq.bits.cells import Cell, Net
from hwq.rtl.wires import Bit, Bits

__all__ = ["Instances", "chain", "table"]

ADDRESS = 5  # bits that a RAM32M takes


@dataclass(frozen=True)
class Instances:
    """So many instances of a module; a pin of a port's width goes to all of them, else to each its own."""

    module: str
    name: str
    count: int
    pins: Mapping[str, Bits]


def table(passes: Callable[..., int], makes: Callable[..., int]) -> str:
    """INIT of the functions of I0 to I4 that O6 and O5 give."""
    inputs = [[at >> place & 1 for place in range(5)] for at in range(32)]
    bits = sum(
        int(f(*given)) << at + 32 * high for high, f in enumerate((makes, passes)) for at, given in enumerate(inputs)
    )
    return f"64'h{bits:016x}"


_TWIN = table(
    lambda x, gate, minus, y, other: x & gate ^ minus ^ y ^ other, lambda x, gate, minus, *_: x & gate ^ minus
)
_BANK = table(  # nothing under zero; of a word's bit that is 1, which I5 is, the sum's bit is the other one
    lambda x, moved, far, zero, _: (1 - (moved if far else x)) & (1 - zero),
    lambda x, moved, far, zero, _: (moved if far else x) & (1 - zero),
)
_TRIPLE = table(lambda x, y, z, made, _: x ^ y ^ z ^ made, lambda x, y, z, *_: x + y + z > 1)

Driven = Callable[[str, int], Bits]


def chain(cell: Cell, of: Callable[[Net, int], Bits], driven: Driven) -> tuple[Bits, Iterator[Instances]]:
    """What a `twin`, `triple` or `bank` gives, and its instances. `of` gives a net's bits, `driven` a new signal's."""
    width, name = cell.out.width, cell.out.name
    if cell.op == "bank":
        return _bank(cell, of, driven)
    if cell.op == "twin":
        x, d, y, e = cell.args
        made = driven(f"{name}_make", width)
        pins = {"I0": of(x, width), "I1": of(d, 1), "I2": of(d, 2)[1:], "I3": of(y, width), "I4": of(e, 2)[1:]}
        return _sites(name, _TWIN, {**pins, "I5": of(e, 1)}, made, made, of(d, 2)[1], 0, driven)
    *addends, first, second = cell.args
    below = int(second.value is None)  # one place more, that makes a second carry into the chain
    made, carry = driven(f"{name}_make", width + below), of(second, 1) * below
    columns = [other + of(net, width) for net, other in zip(addends, (carry, carry, (0,) * below), strict=True)]
    before = (0,) * below + of(first, 1) + made[below:-1]
    pins = dict(zip(("I0", "I1", "I2", "I3", "I4", "I5"), (*columns, before, (0,), (1,)), strict=True))
    return _sites(name, _TRIPLE, pins, made, made[:below] + before[below:], 0, below, driven)


def _bank(cell: Cell, of: Callable[[Net, int], Bits], driven: Driven) -> tuple[Bits, Iterator[Instances]]:
    """A memory's word at a place, and the chain that makes the next one: AMD's RAM32M, 8 bits of 32 words in four LUT6.

    All its addresses are the same, and it writes in each enabled clock.
    """
    near, far, zero, place = cell.args
    name, width, count = cell.out.name, cell.out.width, -(-cell.out.width // 8)
    assert isinstance(cell.attr, int) and place.width <= ADDRESS
    word, made, x = driven(name, 8 * count), driven(f"{name}_make", width), of(near, width)
    columns = (x, ((0,) * cell.attr + x)[:width], of(far, 1), of(zero, 1), (0,), word[:width])
    pins = dict(zip(("I0", "I1", "I2", "I3", "I4", "I5"), columns, strict=True))
    after, chain_ = _sites(f"{name}_next", _BANK, pins, made, made, 0, 0, driven)
    after += (0,) * (8 * count - width)
    ports = {"WCLK": (("clk", 0),), "WE": (("en", 0),), **{f"ADDR{port}": of(place, ADDRESS) for port in "ABCD"}}
    for at, port in enumerate("ABCD"):
        for pin, bits in ((f"DI{port}", after), (f"DO{port}", word)):
            ports[pin] = sum((bits[8 * block + 2 * at :][:2] for block in range(count)), ())
    return word[:width], iter((*chain_, Instances("RAM32M", f"{name}_memory", count, ports)))


def _sites(
    name: str, init: str, pins: Mapping[str, Bits], made: Bits, makes: Bits, start: Bit, below: int, driven: Driven
) -> tuple[Bits, Iterator[Instances]]:
    """`made`: what O5 drives; `makes`: what each carry takes where it is not passed on; `start`: the carry-in."""
    count = -(-len(made) // 4)
    passed = driven(f"{name}_pass", len(made))
    carries, sums = driven(f"{name}_carry", 4 * count), driven(name, 4 * count)
    rest = (0,) * (4 * count - len(made))
    carry_pins = {
        "CO": carries,
        "O": sums,
        "CI": (0, *carries[3:-1:4]),
        "CYINIT": (start, *(0,) * (count - 1)),
        "DI": makes + rest,
        "S": passed + rest,
    }
    parts = (
        Instances(f"LUT6_2 #(.INIT({init}))", f"{name}_site", len(made), {"O6": passed, "O5": made, **pins}),
        Instances("CARRY4", f"{name}_chain", count, carry_pins),
    )
    return sums[below : len(made)], iter(parts)
