"""One gibibyte in and out: memory may not grow with the object."""

import socket
import time
from collections.abc import Iterator
from hashlib import sha256

from bench import machine
from bench.environment import Environment
from bench.load import BadAnswer
from bench.report import Sample, Target
from bench.servers import BUCKET

_PIECE = bytes(range(256)) * 4096
_PIECES = 1024


class LargeBodies:
    """PUT with a payload hash and then GET of 1 GiB; the most memory the gateway had resident meanwhile."""

    name = "large-1g"
    target = Target(150.0, "MiB peak RSS")

    def __init__(self) -> None:
        self._sha256 = ""

    def measure(self, environment: Environment) -> Sample:
        if not self._sha256:
            digest = sha256()
            for _ in range(_PIECES):
                digest.update(_PIECE)
            self._sha256 = digest.hexdigest()
        gateway, signer = environment.gateway, environment.signer
        target, size = f"/{BUCKET}/large", len(_PIECE) * _PIECES
        machine.reset_peak_rss(gateway.pid)
        figures: dict[str, float] = {}
        for verb, request in (
            ("PUT", signer.head_of_put(target, size, self._sha256)),
            ("GET", signer.signed("GET", target)),
        ):
            before_ns, started = machine.cpu_ns(gateway.pid), time.perf_counter()
            with socket.create_connection(gateway.address, timeout=120) as connection:
                connection.sendall(request)
                for piece in _pieces() if verb == "PUT" else ():
                    connection.sendall(piece)
                _receive(connection, size if verb == "GET" else 0)
            figures[f"{verb} CPU s"] = (machine.cpu_ns(gateway.pid) - before_ns) / 1e9
            figures[f"{verb} s"] = time.perf_counter() - started
        return Sample(machine.peak_rss(gateway.pid) / (1 << 20), figures)


def _pieces() -> Iterator[bytes]:
    for _ in range(_PIECES):
        yield _PIECE


def _receive(connection: socket.socket, size: int) -> None:
    """Take an answer with `size` bytes of body."""
    head = b""
    while b"\r\n\r\n" not in head:
        data = connection.recv(65536)
        if not data:
            raise BadAnswer(head.decode("latin-1"))
        head += data
    if not head.startswith(b"HTTP/1.1 200"):
        raise BadAnswer(head.decode("latin-1"))
    left = size - len(head.partition(b"\r\n\r\n")[2])
    buffer = bytearray(1 << 20)
    while left > 0:
        count = connection.recv_into(buffer)
        if not count:
            raise BadAnswer("the body ended early")
        left -= count
