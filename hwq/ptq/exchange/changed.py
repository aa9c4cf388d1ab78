"""What an imported network's codes owe to the requantizer: its ratios of scales are not quite those of the file."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from hwq.ptq.binding import for_layer
from hwq.ptq.exact import compute
from hwq.ptq.fake import by_channel, highest
from hwq.ptq.graph import rectify
from hwq.ptq.quantized import QuantizedModel

__all__ = ["changed"]


@torch.no_grad()
def changed(model: QuantizedModel, images: Tensor) -> dict[str, int]:
    """{codes, of}: codes that layers would give otherwise, of the same codes read, by the ratios of the file."""
    values: dict[str, Tensor] = {}
    count = total = 0
    for layer, codes in model.walk_exact(images):
        values[layer.name] = codes
        ratio = model.state.get((layer.name, "ratio"))
        if ratio is None or layer.datapath is None or layer.fmt is None:
            continue
        bare = for_layer(layer.datapath, replace(layer.node, relu=False), layer.datapath.mac.a, None)
        summed = replace(layer, node=replace(layer.node, relu=False), datapath=bare, fmt=bare.mac.output)
        read = [values[name] for name in layer.node.inputs]
        state = {key: held for key, held in model.state.items() if key[1] not in ("mul", "shift")}
        total_sum = bare.mac.output.decode(compute(summed, read, state)).double()
        scaled = total_sum * by_channel(ratio, layer.node)
        most = highest(layer, float(model.state[layer.name, "scale"]))
        want = layer.fmt.encode(rectify(replace(layer.node, most=most), scaled))
        count, total = count + int((want != codes).sum()), total + codes.numel()
    return {"codes": count, "of": total}
