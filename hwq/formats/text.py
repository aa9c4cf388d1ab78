"""Format texts: a catalogue name, or a family's word with its arguments, such as `int(8)` or `fp(4,3,nan)`."""

from __future__ import annotations

import re

from hwq.errors import HwqError
from hwq.formats.base import Format
from hwq.formats.catalog import catalog
from hwq.formats.families import FAMILIES, arguments, find_families

__all__ = ["parse_format"]

ZERO_POINT = "[zp]"
_CALL = re.compile(r"([a-z][a-z0-9]*)\((.*)\)", re.DOTALL)


def parse_format(text: str | Format) -> Format:
    """The format that `text` describes; `str()` of it is the canonical text. A format is given back."""
    if isinstance(text, Format):
        return text
    if not isinstance(text, str):
        raise HwqError(f"a format text must be a string, not {text!r}")
    text = text.strip()
    if text.endswith(ZERO_POINT):
        raise HwqError(f"a zero point is part of the format, as in uint(8,zp=128), not loaded as in {text!r}")
    call = _CALL.fullmatch(text)
    if call is None:
        if text not in catalog:
            find_families()
        return catalog[text]
    word, inner = call.groups()
    if word not in FAMILIES:
        find_families()
    if word not in FAMILIES:
        raise HwqError(f"format family must be one of {', '.join(sorted(FAMILIES))}, not {word!r}")
    return FAMILIES[word](arguments(inner), text)
