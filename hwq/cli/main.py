"""How a run begins and ends: 0 done, 1 a check failed, 2 bad input, 130 interrupted."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence

from hwq.errors import HwqError

__all__ = ["main", "run"]

INTERRUPTED = 130
SHOWN = 200  # characters of a path
SAVING = ("search", "calibrate", "demo")  # the commands that keep what they finish


def run(arguments: Sequence[str]) -> int:
    """Run one command line; its exit code. Bad input is one `error: ...` line on standard error, never a traceback."""
    # Read when torch is loaded: its threads then sleep between products, instead of taking a core to wait on.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    try:
        from hwq.cli.commands import call  # here, since an interrupt may come while it is loaded

        code = call(arguments)
    except KeyboardInterrupt:
        code = INTERRUPTED
    except (HwqError, OSError) as error:
        print("error:", " ".join(_said(error).split()), file=sys.stderr)
        return 2
    if code == INTERRUPTED:
        saved = "; what was finished is saved" if arguments and arguments[0] in SAVING else ""
        print(f"interrupted{saved}", file=sys.stderr)
    return code


def _said(error: HwqError | OSError) -> str:
    """The invariant, the value and the remedy, of what an operating system refuses too."""
    if not isinstance(error, OSError) or error.strerror is None:
        return str(error)
    if error.filename is None:
        return f"files must be read and written whole, not: {error.strerror.lower()}"
    name = str(error.filename)
    shown = name if len(name) < SHOWN else f"...{name[-SHOWN:]}"
    return f"a path must be one that can be used, not {shown!r} ({error.strerror.lower()}); name another"


def main() -> None:
    """The console script."""
    if hasattr(signal, "SIGPIPE"):
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # a reader that goes away, such as head, ends the run quietly
    sys.exit(run(sys.argv[1:]))
