"""bench/load.py: answers are counted whole, and anything but success is said aloud."""

import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest

from bench import load

REQUEST = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n"


@contextmanager
def server(answer: bytes) -> Iterator[tuple[str, int]]:
    """Answers every request on every connection with the same bytes, in two pieces."""

    def serve(connection: socket.socket) -> None:
        with connection, suppress(OSError):  # the generator hangs up in the middle of a bad answer
            while connection.recv(65536):
                connection.sendall(answer[:20])
                connection.sendall(answer[20:])

    def accept() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=serve, args=(connection,), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        yield listener.getsockname()
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()


def run(answer: bytes, *, head_only: bool = False) -> load.Load:
    with server(answer) as address:
        return load.run(address, [REQUEST], pid=os.getpid(), seconds=0.05, connections=2, head_only=head_only)


def test_answers_are_counted_with_their_cpu_time():
    done = run(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello")
    assert done.requests == len(done.latencies_ns) >= 2
    assert done.cpu_us > 0
    assert done.median_ms > 0


def test_the_answer_to_head_has_no_body():
    assert run(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n", head_only=True).requests >= 2


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nmore than one",
    ],
)
def test_anything_but_one_success_is_a_bad_answer(answer):
    with pytest.raises(load.BadAnswer):
        run(answer)


def test_a_body_that_no_socket_takes_at_once_arrives_whole():
    head, body = b"PUT / HTTP/1.1\r\n\r\n", bytes(range(256)) * (1 << 16)
    received: list[bytes] = []

    def serve() -> None:
        connection, _ = listener.accept()
        with connection:
            while True:
                left = len(head) + len(body)
                while left:
                    data = connection.recv(min(left, 65536))
                    if not data:
                        return
                    received.append(data)
                    left -= len(data)
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve)
        thread.start()
        done = load.run(listener.getsockname(), [(head, body)], pid=os.getpid(), seconds=0, connections=1)
        thread.join()
    assert done.requests == 1
    assert b"".join(received) == 2 * (head + body)  # the first one is not counted


def test_what_processes_beside_spend_is_counted_too(monkeypatch):
    clock = iter(range(0, 4_000_000, 1000))
    monkeypatch.setattr("bench.machine.cpu_ns", lambda _pid: next(clock))
    with server(b"HTTP/1.1 204 No Content\r\n\r\n") as address:
        alone = load.run(address, [REQUEST], pid=1, seconds=0.05, connections=1)
        both = load.run(address, [REQUEST], pid=1, beside=[2], seconds=0.05, connections=1)
    assert (alone.cpu_ns, both.cpu_ns) == (1000, 4000)
