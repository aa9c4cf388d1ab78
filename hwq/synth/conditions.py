"""Conditions of a Liberty file, such as `(!A * B) + C`, read on the values of a cell's pins at many times at once."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import numpy as np

from hwq.errors import HwqError
from hwq.synth.waves import Bits

__all__ = ["holds"]

_LEVELS = ("|+", "&*", "^")  # each binds its operands closer than the one before it


def holds(condition: str, pins: Mapping[str, Bits], length: int) -> Bits:
    """When a condition holds; always, if it is empty or names a pin that is not connected."""
    return np.ones(length, dtype=bool) if not condition else _value(_read(condition), pins, length)


def _value(tree: Any, pins: Mapping[str, Bits], length: int) -> Bits:
    operator, args = tree
    if operator == "pin":
        if args in ("0", "1"):
            return np.full(length, args == "1")
        return pins[args] if args in pins else np.ones(length, dtype=bool)
    values = [_value(arg, pins, length) for arg in args]
    if operator == "!":
        return ~values[0]
    act = {"|+": np.logical_or, "&*": np.logical_and, "^": np.logical_xor}[operator]
    found: Bits = act.reduce(values)
    return found


@lru_cache(maxsize=4096)
def _read(condition: str) -> Any:
    words = re.findall(r"\w+|[^\w\s]", condition)
    tree, rest = _some(words, 0)
    if rest:
        raise _bad(condition)
    return tree


def _some(words: list[str], level: int) -> tuple[Any, list[str]]:
    """The operands that a level's operators join, and what is left; two names side by side are joined by "and"."""
    if level == len(_LEVELS):
        return _one(words)
    tree, words = _some(words, level + 1)
    args = [tree]
    while words and (words[0] in _LEVELS[level] or level == 1 and re.match(r"[\w(!]", words[0])):
        tree, words = _some(words[1:] if words[0] in _LEVELS[level] else words, level + 1)
        args.append(tree)
    return (args[0] if len(args) == 1 else (_LEVELS[level], args)), words


def _one(words: list[str]) -> tuple[Any, list[str]]:
    """A pin, a negation before or behind it, or a condition in parentheses."""
    if not words:
        raise _bad("")
    word, rest = words[0], words[1:]
    if word == "!":
        tree, rest = _one(rest)
        return ("!", [tree]), rest
    if word == "(":
        tree, rest = _some(rest, 0)
        if rest[:1] != [")"]:
            raise _bad(" ".join(words))
        rest = rest[1:]
    elif re.fullmatch(r"\w+", word):
        tree = ("pin", word)
    else:
        raise _bad(" ".join(words))
    return (("!", [tree]), rest[1:]) if rest[:1] == ["'"] else (tree, rest)


def _bad(condition: str) -> HwqError:
    return HwqError(
        f"a Liberty condition must be pins with ! & | ^ and parentheses, not {condition!r}; correct the file"
    )
