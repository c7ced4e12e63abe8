"""Rows that are made of what was found at an origin, not of what somebody has stored.

Each is one transaction that looks again: a place that a write, an upload or a removal holds is in good hands, and a
key that has an object keeps it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from gateway.errors import Code, S3Error
from gateway.store.buckets import Bucket
from gateway.store.catalog import Catalog
from gateway.store.database import Connection, Database
from gateway.store.ledger import NO_LIMITS, NOTHING, Account, Amount, give_back, release, settle
from gateway.store.locations import is_held, is_taken
from gateway.store.records import OBJECT_COLUMNS, Garbage, Intent, ObjectRecord, object_from_row
from gateway.store.writes import (
    add_garbage,
    end_intent,
    find_object,
    put_row,
    remove_row,
    require_same_bucket,
)

_PAGE = 500
_ROWS = f"SELECT {OBJECT_COLUMNS} FROM objects WHERE bucket = ? AND key > ? ORDER BY key LIMIT ?"
_AWAY = f"""SELECT {OBJECT_COLUMNS} FROM objects INDEXED BY objects_away
            WHERE origin_etag IS NOT NULL AND substr(location, -35, 3) = '%40' AND (bucket, key) > (?, ?)
              AND modified_s < ?
            ORDER BY bucket, key LIMIT ?"""
_MOVE = "UPDATE objects SET location = ?, origin_etag = ?, write_id = ? WHERE bucket = ? AND key = ? AND location = ?"
_RENAME = "UPDATE objects SET origin_etag = ? WHERE bucket = ? AND key = ? AND version_id = ?"
_FIND_SURVEY = "SELECT cursor, count FROM surveys WHERE task = ? AND moved_s > ?"
_MOVE_SURVEY = """INSERT INTO surveys (task, cursor, count, moved_s) VALUES (?, ?, ?, ?)
                  ON CONFLICT (task) DO UPDATE SET
                      cursor = excluded.cursor, count = excluded.count, moved_s = excluded.moved_s"""


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a look through an origin goes on, and how many bodies it has seen."""

    cursor: str = ""
    count: int = 0


class Adoptions:
    """What is changed in the catalog because of what lies at an origin."""

    def __init__(self, database: Database, catalog: Catalog) -> None:
        self._database = database
        self._catalog = catalog

    async def insert(self, bucket: Bucket, record: ObjectRecord) -> bool:
        """Make a row of a body that nothing refers to; its size is charged whatever the limits say. False: not now."""

        def work(connection: Connection) -> bool:
            require_same_bucket(connection, bucket)
            if find_object(connection, record.bucket, record.key) is not None:
                return False
            if is_taken(connection, record.origin, record.location):
                return False
            put_row(connection, record)
            account = Account(bucket.project, bucket.category, record.uploader)
            settle(connection, account, Amount(record.size, 1), NOTHING, NO_LIMITS)
            return True

        return await self._database.write(work, lambda _: self._catalog.drop(record.bucket, record.key))

    async def replace(self, bucket: Bucket, old: ObjectRecord, new: ObjectRecord) -> bool:
        """Put another row in place of one whose body was changed from outside; False: the row is another by now."""

        def work(connection: Connection) -> bool:
            if not _is_current(connection, old):
                return False
            remove_row(connection, old)
            put_row(connection, new)
            settle(
                connection,
                Account(bucket.project, bucket.category, new.uploader),
                Amount(new.size, 1),
                NOTHING,
                NO_LIMITS,
                replaced=Amount(old.size, 1),
                replaced_uploader=old.uploader,
            )
            return True

        return await self._database.write(work, lambda _: self._catalog.drop(new.bucket, new.key))

    async def rename(self, record: ObjectRecord, etag: str | None) -> bool:
        """The origin calls the very body of a row otherwise now; False: the row is another by now."""

        def work(connection: Connection) -> bool:
            if not _is_current(connection, record):
                return False
            connection.execute(_RENAME, (etag, record.bucket, record.key, record.version_id))
            return True

        return await self._database.write(work, lambda _: self._catalog.drop(record.bucket, record.key))

    async def remove(self, bucket: Bucket, record: ObjectRecord) -> bool:
        """Forget an object whose body is gone; False: the row is another by now."""

        def work(connection: Connection) -> bool:
            if not _is_current(connection, record):
                return False
            remove_row(connection, record)
            give_back(connection, Account(bucket.project, bucket.category, record.uploader), Amount(record.size, 1))
            return True

        return await self._database.write(work, lambda _: self._catalog.drop(record.bucket, record.key))

    async def away(self, after: tuple[str, str], before_s: int, limit: int) -> list[ObjectRecord]:
        """Rows, after a bucket and key, whose bodies lie under the id of their write, and did before `before_s`."""
        asked = (*after, before_s, limit)
        rows = await self._database.read(lambda connection: connection.execute(_AWAY, asked).fetchall())
        return [object_from_row(row) for row in rows]

    async def move(self, intent: Intent, record: ObjectRecord, etag: str | None) -> Garbage:
        """The body of a row lies where the intent says from now on; gives the one that it leaves behind.

        Raises S3Error: OperationAborted where the row is another by now.
        """

        def work(connection: Connection) -> Garbage:
            held = end_intent(connection, intent.intent_id)
            if find_object(connection, record.bucket, record.key) != record:  # its tags may have changed, too
                raise S3Error(Code.OperationAborted)
            release(connection, Account(intent.project, intent.category, intent.uploader), held)
            moved = (intent.location, etag, intent.intent_id)
            connection.execute(_MOVE, (*moved, record.bucket, record.key, record.location))
            left = Garbage(record.location, record.origin, "", "", record.uploader)
            add_garbage(connection, left)
            return left

        return await self._database.write(work, lambda _: self._catalog.drop(record.bucket, record.key))

    async def find_many(self, bucket: str, keys: Sequence[str]) -> dict[str, ObjectRecord]:
        """The rows of these keys, of those that have one."""

        def work(connection: Connection) -> dict[str, ObjectRecord]:
            found = ((key, find_object(connection, bucket, key)) for key in keys)
            return {key: record for key, record in found if record is not None}

        return await self._database.read(work)

    async def rows_after(self, bucket: str, key: str) -> list[ObjectRecord]:
        """The rows of a bucket after a key, some at a time, in the order of the keys."""
        rows = await self._database.read(lambda connection: connection.execute(_ROWS, (bucket, key, _PAGE)).fetchall())
        return [object_from_row(row) for row in rows]

    async def is_taken(self, origin: str, location: str) -> bool:
        """Does something lie at a place, or is it about to?"""
        return await self._database.read(lambda connection: is_taken(connection, origin, location))

    async def is_held(self, origin: str, location: str) -> bool:
        """Does a write, an upload or a removal hold a place at the moment?"""
        return await self._database.read(lambda connection: is_held(connection, origin, location))

    async def progress(self, task: str, since_s: int) -> Progress:
        """How far a look has come that was cut off after `since_s`."""
        row = await self._database.read(lambda connection: connection.execute(_FIND_SURVEY, (task, since_s)).fetchone())
        return Progress() if row is None else Progress(*row)

    async def note(self, task: str, progress: Progress | None, now_s: int) -> None:
        """Remember how far it has come; None: it is done."""

        def work(connection: Connection) -> None:
            if progress is None:
                connection.execute("DELETE FROM surveys WHERE task = ?", (task,))
            else:
                connection.execute(_MOVE_SURVEY, (task, progress.cursor, progress.count, now_s))

        await self._database.write(work)


def _is_current(connection: Connection, record: ObjectRecord) -> bool:
    """Has a row still the body that it had when it was looked at? One place may have had another one since."""
    found = find_object(connection, record.bucket, record.key)
    return found is not None and (found.origin, found.location, found.origin_etag, found.write_id) == (
        record.origin,
        record.location,
        record.origin_etag,
        record.write_id,
    )
