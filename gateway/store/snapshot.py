"""One moment of the store, seen by a reader of its own while others go on writing: for backups. All of it blocks.

A read transaction is a moment: whatever is committed later is not in it, and SQLite's online backup, made on the same
connection, copies just that (https://sqlite.org/backup.html). `still` keeps every process from committing, by the lock
that write transactions go through; meanwhile no body that the catalog names can be removed, since its row goes first.
"""

import math
import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from gateway.store.changes import ChangeCounter, LockTimeout
from gateway.store.database import Connection, StoreError
from gateway.store.migrate import require_ours

_LOCK_TIMEOUT_S = 30.0
_BUSY_TIMEOUT_S = 10.0
_CLOCK_STEPS = 10_000  # of SQLite's machine: less than a millisecond, and more than `look` takes
_BODIES = """
    SELECT bucket, key, size, origin, location, '' FROM objects WHERE modified_s >= ?1
    UNION ALL SELECT u.bucket, u.key, p.size, u.origin, p.location, u.upload_id FROM upload_parts p
        JOIN uploads u ON u.upload_id = p.upload_id WHERE u.state != 'done' AND p.modified_s >= ?1
"""
_OBJECT = "SELECT 1 FROM objects WHERE bucket = ? AND key = ? AND origin = ? AND location = ?"
_PART = """SELECT 1 FROM upload_parts p JOIN uploads u ON u.upload_id = p.upload_id
           WHERE p.upload_id = ? AND u.origin = ? AND p.location = ? AND u.state != 'done'"""


class TimeIsUp(Exception):
    """The store has stood still for as long as it may."""


@dataclass(frozen=True, slots=True)
class NamedBody:
    """A body that the catalog names: an object's, or with an `upload_id` a part's of an upload that is not done."""

    bucket: str
    key: str
    size: int
    origin: str
    location: str
    upload_id: str


class Snapshot:
    """The store as it was at the last `look`."""

    def __init__(self, connection: Connection, changes: ChangeCounter | None) -> None:
        self._connection = connection
        self._changes = changes

    @classmethod
    def open(cls, path: Path) -> Self:
        """A store that others may be writing to; raises StoreError where it is not there, or none of ours."""
        if not path.exists():
            raise StoreError(f"{path}: there is no store yet")
        try:
            changes = ChangeCounter(path.with_name(f"{path.name}-lock"))
        except OSError as error:
            raise StoreError(f"{path}: {error.strerror}") from error
        try:
            return cls(_connect(path, "mode=rw"), changes)
        except BaseException:
            changes.close()
            raise

    @classmethod
    def open_copy(cls, path: Path) -> Self:
        """A copy that nobody writes to; nothing is made beside it. Raises StoreError."""
        return cls(_connect(path, "immutable=1"), None)

    def close(self) -> None:
        self._connection.close()
        if self._changes is not None:
            self._changes.close()

    @property
    def schema(self) -> int:
        return int(self._connection.execute("PRAGMA user_version").fetchone()[0])

    def look(self) -> None:
        """From now on it is the store of this moment."""
        with _store_errors():
            if self._connection.in_transaction:
                self._connection.execute("COMMIT")
            self._connection.execute("BEGIN")
            self._connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()

    @contextmanager
    def still(self, most_s: float = math.inf) -> Iterator[None]:
        """Within it nobody commits: keep it short. Raises StoreError where the lock cannot be had.

        After `most_s` seconds what is read raises TimeIsUp, also where it has found nothing yet: looking for it may
        mean reading all the catalog.
        """
        if self._changes is None:  # a copy: nobody does
            yield
            return
        try:
            self._changes.lock(_LOCK_TIMEOUT_S)
        except LockTimeout as error:
            raise StoreError(str(error)) from None
        until_s = time.monotonic() + most_s
        self._connection.set_progress_handler(lambda: time.monotonic() > until_s, _CLOCK_STEPS)
        try:
            yield
        finally:
            self._connection.set_progress_handler(None, 0)
            self._changes.unlock()

    def bodies(self, since_s: int = 0) -> Iterator[NamedBody]:
        """The bodies that the catalog names, stored at `since_s` (of the epoch) or later by the gateway's clock."""
        with _store_errors(), closing(self._connection.execute(_BODIES, (since_s,))) as found:
            for row in found:
                yield NamedBody(*row)

    def names(self, body: NamedBody) -> bool:
        """Does the catalog name this body?"""
        owner = (body.upload_id,) if body.upload_id else (body.bucket, body.key)
        with _store_errors():
            found = self._connection.execute(_PART if body.upload_id else _OBJECT, (*owner, body.origin, body.location))
            return found.fetchone() is not None

    def identities(self) -> dict[str, str]:
        """Which directory each origin's name stands for."""
        with _store_errors():
            return dict(self._connection.execute("SELECT origin, identity FROM origins").fetchall())

    def damage(self) -> str | None:
        """What is wrong with the file, after reading all of it; None: nothing."""
        with _store_errors():
            found = str(self._connection.execute("PRAGMA quick_check(1)").fetchone()[0])
            if found == "ok" and self._connection.execute("PRAGMA foreign_key_check").fetchone() is not None:
                found = "a row refers to one that is not there"
        return None if found == "ok" else found.replace("\n", "; ")

    def write(self, target: Path) -> None:
        """Copy this moment into a new file of its owner's, one file without a log. Raises StoreError, OSError."""
        os.close(os.open(target, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        with _store_errors(), closing(sqlite3.connect(target, isolation_level=None)) as copy:
            copy.execute("PRAGMA synchronous = OFF")  # synced once, as a whole
            self._connection.backup(copy)
            copy.execute("PRAGMA journal_mode = DELETE").fetchone()


def _connect(path: Path, how: str) -> Connection:
    """A connection that changes nothing; raises StoreError."""
    try:
        connection = sqlite3.connect(
            f"{path.absolute().as_uri()}?{how}", uri=True, isolation_level=None, timeout=_BUSY_TIMEOUT_S
        )
        try:
            connection.execute("PRAGMA query_only = ON")
            require_ours(connection)
        except BaseException:
            connection.close()
            raise
    except sqlite3.Error as error:
        raise StoreError(f"{path}: {error}") from error
    return connection


@contextmanager
def _store_errors() -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_INTERRUPT:
            raise TimeIsUp from error
        raise StoreError(f"the store could not be read: {error}") from error
