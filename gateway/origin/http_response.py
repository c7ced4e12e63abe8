"""HTTP/1.x responses, read strictly and piece by piece; no I/O.

    response := head body
    head     := "HTTP/1." ("0" / "1") " " status [" " reason] CRLF (name ":" value CRLF)* CRLF
    body     := as many bytes as Content-Length says / chunks / nothing (HEAD, 204, 304) / all up to the end of input
    chunks   := (size [";" extension] CRLF data CRLF)* "0" [";" extension] CRLF (name ":" value CRLF)* CRLF

A connection is used again only if both sides agree where the response ended, so all that two readers might understand
differently is refused. https://www.rfc-editor.org/rfc/rfc9112
"""

import re
from enum import Enum, auto
from typing import Final

from gateway.origin.errors import BadResponse

MAX_HEAD: Final = 64 << 10
"""Bytes, of each head."""

MAX_HEADERS: Final = 128
MAX_INTERIM: Final = 8
"""Responses of status 1xx before the real one."""

MAX_SIZE_LINE: Final = 256
FREE_CHUNKS: Final = 1024
LEAST_CHUNK: Final = 128
"""Bytes that the chunks of a body have on average; as many as `FREE_CHUNKS` may be of any size.

Each costs several microseconds, and all that come in one read are taken apart in one turn of the loop: a body in chunks
of a byte would hold it for a third of a second at a time.
"""

MAX_TRAILERS: Final = 8 << 10
"""Bytes, of all trailers together."""

_HEAD_END = b"\r\n\r\n"
_START = b"HTTP/1."
_STATUS_LINE = re.compile(r"HTTP/1\.([01]) ([1-5][0-9]{2})(?: [^\r\n]*)?")
_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_SIZE_LINE = re.compile(rb"([0-9A-Fa-f]{1,16})(?:[ \t]*;[\t -~\x80-\xff]*)?\r\n")
_TRAILER = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+:[\t -~\x80-\xff]*\r\n")
_TEXT = bytes(byte for byte in range(256) if byte == 9 or (byte >= 32 and byte != 127))
_FRAMING = ("content-length", "transfer-encoding", "connection")
_ONE_VALUE = frozenset({"content-length", "etag"})

# A name that S3 servers use is found here in the spellings they use; others are checked and folded one by one.
_USUAL = (
    "accept-ranges", "cache-control", "connection", "content-disposition", "content-encoding", "content-language",
    "content-length", "content-range", "content-type", "date", "etag", "expires", "keep-alive", "last-modified",
    "location", "retry-after", "server", "strict-transport-security", "transfer-encoding", "vary",
    "x-amz-bucket-region", "x-amz-checksum-crc32", "x-amz-checksum-crc32c", "x-amz-checksum-crc64nvme",
    "x-amz-checksum-sha1", "x-amz-checksum-sha256", "x-amz-checksum-type", "x-amz-delete-marker", "x-amz-expiration",
    "x-amz-id-2", "x-amz-mp-parts-count", "x-amz-request-id", "x-amz-server-side-encryption", "x-amz-storage-class",
    "x-amz-tagging-count", "x-amz-version-id", "x-content-type-options", "x-ratelimit-limit", "x-ratelimit-remaining",
    "x-xss-protection",
)  # fmt: skip
_NAMES: dict[str, str] = {"ETag": "etag"} | {spelled: name for name in _USUAL for spelled in (name, name.title())}


def parse_head(head: bytes) -> tuple[int, int, dict[str, str]]:
    """The minor version, the status and the headers by lower-case name, of a head without its last two line ends.

    Raises BadResponse. Headers that came twice are joined by ", "; where that could not be, they must agree.
    """
    lines = head.decode("latin-1").split("\r\n")
    # Every control character is half of a line end: there are two for each.
    if len(head.translate(None, _TEXT)) != 2 * (len(lines) - 1):
        raise BadResponse("a control character in a head")
    if len(lines) > MAX_HEADERS + 1:
        raise BadResponse(f"more than {MAX_HEADERS} headers")
    match = _STATUS_LINE.fullmatch(lines[0])
    if match is None:
        raise BadResponse(f"no status line: {lines[0][:80]!r}")
    headers: dict[str, str] = {}
    del lines[0]
    for line in lines:
        name, colon, value = line.partition(":")
        lower = _NAMES.get(name) or _lower(name)
        if not colon:
            raise BadResponse(f"no header: {name[:80]!r}")
        value = value.strip(" \t")
        if lower in headers:
            value = _joined(lower, headers[lower], value)
        headers[lower] = value
    return int(match[1]), int(match[2]), headers


def _lower(name: str) -> str:
    """A header's name in lower case. A folded line and a space before the colon end here too."""
    if _TOKEN.fullmatch(name) is None:
        raise BadResponse(f"no name of a header: {name[:80]!r}")
    return name.lower()


def _joined(name: str, first: str, second: str) -> str:
    if name == "transfer-encoding" or (name in _ONE_VALUE and first != second):
        raise BadResponse(f"two headers {name}: {first[:80]!r}, {second[:80]!r}")
    return first if name in _ONE_VALUE else f"{first}, {second}"


class _State(Enum):
    HEAD = auto()
    SIZED = auto()  # a body with Content-Length
    UNTIL_CLOSE = auto()
    CHUNK_SIZE = auto()  # a size line is next
    CHUNK_DATA = auto()
    CHUNK_END = auto()  # the line end behind a chunk's data is next
    TRAILERS = auto()  # a trailer or the empty line is next
    DONE = auto()


class ResponseReader:
    """Takes the pieces of one response and gives back those of its body.

    `status` is 0 until the head has come. `length` is what Content-Length says, also of a response that has no body;
    None where there is no such header. `chunks` is how many have begun. After an error the reader is of no further use.
    """

    __slots__ = (
        "_bodyless", "_held", "_in_chunks", "_interim", "_left", "_persistent", "_state", "_surplus", "_trailers",
        "chunks", "done", "headers", "length", "started", "status",
    )  # fmt: skip

    def __init__(self, *, bodyless: bool = False) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        self.length: int | None = None
        self.chunks = 0
        self.started = False
        self.done = False
        self._bodyless = bodyless
        self._state = _State.HEAD
        self._held: bytes | bytearray = b""  # the beginning of a head or a line whose end has not come yet
        self._interim = 0
        self._left = 0  # bytes of the body or of the current chunk that have not come yet
        self._in_chunks = 0  # bytes of the chunks that are whole
        self._trailers = 0
        self._persistent = False
        self._surplus = False

    @property
    def may_keep(self) -> bool:
        """The response is whole, nothing came after it, and its connection is good for another."""
        return self.done and self._persistent and not self._surplus

    def feed(self, data: bytes) -> bytes:
        """Give what these bytes hold of the body; raises BadResponse.

        Bytes after the end are no part of it and do not spoil it; they only show in `may_keep`.
        """
        if self._state is _State.HEAD:
            self.started = True
            data = self._read_head(data)
            if not data:
                return b""
        state = self._state
        if state is _State.SIZED:
            return self._read_sized(data)
        if state is _State.DONE:
            self._surplus = True
            return b""
        if state is _State.UNTIL_CLOSE:
            return data
        return self._read_chunks(data)

    def end(self) -> bool:
        """The input has ended. Whether the response is whole now."""
        if self._state is _State.UNTIL_CLOSE:
            self._finish()
        self._persistent = False
        return self.done

    def _finish(self) -> None:
        self._state = _State.DONE
        self.done = True

    def _read_head(self, data: bytes) -> bytes:
        """Read up to the end of the head; give what comes after it."""
        while True:
            if self._held:
                searched = max(len(self._held) - len(_HEAD_END) + 1, 0)
                self._held += data
                end = self._held.find(_HEAD_END, searched)
                if end >= 0:
                    data, self._held = bytes(self._held), b""
            else:
                end = data.find(_HEAD_END)
                if end < 0:
                    self._held = bytearray(data)
            if end < 0:
                self._check_beginning()
                return b""
            if end > MAX_HEAD:
                raise BadResponse(f"a head of more than {MAX_HEAD} bytes")
            minor, status, headers = parse_head(data[:end])
            data = data[end + len(_HEAD_END) :]
            if status >= 200:
                self._frame(minor, status, headers)
                return data
            self._skip(status)
            if not data:
                return b""

    def _check_beginning(self) -> None:
        """What can never become a head is refused before its end has come."""
        if len(self._held) > MAX_HEAD:
            raise BadResponse(f"a head of more than {MAX_HEAD} bytes")
        if not _START.startswith(bytes(self._held[: len(_START)])):
            raise BadResponse(f"no status line: {bytes(self._held[:80])!r}")

    def _skip(self, status: int) -> None:
        self._interim += 1
        if status == 101 or self._interim > MAX_INTERIM:
            raise BadResponse(f"{self._interim} interim responses, the last one {status}")

    def _frame(self, minor: int, status: int, headers: dict[str, str]) -> None:
        """Find out where the body will end: https://www.rfc-editor.org/rfc/rfc9112#section-6.3"""
        text, coding, connection = map(headers.get, _FRAMING)
        length = None if text is None else _content_length(text)
        chunked = coding is not None and _is_chunked(coding, minor, text)
        persistent = minor == 1 if connection is None else _persists(connection, minor)
        if self._bodyless or status in (204, 304):
            # Such a response has no body whatever its headers say. One that announces a body where it may not is
            # believed, but its connection is not: the body may come after all.
            self._persistent = persistent and not chunked and not (status == 204 and length)
            self._finish()
        elif chunked:
            self._persistent = persistent
            self._state = _State.CHUNK_SIZE
        elif length is None:
            self._state = _State.UNTIL_CLOSE
        elif length:
            self._persistent = persistent
            self._left = length
            self._state = _State.SIZED
        else:
            self._persistent = persistent
            self._finish()
        self.status = status
        self.headers = headers
        self.length = length

    def _read_sized(self, data: bytes) -> bytes:
        left = self._left - len(data)
        if left > 0:
            self._left = left
            return data
        self._finish()
        if left < 0:
            self._surplus = True
            return data[:left]
        return data

    def _read_chunks(self, data: bytes) -> bytes:
        """Decode the chunks; one copy at most, and none of data that lies within a chunk."""
        position, end = 0, len(data)
        view = memoryview(data)
        pieces: list[memoryview] = []
        while position < end:
            if self._state is _State.CHUNK_DATA:
                size = min(self._left, end - position)
                self._left -= size
                if not self._left:
                    self._state = _State.CHUNK_END
                if size == end:
                    return data
                pieces.append(view[position : position + size])
                position += size
            elif self._state is _State.DONE:
                self._surplus = True
                break
            else:
                position = self._read_line(data, position)
        return b"".join(pieces)

    def _read_line(self, data: bytes, position: int) -> int:
        if self._state is _State.CHUNK_SIZE:
            limit = MAX_SIZE_LINE
        elif self._state is _State.CHUNK_END:
            limit = 2
        else:
            limit = MAX_TRAILERS - self._trailers
        stop = position + limit - len(self._held)
        newline = data.find(b"\n", position, stop)
        if newline < 0:
            self._held = bytes(self._held) + data[position:stop]
            if len(self._held) >= limit:
                raise BadResponse("a line without an end in a chunked body")
            return len(data)
        line, self._held = bytes(self._held) + data[position : newline + 1], b""
        if self._state is _State.CHUNK_SIZE:
            self._size_line(line)
        elif self._state is _State.TRAILERS:
            self._trailer_line(line)
        elif line == b"\r\n":
            self._state = _State.CHUNK_SIZE
        else:
            raise BadResponse("a chunk longer than its size")
        return newline + 1

    def _size_line(self, line: bytes) -> None:
        match = _SIZE_LINE.fullmatch(line)
        if match is None:
            raise BadResponse(f"no size of a chunk: {line[:80]!r}")
        self._left = size = int(match[1], 16)
        if not size:
            self._state = _State.TRAILERS
            return
        self._state = _State.CHUNK_DATA
        self.chunks += 1
        if self.chunks > FREE_CHUNKS + self._in_chunks // LEAST_CHUNK:
            raise BadResponse(f"{self.chunks} chunks for {self._in_chunks} bytes")
        self._in_chunks += size

    def _trailer_line(self, line: bytes) -> None:
        """Trailers are read for their end only."""
        self._trailers += len(line)
        if line == b"\r\n":
            self._finish()
        elif _TRAILER.fullmatch(line) is None:
            raise BadResponse(f"no trailer: {line[:80]!r}")


def _content_length(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 18):  # int() would take " 1_0" too
        raise BadResponse(f"Content-Length: {text[:80]!r}")
    return int(text)


def _is_chunked(coding: str, minor: int, length: str | None) -> bool:
    if coding.lower() != "chunked" or minor == 0 or length is not None:
        raise BadResponse(f"Transfer-Encoding: {coding[:80]!r}, in HTTP/1.{minor}, with Content-Length {length}")
    return True


def _persists(connection: str, minor: int) -> bool:
    if connection == "keep-alive":
        return True
    options = {option.strip(" \t") for option in connection.lower().split(",")}
    return "close" not in options and (minor == 1 or "keep-alive" in options)
