"""The reference model: one C99 file and its header, every function printed from the datapath's own text."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from hwq.bits import Word, topological
from hwq.bits.csource import Body
from hwq.bits.cwide import library
from hwq.bits.cwords import c_size, declaration, wrapped
from hwq.datapath.operand import operands
from hwq.datapath.steps import SEED, Term, finish, parameters, reseeded, state, step
from hwq.golden.interface import banner, interface, struct
from hwq.golden.ports import Model, described, moving, named

__all__ = ["source"]


def source(model: Model) -> str:
    """The text of `<top>.c`."""
    text = _Source(model)
    functions = [*text.decoders(), text.product(), text.step(), text.finish()]
    operand_types = [
        struct(f"operand_{port.name}", words, f"A decoded operand {port.name}.")
        for port, words in zip(model.operands, text.fields, strict=True)
    ]
    parts = [
        banner(model, "C99 reference model"),
        f'#include "{model.top}.h"\n\n#include <string.h>\n',
        *operand_types,
        *([library(text.used)] if text.used else []),
        *functions,
        interface(model),
    ]
    return "\n".join(parts)


def places(prefix: str, place: str, words: Mapping[str, Word]) -> dict[str, str]:
    """Where C finds those inputs."""
    return {f"{prefix}_{name}": f"{place}.{name}" for name in words}


class _Source:
    """The functions of one model; `used` are the library's that they call."""

    def __init__(self, model: Model) -> None:
        self.model, self.mac, self.top = model, model.dp.mac, model.top
        self.sides = operands(self.mac)
        self.fields = [moving(operand.fields) for operand in self.sides]
        self.state, self.term = state(self.mac), model.term
        self.used: set[str] = set()

    def _body(self, outputs: Mapping[str, Word], inputs: Mapping[str, str], target: str) -> list[str]:
        """Statements that compute the outputs and assign each to a member of `target`."""
        body = Body(list(outputs.values()), inputs)
        for name, word in outputs.items():
            body.assign(f"{target}{name}", word)
        self.used |= body.functions
        return body.lines

    def decoders(self) -> list[str]:
        return [self._decoder(j) for j in range(2)]

    def _decoder(self, j: int) -> str:
        operand, name = self.sides[j], self.model.operands[j].name
        port = replace(self.model.operands[j], name="code")
        before, place = port.loaded(operand.fmt.code_word)
        head = [
            f"/* A code of {described(operand.fmt)}. */",
            f"static struct operand_{name} decode_{name}({port.argument})",
            "{",
            *before,
            f"    struct operand_{name} x;",
        ]
        return "\n".join([*head, *self._body(self.fields[j], {"code": place}, "x."), "    return x;", "}"]) + "\n"

    def product(self) -> str:
        inputs = places("a", "a", self.fields[0]) | places("w", "w", self.fields[1])
        head = [
            f"/* One product: sig * 2**exp in units of 2**{self.mac.product_lsb}, exactly. */",
            f"static struct {self.top}_term product(struct operand_a a, struct operand_w w)",
            "{",
            f"    struct {self.top}_term t;",
        ]
        return "\n".join([*head, *self._body(moving(self.term), inputs, "t."), "    return t;", "}"]) + "\n"

    def step(self) -> str:
        count = self.model.lanes
        names = ["t"] if count == 1 else [f"t{j}" for j in range(count)]
        terms = [Term(**named(name, self.term)) for name in names]
        inputs = {name: f"s.{name}" for name in self.state.words}
        for j, name in enumerate(names):
            inputs |= places(name, "t" if count == 1 else f"t[{j}]", self.term)
        after = step(self.mac, self.state, *terms).words
        comment = "One more product" if count == 1 else f"{count} more products, side by side"
        head = [
            f"/* {comment} in the sum, whose text is +{self.mac.acc.text}. */",
            f"static struct {self.top}_sum step(struct {self.top}_sum s, "
            + (f"struct {self.top}_term t)" if count == 1 else f"const struct {self.top}_term *t)"),
            "{",
            f"    struct {self.top}_sum next;",
        ]
        lines = self._body({name: after[name] for name in self.state.words}, inputs, "next.")
        return "\n".join([*head, *lines, "    return next;", "}"]) + "\n"

    def finish(self) -> str:
        mac, out = self.mac, self.model.out
        code = finish(mac, self.state, parameters(mac))
        inputs = {name: f"s.{name}" for name in self.state.words}
        carried = [reseeded(parameters(mac)) for port in self.model.params if port.carried]
        read = {str(word.attr) for word in topological([code, *carried]) if word.op == "var"}
        before = [] if read & inputs.keys() else ["    (void)s;"]
        for port in self.model.params:  # an output far from every sum does not depend on them
            lines, inputs[port.name] = port.loaded(parameters(mac)[port.name])
            before += lines if port.name in read else [f"    (void){port.name};"]
        arguments = [f"struct {self.top}_sum s", *(p.argument for p in self.model.params), out.result]
        steps = f" after {', '.join(mac.steps)}" if mac.steps else ""
        outputs = {"code": code} | {f"*{SEED}": word for word in carried}
        head = [
            f"/* The sum as a code of {mac.output}{steps}. */",
            wrapped(f"static void finish({', '.join(arguments)})"),
            "{",
            *before,
            f"    {declaration('code', code)};",
        ]
        lines = self._body(outputs, inputs, "")
        self.used |= {"wide_bits"} if c_size(code) > 64 and not out.limbs else set()
        return "\n".join([*head, *lines, out.stored(code), "}"]) + "\n"
