"""The way out of a kernel: a small queue, so that no result waits in the units."""

from __future__ import annotations

from collections.abc import Iterator

from hwq.kernel import Kernel
from hwq.rtl.modules import Leaf, Port, assigned, module, wire
from hwq.rtl.wires import bus

__all__ = ["PLACES", "results"]

PLACES = 16  # of the queue: a sum is begun only where its result will have one


def results(kernel: Kernel, name: str) -> Leaf:
    """Module `<top>_results`: a queue of words. `room` counts sums that are on their way too."""
    bits = (PLACES - 1).bit_length()
    word = kernel.word
    ports = [Port(port, "input", 1) for port in ("clk", "rst", "sends", "leaves", "o_ready", "closes")]
    ports += [Port("word", "input", word), Port("room", "output", 1), Port("o_valid", "output", 1)]
    ports += [Port("o_payload", "output", word), Port("o_last", "output", 1)]

    def lines() -> Iterator[str]:
        yield f"  reg {bus(word + 1)}queue [0:{PLACES - 1}];"
        yield f"  reg {bus(bits)}first;"
        yield f"  reg {bus(bits)}next;"
        yield f"  reg {bus(bits + 1)}held;"
        yield f"  reg {bus(bits + 1)}promised; // words that are here or on their way"
        yield wire("taken", 1, "o_valid & o_ready")
        yield "  always @(posedge clk) if (leaves) queue[next] <= {closes, word};"
        yield "  always @(posedge clk)"
        yield "    if (rst) begin"
        yield f"      first <= {bits}'d0;"
        yield f"      next <= {bits}'d0;"
        yield f"      held <= {bits + 1}'d0;"
        yield f"      promised <= {bits + 1}'d0;"
        yield "    end else begin"
        yield f"      first <= first + {{{bits - 1}'d0, taken}};"
        yield f"      next <= next + {{{bits - 1}'d0, leaves}};"
        yield f"      held <= held + {{{bits}'d0, leaves}} - {{{bits}'d0, taken}};"
        yield f"      promised <= promised + {{{bits}'d0, sends}} - {{{bits}'d0, taken}};"
        yield "    end"
        yield assigned("room", f"promised < {bits + 1}'d{PLACES - 1}")
        yield assigned("o_valid", f"held != {bits + 1}'d0 & ~rst")
        yield assigned("{o_last, o_payload}", "queue[first]")

    return module(f"{name}_results", [f"Results: a queue of {PLACES} words."], ports, lines())
