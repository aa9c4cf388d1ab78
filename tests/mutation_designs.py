"""What is given faults: datapaths of every kind, and the files of the generator."""

# A datapath of every kind: dataflows, lanes, flags, kinds of sums and of products, epilogues, cuts
DESIGNS = [
    "int8*int8 +fixed(32) @2x2",
    "int8*int4 +fixed(20) @3x2x2",
    "int8*int4 ->int8[bias,requant,relu] @3x2x2/ws k=6 cut=mul,requant",
    "int8*ternary +fixed(20) @2x2x4/tree cut=mul",
    "fp8_e4m3*fp8_e4m3 +fixed(48) ->fp8_e4m3[bias] cut=mul,align",
    "fp8_e5m2*fp8_e5m2 ->fp16[bias]",
    "fp8_e4m3*fp8_e4m3 +bf16",
    "int4*int4 +fixed(16) ->int4[bias,requant,relu] @2x1",
    "fp8_e5m2*int4 +fixed(40) ->fp16[bias] @2x2/ws k=2 round=sr",
    "int8*ternary +fixed(20) decode=pe",
    "fp4_e2m1*fp4_e2m1 +fixed(20) ->fp4_e2m1[requant]",
    "int8*int8 +fixed(16,sat)",
    "fp8_e4m3*fp8_e4m3 +bf16 @1x1x2 order=tree(2)",
    "fp8_e4m3*int4 +align(4,25,rtz) ->bf16 @1x1x4",
    # small, for the proof of what is none to close: most of what it resets is taken before it is read
    "int2*int2 +fixed(6) ->int2[bias,requant(uint(2))] @2x2/ws k=2 cut=unpack,bias use=double",
]
OUTPUTS = ("int8", "uint4", "fp8_e5m2", "fp4_e2m1")
# Others that a fault of the generator may be seen in: the fabrics, and what the kinds above have none of
ELSEWHERE = [
    ("int8*int8 +fixed(32)", "xc7"),
    ("int4*int4 +fixed(16) ->int4[bias,relu]", "ecp5"),
    ("int4*int4 +fixed(16) ->int4[bias,requant] @1x2 cut=unpack,mul1,mul,bias", "ge"),
    ("int8*int4 +fixed(24) ->int8[bias]", "nangate45"),
    ("fp6_e2m3*int3 +fixed(20) @1x2x2", "ge"),
    ("fp6_e3m2*fp6_e3m2 ->fp6_e3m2[requant] @1x2x2/tree cut=unpack,mul1", "xc7"),
    ("uint8*int8 +fixed(24) ->uint8[bias,requant(uint(8)),relu] @1x3 k=20 cut=act", "portable"),
    ("int8*ternary +fixed(20) @1x4", "ecp5"),
    ("fp8_e5m2*fp8_e4m3 +fixed(24,6,sat,rne) ->fp8_e5m2 @3x1 cut=unpack round=rtz", "portable"),
    ("nf4*int8 +fixed(30) ->bf16", "portable"),
    ("fp4_e2m1*fp4_e2m1 +fixed(20) use=rows", "xc7"),
    ("fp6_e2m3*fp4_e2m1 +fixed(24) @4x1 decode=pe", "ecp5"),
    ("int8*int8 +bf16 @3x2/ws k=3", "portable"),
    ("signs(1)*signs(1) @2x2", "portable"),
    ("int8*int8 +fixed(48) @1x2 cut=mul use=dsp", "xc7"),
    ("uint8*int8 +fixed(24) @2x2 cut=mul use=dsp2", "xc7"),
    ("int4*int4 +fixed(16) @2x2 use=dsp4", "xcup"),
    ("int16*int3 +fixed(30) @5x1x2", "portable"),
    ("int4*int4 @1x3/ws k=1 decode=pe cut=unpack", "portable"),
    ("fp4_e2m1*fp4_e2m1 +fixed(20) @2x2x8", "portable"),
    ("int4*int(6) +fixed(16) @2x4 use=gated cut=mul1,mul", "ecp5"),
]
# More of those, for a fault that none of the others shows: only their bytes are compared
WIDE = [
    *(
        (text, "xc7")
        for text in (
            *(
                f"{name}*{name}"
                for name in ("int2", "uint8", "binary", "fp8_e5m2", "fp8_e4m3fnuz", "fp6_e3m2", "log4", "fp8_e5m2fnuz")
            ),
            *(
                f"{name}*int4 +fixed(40) @2x1x2"
                for name in ("uint(5)", "fp(4,4)", "fp(3,4,nosub)", "fp6_e2m3", "nf4", "int16")
            ),
            *(
                f"int8*int5 +fixed(24) @{shape} cut=mul1"
                for shape in ("1x1", "1x5", "4x2/ws k=4", "2x3x2/tree", "5x2x3")
            ),
            *(
                f"fp(2,4)*int3 +{acc} ->{out}"
                for acc in ("exact", "fixed(14,1)", "bf16", "fixed(18,3,sat,rtz)")
                for out in OUTPUTS
            ),
            *(
                f"int4*int4 +fixed(16) ->{out}[bias,requant,relu] round={mode}"
                for out in OUTPUTS
                for mode in ("rne", "rtz", "sr")
            ),
            *(
                f"fp8_e5m2*fp8_e4m3 +align({lanes},{bits},rne) @1x1x{lanes}"
                for lanes, bits in ((1, 25), (2, 24), (8, 30))
            ),
        )
    ),
    *(
        (text, "xcup")
        for text in (
            "fp(4,3,inf)*fp6_e3m2 +fixed(48) @3x2/ws k=3 cut=mul use=dsp",
            "uint8*int4 @2x3/tree use=dsp",
            "int8*int8 +fixed(32) @2x3 cut=unpack,mul use=dsp",
            "fp6_e2m3*fp6_e2m3 @2x2/tree use=dsp2",
            "uint4*int4 +fixed(20) ->fp8_e5m2[bias,relu] @2x4 use=dsp4",
            "fp8_e5m2*fp8_e5m2 ->fp8_e5m2[relu] @2x1",
        )
    ),
]
REFUSED = [
    ("fp8_e4m3*fp8_e4m3 +bf16 order=tree(4)", "xc7"),
    ("int8*int8 +align(8,24,rtz)", "xc7"),
    ("fp8_e4m3*fp8_e4m3 +align(4,10,rtz) @1x1x4", "xc7"),
    ("signs(1)*signs(1) @1x1x2", "xc7"),
    ("signs(1)*signs(1) decode=pe", "xc7"),
    ("int8*int8 use=table", "xc7"),
    ("fp4_e2m1*fp4_e2m1 use=table,rows", "xc7"),
    ("fp8_e4m3*fp4_e2m1 use=table", "xc7"),
    ("int4*int4 use=nothing", "xc7"),
    ("int8*int8 +fixed(32) @1x1x2 use=dsp", "xc7"),
    ("int8*int8 +fixed(32) cut=mul1 use=dsp", "xc7"),
    ("int8*int8 +fixed(32) @3x1 use=dsp2", "xc7"),
    ("int8*int8 +fixed(32) use=dsp", "ecp5"),
]
GENERATOR = [
    *(f"bits/{name}.py" for name in ("rows", "sums", "netlist", "shifts", "compress", "gated")),
    *(f"datapath/{name}.py" for name in ("plans", "elements", "segments", "steps", "operand", "schedule", "variants")),
    *(f"rtl/{name}.py" for name in ("cells", "wires", "blocks", "edges", "array", "grid", "control", "doubled")),
]
