"""Energy as a price: traces against another reader, what moves by hand and as measured, the fit and its errors."""

import json
import pickle
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import spearmanr
from test_cli import as_json, assert_refused, hwq
from test_rows import clock, settle

from hwq.bits.cells import Net
from hwq.bits.netlist import Netlist
from hwq.bits.trace import trace
from hwq.costmodel import estimate
from hwq.costmodel.energy import PARTS, Sample, counts, energy, fit_energy, left_out, with_energy
from hwq.costmodel.gates import toggles
from hwq.costmodel.nodes import scale
from hwq.datapath import Datapath, plan
from hwq.datapath.streams import STREAMS, beats, codes
from hwq.errors import HwqError

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tools"))

import fit_energy as tool  # noqa: E402 - a tool is no package

BAR = 0.08  # mean error of designs that the fit has not seen
DEVICES = ("nangate45", "sky130", "asap7")


@pytest.mark.parametrize(
    "text",
    [
        "int8*int8 +fixed(32)",
        "fp4_e2m1*fp4_e2m1 +fixed(20) cut=mul",
        "fp8_e5m2*fp8_e5m2 +fixed(40,10,sat,rne)",
        "int8*log4 +fixed(32) cut=mul,align",
        "fp8_e4m3*int4 +bf16",
    ],
)
def test_a_trace_is_what_the_integer_reader_finds(text: str) -> None:
    block, rng, cycles = plan(Datapath.parse(text), "nangate45").blocks["pe"], np.random.default_rng(7), 24
    shown = {net.name: rng.integers(0, 1 << net.width, cycles).tolist() for net in block.inputs}
    clear = (rng.random(cycles) < 0.2).astype(int).tolist()
    traced = trace(block, shown, clear)
    values: dict[Any, Any] = {state.q: np.array([0], object) for state in block.states}
    values |= {cell.out: np.array([0], object) for cell in block.cells if cell.op == "reg"}
    compared = 0
    for at in range(cycles):
        values |= {net: np.array([shown[net.name][at]], object) for net in block.inputs}
        settle(block, values)
        for net, bits in traced.items():
            assert sum(int(bit) << place for place, bit in enumerate(bits[at])) == int(np.ravel(values[net])[0]), (
                net.name
            )
            compared += 1
        clock(block, values, bool(clear[at]))
    assert compared > 24 * 20


def test_a_trace_refuses_what_it_does_not_read() -> None:
    block = plan(Datapath.parse("int4*int4 +fixed(16)"), "nangate45").blocks["pe"]
    with pytest.raises(HwqError, match="the inputs of pe must be a_sig, w_sig, not a_sig"):
        trace(block, {"a_sig": [1]})
    hard = plan(Datapath.parse("int8*int8 +fixed(32) use=dsp"), "xc7").blocks["pe"]
    with pytest.raises(HwqError, match=r"a trace reads cells of view, .*, not 'hard'; leave out use="):
        trace(hard, {net.name: [0] for net in hard.inputs})


def test_what_moves_is_what_a_hand_counts() -> None:
    made = Netlist("toy")
    x, y = Net("x", 2), Net("y", 2)
    made.inputs += [x, y]
    made.cycle |= {x: 0, y: 0}
    one, three = made.constant(1, 2), made.constant(3, 2)
    both = made.cell("and", [x, y], 2, False, "both")
    again = made.cell("and", [y, x, three], 2, False, "again")  # the same gates
    low = made.cell("and", [x, one], 2, False, "low")  # a wire and a 0
    flipped = made.cell("xor", [low, three], 2, False, "flipped")  # an inverter and a 1
    total = made.cell("row", [both, flipped, made.constant(0, 1)], 2, False, "total")
    block = made.block([("kept", made.reg(total, "operand")), ("again", made.reg(again, "operand"))])
    found = toggles(block, trace(block, {"x": [0, 3, 1, 3, 0], "y": [3, 3, 3, 1, 1]}), 1)
    x0, x1, y0, y1 = 2, 4, 0, 1
    both0, both1 = 2, 2  # 0 1 1 1 0 and 0 1 0 0 0
    sum0, carry, sum1 = 0, 0, 2  # 1 1 1 1 1, none, 1 0 1 1 1
    assert found == {
        "gate": both0 + both1,
        "place": sum0 + carry + sum1,
        "pin": (x0 + y0) + (x1 + y1) + 2 * (both0 + x0) + (both1 + carry) + found["d"],
        "d": (sum0 + sum1) + (both0 + both1),
        "q": (1 + 3) + (1 + 2),  # a cycle later, from 0: 0 1 1 1 1 and 0 1 0 1 1; 0 0 1 1 1 and 0 0 1 0 0
    }


def test_registers_move_as_they_were_measured() -> None:
    moved, rows = tool.counted(), tool.measured()
    assert moved.keys() == rows.keys()
    for key, row in rows.items():
        found = moved[key]["q"] / moved[key]["clock"]
        assert found == pytest.approx(row.toggles["registers"], rel=2e-5), key


@pytest.mark.parametrize(
    ("design", "stream"), [("int5*int5 +fixed(20)", "sparse"), ("fp(5,1)*fp(5,1) +fixed(72)", "gaussian")]
)
def test_what_moves_is_kept_as_it_is(design: str, stream: str) -> None:
    dp = Datapath.parse(design)
    assert tool.rounded(design, "nangate45", codes(dp, stream)) == tool.counted()["nangate45", design, stream]


def test_the_shipped_prices_are_the_fit() -> None:
    assert tool.PRICES.read_text(encoding="utf-8") == tool.fitted()


@pytest.mark.parametrize("device", DEVICES)
def test_designs_that_were_left_out_are_told(device: str) -> None:
    samples = tool.samples(device)
    told = [sum(parts.values()) for parts in left_out(samples)]
    for stream in (*STREAMS, "resnet8"):
        pairs = [(value, s.total) for value, s in zip(told, samples, strict=True) if s.stream == stream]
        assert len(pairs) >= 9
        assert sum(abs(value / wanted - 1) for value, wanted in pairs) / len(pairs) < BAR / 2
        assert max(abs(value / wanted - 1) for value, wanted in pairs) < BAR
        assert spearmanr(*zip(*pairs, strict=True)).statistic >= 0.99


def test_intervals_hold_what_neither_prices_nor_spread_have_seen() -> None:
    samples, inside = tool.samples("nangate45"), 0
    for design in {sample.design for sample in samples}:
        fitted = fit_energy([s for s in samples if s.design != design], "")
        for sample in (s for s in samples if s.design == design):
            parts = {
                part: sum(sample.counts[name] * fitted["prices"][name] for name in names)
                for part, names in PARTS.items()
            }
            total = sum(parts.values())
            open_ = total - parts["flip_flops_and_clock"]
            half = fitted["spread"] * ((open_ * total) ** 0.5 + total / 50)
            inside += abs(total - sample.total) <= half
    assert inside / len(samples) >= 0.86


def test_formats_stand_in_the_published_order() -> None:
    # arXiv 2510.25602, table 5: energy of MXFP8 1, MXINT8 0.63, NVFP4 0.55, NVINT4 0.34
    texts = (
        "fp8_e4m3*fp8_e4m3 +fixed(48)",
        "int8*int8 +fixed(32)",
        "fp4_e2m1*fp4_e2m1 +fixed(20)",
        "int4*int4 +fixed(16)",
    )
    told = [energy(Datapath.parse(text), "nangate45").pj_per_mac.value for text in texts]
    assert told == sorted(told, reverse=True)


@pytest.mark.parametrize("device", DEVICES)
def test_an_energy_is_near_the_measured_one(device: str) -> None:
    dp = Datapath.parse("int4*int4 +fixed(16)")
    row = tool.measured()[device, str(dp), "gaussian"]
    told = energy(dp, device)
    assert told.pj_per_mac.low < row.pj_per_mac < told.pj_per_mac.high
    assert told.pj_per_mac.value == pytest.approx(sum(told.parts.values()))
    assert told.parts["flip_flops_and_clock"] == pytest.approx(row.flip_flops_and_clock, rel=2e-3)
    assert told.unmodelled[0].startswith("energy_pj_per_mac: of one element under gaussian; decoders, control")
    assert energy(dp, device, codes(dp, "gaussian")).pj_per_mac == told.pj_per_mac
    a, w = codes(dp, "uniform")
    held = energy(dp, device, (a * 0 + 5, w * 0 + 3))
    assert held.stream == "given codes"
    assert held.pj_per_mac.value < told.pj_per_mac.value


def test_an_energy_beyond_the_fit_says_so() -> None:
    dp = Datapath.parse("int8*int8 +fixed(32)")
    inside, outside = energy(dp, "nangate45"), energy(Datapath.parse("int16*int16 +fixed(48)"), "nangate45")
    assert len(inside.unmodelled) == 1
    assert outside.unmodelled[1].endswith("its interval is 2 times as wide")
    window = energy(Datapath.parse("mxfp4_e2m1*mxfp4_e2m1 +fixed(40)"), "nangate45")
    assert "a shifter of which a window is read, the fit has none" in window.unmodelled[1]
    assert window.pj_per_mac.low < 0.8032 < window.pj_per_mac.high  # measured
    relative = [(q.high - q.value) / q.value for q in (inside.pj_per_mac, outside.pj_per_mac)]
    assert relative[1] > 1.8 * relative[0]


def test_bad_streams_elements_and_devices_are_refused_in_one_line() -> None:
    dp = Datapath.parse("int4*int4 +fixed(16)")
    a, w = codes(dp, "uniform", 2, 4)
    with pytest.raises(HwqError, match=r"energy needs a device with measured energies \(nangate45, .*\), not 'xc7'"):
        energy(dp, "xc7")
    with pytest.raises(
        HwqError, match="a stream must be uniform, gaussian, sparse, or codes that are given, not 'loud'"
    ):
        energy(dp, "nangate45", "loud")
    with pytest.raises(HwqError, match="codes of int4 must be between 0 and 15, not 16"):
        energy(dp, "nangate45", (a.astype(int) * 0 + 16, w))
    with pytest.raises(HwqError, match=r"codes must be two arrays .*, not \(2, 4\) and \(1, 4\)"):
        energy(dp, "nangate45", (a, w[:1]))
    for text in ("@1x1x4", "cut=unpack", "use=load", "@2x2/ws k=2"):
        with pytest.raises(
            HwqError, match="energy is known of elements of one product a cycle that keep their sum, not of"
        ):
            energy(Datapath.parse(f"int4*int4 +fixed(16) {text}"), "nangate45")
    with pytest.raises(HwqError, match=r"energy is known of fixed-point sums, not of \+fp32: .*; write \+fixed"):
        energy(Datapath.parse("int8*int8 +fp32"), "nangate45")
    with pytest.raises(HwqError, match="a fit of energy needs at least 9 designs, not 1; measure more"):
        fit_energy([Sample("x", "uniform", {}, {})], "")


def test_counts_are_of_a_product() -> None:
    dp = Datapath.parse("int4*int4 +fixed(16) cut=mul")
    a, w = codes(dp, "uniform", 3, 5)
    found, block = counts(dp, "nangate45", a, w), plan(dp, "nangate45").blocks["pe"]
    assert found["clock"] == block.flip_flops * 6 / 5
    shown = beats(a, w, block.depth)
    assert len(shown.a) - shown.warm == 3 * 6


def test_cost_tells_energy_where_it_is_asked(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    text = "int4*int4 +fixed(16)"
    dp = Datapath.parse(text)
    cells = estimate(dp, "nangate45")
    told = energy(dp, "nangate45", "sparse")
    both = with_energy(cells, told)
    assert both.energy_pj_per_mac == told.pj_per_mac
    assert both.area_um2 == cells.area_um2
    assert [note for note in both.unmodelled if note.startswith("energy")] == list(told.unmodelled)
    shown: Any = as_json(capsys, "cost", text, "-d", "nangate45", "--energy", "sparse")
    assert shown["energy_pj_per_mac"].items() >= told.pj_per_mac.json().items()
    assert shown["energy"] == json.loads(json.dumps(told.json()))
    assert shown["energy"]["stream"] == "sparse"
    code, out, _ = hwq(capsys, "cost", text, "-d", "nangate45", "--energy", "sparse")
    assert code == 0
    assert f"\nenergy under sparse: {told.source}\n" in out
    there: Any = as_json(capsys, "cost", text, "-d", "nangate45", "--energy", "sparse", "--node", "7")
    assert there["energy_pj_per_mac"]["level"] == there["level"] == "scaled"
    assert there["energy_pj_per_mac"] | {"level": ""} == {
        **scale(told.pj_per_mac, "energy", 45, 7).quantity.json(),
        "level": "",
    }
    stored = tmp_path / "codes.npz"
    a, w = codes(dp, "sparse")
    np.savez(stored, a=a, w=w)
    shown = as_json(capsys, "cost", text, "-d", "nangate45", "--energy", str(stored))
    assert shown["energy_pj_per_mac"].items() >= told.pj_per_mac.json().items()
    assert shown["energy"]["stream"] == "given codes"
    assert there["ff"]["level"] == shown["ff"]["level"] == "T1"


def test_archives_without_codes_are_refused(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    stored = tmp_path / "codes.npz"
    np.savez(stored, b=np.zeros(2))
    other, good = stored.read_bytes(), tmp_path / "good.npz"
    np.savez(good, a=np.array([None]), w=np.zeros(2))
    objects = good.read_bytes()
    np.save(tmp_path / "array.npy", np.zeros(2))
    cases = {
        "a file of another kind": [b"", b"no archive", pickle.dumps({}), (tmp_path / "array.npy").read_bytes()],
        "'a is not a file in the archive'": [other],
        "Object arrays cannot be loaded": [objects],
        "Bad CRC-32": [objects[:100] + b"x" + objects[101:]],
    }
    for reason, contents in cases.items():
        for content in contents:
            stored.write_bytes(content)
            code, out, err = hwq(capsys, "cost", "int4*int4 +fixed(16)", "-d", "nangate45", "--energy", str(stored))
            assert (code, out, err.count("\n")) == (2, "", 1)
            assert err.startswith(f"error: {stored} must hold arrays a and w as numpy.savez writes them, not {reason}")
            assert err.endswith("; write it with savez(FILE, a=codes, w=codes)\n")


def test_cost_without_energy_names_it(capsys: pytest.CaptureFixture[str]) -> None:
    from hwq.costmodel.fabrics import FABRICS

    for device in DEVICES:
        assert any(note.startswith("energy_pj_per_mac: not asked for") for note in FABRICS[device].unmodelled)
    message = f"energy needs a device with measured energies ({', '.join(DEVICES)}), not 'xc7'"
    assert_refused(capsys, message, "cost", "int4*int4 +fixed(16)", "-d", "xc7", "--energy", "gaussian")
