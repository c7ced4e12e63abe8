"""Requests to an S3 origin as the bytes that are sent: built from what is asked, signed, and nothing else in them.

No header of a client's request is ever copied. What may be there: Host, Content-Length, the three of the signature,
the token of temporary credentials, and what an operation sets (gateway/origin/s3/origin.py).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from gateway.origin.credentials import OriginCredentials
from gateway.origin.errors import OriginError
from gateway.origin.s3.places import Place
from gateway.sigv4.payload import EMPTY_SHA256, UNSIGNED_PAYLOAD
from gateway.sigv4.presign import Signer

__all__ = ["EMPTY_SHA256", "UNSIGNED_PAYLOAD", "Request", "RequestSigner"]

_WITH_LENGTH = frozenset({"PUT", "POST"})


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked of an origin: `place` and `query` (canonical, without `?`) are its target.

    `headers` have lower-case names and are all signed. `payload_hash` is what x-amz-content-sha256 says; `length` is
    that of the body, in bytes.
    """

    method: str
    place: Place
    query: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    payload_hash: str = EMPTY_SHA256
    length: int = 0

    @property
    def is_head(self) -> bool:
        return self.method == "HEAD"


class RequestSigner:
    """Renders requests for one endpoint, signed as one access key of the day."""

    def __init__(self, authority: str, region: str, *, virtual: bool) -> None:
        self._authority = authority
        self._region = region
        self._virtual = virtual
        self._credentials: OriginCredentials | None = None
        self._signer: Signer | None = None

    def host_of(self, place: Place) -> str:
        """The Host header of requests to a place: in virtual-host style its bucket is in it."""
        return f"{place.bucket}.{self._authority}" if self._virtual else self._authority

    def render(self, request: Request, credentials: OriginCredentials, now_s: int) -> bytes:
        """The head of the request, its empty line included.

        Raises OriginError: something in it would not stay in its place, or is not ASCII.
        """
        place = request.place
        raw_path = (
            f"/{place.path}" if self._virtual else f"/{place.bucket}/{place.path}" if place.path else f"/{place.bucket}"
        )
        headers = {"host": self.host_of(place), **request.headers}
        if credentials.session_token is not None:
            headers["x-amz-security-token"] = credentials.session_token
        signed = self._signer_of(credentials).sign_headers(
            request.method, raw_path, request.query, headers, payload_hash=request.payload_hash, now_s=now_s
        )
        target = f"{raw_path}?{request.query}" if request.query else raw_path
        lines = [f"{request.method} {target} HTTP/1.1\r\n"]
        lines += [f"{name}: {value}\r\n" for name, value in headers.items()]
        lines += [f"{name}: {value}\r\n" for name, value in signed.items()]
        if request.length or request.method in _WITH_LENGTH:
            lines.append(f"content-length: {request.length}\r\n")
        lines.append("\r\n")
        return _checked(lines)

    def _signer_of(self, credentials: OriginCredentials) -> Signer:
        if self._signer is None or self._credentials is not credentials:
            self._signer = Signer(credentials.access_key_id, credentials.secret_access_key, self._region)
            self._credentials = credentials
        return self._signer


def _checked(lines: list[str]) -> bytes:
    """The head that these lines are; the last look before anything is sent, whatever those before have let through."""
    head = "".join(lines)
    if lines[0].count(" ") != 2 or head.count("\r") != len(lines) or head.count("\n") != len(lines):
        raise OriginError("a request to an origin with a blank or a line end where none may be")
    try:
        return head.encode("ascii")
    except UnicodeEncodeError as error:
        raise OriginError("a request to an origin that is not ASCII") from error
