"""The only text that is arithmetic: a product, an accumulation, an epilogue, over words of known range."""

from __future__ import annotations

from dataclasses import dataclass

from hwq.bits import Word, const, mux, variable
from hwq.datapath.spec import MAX_SHIFT, Bias, Fixed, Mac, Relu
from hwq.formats import Unpacked, round_shift

__all__ = ["State", "finish", "initial", "parameters", "product", "state", "step"]


@dataclass(frozen=True)
class State:
    """What an accumulator remembers: a number on its grid, and the sticky flags that can occur."""

    total: Word
    nan: Word
    pinf: Word
    ninf: Word

    @property
    def words(self) -> dict[str, Word]:
        """The registers that exist, by name."""
        named = {"acc": self.total, "nan": self.nan, "pinf": self.pinf, "ninf": self.ninf}
        return {name: w for name, w in named.items() if not w.constant}


def initial() -> State:
    return State(const(0), const(0), const(0), const(0))


def state(mac: Mac) -> State:
    """The registers as inputs of `step` and `finish`."""
    lo, hi = mac.acc_format.integer_range
    flag = [
        variable(n, 0, int(there)) for n, there in (("nan", mac.has_nan), ("pinf", mac.has_inf), ("ninf", mac.has_inf))
    ]
    return State(variable("acc", lo, hi), *flag)


def product(mac: Mac, a: dict[str, Word], w: dict[str, Word]) -> tuple[Word, Word, Word, Word]:
    """(number on the accumulator's grid, nan, +inf, -inf) of one product of decoded operands.

    The stages `mul` and `align` carry everything that lives across them, so that a cut delays nothing apart.
    """
    sig = a["sig"] * w["sig"]
    exp = a["exp"] + w["exp"]
    zero_a, zero_w = (x["sig"].eq(0) & (const(1) - x["inf"]) for x in (a, w))
    inf = a["inf"] | w["inf"]
    nan = a["nan"] | w["nan"] | (a["inf"] & zero_w) | (w["inf"] & zero_a)
    inf = inf & (const(1) - nan)
    negative = _negative(a) ^ _negative(w) if mac.has_inf else const(0)
    sig, exp, nan, inf, negative = (x.stage("mul") for x in (sig, exp, nan, inf, negative))
    lo, hi = mac.product_range
    number = (sig << exp).within(lo, hi)
    number = round_shift(number, mac.acc_lsb - mac.product_lsb, _rounding(mac))
    pinf, ninf = inf & (const(1) - negative), inf & negative
    number, nan, pinf, ninf = (x.stage("align") for x in (number, nan, pinf, ninf))
    return number, nan, pinf, ninf


def _negative(x: dict[str, Word]) -> Word:
    return x["sig"] < 0 if x["inf"].constant else x["neg"]


def _rounding(mac: Mac) -> str:
    return mac.acc.rounding if isinstance(mac.acc, Fixed) else "rdn"


def step(mac: Mac, s: State, term: tuple[Word, Word, Word, Word]) -> State:
    """One accumulation: exact where k terms fit, else wrapped or saturated as the Mac says. Flags are sticky."""
    number, nan, pinf, ninf = term
    total = s.total + number
    if isinstance(mac.acc, Fixed) and mac.acc.overflow == "sat":
        total = total.clamp(s.total.lo, s.total.hi)
    elif isinstance(mac.acc, Fixed):
        total = total.wrap(mac.acc.bits)
    else:
        total = total.within(s.total.lo, s.total.hi)  # proved by k: see Mac.exact_bits
    return State(total, s.nan | nan, s.pinf | pinf, s.ninf | ninf)


def parameters(mac: Mac) -> dict[str, Word]:
    """The run-time parameters of one output channel, as inputs: codes, in port order."""
    words: dict[str, Word] = {}
    if mac.step(Bias):
        words["bias"] = variable("bias", 0, (1 << mac.acc_bits) - 1)
    if mac.requant is not None:
        words["mul"] = variable("mul", 0, (1 << mac.requant.bits) - 1)
        words["shift"] = variable("shift", 0, MAX_SHIFT)
    return words


def finish(mac: Mac, s: State, given: dict[str, Word]) -> Word:
    """The result code: bias, requant and relu are exact; the only rounding is the output format's `pack`."""
    nan = s.nan | (s.pinf & s.ninf)
    inf = (s.pinf | s.ninf) & (const(1) - nan)
    x, lsb, exp = s.total, mac.acc_lsb, const(0)
    negative = s.ninf
    if mac.step(Bias):
        x = x + given["bias"].wrap(mac.acc_bits)
    x, nan, inf, negative = (v.stage("bias") for v in (x, nan, inf, negative))
    if mac.requant is not None:
        x = x * given["mul"].within(0, (1 << mac.requant.bits) - 1)
        exp, lsb = const(MAX_SHIFT) - given["shift"], lsb - MAX_SHIFT
    x, exp, nan, inf, negative = (v.stage("requant") for v in (x, exp, nan, inf, negative))
    if mac.step(Relu):
        x = mux(x < 0, const(0), x)
        inf = inf & (const(1) - negative)
        negative = const(0)
    x, exp, nan, inf, negative = (v.stage("act") for v in (x, exp, nan, inf, negative))
    u = Unpacked.of(x, exp, nan, inf)
    if mac.has_inf:
        u = Unpacked(mux(inf, negative, u.neg), u.mag, u.exp, u.nan, u.inf)
    return mac.output.pack(u, lsb, mac.round)
