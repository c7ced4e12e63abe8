"""How much every project, category and uploader holds: kept in step with the catalog, in the same transactions."""

from dataclasses import dataclass

from gateway.store.buckets import Bucket
from gateway.store.database import Connection, Database

_CHARGE = """INSERT INTO usage (project, category, uploader, bytes, objects) VALUES (?, ?, ?, ?, ?)
             ON CONFLICT (project, category, uploader)
             DO UPDATE SET bytes = usage.bytes + excluded.bytes, objects = usage.objects + excluded.objects"""
_GIVE_BACK = """UPDATE usage SET bytes = bytes - ?, objects = objects - ?
                WHERE project = ? AND category = ? AND uploader = ?"""


@dataclass(frozen=True, slots=True)
class UsageRow:
    """Bytes and objects of one scope: a project (no category), a category (no uploader), or an uploader in one."""

    project: str
    category: str | None
    uploader: str | None
    bytes: int
    objects: int


def _scopes(project: str, category: str, uploader: str) -> tuple[tuple[str, str, str], ...]:
    return (project, "", ""), (project, category, ""), (project, category, uploader)


def charge(connection: Connection, bucket: Bucket, uploader: str, size: int, objects: int) -> None:
    """Add bytes and objects to all scopes of a write; for use inside its transaction."""
    for scope in _scopes(bucket.project, bucket.category, uploader):
        connection.execute(_CHARGE, (*scope, size, objects))


def give_back(connection: Connection, project: str, category: str, uploader: str, size: int, objects: int) -> None:
    """Take bytes and objects off all scopes; for use inside a transaction."""
    for scope in _scopes(project, category, uploader):
        connection.execute(_GIVE_BACK, (size, objects, *scope))


async def read_usage(database: Database, project: str | None = None) -> list[UsageRow]:
    """Every scope that holds something, sums before their parts; of one project or of all."""
    rows = await database.read(
        lambda connection: connection.execute(
            "SELECT project, category, uploader, bytes, objects FROM usage "
            "WHERE (?1 IS NULL OR project = ?1) AND (bytes > 0 OR objects > 0) ORDER BY project, category, uploader",
            (project,),
        ).fetchall()
    )
    return [UsageRow(p, c or None, u or None, size, objects) for p, c, u, size, objects in rows]
