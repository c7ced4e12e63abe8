"""How much every project, category and uploader holds: kept in step with the catalog, in the same transactions."""

from dataclasses import dataclass

from gateway.store.buckets import Bucket
from gateway.store.database import Connection, Database

# Three scopes in one statement: the project, the category, the uploader in the category.
_CHARGE = """INSERT INTO usage (project, category, uploader, bytes, objects)
             VALUES (?1, '', '', ?4, ?5), (?1, ?2, '', ?4, ?5), (?1, ?2, ?3, ?4, ?5)
             ON CONFLICT (project, category, uploader)
             DO UPDATE SET bytes = usage.bytes + excluded.bytes, objects = usage.objects + excluded.objects"""
# Never below nothing: a sum that does not add up must not keep the rest from being given back.
_GIVE_BACK = """UPDATE usage SET bytes = CASE WHEN bytes > ?4 THEN bytes - ?4 ELSE 0 END,
                                 objects = CASE WHEN objects > ?5 THEN objects - ?5 ELSE 0 END
                WHERE (project = ?1 AND category = '' AND uploader = '')
                   OR (project = ?1 AND category = ?2 AND uploader = '')
                   OR (project = ?1 AND category = ?2 AND uploader = ?3)"""


@dataclass(frozen=True, slots=True)
class UsageRow:
    """Bytes and objects of one scope: a project (no category), a category (no uploader), or an uploader in one."""

    project: str
    category: str | None
    uploader: str | None
    bytes: int
    objects: int


def charge(connection: Connection, bucket: Bucket, uploader: str, size: int, objects: int) -> None:
    """Add bytes and objects to all scopes of a write; for use inside its transaction."""
    connection.execute(_CHARGE, (bucket.project, bucket.category, uploader, size, objects))


def give_back(connection: Connection, project: str, category: str, uploader: str, size: int, objects: int) -> None:
    """Take bytes and objects off all scopes; for use inside a transaction."""
    connection.execute(_GIVE_BACK, (project, category, uploader, size, objects))


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
