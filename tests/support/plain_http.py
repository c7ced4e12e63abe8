"""HTTP as a browser or a proxy speaks it: nothing is signed, and the target is sent byte for byte as given."""

import http.client
import ssl
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Self
from urllib.parse import urlsplit

from lxml import etree

from tests.support.gateway import Gateway

TIMEOUT_S = 30


@dataclass(frozen=True, slots=True)
class Response:
    """A whole answer; header names in lower case, repeated ones joined by a comma."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def code(self) -> str:
        """The <Code> of an S3 error document, or "" where the body is none."""
        return self.element("Code")

    def element(self, name: str) -> str:
        """The text of the first element of that name in an XML body, whatever its namespace; "" without it."""
        if not self.body.startswith(b"<"):
            return ""
        found = next(etree.fromstring(self.body).iter(f"{{*}}{name}"), None)
        return "" if found is None or found.text is None else str(found.text)


class Connection:
    """One keep-alive connection to a gateway; connects again when the gateway closed it after an answer."""

    def __init__(self, gateway: Gateway) -> None:
        self._hangs_up = gateway.hangs_up_on_refusal
        self.connection = (
            http.client.HTTPSConnection(
                gateway.host,
                gateway.port,
                timeout=TIMEOUT_S,
                context=ssl.create_default_context(cafile=gateway.ca_file),
            )
            if gateway.tls
            else http.client.HTTPConnection(gateway.host, gateway.port, timeout=TIMEOUT_S)
        )

    def request(
        self,
        method: str,
        target: str,
        headers: Mapping[str, str] | None = None,
        body: bytes | Iterable[bytes] | None = None,
    ) -> Response:
        """Send one request; `target` is the path with its query, as on the request line. An iterable is chunked."""
        names = {name.lower() for name in headers or {}}
        self.connection.putrequest(method, target, skip_host="host" in names, skip_accept_encoding=True)
        for name, value in (headers or {}).items():
            self.connection.putheader(name, value.encode("utf-8", "surrogateescape"))
        chunked = body is not None and not isinstance(body, bytes)
        if chunked:
            self.connection.putheader("Transfer-Encoding", "chunked")
        elif "content-length" not in names and (body is not None or method in ("PUT", "POST")):
            self.connection.putheader("Content-Length", str(len(body or b"")))  # type: ignore[arg-type]
        self.connection.endheaders(body, encode_chunked=chunked)
        with self.connection.getresponse() as answer:
            joined: dict[str, str] = {}
            for name, value in answer.getheaders():
                lower = name.lower()
                joined[lower] = f"{joined[lower]},{value}" if lower in joined else value
            response = Response(answer.status, joined, answer.read())
        if self._hangs_up and body is not None and response.status >= 400:
            self.connection.close()
        return response

    def close(self) -> None:
        """Close the socket."""
        self.connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def fetch(
    gateway: Gateway,
    method: str,
    url: str,
    headers: Mapping[str, str] | None = None,
    body: bytes | Iterable[bytes] | None = None,
) -> Response:
    """One request for a whole URL of the gateway, over a connection of its own, with the URL's host as Host."""
    parts = urlsplit(url)
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    with Connection(gateway) as connection:
        return connection.request(method, target, {"Host": parts.netloc, **(headers or {})}, body)
