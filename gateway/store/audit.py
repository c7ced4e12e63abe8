"""Who did what, for good: entries are only ever added. Denied requests are counted and written in batches.

No secret is ever in an entry: callers give names, numbers and short texts.
"""

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from gateway.store.database import Connection, Database

_COLUMNS = "time_s, actor, event, project, subject, details"
_LARGEST_DETAILS = 4096
_MOST_CLASSES = 100
_LONGEST_NAME = 255

Detail = str | int | bool | None | Sequence[str]


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One event ("key.create"): who did it, and to what.

    `project` is None where the whole installation is meant. `details` are small: 4 KiB as JSON.
    """

    time_s: int
    actor: str
    event: str
    project: str | None
    subject: str
    details: Mapping[str, Detail] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Recorded:
    """An entry as it is kept. Later entries have higher ids."""

    id: int
    entry: AuditEntry


def record(connection: Connection, entry: AuditEntry) -> None:
    """Add an entry, inside the transaction of what it tells of; raises ValueError where its details are too large."""
    details = json.dumps(dict(entry.details), ensure_ascii=False, separators=(",", ":"))
    if len(details.encode()) > _LARGEST_DETAILS:
        raise ValueError(f"the details of {entry.event} {entry.subject} are larger than {_LARGEST_DETAILS} bytes")
    connection.execute(
        f"INSERT INTO audit ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?)",
        (entry.time_s, entry.actor, entry.event, entry.project, entry.subject, details),
    )


class Audit:
    """The entries, in the order in which they were committed."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def record(self, entries: Sequence[AuditEntry]) -> None:
        """Add entries that belong to no other write; raises ValueError where one's details are too large."""

        def work(connection: Connection) -> None:
            for entry in entries:
                record(connection, entry)

        await self._database.write(work)

    async def list(
        self, *, project: str | None = None, event: str | None = None, after_id: int | None = None, limit: int = 100
    ) -> list[Recorded]:
        """The next `limit` entries behind `after_id`, or the last ones there are; the newest comes last."""
        order = "DESC" if after_id is None else "ASC"
        rows = await self._database.read(
            lambda connection: connection.execute(
                f"SELECT id, {_COLUMNS} FROM audit WHERE id > ?1 AND (?2 IS NULL OR project = ?2) "
                f"AND (?3 IS NULL OR event = ?3) ORDER BY id {order} LIMIT ?4",
                (after_id or 0, project, event, limit),
            ).fetchall()
        )
        return [_recorded(row) for row in sorted(rows)]


# Project, actor, operation, bucket, code: denied requests that are counted as one.
_Class = tuple[str | None, str, str, str, str]
_OTHER: _Class = (None, "other", "other", "", "other")


@dataclass(slots=True)
class _Tally:
    """How many requests of a class were denied, and when."""

    count: int
    first_s: int
    last_s: int


class Denials:
    """Counts of denied requests by class, in memory until they are written.

    Whatever clients ask for, a flush writes no more than a hundred classes and one that counts all others.
    """

    def __init__(self, database: Database) -> None:
        self._audit = Audit(database)
        self._tallies: dict[_Class, _Tally] = {}

    def note(self, project: str | None, actor: str, operation: str, bucket: str, code: str, now_s: int) -> None:
        """Count a denied request; `actor` is the label of who asked. Costs about a microsecond."""
        name = (project, actor, operation, bucket, code)
        tally = self._tallies.get(name)
        if tally is None:
            self._add(name, _Tally(1, now_s, now_s))
        else:
            tally.count += 1
            tally.last_s = now_s

    async def flush(self) -> None:
        """Write what was counted, one entry a class ("request.denied"); where that fails it is counted on.

        Raises S3Error: SlowDown.
        """
        taken, self._tallies = self._tallies, {}
        if taken:  # whoever is cancelled here cannot tell whether it was written: the writing itself goes on
            await asyncio.shield(self._write(taken))

    async def _write(self, taken: dict[_Class, _Tally]) -> None:
        try:
            await self._audit.record([_denied(name, tally) for name, tally in taken.items()])
        except BaseException:
            for name, tally in taken.items():
                self._add(name, tally)
            raise

    def _add(self, name: _Class, more: _Tally) -> None:
        if name not in self._tallies and len(self._tallies) >= _MOST_CLASSES:
            name = _OTHER
        known = self._tallies.setdefault(name, more)
        if known is not more:
            known.count += more.count
            known.first_s = min(known.first_s, more.first_s)
            known.last_s = max(known.last_s, more.last_s)


def _denied(name: _Class, tally: _Tally) -> AuditEntry:
    project, actor, operation, bucket, code = name
    return AuditEntry(
        tally.last_s,
        _plain(actor),
        "request.denied",
        project,
        _plain(bucket),
        {
            "operation": operation,
            "code": code,
            "count": tally.count,
            "first_s": tally.first_s,
            "last_s": tally.last_s,
        },
    )


def _plain(text: str) -> str:
    """What a client may have chosen, short, and as text that can be stored."""
    return text[:_LONGEST_NAME].encode("utf-8", "replace").decode("utf-8")


def _recorded(row: tuple[Any, ...]) -> Recorded:
    entry_id, time_s, actor, event, project, subject, details = row
    return Recorded(entry_id, AuditEntry(time_s, actor, event, project, subject, json.loads(details)))
