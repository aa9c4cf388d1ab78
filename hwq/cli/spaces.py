"""Search spaces as TOML: fields with their values, and for each role a template of its datapath.

    [space.fields]
    a = ["int8", "fp8_e4m3"]
    size = ["8x8", "16x16"]
    [space.roles]
    body = "{a}*int4 @{size}"
    last = "{a}*int8"

A field that several roles name has one value in all of them.
"""

from __future__ import annotations

import itertools
import tomllib
from pathlib import Path
from string import Formatter
from typing import TYPE_CHECKING, Any

from hwq.errors import HwqError

if TYPE_CHECKING:
    from hwq.search import Space

__all__ = ["DEMO", "read_toml", "space_of"]

DEMO = Path(__file__).parent / "demo.toml"


def read_toml(path: Path) -> dict[str, Any]:
    """The tables of a TOML file."""
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise HwqError(f"{path} must be TOML, not a text where: {error}") from error


def space_of(path: Path) -> Space:
    """The space that a file's [space.fields] and [space.roles] describe."""
    table = read_toml(path).get("space")
    if not isinstance(table, dict) or set(table) != {"fields", "roles"}:
        raise HwqError(f"{path} must have the tables [space.fields] and [space.roles], and nothing else in space")
    fields, roles = table["fields"], table["roles"]
    for name, found in table.items():
        if not isinstance(found, dict):
            raise HwqError(f"[space.{name}] of {path} must be a table, not {found!r}")
    for name, values in fields.items():
        if not isinstance(values, list) or not values or not all(isinstance(value, str | int) for value in values):
            raise HwqError(f"field {name} of {path} must be a list of texts or whole numbers, not {values!r}")
    for role, template in roles.items():
        if not isinstance(template, str):
            raise HwqError(f"role {role} of {path} must be a template such as '{{a}}*{{w}}', not {template!r}")
    return _space(fields, roles)


def _space(fields: dict[str, list[str]], roles: dict[str, str]) -> Space:
    from hwq.datapath import Datapath
    from hwq.search import Space, choices

    named = {role: _fields(template, fields) for role, template in roles.items()}
    made = {role: choices(template, {name: fields[name] for name in named[role]}) for role, template in roles.items()}
    shared = [name for name in fields if sum(name in names for names in named.values()) > 1]
    if not shared:
        return Space.of(made)
    together = set()
    for values in itertools.product(*fields.values()):
        chosen = dict(zip(fields, values, strict=True))
        together.add(tuple(str(Datapath.parse(template.format(**chosen))) for template in roles.values()))
    words = f"roles agree on {', '.join(shared)}"
    return Space.of(made, {words: lambda assignment: tuple(assignment.values()) in together})


def _fields(template: str, fields: dict[str, list[str]]) -> list[str]:
    """The fields that a template names, in the order of the file."""
    try:
        named = {name for _, name, _, _ in Formatter().parse(template) if name is not None}
    except ValueError as error:
        raise HwqError(f"template {template!r} must have its fields in braces, not {error}") from None
    for name in named - set(fields):
        raise HwqError(f"template {template!r} must name only the fields {', '.join(fields)}, not {name!r}")
    return [name for name in fields if name in named]
