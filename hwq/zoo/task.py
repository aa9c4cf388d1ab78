"""What a network is judged by: a number an item, its mean with an interval; and how near two networks' outputs are."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from hwq.errors import HwqError
from hwq.zoo.score import Score, matched, mean, wilson

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["ABS_REL", "COSINE", "KL", "RETRIEVAL", "TOP1", "WORDS", "Task", "beside", "divergence"]


@dataclass(frozen=True)
class Task:
    """A metric: the mean over `items(outputs, targets)`, one number [n] an item.

    `higher` says which way is better. `share` items are 0 or 1: their mean is a share with Wilson's interval, else it
    has Student's. `classes` says that the last axis of the outputs holds logits of classes.
    """

    name: str
    items: Callable[[Tensor, Tensor], Tensor]
    higher: bool = True
    share: bool = True
    classes: bool = True

    def score(self, outputs: Tensor, targets: Tensor) -> Score:
        """The metric of outputs [N, ...] with its 95 % interval."""
        values = self.items(outputs, targets).double().numpy()
        return wilson(int(values.sum()), len(values)) if self.share else mean(values)

    def difference(self, first: Tensor, second: Tensor, targets: Tensor) -> Score:
        """The metric of `first` minus that of `second`, outputs for the same items; the interval is paired."""
        a, b = (self.items(outputs, targets).double().numpy() for outputs in (first, second))
        return matched(a.astype(np.bool_), b.astype(np.bool_)) if self.share else mean(a - b)

    def beside(self, reference: Tensor, outputs: Tensor) -> dict[str, float | None]:
        """How near outputs [N, ...] are to those of a reference network, as `beside`."""
        return beside(reference, outputs, self.classes)


def beside(reference: Tensor, outputs: Tensor, classes: bool) -> dict[str, float | None]:
    """{agreement, kl, sqnr_db} where the last axis holds logits, else {cosine, sqnr_db}; and n, the rows.

    `agreement` is the share of places with the same largest logit, `kl` the mean divergence from the reference's
    softmax in nats, `cosine` the mean over rows, `sqnr_db` decibels over all numbers, None without noise or signal.
    """
    if reference.shape != outputs.shape or not len(outputs):
        raise HwqError(f"outputs must be alike, not {list(reference.shape)} and {list(outputs.shape)}")
    x, y = reference.double(), outputs.double()
    power, noise = float(x.square().sum()), float((x - y).square().sum())
    told: dict[str, float | None] = {"sqnr_db": 10 * math.log10(power / noise) if power > 0 and noise > 0 else None}
    if classes:
        agreed = float((x.argmax(-1) == y.argmax(-1)).double().mean())
        told = {"agreement": agreed, "kl": float(divergence(x, y).mean()), **told}
    else:
        told = {"cosine": float(_cosine(y, x).mean()), **told}
    return {**told, "n": len(outputs)}


def divergence(reference: Tensor, outputs: Tensor) -> Tensor:
    """KL(softmax of reference || softmax of outputs) in nats over the last axis: [..., C] twice -> [...], float64."""
    p, q = reference.double().log_softmax(-1), outputs.double().log_softmax(-1)
    nats: Tensor = (p.exp() * (p - q)).sum(-1)
    return nats


def _right(logits: Tensor, labels: Tensor) -> Tensor:
    """1 where the largest logit [N, C] is the label's [N], the first one on a tie."""
    return logits.argmax(1) == labels


def _error(logs: Tensor, depths: Tensor) -> Tensor:
    """The mean of |predicted - true| / true over the pixels of an image: log metres [N, ...] and metres [N, ...]."""
    depths = depths.double()
    return ((logs.double().exp() - depths).abs() / depths).flatten(1).mean(1)


def _cosine(outputs: Tensor, targets: Tensor) -> Tensor:
    """The cosine of each row with its target: [N, ...] twice."""
    a, b = outputs.double().flatten(1), targets.double().flatten(1)
    cosine: Tensor = (a * b).sum(1) / (a.norm(dim=1) * b.norm(dim=1)).clamp_min(1e-300)
    return cosine


def _drift(logits: Tensor, reference: Tensor) -> Tensor:
    """The mean divergence from the reference over the places of a sequence: [N, T, C] twice."""
    return divergence(reference, logits).flatten(1).mean(1)


def _found(embedded: Tensor, answers: Tensor) -> Tensor:
    """1 where a query's nearest answer by cosine is its own.

    The rows are the queries [M, D], then all answers [A, D]; `answers` [M] says which one belongs to each query.
    """
    rows = embedded.double() / embedded.double().norm(dim=1, keepdim=True).clamp_min(1e-300)
    queries, pool = rows[: len(answers)], rows[len(answers) :]
    nearest: Tensor = (queries @ pool.T).argmax(1)
    return nearest == answers


def _read(logits: Tensor, words: Tensor) -> Tensor:
    """1 where the word [L], padded by 0, is what CTC reads greedily in [T, C]: repeats are one, class 0 is a blank."""
    from torch.nn.functional import pad

    best = logits.argmax(-1)
    fresh = (best != pad(best, (1, 0), value=-1)[:, :-1]) & (best != 0)
    read = best.new_zeros(best.shape[0], max(best.shape[1], words.shape[1]))
    for row, keep, classes in zip(read, fresh, best, strict=True):
        row[: int(keep.sum())] = classes[keep]
    return (read == pad(words, (0, read.shape[1] - words.shape[1]))).all(1)


TOP1 = Task("top-1", _right)
RETRIEVAL = Task("retrieval", _found, classes=False)
WORDS = Task("word accuracy", _read)
ABS_REL = Task("AbsRel", _error, higher=False, share=False, classes=False)
COSINE = Task("cosine", _cosine, share=False, classes=False)
KL = Task("KL", _drift, higher=False, share=False)
