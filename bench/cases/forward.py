"""Forwarding to an S3 endpoint, against nginx that forwards the same bytes from and to the same one.

nginx knows nothing of S3: it checks no signature, makes none, hashes nothing and keeps no catalog.
"""

import itertools
from hashlib import sha256

from bench import load
from bench.environment import Environment
from bench.load import Load, Request
from bench.report import Sample, Target
from bench.servers import BUCKET
from bench.signing import Signer
from bench.upstream import pattern

_LARGE = 16 << 20
_UNSIGNED = "UNSIGNED-PAYLOAD"


class ForwardGet:
    """GET of one object of `size` bytes, signed in the header: every request has a signature to verify."""

    def __init__(self, name: str, size: int, *, limit: float) -> None:
        self.name = name
        self.target = Target(limit, "× nginx proxy")
        self._size = size
        self._stored = False

    def measure(self, environment: Environment) -> Sample:
        path = f"/{BUCKET}/{self.name}"
        signer = Signer(environment.forwarder.address, environment.forwarder.key)
        if not self._stored:
            _run(environment, [signer.signed("PUT", path, pattern(self._size))], self._size, seconds=0)
            self._stored = True
        plain = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode()
        # Signed anew in every round: a signature is good for a quarter of an hour.
        return _compared(environment, [plain], [signer.signed("GET", path)], self._size)


class ForwardPut:
    """PUT of new objects of `size` bytes, whose SHA-256 is signed and verified, or of which nothing is said."""

    def __init__(self, name: str, size: int, *, limit: float, signed: bool) -> None:
        self.name = name
        self.target = Target(limit, "× nginx proxy")
        self._size = size
        self._body = pattern(size)
        self._hash = sha256(self._body).hexdigest() if signed else _UNSIGNED
        self._numbers = itertools.count()

    def measure(self, environment: Environment) -> Sample:
        signer = Signer(environment.forwarder.address, environment.forwarder.key)
        # More than there is time for: an object that is replaced has to be deleted, too.
        count = int(environment.seconds * min(3000, (8 << 30) / self._size)) + 16
        paths = [f"/{BUCKET}/{self.name}/{number}" for number in itertools.islice(self._numbers, count)]
        plain: list[Request] = [
            (f"PUT {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {self._size}\r\n\r\n".encode(), self._body)
            for path in paths
        ]
        signed: list[Request] = [(signer.head_of_put(path, self._size, self._hash), self._body) for path in paths]
        return _compared(environment, plain, signed, self._size)


def _compared(environment: Environment, plain: list[Request], signed: list[Request], size: int) -> Sample:
    proxy = environment.proxy
    forwarded = load.run(
        proxy.address, plain, pid=proxy.pid, seconds=environment.seconds, connections=_connections(size)
    )
    gateway = _run(environment, signed, size, seconds=environment.seconds)
    return Sample(
        gateway.cpu_us / forwarded.cpu_us,
        {
            "nginx CPU µs": forwarded.cpu_us,
            "gateway CPU µs": gateway.cpu_us,
            "nginx req/s": forwarded.requests / forwarded.seconds,
            "gateway req/s": gateway.requests / gateway.seconds,
        },
    )


def _run(environment: Environment, requests: list[Request], size: int, *, seconds: float) -> Load:
    gateway = environment.forwarder
    connections = _connections(size) if seconds else 1
    return load.run(gateway.address, requests, pid=gateway.pid, seconds=seconds, connections=connections)


def _connections(size: int) -> int:
    return 4 if size >= _LARGE else 16
