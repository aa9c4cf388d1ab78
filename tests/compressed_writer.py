"""Writes tests/data/compressed.safetensors by the compressed-tensors library: `compressed_writer.py OUT`.

Layers of glassllm, a kind each: int4 in groups of 32, int4 and int8 by channel, float8 by channel. It was run with
compressed-tensors 0.20.0, which the tests do not need. Eight rows of each layer as it decompresses them are in a file
beside, compressed-expected.safetensors.
"""

import sys

import torch
from compressed_tensors.compressors import BaseCompressor
from compressed_tensors.quantization import QuantizationArgs, QuantizationScheme
from compressed_tensors.quantization.utils import calculate_qparams
from safetensors.torch import save_file

from hwq import zoo

LAYERS = {
    "blocks.0.attention.query": ("pack-quantized", {"num_bits": 4, "strategy": "group", "group_size": 32}),
    "blocks.1.w2": ("pack-quantized", {"num_bits": 4, "strategy": "channel"}),
    "blocks.2.attention.key": ("pack-quantized", {"num_bits": 8, "strategy": "channel"}),
    "blocks.2.attention.out": ("naive-quantized", {"num_bits": 8, "strategy": "channel"}),
    "blocks.3.attention.value": ("float-quantized", {"num_bits": 8, "type": "float", "strategy": "channel"}),
}


def main(out: str) -> None:
    net, tensors, expected = zoo.load("glassllm").net, {}, {}
    for name, (form, how) in LAYERS.items():
        args = QuantizationArgs(symmetric=True, **how)
        weight = net.get_submodule(name).weight.detach().to(torch.bfloat16)
        parts = weight.reshape(len(weight), -1, how.get("group_size", weight.shape[1]))
        scale, zero = calculate_qparams(parts.amin(-1), parts.amax(-1), args)
        scheme = QuantizationScheme(targets=["Linear"], weights=args)
        compressor = BaseCompressor.get_value_from_registry(form)
        state = {"weight": weight, "weight_scale": scale, "weight_zero_point": zero}
        made = compressor.compress(state, scheme)
        tensors |= {f"{name}.{key}": x.contiguous() for key, x in made.items()}
        expected[name] = compressor.decompress(made, scheme)["weight"][:8].contiguous()
    save_file(tensors, out)
    save_file(expected, out.replace(".safetensors", "-expected.safetensors"))


if __name__ == "__main__":
    main(*sys.argv[1:])
