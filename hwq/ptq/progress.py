"""Who watches a long quantization: nobody, unless a caller gives a bar."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar

__all__ = ["Bar", "Tick", "watch", "watched"]

Tick = Callable[[str], None]
Bar = Callable[[str, int], AbstractContextManager[Tick]]  # a bar of a title and a total, which a tick moves on by one


@contextmanager
def _nobody(title: str, total: int) -> Iterator[Tick]:
    yield lambda text: None


_BAR: ContextVar[Bar] = ContextVar("bar", default=_nobody)


@contextmanager
def watched(bar: Bar) -> Iterator[None]:
    """Show by `bar` what quantizations within do."""
    token = _BAR.set(bar)
    try:
        yield
    finally:
        _BAR.reset(token)


def watch(title: str, total: int) -> AbstractContextManager[Tick]:
    """The bar of who watches; none for a total of 0, which takes no time."""
    return (_BAR.get() if total else _nobody)(title, total)
