"""Presigned GETs of one object, against nginx's static file of the same bytes."""

from bench.environment import Environment
from bench.report import Sample, Target
from bench.servers import BUCKET


class Get:
    """GET of `size` bytes. A hundred different presigned URLs are asked for in turn."""

    def __init__(self, name: str, size: int, *, limit: float) -> None:
        self.name = name
        self.target = Target(limit, "× nginx static")
        self._size = size
        self._signed: list[bytes] = []

    def measure(self, environment: Environment) -> Sample:
        if not self._signed:
            environment.store_twice(self.name, self._size)
            self._signed = [
                environment.signer.presigned(f"/{BUCKET}/{self.name}", expires_s=3600 + number) for number in range(100)
            ]
        static = environment.load_nginx([f"GET /{self.name} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode()])
        gateway = environment.load_gateway(self._signed)
        return Sample(
            gateway.cpu_us / static.cpu_us,
            {
                "nginx CPU µs": static.cpu_us,
                "gateway CPU µs": gateway.cpu_us,
                "nginx req/s": static.requests / static.seconds,
                "gateway req/s": gateway.requests / gateway.seconds,
            },
        )
