"""What the control of an array has more where sums stand in banks: which bank is named, and which row comes out.

Indices go round while banks are cleared or drained. A row's indices are a cycle later than those of the row before it,
so that rows come out a cycle further apart than the rounds are.
"""

from __future__ import annotations

from collections.abc import Iterator

from hwq.datapath import Datapath
from hwq.datapath.schedule import flush, row_period, tail, words
from hwq.rtl.modules import Port, assigned
from hwq.rtl.wires import bus

__all__ = ["index_bits", "lines", "ports", "start"]


def index_bits(dp: Datapath) -> int:
    """Bits of a bank's index; in wide arrays a round has some cycles without a bank."""
    return (row_period(dp) - 2).bit_length()


def ports(dp: Datapath) -> list[Port]:
    """The index that enters; whether a word comes to the first foot, whether a row is done, the rows after it."""
    found = [Port("index", "output", index_bits(dp)), Port("take", "output", 1), Port("row_done", "output", 1)]
    return found + [Port("below", "output", _row_bits(dp))] * (dp.array.rows > 1)


def _row_bits(dp: Datapath) -> int:
    return (dp.array.rows - 1).bit_length()


def lines(dp: Datapath, bits: int) -> Iterator[str]:
    """Statements around `count_left`, of so many bits, which in drain counts to the end of a row."""
    wide, rows = index_bits(dp), dp.array.rows
    yield assigned("take", f"drain_state & (count_left != {bits}'d0) & (count_left <= {bits}'d{words(dp)})")
    yield assigned("row_done", f"drain_state & (count_left == {bits}'d0)")
    yield assigned("index", "index_now")
    yield f"  reg {bus(wide)}index_now;"
    round_ = f"index_now == {wide}'d{row_period(dp) - 2} | run_state | tail_state"
    yield "  always @(posedge clk)"
    yield f"    if (rst) index_now <= {wide}'d0;"
    yield f"    else if (en) index_now <= {round_} ? {wide}'d0 : index_now + {wide}'d1;"
    if rows > 1:
        down = _row_bits(dp)
        yield f"  reg {bus(down)}rows_left;"
        yield assigned("below", "rows_left")
        yield "  always @(posedge clk)"
        yield f"    if (run_state) rows_left <= {down}'d{rows - 1};"
        yield f"    else if (row_done & en) rows_left <= rows_left - {down}'d1;"


def start(dp: Datapath, bits: int) -> str:
    """The counter's next value."""
    after = f"{bits}'d{tail(dp) - 1}"
    if dp.array.rows > 1:
        after = f"rows_left == {_row_bits(dp)}'d0 ? {after} : {bits}'d{row_period(dp) - 1}"
    first = f"clear_state ? {bits}'d{words(dp) - 2} : run_state ? {bits}'d{flush(dp)}"
    return f"{first} : row_done ? ({after}) : count_left - {bits}'d1"
