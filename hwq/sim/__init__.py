"""Simulation of emitted Verilog against the emulator, by two benches that fit every datapath."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hwq.sim.run import BENCHES, SIMULATORS, Report, check

__all__ = ["BENCHES", "SIMULATORS", "Report", "check"]


def __getattr__(name: str) -> Any:
    """Load the package when it is used: the bench inside a simulator needs none of it."""
    if name in __all__:
        return getattr(importlib.import_module("hwq.sim.run"), name)
    raise AttributeError(f"module 'hwq.sim' has no attribute {name!r}")
