"""A request's body on its way in: length, framing and claims from the headers, pieces from the connection."""

import asyncio
from collections.abc import AsyncIterator, Callable

from aiohttp import StreamReader

from gateway.errors import Code, S3Error
from gateway.objects.bodies import Claims, IncomingBody
from gateway.s3.aws_chunked import AwsChunkedDecoder
from gateway.s3.checksums import (
    Algorithm,
    Checksum,
    parse_checksum_headers,
    parse_trailer_checksum,
    parse_trailer_value,
)
from gateway.s3.headers import parse_content_length, parse_content_md5, parse_integer
from gateway.web.call import Call
from gateway.web.connection import Request

_MAX_LENGTH = 1 << 53
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


def incoming_body(call: Call) -> IncomingBody:
    """The body of a PutObject or UploadPart.

    Raises S3Error: MissingContentLength, EntityTooLarge, InvalidDigest, InvalidRequest, IncompleteBody.
    """
    payload = call.verified.payload if call.verified else None
    if payload is not None and payload.streaming:
        return _framed_body(call)
    size = parse_content_length(call.headers)
    if size is None:
        raise S3Error(Code.MissingContentLength)
    _refuse_too_large(call, size)
    if "x-amz-trailer" in call.headers:  # what was announced may not go unverified
        raise S3Error(Code.InvalidRequest, "x-amz-trailer needs an x-amz-content-sha256 that says so.")
    checksum = parse_checksum_headers(call.headers)
    claims = Claims(
        sha256_hex=payload.sha256_hex if payload else None,
        md5=parse_content_md5(call.headers),
        algorithm=checksum.algorithm if checksum else None,
        checksum=lambda: checksum,
    )
    return IncomingBody(size, _pieces(call, size), claims)


def _framed_body(call: Call) -> IncomingBody:
    """An aws-chunked body: its size is the decoded one, its checksum may come in a trailer."""
    verified = call.verified
    text = call.headers.get("x-amz-decoded-content-length")
    if verified is None or text is None:
        raise S3Error(Code.MissingContentLength)
    size = parse_integer(text, "x-amz-decoded-content-length", minimum=0, maximum=_MAX_LENGTH)
    _refuse_too_large(call, size)
    payload = verified.payload
    in_trailer = parse_trailer_checksum(call.headers)
    in_header = parse_checksum_headers(call.headers)
    if in_trailer is not None and in_header is not None:
        raise S3Error(Code.InvalidRequest, "Expecting a single x-amz-checksum- header")
    decoder = AwsChunkedDecoder(
        size,
        signatures=verified.chunks() if payload.signed_chunks else None,
        trailer_names=frozenset({in_trailer.header}) if in_trailer else frozenset(),
    )
    claims = Claims(
        md5=parse_content_md5(call.headers),
        algorithm=in_trailer or (in_header.algorithm if in_header else None),
        checksum=_trailer_claim(in_trailer, decoder) if in_trailer else lambda: in_header,
    )
    return IncomingBody(size, _decoded(call, decoder), claims)


def _trailer_claim(algorithm: Algorithm, decoder: AwsChunkedDecoder) -> Callable[[], Checksum]:
    return lambda: parse_trailer_value(algorithm, decoder.trailers)


def _refuse_too_large(call: Call, size: int) -> None:
    limit = largest_body(call)
    if size > limit:
        raise S3Error(Code.EntityTooLarge, ProposedSize=size, MaxSizeAllowed=limit)


def largest_body(call: Call) -> int:
    """Bytes of one body at most: as the settings say, and as the category says of a whole object."""
    limit, of_category = call.services.settings.limits.max_object_size, call.max_object_size
    return limit if of_category is None else min(limit, of_category)


async def _pieces(call: Call, size: int) -> AsyncIterator[bytes]:
    """Exactly `size` bytes; raises S3Error: IncompleteBody."""
    left = size
    async for data in received(call):
        left -= len(data)
        if left < 0:
            break
        yield data
        del data  # it is not needed while the next piece is waited for
    if left:
        raise S3Error(Code.IncompleteBody, NumberBytesExpected=size, NumberBytesProvided=size - left)


async def _decoded(call: Call, decoder: AwsChunkedDecoder) -> AsyncIterator[bytes | bytearray | memoryview]:
    async for data in received(call):
        for piece in decoder.feed(data):
            yield piece
            del piece
        del data
    decoder.finish()


async def received(call: Call) -> AsyncIterator[bytes]:
    """The bytes of the body as they arrive; sends 100 Continue first where the client waits for it.

    Raises S3Error: IncompleteBody (the client is gone), RequestTimeout (it sent nothing for too long).
    """
    content = call.request.body
    limits = call.services.settings.limits
    patience = _Patience(limits.body_gap_timeout_s, limits.min_upload_rate)
    send_continue(call.request)
    while not content.at_eof():
        data = await _next_piece(content, patience)
        if data:
            yield data
        del data


class _Patience:
    """How long a body is waited for: `gap_s` for each piece, and as long again only while it comes at `min_rate` (B/s).

    What counts is the time that we wait for the client, not that in which it waits for us.
    """

    __slots__ = ("_bytes", "_min_rate", "_waited_s", "gap_s")

    def __init__(self, gap_s: float, min_rate: int) -> None:
        self.gap_s = gap_s
        self._min_rate = min_rate
        self._waited_s = 0.0
        self._bytes = 0

    def note(self, waited_s: float, size: int) -> None:
        """A piece of `size` bytes was waited for; raises TimeoutError where they have come too slowly for too long."""
        self._waited_s += waited_s
        self._bytes += size
        if self._waited_s >= self.gap_s:
            if self._bytes < self._waited_s * self._min_rate:
                raise TimeoutError
            self._waited_s, self._bytes = 0.0, 0


async def _next_piece(content: StreamReader, patience: _Patience) -> bytes:
    try:
        data = content.read_nowait()
        if data:
            return data
        loop = asyncio.get_running_loop()
        began_s = loop.time()
        async with asyncio.timeout(patience.gap_s):
            data = await content.readany()
        patience.note(loop.time() - began_s, len(data))
    except TimeoutError:
        raise S3Error(Code.RequestTimeout) from None
    except asyncio.CancelledError:
        raise
    except Exception as error:  # whatever the server's parser makes of a lost or broken connection
        raise S3Error(Code.IncompleteBody) from error
    return data


def send_continue(request: Request) -> None:
    """Tell a client that waits for it to send its body; once."""
    if request.awaits_continue and request.transport is not None:
        request.continued = True
        request.transport.write(_CONTINUE)
