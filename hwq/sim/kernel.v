// The bench of a streaming kernel: configuration and images in, every word of results into a file.
//
// Macros: TOP, the design; I_BITS, O_BITS, the widths of the payloads; C_BEATS, I_BEATS, how many beats of configuration
// and of pixels; IMAGES, how many images they are; PATIENCE, cycles after which the design counts as hung; STALLS, if
// images and results are to pause at random; WAVES, if waveforms are wanted.
//
// Files: c.hex, i.hex: a beat a line, its last above its payload. trace.txt: of each word that is stored, the layer and the
// word. results.txt: of each beat of results, its last and the word. cycles.txt: the cycle in which each layer was done.
`timescale 1ns/1ns

`ifdef VERILATOR
module bench (input wire clk);
`else
module bench;
  reg clk = 0;
  always begin
    #1 clk = 1;
    #1 clk = 0;
  end
`endif
  reg [32:0] c_beats [0:`C_BEATS-1];
  reg [`I_BITS:0] i_beats [0:`I_BEATS-1];
  reg [31:0] noise = 32'h2545f491; // xorshift
  reg [31:0] cycle = 0, c_at = 0, i_at = 0, quiet = 0, images = 0;
  reg rst = 1, pause = 0, block = 0;
  wire c_ready, i_ready, o_valid, o_last, busy;
  wire [`O_BITS-1:0] o_payload;
  wire c_valid = ~rst & c_at < `C_BEATS;
  wire i_valid = ~rst & ~pause & i_at < `I_BEATS;
  wire o_ready = ~rst & ~block;
  wire [32:0] c_beat = c_beats[c_at < `C_BEATS ? c_at : 0];
  wire [`I_BITS:0] i_beat = i_beats[i_at < `I_BEATS ? i_at : 0];
  integer trace, results, cycles;

  `TOP dut (
    .clk(clk), .rst(rst),
    .c_valid(c_valid), .c_ready(c_ready), .c_payload(c_beat[31:0]), .c_last(c_beat[32]),
    .i_valid(i_valid), .i_ready(i_ready), .i_payload(i_beat[`I_BITS-1:0]), .i_last(i_beat[`I_BITS]),
    .o_valid(o_valid), .o_ready(o_ready), .o_payload(o_payload), .o_last(o_last), .busy(busy), .layer()
  );

  initial begin
    $readmemh("c.hex", c_beats);
    $readmemh("i.hex", i_beats);
    trace = $fopen("trace.txt", "w");
    results = $fopen("results.txt", "w");
    cycles = $fopen("cycles.txt", "w");
`ifdef WAVES
    $dumpfile("waves.fst");
    $dumpvars(0, dut);
`endif
  end

  always @(posedge clk) begin
    cycle <= cycle + 1;
    rst <= cycle < 3;
    if (c_valid & c_ready) c_at <= c_at + 1;
    if (i_valid & i_ready) i_at <= i_at + 1;
`ifdef STALLS
    noise = noise ^ (noise << 13);
    noise = noise ^ (noise >> 17);
    noise = noise ^ (noise << 5);
    if (~i_valid | i_ready) pause <= noise[1:0] != 0; // what is offered stays
    block <= noise[5:4] != 0;
`endif
    if (~rst) begin
      if (dut.stores) $fwrite(trace, "%0d %h\n", dut.layer, dut.stored);
      if (dut.sequencer.done) $fwrite(cycles, "%0d\n", cycle);
      if (o_valid & o_ready) $fwrite(results, "%b %h\n", o_last, o_payload);
      if (o_valid & o_ready & o_last) images <= images + 1;
      quiet <= busy | (c_valid & c_ready) | (i_valid & i_ready) | (o_valid & o_ready) ? 0 : quiet + 1;
    end
    if ((images == `IMAGES && ~busy) || quiet > `PATIENCE) begin
      $fclose(trace);
      $fclose(results);
      $fclose(cycles);
      $finish;
    end
  end
endmodule
