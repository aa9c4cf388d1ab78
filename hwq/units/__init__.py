"""Integer softmax, GELU, LayerNorm and their like: one text each, which is emulator, Verilog and price."""

from hwq.units.kinds import KINDS
from hwq.units.plans import UnitPlan, plan
from hwq.units.spec import ACCURATE, COMPATIBLE, Operand, Unit

__all__ = ["ACCURATE", "COMPATIBLE", "KINDS", "Operand", "Unit", "UnitPlan", "plan"]
