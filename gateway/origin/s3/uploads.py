"""Multipart uploads at an S3 origin: begun, put together, ended.

https://docs.aws.amazon.com/AmazonS3/latest/userguide/mpuoverview.html
"""

from collections.abc import Sequence
from hashlib import sha256
from urllib.parse import quote

from gateway.origin.base import Begun, BodyMeta, PartBody, StoredBody
from gateway.origin.errors import BodyNotFound, OriginError, OutcomeUnknown
from gateway.origin.providers import Provider
from gateway.origin.s3.documents import ListedUpload, parse_etag, parse_upload_id, parse_uploads, render_complete
from gateway.origin.s3.entries import entries_at
from gateway.origin.s3.failures import Refused
from gateway.origin.s3.places import Place, parse_place
from gateway.origin.s3.requests import Request
from gateway.origin.s3.session import Session
from gateway.origin.s3.settling import Settling, bare

_CLOCK_SLACK_S = 5  # clocks are told in whole seconds, and an answer takes its time


class Uploads:
    """The uploads of one origin."""

    def __init__(self, session: Session, profile: Provider, settling: Settling) -> None:
        self._session = session
        self._profile = profile
        self._settling = settling

    async def begin(self, location: str, meta: BodyMeta) -> str:
        place = parse_place(location)
        request = Request("POST", place, "uploads=", headers=entries_at(place, meta, self._profile))
        upload_id = parse_upload_id(await self._session.document(request, repeatable=False))
        return f"{place.object_location}?uploadId={quote(upload_id, safe='-._~')}"

    async def complete(self, upload_location: str, parts: Sequence[PartBody], meta: BodyMeta) -> StoredBody:
        place = parse_place(upload_location)
        body = render_complete([(_number_of(part), part.etag or "") for part in parts])
        headers = {"content-type": "application/xml"}
        if self._profile.conditional_writes and place.is_own:
            headers["if-none-match"] = "*"
        request = Request("POST", place, f"uploadId={place.upload_id}", headers, sha256(body).hexdigest(), len(body))
        size = sum(part.size for part in parts)
        try:
            etag = parse_etag(await self._session.document(request, body, slow=True))
        except (OutcomeUnknown, Refused, BodyNotFound) as error:
            etag = await self._settling.settled(error, place.object_location, meta.write_id, size)
            if self._profile.multipart_etags and meta.etag and bare(etag) != bare(meta.etag):  # of other parts
                raise
        return StoredBody(place.object_location, etag)

    async def abort(self, place: Place, begun: Begun | None) -> None:
        """End an upload, with its parts; one that the origin was told of and we never heard the id of, too."""
        upload_ids = [place.upload_id] if place.upload_id is not None else await self._strays(place, begun)
        for upload_id in upload_ids:
            request = Request("DELETE", Place(place.bucket, place.path), f"uploadId={upload_id}")
            await self._session.remove(request)

    async def _strays(self, place: Place, begun: Begun | None) -> list[str]:
        """The ids of our own uploads to the very key of a place.

        Others may have begun some to a key: ours are those that were begun when ours may have been, since while a write
        or an upload holds a place no other one here begins any. A fresh place is nobody else's.
        """
        if place.is_own and begun is None:
            return []
        query = f"max-uploads=1000&prefix={quote(place.key, safe='-._~', errors='surrogateescape')}&uploads="
        answer, ahead_s = await self._session.dated_document(Request("GET", Place(place.bucket, ""), query))
        found = [upload for upload in parse_uploads(answer) if upload.key == place.key]
        if place.is_own and begun is not None:
            found = [upload for upload in found if _is_of(upload, begun, ahead_s)]
        return [quote(upload.upload_id, safe="-._~") for upload in found]


def _is_of(upload: ListedUpload, begun: Begun, ahead_s: float) -> bool:
    """Was it begun at such a time? `ahead_s`: by so many seconds the origin's clock is ahead of ours."""
    if upload.initiated_s is None:
        return False
    initiated_s = upload.initiated_s - ahead_s
    return begun.since_s - _CLOCK_SLACK_S <= initiated_s <= begun.until_s + _CLOCK_SLACK_S


def _number_of(part: PartBody) -> int:
    number = parse_place(part.location).part_number
    if number is None:
        raise OriginError(f"{part.location}: not a part")
    return number
