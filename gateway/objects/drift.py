"""The catalog against what lies at an origin: what is lost is made again, what is foreign taken in, what differs told.

    restored    written by us, and in no row: the catalog was lost, or is older than the origin
    adopted     put there by others, and taken in
    unknown     put there by others, and left alone
    changed     a row's body that others have replaced: the row follows it
    left over   written by us, and replaced or never finished since
    missing     a row without its body

Nothing at the origin is ever changed or removed. Beside a gateway that serves, what a write, an upload or a removal
holds at the moment is in good hands and passed over.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Literal

from gateway.errors import S3Error
from gateway.objects.adopt import has_same_bytes, owner_of, record_of
from gateway.origin.survey import ExaminedBody, LyingBody, Survey
from gateway.s3.address import validate_key
from gateway.store.adopted import Adoptions, Progress
from gateway.store.buckets import Bucket
from gateway.store.records import ObjectRecord

State = Literal["restored", "adopted", "unknown", "changed", "left over", "missing"]
_AT_ONCE = 16
_RESUMABLE_S = 7 * 86400


@dataclass(frozen=True, slots=True)
class Drift:
    """One difference; `done` says whether the catalog follows it now. `size` is in bytes, of what lies there."""

    bucket: str
    key: str
    state: State
    location: str
    size: int
    owner: str = ""
    done: bool = False


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is done about differences: `adopt` what others have put there, `forget` rows whose bodies are gone."""

    adopt: bool = False
    forget: bool = False
    dry_run: bool = False


class DriftSearch:
    """Looks through the place of one bucket after another."""

    def __init__(
        self,
        surveys: Mapping[str, Survey],
        adoptions: Adoptions,
        wanted: Wanted,
        now_s: Callable[[], int],
        told: Callable[[int], None],
    ) -> None:
        """`told` hears from time to time how many bodies were looked at."""
        self._surveys = surveys
        self._adoptions = adoptions
        self._wanted = wanted
        self._now_s = now_s
        self._told = told
        self._turns = asyncio.Semaphore(_AT_ONCE)
        self.count = 0

    async def search(self, bucket: Bucket) -> list[Drift]:
        """The differences at one bucket's place; goes on where an earlier search was cut off within a week, and only
        then looks through what lies before: most of that is as recorded by now, which a listing tells.

        Raises OriginError: the origin cannot be asked.
        """
        survey = self._surveys[bucket.origin]
        task = f"drift {bucket.origin} {bucket.origin_bucket}/{bucket.origin_prefix} adopt={self._wanted.adopt}"
        begun = Progress()
        if not self._wanted.dry_run:
            begun = await self._adoptions.progress(task, self._now_s() - _RESUMABLE_S)
        found: list[Drift] = []
        seen: set[int] = set()
        restored: set[int] = set()
        count = begun.count
        self.count += count
        async for page in survey.bodies(bucket.origin_bucket, bucket.origin_prefix, begun.cursor):
            found += await self._judge(bucket, survey, page, restored)
            seen.update(_hash(body.location) for body in page)
            count += len(page)
            self.count += len(page)
            self._told(self.count)
            if not self._wanted.dry_run:
                await self._adoptions.note(task, Progress(page[-1].cursor, count), self._now_s())
        if begun.cursor:
            found += await self._before(bucket, survey, seen, restored)
        found += await self._missing(bucket, survey, seen)
        if not self._wanted.dry_run:
            await self._adoptions.note(task, None, self._now_s())
        return found

    async def _before(self, bucket: Bucket, survey: Survey, seen: set[int], restored: set[int]) -> list[Drift]:
        """What lies before the place of a cut: what was found there nobody was told, and it may be otherwise now."""
        found: list[Drift] = []
        async for page in survey.bodies(bucket.origin_bucket, bucket.origin_prefix, ""):
            earlier = [body for body in page if _hash(body.location) not in seen]
            found += await self._judge(bucket, survey, earlier, restored)
            seen.update(_hash(body.location) for body in earlier)
            self._told(self.count)
            if len(earlier) < len(page):
                break
        return found

    async def _judge(
        self, bucket: Bucket, survey: Survey, page: Sequence[LyingBody], restored: set[int]
    ) -> list[Drift]:
        rows = await self._adoptions.find_many(bucket.bucket, [key for body in page for key in body.keys])
        strange = [body for body in page if not is_as_recorded(body, bucket, rows)]
        groups = _by_key(strange)  # the bodies of one key one after the other
        looked = await asyncio.gather(*[self._look_at(bucket, survey, group, restored) for group in groups])
        return [drift for each in looked for drift in each]

    async def _look_at(
        self, bucket: Bucket, survey: Survey, bodies: Sequence[LyingBody], restored: set[int]
    ) -> list[Drift]:
        async with self._turns:
            found = [await self._look(bucket, survey, body, restored) for body in bodies]
        return [drift for drift in found if drift is not None]

    async def _look(self, bucket: Bucket, survey: Survey, body: LyingBody, restored: set[int]) -> Drift | None:
        """What a body is that no row has as it lies there; None: nothing, or nothing that lasts.

        What holds a place is asked before the look and after it: a body that is being undone is no find.
        """
        held = await self._adoptions.is_held(bucket.origin, body.location)
        examined = None if held else await survey.examine(body.location)
        key = key_of(body, examined)
        if examined is None or key is None:
            return None
        rows = await self._adoptions.find_many(bucket.bucket, [key])
        record, row = record_of(bucket, key, body.location, examined), rows.get(key)
        if row is not None and (row.origin, row.location) == (record.origin, record.location):
            return await self._follow(bucket, row, record)
        if await self._adoptions.is_held(bucket.origin, body.location):
            return None
        if examined.write_id is None:
            state: State = "adopted" if row is None and self._wanted.adopt else "unknown"
        elif row is None or (_hash(key) in restored and examined.modified_s > row.modified_s):
            state = "restored"
        else:
            state = "left over"
        done = state in ("adopted", "restored") and not self._wanted.dry_run and await self._store(bucket, row, record)
        if done and state == "restored":
            restored.add(_hash(key))
        return Drift(bucket.bucket, key, state, body.location, examined.size, owner_of(examined), done)

    async def _store(self, bucket: Bucket, row: ObjectRecord | None, record: ObjectRecord) -> bool:
        if row is None:
            return await self._adoptions.insert(bucket, record)
        return await self._adoptions.replace(bucket, row, record)

    async def _follow(self, bucket: Bucket, row: ObjectRecord, record: ObjectRecord) -> Drift | None:
        """A row whose body is another one by now; listings may be old, the body itself is not."""
        if record.origin_etag is None:  # a directory's bodies are never changed in place: one is damaged
            return None
        if has_same_bytes(row, record):
            if row.origin_etag != record.origin_etag and not self._wanted.dry_run:
                await self._adoptions.rename(row, record.origin_etag)
            return None
        done = not self._wanted.dry_run and await self._adoptions.replace(bucket, row, record)
        return Drift(row.bucket, row.key, "changed", row.location, record.size, record.uploader, done)

    async def _missing(self, bucket: Bucket, survey: Survey, seen: set[int]) -> list[Drift]:
        """Rows whose body the listing did not show, and which is not there when looked for."""
        found: list[Drift] = []
        after = ""
        while page := await self._adoptions.rows_after(bucket.bucket, after):
            after = page[-1].key
            unseen = [row for row in page if row.origin == bucket.origin and _hash(row.location) not in seen]
            looked = await asyncio.gather(*[self._look_for(bucket, survey, row) for row in unseen])
            found += [drift for drift in looked if drift is not None]
        return found

    async def _look_for(self, bucket: Bucket, survey: Survey, row: ObjectRecord) -> Drift | None:
        async with self._turns:
            if await survey.examine(row.location) is not None:
                return None
            rows = await self._adoptions.find_many(bucket.bucket, [row.key])
            if rows.get(row.key) != row:  # it was replaced, or removed, since
                return None
            wanted = self._wanted.forget and not self._wanted.dry_run
            done = wanted and await self._adoptions.remove(bucket, row)
            return Drift(row.bucket, row.key, "missing", row.location, row.size, row.uploader, done)


def is_as_recorded(body: LyingBody, bucket: Bucket, rows: Mapping[str, ObjectRecord]) -> bool:
    """Has a row this very body, as far as a listing tells?"""
    for key in body.keys:
        row = rows.get(key)
        if row is not None and (row.origin, row.location) == (bucket.origin, body.location):
            same_size = body.size is None or body.size == row.size
            return same_size and (body.etag is None or row.origin_etag is None or body.etag == row.origin_etag)
    return False


def key_of(body: LyingBody, examined: ExaminedBody | None) -> str | None:
    """The key of the object that a body is; None: no object can have it.

    A key that ends in a write's id has it from us only where that write has made the body.
    """
    if examined is None:
        return None
    key = examined.key
    if key is None and body.keys:
        is_fresh = examined.write_id is not None and body.location.endswith(f"%40{examined.write_id}")
        key = body.keys[0] if is_fresh else body.keys[-1]
    try:
        validate_key(key or "")
    except (S3Error, UnicodeEncodeError):
        return None
    return key or None


def _by_key(bodies: Iterable[LyingBody]) -> list[list[LyingBody]]:
    groups: dict[str, list[LyingBody]] = {}
    for body in bodies:
        groups.setdefault(body.keys[0] if body.keys else body.location, []).append(body)
    return list(groups.values())


def _hash(text: str) -> int:
    """A number for a text: a set of them is a tenth of a set of texts."""
    return int.from_bytes(blake2b(text.encode("utf-8", "surrogateescape"), digest_size=8).digest(), "big")
