"""Reader 2, the fast path: prints a recorded text as scalar LLVM source and compiles it into an array loop.

Each node is computed in the narrowest of 32, 64 or 128 bits that its proved range needs, so the vectoriser sees the
types a careful person would have written. The compiler is llvmlite, the one numba is built on; compiling a format's
text takes tens of milliseconds. Results equal `ints.evaluate`, which the tests check.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import Any

import numpy as np
from llvmlite import binding as llvm

from hwq.bits.ints import topological
from hwq.bits.word import Word
from hwq.errors import HwqError

__all__ = ["Expr", "compile_function", "compile_map", "fits", "threads"]

_SIZES = (32, 64, 128)
_CHUNK = 1 << 16  # elements below which a second thread costs more than it brings


def size_of(lo: int, hi: int) -> int:
    """The narrowest machine integer (two's complement) that holds [lo, hi]; 0 if none does."""
    for size in _SIZES:
        if -(1 << (size - 1)) <= lo and hi < 1 << (size - 1):
            return size
    return 0


def fits(outputs: Sequence[Word]) -> bool:
    """True if every node of the text has a machine integer, so that it can be compiled."""
    return all(size_of(w.lo, w.hi) for w in topological(outputs))


class Expr:
    """Prints nodes as LLVM instructions; `names` maps each printed node to its register."""

    def __init__(self, prefix: str = "v") -> None:
        self.lines: list[str] = []
        self.tables: list[str] = []
        self.prefix = prefix
        self._registers: dict[Word, tuple[str, int]] = {}
        self._count = 0

    def fresh(self) -> str:
        self._count += 1
        return f"%{self.prefix}{self._count}"

    def let(self, instruction: str) -> str:
        name = self.fresh()
        self.lines.append(f"  {name} = {instruction}")
        return name

    def bind(self, word: Word, register: str, size: int, signed: bool) -> None:
        """Enter an input: `register` holds the word in `size` bits."""
        want = size_of(word.lo, word.hi)
        self._registers[word] = (self._resize(register, size, want, signed), want)

    def _resize(self, register: str, have: int, want: int, signed: bool = True) -> str:
        if have == want:
            return register
        op = "trunc" if have > want else "sext" if signed else "zext"
        return self.let(f"{op} i{have} {register} to i{want}")

    def get(self, word: Word, size: int) -> str:
        """The word's register, as an i`size`."""
        if word.op == "const":
            return str(word.lo)
        register, have = self._registers[word]
        return self._resize(register, have, size)

    def size(self, word: Word) -> int:
        return size_of(word.lo, word.hi)

    def _flag(self, word: Word) -> str:
        return self.let(f"trunc i{self.size(word)} {self.get(word, self.size(word))} to i1")

    def put(self, word: Word) -> None:
        """Print one node whose arguments are printed."""
        size = self.size(word)
        if not size:
            raise HwqError(f"compiled text is limited to 127 bits, not {word.width}")
        if word.op == "const":
            return
        self._registers[word] = (getattr(self, f"_{word.op}")(word, size), size)

    def _add(self, w: Word, size: int) -> str:
        total = self.get(w.args[0], size)
        for a in w.args[1:]:
            if a.op == "neg" and a.args[1].constant and a in self._registers:
                total = self.let(f"sub i{size} {total}, {self.get(a.args[0], size)}")
            else:
                total = self.let(f"add i{size} {total}, {self.get(a, size)}")
        return total

    def _mul(self, w: Word, size: int) -> str:
        return self.let(f"mul i{size} {self.get(w.args[0], size)}, {self.get(w.args[1], size)}")

    def _neg(self, w: Word, size: int) -> str:
        x, s = w.args
        minus = self.let(f"sub i{size} 0, {self.get(x, size)}")
        if s.constant:
            return minus
        return self.let(f"select i1 {self._flag(s)}, i{size} {minus}, i{size} {self.get(x, size)}")

    def _shl(self, w: Word, size: int) -> str:
        return self.let(f"shl i{size} {self.get(w.args[0], size)}, {self.get(w.args[1], size)}")

    def _shr(self, w: Word, size: int) -> str:
        x, n = w.args
        wide = max(size, self.size(x), next(s for s in _SIZES if n.hi < s))
        shifted = self.let(f"ashr i{wide} {self.get(x, wide)}, {self.get(n, wide)}")
        return self._resize(shifted, wide, size)

    def _bitwise(self, op: str, w: Word, size: int) -> str:
        wide = max(size, *(self.size(a) for a in w.args))
        out = self.let(f"{op} i{wide} {self.get(w.args[0], wide)}, {self.get(w.args[1], wide)}")
        return self._resize(out, wide, size)

    def _and(self, w: Word, size: int) -> str:
        return self._bitwise("and", w, size)

    def _or(self, w: Word, size: int) -> str:
        return self._bitwise("or", w, size)

    def _xor(self, w: Word, size: int) -> str:
        return self._bitwise("xor", w, size)

    def _compare(self, relation: str, w: Word, size: int) -> str:
        wide = max(self.size(a) for a in w.args)
        bit = self.let(f"icmp {relation} i{wide} {self.get(w.args[0], wide)}, {self.get(w.args[1], wide)}")
        return self.let(f"zext i1 {bit} to i{size}")

    def _lt(self, w: Word, size: int) -> str:
        return self._compare("slt", w, size)

    def _eq(self, w: Word, size: int) -> str:
        return self._compare("eq", w, size)

    def _mux(self, w: Word, size: int) -> str:
        c, x, y = w.args
        return self.let(f"select i1 {self._flag(c)}, i{size} {self.get(x, size)}, i{size} {self.get(y, size)}")

    def _low(self, w: Word, size: int) -> str:
        assert isinstance(w.attr, int)
        wide = max(size, self.size(w.args[0]))
        return self._resize(self.let(f"and i{wide} {self.get(w.args[0], wide)}, {(1 << w.attr) - 1}"), wide, size)

    def _wrap(self, w: Word, size: int) -> str:
        assert isinstance(w.attr, int)
        up = self.let(f"shl i{size} {self.get(w.args[0], size)}, {size - w.attr}")
        return self.let(f"ashr i{size} {up}, {size - w.attr}")

    def _lookup(self, w: Word, size: int) -> str:
        assert isinstance(w.attr, tuple)
        name = f"@table{len(self.tables)}"
        row = ", ".join(f"i{size} {v}" for v in w.attr)
        self.tables.append(f"{name} = private constant [{len(w.attr)} x i{size}] [{row}]")
        at = self.let(f"getelementptr i{size}, ptr {name}, i64 {self.get(w.args[0], 64)}")
        return self.let(f"load i{size}, ptr {at}")

    def _within(self, w: Word, size: int) -> str:
        wide = self.size(w.args[0])
        return self._resize(self.get(w.args[0], wide), wide, size)

    _stage = _within


def compile_function(source: str, arguments: int) -> Callable[..., None]:
    """Compile LLVM source whose `@kernel` takes that many i64 or pointer arguments; the call releases the GIL."""
    machine, module = _machine(), llvm.parse_assembly(source)
    module.verify()
    options = llvm.create_pipeline_tuning_options(speed_level=3)
    options.loop_vectorization = options.slp_vectorization = True
    builder = llvm.create_pass_builder(machine, options)
    builder.getModulePassManager().run(module, builder)
    engine = llvm.create_mcjit_compiler(module, machine)
    engine.finalize_object()
    prototype = ctypes.CFUNCTYPE(None, *[ctypes.c_int64] * arguments)
    function = prototype(engine.get_function_address("kernel"))
    function.engine = engine  # type: ignore[attr-defined]  # the code lives as long as its engine
    return function


def _machine() -> Any:
    _initialise()
    target = llvm.Target.from_default_triple()
    features = llvm.get_host_cpu_features().flatten()
    return target.create_target_machine(cpu=llvm.get_host_cpu_name(), features=features, opt=3)


@lru_cache(maxsize=1)
def _initialise() -> None:
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()


def compile_map(
    outputs: Sequence[Word], inputs: Mapping[str, Any], results: Sequence[Any]
) -> Callable[[Sequence[np.ndarray[Any, Any]]], list[np.ndarray[Any, Any]]]:
    """An elementwise function of arrays: `outputs[j][i]` from the input words' values at `i`.

    `inputs` maps variable names, in order, to integer numpy dtypes; `results` gives the dtype of each output. Arrays
    are C-contiguous and of one length; a result wraps into its dtype.
    """
    return _compile_map(tuple(outputs), tuple((k, np.dtype(v)) for k, v in inputs.items()), tuple(map(np.dtype, results)))


@lru_cache(maxsize=256)
def _compile_map(outputs: tuple[Word, ...], inputs: tuple[tuple[str, Any], ...], results: tuple[Any, ...]) -> Any:
    body = Expr()
    by_name = {str(w.attr): w for w in topological(outputs) if w.op == "var"}
    pointers = [f"p{j}" for j in range(len(inputs) + len(results))]
    for (name, dtype), pointer in zip(inputs, pointers, strict=False):
        if name in by_name:
            size = dtype.itemsize * 8
            at = body.let(f"getelementptr i{size}, ptr %{pointer}, i64 %i")
            body.bind(by_name[name], body.let(f"load i{size}, ptr {at}"), size, dtype.kind == "i")
    for word in topological(outputs):
        if word.op != "var":
            body.put(word)
    for word, dtype, pointer in zip(outputs, results, pointers[len(inputs) :], strict=True):
        size = dtype.itemsize * 8
        value = body.get(word, size)
        at = body.let(f"getelementptr i{size}, ptr %{pointer}, i64 %i")
        body.lines.append(f"  store i{size} {value}, ptr {at}")
    arguments = ", ".join(f"ptr noalias %{p}" for p in pointers)
    source = "\n".join(
        [
            *body.tables,
            f"define void @kernel(i64 %first, i64 %last, {arguments}) {{",
            "entry:",
            "  %some = icmp slt i64 %first, %last",
            "  br i1 %some, label %loop, label %done",
            "loop:",
            "  %i = phi i64 [ %first, %entry ], [ %next, %loop ]",
            *body.lines,
            "  %next = add nuw nsw i64 %i, 1",
            "  %more = icmp slt i64 %next, %last",
            "  br i1 %more, label %loop, label %done",
            "done:",
            "  ret void",
            "}",
        ]
    )
    function = compile_function(source, 2 + len(pointers))

    def run(arrays: Sequence[np.ndarray[Any, Any]]) -> list[np.ndarray[Any, Any]]:
        given = [np.ascontiguousarray(a, dtype=d) for a, (_, d) in zip(arrays, inputs, strict=True)]
        out = [np.empty(given[0].shape, dtype=d) for d in results]
        addresses = [a.ctypes.data for a in (*given, *out)]
        parallel(lambda lo, hi: function(lo, hi, *addresses), given[0].size)
        return out

    return run


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


def parallel(span: Callable[[int, int], None], n: int, grain: int = _CHUNK) -> None:
    """Call `span(first, last)` over [0, n) in as many pieces as there are threads."""
    workers = min(threads(), max(1, n // grain))
    if workers <= 1:
        span(0, n)
        return
    edges = [n * j // workers for j in range(workers + 1)]
    list(_pool(workers).map(span, edges[:-1], edges[1:]))
