"""Number formats: what every code means, exactly, and how numbers become codes. The only rounder lives here."""

from hwq.formats.base import Format, Special, Unpacked
from hwq.formats.block import Block
from hwq.formats.catalog import Catalog, catalog
from hwq.formats.curves import CURVES, Curve
from hwq.formats.families import family, options, whole_numbers
from hwq.formats.fidelity import DISTRIBUTIONS, Fidelity, Source, distribution, fidelity, squared_error
from hwq.formats.group import Group
from hwq.formats.integer import Int, SignMagnitude
from hwq.formats.minifloat import MiniFloat
from hwq.formats.packing import pack_bits, packed_bytes, unpack_bits
from hwq.formats.planes import Planes, Range
from hwq.formats.rounding import (
    ROUNDINGS,
    STOCHASTIC,
    Rounding,
    check_rounding,
    next_noise,
    noise,
    noise_words,
    round_shift,
)
from hwq.formats.table import Codebook, Table, lloyd_max
from hwq.formats.ternary import Ternary
from hwq.formats.text import parse_format

__all__ = [
    "CURVES",
    "DISTRIBUTIONS",
    "ROUNDINGS",
    "STOCHASTIC",
    "Block",
    "Catalog",
    "Codebook",
    "Curve",
    "Fidelity",
    "Format",
    "Group",
    "Int",
    "MiniFloat",
    "Planes",
    "Range",
    "Rounding",
    "SignMagnitude",
    "Source",
    "Special",
    "Table",
    "Ternary",
    "Unpacked",
    "catalog",
    "check_rounding",
    "distribution",
    "family",
    "fidelity",
    "lloyd_max",
    "next_noise",
    "noise",
    "noise_words",
    "options",
    "pack_bits",
    "packed_bytes",
    "parse_format",
    "round_shift",
    "squared_error",
    "unpack_bits",
    "whole_numbers",
]
