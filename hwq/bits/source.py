"""Reader 2, the fast path: prints a recorded text as scalar LLVM source; `loops` puts it into array loops.

Each node is computed in the narrowest of 32, 64, 128, 192, 256, ... bits that its proved range needs, so the
vectoriser sees the types a careful person would have written, and no text is too wide. The compiler is llvmlite, the
one numba is built on; compiling a format's text takes tens of milliseconds. Results equal `ints.evaluate`, which the
tests check.
"""

from __future__ import annotations

import ctypes
import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np
from llvmlite import binding as llvm

from hwq.bits.word import Word

__all__ = ["Expr", "compile_function", "size_of"]

_CHOSEN = 16  # entries up to which a table is a choice


def _size(bits: int) -> int:
    """The machine integer for that many bits: 32, 64, or a multiple of 64."""
    return 32 if bits <= 32 else -(-bits // 64) * 64


def size_of(lo: int, hi: int) -> int:
    """The narrowest machine integer (two's complement) that holds [lo, hi]."""
    return _size(1 + max(lo.bit_length() if lo >= 0 else (~lo).bit_length(), hi.bit_length()))


class Expr:
    """Prints nodes as LLVM instructions and remembers the register of each."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.tables: list[str] = []
        self._registers: dict[Word, tuple[str, int]] = {}
        self._count = 0

    @property
    def widest(self) -> int:
        """Bits of the widest integer in the printed lines."""
        return max(int(bits) for line in self.lines for bits in re.findall(r"\bi(\d+)\b", line))

    def let(self, instruction: str) -> str:
        self._count += 1
        name = f"%v{self._count}"
        self.lines.append(f"  {name} = {instruction}")
        return name

    def load(self, word: Word, pointer: str, index: str, dtype: np.dtype[Any]) -> None:
        """Enter an input: element `index` of an array of integers, of integers held as floats, or of wide ones (V)."""
        want, bits = self.size(word), dtype.itemsize * 8
        value = self.let(f"load {_type(dtype)}, ptr {self._element(pointer, index, dtype)}, align {_align(dtype)}")
        if dtype.kind == "f":
            bits = min(want, 64)
            value = self.let(f"fptosi {_type(dtype)} {value} to i{bits}")
        self._registers[word] = (self._resize(value, bits, want, dtype.kind != "u"), want)

    def store(self, word: Word, pointer: str, index: str, dtype: np.dtype[Any]) -> None:
        """Write a printed node; it wraps into a narrower integer, and is rounded into a float."""
        bits = dtype.itemsize * 8
        if dtype.kind == "f":
            size = min(self.size(word), 64)
            value = self.let(f"sitofp i{size} {self.get(word, size)} to {_type(dtype)}")
        else:
            value = self.get(word, bits)
        place = self._element(pointer, index, dtype)
        self.lines.append(f"  store {_type(dtype)} {value}, ptr {place}, align {_align(dtype)}")

    def _element(self, pointer: str, index: str, dtype: np.dtype[Any]) -> str:
        # counted in bytes where LLVM would pad an odd size
        unit = f"[{dtype.itemsize} x i8]" if dtype.kind == "V" else _type(dtype)
        return self.let(f"getelementptr {unit}, ptr %{pointer}, i64 {index}")

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
        if word.op == "const":
            return
        size = self.size(word)
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
        wide = max(size, self.size(x), _size(n.hi + 1))
        shifted = self.let(f"ashr i{wide} {self.get(x, wide)}, {self.get(n, wide)}")
        return self._resize(shifted, wide, size)

    def _excess(self, w: Word, size: int) -> str:
        assert isinstance(w.attr, int)
        wide = max(self.size(w.args[0]), _size(w.attr))
        empty = self.let(f"call i{wide} @llvm.ctlz.i{wide}(i{wide} {self.get(w.args[0], wide)}, i1 false)")
        beyond = self.let(f"call i{wide} @llvm.usub.sat.i{wide}(i{wide} {wide - w.attr}, i{wide} {empty})")
        return self._resize(beyond, wide, size)

    def _lost(self, w: Word, size: int) -> str:
        """The places below, as a mask of the complement of ones shifted up."""
        x, n = w.args
        wide = max(self.size(x), _size(n.hi + 1))
        above = self.let(f"shl i{wide} -1, {self.get(n, wide)}")
        kept = self.let(f"and i{wide} {self.get(x, wide)}, {above}")
        bit = self.let(f"icmp ne i{wide} {kept}, {self.get(x, wide)}")
        return self.let(f"zext i1 {bit} to i{size}")

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
        """A choice by the index's bits where that takes fewer instructions than a vector's reads from memory."""
        assert isinstance(w.attr, tuple)
        if len(w.attr) <= _CHOSEN:
            return self._choice(w.args[0], w.attr, size)
        name = f"@table{len(self.tables)}"
        row = ", ".join(f"i{size} {v}" for v in w.attr)
        self.tables.append(f"{name} = private constant [{len(w.attr)} x i{size}] [{row}]")
        at = self.let(f"getelementptr i{size}, ptr {name}, i64 {self.get(w.args[0], 64)}")
        return self.let(f"load i{size}, ptr {at}")

    def _choice(self, index: Word, table: tuple[int, ...], size: int) -> str:
        wide = self.size(index)
        rows, bit = list(map(str, table)), 0
        while len(rows) > 1:
            shifted = self.let(f"lshr i{wide} {self.get(index, wide)}, {bit}")
            flag = self.let(f"trunc i{wide} {shifted} to i1")
            pairs = [rows[at : at + 2] for at in range(0, len(rows), 2)]
            chosen = [f"select i1 {flag}, i{size} {p[-1]}, i{size} {p[0]}" for p in pairs]
            rows = [self.let(line) if len(p) > 1 else p[0] for line, p in zip(chosen, pairs, strict=True)]
            bit += 1
        return rows[0]

    def _within(self, w: Word, size: int) -> str:
        wide = self.size(w.args[0])
        return self._resize(self.get(w.args[0], wide), wide, size)

    _stage = _within


def _type(dtype: np.dtype[Any]) -> str:
    if dtype.kind == "f":
        return {4: "float", 8: "double"}[dtype.itemsize]
    return f"i{dtype.itemsize * 8}"


def _align(dtype: np.dtype[Any]) -> int:
    return 1 if dtype.kind == "V" else dtype.itemsize


def compile_function(source: str, arguments: int, vectors: bool) -> Callable[..., None]:
    """Compile LLVM source whose `@kernel` takes that many i64 or pointer arguments; the call releases the GIL.

    Without `vectors` the loop stays scalar: LLVM 22 gets vectors of 128-bit integers wrong, and gains nothing by them.
    """
    machine, module = _machine(), llvm.parse_assembly("\n".join([source, *_declarations(source)]))
    module.verify()
    options = llvm.create_pipeline_tuning_options(speed_level=3)
    options.loop_vectorization = options.slp_vectorization = vectors
    builder = llvm.create_pass_builder(machine, options)
    builder.getModulePassManager().run(module, builder)
    engine = llvm.create_mcjit_compiler(module, machine)
    engine.finalize_object()
    prototype = ctypes.CFUNCTYPE(None, *[ctypes.c_int64] * arguments)
    function = prototype(engine.get_function_address("kernel"))
    function.engine = engine  # type: ignore[attr-defined]  # the code lives as long as its engine
    return function


def _declarations(source: str) -> list[str]:
    """Of the intrinsics that printed nodes call, which LLVM before 19 does not know by name alone."""
    used = sorted(set(re.findall(r"@llvm\.(ctlz|usub\.sat)\.(i\d+)", source)))
    return [f"declare {kind} @llvm.{name}.{kind}({kind}, {'i1' if name == 'ctlz' else kind})" for name, kind in used]


def _machine() -> Any:
    _initialise()
    target = llvm.Target.from_default_triple()
    features = llvm.get_host_cpu_features().flatten()
    if "+avx512f" in features:
        features += ",-prefer-256-bit"  # vectors of 512 bits are 1.3 times as fast here
    return target.create_target_machine(cpu=llvm.get_host_cpu_name(), features=features, opt=3)


@lru_cache(maxsize=1)
def _initialise() -> None:
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
