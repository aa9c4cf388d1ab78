"""A user's model from `file.py:function`: loaded, and checked before anything slow is done with it."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from hwq.errors import HwqError
from hwq.zoo.model import Data, Model, crops
from hwq.zoo.task import TOP1, Task


@dataclass(frozen=True, eq=False)
class Tensors:
    """`Data` held in memory: calibration images [N, ...], test images [M, ...] and labels [M]."""

    held: Tensor
    images: Tensor
    labels: Tensor

    def calibration(self) -> Tensor:
        """All calibration images."""
        return self.held

    def test(self, n: int | None = None) -> tuple[Tensor, Tensor]:
        """The first n test images and labels, all without n."""
        n = len(self.images) if n is None else n
        if not 1 <= n <= len(self.images):
            raise HwqError(f"the number of test images must be 1..{len(self.images)}, not {n}")
        return self.images[:n], self.labels[:n]


@dataclass(frozen=True, eq=False)
class Checked:
    """`Data` of a user: whatever goes wrong in it is one line, whenever it is asked."""

    name: str
    data: Data
    labelled: bool = True

    def calibration(self) -> Tensor:
        """The user's calibration images, checked."""
        found = _run(self.name, "calibration()", self.data.calibration)
        return _images(f"the calibration images of {self.name}", found)

    def test(self, n: int | None = None) -> tuple[Tensor, Tensor]:
        """The user's test images and labels, checked."""
        call = f"test({'' if n is None else n})"
        found = _run(self.name, call, lambda: self.data.test(n))
        if not isinstance(found, tuple | list) or len(found) != 2:
            raise HwqError(f"{call} of {self.name} must return (images, labels), not {_shape(found)}")
        images, labels = _images(f"the test images of {self.name}", found[0]), found[1]
        if not isinstance(labels, Tensor):
            raise HwqError(f"the targets of {self.name} must be a tensor, not {_shape(labels)}")
        if self.labelled and (labels.dtype != torch.int64 or labels.shape != images.shape[:1]):
            raise HwqError(f"the labels of {self.name} must be an int64 tensor [{len(images)}], not {_shape(labels)}")
        if n is not None and len(images) != n:
            raise HwqError(f"{call} of {self.name} must return {n} images, not {len(images)}; ask for fewer")
        return images, labels

    def crops(self, n: int) -> Tensor:
        """The user's unlabelled inputs, checked."""
        found = _run(self.name, f"crops({n})", lambda: crops(self.name, self.data, n))
        return _images(f"the crops of {self.name}", found)


@runtime_checkable
class _Made(Data, Protocol):
    """An object with a net and images of its own."""

    net: object


def load(spec: str) -> Model:
    """The model that `function` in `file.py` returns, for a spec "file.py:function".

    It may be a `Model`; an object with `net`, `calibration()` and `test(n)` and, if it likes, `name`, `metric`, `card`,
    `task`; or a tuple `(net, calibration, images, labels)`. Whatever does not fit is an `HwqError` of one line.
    """
    model = _model(_call(spec), spec)
    model.net.eval()
    _check(model)
    return model


def _call(spec: str) -> object:
    """What the function returns; its folder is importable meanwhile, as for a script."""
    path, _, function = spec.rpartition(":")
    file = Path(path).expanduser().resolve()
    if not file.is_file():
        raise HwqError(f"a model's file must exist, not {path!r}; write file.py:function")
    name = f"hwq_model_{file.stem}"
    where = importlib.util.spec_from_file_location(name, file)
    if where is None or where.loader is None:
        raise HwqError(f"a model's file must be a Python file, not {path!r}")
    module = importlib.util.module_from_spec(where)
    sys.modules[name] = module  # dataclasses and pickles of that file look themselves up
    sys.path.insert(0, str(file.parent))
    try:
        where.loader.exec_module(module)
        make: Callable[[], object] | None = getattr(module, function, None)
        if not callable(make):
            raise HwqError(f"{path} must define the function {function!r}, not {_names(vars(module))}")
        return make()
    except HwqError:
        raise
    except (Exception, SystemExit) as error:
        raise HwqError(f"{spec} must return a model, not raise {_line(error)}") from error
    finally:
        sys.path.remove(str(file.parent))


def _model(made: object, spec: str) -> Model:
    net: object
    data: Data
    if isinstance(made, Model):
        net, data = made.net, made.data
    elif isinstance(made, tuple) and len(made) == 4 and all(isinstance(part, Tensor) for part in made[1:]):
        net, data = made[0], Tensors(*made[1:])
    elif isinstance(made, _Made):
        net, data = made.net, made
    else:
        raise HwqError(
            f"{spec} must return an object with net, calibration() and test(n), or a tuple (net, calibration, images, "
            f"labels) of a module and three tensors, not {_shape(made)}"
        )
    if not isinstance(net, nn.Module):
        raise HwqError(f"the net of {spec} must be a torch.nn.Module, not {_shape(net)}")
    name, task = getattr(made, "name", spec), getattr(made, "task", TOP1)
    if not isinstance(task, Task):
        raise HwqError(f"the task of {spec} must be a hwq.zoo.Task, not {_shape(task)}")
    task = replace(task, name=getattr(made, "metric", task.name))
    return Model(name, net, Checked(name, data, _labelled(task)), getattr(made, "card", None), task)


def _labelled(task: Task) -> bool:
    """True where the task's targets are labels of classes."""
    return task.items is TOP1.items


def _run(name: str, what: str, function: Callable[[], object]) -> object:
    """What a user's function returns; what it raises, `sys.exit` too, in one line."""
    try:
        return function()
    except HwqError:
        raise
    except (Exception, SystemExit) as error:
        raise HwqError(f"{what} of {name} must return, not raise {_line(error)}") from error


def _images(what: str, x: object) -> Tensor:
    if not isinstance(x, Tensor) or not x.is_floating_point() or x.dim() < 2 or not len(x):
        raise HwqError(f"{what} must be a float tensor [N, ...], not {_shape(x)}")
    if not bool(torch.isfinite(x).all()):
        raise HwqError(f"{what} must be finite, not with nan or inf among them")
    return x


def _check(model: Model) -> None:
    """Shapes, types and one forward pass, so that a mistake is named here and not by a layer an hour later."""
    name, held = model.name, model.calibration()
    images, labels = model.test(1)
    if held.shape[1:] != images.shape[1:]:
        raise HwqError(f"calibration and test images of {name} must be alike, not {_shape(held)} and {_shape(images)}")
    try:
        with torch.inference_mode():
            logits = model.net(held[:1])
    except (Exception, SystemExit) as error:
        raise HwqError(f"the net of {name} must map its calibration images, not raise {_line(error)}") from error
    if not _labelled(model.task):
        return
    if not isinstance(logits, Tensor) or logits.dim() != 2 or len(logits) != 1:
        raise HwqError(f"the net of {name} must return logits [N, classes], not {_shape(logits)}")
    if not 0 <= int(labels.min()) <= int(labels.max()) < logits.shape[1]:
        raise HwqError(f"the labels of {name} must be classes 0..{logits.shape[1] - 1}, not up to {int(labels.max())}")


def _shape(x: object) -> str:
    if isinstance(x, Tensor):
        return f"{str(x.dtype).removeprefix('torch.')}{list(x.shape)}"
    return f"({', '.join(map(_shape, x))})" if isinstance(x, tuple) else type(x).__name__


def _line(error: BaseException) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())


def _names(members: dict[str, object]) -> str:
    found = [name for name, value in members.items() if callable(value) and not name.startswith("_")]
    return ", ".join(found) or "none"
