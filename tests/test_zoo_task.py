"""Tasks: items by hand, intervals that cover, and outputs beside one another."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from hwq import ptq, zoo
from hwq.errors import HwqError
from hwq.zoo import score, task
from hwq.zoo.task import ABS_REL, COSINE, KL, RETRIEVAL, TOP1, WORDS, Task

torch.set_num_threads(1)


def test_top1_is_accuracy() -> None:
    logits, labels = torch.tensor([[0.0, 1], [2, 1], [3, 3]]), torch.tensor([1, 1, 0])
    assert TOP1.items(logits, labels).tolist() == [True, False, True]
    assert TOP1.score(logits, labels) == zoo.accuracy(logits.argmax(1), labels)
    other = -logits
    found = TOP1.difference(logits, other, labels)
    assert found == zoo.difference(logits.argmax(1), other.argmax(1), labels)


def test_absolute_relative_error() -> None:
    depths = torch.tensor([[[1.0, 2.0]], [[4.0, 4.0]]])
    found = ABS_REL.items(torch.log(depths * torch.tensor([[[1.1, 0.8]], [[1.0, 1.0]]])), depths)
    assert found.tolist() == pytest.approx([0.15, 0], abs=1e-6)
    assert not ABS_REL.higher


def test_cosine() -> None:
    found = COSINE.items(torch.tensor([[1.0, 0], [1, 1], [0, 0]]), torch.tensor([[2.0, 0], [1, 0], [1, 0]]))
    assert found.tolist() == pytest.approx([1, math.sqrt(0.5), 0])


def test_divergence_of_sequences() -> None:
    reference, logits = torch.zeros(2, 3, 2), torch.zeros(2, 3, 2)
    logits[0, 0] = torch.tensor([math.log(3), 0.0])  # 3/4 and 1/4 for 1/2 and 1/2
    nats = 0.5 * math.log(0.5 / 0.75) + 0.5 * math.log(0.5 / 0.25)
    assert KL.items(logits, reference).tolist() == pytest.approx([nats / 3, 0])
    assert KL.score(reference, reference).value == 0


def test_retrieval_finds_by_cosine() -> None:
    answers = torch.eye(3) * torch.tensor([[9.0], [1], [1]])
    queries = torch.tensor([[1.0, 0.9, 0], [0, 0, 2]])
    assert RETRIEVAL.items(torch.cat([queries, answers]), torch.tensor([0, 1])).tolist() == [True, False]


@pytest.mark.parametrize(
    ("classes", "word", "right"),
    [
        ([0, 5, 5, 0, 5, 3, 0], [5, 5, 3], True),
        ([5, 5, 5, 5, 5, 3, 3], [5, 3], True),
        ([5, 5, 5, 5, 5, 3, 3], [5, 5, 3], False),
        ([0, 0, 0, 0, 0, 0, 0], [], True),
        ([0, 0, 0, 0, 0, 0, 0], [1], False),
        ([1, 2, 3, 4, 5, 6, 7], [1, 2, 3], False),
    ],
)
def test_words_are_read_greedily(classes: list[int], word: list[int], right: bool) -> None:
    logits = torch.nn.functional.one_hot(torch.tensor([classes]), 8).float()
    for width in (4, 9):
        padded = torch.tensor([word + [0] * (width - len(word))])
        assert WORDS.items(logits, padded).tolist() == [right]


def test_means_are_students() -> None:
    """Student's own table (Biometrika 6, 1908): ten hours of additional sleep."""
    hours = np.array([1.2, 2.4, 1.3, 1.3, 0.0, 1.0, 1.8, 0.8, 4.6, 1.4])
    found = score.mean(hours)
    assert found.value == pytest.approx(1.58)
    assert (found.low, found.high) == pytest.approx((0.7001, 2.4599), abs=1e-4)
    assert str(found) == "1.5800 [0.7001, 2.4599], n=10"
    for values, told in ([1.0], "1"), ([], "0"), ([1, math.nan], "nan or inf"):
        with pytest.raises(HwqError, match=rf"^a mean with an interval needs 2 or more finite items, not {told}$"):
            score.mean(values)


def test_differences_of_means_are_paired() -> None:
    torch.manual_seed(1)
    depths = torch.rand(200, 1, 4, 4) + 1
    first = depths.log() + torch.randn(200, 1, 1, 1) * 0.3
    second = first + torch.randn(200, 1, 4, 4) * 0.001
    alone, paired = ABS_REL.score(first, depths), ABS_REL.difference(first, second, depths)
    assert abs(paired.value) < 0.001
    assert paired.low <= 0 <= paired.high or abs(paired.value) < 3 * (paired.high - paired.low)
    assert paired.high - paired.low < 0.02 * (alone.high - alone.low)


def test_beside() -> None:
    reference = torch.tensor([[1.0, 0], [0, 1], [3, 1], [1, 2]])
    told = task.beside(reference, reference, True)
    assert told == {"agreement": 1, "kl": 0, "sqnr_db": None, "n": 4}
    other = reference.clone()
    other[0] = torch.tensor([0.0, 1])
    told = task.beside(reference, other, True)
    assert told["agreement"] == 0.75
    p, q = 1 / (1 + math.exp(-1)), 1 / (1 + math.exp(1))
    assert told["kl"] == pytest.approx((p * math.log(p / q) + q * math.log(q / p)) / 4)
    assert told["sqnr_db"] == pytest.approx(10 * math.log10(17 / 2))
    assert task.beside(reference, 3 * reference, False)["cosine"] == pytest.approx(1)
    with pytest.raises(HwqError, match=r"^outputs must be alike, not \[4, 2\] and \[3, 2\]$"):
        task.beside(reference, other[:3], True)


USER = """
import torch
from torch import nn
from hwq.zoo import Model
from hwq.zoo.task import ABS_REL

class Depths:
    def calibration(self): return torch.rand(20, 1, 4, 4, generator=torch.Generator().manual_seed(1))
    def test(self, n=None):
        n = 12 if n is None else n
        x = torch.rand(n, 1, 4, 4, generator=torch.Generator().manual_seed(2))
        return x, x.flatten(1).sum(1, keepdim=True).exp()

def net():
    layer = nn.Linear(16, 1)
    with torch.no_grad():
        layer.weight.fill_(1.01), layer.bias.fill_(0.1)
    return nn.Sequential(nn.Flatten(), layer)

def model(): return Model("sum", net(), Depths(), task=ABS_REL)

class Crops(Depths):
    def __init__(self): self.net, self.task = net(), ABS_REL
    def crops(self, n): return torch.ones(n, 1, 4, 4)

class Wrong(Depths):
    def __init__(self): self.net, self.task = net(), 3
"""


@pytest.fixture
def user(tmp_path: Path) -> str:
    (tmp_path / "user.py").write_text(USER)
    return str(tmp_path / "user.py")


def test_a_report_follows_the_task(user: str) -> None:
    model = zoo.load(f"{user}:model")
    assert (model.metric, model.task) == ("AbsRel", ABS_REL)
    quantized = ptq.quantize(model, {"first": "int8*int8"}, "rtn")
    record = ptq.report(model, quantized)
    inputs, targets = model.test()
    float_, exact = model.net(inputs).detach(), quantized.outputs(inputs)
    assert (record["metric"], record["n"]) == ("AbsRel", 12)
    assert record["float"] == pytest.approx(ABS_REL.score(float_, targets).json())
    assert record["lost"]["value"] == pytest.approx(record["exact"]["value"] - record["float"]["value"])
    assert record["beside"].keys() == {"cosine", "sqnr_db", "n"}
    assert record["beside"]["sqnr_db"] == pytest.approx(task.beside(float_, exact, False)["sqnr_db"], abs=1e-3)


def test_crops_are_asked_of_those_that_have_them(user: str) -> None:
    with pytest.raises(
        HwqError, match=r"^sum must have unlabelled crops, not test images alone; judge it without them$"
    ):
        zoo.load(f"{user}:model").crops(3)
    assert zoo.load(f"{user}:Crops").crops(3).shape == (3, 1, 4, 4)
    with pytest.raises(HwqError, match=r"^the task of \S+:Wrong must be a hwq\.zoo\.Task, not int$"):
        zoo.load(f"{user}:Wrong")


def test_a_task_of_ones_own() -> None:
    def near(outputs: Tensor, targets: Tensor) -> Tensor:
        return (outputs - targets).abs().amax(1) < 0.5

    mine = Task("near", near, classes=False)
    assert mine.score(torch.zeros(4, 2), torch.tensor([[0.0, 0.4], [0, 0], [0, 1], [0, 0]])) == zoo.wilson(3, 4)
