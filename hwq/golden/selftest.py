"""The program that runs a reference model on its vectors, and the makefile that builds it."""

from __future__ import annotations

from collections.abc import Sequence

from hwq.golden.interface import banner
from hwq.golden.ports import Model, Port

__all__ = ["MAKEFILE", "selftest"]

# One makefile serves every model of a folder.
MAKEFILE = """\
# make check: builds each reference model of this folder with its self-test, and runs it on the model's vectors.
CC ?= cc
CFLAGS ?= -O2
STRICT = -std=c99 -Wall -Wextra -Werror -pedantic
TESTS = $(patsubst %.c,%,$(wildcard hwq_*_test.c))

.PHONY: check clean
check: $(TESTS)
\t@for test in $(TESTS); do ./$$test || exit 1; done

%_test: %_test.c %.c %.h %_dpi.c
\t$(CC) $(STRICT) $(CFLAGS) $*_test.c $*.c $*_dpi.c -o $@

clean:
\trm -f $(TESTS)
"""

_READERS = """
static FILE *file;

/* The next number, hexadecimal, as 32-bit words, the least significant first; 0 at the end of the file. */
static int number(uint32_t *words, int n)
{
    char text[512];
    int length, i;
    if (fscanf(file, "%511s", text) != 1)
        return 0;
    for (i = 0; i < n; i++)
        words[i] = 0;
    for (length = (int)strlen(text), i = 0; i < length && i < 8 * n; i++) {
        const char digit = text[length - 1 - i];
        const int value = digit <= '9' ? digit - '0' : digit - 'a' + 10;
        words[i / 8] |= (uint32_t)value << (4 * (i % 8));
    }
    return 1;
}

/* Ends the test: a file that stops within a vector proves nothing. */
static void need(int there)
{
    if (there)
        return;
    fprintf(stderr, "the vectors end within a line\\n");
    exit(1);
}
"""


def selftest(model: Model) -> str:
    """The text of `<top>_test.c`."""
    top, default = model.top, f"{model.top}_vectors.txt"
    widest = max(port.words for port in (*model.operands, *model.params, model.out))
    a, w = model.operands
    includes = "".join(f"#include <{name}.h>\n" for name in ("stdio", "stdlib", "string"))
    operands = [f"static {p.c_type} {p.name}[{model.macro('K')}];" for p in (a, w)]
    return f"""{banner(model, "self-test of the reference model")}
/* {top}_test [FILE]: computes every vector of FILE ({default} if left out) and compares.
 * A line is one dot product, its numbers hexadecimal: k, a[0] .. a[k-1], w[0] .. w[k-1]{_names(model)}, out. */
#include "{top}.h"

{includes}{_READERS}
/* Codes of the longest sum. */
{chr(10).join(operands)}

int main(int argc, char **argv)
{{
    const char *name = argc > 1 ? argv[1] : "{default}";
    unsigned long compared = 0, mismatches = 0;
    uint32_t words[{widest}];
{_declared([*model.params, model.out])}
    file = fopen(name, "r");
    if (!file) {{
        fprintf(stderr, "%s cannot be read\\n", name);
        return 1;
    }}
    while (number(words, 1)) {{
        const size_t k = words[0];
        size_t i;
        need(k <= {model.macro("K")});
{_loop(a)}
{_loop(w)}
{_given(model.params)}        need(number(words, {model.out.words}));
        if ({top}_dot({", ".join(["a", "w", "k", *(p.given for p in model.params), model.out.address])})
            || {_differs(model.out)})
            if (mismatches++ == 0)
                fprintf(stderr, "vector %lu is another\\n", compared);
        compared++;
    }}
    fclose(file);
    printf("{top}: %lu compared, %lu mismatches\\n", compared, mismatches);
    return compared == 0 || mismatches > 0;
}}
"""


def _names(model: Model) -> str:
    return "".join(f", {p.name}" for p in model.params)


def _declared(ports: Sequence[Port]) -> str:
    return "\n".join(f"    {port.variable};" for port in ports)


def _value(port: Port) -> str:
    if port.bits <= 32:
        return f"({port.c_type})words[0]"
    return "((uint64_t)words[1] << 32) | words[0]"


def _loop(port: Port) -> str:
    return f"""        for (i = 0; i < k; i++) {{
            need(number(words, 1));
            {port.name}[i] = {_value(port)};
        }}"""


def _given(ports: Sequence[Port]) -> str:
    text = ""
    for port in ports:
        text += f"        need(number(words, {port.words}));\n"
        copy = f"memcpy({port.name}, words, sizeof {port.name})" if port.limbs else f"{port.name} = {_value(port)}"
        text += f"        {copy};\n"
    return text


def _differs(out: Port) -> str:
    if out.limbs:
        return f"memcmp({out.name}, words, sizeof {out.name})"
    return f"{out.name} != {f'({_value(out)})' if out.bits > 32 else _value(out)}"
