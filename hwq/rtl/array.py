"""The top of a datapath: streams, control, edges where operands are decoded, rows of elements, epilogues.

One module a concept, each written once: its size grows with the rows and with the columns, not with their product.
`hwq.datapath.schedule` gives every length of time.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property

from hwq.datapath import Plan
from hwq.datapath.elements import START, TAKE
from hwq.datapath.plans import FIRST
from hwq.datapath.schedule import output_depth, pe_depth
from hwq.datapath.steps import SEED, parameters
from hwq.rtl.control import control
from hwq.rtl.edges import Edges
from hwq.rtl.grid import grid_row, readout, sums_name
from hwq.rtl.modules import ALWAYS, Leaf, Port, assigned, instance, module, part, register, wire

__all__ = ["Top"]


class Top(Edges):
    """The modules of a datapath's top: o[m][n] = epilogue(sum over k of a[m][k] * w[n][k]), a tile at a time.

    *Streams*, each with valid, ready, payload and last; a payload holds codes side by side, the first lowest.

    `a_`: `lanes` codes for each row, row 0 lowest, and `w_`: `lanes` codes for each column; a beat of both is taken
    together, and the beat with `a_last` ends the sums. Weight-stationary: first `rows` beats of `w_`, the weights of
    row 0, of row 1, ...; then a beat of `a_` for each output, and the one with `a_last` ends the tile.
    `p_`, if there are parameters: for each column its bias, mul, shift, seed; one beat a tile, first of all
    (use=load: no later than its last operands; use=double: no later than its first sum is ready).
    `o_`: a result for each column; a beat a row, row 0 first (ws: a beat for each of `a_`), `o_last` on the last.
    A beat that K does not fill holds zeros. `w_last` and `p_last` complete the streams and are not looked at.
    One cycle of `rst` abandons a tile; one is needed before the first.
    """

    def __init__(self, plan: Plan, name: str) -> None:
        super().__init__(plan, name)
        dp = plan.dp
        self.parameters = {name: word.width for name, word in parameters(dp.mac).items()}
        self.control = self._control()
        self.rows = [grid_row(plan, self.blocks["pe"], f"{name}_row")]
        if FIRST in self.blocks:
            self.rows.insert(0, grid_row(plan, self.blocks[FIRST], f"{name}_row_first"))
        self.row = self.rows[-1]
        self.width = self.row.widths[sums_name(0, self.tile["a"])]  # of a row's sums
        self.opens = "en" if self.flow == "ws" else "open"
        self.loading = ("load", "en")  # a row of weights, and what it waits for
        self.loaded = START in self.row.widths
        self.alone = dp.array.rows == output_depth(dp) == 1  # a tile's last state is its one result
        self.copied = self.flow != "ws" and not self.alone and dp.array.cols > 1
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
            f"{self._about} Codes lie side by side, the first lowest.",
        ]
        parts = (self._handshakes(), self._edge("a"), self._edge("w"), self._grid(), self._results())
        lines = [line for part_ in parts for line in ("", *part_)]
        return module(self.name, about, self.ports, lines)

    # -- control --------------------------------------------------------------------------------------------------

    @property
    def _about(self) -> str:
        return f"A tile takes its states in turn, see {self.name}_control."

    def _control(self) -> Leaf:
        return control(self.plan.dp, self.name, bool(self.parameters))

    def _handshakes(self) -> Iterator[str]:
        ports = {port.name: port.width for port in self.control.ports if port.direction == "output"}
        yield from (wire(name, width) for name, width in ports.items())
        yield wire("offers", 1)  # a result, also while rst is held, which whatever waits for it sees by itself
        pins = {port.name: port.name for port in self.control.ports}
        yield from instance(self.control.name, "control", pins)
        if self.flow != "ws":
            yield wire("beat", 1, "run & a_valid & w_valid")
            yield wire("open", 1, "~offers | o_ready")
        yield from (assigned(f"{stream}_ready", f"{state} & ~rst") for stream, state in self._ready().items())

    def _ready(self) -> dict[str, str]:
        """When a beat of each stream is taken."""
        # weight-stationary: operands go on entering, or not, while results leave
        ready = {"a": "run & en", "w": "load"} if self.flow == "ws" else {"a": "run & w_valid", "w": "run & a_valid"}
        return ready | ({"p": "wants" if self.loaded else "clear"} if self.parameters else {})

    # -- elements -------------------------------------------------------------------------------------------------

    def _grid(self) -> Iterator[str]:
        """The rows: operands w pass down, or weights up and sums down."""
        row, width, rows, down = self.row, self.row.widths, self.size["a"], self.tile["a"]
        columns = ", ".join(f"w_{col}_fields" for col in reversed(range(self.size["w"])))
        edge = f"{{{columns}}}" if self.size["w"] > 1 else columns
        yield "  // elements, a row an instance"
        load, enable = self.loading
        if self.flow == "ws" and "clk" in self.blocks["decode_w"].widths:  # weights come a cycle later
            yield from register("load_late", 1, load, enable)
            load = "load_late"
        load = load if enable == ALWAYS else f"{load} & {enable}"
        yield from self._begins(rows)
        for at in range(rows):
            yield from (wire(f"sums_{at * down + one}", self.width) for one in range(down))
            yield from [wire(f"w_from_{at}", width["w_q"])] if "w_q" in width else []
        for at in range(rows):
            above = at + 1 if self.flow == "ws" else at - 1  # weights enter below the last row, and go up
            passed = f"w_from_{above}" if 0 <= above < rows and "w_q" in width else edge
            leaf = row if at else self.rows[0]
            pins = {"a": f"a_{at}_fields", "w": passed, "sums_in": f"sums_{at - 1}"}
            pins |= {"w_q": f"w_from_{at}", "load": load, TAKE: f"{TAKE}_{at}"}
            pins |= {sums_name(one, down): f"sums_{at * down + one}" for one in range(down)}
            begins = at if self.flow == "os" else 0
            pins |= {**self.clocks, "clear": f"clear_{begins}", START: f"{START}_{begins}"}
            yield from instance(leaf.name, f"row_{at}", {port.name: pins[port.name] for port in leaf.ports})

    def _begins(self, rows: int) -> Iterator[str]:
        """What each row is told of a tile's begin."""
        if self.loaded:
            yield wire("beat_first", 1, "beat & clear")
        yield from self._marks(START, "beat_first", rows) if self.loaded else self._clears(rows)

    def _clears(self, rows: int) -> Iterator[str]:
        """The clear of each row, a cycle ahead of its first products: a register that only the row has to wait for."""
        before = "clear"
        for at in range(rows if self.flow == "os" else self.flow == "tree"):
            yield f"  reg clear_{at};"
            yield f"  always @(posedge clk) clear_{at} <= {before};"
            before = f"clear_{at}"

    def _marks(self, mark: str, first: str, rows: int) -> Iterator[str]:
        """Whether the codes of a row are a tile's first: with them through its decoders, and to the row below."""
        for at in range(self.plan.blocks["decode_a"].depth):
            yield from register(f"decoded_first_{at}", 1, first, self.moves)
            first = f"decoded_first_{at}"
        yield wire(f"{mark}_0", 1, first)
        for at in range(1, rows if self.flow != "tree" else 1):
            yield from register(f"{mark}_{at}", 1, f"{mark}_{at - 1}", self.moves)

    # -- results --------------------------------------------------------------------------------------------------

    def _results(self) -> Iterator[str]:
        """Finished sums through one epilogue a column into the output register."""
        yield "  // results: one epilogue a column"
        rows = self.array.rows
        if self.flow == "ws":
            yield from self._valid()
        elif not self.alone:
            yield from self._copies(output_depth(self.plan.dp))
        if self.readout is None or rows == 1:
            yield wire("finished", self.width, f"sums_{rows - 1}")
        else:
            yield from self._chosen(self.readout)
        for col in range(self.array.cols):
            yield from self._column(col)
        yield from self._output()

    def _chosen(self, leaf: Leaf) -> Iterator[str]:
        """The sums of the row whose turn it is; each column counts the rows after it by itself."""
        rows, bits = self.array.rows, leaf.widths["below"]
        last = f"{bits}'d{rows - 1}"
        for col in range(self.array.cols):
            following = f"below_{col} - {bits}'d1"
            if rows < 1 << bits:
                following = f"below_{col} == {bits}'d0 ? {last} : {following}"
            yield from register(f"below_{col}", bits, following, f"drain & {self._opens(col)}", last)
        yield from self._readouts(leaf)

    def _readouts(self, leaf: Leaf) -> Iterator[str]:
        """An instance a column, which chooses among the rows by `below_<column>`: the finished sums side by side."""
        cols = self.array.cols
        below = [f"below_{col}" for col in reversed(range(cols))]
        pins = {f"row_{at}": f"sums_{at}" for at in range(self.array.rows)}
        pins |= {"below": f"{{{', '.join(below)}}}" if cols > 1 else below[0], "chosen": "finished"}
        yield wire("finished", self.width)
        yield from instance(leaf.name, "readout" + f" [{cols - 1}:0]" * (cols > 1), pins)

    def _opens(self, col: int) -> str:
        """The enable of what is on its way out of a column."""
        return f"open_{col}" if self.copied else self.opens

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
        pins = {"clk": "clk", "rst": "rst", "en": self._opens(col), **sums}
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
            come, waits = self._coming(name, col)
            value, enable = part("p_payload", at, width, bits * self.array.cols), f"{come} & {waits}"
            if name == SEED:
                value, goes = f"{come} ? {value} : {name}_next_{col}", self._goes_on(col)
                enable = f"({come} | {goes}) & en" if waits == "en" else f"{enable} | {goes} & en"
            yield from register(f"{name}_{col}", width, value, enable)
            at += width

    def _coming(self, name: str, col: int) -> tuple[str, str]:
        """When a parameter of a column is taken, and what that waits for."""
        return ("wants", "p_valid") if self.loaded else ("clear", "en")

    def _goes_on(self, col: int) -> str:
        """When a column's sum enters its epilogue."""
        return f"valid[{pe_depth(self.plan.dp) + self.array.rows - 2 + col}]" if self.flow == "ws" else "drain"

    def _output(self) -> Iterator[str]:
        """The output register."""
        bits, cols = self.plan.dp.mac.output.bits, self.array.cols
        if self.flow != "ws" and self.alone:
            yield assigned("offers", "tail")
        for col in range(cols):
            late = self.flow == "ws" and cols - 1 - col
            code = part(f"code_{col}_skew", bits * (late - 1), bits, bits * late) if late else f"code_{col}"
            yield from register(f"payload_{col}", bits, code, self._opens(col))
        payload = [f"payload_{col}" for col in reversed(range(cols))]
        yield assigned("o_payload", f"{{{', '.join(payload)}}}" if cols > 1 else payload[0])
        yield assigned("o_valid", self._offered())
        yield assigned("o_last", self._ends())

    def _offered(self) -> str:
        """When a result is offered."""
        return "offers & ~rst"

    def _ends(self) -> str:
        """Whether a result is its tile's last."""
        return "tail & done"

    def _valid(self) -> Iterator[str]:
        """A valid bit for each cycle that a result is on its way."""
        depth = self.plan.dp.latency
        yield from register("valid", depth, f"{{valid[{depth - 2}:0], run & a_valid}}", self.opens)
        yield assigned("offers", f"valid[{depth - 1}]")

    def _copies(self, depth: int) -> Iterator[str]:
        """Whether a result waits at the output: a bit of the control's, and one of each of several columns.

        One register would be too far from most of what it enables.
        """
        before = "drain"
        if depth > 1:
            value = "drain" if depth == 2 else f"{{valid[{depth - 3}:0], drain}}"
            yield from register("valid", depth - 1, value, "open")
            before = part("valid", depth - 2, 1, depth - 1)
        yield from register("offered", 1, before, "open")
        yield assigned("offers", "offered")
        for col in range(self.array.cols if self.array.cols > 1 else 0):
            declared, *clocked = register(f"offers_{col}", 1, before, f"open_{col}")
            yield from (declared, wire(f"open_{col}", 1, f"~offers_{col} | o_ready"), *clocked)
