"""The scripts that made the zoo's files: a short training, the choice of images, the unpacking."""

import importlib.util
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file
from torch import nn

from hwq.zoo import rooms
from hwq.zoo.glassllm import GlassLM
from hwq.zoo.resnet8 import ResNet8
from hwq.zoo.vit_tiny import ViTTiny

torch.set_num_threads(1)
TOOLS = Path(__file__).parents[1] / "tools"
sys.path.append(str(TOOLS))  # where a script finds those beside it


def tool(name: str) -> ModuleType:
    where = importlib.util.spec_from_file_location(name, TOOLS / f"{name}.py")
    assert where is not None
    assert where.loader is not None
    module = importlib.util.module_from_spec(where)
    sys.modules[name] = module
    where.loader.exec_module(module)
    return module


@pytest.mark.parametrize(("name", "net"), [("resnet8", ResNet8), ("vit_tiny", ViTTiny)])
def test_short_training_repeats_itself(tmp_path: Path, name: str, net: type[nn.Module]) -> None:
    train, training = tool(f"train_{name}"), tool("training")
    recipe = replace(train.Recipe(), epochs=1, batch=16)
    images, labels = torch.rand(40, 1, 28, 28) * 2 - 1, torch.arange(40) % 10
    first, again = (train.train(recipe, images, labels).state_dict() for _ in range(2))
    torch.manual_seed(recipe.seed)
    start = net().state_dict()
    assert first.keys() == start.keys()
    for name, value in first.items():
        assert torch.equal(value, again[name])
        assert not torch.equal(value, start[name])
        assert value.isfinite().all()
    made = net()
    made.load_state_dict(first)
    training.save(tmp_path / "net.safetensors", made, recipe, 7)
    saved = load_file(tmp_path / "net.safetensors")
    assert all(torch.equal(value, saved[name]) for name, value in first.items())
    with safe_open(tmp_path / "net.safetensors", "pt") as file:
        assert file.metadata()["correct_of_10000"] == "7"
        assert f'"seed": {recipe.seed}' in file.metadata()["recipe"]
    assert [path.name for path in tmp_path.iterdir()] == ["net.safetensors"]
    assert 0 <= training.evaluate(made.eval(), images, labels) <= 40


def test_short_training_of_depth_repeats_itself() -> None:
    train = tool("train_tinydepth")
    recipe = replace(train.Recipe(), epochs=2, batch=4)
    pictures, depths = rooms.rooms(1, 8)
    inputs = torch.from_numpy(pictures), torch.from_numpy(depths).unsqueeze(1)
    first, again = (train.train(recipe, *inputs).state_dict() for _ in range(2))
    assert all(torch.equal(value, again[name]) and value.isfinite().all() for name, value in first.items())
    truth = torch.tensor([[[[0.0, 1.0], [0.0, 0.0]]]])
    assert float(train.error(truth + 0.5, truth, 0.5)) == pytest.approx(0.5)
    assert float(train.error(torch.zeros(1, 1, 2, 2), truth, 0.5)) == pytest.approx(0.25 + 0.5 * (0.5 + 0.5))


def test_sequences_are_drawn_from_the_network() -> None:
    write = tool("sample_glassllm").write
    net = GlassLM().eval()
    torch.nn.init.normal_(net.embed.weight, std=0.01)  # every token about as likely as any
    first, again = write(net, 3, 9), write(net, 3, 9)
    assert first.shape == (3, 9)
    assert torch.equal(first, again)
    assert (first[:, 0] == 4).all()
    assert len(first.unique()) > 3


def test_augmentation_shifts_over_black_and_flips() -> None:
    training = tool("training")
    torch.manual_seed(1)
    image = torch.rand(1, 1, 5, 6)
    padded = torch.full((9, 10), -1.0)
    padded[2:7, 2:8] = image[0, 0]
    wanted = {(y, x, f): padded[y : y + 5, x : x + 6] for y in range(5) for x in range(5) for f in (0, 1)}
    wanted = {key: crop.flip(1) if key[2] else crop for key, crop in wanted.items()}
    seen: set[tuple[int, int, int]] = set()
    for out in training.augment(image.expand(1000, 1, 5, 6), 2):
        seen.update(key for key, crop in wanted.items() if torch.equal(crop, out[0]))
    assert seen == set(wanted)


def test_drawn_images_are_balanced_and_never_repeats() -> None:
    subset = tool("subset_fashion_mnist")
    labels = np.random.default_rng(0).integers(0, 10, 400).astype(np.uint8)
    allowed = np.arange(400) % 3 > 0
    chosen = subset.draw(labels, 57, allowed)
    assert len(set(chosen.tolist())) == 57
    assert allowed[chosen].all()
    assert np.array_equal(labels[chosen], np.arange(57) % 10)
    images = np.arange(6, dtype=np.uint8).repeat(4).reshape(6, 2, 2)
    twice = images[[0, 1, 1, 2, 5]]
    assert subset.unlike(twice, images[4:]).tolist() == [True, True, False, True, False]
    assert subset.unlike(twice, images[4:], repeats=True).tolist() == [True, True, True, True, False]


def test_broken_download_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fetch = tool("fetch_data")
    fails = ["dpkg"]

    def run(command: list[str], cwd: str | None = None, check: bool = False) -> None:
        assert check
        if command[0] in fails:
            raise fetch.subprocess.CalledProcessError(1, command)
        if command[0] == "apt-get":
            assert cwd is not None
            (Path(cwd) / "set_1_all.deb").write_bytes(b"deb")
        else:
            Path(command[-1]).mkdir()

    monkeypatch.setattr(fetch.subprocess, "run", run)
    with pytest.raises(fetch.subprocess.CalledProcessError):
        fetch.fetch(tmp_path / "cache", "set")
    assert list((tmp_path / "cache").iterdir()) == []
    fails.clear()
    folder = fetch.fetch(tmp_path / "cache", "set")
    assert list((tmp_path / "cache").iterdir()) == [folder]
    fails.append("apt-get")
    assert fetch.fetch(tmp_path / "cache", "set") == folder
