"""WordNet's nouns and their glosses (Princeton, WordNet 3.0 licence), read from Debian's `wordnet-base`."""

from __future__ import annotations

from functools import cache

from hwq.errors import HwqError
from hwq.zoo.packages import debian

__all__ = ["nouns"]

NOUNS = 82_115


@cache
def nouns() -> tuple[tuple[str, str], ...]:
    """(first word, gloss with its examples) of every noun meaning, in the file's order."""
    file = debian("wordnet-base", "data.noun", "/usr/share/wordnet")
    lines = [line for line in file.read_text("utf-8").splitlines() if not line.startswith("  ")]
    found = tuple((line.split(" ", 5)[4].replace("_", " "), line.partition(" | ")[2].strip()) for line in lines)
    if len(found) != NOUNS:
        raise HwqError(f"{file} must hold the {NOUNS} nouns of WordNet 3.0, not {len(found)}")
    return found
