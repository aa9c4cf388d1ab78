"""A user's model from `file.py:function`: three ways to give one, and every mistake named in one line."""

import sys
from pathlib import Path

import pytest
import torch

from hwq import ptq, zoo
from hwq.errors import HwqError

torch.set_num_threads(1)

USER = """
import sys
import torch
from torch import nn
from beside import CLASSES

def net():
    return nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Flatten(), nn.Linear(8, CLASSES))

def four(net=None, calibration=None, images=None, labels=None):
    x = torch.linspace(-1, 1, 96).reshape(6, 1, 4, 4)
    take = lambda given, default: default if given is None else given
    return (take(net, globals()["net"]()), take(calibration, x[:4]), take(images, x[4:]),
            take(labels, torch.tensor([0, 2])))

class Whole:
    metric = "top-1 of three"
    def __init__(self): self.net = net()
    def calibration(self): return four()[1]
    def test(self, n=None): return tuple(part[:n] for part in four()[2:])

def model(net=None):
    from hwq import zoo
    return zoo.Model("mine", net or globals()["net"](), Whole())

def scalar(): return 5
def short(): return four()[:3]
def no_net(): return four(net=3)
def integers(): return four(images=torch.zeros(2, 1, 4, 4, dtype=torch.uint8))
def nan(): return four(calibration=torch.full((2, 1, 4, 4), torch.nan))
def shapes(): return four(images=torch.zeros(2, 1, 5, 5))
def labels(): return four(labels=torch.tensor([0.0, 1.0]))
def classes(): return four(labels=torch.tensor([3, 0]))
def flat(): return four(net=nn.Flatten(0))
def narrow(): return four(net=nn.Conv2d(7, 1, 1))
def no_module(): return model(net=3)
class Broken(Whole):
    def calibration(self): raise OSError("no\\nimages")
class Leaves(Whole):
    def calibration(self): sys.exit(0)
class Nothing(Whole):
    def test(self, n=None): return None
class Fewer(Whole):
    def test(self, n=None): return Whole.test(self)
class Late(Whole):
    def test(self, n=None): return Whole.test(self, n) if n == 1 else 1 / 0
class Exits(nn.Flatten):
    def forward(self, x): sys.exit(0)
def exits(): return four(net=Exits())
def leaves(): sys.exit(0)
def raises(): raise OSError("no\\nweights")
value = 7
"""


@pytest.fixture
def user(tmp_path: Path) -> str:
    (tmp_path / "user.py").write_text(USER)
    (tmp_path / "beside.py").write_text("CLASSES = 3\n")
    return str(tmp_path / "user.py")


@pytest.mark.parametrize("function", ["four", "Whole", "model"])
def test_external(user: str, function: str) -> None:
    path = list(sys.path)
    model = zoo.load(f"{user}:{function}")
    assert sys.path == path
    assert not model.net.training
    assert model.calibration().shape == (4, 1, 4, 4)
    images, labels = model.test()
    assert images.shape == (2, 1, 4, 4)
    assert labels.tolist() == [0, 2]
    assert model.test(1)[1].tolist() == [0]
    assert ptq.quantizer(model, 4).roles == {"0": "first", "3": "last"}
    assert model.card is None
    assert model.metric == {"Whole": "top-1 of three"}.get(function, "top-1")
    assert model.name == {"model": "mine"}.get(function, f"{user}:{function}")


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        ("missing", r"must define the function 'missing', not .*\bfour\b.*$"),
        ("value", r"must define the function 'value', not "),
        ("scalar", r"must return an object with net, calibration\(\) and test\(n\), or a tuple .*, not int$"),
        ("short", r"must return an object .*, not \(Sequential, float32\[4, 1, 4, 4\], float32\[2, 1, 4, 4\]\)$"),
        ("no_net", r"must be a torch\.nn\.Module, not int$"),
        ("integers", r"must be a float tensor \[N, \.\.\.\], not uint8\[1, 1, 4, 4\]$"),
        ("nan", r"must be finite, not with nan or inf among them$"),
        ("shapes", r"must be alike, not float32\[4, 1, 4, 4\] and float32\[1, 1, 5, 5\]$"),
        ("labels", r"must be an int64 tensor \[1\], not float32\[1\]$"),
        ("classes", r"must be classes 0\.\.2, not up to 3$"),
        ("flat", r"must return logits \[N, classes\], not float32\[16\]$"),
        ("narrow", r"must map its calibration images, not raise RuntimeError: "),
        ("raises", r"must return a model, not raise OSError: no weights$"),
        ("leaves", r"must return a model, not raise SystemExit: 0$"),
        ("no_module", r"must be a torch\.nn\.Module, not int$"),
        ("exits", r"must map its calibration images, not raise SystemExit: 0$"),
        ("Broken", r"calibration\(\) of .*:Broken must return, not raise OSError: no images$"),
        ("Leaves", r"calibration\(\) of .*:Leaves must return, not raise SystemExit: 0$"),
        ("Nothing", r"test\(1\) of .*:Nothing must return \(images, labels\), not NoneType$"),
        ("Fewer", r"test\(1\) of .*:Fewer must return 1 images, not 2; ask for fewer$"),
    ],
)
def test_external_wrong(user: str, function: str, reason: str) -> None:
    with pytest.raises(HwqError, match=rf"^[^\n]*{reason}") as caught:
        zoo.load(f"{user}:{function}")
    assert "\n" not in str(caught.value)


def test_external_test_wrong(user: str) -> None:
    with pytest.raises(HwqError, match=r"^the number of test images must be 1\.\.2, not 3$"):
        zoo.load(f"{user}:four").test(3)
    with pytest.raises(HwqError, match=r"^test\(2\) of .*:Late must return, not raise ZeroDivisionError: division by "):
        zoo.load(f"{user}:Late").test(2)
    with pytest.raises(HwqError, match=r"^test\(3\) of .*:Whole must return 3 images, not 2; ask for fewer$"):
        zoo.load(f"{user}:Whole").test(3)


def test_file_wrong(tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text("")
    with pytest.raises(HwqError, match=r"^a model's file must exist, not 'absent\.py'; write file\.py:function$"):
        zoo.load("absent.py:make")
    with pytest.raises(HwqError, match=r"^a model's file must be a Python file, not '.*text\.txt'$"):
        zoo.load(f"{tmp_path / 'text.txt'}:make")
