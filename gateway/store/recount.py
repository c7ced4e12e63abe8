"""The books against what they are kept of: objects, garbage, open uploads and writes that have begun.

Whatever changes one of these changes the ledger in the same transaction, so one look at both is exact at any moment,
also beside a gateway that serves: what differs is wrong.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from gateway.store.audit import AuditEntry, record
from gateway.store.database import Connection, Database
from gateway.store.ledger import UsageRow, scope_name

# One statement, so that all of it is seen at one moment. A body that waits for its removal is charged until it is gone.
_LOOK = """
WITH charged (project, category, uploader, bytes, objects, reserved_bytes, reserved_objects) AS (
    SELECT b.project, b.category, o.uploader, o.size, 1, 0, 0 FROM objects o JOIN buckets b ON b.bucket = o.bucket
    UNION ALL SELECT project, category, uploader, bytes, objects, 0, 0 FROM garbage WHERE bytes > 0 OR objects > 0
    UNION ALL SELECT project, category, uploader, 0, 0, reserved_bytes, reserved_objects FROM intents
        WHERE reserved_bytes > 0 OR reserved_objects > 0
    UNION ALL SELECT b.project, b.category, u.uploader, 0, 0,
        (SELECT coalesce(sum(p.size), 0) FROM upload_parts p WHERE p.upload_id = u.upload_id), u.reserved_objects
        FROM uploads u JOIN buckets b ON b.bucket = u.bucket WHERE u.state != 'done'
)
SELECT 1, project, category, uploader, sum(bytes), sum(objects), sum(reserved_bytes), sum(reserved_objects)
    FROM charged WHERE ?1 IS NULL OR project = ?1 GROUP BY project, category, uploader
UNION ALL
SELECT 0, project, category, uploader, bytes, objects, reserved_bytes, reserved_objects
    FROM usage WHERE ?1 IS NULL OR project = ?1
"""
_SET = """INSERT INTO usage (project, category, uploader, bytes, objects, reserved_bytes, reserved_objects)
          VALUES (?, ?, ?, ?, ?, ?, ?)
          ON CONFLICT (project, category, uploader) DO UPDATE SET
              bytes = excluded.bytes, objects = excluded.objects,
              reserved_bytes = excluded.reserved_bytes, reserved_objects = excluded.reserved_objects"""
_BODIES = """SELECT o.bucket, o.key, o.size, o.origin, o.location FROM objects o CROSS JOIN buckets b
             WHERE o.bucket = b.bucket AND (o.bucket, o.key) > (?1, ?2)
               AND (?3 IS NULL OR b.project = ?3) AND (?4 IS NULL OR b.category = ?4)
             ORDER BY o.bucket, o.key LIMIT ?5"""

_Scope = tuple[str, str, str]
_Amounts = tuple[int, int, int, int]
_NOTHING: _Amounts = (0, 0, 0, 0)


@dataclass(frozen=True, slots=True)
class Correction:
    """A scope of which the ledger said something else than there is."""

    was: UsageRow
    now: UsageRow

    @property
    def scope(self) -> str:
        return scope_name(self.now.project, self.now.category, self.now.uploader)


@dataclass(frozen=True, slots=True)
class StoredBody:
    """Where an object's bytes lie, and how many there must be."""

    bucket: str
    key: str
    size: int
    origin: str
    location: str


async def find_corrections(
    database: Database, project: str | None = None, category: str | None = None
) -> list[Correction]:
    """What is wrong in the ledger; of a category also the sum of its project. Changes nothing, keeps nobody waiting."""
    return await database.read(lambda connection: _look(connection, project, category))


async def correct(
    database: Database, actor: str, now_s: int, project: str | None = None, category: str | None = None
) -> list[Correction]:
    """Put right what is wrong now, each scope with an audit entry; gives what was.

    Other writes wait while everything is counted: to be asked for only where there is something to correct.
    """

    def work(connection: Connection) -> list[Correction]:
        found = _look(connection, project, category)
        for correction in found:
            _apply(connection, correction, actor, now_s)
        return found

    return await database.write(work)


async def list_bodies(
    database: Database, after: StoredBody | None, limit: int, project: str | None = None, category: str | None = None
) -> list[StoredBody]:
    """The bodies of objects, `limit` at a time, by bucket and key."""
    place = ("", "") if after is None else (after.bucket, after.key)
    rows = await database.read(
        lambda connection: connection.execute(_BODIES, (*place, project, category, limit)).fetchall()
    )
    return [StoredBody(*row) for row in rows]


async def is_current(database: Database, body: StoredBody) -> bool:
    """Is it still the body of its object?"""
    found = await database.read(
        lambda connection: connection.execute(
            "SELECT 1 FROM objects WHERE bucket = ? AND key = ? AND location = ?",
            (body.bucket, body.key, body.location),
        ).fetchone()
    )
    return found is not None


def _look(connection: Connection, project: str | None, category: str | None) -> list[Correction]:
    counted: defaultdict[_Scope, _Amounts] = defaultdict(lambda: _NOTHING)
    kept: dict[_Scope, _Amounts] = {}
    for is_counted, of_project, of_category, uploader, *amounts in connection.execute(_LOOK, (project,)):
        if not is_counted:
            kept[of_project, of_category, uploader] = _amounts(amounts)
            continue
        for scope in ((of_project, "", ""), (of_project, of_category, ""), (of_project, of_category, uploader)):
            counted[scope] = _amounts(map(sum, zip(counted[scope], amounts, strict=True)))
    asked = [scope for scope in sorted(counted.keys() | kept) if category in (None, scope[1]) or not scope[1]]
    return [
        Correction(_row(scope, kept.get(scope, _NOTHING)), _row(scope, counted[scope]))
        for scope in asked
        if kept.get(scope, _NOTHING) != counted[scope]
    ]


def _amounts(values: Iterable[int]) -> _Amounts:
    size, objects, reserved_bytes, reserved_objects = values
    return size, objects, reserved_bytes, reserved_objects


def _row(scope: _Scope, amounts: _Amounts) -> UsageRow:
    project, category, uploader = scope
    return UsageRow(project, category or None, uploader or None, *amounts)


def _apply(connection: Connection, correction: Correction, actor: str, now_s: int) -> None:
    was, now = correction.was, correction.now
    amounts = (now.bytes, now.objects, now.reserved_bytes, now.reserved_objects)
    connection.execute(_SET, (now.project, now.category or "", now.uploader or "", *amounts))
    names = ("bytes", "objects", "reserved_bytes", "reserved_objects")
    details = {
        name: f"{getattr(was, name)} → {getattr(now, name)}"
        for name in names
        if getattr(was, name) != getattr(now, name)
    }
    record(connection, AuditEntry(now_s, actor, "usage.corrected", now.project, correction.scope, details))
