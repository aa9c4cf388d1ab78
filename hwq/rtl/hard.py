"""A multiplier block as an instance: every input that counts connected, what is not used tied off."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from string import Template

from hwq.datapath.hard import MULTIPLIERS, Hard
from hwq.rtl.wires import Bits

__all__ = ["PRIMITIVES", "Wired", "block_pins", "model"]

Values = dict[str, str | int]

PRIMITIVES = {
    **dict.fromkeys(("gated", "pair"), ("CCU2C",)),
    **dict.fromkeys(("twin", "triple"), ("CARRY4", "LUT6_2")),
    "bank": ("CARRY4", "LUT6_2", "RAM32M"),
}
"""Cells of a device that a kind of ours is an instance of."""

_TIED = {
    "ALUMODE": "4'h0", "INMODE": "5'h0",
    "CARRYINSEL": "3'h0", **dict.fromkeys(("CARRYIN", "CARRYCASCIN", "MULTSIGNIN"), "1'b0"),
    **dict.fromkeys(("CEA1", "CEAD", "CEALUMODE", "CEB1", "CEC", "CECARRYIN", "CECTRL", "CED", "CEINMODE"), "1'b0"),
    **dict.fromkeys(("RSTALLCARRYIN", "RSTALUMODE", "RSTC", "RSTCTRL", "RSTD", "RSTINMODE"), "1'b0"),
}  # fmt: skip
_OPMODE = {"DSP48E1": "7'b", "DSP48E2": "9'b00", "DSP58": "9'b00"}  # the newer ones have a fourth addend, unused
# The parameter that puts the adder before the multiplier, its value without and with it
_PREADDER = {"DSP48E1": ("USE_DPORT", "FALSE", "TRUE"), "DSP48E2": ("AMULTSEL", "A", "AD")}
_UNREGISTERED = ("CREG", "OPMODEREG", "ALUMODEREG", "INMODEREG", "CARRYINREG", "CARRYINSELREG", "DREG", "ADREG")


def model(name: str) -> str:
    """The behaviour of a block or cell as Verilog, for simulation. AMD's DSP48s share a text with their widths."""
    block = next((block for block in MULTIPLIERS.values() if block.name == name and name in _PREADDER), None)
    text = files("hwq.rtl").joinpath("models", f"{'DSP48' if block else name}.v").read_text(encoding="utf-8")
    if block is None:
        return text
    product, mode, (parameter, off, on) = block.wide + block.narrow, _OPMODE[name], _PREADDER[name]
    return Template(text).substitute(
        name=name,
        guide=block.source.removeprefix("AMD "),
        wide=block.wide - 1,
        side=block.wide,
        preadder=parameter,
        off=off,
        on=on,
        product=product - 1,
        signs=block.total - product,
        mode=mode,
        modes=6 + len(mode.partition("b")[2]),
    )


@dataclass(frozen=True)
class Wired:
    """What an instance is connected to. A lane's `wide` and `narrow` are as long as the block's numbers.

    `twice`: the bit that doubles the wide one; `above`: the sum it starts from; each may be nothing.
    """

    wide: Bits
    narrow: Bits
    twice: Bits
    above: Bits
    total: Bits
    text: Callable[[Bits], str]


def block_pins(hard: Hard, to: Wired) -> Sequence[str]:
    """The lines of an instance: parameters, then pins."""
    sets, pins = _WRITTEN[hard.block.name](hard, to)
    return [f"  {hard.block.name} #(", *_listed(sets), "  ) block (", *_listed(pins), "  );"]


def _enables(hard: Hard) -> tuple[str, str]:
    """Of the registers of the wide and of the narrow side."""
    own = hard.waits or "en"
    return (own, "en") if hard.swapped else ("en", own)


def _dsp48(hard: Hard, to: Wired) -> tuple[Values, Values]:
    """AMD's blocks."""
    inside, (wide_enable, narrow_enable) = int(hard.inside), _enables(hard)
    block, above, text = hard.block, to.above, to.text
    a, b, d = block.total - block.lanes * block.narrow, block.lanes * block.narrow, block.lanes * block.wide  # of ports
    wide = to.wide + (0,) * (d - len(to.wide))  # lanes that are not used are zero
    sets: Values = dict.fromkeys(("AREG", "ACASCREG", "BREG", "BCASCREG"), inside)
    sets |= {"MREG": int(hard.piped), "PREG": int(hard.sums)}
    sets |= dict.fromkeys(_UNREGISTERED, 0)
    side = text(wide + wide[-1:] * (a - d))  # A and B side by side are as long as the sum; A's low bits are multiplied
    pins: Values = {
        "CLK": "clk",
        "A": side,
        "B": text(to.narrow + (0,) * (b - len(to.narrow))),
        "C": text(above) if above else f"{block.total}'h0",
        "P": text(to.total),
    }
    start = "011" if above else "010" if hard.sums else "000"  # C, P or nothing
    pins |= {"OPMODE": f"{_OPMODE[hard.block.name]}{start}0101", "D": f"{d}'h0"}  # and the product
    pins |= {"CEA2": wide_enable, "CEB2": narrow_enable, "CEM": "en", "CEP": "en" if hard.sums else "1'b0"}
    pins |= {"RSTA": "rst", "RSTB": "rst", "RSTM": "rst", "RSTP": "clear" if hard.sums and not above else "rst"}
    if to.twice:  # the same number at both inputs of the adder before the multiplier, one of them gated
        parameter, _, on = _PREADDER[hard.block.name]
        sets |= {"DREG": inside, "INMODEREG": inside, parameter: f'"{on}"'}
        pins |= {
            "D": text(wide),
            "INMODE": text((0, 0, *to.twice, 0, 0)),
            "CED": wide_enable,
            "CEINMODE": narrow_enable,
        }
        pins |= {"RSTD": "rst", "RSTINMODE": "rst"}
    cascades = {"ACIN": f"{a}'h0", "BCIN": f"{b}'h0", "PCIN": f"{block.total}'h0"}
    pins |= {name: value for name, value in (cascades | _TIED).items() if name not in pins}
    return sets, pins


def _dsp58(hard: Hard, to: Wired) -> tuple[Values, Values]:
    """The block of Versal: it multiplies two numbers, or those of three lanes, whose products it can negate."""
    sets, pins = _dsp48(hard, to)
    mode = "INT8" if hard.block.lanes > 1 else "INT24"
    return {"DSP_MODE": f'"{mode}"', **sets}, pins | {"NEGATE": "3'h0", "ASYNC_RST": "1'b0"}


def _mult18(hard: Hard, to: Wired) -> tuple[Values, Values]:
    """Lattice's multiplier of ECP5, a pin a bit. Both sides signed, each with its enable."""
    enables = dict(zip("AB", _enables(hard), strict=True))
    sets: Values = {f"REG_INPUT{side}_CLK": '"CLK0"' if hard.inside else '"NONE"' for side in "AB"}
    sets |= {f"REG_INPUT{side}_CE": '"CE0"' if enables[side] == "en" else '"CE1"' for side in "AB"}
    sets |= {"REG_PIPELINE_CLK": '"CLK0"' if hard.piped else '"NONE"', "REG_OUTPUT_CLK": '"NONE"'}
    sets |= {"GSR": '"DISABLED"', "RESETMODE": '"SYNC"'}
    pins: Values = {"CLK0": "clk", "CE0": "en", "CE1": hard.waits or "1'b0", "RST0": "rst"}
    pins |= {"SIGNEDA": "1'b1", "SIGNEDB": "1'b1", "SOURCEA": "1'b0", "SOURCEB": "1'b0"}
    for port, bits in (("A", to.wide), ("B", to.narrow), ("C", (0,) * hard.block.wide), ("P", to.total)):
        pins |= {f"{port}{at}": to.text((bit,)) for at, bit in enumerate(bits)}
    return sets, pins


def _mac16(hard: Hard, to: Wired) -> tuple[Values, Values]:
    """Lattice's multiplier of iCE40 UltraPlus with its two adders as one of 32 bits, both sides signed.

    It has one clock enable: what it holds beside is held by a pin. A clear loads zeros from C and D, in a clock that is
    enabled; sums that stay are never cleared in another, see `hwq.rtl.array`.
    """
    output = 1 if hard.sums else 3  # a register, or the product
    sets: Values = {"A_REG": int(hard.inside), "B_REG": int(hard.inside), "PIPELINE_16x16_MULT_REG2": int(hard.piped)}
    sets |= {"A_SIGNED": 1, "B_SIGNED": 1, "TOPADDSUB_CARRYSELECT": 3, "BOTADDSUB_CARRYSELECT": 0}
    for half in ("TOP", "BOT"):
        sets |= {f"{half}OUTPUT_SELECT": output, f"{half}ADDSUB_LOWERINPUT": 2}
        sets |= {f"{half}ADDSUB_UPPERINPUT": int(hard.chained)}
    pins: Values = {"CLK": "clk", "CE": "en", "A": to.text(to.wide), "B": to.text(to.narrow), "O": to.text(to.total)}
    pins |= {"D": to.text(to.above[:16]) if to.above else "16'h0", "C": to.text(to.above[16:]) if to.above else "16'h0"}
    pins |= {
        f"{side}HOLD": {"en": "1'b0", "load": "~load"}.get(enable, f"~({enable})")
        for side, enable in zip("AB", _enables(hard), strict=True)
    }
    pins |= dict.fromkeys(("IRSTTOP", "IRSTBOT"), "rst")
    pins |= dict.fromkeys(("ORSTTOP", "ORSTBOT"), "rst" if hard.chained else "1'b0")
    pins |= dict.fromkeys(("OLOADTOP", "OLOADBOT"), "clear" if hard.sums and not hard.chained else "1'b0")
    pins |= dict.fromkeys(("CHOLD", "DHOLD", "OHOLDTOP", "OHOLDBOT", "ADDSUBTOP", "ADDSUBBOT"), "1'b0")
    return sets, pins | dict.fromkeys(("CI", "ACCUMCI", "SIGNEXTIN"), "1'b0")


_WRITTEN: Mapping[str, Callable[[Hard, Wired], tuple[Values, Values]]] = {
    "DSP48E1": _dsp48,
    "DSP48E2": _dsp48,
    "DSP58": _dsp58,
    "MULT18X18D": _mult18,
    "SB_MAC16": _mac16,
}


def _listed(values: Values) -> list[str]:
    """Parameters or pins by name, six a line."""
    connected = [f".{name}({value})" for name, value in values.items()]
    rows = [", ".join(connected[at : at + 6]) for at in range(0, len(connected), 6)]
    return [f"    {row}{',' * (row is not rows[-1])}" for row in rows]
