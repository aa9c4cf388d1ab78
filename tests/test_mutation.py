"""Seeded faults: what the simulation finds of them, with every one that it does not. See docs/verification.md."""

import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
from mutants import Fault, drawn, python_faults
from mutants_verilog import verilog_faults

ROOT = Path(__file__).parents[1]
LEAST = {"rtl": 115, "generator": 80}  # faults, those that are none not counted: more than 200 are made
SCORE = 0.95

LINES = """\
module m (
  input wire clk
);
  wire [3:0] a_0 = run ? a_payload[3:0] : 4'h0;
  always @* begin
    row = ~x[2] + (z & 2'h1) + c;
    next = row == d;
    last = e;
  end
  always @(posedge clk) if (clear) q <= 1'h0; else if (en) q <= u < v;
  n part (.clk(clk), .rst(rst), .a(x), .b(y));
endmodule
"""
PORTS = {"n": {"clk": ("input", 1), "rst": ("input", 1), "a": ("input", 4), "b": ("output", 4)}}
EDITS = """\
4 legs of ?: swapped: `a_payload[3:0] : 4'h0` became `(4'h0) : (a_payload[3:0])`
4 index off by one: `[3:0]` became `[4:1]`
4 idle codes: bit 0 of all flipped
4 idle codes: bit 1 of all flipped
4 idle codes: bit 2 of all flipped
4 idle codes: bit 3 of all flipped
6 + to -: `+` became `-`
6 + to -: `+` became `-`
6 & to |: `&` became `|`
6 ~ dropped: `~` became ``
6 bit of a constant: `2'h1` became `2'h0`
6 bit of a constant: `2'h1` became `2'h3`
6 index off by one: `[2]` became `[1]`
6 carry dropped: ` + c` became ``
6 order: `row` after `next`
7 == to !=: `==` became `!=`
10 reset value: `1'h0` became `1'h1`
10 < to <=: `<` became `<=`
10 condition: `en` became `1'b1`
10 condition: `clear` became `1'b0`
10 condition: `clear` became `en`
11 pins swapped: clk and rst of `part`
"""
TEXT = '''\
def width(lo: int, hi: int = 4) -> int:
    """2 bits."""
    if lo < 0 and hi:
        raise ValueError(f"not {lo + 1}")
    assert lo == 0
    return max(*zip(lo, hi, strict=True))
'''
TEXT_EDITS = """\
1 constant + 1: `def width(lo: int, hi: int=4) -> int:` became `def width(lo: int, hi: int=5) -> int:`
1 constant - 1: `def width(lo: int, hi: int=4) -> int:` became `def width(lo: int, hi: int=3) -> int:`
3 condition negated: `if lo < 0 and hi:` became `if not (lo < 0 and hi):`
3 And to Or: `if lo < 0 and hi:` became `if lo < 0 or hi:`
3 Lt to LtE: `if lo < 0 and hi:` became `if lo <= 0 and hi:`
3 constant + 1: `if lo < 0 and hi:` became `if lo < 1 and hi:`
3 constant - 1: `if lo < 0 and hi:` became `if lo < -1 and hi:`
6 min or max: `return max(*zip(lo, hi, strict=True))` became `return min(*zip(lo, hi, strict=True))`
"""


def told(faults: Iterable[Fault]) -> list[str]:
    return [str(fault).removeprefix("file:").replace(":", "", 1).split(" in `")[0] for fault in faults]


def test_every_edit_of_verilog_is_made_once_a_place() -> None:
    assert sorted(told(verilog_faults(LINES, "file", PORTS))) == sorted(EDITS.splitlines())


def test_every_edit_of_python_is_made_once_a_place() -> None:
    """But not in what a function says, raises or asserts."""
    assert told(python_faults(TEXT, "file")) == TEXT_EDITS.splitlines()


def test_a_fault_is_one_edit_of_the_file() -> None:
    for faults, text in ((verilog_faults(LINES, "file", PORTS), LINES), (python_faults(TEXT, "file"), TEXT)):
        texts = [fault.text for fault in faults]
        assert len(set(texts)) >= len(texts) - 1 > 0  # of two "+", the one or the other
        assert text not in texts


def test_a_draw_takes_the_kinds_in_turn_and_stays_when_lines_move() -> None:
    faults = list(verilog_faults(LINES, "m", PORTS))
    once = [(fault.kind, fault.place) for fault in drawn(faults, 5, seed=3)]
    moved = [(fault.kind, fault.place) for fault in drawn(verilog_faults("\n" + LINES, "m", PORTS), 5, seed=3)]
    assert once == moved
    assert len({kind for kind, _ in once}) == 5


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the package, compiled, that nobody edits while the faults run."""
    folder = tmp_path_factory.mktemp("package")
    ignored = shutil.ignore_patterns("__pycache__", "*.npz", "*.safetensors")
    shutil.copytree(ROOT / "hwq", folder / "hwq", ignore=ignored)
    subprocess.run([sys.executable, "-m", "compileall", "-q", folder / "hwq"], check=True)
    return folder


@pytest.mark.slow  # minutes: more than a hundred faults, each compiled and simulated
@pytest.mark.parametrize("population", LEAST)
def test_seeded_faults_are_found(package: Path, population: str, say: Callable[[str], None]) -> None:
    environment = os.environ | {"PYTHONPATH": str(package)}
    command = [sys.executable, str(ROOT / "tests" / "mutation.py"), population]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    faults = [json.loads(line) for line in done.stdout.splitlines()]
    verdicts = Counter(fault["verdict"] for fault in faults)
    same = verdicts["equivalent"] + verdicts["same bytes"]
    score = 1 - verdicts["survived"] / (len(faults) - same)
    say(f"faults in the {population}: {len(faults)}, {same} of them none, score {score:.1%}: {dict(verdicts)}")
    for fault in faults:
        if fault["verdict"] == "survived":
            say(f"faults in the {population}, survived: {fault['fault']}")
    assert len(faults) - same >= LEAST[population]
    assert score >= SCORE
