"""The file of a study: SQLite, one transaction per fact, so that a process may be killed at any moment.

`study` names each combination of objectives, limits and seed that was run; `trial` numbers its assignments; `value`
keeps one figure per objective and assignment, shared by all studies of the file. A trial is *running* while one of its
study's objectives has no value yet: there is no state that could fall out of step with the values.

While a file is open SQLite keeps its newest transactions beside it (FILE-wal); `close` and the next opening after a
kill bring them home.
"""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from hwq.errors import HwqError

__all__ = ["Store", "Stored"]

APPLICATION = 0x68777173
"""SQLite's application id of our files: the letters hwqs."""
SCHEMA = 1
PATIENCE_S = 60.0
"""How long to wait for another process's transaction, each of which takes milliseconds."""

CHECKPOINT_PAGES = 64
"""How many pages of 4 KiB may lie beside the file before they are brought home."""

TABLES = """
CREATE TABLE space (digest TEXT NOT NULL, words TEXT NOT NULL);
CREATE TABLE study (id TEXT PRIMARY KEY, description TEXT NOT NULL);
CREATE TABLE trial (
    study TEXT NOT NULL REFERENCES study, number INTEGER NOT NULL, assignment TEXT NOT NULL,
    PRIMARY KEY (study, number), UNIQUE (study, assignment)
);
CREATE TABLE value (
    objective TEXT NOT NULL, assignment TEXT NOT NULL, value REAL, low REAL, high REAL, error TEXT,
    PRIMARY KEY (objective, assignment)
)
"""


@dataclass(frozen=True)
class Stored:
    """One figure: a value, with bounds where the objective states them, or the text of an error."""

    value: float | None
    low: float | None
    high: float | None
    error: str | None


class Store:
    """A store file, created if missing. Refuses files that are damaged, foreign, or of another space."""

    def __init__(self, path: Path, digest: str, words: str) -> None:
        """`digest` identifies the space, `words` says it in messages."""
        self.path = path
        if not path.parent.is_dir():
            raise HwqError(f"the store's folder must exist, not {str(path.parent)!r}; create it first")
        with self._told():
            self._connection = sqlite3.connect(path, timeout=PATIENCE_S, isolation_level=None)
        try:
            self._open(digest, words)
        except BaseException:
            self._connection.close()
            raise

    def _open(self, digest: str, words: str) -> None:
        with self._told():
            with self._transaction():
                self._create_if_empty(digest, words)
            if self._one("PRAGMA application_id") != APPLICATION:
                raise HwqError(f"{self.path} must be a store of hwq, not another program's database; name another file")
            if self._one("PRAGMA user_version") != SCHEMA:
                raise HwqError(f"{self.path} must be a store of this hwq, not of a newer one; name another file")
            if (health := self._one("PRAGMA quick_check(1)")) != "ok":
                raise sqlite3.DatabaseError(health)
            self._connection.execute("PRAGMA journal_mode=WAL")
            self._connection.execute("PRAGMA synchronous=FULL")
            self._connection.execute(f"PRAGMA wal_autocheckpoint={CHECKPOINT_PAGES}")
            found, said = self._connection.execute("SELECT digest, words FROM space").fetchone()
        if found != digest:
            raise HwqError(f"{self.path} must hold the space {words}, not {said}; name another file")

    def _create_if_empty(self, digest: str, words: str) -> None:
        if self._one("SELECT count(*) FROM sqlite_master") or self._one("PRAGMA application_id"):
            return
        for statement in TABLES.split(";"):
            self._connection.execute(statement)
        self._connection.execute("INSERT INTO space VALUES (?, ?)", (digest, words))
        self._connection.execute(f"PRAGMA application_id={APPLICATION}")
        self._connection.execute(f"PRAGMA user_version={SCHEMA}")

    def close(self) -> None:
        """Close the file; every fact is already in it."""
        self._connection.close()

    def add_study(self, study: str, description: str) -> None:
        """Name a study; naming it again changes nothing."""
        with self._told():
            self._connection.execute("INSERT OR IGNORE INTO study VALUES (?, ?)", (study, description))

    def add_trial(self, study: str, number: int, assignment: str) -> None:
        """Give a number to an assignment, which is running from now on."""
        with self._told():
            self._connection.execute("INSERT OR IGNORE INTO trial VALUES (?, ?, ?)", (study, number, assignment))

    def trials(self, study: str) -> list[str]:
        """The assignments of a study by number, 0 first."""
        with self._told():
            query = "SELECT assignment FROM trial WHERE study = ? ORDER BY number"
            return [row[0] for row in self._connection.execute(query, (study,))]

    def add_value(self, objective: str, assignment: str, stored: Stored) -> None:
        """Keep a figure; the first one stays if two processes found it at the same time."""
        row = (objective, assignment, stored.value, stored.low, stored.high, stored.error)
        with self._told():
            self._connection.execute("INSERT OR IGNORE INTO value VALUES (?, ?, ?, ?, ?, ?)", row)

    def value(self, objective: str, assignment: str) -> Stored | None:
        """One figure, or None where there is none yet."""
        with self._told():
            query = "SELECT value, low, high, error FROM value WHERE objective = ? AND assignment = ?"
            row = self._connection.execute(query, (objective, assignment)).fetchone()
        return Stored(*row) if row else None

    def values(self, objective: str) -> dict[str, Stored]:
        """All figures of an objective by assignment."""
        with self._told():
            query = "SELECT assignment, value, low, high, error FROM value WHERE objective = ?"
            return {row[0]: Stored(*row[1:]) for row in self._connection.execute(query, (objective,))}

    def forget_errors(self, objectives: Sequence[str]) -> int:
        """Delete the errors of some objectives, so that their trials are running again; how many there were."""
        with self._told(), self._transaction():
            query = "DELETE FROM value WHERE error IS NOT NULL AND objective = ?"
            return sum(self._connection.execute(query, (objective,)).rowcount for objective in objectives)

    def _one(self, query: str) -> object:
        return self._connection.execute(query).fetchone()[0]

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise
        self._connection.execute("COMMIT")

    @contextmanager
    def _told(self) -> Iterator[None]:
        """SQLite's errors, said in one line that names the file and a remedy."""
        try:
            yield
        except sqlite3.OperationalError as error:
            remedy = "what was finished is saved; run again when the cause is gone"
            raise HwqError(f"the store must be writable, but {self.path} is not: {error}; {remedy}") from error
        except sqlite3.DatabaseError as error:
            what = f"{self.path} must be a store of hwq, not a damaged or foreign file"
            said = " ".join(str(error).split())  # quick_check answers in lines
            raise HwqError(f"{what} ({said}); restore a copy or name another file") from error
