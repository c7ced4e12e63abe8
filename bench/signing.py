"""Signed requests as raw bytes. botocore signs, so that what is measured does not vouch for itself."""

from collections.abc import Mapping
from types import MappingProxyType

from botocore.auth import S3SigV4Auth, S3SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from bench.servers import AccessKey

REGION = "us-east-1"


class Signer:
    """Signs for one gateway with one key."""

    def __init__(self, address: tuple[str, int], key: AccessKey) -> None:
        self._host = f"{address[0]}:{address[1]}"
        self._credentials = Credentials(key.access_key_id, key.secret_access_key)

    def presigned(self, target: str, *, expires_s: int = 3600) -> bytes:
        """A GET whose signature is in the query."""
        request = AWSRequest("GET", f"http://{self._host}{target}")
        S3SigV4QueryAuth(self._credentials, "s3", REGION, expires=expires_s).add_auth(request)
        target = request.url.removeprefix(f"http://{self._host}")
        return f"GET {target} HTTP/1.1\r\nHost: {self._host}\r\n\r\n".encode()

    def signed(
        self, method: str, target: str, body: bytes = b"", headers: Mapping[str, str] = MappingProxyType({})
    ) -> bytes:
        """A request with an Authorization header and the hash of its body."""
        if body:
            headers = {**headers, "Content-Length": str(len(body))}
        return self._head(method, target, headers, S3SigV4Auth(self._credentials, "s3", REGION), body) + body

    def head_of_put(self, target: str, size: int, payload_sha256: str) -> bytes:
        """What comes before a body that is too large to be held."""
        auth = _KnownHashAuth(self._credentials, "s3", REGION)
        auth.known_hash = payload_sha256
        return self._head("PUT", target, {"Content-Length": str(size)}, auth)

    def _head(
        self, method: str, target: str, headers: Mapping[str, str], auth: S3SigV4Auth, body: bytes = b""
    ) -> bytes:
        request = AWSRequest(method, f"http://{self._host}{target}", headers=dict(headers), data=body)
        auth.add_auth(request)
        lines = "".join(f"{name}: {value}\r\n" for name, value in request.headers.items())
        return f"{method} {target} HTTP/1.1\r\nHost: {self._host}\r\n{lines}\r\n".encode()


class _KnownHashAuth(S3SigV4Auth):
    """Signs a payload hash that was computed elsewhere."""

    known_hash = ""

    def payload(self, _request: AWSRequest, /) -> str:
        return self.known_hash
