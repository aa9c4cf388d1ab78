"""How operators of ONNX that only move or compare codes are read."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch

from hwq.errors import HwqError
from hwq.ptq.call import Call, Held, Layout
from hwq.ptq.call import Value as Input
from hwq.ptq.exchange.parts import Array, Codes, Constant, Entry, Move, Real, Sum, Value
from hwq.ptq.exchange.source import Op
from hwq.ptq.exchange.windows import even_pads, kernel, padding

if TYPE_CHECKING:
    from hwq.ptq.exchange.onnx_in import Importer

__all__ = ["MOVES"]


def _max_pool(m: Importer, op: Op) -> Value:
    if op.get("ceil_mode", 0) or len(op.outputs) > 1 or op.get("storage_order", 0):
        raise HwqError(f"MaxPool at {op.output!r} must not round up, nor tell places")
    window = kernel(op, ())
    x = m.value(op, 0)
    if not isinstance(x, Codes | Real | Sum):
        raise HwqError(f"MaxPool at {op.output!r} must read quantized values")
    window = replace(window, padding=even_pads(op, window, m.shape(x)))
    if isinstance(x, Sum):  # the larger of two numbers has the larger code
        return replace(x, moves=(*x.moves, Move(window=window)))
    return _same(x, m.net.moved(x.name, (Move(window=window),), op.output))


def _same(x: Codes | Real, name: str) -> Value:
    """What a move or comparison gives of codes, or of what they stand for."""
    return Codes(name, x.zero) if isinstance(x, Codes) else Real(name, x.scale)


def _move(m: Importer, op: Op, *moves: Move) -> Value:
    x = m.value(op, 0)
    if isinstance(x, Sum | Entry):
        return replace(x, moves=(*x.moves, *moves))
    if isinstance(x, Codes | Real):
        return _same(x, m.net.moved(x.name, moves, op.output))
    raise HwqError(f"{op.kind} at {op.output!r} must move quantized values")


def _constant(x: Constant, move: Callable[[Array], Array], op: Op, axes: Sequence[int] = ()) -> Constant:
    """A constant moved; `axes` are those of the result where each axis stays one."""
    codes = None if x.codes is None else move(x.codes)
    if codes is None or x.scale is None or x.scale.size == 1:
        return replace(x, numbers=move(x.numbers), codes=codes)
    if not axes:
        raise HwqError(f"{op.kind} at {op.output!r} must read a constant of one scale")
    return replace(x, numbers=move(x.numbers), codes=codes, axis=list(axes).index(x.axis))


def _reshape(m: Importer, op: Op) -> Value:
    x, asked = m.value(op, 0), [int(n) for n in m.array(op, 1)]
    if isinstance(x, Constant):
        sizes = [x.numbers.shape[i] if n == 0 else n for i, n in enumerate(asked)]
        return _constant(x, lambda array: array.reshape(sizes), op)
    return _move(m, op, Move(tuple(asked)[1:]))


def _flatten(m: Importer, op: Op) -> Value:
    if op.get("axis", 1) != 1:
        raise HwqError(f"Flatten at {op.output!r} must have axis=1, not {op.get('axis', 1)}")
    return _move(m, op, Move((-1,)))


def _squeeze(m: Importer, op: Op) -> Value:
    """Axes of size 1 left out or put in; in what is made of an image they are a reshape."""
    x, add = m.value(op, 0), op.kind == "Unsqueeze"
    given = op.get("axes", None) or (m.array(op, 1).tolist() if op.input(1) else None)
    shape = [-1, *m.shape(x)] if not isinstance(x, Constant) else list(x.numbers.shape)
    rank = len(shape) + (len(given or ()) if add else 0)
    axes = [int(a) % rank for a in given] if given is not None else [i for i, n in enumerate(shape) if n == 1]
    if isinstance(x, Constant):
        there, moved = tuple(axes), np.expand_dims if add else np.squeeze
        return _constant(x, lambda array: moved(array, there), op)
    left = iter(shape)
    sizes = (
        [1 if i in axes else next(left) for i in range(rank)]
        if add
        else [n for i, n in enumerate(shape) if i not in axes]
    )
    if 0 in axes:
        raise HwqError(f"{op.kind} at {op.output!r} must keep images apart")
    return _move(m, op, Move(tuple(sizes[1:])))


def _transpose(m: Importer, op: Op) -> Value:
    x, order = m.value(op, 0), tuple(int(a) for a in op.get("perm", []))
    if isinstance(x, Constant):
        order = order or tuple(reversed(range(x.numbers.ndim)))
        return _constant(x, lambda array: array.transpose(order), op, order)
    if not order or order[0] != 0:
        raise HwqError(f"Transpose at {op.output!r} must leave the images first")
    call = Call("permute.default", (("self", Input(0)), ("dims", order)), (Layout(), Layout()))
    return _move(m, op, Move(call=call))


def _cast(m: Importer, op: Op) -> Value:
    """A constant in another type, whose numbers stay; what is quantized keeps its codes."""
    x = m.value(op, 0)
    if isinstance(x, Constant | Entry | Real):
        return x
    raise HwqError(f"Cast at {op.output!r} must read a constant or quantized values, not what is not yet quantized")


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
    codes = [part for part in parts if isinstance(part, Codes)]
    if len({(part.zero, m.net.fmt(part.name)) for part in codes}) != 1:
        raise HwqError(f"Concat at {op.output!r} must join codes of one zero point")
    return Codes(m.net.call(tuple(part.name for part in codes), op.output, call), codes[0].zero)


def _gather(m: Importer, op: Op) -> Value:
    axis, places, x = int(op.get("axis", 0)), m.array(op, 1).astype(np.int64), m.value(op, 0)
    if isinstance(x, Constant):
        return _constant(x, lambda array: array.take(places, axis), op)
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
    nothing = x.zero if isinstance(x, Codes) else 0
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
    """Sizes, -1 for that of the batch: what is asked for is the number of images, or sizes for a reshape."""
    x = m.value(op, 0)
    sizes = x.numbers.shape if isinstance(x, Constant) else (-1, *m.shape(x))
    return Constant(np.array(sizes[op.get("start", 0) : op.get("end", None)]))


def _slice(m: Importer, op: Op) -> Value:
    """A part of a value, or of a constant."""
    x = m.value(op, 0)
    starts, ends = (m.array(op, place).astype(np.int64).tolist() for place in (1, 2))
    axes = m.array(op, 3, np.arange(len(starts))).tolist()
    steps = m.array(op, 4, np.ones(len(starts))).astype(np.int64).tolist()
    cuts = list(zip(axes, starts, ends, steps, strict=True))
    if isinstance(x, Constant):
        where = [slice(None)] * x.numbers.ndim
        for axis, start, end, step in cuts:
            where[int(axis)] = slice(start, end, step)
        return _constant(x, lambda array: array[tuple(where)], op)
    if any(int(axis) == 0 or step < 1 for axis, _, _, step in cuts):
        raise HwqError(f"Slice at {op.output!r} must go forward, within images")
    return _move(m, op, *(Move(call=_cut(int(axis), *rest)) for axis, *rest in cuts))


def _cut(axis: int, start: int, end: int, step: int) -> Call:
    arguments = (("self", Input(0)), ("dim", axis), ("start", start), ("end", end), ("step", step))
    return Call("slice.Tensor", arguments, (Layout(), Layout()))


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
    "Cast": _cast,
    "Slice": _slice,
    **dict.fromkeys(("Squeeze", "Unsqueeze"), _squeeze),
}
