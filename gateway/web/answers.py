"""Answers: values that one function writes to the connection, heads as bytes, files by sendfile.

After the head is out there is no other answer: whatever fails then breaks the connection, so that the client sees a
body that is too short instead of a polite end.
"""

import asyncio
import os
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Protocol

from gateway.errors import Code, S3Error
from gateway.origin.base import BodyReader
from gateway.s3.headers import render_http_date
from gateway.s3.xml import render_error

_REASONS = {status.value: status.phrase for status in HTTPStatus}
_READ_SIZE = 64 << 10
_STREAM_SIZE = (
    512 << 10
)  # of what lies in no file, a piece as it came: in 64 KiB a GET of 1 MiB costs 1.4 times as much
_MOST_UNSENT_TLS = 32 << 10
_SENDFILE_WINDOW = 1 << 20
_SMALL_ANSWERS = 128 << 10
XML = "application/xml"


@dataclass(frozen=True, slots=True)
class BodySlice:
    """`size` bytes of an open body at an origin, from `offset`; whoever writes the answer closes the reader."""

    reader: BodyReader
    offset: int
    size: int
    origin: str = ""


@dataclass(slots=True)
class Answer:
    """What a handler answers. `length` is Content-Length where it is not that of `body`: a HEAD's, or a slice's.

    `sent` grows while its body is written: bytes that the client was sent of it. `cache` is what the cache said, in a
    word for the access log, where it was asked.
    """

    status: int = 200
    headers: list[tuple[str, str]] = field(default_factory=list)
    body: bytes = b""
    slice: BodySlice | None = None
    length: int | None = None
    sent: int = 0
    cache: str = ""

    @property
    def content_length(self) -> int | None:
        if self.status in (204, 304):
            return None
        if self.length is not None:
            return self.length
        return self.slice.size if self.slice is not None else len(self.body)


def xml_answer(body: bytes, *headers: tuple[str, str], status: int = 200) -> Answer:
    return Answer(status, [("Content-Type", XML), *headers], body)


def error_answer(error: S3Error, resource: str, request_id: str, host_id: str) -> Answer:
    """An S3 error document, with the headers that go with some codes."""
    body = render_error(
        error.code.name, error.message, resource, request_id, {k: str(v) for k, v in error.fields.items()}, host_id
    )
    answer = xml_answer(body, status=error.code.status)
    if error.code is Code.InvalidRange and "ActualObjectSize" in error.fields:
        answer.headers.append(("Content-Range", f"bytes */{error.fields['ActualObjectSize']}"))
    if error.code.status == 503:
        answer.headers.append(("Retry-After", "1"))
    return answer


class Connection(Protocol):
    """What is needed of the server's protocol object to write an answer."""

    transport: asyncio.Transport | None

    async def drained(self) -> None: ...


def render_head(answer: Answer, common: str, *, close: bool) -> bytes:
    """The status line and headers; `common` are finished header lines that every answer has."""
    status = answer.status
    lines = [f"HTTP/1.1 {status} {_REASONS.get(status, '')}\r\n{common}"]
    lines += [f"{name}: {value}\r\n" for name, value in answer.headers]
    length = answer.content_length
    if length is not None:
        lines.append(f"Content-Length: {length}\r\n")
    lines.append("Connection: close\r\n\r\n" if close else "\r\n")
    return "".join(lines).encode("utf-8", "surrogateescape")


class DateLine:
    """The Date header, rendered once a second."""

    __slots__ = ("_line", "_second")

    def __init__(self) -> None:
        self._second = -1
        self._line = ""

    def at(self, now_s: int) -> str:
        if now_s != self._second:
            self._line = f"Date: {render_http_date(now_s)}\r\n"
            self._second = now_s
        return self._line


async def write_answer(connection: Connection, head: bytes, answer: Answer, *, is_head: bool, timeout_s: float) -> None:
    """Write an answer; raises ConnectionError where the client is gone or too slow, and what reading a body raises."""
    transport = connection.transport
    if transport is None or transport.is_closing():
        raise ConnectionResetError("the client is gone")
    if is_head or answer.slice is None:
        if is_head or not answer.body:
            transport.write(head)
        else:
            transport.writelines((head, answer.body))
            answer.sent = len(answer.body)
        if transport.get_write_buffer_size() > _SMALL_ANSWERS:  # a client that asks on and on, and reads nothing
            await _drain(connection, timeout_s)
        return
    transport.write(head)
    await _write_slice(connection, transport, answer, answer.slice, timeout_s)


async def _drain(connection: Connection, timeout_s: float) -> None:
    """Wait until the client has taken what was written, as long as it takes a piece of a file's size each `timeout_s`.

    So a client that is slow is as welcome where bodies come in larger pieces, out of the cache.
    """
    transport = connection.transport
    if transport is None:
        raise ConnectionResetError("the client is gone")
    unsent = transport.get_write_buffer_size()
    while unsent:
        try:
            async with asyncio.timeout(timeout_s):
                await connection.drained()
            return
        except TimeoutError:
            before, unsent = unsent, transport.get_write_buffer_size()
            if before - unsent < _READ_SIZE:
                transport.abort()
                raise ConnectionResetError("the client took too little for too long") from None


async def _write_slice(
    connection: Connection, transport: asyncio.Transport, answer: Answer, part: BodySlice, timeout_s: float
) -> None:
    socket = None if transport.get_extra_info("sslcontext") else transport.get_extra_info("socket")
    if transport.is_closing():
        raise ConnectionResetError("the client is gone")
    # Resume when all is out: then the kernel can send files. Under TLS, where it cannot, a little may wait.
    transport.set_write_buffer_limits(high=0 if socket is not None else _MOST_UNSENT_TLS)
    offset, end = part.offset, part.offset + part.size
    while offset < end:
        await _drain(connection, timeout_s)
        if transport.is_closing():
            raise ConnectionResetError("the client is gone")
        sent: int | None = 0
        if socket is not None:
            sent = await _send_region(socket, transport, part.reader, offset, end)
        if not sent:
            data = await part.reader.read(offset, min(_READ_SIZE if sent == 0 else _STREAM_SIZE, end - offset))
            if transport.is_closing():
                raise ConnectionResetError("the client is gone")
            transport.write(data)
            sent = len(data)
            del data  # a client that takes nothing, or an origin that gives nothing, is waited for without it
        offset += sent
        answer.sent += sent
    await _drain(connection, timeout_s)  # only then has the client got it


async def _send_region(
    socket: Any, transport: asyncio.Transport, reader: BodyReader, offset: int, end: int
) -> int | None:
    """Let the kernel send what it has in memory, as far as the socket takes it; 0: not now; None: it is in no file."""
    if transport.get_write_buffer_size():
        return 0
    region = await reader.region(offset, min(_SENDFILE_WINDOW, end - offset))
    if region is None:
        return None
    if not _in_page_cache(region.fd, region.offset + region.size - 1):
        return 0
    if transport.is_closing():  # meanwhile: its descriptor is not to be written to any more
        raise ConnectionResetError("the client is gone")
    try:
        return os.sendfile(socket.fileno(), region.fd, region.offset, region.size)
    except BlockingIOError:
        return 0
    except OSError as error:
        raise ConnectionResetError("the client is gone") from error


def _in_page_cache(fd: int, offset: int) -> bool:
    """Would reading here not wait for the disk? Asked at a window's end, since the kernel reads ahead."""
    try:
        return os.preadv(fd, [bytearray(1)], offset, os.RWF_NOWAIT) == 1
    except OSError:
        return False
