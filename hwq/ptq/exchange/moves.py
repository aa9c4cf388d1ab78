"""How operators of ONNX that only move or compare codes are read."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch

from hwq.errors import HwqError
from hwq.ptq.call import Call, Held, Layout
from hwq.ptq.call import Value as Input
from hwq.ptq.exchange.parts import Codes, Constant, Move, Real, Sum, Value
from hwq.ptq.exchange.source import Op
from hwq.ptq.exchange.windows import even_pads, kernel, padding, pair

if TYPE_CHECKING:
    from hwq.ptq.exchange.onnx_in import Importer

__all__ = ["MOVES"]


def _max_pool(m: Importer, op: Op) -> Value:
    if op.get("ceil_mode", 0) or len(op.outputs) > 1 or op.get("storage_order", 0):
        raise HwqError(f"MaxPool at {op.output!r} must not round up, nor tell places")
    window = replace(kernel(op, ()), dilation=pair(op.get("dilations", [1, 1])), padding=even_pads(op))
    x = m.value(op, 0)
    if not isinstance(x, Codes | Real):
        raise HwqError(f"MaxPool at {op.output!r} must read quantized values")
    net = m.net
    return _same(x, net.add("maxpool", (x.name,), op.output, net.scale(x.name), net.fmt(x.name), window=window))


def _same(x: Codes | Real, name: str) -> Value:
    """What a move or comparison gives of codes, or of what they stand for."""
    return Codes(name) if isinstance(x, Codes) else Real(name, x.scale)


def _move(m: Importer, op: Op, move: Move) -> Value:
    x = m.value(op, 0)
    if isinstance(x, Sum):
        return replace(x, moves=(*x.moves, move))
    if isinstance(x, Codes | Real):
        return _same(x, m.net.moved(x.name, (move,), op.output))
    raise HwqError(f"{op.kind} at {op.output!r} must move quantized values")


def _reshape(m: Importer, op: Op) -> Value:
    return _move(m, op, Move(tuple(int(n) for n in m.array(op, 1))[1:]))


def _flatten(m: Importer, op: Op) -> Value:
    if op.get("axis", 1) != 1:
        raise HwqError(f"Flatten at {op.output!r} must have axis=1, not {op.get('axis', 1)}")
    return _move(m, op, Move((-1,)))


def _transpose(m: Importer, op: Op) -> Value:
    order = tuple(int(a) for a in op.get("perm", []))
    if not order or order[0] != 0:
        raise HwqError(f"Transpose at {op.output!r} must leave the images first")
    call = Call("permute.default", (("self", Input(0)), ("dims", order)), (Layout(), Layout()))
    return _move(m, op, Move(call=call))


def _concat(m: Importer, op: Op) -> Value:
    parts = [m.value(op, place) for place in range(len(op.inputs))]
    axis = int(op.get("axis", 1))
    constants = [part.numbers for part in parts if isinstance(part, Constant)]
    if len(constants) == len(parts):
        return Constant(np.concatenate(constants, axis))
    inputs = tuple(Input(i) for i in range(len(parts)))
    call = Call("cat.default", (("tensors", inputs), ("dim", axis)), (Layout(),) * (len(parts) + 1))
    if axis == 0 or not all(isinstance(part, Codes) for part in parts) and not all(isinstance(p, Real) for p in parts):
        raise HwqError(f"Concat at {op.output!r} must join quantized values of one image")
    if all(isinstance(part, Real) for part in parts):
        terms = tuple(m.real(op, place) for place in range(len(parts)))
        if len({(term.scale, m.net.fmt(term.name)) for term in terms}) == 1:
            return Real(m.net.call(tuple(term.name for term in terms), op.output, call), terms[0].scale)
        return Sum("concat", terms, moves=(Move(call=call),))
    names = tuple(part.name for part in parts if isinstance(part, Codes))
    return Codes(m.net.call(names, op.output, call))


def _gather(m: Importer, op: Op) -> Value:
    axis, places = int(op.get("axis", 0)), m.array(op, 1).astype(np.int64)
    if axis == 0 or places.ndim != 1:
        raise HwqError(f"Gather at {op.output!r} must pick places of one image, in a row")
    call = Call("index_select.default", (("self", Input(0)), ("dim", axis), ("index", Held("index"))), (Layout(),) * 2)
    return _move(m, op, Move(call=call, held={"index": torch.from_numpy(places)}))


def _pad(m: Importer, op: Op) -> Value:
    x = m.value(op, 0)
    pads = [int(n) for n in (op.get("pads", None) or m.array(op, 1))]
    if not isinstance(x, Codes | Real) or op.get("mode", "constant") != "constant":
        raise HwqError(f"Pad at {op.output!r} must fill quantized values with a constant")
    fill = float(m.array(op, 2, 0).item())
    rank = len(pads) // 2
    nothing = m.zeros.get(x.name, 0) if isinstance(x, Codes) else 0
    if fill != nothing or pads[0] or pads[rank]:
        raise HwqError(f"Pad at {op.output!r} must fill in what stands for 0, within images")
    return _move(m, op, Move(call=padding([(pads[i], pads[rank + i]) for i in range(1, rank)])))


def _expand(m: Importer, op: Op) -> Value:
    """A constant repeated for every image."""
    x = m.value(op, 0)
    if not isinstance(x, Constant):
        raise HwqError(f"Expand at {op.output!r} must repeat a constant")
    return x


def _identity(m: Importer, op: Op) -> Value:
    return m.value(op, 0)


def _shape(m: Importer, op: Op) -> Value:
    """Only the number of images is asked for, and what that serves ignores it."""
    return Constant(np.array([-1]))


MOVES = {
    "MaxPool": _max_pool,
    "Reshape": _reshape,
    "Flatten": _flatten,
    "Transpose": _transpose,
    "Concat": _concat,
    "Gather": _gather,
    "Pad": _pad,
    "Expand": _expand,
    **dict.fromkeys(("Identity", "Dropout"), _identity),
    "Shape": _shape,
}
