"""Format families by the word that begins their texts; a family's file enters itself with `@family("word")`."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache
from importlib import import_module
from importlib.metadata import entry_points
from pkgutil import iter_modules
from typing import TypeVar

from hwq.errors import HwqError
from hwq.formats.base import Format

__all__ = ["FAMILIES", "arguments", "family", "find_families", "options", "whole_numbers", "word_of"]

Parser = Callable[[list[str], str], Format]
F = TypeVar("F", bound=Parser)

FAMILIES: dict[str, Parser] = {}
_DEEPEST = 8  # parentheses: more than any format has, and few enough for a parser that calls itself


def family(*words: str) -> Callable[[F], F]:
    """Enter the parser of the texts `word(...)`: it takes the list of arguments, and the whole text, word included."""
    for word in words:
        if not re.fullmatch("[a-z][a-z0-9]*", word):
            raise HwqError(f"a family's word must be small letters and digits, not {word!r}")

    def enter(parser: F) -> F:
        for word in words:
            known = FAMILIES.get(word, parser)
            if known.__qualname__ != parser.__qualname__:  # the same one again, as in a notebook, replaces itself
                raise HwqError(f"the family {word!r} is taken by {known.__module__}; choose another word")
            FAMILIES[word] = parser
        return parser

    return enter


@cache
def find_families() -> None:
    """Load what may enter families and names: the files of this package, and installed packages that say so."""
    for module in iter_modules(import_module("hwq.formats").__path__):
        import_module(f"hwq.formats.{module.name}")
    for plugin in entry_points(group="hwq.formats"):
        plugin.load()


def arguments(inner: str) -> list[str]:
    """The arguments of a call, split at the commas outside inner parentheses."""
    found, depth = [""], 0
    for letter in inner:
        depth += (letter == "(") - (letter == ")")
        if depth < 0 or depth > _DEEPEST:
            break
        if letter == "," and not depth:
            found.append("")
        else:
            found[-1] += letter
    if depth > _DEEPEST:
        raise HwqError(f"parentheses must be at most {_DEEPEST} deep, not as in {inner[:80]!r}")
    if depth:
        raise HwqError(f"parentheses must be closed as often as opened, not as in {inner[:80]!r}")
    return [argument.strip() for argument in found] if inner.strip() else []


def word_of(text: str) -> str:
    """The family's word at the head of a text."""
    return text.split("(")[0]


def whole_numbers(args: list[str], counts: tuple[int, ...], text: str) -> list[int]:
    """The arguments as whole numbers, if there are that many."""
    if len(args) not in counts or not all(re.fullmatch(r"-?[0-9]{1,5}", a) for a in args):
        wanted = " or ".join(map(str, counts))
        raise HwqError(f"{word_of(text)}(...) takes {wanted} whole number(s), not {text!r}")
    return [int(a) for a in args]


def options(args: list[str], flags: tuple[str, ...], settings: dict[str, str], text: str) -> dict[str, str]:
    """What follows the numbers: `flag` gives {flag: ""}, `key=value` gives {key: value} if its pattern matches."""
    found: dict[str, str] = {}
    for arg in args:
        key, _, value = arg.partition("=")
        fits = arg in flags or key in settings and re.fullmatch(settings[key], value)
        if not fits or key in found:
            known = ", ".join((*flags, *(f"{k}=" for k in settings)))
            raise HwqError(f"{word_of(text)}(...) has the options {known}, each once, not {arg!r} in {text!r}")
        found[key] = value
    return found
