"""One SQLite file: one writing thread with group commit, a few reading threads.

Whatever writes are queued when the writer is free are committed together, each in a savepoint of its own: with
`synchronous=FULL` a commit costs one fsync however many it holds, and a timed window would only add latency.
Write transactions and checkpoints of all processes go through one lock file, auto-checkpoint is off: SQLite before
3.51.3 can corrupt a WAL file when two processes write or checkpoint at once (https://sqlite.org/wal.html#walresetbug).
No other code of the process may open the store's files: closing them would drop SQLite's locks.
The standard library's module is used directly, in our own threads: a statement is a call, not a hop between threads.
"""

import asyncio
import contextlib
import logging
import os
import queue
import sqlite3
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from gateway.errors import Code, S3Error
from gateway.metrics import STORE_FAILURES
from gateway.store.changes import ChangeCounter, LockTimeout
from gateway.store.migrate import migrate, require_ours
from gateway.store.runs import Runs
from gateway.store.tally import StoreTally
from gateway.threads import Threads

# States of the file, the disk or the machine (https://sqlite.org/rescode.html).
_STATES = frozenset(
    {
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_NOMEM,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_INTERRUPT,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_CORRUPT,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_PROTOCOL,
        sqlite3.SQLITE_NOTADB,
    }
)
_UNDECODABLE = "Could not decode to UTF-8"  # the sqlite3 module's own: damage that SQLite itself does not see
_log = logging.getLogger("anbar.store")
T = TypeVar("T")
Connection = sqlite3.Connection

_LOCK_TIMEOUT_S = 10.0
_BUSY_TIMEOUT_MS = 10_000
_LARGEST_BATCH = 512
_CHECKPOINT_BYTES = 8 << 20
_CHECKPOINT_WAIT_MS = 50
_READERS = 2


class StoreError(Exception):
    """The store cannot be used: broken, foreign, or made by a newer version."""


class _Job:
    """One queued write: the work, and the future of the loop that waits for it."""

    __slots__ = ("error", "future", "on_commit", "result", "work")

    def __init__(
        self,
        work: Callable[[Connection], Any],
        future: asyncio.Future[Any],
        on_commit: Callable[[Any], None] | None,
    ) -> None:
        self.work = work
        self.future = future
        self.on_commit = on_commit
        self.result: Any = None
        self.error: BaseException | None = None

    def settle(self) -> None:
        if self.on_commit is not None and self.error is None:
            try:
                self.on_commit(self.result)
            except Exception as error:  # noqa: BLE001  (a bug: this waiter learns of it, the others go on)
                self.error = error
        if self.future.done():  # the waiter was cancelled; the write stands
            return
        if self.error is None:
            self.future.set_result(self.result)
        else:
            self.future.set_exception(self.error)


class Database:
    """Asynchronous access to the store; `work` functions run in its threads with a connection of theirs."""

    def __init__(self, path: Path, loop: asyncio.AbstractEventLoop) -> None:
        self.path = path
        self._loop = loop
        self._changes = ChangeCounter(path.with_name(path.name + "-lock"))
        self.runs = Runs(path.with_name(path.name + "-runs"))
        self._jobs: queue.SimpleQueue[list[_Job] | None] = queue.SimpleQueue()
        self._gathering: list[_Job] = []
        self._local = threading.local()
        self._readers = Threads(_READERS, "store-read")
        self._reader_connections: list[Connection] = []
        self._writer = threading.Thread(target=self._write_loop, name="store-write", daemon=True)
        self._log = f"{path}-wal"
        self._checkpoint_at = _CHECKPOINT_BYTES
        self._closed = False
        self._tally = StoreTally()

    @classmethod
    async def open(cls, path: Path, *, check: bool = False) -> "Database":
        """Open or make the store and bring its schema up to date; `check` reads all of it for damage first.

        Raises StoreError: not a store, damaged, or made by a newer version of the program.
        """
        loop = asyncio.get_running_loop()
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            database = cls(path, loop)
        except OSError as error:
            raise StoreError(f"{path}: {error}") from error
        try:
            await loop.run_in_executor(None, database._prepare, check)
        except BaseException:
            database._changes.close()
            database.runs.close()
            raise
        database._writer.start()
        return database

    async def close(self) -> None:
        """Finish what is queued, checkpoint and close; calling it again does nothing."""
        if self._closed:
            return
        self._closed = True
        self._hand_over()
        self._jobs.put(None)
        await self._loop.run_in_executor(None, self._writer.join)
        self._tally.end()
        await self._readers.close()
        for connection in self._reader_connections:
            connection.close()
        self._changes.close()
        self.runs.close()

    async def write(self, work: Callable[[Connection], T], on_commit: Callable[[T], None] | None = None) -> T:
        """Run `work` in a write transaction and give its result once the commit is durable.

        What `work` raises undoes what `work` did, and nothing else; where another job of its batch fails it is run a
        second time, so it must do nothing but speak to the connection. `on_commit` is called in the loop with the
        result, also where the waiter was cancelled meanwhile: what is kept in memory follows the store.
        Raises S3Error: SlowDown where the store is locked, full or broken.
        """
        if self._closed:
            raise S3Error(Code.ServiceUnavailable)
        future: asyncio.Future[T] = self._loop.create_future()
        if not self._gathering:  # what this turn of the loop asks for is handed over, and committed, together
            self._loop.call_soon(self._hand_over)
        self._tally.asked += 1
        self._gathering.append(_Job(work, future, on_commit))
        return await future

    async def read(self, work: Callable[[Connection], T]) -> T:
        """Run `work` with a reading connection; raises S3Error: SlowDown where the store cannot be read."""
        if self._closed:
            raise S3Error(Code.ServiceUnavailable)
        return await self._readers.run(self._read, work)

    def changed_elsewhere(self) -> bool:
        """Has another process changed the store since this last said so? Costs well under a microsecond."""
        return self._changes.changed_elsewhere()

    def _prepare(self, check: bool) -> None:
        """Make the file if there is none, look at it before anything in it is changed, bring it up to date."""
        try:
            self._changes.lock(_LOCK_TIMEOUT_S)
        except LockTimeout as error:
            raise StoreError(f"{self.path}: {error}") from error
        try:
            _make_private(self.path)
            connection = sqlite3.connect(self.path, isolation_level=None, timeout=_BUSY_TIMEOUT_MS / 1000)
            try:
                require_ours(connection)
                _configure(connection)
                migrate(connection, check=check)
            finally:
                connection.close()
        except (sqlite3.Error, OSError) as error:
            raise StoreError(f"{self.path}: {error}") from error
        finally:
            self._changes.unlock()

    def _read(self, work: Callable[[Connection], T]) -> T:
        try:
            connection: Connection | None = getattr(self._local, "connection", None)
            if connection is None:
                connection = _connect(self.path)
                connection.execute("PRAGMA query_only = ON")
                self._local.connection = connection
                self._reader_connections.append(connection)
            return work(connection)
        except sqlite3.Error as error:
            raise _slow_down(error) from error

    def _write_loop(self) -> None:
        """The writing thread: it outlives whatever goes wrong in one batch."""
        connection: Connection | None = None
        ending = False
        while not ending:
            batch, ending = self._next_batch()
            began_s = time.perf_counter()
            try:
                connection = connection or _connect(self.path)
                if batch:
                    self._run(connection, batch)
            except Exception as error:  # noqa: BLE001  (the thread must go on)
                _log.exception("the store's writer failed")
                _fail(batch, error)
                if connection is not None:
                    _close(connection)
                    connection = None
            if batch:
                self._tally.commit(len(batch), time.perf_counter() - began_s)
            self._loop.call_soon_threadsafe(_settle, batch)
            if connection is not None:
                self._checkpoint_when_due(connection)
        if connection is not None:
            self._checkpoint(connection)
            _close(connection)

    def _hand_over(self) -> None:
        jobs, self._gathering = self._gathering, []
        self._jobs.put(jobs)

    def _next_batch(self) -> tuple[list[_Job], bool]:
        """Wait for jobs, then take all that are there; the flag says that close() was called."""
        jobs = self._jobs.get()
        batch: list[_Job] = []
        while jobs is not None:
            batch += jobs
            if len(batch) >= _LARGEST_BATCH:
                return batch, False
            try:
                jobs = self._jobs.get_nowait()
            except queue.Empty:
                return batch, False
        return batch, True

    def _run(self, connection: Connection, batch: list[_Job]) -> None:
        """Commit a batch; a failure of the transaction itself is the failure of every job in it."""
        try:
            self._changes.lock(_LOCK_TIMEOUT_S)
        except LockTimeout as error:
            _fail(batch, error)
            return
        try:
            self._run_locked(connection, batch)
        except sqlite3.Error as error:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            _fail(batch, error)
        finally:
            self._changes.unlock()

    def _run_locked(self, connection: Connection, batch: list[_Job]) -> None:
        connection.execute("BEGIN IMMEDIATE")
        before = connection.total_changes
        if not _run_together(connection, batch):
            connection.execute("ROLLBACK")
            connection.execute("BEGIN IMMEDIATE")
            before = connection.total_changes
            for job in batch:
                _run_apart(connection, job)
        if connection.total_changes == before:  # no row was written: nobody has to look again
            connection.execute("COMMIT")
            return
        self._changes.begin()
        try:
            connection.execute("COMMIT")
        finally:
            self._changes.end()

    def _checkpoint_when_due(self, connection: Connection) -> None:
        """Move the log into the file once it has grown; where readers keep it from being emptied, once it has again."""
        if self._log_size() < self._checkpoint_at:
            return
        self._checkpoint(connection)
        left = self._log_size()
        self._checkpoint_at = (left if left >= _CHECKPOINT_BYTES else 0) + _CHECKPOINT_BYTES

    def _log_size(self) -> int:
        try:
            return os.stat(self._log).st_size
        except OSError:  # not there yet; what else is wrong with it the next commit tells
            return 0

    def _checkpoint(self, connection: Connection) -> None:
        """Housekeeping: what fails now is tried again later."""
        try:
            self._changes.lock(_LOCK_TIMEOUT_S)
        except (LockTimeout, OSError):
            return
        try:
            connection.execute(f"PRAGMA busy_timeout = {_CHECKPOINT_WAIT_MS}")
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
            connection.execute(f"PRAGMA busy_timeout = {_BUSY_TIMEOUT_MS}")
        except sqlite3.Error as error:
            _log.warning("the log was not moved into the store: %s", error)
            with contextlib.suppress(sqlite3.Error):
                connection.execute(f"PRAGMA busy_timeout = {_BUSY_TIMEOUT_MS}")
        finally:
            self._changes.unlock()


def _make_private(path: Path) -> None:
    """Make an empty file for its owner alone; SQLite gives its other files the same mode.

    Only here, before the process's first connection: closing any descriptor of the file would drop the locks that
    SQLite holds on it (https://sqlite.org/howtocorrupt.html, section 2.2).
    """
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    except FileExistsError:
        return


def _connect(path: Path) -> Connection:
    connection = sqlite3.connect(
        path, isolation_level=None, check_same_thread=False, cached_statements=256, timeout=_BUSY_TIMEOUT_MS / 1000
    )
    _configure(connection)
    return connection


def _configure(connection: Connection) -> None:
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute("PRAGMA wal_autocheckpoint = 0")
    connection.execute("PRAGMA cache_size = -16384")


def _run_together(connection: Connection, batch: list[_Job]) -> bool:
    """Run all jobs of a batch as one; False where one of them failed, and with it what the others did."""
    try:
        for job in batch:
            job.result = job.work(connection)
    except Exception as error:
        if not connection.in_transaction:
            raise _gave_up(error) from error
        return False
    return True


def _run_apart(connection: Connection, job: _Job) -> None:
    """Run one job so that its failure undoes it alone."""
    connection.execute("SAVEPOINT job")
    try:
        job.result = job.work(connection)
    except Exception as error:
        if not connection.in_transaction:
            raise _gave_up(error) from error
        job.error = _slow_down(error) if isinstance(error, sqlite3.Error) else error
        connection.execute("ROLLBACK TO job")
    connection.execute("RELEASE job")


def _gave_up(error: Exception) -> sqlite3.Error:
    """SQLite has ended the whole transaction (disk full, I/O error)."""
    return error if isinstance(error, sqlite3.Error) else sqlite3.OperationalError(str(error))


def _close(connection: Connection) -> None:
    """Close a connection that may be in any state; the next batch opens another one."""
    with contextlib.suppress(sqlite3.Error):
        connection.close()


def _settle(batch: list[_Job]) -> None:
    for job in batch:
        job.settle()


def _fail(batch: list[_Job], error: Exception) -> None:
    answer = _slow_down(error)
    for job in batch:
        job.error = answer


def _slow_down(error: Exception) -> Exception:
    """What a client is told when the store cannot serve: nothing was written, try again later.

    Anything else that SQLite complains of is a mistake of ours, and stays what it is.
    """
    text = str(error).partition(" with text ")[0]  # what is damaged may be anybody's
    if (
        isinstance(error, sqlite3.Error)
        and not text.startswith(_UNDECODABLE)
        and getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF not in _STATES
    ):
        return error
    STORE_FAILURES.inc()
    _log.error("the store failed: %s", text)
    answer = S3Error(Code.SlowDown)
    answer.__cause__ = error
    return answer
