"""Weights of compressed-tensors files, packed here as its compressor packs them."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from hwq import ptq
from hwq.errors import HwqError


def packed(codes: Tensor, bits: int) -> Tensor:
    """int32 words of signed codes [N, K], one at a time in Python's integers."""
    per = 32 // bits
    rows = []
    for row in codes.tolist():
        row = [code + (1 << (bits - 1)) for code in row] + [0] * (-len(row) % per)
        words = [sum(code << (bits * i) for i, code in enumerate(row[at : at + per])) for at in range(0, len(row), per)]
        rows.append([word - (1 << 32) if word >> 31 else word for word in words])
    return torch.tensor(rows, dtype=torch.int32)


@pytest.mark.parametrize(("bits", "columns", "groups"), [(4, 64, 4), (4, 60, 1), (8, 32, 2)])
def test_packed_integers_keep_codes_and_scales(bits: int, columns: int, groups: int, tmp_path: Path) -> None:
    torch.manual_seed(0)
    codes = torch.randint(-(1 << (bits - 1)), 1 << (bits - 1), (6, columns))
    scale = torch.rand(6, groups).bfloat16()
    path = tmp_path / "model.safetensors"
    tensors = {"a.b.weight_packed": packed(codes, bits), "a.b.weight_scale": scale, "norm.weight": torch.ones(3)}
    save_file(tensors | {"a.b.weight_shape": torch.tensor([6, columns])}, path)
    found = ptq.import_compressed(path)
    assert list(found) == ["a.b"]
    weights = found["a.b"]
    assert torch.equal(weights.fmt.decode(weights.codes), codes.float()) and torch.equal(weights.scale, scale.float())
    want = codes.double().reshape(6, groups, -1) * scale.double().unsqueeze(-1)
    assert torch.equal(weights.real, want.reshape(6, -1))


@pytest.mark.parametrize("dtype", [torch.float8_e4m3fn, torch.float8_e5m2, torch.int8])
def test_plain_codes_are_kept(dtype: torch.dtype, tmp_path: Path) -> None:
    weight = (torch.randn(4, 16) * 3).to(dtype)
    path = tmp_path / "model.safetensors"
    save_file({"x.weight": weight, "x.weight_scale": torch.tensor([0.5])}, path)
    found = ptq.import_compressed(path)["x"]
    assert torch.equal(found.codes, weight.view(torch.uint8)) and torch.equal(found.real, weight.double() * 0.5)


def test_what_is_not_symmetric_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    tensors = {"x.weight": torch.ones(2, 4, dtype=torch.int8), "x.weight_scale": torch.ones(2, 1)}
    for more, reason in (
        ({"x.weight_zero_point": torch.ones(2, 1)}, "must be symmetric, not with zero points"),
        ({"x.weight_g_idx": torch.tensor([1, 0, 1, 0])}, "must have groups in order"),
        ({"x.weight": torch.ones(2, 4)}, "must be signed bytes or float8, not torch.float32"),
        ({"x.weight_scale": torch.ones(2, 3)}, "must divide 4 weights evenly, not be 3"),
    ):
        save_file(tensors | more, path)
        with pytest.raises(HwqError, match=reason):
            ptq.import_compressed(path)
    save_file({"norm": torch.ones(1)}, path)
    with pytest.raises(HwqError, match="must hold compressed-tensors weights"):
        ptq.import_compressed(path)
    path.write_bytes(b"x")
    with pytest.raises(HwqError, match="must be a safetensors file"):
        ptq.import_compressed(path)
