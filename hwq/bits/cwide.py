"""The C functions by which a printed text computes beyond 64 bits, and shifts what C99 leaves undefined.

A wide integer is an array of 32-bit limbs in two's complement, the least significant first. Every function takes the
number of limbs `n` and works modulo `2**(32*n)`; `out` never overlaps an argument.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

__all__ = ["library"]

_TEXT = r"""
/* floor(x / 2**n), 0 <= n < 32: C leaves the right shift of a negative number to the compiler. */
static int32_t floor32(int32_t x, int n)
{
    return x < 0 ? ~(~x >> n) : x >> n;
}

/* floor(x / 2**n), 0 <= n < 64. */
static int64_t floor64(int64_t x, int n)
{
    return x < 0 ? ~(~x >> n) : x >> n;
}

/* How many bits x >= 0 has above its n low ones. */
static int32_t excess64(int64_t x, int n)
{
    int32_t count = 0;
    for (x = n < 63 ? x >> n : 0; x; x >>= 1)
        count++;
    return count;
}

/* 1 if x is no multiple of 2**n. */
static int32_t lost64(int64_t x, int n)
{
    return n < 64 ? ((uint64_t)x & (((uint64_t)1 << n) - 1)) != 0 : x != 0;
}

/* The low 64 bits. */
static uint64_t wide_bits(const uint32_t *x)
{
    return ((uint64_t)x[1] << 32) | x[0];
}

/* A number that fits 64 bits. */
static int64_t wide_get(const uint32_t *x)
{
    const uint64_t bits = wide_bits(x);
    return bits >> 63 ? -(int64_t)~bits - 1 : (int64_t)bits;
}

/* A signed number as n >= 2 limbs. */
static void wide_set(uint32_t *out, int64_t x, int n)
{
    int i;
    out[0] = (uint32_t)((uint64_t)x & 0xffffffffu);
    out[1] = (uint32_t)((uint64_t)x >> 32);
    for (i = 2; i < n; i++)
        out[i] = x < 0 ? 0xffffffffu : 0;
}

/* have limbs sign-extended to n. */
static void wide_extend(uint32_t *out, const uint32_t *x, int have, int n)
{
    int i;
    for (i = 0; i < n; i++)
        out[i] = i < have ? x[i] : x[have - 1] >> 31 ? 0xffffffffu : 0;
}

static void wide_add(uint32_t *out, const uint32_t *x, const uint32_t *y, int n)
{
    uint64_t carry = 0;
    int i;
    for (i = 0; i < n; i++) {
        carry += (uint64_t)x[i] + y[i];
        out[i] = (uint32_t)carry;
        carry >>= 32;
    }
}

static void wide_sub(uint32_t *out, const uint32_t *x, const uint32_t *y, int n)
{
    uint64_t carry = 1;
    int i;
    for (i = 0; i < n; i++) {
        carry += (uint64_t)x[i] + (y[i] ^ 0xffffffffu);
        out[i] = (uint32_t)carry;
        carry >>= 32;
    }
}

static void wide_mul(uint32_t *out, const uint32_t *x, const uint32_t *y, int n)
{
    int i, j;
    for (i = 0; i < n; i++)
        out[i] = 0;
    for (i = 0; i < n; i++) {
        uint64_t carry = 0;
        for (j = 0; i + j < n; j++) {
            carry += (uint64_t)x[i] * y[j] + out[i + j];
            out[i + j] = (uint32_t)carry;
            carry >>= 32;
        }
    }
}

/* -x if minus is 1, x if it is 0. */
static void wide_negate_if(uint32_t *out, const uint32_t *x, int minus, int n)
{
    const uint32_t flip = minus ? 0xffffffffu : 0;
    uint64_t carry = minus ? 1 : 0;
    int i;
    for (i = 0; i < n; i++) {
        carry += x[i] ^ flip;
        out[i] = (uint32_t)carry;
        carry >>= 32;
    }
}

/* x * 2**by. */
static void wide_shl(uint32_t *out, const uint32_t *x, int by, int n)
{
    const int limbs = by / 32, bits = by % 32;
    int i;
    for (i = n - 1; i >= 0; i--) {
        const uint32_t high = i - limbs >= 0 ? x[i - limbs] : 0;
        const uint32_t low = i - limbs >= 1 ? x[i - limbs - 1] : 0;
        out[i] = bits ? (high << bits) | (low >> (32 - bits)) : high;
    }
}

/* floor(x / 2**by). */
static void wide_floor(uint32_t *out, const uint32_t *x, int by, int n)
{
    const int limbs = by / 32, bits = by % 32;
    const uint32_t sign = x[n - 1] >> 31 ? 0xffffffffu : 0;
    int i;
    for (i = 0; i < n; i++) {
        const uint32_t low = i + limbs < n ? x[i + limbs] : sign;
        const uint32_t high = i + limbs + 1 < n ? x[i + limbs + 1] : sign;
        out[i] = bits ? (low >> bits) | (high << (32 - bits)) : low;
    }
}

static void wide_and(uint32_t *out, const uint32_t *x, const uint32_t *y, int n)
{
    int i;
    for (i = 0; i < n; i++)
        out[i] = x[i] & y[i];
}

static void wide_or(uint32_t *out, const uint32_t *x, const uint32_t *y, int n)
{
    int i;
    for (i = 0; i < n; i++)
        out[i] = x[i] | y[i];
}

static void wide_xor(uint32_t *out, const uint32_t *x, const uint32_t *y, int n)
{
    int i;
    for (i = 0; i < n; i++)
        out[i] = x[i] ^ y[i];
}

/* The low bits, read unsigned, or as two's complement if sign is 1. */
static void wide_low(uint32_t *out, const uint32_t *x, int bits, int sign, int n)
{
    const uint32_t above = sign && (x[(bits - 1) / 32] >> ((bits - 1) % 32)) & 1 ? 0xffffffffu : 0;
    int i;
    for (i = 0; i < n; i++) {
        const int left = bits - 32 * i;
        const uint32_t mask = left >= 32 ? 0xffffffffu : left > 0 ? (UINT32_C(1) << left) - 1 : 0;
        out[i] = (x[i] & mask) | (above & ~mask);
    }
}

/* How many bits x >= 0 has above its `bits` low ones. */
static int32_t wide_excess(const uint32_t *x, int bits, int n)
{
    int32_t count = 32 * n;
    while (count > bits && !(x[(count - 1) / 32] >> ((count - 1) % 32) & 1))
        count--;
    return count > bits ? count - bits : 0;
}

/* 1 if x is no multiple of 2**by. */
static int32_t wide_lost(const uint32_t *x, int by, int n)
{
    int i;
    for (i = 0; i < n && 32 * i < by; i++) {
        const uint32_t mask = by - 32 * i < 32 ? (UINT32_C(1) << (by - 32 * i)) - 1 : 0xffffffffu;
        if (x[i] & mask)
            return 1;
    }
    return by > 32 * n && x[n - 1] >> 31;
}

static int wide_eq(const uint32_t *x, const uint32_t *y, int n)
{
    return memcmp(x, y, (size_t)n * sizeof *x) == 0;
}

static int wide_lt(const uint32_t *x, const uint32_t *y, int n)
{
    const uint32_t top = UINT32_C(0x80000000); /* flips the order of the signs */
    int i = n - 1;
    while (i > 0 && x[i] == y[i])
        i--;
    return i == n - 1 ? (x[i] ^ top) < (y[i] ^ top) : x[i] < y[i];
}
"""

_FUNCTIONS = {
    name: text
    for text in _TEXT.strip("\n").split("\n\n")
    for name in re.findall(r"^static \w+ (\w+)\(", text, re.MULTILINE)
}


def library(names: Iterable[str]) -> str:
    """The text of those functions and of what they call, each once, in one order."""
    wanted = set(names)
    for name in tuple(wanted):
        wanted |= {other for other in _FUNCTIONS if f"{other}(" in _FUNCTIONS[name]}
    return "\n".join(f"{text}\n" for name, text in _FUNCTIONS.items() if name in wanted)
