"""Windows of convolutions and pools as ONNX has them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from hwq.errors import HwqError
from hwq.ptq.call import Call, Layout
from hwq.ptq.call import Value as Input
from hwq.ptq.exchange.source import Op
from hwq.ptq.graph import Pair, Window

if TYPE_CHECKING:
    from hwq.ptq.exchange.onnx_in import Importer

__all__ = ["even_pads", "kernel", "padded", "padding", "pair"]


def pair(value: Any) -> Pair:
    return (int(value[0]), int(value[-1]))


def kernel(op: Op, shape: tuple[int, ...]) -> Window:
    """A window of an operator, without its padding."""
    size = op.get("kernel_shape", None) or shape
    if len(size) != 2:
        raise HwqError(f"{op.kind} at {op.output!r} must have rows and columns, not {len(size)} axes")
    if len(shape) == 2 and pair(size) != pair(shape):
        raise HwqError(f"the kernel of {op.kind} at {op.output!r} must be that of its weights, not {list(size)}")
    window = Window(pair(size), pair(op.get("strides", [1, 1])), dilation=pair(op.get("dilations", [1, 1])))
    if min(*window.stride, *window.dilation) < 1:
        raise HwqError(f"steps of {op.kind} at {op.output!r} must be 1 or more, not {list(window.stride)}")
    return window


def _pads(op: Op, window: Window, shape: tuple[int, ...]) -> tuple[int, int, int, int]:
    """Padding (top, left, bottom, right) of a value of `shape`, as it is written or as `auto_pad` asks for it."""
    mode = op.get("auto_pad", "NOTSET")
    if mode in ("NOTSET", "VALID"):
        pads = [int(n) for n in op.get("pads", [0, 0, 0, 0])]
        if len(pads) != 4 or min(pads) < 0:
            raise HwqError(f"pads of {op.kind} at {op.output!r} must be four numbers of 0 or more, not {pads}")
        top, left, bottom, right = pads
        return top, left, bottom, right
    if mode not in ("SAME_UPPER", "SAME_LOWER"):
        raise HwqError(f"auto_pad of {op.kind} at {op.output!r} must be NOTSET, VALID or SAME_..., not {mode!r}")
    sides = []
    for size, k, step, gap in zip(shape[1:], window.kernel, window.stride, window.dilation, strict=True):
        both = max(0, (-(-size // step) - 1) * step + (k - 1) * gap + 1 - size)
        sides.append((both // 2, both - both // 2)[:: 1 if mode == "SAME_UPPER" else -1])
    (top, bottom), (left, right) = sides
    return top, left, bottom, right


def even_pads(op: Op, window: Window, shape: tuple[int, ...]) -> Pair:
    """Padding of rows and columns of a pool."""
    top, left, bottom, right = _pads(op, window, shape)
    if (top, left) != (bottom, right):
        raise HwqError(f"{op.kind} at {op.output!r} must be padded alike on both sides")
    return (top, left)


def padded(m: Importer, op: Op, name: str, window: Window) -> tuple[str, Window]:
    """A window with its padding; where that is not alike on both sides it is a move before it."""
    top, left, bottom, right = _pads(op, window, m.net.shape(name))
    if (top, left) == (bottom, right):
        return name, replace(window, padding=(top, left))
    return m.net.call((name,), f"{op.output}:padded", padding([(0, 0), (top, bottom), (left, right)])), window


def padding(sides: list[tuple[int, int]]) -> Call:
    """Zeros around a value, (before, after) of each axis of an image."""
    flat = tuple(n for side in reversed(sides) for n in side)
    arguments = (("self", Input(0)), ("pad", flat), ("value", 0))
    return Call("constant_pad_nd.default", arguments, (Layout(), Layout()))
