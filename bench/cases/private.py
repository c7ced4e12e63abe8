"""Presigned GETs through nginx with deploy/nginx/private-media.conf: what nginx and the gateway spend together."""

import os

from bench import load, machine
from bench.environment import Environment
from bench.report import Sample, Target
from bench.servers import BUCKET
from bench.signing import Signer


class PrivateMedia:
    """One object by a hundred URLs, against nginx with the same bytes as a static file.

    With `authorisation_s` 0 nginx asks the gateway about each request, otherwise once about each URL in that time.
    """

    def __init__(self, name: str, size: int, *, authorisation_s: int, limit: float) -> None:
        self.name = name
        self.target = Target(limit, "× nginx static")
        self._size = size
        self._authorisation_s = authorisation_s
        self._signed: list[bytes] = []

    def measure(self, environment: Environment) -> Sample:
        nginx, gateway = environment.fronted(self._authorisation_s)
        static_file = environment.nginx.files / self.name
        if not self._signed:
            body = os.urandom(self._size)
            static_file.write_bytes(body)
            static_file.chmod(0o644)
            put = Signer(gateway.address, gateway.key).signed("PUT", f"/{BUCKET}/{self.name}", body)
            load.run(gateway.address, [put], pid=gateway.pid, seconds=0, connections=1)
            signer = Signer(nginx.address, gateway.key)
            self._signed = [signer.presigned(f"/{BUCKET}/{self.name}", expires_s=3600 + each) for each in range(100)]
        static = environment.load_nginx([f"GET /{self.name} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode()])
        before_ns = machine.cpu_ns(gateway.pid)
        both = load.run(nginx.address, self._signed, pid=nginx.pid, beside=[gateway.pid], seconds=environment.seconds)
        gateway_ns = machine.cpu_ns(gateway.pid) - before_ns
        return Sample(
            both.cpu_us / static.cpu_us,
            {
                "static CPU µs": static.cpu_us,
                "both CPU µs": both.cpu_us,
                "of it the gateway's": gateway_ns / both.requests / 1000,
                "static req/s": static.requests / static.seconds,
                "req/s": both.requests / both.seconds,
            },
        )
