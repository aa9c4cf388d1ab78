"""What enters a kernel: configuration into its memories, images into their bank."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from hwq.kernel import IMAGE, MEMORIES, Kernel
from hwq.kernel.kernel import CHUNK
from hwq.kernel.pack import MEMORY_AT
from hwq.rtl.kernel.memories import address_bits
from hwq.rtl.modules import Leaf, Port, assigned, module, part, wire
from hwq.rtl.wires import bus

__all__ = ["configure", "images"]


def configure(kernel: Kernel, name: str, chunks: Mapping[str, int]) -> Leaf:
    """Module `<top>_configure`. `chunks` are those of a word of each memory."""
    number = CHUNK - MEMORY_AT
    address = max(address_bits(n) for n in (kernel.weights, kernel.scales, kernel.layers))
    count = max(address_bits(n) for n in chunks.values())
    ports = [Port(port, "input", 1) for port in ("clk", "rst", "c_valid", "c_last")]
    ports += [Port("c_payload", "input", CHUNK), Port("c_ready", "output", 1)]
    ports += [Port(f"store_{memory}", "output", 1) for memory in chunks]
    ports += [Port("at", "output", address), Port("chunk", "output", count), Port("runs", "output", 1)]

    def lines() -> Iterator[str]:
        yield "  reg header; // the next beat is a packet's first"
        yield f"  reg {bus(number)}memory;"
        yield f"  reg {bus(address)}word;"
        yield f"  reg {bus(count)}part;"
        yield "  reg running;"
        last = " : ".join(
            f"memory == {number}'d{MEMORIES.index(memory)} ? {count}'d{n - 1}" for memory, n in chunks.items()
        )
        yield wire("ends", 1, f"part == ({last} : {count}'d0)")
        yield "  always @(posedge clk)"
        yield "    if (rst) begin"
        yield "      header <= 1'b1;"
        yield "      running <= 1'b0;"
        yield "    end else if (c_valid) begin"
        yield "      header <= c_last;"
        yield "      if (header) begin"
        yield f"        memory <= {part('c_payload', MEMORY_AT, number, CHUNK)};"
        yield f"        word <= {part('c_payload', 0, address, CHUNK)};"
        yield f"        part <= {count}'d0;"
        yield "      end else begin"
        yield f"        part <= ends ? {count}'d0 : part + {count}'d1;"
        yield f"        if (ends) word <= word + {address}'d1;"
        yield f"        if (memory == {number}'d{MEMORIES.index('run')}) running <= c_payload[0];"
        yield "      end"
        yield "    end"
        yield assigned("c_ready", "~rst")
        for memory in chunks:
            yield assigned(f"store_{memory}", f"c_valid & ~header & memory == {number}'d{MEMORIES.index(memory)}")
        yield assigned("at", "word")
        yield assigned("chunk", "part")
        yield assigned("runs", "running")

    about = [
        "Configuration: packets of a header, {memory, first address}, and the words of that memory, low bits first."
    ]
    about += [f"  memory {number}: {memory}" for number, memory in enumerate(MEMORIES)]
    return module(f"{name}_configure", about, ports, lines())


def images(kernel: Kernel, name: str, idle: int) -> Leaf:
    """Module `<top>_images`: a beat a pixel in, a word of the buffer out, wherever a window of a row is whole."""
    entry, bits = kernel.entry, kernel.datapath.mac.a.bits
    pixel, word = entry.channels * bits, kernel.word
    address = address_bits(kernel.depths[IMAGE])
    after = entry.padding if entry.taps > 1 else 0
    places = entry.width + after
    at, rows = address_bits(places), address_bits(entry.height)
    ahead = entry.taps - 1 - entry.padding  # pixels that come before a row's first window is whole
    ports = [Port(port, "input", 1) for port in ("clk", "rst", "i_valid", "i_last", "frees")]
    ports += [Port("i_payload", "input", pixel), Port("i_ready", "output", 1), Port("store", "output", 1)]
    ports += [Port("at", "output", address), Port("word", "output", word), Port("ready", "output", 1)]
    ports += [Port("half", "output", 1)]

    def lines() -> Iterator[str]:
        yield f"  reg {bus(at)}col;"
        yield f"  reg {bus(rows)}row;"
        yield f"  reg {bus(address - 1)}next;"
        yield "  reg enters; // the half that an image enters"
        yield "  reg reads; // and the one that is read"
        yield "  reg [1:0] full;"
        inside = f"col < {at}'d{entry.width}" if after and entry.width < 1 << at else "1'b1"
        yield wire("pixel", 1, inside)
        yield wire("moves", 1, "~full[enters] & (i_valid | ~pixel) & ~rst")
        yield wire("ends", 1, f"moves & col == {at}'d{places - 1}")
        yield wire("over", 1, f"ends & row == {rows}'d{entry.height - 1}")
        zeros = f"{pixel}'h{sum(idle << n * bits for n in range(entry.channels)):x}"
        yield wire("came", pixel, f"pixel ? i_payload : {zeros}")
        yield from _window(entry.taps, pixel, zeros, at)
        yield wire("whole", 1, _whole(at, ahead, entry.stride))
        yield "  always @(posedge clk)"
        yield "    if (rst) begin"
        yield f"      col <= {at}'d0;"
        yield f"      row <= {rows}'d0;"
        yield f"      next <= {address - 1}'d0;"
        yield "      {enters, reads, full} <= 4'd0;"
        yield "    end else begin"
        yield f"      if (moves) col <= ends ? {at}'d0 : col + {at}'d1;"
        yield f"      if (ends) row <= over ? {rows}'d0 : row + {rows}'d1;"
        yield f"      if (over) next <= {address - 1}'d0; else if (moves & whole) next <= next + {address - 1}'d1;"
        yield "      enters <= enters ^ over;"
        yield "      reads <= reads ^ frees;"
        yield "      full <= (full | {over & enters, over & ~enters}) & ~{frees & reads, frees & ~reads};"
        yield "    end"
        yield assigned("i_ready", "~full[enters] & pixel & ~rst")
        yield assigned("store", "moves & whole")
        yield assigned("at", "{enters, next}")
        rest = word - entry.taps * pixel
        fill = f"{rest}'h{sum(idle << n * bits for n in range(rest // bits)):x}"
        yield assigned("word", f"{{{fill}, window}}" if rest else "window")
        yield assigned("ready", "full[reads]")
        yield assigned("half", "reads")

    shape = f"{entry.channels} codes a beat, {entry.height} rows of {entry.width}"
    about = [f"Images: {shape}; a word holds {entry.taps} of them from one row. One enters while another is read."]
    return module(f"{name}_images", about, ports, lines())


def _window(taps: int, pixel: int, zeros: str, at: int) -> Iterator[str]:
    """The last pixels of the row, the oldest one lowest; before its first one there are zeros."""
    if taps == 1:
        yield wire("window", pixel, "came")
        return
    held = (taps - 1) * pixel
    yield f"  reg {bus(held)}held;"
    yield wire("earlier", held, f"col == {at}'d0 ? {{{taps - 1}{{{zeros}}}}} : held")
    yield wire("window", taps * pixel, "{came, earlier}")
    yield f"  always @(posedge clk) if (moves) held <= {part('window', pixel, held, taps * pixel)};"


def _whole(at: int, ahead: int, stride: int) -> str:
    """Whether a window ends with this pixel: every `stride`-th one from the `ahead`-th on."""
    from_ = f"col >= {at}'d{ahead}" if ahead > 0 else "1'b1"
    if stride == 1:
        return from_
    low = stride.bit_length() - 1
    return f"{from_} & col[{low - 1}:0] == {low}'d{ahead % stride}"
