"""The only rounder. Every format, accumulator grid and requantizer rounds through `round_shift`.

Stochastic rounding takes its random words from PRBS31, the shift register of x**31 + x**28 + 1 (ITU-T O.150), sixteen
steps at a time: sixteen exclusive ors in hardware, and the same bits in the emulator.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from hwq.bits import Word, const, variable
from hwq.errors import HwqError

__all__ = [
    "NOISE_BITS",
    "ROUNDINGS",
    "SEED_BITS",
    "STOCHASTIC",
    "TO_ODD",
    "Rounding",
    "Stochastic",
    "check_rounding",
    "cut",
    "first_state",
    "fraction_bits",
    "leaves",
    "most_places",
    "next_noise",
    "noise",
    "noise_states",
    "noise_words",
    "round_shift",
]

ROUNDINGS = {
    "rne": "to nearest, ties to even",
    "rna": "to nearest, ties away from zero",
    "rtz": "toward zero",
    "rdn": "toward minus infinity",
    "rup": "toward plus infinity",
}
STOCHASTIC = "sr"
TO_ODD = "odd"  # inexact numbers get an odd code: what they are nearest to can still be told. Not offered to users
SEED_BITS = 31
NOISE_BITS = 16


@dataclass(frozen=True)
class Stochastic:
    """Up with the probability of the fraction: `floor(x + noise / 2**16)`, noise a uniform word of 16 bits.

    x is the magnitude where the format stores one (a float), else the signed number.
    """

    noise: Word


Rounding = str | Stochastic


def check_rounding(mode: str, stochastic: bool = False) -> str:
    """The mode, if it is one; "sr" only where the caller has noise for it."""
    known = (*ROUNDINGS, STOCHASTIC) if stochastic else tuple(ROUNDINGS)
    if not isinstance(mode, str) or mode not in known:
        raise HwqError(f"round must be one of {', '.join(known)}, not {mode!r}")
    return mode


def first_state(seed: int) -> int:
    """The register's state for a seed, any whole number from 0: close seeds are far apart (Steele et al., SplitMix64).

    Equal seeds give equal noise.
    """
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or seed < 0:
        raise HwqError(f"seed must be a whole number from 0, not {seed!r}")
    x = (int(seed) + 1) * 0x9E3779B97F4A7C15 % (1 << 64)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        x = (x ^ x >> shift) * factor % (1 << 64)
    return (x ^ x >> 31) % ((1 << SEED_BITS) - 1) + 1


def noise() -> Stochastic:
    """Stochastic rounding by an input of the text, the word "noise"."""
    return Stochastic(variable("noise", 0, (1 << NOISE_BITS) - 1))


def next_noise(state: Word) -> tuple[Word, Word]:
    """(state after sixteen steps, the word that they brought) of the shift register."""
    word = ((state >> (SEED_BITS - NOISE_BITS)) ^ (state >> (28 - NOISE_BITS))).low(NOISE_BITS)
    return (state.low(SEED_BITS - NOISE_BITS) << NOISE_BITS) | word, word


def noise_words(state: Any, count: int) -> np.ndarray[Any, Any]:
    """uint16 [count, *state.shape]: the words that follow each state, 1 to 2**31 - 1.

    Bit n of the register's stream is bit n-31 xor bit n-28, hence so is n-31*2**j xor n-28*2**j for every j: words
    follow one another by the same rule as bits (j = 4), and the list grows by doubling.
    """
    states = np.asarray(state, dtype=np.int64)
    words = np.zeros((max(count, 31), *states.shape), dtype=np.uint16)
    for at in range(31):
        fresh = (states >> (SEED_BITS - NOISE_BITS) ^ states >> (28 - NOISE_BITS)) & 0xFFFF
        states = (states & 0x7FFF) << NOISE_BITS | fresh
        words[at] = fresh
    done, step = 31, 1
    while done < count:
        while 31 * 2 * step <= done:
            step *= 2
        more = min(28 * step, count - done)
        np.bitwise_xor(
            words[done - 31 * step :][:more], words[done - 28 * step :][:more], out=words[done : done + more]
        )
        done += more
    return words[:count]


def noise_states(state: Any, count: int) -> np.ndarray[Any, Any]:
    """int32 [count, *state.shape]: each state and those that follow it, a word apart."""
    states = np.asarray(state, dtype=np.int32)
    words = noise_words(states, max(count, 2)).astype(np.int32)
    found = np.empty((max(count, 2), *states.shape), dtype=np.int32)
    found[0], found[1] = states, (states & 0x7FFF) << NOISE_BITS | words[0]
    found[2:] = (words[:-2] & 0x7FFF) << NOISE_BITS | words[1:-1]
    return found[:count]


def most_places(width: int, mode: Rounding) -> int:
    """Places beyond which it makes no difference by how many a number of that width is shifted down."""
    return width + 1 + NOISE_BITS * isinstance(mode, Stochastic)


def leaves(neg: Word, mode: Rounding) -> Word:
    """1 where too large a number leaves the format: rounding directed inwards stops at the largest (IEEE 754, 7.4)."""
    directed = {"rtz": const(0), TO_ODD: const(0), "rdn": neg, "rup": const(1) - neg}
    return const(1) if isinstance(mode, Stochastic) else directed.get(mode, const(1))


def fraction_bits(mode: Rounding) -> int:
    """Bits below the last place by which `cut` decides, beside the one for all that is below them."""
    return NOISE_BITS if isinstance(mode, Stochastic) else 1


def cut(top: Word, lost: Word, minus: Word, mode: Rounding, neg: Word, odd: Word | None = None) -> Word:
    """A magnitude rounded to an integer, from its leading bits `top`, the last `fraction_bits` of them a fraction.

    `lost` is whether a one was cut off below. Where `minus` is 1, `top` are the inverted bits of a negative number, one
    of whose magnitude's last places is missing: it comes up to the last bit of `top` unless a one was cut off. `odd`
    replaces the integer's last bit where a tie goes to what is even.
    """
    bits = fraction_bits(mode)
    whole = minus & (const(1) - lost)
    if isinstance(mode, Stochastic):
        return (top + mode.noise + whole) >> bits
    kept, guard = top >> bits, top.low(bits)
    up, half = guard & whole, guard ^ whole
    if mode == TO_ODD:
        return (kept + up) | half | lost
    last = kept.low(1) if odd is None else odd
    above = {"rne": half & (lost | last), "rna": half, "rtz": const(0)}.get(mode)
    if above is None:
        above = (half | lost) & (neg if mode == "rdn" else const(1) - neg)
    return kept + (up | above)


def round_shift(x: Word, n: Word | int, mode: Rounding, neg: Word | None = None, odd: Word | None = None) -> Word:
    """x / 2**n rounded to an integer, n >= 0.

    `x` is either a signed number (`neg` None) or a magnitude whose sign is `neg`; the result is of the same kind.
    `odd` is what makes a tie go up, where that is not the last bit of x >> n.
    Two's complement floors for free, so each mode adds at most one to that:

    - rne: where a half is cut off, and below it a one or into an odd number;
    - rna: where a half is cut off, but of a negative x only with a one below it;
    - rdn, rup, rtz: where a one is cut off, by the sign;
    - stochastic: where the noise, cut to the fraction's places, makes one of it;
    - to odd (magnitudes only): the last bit is set where the fraction is not zero.
    """
    n = n if isinstance(n, Word) else const(n)
    if n.hi == 0:
        return x
    if isinstance(mode, Stochastic):
        return (x + ((mode.noise << n) >> NOISE_BITS)) >> n
    if mode == TO_ODD:
        return (x >> n) | x.lost(n)
    if mode in ("rne", "rna"):
        twice = x << 1
        halves, below = twice >> n, twice.lost(n)
        kept = halves >> 1
        if mode == "rne":
            up = halves.low(1) & (below | (kept.low(1) if odd is None else odd))
        else:
            up = halves.low(1) if neg is not None else halves.low(1) & (below | (const(1) - (x < 0)))
        return _between(kept + up, x, n, lambda v, places: ((v << 1 >> places) + 1) >> 1)
    minus = x < 0 if neg is None else neg
    if mode == "rdn" and neg is None or mode == "rtz" and neg is not None:
        return x >> n
    up = x.lost(n) if mode == "rup" and neg is None else x.lost(n) & (const(1) - minus if mode == "rup" else minus)
    rounded = (x >> n) + up
    if neg is not None:
        return rounded.within(rounded.lo, -(-x.hi >> n.lo))
    return _between(rounded, x, n, _truncated if mode == "rtz" else lambda v, places: -(-v >> places))


def _truncated(value: int, places: int) -> int:
    return value >> places if value >= 0 else -(-value >> places)


def _between(rounded: Word, x: Word, n: Word, end: Callable[[int, int], int]) -> Word:
    """The range of a rounding that grows with x; `end` rounds one number."""
    ends = [end(v, places) for v in (x.lo, x.hi) for places in (n.lo, n.hi)]
    return rounded.within(min(ends), max(ends))
