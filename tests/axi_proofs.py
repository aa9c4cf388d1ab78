"""What holds of a wrapper's modules in every state that can be reached: a problem for Yosys, that ABC's pdr proves."""

import importlib.util
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from hwq.rtl import Leaf

_YOSYS = "import sys\nfrom pyosys import libyosys as ys\nd = ys.Design()\nfor c in sys.argv[1:]: ys.run_pass(c, d)"
_FLIPFLOPS = ("opt -full", "techmap", "opt_clean", "dfflegalize -cell $_DFF_P_ 0", "zinit -all", "aigmap", "opt_clean")

# a queue in which the next to leave is `first`; what the buffer shows must be what the queue does
SKID = """
module proof(input clk, input reset, input in_valid, input [1:0] data, input out_ready, output wrong);
  reg started = 0, was_reset = 1, waited = 0;
  always @(posedge clk) started <= 1;
  wire rst = reset | ~started;
  wire in_ready, out_valid;
  wire [1:0] shown;
  {skid} dut(.clk(clk), .rst(rst), .in_valid(in_valid), .in_ready(in_ready), .in_payload(data[0]), .in_last(data[1]),
    .out_valid(out_valid), .out_ready(out_ready), .out_payload(shown[0]), .out_last(shown[1]));
  reg [1:0] count = 0, first = 0, second = 0;
  wire takes = in_valid & in_ready, gives = out_valid & out_ready;
  always @(posedge clk) begin
    was_reset <= rst;
    waited <= out_valid & ~out_ready & ~rst;
    count <= rst ? 2'd0 : count + takes - gives;
    if (gives) first <= second;
    if (takes & (count - gives == 0)) first <= data;
    if (takes & (count - gives == 1)) second <= data;
  end
  assign wrong = started & ~((out_valid == (count != 0)) & (~out_valid | shown == first) & (~waited | out_valid)
    & (in_ready == (~was_reset & count < 2)));
endmodule
"""

# one response a write and a read, that stays; and within so many cycles, if both halves of a write are there
SLAVE = """
module proof(input clk, input held, {inputs}, output wrong);
  reg started = 0, waited = 0, b_waits = 0, r_waits = 0, aw = 0, w = 0, ar = 0;
  reg [1:0] b_was = 0, late = 0, r_late = 0;
  reg [33:0] r_was = 0;
  always @(posedge clk) started <= 1;
  wire aresetn = started & ~held;
{outputs}
  {slave} dut(.aclk(clk), .aresetn(aresetn), {pins});
  wire aw_takes = s_axil_awvalid & s_axil_awready, w_takes = s_axil_wvalid & s_axil_wready;
  wire b_gives = s_axil_bvalid & s_axil_bready, r_gives = s_axil_rvalid & s_axil_rready;
  wire ar_takes = s_axil_arvalid & s_axil_arready;
  always @(posedge clk) begin
    b_waits <= aresetn & s_axil_bvalid & ~s_axil_bready;
    r_waits <= aresetn & s_axil_rvalid & ~s_axil_rready;
    b_was <= s_axil_bresp;
    r_was <= {{s_axil_rdata, s_axil_rresp}};
    aw <= aresetn & (aw & ~b_gives | aw_takes);
    w <= aresetn & (w & ~b_gives | w_takes);
    ar <= aresetn & (ar & ~r_gives | ar_takes);
    late <= aresetn & aw & w & ~s_axil_bvalid ? late + 2'd1 : 2'd0;
    r_late <= aresetn & ar & ~s_axil_rvalid ? r_late + 2'd1 : 2'd0;
    waited <= aresetn;
  end
  assign wrong = started & ~((~b_waits | s_axil_bvalid & s_axil_bresp == b_was)
    & (~r_waits | s_axil_rvalid & {{s_axil_rdata, s_axil_rresp}} == r_was)
    & ~(aw & aw_takes) & ~(w & w_takes) & ~(ar & ar_takes) & (~s_axil_bvalid | aw & w) & (~s_axil_rvalid | ar)
    & ~late[1] & ~r_late[1] & (waited | ~s_axil_bvalid & ~s_axil_rvalid)
    & (~waited | (aw | s_axil_awready) & (w | s_axil_wready) & (ar | s_axil_arready)));
endmodule
"""

# payloads through a splitter and a joiner: what comes out went in, in order, and comes within so many cycles
CHAIN = """
module proof(input clk, input reset, input in_valid, input [5:0] data, input out_ready, output wrong);
  reg started = 0, waited = 0;
  reg [3:0] late = 0;
  always @(posedge clk) started <= 1;
  wire rst = reset | ~started;
  wire in_ready, valid, ready, last, out_valid, broken;
  wire [1:0] part;
  wire [5:0] shown;
  {split} split(.clk(clk), .rst(rst), .in_valid(in_valid), .in_ready(in_ready), .in_payload(data[4:0]),
    .in_last(data[5]), .out_valid(valid), .out_ready(ready), .out_payload(part), .out_last(last));
  {join} join(.clk(clk), .rst(rst), .in_valid(valid), .in_ready(ready), .in_payload(part), .in_last(last),
    .out_valid(out_valid), .out_ready(out_ready), .out_payload(shown[4:0]), .out_last(shown[5]), .broken(broken));
  reg [1:0] count = 0;
  reg [5:0] first = 0, second = 0;
  wire takes = in_valid & in_ready, gives = out_valid & out_ready;
  always @(posedge clk) begin
    waited <= out_valid & ~out_ready & ~rst;
    late <= ~rst & ~out_valid & count != 0 ? late + 4'd1 : 4'd0;
    count <= rst ? 2'd0 : count + takes - gives;
    if (gives) first <= second;
    if (takes & (count - gives == 0)) first <= data;
    if (takes & (count - gives == 1)) second <= data;
  end
  assign wrong = started & ~rst & ((out_valid & (count == 0 | shown != first)) | waited & ~out_valid | broken
    | late > 3 | count == 3 | count == 0 & ~in_ready);
endmodule
"""


def proved(leaves: Sequence[Leaf], proof: str, folder: Path) -> bool:
    """Whether `wrong` of module `proof` is 0 in every cycle, from reset on, whatever comes."""
    (folder / "proof.v").write_text("\n".join([*(leaf.text for leaf in leaves), proof]), "utf-8")
    script = ["read_verilog proof.v", "prep -flatten -top proof", "setundef -undriven -zero", *_FLIPFLOPS]
    yosys([*script, "write_aiger -zinit proof.aig"], folder)
    package = importlib.util.find_spec("pyosys")
    assert package is not None
    assert package.origin is not None
    abc = [str(Path(package.origin).parent / "yosys-abc"), "-c", "read_aiger proof.aig; pdr"]
    said = subprocess.run(abc, cwd=folder, capture_output=True, text=True, check=True).stdout
    assert "Property proved" in said or "was asserted" in said, said
    return "Property proved" in said


def yosys(script: Sequence[str], folder: Path) -> None:
    command = [sys.executable, "-c", _YOSYS, *script]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-1000:] + done.stderr[-1000:]


def slave_proof(leaf: Leaf) -> str:
    """The problem of a module of registers."""
    ports = [port for port in leaf.ports if port.name not in ("aclk", "aresetn")]
    inputs = ", ".join(f"input [{port.width - 1}:0] {port.name}" for port in ports if port.direction == "input")
    outputs = [f"  wire [{port.width - 1}:0] {port.name};" for port in ports if port.direction == "output"]
    pins = ", ".join(f".{port.name}({port.name})" for port in ports)
    return SLAVE.format(inputs=inputs, outputs="\n".join(outputs), slave=leaf.name, pins=pins)


def paths(leaves: Sequence[Leaf], core: str, top: str, folder: Path) -> set[tuple[str, str]]:
    """(input, output) of a top between which a path leads through no flip-flop, the core left out as a black box."""
    (folder / "all.v").write_text("\n".join([*(leaf.text for leaf in leaves), core]), "utf-8")
    yosys(["read_verilog all.v", f"prep -flatten -top {top}", "write_json net.json"], folder)
    net = json.loads((folder / "net.json").read_text("utf-8"))["modules"][top]
    drivers: dict[int, list[int]] = {}
    for cell in net["cells"].values():
        if "dff" in cell["type"] or cell["type"] == "core":
            continue
        sides = {side: [] for side in ("input", "output")}
        for pin, bits in cell["connections"].items():
            sides[cell["port_directions"][pin]] += bits
        drivers |= dict.fromkeys(sides["output"], sides["input"])
    entries = {bit: name for name, port in net["ports"].items() if port["direction"] == "input" for bit in port["bits"]}
    found = set()
    for name, port in net["ports"].items():
        if port["direction"] == "output":
            seen, left = set(), list(port["bits"])
            while left:
                bit = left.pop()
                if bit not in seen:
                    seen.add(bit)
                    left += drivers.get(bit, [])
            found |= {(entries[bit], name) for bit in seen & entries.keys()}
    return found
