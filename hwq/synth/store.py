"""Measured rows, in memory or on disk: one JSON line each as they finish, so that a killed run goes on where it was."""

import json
from pathlib import Path

from hwq.errors import HwqError
from hwq.synth.row import Row

__all__ = ["Store"]

_START = '{"key": "'  # of every line


class Store:
    """Rows keyed by everything that can change a row; with a path, every row is on disk when `put` returns."""

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        self._rows: dict[str, Row] = {}
        if path is not None and path.exists():
            self._load(path)

    def _load(self, path: Path) -> None:
        """Read all lines, and only then cut off what a kill left of the last one, so that the next row starts one."""
        try:
            *lines, torn = path.read_text(encoding="utf-8").split("\n")
            for line in lines:
                entry = json.loads(line)
                self._rows[entry["key"]] = Row.from_json(json.dumps(entry["row"]))
        except (ValueError, TypeError, KeyError) as error:
            reason = error if isinstance(error, HwqError) else f"{type(error).__name__}: {error}"
            raise HwqError(f"{path} must hold rows that hwq measured, not {reason}; name another file") from None
        if not _START.startswith(torn[: len(_START)]):
            raise HwqError(f"{path} must end in a row that hwq measured, not in another line; name another file")
        if torn:
            path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")

    def __len__(self) -> int:
        return len(self._rows)

    def get(self, key: str) -> Row | None:
        """The row of a key, None if it is not measured yet."""
        return self._rows.get(key)

    def row(self, key: str) -> Row:
        """The row of a key that has been measured."""
        return self._rows[key]

    def put(self, key: str, row: Row) -> None:
        """Keep a row."""
        self._rows[key] = row
        if self._path is not None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with self._path.open("a", encoding="utf-8") as file:
                file.write(f'{_START}{key}", "row": {row.to_json()}}}\n')
