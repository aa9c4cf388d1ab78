"""`dp.cycles(M, N, K)` against simulation, exactly: every kind of array, products whose tiles are partial, with pauses.

A product is sent tile after tile as an array takes it, what lies outside of it filled up with zeros, and the codes are
compared too, so that no array is quick by leaving something out. Every product runs twice: without pauses it takes
`dp.cycles`, with pauses on every stream `dp.cycles` and the cycles that these froze. Which ones did, a bench sees by
the handshakes; where tiles overlap (`use=double`) none can, and `hwq.sim.paced` goes through what they should cost.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from hwq.datapath import Datapath, Params, matmul
from hwq.datapath.draw import Codes, Draw
from hwq.formats import STOCHASTIC
from hwq.rtl import Manifest, emit
from hwq.sim import bulk
from hwq.sim.beats import Beats, as_bits, drive
from hwq.sim.compare import compare
from hwq.sim.job import Job, Outcome
from hwq.sim.stimulus import Tiles

Shape = tuple[int, int, int]  # M, N, K

# {kind: [(datapath, device)]}
ARRAYS: Mapping[str, list[tuple[str, str]]] = {
    "sums that stay": [
        ("int8*int4 +fixed(24) @3x2", "portable"),
        ("int4*int4 ->int8[bias,requant,relu] @2x3 cut=unpack,mul1,mul,bias,requant,act", "portable"),
        ("fp8_e4m3*int4 +fixed(40) ->bf16[bias] @1x4 cut=mul,align round=sr", "xc7"),
        ("int8*int8 +fixed(20,sat) @4x1 decode=pe", "ecp5"),
        ("fp6_e3m2*fp6_e3m2 +fp(5,6) @2x2 cut=unpack", "portable"),
    ],
    "lanes": [
        ("int8*int4 +fixed(24) @2x3x3 cut=mul", "portable"),
        ("int4*ternary +fixed(16) @3x1x4 decode=pe cut=unpack,mul", "xc7"),
        ("fp8_e4m3*fp8_e4m3 +align(2,25,rtz) @2x2x2", "portable"),
    ],
    "weights that stay": [
        ("int8*int4 +fixed(24) @3x2/ws k=3", "portable"),
        ("int8*int4 ->int8[bias,requant] @2x3x2/ws k=4 cut=unpack,mul,requant", "portable"),
        ("fp6_e3m2*fp6_e3m2 @1x4/ws k=1 decode=pe", "ecp5"),
    ],
    "dot products": [
        ("int4*int4 +fixed(20) @2x2x3/tree", "portable"),
        ("int8*ternary ->int4[bias] @3x2x2/tree cut=unpack,mul,bias", "xc7"),
    ],
    "two registers a weight": [
        ("int8*int4 +fixed(24) @3x2/ws k=3 use=double", "portable"),
        ("int4*int4 ->int8[bias,requant,relu] @1x4/ws k=1 cut=bias,requant,act use=double", "portable"),
        ("int8*int4 @2x3x2/ws k=4 cut=unpack,mul use=double", "xc7"),
    ],
    "sums that are loaded": [
        ("int8*int4 +fixed(24) @2x3 use=load", "portable"),
        ("int4*int4 ->int8[bias] @2x2x4/tree cut=mul,bias use=load", "portable"),
        ("int4*ternary @3x2x3 cut=unpack,mul use=load", "xc7"),
    ],
    "banks": [
        ("fp6_e3m2*fp6_e3m2 +fixed(32) @3x2 use=banks", "xc7"),
        ("fp(3,2)*int4 ->int8[bias,requant] @2x5 cut=unpack,mul,requant use=banks", "xc7"),
    ],
    "blocks": [
        ("int8*int8 +fixed(32) @2x3 use=dsp", "xc7"),
        ("int4*int4 +fixed(16) @4x2 use=dsp4", "xcup"),
        ("int4*int4 +fixed(16) ->int8[requant] @2x2 cut=mul,requant use=dsp2", "ecp5"),
        ("int8*int8 +fixed(32) @2x2x3/ws k=6 use=dsp,double", "versal"),
        ("int8*int8 +fixed(32) @2x2 use=dsp", "ice40"),
    ],
}
CASES = [(kind, text, device) for kind, found in ARRAYS.items() for text, device in found]
LEAST_SHAPES = 40
PAUSE = 0.25  # the chance of one more cycle of pause before a beat


def shapes(dp: Datapath) -> list[Shape]:
    """One of everything, two whole tiles of the most terms, and two of any size, which the text draws."""
    rows, cols, lanes = dp.array.rows, dp.array.cols, dp.array.lanes
    most, rng = min(dp.mac.k, 5 * lanes + 1), np.random.default_rng([*str(dp).encode()])
    ends = (3 * rows + 2, 3 * cols + 2, most)
    drawn = [tuple(int(rng.integers(1, end + 1)) for end in ends) for _ in range(2)]
    return list(dict.fromkeys([(1, 1, 1), (rows, 2 * cols, most), *((m, n, k) for m, n, k in drawn)]))


def partial(dp: Datapath, shape: Shape) -> bool:
    """Whether a tile of the product is not full: where weights stay, rows are those of K, else those of M."""
    m, n, k = shape
    depth = dp.array.lanes * (dp.array.rows if dp.array.dataflow == "ws" else 1)
    down = 1 if dp.array.dataflow == "ws" else dp.array.rows
    return bool(m % down or n % dp.array.cols or k % depth)


@dataclass(frozen=True, eq=False)
class Product:
    """An M x K by K x N product of seeded codes and the tiles that an array takes it in."""

    dp: Datapath
    a: Codes
    w: Codes
    params: Params

    @classmethod
    def of(cls, dp: Datapath, shape: Shape) -> Product:
        (m, n, k), draw = shape, Draw(dp.mac, seed=sum(shape))
        return cls(
            dp, draw.operand("a", (m, k)), draw.operand("w", (n, k)), draw.params(n, k) if draw.words else Params()
        )

    @property
    def rows(self) -> int:
        """Rows of a tile: the array's, or as many as operands come past weights."""
        return len(self.a) if self.dp.array.dataflow == "ws" else self.dp.array.rows

    def tiles(self) -> Tiles:
        """Row after row of tiles, zeros where the product has ended."""
        draw = Draw(self.dp.mac, seed=0)
        a, w = (_blocks(x, size, draw.zero(side)) for x, size, side in self._sides())
        params = {name: _ended(x, self.dp.array.cols, len(a)) for name, x in vars(self.params).items() if x is not None}
        return Tiles(np.repeat(a, len(w), axis=0), np.tile(w, (len(a), 1, 1)), Params(**params))

    def _sides(self) -> list[tuple[Codes, int, str]]:
        return [(self.a, self.rows, "a"), (self.w, self.dp.array.cols, "w")]

    def codes(self, tiled: Codes) -> Codes:
        """The product's own codes [M, N, ...] of its tiles' [T, rows, cols, ...]."""
        down, across = (-(-len(x) // size) for x, size, _ in self._sides())
        grid = tiled.reshape(down, across, *tiled.shape[1:]).swapaxes(1, 2)
        whole = grid.reshape(down * tiled.shape[1], across * tiled.shape[2], *tiled.shape[3:])
        return whole[: len(self.a), : len(self.w)]


def _blocks(codes: Codes, size: int, zero: int) -> Codes:
    """Codes [n, K] as [blocks, size, K]."""
    filled = np.pad(codes, ((0, -len(codes) % size), (0, 0)), constant_values=zero)
    return filled.reshape(-1, size, codes.shape[1])


def _ended(values: Codes, cols: int, times: int) -> Codes:
    """A parameter of each column, the last one's for the columns after it, of so many rows of tiles."""
    return np.tile(np.pad(values, (0, -len(values) % cols), mode="edge"), times)


def _paused(beats: Beats, rng: np.random.Generator | None) -> Beats:
    """The same beats with other pauses; None: without."""
    pause = np.zeros_like(beats.pause) if rng is None else rng.geometric(1 - PAUSE, len(beats)) - 1
    return replace(beats, pause=np.minimum(pause, 20).astype(np.uint8))


def simulated(dp: Datapath, tiles: Tiles, manifest: Manifest, source: Path, folder: Path, seed: int | None) -> Outcome:
    """What a bench saw of the tiles: without pauses, or with those of a seed."""
    folder.mkdir()
    rng = None if seed is None else np.random.default_rng(seed)
    beats = {name: _paused(stream, rng) for name, stream in drive(dp, [tiles], 0).items()}
    job = Job(folder, manifest, [source / file for file in manifest.sources], beats, dp, waves=False)
    bulk.icarus(job)
    return Outcome.read(job)


def _compared(product: Product, tiles: Tiles, outcome: Outcome) -> int:
    """Assert that the results are those of `matmul` of the whole product; returns how many.

    Where rounding is stochastic they are those of each tile, which begins with its column's seed.
    """
    ends = np.arange(1, len(tiles) * tiles.rows + 1) % tiles.rows == 0
    assert compare(product.dp.mac, [tiles], ends, outcome.results) == (0, None)
    if product.dp.mac.round == STOCHASTIC:
        return len(tiles) * tiles.rows * product.dp.array.cols
    mac, cols = product.dp.mac, product.dp.array.cols
    wanted = as_bits(np.asarray(matmul(mac, product.a, product.w, product.params)), mac.output.bits)
    bits = outcome.results[:, :0:-1] - ord("0")  # without its last, the first column's lowest bit first
    got = product.codes(bits.reshape(len(tiles), tiles.rows, cols, mac.output.bits))
    assert np.array_equal(got, wanted)
    return len(product.a) * len(product.w)


@pytest.mark.parametrize(("kind", "text", "device"), CASES, ids=[f"{text} {device}" for _, text, device in CASES])
def test_a_product_takes_the_cycles_that_are_told(
    kind: str, text: str, device: str, tmp_path: Path, say: Callable[[str], None]
) -> None:
    dp = Datapath.parse(text)
    manifest = emit(dp, tmp_path / "rtl", device)
    codes = stalled = 0
    for at, shape in enumerate(shapes(dp)):
        product = Product.of(dp, shape)
        tiles = product.tiles()
        free, held = (
            simulated(dp, tiles, manifest, tmp_path / "rtl", tmp_path / f"{at}-{seed}", seed) for seed in (None, at + 1)
        )
        assert (free.cycles, free.stalled) == (dp.cycles(*shape), 0), shape
        assert held.cycles == dp.cycles(*shape) + held.stalled, shape
        codes += _compared(product, tiles, free) + _compared(product, tiles, held)
        stalled += held.stalled
    assert codes > 0
    assert stalled > 0
    say(f"cycles: {kind}, {text}: {len(shapes(dp))} products, {codes} codes, {stalled} cycles frozen")


def test_a_cycle_too_many_is_seen(tmp_path: Path) -> None:
    """A flush of another length, in the Verilog alone."""
    dp = Datapath.parse("int4*int4 +fixed(16) @1x2")
    manifest = emit(dp, tmp_path / "rtl")
    control = tmp_path / "rtl" / f"{manifest.top}_control.v"
    text = control.read_text("utf-8")
    control.write_text(text.replace("run_state ? 1'd1", "run_state ? 1'd0"), "utf-8")
    assert control.read_text("utf-8") != text
    outcome = simulated(dp, Product.of(dp, (3, 3, 5)).tiles(), manifest, tmp_path / "rtl", tmp_path / "run", None)
    assert outcome.cycles != dp.cycles(3, 3, 5)


def test_enough_products_are_compared(say: Callable[[str], None]) -> None:
    """Every kind of array; as many shapes, and half of them with partial tiles, whatever is edited above."""
    every = [(dp, shape) for _, text, _ in CASES for dp in [Datapath.parse(text)] for shape in shapes(dp)]
    of_partial_tiles = [(dp, shape) for dp, shape in every if partial(dp, shape)]
    assert len({shape for _, shape in every}) >= LEAST_SHAPES
    assert len(of_partial_tiles) >= LEAST_SHAPES
    assert {word for dp, _ in every for word in dp.uses} >= {"double", "load", "banks", "dsp", "dsp2", "dsp4"}
    assert {dp.array.dataflow for dp, _ in every} == {"os", "ws", "tree"}
    assert {dp.decode for dp, _ in every} == {"edge", "pe"}
    say(f"cycles: {len(every)} products in {len(CASES)} arrays, {len(of_partial_tiles)} with partial tiles")
