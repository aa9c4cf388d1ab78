"""The text form: `act*weight +acc ->out[steps] @RxC option...`, read and written; defaults are left out."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache

from hwq.datapath.accumulators import Accumulator, Align, Exact, Fixed, Float
from hwq.datapath.presets import PRESETS
from hwq.datapath.spec import Bias, Mac, Relu, Requant, Step
from hwq.datapath.structure import Array, Datapath
from hwq.errors import HwqError
from hwq.formats import Format, catalog, parse_format

__all__ = ["parse", "write", "write_arrays"]

_DIGITS = "[0-9]{1,9}"  # of ASCII, and few enough for any limit that is checked later
_SHAPE = re.compile(rf"({_DIGITS})x({_DIGITS})(?:x({_DIGITS}))?(?:/(\w+))?")
_NUMBER = re.compile("-?[0-9]+")


def parse(text: str) -> Datapath:
    if not isinstance(text, str):
        raise HwqError(f"a datapath must be a text such as 'int(8)*int(8) +exact', not {text!r}")
    return _parsed(text)


@lru_cache(maxsize=65536)
def _parsed(text: str) -> Datapath:
    words = text.split()
    if not words:
        raise HwqError("a datapath must be a text such as 'int(8)*int(8) +exact', not an empty one")
    if any(word.endswith("-") and "->" not in word for word in words):
        raise HwqError(f"quote the datapath: the shell took a '>' and the name behind it out of {text!r}")
    a, w = _operands(words[0])
    acc: Accumulator = Exact()
    out: Format | None = None
    steps: tuple[Step, ...] = ()
    array = Array()
    options: dict[str, str] = {}
    last = -1
    for word in words[1:]:
        rank, kind = _rank(word, text)
        if rank < last or rank == last and rank < 3:
            raise HwqError(f"a datapath goes act*weight +acc ->out @RxC option..., not {text!r}")
        last = rank
        if kind == "+":
            acc = _accumulator(word[1:])
        elif kind == "->":
            out, steps = _output(word[2:])
        elif kind == "@":
            array = _array(word[1:])
        else:
            key, _, value = word.partition("=")
            if key in options:
                raise HwqError(f"option {key}= may be given once, not twice, in {text!r}")
            options[key] = value
    return _build(a, w, acc, out, steps, array, options)


_mac = lru_cache(maxsize=65536)(Mac)  # texts of one Mac share it, and what it has derived


def _build(
    a: Format,
    w: Format,
    acc: Accumulator,
    out: Format | None,
    steps: tuple[Step, ...],
    array: Array,
    options: dict[str, str],
) -> Datapath:
    k = options.pop("k", "4096")
    if not re.fullmatch(_DIGITS, k):
        raise HwqError(f"k= takes a whole number of at most 9 digits, not {k!r}")
    rounding = options.pop("round", "rne")
    decode = options.pop("decode", "edge")
    order = options.pop("order", "seq")
    cuts = options.pop("cut", "")
    uses = options.pop("use", "")
    if options:
        raise HwqError(f"options are k=, decode=, round=, order=, cut=, use=, not {next(iter(options))!r}")
    mac = _mac(a, w, acc, out, steps, int(k), rounding, _tree(order))
    return Datapath(mac, array, decode, *(tuple(filter(None, names.split(","))) for names in (cuts, uses)))


def _rank(word: str, text: str) -> tuple[int, str]:
    for rank, mark in enumerate(("+", "->", "@")):
        if word.startswith(mark):
            return rank, mark
    if "=" in word:
        return 3, "="
    raise HwqError(f"expected +acc, ->out, @RxC or option=value, not {word!r} in {text!r}")


def _operands(word: str) -> tuple[Format, Format]:
    a, star, w = word.partition("*")
    if not star:
        raise HwqError(f"a datapath begins act*weight, not {word!r}")
    return parse_format(a), parse_format(w)


def _tree(order: str) -> int:
    """Products that are added exactly before each rounding."""
    found = re.fullmatch(rf"tree\(({_DIGITS})\)", order)
    if order != "seq" and (found is None or int(found[1]) < 2):
        raise HwqError(f"order must be seq or tree(n) with n of 2 or more, not {order!r}")
    return int(found[1]) if found else 1


_FIXED = "fixed(bits[,frac][,wrap|sat][,rdn|rne|rtz])"
_ALIGN = "align(lanes,bits,rtz|rne[,format[,rtz|rne]])"


def _accumulator(word: str) -> Accumulator:
    if word == "exact":
        return Exact()
    family, _, inner = word.partition("(")
    if inner.endswith(")") and family in ("fixed", "align"):
        args = [x.strip() for x in re.split(r",(?![^()]*\))", inner[:-1])]
        return _fixed(args, word) if family == "fixed" else _align(args, word)
    if word not in catalog and not inner:
        raise HwqError(f"the accumulator must be exact, {_FIXED}, {_ALIGN} or a float format, not {word!r}")
    return Float(parse_format(word))


def _fixed(args: list[str], word: str) -> Fixed:
    numbers = [x for x in args if _NUMBER.fullmatch(x)]
    rest = args[len(numbers) :]
    if not 1 <= len(numbers) <= 2 or args[: len(numbers)] != numbers or any(len(n) > 9 for n in numbers):
        raise HwqError(f"fixed(...) takes bits and at most one frac, of up to 9 characters, not {word!r}")
    overflow = rest.pop(0) if rest and rest[0] in ("wrap", "sat") else "wrap"
    rounding = rest.pop(0) if rest else "rdn"
    if rest:
        raise HwqError(f"fixed(...) takes (bits[,frac][,wrap|sat][,rdn|rne|rtz]), not {word!r}")
    return Fixed(int(numbers[0]), int(numbers[1]) if len(numbers) == 2 else None, overflow, rounding)


def _align(args: list[str], word: str) -> Align:
    if len(args) == 1 and not _NUMBER.fullmatch(args[0]):
        if args[0] not in PRESETS:
            raise HwqError(f"align(NAME) takes one of {', '.join(PRESETS)}, not {args[0]!r}")
        return PRESETS[args[0]]
    if not 3 <= len(args) <= 5 or not all(re.fullmatch(_DIGITS, x) for x in args[:2]) or not all(args):
        raise HwqError(f"the accumulator is {_ALIGN} or align(NAME), not {word!r}")
    made = Align(int(args[0]), int(args[1]), args[2])
    return made if len(args) == 3 else Align(made.lanes, made.bits, made.mode, parse_format(args[3]), *args[4:])


def _output(word: str) -> tuple[Format, tuple[Step, ...]]:
    found = re.fullmatch(r"([^\[\]]+(?:\[zp\])?)(?:\[([^\[\]]*)\])?", word)
    if not found:
        raise HwqError(f"the output is ->format[step,...], not {'->' + word!r}")
    steps = [s.strip() for s in re.split(r",(?![^()]*\))", found[2])] if found[2] else []
    return parse_format(found[1]), tuple(map(_step, steps))


def _step(word: str) -> Step:
    if word == "bias":
        return Bias()
    if word == "relu":
        return Relu()
    found = re.fullmatch(r"requant(?:\((.*)\))?", word)
    if not found:
        raise HwqError(f"output steps are bias, requant, requant(format), relu, not {word!r}")
    if found[1] is None:
        return Requant()
    if found[1] not in catalog and "(" not in found[1]:
        raise HwqError(f"requant takes an unsigned integer scale such as uint(16), not {found[1]!r}")
    return Requant(parse_format(found[1]))


def _array(word: str) -> Array:
    found = _SHAPE.fullmatch(word)
    if not found:
        raise HwqError(f"the array is @RxC or @RxCxL, then /os, /ws or /tree if need be, not {'@' + word!r}")
    rows, cols, lanes, dataflow = found.groups()
    return Array(int(rows), int(cols), int(lanes or 1), dataflow or "os")


def write(dp: Datapath, named: bool = True) -> str:
    """The canonical text; `named` False writes catalogue formats by their parameters too."""
    (text,) = write_arrays(dp, [dp.array], named)
    return text


def write_arrays(dp: Datapath, arrays: Iterable[Array], named: bool = True) -> list[str]:
    """The canonical texts of the datapath with each of these arrays."""

    def fmt(f: Format) -> str:
        return str(f) if named else f.text

    mac = dp.mac
    before = [f"{fmt(mac.a)}*{fmt(mac.w)}"]
    if mac.acc != Exact():
        before.append(f"+{_accumulator_text(mac.acc, named)}")
    if mac.out is not None:
        steps = ",".join(s.text if named or not isinstance(s, Requant) else _parametric(s) for s in mac.epilogue)
        before.append(f"->{fmt(mac.out)}{f'[{steps}]' if steps else ''}")
    after = [f"k={mac.k}"] * (mac.k != 4096) + [f"decode={dp.decode}"] * (dp.decode != "edge")
    after += [f"round={mac.round}"] * (mac.round != "rne") + [f"order=tree({mac.tree})"] * (mac.tree != 1)
    after += [f"{key}={','.join(names)}" for key, names in (("cut", dp.cuts), ("use", dp.uses)) if names]
    head, tail, default = " ".join(before), "".join(f" {word}" for word in after), Array()
    return [f"{head} @{a.text}{tail}" if a.rows > 1 or a != default else head + tail for a in arrays]


def _accumulator_text(acc: Accumulator, named: bool) -> str:
    return acc.text if named or not isinstance(acc, Float | Align) else acc.parametric


def _parametric(step: Requant) -> str:
    return step.text if step == Requant() else f"requant({step.scale.text})"
