"""What checking a signature costs, in this process: parsing the credentials and verifying them."""

import time

from bench.environment import Environment
from bench.report import Sample, Target
from bench.servers import AccessKey
from bench.signing import Signer
from gateway.sigv4.credentials import parse_credentials
from gateway.sigv4.model import SecretAccessKey, WireRequest
from gateway.sigv4.signature import Verifier

_KEY = AccessKey("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")
_TARGET = "/media/profile-images/2026/11/photo-00042.jpg"
_REPEATS = 5000


class _Verify:
    """Requests that are verified in turn, with a verifier that knows the key of the day."""

    def __init__(self) -> None:
        self._signer = Signer(("127.0.0.1", 9000), _KEY)
        self._verifier = Verifier(domains=())
        self._secret = SecretAccessKey(_KEY.secret_access_key)

    def _measure(self, requests: list[WireRequest]) -> float:
        """CPU µs for one verification."""
        now_s = int(time.time())
        self._verify(requests[0], now_s)
        before_ns = time.process_time_ns()
        for request in requests:
            self._verify(request, now_s)
        return (time.process_time_ns() - before_ns) / len(requests) / 1000

    def _verify(self, request: WireRequest, now_s: int) -> None:
        credentials = parse_credentials(request)
        if credentials is None:
            raise LookupError("the request is not signed")
        self._verifier.verify(request, credentials, self._secret, now_s=now_s)


class VerifyHeader(_Verify):
    """A PUT with five signed headers, signed in its Authorization header."""

    name = "verify-header"
    target = Target(20.0, "CPU µs")

    def measure(self, _environment: Environment, /) -> Sample:
        raw = self._signer.signed("PUT", _TARGET, b"body", {"Content-Type": "image/jpeg"})
        return Sample(self._measure([_wire_request(raw)] * _REPEATS), {})


class VerifyPresigned(_Verify):
    """Presigned GETs that are seen for the first time; beside it, one that is seen again."""

    name = "verify-presigned"
    target = Target(20.0, "CPU µs (first)")

    def __init__(self) -> None:
        super().__init__()
        self._next = 0

    def measure(self, _environment: Environment, /) -> Sample:
        count = _REPEATS // 10
        self._next += count
        fresh = [_wire_request(self._signer.presigned(f"{_TARGET}-{self._next + n}")) for n in range(count)]
        return Sample(self._measure(fresh), {"seen before": self._measure(fresh[-1:] * _REPEATS)})


def _wire_request(raw: bytes) -> WireRequest:
    line, *lines = raw.partition(b"\r\n\r\n")[0].decode().split("\r\n")
    method, target, _ = line.split(" ")
    path, _, query = target.partition("?")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    return WireRequest(method, path, query, headers)
