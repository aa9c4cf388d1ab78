"""Random texts and random arrays: a right answer or one line, never a traceback from inside, a warning or a hang.

A text is parsed, written and parsed again. Codes of arrays are those that `Nearest` or rational arithmetic gives, the
same for numpy and torch and for every layout. The seeds are fixed: every run asks the same.
"""

from __future__ import annotations

import gc
import inspect
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from random import Random
from typing import Any

import fuzz_arrays
import fuzz_texts
import numpy as np
import pytest
import torch

from hwq import Datapath, HwqError, Mac, conv2d, matmul, parse_format
from hwq.formats import (
    ROUNDINGS,
    STOCHASTIC,
    Codebook,
    Curve,
    Format,
    Int,
    Planes,
    Range,
    Special,
    lloyd_max,
    noise_words,
    pack_bits,
    unpack_bits,
)
from hwq.formats.rounding import first_state
from hwq.testing import Nearest

SECONDS = 5.0
LONGEST = 1000  # characters of a message
NARROW = 10  # bits of formats whose codes are compared with a table


@contextmanager
def in_time(what: object) -> Iterator[None]:
    def late(*_: object) -> None:
        raise AssertionError(f"more than {SECONDS} s of a processor: {what!r}")

    before = signal.signal(signal.SIGPROF, late)
    gc.disable()  # the heap of a worker's other tests is not what is timed
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        gc.enable()
        signal.signal(signal.SIGPROF, before)


def answer(call: Callable[..., Any], *given: Any) -> Any:
    """The result, or None after a proper refusal."""
    try:
        return call(*given)
    except HwqError as error:
        text = str(error)
        assert text and text.isprintable() and len(text) < 1.1 * LONGEST, (given, text[:200])
        return None


def read(parse: Callable[[str], Any], text: str) -> Any:
    found = answer(parse, text)
    if found is not None:
        for written in (str(found), found.text if isinstance(found, Format) else found.parametric()):
            again = parse(written)
            assert again == found and hash(again) == hash(found) and str(again) == str(found), (text, written)
    return found


def look(found: Format | Datapath) -> None:
    if isinstance(found, Datapath):
        assert found.mac.acc_bits > 0 and found.mac.output.bits > 0 and found.mac.exact_bits > 1
        return
    assert found.bits > 0 and isinstance(found.lsb, int) and found.overflow in ("sat", "nan", "inf", "wrap")
    if found.bits <= NARROW:
        low, high = found.extremes
        assert low < high and found.integer_range == (low / Fraction(2) ** found.lsb, high / Fraction(2) ** found.lsb)
        answer(lambda: found.least_positive)


def texts(count: int, seed: int) -> tuple[int, int]:
    """(formats, datapaths) that were accepted of so many texts."""
    random, accepted = Random(seed), [0, 0]
    for at in range(count):
        kind = at % 3 == 2
        write, parse = (fuzz_texts.datapath, Datapath.parse) if kind else (fuzz_texts.number_format, parse_format)
        text = write(random)
        with in_time(text[:200]):
            found = read(parse, text)
            if found is not None:
                accepted[kind] += 1
                look(found)
    return accepted[0], accepted[1]


def test_random_texts() -> None:
    formats, datapaths = texts(20_000, 1)
    assert formats > 3000 and datapaths > 500, (formats, datapaths)


@pytest.mark.slow
def test_a_million_random_texts(say: Callable[[str], None]) -> None:
    begun = time.monotonic()
    formats, datapaths = texts(1_000_000, 2)
    say(f"1,000,000 texts in {time.monotonic() - begun:.0f} s: {formats:,} formats, {datapaths:,} datapaths")
    assert formats > 150_000 and datapaths > 25_000


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Datapath.parse("fixed(8,600)*fixed(8,510)"), "the sum's grid must be between 2**-1024 and 2**1024"),
        (lambda: Int(8, signed=2), "signed must be True or False, not 2"),
        (lambda: Int(8, overflow=["sat"]), "an integer's overflow must be sat or wrap, not ['sat']"),
        (lambda: Range(0.5, 3), "least must be a whole number, not 0.5"),
        (lambda: Planes("trits", (1.5,)), "each of weights must be a whole number, not 1.5"),
        (lambda: Codebook(0, (1, 10**18)), "a codebook's numbers have at most 18 digits, not 1000000000000000000"),
        (lambda: Codebook.of([1.0, np.inf]), "a level must be a whole number, a fraction or a finite float, not inf"),
        (lambda: Curve("log", 4, Fraction(1, 10**30)), "log's number must have a denominator of up to 18 digits"),
        (lambda: Curve("twin", 8, Fraction(3, 2)), "twin's number is of places to shift, a whole one, not 3/2"),
        (lambda: parse_format("codebook(99,1,999999999999999998)").encode(1.0), "an encoder needs levels whose"),
        (lambda: lloyd_max([1.0, 2.0], 3, 4), "levels must be from 2 to as many as there are finite numbers, not 3"),
        (
            lambda: parse_format("fp(4,3)").encode(1.0, np.ones((3, 3))),
            "round must be one of rne, rna, rtz, rdn, rup, sr",
        ),
        (lambda: parse_format(np.ones((9, 9))), "a format text must be a string"),
        (lambda: matmul(Mac(Int(8), Int(8)), [[1]], [[1]], 3), "the parameters must be Params(...) or None, not int 3"),
        (lambda: conv2d(Mac(Int(8), Int(8)), [[[[1]]]], [[[[1]]]], None, 10**400), "stride must be one or two whole"),
        (
            lambda: parse_format("block"),
            "format must be a catalogue name or a text such as fp(4,3), not 'block'; block(",
        ),
    ],
)
def test_constructors_refuse_in_one_line(make: Callable[[], object], message: str) -> None:
    with pytest.raises(HwqError) as error:
        make()
    text = str(error.value)
    assert text.startswith(message) and text.isprintable() and len(text) < 1.1 * LONGEST


@pytest.mark.parametrize("text", fuzz_texts.NASTY, ids=range(len(fuzz_texts.NASTY)))
def test_texts_that_once_hurt(text: str) -> None:
    for parse in (parse_format, Datapath.parse):
        with in_time(text[:200]):
            read(parse, text)


def test_caches_are_bounded() -> None:
    """Whatever is kept by what users give is kept for a limited number of them."""
    seen = 0
    for name, module in list(sys.modules.items()):
        if name.startswith(("hwq.bits", "hwq.formats", "hwq.datapath")):
            for kept in [v for v in vars(module).values() if hasattr(v, "cache_parameters")]:
                keyed = bool(inspect.signature(kept).parameters)
                assert not keyed or kept.cache_parameters()["maxsize"] is not None, f"{name}.{kept.__name__}"
                seen += keyed
    assert seen > 20


def some_formats(random: Random, count: int, fits: Callable[[Format], bool]) -> list[Format]:
    found: list[Format] = []
    while len(found) < count:
        fmt = answer(parse_format, fuzz_texts.valid_format(random))
        if fmt is not None and fits(fmt) and fmt not in found:
            found.append(fmt)
    return found


def nearest_of(fmt: Format) -> Nearest | None:
    return None if fmt.blocked or fmt.bits > NARROW or fmt.overflow in ("nan", "inf") else answer(Nearest, fmt)


def same(x: Any, y: Any) -> bool:
    return np.array_equal(np.asarray(x), np.asarray(y), equal_nan=np.asarray(x).dtype.kind == "f")


def check_array(fmt: Format, nearest: Nearest | None, given: fuzz_arrays.Given, rounding: str) -> int:
    """How many codes were compared."""
    codes = answer(fmt.encode, given.x, rounding, 5)
    if given.numbers is None:
        assert codes is None, (fmt, given.name)
        return 0
    if codes is None:
        assert rounding == STOCHASTIC and fmt.uneven or fmt.blocked or fmt.bits > NARROW, (str(fmt), given.name)
        return 0
    assert isinstance(codes, torch.Tensor if given.torch else np.ndarray)
    wanted = np.asarray(given.numbers)
    assert tuple(codes.shape) == wanted.shape, given.name
    plain = np.asarray(codes).astype(np.int64)
    if fmt.overflow == "wrap" and (np.abs(wanted) > 1 << 53).any():
        return 0  # digits that float64 has not decide here
    if nearest is not None:
        noise = noise_words(first_state(5), wanted.size).reshape(wanted.shape)
        want = nearest.encode(wanted, rounding, noise)
        assert same(nearest.canonical(plain), want), (str(fmt), given.name, rounding)
    else:
        assert same(plain, fmt.encode(np.array(wanted, order="C"), rounding, 5)), (str(fmt), given.name, rounding)
    check_codes(fmt, codes)
    check_quantized(fmt, given, codes, rounding)
    return plain.size


def check_codes(fmt: Format, codes: Any) -> None:
    numbers = answer(fmt.decode, codes)
    if numbers is None:
        return
    assert tuple(numbers.shape) == tuple(codes.shape)
    if not fmt.blocked:
        assert same(fmt.decode(fmt.encode(numbers)), numbers), str(fmt)
    stored = pack_bits(fmt, codes)
    assert same(unpack_bits(fmt, stored, tuple(codes.shape)), codes)


def check_quantized(fmt: Format, given: fuzz_arrays.Given, codes: Any, rounding: str) -> None:
    if (quantized := answer(fmt.quantize, given.x, rounding, 5)) is None or fmt.blocked:
        return
    assert tuple(quantized.shape) == tuple(codes.shape)
    if given.torch:
        assert quantized.dtype == given.x.dtype
        quantized = quantized.double()
    assert same(np.asarray(quantized).astype(np.float64), np.asarray(fmt.decode(codes)).astype(np.float64))


def check_as_codes(fmt: Format, mac: Mac | None, given: fuzz_arrays.Given) -> None:
    """Whatever it is, it is codes or it is refused."""
    answer(fmt.decode, given.x)
    answer(pack_bits, fmt, given.x)
    answer(unpack_bits, fmt, given.x, (2, 3))
    if mac is not None:
        other = np.zeros((2, 3), dtype=np.uint8)
        for pair in ((given.x, other), (other, given.x)):
            answer(matmul, mac, *pair)
            answer(conv2d, mac, *pair)


def test_random_arrays() -> None:
    random, compared, refused = Random(3), 0, 0
    scalars = some_formats(random, 12, lambda f: f.bits <= 32 and not f.blocked)
    for fmt in scalars + some_formats(random, 2, lambda f: f.bits <= 32 and f.blocked):
        nearest = nearest_of(fmt)
        mac = answer(Mac, fmt, fmt)
        roundings = random.sample([*ROUNDINGS, STOCHASTIC], 1 if fmt.blocked else 2)  # each is compiled anew
        for _ in range(145):
            given = fuzz_arrays.given(random, nearest)
            with in_time((str(fmt), given.name)):
                compared += check_array(fmt, nearest, given, random.choice(roundings))
                check_as_codes(fmt, mac, given)
            refused += given.numbers is None
    assert compared > 4000 and refused > 300, (compared, refused)


def finite(fmt: Format) -> bool:
    return 2 <= fmt.bits <= 8 and not fmt.blocked and not fmt.has_nan


def test_random_products() -> None:
    """Exact sums and convolutions of codes in any layout, against rational arithmetic."""
    random, compared = Random(4), 0
    formats = some_formats(random, 12, finite)
    for _ in range(60):
        mac = answer(Mac, random.choice(formats), random.choice(formats))
        if mac is None:
            continue
        m, n, k = (random.randint(1, 4) for _ in range(3))
        a, w = (
            fuzz_arrays.layout(random, np.random.default_rng(random.getrandbits(32)).choice(fmt.codes(), shape))
            for fmt, shape in ((mac.a, (m, k)), (mac.w, (n, k)))
        )
        values = [[values_of(fmt, row) for row in np.asarray(x)] for fmt, x in ((mac.a, a), (mac.w, w))]
        with in_time(mac):
            out = np.asarray(matmul(mac, a, w))
            image = np.asarray(conv2d(mac, a[:, :, None, None], w[:, :, None, None]))
        for row, got, pixel in zip(values[0], out, image, strict=True):
            want = [sum(map(Fraction.__mul__, row, column)) for column in values[1]]
            assert [mac.output.value(int(c)) for c in got] == want
            assert [mac.output.value(int(c)) for c in pixel.reshape(-1)] == want
            compared += len(want)
    assert compared > 150


def values_of(fmt: Format, codes: np.ndarray[Any, Any]) -> list[Fraction]:
    values = [fmt.value(int(code)) for code in codes]
    assert not any(isinstance(v, Special) for v in values)
    return [v for v in values if isinstance(v, Fraction)]
