"""Random texts of formats and datapaths: valid, nearly valid, and not at all."""

from __future__ import annotations

from random import Random

from hwq import catalog
from hwq.datapath.presets import PRESETS
from hwq.formats.families import FAMILIES, find_families

ALPHABET = "0123456789abcdefghinopruxz(),=-+*/.[]@_ \t\n\x00\"'\\{}<>" + "٣４é²∞‮\u2028\ud7ff😀"
NUMBERS = ("0", "1", "-1", "00004", "1e9", "1e999999999", "9" * 30, "9" * 5000, "1/3", "0x8", "8_0", "٣", "nan", "")
NASTY = (
    *("", " ", "\n", "\x00", "(", ")", "()", "*", "->", "+", "@", "int(8)\n+1", "int8*int8 ->int8[\n]", "[zp]"),
    *("log(4,1e5000)", "log(1e99999999)", "log(4,1e-99999999)", "adalog(4,1_0)", "log(4,frac=٣)", "log(４)"),
    *("log(4,1/0)", "log(4,-0)", "tan(8,3/2,frac=1)", "power(8,frac=0)", f"log(4,{'9' * 5000})"),
    *("block(" * 2000 + "int8" + ",e8m0,32)" * 2000, "(" * 100_000, "block(block(int8,e8m0,32),e8m0,32)"),
    *("codebook(0,1,999999999999999999)", "codebook(1024,1,2)", "codebook(-99999,1,2)", f"codebook({'1,' * 70_000}2)"),
    *(
        "int(99999)",
        "uint(1)",
        "fp(11,52)",
        "fp(1,0)",
        "fp(4,3,bias=-9999)",
        "range(5,7)",
        "range(-9,-3)",
        "sm(64,1024)",
    ),
    *("int8*int8 k=" + "9" * 5000, "int8*int8 @" + "9" * 400 + "x1", "fp32*fp32", "int8*int8 +align(99,1,rtz)"),
    *("int8*int8 +fixed(8,-1024)", "int8*int8 ->int8[requant(uint(99))]", "int8*int8 ->mxint8", "int8*int8 +log4"),
)


def whole(r: Random, low: int, high: int) -> str:
    """Mostly in the range."""
    return str(r.randint(low, high)) if r.random() < 0.97 else r.choice(NUMBERS)


def some(r: Random, *options: str) -> str:
    """`,option` of each, seldom."""
    return "".join(f",{option}" for option in options if r.random() < 0.2)


def step(r: Random) -> str:
    return r.choice(("1/2", "1", "1/4", "0.75", "3/2", "2", f"{r.randint(1, 99)}/{r.randint(1, 64)}"))


def _integer(r: Random, word: str, places: int) -> str:
    frac = f",{whole(r, -6, 9)}" * (places - 1)
    more = some(r, "narrow", f"zp={r.randint(-9, 200)}", r.choice(("ovf=wrap", "ovf=sat")))
    return f"{word}({whole(r, 2, 24)}{frac}{more})"


def _float(r: Random) -> str:
    specials = r.choice(("", "", ",nan", ",inf", ",fnuz", ",p3109"))
    more = some(r, f"bias={r.randint(-3, 40)}", "nosub", "unsigned", "nozero", f"ovf={r.choice(('sat', 'nan', 'inf'))}")
    return f"fp({whole(r, 1, 6)},{whole(r, 0, 6)}{specials}{more})"


def _codebook(r: Random) -> str:
    return f"codebook({','.join(whole(r, -99, 99) for _ in range(r.randint(3, 17)))})"


def _call(r: Random, word: str) -> str:
    """Arguments of a family, by its word; those of a word that is not known here are any."""
    if word in ("int", "uint", "fixed", "ufixed"):
        return _integer(r, word, 1 + word.endswith("fixed"))
    return {
        "fp": lambda: _float(r),
        "sm": lambda: f"sm({whole(r, 2, 16)}{some(r, whole(r, 0, 8))})",
        "trit": lambda: "trit()",
        "trits": lambda: f"trits({','.join(whole(r, 1, 9) for _ in range(r.randint(1, 3)))})",
        "signs": lambda: f"signs({','.join(whole(r, 1, 9) for _ in range(r.randint(1, 4)))})",
        "range": lambda: f"range({whole(r, -40, 20)},{whole(r, -9, 60)})",
        "codebook": lambda: _codebook(r),
        "block": lambda: f"block({valid_format(r, False)},{_scale(r)},{whole(r, 1, 64)}{some(r, 'even', 'ceil')})",
    }.get(
        word, lambda: f"{word}({whole(r, 2, 6)}{some(r, step(r))}{some(r, 'axis', 'zero', f'frac={whole(r, 1, 20)}')})"
    )()


def _scale(r: Random) -> str:
    return r.choice(("e8m0", "ue4m3", "bf16", "fp16", "int8", "fp8_e4m3", valid_format(r, False)))


def valid_format(r: Random, blocks: bool = True) -> str:
    """A text that is likely to be a format."""
    find_families()
    words = sorted(FAMILIES if blocks else set(FAMILIES) - {"block"})
    return r.choice(tuple(catalog)) if r.random() < 0.2 else _call(r, r.choice(words))


def mutated(r: Random, text: str) -> str:
    for _ in range(r.choice((1, 1, 1, 2, 5))):
        at, to = sorted(r.randint(0, len(text)) for _ in range(2))
        letter, args = r.choice(ALPHABET), text.split(",")
        i, j = r.randrange(len(args)), r.randrange(len(args))
        args[i], args[j] = args[j], args[i]
        text = r.choice(
            (
                text[:at] + letter + text[at:],
                text[:at] + letter + text[at + 1 :],
                text[:at] + text[to:],
                text[:to] + text[at:],
                ",".join(args),
                text[:at] + r.choice(NUMBERS) + text[at:],
                text.upper(),
                f" {text}\t",
                f"block({text},{text},32)",
                text + r.choice((text, "[zp]", "()", "\n")),
            )
        )
    return text


def number_format(r: Random) -> str:
    kind = r.random()
    if kind < 0.02:
        return "".join(r.choices(ALPHABET, k=r.randint(0, 40)))
    return valid_format(r) if kind < 0.5 else mutated(r, valid_format(r))


def _accumulator(r: Random) -> str:
    modes = some(r, whole(r, -4, 20)) + some(r, r.choice(("wrap", "sat")), r.choice(("rne", "rtz")))
    fixed = f"fixed({whole(r, 2, 48)}{modes})"
    align = f"align({whole(r, 1, 32)},{whole(r, 4, 30)},{r.choice(('rtz', 'rne', 'rup'))}{some(r, 'fp16', 'rne')})"
    return r.choice(("exact", fixed, align, f"align({r.choice(tuple(PRESETS))})", "bf16", valid_format(r)))


def _output(r: Random) -> str:
    steps = [s for s in ("bias", f"requant{r.choice(('', '', '(uint(8))', '(uint(32))'))}", "relu") if r.random() < 0.3]
    return valid_format(r) + (f"[{','.join(steps)}]" if steps else "")


def operand(r: Random) -> str:
    """A block's code of zero takes a compiled text, so that those of the catalogue are enough."""
    return valid_format(r, False)


def datapath(r: Random) -> str:
    words = [f"{operand(r)}*{operand(r)}"]
    words += [f"+{_accumulator(r)}"] * (r.random() < 0.6) + [f"->{_output(r)}"] * (r.random() < 0.5)
    words += [f"@{whole(r, 1, 32)}x{whole(r, 1, 32)}"] * (r.random() < 0.3)
    options = (f"k={whole(r, 1, 99999)}", f"order=tree({whole(r, 2, 64)})", "decode=pe", "cut=mul", "cut=unpack,align")
    words += [o for o in (*options, f"round={r.choice(('rne', 'rna', 'sr', 'up'))}", "use=x") if r.random() < 0.1]
    text = " ".join(words)
    return text if r.random() < 0.5 else mutated(r, text)
