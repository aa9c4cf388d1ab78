"""Components for other people's cost models: a datapath's figures in the files that those tools read."""

from hwq.export.component import FIGURES, Component, Figure, component, stated
from hwq.export.write import TOOLS, write

__all__ = ["FIGURES", "TOOLS", "Component", "Figure", "component", "stated", "write"]
