"""The units' equations in plain integers: those that I-ViT published, and those of docs/units.md. No code of hwq's.

`s` are exact fractions, `x` arrays of integers [rows, n] (int64), results as well. All shifts are floors.
"""

from fractions import Fraction
from math import ceil, floor, isqrt, log2

import numpy as np

LOG2E = Fraction(3248660424278399, 2251799813685248)  # 1.442695..., correct to 2**-52


# -- published: zkkli/I-ViT, quant_modules.py -------------------------------------------------------------------------


def int_exp_shift(x, s, n):
    x = x + np.floor_divide(x, 2) - np.floor_divide(x, 16)
    x0 = floor(-1 / s)
    x = np.maximum(x, n * x0)
    q = np.floor_divide(x, x0)
    r = x - x0 * q
    twice = r - 2 * x0  # (r / 2 - x0) * 2**(n - q), floored
    up = n - q
    return np.maximum(np.where(up > 0, twice << np.maximum(up - 1, 0), twice >> 1), 0)


def int_softmax(x, s, k):
    x = x - x.max(-1, keepdims=True)
    e = int_exp_shift(x, s, 15)
    total = np.minimum(e.sum(-1, keepdims=True), 2**31 - 1)
    factor = (2**31 - 1) // total
    return e * factor // 2 ** (31 - k + 1)


def int_gelu(x, s, k=8):
    sig = s * Fraction("1.702")
    top = x.max(-1, keepdims=True)
    a = int_exp_shift(x - top, sig, 23)
    c = int_exp_shift(-top.astype(object), sig, 23)  # of a row far below 0 beyond 64 bits
    total = a + np.minimum(c, 2**31 - 1).astype(np.int64)
    total = np.minimum(total, 2**31 - 1)
    sigmoid = a * ((2**31 - 1) // total) // 2 ** (31 - k + 1)
    return x * sigmoid


def round_half_even(num, den):
    up = (2 * num + den) // (2 * den)
    return up - (((2 * num + den) % (2 * den) == 0) & (up % 2 == 1))


def newton_root(v):
    k = np.full_like(v, 2**16)
    for _ in range(10):
        k = (k + v // k) // 2
    return k


def int_layernorm(x):
    y = x - round_half_even(x.sum(-1, keepdims=True), x.shape[-1])
    factor = (2**31 - 1) // newton_root((y * y).sum(-1, keepdims=True))
    return y * factor // 2


# -- recommended: docs/units.md ---------------------------------------------------------------------------------------


def nearest(num, places, lo, hi):
    """num / 2**places to the nearest integer, ties to even, saturated."""
    return np.clip(round_half_even(num, np.int64(1) << places), lo, hi)


def softmax(x, s, fine, lo, hi, width):
    """`fine`: results are in units of 2**-fine, codes lo to hi; `width`: the span of all x."""
    places = fine + (x.shape[-1] - 1).bit_length()
    digits = width.bit_length() + 2
    m = round(LOG2E * s * 2 ** (6 + digits))
    d = (m * (x.max(-1, keepdims=True) - x) + 2 ** (digits - 1)) >> digits
    table = np.array([round(2.0 ** (places - f / 64)) for f in range(64)])
    octaves = np.minimum(d // 64, places + 1)
    e = np.where(d >= (places + 1) * 64, 0, table[d % 64] >> octaves)
    factor = 2 ** (places + 3 + fine) // e.sum(-1, keepdims=True)
    return nearest(e * factor, places + 3, lo, hi)


def layernorm(x, s, t, eps, lo, hi, span):
    """`t`: the unit of results; `span`: the largest x less the least."""
    n = x.shape[-1]
    more = max(1, round(eps * n * n / s**2))
    total = x.sum(-1, keepdims=True)
    power = n * (x * x).sum(-1, keepdims=True) - total * total + more
    y = n * x - total
    return _normed(y, power, more + n - 1, Fraction(1), (n - 1) * span, n, t, lo, hi)


def rmsnorm(x, s, t, eps, lo, hi, most):
    n = x.shape[-1]
    more = max(1, round(eps * n / s**2))
    power = (x * x).sum(-1, keepdims=True) + more
    return _normed(x, power, more + 1, Fraction(n), most, n, t, lo, hi)


def _normed(y, power, least, numerator, most, n, t, lo, hi):
    reach = min((isqrt(n - 1) + 1) / t, Fraction(max(-lo, hi)))
    g = max(0, ceil(log2(reach * 4 / isqrt(least))))
    kept = most.bit_length() + 2
    factor = isqrt(floor(numerator * (Fraction(2) ** (kept + g) / t) ** 2))
    roots = np.vectorize(isqrt, otypes=[np.int64])(power << 2 * g)
    return nearest(y * (factor // roots), kept, lo, hi)


def shiftgelu(x, s, ratio, lo, hi):
    """x * sigmoid in units of s / 128, times `ratio` (a power of two, 128 units over one of the results)."""
    sig = s * Fraction("1.702")
    one = -floor(-1 / sig) << 12
    e = int_exp_shift(-np.abs(x), sig, 12)
    sigma = (one << 7) // (one + e)
    sigma = np.where(x < 0, 128 - sigma, sigma)
    return nearest(x * sigma, int(log2(ratio)), lo, hi)
