"""Seeded faults: edits of emitted Verilog, and of the Python that writes it, one a copy of the file.

A draw is fair to the kinds of edit, not to how often each could be made: constants would crowd out all others. What is
drawn depends on the edited lines and the seed alone, so that a change elsewhere leaves most faults as they are.
"""

from __future__ import annotations

import ast
import random
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial

__all__ = ["Fault", "drawn", "python_faults", "verilog_faults"]


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
    """So many of the faults, the kinds in turn."""
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
    return [fault for _, _, fault in ranked[:count]]


# -- Verilog ----------------------------------------------------------------------------------------------------------

Ports = Mapping[str, Mapping[str, tuple[str, int]]]
"""Of each module its ports: name -> (direction, bits)."""

Edit = tuple[int, int, str]  # characters [start, end) of a line, and what stands there instead


def _swapped(pattern: str, *others: str) -> Callable[[str], Iterator[Edit]]:
    """The pattern's first group, or else all of it, is replaced."""

    def edits(line: str) -> Iterator[Edit]:
        for match in re.finditer(pattern, line):
            group = 1 if match.re.groups else 0
            for other in others:
                yield match.start(group), match.end(group), other

    return edits


_IDLE = re.compile(r"  wire (?:\[\d+:0\] )?[aw]_\d+ = run.* \? .* : (\d+)'h([0-9a-f]+);")  # while none enter
_CONSTANT = re.compile(r"(\d+)'([hbd])([0-9a-f]+)")


def _constants(line: str) -> Iterator[Edit]:
    """Every bit of every constant that is no reset value."""
    for match in _CONSTANT.finditer(line):
        if not _is_reset(line, match) and not _IDLE.fullmatch(line):
            yield from _flips(match)


def _resets(line: str) -> Iterator[Edit]:
    """Every bit of what a register becomes under reset or clear."""
    for match in _CONSTANT.finditer(line):
        if _is_reset(line, match):
            yield from _flips(match)


def _is_reset(line: str, match: re.Match[str]) -> bool:
    before, after = line[: match.start()], line[match.end() :]
    state = re.match(r"      \w+_state <= $", before) and after == ";"
    return bool(state or re.search(r"if \((rst|clear)\) \w+ <= $", before))


def _flips(match: re.Match[str]) -> Iterator[Edit]:
    base = {"h": 16, "b": 2, "d": 10}[match[2]]
    for bit in range(int(match[1])):
        flipped = int(match[3], base) ^ 1 << bit
        text = {16: f"{flipped:x}", 2: f"{flipped:b}", 10: str(flipped)}[base]
        yield match.start(), match.end(), f"{match[1]}'{match[2]}{text}"


def _indices(line: str) -> Iterator[Edit]:
    """A bit or a slice one place lower or, at the bottom, higher."""
    for match in re.finditer(r"(?<=\w)\[(\d+)(?::(\d+))?\]", line):
        ends = [int(end) for end in match.groups() if end is not None]
        by = -1 if min(ends) else 1
        yield match.start(), match.end(), f"[{':'.join(str(end + by) for end in ends)}]"


def _legs(line: str) -> Iterator[Edit]:
    """The legs of a `?:` change places."""
    for match in re.finditer(r" \? ", line):
        colon = _end(line, match.end(), " : ")
        if colon is not None:
            end = _end(line, colon + 3, None)
            assert end is not None
            yield match.end(), end, f"({line[colon + 3 : end]}) : ({line[match.end() : colon]})"


def _end(line: str, at: int, stop: str | None) -> int | None:
    """Where an operand that begins here ends: at its own colon, or before what closes it."""
    depth = inner = 0
    for place in range(at, len(line)):
        char = line[place]
        if char in "([{":
            depth += 1
        elif char in ")]}" and depth:
            depth -= 1
        elif char in ")]};," and not depth:
            return place if stop is None else None
        elif not depth and line.startswith(" ? ", place):
            inner += 1
        elif not depth and line.startswith(" : ", place):
            if not inner and stop is not None:
                return place
            inner -= 1
    return None


def _carries(line: str) -> Iterator[Edit]:
    """A sum's third addend is dropped, if it is not a constant zero."""
    match = re.search(r" = [^;]+ \+ [^;]+?( \+ (?!\d+'h0)[^+;]+);$", line)
    if match:
        yield match.start(1), match.end(1), ""


_WITHIN_LINES: Mapping[str, Callable[[str], Iterator[Edit]]] = {
    "+ to -": _swapped(r" (\+) ", "-"),
    "& to |": _swapped(r" (&) ", "|"),
    "| to &": _swapped(r" (\|) ", "&"),
    "^ to ~^": _swapped(r" (\^) ", "~^"),
    "~ dropped": _swapped(r"~(?=[\w({])", ""),
    "legs of ?: swapped": _legs,
    "bit of a constant": _constants,
    "reset value": _resets,
    "index off by one": _indices,
    "< to <=": _swapped(r"[\w)\]] (<) [\w$(]", "<="),
    "== to !=": _swapped(r" (==) ", "!="),
    "condition": lambda line: _conditions(line),
    "carry dropped": _carries,
}


def _conditions(line: str) -> Iterator[Edit]:
    """What clocks, resets and clears a register: always, never, or by another's word."""
    for match in re.finditer(r"else if \(([^)]*)\)", line):
        yield match.start(1), match.end(1), "1'b1"
        if match[1] == "load":
            yield match.start(1), match.end(1), "en"
    for match in re.finditer(r"(?<!else )if \((rst|clear)\)", line):
        yield match.start(1), match.end(1), "1'b0"
        yield match.start(1), match.end(1), "en"


def verilog_faults(text: str, file: str, ports: Ports) -> Iterator[Fault]:
    """Every fault that one module's file can have, `ports` those of the modules that it may hold."""
    lines = text.split("\n")
    for number, line in enumerate(lines):
        code = line.split("//")[0].rstrip()
        if not code or re.match(r"\s*(module|input|output)\b", code):
            continue
        for kind, edits in _WITHIN_LINES.items():
            for edit in edits(code):
                yield Fault(kind, file, number + 1, code.strip(), partial(_in_line, lines, number, code, edit))
    yield from _idle(lines, file)
    yield from _pins(text, file, ports)


def _idle(lines: list[str], file: str) -> Iterator[Fault]:
    """A bit of what both operands are while none enter: with one of them zero, the other may be anything."""
    found = {number: match for number, line in enumerate(lines) if (match := _IDLE.fullmatch(line))}
    for bit in range(min((int(match[1]) for match in found.values()), default=0)):
        edited = {
            number: f"{match[0][: match.start(2)]}{int(match[2], 16) ^ 1 << bit:x};" for number, match in found.items()
        }
        text = "\n".join(edited.get(number, line) for number, line in enumerate(lines))
        words = f"bit {bit} of all flipped"
        yield Fault("idle codes", file, min(found) + 1, words, partial(_same, (words, text)))


def _in_line(lines: list[str], number: int, code: str, edit: Edit) -> tuple[str, str]:
    start, end, new = edit
    words = f"`{code[start:end]}` became `{new}` in `{code.strip()}`"
    return words, "\n".join([*lines[:number], code[:start] + new + code[end:], *lines[number + 1 :]])


def _pins(text: str, file: str, ports: Ports) -> Iterator[Fault]:
    """Two pins of an instance, of one direction and width, change places."""
    for found in re.finditer(r"^  (\w+) (\w+) \((\..*?)\);$", text, re.MULTILINE | re.DOTALL):
        known, start = ports.get(found[1], {}), found.start(3)
        pins = list(re.finditer(r"\.(\w+)\(((?:[^()]|\([^()]*\))*)\)", found[3]))
        for at, one in enumerate(pins):
            for other in pins[at + 1 :]:
                if known.get(one[1]) == known.get(other[1]) is not None and one[2] != other[2]:
                    cuts = [start + place for pin in (one, other) for place in pin.span(2)]
                    edited = text[: cuts[0]] + other[2] + text[cuts[1] : cuts[2]] + one[2] + text[cuts[3] :]
                    words = f"{one[1]} and {other[1]} of `{found[2]}`"
                    line = text.count("\n", 0, found.start()) + 1
                    yield Fault("pins swapped", file, line, words, partial(_same, (words, edited)))


def _same(made: tuple[str, str]) -> tuple[str, str]:
    return made


# -- Python -----------------------------------------------------------------------------------------------------------

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
