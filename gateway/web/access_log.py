"""The access log: one line for each request, as S3's server access logs have it, without a word of its query.

https://docs.aws.amazon.com/AmazonS3/latest/userguide/LogFormat.html
As JSON a line is one object; as text it has the same values in the same order, `-` where there is none, and what may
hold anything in JSON's quotes. All that a client sends is escaped to ASCII and bounded. No signature is ever in a line:
neither the query nor the Authorization header is looked at, and a referer is told without its query.
"""

import time
from collections.abc import Collection
from ipaddress import IPv4Network, IPv6Network
from json.encoder import encode_basestring_ascii
from pathlib import Path
from typing import Final

from gateway.bounded import BoundedMap
from gateway.config import OFF, STANDARD_OUTPUT, Settings
from gateway.web.client_address import client_address
from gateway.web.exchange import Exchange
from gateway.web.line_writer import LineWriter
from gateway.web.redact import redact

# fmt: off
FIELDS: Final = (
    #  name              what it says
    ("time",            "When the request's head had come, in UTC, to the millisecond."),
    ("request_id",      "What the client got as `x-amz-request-id`."),
    ("remote",          "The client's address, as far as `trusted_proxies` are believed."),
    ("project",         "Whose bucket it is, or else the caller's project."),
    ("principal",       "Who has signed: `PROJECT/NAME`, or `PROJECT/SERVICE/USER` in a session."),
    ("operation",       "S3's name of the operation; `unknown` where it was refused before it was looked up."),
    ("method",          "The HTTP method."),
    ("bucket",          "The bucket that the request names."),
    ("key",             "The key that it names, decoded."),
    ("status",          "The status of the answer; 499: the client was gone before there was one."),
    ("error",           "S3's code of the error."),
    ("bytes_received",  "Bytes of the request's body, with its framing by S3."),
    ("bytes_sent",      "Bytes of the answer's body that were sent: fewer than it has where the client went away."),
    ("object_size",     "The size of the whole object, where the request read one, or said how large the new one is."),
    ("total_ms",        "Milliseconds until the kernel had the last byte of the answer."),
    ("turnaround_ms",   "Milliseconds until the first byte of the answer."),
    ("user_agent",      "The User-Agent header, at most 256 characters."),
    ("referer",         "The Referer header without query, at most 256 characters."),
    ("host",            "The Host header."),
    ("tls",             "The version of TLS on this connection; none for plain HTTP, also behind a proxy."),
    ("cache",           "What the cache said, where it was asked."),
)
# fmt: on
_PLAIN = ("time", "request_id", "operation")  # words of ours that are always there
_MOST = 256
_LONGEST_REMEMBERED = 512
_NONE: Final = {"json": "null", "text": "-"}


class AccessLog:
    """Writes a line for each request; `note` is called from one loop."""

    def __init__(
        self, writer: LineWriter, form: str, trusted_proxies: Collection[IPv4Network | IPv6Network] = ()
    ) -> None:
        """`form` is json or text."""
        self._writer = writer
        self._proxies = trusted_proxies
        self._none = _NONE[form]
        self._template = _template(form)
        self._agents: BoundedMap[str, str] = BoundedMap(512)
        self._referers: BoundedMap[str, str] = BoundedMap(512)
        self._remotes: BoundedMap[tuple[str, str], str] = BoundedMap(1024)
        self._second = -1
        self._time = ""

    def note(self, exchange: Exchange, ended_s: float) -> None:
        """A request is over."""
        self._writer.put(self.render(exchange, ended_s, time.time()))

    def render(self, exchange: Exchange, ended_s: float, now_s: float) -> str:
        """The line of a request that ended at `ended_s` (of perf_counter), which is `now_s` by the clock."""
        none = self._none
        call, request, error = exchange.call, exchange.request, exchange.error
        total_s = ended_s - exchange.began_s
        project = principal = bucket = key = agent = referer = host = size = none
        forwarded = ""
        if call is not None:
            headers, identity, address = call.headers, call.identity, call.address
            if call.found_bucket is not None:
                project = f'"{call.found_bucket.project}"'
            if identity is not None:
                principal = encode_basestring_ascii(f"{identity.project}/{identity.label}")
                if project is none:
                    project = f'"{identity.project}"'
            if address.bucket is not None:
                bucket = encode_basestring_ascii(address.bucket)
            if address.key is not None:
                key = address.key
                key = encode_basestring_ascii(redact(key) if "=" in key or "%3" in key else key)
            value = headers.get("user-agent")
            if value is not None:
                agent = self._agents.get(value) or _remember(self._agents, value, value)
            value = headers.get("referer")
            if value is not None:
                referer = self._referers.get(value) or _remember(
                    self._referers, value, value.partition("?")[0].partition("#")[0]
                )
            if call.host:
                host = encode_basestring_ascii(call.host)
            if call.found_object is not None:
                size = str(call.found_object.size)
            elif call.operation.name in _STORES:
                size = _digits(headers.get("x-amz-decoded-content-length") or headers.get("content-length")) or none
            if self._proxies:
                forwarded = headers.get("x-forwarded-for", "")
        connection = request.connection
        head_s = exchange.head_s
        cache = exchange.answer.cache if exchange.answer is not None else ""
        return self._template % (
            self._time_at(now_s - total_s),
            exchange.request_id,
            self._remote(connection.peer, forwarded),
            project,
            principal,
            exchange.operation,
            encode_basestring_ascii(request.method[:32]),
            bucket,
            key,
            exchange.status,
            f'"{error.code.name}"' if error is not None else none,
            request.body.total_bytes,
            exchange.sent,
            size,
            f"{total_s * 1000:.1f}",
            f"{(head_s - exchange.began_s) * 1000:.1f}" if head_s else none,
            agent,
            referer,
            host,
            f'"{connection.tls}"' if connection.tls else none,
            f'"{cache}"' if cache else none,
        )

    def trust(self, proxies: Collection[IPv4Network | IPv6Network]) -> None:
        """From the next line on these are believed."""
        self._proxies = proxies
        self._remotes.clear()

    def reopen(self) -> None:
        """Go on in a new file of the same name: the old one was moved away."""
        self._writer.reopen()

    def close(self) -> None:
        """Write what waits. Blocks, but not for long."""
        self._writer.close()

    def _time_at(self, at_s: float) -> str:
        second = int(at_s)
        if second != self._second:
            self._second = second
            self._time = time.strftime("%Y-%m-%dT%H:%M:%S.", time.gmtime(second))
        return f"{self._time}{int((at_s - second) * 1000):03d}Z"

    def _remote(self, peer: str, forwarded: str) -> str:
        found = self._remotes.get((peer, forwarded))
        if found is None:
            address = client_address(peer, forwarded, self._proxies)
            found = f'"{address}"' if address is not None else self._none
            if len(forwarded) <= _LONGEST_REMEMBERED:
                self._remotes.put((peer, forwarded), found)
        return found


_STORES = frozenset({"PutObject", "UploadPart"})


def open_access_log(settings: Settings) -> AccessLog | None:
    """The access log that the settings want; None: none. Raises OSError: its file cannot be opened."""
    log = settings.log
    if log.access == OFF:
        return None
    writer = LineWriter(None if log.access == STANDARD_OUTPUT else Path(log.access))
    return AccessLog(writer, log.format, settings.server.trusted_proxies)


def _template(form: str) -> str:
    if form == "text":
        return " ".join("%s" for _ in FIELDS)
    values = ",".join(f'"{name}":"%s"' if name in _PLAIN else f'"{name}":%s' for name, _ in FIELDS)
    return f"{{{values}}}"


def _remember(known: BoundedMap[str, str], sent: str, told: str) -> str:
    """A header's value as it is told: redacted, bounded, escaped."""
    rendered = encode_basestring_ascii(redact(told[: 4 * _MOST])[:_MOST])
    if len(sent) <= _LONGEST_REMEMBERED:
        known.put(sent, rendered)
    return rendered


def _digits(text: str | None) -> str:
    return text if text is not None and text.isascii() and text.isdigit() and len(text) <= 20 else ""
