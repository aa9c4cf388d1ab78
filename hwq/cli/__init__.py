"""The `hwq` command: every reader of a datapath, from a shell."""

from hwq.cli.main import main

__all__ = ["main"]
