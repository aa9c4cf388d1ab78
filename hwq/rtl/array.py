"""The top of a datapath: control, skewed operand edges, a grid of processing elements, read-out.

A tile goes through five states. clear: the sums are cleared, the parameters taken; run: K operand beats enter; flush:
the last products reach their sums; drain: one row of sums a cycle goes through the epilogues; tail: the output pipeline
empties. `hwq.datapath.schedule` gives every length. One enable freezes all of it while a needed stream is not ready.
"""

from __future__ import annotations

from amaranth.hdl import Cat, ClockSignal, Const, Elaboratable, Instance, Module, Mux, ResetSignal, Signal, Value

from hwq.datapath import Plan
from hwq.datapath.operand import operands
from hwq.datapath.schedule import flush, output_depth
from hwq.datapath.steps import SEED, parameters
from hwq.rtl.blocks import Leaf, Port, decoder, element, epilogue

__all__ = ["SystolicArray"]

_STATES = ("clear", "run", "flush", "drain", "tail")


class SystolicArray(Elaboratable):  # type: ignore[misc]  # shipped without types
    """An output-stationary array: o[m][n] = epilogue(sum over k of a[k][m] * w[k][n]) for one tile of rows x cols.

    *Members*: streams with valid, ready, payload and last. `a_`: a code for each row, row 0 lowest; `w_`: a code for
    each column; both advance together, and the beat with `a_last` ends the sum. `p_`, if there are parameters: for each
    column, lowest first, its bias, mul and shift, one beat a tile, before the operands. `o_`: a result for each column;
    one beat a row, row 0 first, `o_last` on the last. `w_last` and `p_last` complete the streams and are not looked at.
    *Timing*: `schedule.tile_cycles` from clear to the last result; one result beat a cycle within a tile. One cycle of
    `rst` abandons a tile; one is needed before the first.
    """

    def __init__(self, plan: Plan, name: str) -> None:
        self.plan = plan
        self.name = name
        dp = plan.dp
        self.rows, self.cols = dp.array.rows, dp.array.cols
        self.operands = dict(zip("aw", operands(dp.mac), strict=True))
        self.code_bits = {"a": dp.mac.a.bits, "w": dp.mac.w.bits}
        self.parameters = {name: word.width for name, word in parameters(dp.mac).items()}
        self.pe = element(plan, name)
        self.decoders = {side: decoder(plan, name, side) for side in "aw"}
        self.epilogue = epilogue(plan, name)
        self.streams = {
            "a": self.rows * self.code_bits["a"],
            "w": self.cols * self.code_bits["w"],
            **({"p": self.cols * sum(self.parameters.values())} if self.parameters else {}),
            "o": self.cols * dp.mac.output.bits,
        }
        self.ports: dict[str, Signal] = {
            port: Signal(width, name=port)
            for stream, bits in self.streams.items()
            for port, width in _stream(stream, bits).items()
        }
        self.enable = Signal(name="en")
        self.state = {name: Signal(name=name, init=name == _STATES[0]) for name in _STATES}
        largest = max(flush(dp), self.rows, output_depth(dp)) - 1
        self.counts = largest > 0  # else every state lasts one cycle
        self.count = Signal(max(1, largest.bit_length()), name="count")

    @property
    def leaves(self) -> tuple[Leaf, ...]:
        """The modules that the top instantiates."""
        return (self.pe, self.decoders["a"], self.decoders["w"], self.epilogue)

    @property
    def port_list(self) -> tuple[Port, ...]:
        """Ports in order, clock and reset first."""
        clocks = (Port("clk", "input", 1), Port("rst", "input", 1))
        return clocks + tuple(Port(name, _direction(name), len(signal)) for name, signal in self.ports.items())

    def elaborate(self, _platform: object) -> Module:
        m = Module()
        self._control(m)
        edges = {"a": self._edge(m, "a", self.rows), "w": self._edge(m, "w", self.cols)}
        sums = self._grid(m, edges["a"], edges["w"])
        self._read_out(m, sums)
        return m

    # -- control --------------------------------------------------------------------------------------------------

    def _control(self, m: Module) -> None:
        """One state is 1; `count` is how many cycles FLUSH, DRAIN and TAIL still last after this one."""
        dp, port, state = self.plan.dp, self.ports, self.state
        done, last = Signal(name="done"), state["run"] & port["a_last"]
        bits = len(self.count)
        after_flush, after_drain = Const(self.rows - 1, bits), Const(output_depth(dp) - 1, bits)
        going = Mux(done, Mux(state["flush"], after_flush, after_drain), (self.count - Const(1, bits))[:bits])
        waits = state["run"] & ~(port["a_valid"] & port["w_valid"]) | port["o_valid"] & ~port["o_ready"]
        if self.parameters:
            waits |= state["clear"] & ~port["p_valid"]
        m.d.comb += [
            done.eq(~self.count.any()),
            self.enable.eq(~waits),
            port["a_ready"].eq(state["run"] & port["w_valid"]),
            port["w_ready"].eq(state["run"] & port["a_valid"]),
        ]
        if self.parameters:
            m.d.comb += port["p_ready"].eq(state["clear"])
        with m.If(self.enable):
            m.d.sync += [
                state["clear"].eq(state["tail"] & done),
                state["run"].eq(state["clear"] | state["run"] & ~port["a_last"]),
                state["flush"].eq(last | state["flush"] & ~done),
                state["drain"].eq(state["flush"] & done | state["drain"] & ~done),
                state["tail"].eq(state["drain"] & done | state["tail"] & ~done),
            ]
            if self.counts:
                m.d.sync += self.count.eq(Mux(state["run"], Const(flush(dp) - 1, bits), going))

    # -- operands -------------------------------------------------------------------------------------------------

    def _edge(self, m: Module, side: str, lanes: int) -> list[Value]:
        """Decoded operands of each lane, lane j delayed by j; idle while none enter.

        A zero product leaves every sum as it is, so that no valid bit travels with the operands.
        """
        operand, fields = self.operands[side], []
        bits = operand.bits
        for lane in range(lanes):
            code: Value = self.ports[f"{side}_payload"].word_select(lane, self.code_bits[side])
            gated = Signal(bits, name=f"{side}_{lane}")
            m.d.comb += gated.eq(Mux(self.state["run"], code, Const(operand.idle, bits)))
            code = gated
            for step in range(lane):
                later = Signal(bits, name=f"{side}_{lane}_skew{step}", init=operand.idle)
                with m.If(self.enable):
                    m.d.sync += later.eq(code)
                code = later
            (out,) = self._instance(m, self.decoders[side], f"decode_{side}_{lane}", {"code": code}, ["fields"])
            fields.append(out)
        return fields

    def _grid(self, m: Module, a: list[Value], w: list[Value]) -> list[list[dict[str, Value]]]:
        """The processing elements: a passes on to the right, w down. Returns sums and flags by column and row."""
        outputs = [port.name for port in self.pe.ports if port.direction == "output"]
        sums: list[list[dict[str, Value]]] = [[] for _ in range(self.cols)]
        for row in range(self.rows):
            left = a[row]
            for col in range(self.cols):
                given = {"a": left, "w": w[col], "clear": self.state["clear"]}
                found = dict(zip(outputs, self._instance(m, self.pe, f"pe_{row}_{col}", given, outputs), strict=True))
                left, w[col] = found.pop("a_q"), found.pop("w_q")
                sums[col].append(found)
        return sums

    # -- results --------------------------------------------------------------------------------------------------

    def _read_out(self, m: Module, sums: list[list[dict[str, Value]]]) -> None:
        """Row after row through one epilogue a column into the output register."""
        below = self.count[: max(1, (self.rows - 1).bit_length())]  # rows that come after this one
        valid = Signal(output_depth(self.plan.dp), name="valid")
        tail = self.state["tail"]
        results = []
        for col, column in enumerate(sums):
            given = {name: _choose([at[name] for at in reversed(column)], below) for name in column[0]}
            held = self._parameters(m, col)
            outputs = [port.name for port in self.epilogue.ports if port.direction == "output"]
            code, *following = self._instance(m, self.epilogue, f"epilogue_{col}", given | held, outputs)
            results.append(code)
            for seed in following:  # the register that makes the noise: a word on with each row
                with m.If(self.state["drain"] & self.enable):
                    m.d.sync += held[SEED].eq(seed)
        with m.If(self.enable):
            m.d.sync += [
                self.ports["o_payload"].eq(Cat(*results)),
                valid.eq(Cat(self.state["drain"], valid)[: len(valid)]),
            ]
        m.d.comb += [
            # of one row, without registers in the output path, the last state is the one result
            self.ports["o_valid"].eq(tail if self.rows == len(valid) == 1 else valid[-1]),
            self.ports["o_last"].eq(tail & ~self.count.any()),
        ]

    def _parameters(self, m: Module, col: int) -> dict[str, Value]:
        """A column's parameters, held for the tile."""
        held: dict[str, Value] = {}
        bits = sum(self.parameters.values())
        at = col * bits
        for name, width in self.parameters.items():
            held[name] = Signal(width, name=f"{name}_{col}")
            with m.If(self.state["clear"] & self.enable):
                m.d.sync += held[name].eq(self.ports["p_payload"][at : at + width])
            at += width
        return held

    def _instance(self, m: Module, leaf: Leaf, name: str, given: dict[str, Value], outputs: list[str]) -> list[Value]:
        """One leaf module; its clock, reset and enable are the array's."""
        signals = {port: Signal(leaf.widths[port], name=f"{name}_{port}") for port in outputs}
        shared = {"clk": ClockSignal(), "rst": ResetSignal(), "en": self.enable} | given
        pins = [("i", port.name, shared[port.name]) for port in leaf.ports if port.direction == "input"]
        pins += [("o", port, signal) for port, signal in signals.items()]
        m.submodules[name] = Instance(leaf.name, *pins)
        return [signals[port] for port in outputs]


def _choose(values: list[Value], index: Value) -> Value:
    """`values[index]`: a tree of 2:1 multiplexers."""
    for bit in index:
        pairs = [values[at : at + 2] for at in range(0, len(values), 2)]
        values = [Mux(bit, *reversed(pair)) if len(pair) == 2 else pair[0] for pair in pairs]
    return values[0]


def _stream(name: str, bits: int) -> dict[str, int]:
    return {f"{name}_valid": 1, f"{name}_ready": 1, f"{name}_payload": bits, f"{name}_last": 1}


def _direction(port: str) -> str:
    stream, _, member = port.partition("_")
    return "output" if (stream == "o") != (member == "ready") else "input"
