"""`hwq import`, `hwq ptq --onnx` and `--protocol`, folders of images: what users bring."""

import importlib.util
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from hwq import ptq, zoo
from hwq.cli.main import run
from hwq.datapath import Datapath
from hwq.errors import HwqError
from hwq.rtl import Manifest
from hwq.zoo.folder import Folder, Preprocessing

torch.set_num_threads(1)
SMALL = Preprocessing(32, 24)


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The 20 photographs of ImageNet in foolbox, called imagenet_PLACE_CLASS.jpg."""
    found = importlib.util.find_spec("foolbox")
    assert found is not None and found.submodule_search_locations is not None
    folder = tmp_path_factory.mktemp("photographs")
    for file in (Path(found.submodule_search_locations[0]) / "data").glob("imagenet_*.jpg"):
        shutil.copy(file, folder)
    return folder


def test_a_folder_of_named_files_is_data(photographs: Path) -> None:
    data = Folder(photographs, SMALL)
    images, labels = data.test()
    assert images.shape == (20, 3, 24, 24) and labels[:3].tolist() == [243, 559, 438]
    assert torch.equal(data.test(5)[0], images[:5])
    assert data.calibration().shape == (20, 3, 24, 24)
    with pytest.raises(HwqError, match=r"must be 1\.\.20, not 21"):
        data.test(21)


def test_a_folder_of_classes_is_data(photographs: Path, tmp_path: Path) -> None:
    for place, file in enumerate(sorted(photographs.iterdir())[:6]):
        (tmp_path / "ab"[place % 2]).mkdir(exist_ok=True)
        shutil.copy(file, tmp_path / "ab"[place % 2] / f"{place}.jpg")
    images, labels = Folder(tmp_path, SMALL).test()
    assert len(images) == 6 and labels.tolist() == [0, 0, 0, 1, 1, 1]


def test_preprocessing_is_that_of_published_models(photographs: Path) -> None:
    from PIL import Image

    file = sorted(photographs.iterdir())[0]
    with Image.open(file) as opened:
        pixels = np.asarray(opened.convert("RGB"), np.float64) / 255
    assert pixels.shape == (512, 512, 3)
    whole = Preprocessing(512, 512)(file).double().numpy().transpose(1, 2, 0)
    assert np.abs(whole - (pixels - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]).max() < 1e-5


def test_bad_folders_are_refused(tmp_path: Path) -> None:
    with pytest.raises(HwqError, match="a folder of images must exist"):
        Folder(tmp_path / "none").test()
    with pytest.raises(HwqError, match="must hold images"):
        Folder(tmp_path).test()
    (tmp_path / "cat.png").write_bytes(b"")
    with pytest.raises(HwqError, match=r"called NAME_LABEL, not cat\.png"):
        Folder(tmp_path).test()
    (tmp_path / "cat.png").rename(tmp_path / "cat_3.png")
    with pytest.raises(HwqError, match="must be an image, not one that fails with"):
        Folder(tmp_path).test()


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small classifier of 1,000 classes as a torch.export file."""
    torch.manual_seed(1)
    net = nn.Sequential(nn.Conv2d(3, 8, 5, 4), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 1000))
    path = tmp_path_factory.mktemp("program") / "net.pt2"
    batch = torch.export.Dim("batch")
    torch.export.save(torch.export.export(net.eval(), (torch.zeros(2, 3, 24, 24),), dynamic_shapes=({0: batch},)), path)
    return path


@pytest.mark.parametrize(("top1", "verdict"), [(0.0, 0), (99.0, 1)])
def test_protocols_pass_or_fail(
    program: Path, photographs: Path, top1: float, verdict: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    protocol = tmp_path / "protocol.toml"
    protocol.write_text(
        f'title = "test"\nsource = "none"\nmodel = "{program}"\nimages = "{photographs}"\nrecipe = "rtn"\n'
        "[preprocessing]\nresize = 32\ncrop = 24\n"
        '[assignment]\nfirst = "int8*int8"\nlast = "int8*int8"\n'
        f"[published]\ntop1 = {top1}\ntolerance = 0.0\n"
    )
    assert run(["ptq", "--protocol", str(protocol)]) == verdict
    out = capsys.readouterr().out.splitlines()
    assert out[-1] == ("FAIL" if verdict else "PASS") and "n=20" in out[-2]


def test_protocols_of_the_documentation_are_read(capsys: pytest.CaptureFixture[str]) -> None:
    found = sorted((Path(__file__).parents[1] / "docs" / "protocols").glob("*.toml"))
    assert len(found) == 3
    for path in found:
        assert run(["ptq", "--protocol", str(path)]) == 2
        err = capsys.readouterr().err
        assert err.startswith("error: ") and ".pt2 must be a file of torch.export.save" in err and err.count("\n") == 1


def test_float_onnx_is_sent_where_it_is_read(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["ptq", "net.onnx:images", "--datapath", "int8*int8", "--recipe", "rtn"]) == 2
    err = capsys.readouterr().err
    assert err.startswith(
        "error: a float network must be file.py:function or a torch.export file, net.pt2:folder, not "
    )
    assert err.endswith("; hwq import reads ONNX that is quantized\n")


def test_import_prints_layers_price_and_score(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model, path = zoo.load("resnet8"), tmp_path / "model.onnx"
    quantized = ptq.quantize(model, dict.fromkeys(("first", "body", "last"), "int8*int8"), "rtn")
    ptq.export_onnx(quantized, path)
    images, labels = model.test(40)
    np.savez(tmp_path / "images.npz", images=images.numpy(), labels=labels.numpy())
    out = tmp_path / "model.safetensors"
    assert run(["import", str(path), "--images", str(tmp_path / "images.npz"), "-o", str(out), "--json"]) == 0
    record: Any = json.loads(capsys.readouterr().out)
    assert record["exact"]["value"] == quantized.evaluate(images, labels)
    assert record["changed"]["codes"] == 0 and record["changed"]["of"] > 1_000_000
    assert torch.equal(ptq.load(out).predict(images), quantized.predict(images))
    assert run(["import", str(out), "--rtl", str(tmp_path / "rtl")]) == 0
    told = capsys.readouterr().out
    assert "int8*int8" in told
    for name, text in ptq.load(out).instances.items():
        assert Datapath.parse(str(Manifest.load(tmp_path / "rtl" / name).datapath)) == Datapath.parse(text)
        assert f"is in {tmp_path / 'rtl' / name}" in told
    path.write_bytes(b"nothing")
    assert run(["import", str(path)]) == 2
    assert capsys.readouterr().err.startswith(f"error: {path} must be an ONNX file")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["missing.onnx"], "missing.onnx must be an ONNX file, not a file that is missing"),
        (["missing.safetensors"], "missing.safetensors must be a quantized model, not a file that is missing"),
        (
            ["missing", "--model", "resnet8", "--datapath", "int8*int8"],
            "missing must be a safetensors file, not a file that is missing",
        ),
        (
            [".", "--model", "resnet8", "--datapath", "int8*int8"],
            ". must be a safetensors file, not a folder; name the file in it",
        ),
    ],
)
def test_a_missing_file_is_told_once(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    words: list[str],
    told: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(["import", *words]) == 2
    assert capsys.readouterr() == ("", f"error: {told}\n")
