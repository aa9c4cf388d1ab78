"""Let glassllm write the zoo's sequences: `python tools/sample_glassllm.py` (needs its wheel, `make models`).

256 for calibration and 512 for tests, of 128 tokens each, drawn from the float network at temperature 1 after a
newline.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from hwq.zoo.glassllm import CONTEXT, SEQUENCES, GlassLM, network

SEED = 853
CALIBRATION, TEST = 256, 512
NEWLINE = 4  # the first id after the four special ones


def main() -> None:
    """Write the committed file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=SEQUENCES)
    out = parser.parse_args().out
    torch.set_num_threads(1)
    ids = write(network(), CALIBRATION + TEST, CONTEXT).numpy().astype(np.uint16)
    partial = out.with_suffix(".partial.npz")
    np.savez_compressed(partial, calibration=ids[:CALIBRATION], test=ids[CALIBRATION:])
    partial.rename(out)
    print(f"{out.name}: {out.stat().st_size} bytes, {len(set(map(bytes, ids)))} different sequences of {len(ids)}")


@torch.inference_mode()
def write(net: GlassLM, count: int, length: int) -> Tensor:
    """count sequences [count, length] of ids, the first one a newline, each next one drawn from the network."""
    random = torch.Generator().manual_seed(SEED)
    ids = torch.full((count, 1), NEWLINE)
    while ids.shape[1] < length:
        net.read(ids.shape[1])
        shares = torch.cat([net(part)[:, -1].softmax(-1) for part in ids.split(128)])
        ids = torch.cat([ids, torch.multinomial(shares, 1, generator=random)], 1)
    return ids


if __name__ == "__main__":
    main()
