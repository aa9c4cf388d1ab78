"""Formats of every family, rounded stochastically too, in Verilog: the bits of the emulator."""

from __future__ import annotations

import time
from collections.abc import Callable
from fractions import Fraction

import numpy as np
import pytest

from hwq import Datapath, HwqError, Params, catalog, matmul, parse_format, sim
from hwq.formats import noise_words
from hwq.formats.rounding import first_state, noise_states

SOME = [
    "nf4*int8 +fixed(50)",
    "logsqrt4*fp4_e2m1 +fixed(40) @2x3",
    "binary*binary +fixed(12) @3x2",
    "e8m0*binary +fp32",
    "uint(8,zp=128)*uint(4,zp=3) +fixed(24) @3x3 cut=mul",
    "tf32*sm(6,3) +fp32",
    "int(24)*int(20) +fixed(60)",
    "p3109_k8p4*ue4m3 +fixed(60) ->p3109_k8p3",
    "int8*int8 +fixed(24) ->int(6,ovf=wrap)[bias] @2x2",
    "int4*int4 +fixed(16) ->fp4_bnb[relu]",
    "int8*int8 +fixed(24) ->int4[bias,requant] @3x2 cut=requant round=sr",
    "fp8_e4m3*fp8_e4m3 +fixed(40) ->fp6_e2m3 @2x2 round=sr",
]
SCALAR = [name for name in catalog if not catalog[name].blocked]
PAIRS = [f"{name}*{other}" for name in SCALAR for other in dict.fromkeys((name, "int8", "int4"))]
REFUSED = {f"fp32*{other}": "an operand has at most 24 bits, not fp32 with 32" for other in ("fp32", "int8", "int4")}
NARROW = [name for name in catalog if catalog[name].bits <= 16]


@pytest.mark.parametrize("text", SOME)
def test_the_verilog_gives_the_codes_of_the_emulator(text: str) -> None:
    run = sim.check(Datapath.parse(text), vectors=60, exhaustive=False)
    assert (run.mismatches, run.cycles) == (0, run.expected_cycles + run.stalled) and run.compared >= 60


@pytest.mark.slow
@pytest.mark.parametrize("name", NARROW)
def test_every_format_of_the_catalogue_in_verilog(name: str) -> None:
    run = sim.check(Datapath.parse(f"{name}*int8 +fp16 @2x2"), vectors=40, bench="bulk")
    assert run.mismatches == 0 and run.compared == 160


def test_every_pair_is_simulated_or_named_with_its_reason() -> None:
    assert len(SCALAR) >= 43 and len(PAIRS) == 3 * len(SCALAR) - 2  # int8 and int4 with themselves stand there once
    for pair, reason in REFUSED.items():
        with pytest.raises(HwqError, match=reason):
            Datapath.parse(pair)


@pytest.mark.slow  # 124 pairs: a few seconds each, most of them for the compiler
@pytest.mark.parametrize("pair", [pair for pair in PAIRS if pair not in REFUSED])
def test_every_pair_of_scalar_formats_in_verilog(pair: str, say: Callable[[str], None]) -> None:
    """Exact sums: all pairs of codes, each twice, of up to 16 bits; else a million operands."""
    dp = Datapath.parse(pair)
    bits = dp.mac.a.bits + dp.mac.w.bits
    simulator = "icarus" if bits <= 12 else "verilator"
    start = time.perf_counter()
    run = sim.check(dp, bench="bulk", simulator=simulator, vectors=170_000)
    vectors = run.expected_cycles - run.tiles * (dp.cycles(1, 1, 1) - 1)
    say(
        f"{pair}: {run.mode}, {vectors} vectors, {run.compared} results of {dp.mac.output.bits} bits compared, "
        f"{run.mismatches} mismatches, {simulator}, {time.perf_counter() - start:.1f} s"
    )
    assert (run.first_mismatch, run.failure, run.mismatches) == (None, None, 0)
    codes = len(dp.mac.a.codes()) * len(dp.mac.w.codes()) if bits <= 16 else 0
    assert run.mode == ("exhaustive" if codes else "random")
    assert vectors >= (2 * codes or 1_000_000)
    assert run.compared >= vectors // 512


def test_noise_is_a_channel_s_register_from_result_to_result() -> None:
    """Results against rational arithmetic, with the words of the shift register stepped here bit by bit."""
    mac = Datapath.parse("int8*int8 +fixed(24) ->int4[requant] round=sr").mac
    rng = np.random.default_rng(2)
    a, w = rng.integers(0, 256, (40, 9)).astype(np.uint8), rng.integers(0, 256, (3, 9)).astype(np.uint8)
    mul, shift, seed = np.array([40000, 50000, 65535]), np.array([26, 28, 27]), np.array([1, 12345, (1 << 31) - 1])
    got = matmul(mac, a, w, Params(mul=mul, shift=shift, seed=seed))
    int8 = parse_format("int8")
    sums = int8.decode(a).astype(int) @ int8.decode(w).astype(int).T
    for n in range(3):
        state = int(seed[n])
        for m in range(40):
            word = 0
            for _ in range(16):
                bit = (state >> 30 ^ state >> 27) & 1
                state, word = (state << 1 | bit) & 0x7FFFFFFF, word << 1 | bit
            exact = Fraction(int(sums[m, n]) * int(mul[n]), 1 << int(shift[n])) + Fraction(word, 1 << 16)
            assert got[m, n] == min(max(exact.numerator // exact.denominator, -8), 7) % 16


def test_states_and_words_are_one_sequence() -> None:
    seeds = np.array([1, 77, first_state(5)])
    states, words = noise_states(seeds, 100), noise_words(seeds, 101)
    assert np.array_equal(states[0], seeds) and states.shape == (100, 3)
    assert np.array_equal(noise_words(states[50], 10), words[50:60])
    assert noise_states(seeds, 1).shape == (1, 3)


def test_seeds_are_checked() -> None:
    mac = Datapath.parse("int8*int8 ->int4 round=sr k=4").mac
    one = np.ones((1, 1), np.uint8)
    assert matmul(mac, one, one).shape == (1, 1)  # a state for each channel, by its number
    for seed in (0, 1 << 31):
        with pytest.raises(HwqError, match=r"params\.seed must be codes between 1 and 2147483647"):
            matmul(mac, one, one, Params(seed=np.array([seed])))
    with pytest.raises(HwqError, match=r"params\.seed needs a round=sr step"):
        matmul(Datapath.parse("int8*int8 ->int4").mac, one, one, Params(seed=np.array([1])))
    with pytest.raises(HwqError, match="round=sr needs an output of even steps to round to, not nf4"):
        Datapath.parse("int8*int8 ->nf4 round=sr")


def test_a_mean_is_kept() -> None:
    """Stochastic rounding of numbers far below a last place, over all words: the mean is that of the numbers."""
    for text in ("int8", "fp4_e2m1", "fp(4,3,nosub)", "uint(8,zp=3)"):
        fmt = parse_format(text)
        numbers = fmt.decode(fmt.codes())
        step = float(numbers[numbers > 0].min())
        for x in (step * 0.3, step * 2.0**-12, step * 2.0**-40):
            mean = fmt.quantize(np.full(1 << 18, x), "sr", seed=9).mean()
            assert abs(mean - x) <= 5 * step * np.sqrt(max(x / step, 2.0**-16) / (1 << 18)), text
