"""The modules that steer an array: which state a tile is in, and the enable without which that state stands.

Where sums move (weight-stationary), nothing else moves without it either. Where they stay, a pause needs no freezing:
codes of zero enter, which leave every sum as it is, and only the way of the results waits. So the elements have no
clock enable, which a whole array would have to wait for in every cycle. No beat is taken and no result offered while
rst is held.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from hwq.datapath import Datapath
from hwq.datapath.schedule import flush, latency, longest, output_depth, start
from hwq.rtl import drain
from hwq.rtl.modules import Leaf, Port, assigned, module, wire
from hwq.rtl.wires import bus

__all__ = ["STATES", "control"]

# per dataflow: the states of a tile in order, and what happens in each
STATES: Mapping[str, Mapping[str, str]] = {
    "os": {
        "clear": "the sums are cleared, the parameters taken",
        "run": "a beat of operands enters in each cycle",
        "flush": "the last products reach their sums",
        "drain": "a row of sums in each cycle enters the epilogues, row 0 first",
        "tail": "the last results leave",
    },
    "ws": {
        "clear": "the parameters are taken",
        "load": "a row of weights enters in each cycle, that of row 0 first",
        "run": "a beat of operands enters wherever one is offered",
        "tail": "the last results leave",
    },
}
STATES = {**STATES, "tree": STATES["os"]}
LOADED = "from the first cycle of run to the first beat: the sums start with its products (use=load)"
BANKS = {
    "clear": "the first bank of each sum is cleared, the parameters taken",
    "wipe": "the other banks are cleared, as soon as operands are there",
    "run": STATES["os"]["run"],
    "drain": "the words of each row's banks come to the feet of the columns, row 0 first",
    "tail": "the last results leave",
}


def control(dp: Datapath, top: str, parameters: bool) -> Leaf:
    """Module `<top>_control`: the streams' handshakes in, the state and the enable out."""
    flow = dp.array.dataflow
    banked = "banks" in dp.uses
    states = BANKS if banked else STATES[flow]
    streaming = flow == "ws"
    bits = (longest(dp) - 1).bit_length()
    loaded = not start(dp)
    if loaded:
        states = {**states, "clear": LOADED}
    inputs = ["clk", "rst", "a_valid", "a_last", "w_valid", *["p_valid"] * parameters, "offers", "o_ready"]
    shown = [name for name in states if name != "flush"]
    ports = [Port(name, "input", 1) for name in inputs] + [Port(name, "output", 1) for name in ("en", *shown)]
    ports += [Port("done", "output", 1)]
    ports += [Port("wants", "output", 1)] * (loaded and parameters)
    ports += drain.ports(dp) if banked else []
    entering = "(wipe | run)" if banked else "run"
    waits = ["load & ~w_valid"] if streaming else [f"{entering} & ~(a_valid & w_valid)"]
    waits += [f"{'flush_state & wants' if loaded else 'clear'} & ~p_valid"] * parameters + ["offers & ~o_ready"]
    taken = "a_valid & a_last" if streaming else "a_last"
    body = [f"  reg {name}_state; // {what}" for name, what in states.items()]
    body += [assigned(name, f"{name}_state") for name in shown]
    body += [wire("last", 1, f"run_state & {taken}"), assigned("en", f"~({' | '.join(waits)})"), *_counter(dp, bits)]
    body += drain.lines(dp, bits) if banked else []
    body += _wants() if loaded and parameters else []
    after = _transitions(states, "last", loaded)
    body += ["", "  always @(posedge clk)", "    if (rst) begin"]
    first = ("clear", "run") if loaded else ("clear",)
    body += [f"      {name}_state <= 1'b{int(name in first)};" for name in states]
    body += ["    end else if (en) begin"]
    body += [f"      {name}_state <= {value};" for name, value in after.items()]
    body += ["    end"]
    which = (
        "one state is 1, clear beside run. Others last until their"
        if loaded
        else ("one state is 1. Each but clear and run lasts until its")
    )
    about = [f"Control: {which} count is done:"]
    about += [f"  {name}: {what}" for name, what in states.items()]
    return module(f"{top}_control", about, ports, body)


def _wants() -> Sequence[str]:
    """Whether a tile's parameters have not come, which the results wait for and not the operands."""
    return [
        "  reg wants_state; // the parameters are not there",
        assigned("wants", "wants_state"),
        "  always @(posedge clk)",
        "    if (rst) wants_state <= 1'b1;",
        "    else wants_state <= tail_state & done & en | wants_state & ~p_valid;",
    ]


def _transitions(states: Mapping[str, str], last: str, loaded: bool = False) -> dict[str, str]:
    """The next value of each state: entered when the one before it ends, left when it ends itself.

    `loaded`: run begins with clear, not after it.
    """
    names = list(states)
    ends = {"clear": f"{names[-1]}_state & done" if loaded else "clear_state", "run": last}
    stays = {"run": f"run_state & ~({last})"}
    found = {}
    for before, name in zip([names[-1], *names[:-1]], names, strict=True):
        entered = ends.get(before, f"{before}_state & done")
        kept = "" if name == "clear" else stays.get(name, f"{name}_state & ~done")
        found[name] = f"{entered} | {kept}" if kept else entered
    return found


def _counter(dp: Datapath, bits: int) -> Sequence[str]:
    """`count_left` cycles of a counted state come after this one; it starts where such a state is entered."""
    if not bits:
        return [assigned("done", "1'b1")]
    drained = " & ~(drain_state & |rows_left)" if "banks" in dp.uses and dp.array.rows > 1 else ""
    return [
        f"  reg {bus(bits)}count_left;",
        assigned("done", f"count_left == {bits}'d0{drained}"),
        "  always @(posedge clk)",
        f"    if (rst) count_left <= {bits}'d0;",
        f"    else if (en) count_left <= {drain.start(dp, bits) if 'banks' in dp.uses else _start(dp, bits)};",
    ]


def _start(dp: Datapath, bits: int) -> str:
    """The counter's next value. A state's length is loaded in the cycle before it begins, or while run lasts."""
    down = f"count_left - {bits}'d1"
    if dp.array.dataflow == "ws":
        return f"clear_state ? {bits}'d{dp.array.rows - 1} : run_state ? {bits}'d{latency(dp) - 1} : {down}"
    after = f"flush_state ? {bits}'d{dp.array.rows - 1} : {bits}'d{output_depth(dp) - 1}"
    return f"run_state ? {bits}'d{flush(dp) - 1} : done ? ({after}) : {down}"
