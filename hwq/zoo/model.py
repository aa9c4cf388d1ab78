"""What a model is to the rest of hwq: a network, its metric, calibration and test images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from hwq.errors import HwqError
from hwq.zoo.task import TOP1, Task

if TYPE_CHECKING:
    from torch import Tensor, nn


class Data(Protocol):
    """Where a model's inputs come from, images or tokens; a module with these two functions is one."""

    def calibration(self) -> Tensor:
        """Network inputs [N, ...] for calibration, none of them in the test set; used without labels."""

    def test(self, n: int | None = None) -> tuple[Tensor, Tensor]:
        """Inputs and targets of the first n test items, a default number without n; labels [n] (int64) of classes."""


@runtime_checkable
class Crops(Protocol):
    """Data with unlabelled inputs beside, more than there are labelled ones."""

    def crops(self, n: int) -> Tensor:
        """n unlabelled inputs [n, ...], none of them calibrated on."""


@dataclass(frozen=True, eq=False)
class Model:
    """A trained network with what is needed to quantize and to judge it.

    Members: `net` in eval mode with its weights, `card` the model card's path in the repository or None, `task` what
    its outputs are judged by, and the inputs: `calibration()` and `test(n)` as in `Data`, `crops(n)` as in `Crops`.
    """

    name: str
    net: nn.Module
    data: Data
    card: str | None = None
    task: Task = TOP1

    @property
    def metric(self) -> str:
        """The name of the task's metric."""
        return self.task.name

    def calibration(self) -> Tensor:
        """Calibration inputs [N, ...], disjoint from the test inputs."""
        return self.data.calibration()

    def test(self, n: int | None = None) -> tuple[Tensor, Tensor]:
        """Test inputs [n, ...] and targets, labels [n] of classes."""
        return self.data.test(n)

    def crops(self, n: int) -> Tensor:
        """n unlabelled inputs, where the model has such; else refused."""
        return crops(self.name, self.data, n)


def crops(name: str, data: Data, n: int) -> Tensor:
    """n unlabelled inputs of the model `name`, where its data have such; else refused."""
    if not isinstance(data, Crops):
        raise HwqError(f"{name} must have unlabelled crops, not test images alone; judge it without them")
    return data.crops(n)
