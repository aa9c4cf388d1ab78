"""What the files of a datapath are called."""

from __future__ import annotations

import hashlib

from hwq.datapath.spec import Datapath

__all__ = ["top_name"]


def top_name(dp: Datapath) -> str:
    """The name of a datapath's hardware and models: its text's digest, so that no two datapaths share one."""
    return f"hwq_{hashlib.sha256(dp.parametric().encode()).hexdigest()[:10]}"
