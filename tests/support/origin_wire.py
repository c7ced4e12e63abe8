"""The socket side of a scripted origin: heads and bodies read strictly, answers written with every fault of a plan."""

import asyncio
import fcntl
import re
import socket
import struct
import termios
from collections.abc import Callable

from tests.support.origin_faults import Plan, Stop
from tests.support.raw_http import Headers, Request
from tests.support.s3_documents import Reply
from tests.support.s3_model import Refusal

MAX_HEAD = 64 * 1024
MAX_BODY = 5 * 1024 * 1024 * 1024
PIECE = 64 * 1024
LINGER_S = 2.0
REQUEST_LINE = re.compile(r"([A-Z]+) (/[!-~]*) (HTTP/1\.[01])")
HEADER_LINE = re.compile(r"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([^\r\n\0]*?)[ \t]*")
REASONS = {200: "OK", 204: "No Content", 206: "Partial Content", 304: "Not Modified", 400: "Bad Request"}

Gone = (ConnectionError, asyncio.IncompleteReadError)
"""What is raised when the caller went away."""


class BadHead(Exception):
    """The head is no HTTP/1.1 request."""


class WatchedReader(asyncio.StreamReader):
    """A stream that says at once when its peer has gone, also to those who are not reading."""

    def __init__(self) -> None:
        super().__init__(limit=MAX_HEAD)
        self.departed = asyncio.Event()
        self._watchers: list[asyncio.Event] = []

    @property
    def gone(self) -> bool:
        return self.departed.is_set()

    def wakes(self, event: asyncio.Event) -> None:
        """Set this too when the peer goes."""
        self._watchers.append(event)
        if self.gone:
            event.set()

    def feed_eof(self) -> None:
        self._went()
        super().feed_eof()

    def set_exception(self, exc: BaseException | type[BaseException]) -> None:
        self._went()
        super().set_exception(exc)  # type: ignore[arg-type]

    def _went(self) -> None:
        for event in (self.departed, *self._watchers):
            event.set()


class Wire:
    """One connection: requests out of it, answers into it, and the ways to end it."""

    def __init__(self, reader: WatchedReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        # `drain` then waits until all is with the kernel. A TLS transport with a high mark of 0 pauses when nothing is
        # left, and may never resume.
        tls = writer.transport.get_extra_info("sslcontext") is not None
        writer.transport.set_write_buffer_limits(high=1 if tls else 0, low=0)

    @property
    def open(self) -> bool:
        return not (self.reader.gone or self.writer.transport.is_closing())

    async def head(self) -> Request | None:
        """The next head; None when the caller has closed. Raises BadHead."""
        try:
            raw = await self.reader.readuntil(b"\r\n\r\n")
        except asyncio.IncompleteReadError as ended:
            if ended.partial:
                raise
            return None
        except asyncio.LimitOverrunError:
            raise BadHead("the head is too long") from None
        return parse_head(raw[:-4])

    async def piece(self, most: int) -> bytes:
        """Some bytes of a body; raises IncompleteReadError at the end of the stream."""
        data = await self.reader.read(min(most, PIECE))
        if not data:
            raise asyncio.IncompleteReadError(b"", most)
        return data

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def send_answer(self, answer: bytes, head_size: int, plan: Plan, stall: "Staller") -> bool:
        """Write an answer as planned; False when it was to break off, and the connection is ended."""
        stops = sorted(plan.stops, key=lambda stop: stop.offset(head_size, len(answer)))
        sent = 0
        for stop in stops:
            upto = stop.offset(head_size, len(answer))
            await self._send_paced(answer[sent:upto], plan.pace)
            sent = upto
            if not await self._halt(stop, stall):
                return False
        await self._send_paced(answer[sent:], plan.pace)
        return True

    async def pause(self, seconds: float) -> None:
        """Some time, or until the peer has gone."""
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        try:
            async with asyncio.timeout(seconds):
                await self.reader.departed.wait()
        except TimeoutError:
            pass

    async def reset(self) -> None:
        """End with RST, when the peer's machine has all that was written: a reset drops what is on its way."""
        transport = self.writer.transport
        plain = transport.get_extra_info("socket")
        for _ in range(200):
            if self.reader.gone or _unsent(plain) == 0:
                break
            await asyncio.sleep(0.005)
        if not transport.is_closing():
            plain.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        transport.abort()

    async def finish(self) -> None:
        """End with FIN: what was written arrives, also when the caller is still sending, which a close would reset."""
        if self.writer.can_write_eof() and not self.writer.transport.is_closing():
            try:
                self.writer.write_eof()
                async with asyncio.timeout(LINGER_S):
                    while await self.reader.read(PIECE):
                        pass
            except (TimeoutError, OSError):  # OSError: the caller has reset the connection already
                pass
        self.writer.close()

    async def close(self) -> None:
        """Leave nothing open, whatever the peer does."""
        self.writer.close()
        try:
            async with asyncio.timeout(LINGER_S):
                await self.writer.wait_closed()
        except (TimeoutError, OSError):
            self.writer.transport.abort()

    async def _send_paced(self, data: bytes, pace: tuple[int, float] | None) -> None:
        size, pause_s = pace or (len(data), 0.0)
        for start in range(0, len(data), max(1, size)):
            await self.send(data[start : start + size])
            await self.pause(pause_s)

    async def _halt(self, stop: Stop, stall: "Staller") -> bool:
        if stop.act == "delay":
            await self.pause(stop.seconds)
        elif stop.act == "stall":
            ticket = stall()
            self.reader.wakes(ticket)
            await ticket.wait()
        elif stop.act == "rst":
            await self.reset()
        else:
            await self.finish()
        return self.open


Staller = Callable[[], asyncio.Event]
"""Says that a stall is reached, and gives what ends it."""


def parse_head(raw: bytes) -> Request:
    """Raises BadHead."""
    first, *lines = raw.decode("utf-8", "surrogateescape").split("\r\n")
    request_line = REQUEST_LINE.fullmatch(first)
    headers = [HEADER_LINE.fullmatch(line) for line in lines]
    if request_line is None or None in headers:
        raise BadHead(first)
    request = Request(
        request_line[1],
        request_line[2],
        tuple((match[1], match[2]) for match in headers if match),
        b"",
        request_line[3],
    )
    if [name.lower() for name, _ in request.headers].count("host") != 1:
        raise BadHead("Host is there not once")
    return request


def body_length(request: Request, *, needed: bool) -> int:
    """What Content-Length says. Raises Refusal: NotImplemented, InvalidArgument, MissingContentLength."""
    lengths = [value for name, value in request.headers if name.lower() == "content-length"]
    if request.header("transfer-encoding") is not None:
        raise Refusal("NotImplemented", "A header you provided implies functionality that is not implemented")
    if not lengths and needed:
        raise Refusal("MissingContentLength", "You must provide the Content-Length HTTP header.")
    if len(lengths) > 1 or not re.fullmatch(r"[0-9]{1,13}", (lengths or ["0"])[0]):
        raise Refusal("InvalidArgument", ArgumentName="Content-Length")
    length = int((lengths or ["0"])[0])
    if length > MAX_BODY:
        raise Refusal("InvalidArgument", "Your proposed upload exceeds the maximum allowed size")
    return length


def render(reply: Reply, base: Headers, plan: Plan, *, head_only: bool) -> tuple[bytes, int]:
    """An answer's bytes, and how many of them are its head."""
    if plan.raw is not None:
        return plan.raw, 0
    bodiless = head_only or reply.status in (204, 304)
    body = b"" if bodiless else reply.body
    framing: Headers = ()
    if plan.chunked is not None and not bodiless:
        framing = (("Transfer-Encoding", "chunked"),)
        body = _chunks(body, plan.chunked) + (b"0\r\n\r\n" if plan.last_chunk else b"")
    elif reply.status not in (204, 304):
        framing = (("Content-Length", str(max(0, len(reply.body) + plan.length_off_by))),)
    named = {name.lower() for name, _ in reply.headers}
    added = [pair for pair in (*base, *framing) if pair[0].lower() not in named]
    lines = [f"HTTP/1.1 {reply.status} {REASONS.get(reply.status, 'Status')}"]
    lines += [f"{name}: {value}" for name, value in (*added, *reply.headers)]
    head = ("\r\n".join(lines) + "\r\n\r\n").encode("utf-8", "surrogateescape")
    return head + body + plan.extra, len(head)


def _chunks(body: bytes, size: int) -> bytes:
    pieces = (body[start : start + size] for start in range(0, len(body), size))
    return b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces)


def _unsent(plain: socket.socket) -> int:
    """How many bytes the peer's machine has not acknowledged."""
    try:
        return int(struct.unpack("i", fcntl.ioctl(plain.fileno(), termios.TIOCOUTQ, b"\0" * 4))[0])
    except OSError:
        return 0
