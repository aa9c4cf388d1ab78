"""The hardware of a datapath as blocks of cells: what `rtl` emits and what `costmodel` prices, and nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache

from hwq.bits import Word, variable
from hwq.bits.cells import Block
from hwq.bits.rows import Lowering
from hwq.datapath import steps
from hwq.datapath.accumulators import Align
from hwq.datapath.device import DEVICES, Rows, check_device
from hwq.datapath.operand import Operand, operands, zero_code
from hwq.datapath.schedule import pe_depth
from hwq.datapath.spec import Datapath, Mac
from hwq.datapath.stages import output_stages, pe_stages
from hwq.errors import HwqError

__all__ = ["Plan", "plan"]

PARAMETERS = ("bias", "mul", "shift")


@dataclass(frozen=True)
class Plan:
    """Blocks of one datapath on one device: `decode_a`, `decode_w`, `pe`, `epilogue`."""

    dp: Datapath
    device: str
    rows: Rows
    blocks: Mapping[str, Block]

    @property
    def fused(self) -> bool:
        """True if the accumulator runs through the product's rows: smallest, and not to be cut."""
        return any(c.out.name == "acc_next" for c in self.blocks["pe"].cells)


def plan(dp: Datapath, device: str = "portable", clock: float | None = None) -> Plan:
    """Lower a datapath for a device. `clock` (MHz) picks cuts that reach it, or refuses by name."""
    check_device(device)
    _check_hardware(dp.mac)
    return _plan(dp if clock is None else _cut_for(dp, device, clock), device)


def _check_hardware(mac: Mac) -> None:
    if isinstance(mac.acc, Align):
        raise HwqError(f"hardware must take one product a cycle, not {mac.acc.lanes} side by side as +{mac.acc.text}")
    if mac.tree > 1:  # an array feeds zero products while it waits, which a count of terms must not see
        raise HwqError(
            f"hardware must add in order, not order=tree({mac.tree}), which needs a valid bit with each term"
        )


def _cut_for(dp: Datapath, device: str, clock: float) -> Datapath:
    from hwq.datapath.clocking import cuts_for

    return cuts_for(dp, device, clock)


@lru_cache(maxsize=65536)
def _plan(dp: Datapath, device: str) -> Plan:
    a, w = operands(dp.mac)
    if dp.decode == "pe" and (a.idle or zero_code(a.fmt) is None) and (w.idle or zero_code(w.fmt) is None):
        raise HwqError(f"decode=pe needs an operand whose code 0 is zero, as reset leaves it, not {a.fmt}*{w.fmt}")
    registered = "unpack" in dp.cuts and dp.decode == "edge"
    product_cuts = tuple(c for c in dp.cuts if c in pe_stages(dp.mac) and not (c == "unpack" and registered))
    blocks = {
        "decode_a": _decoder("decode_a", a, dp.decode, registered),
        "decode_w": _decoder("decode_w", w, dp.decode, registered),
        "pe": _pe(replace(dp.mac, out=None, epilogue=(), round="rne", k=dp.mac.k), dp.decode, product_cuts),
        "epilogue": _epilogue(dp.mac, tuple(c for c in dp.cuts if c in output_stages(dp.mac))),
    }
    assert blocks["pe"].depth + 1 == pe_depth(dp) - registered, "schedule and plan differ"
    return Plan(dp, device, DEVICES[device][1], blocks)


@lru_cache(maxsize=4096)
def _decoder(name: str, operand: Operand, decode: str, registered: bool) -> Block:
    code = operand.code_word
    fields = {"code": code} if decode == "pe" else operand.fields
    fields = {k: v.stage("unpack") for k, v in fields.items() if not v.constant}
    low = Lowering(name, ("unpack",) if registered else ())
    low.input(code)
    nets = low.lower(list(fields.values()))
    return low.block(list(zip(fields, nets, strict=True)))


@lru_cache(maxsize=65536)
def _pe(mac: Mac, decode: str, cuts: tuple[str, ...]) -> Block:
    """Operand registers, product, alignment, accumulator."""
    low = Lowering("pe", cuts)
    fields: list[dict[str, Word]] = []
    ports: list[tuple[str, Word]] = []
    for prefix, operand in zip("aw", operands(mac), strict=True):
        if decode == "pe":
            code = variable(f"{prefix}_code", 0, (1 << operand.bits) - 1)
            inputs = {"code": code}
            fields.append({k: v.stage("unpack") for k, v in operand.decode(code).items()})
        else:
            inputs = operand.inputs(prefix)
            fields.append(inputs)
        ports += [(f"{prefix}_{k}", v) for k, v in inputs.items() if not v.constant]
    for _, word in ports:
        low.register(word, low.input(word), "operand")
    now = steps.state(mac)
    for word in now.words.values():
        low.state(word)
    after = steps.step(mac, now, steps.product(mac, *fields))
    passed = [(name, low.net(word)) for name, word in ports]
    low.lower(list(after.words.values()))
    for name, word in now.words.items():
        low.feed(word, after.words[name])
    outputs = passed + [(name, low.net(word)) for name, word in now.words.items()]
    return low.block(outputs, aligned=False)


def _epilogue(mac: Mac, cuts: tuple[str, ...]) -> Block:
    """The output path. It depends on the accumulator's grid and flags, not on what was multiplied."""
    now, given = steps.state(mac), steps.parameters(mac)
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
