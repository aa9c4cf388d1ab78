"""From torch's record of a network to a graph: the operators, and how each is written."""

from hwq.ptq.capture.builder import Builder, bound
from hwq.ptq.capture.operators import ALIASES, EMITTERS, MOVES
from hwq.ptq.capture.recorded import BATCHES, Recording, record

__all__ = ["ALIASES", "BATCHES", "EMITTERS", "MOVES", "Builder", "Recording", "bound", "record"]
