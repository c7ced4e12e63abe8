"""An S3 endpoint that costs next to nothing, for nginx and the gateway to forward to.

`python -m bench.upstream` prints its port and answers until it is killed. It looks at no signature and keeps no bytes:
every object is the beginning of one pattern, so its size says what it is, and its ETag, the MD5 as AWS has it, is known
beforehand. What an endpoint tells with an object (its own headers and the metadata it was stored with) it tells too.
"""

import asyncio
import re
from functools import cache
from hashlib import md5
from typing import cast

import uvloop

_PATTERN = bytes(range(256))
_LARGEST = 64 << 20
_BUFFER = bytearray(1 << 20)  # shared: what was received is looked at before anything else happens
_RANGE = re.compile(rb"\r\nrange: bytes=([0-9]+)-([0-9]+)", re.IGNORECASE)
_LENGTH = re.compile(rb"\r\ncontent-length: ([0-9]+)", re.IGNORECASE)
_METADATA = re.compile(rb"\r\n(?:x-amz-meta-[^\r]*|content-type:[^\r]*)", re.IGNORECASE)
_CHECKSUM = re.compile(rb"\r\nx-amz-checksum-[^\r]*", re.IGNORECASE)
_COMMON = (
    b"x-amz-id-2: MzRISOwyjmnupF53aUYdkGHTTgRzSaQrbsGqnjZOZqpjLSLd5wBz4Q==\r\n"
    b"x-amz-request-id: 656C76696E6727732072\r\nDate: Fri, 28 Nov 2025 12:00:00 GMT\r\nServer: AmazonS3\r\n"
)
_OF_OBJECTS = (
    b"Last-Modified: Fri, 28 Nov 2025 11:00:00 GMT\r\nx-amz-server-side-encryption: AES256\r\nAccept-Ranges: bytes\r\n"
)


def pattern(size: int) -> bytes:
    """The bytes of the object of this size."""
    return (_PATTERN * (size // len(_PATTERN) + 1))[:size]


@cache
def _etag(size: int) -> bytes:
    return b'"%s"' % md5(pattern(size), usedforsecurity=False).hexdigest().encode()


class _Connection(asyncio.BufferedProtocol):
    """One request at a time; the body of a PUT is counted, and nothing else."""

    def __init__(self, body: memoryview, objects: dict[bytes, tuple[int, bytes]]) -> None:
        """`objects` has by path a size, and the headers that it was stored with."""
        self._body = body
        self._objects = objects
        self._head = b""
        self._path = self._told = b""
        self._size = self._left = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def get_buffer(self, _sizehint: int) -> bytearray:
        return _BUFFER

    def buffer_updated(self, size: int) -> None:
        if self._left:
            self._left -= size
            if not self._left:
                self._stored()
            return
        head, end, body = (self._head + bytes(_BUFFER[:size])).partition(b"\r\n\r\n")
        if not end:
            self._head = head
            return
        self._head = b""
        method, self._path, _ = head.split(b" ", 2)
        if method == b"GET":
            self._give(head)
        elif method == b"PUT":
            found = _LENGTH.search(head)
            self._size = int(found[1]) if found else 0
            self._objects[self._path] = (self._size, b"".join(_METADATA.findall(head)))
            self._told = b"".join(_CHECKSUM.findall(head))
            self._left = self._size - len(body)
            if not self._left:
                self._stored()
        elif method == b"HEAD" and self._path not in self._objects:
            self._transport.write(b"HTTP/1.1 404 Not Found\r\n%s\r\n" % _COMMON)
        elif method == b"HEAD":
            self._give(head, with_body=False)
        else:
            self._transport.write(b"HTTP/1.1 204 No Content\r\n%s\r\n" % _COMMON)

    def _give(self, head: bytes, *, with_body: bool = True) -> None:
        size, metadata = self._objects[self._path]
        asked = _RANGE.search(head)
        first, last = (int(asked[1]), int(asked[2])) if asked else (0, size - 1)
        status = b"206 Partial Content\r\nContent-Range: bytes %d-%d/%d" % (first, last, size) if asked else b"200 OK"
        answer = b"HTTP/1.1 %s\r\n%s%sETag: %s%s\r\nContent-Length: %d\r\n\r\n" % (
            status,
            _COMMON,
            _OF_OBJECTS,
            _etag(size),
            metadata,
            last + 1 - first,
        )
        self._transport.writelines((answer, self._body[first : last + 1 if with_body else first]))

    def _stored(self) -> None:
        answer = b"HTTP/1.1 200 OK\r\n%sETag: %s%s\r\nContent-Length: 0\r\n\r\n"
        self._transport.write(answer % (_COMMON, _etag(self._size), self._told))


async def _serve() -> None:
    body = memoryview(pattern(_LARGEST))
    objects: dict[bytes, tuple[int, bytes]] = {}
    server = await asyncio.get_running_loop().create_server(lambda: _Connection(body, objects), "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(_serve())
