"""The hardware of a datapath as blocks of cells: what `rtl` emits and what `costmodel` prices, and nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache

from hwq.bits import Word, variable
from hwq.bits.cells import Block
from hwq.bits.rows import Lowering
from hwq.datapath import steps
from hwq.datapath.accumulators import Align
from hwq.datapath.banks import FOOT, foot, indices
from hwq.datapath.device import DEVICES, Rows, check_device
from hwq.datapath.elements import OPERAND, Element, element
from hwq.datapath.hard import MULTIPLIERS, Multiplier, Whole, block_operands, check_block, find_block
from hwq.datapath.operand import Operand, operands, zero_code
from hwq.datapath.schedule import behind, doubled, pe_depth, tile
from hwq.datapath.stages import output_stages, pe_stages, row_cut
from hwq.datapath.structure import Datapath
from hwq.datapath.tiles import side_by_side, spacing
from hwq.datapath.variants import BLOCKS, CELLS, TILES, product_form
from hwq.errors import HwqError

__all__ = ["FIRST", "SCALES", "Plan", "plan", "streamed"]

SCALES = ("mul", "shift")
PARAMETERS = ("bias", *SCALES)
FIRST = "pe_first"  # the element of a weight-stationary column's first row


@dataclass(frozen=True)
class Plan:
    """Blocks of one datapath on one device: `decode_a`, `decode_w`, `pe`, `epilogue`; perhaps FIRST or FOOT."""

    dp: Datapath
    device: str
    rows: Rows
    blocks: Mapping[str, Block]

    @cached_property
    def operands(self) -> tuple[Operand, Operand]:
        """The operands as they travel here."""
        return _operands(self.dp, self.device)

    @cached_property
    def state(self) -> steps.State:
        """What an element keeps."""
        return _state(self.dp)

    @property
    def tile(self) -> tuple[int, int]:
        """(rows, columns) of the array that one element serves."""
        return tile(self.dp)

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
    form = product_form(dp.mac, dp.uses, dp.cuts)
    a, w = _operands(dp, device)
    hard = _hard(dp, device) if form in BLOCKS else None
    _check_cells(dp, form, device)
    if dp.decode == "pe" and (a.idle or zero_code(a.fmt) is None) and (w.idle or zero_code(w.fmt) is None):
        raise HwqError(f"decode=pe needs an operand whose code 0 is zero, as reset leaves it, not {a.fmt}*{w.fmt}")
    cuts = tuple(c for c in dp.cuts if c in pe_stages(dp.mac))
    at_edge = tuple(c for c in cuts if c == "unpack" and dp.decode == "edge")
    pe = Element(
        replace(dp.mac, out=None, epilogue=(), round="rne", k=dp.mac.k),
        dp.decode,
        tuple(c for c in cuts if c not in at_edge),
        form,
        dp.array.lanes,
        dp.array.dataflow,
        hard,
        DEVICES[device][1].tree,
        _prefix(dp, device),
        loaded=_loaded(dp, form),
        doubled=doubled(dp),
    )
    if dp.array.dataflow == "tree":
        at_edge += (OPERAND,)
    blocks = {
        "decode_a": _decoder("decode_a", a, pe.packed, at_edge, pe.tile[0], spacing(dp.mac)),
        "decode_w": _decoder("decode_w", w, pe.packed, at_edge, pe.tile[1], spacing(dp.mac) * pe.tile[0]),
        "pe": element(pe),
        **({FIRST: element(replace(pe, first=True))} if dp.array.dataflow == "ws" else {}),
        **({FOOT: foot(dp.mac)} if form == "banks" else {}),
        "epilogue": _epilogue(dp, doubled(dp)),
    }
    stays = dp.array.dataflow != "ws"  # a sum that stays is a state, beyond the block's pipeline
    assert blocks["pe"].depth + blocks["decode_a"].depth + stays == pe_depth(dp), "schedule and plan differ"
    return Plan(dp, device, DEVICES[device][1], blocks)


@lru_cache(maxsize=4096)
def _decoder(
    name: str, operand: Operand, packed: bool, registers: tuple[str, ...], count: int = 1, apart: int = 0
) -> Block:
    """The fields of a code; of the registers at the array's edge `unpack` holds the code, OPERAND the fields.

    A code has fewer bits than its fields, and is chosen late: it waits for both streams. Numbers that share a
    multiplier block leave as one, `apart` bits from one another.
    """
    low = Lowering(name, registers)
    if count == 1:
        code = _held(operand.code_word, operand.idle, registers)
        fields = {"code": code} if packed else operand.decode(code)
        low.input(operand.code_word)
    else:
        codes = [variable(f"code{at}", 0, (1 << operand.bits) - 1) for at in range(count)]
        numbers = [operand.decode(_held(code, operand.idle, registers))["sig"] for code in codes]
        fields = {"sig": side_by_side(numbers, apart)}
        for code in codes:
            low.input(code)
    fields = {k: v.stage(OPERAND) for k, v in fields.items() if not v.constant}
    nets = low.lower(list(fields.values()))
    return low.block(list(zip(fields, nets, strict=True)))


def _held(code: Word, idle: int, registers: tuple[str, ...]) -> Word:
    """A code behind the register `unpack`, if there is one: as reset leaves it, it is the idle code."""
    if "unpack" not in registers:
        return code
    return (code ^ idle).stage("unpack") ^ idle if idle else code.stage("unpack")


def _prefix(dp: Datapath, device: str) -> bool:
    """Whether parallel-prefix adders are asked for, which only trees have."""
    if "prefix" in dp.uses and not DEVICES[device][1].tree:
        cells = ", ".join(name for name, (_, rows) in DEVICES.items() if rows.tree)
        raise HwqError(f"use=prefix needs a device of standard cells ({cells}), not {device}; leave it out")
    return "prefix" in dp.uses


def _loaded(dp: Datapath, form: str) -> bool:
    """Whether sums start with their first products, which only those that stay and are made of logic can."""
    if "load" not in dp.uses:
        return False
    if dp.array.dataflow == "ws":
        raise HwqError(f"use=load starts sums that stay, not those of @{dp.array.text}, which no clear waits for")
    if form in BLOCKS or form == "banks":
        raise HwqError(f"use=load starts sums that are kept in registers of logic, not with use={form}; leave one out")
    return True


def _check_cells(dp: Datapath, form: str, device: str) -> None:
    """Whether the device has the cells of a product's form, and the array products for them."""
    devices = CELLS.get(form, (device,))
    if device not in devices:
        cells = "carry cells and memories" if form == "banks" else "carry cells"
        raise HwqError(f"use={form} needs the {cells} of {' or '.join(devices)}, not {device}; leave it out")
    if form == "pairs" and dp.array.lanes < 2:
        raise HwqError(f"use=pairs adds products of several lanes, not of @{dp.array.text}; write lanes")
    if form == "banks":
        shape = f"{dp.array.rows}x{dp.array.cols}"
        if dp.array.text != shape:
            raise HwqError(f"use=banks adds a product a cycle to sums that stay, not @{dp.array.text}; write @{shape}")
        indices(dp.mac)


def _operands(dp: Datapath, device: str) -> tuple[Operand, Operand]:
    """The operands as they travel."""
    form = product_form(dp.mac, dp.uses, dp.cuts)
    return _wholes(dp, form, device) if form in BLOCKS else operands(dp.mac, indexed=form == "banks")


def _wholes(dp: Datapath, form: str, device: str) -> tuple[Whole, Whole]:
    return block_operands(dp.mac, None if form in TILES else MULTIPLIERS.get(device))


def _state(dp: Datapath) -> steps.State:
    form = product_form(dp.mac, dp.uses, dp.cuts)
    return steps.state(dp.mac, dp.array.lanes, joined=form in BLOCKS)


def _hard(dp: Datapath, device: str) -> tuple[Multiplier, bool]:
    """The block that keeps an element's sum."""
    down, across = tile(dp)
    form, lanes = product_form(dp.mac, dp.uses, dp.cuts), dp.array.lanes
    stays = dp.array.dataflow != "ws" and lanes == 1
    if (down, across) != (1, 1) and (not stays or dp.array.rows % down or dp.array.cols % across):
        raise HwqError(
            f"use={','.join(dp.uses)} serves {down} x {across} sums that stay, not @{dp.array.text}; "
            "write rows and columns that are multiples of these, without lanes or /ws"
        )
    block = find_block(device, form, lanes)
    for cut in dp.cuts:
        if cut in pe_stages(dp.mac) and cut not in ("unpack", "mul"):
            raise HwqError(f"a multiplier block can be cut at unpack and mul, not at {cut}; leave it out")
    if dp.decode == "pe":
        raise HwqError(f"use={form} takes operands that are decoded at the edge, not decode=pe; leave it out")
    return check_block(dp.mac, _wholes(dp, form, device), block, form, (down, across), spacing(dp.mac))


def streamed(chosen: Plan) -> Plan:
    """The plan, with parameters that come with each sum: for units that sum tile after tile without a pause."""
    return replace(chosen, blocks={**chosen.blocks, "epilogue": _epilogue(chosen.dp, True)})


def _epilogue(dp: Datapath, overlapping: bool) -> Block:
    """The output path. It depends on the accumulator's grid and flags, not on what was multiplied.

    Parameters stand as long as a tile lasts; where tiles overlap they come with the sums, if need be a cycle later.
    """
    mac, now, given = dp.mac, _state(dp), steps.parameters(dp.mac)
    code = steps.finish(mac, now, given)
    following = steps.reseeded(given) if steps.SEED in given else None
    cuts = tuple(row_cut(c) for c in dp.cuts if c in output_stages(mac))
    still = {name: behind(dp) * (name in SCALES) if overlapping else None for name in PARAMETERS}
    words = tuple((word, still.get(name, 0)) for name, word in (*now.words.items(), *given.items()))
    return _output_block(words, code, following, cuts, mac.output.bits)


@lru_cache(maxsize=16384)
def _output_block(
    words: tuple[tuple[Word, int | None], ...], code: Word, following: Word | None, cuts: tuple[str, ...], bits: int
) -> Block:
    low = Lowering("epilogue", cuts)
    for word, cycle in words:
        low.input(word, cycle)
    net, *seed = low.lower([code] if following is None else [code, following])
    outputs = [("code", low.fit(net, bits)), *((f"{steps.SEED}_next", other) for other in seed)]
    return low.block(outputs, aligned=not seed)  # the next seed is for the next row, which comes a cycle later
