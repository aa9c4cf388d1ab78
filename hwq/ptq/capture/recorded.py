"""A network as torch records it: the operators of aten, on two sizes of batch, which tell what is the batch."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.fx import traceback
from torch.fx.experimental.proxy_tensor import make_fx
from torch.utils.flop_counter import FlopCounterMode

from hwq.errors import HwqError
from hwq.ptq.call import Batch, Layout

__all__ = ["BATCHES", "Recording", "record"]

_RECURRENT = ("lstm", "gru", "rnn_tanh", "rnn_relu")
BATCHES = (2, 3)  # no size is twice a number in one of them and three times it in the other by chance


@dataclass(frozen=True)
class Recording:
    """The operators that a network runs, as two torch.fx graphs of the same nodes for 2 and for 3 images.

    `pairs` has each node with its twin; `constants` the value of each node that depends on no image, of 3 images where
    it has a batch; `macs` those of each call, of 3 images; `names` of parameters and buffers by node.
    """

    module: fx.GraphModule
    pairs: dict[fx.Node, fx.Node]
    constants: dict[fx.Node, Any]
    macs: dict[fx.Node, int]
    names: dict[fx.Node, str]

    @property
    def nodes(self) -> list[fx.Node]:
        """The nodes for 3 images, in order."""
        return list(self.module.graph.nodes)

    def layout(self, node: fx.Node) -> Layout | None:
        """Where the value has its images; None if nowhere."""
        fewer, more = (_shape(x) for x in (self.pairs[node], node))
        if fewer is None or more is None or len(fewer) != len(more):
            return None
        axes = [axis for axis, (few, many) in enumerate(zip(fewer, more, strict=True)) if few != many]
        if len(axes) != 1 or self.size(fewer[axes[0]], more[axes[0]]) is None:
            return None
        return Layout(axes[0], more[axes[0]] // BATCHES[1])

    def size(self, fewer: int, more: int) -> Batch | None:
        """What is `fewer` for 2 images and `more` for 3 as a multiple of the images."""
        times, left = divmod(more, BATCHES[1])
        return Batch(times) if left == 0 and fewer == times * BATCHES[0] else None

    def shape(self, node: fx.Node) -> tuple[int, ...]:
        """The shape that torch has for 3 images."""
        return _shape(node) or ()

    def values(self, images: Tensor) -> dict[fx.Node, Any]:
        """The value of every recorded node for 3 images."""
        run = _Values(self.module)
        run.run(images)
        return run.found

    def apart(self, node: fx.Node, value: Tensor) -> Tensor:
        """A recorded node's value with the images first, as a graph has it."""
        return (self.layout(node) or Layout()).from_torch(value)

    def is_float(self, node: fx.Node) -> bool:
        """True if the value is of floating point numbers."""
        return bool(node.meta["val"].dtype.is_floating_point)


def record(net: nn.Module, batch: Callable[[int], Tensor]) -> Recording:
    """What `net` does with `batch(n)`, n images."""
    fewer, more = (_traced(net, batch(size)) for size in BATCHES)
    left, right = list(fewer.graph.nodes), list(more.graph.nodes)
    if [node.target for node in left if node.op != "output"] != [node.target for node in right if node.op != "output"]:
        raise HwqError("the network must do the same for any number of images, not choose by it")
    pairs = dict(zip(right, left, strict=True))
    run = _Run(more)
    with torch.no_grad():
        run.run(batch(BATCHES[1]))
    return Recording(more, pairs, run.constants, run.macs, _names(net, more))


def _traced(net: nn.Module, images: Tensor) -> fx.GraphModule:
    with traceback.preserve_node_meta(), _paths(net), torch.no_grad():
        made: fx.GraphModule = make_fx(net, pre_dispatch=True)(images)
    made.graph.eliminate_dead_code()
    return made


@contextmanager
def _paths(net: nn.Module) -> Iterator[None]:
    """Notes at each recorded node the innermost module whose forward it is of."""
    entered: list[AbstractContextManager[Any]] = []

    def enter(path: str) -> Callable[..., None]:
        def hook(*_: object) -> None:
            entered.append(traceback.annotate({"path": path}))
            entered[-1].__enter__()

        return hook

    def leave(*_: object) -> None:
        entered.pop().__exit__(None, None, None)

    handles = []
    for path, module in net.named_modules():
        handles.append(module.register_forward_pre_hook(enter(path)))
        handles.append(module.register_forward_hook(leave, always_call=True))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _names(net: nn.Module, made: fx.GraphModule) -> dict[fx.Node, str]:
    """The first name of every parameter and buffer that is read; one that is read twice is one tensor."""
    held = {id(x): name for name, x in [*net.named_parameters(), *net.named_buffers()]}
    found: dict[fx.Node, str] = {}
    for node in made.graph.nodes:
        if node.op == "get_attr":
            name = held.get(id(getattr(made, str(node.target), None)))
            found |= {node: name} if name else {}
    return found


class _Run(fx.Interpreter):
    """Runs the recorded operators, keeping what depends on no image and counting multiply-accumulates."""

    def __init__(self, module: fx.GraphModule) -> None:
        super().__init__(module)
        self.constants: dict[fx.Node, Any] = {}
        self.macs: dict[fx.Node, int] = {}

    def run_node(self, n: fx.Node) -> Any:
        with FlopCounterMode(display=False) as counter:
            value = super().run_node(n)
        self.macs[n] = counter.get_total_flops() // 2 + _recurrent(n)
        if n.op not in ("placeholder", "output") and all(read in self.constants for read in n.all_input_nodes):
            self.constants[n] = value
        return value


class _Values(fx.Interpreter):
    """Runs the recorded operators, keeping every value."""

    def __init__(self, module: fx.GraphModule) -> None:
        super().__init__(module)
        self.found: dict[fx.Node, Any] = {}

    def run_node(self, n: fx.Node) -> Any:
        self.found[n] = super().run_node(n)
        return self.found[n]


def _recurrent(node: fx.Node) -> int:
    """Multiply-accumulates of an LSTM, a GRU or a plain recurrent layer, which torch does not count.

    Every matrix of weights meets every step of every sequence once.
    """
    if str(node.target).removeprefix("aten.").partition(".")[0] not in _RECURRENT:
        return 0
    entering, _, weights, *_ = node.args
    assert isinstance(entering, fx.Node) and isinstance(weights, list | tuple)
    shapes = [_shape(weight) or () for weight in weights if isinstance(weight, fx.Node)]
    return math.prod((_shape(entering) or ())[:-1]) * sum(math.prod(shape) for shape in shapes if len(shape) == 2)


def _shape(node: fx.Node) -> tuple[int, ...] | None:
    value = node.meta.get("val")
    return tuple(value.shape) if isinstance(value, Tensor) else None
