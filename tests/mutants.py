"""Seeded faults: edits of a file, one a copy; here of Python, in `mutants_verilog` of emitted Verilog.

A draw is fair to the kinds of edit, not to how often each could be made: constants would crowd out all others. What is
drawn depends on the edited lines and the seed alone, so that a change elsewhere leaves most faults as they are.
"""

from __future__ import annotations

import ast
import random
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial

__all__ = ["Fault", "drawn", "made", "python_faults"]


@dataclass(frozen=True, eq=False)
class Fault:
    """One edit of a file. `place`: what is edited, whatever its line; `make` gives the edit in words and the text."""

    kind: str
    file: str
    line: int
    place: str
    make: Callable[[], tuple[str, str]]

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.kind}: {self.make()[0]}"

    @property
    def text(self) -> str:
        """The whole file with the fault."""
        return self.make()[1]


def drawn(faults: Iterable[Fault], count: int, seed: int) -> list[Fault]:
    """So many of the faults, the kinds in turn, made."""
    kinds: dict[str, list[tuple[float, Fault]]] = {}
    seen: dict[str, int] = {}
    for fault in faults:
        key = f"{seed} {fault.file} {fault.kind} {fault.place}"
        seen[key] = again = seen.get(key, -1) + 1
        kinds.setdefault(fault.kind, []).append((random.Random(f"{key} {again}").random(), fault))
    ranked = []
    for scored in kinds.values():
        scored.sort(key=lambda pair: pair[0])
        ranked += [(turn, score, fault) for turn, (score, fault) in enumerate(scored)]
    ranked.sort(key=lambda entry: entry[:2])
    return [replace(fault, make=made(*fault.make())) for _, _, fault in ranked[:count]]


def made(edit: str, text: str) -> Callable[[], tuple[str, str]]:
    """What makes a fault that is at hand."""
    return lambda: (edit, text)


_OPERATORS: Mapping[type[ast.AST], type[ast.AST]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Add,
    ast.FloorDiv: ast.Mult,
    ast.LShift: ast.RShift,
    ast.RShift: ast.LShift,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
    ast.BitXor: ast.BitAnd,
    ast.And: ast.Or,
    ast.Or: ast.And,
}


def python_faults(source: str, file: str) -> Iterator[Fault]:
    """Every fault of a module, but in what it says and what it checks: raised errors, asserted facts, annotations."""
    tree = ast.parse(source)
    for node, statement, scope in _sites(tree, None, ""):
        for kind, field, new in _edits(node):
            line = getattr(node, "lineno", statement.lineno)
            yield Fault(kind, file, line, scope, partial(_edited, tree, statement, node, field, new))


def _edited(tree: ast.Module, statement: ast.stmt, node: ast.AST, field: str, new: object) -> tuple[str, str]:
    before, old = _head(statement), getattr(node, field)
    setattr(node, field, new)
    after, text = _head(statement), ast.unparse(tree) + "\n"
    setattr(node, field, old)
    return f"`{before}` became `{after}`", text


def _head(statement: ast.stmt) -> str:
    """A statement's first line."""
    return ast.unparse(statement).split("\n")[0]


def _sites(node: ast.AST, statement: ast.stmt | None, scope: str) -> Iterator[tuple[ast.AST, ast.stmt, str]]:
    """Nodes that hardware depends on, each with its statement and the names of what it is in."""
    if isinstance(node, ast.Raise | ast.Assert | ast.Import | ast.ImportFrom):
        return
    if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
        return
    if isinstance(node, ast.keyword) and node.arg == "strict":
        return
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        scope += f".{node.name}"
    statement = node if isinstance(node, ast.stmt) else statement
    if statement is not None:
        yield node, statement, scope
    for name, value in ast.iter_fields(node):
        if name not in ("annotation", "returns", "decorator_list"):
            for child in value if isinstance(value, list) else [value]:
                if isinstance(child, ast.AST):
                    yield from _sites(child, statement, scope)


def _edits(node: ast.AST) -> Iterator[tuple[str, str, object]]:
    """(kind, field, what it becomes) of one node."""
    if isinstance(node, ast.Compare):
        for at, operator in enumerate(node.ops):
            if type(operator) in _OPERATORS:
                new = _OPERATORS[type(operator)]()
                yield _named(operator, new), "ops", [*node.ops[:at], new, *node.ops[at + 1 :]]
    elif isinstance(node, ast.BinOp | ast.BoolOp | ast.AugAssign) and type(node.op) in _OPERATORS:
        new = _OPERATORS[type(node.op)]()
        yield _named(node.op, new), "op", new
    elif isinstance(node, ast.Constant) and isinstance(node.value, bool):
        yield "True or False", "value", not node.value
    elif isinstance(node, ast.Constant) and isinstance(node.value, int):
        yield from (("constant + 1", "value", node.value + 1), ("constant - 1", "value", node.value - 1))
    elif isinstance(node, ast.If | ast.IfExp | ast.While):
        yield "condition negated", "test", ast.UnaryOp(ast.Not(), node.test)
    elif isinstance(node, ast.comprehension) and node.ifs:
        yield "condition negated", "ifs", [ast.UnaryOp(ast.Not(), node.ifs[0]), *node.ifs[1:]]
    elif isinstance(node, ast.Name) and node.id in ("min", "max"):
        yield "min or max", "id", "max" if node.id == "min" else "min"


def _named(old: ast.AST, new: ast.AST) -> str:
    return f"{type(old).__name__} to {type(new).__name__}"
