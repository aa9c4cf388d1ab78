"""Named formats: data and citations only. A name occurs once in the package, here."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from fractions import Fraction

from hwq.errors import HwqError
from hwq.formats.base import Format
from hwq.formats.block import Block
from hwq.formats.curves import Curve
from hwq.formats.families import FAMILIES
from hwq.formats.group import Group
from hwq.formats.integer import Int, SignMagnitude
from hwq.formats.minifloat import MiniFloat
from hwq.formats.planes import Planes, Range
from hwq.formats.table import Codebook
from hwq.formats.ternary import Ternary

__all__ = ["Catalog", "catalog"]

_TAKEN = ("exact", "align", "bias", "requant", "relu", "lut")  # words of the text of a datapath


class UnknownNameError(HwqError, KeyError):
    """A name that the catalogue does not have."""

    __str__ = Exception.__str__


class Catalog(Mapping[str, Format]):
    """An ordered mapping of names to formats; a name wins over a parametric text wherever parameters are equal."""

    def __init__(self, rows: dict[str, Format]) -> None:
        self._by_name: dict[str, Format] = {}
        self._by_format: dict[Format, str] = {}
        for name, fmt in rows.items():
            self.add(name, fmt)

    def add(self, name: str, fmt: Format) -> Format:
        """Name a format; from then on every reader prints and parses it by that name."""
        if not isinstance(name, str) or not re.fullmatch("[a-z][a-z0-9_]*", name):
            raise HwqError(f"a catalogue name must be small letters, digits and _, not {name!r}")
        if name in FAMILIES or name in _TAKEN:
            raise HwqError(f"{name!r} means something else in the text of a datapath; choose another name")
        if not isinstance(fmt, Format):
            raise HwqError(f"the catalogue holds formats, not {fmt!r}; parse_format(text) makes one")
        if name in self._by_name and self._by_name[name] != fmt:
            raise HwqError(f"{name!r} already names {self._by_name[name].text}")
        self._by_name[name] = fmt
        self._by_format.setdefault(fmt, name)
        return fmt

    def name_of(self, fmt: Format) -> str | None:
        return self._by_format.get(fmt)

    def __getitem__(self, name: str) -> Format:
        if not isinstance(name, str) or name not in self._by_name:
            raise UnknownNameError(
                f"format must be a catalogue name or a text such as fp(4,3), not {name!r}{self._hint(name)}"
            )
        return self._by_name[name]

    def _hint(self, name: str) -> str:
        """What may have been meant."""
        if not isinstance(name, str) or len(name) > 40:
            return ""
        if wide := re.fullmatch("(u?int)([0-9]{1,4})", name):
            return f"; write {wide[1]}({wide[2]})"
        if name in FAMILIES:
            return f"; {name}(...) takes arguments, see docs/formats.md"
        lower = name.lower().replace("bfloat", "bf").replace("float", "fp")
        near = [known for known in self if lower and known.endswith(lower)]
        near = near or get_close_matches(lower, self, 3, 0.7)
        return f"; did you mean {' or '.join(near[:3])}?" if near else "; hwq formats lists the names"

    def __iter__(self) -> Iterator[str]:
        return iter(self._by_name)

    def __len__(self) -> int:
        return len(self._by_name)

    def __repr__(self) -> str:
        return f"Catalog({', '.join(self)})"


catalog = Catalog(
    {
        **{f"int{n}": Int(n) for n in (8, 6, 5, 4, 3, 2, 16, 12, 10)},
        **{f"uint{n}": Int(n, signed=False) for n in (8, 6, 4, 3, 2, 16)},
        "ternary": Ternary(),
        # OCP 8-bit floating point (OFP8) rev. 1.0
        "fp8_e4m3": MiniFloat(4, 3, specials="nan"),
        "fp8_e5m2": MiniFloat(5, 2, specials="inf"),
        # OCP Microscaling formats (MX) v1.0, element types: every code is finite
        "fp6_e3m2": MiniFloat(3, 2),
        "fp6_e2m3": MiniFloat(2, 3),
        "fp4_e2m1": MiniFloat(2, 1),
        # Noune et al., arXiv 2206.02915: one NaN in the place of -0, bias one higher than IEEE's
        "fp8_e4m3fnuz": MiniFloat(4, 3, bias=8, specials="fnuz"),
        "fp8_e5m2fnuz": MiniFloat(5, 2, bias=16, specials="fnuz"),
        # IEEE 754-2019, and bfloat16
        "bf16": MiniFloat(8, 7, specials="inf"),
        "fp16": MiniFloat(5, 10, specials="inf"),
        "fp32": MiniFloat(8, 23, specials="inf"),
        "tf32": MiniFloat(8, 10, specials="inf"),
        # OCP MX v1.0, scale type: 2**-127 to 2**127 and NaN; and the block scale of NVFP4
        "e8m0": MiniFloat(8, 0, specials="nan", signed=False, zero=False),
        "ue4m3": MiniFloat(4, 3, specials="nan", signed=False),
        # IEEE P3109 interim report: 8 bits of each precision, signed, with infinities
        **{f"p3109_k8p{p}": MiniFloat(8 - p, p - 1, bias=1 << (7 - p), specials="p3109") for p in range(1, 8)},
    }
)

# OCP MX v1.0, table 1: 32 elements and a power of two of 8 bits
_MX = MiniFloat(8, 0, specials="nan", signed=False, zero=False)
catalog.add("mxfp8_e4m3", Block(MiniFloat(4, 3, specials="nan"), _MX, 32))
catalog.add("mxfp8_e5m2", Block(MiniFloat(5, 2, specials="inf"), _MX, 32))
catalog.add("mxfp6_e3m2", Block(MiniFloat(3, 2), _MX, 32))
catalog.add("mxfp6_e2m3", Block(MiniFloat(2, 3), _MX, 32))
catalog.add("mxfp4_e2m1", Block(MiniFloat(2, 1), _MX, 32))
catalog.add("mxint8", Block(Int(8, frac=6), _MX, 32))
# NVIDIA's 4-bit floating point: 16 elements, an E4M3 scale (its sign unused), and a second scale for the whole tensor
catalog.add("nvfp4", Block(MiniFloat(2, 1), MiniFloat(4, 3, specials="nan"), 16))
# Darvish Rouhani et al., NeurIPS 2020: sign and 3 to 7 mantissa bits under a shared exponent of 8 bits, 16 to a box
for _bits in (12, 13, 14, 15, 16):
    catalog.add(f"msfp{_bits}", Block(SignMagnitude(_bits - 8, _bits - 10), _MX, 16))
# W4A16 g128 and W2A16 g64 of GPTQ, AWQ and OmniQuant: integers less a zero point, times a half-precision scale
for _bits, _size in ((4, 128), (2, 64)):
    catalog.add(f"w{_bits}g{_size}", Group(Int(_bits, signed=False), MiniFloat(5, 10, specials="inf"), _size))

# -1 and +1; nine even levels as two trit-planes (PTQTP, arXiv 2509.16989); 2**2 + 1 levels (ABQ-LLM, arXiv 2408.08554)
catalog.add("binary", Planes("signs", (1,)))
catalog.add("tritplanes2", Planes("trits", (3, 1)))
catalog.add("abq2", Range(-2, 2))
# powers of two and of its root, without sign (RepQ-ViT, arXiv 2212.08254)
catalog.add("log4", Curve("log", 4, Fraction(1)))
catalog.add("logsqrt4", Curve("log", 4, Fraction(1, 2)))
# QLoRA, arXiv 2305.14314: quantiles of the normal distribution, the float32 constants of its implementation
_NF4 = (
    *(-1.0, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453),
    *(-0.28444138169288635, -0.18477343022823334, -0.09105003625154495, 0.0),
    *(0.07958029955625534, 0.16093020141124725, 0.24611230194568634, 0.33791524171829224),
    *(0.44070982933044434, 0.5626170039176941, 0.7229568362236023, 1.0),
)
catalog.add("nf4", Codebook.of(_NF4))
# bitsandbytes' 4-bit float, times 12: a sign over magnitudes in the order of its codes; its least is 1/192 of the most
_BNB = (0, 0.0625, 8, 12, 4, 6, 2, 3)
catalog.add("fp4_bnb", Codebook.of([*_BNB, *(-x for x in _BNB)]))
