"""Multipart uploads: open → completing → done, and their parts. Parts are bodies of their own at the origin."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any

from gateway.errors import Code, S3Error
from gateway.s3.conditions import WriteCondition, check_write
from gateway.store import writes
from gateway.store.buckets import Bucket, find_bucket
from gateway.store.catalog import Catalog
from gateway.store.database import Connection, Database
from gateway.store.ledger import (
    NO_LIMITS,
    NOTHING,
    Account,
    Allowance,
    Amount,
    exchange,
    quota_exceeded,
    release,
    reserve,
)
from gateway.store.listing import ListQuery, Page, Row, list_page, select_rows
from gateway.store.locations import choose_location
from gateway.store.records import (
    Garbage,
    Intent,
    ObjectPart,
    ObjectRecord,
    UploadPart,
    UploadRecord,
    dump_texts,
    load_texts,
)

_COLUMNS = (
    "upload_id, bucket, key, uploader, initiator, state, created_s, origin, location, checksum_algorithm, "
    "checksum_type, headers, metadata, tags, result"
)
_PART_COLUMNS = "part_number, size, etag, modified_s, location, checksum_algorithm, checksum_value, origin_etag"
_LISTED = "key, upload_id, uploader, initiator, created_s, checksum_algorithm, checksum_type"
_OPEN = """SELECT count(*) FROM uploads u JOIN buckets b ON b.bucket = u.bucket
           WHERE u.initiator = ? AND u.state != 'done' AND b.project = ?"""
_UNDER_WAY = """SELECT 1 FROM intents WHERE upload_id = ?1
                UNION ALL SELECT 1 FROM garbage WHERE origin = ?2 AND location > ?3 AND location < ?4 AND until_s > 0
                LIMIT 1"""
_LAST = "\U0010ffff"  # after it comes nothing that begins with the same text
_AT_ONCE: Mapping[str, int] = {}
_ONE_OBJECT = Amount(0, 1)
_UNFINISHED = "uploads WHERE state != 'done' AND bucket = :bucket"


@dataclass(frozen=True, slots=True)
class ListedUploadRow:
    """An unfinished upload as a listing shows it."""

    key: str
    upload_id: str
    uploader: str
    initiator: str
    created_s: int
    checksum_algorithm: str | None
    checksum_type: str | None


class Uploads:
    """Multipart uploads by their id, which names bucket and key."""

    def __init__(self, database: Database, catalog: Catalog) -> None:
        self._database = database
        self._catalog = catalog

    async def create(
        self,
        bucket: Bucket,
        upload: UploadRecord,
        only_of: str | None = None,
        allowance: Allowance = NO_LIMITS,
        own_location: str | None = None,
    ) -> UploadRecord:
        """Begin an upload, and take the room for its object; its bytes are reserved part by part.

        Gives it with the location that it has: `own_location` where that is free.
        Raises S3Error: NoSuchBucket, AccessDenied (the object there is not `only_of`'s), QuotaExceeded (also where its
        initiator has too many open).
        """
        created = await self._database.write(
            lambda connection: _create(connection, bucket, upload, only_of, allowance, own_location)
        )
        if isinstance(created, S3Error):
            raise created
        return created

    async def locate(self, upload: UploadRecord, location: str) -> UploadRecord:
        """Where the upload lies from now on, as its origin says; raises S3Error: NoSuchUpload (it was aborted)."""

        def work(connection: Connection) -> None:
            moved = connection.execute(
                "UPDATE uploads SET location = ? WHERE upload_id = ? AND state = 'open'", (location, upload.upload_id)
            )
            if moved.rowcount != 1:
                raise S3Error(Code.NoSuchUpload, UploadId=upload.upload_id)

        await self._database.write(work)
        return replace(upload, location=location)

    async def find(self, upload_id: str, bucket: str, key: str) -> UploadRecord:
        """Raises S3Error: NoSuchUpload, also where the id belongs to another bucket or key."""
        row = await self._database.read(
            lambda connection: connection.execute(
                f"SELECT {_COLUMNS} FROM uploads WHERE upload_id = ? AND bucket = ? AND key = ?",
                (upload_id, bucket, key),
            ).fetchone()
        )
        if row is None:
            raise S3Error(Code.NoSuchUpload, UploadId=upload_id)
        return _upload(row)

    async def parts(self, upload_id: str, after: int = 0, limit: int = -1) -> list[UploadPart]:
        """Stored parts with a number over `after`, in order."""
        rows = await self._database.read(
            lambda connection: connection.execute(
                f"SELECT {_PART_COLUMNS} FROM upload_parts WHERE upload_id = ? AND part_number > ? "
                "ORDER BY part_number LIMIT ?",
                (upload_id, after, limit),
            ).fetchall()
        )
        return [UploadPart(*row) for row in rows]

    async def commit_part(self, intent: Intent, part: UploadPart, allowance: Allowance = NO_LIMITS) -> Garbage | None:
        """Add a written part to its upload; gives the part it replaced. Raises S3Error: NoSuchUpload, QuotaExceeded."""
        return await self._database.write(lambda connection: _commit_part(connection, intent, part, allowance))

    async def start_completing(self, upload_id: str) -> None:
        """Take the upload for this Complete; raises S3Error: NoSuchUpload unless it was open."""
        run = self._database.runs.number
        await self._database.write(lambda connection: _start_completing(connection, upload_id, run))

    async def promise(
        self,
        bucket: Bucket,
        upload_id: str,
        record: ObjectRecord,
        condition: WriteCondition | None,
        result: Mapping[str, Any] | None,
        only_of: str | None = None,
        allowance: Allowance = NO_LIMITS,
    ) -> bool:
        """Look whether `finish` may make the object, before the origin is asked to put it together, and take its room.

        `result`: where the origin can be asked once only, what Complete will answer; its ETag says which parts in which
        order. From then on the upload takes no more parts and no other list. Gives whether it has just been promised.
        Raises S3Error: NoSuchUpload (another list was promised), and what finish() raises.
        """
        return await self._database.write(
            lambda connection: _promise(connection, bucket, upload_id, record, condition, result, only_of, allowance)
        )

    async def take_back(self, upload_id: str) -> None:
        """What was promised was not begun at the origin."""
        await self._database.write(
            lambda connection: connection.execute(
                "UPDATE uploads SET result = NULL WHERE upload_id = ? AND state = 'completing'", (upload_id,)
            )
        )

    async def reopen(self, upload_id: str) -> None:
        """The Complete failed: another one may come, and, unless one was promised, parts may be added."""
        await self._database.write(
            lambda connection: connection.execute(
                "UPDATE uploads SET state = 'open' WHERE upload_id = ? AND state = 'completing'", (upload_id,)
            )
        )

    async def finish(
        self,
        bucket: Bucket,
        upload_id: str,
        record: ObjectRecord,
        parts: Sequence[ObjectPart],
        unused: Sequence[UploadPart],
        condition: WriteCondition | None,
        result: Mapping[str, Any],
        now_s: int,
        only_of: str | None = None,
        allowance: Allowance = NO_LIMITS,
    ) -> None:
        """Make the assembled body the object and the upload done, in one; what the upload held is settled.

        Raises S3Error: NoSuchUpload, NoSuchBucket, AccessDenied, PreconditionFailed, QuotaExceeded.
        """

        def work(connection: Connection) -> writes.Stored:
            held = _held(connection, upload_id)
            done = connection.execute(
                "UPDATE uploads SET state = 'done', touched_s = ?, result = ? "
                "WHERE upload_id = ? AND state = 'completing'",
                (now_s, json.dumps(dict(result)), upload_id),
            )
            if done.rowcount != 1:
                raise S3Error(Code.NoSuchUpload, UploadId=upload_id)
            stored = writes.store_object(connection, bucket, record, parts, condition, only_of, held, allowance)
            for part in unused:
                writes.add_garbage(connection, Garbage(part.location, record.origin, "", "", record.uploader))
            connection.execute("DELETE FROM upload_parts WHERE upload_id = ?", (upload_id,))
            return stored

        await self._database.write(work, self._catalog.stores(record))

    async def abort(
        self,
        upload_id: str,
        idle_since_s: int | None = None,
        until_s: int = 0,
        settled_s: Mapping[str, int] = _AT_ONCE,
    ) -> Garbage:
        """End an open upload, or only one that nobody has touched since then; gives what it left at the origin.

        `until_s`: when it can no longer begin at the origin, where nobody knows whether it has. `settled_s`: by origin,
        when what is under way now can have no effect any more; so long an upload is watched whose parts may still land.
        Raises S3Error: NoSuchUpload.
        """
        return await self._database.write(
            lambda connection: _abort(connection, upload_id, idle_since_s, until_s, settled_s)
        )

    async def list_uploads(self, query: ListQuery, after_upload_id: str) -> Page[ListedUploadRow]:
        """One page of a bucket's unfinished uploads by key, then by id; `after_upload_id` narrows `query.after`."""

        def work(connection: Connection) -> Page[ListedUploadRow]:
            rows = select_rows(connection, query, _LISTED, _UNFINISHED, "key, upload_id")
            if after_upload_id and query.after.startswith(query.prefix):
                rows = chain(_more_of_key(connection, query, after_upload_id), rows)
            return list_page(query, rows, _listed)

        return await self._database.read(work)

    async def idle_since(self, touched_s: int, limit: int) -> list[str]:
        """Ids of unfinished uploads that nobody has touched since."""
        rows = await self._database.read(
            lambda connection: connection.execute(
                "SELECT upload_id FROM uploads WHERE state = 'open' AND touched_s < ? LIMIT ?", (touched_s, limit)
            ).fetchall()
        )
        return [row[0] for row in rows]

    async def forget_done(self, touched_s: int) -> None:
        """Drop what is remembered of uploads that were completed before then."""
        await self._database.write(
            lambda connection: connection.execute(
                "DELETE FROM uploads WHERE state = 'done' AND touched_s < ?", (touched_s,)
            )
        )


def _more_of_key(connection: Connection, query: ListQuery, after_upload_id: str) -> Iterator[Row]:
    """The visible uploads to the very key that the query starts after, with greater ids."""
    for span in query.spans:
        if span.covers(query.after):
            yield from connection.execute(
                f"SELECT {_LISTED} FROM {_UNFINISHED} AND key = :key AND upload_id > :after_upload_id "
                "AND (:uploader IS NULL OR uploader = :uploader) ORDER BY upload_id",
                {
                    "bucket": query.bucket,
                    "key": query.after,
                    "after_upload_id": after_upload_id,
                    "uploader": span.uploader,
                },
            )


def _listed(row: Row) -> ListedUploadRow:
    return ListedUploadRow(*row)


def _upload(row: Row) -> UploadRecord:
    *plain, headers, metadata, tags, result = row
    upload_id, bucket, key, uploader, initiator, state, created_s, origin, location, algorithm, kind = plain
    return UploadRecord(
        upload_id=upload_id,
        bucket=bucket,
        key=key,
        uploader=uploader,
        initiator=initiator,
        state=state,
        created_s=created_s,
        origin=origin,
        location=location,
        checksum_algorithm=algorithm,
        checksum_type=kind,
        headers=load_texts(headers),
        metadata=load_texts(metadata),
        tags=load_texts(tags),
        result=None if result is None else json.loads(result),
    )


def _create(
    connection: Connection,
    bucket: Bucket,
    upload: UploadRecord,
    only_of: str | None,
    allowance: Allowance,
    own_location: str | None,
) -> UploadRecord | S3Error:
    writes.require_same_bucket(connection, bucket)
    current = writes.find_object(connection, upload.bucket, upload.key)
    writes.require_owner(current, only_of)
    refusal = _too_many_open(connection, bucket, upload, allowance)
    if refusal is not None:
        return refusal
    held = Amount(0, 0 if current is not None and current.uploader == upload.uploader else 1)
    refusal = reserve(connection, Account(bucket.project, bucket.category, upload.uploader), held, allowance)
    if refusal is not None:
        return refusal
    upload = replace(upload, location=_free_location(connection, upload, own_location))
    connection.execute(
        f"INSERT INTO uploads ({_COLUMNS}, touched_s, reserved_objects) VALUES ({', '.join('?' * 17)})",
        (
            upload.upload_id,
            upload.bucket,
            upload.key,
            upload.uploader,
            upload.initiator,
            upload.state,
            upload.created_s,
            upload.origin,
            upload.location,
            upload.checksum_algorithm,
            upload.checksum_type,
            dump_texts(upload.headers),
            dump_texts(upload.metadata),
            dump_texts(upload.tags),
            None,
            upload.created_s,
            held.objects,
        ),
    )
    return upload


def _free_location(connection: Connection, upload: UploadRecord, own_location: str | None) -> str:
    place = None if own_location is None else own_location.partition("?")[0]
    chosen = choose_location(connection, upload.origin, upload.location, place)
    return upload.location if own_location is None or chosen != place else own_location


def _too_many_open(
    connection: Connection, bucket: Bucket, upload: UploadRecord, allowance: Allowance
) -> S3Error | None:
    if allowance.open_uploads is None:
        return None
    count: int = connection.execute(_OPEN, (upload.initiator, bucket.project)).fetchone()[0]
    if count < allowance.open_uploads:
        return None
    return quota_exceeded(f"principal {upload.initiator}", "open uploads", allowance.open_uploads, count, 1)


def _held(connection: Connection, upload_id: str) -> Amount:
    """What an upload has reserved: its object, and the bytes of its parts."""
    row = connection.execute(
        "SELECT (SELECT coalesce(sum(size), 0) FROM upload_parts WHERE upload_id = ?1), reserved_objects "
        "FROM uploads WHERE upload_id = ?1",
        (upload_id,),
    ).fetchone()
    return NOTHING if row is None else Amount(*row)


def _commit_part(connection: Connection, intent: Intent, part: UploadPart, allowance: Allowance) -> Garbage | None:
    held = writes.end_intent(connection, intent.intent_id)
    upload_id = intent.upload_id
    touched = connection.execute(
        "UPDATE uploads SET touched_s = ? WHERE upload_id = ? AND state = 'open' AND result IS NULL",
        (part.modified_s, upload_id),
    )
    if touched.rowcount != 1:
        raise S3Error(Code.NoSuchUpload, UploadId=upload_id or "")
    old = connection.execute(
        "SELECT location, size FROM upload_parts WHERE upload_id = ? AND part_number = ?", (upload_id, part.part_number)
    ).fetchone()
    kept = Amount(part.size - (old[1] if old is not None else 0))
    exchange(connection, Account(intent.project, intent.category, intent.uploader), kept, held, allowance)
    connection.execute(
        f"INSERT INTO upload_parts (upload_id, {_PART_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) "
        "ON CONFLICT (upload_id, part_number) DO UPDATE SET size = excluded.size, etag = excluded.etag, "
        "modified_s = excluded.modified_s, location = excluded.location, "
        "checksum_algorithm = excluded.checksum_algorithm, checksum_value = excluded.checksum_value, "
        "origin_etag = excluded.origin_etag",
        (
            upload_id,
            part.part_number,
            part.size,
            part.etag,
            part.modified_s,
            part.location,
            part.checksum_algorithm,
            part.checksum_value,
            part.origin_etag,
        ),
    )
    if old is None:
        return None
    replaced = Garbage(old[0], intent.origin, "", "", intent.uploader)
    writes.add_garbage(connection, replaced)
    return replaced


def _start_completing(connection: Connection, upload_id: str, run: int) -> None:
    taken = connection.execute(
        "UPDATE uploads SET state = 'completing', run = ? WHERE upload_id = ? AND state = 'open'", (run, upload_id)
    )
    if taken.rowcount != 1:
        raise S3Error(Code.NoSuchUpload, UploadId=upload_id)


def _promise(
    connection: Connection,
    bucket: Bucket,
    upload_id: str,
    record: ObjectRecord,
    condition: WriteCondition | None,
    result: Mapping[str, Any] | None,
    only_of: str | None,
    allowance: Allowance,
) -> bool:
    row = connection.execute(
        "SELECT reserved_objects, result FROM uploads WHERE upload_id = ? AND state = 'completing'", (upload_id,)
    ).fetchone()
    if row is None or (row[1] is not None and (result is None or json.loads(row[1])["etag"] != result["etag"])):
        raise S3Error(Code.NoSuchUpload, UploadId=upload_id)
    writes.require_same_bucket(connection, bucket)
    current = writes.find_object(connection, record.bucket, record.key)
    writes.require_owner(current, only_of)
    if condition is not None:
        check_write(condition, current.etag if current else None)
    if not row[0] and (current is None or current.uploader != record.uploader):  # what it would replace has gone
        refusal = reserve(connection, Account(bucket.project, bucket.category, record.uploader), _ONE_OBJECT, allowance)
        if refusal is not None:
            raise refusal
        connection.execute("UPDATE uploads SET reserved_objects = 1 WHERE upload_id = ?", (upload_id,))
    if result is not None:
        connection.execute("UPDATE uploads SET result = ? WHERE upload_id = ?", (json.dumps(dict(result)), upload_id))
    return result is not None and row[1] is None


def _abort(
    connection: Connection, upload_id: str, idle_since_s: int | None, until_s: int, settled_s: Mapping[str, int]
) -> Garbage:
    held = _held(connection, upload_id)
    row = connection.execute(
        "DELETE FROM uploads WHERE upload_id = ?1 AND state = 'open' AND (?2 IS NULL OR touched_s < ?2) "
        "RETURNING location, origin, uploader, bucket, created_s, result",
        (upload_id, idle_since_s),
    ).fetchone()
    if row is None:
        raise S3Error(Code.NoSuchUpload, UploadId=upload_id)
    location, origin, uploader, bucket_name, created_s, promised = row
    if promised is not None or _may_still_land(connection, upload_id, origin, location):
        until_s = max(until_s, settled_s.get(origin, 0))
    bucket = find_bucket(connection, bucket_name)
    release(connection, Account(bucket.project, bucket.category, uploader), held)
    garbage = Garbage(location, origin, "", "", uploader, write_id=upload_id, until_s=until_s, begun_s=created_s)
    writes.add_garbage(connection, garbage)
    return garbage


def _may_still_land(connection: Connection, upload_id: str, origin: str, location: str) -> bool:
    """Is a part of it on its way to the origin, or may be, since nobody has heard how its write ended?"""
    asked = upload_id, origin, location, location + _LAST
    return connection.execute(_UNDER_WAY, asked).fetchone() is not None
