"""GETs of what lies at an S3 endpoint: of bodies that are kept close, and of those that are about to be."""

import itertools

from bench import load
from bench.environment import Environment
from bench.load import Load, Request
from bench.report import Sample, Target
from bench.servers import BUCKET, Gateway
from bench.signing import Signer
from bench.upstream import pattern


class HotGet:
    """GET of one kept object of `size` bytes, or of `part` bytes in its middle, against nginx's static file.

    Every request has a signature to verify, or, `presigned`, one of a hundred that were seen before.
    """

    def __init__(self, name: str, size: int, *, limit: float, presigned: bool = False, part: int | None = None) -> None:
        self.name = name
        self.target = Target(limit, "× nginx static")
        self._size = size
        self._presigned = presigned
        self._range = None if part is None else f"bytes={size // 4}-{size // 4 + part - 1}"

    def measure(self, environment: Environment) -> Sample:
        keeper = environment.keeper
        signer = Signer(keeper.address, keeper.key)
        path = f"/{BUCKET}/{self.name}"
        file = environment.nginx.files / self.name
        ranged = {} if self._range is None else {"Range": self._range}
        if not file.exists():
            file.write_bytes(pattern(self._size))
            file.chmod(0o644)
            _run(keeper, [signer.signed("PUT", path, pattern(self._size)), signer.signed("GET", path)])
        line = "".join(f"{name}: {value}\r\n" for name, value in ranged.items())
        static = environment.load_nginx([f"GET /{self.name} HTTP/1.1\r\nHost: 127.0.0.1\r\n{line}\r\n".encode()])
        requests: list[Request] = [signer.signed("GET", path, headers=ranged)]
        if self._presigned:
            requests = [signer.presigned(path, expires_s=3600 + number) for number in range(100)]
        kept = _run(keeper, requests, seconds=environment.seconds)
        return _sample(kept, static, "nginx", "gateway")


class HotLatency:
    """How long 99 of 100 GETs of a kept object take at most, that come at a fixed rate over many connections.

    The rate is half of what as many connections get that ask again as soon as they are answered.
    """

    def __init__(self, name: str, size: int, *, connections: int, limit_ms: float) -> None:
        self.name = name
        self.target = Target(limit_ms, "ms (p99)")
        self._size = size
        self._connections = connections
        self._stored = False

    def measure(self, environment: Environment) -> Sample:
        keeper = environment.keeper
        signer = Signer(keeper.address, keeper.key)
        path = f"/{BUCKET}/{self.name}"
        if not self._stored:
            _run(keeper, [signer.signed("PUT", path, pattern(self._size)), signer.signed("GET", path)])
            self._stored = True
        requests: list[Request] = [signer.signed("GET", path)]
        most = _run(keeper, requests, seconds=environment.seconds, connections=self._connections)
        per_s = most.requests / most.seconds / 2
        paced = load.at_rate(
            keeper.address,
            requests,
            pid=keeper.pid,
            per_s=per_s,
            seconds=environment.seconds,
            connections=self._connections,
        )
        return Sample(
            paced.quantile_ms(0.99),
            {
                "median ms": paced.median_ms,
                "p99.9 ms": paced.quantile_ms(0.999),
                "req/s": per_s,
                "at full load p99 ms": most.quantile_ms(0.99),
                "at full load req/s": most.requests / most.seconds,
            },
        )


class ColdGet:
    """GET of objects that nobody has read before, against the same by a gateway that keeps nothing."""

    def __init__(self, name: str, size: int, *, limit: float) -> None:
        self.name = name
        self.target = Target(limit, "× forwarding")
        self._size = size
        self._numbers = itertools.count()

    def measure(self, environment: Environment) -> Sample:
        seconds = min(environment.seconds, 0.5)
        count = int(seconds * min(12_000, (3 << 30) / self._size)) + 16  # more than there is time for
        paths = [f"/{BUCKET}/{self.name}/{number}" for number in itertools.islice(self._numbers, count)]
        loads = []
        for gateway in (environment.forwarder, environment.keeper):
            signer = Signer(gateway.address, gateway.key)
            body = pattern(self._size)
            puts: list[Request] = [(signer.head_of_put(path, self._size, "UNSIGNED-PAYLOAD"), body) for path in paths]
            load.each_once(gateway.address, puts)
            loads.append(_run(gateway, [signer.signed("GET", path) for path in paths], seconds=seconds))
        forwarded, cold = loads
        return _sample(cold, forwarded, "forwarding", "cold")


def _run(gateway: Gateway, requests: list[Request], *, seconds: float = 0, connections: int = 16) -> Load:
    return load.run(
        gateway.address, requests, pid=gateway.pid, seconds=seconds, connections=connections if seconds else 1
    )


def _sample(measured: Load, beside: Load, name_beside: str, name: str) -> Sample:
    return Sample(
        measured.cpu_us / beside.cpu_us,
        {
            f"{name_beside} CPU µs": beside.cpu_us,
            f"{name} CPU µs": measured.cpu_us,
            f"{name_beside} req/s": beside.requests / beside.seconds,
            f"{name} req/s": measured.requests / measured.seconds,
        },
    )
