"""Hardware rows: the explicit cells into which a text is lowered. What is listed is what is emitted and priced.

A `Block` is a netlist of word-level cells, each of a kind whose structure on every fabric is known:

| op | arguments | result |
|---|---|---|
| `view` | x | bits `[attr, attr + width)` of x, extended by x's sign: wires only |
| `cat` | x0, x1, ... | concatenation, x0 lowest: wires only |
| `not` | x | bitwise complement |
| `and` `or` `xor` | x, y, ... | bitwise, arguments extended to the result's width |
| `select` | s, x0, x1[, x2, x3] | x_s: one 2:1 or 4:1 multiplexer a bit |
| `booth` | x, d | (-2*d2 + d1 + d0) * x - d2, d three bits: a radix-4 digit, complemented where negative |
| `row` | base, addend, carry | base + addend + carry: one carry chain, kept as written; GATED or not |
| `gated` | base, x, gate, minus | base + x, base - x under `minus`, base without a `gate`: one carry chain of ECP5 |
| `pair` | x, gate, y, gate | the sum of x and y under a gate each: one carry chain of ECP5 |
| `twin` | x, d, y, e | d * x + e * y - e1, of digits -1, 0 and 1: one chain of LUT6_2 |
| `triple` | x, y, z, carry, carry | the sum of all: one chain of LUT6_2, a place longer for the second carry |
| `bank` | x, far, zero, at | the word at a place, which grows by x, by 2**attr * x if `far`, or becomes 0 if `zero` |
| `lt` `eq` | x, y | one bit |
| `table` | index | attr[index] |
| `reg` | x | x one clock later, under the clock enable; attr names the stage |
| `hard` | x, y[, sum] | a sum of products in a block of the device; attr says which and how |

A row's base is extended in a wire of its own and its addend in place: a synthesiser that orders the two by their number
of pieces then leaves the base on the carry chain's data input, where it costs nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, field

__all__ = ["CELL_OPS", "GATED", "Block", "Cell", "Net", "State"]

CELL_OPS = (
    *("view", "cat", "not", "and", "or", "xor", "select", "booth", "row", "gated", "pair"),
    *("twin", "triple", "bank", "lt", "eq", "table", "reg", "hard"),
)

GATED = "gated"  # the attribute of a `select` between a number and 0, and of a row whose addend that is


@dataclass(frozen=True, eq=False)
class Net:
    """A named bundle of wires; `signed` says how it is extended. A constant has a `value` and no driver.

    Nets are equal only to themselves: names are unique within a block, and identity hashes fast.
    """

    name: str
    width: int
    signed: bool = False
    value: int | None = None


@dataclass(frozen=True, eq=False)
class Cell:
    op: str
    out: Net
    args: tuple[Net, ...]
    attr: object = None


@dataclass(frozen=True, eq=False)
class State:
    """A register that a run clears: `q` takes `d` under the clock enable, and 0 on clear."""

    q: Net
    d: Net


@dataclass(frozen=True, eq=False)
class Block:
    """One module: inputs, named outputs, registers with feedback, and cells in topological order."""

    name: str
    inputs: tuple[Net, ...]
    outputs: tuple[tuple[str, Net], ...]
    states: tuple[State, ...] = ()
    cells: tuple[Cell, ...] = field(default=(), repr=False)
    depth: int = 0

    @property
    def register_kinds(self) -> int:
        """Of pipeline registers and states, how many there are: each kind is set back in its own way."""
        return any(c.op == "reg" for c in self.cells) + bool(self.states)

    @property
    def flip_flops(self) -> int:
        """Register bits: pipeline registers and states."""
        return sum(c.out.width for c in self.cells if c.op == "reg") + sum(s.q.width for s in self.states)
