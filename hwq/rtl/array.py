"""The top of a datapath: streams, control, edges where operands are decoded, rows of elements, epilogues.

One module a concept, each written once: its size grows with the rows and with the columns, not with their product.
`hwq.datapath.schedule` gives every length of time.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property

from hwq.datapath import Plan
from hwq.datapath.plans import FIRST
from hwq.datapath.schedule import output_depth, pe_depth
from hwq.datapath.steps import SEED, parameters
from hwq.rtl.blocks import leaves
from hwq.rtl.control import control
from hwq.rtl.grid import grid_row, readout, sums_name
from hwq.rtl.modules import Leaf, Port, assigned, instance, module, part, register, wire
from hwq.rtl.wires import bus

__all__ = ["Top"]


class Top:
    """The modules of a datapath's top: o[m][n] = epilogue(sum over k of a[m][k] * w[n][k]), a tile at a time.

    *Streams*, each with valid, ready, payload and last; a payload holds codes side by side, the first lowest.

    `a_`: `lanes` codes for each row, row 0 lowest, and `w_`: `lanes` codes for each column; a beat of both is taken
    together, and the beat with `a_last` ends the sums. Weight-stationary: first `rows` beats of `w_`, the weights of
    row 0, of row 1, ...; then a beat of `a_` for each output, and the one with `a_last` ends the tile.
    `p_`, if there are parameters: for each column its bias, mul, shift, seed; one beat a tile, first of all.
    `o_`: a result for each column; a beat a row, row 0 first (ws: a beat for each of `a_`), `o_last` on the last.
    A beat that K does not fill holds zeros. `w_last` and `p_last` complete the streams and are not looked at.
    One cycle of `rst` abandons a tile; one is needed before the first.
    """

    def __init__(self, plan: Plan, name: str) -> None:
        self.plan, self.name = plan, name
        dp = plan.dp
        self.array, self.flow = dp.array, dp.array.dataflow
        self.tile = dict(zip("aw", plan.tile, strict=True))  # rows and columns that share an element
        self.size = {"a": dp.array.rows // self.tile["a"], "w": dp.array.cols // self.tile["w"]}
        self.operands = dict(zip("aw", plan.operands, strict=True))
        self.parameters = {name: word.width for name, word in parameters(dp.mac).items()}
        self.blocks = leaves(plan, name)
        self.control = control(dp, name, bool(self.parameters))
        self.rows = [grid_row(plan, self.blocks["pe"], f"{name}_row")]
        if FIRST in self.blocks:
            self.rows.insert(0, grid_row(plan, self.blocks[FIRST], f"{name}_row_first"))
        self.row = self.rows[-1]
        self.width = self.row.widths[sums_name(0, self.tile["a"])]  # of a row's sums
        # a pause's zeros leave the sums that stay as they are: only sums that move wait, and what is on its way out
        self.moves = "en" if self.flow == "ws" else "1'b1"
        self.enters = "run & a_valid" if self.flow == "ws" else "beat"
        self.leaves = "en" if self.flow == "ws" else "open"
        self.alone = dp.array.rows == output_depth(dp) == 1  # a tile's last state is its one result
        self.copied = self.flow != "ws" and not self.alone
        self.clocks = {"clk": "clk", "rst": "rst", "en": self.moves}
        self.readout = readout(dp.array.rows, self.width // dp.array.cols, name) if self.flow != "ws" else None

    @cached_property
    def modules(self) -> tuple[Leaf, ...]:
        """Every module, the top first."""
        chosen = [self.readout] if self.readout is not None and self.array.rows > 1 else []
        grid = self.rows[: self.size["a"]]
        elements = [leaf for kind, leaf in self.blocks.items() if kind != "pe" or self.row in grid]
        return (self.top, self.control, *grid, *elements, *chosen)

    @cached_property
    def ports(self) -> tuple[Port, ...]:
        """The top's ports in order, clock and reset first."""
        array, mac = self.array, self.plan.dp.mac
        bits = {
            "a": array.rows * array.lanes * mac.a.bits,
            "w": array.cols * array.lanes * mac.w.bits,
            "p": array.cols * sum(self.parameters.values()),
            "o": array.cols * mac.output.bits,
        }
        found = [Port("clk", "input", 1), Port("rst", "input", 1)]
        for stream in [name for name, width in bits.items() if width]:
            into, back = ("output", "input") if stream == "o" else ("input", "output")
            found += [Port(f"{stream}_valid", into, 1), Port(f"{stream}_ready", back, 1)]
            found += [Port(f"{stream}_payload", into, bits[stream]), Port(f"{stream}_last", into, 1)]
        return tuple(found)

    @cached_property
    def top(self) -> Leaf:
        array = self.array
        about = [
            f"{array.rows} x {array.cols} sums, {array.lanes} product(s) a cycle each, dataflow {self.flow}.",
            f"A tile takes its states in turn, see {self.name}_control. Codes lie side by side, the first lowest.",
        ]
        parts = (self._handshakes(), self._edge("a"), self._edge("w"), self._grid(), self._results())
        lines = [line for part_ in parts for line in ("", *part_)]
        return module(self.name, about, self.ports, lines)

    # -- control --------------------------------------------------------------------------------------------------

    def _handshakes(self) -> Iterator[str]:
        ports = {port.name: port.width for port in self.control.ports if port.direction == "output"}
        yield from (wire(name, width) for name, width in ports.items())
        yield wire("offers", 1)  # a result, also while rst is held, which whatever waits for it sees by itself
        pins = {port.name: port.name for port in self.control.ports} | {"o_valid": "offers"}
        yield from instance(self.control.name, "control", pins)
        ready = {"a": "run", "w": "load"} if self.flow == "ws" else {"a": "run & w_valid", "w": "run & a_valid"}
        ready |= {"p": "clear"} if self.parameters else {}
        if self.flow == "ws":
            ready["a"] = "run & en"  # operands go on entering, or not, while results leave
        else:
            yield wire("beat", 1, "run & a_valid & w_valid")
            yield from [] if self.copied else [wire("open", 1, "~offers | o_ready")]
        yield from (assigned(f"{stream}_ready", f"{state} & ~rst") for stream, state in ready.items())

    # -- operands -------------------------------------------------------------------------------------------------

    def _edge(self, side: str) -> Iterator[str]:
        """Decoded operands of each lane of the edge, lane j delayed by j; codes of zero while none enter.

        A zero product leaves every sum as it is, so that no valid bit travels with the operands.
        """
        still = self.flow == "ws" and side == "w"
        yield f"  // {'weights' if still else 'operands'} at the edge: decoded" + (
            "" if still or self.flow == "tree" else ", a cycle later in each further lane"
        )
        bits = self.operands[side].fmt.bits * self.array.lanes * self.tile[side]
        for lane in range(self.size[side]):
            name = f"{side}_{lane}"
            code = part(f"{side}_payload", lane * bits, bits, self.size[side] * bits)
            if not lane or still or self.flow == "tree":
                yield wire(name, self._bits(side), code if still else self._entering(side, lane, code, self.enters))
            else:
                yield from self._waiting(side, lane, code)
                name += "_late"
            yield from self._decoded(side, lane, name)

    def _bits(self, side: str, cycles: int = 1) -> int:
        """Bits of the codes of a lane of the edge, as they travel, in so many cycles."""
        return cycles * self.operands[side].bits * self.array.lanes * self.tile[side]

    def _entering(self, side: str, lane: int, code: str, enters: str) -> str:
        """The codes, or what stands there while none enter."""
        code = f"{{1'b0, {code}}}" if self.operands[side].rests else code
        return f"{enters} ? {code} : {self._idle(side)}"

    def _idle(self, side: str, cycles: int = 1) -> str:
        bits = self.operands[side].bits
        idle = sum(self.operands[side].idle << at for at in range(0, self._bits(side, cycles), bits))
        return f"{self._bits(side, cycles)}'h{idle:x}"

    def _waiting(self, side: str, lane: int, code: str) -> Iterator[str]:
        """The codes, `lane` cycles later.

        Operands that pass by sums wait as they came. Whether they are any goes from lane to lane a cycle later, so that
        no lane waits for what is far away, and decides what the last register takes.
        """
        name, bits = f"{side}_{lane}", self._bits(side)
        if self.flow == "ws":
            yield wire(name, bits, self._entering(side, lane, code, self.enters))
            yield from self._skewed(name, bits, lane, self._idle(side, lane))
            return
        beats, width = self._beats(side, lane), self.operands[side].fmt.bits * self.array.lanes * self.tile[side]
        if lane > 1:
            yield from register(beats, 1, self._beats(side, lane - 1), "1'b1", keep=True)
            yield from self._came(name, code, width, lane - 1)
            code = part(f"{name}_came", (lane - 2) * width, width, (lane - 1) * width)
        yield from register(f"{name}_late", bits, self._entering(side, lane, code, beats), self.moves, self._idle(side))

    def _beats(self, side: str, lane: int) -> str:
        """Whether codes enter that lane's last register."""
        return f"{side}_beat_{lane}" if lane > 1 else "beat"

    def _came(self, name: str, code: str, width: int, cycles: int) -> Iterator[str]:
        before = f"{{{name}_came[{width * (cycles - 1) - 1}:0], {code}}}" if cycles > 1 else code
        yield f"  reg {bus(width * cycles)}{name}_came;"
        yield f"  always @(posedge clk) {name}_came <= {before};"

    def _skewed(self, name: str, bits: int, cycles: int, reset: str) -> Iterator[str]:
        """A value, so many cycles later: `<name>_late`."""
        before = name if cycles == 1 else f"{{{name}_skew[{bits * (cycles - 1) - 1}:0], {name}}}"
        yield from register(f"{name}_skew", bits * cycles, before, self.moves, reset)
        yield wire(f"{name}_late", bits, part(f"{name}_skew", bits * (cycles - 1), bits, bits * cycles))

    def _decoded(self, side: str, lane: int, name: str) -> Iterator[str]:
        decoder, bits = self.blocks[f"decode_{side}"], self.operands[side].bits * self.tile[side]
        width = decoder.widths["fields"]
        clocks = {port.name: self.clocks[port.name] for port in decoder.ports if port.name in self.clocks}
        yield wire(f"{side}_{lane}_fields", width * self.array.lanes)
        for at in range(self.array.lanes):
            code = part(name, at * bits, bits, bits * self.array.lanes)
            fields = part(f"{side}_{lane}_fields", at * width, width, width * self.array.lanes)
            suffix = f"_{at}" * (self.array.lanes > 1)
            pins = clocks | {"code": code, "fields": fields}
            yield from instance(decoder.name, f"decode_{side}_{lane}{suffix}", pins)

    # -- elements -------------------------------------------------------------------------------------------------

    def _grid(self) -> Iterator[str]:
        """The rows: operands w pass down, or weights up and sums down."""
        row, width, rows, down = self.row, self.row.widths, self.size["a"], self.tile["a"]
        columns = ", ".join(f"w_{col}_fields" for col in reversed(range(self.size["w"])))
        edge = f"{{{columns}}}" if self.size["w"] > 1 else columns
        yield "  // elements, a row an instance"
        load = "load"
        if self.flow == "ws" and "clk" in self.blocks["decode_w"].widths:  # weights come a cycle later
            load = "load_late"
            yield from register(load, 1, "load")
        yield from self._clears(rows)
        for at in range(rows):
            yield from (wire(f"sums_{at * down + one}", self.width) for one in range(down))
            yield from [wire(f"w_from_{at}", width["w_q"])] if "w_q" in width else []
        for at in range(rows):
            above = at + 1 if self.flow == "ws" else at - 1  # weights enter below the last row, and go up
            passed = f"w_from_{above}" if 0 <= above < rows and "w_q" in width else edge
            leaf = row if at else self.rows[0]
            pins = {"a": f"a_{at}_fields", "w": passed, "sums_in": f"sums_{at - 1}"}
            pins |= {"w_q": f"w_from_{at}", "load": f"{load} & en"}
            pins |= {sums_name(one, down): f"sums_{at * down + one}" for one in range(down)}
            pins |= {**self.clocks, "clear": f"clear_{at if self.flow == 'os' else 0}"}
            yield from instance(leaf.name, f"row_{at}", {port.name: pins[port.name] for port in leaf.ports})

    def _clears(self, rows: int) -> Iterator[str]:
        """The clear of each row, a cycle ahead of its first products: a register that only the row has to wait for."""
        before = "clear"
        for at in range(rows if self.flow == "os" else self.flow == "tree"):
            yield f"  reg clear_{at};"
            yield f"  always @(posedge clk) clear_{at} <= {before};"
            before = f"clear_{at}"

    # -- results --------------------------------------------------------------------------------------------------

    def _results(self) -> Iterator[str]:
        """Finished sums through one epilogue a column into the output register."""
        yield "  // results: one epilogue a column"
        rows = self.array.rows
        yield from self._copies(output_depth(self.plan.dp)) if self.copied else []
        if self.readout is None or rows == 1:
            yield wire("finished", self.width, f"sums_{rows - 1}")
        else:
            yield from self._chosen(self.readout)
        for col in range(self.array.cols):
            yield from self._column(col)
        yield from self._output()

    def _chosen(self, leaf: Leaf) -> Iterator[str]:
        """The sums of the row whose turn it is; each column counts the rows after it by itself."""
        rows, cols, bits, width = self.array.rows, self.array.cols, leaf.widths["below"], self.width // self.array.cols
        for col in range(cols):
            yield f"  reg {bus(bits)}below_{col};"
            yield f"  always @(posedge clk) if (~drain) below_{col} <= {bits}'d{rows - 1};"
            yield f"    else if ({self._leaves(col)}) below_{col} <= below_{col} - {bits}'d1;"
            pins = {f"row_{at}": part(f"sums_{at}", col * width, width, self.width) for at in range(rows)}
            yield wire(f"finished_{col}", width)
            pins |= {"below": f"below_{col}", "chosen": f"finished_{col}"}
            yield from instance(leaf.name, f"readout_{col}", pins)
        found = [f"finished_{col}" for col in reversed(range(cols))]
        yield wire("finished", self.width, f"{{{', '.join(found)}}}" if cols > 1 else found[0])

    def _leaves(self, col: int) -> str:
        """The enable of what is on its way out of a column."""
        return f"open_{col}" if self.copied else self.leaves

    def _column(self, col: int) -> Iterator[str]:
        """One column's parameters and its epilogue."""
        cols = self.array.cols
        sums, at = dict[str, str](), col * self.width // cols
        for name, word in self.plan.state.words.items():
            sums[name] = part("finished", at, word.width, self.width)
            at += word.width
        yield from self._epilogue(col, sums)
        late = cols - 1 - col
        if self.flow == "ws" and late:
            bits = self.blocks["epilogue"].widths["code"]
            before = f"code_{col}" if late == 1 else f"{{code_{col}_skew[{bits * (late - 1) - 1}:0], code_{col}}}"
            yield from register(f"code_{col}_skew", bits * late, before)

    def _epilogue(self, col: int, sums: Mapping[str, str]) -> Iterator[str]:
        """The epilogue of a column's sum and flags, and its parameters."""
        leaf = self.blocks["epilogue"]
        pins = {"clk": "clk", "rst": "rst", "en": self._leaves(col), **sums}
        outputs = {port.name: port.width for port in leaf.ports if port.direction == "output"}
        yield from (wire(f"{name}_{col}", width) for name, width in outputs.items())
        yield from self._parameters(col)
        pins |= {name: f"{name}_{col}" for name in (*self.parameters, *outputs)}
        yield from instance(leaf.name, f"epilogue_{col}", {port.name: pins[port.name] for port in leaf.ports})

    def _parameters(self, col: int) -> Iterator[str]:
        """A column's parameters, held for the tile; a seed goes on with each result."""
        bits = sum(self.parameters.values())
        at = col * bits
        for name, width in self.parameters.items():
            loaded = part("p_payload", at, width, bits * self.array.cols)
            if name == SEED:
                value, enable = f"clear ? {loaded} : {name}_next_{col}", f"(clear | {self._goes_on(col)}) & en"
            else:
                value, enable = loaded, "clear & en"
            yield from register(f"{name}_{col}", width, value, enable)
            at += width

    def _goes_on(self, col: int) -> str:
        """When a column's sum enters its epilogue."""
        return f"valid[{pe_depth(self.plan.dp) + self.array.rows - 2 + col}]" if self.flow == "ws" else "drain"

    def _output(self) -> Iterator[str]:
        """The output register."""
        bits, cols = self.plan.dp.mac.output.bits, self.array.cols
        if self.flow == "ws":
            yield from self._valid()
        elif self.alone:
            yield assigned("offers", "tail")
        for col in range(cols):
            late = self.flow == "ws" and cols - 1 - col
            code = part(f"code_{col}_skew", bits * (late - 1), bits, bits * late) if late else f"code_{col}"
            yield from register(f"payload_{col}", bits, code, self._leaves(col))
        payload = [f"payload_{col}" for col in reversed(range(cols))]
        yield assigned("o_payload", f"{{{', '.join(payload)}}}" if cols > 1 else payload[0])
        yield assigned("o_valid", "offers & ~rst")
        yield assigned("o_last", "tail & done")

    def _valid(self) -> Iterator[str]:
        """A valid bit for each cycle that a result is on its way."""
        depth = self.plan.dp.latency
        yield from register("valid", depth, f"{{valid[{depth - 2}:0], run & a_valid}}", self.leaves)
        yield assigned("offers", f"valid[{depth - 1}]")

    def _copies(self, depth: int) -> Iterator[str]:
        """Whether a result waits at the output, once a column: one register would be too far from most it enables."""
        cols, before = self.array.cols, "drain"
        if depth > 1:
            value = "drain" if depth == 2 else f"{{valid[{depth - 3}:0], drain}}"
            yield from register("valid", depth - 1, value, self._leaves(0))
            before = part("valid", depth - 2, 1, depth - 1)
        for col in range(cols):
            yield wire(f"open_{col}", 1)
            yield from register(f"offers_{col}", 1, before, f"open_{col}")
            yield assigned(f"open_{col}", f"~offers_{col} | o_ready")
        yield assigned("offers", "offers_0")
