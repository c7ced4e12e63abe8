"""Requests signed by botocore and sent byte for byte: for what no SDK that we can install would send.

botocore is the reference here: it computes the canonical request from the URL and headers that are then sent.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from urllib.parse import quote

from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from tests.support.gateway import Gateway
from tests.support.plain_http import Connection, Response


@dataclass(frozen=True, slots=True)
class SignedRequest:
    """A request as it goes on the wire."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes


def encode_path(path: str) -> str:
    """The path of a URL as S3 clients write it: everything but the unreserved characters and "/" is encoded."""
    return quote(path, safe="/-_.~", errors="surrogatepass")


def encode_query(query: Iterable[tuple[str, str]]) -> str:
    """A query as S3 clients write it: %20 for a space, and "=" also after an empty value."""
    return "&".join(f"{quote(name, safe='-_.~')}={quote(value, safe='-_.~')}" for name, value in query)


def sign_request(
    gateway: Gateway,
    method: str,
    path: str,
    *,
    query: Iterable[tuple[str, str]] = (),
    headers: Mapping[str, str] | None = None,
    body: bytes = b"",
    region: str = "us-east-1",
    unsigned_payload: bool = False,
    key: Credentials | None = None,
) -> SignedRequest:
    """Sign with `key`, the demo project's if there is none; `path` is text and gets encoded, as do names and values of the query."""
    text = encode_query(query)
    target = encode_path(path) + (f"?{text}" if text else "")
    request = AWSRequest(method, f"{gateway.endpoint}{target}", dict(headers or {}), body)
    if unsigned_payload:
        request.context["payload_signing_enabled"] = False
        request.context["client_config"] = None
    signer = S3SigV4Auth(key or Credentials(gateway.access_key_id, gateway.secret_access_key), "s3", region)
    signer.add_auth(request)
    return SignedRequest(method, target, dict(request.headers.items()), body)


class SignedConnection(Connection):
    """A keep-alive connection whose requests are signed, with `key` or else the demo project's."""

    def __init__(self, gateway: Gateway, key: Credentials | None = None) -> None:
        super().__init__(gateway)
        self.gateway = gateway
        self.key = key

    def send(self, request: SignedRequest) -> Response:
        """Send a request that has been signed before."""
        return self.request(request.method, request.target, request.headers, request.body or None)

    def signed(
        self,
        method: str,
        path: str,
        *,
        query: Iterable[tuple[str, str]] = (),
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        region: str = "us-east-1",
    ) -> Response:
        """Sign and send."""
        return self.send(
            sign_request(
                self.gateway, method, path, query=query, headers=headers, body=body, region=region, key=self.key
            )
        )
