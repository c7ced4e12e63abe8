"""Bodies at an S3 origin that are being read or written: streams, with nothing of them kept.

A body is read from one answer, from where it was opened on. After the last byte but one block has been sent, a body
that is being written does not exist; the answer to the last block says what the origin has made of it.
"""

import re
from typing import Protocol

from gateway.origin.base import FileRegion
from gateway.origin.errors import GaveWay, OriginDown, OriginError, OutcomeUnknown
from gateway.origin.http_client import EarlyAnswer, Response, Upload
from gateway.origin.s3.requests import Request

MD5_ETAG = re.compile(r'"[0-9a-f]{32}"\Z')


class Reading(Protocol):
    """What a reader needs of its origin."""

    async def read_from(self, location: str, etag: str | None, offset: int, size: int | None) -> Response: ...


class Writing(Protocol):
    """What a writer needs of its origin."""

    async def refused(self, request: Request, error: OriginError) -> OriginError: ...

    async def stored(self, request: Request, upload: Upload, location: str, write_id: str, size: int) -> str: ...


class S3Reader:
    """An open body: one answer, read from its beginning to its end; a jump asks again.

    So does a reader who took nothing for so long that others got its connection; by the ETag it is the same body.
    """

    plain_file: None = None

    __slots__ = ("_end", "_etag", "_location", "_offset", "_origin", "_response")

    def __init__(
        self, origin: Reading, location: str, etag: str | None, response: Response, offset: int, size: int | None
    ) -> None:
        self._origin = origin
        self._location = location
        self._etag = etag
        self._response = response
        self._response.resumable = etag is not None
        self._offset = offset
        self._end = None if size is None else offset + size

    async def read(self, offset: int, size: int) -> bytes:
        if offset != self._offset:
            await self._jump(offset)
        try:
            data = await self._response.read(size)
        except GaveWay:
            await self._jump(offset)
            data = await self._response.read(size)
        if not data:
            raise OriginError(f"{self._location}: the body ended early")
        self._offset += len(data)
        return data

    async def region(self, offset: int, size: int) -> FileRegion | None:
        return None

    def close(self) -> None:
        self._response.close()

    async def _jump(self, offset: int) -> None:
        self._response.close()
        left = None if self._end is None else max(self._end - offset, 0)
        self._response = await self._origin.read_from(self._location, self._etag, offset, left or None)
        self._response.resumable = self._etag is not None
        self._offset = offset


class S3Writer:
    """A body of known size on its way to the origin."""

    def __init__(
        self, origin: Writing, location: str, request: Request, upload: Upload, write_id: str, *, md5_etags: bool
    ) -> None:
        self._origin = origin
        self._request = request
        self._upload = upload
        self._write_id = write_id
        self._md5_etags = md5_etags
        self._ended = False
        self._left = request.length
        self.location = location

    async def write(self, data: bytes | bytearray | memoryview) -> None:
        if not data:  # all of it may have been sent already, and answered
            return
        try:
            await self._upload.write(data)
        except OriginError as error:
            self._ended = True
            known = await self._origin.refused(self._request, error)
            is_last = len(data) == self._left
            if is_last and isinstance(known, OriginDown) and not isinstance(error, EarlyAnswer):
                known = OutcomeUnknown(str(known))  # the origin may have got all of it
            raise known from (error.__cause__ if known is error else error)
        self._left -= len(data)

    async def finish(self, etag: str | None = None) -> str | None:
        origin = self._origin
        found = await origin.stored(self._request, self._upload, self.location, self._write_id, self._request.length)
        self._ended = True
        return check_etag(found, etag, self.location, md5_etags=self._md5_etags)

    async def abort(self) -> None:
        if not self._ended:
            self._ended = True
            self._upload.abort()


def check_etag(found: str, md5: str | None, location: str, *, md5_etags: bool) -> str:
    """The origin's ETag of what was stored; where it is an MD5, it must be that of the body: `md5`, where known.

    Raises OriginError: the origin has stored something else, or is not what the settings say.
    """
    if not md5_etags:
        return found
    if MD5_ETAG.match(found) is None or (md5 is not None and found != md5):
        raise OriginError(
            f"{location}: the origin's ETag {found} is not the MD5 of what was sent; where its ETags never are, "
            "the origin needs capabilities = { md5_etags = false }"
        )
    return found
