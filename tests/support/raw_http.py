"""HTTP/1.1 by hand: requests written byte by byte, answers read with no library's mercy.

A client library repairs what a test wants to send broken, so this module repairs nothing: a `Request` is written exactly
as it stands (its header values may hold any byte, lone surrogates being raw bytes), and the reader accepts only what
RFC 9112 allows.
"""

import socket
import struct
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Self

RECEIVE = 65536

Headers = tuple[tuple[str, str], ...]


class BrokenAnswer(Exception):
    """The connection ended, or held something that is no HTTP answer."""


@dataclass(frozen=True, slots=True)
class Request:
    """What goes on the wire. `target` is the request target as sent; nothing is added, not even Content-Length."""

    method: str
    target: str
    headers: Headers = ()
    body: bytes = b""
    version: str = "HTTP/1.1"

    @property
    def raw_path(self) -> str:
        return self.target.partition("?")[0]

    @property
    def raw_query(self) -> str:
        return self.target.partition("?")[2]

    def header(self, name: str) -> str | None:
        """The first value of a header."""
        return next((value for key, value in self.headers if key.lower() == name.lower()), None)

    def with_header(self, name: str, value: str) -> "Request":
        """One more header line, after the others."""
        return replace(self, headers=(*self.headers, (name, value)))

    def without_header(self, name: str) -> "Request":
        return replace(self, headers=tuple(pair for pair in self.headers if pair[0].lower() != name.lower()))

    def changing_header(self, name: str, value: str) -> "Request":
        return self.without_header(name).with_header(name, value)

    def with_query(self, text: str) -> "Request":
        """More query text after what is there."""
        return replace(self, target=self.target + ("&" if "?" in self.target else "?") + text)

    def with_body(self, body: bytes) -> "Request":
        """Another body under the same headers (Content-Length too)."""
        return replace(self, body=body)

    def head(self) -> bytes:
        lines = [f"{self.method} {self.target} {self.version}"]
        lines += [f"{name}: {value}" for name, value in self.headers]
        return ("\r\n".join(lines) + "\r\n\r\n").encode("utf-8", "surrogateescape")

    def encode(self) -> bytes:
        return self.head() + self.body


@dataclass(frozen=True, slots=True)
class Answer:
    """One final answer, with the interim ones (100 Continue) that came before it."""

    status: int
    reason: str
    headers: Headers
    body: bytes
    interim: tuple[int, ...] = ()

    def header(self, name: str) -> str | None:
        return next((value for key, value in self.headers if key.lower() == name.lower()), None)

    def values(self, name: str) -> tuple[str, ...]:
        return tuple(value for key, value in self.headers if key.lower() == name.lower())


@dataclass(slots=True)
class Connection:
    """A blocking connection with a deadline on every read."""

    socket: socket.socket
    received: bytearray = field(default_factory=bytearray)

    @classmethod
    def open(
        cls,
        host: str,
        port: int,
        *,
        timeout_s: float = 15.0,
        receive_buffer: int | None = None,
        source: str | None = None,
    ) -> Self:
        plain = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        if source is not None:
            plain.bind((source, 0))
        if receive_buffer is not None:
            plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        plain.settimeout(timeout_s)
        try:
            plain.connect((host, port))
        except OSError:
            plain.close()
            raise
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return cls(plain)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self.socket.close()

    def reset(self) -> None:
        """Close with RST instead of FIN, as a crashed peer does."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def send_leniently(self, data: bytes) -> bool:
        """Send, and say whether all of it went out: the peer may refuse and close in the middle."""
        try:
            self.socket.sendall(data)
        except (ConnectionError, TimeoutError):
            return False
        return True

    def fill(self) -> bool:
        """Read once; False at the end of the stream."""
        try:
            data = self.socket.recv(RECEIVE)
        except ConnectionError:
            return False
        self.received += data
        return bool(data)

    def line(self) -> bytes:
        """A line without its CR LF."""
        while b"\r\n" not in self.received:
            if not self.fill():
                raise BrokenAnswer(f"the stream ended inside a line: {bytes(self.received[:200])!r}")
        text, _, rest = bytes(self.received).partition(b"\r\n")
        self.received[:] = rest
        return text

    def exactly(self, size: int) -> bytes:
        while len(self.received) < size:
            if not self.fill():
                raise BrokenAnswer(f"the stream ended after {len(self.received)} of {size} bytes")
        data = bytes(self.received[:size])
        del self.received[:size]
        return data

    def rest(self) -> bytes:
        """Everything up to the end of the stream; raises TimeoutError if the peer keeps it open."""
        while self.fill():
            pass
        data = bytes(self.received)
        self.received.clear()
        return data

    def answer(self, method: str = "GET") -> Answer:
        """The next final answer, `method` being what was asked (HEAD answers have no body)."""
        interim: list[int] = []
        while True:
            status, reason, headers = self._head()
            if status >= 200:
                body = self._body(method, status, headers)
                return Answer(status, reason, headers, body, tuple(interim))
            interim.append(status)

    def interim(self) -> int:
        """The status of the next answer's first head, read but not its body: 100, or a refusal."""
        status, _, _ = self._head()
        return status

    def exchange(self, request: Request) -> Answer:
        """Send and read; a peer that answers before it has read the body is heard too."""
        self.send_leniently(request.encode())
        return self.answer(request.method)

    def ended(self, timeout_s: float = 15.0) -> bool:
        """Whether the peer closes within the deadline and says nothing more."""
        self.socket.settimeout(timeout_s)
        try:
            return self.rest() == b""
        except TimeoutError:
            return False

    def _head(self) -> tuple[int, str, Headers]:
        version, _, rest = self.line().partition(b" ")
        code, _, reason = rest.partition(b" ")
        if version not in (b"HTTP/1.1", b"HTTP/1.0") or len(code) != 3 or not code.isdigit():
            raise BrokenAnswer(f"no status line: {version!r} {rest[:80]!r}")
        headers: list[tuple[str, str]] = []
        while line := self.line():
            name, colon, value = line.partition(b":")
            if not colon or not name or name != name.strip():
                raise BrokenAnswer(f"no header line: {line!r}")
            headers.append((name.decode("ascii"), value.strip(b" \t").decode("utf-8", "surrogateescape")))
        return int(code), reason.decode("latin-1"), tuple(headers)

    def _body(self, method: str, status: int, headers: Headers) -> bytes:
        named = {name.lower(): value for name, value in headers}
        if method == "HEAD" or status in (204, 304):
            return b""
        if named.get("transfer-encoding", "").lower() == "chunked":
            return b"".join(self._chunks())
        if "content-length" in named:
            return self.exactly(int(named["content-length"]))
        return self.rest()

    def _chunks(self) -> Iterator[bytes]:
        while size := int(self.line().partition(b";")[0], 16):
            yield self.exactly(size)
            self.exactly(2)
        while self.line():
            pass


@contextmanager
def connected(host: str, port: int, *, timeout_s: float = 15.0) -> Iterator[Connection]:
    connection = Connection.open(host, port, timeout_s=timeout_s)
    try:
        yield connection
    finally:
        connection.close()


def ask(host: str, port: int, request: Request, *, timeout_s: float = 15.0) -> Answer:
    """One request on a connection of its own."""
    with connected(host, port, timeout_s=timeout_s) as connection:
        return connection.exchange(request)


def all_answers(
    host: str, port: int, data: bytes, *, methods: Sequence[str] = (), quiet_s: float = 1.0
) -> tuple[list[Answer], bool]:
    """Send raw bytes; every answer that comes, and whether the peer closed the connection by itself.

    Without a close, the wire counts as quiet when nothing came for `quiet_s` seconds. `methods` are the methods asked,
    GET where none is left.
    """
    answers: list[Answer] = []
    with connected(host, port) as connection:
        connection.send_leniently(data)
        while True:
            connection.socket.settimeout(15.0 if not answers else quiet_s)
            try:
                if not connection.received and not connection.fill():
                    return answers, True
                connection.socket.settimeout(15.0)
                answers.append(connection.answer(methods[len(answers)] if len(answers) < len(methods) else "GET"))
            except TimeoutError:
                return answers, False


def http_chunks(pieces: Iterable[bytes], *, end: bool = True) -> bytes:
    """Transfer-Encoding: chunked."""
    framed = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces)
    return framed + (b"0\r\n\r\n" if end else b"")


def eventually(holds: Callable[[], bool], *, within_s: float = 5.0, every_s: float = 0.02) -> bool:
    """Ask again until the condition holds or the deadline has passed: for effects that the wire does not announce."""
    deadline = time.monotonic() + within_s
    while not (held := holds()) and time.monotonic() < deadline:
        time.sleep(every_s)
    return held
