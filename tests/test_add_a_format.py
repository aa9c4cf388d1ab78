"""The family of docs/add-a-format.md conforms, and the page shows the file that is tested."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

from hwq import parse_format
from hwq.formats import Format
from hwq.testing import FormatConformance

DOCS = Path(__file__).parents[1] / "docs"
runpy.run_path(str(DOCS / "examples" / "fib.py"))  # enters its family


class TestFibonacci(FormatConformance):
    @pytest.fixture(params=["fib(2)", "fib(5)", "fib(7)"])
    def fmt(self, request: pytest.FixtureRequest) -> Format:
        return parse_format(request.param)


def test_the_page_shows_the_file() -> None:
    assert (DOCS / "examples" / "fib.py").read_text("utf-8") in (DOCS / "add-a-format.md").read_text("utf-8")
