"""Number formats: what every code means, exactly, and how numbers become codes. The only rounder lives here."""

from hwq.formats.base import Format, Special, Unpacked
from hwq.formats.catalog import Catalog, catalog
from hwq.formats.integer import Int
from hwq.formats.minifloat import MiniFloat
from hwq.formats.rounding import ROUNDINGS, check_rounding, round_shift
from hwq.formats.ternary import Ternary
from hwq.formats.text import parse_format

__all__ = [
    "ROUNDINGS",
    "Catalog",
    "Format",
    "Int",
    "MiniFloat",
    "Special",
    "Ternary",
    "Unpacked",
    "catalog",
    "check_rounding",
    "parse_format",
    "round_shift",
]
