// The bench on the side of the hardware: beats from files through a design, every result beat into a file.
//
// Macros: TOP, the design; A_BITS, W_BITS, P_BITS (none: no parameters), O_BITS, the widths of the payloads; A_BEATS,
// W_BEATS, P_BEATS, O_BEATS, how many beats; LOADS, beats of w that go before those of a (0: they go together); CLEARS, 0
// if operands enter at once, and parameters at any time; OVERLAPS, 1 if a tile begins before the one before it ends, so
// that no cycle is told to be a stall; WAVES, if waveforms are wanted.
//
// Files: a.bin, w.bin, p.bin hold the beats: a byte for the cycles of pause before it, one of flags, then the payload, its
// highest byte first. Flags: 1, the last beat; 128, it or the beat before it is a last one, or there is a pause.
// o.bin, a result: the cycles of pause before it is taken, and the flag of its last. results.txt: a line a result, last
// and payload in bits. outcome.txt: the cycles from the first after reset to the last result, and how many of them our
// own pauses froze.
//
// Of what is read in every cycle there is as little as can be: in a simulator that interprets, that is its time.
`timescale 1ns/1ns

// One stream into the design. What is shown while nothing is offered is wrong on purpose. `hold` offers the first beat,
// without its last, for as long as it is 1: in the cycles of reset, of which there are RESET.
module source #(parameter BITS = 1, parameter BEATS = 1, parameter RESET = 1, parameter FILE = "") (
  input wire clk,
  input wire hold,
  input wire ready,
  output wire valid,
  output wire last,
  output wire taken,
  output wire [BITS-1:0] payload
);
  localparam SIZE = 8 * ((BITS + 7) / 8);
  localparam LAST = SIZE, NEWS = SIZE + 7;
  reg [SIZE+15:0] beats [0:BEATS]; // and one that is never offered
  reg [SIZE+15:0] beat;
  reg [BITS-1:0] shown;
  reg [8:0] pause;
  reg live, ending;
  integer file, at;
  assign valid = hold | live;
  assign last = ~hold & (ending | ~live);
  assign taken = live & ready;
  assign payload = shown;

  initial begin
    file = $fopen(FILE, "rb");
    at = $fread(beats, file);
    $fclose(file);
    beats[BEATS] = 24'hff80 << SIZE;
    beat = beats[0];
    at = 1;
    live = 0;
    shown = beat[BITS-1:0];
    ending = beat[LAST];
    pause = beat[SIZE+15:SIZE+8] + RESET;
  end

  always @(posedge clk)
    if (taken) begin
      shown <= beats[at][BITS-1:0];
      if (beats[at][NEWS]) begin // else it goes on as it was: what is common is quick
        beat = beats[at];
        ending <= beat[LAST];
        pause = {1'b0, beat[SIZE+15:SIZE+8]};
        if (pause != 0) begin
          live <= 0;
          shown <= ~beat[BITS-1:0];
        end
      end
      at = at + 1;
    end else if (!live) begin
      pause = pause - 9'd1;
      if (pause == 0 && at <= BEATS) begin
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
  always begin
    #1 clk = 1;
    #1 clk = 0;
  end
`endif
  localparam RESET = 17; // cycles of reset, half a tile that is abandoned, one more cycle of reset
  localparam START = 2'd0, CLEAR = 2'd1, ENTER = 2'd2, FINISH = 2'd3;

  reg rst = 1, hold = 0, o_ready = 0;
  wire a_valid, a_ready, a_last, a_taken;
  wire w_valid, w_ready, w_last, w_taken;
  wire p_valid, p_ready, p_last, p_taken;
  wire o_valid, o_last;
  wire [`A_BITS-1:0] a_payload;
  wire [`W_BITS-1:0] w_payload;
  wire [`O_BITS-1:0] o_payload;

  source #(.BITS(`A_BITS), .BEATS(`A_BEATS), .RESET(RESET), .FILE("a.bin")) a (
    .clk(clk), .hold(hold), .ready(a_ready),
    .valid(a_valid), .last(a_last), .taken(a_taken), .payload(a_payload)
  );
  source #(.BITS(`W_BITS), .BEATS(`W_BEATS), .RESET(RESET), .FILE("w.bin")) w (
    .clk(clk), .hold(hold), .ready(w_ready),
    .valid(w_valid), .last(w_last), .taken(w_taken), .payload(w_payload)
  );
`ifdef P_BITS
  wire [`P_BITS-1:0] p_payload;
  source #(.BITS(`P_BITS), .BEATS(`P_BEATS), .RESET(RESET), .FILE("p.bin")) p (
    .clk(clk), .hold(hold), .ready(p_ready),
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
  reg [1:0] state = START;
  reg wants = 0; // of a tile that clears nothing: its parameters are still to come
  integer file, out, results = 0, stalled = 0, busy = 0, moved = 0, seen = 0, excused = 0;
  integer loading = 0; // beats of w that still come before those of a
  time began;

  initial begin
    file = $fopen("o.bin", "rb");
    moved = $fread(takes, file);
    $fclose(file);
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
  wire answered = o_valid & (state != START);
  wire together = `LOADS == 0;
  wire loads = loading != 0;
  wire missing = (state == FINISH) & wants & ~p_valid;
  wire starved = missing | (state == CLEAR) & ~p_valid | (state == ENTER) & (~a_valid & ~loads | ~w_valid & (together | loads));
  wire stall = ~`OVERLAPS & (starved | answered & ~o_ready);
  wire smooth = (state == ENTER) & together & a_taken & w_taken & ~a_last & ~o_valid;

  generate
    if (!`CLEARS)
      always @(posedge clk)
        wants <= (state == START) | (state == FINISH) & answered & o_ready & ending | wants & ~p_taken;
  endgenerate

  always @(posedge clk)
    if (smooth !== 1'b1) begin // else operands enter and nothing else happens: what is common is quick
      if (stall) begin
        stalled = stalled + 1;
        if (stalled[10:0] == 0) begin
          look(excused);
          excused = moved;
        end
      end else begin
        busy = busy + 1;
        if (busy[10:0] == 0) begin
          look(seen);
          seen = moved;
        end
        case (state)
          START: begin
            rst <= busy < 4 || busy == RESET - 1;
            hold <= busy >= 4 && busy < RESET - 1;
            if (busy == RESET) begin
              state <= `CLEARS ? CLEAR : ENTER;
              o_ready <= pause == 0;
              began = $time;
            end
          end
          CLEAR:
            if (p_taken) begin
              state <= ENTER;
              loading <= `LOADS;
            end
          ENTER:
            if (loads) begin
              if (w_taken) loading <= loading - 1;
            end else if (a_taken && a_last && (w_taken || !together)) state <= FINISH;
          FINISH: if (answered && ending) state <= `CLEARS ? CLEAR : ENTER;
        endcase
      end
      if (answered) begin
        if (o_ready) begin
          $fwrite(out, "%b%b\n", o_last, o_payload);
          results = results + 1;
          take = takes[results];
          pause <= take[15:8];
          ending <= take[0];
          o_ready <= take[15:8] == 0;
          if (results == `O_BEATS) finish;
        end else begin
          pause <= pause - 8'd1;
          o_ready <= pause <= 8'd1;
        end
      end
    end

  // A design that hangs is never smooth: nothing has moved in 2,048 cycles of the kind that asks, stalled or busy.
  task look(input integer earlier);
    begin
      moved = a.at + w.at + results;
      if (moved == earlier) finish;
    end
  endtask

  task finish;
    begin
      $fclose(out);
      file = $fopen("outcome.txt", "w");
      $fwrite(file, "%0d %0d\n", ($time - began) / 2, stalled);
      $fclose(file);
      $finish;
    end
  endtask
endmodule
