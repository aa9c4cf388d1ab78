"""What other people's testbenches are given: reference models in C99, and conformance packs of number formats."""

from hwq.golden.emit import Manifest, emit
from hwq.golden.pack import write_pack

__all__ = ["Manifest", "emit", "write_pack"]
