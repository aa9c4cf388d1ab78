// AMD's table of two outputs (user guide UG474, library guide UG953): O6 of six inputs, O5 of the lower five.
module LUT6_2 (
  input wire I0, I1, I2, I3, I4, I5,
  output wire O6, O5
);
  parameter [63:0] INIT = 64'h0;
  assign O6 = INIT[{I5, I4, I3, I2, I1, I0}];
  assign O5 = INIT[{1'b0, I4, I3, I2, I1, I0}];
endmodule
