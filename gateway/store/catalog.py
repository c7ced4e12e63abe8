"""The catalog: our record of every object. Rows that were asked for lately are answered from memory.

The map of rows is exact: a commit of this process replaces the row before the client is answered, and a commit of
another one drops the map before the next request is looked at (`Store.refresh`).
"""

import logging
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from gateway.errors import Code, S3Error
from gateway.metrics import QUOTA_NEAR
from gateway.s3.conditions import WriteCondition
from gateway.store import writes
from gateway.store.buckets import Bucket
from gateway.store.database import Connection, Database
from gateway.store.ledger import NO_LIMITS, Allowance
from gateway.store.listing import ListQuery, Page, Row, list_page, walk_rows
from gateway.store.records import Garbage, Intent, ObjectPart, ObjectRecord, dump_texts

_quota_log = logging.getLogger("anbar.quota")
_NEARLY_FULL = 95  # percent
_LARGEST_MAP = 20_000
_LISTED = "key, size, etag, modified_s, uploader, checksum_algorithm, checksum_type"


@dataclass(frozen=True, slots=True)
class ListedRow:
    """An object as a listing shows it."""

    key: str
    size: int
    etag: str
    modified_s: int
    uploader: str
    checksum_algorithm: str | None
    checksum_type: str | None


class Catalog:
    """Objects by bucket and key."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._rows: OrderedDict[tuple[str, str], ObjectRecord | None] = OrderedDict()
        self._fills: dict[tuple[str, str], object] = {}

    def forget(self) -> None:
        """Drop the map: somebody else has written."""
        self._rows.clear()
        self._fills.clear()

    def drop(self, bucket: str, key: str) -> None:
        """Forget what is in memory of one object: its row has changed."""
        self._rows.pop((bucket, key), None)
        self._fills.pop((bucket, key), None)

    def at_hand(self, bucket: str, key: str) -> ObjectRecord | None:
        """The row if it is in memory; None says nothing."""
        found = self._rows.get((bucket, key))
        if found is not None:
            self._rows.move_to_end((bucket, key))
        return found

    async def find(self, bucket: str, key: str) -> ObjectRecord | None:
        """The object's row, or None where there is no such object."""
        name = (bucket, key)
        if name in self._rows:
            self._rows.move_to_end(name)
            return self._rows[name]
        fill = self._fills[name] = object()
        try:
            record = await self._database.read(lambda connection: writes.find_object(connection, bucket, key))
            if self._fills.get(name) is fill:  # nothing was committed meanwhile
                self._remember(name, record)
            return record
        finally:
            if self._fills.get(name) is fill:
                del self._fills[name]

    async def look_again(self, bucket: str, key: str) -> ObjectRecord | None:
        """The row as the store has it now: another process may have committed since the request was looked at.

        That it has is still told to the next request, which drops the whole map.
        """
        self.drop(bucket, key)
        return await self.find(bucket, key)

    async def list_objects(self, query: ListQuery) -> Page[ListedRow]:
        """One page of a bucket's objects, in the byte order of their keys."""

        def work(connection: Connection) -> Page[ListedRow]:
            return list_page(query, walk_rows(connection, query, _LISTED, "objects"), _listed)

        return await self._database.read(work)

    async def parts(self, record: ObjectRecord) -> list[ObjectPart] | None:
        """The parts of a multipart object, in order; empty for another one; None where the row was replaced."""
        if not record.part_count:
            return []
        rows = await self._database.read(
            lambda connection: connection.execute(
                "SELECT p.part_number, p.size, p.checksum_value FROM objects o JOIN object_parts p "
                "ON p.bucket = o.bucket AND p.key = o.key AND p.version_id = o.version_id "
                "WHERE o.bucket = ? AND o.key = ? AND o.version_id = ? AND o.location = ? AND o.write_id = ? "
                "ORDER BY p.part_number",
                (record.bucket, record.key, record.version_id, record.location, record.write_id),
            ).fetchall()
        )
        return [ObjectPart(*row) for row in rows] or None

    async def begin(
        self,
        intent: Intent,
        condition: WriteCondition | None,
        only_of: str | None = None,
        allowance: Allowance = NO_LIMITS,
    ) -> Intent:
        """Record a write; gives it with the location that its body will have.

        Raises S3Error: NoSuchUpload, AccessDenied, PreconditionFailed, NoSuchKey, QuotaExceeded.
        """
        run = self._database.runs.number
        begun = await self._database.write(
            lambda connection: writes.begin(connection, intent, condition, only_of, allowance, run=run)
        )
        if isinstance(begun, S3Error):
            raise begun
        return begun

    async def commit(
        self,
        bucket: Bucket,
        intent: Intent,
        record: ObjectRecord,
        condition: WriteCondition | None,
        parts: Sequence[ObjectPart] = (),
        *,
        only_of: str | None = None,
        allowance: Allowance = NO_LIMITS,
    ) -> Garbage | None:
        """Make the written body the object; gives the body it replaced."""
        stored = await self._database.write(
            lambda connection: writes.commit(connection, bucket, intent, record, parts, condition, only_of, allowance),
            self.stores(record),
        )
        return stored.replaced

    async def step_aside(self, intent: Intent, until_s: int) -> Intent:
        """Move a write beside its key before its body is written there; its own place is kept clear until `until_s`.

        Raises S3Error: OperationAborted.
        """
        return await self._database.write(lambda connection: writes.step_aside(connection, intent, until_s))

    async def keep_clear(self, mark: Garbage, until_s: int) -> None:
        """Count a place as taken until then; nothing is removed for a mark, whose id no write has."""
        await self._database.write(lambda connection: writes.keep_clear(connection, mark, until_s))

    async def release(self, intent: Intent, until_s: int = 0) -> Garbage | None:
        """End a write that failed; gives what it may have left at the origin, and may still until `until_s`."""
        return await self._database.write(lambda connection: writes.release(connection, intent, until_s))

    async def delete(
        self, bucket: str, key: str, condition: WriteCondition | None, only_of: str | None = None
    ) -> Garbage | None:
        """Take an object out; gives its body, or None where there was no such object."""
        return await self._database.write(
            lambda connection: writes.delete(connection, bucket, key, condition, only_of),
            lambda _: self._remember((bucket, key), None),
        )

    async def set_tags(
        self, bucket: str, key: str, tags: Mapping[str, str], only_of: str | None = None
    ) -> ObjectRecord:
        """Replace an object's tags; raises S3Error: NoSuchKey, AccessDenied."""

        def work(connection: Connection) -> ObjectRecord:
            connection.execute(
                "UPDATE objects SET tags = ? WHERE bucket = ? AND key = ?", (dump_texts(tags), bucket, key)
            )
            record = writes.find_object(connection, bucket, key)
            if record is None:
                raise S3Error(Code.NoSuchKey, Key=key)
            writes.require_owner(record, only_of)
            return record

        return await self._database.write(work, lambda record: self._remember((bucket, key), record))

    async def list_garbage(self, limit: int, after: Garbage | None = None) -> list[Garbage]:
        """What is to be removed, `limit` bodies at a time, in one order."""
        return await self._database.read(lambda connection: writes.list_garbage(connection, limit, after))

    async def find_garbage(self, places: Sequence[tuple[str, str]]) -> list[Garbage]:
        """What is to be removed at these places, each an origin and a location; those without garbage are left out."""
        return await self._database.read(lambda connection: writes.find_garbage(connection, places))

    async def watch_garbage(self, garbage: Garbage, until_s: int) -> None:
        """Keep it on record, and its place taken, until then at least."""
        await self._database.write(lambda connection: writes.watch_garbage(connection, garbage, until_s))

    async def forget_garbage(self, gone: Sequence[Garbage]) -> None:
        """The bodies are gone from the origin: give back what they were charged."""
        await self._database.write(lambda connection: writes.forget_garbage(connection, gone))

    async def backlog(self) -> tuple[int, int, int]:
        """Bodies on record as garbage, writes under way, and uploads that are open."""
        counts: tuple[int, int, int] = await self._database.read(
            lambda connection: connection.execute(
                "SELECT (SELECT count(*) FROM garbage), (SELECT count(*) FROM intents), "
                "(SELECT count(*) FROM uploads WHERE state != 'done')"
            ).fetchone()
        )
        return counts

    async def recover(self, until_s: Mapping[str, int], *, died: bool = True) -> int:
        """Release every write that a process had begun which lives no more; gives their number.

        `until_s`: by origin, when a write that nobody waits for any more can have no effect. `died`: it is known that
        a process has died.
        """
        is_alive = self._database.runs.is_alive
        return await self._database.write(
            lambda connection: writes.release_abandoned(connection, until_s, is_alive, died=died)
        )

    def stores(self, record: ObjectRecord) -> Callable[[writes.Stored], None]:
        """What a commit does to the map; the operator is told where a quota is nearly used up."""

        def on_commit(stored: writes.Stored) -> None:
            self._remember((record.bucket, record.key), record)
            for near in stored.near:
                QUOTA_NEAR.labels(near.project, "95" if near.percent >= _NEARLY_FULL else "80").inc()
                _quota_log.warning(
                    "project %s: %d of %d %s of %s are used (%d %%)",
                    near.project,
                    near.used,
                    near.limit,
                    near.unit,
                    near.scope,
                    near.percent,
                )

        return on_commit

    def _remember(self, name: tuple[str, str], record: ObjectRecord | None) -> None:
        self._fills.pop(name, None)
        self._rows[name] = record
        self._rows.move_to_end(name)
        if len(self._rows) > _LARGEST_MAP:
            self._rows.popitem(last=False)


def _listed(row: Row) -> ListedRow:
    return ListedRow(*row)
