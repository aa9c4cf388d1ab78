// AMD's memory of four tables (user guide UG474, library guide UG953): 32 words of two bits each. A clock with WE writes all
// four at the address of D, and each is read at its own without a clock.
module RAM32M (
  input wire WCLK, WE,
  input wire [4:0] ADDRA, ADDRB, ADDRC, ADDRD,
  input wire [1:0] DIA, DIB, DIC, DID,
  output wire [1:0] DOA, DOB, DOC, DOD
);
  reg [1:0] a [0:31], b [0:31], c [0:31], d [0:31];
  integer at;
  initial for (at = 0; at < 32; at = at + 1) begin
    a[at] = 0; b[at] = 0; c[at] = 0; d[at] = 0; // as the part is configured where nothing else is said
  end
  always @(posedge WCLK) if (WE) begin
    a[ADDRD] <= DIA; b[ADDRD] <= DIB; c[ADDRD] <= DIC; d[ADDRD] <= DID;
  end
  assign DOA = a[ADDRA];
  assign DOB = b[ADDRB];
  assign DOC = c[ADDRC];
  assign DOD = d[ADDRD];
endmodule
