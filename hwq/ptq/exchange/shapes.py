"""Sizes of values of an imported network, as torch tells them of tensors without numbers; images left out."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from hwq.errors import HwqError
from hwq.ptq.exchange.parts import Move, Sum
from hwq.ptq.graph import Node, apply

__all__ = ["Shape", "applied", "moved", "product"]

Shape = tuple[int, ...]


def applied(node: Node, read: Sequence[Shape], held: Mapping[str, Tensor]) -> Shape:
    """The sizes of what a node computes of values of sizes `read`, with the tensors it holds."""
    ports = {port: x.to("meta") for port, x in held.items()}
    try:
        return tuple(apply(node, [torch.zeros(1, *sizes, device="meta") for sizes in read], ports.get, 1).shape[1:])
    except (RuntimeError, IndexError) as error:
        raise HwqError(f"shapes of {node.name!r} must fit, not {' '.join(str(error).split())[:150]}") from error


def product(s: Sum, name: str, read: Sequence[Shape]) -> Shape:
    """The sizes of a product before it is moved."""
    held = {} if s.weight is None else {"weight": torch.zeros(s.weight.shape, device="meta")}
    names = tuple(term.name for term in s.terms)
    return applied(Node(name, "add" if s.op == "concat" else s.op, names, (), s.window), read, held)


def moved(shape: Shape, move: Move, name: str) -> Shape:
    """The sizes after a move."""
    if move.window is not None:
        return applied(Node(name, "maxpool", (name,), (), move.window), [shape], {})
    if move.call is not None:
        return applied(Node(name, "move", (name,), (), call=move.call), [shape], move.held)
    return _resolved(shape, move.shape, name)


def _resolved(read: Shape, asked: Shape, name: str) -> Shape:
    """The sizes of a reshape; 0 keeps one, -1 is what is left."""
    sizes = [read[i] if n == 0 and i < len(read) else n for i, n in enumerate(asked)]
    known = math.prod(n for n in sizes if n > 0)
    sizes = [math.prod(read) // max(known, 1) if n < 0 else n for n in sizes]
    if math.prod(sizes) != math.prod(read) or not sizes:
        raise HwqError(f"Reshape at {name!r} must keep images apart, not make {list(asked)} of {list(read)}")
    return tuple(sizes)
