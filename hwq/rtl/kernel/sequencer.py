"""What steers a kernel: layer after layer its descriptor, then an address of the source and one of weights a cycle."""

from __future__ import annotations

from collections.abc import Iterator

from hwq.datapath import Plan
from hwq.kernel import Kernel, drain
from hwq.rtl.kernel.memories import address_bits
from hwq.rtl.modules import Leaf, Port, assigned, module, part, wire
from hwq.rtl.wires import bus

__all__ = ["sequencer"]

# Loops from the inside out: what counts, where it ends.
LOOPS = {"word": "last_word", "kx": "last_kx", "ky": "last_ky", "result": "last_result", "x": "last_x", "y": "last_y"}
STATES = {
    "fetch": "the layer's descriptor is read",
    "latch": "it stands in a register",
    "begin": "the counters are set, once there is an image where the layer waits for one",
    "run": "a beat in each cycle, unless results may not leave",
    "drain": "the last results are stored",
}


def sequencer(kernel: Kernel, plan: Plan, name: str) -> Leaf:
    """Module `<top>_sequencer`: the state of a layer, its addresses, and the marks that go with a beat."""
    fields = kernel.fields
    index = address_bits(kernel.layers)
    ports = [Port(port, "input", 1) for port in ("clk", "rst", "runs", "ready", "room")]
    ports += [Port("descriptor", "input", kernel.descriptor)]
    ports += [Port("index", "output", index), Port("busy", "output", 1), Port("frees", "output", 1)]
    ports += [Port("begins", "output", 1), Port("beat", "output", 1), Port("on_source", "output", 1)]
    ports += [Port("first", "output", 1), Port("ends", "output", 1), Port("closes", "output", 1)]
    ports += [Port("address", "output", kernel.address)]
    ports += [Port("weight_at", "output", fields["weights"].width)]

    def lines() -> Iterator[str]:
        yield from (wire(f"d_{field.name}", field.width, _of(field.name, kernel)) for field in fields.values())
        yield from (wire(f"at_{loop}", 1) for loop in LOOPS)
        yield ""
        yield from _states(index, drain(plan, kernel.share), kernel)
        yield ""
        yield "  // loops, the first one the innermost: each goes on where all inside it are at their ends"
        yield from _loops(fields["last_word"].width)
        yield ""
        yield "  // addresses; `pixel` is that of the window's first place, outside of the source too"
        yield from _addresses(kernel)

    about = ["Sequencer: layer after layer, a beat a cycle. One state is 1:"]
    about += [f"  {state}: {what}" for state, what in STATES.items()]
    return module(f"{name}_sequencer", about, ports, lines())


def _of(name: str, kernel: Kernel) -> str:
    field = kernel.fields[name]
    return part("descriptor", field.at, field.width, kernel.descriptor)


def _states(index: int, cycles: int, kernel: Kernel) -> Iterator[str]:
    """The states, and which layer is in them. `drain` lasts so many cycles."""
    bits = cycles.bit_length()
    yield from (f"  reg {state}_state; // {what}" for state, what in STATES.items())
    yield f"  reg {bus(bits)}left;"
    yield f"  reg {bus(index)}layer;"
    yield wire("sets", 1, "begin_state & (ready | ~d_waits)")
    yield from [wire("goes", 1)]
    if kernel.share > 1:
        yield from _spaced(kernel.share)
    free = " & (free | ~at_ky)" * (kernel.share > 1)
    yield assigned("goes", f"run_state & (room | ~d_streams){free}")
    yield wire("over", 1, "goes & at_y")
    yield wire("done", 1, f"drain_state & left == {bits}'d0")
    yield "  always @(posedge clk)"
    yield "    if (rst) begin"
    yield from (f"      {state}_state <= 1'b{int(state == 'fetch')};" for state in STATES)
    yield f"      left <= {bits}'d0;"
    yield f"      layer <= {index}'d0;"
    yield "    end else begin"
    yield "      fetch_state <= fetch_state & ~runs | done;"
    yield "      latch_state <= fetch_state & runs;"
    yield "      begin_state <= latch_state | begin_state & ~sets;"
    yield "      run_state <= sets | run_state & ~over;"
    yield "      drain_state <= over | drain_state & ~done;"
    yield f"      left <= over ? {bits}'d{cycles - 1} : left - {bits}'d1;"
    yield f"      if (done) layer <= d_last ? {index}'d0 : layer + {index}'d1;"
    yield "    end"
    yield assigned("index", "layer")
    yield assigned("begins", "sets")
    yield assigned("busy", "run_state | drain_state")
    yield assigned("frees", "done & d_frees")
    yield assigned("beat", "goes")
    yield assigned("ends", "goes & at_ky")
    yield assigned("closes", "over")


def _spaced(share: int) -> Iterator[str]:
    """`free` where the epilogues are done with the columns of the result before: a result ends no earlier."""
    bits = share.bit_length()
    yield f"  reg {bus(bits)}since; // cycles until they are"
    yield wire("free", 1, f"since == {bits}'d0")
    yield f"  always @(posedge clk) if (rst) since <= {bits}'d0; else if (goes & at_ky) since <= {bits}'d{share - 1};"
    yield f"    else if (~free) since <= since - {bits}'d1;"


def _loops(bits: int) -> Iterator[str]:
    """A counter a loop. `at_<loop>`: it and all inside it are at their ends."""
    inside = ""
    for loop, last in LOOPS.items():
        yield f"  reg {bus(bits)}{loop};"
        yield assigned(f"at_{loop}", f"{inside}{loop} == d_{last}")
        start = f"if (sets | at_{loop} & goes) {loop} <= {bits}'d0"
        goes = f"goes & {inside.removesuffix(' & ')}" if inside else "goes"
        yield f"  always @(posedge clk) {start}; else if ({goes}) {loop} <= {loop} + {bits}'d1;"
        inside = f"at_{loop} & "
    yield "  reg first_beat; // of a result"
    yield "  always @(posedge clk) if (sets) first_beat <= 1'b1; else if (goes) first_beat <= at_ky;"
    yield assigned("first", "goes & first_beat")


def _addresses(kernel: Kernel) -> Iterator[str]:
    a, c, w = kernel.address, kernel.fields["row"].width, kernel.fields["weights"].width
    count = kernel.fields["last_result"].width
    yield f"  reg {bus(a)}place;"
    yield f"  reg {bus(a)}pixel;"
    yield f"  reg {bus(c)}row;"
    yield f"  reg {bus(c)}col;"
    yield f"  reg {bus(c)}top;"
    yield f"  reg {bus(c)}left_end;"
    yield f"  reg {bus(w)}weight;"
    yield wire("next_pixel", a, "pixel + (at_x ? d_step_y : d_step_x)")
    yield wire("next_left", c, "at_x ? d_col : left_end + d_stride_x")
    yield wire("next_top", c, "at_x ? top + d_stride_y : top")
    deeper = "result" if count == a else f"result[{a - 1}:0]" if count > a else f"{{{a - count}'d0, result}}"
    yield wire("deeper", a, f"d_diagonal ? {deeper} + {a}'d1 : {a}'d0")
    yield "  always @(posedge clk)"
    yield "    if (sets) begin"
    yield "      place <= d_start;"
    yield "      pixel <= d_start;"
    yield "      row <= d_row;"
    yield "      top <= d_row;"
    yield "      col <= d_col;"
    yield "      left_end <= d_col;"
    yield "      weight <= d_weights;"
    yield "    end else if (goes) begin"
    yield "      if (at_result) begin // the next window"
    yield "        place <= next_pixel;"
    yield "        pixel <= next_pixel;"
    yield "        row <= next_top;"
    yield "        top <= next_top;"
    yield "        col <= next_left;"
    yield "        left_end <= next_left;"
    yield "      end else if (at_ky) begin // the same one for the next word of results"
    yield "        place <= pixel + deeper;"
    yield "        row <= top;"
    yield "        col <= left_end;"
    yield "      end else if (at_kx) begin"
    yield "        place <= place + d_step_ky;"
    yield "        row <= row + d_dilation_y;"
    yield "        col <= left_end;"
    yield "      end else if (at_word) begin"
    yield "        place <= place + d_step_kx;"
    yield "        col <= col + d_dilation_x;"
    yield f"      end else place <= place + {a}'d1;"
    yield f"      if (~d_repeats) weight <= at_result ? d_weights : weight + {w}'d1;"
    yield "    end"
    yield assigned("address", "place")
    yield assigned("weight_at", "weight")
    yield assigned("on_source", "row < d_height & col < d_width")
