// AMD's carry chain of a slice (user guide UG474): S passes the carry on, else DI is the next one. CYINIT starts a chain.
module CARRY4 (
  input wire CI, CYINIT,
  input wire [3:0] DI, S,
  output wire [3:0] O, CO
);
  wire start = CI | CYINIT;
  wire first = S[0] ? start : DI[0];
  wire second = S[1] ? first : DI[1];
  wire third = S[2] ? second : DI[2];
  assign O = S ^ {third, second, first, start};
  assign CO = {S[3] ? third : DI[3], third, second, first};
endmodule
