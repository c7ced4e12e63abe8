"""A closed-loop HTTP/1.1 load generator: raw requests over keep-alive connections, answers checked by their head.

One thread and epoll, no event loop and no HTTP library: what it costs itself is on the other core.
"""

import re
import select
import socket
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import cycle

from bench import machine

Request = bytes | tuple[bytes, bytes]
"""All of a request, or its head and its body: large bodies are shared by many heads."""

_CONTENT_LENGTH = re.compile(rb"\r\ncontent-length: *([0-9]+)", re.IGNORECASE)
_TIMEOUT_S = 30.0


@dataclass(frozen=True, slots=True)
class Load:
    """What a stretch of load cost: requests that were answered, the server's CPU, the slowest and the median answer."""

    requests: int
    cpu_ns: int
    seconds: float
    latencies_ns: tuple[int, ...]

    @property
    def cpu_us(self) -> float:
        """CPU µs of the server for each request."""
        return self.cpu_ns / self.requests / 1000

    @property
    def median_ms(self) -> float:
        return sorted(self.latencies_ns)[len(self.latencies_ns) // 2] / 1e6


class BadAnswer(Exception):
    """The server answered something else than the case is about."""


class _Connection:
    """One connection with one request under way."""

    def __init__(self, address: tuple[str, int], head_only: bool) -> None:
        self.socket = socket.create_connection(address, timeout=_TIMEOUT_S)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._head_only = head_only
        self._head = b""
        self._left = 0  # bytes of the answer's body that have not come yet
        self._unsent = memoryview(b"")
        self.sent_ns = 0

    def send(self, request: Request) -> bool:
        """Send what the socket takes; True when that was all."""
        self._head = b""
        self._left = -1
        self.sent_ns = time.perf_counter_ns()
        if isinstance(request, bytes):
            self._unsent = memoryview(request)
        else:
            head, body = request
            self.socket.sendall(head)
            self._unsent = memoryview(body)
        return self.send_on()

    def send_on(self) -> bool:
        """The same with what is left of a request."""
        try:
            self._unsent = self._unsent[self.socket.send(self._unsent, socket.MSG_DONTWAIT) :]
        except BlockingIOError:
            return False
        return not self._unsent

    def receive(self, buffer: memoryview) -> bool:
        """Take what has come; True when the answer is whole."""
        size = self.socket.recv_into(buffer)
        if size == 0:
            raise BadAnswer("the server closed the connection")
        if self._left < 0:
            size = self._receive_head(bytes(buffer[:size]))
            if self._left < 0:
                return False
        self._left -= size
        if self._left < 0:
            raise BadAnswer("more than one answer")
        return self._left == 0

    def _receive_head(self, data: bytes) -> int:
        """Give the number of body bytes behind the head."""
        self._head += data
        head, end, body = self._head.partition(b"\r\n\r\n")
        if not end:
            return 0
        length = _CONTENT_LENGTH.search(head)
        if not head.startswith((b"HTTP/1.1 200", b"HTTP/1.1 206", b"HTTP/1.1 204")):
            raise BadAnswer(self._head[:600].decode("latin-1"))
        self._left = 0 if self._head_only or length is None else int(length[1])
        return len(body)


def run(
    address: tuple[str, int],
    requests: Sequence[Request],
    *,
    pid: int,
    beside: Sequence[int] = (),
    seconds: float,
    connections: int = 16,
    head_only: bool = False,
) -> Load:
    """Send the requests over and over for `seconds`; count what the process trees `pid` and `beside` spend on them.

    Raises BadAnswer for anything but success.
    """
    source = cycle(requests)
    open_connections = [_Connection(address, head_only) for _ in range(connections)]
    try:
        _stretch(open_connections, source, min(0.3, seconds / 4))
        trees = (pid, *beside)
        before, started = sum(map(machine.cpu_ns, trees)), time.perf_counter()
        latencies = _stretch(open_connections, source, seconds)
        took = time.perf_counter() - started
        spent = sum(map(machine.cpu_ns, trees)) - before
    finally:
        for connection in open_connections:
            connection.socket.close()
    return Load(len(latencies), spent, took, tuple(latencies))


def each_once(address: tuple[str, int], requests: Sequence[Request]) -> None:
    """Send every request once, one after the other; raises BadAnswer."""
    buffer = memoryview(bytearray(1 << 20))
    connection = _Connection(address, False)
    try:
        for request in requests:
            sent = connection.send(request)
            while not sent:
                select.select([], [connection.socket], [], _TIMEOUT_S)
                sent = connection.send_on()
            while not connection.receive(buffer):
                pass
    finally:
        connection.socket.close()


def _stretch(connections: Sequence[_Connection], source: Iterator[Request], seconds: float) -> list[int]:
    """Keep every connection busy until the time is over and every answer is there; give their times in ns."""
    buffer = memoryview(bytearray(1 << 20))
    epoll = select.epoll()
    by_fd = {connection.socket.fileno(): connection for connection in connections}
    latencies: list[int] = []
    try:
        for fd, connection in by_fd.items():
            epoll.register(fd, _events(sent_all=connection.send(next(source))))
        busy = len(by_fd)
        end_ns = time.perf_counter_ns() + int(seconds * 1e9)
        while busy:
            events = epoll.poll(_TIMEOUT_S)
            if not events:
                raise BadAnswer("no answer")
            for fd, event in events:
                connection = by_fd[fd]
                if event & select.EPOLLOUT and connection.send_on():
                    epoll.modify(fd, select.EPOLLIN)
                if not event & ~select.EPOLLOUT or not connection.receive(buffer):
                    continue
                now_ns = time.perf_counter_ns()
                latencies.append(now_ns - connection.sent_ns)
                if now_ns < end_ns:
                    if not connection.send(next(source)):
                        epoll.modify(fd, _events(sent_all=False))
                else:
                    busy -= 1
    finally:
        epoll.close()
    return latencies


def _events(*, sent_all: bool) -> int:
    return select.EPOLLIN if sent_all else select.EPOLLIN | select.EPOLLOUT
