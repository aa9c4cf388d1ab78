"""Recorded texts as compiled loops over arrays: elementwise (`compile_map`) and along a sum (`compile_scan`)."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import Any

import numpy as np

from hwq.bits.ints import topological
from hwq.bits.source import Expr, compile_function, size_of
from hwq.bits.word import Word
from hwq.errors import HwqError

__all__ = [
    "CHUNK",
    "Arrays",
    "Load",
    "Named",
    "Store",
    "array_dtype",
    "compile_map",
    "compile_scan",
    "from_wide",
    "loop_body",
    "parallel",
    "pieces",
    "threads",
    "to_wide",
]

Arrays = Sequence[np.ndarray[Any, Any]]

CHUNK = 1 << 16  # elements below which a second thread costs more than it brings
_ROW = 512  # columns below which parameters are repeated, so that the inner loop is long enough for vectors


def array_dtype(word: Word) -> np.dtype[Any]:
    """The dtype of an array that carries the word: int32, int64, or little-endian bytes (V) beyond."""
    size = size_of(word.lo, word.hi)
    return np.dtype(f"i{size // 8}") if size <= 64 else np.dtype(f"V{size // 8}")


def from_wide(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Integers from an array of little-endian two's complement bytes (V), as Python ints."""
    raw = [int.from_bytes(x.tobytes(), "little", signed=True) for x in array.reshape(-1)]
    out = np.empty(len(raw), dtype=object)
    out[:] = raw
    return out.reshape(array.shape)


def to_wide(numbers: Any, dtype: np.dtype[Any]) -> np.ndarray[Any, Any]:
    """Python ints (any array of integers) as an array of that V dtype."""
    array = np.asarray(numbers)
    raw = b"".join(int(x).to_bytes(dtype.itemsize, "little", signed=True) for x in array.reshape(-1))
    return np.frombuffer(raw, dtype=dtype).reshape(array.shape)


def compile_map(
    outputs: Sequence[Word], inputs: Mapping[str, Any], results: Sequence[Any], columns: Mapping[str, Any] | None = None
) -> Callable[..., list[np.ndarray[Any, Any]]]:
    """An elementwise function of arrays: `outputs[j][i]` from the input words' values at `i`.

    `inputs` maps variable names, in order, to numpy dtypes: integers, floats that hold integers, or V (wide);
    `results` gives the dtype of each output, into which it wraps. `columns` names inputs with one value per column:
    the function is called `run(arrays, column_arrays)`, each column array of the length of the arrays' last axis.
    """
    return _map(  # type: ignore[no-any-return]  # lru_cache drops the types
        tuple(outputs),
        tuple((k, np.dtype(v)) for k, v in inputs.items()),
        tuple(map(np.dtype, results)),
        tuple((k, np.dtype(v)) for k, v in (columns or {}).items()),
    )


Named = tuple[tuple[str, np.dtype[Any]], ...]
Load = tuple[str, str, str, np.dtype[Any]]  # variable, pointer, index, dtype
Store = tuple[Word, str, str, np.dtype[Any]]


@lru_cache(maxsize=512)
def _map(outputs: tuple[Word, ...], inputs: Named, results: tuple[np.dtype[Any], ...], columns: Named) -> Any:
    loads = [
        (name, f"p{j}", "%i" if j < len(inputs) else "%c", dtype) for j, (name, dtype) in enumerate((*inputs, *columns))
    ]
    stores = [(w, f"p{len(loads) + j}", "%i", d) for j, (w, d) in enumerate(zip(outputs, results, strict=True))]
    body, pointers = loop_body(loads, stores), [pointer for _, pointer, _, _ in (*loads, *stores)]
    function = compile_function(_map_source(body, pointers), 3 + len(pointers), body.widest <= 64)

    def run(arrays: Arrays, per_column: Arrays = ()) -> list[np.ndarray[Any, Any]]:
        given = [np.ascontiguousarray(a, dtype=d) for a, (_, d) in zip(arrays, inputs, strict=True)]
        width = per_column[0].size if columns else given[0].size
        times = -(-_ROW // width) if columns and 0 < width < _ROW else 1
        along = [np.tile(np.asarray(a, dtype=d), times) for a, (_, d) in zip(per_column, columns, strict=True)]
        out = [np.empty(np.shape(arrays[0]), dtype=d) for d in results]
        addresses = [a.ctypes.data for a in (*given, *along, *out)]
        parallel(lambda lo, hi: function(lo, hi, max(1, width * times), *addresses), given[0].size)
        return out

    return run


def loop_body(loads: Sequence[Load], stores: Sequence[Store], kept: Sequence[Word] = ()) -> Expr:
    """The inside of a loop: read the variables that the stored and kept words depend on, compute, write."""
    body = Expr()
    order = topological([*(word for word, *_ in stores), *kept])
    variables = {str(w.attr): w for w in order if w.op == "var"}
    for name, pointer, index, dtype in loads:
        if name in variables:
            body.load(variables[name], pointer, index, dtype)
    for word in order:
        if word.op != "var":
            body.put(word)
    for word, pointer, index, dtype in stores:
        body.store(word, pointer, index, dtype)
    return body


def _map_source(body: Expr, pointers: list[str]) -> str:
    """Elements [first, last) in runs that end where the columns do, so that the inner loop has no division."""
    arguments = ", ".join(f"ptr noalias %{p}" for p in pointers)
    return "\n".join(
        [
            *body.tables,
            f"define void @kernel(i64 %first, i64 %last, i64 %columns, {arguments}) {{",
            "entry:",
            "  %some = icmp slt i64 %first, %last",
            "  br i1 %some, label %row, label %done",
            "row:",
            "  %start = phi i64 [ %first, %entry ], [ %end, %more ]",
            "  %column = urem i64 %start, %columns",
            "  %base = sub nsw i64 %start, %column",
            "  %full = add nsw i64 %base, %columns",
            "  %short = icmp slt i64 %last, %full",
            "  %end = select i1 %short, i64 %last, i64 %full",
            "  br label %loop",
            "loop:",
            "  %i = phi i64 [ %start, %row ], [ %next, %loop ]",
            "  %c = sub nsw i64 %i, %base",
            *body.lines,
            "  %next = add nuw nsw i64 %i, 1",
            "  %again = icmp slt i64 %next, %end",
            "  br i1 %again, label %loop, label %more",
            "more:",
            "  %left = icmp slt i64 %end, %last",
            "  br i1 %left, label %row, label %done",
            "done:",
            "  ret void",
            "}",
        ]
    )


def compile_scan(
    state: Mapping[str, Word], after: Sequence[Word], rows: Mapping[str, Any], columns: Mapping[str, Any]
) -> Callable[[Arrays, Arrays], list[np.ndarray[Any, Any]]]:
    """An ordered recurrence: for k = 0 .. K-1, `state = after(state, row[m, k], column[k, n])`, from zeros.

    `state` names the state words that `after` reads and replaces; `rows` and `columns` map variable names to dtypes.
    The function takes the arrays [..., M, K] and [..., K, N] in those orders, leading axes alike, and returns each
    state [..., M, N] in its `array_dtype`.
    """
    return _scan(  # type: ignore[no-any-return]
        tuple(state.items()),
        tuple(after),
        tuple((k, np.dtype(v)) for k, v in rows.items()),
        tuple((k, np.dtype(v)) for k, v in columns.items()),
    )


@lru_cache(maxsize=256)
def _scan(state: tuple[tuple[str, Word], ...], after: tuple[Word, ...], rows: Named, columns: Named) -> Any:
    kept = [(name, array_dtype(word)) for name, word in state]
    at = ["%mk"] * len(rows) + ["%kn"] * len(columns) + ["%mn"] * len(kept)
    loads = [(name, f"p{j}", at[j], dtype) for j, (name, dtype) in enumerate((*rows, *columns, *kept))]
    own = loads[len(rows) + len(columns) :]
    stores = [(word, pointer, index, dtype) for word, (_, pointer, index, dtype) in zip(after, own, strict=True)]
    body, pointers = loop_body(loads, stores), [pointer for _, pointer, _, _ in loads]
    function = compile_function(_scan_source(body, pointers), 5 + len(pointers), body.widest <= 64)

    def run(by_row: Arrays, by_column: Arrays) -> list[np.ndarray[Any, Any]]:
        a = [np.ascontiguousarray(x, dtype=d) for x, (_, d) in zip(by_row, rows, strict=True)]
        w = [np.ascontiguousarray(x, dtype=d) for x, (_, d) in zip(by_column, columns, strict=True)]
        (m, k), n = a[0].shape[-2:], w[0].shape[-1]
        out = [np.zeros((*a[0].shape[:-1], n), dtype=d) for _, d in kept]
        addresses = [x.ctypes.data for x in (*a, *w, *out)]
        if n and k:
            grain = max(1, CHUNK // (k * n))
            parallel(lambda lo, hi: function(lo, hi, m, k, n, *addresses), out[0].size // n, grain)
        return out

    return run


def _scan_source(body: Expr, pointers: list[str]) -> str:
    """Loops m, k, n: the innermost runs over independent sums, so that it can be vectorised and order is kept.

    m counts through the rows of all leading axes, and every `%M` of them meet columns of their own.
    """
    arguments = ", ".join(f"ptr noalias %{p}" for p in pointers)
    return "\n".join(
        [
            *body.tables,
            f"define void @kernel(i64 %first, i64 %last, i64 %M, i64 %K, i64 %N, {arguments}) {{",
            "entry:",
            "  %some = icmp slt i64 %first, %last",
            "  br i1 %some, label %row, label %done",
            "row:",
            "  %m = phi i64 [ %first, %entry ], [ %m1, %rowend ]",
            "  %mK = mul nsw i64 %m, %K",
            "  %mN = mul nsw i64 %m, %N",
            "  %group = udiv i64 %m, %M",
            "  %gK = mul nsw i64 %group, %K",
            "  br label %term",
            "term:",
            "  %k = phi i64 [ 0, %row ], [ %k1, %termend ]",
            "  %mk = add nsw i64 %mK, %k",
            "  %gk = add nsw i64 %gK, %k",
            "  %kN = mul nsw i64 %gk, %N",
            "  br label %loop",
            "loop:",
            "  %n = phi i64 [ 0, %term ], [ %n1, %loop ]",
            "  %mn = add nsw i64 %mN, %n",
            "  %kn = add nsw i64 %kN, %n",
            *body.lines,
            "  %n1 = add nuw nsw i64 %n, 1",
            "  %nmore = icmp slt i64 %n1, %N",
            "  br i1 %nmore, label %loop, label %termend",
            "termend:",
            "  %k1 = add nuw nsw i64 %k, 1",
            "  %kmore = icmp slt i64 %k1, %K",
            "  br i1 %kmore, label %term, label %rowend",
            "rowend:",
            "  %m1 = add nuw nsw i64 %m, 1",
            "  %mmore = icmp slt i64 %m1, %last",
            "  br i1 %mmore, label %row, label %done",
            "done:",
            "  ret void",
            "}",
        ]
    )


def threads() -> int:
    """Worker threads of the compiled kernels: HWQ_THREADS, else the processors this process may use."""
    text = os.environ.get("HWQ_THREADS", "")
    if text:
        if not text.isdigit() or int(text) < 1:
            raise HwqError(f"HWQ_THREADS must be a positive whole number, not {text!r}")
        return int(text)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@lru_cache(maxsize=4)
def _pool(workers: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(workers, thread_name_prefix="hwq")


def parallel(span: Callable[[int, int], None], n: int, grain: int = CHUNK) -> None:
    """Call `span(first, last)` over [0, n) in as many pieces as there are threads."""
    workers = min(threads(), n // grain) if n >= 2 * grain else 1
    if workers == 1:
        span(0, n)
        return
    edges = [n * j // workers for j in range(workers + 1)]
    list(_pool(workers).map(span, edges[:-1], edges[1:]))


def pieces(groups: int, rows: int, many: int, most: int) -> list[tuple[slice, slice]]:
    """Slices that cover [groups, rows]: `many` groups of at most `most` rows each, group after group."""
    return [(slice(g, g + many), slice(at, at + most)) for g in range(0, groups, many) for at in range(0, rows, most)]
