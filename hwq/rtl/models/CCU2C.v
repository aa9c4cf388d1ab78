// ECP5's carry cell as a row uses it: two tables of four inputs whose outputs pass the carry on (Lattice FPGA-TN-02217).
module CCU2C (
  input wire CIN,
  input wire A0, B0, C0, D0,
  input wire A1, B1, C1, D1,
  output wire S0, S1,
  output wire COUT
);
  parameter [15:0] INIT0 = 16'h0000;
  parameter [15:0] INIT1 = 16'h0000;
  parameter INJECT1_0 = "NO"; // "YES" breaks the chain, which a row never does
  parameter INJECT1_1 = "NO";
  wire pass0 = INIT0[{D0, C0, B0, A0}];
  wire pass1 = INIT1[{D1, C1, B1, A1}];
  wire made0 = INIT0[{2'b00, B0, A0}];
  wire made1 = INIT1[{2'b00, B1, A1}];
  wire middle = pass0 ? CIN : made0;
  assign S0 = pass0 ^ CIN;
  assign S1 = pass1 ^ middle;
  assign COUT = pass1 ? middle : made1;
endmodule
