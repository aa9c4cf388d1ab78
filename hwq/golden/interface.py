"""The public side of a reference model: its header, and the functions that feed its texts."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from importlib.metadata import version

from hwq.bits import Word
from hwq.bits.cwords import declaration, wrapped
from hwq.datapath.steps import state
from hwq.formats import Format
from hwq.golden.ports import Model, Port, moving

__all__ = ["banner", "header", "interface", "struct"]

_STATE = {
    "acc": "the sum",
    "nan": "a nan, or infinity times zero, was met",
    "pinf": "an infinity was met",
    "ninf": "a negative infinity was met",
    "group": "the exact sum of a group that is not complete",
    "phase": "products in it",
}


def banner(model: Model, what: str) -> str:
    """The comment at the top of a file."""
    dp = model.dp
    texts = [str(dp)] + [dp.parametric()] * (dp.parametric() != str(dp))
    return "\n".join([f"/* hwq {version('hwq')}: {what} of", *(f" *     {text}" for text in texts), " */\n"])


def struct(name: str, words: Mapping[str, Word], comment: str) -> str:
    """A C struct of words with their ranges."""
    lines = [f"    {declaration(n, w)}; /* {', '.join(_extent(n, w))} */" for n, w in words.items()]
    return "\n".join([f"/* {comment} */", f"struct {name} {{", *lines, "};"]) + "\n"


def _extent(name: str, word: Word) -> list[str]:
    long = max(abs(word.lo), word.hi) >= 1 << 20
    extent = f"{word.width} bits{' with the sign' * word.signed}" if long else f"{word.lo} to {word.hi}"
    return [extent, _STATE[name]] if name in _STATE else [extent]


def header(model: Model) -> str:
    """The text of `<top>.h`."""
    top, guard = model.top, model.macro("H")
    sum_words = state(model.dp.mac).words
    parts = [
        banner(model, "reference model"),
        f"#ifndef {guard}\n#define {guard}\n\n#include <stddef.h>\n#include <stdint.h>\n",
        _constants(model),
        _conventions(model),
        '#ifdef __cplusplus\nextern "C" {\n#endif\n',
        struct(f"{top}_term", moving(model.term), f"An exact product, sig * 2**exp * 2**{model.dp.mac.product_lsb}."),
        struct(f"{top}_sum", sum_words, f"What the accumulator +{model.dp.mac.acc.text} remembers."),
        _state(model),
        *(f"{comment}\n{prototype};\n" for comment, prototype, _ in _functions(model)),
        f"#ifdef __cplusplus\n}}\n#endif\n\n#endif /* {guard} */\n",
    ]
    return "\n".join(parts)


def interface(model: Model) -> str:
    """The text of the public functions."""
    checks = [_reserved(p, f) for p, f in zip(model.operands, (model.dp.mac.a, model.dp.mac.w), strict=True)]
    return "\n".join([*filter(None, checks), *(f"{head}\n{{\n{body}\n}}\n" for _, head, body in _functions(model))])


def _constants(model: Model) -> str:
    ports = [*model.operands, *model.params, model.out]
    lines = [f"#define {model.macro('K')} {model.dp.mac.k} /* terms of a sum, at most */"]
    lines += [f"#define {model.macro('LANES')} {model.lanes} /* terms that are added together */"] * (model.lanes > 1)
    return "\n".join(lines + [f"#define {model.macro(f'{p.name.upper()}_BITS')} {p.bits}" for p in ports]) + "\n"


def _conventions(model: Model) -> str:
    """What every argument means."""
    lines = ["A code is an unsigned bit pattern; bits above those that it has are ignored."]
    if any(p.limbs for p in (*model.params, model.out)):
        lines.append("A code of more than 64 bits is an array of 32-bit words, the least significant first.")
    lines += [f"  {p.name}: a code of {p.meaning}" for p in model.operands]
    lines += [f"  {p.name}: {p.bits} bits, {p.meaning}" for p in model.params]
    lines.append(f"  out: a code of {model.out.meaning}")
    lines.append("Functions return 0, or 1 where nothing was computed: no term or too many of them, a reserved code.")
    text = "\n".join(textwrap.fill(line, 107, subsequent_indent="    ", break_on_hyphens=False) for line in lines)
    return "/* " + text.replace("\n", "\n * ") + "\n */\n"


def _state(model: Model) -> str:
    lanes = [
        f"    struct {model.top}_term lane[{model.macro('LANES')}];",
        "    size_t filled; /* lanes that wait for the others */",
    ]
    lines = [f"    struct {model.top}_sum sum;", *(lanes if model.lanes > 1 else [])]
    lines.append("    size_t terms; /* so far */")
    return "\n".join(["/* A sum in the making. */", f"struct {model.top}_state {{", *lines, "};"]) + "\n"


def _reserved(port: Port, fmt: Format) -> str:
    """A function that tells the patterns which are no code, where the format has some and they can be counted."""
    codes = [c for c in range(1 << fmt.bits) if fmt.reserved(c)] if fmt.bits <= 16 else []
    if not codes:
        return ""
    breaks = [j for j in range(1, len(codes)) if codes[j] != codes[j - 1] + 1]
    runs = [codes[i:j] for i, j in zip([0, *breaks], [*breaks, len(codes)], strict=True)]
    tests = [f"code == {r[0]}" if len(r) == 1 else f"(code >= {r[0]} && code <= {r[-1]})" for r in runs]
    text = wrapped(f"    return {' || '.join(tests)};")
    mask = [] if fmt.bits in (8, 16) else [f"    code = ({port.c_type}){port.masked('code')};"]
    head = f"static int reserved_{port.name}({port.c_type} code)"
    return "\n".join(["/* A bit pattern that no value has. */", head, "{", *mask, text, "}"]) + "\n"


def _functions(model: Model) -> Sequence[tuple[str, str, str]]:
    """(comment, head, body) of each public function."""
    return _clear(model), _mac(model), _result(model), _dot(model), _matmul(model)


def _head(model: Model, name: str, arguments: Sequence[str], kind: str = "int") -> str:
    return wrapped(f"{kind} {model.top}_{name}({', '.join(arguments)})")


def _clear(model: Model) -> tuple[str, str, str]:
    head = _head(model, "clear", [f"struct {model.top}_state *s"], "void")
    return "/* Begin a sum. */", head, "    memset(s, 0, sizeof *s);"


def _mac(model: Model) -> tuple[str, str, str]:
    head = _head(model, "mac", [f"struct {model.top}_state *s", *(p.argument for p in model.operands)])
    wrong = [f"s->terms >= {model.macro('K')}"]
    for port, fmt in zip(model.operands, (model.dp.mac.a, model.dp.mac.w), strict=True):
        wrong += [f"reserved_{port.name}({port.name})"] * bool(_reserved(port, fmt))
    one = "product(decode_a(a), decode_w(w))"
    if model.lanes == 1:
        add = [f"    s->sum = step(s->sum, {one});"]
    else:
        add = [
            f"    s->lane[s->filled++] = {one};",
            f"    if (s->filled == {model.macro('LANES')}) {{",
            "        s->sum = step(s->sum, s->lane);",
            "        s->filled = 0;",
            "    }",
        ]
    body = [f"    if ({' || '.join(wrong)})", "        return 1;", "    s->terms++;", *add, "    return 0;"]
    return "/* Add the product of two codes. */", head, "\n".join(body)


def _result(model: Model) -> tuple[str, str, str]:
    given = [p.name for p in model.params] + ["out"]
    arguments = [f"const struct {model.top}_state *s", *(p.argument for p in model.params), model.out.result]
    lines = ["    if (s->terms == 0)", "        return 1;"]
    if model.lanes > 1:
        lines = [
            f"    struct {model.top}_sum sum = s->sum;",
            *lines,
            "    if (s->filled > 0) { /* the lanes that are left hold zeros */",
            f"        struct {model.top}_term lane[{model.macro('LANES')}];",
            "        size_t i;",
            "        memcpy(lane, s->lane, sizeof lane);",
            f"        for (i = s->filled; i < {model.macro('LANES')}; i++)",
            "            memset(&lane[i], 0, sizeof lane[i]);",
            "        sum = step(sum, lane);",
            "    }",
        ]
    lines += [f"    finish({', '.join(['s->sum' if model.lanes == 1 else 'sum', *given])});", "    return 0;"]
    return "/* The result code of the sum so far. */", _head(model, "result", arguments), "\n".join(lines)


def _dot(model: Model) -> tuple[str, str, str]:
    a, w = model.operands
    arguments = [f"const {p.c_type} *{p.name}" for p in (a, w)] + ["size_t k"]
    arguments += [*(p.argument for p in model.params), model.out.result]
    lines = [
        f"    struct {model.top}_state s;",
        "    size_t i;",
        f"    {model.top}_clear(&s);",
        "    for (i = 0; i < k; i++)",
        f"        if ({model.top}_mac(&s, a[i], w[i]))",
        "            return 1;",
        f"    return {model.top}_result({', '.join(['&s', *(p.name for p in model.params), 'out'])});",
    ]
    return "/* The dot product of a[k] and w[k]. */", _head(model, "dot", arguments), "\n".join(lines)


def _matmul(model: Model) -> tuple[str, str, str]:
    pointers = [p.array for p in (*model.operands, *model.params)]
    arguments = [*pointers[:2], "size_t m", "size_t n", "size_t k", *pointers[2:], f"{model.out.c_type} *out"]
    place = f"out + {f'{model.out.limbs} * (i * n + j)' if model.out.limbs else 'i * n + j'}"
    given = ["a + i * k", "w + j * k", "k", *(p.element("j") for p in model.params), place]
    lines = [
        "    size_t i, j;",
        "    for (i = 0; i < m; i++)",
        "        for (j = 0; j < n; j++)",
        wrapped(f"            if ({model.top}_dot({', '.join(given)}))"),
        "                return 1;",
        "    return 0;",
    ]
    names = " and ".join(f"{p.name}[n]" for p in model.params)
    comment = f"/* out[m][n] of a[m][k] and w[n][k]{', with ' + names if names else ''}. */"
    return comment, _head(model, "matmul", arguments), "\n".join(lines)
