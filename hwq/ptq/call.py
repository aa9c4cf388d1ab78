"""A torch operator as data: what a graph says of operators that hwq does not take apart, such as softmax or permute."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from hwq.errors import HwqError

__all__ = ["Batch", "Call", "Held", "Layout", "Value"]

_FLOAT_ONLY = ("upsample", "reflection_pad", "replication_pad")  # torch has these for floats and bytes alone


@dataclass(frozen=True)
class Value:
    """Stands for the node's input number `index`."""

    index: int


@dataclass(frozen=True)
class Held:
    """Stands for a tensor kept beside the graph as (node, port); `axis`, where given, repeats it for every image."""

    port: str
    axis: int | None = None


@dataclass(frozen=True)
class Batch:
    """Stands for a size: `times` the number of images."""

    times: int


@dataclass(frozen=True)
class Layout:
    """Where torch has the images of a tensor: along `axis`, `times` elements each.

    A `Graph` has them along the first axis, and what is theirs along the second one where there is more than one.
    """

    axis: int = 0
    times: int = 1

    def to_torch(self, x: Tensor) -> Tensor:
        """From the graph's order of axes to torch's."""
        merged = x.flatten(0, 1) if self.times > 1 else x
        return merged.movedim(0, self.axis) if self.axis else merged

    def from_torch(self, x: Tensor) -> Tensor:
        """From torch's order of axes to the graph's."""
        first = x.movedim(self.axis, 0) if self.axis else x
        return first.reshape(-1, self.times, *first.shape[1:]) if self.times > 1 else first


@dataclass(frozen=True)
class Call:
    """The operator `target` ("softmax.int") of torch's aten, its arguments by name, and which of its results is taken.

    Arguments are numbers, names, types, tuples of such, and the stand-ins `Value`, `Held` and `Batch`. `layouts` has
    that of each input and last that of the result. `macs` are those of one image where torch can tell.
    """

    target: str
    arguments: tuple[tuple[str, Any], ...]
    layouts: tuple[Layout, ...]
    pick: int | None = None
    macs: int = 0

    @property
    def name(self) -> str:
        """The operator without its overload: "softmax"."""
        return self.target.partition(".")[0]

    def run(self, read: list[Tensor], held: Callable[[str], Tensor], images: int) -> Tensor:
        """The result [N, ...] of the inputs `read` [N, ...]; `held` gives a kept tensor by its port."""
        given = [layout.to_torch(x) for layout, x in zip(self.layouts, read, strict=False)]

        def filled(argument: Any) -> Any:
            match argument:
                case Value(index):
                    return given[index]
                case Held(port, axis):
                    x = held(port)
                    return x if axis is None else torch.cat([x] * images, axis)
                case Batch(times):
                    return times * images
                case tuple():
                    return [filled(part) for part in argument]
            return argument

        made = _operator(self.target)(**{name: filled(argument) for name, argument in self.arguments})
        return self.layouts[-1].from_torch(made if self.pick is None else made[self.pick])

    def move(self, read: list[Tensor], held: Callable[[str], Tensor], images: int) -> Tensor:
        """`run` on codes, which an operator that only moves them gives back as they are."""
        if not self.name.startswith(_FLOAT_ONLY):
            return self.run(read, held, images)
        return self.run([x.double() for x in read], held, images).to(read[0].dtype)

    def json(self) -> dict[str, Any]:
        """The call as plain data, for `from_json`."""
        return {
            "target": self.target,
            "arguments": [[name, _plain(argument)] for name, argument in self.arguments],
            "layouts": [[layout.axis, layout.times] for layout in self.layouts],
            "pick": self.pick,
            "macs": self.macs,
        }

    @classmethod
    def from_json(cls, record: dict[str, Any]) -> Call:
        """The call that `json` described."""
        arguments = tuple((name, _stood_in(argument)) for name, argument in record["arguments"])
        layouts = tuple(Layout(*layout) for layout in record["layouts"])
        return cls(record["target"], arguments, layouts, record["pick"], record["macs"])


def _operator(target: str) -> Any:
    name, _, overload = target.partition(".")
    packet = getattr(torch.ops.aten, name, None)
    if packet is None or overload not in packet.overloads():
        raise HwqError(f"this version of torch must have the operator {target!r}; use the one that traced the network")
    return getattr(packet, overload)


_STAND_INS: dict[str, Callable[..., Any]] = {"value": Value, "held": Held, "batch": Batch}


def _plain(argument: Any) -> Any:
    match argument:
        case Value(index):
            return {"value": [index]}
        case Held(port, axis):
            return {"held": [port, axis]}
        case Batch(times):
            return {"batch": [times]}
        case torch.dtype():
            return {"dtype": str(argument).removeprefix("torch.")}
        case tuple():
            return [_plain(part) for part in argument]
    return argument


def _stood_in(argument: Any) -> Any:
    if isinstance(argument, list):
        return tuple(map(_stood_in, argument))
    if isinstance(argument, dict):
        ((kind, given),) = argument.items()
        return getattr(torch, given) if kind == "dtype" else _STAND_INS[kind](*given)
    return argument
