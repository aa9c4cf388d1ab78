"""Seeded faults of emitted Verilog."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from itertools import pairwise

from mutants import Fault, made

__all__ = ["Ports", "verilog_faults"]

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


_IDLE = re.compile(r"  wire (?:\[\d+:0\] )?[aw]_\d+ = (?:run|beat).* \? .* : (\d+)'h([0-9a-f]+);")  # while none enter
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


def _conditions(line: str) -> Iterator[Edit]:
    """What clocks, resets and clears a register: always, never, or by another's word."""
    for match in re.finditer(r"else if \(([^)]*)\)", line):
        yield match.start(1), match.end(1), "1'b1"
        if match[1] == "load":
            yield match.start(1), match.end(1), "en"
    for match in re.finditer(r"(?<!else )if \((rst|clear)\)", line):
        yield match.start(1), match.end(1), "1'b0"
        yield match.start(1), match.end(1), "en"


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
    "condition": _conditions,
    "carry dropped": _carries,
}


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
    yield from _orders(lines, file)
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
        yield Fault("idle codes", file, min(found) + 1, words, made(words, text))


def _orders(lines: list[str], file: str) -> Iterator[Fault]:
    """A statement of a block comes after the next one, which reads what it computes."""
    for number, (line, following) in enumerate(pairwise(lines)):
        found = [re.fullmatch(r"    (\w+) = (.*);", text) for text in (line, following)]
        if found[0] and found[1] and re.search(rf"\b{found[0][1]}\b", found[1][2]):
            text = "\n".join([*lines[:number], following, line, *lines[number + 2 :]])
            words = f"`{found[0][1]}` after `{found[1][1]}`"
            yield Fault("order", file, number + 1, words, made(words, text))


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
                    yield Fault("pins swapped", file, line, words, made(words, edited))
