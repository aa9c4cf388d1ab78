"""What holds for every test: two cores for two workers, the same random values in every run, counts at its end."""

import os
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import settings

# Before anything imports them: a worker is one thread, and no window is opened.
for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ.setdefault(variable, "1")
os.environ.setdefault("MPLBACKEND", "Agg")

settings.register_profile("repeatable", derandomize=True, deadline=None, database=None)
settings.load_profile("repeatable")

COUNTED = "counted"


@pytest.fixture
def say(record_property: Callable[[str, object], None]) -> Callable[[str], None]:
    """A line of the run's summary, from whichever worker: what a test compared, and what it found."""
    return lambda line: record_property(COUNTED, line)


def pytest_terminal_summary(terminalreporter: Any) -> None:
    reports = [report for reports in terminalreporter.stats.values() for report in reports]
    called = [report for report in reports if getattr(report, "when", "") == "call"]
    lines = [str(line) for report in called for name, line in report.user_properties if name == COUNTED]
    if lines:
        terminalreporter.section("what was compared")
        terminalreporter.write_line("\n".join(sorted(lines)))
