"""What a model is to the rest of hwq: a network, its metric, calibration and test images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from hwq.errors import HwqError

if TYPE_CHECKING:
    from torch import Tensor, nn


class Data(Protocol):
    """Where a model's images come from; a module with these two functions is one."""

    def calibration(self) -> Tensor:
        """Normalised images [N, ...] for calibration, none of them in the test set; used without labels."""

    def test(self, n: int | None = None) -> tuple[Tensor, Tensor]:
        """The first n normalised test images [n, ...] and their labels [n] (int64); a default number without n."""


@dataclass(frozen=True, eq=False)
class Model:
    """A trained network with what is needed to quantize and to judge it.

    Members: `net` in eval mode with its weights, `metric` ("top-1"), `card` the model card's path in the repository or
    None, and the images: `calibration()` and `test(n)` as in `Data`.
    """

    name: str
    net: nn.Module
    data: Data
    metric: str = "top-1"
    card: str | None = None

    def calibration(self) -> Tensor:
        """Normalised calibration images [N, ...], disjoint from the test images."""
        return self.data.calibration()

    def test(self, n: int | None = None) -> tuple[Tensor, Tensor]:
        """Normalised test images [n, ...] and labels [n]."""
        return self.data.test(n)

    def roles(self) -> Mapping[str, str]:
        """Layer name -> role: the first Conv2d or Linear in traced order is "first", the last "last", others "body"."""
        from torch import fx, nn

        try:
            nodes = fx.symbolic_trace(self.net).graph.nodes
        except (Exception, SystemExit) as error:  # tracing runs the user's forward: anything can come out
            reason = " ".join(str(error).split())
            raise HwqError(f"{self.name} must trace with torch.fx, not fail with {reason}") from error
        modules = dict(self.net.named_modules())
        called = [str(node.target) for node in nodes if node.op == "call_module"]
        layers = [name for name in dict.fromkeys(called) if isinstance(modules[name], nn.Conv2d | nn.Linear)]
        if not layers:
            raise HwqError(f"{self.name} must have a Conv2d or Linear layer, not none")
        return dict.fromkeys(layers, "body") | {layers[-1]: "last"} | {layers[0]: "first"}
