"""What holds for every test: two cores shared by two workers, and the same random values in every run."""

import os

from hypothesis import settings

# Before anything imports them: a worker is one thread, and no window is opened.
for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ.setdefault(variable, "1")
os.environ.setdefault("MPLBACKEND", "Agg")

settings.register_profile("repeatable", derandomize=True, deadline=None, database=None)
settings.load_profile("repeatable")
