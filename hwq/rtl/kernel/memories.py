"""The memories of a kernel: one read and one write a cycle, in text that synthesisers take for block RAM."""

from __future__ import annotations

from collections.abc import Iterator

from hwq.kernel.kernel import CHUNK
from hwq.rtl.modules import Leaf, Port, assigned, instance, module, part
from hwq.rtl.wires import bus

__all__ = ["address_bits", "buffer", "loaded"]


def address_bits(depth: int) -> int:
    return max(1, (depth - 1).bit_length())


def buffer(name: str, width: int, depth: int, what: str) -> Leaf:
    """A memory of words: `read` comes a cycle after its address; where that is written at once, it is either word."""
    bits = address_bits(depth)
    ports = [Port("clk", "input", 1), Port("from", "input", bits), Port("read", "output", width)]
    ports += [Port("store", "input", 1), Port("at", "input", bits), Port("word", "input", width)]
    lines = [
        f"  (* no_rw_check *) reg {bus(width)}words [0:{depth - 1}];",
        f"  reg {bus(width)}found;",
        "  always @(posedge clk) begin",
        "    if (store) words[at] <= word;",
        "    found <= words[from];",
        "  end",
        assigned("read", "found"),
    ]
    return module(name, [f"{what}: {depth} words of {width} bits."], ports, lines)


def loaded(name: str, width: int, depth: int, what: str, chunk: Leaf) -> Leaf:
    """A memory that is written a chunk at a time: one memory a chunk, so that no register holds a whole word."""
    chunks, bits = -(-width // CHUNK), address_bits(depth)
    ports = [Port("clk", "input", 1), Port("from", "input", bits), Port("read", "output", width)]
    ports += [Port("store", "input", 1), Port("at", "input", bits), Port("chunk", "input", address_bits(chunks))]
    ports += [Port("word", "input", CHUNK)]

    def lines() -> Iterator[str]:
        yield f"  wire {bus(chunks * CHUNK)}found;"
        for at in range(chunks):
            pins = {"clk": "clk", "from": "from", "read": part("found", at * CHUNK, CHUNK, chunks * CHUNK)}
            chosen = f"store & chunk == {address_bits(chunks)}'d{at}" if chunks > 1 else "store"
            yield from instance(chunk.name, f"chunk_{at}", pins | {"store": chosen, "at": "at", "word": "word"})
        yield assigned("read", part("found", 0, width, chunks * CHUNK))

    return module(name, [f"{what}: {depth} words of {width} bits, loaded {CHUNK} bits at a time."], ports, lines())
