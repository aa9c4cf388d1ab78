"""The hardware of a datapath as blocks of cells: what `rtl` emits and what `costmodel` prices, and nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from hwq.bits import Word, variable
from hwq.bits.cells import Block
from hwq.bits.rows import Lowering
from hwq.datapath import steps
from hwq.datapath.operand import Operand, operands
from hwq.datapath.schedule import pe_depth
from hwq.datapath.spec import Datapath
from hwq.errors import HwqError

__all__ = ["DEVICES", "Plan", "plan"]

# device -> whether rows are kept as written: an FPGA's carry chains are; an ASIC flow may choose its own adders
DEVICES: Mapping[str, bool] = {"portable": True, "xc7": True, "ecp5": True, "ge": False}


@dataclass(frozen=True)
class Plan:
    """Blocks of one datapath on one device: `decode_a`, `decode_w`, `pe`, `epilogue`."""

    dp: Datapath
    device: str
    keep: bool
    blocks: Mapping[str, Block]

    @property
    def fused(self) -> bool:
        """True if the accumulator runs through the product's rows: smallest, and not to be cut."""
        return any(c.out.name == "acc_next" for c in self.blocks["pe"].cells)


def plan(dp: Datapath, device: str = "portable", clock: float | None = None) -> Plan:
    """Lower a datapath for a device. `clock` (MHz) picks cuts that reach it, or refuses by name."""
    if device not in DEVICES:
        raise HwqError(f"device must be one of {', '.join(DEVICES)}, not {device!r}")
    return _plan(dp if clock is None else _cut_for(dp, device, clock), device)


def _cut_for(dp: Datapath, device: str, clock: float) -> Datapath:
    from hwq.datapath.clocking import cuts_for

    return cuts_for(dp, device, clock)


@lru_cache(maxsize=4096)
def _plan(dp: Datapath, device: str) -> Plan:
    a, w = operands(dp.mac)
    blocks = {
        "decode_a": _decoder("decode_a", a, dp),
        "decode_w": _decoder("decode_w", w, dp),
        "pe": _pe(dp),
        "epilogue": _epilogue(dp),
    }
    assert blocks["pe"].depth + 1 == pe_depth(dp) - ("unpack" in dp.cuts and dp.decode == "edge"), "schedule and plan differ"
    return Plan(dp, device, DEVICES[device], blocks)


def _decoder(name: str, operand: Operand, dp: Datapath) -> Block:
    if dp.decode == "pe":
        operand_fields = {"code": operand.fmt.code_word}
    else:
        operand_fields = {k: v.stage("unpack") for k, v in operand.fields.items() if not v.constant}
    low = Lowering(name, dp.cuts)
    low.input(operand.fmt.code_word)
    nets = low.lower(list(operand_fields.values()))
    return low.block(list(zip(operand_fields, nets, strict=True)))


def _pe(dp: Datapath) -> Block:
    """Operand registers, product, alignment, accumulator."""
    mac = dp.mac
    low = Lowering("pe", dp.cuts)
    fields: list[dict[str, Word]] = []
    ports: list[tuple[str, Word]] = []
    for prefix, operand in zip("aw", operands(mac), strict=True):
        if dp.decode == "pe":
            code = variable(f"{prefix}_code", 0, (1 << operand.fmt.bits) - 1)
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


def _epilogue(dp: Datapath) -> Block:
    mac = dp.mac
    low = Lowering("epilogue", dp.cuts)
    now = steps.state(mac)
    for word in now.words.values():
        low.input(word)
    given = steps.parameters(mac)
    for word in given.values():
        low.input(word, None)
    (code,) = low.lower([steps.finish(mac, now, given)])
    return low.block([("code", low.fit(code, mac.output.bits))])
