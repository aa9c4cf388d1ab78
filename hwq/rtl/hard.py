"""A multiplier block as an instance: every pin connected, what is not used tied off."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files
from string import Template

from hwq.datapath.hard import MULTIPLIERS, Hard

__all__ = ["PRIMITIVES", "block_pins", "model"]

PRIMITIVES = {
    **dict.fromkeys(("gated", "pair"), ("CCU2C",)),
    **dict.fromkeys(("twin", "triple"), ("CARRY4", "LUT6_2")),
}
"""Cells of a device that a kind of ours is an instance of."""

_TIED = {
    "ACIN": "30'h0", "BCIN": "18'h0", "PCIN": "48'h0", "ALUMODE": "4'h0", "INMODE": "5'h0",
    "CARRYINSEL": "3'h0", **dict.fromkeys(("CARRYIN", "CARRYCASCIN", "MULTSIGNIN"), "1'b0"),
    **dict.fromkeys(("CEA1", "CEAD", "CEALUMODE", "CEB1", "CEC", "CECARRYIN", "CECTRL", "CED", "CEINMODE"), "1'b0"),
    **dict.fromkeys(("RSTALLCARRYIN", "RSTALUMODE", "RSTC", "RSTCTRL", "RSTD", "RSTINMODE"), "1'b0"),
}  # fmt: skip
_OPMODE = {"DSP48E1": "7'b", "DSP48E2": "9'b00"}  # the newer block has a fourth addend, unused
_UNREGISTERED = ("CREG", "OPMODEREG", "ALUMODEREG", "INMODEREG", "CARRYINREG", "CARRYINSELREG", "DREG", "ADREG")


def model(name: str) -> str:
    """The behaviour of a block or cell as Verilog, for simulation. Multiplier blocks share a text with their widths."""
    block = next((block for block in MULTIPLIERS.values() if block.name == name), None)
    text = files("hwq.rtl").joinpath("models", f"{'DSP48' if block else name}.v").read_text(encoding="utf-8")
    if block is None:
        return text
    product, mode = block.wide + block.narrow, _OPMODE[name]
    return Template(text).substitute(
        name=name,
        guide=block.source.removeprefix("AMD "),
        wide=block.wide - 1,
        product=product - 1,
        signs=block.total - product,
        mode=mode,
        modes=6 + len(mode.partition("b")[2]),
    )


def block_pins(hard: Hard, a: str, w: str, above: str, total: str) -> Sequence[str]:
    """The lines of an instance: parameters, then pins. `above`: the sum it starts from, or nothing.

    `a` and `w` are sign-extended by the caller to the block's sides, wide first.
    """
    inside, load = int(hard.inside), "load" if hard.held else "en"
    wide_enable, narrow_enable = (load, "en") if hard.swapped else ("en", load)
    sets = {"AREG": inside, "ACASCREG": inside, "BREG": inside, "BCASCREG": inside, "MREG": int(hard.piped)}
    sets |= {"PREG": int(hard.sums)}
    sets |= dict.fromkeys(_UNREGISTERED, 0)
    pins = {"CLK": "clk", "A": a, "B": w, "C": above or "48'h0", "P": total}
    start = "011" if above else "010" if hard.sums else "000"  # C, P or nothing
    pins |= {"OPMODE": f"{_OPMODE[hard.block.name]}{start}0101", "D": f"{hard.block.wide}'h0"}  # and the product
    pins |= {"CEA2": wide_enable, "CEB2": narrow_enable, "CEM": "en", "CEP": "en" if hard.sums else "1'b0"}
    pins |= {"RSTA": "rst", "RSTB": "rst", "RSTM": "rst", "RSTP": "clear" if hard.sums and not above else "rst"}
    parameters = ", ".join(f".{name}({value})" for name, value in sets.items())
    connected = [f".{name}({value})" for name, value in {**pins, **_TIED}.items()]
    rows = [", ".join(connected[at : at + 6]) for at in range(0, len(connected), 6)]
    middle = len(sets) // 2
    cut = parameters.split(", ")
    return [
        f"  {hard.block.name} #({', '.join(cut[:middle])},",
        f"    {', '.join(cut[middle:])}) block (",
        *(f"    {row}{',' * (at < len(rows) - 1)}" for at, row in enumerate(rows)),
        "  );",
    ]
