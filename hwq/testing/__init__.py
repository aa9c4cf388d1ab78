"""Conformance suites: what must hold for anything that claims to be a number format. Needs pytest."""

import pytest

pytest.register_assert_rewrite("hwq.testing.arrays", "hwq.testing.formats")

from hwq.testing.formats import FormatConformance  # noqa: E402  (after the rewrite is registered)
from hwq.testing.nearest import Nearest  # noqa: E402

__all__ = ["FormatConformance", "Nearest"]
