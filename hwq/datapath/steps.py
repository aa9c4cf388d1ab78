"""The only text that is arithmetic: a product, an accumulation, an epilogue, over words of known range."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import reduce

from hwq.bits import Word, const, mux, variable
from hwq.datapath.accumulators import Align, Fixed
from hwq.datapath.floats import Addend, Term, addend, aligned, rounded
from hwq.datapath.spec import MAX_SHIFT, Bias, Mac, Relu
from hwq.formats import STOCHASTIC, Format, Unpacked, next_noise, round_shift
from hwq.formats.rounding import SEED_BITS, Stochastic

__all__ = [
    "SEED",
    "State",
    "Term",
    "finish",
    "flush",
    "initial",
    "on_grid",
    "parameters",
    "product",
    "reseeded",
    "state",
    "step",
]

SEED = "seed"  # the run-time parameter of stochastic rounding

ZERO = const(0)


@dataclass(frozen=True)
class State:
    """What an accumulator remembers: a number on its grid or a float's code, and the sticky flags beside it.

    Under `order=tree(n)` also the exact `group` so far, and `phase`, how many of its products are there.
    """

    total: Word
    nan: Word = ZERO
    pinf: Word = ZERO
    ninf: Word = ZERO
    group: Word = ZERO
    phase: Word = ZERO

    @property
    def _all(self) -> dict[str, Word]:
        names = {"acc": self.total, "nan": self.nan, "pinf": self.pinf, "ninf": self.ninf}
        return names | {"group": self.group, "phase": self.phase}

    @property
    def words(self) -> dict[str, Word]:
        """The registers that exist, by name."""
        return {name: word for name, word in self._all.items() if not word.constant}

    def each(self, change: Callable[[str, Word], Word]) -> State:
        """The state with its registers changed, by name."""
        return State(*(word if word.constant else change(name, word) for name, word in self._all.items()))

    def named(self, like: State) -> dict[str, Word]:
        """The words, constant or not, that are registers of another state."""
        return {name: self._all[name] for name in like.words}


def initial() -> State:
    return State(const(0))


def state(mac: Mac, lanes: int = 1, tag: str = "", joined: bool = False) -> State:
    """The registers as inputs of `step` and `finish`; a group whose products come in `lanes` at once needs none.

    `tag` follows the sum's name, where an element has several. `joined`: where there are infinities, NaN is both.
    """
    lo, hi = (0, (1 << mac.acc_bits) - 1) if mac.floats is not None else mac.acc_format.integer_range
    nan, inf = (int(there and not held) for there, held in zip((mac.has_nan, mac.has_inf), _held(mac), strict=True))
    flags = (variable("nan", 0, nan * (not (joined and inf))), variable("pinf", 0, inf), variable("ninf", 0, inf))
    if mac.tree == lanes or mac.tree == 1:
        return State(variable(f"acc{tag}", lo, hi), *flags)
    ends = [mac.group_terms * p for p in mac.product_range]
    group, phase = variable("group", *ends), variable("phase", 0, mac.tree - 1)
    return State(variable("acc", lo, hi), *flags, group=group, phase=phase)


def _held(mac: Mac) -> tuple[bool, bool]:
    """Whether the accumulator's own number can be nan, and infinite."""
    return (False, False) if mac.floats is None else (mac.floats.has_nan, mac.floats.has_inf)


def product(mac: Mac, a: dict[str, Word], w: dict[str, Word]) -> Term:
    """One product of decoded operands, in units of `2**product_lsb`, after the stage `mul`."""
    sig = a["sig"] * w["sig"]
    exp = a["exp"] + w["exp"]
    zero_a, zero_w = (x["sig"].eq(0) & (const(1) - x["inf"]) for x in (a, w))
    inf = a["inf"] | w["inf"]
    nan = a["nan"] | w["nan"] | (a["inf"] & zero_w) | (w["inf"] & zero_a)
    inf = inf & (const(1) - nan)
    negative = _negative(a) ^ _negative(w) if mac.has_inf else const(0)
    sig, exp, nan, inf, negative = (x.stage("mul") for x in (sig, exp, nan, inf, negative))
    return Term(sig, exp, nan, inf & (const(1) - negative), inf & negative)


def _negative(x: dict[str, Word]) -> Word:
    return x["sig"] < 0 if x["inf"].constant else x["neg"]


def step(mac: Mac, s: State, *terms: Term) -> State:
    """One accumulation of one term, or of as many as come side by side. Flags are sticky.

    The stage `align` carries everything that lives across it, so that a cut delays nothing apart.
    """
    if isinstance(mac.acc, Align):
        return _fused(mac, s, terms)
    if mac.floats is not None and mac.tree == 1:
        (term,) = terms
        return _rounded(mac, s, addend(term.sig, term.exp, mac.product_lsb), term, staged=True)
    terms = tuple(_placed(mac, term) for term in terms)
    if mac.tree == 1:
        return _accumulated(mac, s, *terms)
    if len(terms) == mac.tree:
        return flush(mac, s, _together(terms))
    (term,) = terms
    return _grouped(mac, s, term)


def _placed(mac: Mac, term: Term) -> Term:
    """The product as a number on its grid, or on the accumulator's where it is added there."""
    lo, hi = mac.product_range
    number = (term.sig << term.exp).within(lo, hi)
    if mac.tree == 1:
        number = on_grid(mac, number)
    number, *flags = (x.stage("align") for x in (number, term.nan, term.pinf, term.ninf))
    return Term(number, const(0), *flags)


def _together(terms: Sequence[Term]) -> Term:
    """The exact sum of products that lie on one grid."""
    number = reduce(lambda x, y: x + y, (t.sig for t in terms))
    flags = [reduce(lambda x, y: x | y, kind) for kind in zip(*((t.nan, t.pinf, t.ninf) for t in terms), strict=True)]
    return Term(number, const(0), *flags)


def on_grid(mac: Mac, number: Word) -> Word:
    """A multiple of `2**product_lsb` on the grid of an accumulator that is no float."""
    return round_shift(number, mac.acc_lsb - mac.product_lsb, mac.acc.rounding if isinstance(mac.acc, Fixed) else "rdn")


def _accumulated(mac: Mac, s: State, *terms: Term) -> State:
    """Exact where k terms fit, else wrapped or saturated as the Mac says."""
    total, nan, pinf, ninf = s.total, s.nan, s.pinf, s.ninf
    for term in terms:
        total = total + term.sig
        nan, pinf, ninf = nan | term.nan, pinf | term.pinf, ninf | term.ninf
    if isinstance(mac.acc, Fixed) and mac.acc.overflow == "sat":
        total = total.clamp(*mac.acc_format.integer_range)
    elif isinstance(mac.acc, Fixed):
        total = total.wrap(mac.acc.bits)
    else:
        total = total.within(*mac.acc_format.integer_range)  # proved by k: see Mac.exact_bits
    return State(total, nan, pinf, ninf)


def _rounded(mac: Mac, s: State, number: Addend, term: Term, staged: bool = False) -> State:
    """One rounding of the sum into the float format; a special that it has no code for is kept beside it."""
    fmt, (nan_held, inf_held) = _float(mac), _held(mac)
    words = (number.neg, number.mag, number.exp, term.nan, term.pinf, term.ninf)
    neg, mag, exp, nan, pinf, ninf = (x.stage("align") if staged else x for x in words)
    u = fmt.unpack(s.total)
    inside = nan if nan_held else ZERO, *((pinf, ninf) if inf_held else (ZERO, ZERO))
    code = rounded(fmt, u, Addend(neg, mag, exp), *inside)
    beside = [(ZERO if nan_held else nan), *((ZERO, ZERO) if inf_held else (pinf, ninf))]
    return State(code, *(x | y for x, y in zip((s.nan, s.pinf, s.ninf), beside, strict=True)))


def _fused(mac: Mac, s: State, terms: Sequence[Term]) -> State:
    assert isinstance(mac.acc, Align)
    fmt, (nan_held, inf_held) = mac.acc.format, _held(mac)
    point = sum(f.unpack(f.code_word).mag.width - 1 for f in (mac.a, mac.w))
    inside = [replace(t, nan=t.nan if nan_held else ZERO) for t in terms]
    inside = [t if inf_held else replace(t, pinf=ZERO, ninf=ZERO) for t in inside]
    code = aligned(mac.acc, fmt.unpack(s.total), inside, mac.product_lsb, point)
    nan, pinf, ninf = s.nan, s.pinf, s.ninf
    for t in terms:
        nan = nan if nan_held else nan | t.nan
        pinf, ninf = (pinf, ninf) if inf_held else (pinf | t.pinf, ninf | t.ninf)
    return State(code, nan, pinf, ninf)


def _float(mac: Mac) -> Format:
    assert mac.floats is not None
    return mac.floats


def flush(mac: Mac, s: State, term: Term) -> State:
    """The state after an exact sum of products, `term.sig * 2**product_lsb`, is rounded or saturated into it."""
    if mac.floats is not None:
        return _rounded(mac, s, addend(term.sig, const(0), mac.product_lsb), term)
    return _accumulated(mac, s, replace(term, sig=on_grid(mac, term.sig)))


def _grouped(mac: Mac, s: State, term: Term) -> State:
    """A term of a group: its last one takes the group into the sum. Specials take effect at once."""
    group = (s.group + term.sig).within(s.group.lo, s.group.hi)
    last = s.phase.eq(mac.tree - 1)
    after = flush(mac, s, replace(term, sig=mux(last, group, const(0))))
    phase = mux(last, const(0), s.phase + 1).within(0, mac.tree - 1)
    return replace(after, group=mux(last, const(0), group), phase=phase)


def parameters(mac: Mac) -> dict[str, Word]:
    """The run-time parameters of one output channel, as inputs: codes, in port order."""
    words: dict[str, Word] = {}
    if mac.step(Bias):
        words["bias"] = variable("bias", 0, (1 << mac.acc_bits) - 1)
    if mac.requant is not None:
        words["mul"] = variable("mul", 0, (1 << mac.requant.bits) - 1)
        words["shift"] = variable("shift", 0, MAX_SHIFT)
    if mac.round == STOCHASTIC:
        words[SEED] = variable(SEED, 0, (1 << SEED_BITS) - 1)
    return words


def reseeded(given: dict[str, Word]) -> Word:
    """The seed of a channel's next result: the shift register that makes the noise, one word on."""
    return next_noise(given[SEED])[0]


def finish(mac: Mac, s: State, given: dict[str, Word]) -> Word:
    """The result code: bias, requant and relu are exact; the only rounding is the output format's `pack`.

    Stochastic rounding takes the word that the register brings next after the state "seed".
    """
    if not s.phase.constant:
        s = _rest(mac, s)
    if mac.out is None and mac.floats is not None:
        return _itself(mac.floats, s)
    x, exp, flags = _read(mac, s, given)
    lsb = mac.acc_lsb
    noise = next_noise(given[SEED])[1] if mac.round == STOCHASTIC else const(0)
    x, exp, nan, inf, negative, noise = (v.stage("bias") for v in (x, exp, *flags, noise))
    if mac.requant is not None:
        x = x * given["mul"].within(0, (1 << mac.requant.bits) - 1)
        exp, lsb = exp + MAX_SHIFT - given["shift"], lsb - MAX_SHIFT
    x, exp, nan, inf, negative, noise = (v.stage("requant") for v in (x, exp, nan, inf, negative, noise))
    if mac.step(Relu):
        x = mux(x < 0, const(0), x)
        inf = inf & (const(1) - negative)
        negative = const(0)
    x, exp, nan, inf, negative, noise = (v.stage("act") for v in (x, exp, nan, inf, negative, noise))
    u = Unpacked.of(x, exp, nan, inf)
    if not inf.constant:
        u = Unpacked(mux(inf, negative, u.neg), u.mag, u.exp, u.nan, u.inf)
    return mac.output.pack(u, lsb, Stochastic(noise) if mac.round == STOCHASTIC else mac.round)


def _rest(mac: Mac, s: State) -> State:
    """The state after the last, incomplete group, if there is one."""
    now = replace(s, group=ZERO, phase=ZERO)
    after = flush(mac, now, Term(s.group, ZERO, ZERO, ZERO, ZERO))
    return replace(after, total=mux(s.phase.eq(0), s.total, after.total))


def _read(mac: Mac, s: State, given: dict[str, Word]) -> tuple[Word, Word, tuple[Word, Word, Word]]:
    """The number x * 2**exp of the sum and its bias, and whether it is nan, infinite, negative if infinite."""
    x, exp, nan, pinf, ninf = s.total, const(0), s.nan, s.pinf, s.ninf
    parts = [_float(mac).unpack(code) for code in (s.total, given.get("bias", ZERO))] if mac.floats is not None else []
    for u in parts:
        nan, pinf, ninf = nan | u.nan, pinf | (u.inf & (const(1) - u.neg)), ninf | (u.inf & u.neg)
    if parts:
        number, bias = parts
        x, exp = (number.fixed + bias.fixed, const(0)) if mac.step(Bias) else (number.sig, number.exp)
    elif mac.step(Bias):
        x = x + given["bias"].wrap(mac.acc_bits)
    nan = nan | (pinf & ninf)
    return x, exp, (nan, (pinf | ninf) & (const(1) - nan), ninf)


def _itself(fmt: Format, s: State) -> Word:
    """The accumulator's own code; what it has no code for saturates, or is 0."""
    nan = s.nan | (s.pinf & s.ninf)
    code = s.total
    for inf, neg in ((s.pinf, 0), (s.ninf, 1)):
        end = Unpacked(const(neg), ZERO, ZERO, ZERO, const(1))
        code = mux(inf & (const(1) - nan), fmt.pack(end, fmt.lsb, "rne"), code)
    none = Unpacked(ZERO, ZERO, ZERO, const(1), ZERO)
    return mux(nan, fmt.pack(none, fmt.lsb, "rne"), code)
