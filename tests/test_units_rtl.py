"""The Verilog of units in two simulators against the emulator, what linters say of it, and its price."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from hwq.costmodel.units import control_ff, estimate_unit
from hwq.errors import HwqError
from hwq.rtl import Manifest
from hwq.rtl.units import emit_unit, unit_sources
from hwq.sim.tools import verilator_environment
from hwq.sim.units import check_unit, check_units
from hwq.synth import Job, measure_many
from hwq.units import KINDS, Unit, plan
from hwq.units.kinds import ANY, EACH, ONE, form

SMALL = [
    "softmax int8[s=1/16] ->int8 n=16 mode=compatible",
    "softmax int8[s=1/16] ->uint8[s=1/256] n=16 cut=unpack,exp,mul",
    "softmax uint4[s=1/2] ->fp6_e2m3 n=5",
    "shiftgelu int8[s=1/32] ->int8[s=1/32]",
    "shiftgelu int8[s=1/32] ->int8[s=1/32] cut=exp,div3,mul",
    "shiftgelu int8[s=1/16] ->int16 n=16 mode=compatible cut=exp,div5,div10",
    "layernorm int8[s=1/16] ->int(32) n=16 mode=compatible",
    "layernorm int8[s=1/16] ->int8[s=1/32] n=16 cut=unpack,mul",
    "rmsnorm int8[s=1/16] ->int8[s=1/32] n=16",
    "gelu int8[s=1/32] ->int8[s=1/32]",
    "silu fp8_e4m3 ->fp8_e4m3",
    "recode lognp(4,1/2)[s=1/3] ->int8[s=1/20]",
    "requant int(20)[s=1/1000] ->lognp(4,1/2) cut=unpack,mul",
    "isqrt uint(20) ->uint(10)",
    "reciprocal uint8 ->uint(12)",
]
PRICED = [
    "softmax int8[s=1/16] ->uint8[s=1/256] n=64",
    "layernorm int8[s=1/16] ->int8[s=1/32] n=64",
    "softmax int8[s=1/16] ->uint8[s=1/256] n=197",
    "softmax int8[s=1/16] ->int8 n=1024 mode=compatible",
    "layernorm int8[s=1/16] ->int(32) n=64 mode=compatible",
    "rmsnorm int8[s=1/16] ->int8[s=1/32] n=64",
    "shiftgelu int8[s=1/32] ->int8[s=1/32]",
    "shiftgelu int8[s=1/32] ->int16 n=64 mode=compatible",
    "isqrt uint(20) ->uint(10)",
    "gelu int8[s=1/32] ->int8[s=1/32]",
]
REAL = [text.replace("n=16", "n=197" if "norm" not in text else "n=64") for text in SMALL]


def rows(unit: Unit, count: int, seed: int = 5) -> list[np.ndarray]:
    """Rows of codes: all of them, in any order, where each is taken by itself; of all lengths, where these may be."""
    fmt, rng = unit.x.format, np.random.default_rng(seed)
    every = fmt.codes() if fmt.bits <= 16 else rng.integers(0, 1 << fmt.bits, 1 << 12).astype(fmt.code_dtype)
    kind = form(unit).rows
    if kind == EACH:
        return [rng.permutation(every), every[:1], every[:5]]
    if kind == ONE:
        return [every[at : at + 1] for at in rng.integers(0, len(every), count)]
    lengths = (
        [unit.n, 1, *rng.integers(1, unit.n + 1, count - 4).tolist(), unit.n, unit.n]
        if kind == ANY
        else [unit.n] * count
    )
    few = [rng.choice(every, 3) for _ in lengths]  # some rows are of numbers that are alike
    return [rng.choice(every if at % 3 else few[at], length) for at, length in enumerate(lengths)]


def passed(
    texts: list[str], simulator: str, count: int, seeds: tuple[int | None, ...], say, device: str = "portable"
) -> None:
    units = [Unit.parse(text) for text in texts]
    reports = check_units([(u, rows(u, count)) for u in units], simulator=simulator, seeds=seeds, device=device)
    assert len(reports) == len(texts) * len(seeds)
    for report in reports:
        assert report.compared > 15
        assert report.passed, report
    compared = sum(report.compared for report in reports)
    say(f"units: {compared:,} results of {len(texts)} units in {simulator}, {len(seeds)} times")


@pytest.mark.parametrize("simulator", ["icarus", "verilator"])
def test_units_are_their_emulators(simulator: str, say) -> None:
    """Free, then with pauses on both sides, behind a reset in flight; free runs take the cycles that units say."""
    passed(SMALL, simulator, 80, (None, 11), say)


def test_resets_at_any_time(say) -> None:
    """Of rows that enter, are worked on and leave, free and with pauses: nothing of them is left."""
    texts = [text.replace("n=16", "n=8") for text in (SMALL[1], SMALL[5], SMALL[6])]
    passed(texts, "icarus", 8, tuple(range(20)), say)


@pytest.mark.slow
@pytest.mark.parametrize("simulator", ["icarus", "verilator"])
def test_real_rows_in_both_simulators(simulator: str, say) -> None:
    passed(REAL, simulator, 300, (None, 1, 2), say)


@pytest.mark.slow
@pytest.mark.parametrize("device", ["xc7", "ecp5", "ge"])
def test_rows_of_every_fabric(device: str, say) -> None:
    passed(SMALL, "icarus", 24, (None, 3), say, device)


def test_every_form_is_simulated() -> None:
    tried = {(unit.kind, unit.mode) for unit in map(Unit.parse, SMALL)}
    tables = {(name, "accurate") for name in ("sigmoid", "tanh")}  # tables as those of gelu and silu
    assert tried | tables == {(kind, mode) for kind, forms in KINDS.items() for mode in forms}


def test_a_fault_is_found(tmp_path: Path) -> None:
    unit = Unit.parse(SMALL[0])
    manifest = emit_unit(unit, tmp_path)
    assert Manifest.load(tmp_path) == manifest == emit_unit(unit, tmp_path)
    given = rows(unit, 24)
    seeds = (None, *range(6))
    assert all(report.passed for report in check_units([(unit, given)], folder=tmp_path, seeds=seeds))
    path = tmp_path / f"{unit.top}.v"
    good = path.read_text("utf-8")
    for right, wrong in (
        ("hand | rst", "hand"),
        ("largest <= fill", "largest <= 0 & fill"),
        ("fill_half ^ hand", "fill_half"),
    ):
        assert right in good
        path.write_text(good.replace(right, wrong), "utf-8")
        failed = [one for one in check_units([(unit, given)], folder=tmp_path, seeds=seeds) if not one.passed]
        assert failed, right
        assert failed[0].first_mismatch is not None


def test_lint_is_clean(tmp_path: Path) -> None:
    environment = verilator_environment()
    verilator = shutil.which("verilator", path=environment["PATH"])
    assert verilator is not None
    for text in SMALL:
        unit = Unit.parse(text)
        manifest = emit_unit(unit, tmp_path / unit.top)
        files = [str(tmp_path / unit.top / name) for name in manifest.files]
        for command in (
            [verilator, "--lint-only", "--top-module", unit.top],
            ["iverilog", "-g2005", "-Wall", "-o", "/dev/null"],
        ):
            done = subprocess.run([*command, *files], env=environment, capture_output=True, text=True, check=True)
            assert done.stderr == ""


def test_yosys_finds_nothing_to_warn_of(tmp_path: Path) -> None:
    """No latch, no loop, no wire with two drivers or none; and no multiplier of its own making."""
    for text in SMALL:
        emit_unit(Unit.parse(text), tmp_path / Unit.parse(text).top)
    commands = [
        command
        for top in sorted(path.name for path in tmp_path.iterdir())
        for command in (
            "design -reset",
            f"read_verilog {tmp_path}/{top}/*.v",
            f"hierarchy -check -top {top}",
            "proc; flatten; opt_clean; check -assert; select -assert-none t:$mul t:$div t:$dlatch",
        )
    ]
    script = "import sys\nfrom pyosys import libyosys as ys\nd = ys.Design()\nfor c in sys.argv[1:]: ys.run_pass(c, d)"
    done = subprocess.run([sys.executable, "-c", script, *commands], capture_output=True, text=True, check=True)
    assert "Warning" not in done.stdout + done.stderr
    assert done.stdout.count("Found and reported 0 problems") == len(SMALL)


def test_every_name_is_declared_before_it_is_used() -> None:
    names = 0
    for text in SMALL:
        for source in unit_sources(Unit.parse(text))[1].values():
            plain = re.sub(r"//.*", "", source)
            assert " * " not in plain
            for found in re.finditer(r"\b(?:reg|wire|localparam)\b\s*(?:\[[^\]]*\]\s*)?(\w+)", plain):
                names += 1
                first = re.search(rf"(?<![.'\w]){found[1]}\b", plain)
                assert first is not None
                assert first.start() == found.start(1), f"{found[1]} of {text}"
    assert names > 300


def test_foreign_files_stay(tmp_path: Path) -> None:
    unit = Unit.parse(SMALL[0])
    (tmp_path / f"{unit.top}.v").write_text("mine", "utf-8")
    with pytest.raises(
        HwqError, match=rf"^the folder must not hold {unit.top}\.v, which hwq did not write there; write "
    ):
        emit_unit(unit, tmp_path)


def test_bad_simulations_are_refused() -> None:
    unit = Unit.parse("gelu int8 ->int8")
    with pytest.raises(HwqError, match=r"^simulator must be one of icarus, verilator, not 'vcs'$"):
        check_unit(unit, [np.zeros(3, np.uint8)], simulator="vcs")
    with pytest.raises(HwqError, match=r"^a simulation needs a row of codes or more of each unit, not none$"):
        check_unit(unit, [])


def priced(tmp_path: Path, device: str, texts: list[str], say) -> None:
    """A synthesis of each unit as a whole: within the stated interval, flip-flops exact or a few fewer."""
    units, jobs = [Unit.parse(text) for text in texts], []
    for unit in units:
        manifest = emit_unit(unit, tmp_path / unit.top, device)
        jobs.append(Job.of([tmp_path / unit.top / name for name in manifest.files], unit.top, device, design=str(unit)))
    rows_ = measure_many(jobs, workers=1)
    assert len(rows_) == len(texts)
    for unit, row in zip(units, rows_, strict=True):
        cost = estimate_unit(unit, device)
        assert row.lut is not None
        seen = f"{row.lut} LUT, {cost.lut.value:.0f} estimated ({cost.lut.value / row.lut - 1:+.1%})"
        say(f"units: {unit} on {device}: {seen}; {row.ff} FF, {cost.ff.value:.0f}")
        assert cost.lut.low <= row.lut <= cost.lut.high
        assert 0 <= cost.ff.value - row.ff <= 0.05 * row.ff
        assert cost.bram.value == row.bram


@pytest.mark.parametrize(("device", "text"), [("xc7", PRICED[0]), ("ecp5", PRICED[1])])
def test_a_price_against_synthesis(tmp_path: Path, device: str, text: str, say) -> None:
    priced(tmp_path, device, [text], say)


@pytest.mark.slow
@pytest.mark.parametrize("device", ["xc7", "ecp5"])
def test_prices_against_synthesis(tmp_path: Path, device: str, say) -> None:
    priced(tmp_path, device, PRICED, say)


def test_what_a_price_leaves_out_is_named() -> None:
    cost = estimate_unit(SMALL[0], "xc7")
    assert [note.partition(":")[0] for note in cost.unmodelled] == ["energy_pj_per_mac", "fmax_mhz"]
    assert {part.name for part in cost.breakdown} == {"fill", "passes", "factor", "control", "steering", "buffer"}
    gates = estimate_unit(SMALL[0], "ge")
    assert any(note.startswith("the row buffer: a memory of 32 words of 8 bits") for note in gates.unmodelled)
    assert control_ff(plan(Unit.parse("gelu int8 ->int8"))) == 0
    long = estimate_unit("softmax int8[s=1/16] ->uint8[s=1/256] n=1024", "ecp5")
    assert long.bram.value == 1
