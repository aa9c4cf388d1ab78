"""Measured rows, in memory or on disk: one JSON line each as they finish, so that a killed run goes on where it was."""

import json
from pathlib import Path

from hwq.synth.row import Row

__all__ = ["Store"]


class Store:
    """Rows keyed by everything that can change a row; with a path, every row is on disk when `put` returns."""

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        self._rows: dict[str, Row] = {}
        if path is not None and path.exists():
            self._load(path)

    def _load(self, path: Path) -> None:
        *lines, torn = path.read_text(encoding="utf-8").split("\n")
        if torn:  # by a kill in the middle of a line: cut it off, so that the next row starts one
            path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        for line in lines:
            entry = json.loads(line)
            self._rows[entry["key"]] = Row.from_json(json.dumps(entry["row"]))

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
                file.write(f'{{"key": "{key}", "row": {row.to_json()}}}\n')
