// What the emitted designs use of AMD's DSP58 (manual AM004), for simulation: P = A * B + (P or C or 0), or in INT8 mode
// P = A0 * B0 + A1 * B1 + A2 * B2 + (P or C or 0), of three numbers of 9 bits in A and three of 8 bits in B, the first
// lowest; all signed, one or no register before and after the multipliers and after the sum. A synthesiser knows the
// block and is not given this file.
module DSP58 #(
  parameter DSP_MODE = "INT24",
  parameter AREG = 1, parameter BREG = 1, parameter MREG = 1, parameter PREG = 1, parameter CREG = 1,
  parameter ACASCREG = 1, parameter BCASCREG = 1, parameter OPMODEREG = 1, parameter ALUMODEREG = 1,
  parameter INMODEREG = 1, parameter CARRYINREG = 1, parameter CARRYINSELREG = 1, parameter DREG = 1, parameter ADREG = 1
) (
  input wire CLK,
  input wire [33:0] A,
  input wire [23:0] B,
  input wire [57:0] C,
  input wire [26:0] D,
  input wire [33:0] ACIN,
  input wire [23:0] BCIN,
  input wire [57:0] PCIN,
  input wire [8:0] OPMODE,
  input wire [3:0] ALUMODE,
  input wire [4:0] INMODE,
  input wire [2:0] NEGATE,
  input wire [2:0] CARRYINSEL,
  input wire CARRYIN, input wire CARRYCASCIN, input wire MULTSIGNIN,
  input wire CEA1, input wire CEA2, input wire CEAD, input wire CEALUMODE, input wire CEB1, input wire CEB2,
  input wire CEC, input wire CECARRYIN, input wire CECTRL, input wire CED, input wire CEINMODE, input wire CEM,
  input wire CEP,
  input wire RSTA, input wire RSTALLCARRYIN, input wire RSTALUMODE, input wire RSTB, input wire RSTC, input wire RSTCTRL,
  input wire RSTD, input wire RSTINMODE, input wire RSTM, input wire RSTP, input wire ASYNC_RST,
  output wire [57:0] P
);
  reg signed [26:0] a_register;
  reg signed [23:0] b_register;
  reg signed [50:0] m_register;
  reg [57:0] p_register;
  always @(posedge CLK) if (RSTA) a_register <= 0; else if (CEA2) a_register <= A[26:0];
  always @(posedge CLK) if (RSTB) b_register <= 0; else if (CEB2) b_register <= B;
  wire signed [26:0] a = AREG ? a_register : A[26:0];
  wire signed [23:0] b = BREG ? b_register : B;
  wire signed [8:0] a0 = a[8:0];
  wire signed [8:0] a1 = a[17:9];
  wire signed [8:0] a2 = a[26:18];
  wire signed [7:0] b0 = b[7:0];
  wire signed [7:0] b1 = b[15:8];
  wire signed [7:0] b2 = b[23:16];
  wire signed [50:0] one = a * b;
  wire signed [50:0] three = a0 * b0 + a1 * b1 + a2 * b2;
  wire signed [50:0] product = DSP_MODE == "INT8" ? three : one;
  always @(posedge CLK) if (RSTM) m_register <= 0; else if (CEM) m_register <= product;
  wire signed [50:0] m = MREG ? m_register : product;
  wire [57:0] z = OPMODE == 9'b000110101 ? C : OPMODE == 9'b000100101 ? p_register : OPMODE == 9'b000000101 ? 58'd0 : 58'bx;
  wire [57:0] sum = z + {{7{m[50]}}, m};
  always @(posedge CLK) if (RSTP) p_register <= 0; else if (CEP) p_register <= sum;
  assign P = PREG ? p_register : sum;
endmodule
