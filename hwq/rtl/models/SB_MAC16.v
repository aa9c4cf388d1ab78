// What the emitted designs use of Lattice's SB_MAC16 (FPGA-TN-02007), for simulation: O = A * B, or the sum of that and O
// or {C, D}; both signed, one or no register before the multiplier and after it, one after the sum, whose halves have
// pins and parameters of their own. A synthesiser knows the block and is not given this file.
module SB_MAC16 #(
  parameter A_REG = 0, parameter B_REG = 0, parameter PIPELINE_16x16_MULT_REG2 = 0,
  parameter A_SIGNED = 0, parameter B_SIGNED = 0,
  parameter TOPOUTPUT_SELECT = 0, parameter BOTOUTPUT_SELECT = 0,
  parameter TOPADDSUB_LOWERINPUT = 0, parameter BOTADDSUB_LOWERINPUT = 0,
  parameter TOPADDSUB_UPPERINPUT = 0, parameter BOTADDSUB_UPPERINPUT = 0,
  parameter TOPADDSUB_CARRYSELECT = 0, parameter BOTADDSUB_CARRYSELECT = 0
) (
  input wire CLK, input wire CE,
  input wire [15:0] C, input wire [15:0] A, input wire [15:0] B, input wire [15:0] D,
  input wire AHOLD, input wire BHOLD, input wire CHOLD, input wire DHOLD,
  input wire IRSTTOP, input wire IRSTBOT, input wire ORSTTOP, input wire ORSTBOT,
  input wire OLOADTOP, input wire OLOADBOT, input wire ADDSUBTOP, input wire ADDSUBBOT,
  input wire OHOLDTOP, input wire OHOLDBOT, input wire CI, input wire ACCUMCI, input wire SIGNEXTIN,
  output wire [31:0] O
);
  reg [15:0] a_register;
  reg [15:0] b_register;
  reg [31:0] m_register;
  reg [15:0] top_register;
  reg [15:0] low_register;
  always @(posedge CLK or posedge IRSTTOP)
    if (IRSTTOP) a_register <= 0; else if (CE & ~AHOLD) a_register <= A;
  always @(posedge CLK or posedge IRSTBOT)
    if (IRSTBOT) b_register <= 0; else if (CE & ~BHOLD) b_register <= B;
  wire [15:0] a = A_REG != 0 ? a_register : A;
  wire [15:0] b = B_REG != 0 ? b_register : B;
  wire signed [16:0] a_signed = {A_SIGNED != 0 & a[15], a};
  wire signed [16:0] b_signed = {B_SIGNED != 0 & b[15], b};
  wire signed [33:0] product = a_signed * b_signed;
  always @(posedge CLK or posedge IRSTBOT)
    if (IRSTBOT) m_register <= 0; else if (CE) m_register <= product[31:0];
  wire [31:0] m = PIPELINE_16x16_MULT_REG2 != 0 ? m_register : product[31:0];
  wire [15:0] top_above = TOPADDSUB_UPPERINPUT != 0 ? C : top_register;
  wire [15:0] low_above = BOTADDSUB_UPPERINPUT != 0 ? D : low_register;
  wire [31:0] sum = {top_above, low_above} + m;  // as the inputs and carries are selected here
  always @(posedge CLK or posedge ORSTTOP)
    if (ORSTTOP) top_register <= 0; else if (CE & ~OHOLDTOP) top_register <= OLOADTOP ? C : sum[31:16];
  always @(posedge CLK or posedge ORSTBOT)
    if (ORSTBOT) low_register <= 0; else if (CE & ~OHOLDBOT) low_register <= OLOADBOT ? D : sum[15:0];
  assign O = {TOPOUTPUT_SELECT == 1 ? top_register : m[31:16], BOTOUTPUT_SELECT == 1 ? low_register : m[15:0]};
endmodule
