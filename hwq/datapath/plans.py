"""The hardware of a datapath as blocks of cells: what `rtl` emits and what `costmodel` prices, and nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache

from hwq.bits import Word
from hwq.bits.cells import Block, Net
from hwq.bits.rows import Lowering
from hwq.datapath import steps
from hwq.datapath.accumulators import Align
from hwq.datapath.device import DEVICES, Rows, check_device
from hwq.datapath.hard import Hard, Multiplier, check_block
from hwq.datapath.operand import Operand, operands, zero_code
from hwq.datapath.schedule import pe_depth
from hwq.datapath.spec import Mac
from hwq.datapath.stages import output_stages, pe_stages
from hwq.datapath.structure import Datapath
from hwq.datapath.variants import magnitude_table, product_form
from hwq.errors import HwqError

__all__ = ["FIRST", "OPERAND", "SUM", "WEIGHT", "Plan", "plan"]

PARAMETERS = ("bias", "mul", "shift")
OPERAND, WEIGHT = "operand", "weight"  # registers: of what passes through an element, of what a tile leaves there
FIRST = "pe_first"  # the element of a weight-stationary column's first row
SUM = "sum_"  # before the name of a sum that comes from the element above


@dataclass(frozen=True)
class Plan:
    """Blocks of one datapath on one device: `decode_a`, `decode_w`, `pe`, `epilogue`."""

    dp: Datapath
    device: str
    rows: Rows
    blocks: Mapping[str, Block]

    @property
    def operands(self) -> tuple[Operand, Operand]:
        """The operands as they travel here."""
        return operands(self.dp.mac, product_form(self.dp.mac, self.dp.uses) == "dsp")

    @property
    def fused(self) -> bool:
        """True if the accumulator runs through the product's rows: smallest, and not to be cut."""
        return any(c.out.name == "acc_next" for c in self.blocks["pe"].cells)


def plan(dp: Datapath, device: str = "portable", clock: float | None = None) -> Plan:
    """Lower a datapath for a device. `clock` (MHz) picks cuts that reach it, or refuses by name."""
    check_device(device)
    _check_hardware(dp)
    return _plan(dp if clock is None else _cut_for(dp, device, clock), device)


def _check_hardware(dp: Datapath) -> None:
    mac, lanes = dp.mac, dp.array.lanes
    shape = f"@{dp.array.rows}x{dp.array.cols}"
    if isinstance(mac.acc, Align):
        if lanes != mac.acc.lanes:
            raise HwqError(
                f"+{mac.acc.text} takes {mac.acc.lanes} products at once, not {lanes}; write {shape}x{mac.acc.lanes}"
            )
        kept = mac.acc.format.unpack(mac.acc.format.code_word).mag.width - 1
        if mac.acc.bits < kept:  # an array feeds zeros while it waits, which must leave every sum as it is
            raise HwqError(f"+{mac.acc.text} must keep the {kept} fraction bits of its sum in hardware, not cut them")
    elif mac.tree not in (1, lanes):
        raise HwqError(f"order=tree({mac.tree}) takes as many products at once, not {lanes}; write {shape}x{mac.tree}")
    if dp.array.terms > 1 and operands(mac)[0].rests:
        raise HwqError(
            f"lanes and weight-stationary columns are filled up with zeros, which {mac.a}*{mac.w} has none of; "
            f"write {shape}"
        )


def _cut_for(dp: Datapath, device: str, clock: float) -> Datapath:
    from hwq.datapath.clocking import cuts_for

    return cuts_for(dp, device, clock)


@lru_cache(maxsize=65536)
def _plan(dp: Datapath, device: str) -> Plan:
    form = product_form(dp.mac, dp.uses)
    a, w = operands(dp.mac, form == "dsp")
    hard = _hard(dp, (a, w), device) if form == "dsp" else None
    if dp.decode == "pe" and (a.idle or zero_code(a.fmt) is None) and (w.idle or zero_code(w.fmt) is None):
        raise HwqError(f"decode=pe needs an operand whose code 0 is zero, as reset leaves it, not {a.fmt}*{w.fmt}")
    cuts = tuple(c for c in dp.cuts if c in pe_stages(dp.mac))
    at_edge = tuple(c for c in cuts if c == "unpack" and dp.decode == "edge")
    pe = _Element(
        replace(dp.mac, out=None, epilogue=(), round="rne", k=dp.mac.k),
        dp.decode,
        tuple(c for c in cuts if c not in at_edge),
        form,
        dp.array.lanes,
        dp.array.dataflow,
        hard,
    )
    if dp.array.dataflow == "tree":
        at_edge += (OPERAND,)
    blocks = {
        "decode_a": _decoder("decode_a", a, pe.packed, at_edge),
        "decode_w": _decoder("decode_w", w, pe.packed, at_edge),
        "pe": _pe(pe),
        **({FIRST: _pe(replace(pe, first=True))} if dp.array.dataflow == "ws" else {}),
        "epilogue": _epilogue(dp.mac, dp.array.lanes, tuple(c for c in dp.cuts if c in output_stages(dp.mac))),
    }
    stays = dp.array.dataflow != "ws"  # a sum that stays is a state, beyond the block's pipeline
    assert blocks["pe"].depth + blocks["decode_a"].depth + stays == pe_depth(dp), "schedule and plan differ"
    return Plan(dp, device, DEVICES[device][1], blocks)


@lru_cache(maxsize=4096)
def _decoder(name: str, operand: Operand, packed: bool, registers: tuple[str, ...]) -> Block:
    """The fields of a code, through those of the registers `unpack` and OPERAND that stand at the array's edge."""
    code = operand.code_word
    fields = {"code": code} if packed else operand.fields
    fields = {k: v.stage("unpack").stage(OPERAND) for k, v in fields.items() if not v.constant}
    low = Lowering(name, registers)
    low.input(code)
    nets = low.lower(list(fields.values()))
    return low.block(list(zip(fields, nets, strict=True)))


@dataclass(frozen=True)
class _Element:
    """What a processing element depends on."""

    mac: Mac
    decode: str
    cuts: tuple[str, ...]
    form: str
    lanes: int
    dataflow: str
    hard: tuple[Multiplier, bool] | None = None
    first: bool = False  # no sum comes from above

    @property
    def packed(self) -> bool:
        """Whether operands travel as codes."""
        return self.decode == "pe" or self.form == "table"


@lru_cache(maxsize=65536)
def _pe(of: _Element) -> Block:
    """Operand registers, products, alignment, accumulator."""
    mac, low = of.mac, Lowering("pe", of.cuts)
    raw: list[Net] = []  # significands as they come
    passed: list[tuple[str, Net]] = []
    pairs: list[list[dict[str, Word]]] = [[] for _ in range(of.lanes)]
    for side, operand in zip("aw", operands(mac, of.hard is not None), strict=True):
        for lane, pair in enumerate(pairs):
            prefix = f"{side}{lane}" if of.lanes > 1 else side
            inputs = operand.codes(prefix) if of.packed else operand.inputs(prefix)
            pair.append(inputs)
            for name, word in inputs.items():
                if not word.constant:
                    net = low.input(word)
                    raw += [net] if name == "sig" else []
                    if of.dataflow != "tree":
                        net = low.register(word, net, WEIGHT if (of.dataflow, side) == ("ws", "w") else OPERAND)
                    passed.append((f"{prefix}_{name}", net))
    now = steps.state(mac, of.lanes)
    before = steps.initial() if of.first else now
    for name, word in before.words.items():
        if name == "acc" and of.hard is not None and of.dataflow != "ws":
            continue  # the block has it
        low.input(word, None, f"{SUM}{word.attr}") if of.dataflow == "ws" else low.state(word)
    after = steps.step(mac, before, *(_product(of, *pair) for pair in pairs)).named(now)
    if of.hard is not None:
        outputs = passed if of.dataflow != "tree" else []
        return _with_block(of, low, raw, now, after, outputs)
    nets = dict(zip(after, low.lower(list(after.values())), strict=True))
    outputs = [] if of.dataflow == "tree" else passed
    if of.dataflow == "ws":
        width = {name: word.width for name, word in now.words.items()}
        outputs = outputs + [(name, low.fit(low.reg(net, "sum"), width[name])) for name, net in nets.items()]
    else:
        for name, word in now.words.items():
            low.feed(word, after[name])
        outputs = outputs + [(name, low.net(word)) for name, word in now.words.items()]
    return low.block(outputs, aligned=False)


def _hard(dp: Datapath, pair: tuple[Operand, Operand], device: str) -> tuple[Multiplier, bool]:
    """The block that keeps an element's sum."""
    if dp.array.lanes > 1:
        raise HwqError(f"use=dsp takes one product a block and cycle, not {dp.array.lanes} lanes; leave them out")
    for cut in dp.cuts:
        if cut in pe_stages(dp.mac) and cut not in ("unpack", "mul"):
            raise HwqError(f"a multiplier block can be cut at unpack and mul, not at {cut}; leave it out")
    return check_block(dp.mac, pair, device)


def _with_block(
    of: _Element, low: Lowering, raw: list[Net], now: steps.State, after: dict[str, Word], passed: list[tuple[str, Net]]
) -> Block:
    """An element whose product and sum are in a block; its flags stay beside it."""
    assert of.hard is not None
    streaming, piped = of.dataflow == "ws", "mul" in of.cuts
    above = [low.net(now.total)] if streaming and not of.first else []
    start = above or ([low.constant(0, now.total.width)] if streaming else [])
    flags = {name: word for name, word in after.items() if name != "acc"}
    nets = dict(zip(flags, low.lower(list(flags.values())), strict=True))
    inside = of.dataflow != "tree"
    total = low.cell("hard", [*raw, *start], now.total.width, True, "acc", Hard(*of.hard, inside, piped, streaming))
    low.cycle[total] = inside + piped + streaming
    outputs = [*passed, ("acc", total)]
    for name, net in nets.items():
        if streaming:
            outputs.append((name, low.reg(net, "sum")))
        else:
            low.feed(now.words[name], flags[name])
            outputs.append((name, low.net(now.words[name])))
    return low.block(outputs, aligned=False)


def _product(of: _Element, a: dict[str, Word], w: dict[str, Word]) -> steps.Term:
    """One product in the form that was chosen for it."""
    if of.form == "table":
        return magnitude_table(of.mac, a["code"], w["code"])
    if of.packed:
        a, w = (
            {k: v.stage("unpack") for k, v in operand.decode(x["code"]).items()}
            for operand, x in zip(operands(of.mac, of.hard is not None), (a, w), strict=True)
        )
    return steps.product(of.mac, a, w)


def _epilogue(mac: Mac, lanes: int, cuts: tuple[str, ...]) -> Block:
    """The output path. It depends on the accumulator's grid and flags, not on what was multiplied."""
    now, given = steps.state(mac, lanes), steps.parameters(mac)
    code = steps.finish(mac, now, given)
    following = steps.reseeded(given) if steps.SEED in given else None
    return _output_block((*now.words.items(), *given.items()), code, following, cuts, mac.output.bits)


@lru_cache(maxsize=16384)
def _output_block(
    words: tuple[tuple[str, Word], ...], code: Word, following: Word | None, cuts: tuple[str, ...], bits: int
) -> Block:
    low = Lowering("epilogue", cuts)
    for name, word in words:
        low.input(word, None if name in PARAMETERS else 0)
    net, *seed = low.lower([code] if following is None else [code, following])
    outputs = [("code", low.fit(net, bits)), *((f"{steps.SEED}_next", other) for other in seed)]
    return low.block(outputs, aligned=not seed)  # the next seed is for the next row, which comes a cycle later
