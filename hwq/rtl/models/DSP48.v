// What the emitted designs use of AMD's $name (user guide $guide), for simulation: P = (A or A + D) * B + (P or C or 0),
// one or no register before and after the multiplier and after the sum. A synthesiser knows the block and is not given
// this file.
module $name #(
  parameter AREG = 1, parameter BREG = 1, parameter MREG = 1, parameter PREG = 1, parameter CREG = 1,
  parameter ACASCREG = 1, parameter BCASCREG = 1, parameter OPMODEREG = 1, parameter ALUMODEREG = 1,
  parameter INMODEREG = 1, parameter CARRYINREG = 1, parameter CARRYINSELREG = 1, parameter DREG = 1, parameter ADREG = 1,
  parameter $preadder = "$off"
) (
  input wire CLK,
  input wire [29:0] A,
  input wire [17:0] B,
  input wire [47:0] C,
  input wire [$wide:0] D,
  input wire [29:0] ACIN,
  input wire [17:0] BCIN,
  input wire [47:0] PCIN,
  input wire [$modes:0] OPMODE,
  input wire [3:0] ALUMODE,
  input wire [4:0] INMODE,
  input wire [2:0] CARRYINSEL,
  input wire CARRYIN, input wire CARRYCASCIN, input wire MULTSIGNIN,
  input wire CEA1, input wire CEA2, input wire CEAD, input wire CEALUMODE, input wire CEB1, input wire CEB2,
  input wire CEC, input wire CECARRYIN, input wire CECTRL, input wire CED, input wire CEINMODE, input wire CEM,
  input wire CEP,
  input wire RSTA, input wire RSTALLCARRYIN, input wire RSTALUMODE, input wire RSTB, input wire RSTC, input wire RSTCTRL,
  input wire RSTD, input wire RSTINMODE, input wire RSTM, input wire RSTP,
  output wire [47:0] P
);
  reg signed [$wide:0] a_register;
  reg signed [$wide:0] d_register;
  reg [4:0] mode_register;
  reg signed [17:0] b_register;
  reg signed [$product:0] m_register;
  reg [47:0] p_register;
  always @(posedge CLK) if (RSTA) a_register <= 0; else if (CEA2) a_register <= A[$wide:0];
  always @(posedge CLK) if (RSTD) d_register <= 0; else if (CED) d_register <= D;
  always @(posedge CLK) if (RSTINMODE) mode_register <= 0; else if (CEINMODE) mode_register <= INMODE;
  always @(posedge CLK) if (RSTB) b_register <= 0; else if (CEB2) b_register <= B;
  wire signed [$wide:0] a = AREG ? a_register : A[$wide:0];
  wire signed [$wide:0] d = DREG ? d_register : D;
  wire [4:0] mode = INMODEREG ? mode_register : INMODE;
  wire signed [17:0] b = BREG ? b_register : B;
  wire signed [$wide:0] both = $preadder != "$on" || mode == 5'd0 ? a : mode == 5'd4 ? d + a : {$side{1'bx}};
  wire signed [$product:0] product = both * b;
  always @(posedge CLK) if (RSTM) m_register <= 0; else if (CEM) m_register <= product;
  wire signed [$product:0] m = MREG ? m_register : product;
  wire [47:0] z = OPMODE == ${mode}0110101 ? C : OPMODE == ${mode}0100101 ? p_register : OPMODE == ${mode}0000101 ? 48'd0 : 48'bx;
  wire [47:0] sum = z + {{$signs{m[$product]}}, m};
  always @(posedge CLK) if (RSTP) p_register <= 0; else if (CEP) p_register <= sum;
  assign P = PREG ? p_register : sum;
endmodule
