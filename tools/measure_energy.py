"""Measure energies of processing elements under four streams: `python tools/measure_energy.py nangate45 ROWS`.

The streams are those of `hwq.datapath.streams` and `resnet8`, codes of a layer of the packaged network. Designs that
have rows of the device in the file ROWS are not measured again: what was killed goes on.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np

from hwq.datapath import Datapath
from hwq.datapath.draw import Codes
from hwq.datapath.streams import RUNS, TERMS
from hwq.errors import HwqError
from hwq.formats import Format
from hwq.synth.energy import Energy, measure_energy
from hwq.zoo import layer_weights, load

SPIKE = (
    *("int8*int8 +fixed(32)", "int8*int4 +fixed(24)", "int4*int4 +fixed(16)", "int8*ternary +fixed(20)"),
    *("fp8_e4m3*fp8_e4m3 +fixed(48)", "fp8_e5m2*fp8_e5m2 +fixed(80)", "fp6_e3m2*fp6_e3m2 +fixed(32)"),
    *("fp6_e2m3*fp6_e2m3 +fixed(24)", "fp4_e2m1*fp4_e2m1 +fixed(20)"),
)
MORE = (
    *("int8*int8 +fixed(24)", "int16*int8 +fixed(40)", "int6*int6 +fixed(24)", "int5*int5 +fixed(20)"),
    *("int3*int3 +fixed(16)", "int2*int2 +fixed(16)", "uint8*int8 +fixed(32)", "int8*int3 +fixed(24)"),
    *("ternary*ternary +fixed(12)", "int4*ternary +fixed(16)", "log4*log4 +fixed(40)", "int8*log4 +fixed(32)"),
    *("fp(3,4)*fp(3,4) +fixed(40)", "fp8_e4m3*int4 +fixed(36)", "fp(2,2)*fp(2,2) +fixed(22)"),
    *("fp(3,1)*fp(3,1) +fixed(30)", "fp(4,2)*fp(4,2) +fixed(46)", "fp6_e2m3*fp4_e2m1 +fixed(24)"),
    *("fp8_e4m3*fp4_e2m1 +fixed(36)", "fp(5,1)*fp(5,1) +fixed(72)", "fp(2,4)*fp(2,4) +fixed(28)"),
    *("int8*int8 +fixed(32) cut=mul", "fp8_e4m3*fp8_e4m3 +fixed(48) cut=mul"),
)
MODEL, LAYER = "resnet8", "block3.conv2"


def layer(seed: int = 1) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Activations and weights [runs, terms] as the layer multiplies them: a random pixel and channel a run.

    Of each dot product the first terms, in the order of the weights.
    """
    import torch

    model, seen = load(MODEL), []
    module = dict(model.net.named_modules())[LAYER]
    assert isinstance(module, torch.nn.Conv2d)
    hook = module.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    with torch.no_grad():
        model.net(model.calibration()[:64])
    hook.remove()
    patches = torch.nn.functional.unfold(
        seen[0], module.kernel_size, padding=module.padding, stride=module.stride
    ).numpy()
    weights, rng = layer_weights(MODEL, LAYER), np.random.default_rng(seed)
    images, pixels = (rng.integers(n, size=RUNS) for n in (patches.shape[0], patches.shape[2]))
    chosen = weights[rng.integers(len(weights), size=RUNS), :TERMS]
    return patches[images, :TERMS, pixels] / np.abs(patches).max(), chosen / np.abs(weights).max()


def given(dp: Datapath, data: tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]) -> tuple[Codes, Codes]:
    """The layer's codes: the largest of its numbers is the format's largest."""
    a, w = (_encoded(fmt, x) for fmt, x in zip((dp.mac.a, dp.mac.w), data, strict=True))
    return a, w


def _encoded(fmt: Format, x: np.ndarray[Any, Any]) -> Codes:
    least, most = (float(end) for end in fmt.extremes)
    codes: Codes = fmt.encode((x if least < 0 else np.abs(x)) * most)
    return codes


def missing(device: str, rows: Path) -> list[str]:
    """The designs that have no rows yet."""
    kept = rows.read_text(encoding="utf-8").splitlines() if rows.is_file() else []
    done = {row.design for row in map(Energy.from_json, kept) if row.device == device}
    designs = SPIKE + MORE
    return [text for text in designs if str(Datapath.parse(text)) not in done]


def main() -> None:
    """A row a line; a design that fails is named on standard error."""
    device, rows = sys.argv[1], Path(sys.argv[2])
    data = layer()
    for text in missing(device, rows):
        dp = Datapath.parse(text)
        try:
            found = measure_energy(dp, device, given={MODEL: given(dp, data)})
        except HwqError as error:
            print(f"{text}: {error}", file=sys.stderr, flush=True)
            continue
        with rows.open("a", encoding="utf-8") as file:
            file.writelines(f"{row.to_json()}\n" for row in found)


if __name__ == "__main__":
    main()
