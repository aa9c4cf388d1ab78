// The bench of a unit: codes from a file through the design, every result into a file.
//
// Macros: BENCH, this module; TOP, the design; X_BITS, O_BITS, the widths of its codes; BEATS, how many there are;
// IN, TAKES, FLIGHT, OUT, COUNT, the files. Of IN a line is a beat: {cycles of pause before it, 16 bits; its last; its
// code}; of TAKES, the cycles of pause before a result is taken; FLIGHT has the cycle of a reset in the midst of them,
// after which they come anew; of OUT a line is last and code of a result in bits; COUNT has the cycles from the first
// code to the last result, both counted. `done` is 1 when all results have come, or none for a long time.
module `BENCH (input wire clk, output reg done);
  localparam QUIET = 5000; // cycles without a result after which the design hangs

  reg [`X_BITS+16:0] beats [0:`BEATS-1];
  reg [15:0] takes [0:`BEATS-1];
  reg [31:0] flight [0:0];
  reg rst = 1, live = 0, ready = 0, armed = 0;
  reg [15:0] pause = 0, hold = 0;
  integer at = 0, results = 0, cycle = 0, elapsed = 0, quiet = 0, out;

  wire x_ready, o_valid, o_last;
  wire [`O_BITS-1:0] o_payload;
  wire [`X_BITS+16:0] beat = beats[at];

  // what is shown while nothing is offered is wrong on purpose
  `TOP dut (
    .clk(clk), .rst(rst),
    .x_valid(live), .x_ready(x_ready), .x_payload(live ? beat[`X_BITS-1:0] : ~beat[`X_BITS-1:0]),
    .x_last(live ? beat[`X_BITS] : ~beat[`X_BITS]),
    .o_valid(o_valid), .o_ready(ready), .o_payload(o_payload), .o_last(o_last)
  );

  initial begin
    done = 0;
    $readmemh(`IN, beats);
    $readmemh(`TAKES, takes);
    $readmemh(`FLIGHT, flight);
    out = $fopen(`OUT, "w");
  end

  task finish;
    begin
      $fclose(out);
      out = $fopen(`COUNT, "w");
      $fdisplay(out, "%0d", elapsed);
      $fclose(out);
      done <= 1;
    end
  endtask

  always @(posedge clk) begin
    cycle <= cycle + 1;
    rst <= cycle < 3 || cycle == flight[0];
    if (rst) begin
      armed <= cycle > 4;
      at <= 0;
      live <= beats[0][`X_BITS+16:`X_BITS+1] == 0;
      pause <= beats[0][`X_BITS+16:`X_BITS+1];
      ready <= takes[0] == 0;
      hold <= takes[0];
    end else begin
      if (live && x_ready) begin
        live <= at + 1 < `BEATS && beats[at + 1 < `BEATS ? at + 1 : at][`X_BITS+16:`X_BITS+1] == 0;
        pause <= at + 1 < `BEATS ? beats[at + 1][`X_BITS+16:`X_BITS+1] : 16'd0;
        if (at + 1 < `BEATS) at <= at + 1;
      end else if (!live && pause != 0) begin
        live <= pause == 1;
        pause <= pause - 1;
      end
      if (!ready) begin
        ready <= hold <= 1;
        hold <= hold - 1;
      end
      quiet = quiet + 1;
      if (armed && !done) begin
        elapsed = elapsed + 1;
        if (o_valid && ready) begin
          $fdisplay(out, "%b%b", o_last, o_payload);
          results = results + 1;
          quiet = 0;
          if (results == `BEATS) finish;
          else if (takes[results] != 0) begin
            ready <= 0;
            hold <= takes[results];
          end
        end
      end
      if (quiet > QUIET && !done) finish;
    end
  end
endmodule
