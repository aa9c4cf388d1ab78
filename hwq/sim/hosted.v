// The design beside Python: what Python shows it, and what moved at the last rising edge, which Python need not wait for.
//
// Macros: TOP, the design; A_BITS, W_BITS, P_BITS (none: no parameters), O_BITS, the widths of the payloads; WAVES, if
// waveforms are wanted.
`timescale 1ns/1ns

`ifdef P_BITS
`define SHOWN (`A_BITS + `W_BITS + `P_BITS + 7)
`else
`define SHOWN (`A_BITS + `W_BITS + 5)
`endif

module hosted;
  reg clk = 0, rst = 1;
  reg [`SHOWN-1:0] shown = 0; // o_ready, and of each stream its valid, its last and its payload; a lowest
  integer moved = 0; // 1, 2, 4: beats of a, w, p; 8: a result is offered
  reg [`O_BITS:0] came = 0; // o_last and the payload of what is offered

  wire a_valid, a_ready, a_last;
  wire w_valid, w_ready, w_last;
  wire p_valid, p_ready, p_last;
  wire o_valid, o_ready, o_last;
  wire [`A_BITS-1:0] a_payload;
  wire [`W_BITS-1:0] w_payload;
  wire [`O_BITS-1:0] o_payload;
  assign {a_valid, a_last, a_payload} = shown[`A_BITS+1:0];
  assign {w_valid, w_last, w_payload} = shown[`A_BITS+`W_BITS+3:`A_BITS+2];
`ifdef P_BITS
  wire [`P_BITS-1:0] p_payload;
  assign {p_valid, p_last, p_payload} = shown[`SHOWN-2:`A_BITS+`W_BITS+4];
`else
  assign {p_valid, p_ready, p_last} = 3'd0;
`endif
  assign o_ready = shown[`SHOWN-1];

  `TOP dut (
    .clk(clk), .rst(rst),
    .a_valid(a_valid), .a_ready(a_ready), .a_payload(a_payload), .a_last(a_last),
    .w_valid(w_valid), .w_ready(w_ready), .w_payload(w_payload), .w_last(w_last),
`ifdef P_BITS
    .p_valid(p_valid), .p_ready(p_ready), .p_payload(p_payload), .p_last(p_last),
`endif
    .o_valid(o_valid), .o_ready(o_ready), .o_payload(o_payload), .o_last(o_last)
  );

  // what is unknown is no handshake
  wire a_moved = (a_valid & a_ready) === 1'b1, w_moved = (w_valid & w_ready) === 1'b1;
  wire p_moved = (p_valid & p_ready) === 1'b1, o_offered = o_valid === 1'b1;
  always @(posedge clk) begin
    moved <= {28'd0, o_offered, p_moved, w_moved, a_moved};
    if (o_offered) came <= {o_last, o_payload};
  end

`ifdef WAVES
  initial begin
    $dumpfile("waves.fst");
    $dumpvars(0, dut);
  end
`endif
endmodule
