// The bench on the side of the hardware: beats from files through a design, every result beat into a file.
//
// Macros: TOP, the design; A_BITS, W_BITS, P_BITS (none: no parameters), O_BITS, the widths of the payloads; A_BEATS,
// W_BEATS, P_BEATS, O_BEATS, how many beats; LOADS, beats of w that go before those of a (0: they go together); WAVES, if
// waveforms are wanted.
//
// Files: a.bin, w.bin, p.bin hold the beats: a byte each for the cycles of pause before it and for its last, then the
// payload, its highest byte first. o.bin, a result: the cycles of pause before it is taken, and its last. results.txt: a
// line a result, last and payload in bits. outcome.txt: the cycles from the first after reset to the last result, and
// how many of them our own pauses froze.
`timescale 1ns/1ns

// One stream into the design. What is shown while nothing is offered is wrong on purpose. `hold` offers the first beat,
// without its last, for as long as it is 1.
module source #(parameter BITS = 1, parameter BEATS = 1, parameter FILE = "") (
  input wire clk,
  input wire hold,
  input wire going,
  input wire ready,
  output wire valid,
  output wire last,
  output wire taken,
  output wire [BITS-1:0] payload
);
  localparam SIZE = 8 * ((BITS + 7) / 8);
  reg [SIZE+15:0] beats [0:BEATS]; // and one that is never offered
  reg [SIZE+15:0] beat;
  reg [BITS-1:0] shown;
  reg [7:0] pause;
  reg live, ending;
  integer file, at;
  assign valid = hold | live;
  assign last = ~hold & (ending | ~live);
  assign taken = live & ready;
  assign payload = shown;
  wire waiting = going & ~live;

  initial begin
    file = $fopen(FILE, "rb");
    at = $fread(beats, file);
    $fclose(file);
    beats[BEATS] = 0;
    beat = beats[0];
    at = 1;
    live = 0;
    shown = beat[BITS-1:0];
    ending = beat[SIZE];
    pause = beat[SIZE+15:SIZE+8] + 8'd1; // of which the last cycle of reset is one
  end

  always @(posedge clk)
    if (taken) begin
      beat = beats[at];
      at = at + 1;
      shown <= beat[BITS-1:0];
      if (ending || beat[SIZE+15:SIZE] != 0) begin // else it goes on as it was: what is common is quick
        ending <= beat[SIZE];
        pause <= beat[SIZE+15:SIZE+8];
        if (beat[SIZE+15:SIZE+8] != 0 || at > BEATS) begin
          live <= 0;
          shown <= ~beat[BITS-1:0];
        end
      end
    end else if (waiting) begin
      pause <= pause - 8'd1;
      if (pause == 8'd1 && at <= BEATS) begin
        live <= 1;
        shown <= beat[BITS-1:0];
      end
    end
endmodule

`ifdef VERILATOR
module bench (input wire clk);
`else
module bench;
  reg clk = 0;
  always #1 clk = ~clk;
`endif
  localparam PATIENCE = 2000; // cycles without any handshake or excuse after which the design counts as hung
  localparam CLEAR = 2'd0, ENTER = 2'd1, FINISH = 2'd2;

  reg rst = 1, hold = 0, running = 0, o_ready = 0;
  wire a_valid, a_ready, a_last, a_taken;
  wire w_valid, w_ready, w_last, w_taken;
  wire p_valid, p_ready, p_last, p_taken;
  wire o_valid, o_last;
  wire [`A_BITS-1:0] a_payload;
  wire [`W_BITS-1:0] w_payload;
  wire [`O_BITS-1:0] o_payload;

  source #(.BITS(`A_BITS), .BEATS(`A_BEATS), .FILE("a.bin")) a (
    .clk(clk), .hold(hold), .going(going), .ready(a_ready),
    .valid(a_valid), .last(a_last), .taken(a_taken), .payload(a_payload)
  );
  source #(.BITS(`W_BITS), .BEATS(`W_BEATS), .FILE("w.bin")) w (
    .clk(clk), .hold(hold), .going(going), .ready(w_ready),
    .valid(w_valid), .last(w_last), .taken(w_taken), .payload(w_payload)
  );
`ifdef P_BITS
  wire [`P_BITS-1:0] p_payload;
  source #(.BITS(`P_BITS), .BEATS(`P_BEATS), .FILE("p.bin")) p (
    .clk(clk), .hold(hold), .going(going), .ready(p_ready),
    .valid(p_valid), .last(p_last), .taken(p_taken), .payload(p_payload)
  );
`else
  assign p_valid = 1, p_taken = 1;
`endif

  `TOP dut (
    .clk(clk), .rst(rst),
    .a_valid(a_valid), .a_ready(a_ready), .a_payload(a_payload), .a_last(a_last),
    .w_valid(w_valid), .w_ready(w_ready), .w_payload(w_payload), .w_last(w_last),
`ifdef P_BITS
    .p_valid(p_valid), .p_ready(p_ready), .p_payload(p_payload), .p_last(p_last),
`endif
    .o_valid(o_valid), .o_ready(o_ready), .o_payload(o_payload), .o_last(o_last)
  );

  reg [15:0] takes [0:`O_BEATS]; // and one that is never waited for
  reg [15:0] take;
  reg [7:0] pause;
  reg ending;
  reg [1:0] state = CLEAR;
  integer file, out, step = 0, results = 0, stalled = 0, quiet = 0;
  integer loading = 0; // beats of w that still come before those of a
  time began;

  initial begin
    file = $fopen("o.bin", "rb");
    quiet = $fread(takes, file);
    $fclose(file);
    quiet = 0;
    takes[`O_BEATS] = 0;
    take = takes[0];
    pause = take[15:8];
    ending = take[0];
    out = $fopen("results.txt", "w");
`ifdef WAVES
    $dumpfile("waves.fst");
    $dumpvars(0, dut);
`endif
  end

  // What this cycle is, by the handshakes alone: progress, or a stall that is ours.
  wire result = o_valid & o_ready;
  wire held = o_valid & ~o_ready;
  wire together = `LOADS == 0;
  wire going = step >= 16; // the first beats are offered in the first cycle after reset
  wire smooth = (state == ENTER) & together & a_taken & w_taken & ~a_last & ~o_valid;

  always @(posedge clk)
    if (smooth) begin
      // operands enter and nothing else happens: what is common is quick
    end else if (!running) begin // reset, half a tile that is abandoned, reset for one cycle
      step <= step + 1;
      rst <= step < 3 || step == 15;
      hold <= step >= 3 && step < 15;
      running <= step == 16;
      o_ready <= step == 16 && pause == 0;
      began <= $time;
    end else begin
      case (state)
        CLEAR:
          if (!p_valid) stalled <= stalled + 1;
          else if (p_taken) begin
            state <= ENTER;
            loading <= `LOADS;
          end
        ENTER:
          if (held) stalled <= stalled + 1;
          else if (loading != 0) begin
            if (!w_valid) stalled <= stalled + 1;
            else if (w_taken) loading <= loading - 1;
          end else if (!(a_valid && (w_valid || !together))) stalled <= stalled + 1;
          else if (a_taken && a_last && (w_taken || !together)) state <= FINISH;
        default:
          if (held) stalled <= stalled + 1;
          else if (result && ending) state <= CLEAR;
      endcase
      if (held) begin
        pause <= pause - 8'd1;
        o_ready <= pause <= 8'd1;
      end
      if (result) begin
        $fwrite(out, "%b%b\n", o_last, o_payload);
        take = takes[results + 1];
        pause <= take[15:8];
        ending <= take[0];
        o_ready <= take[15:8] == 0;
        results <= results + 1;
      end
      quiet <= (a_taken | w_taken | o_valid) === 1'b1 ? 0 : quiet + 1; // what is unknown is no handshake
      if (result && results + 1 == `O_BEATS || quiet == PATIENCE) begin
        $fclose(out);
        file = $fopen("outcome.txt", "w");
        $fwrite(file, "%0d %0d\n", ($time - began) / 2, stalled);
        $fclose(file);
        $finish;
      end
    end
endmodule
