"""The zoo: the committed network and images are what the card says."""

import hashlib
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import fx, nn

from hwq import ptq, zoo
from hwq.errors import HwqError
from hwq.zoo import fashion_mnist
from hwq.zoo.resnet8 import WEIGHTS

torch.set_num_threads(1)
ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def resnet8() -> zoo.Model:
    return zoo.load("resnet8")


@pytest.fixture(scope="module")
def card(resnet8: zoo.Model) -> Callable[[str], str]:
    """A cell of the card's table of facts by its row's title."""
    assert resnet8.card is not None
    text = (ROOT / resnet8.card).read_text()

    def fact(title: str) -> str:
        (cell,) = re.findall(rf"^\| {re.escape(title)} \| `?([^|`]*?)`? \|", text, re.MULTILINE)
        return str(cell)

    return fact


def sha256(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


# The network


def test_import_is_light() -> None:
    code = "import sys, hwq.zoo; hwq.zoo.models(); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


def test_committed_files_are_the_cards(card: Callable[[str], str]) -> None:
    assert sha256(WEIGHTS) == card("weights sha256")
    assert sha256(fashion_mnist.COMMITTED) == card("images sha256")
    assert f"{WEIGHTS.stat().st_size:,}" == card("weights file, bytes")
    assert f"{fashion_mnist.COMMITTED.stat().st_size:,}" == card("images file, bytes")


def test_size_is_the_cards(resnet8: zoo.Model, card: Callable[[str], str]) -> None:
    macs = 0

    def count(layer: nn.Module, _: object, out: torch.Tensor) -> None:
        nonlocal macs
        assert isinstance(layer, nn.Conv2d | nn.Linear)
        macs += out[0].numel() * layer.weight[0].numel()

    layers = dict(resnet8.net.named_modules())
    handles = [layers[name].register_forward_hook(count) for name in ptq.quantizer(resnet8, 4).roles]
    resnet8.net(torch.zeros(1, 1, 28, 28))
    for handle in handles:
        handle.remove()
    assert f"{macs:,}" == card("multiply-accumulates per image")
    assert f"{sum(p.numel() for p in resnet8.net.parameters()):,}" == card("parameters")
    assert all(p.dtype == torch.float32 for p in resnet8.net.parameters())


def test_accuracy_is_the_cards(resnet8: zoo.Model, card: Callable[[str], str]) -> None:
    images, labels = resnet8.test()
    with torch.inference_mode():
        predicted = torch.cat([resnet8.net(part).argmax(1) for part in torch.split(images, 500)])
    assert str(zoo.accuracy(predicted, labels)) == card("top-1, 2,000 test images")


def test_traces_to_the_same_function(resnet8: zoo.Model) -> None:
    images, _ = resnet8.test(8)
    assert torch.equal(fx.symbolic_trace(resnet8.net)(images), resnet8.net(images))


def test_roles(resnet8: zoo.Model) -> None:
    roles = ptq.quantizer(resnet8, 4).roles
    assert list(roles) == [
        *("stem", "block1.conv1", "block1.conv2"),
        *("block2.conv1", "block2.conv2", "block2.shortcut"),
        *("block3.conv1", "block3.conv2", "block3.shortcut", "fc"),
    ]
    assert (roles["stem"], roles["fc"]) == ("first", "last")
    assert {role for layer, role in roles.items() if layer not in ("stem", "fc")} == {"body"}


# The images


def test_committed_images_are_disjoint_and_balanced() -> None:
    with np.load(fashion_mnist.COMMITTED) as stored:
        calibration, test, labels = stored["calibration"], stored["test"], stored["test_labels"]
        calibration_index, test_index = stored["calibration_index"], stored["test_index"]
    assert calibration.shape == (512, 28, 28)
    assert test.shape == (2000, 28, 28)
    assert calibration.dtype == test.dtype == np.uint8
    assert len(set(calibration_index.tolist())) == 512
    assert len(set(test_index.tolist())) == 2000
    assert 0 <= test_index.min() <= test_index.max() < 10_000
    held, judged = ({image.tobytes() for image in images} for images in (calibration, test))
    assert (len(held), len(judged)) == (512, 2000)
    assert not held & judged
    assert np.array_equal(labels, np.arange(2000) % 10)


def test_first_n_are_balanced(resnet8: zoo.Model) -> None:
    assert resnet8.calibration().shape == (512, 1, 28, 28)
    for n in (1, 9, 512, 1234, 2000):
        images, labels = resnet8.test(n)
        assert images.shape == (n, 1, 28, 28)
        assert images.dtype == torch.float32
        assert labels.dtype == torch.int64
        counts = torch.bincount(labels, minlength=10)
        assert counts.sum() == n
        assert counts.max() - counts.min() <= 1


def test_normalised_pixels_are_exact_in_eight_bits() -> None:
    pixels = np.arange(256, dtype=np.uint8).reshape(-1, 1, 1)
    x = fashion_mnist.normalise(pixels)
    assert x.shape == (256, 1, 1, 1)
    assert torch.equal((x * 128 + 128).flatten(), torch.arange(256.0))
    assert torch.equal(x.bfloat16().float(), x)


@pytest.mark.parametrize("n", [-1, 0, 2001, 9999, 10001])
def test_number_of_images_wrong(n: int, resnet8: zoo.Model) -> None:
    with pytest.raises(HwqError, match=rf"^the number of test images must be 1\.\.2000 or 10000, not {n}$"):
        resnet8.test(n)


def idx(array: np.ndarray) -> bytes:
    return bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes() + array.astype(np.uint8).tobytes()


def unpack(folder: Path, images: bytes, labels: bytes) -> None:
    import gzip

    deep = folder / "usr" / "share"
    deep.mkdir(parents=True)
    (deep / "t10k-images-idx3-ubyte.gz").write_bytes(gzip.compress(images, 1))
    (deep / "t10k-labels-idx1-ubyte.gz").write_bytes(gzip.compress(labels, 1))


def test_full_split(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, resnet8: zoo.Model) -> None:
    pixels = np.zeros((10_000, 28, 28), np.uint8)
    pixels[:, 0, 27], pixels[:, 27, 0] = np.arange(10_000) % 251, 255
    unpack(tmp_path, idx(pixels), idx(np.arange(10_000) % 7))
    monkeypatch.setenv("HWQ_DATA", str(tmp_path))
    images, labels = resnet8.test(10_000)
    assert torch.equal(images * 128 + 128, torch.from_numpy(pixels).float().unsqueeze(1))
    assert torch.equal(labels, torch.arange(10_000) % 7)


def test_full_split_wrong(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, resnet8: zoo.Model) -> None:
    name = r"t10k-images-idx3-ubyte\.gz"
    monkeypatch.setenv("HWQ_DATA", str(tmp_path / "absent"))
    with pytest.raises(HwqError, match=rf"^{name} must be below .*absent, not missing; run tools/fetch_data"):
        resnet8.test(10_000)
    for case, images in {
        "header": b"\1\2\3",
        "reshape": idx(np.zeros((10_000, 28, 28)))[:-1],
        "holds": idx(np.zeros((9, 28, 28))),
    }.items():
        unpack(tmp_path / case, images, idx(np.zeros(10_000)))
        monkeypatch.setenv("HWQ_DATA", str(tmp_path / case))
        reason = {
            "header": rf"^.*{name} must be a gzipped IDX file of bytes, not header 010203; unpack the package again$",
            "reshape": rf"^.*{name} must be a gzipped IDX file of bytes, not cannot reshape",
            "holds": r"^t10k must hold 10000 images of 28x28 and labels, not \(9, 28, 28\) and \(10000,\)$",
        }[case]
        with pytest.raises(HwqError, match=reason):
            resnet8.test(10_000)


def test_load_wrong() -> None:
    with pytest.raises(
        HwqError, match=r"^a model must be one of crnn, .*, resnet8, .*, or file\.py:function, not 'resnet9'$"
    ):
        zoo.load("resnet9")
