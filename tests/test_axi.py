"""AXI wrappers: an independent master drives, stalls and resets them; their buffer is proved; nothing leads through."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from axi_cores import PORTS, Case, array, bench, keyed, registers
from axi_proofs import CHAIN, SKID, paths, proved, slave_proof
from cocotb_tools.runner import get_runner

from hwq.cli.main import run
from hwq.datapath import Datapath
from hwq.errors import HwqError
from hwq.rtl import Axi, Manifest, Port, Wrapper, emit
from hwq.rtl.axis import Stream, joiner, skid, splitter
from hwq.sim.tools import verilator_environment

CUTS = ("hard", None, "soft", "pause")
ARRAY = "int8*int4 +fixed(20) ->int8[bias,requant,relu] @2x3"


def rounds(case: Case, size: int, cuts: tuple[str | None, ...]) -> list[dict[str, Any]]:
    """The frames in rounds of a size, which end in turn as `cuts` say."""
    parts = [case.frames[at : at + size] for at in range(0, len(case.frames), size)]
    return [{"frames": part, "cut": cuts[at % len(cuts)]} for at, part in enumerate(parts)]


def simulate(
    case: Case,
    folder: Path,
    rounds: list[dict[str, Any]],
    test: str = "streams",
    broken: int = 0,
    simulator: str = "icarus",
) -> dict[str, Any]:
    """Run a test of tests/axi_bench.py; what it saw. `broken`: which stream has an error in the end."""
    (folder / "bench.v").write_text(bench(case.wrapper), "utf-8")
    job = {
        "seed": 0,
        "broken": broken,
        "enters": {one.name: one.axis for one in case.wrapper.streams if one.enters},
        "leaves": case.wrapper.leaves.name,
        "registers": registers(case.wrapper),
        "rounds": rounds,
    }
    (folder / "job.json").write_text(json.dumps(job), "utf-8")
    runner = get_runner(simulator)
    runner.build(
        sources=[folder / name for name in (*case.files, "bench.v")],
        hdl_toplevel="bench",
        build_dir=folder / "sim",
        build_args=["-Wno-fatal", "--public-flat-rw"] if simulator == "verilator" else [],
        log_file=folder / "build.txt",
    )
    log = folder / "log.txt"
    try:
        runner.test(
            test_module="axi_bench",
            hdl_toplevel="bench",
            test_dir=folder,
            build_dir=folder / "sim",
            testcase=test,
            extra_env={
                "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path]),
                "COCOTB_LOG_LEVEL": "WARNING",
            },
            log_file=log,
        )
    except SystemExit:
        pytest.fail(log.read_text("utf-8")[-4000:])
    found: dict[str, Any] = json.loads((folder / "seen.json").read_text("utf-8"))
    return found


CASES: dict[str, Callable[[Path, int], Case]] = {
    "array": lambda folder, tiles: array(folder, ARRAY, Axi(), tiles, 1),
    "array of 32 bits": lambda folder, tiles: array(folder, ARRAY, Axi(32), tiles, 2),
    "core of 8 bits": lambda folder, tiles: keyed(folder, Axi(8), tiles, 3),
    "core of 128 bits": lambda folder, tiles: keyed(folder, Axi(128), tiles, 4),
}


@pytest.mark.parametrize("name", CASES)
def test_nothing_is_lost_under_stalls_and_resets(tmp_path: Path, name: str, say: Callable[[str], None]) -> None:
    case = CASES[name](tmp_path, 80)
    seen = simulate(case, tmp_path, rounds(case, 10, CUTS))
    assert seen["resets"] == 4
    assert seen["frames"] >= 50
    assert seen["words"] > 50
    say(f"AXI, {name}: {seen}")


QUICK = ("a buffer takes one too many", "a joiner counts on after a reset", "the core is not reset by a program")
QUICK += ("a beat is taken twice after a pause", "a response comes twice", "a byte is written without its strobe")
# edits of the Verilog of "core of 8 bits", each of which the bench must find
FAULTS = {
    "a buffer forgets the order of two": ("skid_8", "waits ? late", "1'b0 ? late"),
    "a buffer takes one too many": ("skid_8", "ready <= ~rst & ~(stays & comes)", "ready <= ~rst"),
    "a buffer withdraws what it offers": ("skid_8", "(stays | comes)", "comes"),
    "a joiner counts on after a reset": ("join_i", "if (rst) place <= 12'd1;\n    else if", "if"),
    "a splitter goes on after a reset": ("split_o", "if (rst) full <= 1'b0;\n    else full", "full"),
    "a buffer keeps its beats in a reset": (
        "axi",
        ".rst(~aresetn | reset), .in_valid(s_axis_i",
        ".rst(reset), .in_valid(s_axis_i",
    ),
    "the core is not reset by a program": ("axi", "rst <= ~aresetn | reset", "rst <= ~aresetn"),
    "a beat is taken twice after a pause": ("axi", "s_axis_i_tvalid & run), .in_ready", "s_axis_i_tvalid), .in_ready"),
    "a response comes twice": ("registers", "(writes | bvalid & ~s_axil_bready)", "(aw_full & w_full)"),
    "a byte is written without its strobe": ("registers", "if (w_strb[1]) held_mask[15:8]", "held_mask[15:8]"),
    "a wrong address is not refused": ("registers", "rresp <= 2'd3", "rresp <= 2'd0"),
    "transfers are counted while they wait": ("axi", "s_axis_k_tvalid & s_axis_k_tready", "s_axis_k_tvalid"),
}


@pytest.mark.parametrize("fault", [pytest.param(one, marks=[pytest.mark.slow] * (one not in QUICK)) for one in FAULTS])
def test_a_wrong_wrapper_is_found(tmp_path: Path, fault: str) -> None:
    case = CASES["core of 8 bits"](tmp_path, 40)
    suffix, good, wrong = FAULTS[fault]
    path = tmp_path / ("core_axi.v" if suffix == "axi" else f"core_axi_{suffix}.v")
    text = path.read_text("utf-8")
    assert good in text
    path.write_text(text.replace(good, wrong), "utf-8")
    with pytest.raises(pytest.fail.Exception, match="streams failed"):
        simulate(case, tmp_path, rounds(case, 5, CUTS))


def test_a_frame_that_ends_amid_a_payload_is_an_error_once(tmp_path: Path) -> None:
    case = keyed(tmp_path, Axi(32), 4, 5)
    whole = case.frames[1]
    cut = {"k": whole["k"], "i": whole["i"][:-16], "o": masked(whole, 8)}
    frames = [case.frames[0], cut, case.frames[2]]
    seen = simulate(case, tmp_path, [{"frames": frames, "cut": None}], "broken", broken=1)
    assert seen["frames"] == 3


def masked(frame: dict[str, str], bytes_: int) -> str:
    """The results of a frame whose last bytes did not come: zeros, exclusive or the key."""
    i, o = (int.from_bytes(bytes.fromhex(frame[name]), "little") for name in "io")
    size = len(frame["i"]) // 2
    kept = (1 << 8 * (size - bytes_)) - 1
    return ((i & kept) ^ i ^ o).to_bytes(size, "little").hex()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "tiles", "simulator"),
    [
        ("array of 32 bits", 12_000, "icarus"),
        ("core of 8 bits", 3_600, "icarus"),
        ("core of 8 bits", 3_600, "verilator"),
    ],
)
def test_nothing_is_lost_in_a_hundred_thousand_beats(
    tmp_path: Path,
    name: str,
    tiles: int,
    simulator: str,
    say: Callable[[str], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Of the core as many beats come and are compared, of the array they enter and leave."""
    case = CASES[name](tmp_path, tiles)
    for variable, value in verilator_environment().items():
        monkeypatch.setenv(variable, value)
    seen = simulate(case, tmp_path, rounds(case, tiles // 200, CUTS), simulator=simulator)
    assert (sum(seen["beats"].values()) if name.startswith("array") else seen["transfers"]) >= 100_000
    assert seen["resets"] == 100
    say(f"AXI, {name}, {simulator}: {seen}")


def keyed_wrapper(width: int | None = None) -> Wrapper:
    return Wrapper("core", PORTS, ("i", "o"), Axi(width), 0x12345678)


def test_a_buffer_is_a_queue_of_two(tmp_path: Path) -> None:
    """In every state: it loses, doubles and changes nothing, holds what it offers, and takes while there is room."""
    leaf = skid("skid", 1)
    assert proved([leaf], SKID.format(skid="skid"), tmp_path)
    for good, wrong in (
        ("waits ? late", "full ? late"),
        ("~rst & stays & comes", "stays & comes"),
        ("(ready) late", "(1) late"),
    ):
        assert good in leaf.text
        assert not proved([replace(leaf, text=leaf.text.replace(good, wrong))], SKID.format(skid="skid"), tmp_path)


def test_what_is_split_is_joined_again(tmp_path: Path) -> None:
    leaves = [splitter("split", Stream("x", "output", 5, 2)), joiner("join", Stream("x", "input", 5, 2))]
    assert proved(leaves, CHAIN.format(split="split", join="join"), tmp_path)


def test_registers_answer_once_and_never_hang(tmp_path: Path) -> None:
    leaf = keyed_wrapper().slave
    assert proved([leaf], slave_proof(leaf), tmp_path)
    for good, wrong in (
        ("(writes | bvalid & ~s_axil_bready)", "writes"),
        ("taken | ~(w_full", "~(w_full"),
        ("& ~ar_full &", "&"),
    ):
        assert good in leaf.text
        assert not proved([replace(leaf, text=leaf.text.replace(good, wrong))], slave_proof(leaf), tmp_path)


def test_no_path_leads_through(tmp_path: Path) -> None:
    """Neither from a side of a stream to the other, nor from one stream or channel to another."""
    wrapper = keyed_wrapper(32)
    ports = ", ".join(f"{port.direction} [{port.width - 1}:0] {port.name}" for port in PORTS)
    core = f"(* blackbox *) module core({ports}); endmodule"
    assert paths(wrapper.modules, core, wrapper.name, tmp_path) == set()
    leaf = skid("skid", 1)
    wrong = replace(leaf, text=leaf.text.replace("in_ready = ready", "in_ready = ready | out_ready"))
    assert paths([leaf], "", "skid", tmp_path) == set()
    assert paths([wrong], "", "skid", tmp_path) == {("out_ready", "in_ready")}


@pytest.mark.parametrize("width", [None, 8, 64])
def test_a_folder_has_a_wrapper_that_every_tool_is_silent_about(tmp_path: Path, width: int | None) -> None:
    texts = []
    for folder in (tmp_path / "one", tmp_path / "two"):
        manifest = emit(Datapath.parse(ARRAY), folder, bus=Axi(width))
        texts.append({path.name: path.read_bytes() for path in folder.iterdir()})
    assert texts[0] == texts[1]
    assert manifest == Manifest.load(folder)
    outer = f"{manifest.top}_axi"
    ports = {port.name: (port.direction, port.width) for port in manifest.modules[outer]}
    assert ports["s_axis_p_tdata"] == ("input", width or 128)
    assert ports["m_axis_o_tdata"] == ("output", width or 24)
    assert {*manifest.files, *manifest.project, "manifest.json"} == set(texts[0])
    for flags in ([], ["-Wall", "-Wno-UNUSEDSIGNAL"]):
        assert (
            said(["verilator", "--quiet", "--lint-only", *flags, "--top-module", outer, *manifest.files], folder) == ""
        )
    assert said(["iverilog", "-g2005", "-Wall", "-s", outer, "-o", os.devnull, *manifest.files], folder) == ""
    core, period = ((folder / f"{manifest.top}.{end}").read_text("utf-8") for end in ("core", "sdc"))
    assert f"toplevel: {outer}" in core
    assert "[get_ports aclk]" in period


def said(command: list[str], folder: Path) -> str:
    environment = dict(verilator_environment())
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    return done.stdout + done.stderr


def test_the_header_is_c_and_says_what_the_slave_does(tmp_path: Path) -> None:
    wrapper = keyed_wrapper()
    (tmp_path / "map.h").write_text(wrapper.header, "utf-8")
    names = [f"{{CORE_{one.name}, 0x{one.offset:x}}}" for one in wrapper.registers]
    program = f'#include "map.h"\n#include "map.h"\nint main() {{ int a[][2] = {{{", ".join(names)}}}; int bad = 0;'
    program += f"for (int i = 0; i < {len(names)}; i++) bad |= a[i][0] != a[i][1]; return bad; }}"
    (tmp_path / "main.c").write_text(program, "utf-8")
    assert said(["c++", "-x", "c++", "-Wall", "-Wextra", "main.c"], tmp_path) == ""
    assert subprocess.run([tmp_path / "a.out"], check=False).returncode == 0
    assert [(one.name, one.offset) for one in wrapper.registers if one.offset >= 0x40] == [
        ("CORE_MASK_0", 0x40),
        ("CORE_MASK_1", 0x44),
        ("CORE_KEYED", 0x48),
        ("CORE_SEEN_0", 0x4C),
        ("CORE_SEEN_1", 0x50),
    ]


def test_every_name_is_declared_before_it_is_used() -> None:
    names = 0
    for leaf in keyed_wrapper(8).modules:
        source = re.sub(r"//.*", "", leaf.text)
        for found in re.finditer(r"\b(?:reg|wire)\b\s*(?:\[[^\]]*\]\s*)?((?:\w+(?:, )?)+)", source):
            for name in found[1].split(", "):
                names += 1
                first = re.search(rf"(?<![.'\w]){name}\b", source)
                assert first is not None
                assert found.start(1) <= first.start() <= found.end(1), f"{leaf.name}: {name}"
    assert names > 100


def test_the_command_writes_a_wrapper(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["rtl", "int4*int4 +fixed(16)", "-o", str(tmp_path)]
    assert run([*words, "--bus", "axi", "--data-width", "16", "--json"]) == 0
    top = json.loads(capsys.readouterr().out)["top"]
    assert (tmp_path / f"{top}_axi.v").exists()
    for options, message in (
        (["--bus", "wishbone"], "bus must be axi, not 'wishbone'"),
        (["--data-width", "32"], "data_width is that of a bus, not of hwq's streams; add --bus axi"),
        (["--bus", "axi", "--data-width", "24"], "data_width must be a power of two from 8 to 1024, not 24"),
    ):
        assert run([*words, *options]) == 2
        assert capsys.readouterr().err == f"error: {message}\n"


def test_a_core_that_cannot_be_wrapped_wrong() -> None:
    def wrapped(ports: Sequence[Port], frame: tuple[str, str] = ("i", "o")) -> object:
        return Wrapper("core", ports, frame, Axi(), 0).registers

    with pytest.raises(HwqError, match=r"^a stream must have valid, ready, payload, last, not lack i_last; add it$"):
        wrapped([port for port in PORTS if port.name != "i_last"])
    with pytest.raises(HwqError, match=r"^a frame must enter by one of the core's streams and leave by another, not "):
        wrapped(PORTS, ("o", "i"))
    with pytest.raises(HwqError, match=r"^ports beside the streams must fit 1008 words, not 1012; narrow them$"):
        wrapped([*PORTS, Port("wide", "input", 32 * 1007)])
    more = [replace(port, name=f"{at}{port.name}") for at in range(7) for port in PORTS if port.name.startswith("k_")]
    with pytest.raises(HwqError, match=r"^a register map has room for 8 streams, not 10; join some of them$"):
        wrapped([*PORTS, *more])
