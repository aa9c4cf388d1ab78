"""Texts printed as C equal their definition: random graphs of every operation, to 300 bits, of either sign."""

from __future__ import annotations

import subprocess
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest

from hwq.bits import OPS, Word, const, evaluate, lookup, maximum, minimum, mux, negate_if, topological, variable
from hwq.bits.csource import Body
from hwq.bits.cwide import library
from hwq.bits.cwords import c_size

COMPILE = ("cc", "-std=c99", "-Wall", "-Wextra", "-Werror", "-pedantic")
WIDEST = 300  # bits of a word
LIMBS = 12  # of an argument of the printed functions
POINTS = 25  # of each graph
INCLUDES = "#include <inttypes.h>\n#include <stddef.h>\n#include <stdio.h>\n#include <string.h>\n\n"


def number(rng: Random, bits: int) -> int:
    """Of any length to so many bits, often with long runs of equal bits."""
    magnitude = rng.getrandbits(bits) >> rng.randrange(bits) if rng.random() < 0.5 else (1 << rng.randrange(bits)) - 1
    return rng.choice((-1, 1)) * (magnitude + rng.choice((-1, 0, 1)))


def drawn(rng: Random, word: Word) -> int:
    if rng.random() < 0.3:
        return rng.choice((word.lo, word.hi, min(word.lo + 1, word.hi), max(word.hi - 1, word.lo)))
    near = rng.choice((word.lo, word.hi, 0)) + number(rng, word.width)
    return near if word.lo <= near <= word.hi else rng.randint(word.lo, word.hi)


def inputs(rng: Random) -> list[Word]:
    found = []
    for name in "xyz":
        bits = rng.choice((1, 2, 7, 8, 16, 30, 31, 32, 33, 48, 62, 63, 64, 65, 95, 96, 97, 128, 200, 290))
        lo, hi = sorted((number(rng, bits), number(rng, bits)))
        half = 1 << (bits - 1)
        lo, hi = rng.choice(((lo, hi + 1), (-half, half - 1), (0, 2 * half - 1), (0, half), (-half, 0)))
        found.append(variable(name, lo, hi))
    return found


def natural(word: Word, bits: int) -> Word:
    return word if word.lo >= 0 and word.hi < 1 << bits else word.low(bits)


STEPS: dict[str, Callable[[Random, Word, Word], Word]] = {
    "add": lambda rng, x, y: x + y + number(rng, 40) if rng.random() < 0.5 else x + y - x * 3,
    "sub": lambda rng, x, y: x - y,
    "mul": lambda rng, x, y: x * y,
    "scale": lambda rng, x, y: x * number(rng, 20),
    "neg": lambda rng, x, y: rng.choice((-x, negate_if(x, y < 3), negate_if(x, y.low(1)))),
    "shl": lambda rng, x, y: x << rng.choice((const(rng.randrange(70)), y.low(rng.randrange(1, 6)))),
    "excess": lambda rng, x, y: natural(x, rng.randrange(1, 250)).excess(rng.randrange(100)),
    "lost": lambda rng, x, y: x.lost(rng.choice((const(rng.randrange(1, 200)), y.low(rng.randrange(1, 9))))),
    "shr": lambda rng, x, y: x >> rng.choice((const(rng.randrange(70)), y.low(rng.randrange(1, 9)))),
    "and": lambda rng, x, y: natural(x, rng.randrange(1, 280)) & natural(y, rng.randrange(1, 280)),
    "or": lambda rng, x, y: natural(x, rng.randrange(1, 280)) | natural(y, rng.randrange(1, 280)),
    "xor": lambda rng, x, y: natural(x, rng.randrange(1, 280)) ^ natural(y, rng.randrange(1, 280)),
    "lt": lambda rng, x, y: rng.choice((x < y, x < drawn(rng, x), x >= y)),
    "eq": lambda rng, x, y: rng.choice((x.eq(y), x.eq(drawn(rng, x)))),
    "mux": lambda rng, x, y: mux(rng.choice((x < y, x.low(1), x.low(1) * y.low(1))), x, y),
    "ends": lambda rng, x, y: rng.choice((maximum(x, y), minimum(x, y), x.clamp(*sorted((drawn(rng, x), 5))))),
    "low": lambda rng, x, y: x.low(rng.choice((1, 8, 31, 32, 33, 63, 64, 65, 96, rng.randrange(1, 280)))),
    "wrap": lambda rng, x, y: x.wrap(rng.choice((1, 8, 31, 32, 33, 63, 64, 65, 96, rng.randrange(1, 280)))),
    "lookup": lambda rng, x, y: lookup(x.low(3), [number(rng, rng.choice((8, 33, 120))) for _ in range(8)]),
    "within": lambda rng, x, y: (x * x).within(0, (x * x).hi),
    "stage": lambda rng, x, y: x.stage("mul"),
}


def graph(rng: Random) -> list[Word]:
    words = inputs(rng)
    size = rng.randrange(3, 25)
    while len(words) < size:
        x, y = (rng.choice(words[-6:]) for _ in range(2))
        word = STEPS[rng.choice(sorted(STEPS))](rng, x, y)
        if word.width <= WIDEST:
            words.append(word)
    return words


def loaded(word: Word) -> str:
    """C that reads input x, y or z of the printed function into the word's type."""
    place = f"in[{'xyz'.index(str(word.attr))}]"
    return place if c_size(word) > 64 else f"((int{c_size(word)}_t)wide_get({place}))"


def printed(name: str, words: list[Word], functions: set[str]) -> str:
    """A C function of inputs and outputs in limbs."""
    order = topological(words)
    body = Body(words, {str(w.attr): loaded(w) for w in order if w.op == "var"})
    stores = []
    for j, word in enumerate(words):
        size = c_size(word)
        target = f"out{j}" if size > 64 else f"const int{size}_t out{j}"
        stores += [f"    uint32_t out{j}[{size // 32}];"] if size > 64 else []
        before = len(body.lines)
        body.assign(target, word)
        stores += body.lines[before:]
        del body.lines[before:]
        call = (
            f"wide_extend(out[{j}], out{j}, {size // 32}, {LIMBS})"
            if size > 64
            else f"wide_set(out[{j}], out{j}, {LIMBS})"
        )
        stores.append(f"    {call};")
    functions |= body.functions
    head = f"static void {name}(uint32_t in[3][{LIMBS}], uint32_t out[][{LIMBS}])\n{{\n    (void)in;\n"
    return head + "\n".join([*body.lines, *stores]) + "\n}\n"


MAIN = """
int main(void)
{{
    static uint32_t in[3][{limbs}], out[64][{limbs}];
    int which, count, i, j;
    while (scanf("%d %d", &which, &count) == 2) {{
        for (i = 0; i < 3; i++)
            for (j = 0; j < {limbs}; j++)
                if (scanf("%" SCNx32, &in[i][j]) != 1)
                    return 1;
        run[which](in, out);
        for (i = 0; i < count; i++, putchar('\\n'))
            for (j = {limbs} - 1; j >= 0; j--)
                printf("%08" PRIx32, out[i][j]);
    }}
    return 0;
}}
"""


def program(graphs: list[list[Word]]) -> str:
    functions = {"wide_get", "wide_set", "wide_extend"}
    texts = [printed(f"graph{j}", words, functions) for j, words in enumerate(graphs)]
    table = ", ".join(f"graph{j}" for j in range(len(graphs)))
    array = f"static void (*const run[])(uint32_t in[3][{LIMBS}], uint32_t out[][{LIMBS}]) = {{{table}}};\n"
    return INCLUDES + library(functions) + "\n" + "\n".join(texts) + "\n" + array + MAIN.format(limbs=LIMBS)


def limbs(value: int) -> str:
    return " ".join(f"{(value >> 32 * j) & 0xFFFFFFFF:x}" for j in range(LIMBS))


def ran(folder: Path, graphs: list[list[Word]], points: list[list[dict[str, int]]], *options: str) -> list[list[int]]:
    """What the compiled graphs give at their points, every word of each."""
    (folder / "graphs.c").write_text(program(graphs), encoding="utf-8")
    subprocess.run([*COMPILE, *options, "graphs.c", "-o", "graphs"], cwd=folder, check=True)
    asked = [
        f"{j} {len(words)} " + " ".join(limbs(point[name]) for name in "xyz")
        for j, words in enumerate(graphs)
        for point in points[j]
    ]
    done = subprocess.run(["./graphs"], cwd=folder, input="\n".join(asked), capture_output=True, text=True, check=True)
    assert done.stderr == ""  # of the sanitizer
    lines = iter(done.stdout.splitlines())
    top = 1 << 32 * LIMBS
    found = [[[int(next(lines), 16) for _ in words] for _ in points[j]] for j, words in enumerate(graphs)]
    return [[[v - top if v >= top // 2 else v for v in row] for row in rows] for rows in found]


@pytest.mark.parametrize("seed", range(3))
def test_random_graphs_in_c_are_their_definition(tmp_path: Path, seed: int) -> None:
    rng = Random(seed)
    graphs = [graph(rng) for _ in range(80)]
    points = [[{str(v.attr): drawn(rng, v) for v in words[:3]} for _ in range(POINTS)] for words in graphs]
    used = Counter(w.op for words in graphs for w in topological(words))
    widths = {w.width for words in graphs for w in words}
    assert set(used) == set(OPS) and min(used.values()) >= 4
    assert min(widths) == 1 and max(widths) > 290
    found = ran(tmp_path, graphs, points, "-O1", "-fsanitize=undefined", "-fno-sanitize-recover=undefined")
    compared = 0
    for words, at, rows in zip(graphs, points, found, strict=True):
        for point, row in zip(at, rows, strict=True):
            assert row == [int(v) for v in evaluate(words, point)], point
            compared += len(row)
    assert compared > 80 * POINTS * 5
