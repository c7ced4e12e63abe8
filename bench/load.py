"""A HTTP/1.1 load generator: raw requests over keep-alive connections, answers checked by their head.

`run` is a closed loop, in which each connection asks again as soon as it is answered; `at_rate` asks at fixed times,
whether or not the server keeps up.

One thread and epoll, no event loop and no HTTP library: what it costs itself is on the other core.
"""

import re
import select
import socket
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
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
        return self.quantile_ms(0.5)

    def quantile_ms(self, share: float) -> float:
        """The time within which this share of all requests was answered."""
        return sorted(self.latencies_ns)[int(len(self.latencies_ns) * share)] / 1e6


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


def at_rate(
    address: tuple[str, int], requests: Sequence[Request], *, pid: int, per_s: float, seconds: float, connections: int
) -> Load:
    """Send a request every 1 / `per_s` seconds, each over the connection that has rested longest.

    An answer's time counts from when its request was due: what waits for a connection is late, and shows.
    """
    source = cycle(requests)
    resting = deque(_Connection(address, head_only=False) for _ in range(connections))
    by_fd = {connection.socket.fileno(): connection for connection in resting}
    try:
        _paced(resting, by_fd, source, per_s, min(0.5, seconds / 4))
        before, started = machine.cpu_ns(pid), time.perf_counter()
        latencies = _paced(resting, by_fd, source, per_s, seconds)
        took = time.perf_counter() - started
        spent = machine.cpu_ns(pid) - before
    finally:
        for connection in by_fd.values():
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


def _paced(
    resting: deque[_Connection],
    by_fd: Mapping[int, _Connection],
    source: Iterator[Request],
    per_s: float,
    seconds: float,
) -> list[int]:
    """Ask at the times that are due until the time is over and every answer is there; give their times in ns."""
    buffer = memoryview(bytearray(1 << 20))
    epoll = select.epoll()
    for fd in by_fd:
        epoll.register(fd, select.EPOLLIN)
    start_ns, gap_ns, count = time.perf_counter_ns(), 1e9 / per_s, int(per_s * seconds)
    latencies: list[int] = []
    asked = 0
    try:
        while len(latencies) < count:
            now_ns = time.perf_counter_ns()
            while asked < count and resting and (due_ns := start_ns + int(asked * gap_ns)) <= now_ns:
                connection = resting.popleft()
                if not connection.send(next(source)):
                    raise BadAnswer("a request that does not fit into a socket")
                connection.sent_ns = due_ns
                asked += 1
            next_s = (start_ns + asked * gap_ns - now_ns) / 1e9 if asked < count and resting else _TIMEOUT_S
            for fd, _ in epoll.poll(max(next_s, 0)):
                connection = by_fd[fd]
                if connection.receive(buffer):
                    latencies.append(time.perf_counter_ns() - connection.sent_ns)
                    resting.append(connection)
            if time.perf_counter_ns() - start_ns > (seconds + _TIMEOUT_S) * 1e9:
                raise BadAnswer("no answer")
    finally:
        epoll.close()
    return latencies


def _events(*, sent_all: bool) -> int:
    return select.EPOLLIN if sent_all else select.EPOLLIN | select.EPOLLOUT
