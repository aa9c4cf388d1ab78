"""Short names of assignments: only what tells them apart."""

import itertools
from collections.abc import Mapping, Sequence

__all__ = ["columns", "differences"]

ABSENT = {"+": "+exact", "->": "sums", "@": "@1x1"}
"""How a part that a text leaves out is shown where others have it."""


def differences(assignments: Sequence[Mapping[str, str]]) -> list[str]:
    """One short label per assignment, made of the roles and the parts of their texts that tell the assignments apart.

    Roles with the same label share it: "int4" if every role has it, "first, last int8 · body int8*int4" if not. A
    single role that varies goes unnamed. Parts of texts are shortened as in `columns`.
    """
    shown = columns(assignments)
    if not shown:
        return [""] * len(assignments)
    whole = len(shown) == len(assignments[0])
    rows = [dict(zip(shown, row, strict=True)) for row in zip(*shown.values(), strict=True)]
    return [_joined(row, named=len(shown) > 1, whole=whole) for row in rows]


def columns(assignments: Sequence[Mapping[str, str]]) -> dict[str, list[str]]:
    """{role that varies: one short text per assignment}; of a single assignment all roles.

    A short text has the fewest parts of a datapath's text (the first ones that suffice) that are different wherever the
    texts are; a product of equal formats is written as the format: "int8" for int8*int8.
    """
    if not assignments:
        return {}
    texts = {role: [assignment[role] for assignment in assignments] for role in assignments[0]}
    varying = {role: column for role, column in texts.items() if len(set(column)) > 1}
    return {role: _shortened(column) for role, column in (varying or texts).items()}


def _shortened(column: Sequence[str]) -> list[str]:
    parts = [_parts(text) for text in column]
    kinds = list(dict.fromkeys(kind for found in parts for kind in found))
    subsets = itertools.chain.from_iterable(itertools.combinations(kinds, count) for count in range(1, len(kinds) + 1))
    for subset in subsets:
        short = [_text(found, subset) for found in parts]
        if len(set(zip(column, short, strict=True))) == len(set(short)) == len(set(column)):
            return short
    return list(column)


def _parts(text: str) -> dict[str, str]:
    """{kind: part} of a datapath's text: "*" product, "+" accumulator, "->" output, "@" array, options by name."""
    product, *rest = text.split()
    a, _, w = product.partition("*")
    return {"*": a if a == w else product, **{_kind(part): part for part in rest}}


def _kind(part: str) -> str:
    return next((sign for sign in ("+", "->", "@") if part.startswith(sign)), part.partition("=")[0])


def _text(parts: Mapping[str, str], kinds: Sequence[str]) -> str:
    return " ".join(parts.get(kind) or ABSENT.get(kind, f"no {kind}") for kind in kinds)


def _joined(row: Mapping[str, str], named: bool, whole: bool) -> str:
    if whole and len(set(row.values())) == 1:
        return next(iter(row.values()))
    groups: dict[str, list[str]] = {}
    for role, text in row.items():
        groups.setdefault(text, []).append(role)
    return " · ".join(f"{', '.join(roles)} {text}" if named else text for text, roles in groups.items())
