"""The commit protocol's transactions: a write begins as an intent and ends committed or released, once.

All functions here run inside a write transaction of their caller. A body that nothing refers to becomes garbage in
the same transaction that let go of it, so that no crash can leave an orphan: what is neither in `objects`, `uploads`,
`upload_parts`, `intents` nor `garbage` was never written.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from gateway.errors import Code, S3Error
from gateway.s3.conditions import WriteCondition, check_write
from gateway.store.audit import AuditEntry, Detail
from gateway.store.audit import record as record_audit
from gateway.store.buckets import Bucket, find_bucket
from gateway.store.database import Connection
from gateway.store.ledger import NO_LIMITS, NOTHING, Account, Allowance, Amount, Near, give_back, reserve, settle
from gateway.store.ledger import release as release_room
from gateway.store.locations import choose_location
from gateway.store.records import (
    NULL_VERSION,
    OBJECT_COLUMNS,
    Garbage,
    Intent,
    ObjectPart,
    ObjectRecord,
    object_from_row,
    object_to_row,
)

_FIND = f"SELECT {OBJECT_COLUMNS} FROM objects WHERE bucket = ? AND key = ? AND version_id = '{NULL_VERSION}'"
_PUT = f"INSERT INTO objects ({OBJECT_COLUMNS}) VALUES ({', '.join('?' * 18)})"
_REMOVE = "DELETE FROM objects WHERE bucket = ? AND key = ? AND version_id = ?"
_INTENT_COLUMNS = "intent_id, kind, bucket, key, uploader, size, origin, location, created_s, upload_id"
_BEGIN = f"""INSERT INTO intents ({_INTENT_COLUMNS}, project, category, reserved_bytes, reserved_objects, run)
             VALUES ({", ".join("?" * 15)})"""
_END = """DELETE FROM intents WHERE intent_id = ?
          RETURNING project, category, uploader, reserved_bytes, reserved_objects, location"""
_STEP_ASIDE = "UPDATE intents SET location = ? WHERE intent_id = ? AND location = ?"
_WATCH_OWN = """UPDATE garbage SET until_s = max(until_s, ?)
                WHERE origin = ? AND until_s = 0
                  AND substr(location, -35, 3) != '%40' AND instr(location, '?') = 0"""
_RUNS = "SELECT DISTINCT run FROM intents UNION SELECT DISTINCT run FROM uploads WHERE state = 'completing'"
_NEAR_EVENT = "quota.near"
_NEAR_LATELY_S = 86400
_NEAR_TOLD = f"""SELECT 1 FROM audit WHERE event = '{_NEAR_EVENT}' AND project = ?1 AND subject = ?2 AND time_s > ?3
                 AND json_extract(details, '$.unit') = ?4 AND json_extract(details, '$.limit') = ?5
                 AND json_extract(details, '$.percent') >= ?6 LIMIT 1"""
_GARBAGE_COLUMNS = (
    "location, origin, project, category, uploader, bytes, objects, write_id, until_s, origin_etag, begun_s"
)


@dataclass(frozen=True, slots=True)
class Stored:
    """What came of a write beside its object: the body it replaced, and the limits it has come near to."""

    replaced: Garbage | None = None
    near: tuple[Near, ...] = ()


def find_object(connection: Connection, bucket: str, key: str) -> ObjectRecord | None:
    row = connection.execute(_FIND, (bucket, key)).fetchone()
    return None if row is None else object_from_row(row)


def require_owner(current: ObjectRecord | None, only_of: str | None) -> None:
    """Refuse to touch what somebody else has stored; asked inside the transaction, since keys change hands.

    `only_of`: the uploader whose object may be touched; None: anybody's. Raises S3Error: AccessDenied.
    """
    if only_of is not None and current is not None and current.uploader != only_of:
        raise S3Error(Code.AccessDenied)


def begin(
    connection: Connection,
    intent: Intent,
    condition: WriteCondition | None,
    only_of: str | None = None,
    allowance: Allowance = NO_LIMITS,
    *,
    run: int = 0,
) -> Intent | S3Error:
    """Record a write before its first byte, and take the room for it; gives the refusal where there is none.

    The intent that is given says where the body will lie. `run`: the process that writes.

    A refusal is given, not raised: nothing was changed, so what is written in the same transaction need not be undone.
    Raises S3Error: NoSuchUpload, AccessDenied (the object there is not `only_of`'s), and what an unmet condition
    raises: early, to spare the client the body.
    """
    if intent.upload_id is not None:
        require_open_upload(connection, intent.upload_id)
    current = None
    if intent.upload_id is None and (condition is not None or only_of is not None or allowance.is_limited):
        current = find_object(connection, intent.bucket, intent.key)
        require_owner(current, only_of)
        if condition is not None:
            check_write(condition, current.etag if current else None)
    account, held = Account(intent.project, intent.category, intent.uploader), _to_hold(connection, intent, current)
    refusal = reserve(connection, account, held, allowance)
    if refusal is not None:
        return refusal
    location = choose_location(connection, intent.origin, intent.location, intent.own_location)
    connection.execute(
        _BEGIN,
        (
            intent.intent_id,
            intent.kind,
            intent.bucket,
            intent.key,
            intent.uploader,
            intent.size,
            intent.origin,
            location,
            intent.created_s,
            intent.upload_id,
            intent.project,
            intent.category,
            *held,
            run,
        ),
    )
    return intent if location == intent.location else replace(intent, location=location, beside=intent.location)


def _to_hold(connection: Connection, intent: Intent, current: ObjectRecord | None) -> Amount:
    """What a write may add: what it replaces of the same uploader's stays charged until then, and covers its part."""
    if intent.upload_id is not None:
        part = part_size(connection, intent.upload_id, intent.part_number)
        return Amount(intent.size - part).positive
    if current is None or current.uploader != intent.uploader:
        return Amount(intent.size, 1)
    return Amount(intent.size - current.size).positive


def part_size(connection: Connection, upload_id: str, part_number: int | None) -> int:
    """Bytes of a stored part; 0 where there is none."""
    row = connection.execute(
        "SELECT size FROM upload_parts WHERE upload_id = ? AND part_number = ?", (upload_id, part_number)
    ).fetchone()
    return 0 if row is None else int(row[0])


def step_aside(connection: Connection, intent: Intent, until_s: int) -> Intent:
    """Move a write from its key's own place to the one beside it, before anything is written there.

    `until_s`: when nothing that was asked of the own place can have an effect any more: so long it stays on record, and
    taken. Raises S3Error: OperationAborted where the write was swept away.
    """
    if intent.beside is None:
        raise AssertionError("a write that has no other place")
    moved = connection.execute(_STEP_ASIDE, (intent.beside, intent.intent_id, intent.location))
    if moved.rowcount != 1:
        raise S3Error(Code.OperationAborted)
    own = Garbage(intent.location, intent.origin, "", "", intent.uploader, write_id=intent.intent_id, until_s=until_s)
    add_garbage(connection, own)
    return replace(intent, location=intent.beside, beside=None)


def end_intent(connection: Connection, intent_id: str) -> Amount:
    """End a write that is done; gives what it held. Raises S3Error: OperationAborted where it was swept away."""
    ended = _end(connection, intent_id)
    if ended is None:
        raise S3Error(Code.OperationAborted)
    return ended[1]


def _end(connection: Connection, intent_id: str) -> tuple[Account, Amount, str] | None:
    """What an intent held, of whose room, and where its body would lie."""
    row = connection.execute(_END, (intent_id,)).fetchone()
    return None if row is None else (Account(*row[:3]), Amount(*row[3:5]), row[5])


def release(connection: Connection, intent: Intent, until_s: int = 0) -> Garbage | None:
    """End a write that failed; what it may have left at the origin becomes garbage. None: it had ended already.

    Where that is, the record says: whoever was interrupted need not know that the write had stepped aside.
    `until_s`: when the write can have no effect any more, where its end is not known.
    """
    ended = _end(connection, intent.intent_id)
    if ended is None:
        return None
    account, held, location = ended
    release_room(connection, account, held)
    garbage = Garbage(
        location,
        intent.origin,
        "",
        "",
        intent.uploader,
        write_id=intent.intent_id,
        until_s=until_s,
        begun_s=intent.created_s if until_s else 0,
    )
    add_garbage(connection, garbage)
    return garbage


def commit(
    connection: Connection,
    bucket: Bucket,
    intent: Intent,
    record: ObjectRecord,
    parts: Sequence[ObjectPart],
    condition: WriteCondition | None,
    only_of: str | None = None,
    allowance: Allowance = NO_LIMITS,
) -> Stored:
    """Make the written body the object: row, usage and intent in one.

    Raises S3Error: NoSuchBucket, AccessDenied, PreconditionFailed, OperationAborted, QuotaExceeded.
    """
    held = end_intent(connection, intent.intent_id)
    return store_object(connection, bucket, record, parts, condition, only_of, held, allowance)


def store_object(
    connection: Connection,
    bucket: Bucket,
    record: ObjectRecord,
    parts: Sequence[ObjectPart],
    condition: WriteCondition | None,
    only_of: str | None = None,
    held: Amount = NOTHING,
    allowance: Allowance = NO_LIMITS,
) -> Stored:
    """Put a row in place of the one that is there, with its usage; the replaced body becomes garbage."""
    require_same_bucket(connection, bucket)
    current = find_object(connection, record.bucket, record.key)
    require_owner(current, only_of)
    if condition is not None:
        check_write(condition, current.etag if current else None)
    near = settle(
        connection,
        Account(bucket.project, bucket.category, record.uploader),
        Amount(record.size, 1),
        held,
        allowance,
        replaced=Amount(current.size, 1) if current is not None else NOTHING,
        replaced_uploader=current.uploader if current is not None else None,
    )
    near = tuple(each for each in near if not _told_lately(connection, each, record.modified_s))
    for each in near:
        record_audit(connection, _near_entry(each, record))
    replaced = None if current is None else _replace(connection, bucket, current)
    put_row(connection, record)
    if parts:
        connection.executemany(
            "INSERT INTO object_parts (bucket, key, version_id, part_number, size, checksum_value) "
            "VALUES (?, ?, ?, ?, ?, ?)",
            [(record.bucket, record.key, record.version_id, p.part_number, p.size, p.checksum_value) for p in parts],
        )
    return Stored(replaced, near)


def put_row(connection: Connection, record: ObjectRecord) -> None:
    """A new row, and nothing else."""
    connection.execute(_PUT, object_to_row(record))


def remove_row(connection: Connection, record: ObjectRecord) -> None:
    """The row of an object, with its parts, and nothing else."""
    connection.execute(_REMOVE, (record.bucket, record.key, record.version_id))


def _told_lately(connection: Connection, near: Near, now_s: int) -> bool:
    """Was as much told of this limit within a day? The audit is for good: nobody may fill it by going up and down."""
    asked = near.project, near.scope, now_s - _NEAR_LATELY_S, near.unit, near.limit, near.threshold
    return connection.execute(_NEAR_TOLD, asked).fetchone() is not None


def _near_entry(near: Near, record: ObjectRecord) -> AuditEntry:
    details: dict[str, Detail] = {"limit": near.limit, "used": near.used, "percent": near.percent, "unit": near.unit}
    return AuditEntry(record.modified_s, record.uploader, _NEAR_EVENT, near.project, near.scope, details)


def require_same_bucket(connection: Connection, bucket: Bucket) -> None:
    """Raises S3Error: NoSuchBucket where the bucket is gone, or its name is another one's by now."""
    owner = find_bucket(connection, bucket.bucket)
    if (owner.project, owner.category) != (bucket.project, bucket.category):
        raise S3Error(Code.NoSuchBucket, BucketName=bucket.bucket)


def _replace(connection: Connection, bucket: Bucket, current: ObjectRecord) -> Garbage:
    remove_row(connection, current)
    garbage = body_of(current, bucket)
    add_garbage(connection, garbage)
    return garbage


def delete(
    connection: Connection, bucket: str, key: str, condition: WriteCondition | None, only_of: str | None = None
) -> Garbage | None:
    """Take an object out of the catalog; its body stays charged as garbage until it is gone. None: no such object.

    Raises S3Error: NoSuchBucket, AccessDenied, PreconditionFailed.
    """
    owner = find_bucket(connection, bucket)
    current = find_object(connection, bucket, key)
    require_owner(current, only_of)
    if condition is not None:
        check_write(condition, current.etag if current else None)
    if current is None:
        return None
    remove_row(connection, current)
    garbage = replace(body_of(current, owner), bytes=current.size, objects=1)
    add_garbage(connection, garbage)
    return garbage


def body_of(record: ObjectRecord, bucket: Bucket) -> Garbage:
    """The body of a row that goes, and nothing that others may have put in its place."""
    return Garbage(
        record.location,
        record.origin,
        bucket.project,
        bucket.category,
        record.uploader,
        write_id=record.write_id,
        origin_etag=record.origin_etag,
    )


def add_garbage(connection: Connection, garbage: Garbage) -> None:
    connection.execute(
        f"INSERT INTO garbage ({_GARBAGE_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            garbage.location,
            garbage.origin,
            garbage.project,
            garbage.category,
            garbage.uploader,
            garbage.bytes,
            garbage.objects,
            garbage.write_id,
            garbage.until_s,
            garbage.origin_etag,
            garbage.begun_s,
        ),
    )


def forget_garbage(connection: Connection, gone: Sequence[Garbage]) -> None:
    """The bodies are gone: give back what they were charged, once."""
    for garbage in gone:
        ended = connection.execute(
            "DELETE FROM garbage WHERE origin = ? AND location = ?", (garbage.origin, garbage.location)
        )
        if ended.rowcount == 1 and (garbage.bytes or garbage.objects):
            account = Account(garbage.project, garbage.category, garbage.uploader)
            give_back(connection, account, Amount(garbage.bytes, garbage.objects))


def watch_garbage(connection: Connection, garbage: Garbage, until_s: int) -> None:
    """What is asked of the origin may still take effect until then: it stays on record, and its place taken."""
    connection.execute(
        "UPDATE garbage SET until_s = max(until_s, ?) WHERE origin = ? AND location = ?",
        (until_s, garbage.origin, garbage.location),
    )


def keep_clear(connection: Connection, mark: Garbage, until_s: int) -> None:
    """Count a place as taken until then. `mark` has an id that no write has, so nothing is removed for it."""
    if find_garbage(connection, [(mark.origin, mark.location)]):
        watch_garbage(connection, mark, until_s)
    else:
        add_garbage(connection, replace(mark, until_s=until_s))


def list_garbage(connection: Connection, limit: int, after: Garbage | None) -> list[Garbage]:
    place = ("", "") if after is None else (after.origin, after.location)
    rows = connection.execute(
        f"SELECT {_GARBAGE_COLUMNS} FROM garbage WHERE (origin, location) > (?, ?) ORDER BY origin, location LIMIT ?",
        (*place, limit),
    ).fetchall()
    return [Garbage(*row) for row in rows]


def find_garbage(connection: Connection, places: Sequence[tuple[str, str]]) -> list[Garbage]:
    """The garbage at places, each an origin and a location."""
    sql = f"SELECT {_GARBAGE_COLUMNS} FROM garbage WHERE origin = ? AND location = ?"
    found = (connection.execute(sql, place).fetchone() for place in places)
    return [Garbage(*row) for row in found if row is not None]


def release_abandoned(
    connection: Connection, until_s: Mapping[str, int], is_alive: Callable[[int], bool], *, died: bool
) -> int:
    """Release every intent of a run that is not alive. Gives their number.

    `until_s`: by origin, when a write that nobody waits for any more can have no effect. `died`: a process did,
    whatever it was at.
    """
    dead = [run for (run,) in connection.execute(_RUNS).fetchall() if not is_alive(run)]
    count = 0
    for run in dead:
        rows = connection.execute(f"SELECT {_INTENT_COLUMNS} FROM intents WHERE run = ?", (run,)).fetchall()
        for row in rows:
            intent = Intent(*row)
            release(connection, intent, until_s.get(intent.origin, 0))
        connection.execute("UPDATE uploads SET state = 'open' WHERE state = 'completing' AND run = ?", (run,))
        count += len(rows)
    if dead or died:
        for origin, latest_s in until_s.items():  # a removal on its way may still take along what comes there
            connection.execute(_WATCH_OWN, (latest_s, origin))
    return count


def require_open_upload(connection: Connection, upload_id: str) -> None:
    """Raises S3Error: NoSuchUpload unless parts may be added to the upload."""
    row = connection.execute("SELECT state, result FROM uploads WHERE upload_id = ?", (upload_id,)).fetchone()
    if row != ("open", None):
        raise S3Error(Code.NoSuchUpload, UploadId=upload_id)
