"""What lies in a bucket of an S3 origin, and what is kept with it.

A page is believed as little as any answer: what is not below the place is left out, what was there before is not taken
for new, and a listing that does not get on is given up.
https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListObjectsV2.html
"""

import re
from collections.abc import AsyncIterator, Sequence
from email.utils import parsedate_to_datetime
from urllib.parse import quote

from gateway.origin.errors import BodyNotFound, OriginError
from gateway.origin.providers import Provider
from gateway.origin.s3.documents import ListedKey, parse_page, parse_tags
from gateway.origin.s3.entries import parse_entries
from gateway.origin.s3.places import Place, location_of, parse_place
from gateway.origin.s3.requests import Request
from gateway.origin.s3.session import Session
from gateway.origin.survey import ExaminedBody, LyingBody

PAGE = 1000
"""Keys of a page."""

_MOST_IDLE_PAGES = 100  # in a row, without a new key
_KMS = "aws:kms"  # and "aws:kms:dsse"; https://docs.aws.amazon.com/AmazonS3/latest/API/API_Object.html (ETag)
_WRITE_ID = re.compile(r"@([0-9a-f]{32})\Z")


class S3Survey:
    """Implements gateway.origin.survey.Survey."""

    def __init__(self, session: Session, profile: Provider) -> None:
        self._session = session
        self._profile = profile

    async def bodies(self, bucket: str, prefix: str, after: str) -> AsyncIterator[Sequence[LyingBody]]:
        last, token, idle = after, None, 0
        while True:
            page = parse_page(await self._session.document(_list(self._profile, bucket, prefix, last, token)))
            found = []
            for listed in page.keys[:PAGE]:
                if listed.key.startswith(prefix) and listed.key.encode("utf-8", "surrogateescape") > last.encode(
                    "utf-8", "surrogateescape"
                ):
                    last = listed.key
                    found.append(_lying(bucket, prefix, listed))
            if found:
                idle = 0
                yield found
            elif (idle := idle + 1) > _MOST_IDLE_PAGES:
                raise OriginError(f"{bucket}/{prefix}: the listing does not get on after {last!r}")
            if page.next is None:
                return
            token = page.next

    async def examine(self, location: str) -> ExaminedBody | None:
        place = parse_place(location)
        try:
            response = await self._session.ask(Request("HEAD", place))
        except BodyNotFound:
            return None
        response.close()
        headers = response.headers
        kept, etag = parse_entries(headers), headers.get("etag", "")
        if not etag or response.length is None:
            raise OriginError(f"{location}: the origin tells neither ETag nor size")
        etag = etag if etag.startswith(('"', "W/")) else f'"{etag}"'
        tags = kept.tags
        if tags is None and headers.get("x-amz-tagging-count", "0") != "0":
            tags = await self._tags(place)
        return ExaminedBody(
            size=response.length,
            etag=etag.removeprefix("W/"),
            origin_etag=etag,
            modified_s=_seconds(headers.get("last-modified", "")),
            uploader=kept.uploader,
            write_id=kept.write_id,
            key=kept.key,
            headers=kept.headers,
            metadata=kept.metadata,
            tags=tags or {},
            keyed=headers.get("x-amz-server-side-encryption", "").startswith(_KMS),
        )

    async def _tags(self, place: Place) -> dict[str, str]:
        return parse_tags(await self._session.document(Request("GET", place, "tagging=")))


def _list(profile: Provider, bucket: str, prefix: str, after: str, token: str | None) -> Request:
    query = {"list-type": "2", "max-keys": str(PAGE), "prefix": prefix}
    if profile.list_url_encoding:
        query["encoding-type"] = "url"
    if token is not None:
        query["continuation-token"] = token
    elif after:
        query["start-after"] = after
    encoded = "&".join(f"{name}={quote(query[name], safe='-._~', errors='surrogateescape')}" for name in sorted(query))
    return Request("GET", Place(bucket, ""), encoded)


def _lying(bucket: str, prefix: str, listed: ListedKey) -> LyingBody:
    below = listed.key.removeprefix(prefix)
    without_id = _WRITE_ID.sub("", below)
    keys = (below,) if without_id in (below, "") else (without_id, below)
    etag = listed.etag if not listed.etag or listed.etag.startswith('"') else f'"{listed.etag}"'
    return LyingBody(location_of(bucket, listed.key), keys, listed.size, etag or None, listed.key)


def _seconds(date: str) -> int:
    try:
        return int(parsedate_to_datetime(date).timestamp())
    except (ValueError, TypeError):
        return 0
