"""Units against the published equations and the documented ones in plain integers, and against float."""

import math
from fractions import Fraction

import numpy as np
import pytest
import torch
import units_oracle as oracle

from hwq.bits import evaluate, variable
from hwq.errors import HwqError
from hwq.formats import parse_format
from hwq.units import KINDS, Unit, plan
from hwq.units.kinds import EACH
from hwq.units.serial import FIRST, START, Division, Newton, Root
from hwq.units.texts import exp_shift, floor_div, quotient, times

ROWS, N = 100_000, 64
EVERY = np.arange(-128, 128)
TEXTS = [
    "softmax int8[s=1/16] ->int8 n=64 mode=compatible",
    "softmax int8[s=1/16] ->uint8[s=1/256] n=197 cut=unpack,exp,mul",
    "shiftgelu int8[s=1/32] ->int8[s=1/32] cut=div3",
    "shiftgelu int8[s=1/32] ->int16 n=64 mode=compatible",
    "layernorm int8[s=1/16] ->int(32) n=64 mode=compatible",
    "layernorm int8[s=1/16] ->int8[s=1/32] n=64 eps=1/1000000",
    "rmsnorm int8[s=1/16] ->int8[s=1/32] n=64",
    "gelu int8[s=1/32] ->int8[s=1/32]",
    "silu fp8_e4m3 ->fp8_e4m3",
    "sigmoid int8[s=1/16] ->uint8[s=1/256]",
    "recode lognp(4,1/2)[s=1/3] ->int8[s=1/20]",
    "requant int(20)[s=1/1000] ->int8[s=1/10]",
    "isqrt uint(20) ->uint(10)",
    "reciprocal uint8 ->uint(12)",
]


def random_rows(count: int = ROWS, n: int = N) -> np.ndarray:
    """Rows of int8 as networks make them and as they do not: normal, even, almost alike, all alike."""
    rng = np.random.default_rng(7)
    part = count // 4
    normal = np.clip(
        np.rint(rng.normal(rng.normal(0, 16, (part, 1)), rng.uniform(4, 48, (part, 1)), (part, n))), -128, 127
    )
    alike = np.clip(rng.integers(-128, 128, (part, 1)) + rng.integers(-2, 3, (part, n)), -128, 127)
    equal = np.repeat(rng.integers(-128, 128, (count - 3 * part, 1)), n, 1)
    return np.concatenate([normal.astype(np.int64), rng.integers(-128, 128, (part, n)), alike, equal])


def codes(x: np.ndarray) -> np.ndarray:
    return (x & 255).astype(np.uint8)


def numbers(unit: Unit, found: np.ndarray) -> np.ndarray:
    """Result codes of an integer format as integers."""
    bits, low = unit.y.format.bits, found.astype(np.int64)
    return low - ((low >> (bits - 1)) << bits) if unit.y.format.integer_range[0] < 0 else low


def ends(unit: Unit) -> tuple[int, int]:
    lo, hi = unit.y.format.integer_range
    return lo, hi


@pytest.mark.parametrize("text", TEXTS)
def test_a_text_is_a_unit(text: str) -> None:
    unit = Unit.parse(text)
    assert str(unit) == text
    assert Unit.parse(unit.parametric()) == unit
    assert unit.top == Unit.parse(unit.parametric()).top


@pytest.mark.parametrize(("s", "out", "k"), [("1/4", "int8", 8), ("1/16", "int8", 8), ("3/100", "int16", 16)])
def test_published_softmax(s: str, out: str, k: int) -> None:
    unit = Unit.parse(f"softmax int8[s={s}] ->{out} n={N} mode=compatible")
    x = random_rows()
    assert np.array_equal(unit(codes(x)), oracle.int_softmax(x, Fraction(s), k))
    assert unit.scale == 2.0 ** -(k - 1)


@pytest.mark.parametrize("s", ["1/4", "1/16", "3/100"])
def test_published_gelu(s: str) -> None:
    unit = Unit.parse(f"shiftgelu int8[s={s}] ->int16 n={N} mode=compatible")
    x = random_rows()
    assert np.array_equal(numbers(unit, unit(codes(x))), oracle.int_gelu(x, Fraction(s)))
    assert unit.scale == float(Fraction(s)) / 128


@pytest.mark.parametrize("n", [N, 63])
def test_published_layernorm(n: int) -> None:
    """Of 8 bits, and of 16, whose sums are beyond what ten steps from 2**16 were meant for."""
    unit = Unit.parse(f"layernorm int8[s=1/16] ->int(32) n={n} mode=compatible")
    x = random_rows(n=n)
    assert np.array_equal(numbers(unit, unit(codes(x))), oracle.int_layernorm(x))
    assert unit.scale == math.sqrt(n) / 2**30
    wide = x * 256 + np.random.default_rng(1).integers(0, 256, x.shape)
    found = Unit.parse(f"layernorm int16 ->int(32) n={n} mode=compatible")((wide & 65535).astype(np.uint16))
    assert np.array_equal(numbers(unit, found), oracle.int_layernorm(wide))


@pytest.mark.parametrize(("s", "fine"), [("1/4", 8), ("1/16", 8), ("3/100", 16)])
def test_accurate_softmax(s: str, fine: int) -> None:
    unit = Unit.parse(f"softmax int8[s={s}] ->uint({fine})[s=1/{1 << fine}] n={N}")
    x = random_rows()
    assert np.array_equal(unit(codes(x)), oracle.softmax(x, Fraction(s), fine, *ends(unit), 255))


@pytest.mark.parametrize(("out", "t"), [("int8", "1/32"), ("int(12)", "1/256"), ("int8", "1/20")])
def test_accurate_norms(out: str, t: str) -> None:
    x = random_rows()
    for kind, reference, most in (("layernorm", oracle.layernorm, 255), ("rmsnorm", oracle.rmsnorm, 128)):
        unit = Unit.parse(f"{kind} int8[s=1/16] ->{out}[s={t}] n={N}")
        wanted = reference(x, Fraction(1, 16), Fraction(t), unit.eps, *ends(unit), most)
        assert np.array_equal(numbers(unit, unit(codes(x))), wanted)


@pytest.mark.parametrize(("s", "t"), [("1/16", "1/16"), ("1/32", "1/32"), ("1/64", "1/32")])
def test_gelu_of_single_codes(s: str, t: str) -> None:
    unit = Unit.parse(f"shiftgelu int8[s={s}] ->int8[s={t}]")
    ratio = 128 * Fraction(t) / Fraction(s)
    wanted = oracle.shiftgelu(EVERY, Fraction(s), ratio, *ends(unit))
    assert np.array_equal(numbers(unit, unit(codes(EVERY))), wanted)


@pytest.mark.parametrize("name", ["gelu", "silu", "sigmoid", "tanh"])
@pytest.mark.parametrize(("s", "t"), [("1/32", "1/32"), ("1/16", "1/100")])
def test_tables_are_the_nearest_codes(name: str, s: str, t: str) -> None:
    """Of what torch makes of every code in float64."""
    exact = {"gelu": torch.nn.functional.gelu, "silu": torch.nn.functional.silu}.get(name) or getattr(torch, name)
    unit = Unit.parse(f"{name} int8[s={s}] ->int8[s={t}]")
    wanted = exact(torch.from_numpy(EVERY * float(Fraction(s)))).numpy() / float(Fraction(t))
    found = numbers(unit, unit(codes(EVERY)))
    assert np.all(np.abs(found - np.clip(wanted, -128, 127)) <= 0.5 + 1e-9)


def test_tables_take_codes_that_are_no_numbers() -> None:
    fmt = parse_format("fp8_e5m2")
    for name, limits in (("gelu", (0.0, math.inf)), ("sigmoid", (0.0, 1.0)), ("recode", (-math.inf, math.inf))):
        found = fmt.decode(
            Unit.parse(f"{name} fp8_e5m2 ->fp(5,2,inf,ovf=inf)")(fmt.encode(np.array([-np.inf, np.inf])))
        )
        assert tuple(found.tolist()) == limits
    assert np.isnan(fmt.decode(Unit.parse("gelu fp8_e5m2 ->fp8_e5m2")(fmt.encode(np.array([np.nan])))))


def test_lognp_is_polished_and_unpolished() -> None:
    """QuartDepth's codes become linear operands, and linear numbers such codes: both the nearest there is."""
    polish, plain = parse_format("lognp(4,1/2)"), parse_format("int8")
    codes_ = polish.codes()
    decode = Unit.parse("recode lognp(4,1/2) ->int8[s=1/12]")
    assert np.array_equal(decode(codes_), plain.encode(polish.decode(codes_) * 12.0))
    every = plain.codes()
    encode = Unit.parse("recode int8[s=1/12] ->lognp(4,1/2)")
    assert np.array_equal(encode(every), polish.encode(plain.decode(every).astype(np.float64) / 12))
    wide = parse_format("int(20)")
    numbers_ = np.arange(-(1 << 19), 1 << 19, 7)
    requant = Unit.parse("requant int(20)[s=1/65536] ->lognp(4,1/2)")
    assert np.array_equal(requant(wide.encode(numbers_)), polish.encode(numbers_ / 65536))


def test_requant_is_a_fixed_multiplier() -> None:
    """m * 2**-e with 16 significant bits, one rounding: in plain integers."""
    unit = Unit.parse("requant int(20)[s=1/1000] ->int8[s=1/3]")
    x = np.arange(-(1 << 19), 1 << 19, 13)
    places = 16 + 8  # 3/1000 is below 2**-8
    m = round(Fraction(3, 1000) * 2**places)
    assert 1 << 15 <= m < 1 << 16
    wanted = oracle.nearest(x * m, places, -128, 127)
    assert np.array_equal(numbers(unit, unit((x & (1 << 20) - 1).astype(np.uint32))), wanted)


def test_torch_in_torch_out() -> None:
    unit = Unit.parse("softmax int8[s=1/16] ->uint8[s=1/256] n=8")
    x = torch.randint(0, 256, (2, 3, 5), dtype=torch.uint8)
    assert unit(x).shape == x.shape
    assert np.array_equal(unit(x).numpy(), unit(x.numpy()))


# -- errors against float: the figures of docs/units.md ---------------------------------------------------------------


def errors(unit: Unit, x: np.ndarray, wanted: np.ndarray) -> tuple[float, float]:
    """(largest, mean) error, where results saturate against their ends."""
    lo, hi = (end * float(unit.y.unit) * (unit.scale / float(unit.y.scale)) for end in ends(unit))
    apart = np.abs(numbers(unit, unit(codes(x))) * unit.scale * 2.0**unit.y.format.lsb - np.clip(wanted, lo, hi))
    return float(apart.max()), float(apart.mean())


# text: largest error allowed, and the mean
BOUNDS = {
    "softmax int8[s=1/16] ->int8 n=64 mode=compatible": (0.06, 0.004),
    "softmax int8[s=1/16] ->int16 n=64 mode=compatible": (0.06, 0.001),
    "softmax int8[s=1/16] ->uint8[s=1/256] n=64": (1 / 256, 0.0011),
    "softmax int8[s=1/16] ->uint16[s=1/65536] n=64": (0.0015, 0.00005),
    "layernorm int8[s=1/16] ->int8[s=1/32] n=64": (0.75 / 32, 0.009),
    "layernorm int8[s=1/16] ->int(12)[s=1/256] n=64": (0.75 / 256, 0.0011),
    "rmsnorm int8[s=1/16] ->int8[s=1/32] n=64": (1 / 32, 0.009),
}


@pytest.mark.parametrize("text", BOUNDS)
def test_rows_against_float(text: str, say) -> None:
    unit = Unit.parse(text)
    x = random_rows()
    real = x / 16
    e = np.exp(real - real.max(-1, keepdims=True))
    mean = real.mean(-1, keepdims=True) if unit.kind == "layernorm" else 0
    eps = float(unit.eps)
    norm = (real - mean) / np.sqrt(((real - mean) ** 2).mean(-1, keepdims=True) + eps)
    most, average = errors(unit, x, e / e.sum(-1, keepdims=True) if unit.kind == "softmax" else norm)
    say(f"units: {text}: largest error {most:.5f}, mean {average:.6f}, over {ROWS:,} rows")
    assert most <= BOUNDS[text][0]
    assert average <= BOUNDS[text][1]


@pytest.mark.parametrize(("s", "most"), [("1/32", 0.044), ("1/16", 0.0625)])
def test_gelu_against_float(s: str, most: float, say) -> None:
    """The recommended form errs by what the reference says of it; a table by half a step."""
    real = EVERY * float(Fraction(s))
    wanted = torch.nn.functional.gelu(torch.from_numpy(real)).numpy()
    fine = errors(Unit.parse(f"shiftgelu int8[s={s}] ->int16[s=1/4096]"), EVERY, wanted)
    table = errors(Unit.parse(f"gelu int8[s={s}] ->int8[s={s}]"), EVERY, wanted)
    x = random_rows()
    rows = torch.nn.functional.gelu(torch.from_numpy(x * float(Fraction(s)))).numpy()
    published = errors(Unit.parse(f"shiftgelu int8[s={s}] ->int16 n={N} mode=compatible"), x, rows)
    say(
        f"units: gelu of int8[s={s}]: largest error {fine[0]:.4f} by itself, "
        f"{table[0]:.4f} by table, {published[0]:.4f} published"
    )
    assert fine[0] <= most + 1e-3
    assert table[0] <= float(Fraction(s)) / 2
    assert published[0] > 0.2


# -- the texts that units are made of ---------------------------------------------------------------------------------


def test_constants_as_factors_and_divisors() -> None:
    x = variable("x", -300, 700)
    every = np.arange(-300, 701)
    for c in [1, 2, 3, 7, 10, 23, 64, 197, 255, 1000]:
        product, floor = evaluate([times(x, c), floor_div(x, c)], {"x": every})
        assert np.array_equal(product, every * c)
        assert np.array_equal(floor, every // c)
    assert np.array_equal(evaluate([times(x, -11)], {"x": every})[0], every * -11)


def test_exponentials_beyond_their_room() -> None:
    """Of positive numbers exact as far as asked for, and no smaller beyond."""
    x = variable("x", -128, 128)
    every = np.arange(-128, 129)
    (found,) = evaluate([exp_shift(x, 3, 12, room=9)], {"x": every})
    wanted = oracle.int_exp_shift(every.astype(object), Fraction(1, 3), 12)
    within = wanted <= 6 << 20
    assert np.array_equal(found[within], wanted[within])
    assert found[~within].min() >= 4 << 20


def test_quotients_at_once() -> None:
    den = variable("den", 3, 200)
    every = np.arange(3, 201)
    for num in (0, 1, 199, 4096, 65535):
        (found,) = evaluate([quotient(num, den, "div")], {"den": every})
        assert np.all(found == num // every)


def stepped(phase, given: dict[str, np.ndarray]) -> np.ndarray:
    """A serial phase by its texts, cycle after cycle."""
    registers = phase.registers
    names = list(registers)
    size = len(next(iter(given.values())))
    held = {str(registers[name][0].attr): np.zeros(size, np.int64) + registers[name][0].lo for name in names}
    for turn in range(phase.rounds):
        for at in range(phase.steps + 1):
            flags = {str(START.attr): np.full(size, at == 0) * 1, str(FIRST.attr): np.full(size, at == turn == 0) * 1}
            after = evaluate([registers[name][1] for name in names], {**given, **held, **flags})
            held = {str(registers[name][0].attr): np.asarray(a) for name, a in zip(names, after, strict=True)}
    (found,) = evaluate([phase.found(registers)], held)
    return np.asarray(found)


def test_division_by_digits_is_a_floor() -> None:
    num, den = np.meshgrid(np.arange(256), np.arange(1, 32))
    phase = Division("q", variable("num", 0, 255), variable("den", 1, 31))
    given = {"num": num.ravel(), "den": den.ravel()}
    assert np.array_equal(stepped(phase, given), num.ravel() // den.ravel())
    rng = np.random.default_rng(2)
    given = {"num": rng.integers(0, 1 << 40, 3000), "den": rng.integers(900, 1 << 23, 3000)}
    phase = Division("q", variable("num", 0, (1 << 40) - 1), variable("den", 900, (1 << 23) - 1))
    assert np.array_equal(stepped(phase, given), given["num"] // given["den"])
    assert np.array_equal(phase.run(given["num"], given["den"]), given["num"] // given["den"])


def test_roots_by_digits_are_floors() -> None:
    edges = [k * k + d for k in (1, 1000, 4095, 1 << 20, (1 << 30) - 1) for d in (-1, 0, 1)]
    wide = np.concatenate([np.random.default_rng(3).integers(0, 1 << 60, 3000), np.array(edges)])
    for num, most in ((np.arange(5000), 4999), (wide, 1 << 60)):
        phase = Root("r", variable("num", 0, most))
        wanted = np.array([math.isqrt(v) for v in num.tolist()])
        assert np.array_equal(stepped(phase, {"num": num}), wanted)
        assert np.array_equal(phase.run(num), wanted)


def test_the_published_root_is_none_where_the_sum_is_small() -> None:
    """Off by more than 1 as far as a sum of 34,595: ten iterations halve 2**16 to 64 at most."""
    every = np.arange(1 << 18)
    num = np.concatenate([every[::37], np.random.default_rng(4).integers(0, 1 << 40, 500)])
    phase = Newton("k", variable("num", 0, (1 << 40) - 1))
    found = stepped(phase, {"num": num})
    assert np.array_equal(found, oracle.newton_root(num))
    assert np.array_equal(found, phase.run(num))
    assert every[np.abs(phase.run(every) - np.sqrt(every)) > 1].max() == 34595


# -- refusals and structure -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("softmax int8", r"^a unit goes kind x ->y option\.\.\., not 'softmax int8'$"),
        ("softmin int8 ->int8 n=4", r"^a unit must be one of gelu, silu, .*, not 'softmin'$"),
        ("softmax int8 ->int8", r"^n= must say how long a row of softmax is, 2 to 65536, not 0$"),
        ("gelu int8 ->int8 n=4", r"^gelu with mode=accurate takes each code by itself; leave out n=$"),
        ("gelu int16 ->int8", r"^gelu is looked up by codes of up to 10 bits, not of int16 with 16; requant first$"),
        ("rmsnorm int8 ->int8 n=8 mode=compatible", r"^mode of rmsnorm must be accurate, not 'compatible'$"),
        (
            "softmax fp8_e4m3 ->int8 n=8",
            r"^softmax takes numbers, not fp8_e4m3 with nan or inf; take a format without$",
        ),
        ("softmax int8 ->int8[s=1/2] n=8 mode=compatible", r"^mode=compatible gives integers at a scale of its own, "),
        ("softmax int8 ->int8 n=8 eps=1/9", r"^eps= is of accurate norms, not of softmax with mode=accurate; leave it"),
        ("softmax int8 ->int8 n=8 cut=div1", r"^cut= must be among unpack, exp, mul, not div1; leave it out$"),
        ("softmax int8[s=0] ->int8 n=8", r"^a scale must be above 0, not 0$"),
        ("softmax int8[s=x] ->int8 n=8", r"^a scale must be a number such as 1/16 or 0\.0625, not 'x'$"),
        ("softmax int8 ->int8 n=8 n=9", r"^options are n=, mode=, eps=, cut=, each once, not 'n=9' in "),
        ("softmax mxint8 ->int8 n=8", r"^a unit takes formats of up to 62 bits without shared scales, not mxint8$"),
    ],
)
def test_refusals(text: str, message: str) -> None:
    with pytest.raises(HwqError, match=message):
        Unit.parse(text)


def test_rows_that_do_not_fit_are_refused() -> None:
    with pytest.raises(HwqError, match=r"^codes must be rows of 1 to 8 along the last axis, not of shape \(2, 9\)$"):
        Unit.parse("softmax int8 ->int8 n=8")(np.zeros((2, 9), np.uint8))
    with pytest.raises(HwqError, match=r"^a row of rmsnorm must have n=8 codes, not 7$"):
        Unit.parse("rmsnorm int8 ->int8 n=8")(np.zeros((2, 7), np.uint8))
    with pytest.raises(HwqError, match=r"^a row must have 1 to 8 codes, not 9$"):
        Unit.parse("softmax int8 ->int8 n=8").cycles([9])
    with pytest.raises(HwqError, match=r"^numbers of a unit must stay below 2\*\*62, not reach "):
        Unit.parse("layernorm int(20) ->int8 n=4096")(np.zeros((1, 4096), np.uint32))


def test_every_kind_is_tried() -> None:
    tried = {(unit.kind, unit.mode) for unit in map(Unit.parse, TEXTS)} | {("tanh", "accurate")}
    assert tried == {(kind, mode) for kind, forms in KINDS.items() for mode in forms}


def test_cuts_are_registers_and_change_no_bit() -> None:
    plain = Unit.parse("softmax int8[s=1/16] ->uint8[s=1/256] n=16")
    cut = Unit.parse(f"{plain} cut=mul,unpack,exp")
    assert cut.cuts == plain.stages == ("unpack", "exp", "mul")
    x = codes(random_rows(400, 16))
    assert np.array_equal(plain(x), cut(x))
    depths = [plan(unit).depths for unit in (plain, cut)]
    assert depths == [{"fill": 0, "sum": 0, "out": 0}, {"fill": 0, "sum": 2, "out": 3}]
    assert cut.cycles([16]) == plain.cycles([16]) + 5


def test_rows_follow_one_another_while_the_last_one_is_worked_on() -> None:
    """A softmax of 16 takes 16 cycles to enter, then 2 passes and a quotient; the next one enters meanwhile."""
    unit = Unit.parse("softmax int8[s=1/16] ->uint8[s=1/256] n=16")
    one, two, three = (unit.cycles([16] * rows) for rows in (1, 2, 3))
    assert three - two == two - one == one - 16
    assert KINDS["gelu"]["accurate"].rows == EACH
    assert Unit.parse("gelu int8 ->int8").cycles([16, 3]) == 19
