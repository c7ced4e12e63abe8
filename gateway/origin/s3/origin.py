"""An origin that is an S3 endpoint: the plainest requests that do it, whatever the client's were.

What a place looks like says `places.py`, what is kept with a body `entries.py`, what a lost answer was about
`settling.py`; multipart uploads are in `uploads.py`. A body is written to a place that no other write has at the time,
so a repetition writes the same bytes again.
"""

import asyncio
from base64 import b64encode
from collections.abc import Callable, Mapping, Sequence
from hashlib import md5 as new_md5
from hashlib import sha256

from gateway.origin.base import Begun, BodyMeta, BodyReader, BodyWriter, Checked, KeptAs, PartBody, StoredBody
from gateway.origin.errors import (
    BodyChanged,
    BodyExists,
    BodyNotFound,
    BucketRefused,
    BucketTaken,
    OriginError,
    OutcomeUnknown,
)
from gateway.origin.http_client import Response, Upload
from gateway.origin.providers import Provider
from gateway.origin.s3.bodies import S3Reader, S3Writer, check_etag
from gateway.origin.s3.documents import parse_etag, parse_page, render_bucket, render_tagging
from gateway.origin.s3.entries import entries_at
from gateway.origin.s3.failures import NoBucket, Refused, is_precondition, is_taken
from gateway.origin.s3.pieces import MOST_AT_ONCE, PiecesWriter
from gateway.origin.s3.places import Place, fresh_location, location_of, own_location, parse_place
from gateway.origin.s3.requests import UNSIGNED_PAYLOAD, Request
from gateway.origin.s3.session import Session
from gateway.origin.s3.settling import Settling, bare, etag_of
from gateway.origin.s3.survey import S3Survey
from gateway.origin.s3.uploads import Uploads
from gateway.threads import Threads

_HASH_IN_LOOP = 16 << 10
_COPY_BLOCK = 1 << 20
_NONE: Mapping[str, str] = {}
_REPLACE = {"x-amz-metadata-directive": "REPLACE"}


class S3Origin:
    """Bodies in the buckets of one S3 endpoint; implements gateway.origin.base.Origin."""

    def __init__(
        self,
        session: Session,
        profile: Provider,
        *,
        sign_bodies: bool,
        bucket_region: str | None = None,
        settle_s: int = 900,
    ) -> None:
        """`sign_bodies`: of bodies that are here whole, as plain HTTP needs it: TLS protects them as well.

        `bucket_region`: what the origin must be told of where a new bucket is to lie; None: nothing.
        `settle_s`: after so many seconds a request that was given up has no effect any more; its signature is too old.
        """
        self._session = session
        self._profile = profile
        self._sign_bodies = sign_bodies
        self._bucket_region = bucket_region
        self._threads = Threads(2, "origin-hash")
        self.survey = S3Survey(session, profile)
        self._settling = Settling(session, profile)
        self._uploads = Uploads(session, profile, self._settling)
        self.pieces_turns = asyncio.Semaphore(MOST_AT_ONCE)
        self.md5_etags = profile.md5_etags
        self.confirms_checksums = profile.md5_etags and profile.checksum_headers
        self.copies = profile.copy_object
        self.assembles_once = True
        self.settle_s = settle_s

    async def make_bucket(self, bucket: str) -> None:
        """Look first: a key that may not make buckets can still use one that was made for it."""
        try:
            held = await self._holds_something(bucket)
            if held is None:
                await self._make_bucket(bucket)
        except Refused as error:
            raise BucketRefused(str(error)) from error
        if held:
            raise BucketTaken(bucket)

    def locate(self, bucket: str, key: str, write_id: str) -> str:
        return fresh_location(bucket, key, write_id)

    def own_location(self, bucket: str, key: str) -> str | None:
        return own_location(bucket, key)

    def foreign_location(self, bucket: str, key: str) -> str | None:
        return location_of(bucket, key)

    async def require_free(self, location: str, write_id: str) -> None:
        place = parse_place(location)
        if place.is_own:
            found = await self._settling.look(place.object_location)
            if found is not None and found[0].write_id != write_id:
                raise BodyExists(place.object_location)

    def locate_upload(self, object_location: str) -> str:
        return f"{object_location}?uploads"

    def locate_part(self, upload_location: str, part_number: int, write_id: str) -> str:
        return f"{upload_location}&partNumber={part_number}#{write_id}"

    async def create(
        self, location: str, size: int | None, meta: BodyMeta | None = None, sha256_hex: str | None = None
    ) -> BodyWriter:
        if size is None or size > self._largest(location):
            return PiecesWriter(self, location, meta, size)
        request = self._put(location, meta, size, sha256_hex or UNSIGNED_PAYLOAD)
        upload = await self._session.upload(request)
        write_id = meta.write_id if meta is not None else ""
        return S3Writer(self, location, request, upload, write_id, md5_etags=self.md5_etags)

    async def store(self, location: str, data: bytes, check: Callable[[], Checked]) -> str | None:
        checked, sha256_hex = await self._checked(data, check)
        request = self._put(location, checked.meta, len(data), sha256_hex or UNSIGNED_PAYLOAD, _digests(checked))
        confirmed = False
        try:
            response = await self._session.ask(request, data)
            response.close()
            etag = etag_of(response, location)
            confirmed = _is_confirmed(checked, response)
        except (OutcomeUnknown, Refused) as error:
            etag = await self._settling.settled(
                error, location, checked.meta.write_id if checked.meta else "", len(data)
            )
        md5 = checked.md5
        if md5 is None and self.md5_etags and not confirmed:
            md5 = await self._threads.run(lambda: _md5(data))
        return check_etag(etag, None if md5 is None else f'"{md5.hex()}"', location, md5_etags=self.md5_etags)

    async def open(
        self,
        location: str,
        etag: str | None = None,
        offset: int = 0,
        size: int | None = None,
        kept_as: KeptAs | None = None,
    ) -> BodyReader:
        response = await self.read_from(location, etag, offset, size)
        return S3Reader(self, location, etag, response, offset, size)

    async def read_from(self, location: str, etag: str | None, offset: int, size: int | None) -> Response:
        """The answer to a GET of `size` bytes from `offset`, of the very body that is expected there."""
        headers: dict[str, str] = {}
        if etag is not None and not etag.startswith("W/"):  # a weak one never matches: RFC 9110, section 13.1.1
            headers["if-match"] = etag
        if size != 0 and (offset or size is not None):
            headers["range"] = f"bytes={offset}-{'' if size is None else offset + size - 1}"
        method = "HEAD" if size == 0 else "GET"  # there is no range of no bytes
        try:
            response = await self._session.ask(Request(method, parse_place(location), headers=headers))
        except Refused as error:
            if error.status in (412, 416):
                raise BodyChanged(location) from error
            raise
        found = response.headers.get("etag")
        if etag is not None and found is not None and bare(found) != bare(etag):  # not all look at If-Match
            response.close()
            raise BodyChanged(location)
        if size != 0 and not _is_range(response, offset, size):
            response.close()
            raise BodyChanged(f"{location}: the origin gave other bytes than those that were asked for")
        return response

    async def copy(
        self, source: str, offset: int, size: int, target: str, meta: BodyMeta | None, etag: str | None = None
    ) -> str | None:
        if offset or meta is None or not self._profile.copy_object or size > self._profile.max_copy_bytes:
            return await self._copy_through(source, offset, size, target, meta, etag)
        place = parse_place(target)
        await self.require_free(target, meta.write_id)  # few origins take a condition to a copy
        headers = {**entries_at(place, meta, self._profile), **_REPLACE, "x-amz-copy-source": f"/{source}"}
        if self._profile.tagging:
            headers["x-amz-tagging-directive"] = "REPLACE"
        if etag is not None and not etag.startswith("W/"):
            headers["x-amz-copy-source-if-match"] = etag
        try:
            answer = await self._session.document(Request("PUT", place, headers=headers), slow=True)
            return parse_etag(answer)
        except Refused as error:
            if is_precondition(error):
                raise BodyChanged(source) from error
            if is_taken(error):
                raise BodyExists(target) from error
            raise
        except OutcomeUnknown as error:
            return await self._settling.settled(error, target, meta.write_id, size)

    async def begin_upload(self, location: str, meta: BodyMeta) -> str:
        return await self._uploads.begin(location, meta)

    async def assemble(self, upload_location: str, parts: Sequence[PartBody], meta: BodyMeta) -> StoredBody:
        return await self._uploads.complete(upload_location, parts, meta)

    async def describe(self, location: str, meta: BodyMeta) -> str | None:
        place = parse_place(location)
        if self._profile.tagging:
            body = render_tagging(meta.tags)
            headers = {"content-type": "application/xml", "content-md5": _content_md5(body)}
            await self._session.done(Request("PUT", place, "tagging=", headers, _sha256(body), len(body)), body)
            return None
        return await self._describe_by_copy(location, meta)

    async def delete(
        self, location: str, write_id: str = "", etag: str | None = None, *, begun: Begun | None = None
    ) -> None:
        place = parse_place(location)
        if place.part_number is not None:  # parts go with their upload, and with a part that takes their place
            return
        if place.query or begun is not None:
            await self._uploads.abort(place, begun)
        if place.is_own and not await self._settling.is_still(place.object_location, write_id, etag):
            return
        # Under an own key a repetition would hide that the first one may still be done, when another body lies there.
        await self._session.remove(Request("DELETE", Place(place.bucket, place.path)), repeatable=not place.is_own)

    async def forget_removed(self) -> None:
        """Nothing is kept open of a body."""

    async def close(self) -> None:
        await self._session.close()
        await self._threads.close()

    # For writers.

    async def refused(self, request: Request, error: OriginError) -> OriginError:
        known = await self._session.refused(request, error)
        if request.place.is_own and isinstance(known, Refused) and is_taken(known):  # said before all of it was sent
            return BodyExists(request.place.object_location)
        return known

    async def stored(self, request: Request, upload: Upload, location: str, write_id: str, size: int) -> str:
        """The origin's ETag of a body whose last byte was sent."""
        try:
            response = await self._session.answered(request, upload)
            response.close()
            return etag_of(response, location)
        except (OutcomeUnknown, Refused) as error:
            return await self._settling.settled(error, location, write_id, size)

    async def _holds_something(self, bucket: str) -> bool | None:
        """Is anything in a bucket? None: there is no such bucket."""
        request = Request("GET", Place(bucket, ""), "list-type=2&max-keys=1")
        try:
            page = parse_page(await self._session.document(request))
        except NoBucket:
            return None
        return bool(page.keys)

    async def _make_bucket(self, bucket: str) -> None:
        body = b"" if self._bucket_region is None else render_bucket(self._bucket_region)
        headers = {"content-type": "application/xml"} if body else {}
        request = Request("PUT", Place(bucket, ""), "", headers, _sha256(body), len(body))
        try:
            await self._session.done(request, body)
        except Refused as error:
            if error.code == "BucketAlreadyOwnedByYou":  # an earlier attempt, whose answer was lost
                return
            if error.code != "BucketAlreadyExists":
                raise
            if await self._holds_something(bucket) is not False:  # some say that of one's own, too
                raise BucketTaken(bucket) from error

    def _put(
        self,
        location: str,
        meta: BodyMeta | None,
        size: int,
        payload_hash: str,
        digests: Mapping[str, str] = _NONE,
    ) -> Request:
        place = parse_place(location)
        headers = entries_at(place, meta, self._profile) if meta is not None else {}
        headers.update(digests)
        if place.part_number is not None:
            return Request(
                "PUT",
                Place(place.bucket, place.path),
                f"partNumber={place.part_number}&uploadId={place.upload_id}",
                headers,
                payload_hash,
                size,
            )
        if self._profile.conditional_writes and place.is_own:  # only what the catalog knows of is ever replaced there
            headers["if-none-match"] = "*"
        return Request("PUT", place, "", headers, payload_hash, size)

    def _largest(self, location: str) -> int:
        is_part = parse_place(location).part_number is not None
        return self._profile.max_part_bytes if is_part else self._profile.max_put_bytes

    async def _checked(self, data: bytes, check: Callable[[], Checked]) -> tuple[Checked, str | None]:
        """A small body checked, and the hash that its request is signed with."""

        def work() -> tuple[Checked, str | None]:
            checked = check()
            return checked, checked.sha256_hex or (_sha256(data) if self._sign_bodies else None)

        return work() if len(data) <= _HASH_IN_LOOP else await self._threads.run(work)

    async def _copy_through(
        self, source: str, offset: int, size: int, target: str, meta: BodyMeta | None, etag: str | None
    ) -> str | None:
        """A copy at an origin that makes none: its bytes come here and go back."""
        if not size:
            return await self.store(target, b"", lambda: Checked(meta))
        reader = await self.open(source, etag, offset, size)
        try:
            writer = await self.create(target, size, meta)
            try:
                end = offset + size
                while offset < end:
                    data = await reader.read(offset, min(end - offset, _COPY_BLOCK))
                    await writer.write(data)
                    offset += len(data)
                return await writer.finish()
            except BaseException:
                await writer.abort()
                raise
        finally:
            reader.close()

    async def _describe_by_copy(self, location: str, meta: BodyMeta) -> str | None:
        """Tags as an entry: the body is copied onto itself with other entries."""
        found = await self._settling.look(location)
        if found is None:
            raise BodyNotFound(location)
        kept, etag, size = found
        if not self._profile.copy_object or size > self._profile.max_copy_bytes:
            raise OriginError(f"{location}: this origin has no tags, and does not copy in place")
        described = BodyMeta(
            meta.bucket, meta.key, meta.uploader, kept.write_id or "", meta.etag, meta.headers, meta.metadata, meta.tags
        )
        place = parse_place(location)
        headers = {
            **entries_at(place, described, self._profile),
            **_REPLACE,
            "x-amz-copy-source": f"/{location}",
            "x-amz-copy-source-if-match": etag,
        }
        try:
            return parse_etag(await self._session.document(Request("PUT", place, headers=headers), slow=True))
        except (OutcomeUnknown, Refused) as error:
            if isinstance(error, Refused) and not is_precondition(error):
                raise
            return await self._described(error, location, described)

    async def _described(self, error: OriginError, location: str, meta: BodyMeta) -> str:
        """The ETag where a copy onto itself took effect after all; raises the error where it did not."""
        try:
            found = await self._settling.look(location)
        except OriginError as unanswered:
            raise error from unanswered
        if found is None or found[0].write_id != (meta.write_id or None) or (found[0].tags or {}) != meta.tags:
            raise error
        return found[1]


def _is_range(response: Response, offset: int, size: int | None) -> bool:
    """Does an answer have exactly these bytes? All of a body may come without Content-Range."""
    if response.status != 206:
        return not offset and (size is None or response.length == size)
    told = response.headers.get("content-range", "")
    if size is None:
        return offset > 0 and told.startswith(f"bytes {offset}-")
    return told.startswith(f"bytes {offset}-{offset + size - 1}/") and response.length in (None, size)


def _digests(checked: Checked) -> dict[str, str]:
    """What a request says of its body, for the origin to verify: its MD5, or else its checksum."""
    if checked.md5 is not None:
        return {"content-md5": _base64(checked.md5)}
    return {} if checked.checksum is None else dict((checked.checksum,))


def _is_confirmed(checked: Checked, response: Response) -> bool:
    """Does the answer say the checksum that was sent, as of those who have verified it?"""
    if checked.checksum is None:
        return False
    name, value = checked.checksum
    return response.headers.get(name) == value


def _sha256(data: bytes) -> str:
    return sha256(data).hexdigest()


def _md5(data: bytes) -> bytes:
    return new_md5(data, usedforsecurity=False).digest()


def _base64(digest: bytes) -> str:
    return b64encode(digest).decode("ascii")


def _content_md5(body: bytes) -> str:
    return _base64(_md5(body))
