"""Recorded texts in compiled loops over blocks: the largest of measures, a word that a block shares, its elements."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from hwq.bits.loops import CHUNK, Arrays, Load, Named, Store, array_dtype, loop_body, parallel
from hwq.bits.source import Expr, compile_function
from hwq.bits.word import Word, variable

__all__ = ["SHARED", "compile_blocks"]

SHARED = "shared"
_TILE = 64  # blocks a stage: their elements stay in the nearest cache, and their shared words fill whole vectors

Measures = tuple[tuple[str, Word], ...]


def compile_blocks(
    measures: Mapping[str, Word],
    shared: Word,
    outputs: Sequence[Word],
    inputs: Mapping[str, Any],
    results: Sequence[Any],
    size: int,
) -> Callable[[Arrays], list[np.ndarray[Any, Any]]]:
    """A function of arrays [rows, length] that runs over blocks of `size` elements of a row; the last may be shorter.

    `measures` are texts over the inputs; the largest of a block is a variable of its name and range. `shared` is a text
    over those alone, and is the variable "shared" in the texts of `outputs`, which read the inputs too. All are of at
    most 64 bits. `inputs` and `results` are those of `compile_map`.
    """
    kinds = tuple((name, np.dtype(dtype)) for name, dtype in inputs.items())
    dtypes = tuple(map(np.dtype, results))
    return _blocks(tuple(measures.items()), shared, tuple(outputs), kinds, dtypes, size)  # type: ignore[no-any-return]


@lru_cache(maxsize=512)
def _blocks(
    measures: Measures,
    shared: Word,
    outputs: tuple[Word, ...],
    inputs: Named,
    results: tuple[np.dtype[Any], ...],
    size: int,
) -> Any:
    reads = [(name, f"p{j}", "%i", dtype) for j, (name, dtype) in enumerate(inputs)]
    writes = [(w, f"p{len(reads) + j}", "%i", d) for j, (w, d) in enumerate(zip(outputs, results, strict=True))]
    kernel = _Kernel(measures, shared, reads, writes, size)
    function = compile_function(kernel.source(), 4 + len(kernel.pointers), kernel.widest <= 64)

    def run(arrays: Arrays) -> list[np.ndarray[Any, Any]]:
        given = [np.ascontiguousarray(a, dtype=d) for a, (_, d) in zip(arrays, inputs, strict=True)]
        rows, length = given[0].shape
        out = [np.empty((rows, length), dtype=d) for d in results]
        if length and not length % size:  # no block sees where such a row ends
            rows, length = 1, rows * length
        per_row = -(-length // size)
        addresses = [a.ctypes.data for a in (*given, *out)]
        parallel(lambda lo, hi: function(lo, hi, length, per_row, *addresses), rows * per_row, max(1, CHUNK // size))
        return out

    return run


@dataclass(frozen=True)
class _Kernel:
    """The source of one function, and of the loops that it runs over a tile of blocks."""

    measures: Measures
    shared: Word
    reads: list[Load]
    writes: list[Store]
    size: int

    @property
    def pointers(self) -> list[str]:
        return [pointer for _, pointer, _, _ in (*self.reads, *self.writes)]

    @property
    def _given(self) -> str:
        return "".join(f", ptr noalias %{pointer}" for pointer in self.pointers)

    @property
    def _largest(self) -> list[Load]:
        """Where the largest of each measure lie."""
        words = [variable(name, measure.lo, measure.hi) for name, measure in self.measures]
        return [(str(w.attr), f"largest{j}", "%i", array_dtype(w)) for j, w in enumerate(words)]

    @property
    def _bodies(self) -> tuple[Expr, Expr, list[Expr]]:
        """The insides of the loops: what is shared, the outputs, the measures."""
        one = (SHARED, "shared", "%block", array_dtype(self.shared))
        return (
            loop_body(self._largest, [(self.shared, "shared", "%i", one[3])]),
            loop_body([*self.reads, one], self.writes),
            [loop_body(self.reads, [], [measure]) for _, measure in self.measures],
        )

    @property
    def widest(self) -> int:
        """Bits of the widest integer."""
        share, fill, reduce = self._bodies
        return max(body.widest for body in (share, fill, *reduce))

    def source(self) -> str:
        share, fill, reduce = self._bodies
        block = f"i64 %block, ptr noalias %shared{self._given}"
        lines = [
            line.replace("@table", f"@{name}") for name, body in (("s", share), ("f", fill)) for line in body.tables
        ]
        for tail in (False, True):
            for j, ((_, measure), body) in enumerate(zip(self.measures, reduce, strict=True)):
                kind = self._kinds[j]
                reduction = _reduction(measure, body, kind)
                lines += _loop(kind, f"reduce{j}", self._given[2:], reduction, f"{kind} %more", tail)
            lines += _loop("void", "fill", block, [line.replace("@table", "@f") for line in fill.lines], "void", tail)
        words = "".join(f"ptr noalias %{pointer}, " for _, pointer, _, _ in self._largest) + "ptr noalias %shared"
        lines += _loop("void", "share", words, [line.replace("@table", "@s") for line in share.lines], "void", False)
        return "\n".join([*lines, *self._kernel(), *_SCALAR])

    @property
    def _kinds(self) -> list[str]:
        return [f"i{dtype.itemsize * 8}" for *_, dtype in self._largest]

    def _reduce(self, name: str, first: str, last: str, block: str) -> list[str]:
        """The largest of each measure among elements [first, last), stored for that block of the tile."""
        given = "".join(f", ptr %{pointer}" for pointer in self.pointers)
        lines = []
        for j, kind in enumerate(self._kinds):
            lines += [
                f"  %m{j}{name} = call {kind} @reduce{j}{name}(i64 {first}, i64 {last}{given})",
                f"  %place{j}{name} = getelementptr {kind}, ptr %largest{j}, i64 {block}",
                f"  store {kind} %m{j}{name}, ptr %place{j}{name}",
            ]
        return lines

    def _kernel(self) -> list[str]:
        """Blocks [first, last): tiles that end where rows do, so that at most the last block of a tile is short."""
        size, given = self.size, "".join(f", ptr %{pointer}" for pointer in self.pointers)
        shared = f"i{array_dtype(self.shared).itemsize * 8}"
        words = "".join(f"ptr %largest{j}, " for j in range(len(self.measures))) + "ptr %shared"
        return [
            f"define void @kernel(i64 %first, i64 %last, i64 %length, i64 %perrow{self._given}) {{",
            "entry:",
            *[f"  %largest{j} = alloca [{_TILE} x {kind}], align 64" for j, kind in enumerate(self._kinds)],
            f"  %shared = alloca [{_TILE} x {shared}], align 64",
            "  %some = icmp slt i64 %first, %last",
            "  br i1 %some, label %tile, label %done",
            "tile:",
            "  %block = phi i64 [ %first, %entry ], [ %next, %filled ]",
            "  %row = udiv i64 %block, %perrow",
            "  %before = mul i64 %row, %perrow",
            "  %inrow = sub i64 %block, %before",
            "  %rowstart = mul i64 %row, %length",
            "  %rowend = add i64 %rowstart, %length",
            f"  %skip = mul i64 %inrow, {size}",
            "  %start = add i64 %rowstart, %skip",
            "  %rest = sub i64 %perrow, %inrow",
            "  %ahead = sub i64 %last, %block",
            "  %a = call i64 @llvm.smin.i64(i64 %rest, i64 %ahead)",
            f"  %count = call i64 @llvm.smin.i64(i64 %a, i64 {_TILE})",
            "  %elements = sub i64 %rowend, %start",
            f"  %fit = udiv i64 %elements, {size}",
            "  %full = call i64 @llvm.smin.i64(i64 %fit, i64 %count)",
            f"  %wholes = mul i64 %full, {size}",
            "  %tail = add i64 %start, %wholes",
            "  %short = icmp slt i64 %full, %count",
            "  %whole = icmp sgt i64 %full, 0",
            "  br i1 %whole, label %reduce, label %reduced",
            "reduce:",
            "  %t = phi i64 [ 0, %tile ], [ %t1, %reduce ]",
            "  %at = phi i64 [ %start, %tile ], [ %to, %reduce ]",
            f"  %to = add i64 %at, {size}",
            *self._reduce("", "%at", "%to", "%t"),
            "  %t1 = add i64 %t, 1",
            "  %again = icmp slt i64 %t1, %full",
            "  br i1 %again, label %reduce, label %reduced",
            "reduced:",
            "  br i1 %short, label %reducetail, label %share",
            "reducetail:",
            *self._reduce("tail", "%tail", "%rowend", "%full"),
            "  br label %share",
            "share:",
            f"  call void @share(i64 0, i64 %count, {words})",
            "  br i1 %whole, label %fill, label %rest0",
            "fill:",
            "  %u = phi i64 [ 0, %share ], [ %u1, %fill ]",
            "  %from = phi i64 [ %start, %share ], [ %until, %fill ]",
            f"  %until = add i64 %from, {size}",
            f"  call void @fill(i64 %from, i64 %until, i64 %u, ptr %shared{given})",
            "  %u1 = add i64 %u, 1",
            "  %mores = icmp slt i64 %u1, %full",
            "  br i1 %mores, label %fill, label %rest0",
            "rest0:",
            "  br i1 %short, label %filltail, label %filled",
            "filltail:",
            f"  call void @filltail(i64 %tail, i64 %rowend, i64 %full, ptr %shared{given})",
            "  br label %filled",
            "filled:",
            "  %next = add i64 %block, %count",
            "  %left = icmp slt i64 %next, %last",
            "  br i1 %left, label %tile, label %done",
            "done:",
            "  ret void",
            "}",
            "declare i64 @llvm.smin.i64(i64, i64)",
        ]


_SCALAR = [
    "!0 = distinct !{!0, !1, !2}",
    '!1 = !{!"llvm.loop.vectorize.enable", i1 false}',
    '!2 = !{!"llvm.loop.unroll.disable"}',
]


def _reduction(measure: Word, body: Expr, kind: str) -> list[str]:
    """The inside of a loop that keeps the largest."""
    most = body.get(measure, int(kind[1:]))
    return [
        f"  %most = phi {kind} [ {measure.lo}, %entry ], [ %more, %loop ]",
        *body.lines,
        f"  %above = icmp sgt {kind} {most}, %most",
        f"  %more = select i1 %above, {kind} {most}, {kind} %most",
    ]


def _loop(kind: str, name: str, arguments: str, lines: list[str], result: str, tail: bool) -> list[str]:
    """A function with a loop of i from %first to %last, at least once. Of a short block it is short code, not fast."""
    return [
        f"define internal {kind} @{name}{'tail' * tail}(i64 %first, i64 %last, {arguments}) "
        f"{'noinline' if tail else 'alwaysinline'} {{",
        "entry:",
        "  br label %loop",
        "loop:",
        "  %i = phi i64 [ %first, %entry ], [ %next, %loop ]",
        *lines,
        "  %next = add nuw nsw i64 %i, 1",
        "  %again = icmp slt i64 %next, %last",
        f"  br i1 %again, label %loop, label %out{', !llvm.loop !0' * tail}",
        "out:",
        f"  ret {result}",
        "}",
    ]
