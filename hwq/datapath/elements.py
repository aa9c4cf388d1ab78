"""Processing elements: operand registers, products, alignment, accumulator, lowered to one block of cells."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from hwq.bits import Word, const, variable
from hwq.bits.cells import Block, Net
from hwq.bits.compress import Compressed
from hwq.bits.gated import Gated
from hwq.bits.pairs import Pairs
from hwq.bits.rows import Lowering
from hwq.datapath import steps
from hwq.datapath.accumulators import Fixed
from hwq.datapath.banks import banks
from hwq.datapath.hard import Hard, Multiplier, block_operands
from hwq.datapath.kinds import flags
from hwq.datapath.operand import Operand, operands
from hwq.datapath.segments import accumulated, lone_product
from hwq.datapath.spec import Mac
from hwq.datapath.tiles import fields, spacing, together
from hwq.datapath.variants import TILES, magnitude_table

__all__ = ["ENABLES", "MARKS", "OPERAND", "START", "SUM", "TAKE", "TAKEN", "WEIGHT", "Element", "element"]

OPERAND = "operand"  # the stage of registers of what passes through an element
WEIGHT, TAKEN = "weight", "taken"  # of what a tile leaves there: as it comes, and as it counts where it comes earlier
START, TAKE = "start", "take"
MARKS = (START, TAKE)  # inputs passed on as a is: a sum begins with this product, from this one on other weights count
ENABLES = {WEIGHT: "load", TAKEN: f"{TAKE} & en"}  # of registers that wait for more than en
SUM = "sum_"  # before the name of a sum that comes from the element above

Fields = dict[str, Word]


@dataclass(frozen=True)
class Element:
    """What an element depends on. `tree`, `prefix`: sums as in `hwq.bits.compress`; `first`: none from above.

    `loaded`: a sum starts with the product that START comes with, not by a clear. `doubled`: the next tile's weights
    come while the last one's are in use.
    """

    mac: Mac
    decode: str
    cuts: tuple[str, ...]
    form: str
    lanes: int
    dataflow: str
    hard: tuple[Multiplier, bool] | None = None
    tree: bool = False
    prefix: bool = False
    first: bool = False
    loaded: bool = False
    doubled: bool = False

    @property
    def packed(self) -> bool:
        """Whether operands travel as codes."""
        return self.decode == "pe" or self.form == "table"

    @property
    def operands(self) -> tuple[Operand, Operand]:
        if self.hard is None:
            return operands(self.mac, indexed=self.form == "banks")
        return block_operands(self.mac, None if self.form in TILES else self.hard[0])

    @property
    def tile(self) -> tuple[int, int]:
        """(rows, columns) of products of which one block makes all."""
        return TILES.get(self.form, (1, 1))


@lru_cache(maxsize=65536)
def element(of: Element) -> Block:
    """The block of an element: outputs are what passes to the neighbours, then the sum and its flags."""
    making = _Making(of)
    if of.form == "banks":
        return making.sum_in_banks()
    if of.form in TILES:
        return making.shared_product()
    if of.hard is not None:
        return making.sum_in_block() if of.hard[0].adds else making.product_in_block()
    return making.rows()


def _lowering(of: Element) -> Lowering:
    """What makes the element's sums and products."""
    if of.tree:
        return Compressed("pe", of.cuts, of.prefix)
    if of.form == "pairs":
        saturating = isinstance(of.mac.acc, Fixed) and of.mac.acc.overflow == "sat"
        return Pairs("pe", of.cuts, ends=of.mac.tree == 1 and not saturating)
    return (Gated if of.form == "gated" else Lowering)("pe", of.cuts)


class _Making:
    """One element being lowered."""

    def __init__(self, of: Element) -> None:
        self.of, self.mac = of, of.mac
        self.low = _lowering(of)
        self.raw: list[Net] = []  # significands as they come
        self.twice: list[Net] = []  # and whether one of them was halved
        self.passed: list[tuple[str, Net]] = []
        if of.doubled:
            self._mark(TAKE)
        self.pairs: list[list[Fields]] = [[] for _ in range(of.lanes)]
        for side, operand in zip("aw", of.operands, strict=True):
            for lane, pair in enumerate(self.pairs):
                prefix = f"{side}{lane}" if of.lanes > 1 else side
                pair.append(self._operand(side, prefix, operand))

    def _operand(self, side: str, prefix: str, operand: Operand) -> Fields:
        """The fields of one operand, in the registers of the element if it has some."""
        of, low = self.of, self.low
        inputs = operand.codes(prefix) if of.packed else operand.inputs(prefix)
        if of.form in TILES:
            inputs = {"sig": together(inputs["sig"], side, of.mac, of.tile)}
        stays = of.dataflow == "ws" and side == "w"
        for name, word in inputs.items():
            if not word.constant:
                given = net = low.input(word)
                if of.dataflow != "tree":
                    net = low.register(word, net, WEIGHT if stays else OPERAND)
                    self.passed.append((f"{prefix}_{name}", net))
                if stays and of.doubled:
                    low.cycle[net] = 0  # it stands there before operands come
                    given, net = net, low.register(word, net, TAKEN)
                self.raw += [given] if name == "sig" else []
                self.twice += [given] if name == "twice" else []
        return inputs

    def _mark(self, name: str) -> Net:
        """A bit that comes with operands, and goes on with them."""
        bit = variable(name, 0, 1)
        net = self.low.input(bit)
        if self.of.dataflow != "tree":
            net = self.low.register(bit, net, OPERAND)
            self.passed.append((name, net))
        return net

    def rows(self) -> Block:
        """The element as rows of cells."""
        low, now = self.low, steps.state(self.mac, self.of.lanes)
        before = steps.initial() if self.of.first else self._loaded(now) if self.of.loaded else now
        after = self._after(before, now)
        if (segments := self._in_segments(now, after)) is not None:
            self.passed.append(("acc", segments))
            return low.block(self.passed, aligned=False)
        for word in () if self.of.loaded else before.words.values():
            self._enter(word)
        nets = dict(zip(after, low.lower(list(after.values())), strict=True))
        return self._block(nets, now, after)

    def _loaded(self, now: steps.State) -> steps.State:
        """The registers, or 0 where START has come as far as the product that they are added to."""
        low = self.low
        begins = low.at(self._mark(START), (self.of.dataflow != "tree") + len(self.of.cuts))

        def held(name: str, word: Word) -> Word:
            base = variable(f"{name}_held", word.lo, word.hi)
            low.bind(base, low.gated(low.state(word), begins, f"{name}_held"))
            return base

        return now.each(held)

    def _in_segments(self, now: steps.State, after: Fields) -> Net | None:
        """The sum, where it stays and each digit of the product can be added in the cycle that brings it."""
        of, low = self.of, self.low
        product = lone_product(now.total, after["acc"]) if list(after) == ["acc"] else None
        if of.dataflow != "os" or "align" in of.cuts or product is None or product.width > now.total.width:
            return None
        if not isinstance(low, Gated) or not low.in_turn(product):
            return None
        low.lower(product.args)
        return accumulated(low, now.total, product, low.digits(product))

    def sum_in_block(self) -> Block:
        """An element whose products and sum are in a multiplier block; the flags of one product stay beside it."""
        of, low, now = self.of, self.low, steps.state(self.mac, self.of.lanes, joined=True)
        assert of.hard is not None
        streaming = of.dataflow == "ws"
        before = steps.initial() if of.first else now
        for name, word in before.words.items():
            if name != "acc" or streaming:
                self._enter(word)
        after = flags(now.words, before.words, *self.pairs[0])
        nets = dict(zip(after, low.lower(list(after.values())), strict=True))
        above = [low.constant(0, now.total.width) if of.first else low.net(now.total)] if streaming else []
        total = self._hard(above, now.total.width, "acc", sums=True)
        low.cycle[total] = (of.dataflow != "tree") + ("mul" in of.cuts) + streaming
        self.passed.append(("acc", total))
        return self._block(nets, now, after)

    def product_in_block(self) -> Block:
        """An element whose product is a multiplier block's, its sum a row of logic."""
        low, now = self.low, steps.state(self.mac, joined=True)
        before = steps.initial() if self.of.first else now
        for word in before.words.values():
            self._enter(word)
        term = steps.Term(self._block_product(), *[const(0)] * 4)
        total = steps.flush(self.mac, steps.State(before.total), term).total
        after = {"acc": total, **flags(now.words, before.words, *self.pairs[0])}
        nets = dict(zip(after, low.lower(list(after.values())), strict=True))
        return self._block(nets, now, after)

    def _block_product(self) -> Word:
        """The product of a multiplier block, a variable to the text that goes on from there."""
        of, low = self.of, self.low
        a, w = (pair["sig"] for pair in self.pairs[0])
        ends = [x * y for x in (a.lo, a.hi) for y in (w.lo, w.hi)]
        product = variable("product", min(ends), max(ends))
        net = self._hard([], product.width, "product", sums=False)
        low.cycle[net] = (of.dataflow != "tree") + ("mul" in of.cuts)
        low.bind(product, net)
        return product

    def shared_product(self) -> Block:
        """Products of several rows and columns from one block, side by side in one; each has a sum of its own."""
        of, low, bits = self.of, self.low, spacing(self.mac)
        product = self._block_product()
        for (row, col), own in fields(product, of.tile, bits).items():
            now = steps.state(self.mac, tag=f"_{row}_{col}")
            low.state(now.total)
            total = (now.total + own).wrap(self.mac.acc_bits)
            low.lower([total])
            low.feed(now.total, total)
            self.passed.append((f"acc_{row}_{col}", low.net(now.total)))
        return low.block(self.passed, aligned=False)

    def sum_in_banks(self) -> Block:
        """An element whose sum is in banks, of which a word comes out; its flags stay beside them."""
        low, now, of = self.low, steps.state(self.mac), banks(self.mac)
        a, w = self._decoded(*self.pairs[0])
        term = steps.product(self.mac, a, w)
        found = {"near": of.near(term), "far": of.top(term), "zero": a["zero"].stage("mul"), "place": of.place(term)}
        found = {name: word.stage("align") for name, word in found.items()}
        after = {name: word | getattr(term, name).stage("align") for name, word in now.words.items() if name != "acc"}
        for name in after:
            self._enter(now.words[name])
        nets = dict(zip([*found, *after], low.lower([*found.values(), *after.values()]), strict=True))
        word = low.cell("bank", [nets.pop(name) for name in found], of.width, True, "word", of.far)
        self.passed.append(("word", word))
        return self._block(nets, now, after)

    def _enter(self, word: Word) -> None:
        """A sum or flag: a register of the element, or what comes from above."""
        if self.of.dataflow == "ws":
            self.low.input(word, None, f"{SUM}{word.attr}")
        else:
            self.low.state(word)

    def _after(self, before: steps.State, now: steps.State) -> Fields:
        return steps.step(self.mac, before, *(self._product(*pair) for pair in self.pairs)).named(now)

    def _product(self, a: Fields, w: Fields) -> steps.Term:
        """One product in the form that was chosen for it."""
        if self.of.form == "table":
            return magnitude_table(self.mac, a["code"], w["code"])
        return steps.product(self.mac, *self._decoded(a, w))

    def _decoded(self, a: Fields, w: Fields) -> list[Fields]:
        """The fields of two operands, decoded here where they travel as codes."""
        if not self.of.packed:
            return [a, w]
        pairs = zip(self.of.operands, (a, w), strict=True)
        return [{k: v.stage("unpack") for k, v in operand.decode(x["code"]).items()} for operand, x in pairs]

    def _hard(self, above: list[Net], width: int, name: str, sums: bool) -> Net:
        of = self.of
        assert of.hard is not None
        inside = of.dataflow != "tree"
        waits = ENABLES[TAKEN if of.doubled else WEIGHT] if of.dataflow == "ws" else ""
        use = Hard(*of.hard, inside, "mul" in of.cuts, waits, bool(self.twice), sums, bool(above))
        return self.low.cell("hard", [*self.raw, *self.twice, *above], width, True, name, use)

    def _block(self, nets: dict[str, Net], now: steps.State, after: Fields) -> Block:
        """The block with its sums: registers that stay, or that the element below reads."""
        low = self.low
        for name, net in nets.items():
            word = now.words[name]
            if self.of.dataflow == "ws":
                self.passed.append((name, low.fit(low.reg(net, "sum"), word.width)))
            else:
                low.feed(word, after[name])
                self.passed.append((name, low.net(word)))
        return low.block(self.passed, aligned=False)
