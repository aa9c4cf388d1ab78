"""The top of a weight-stationary array with two registers a weight: tiles follow one another without a pause.

The weights of the next tile go up their columns while the elements use those of this one. A bit goes with the first
operands of a tile from element to element, and each takes its weight with it. Once the last element has taken its own,
the next weights may enter. Results of two tiles are on their way at once, so that a bit beside each valid one says
where a tile ends, and parameters are taken column by column, just ahead of the tile's first results.
"""

from __future__ import annotations

from collections.abc import Iterator

from hwq.datapath import Datapath, Plan
from hwq.datapath.elements import TAKE
from hwq.datapath.plans import SCALES
from hwq.datapath.schedule import behind, longest, parameter_times, wave
from hwq.rtl.array import Top
from hwq.rtl.modules import ALWAYS, Leaf, Port, assigned, module, part, register, wire
from hwq.rtl.wires import bus

__all__ = ["Doubled"]

STATES = {
    "load": "a row of weights enters wherever one is offered, that of row 0 first",
    "armed": "they wait for their tile's first operands",
    "wave": "each element takes its weight with the first operands",
}
WITHIN = "a tile's first operands have entered, its last have not"


class Doubled(Top):
    """The modules of a datapath with `use=double`: streams as of every weight-stationary array, but that the weights
    of a tile are taken while the one before runs, and its parameters with its first results.
    """

    def __init__(self, plan: Plan, name: str) -> None:
        super().__init__(plan, name)
        self.loading = ("load & w_valid", ALWAYS)

    # -- control --------------------------------------------------------------------------------------------------

    @property
    def _about(self) -> str:
        return f"The next tile's weights enter while a tile runs, see {self.name}_control."

    def _control(self) -> Leaf:
        return weights_control(self.plan.dp, self.name, bool(self.parameters))

    def _handshakes(self) -> Iterator[str]:
        if not self.parameters:
            yield from super()._handshakes()
            return
        early, late = parameter_times(self.plan.dp)
        before = f"{{starts[{late - 2}:0], first}}" if late > 1 else "first"
        declared, *clocked = register("starts", late, before, "en")  # of what is on its way, a tile's first
        yield declared
        yield wire("wants", 1, f"|{part('starts', early - 1, late - early + 1, late)}")
        yield from super()._handshakes()
        yield from clocked

    def _ready(self) -> dict[str, str]:
        goes = "(~offers | o_ready)"
        ready = {"a": "run & en", "w": "load"}
        return ready | ({"p": f"{self._start(parameter_times(self.plan.dp)[1])} & {goes}"} if self.parameters else {})

    # -- operands -------------------------------------------------------------------------------------------------

    def _begins(self, rows: int) -> Iterator[str]:
        yield from self._marks(TAKE, "first", rows)

    def _moves_in(self, side: str) -> str:
        return ALWAYS if side == "w" else self.moves

    # -- results --------------------------------------------------------------------------------------------------

    def _start(self, cycles: int) -> str:
        """Whether a tile's first operands entered so many cycles ago."""
        return part("starts", cycles - 1, 1, parameter_times(self.plan.dp)[1])

    def _coming(self, name: str, col: int) -> tuple[str, str]:
        first, _ = parameter_times(self.plan.dp)
        return self._start(first + col + behind(self.plan.dp) * (name in SCALES)), "en"

    def _valid(self) -> Iterator[str]:
        yield from super()._valid()
        depth = self.plan.dp.latency
        yield from register("ends", depth, f"{{ends[{depth - 2}:0], run & a_valid & a_last}}", self.opens)

    def _offered(self) -> str:
        return f"{super()._offered()}{' & (~wants | p_valid)' * bool(self.parameters)}"  # else nothing moves

    def _ends(self) -> str:
        return part("ends", self.plan.dp.latency - 1, 1, self.plan.dp.latency)


def weights_control(dp: Datapath, top: str, parameters: bool) -> Leaf:
    """Module `<top>_control`: the streams' handshakes in, the states and the enable out. Weights enter without it."""
    bits, rows = (longest(dp) - 1).bit_length(), dp.array.rows
    inputs = ["clk", "rst", "a_valid", "a_last", "w_valid", *["p_valid", "wants"] * parameters, "offers", "o_ready"]
    ports = [Port(name, "input", 1) for name in inputs]
    ports += [Port(name, "output", 1) for name in ("en", "load", "run", "first")]
    held = ["wants & ~p_valid"] * parameters + ["offers & ~o_ready"]
    body = [f"  reg {name}_state; // {what}" for name, what in {**STATES, "within": WITHIN}.items()]
    body += [
        assigned("en", f"~({' | '.join(held)})"),
        assigned("load", "load_state"),
        assigned("run", "armed_state | within_state"),
        assigned("first", "armed_state & ~within_state & a_valid"),
        wire("goes", 1, "load_state ? w_valid : en"),
        *_counter(bits, rows, wave(dp)),
        "  always @(posedge clk)",
        "    if (rst) {load_state, armed_state, wave_state} <= 3'b100;",
        "    else if (goes) begin",
        "      load_state <= wave_state & done | load_state & ~done;",
        "      armed_state <= load_state & done | armed_state & ~first;",
        "      wave_state <= armed_state & first | wave_state & ~done;",
        "    end",
        "  always @(posedge clk)",
        "    if (rst) within_state <= 1'b0;",
        "    else if (en & run & a_valid) within_state <= ~a_last;",
    ]
    about = ["Control: of weights, one state is 1. Each but armed lasts until its count is done:"]
    about += [f"  {name}: {what}" for name, what in STATES.items()]
    return module(f"{top}_control", about, ports, body)


def _counter(bits: int, rows: int, wave: int) -> Iterator[str]:
    """`count_left` cycles of load or wave come after this one."""
    if not bits:
        yield wire("done", 1, "1'b1")
        return
    yield f"  reg {bus(bits)}count_left;"
    yield wire("done", 1, f"count_left == {bits}'d0")
    down = f"count_left - {bits}'d1"
    yield "  always @(posedge clk)"
    yield f"    if (rst) count_left <= {bits}'d{rows - 1};"
    yield f"    else if (goes) count_left <= armed_state ? {bits}'d{wave - 1} : done ? {bits}'d{rows - 1} : {down};"
