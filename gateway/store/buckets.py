"""Buckets: what clients see of a category, and where its bodies go. All of them are kept in memory."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from gateway.errors import Code, S3Error
from gateway.store.database import Connection, Database
from gateway.store.ledger import Account, Amount, release

_COLUMNS = "bucket, project, category, origin, origin_bucket, origin_prefix, source, created_s"


@dataclass(frozen=True, slots=True)
class Bucket:
    """One bucket. `source` is "policy" (a category of a policy file) or "client" (made by CreateBucket)."""

    bucket: str
    project: str
    category: str
    origin: str
    origin_bucket: str
    origin_prefix: str
    source: str
    created_s: int


class Buckets:
    """The buckets of every project; look-ups are answered from memory."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._known: dict[str, Bucket] = {}
        self._changes = 0

    async def load(self) -> None:
        """Read them all again; what this process commits meanwhile is not lost."""
        while True:
            changes = self._changes
            rows = await self._database.read(lambda c: c.execute(f"SELECT {_COLUMNS} FROM buckets").fetchall())
            if changes == self._changes:
                self._known = {row[0]: Bucket(*row) for row in rows}
                return

    def get(self, bucket: str) -> Bucket:
        """Raises S3Error: NoSuchBucket."""
        found = self._known.get(bucket)
        if found is None:
            raise S3Error(Code.NoSuchBucket, BucketName=bucket)
        return found

    def find(self, bucket: str) -> Bucket | None:
        return self._known.get(bucket)

    def all(self) -> Iterator[Bucket]:
        return iter(self._known.values())

    def of_project(self, project: str) -> Iterator[Bucket]:
        """The buckets of a project, in the order of their names."""
        return (self._known[name] for name in sorted(self._known) if self._known[name].project == project)

    async def create(self, bucket: Bucket) -> None:
        """Raises S3Error: BucketAlreadyExists, BucketAlreadyOwnedByYou."""
        await self._database.write(
            lambda connection: _create(connection, bucket), lambda _: self._set(bucket.bucket, bucket)
        )

    async def delete(self, bucket: str) -> None:
        """Remove an empty bucket, its open uploads with it; raises S3Error: BucketNotEmpty, NoSuchBucket."""
        await self._database.write(
            lambda connection: delete_bucket(connection, bucket), lambda _: self._set(bucket, None)
        )

    def follow(self, removed: Iterable[Bucket], written: Iterable[Bucket]) -> None:
        """What a commit has done to buckets is done in memory too."""
        for bucket in removed:
            self._set(bucket.bucket, None)
        for bucket in written:
            self._set(bucket.bucket, bucket)

    def _set(self, name: str, bucket: Bucket | None) -> None:
        self._changes += 1
        if bucket is None:
            self._known.pop(name, None)
        else:
            self._known[name] = bucket


def find_bucket(connection: Connection, bucket: str) -> Bucket:
    """For use inside a transaction; raises S3Error: NoSuchBucket."""
    row = connection.execute(f"SELECT {_COLUMNS} FROM buckets WHERE bucket = ?", (bucket,)).fetchone()
    if row is None:
        raise S3Error(Code.NoSuchBucket, BucketName=bucket)
    return Bucket(*row)


def all_buckets(connection: Connection) -> list[Bucket]:
    """Every bucket in the order of the names; for use inside a transaction."""
    return [Bucket(*row) for row in connection.execute(f"SELECT {_COLUMNS} FROM buckets ORDER BY bucket").fetchall()]


def is_empty(connection: Connection, bucket: str) -> bool:
    """Has a bucket no object, and no upload that is about to become one?"""
    held = "SELECT 1 FROM objects WHERE bucket = ?1 UNION ALL SELECT 1 FROM uploads WHERE bucket = ?1 "
    return connection.execute(f"{held} AND state = 'completing' LIMIT 1", (bucket,)).fetchone() is None


def insert_bucket(connection: Connection, bucket: Bucket) -> None:
    """Make a bucket of a free name; raises S3Error: BucketAlreadyExists where its category has another one."""
    taken = connection.execute(
        "SELECT bucket FROM buckets WHERE project = ? AND category = ?", (bucket.project, bucket.category)
    ).fetchone()
    if taken is not None:
        raise S3Error(
            Code.BucketAlreadyExists,
            f"The category {bucket.category} of project {bucket.project} has the bucket {taken[0]}, "
            f"it cannot have {bucket.bucket} as well.",
        )
    connection.execute(
        f"INSERT INTO buckets ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (
            bucket.bucket,
            bucket.project,
            bucket.category,
            bucket.origin,
            bucket.origin_bucket,
            bucket.origin_prefix,
            bucket.source,
            bucket.created_s,
        ),
    )


def _create(connection: Connection, bucket: Bucket) -> None:
    owner = connection.execute("SELECT project FROM buckets WHERE bucket = ?", (bucket.bucket,)).fetchone()
    if owner is not None:
        owned = owner[0] == bucket.project
        raise S3Error(Code.BucketAlreadyOwnedByYou if owned else Code.BucketAlreadyExists, BucketName=bucket.bucket)
    shared = connection.execute(
        "SELECT 1 FROM buckets WHERE origin = ? AND origin_bucket = ?", (bucket.origin, bucket.origin_bucket)
    ).fetchone()
    if shared is not None:  # what lies at the origin must tell whose it is
        raise S3Error(Code.BucketAlreadyExists, BucketName=bucket.bucket)
    insert_bucket(connection, bucket)


def delete_bucket(connection: Connection, name: str) -> None:
    """Remove an empty bucket; what its unfinished uploads left becomes garbage.

    Raises S3Error: NoSuchBucket; BucketNotEmpty, also while one of its uploads is being completed: the body would be
    assembled after its garbage was removed, and nobody would know of it.
    """
    bucket = find_bucket(connection, name)
    if not is_empty(connection, name):
        raise S3Error(Code.BucketNotEmpty, BucketName=name)
    connection.execute(
        "INSERT INTO garbage (location, origin, project, category, uploader, bytes, objects, write_id, begun_s) "
        "SELECT location, origin, ?, ?, uploader, 0, 0, upload_id, created_s FROM uploads "
        "WHERE bucket = ? AND state = 'open'",
        (bucket.project, bucket.category, name),
    )
    _release_uploads(connection, bucket)
    connection.execute("DELETE FROM uploads WHERE bucket = ?", (name,))
    connection.execute("DELETE FROM buckets WHERE bucket = ?", (name,))


def _release_uploads(connection: Connection, bucket: Bucket) -> None:
    """Give back what the open uploads of a bucket that goes have reserved."""
    held = connection.execute(
        "SELECT u.uploader, coalesce(sum(p.size), 0), "
        "count(DISTINCT u.upload_id) FILTER (WHERE u.reserved_objects > 0) "
        "FROM uploads u LEFT JOIN upload_parts p ON p.upload_id = u.upload_id "
        "WHERE u.bucket = ? AND u.state = 'open' GROUP BY u.uploader",
        (bucket.bucket,),
    ).fetchall()
    for uploader, size, objects in held:
        release(connection, Account(bucket.project, bucket.category, uploader), Amount(size, objects))
