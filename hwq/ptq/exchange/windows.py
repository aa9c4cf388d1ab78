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
    size = op.get("kernel_shape", None) or shape
    if len(size) != 2 or op.get("auto_pad", "NOTSET") not in ("NOTSET", "VALID"):
        raise HwqError(f"{op.kind} at {op.output!r} must have rows and columns, and explicit padding")
    return Window(pair(size), pair(op.get("strides", [1, 1])))


def even_pads(op: Op) -> Pair:
    top, left, bottom, right = op.get("pads", [0, 0, 0, 0])
    if (top, left) != (bottom, right):
        raise HwqError(f"{op.kind} at {op.output!r} must be padded alike on both sides")
    return (int(top), int(left))


def padded(m: Importer, op: Op, name: str, window: Window) -> tuple[str, Window]:
    """A window with its padding; where that is not alike on both sides it is a move before it."""
    top, left, bottom, right = (int(n) for n in op.get("pads", [0, 0, 0, 0]))
    if (top, left) == (bottom, right):
        return name, replace(window, padding=(top, left))
    return m.net.call((name,), f"{op.output}:padded", padding([(0, 0), (top, bottom), (left, right)])), window


def padding(sides: list[tuple[int, int]]) -> Call:
    """Zeros around a value, (before, after) of each axis of an image."""
    flat = tuple(n for side in reversed(sides) for n in side)
    arguments = (("self", Input(0)), ("pad", flat), ("value", 0))
    return Call("constant_pad_nd.default", arguments, (Layout(), Layout()))
