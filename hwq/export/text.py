"""Comments and scalars of YAML 1.1 and 1.2, of which JSON's strings are a part."""

from __future__ import annotations

import json
from collections.abc import Iterable

__all__ = ["comments", "number", "quoted"]


def comments(lines: Iterable[str]) -> str:
    return "".join(f"# {line}\n" for line in lines)


def number(value: float) -> str:
    """Six significant digits, with a point: YAML 1.1 reads 1e-05 as text."""
    text = f"{value:.6g}"
    mantissa, e, exponent = text.partition("e")
    return text if "." in mantissa else f"{mantissa}.0{e}{exponent}"


def quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
