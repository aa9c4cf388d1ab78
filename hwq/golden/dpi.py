"""A reference model for SystemVerilog: a DPI-C wrapper, and the package that imports it."""

from __future__ import annotations

from collections.abc import Sequence

from hwq.golden.interface import banner
from hwq.golden.ports import Model, Port

__all__ = ["package", "wrapper"]

_TYPES = """
/* svBitVecVal is what IEEE 1800 says it is, where a simulator's own header is not at hand. */
#if defined(__has_include)
#if __has_include("svdpi.h")
#include "svdpi.h"
#endif
#endif
#ifndef INCLUDED_SVDPI
typedef uint32_t svBitVecVal;
#endif
"""


def wrapper(model: Model) -> str:
    """The text of `<top>_dpi.c`: sums are objects, codes are packed vectors of two-valued bits."""
    top = model.top
    includes = f'#include "{top}.h"\n\n#include <stdlib.h>\n'
    parts = [
        banner(model, "DPI-C wrapper of the reference model"),
        includes + ("\n#include <string.h>\n" if model.out.limbs else "").lstrip("\n") + _TYPES,
        '#ifdef __cplusplus\nextern "C" {\n#endif',
        f"/* A new sum, for {top}_dpi_free; a null handle where there is no memory. */\nvoid *{top}_dpi_new(void);",
        f"void {top}_dpi_free(void *sum);\nvoid {top}_dpi_clear(void *sum);",
        f"int {top}_dpi_mac({_vectors(model.operands, ['void *sum'])});",
        f"int {top}_dpi_result({_vectors(model.params, ['void *sum'])}, svBitVecVal *out);",
        "#ifdef __cplusplus\n}\n#endif\n",
        f"void *{top}_dpi_new(void)\n{{\n    return calloc(1, sizeof(struct {top}_state));\n}}\n",
        f"void {top}_dpi_free(void *sum)\n{{\n    free(sum);\n}}\n",
        f"void {top}_dpi_clear(void *sum)\n{{\n    {top}_clear((struct {top}_state *)sum);\n}}\n",
        _mac(model),
        _result(model),
    ]
    return "\n".join(parts)


def _vectors(ports: Sequence[Port], first: list[str]) -> str:
    return ", ".join(first + [f"{'' if p.carried else 'const '}svBitVecVal *{p.name}" for p in ports])


def _read(port: Port) -> str:
    """A packed vector as the model takes it, whose bits above the code are not defined; the model masks its limbs."""
    if port.limbs:
        return port.name
    if port.bits <= 32:
        mask = "" if port.bits == 32 else f" & {hex((1 << port.bits) - 1)}u"
        return f"({port.c_type})({port.name}[0]{mask})"
    mask = "" if port.bits == 64 else f" & {hex((1 << port.bits - 32) - 1)}u"
    return f"((uint64_t)({port.name}[1]{mask}) << 32) | {port.name}[0]"


def _mac(model: Model) -> str:
    head = f"int {model.top}_dpi_mac({_vectors(model.operands, ['void *sum'])})"
    given = ", ".join([f"(struct {model.top}_state *)sum", *map(_read, model.operands)])
    return f"{head}\n{{\n    return {model.top}_mac({given});\n}}\n"


def _result(model: Model) -> str:
    out = model.out
    head = f"int {model.top}_dpi_result({_vectors(model.params, ['void *sum'])}, svBitVecVal *out)"
    if out.limbs:
        variable, copies = f"uint32_t code[{out.limbs}]", [f"memcpy(out, code, {4 * out.limbs});"]
    else:
        variable, copies = f"{out.c_type} code", ["out[0] = (svBitVecVal)(code & 0xffffffffu);"]
        copies += ["out[1] = (svBitVecVal)(code >> 32);"] * (out.bits > 32)
    state = f"(const struct {model.top}_state *)sum"
    carried = [p for p in model.params if p.carried]
    arguments = [f"&next_{p.name}" if p.carried else _read(p) for p in model.params]
    given = ", ".join([state, *arguments, "code" if out.limbs else "&code"])
    copies += [f"{p.name}[0] = next_{p.name};" for p in carried]
    lines = [f"{variable};", *(f"{p.c_type} next_{p.name} = {_read(p)};" for p in carried)]
    lines += [f"if ({model.top}_result({given}))", "    return 1;", *copies, "return 0;"]
    return "\n".join([head, "{", *(f"    {line}" for line in lines), "}"]) + "\n"


def package(model: Model) -> str:
    """The text of `<top>_dpi.sv`."""
    name = f"{model.top}_dpi"
    ports = [*model.operands, *model.params, model.out]
    widths = "\n".join(f"  localparam int {p.name.upper()}_BITS = {p.bits};" for p in ports)
    result = ", ".join(["input chandle sum", *map(_input, model.params), f"output bit [{model.out.bits - 1}:0] out"])
    operands = ", ".join(["input chandle sum", *map(_input, model.operands)])
    return f"""{banner(model, "the reference model's DPI-C functions")}
/* Sums are objects: new, then per product mac, then result; clear begins again. mac and result return 0, or 1 where
 * nothing was computed: no term or too many of them, a reserved code. */
package {name};
  localparam int K = {model.dp.mac.k};
{widths}

  import "DPI-C" function chandle {name}_new();
  import "DPI-C" function void {name}_free(input chandle sum);
  import "DPI-C" function void {name}_clear(input chandle sum);
  import "DPI-C" function int {name}_mac({operands});
  import "DPI-C" function int {name}_result({result});
endpackage
"""


def _input(port: Port) -> str:
    return f"{'inout' if port.carried else 'input'} bit [{port.bits - 1}:0] {port.name}"
