"""Requests whose end can be read in two ways, for whoever stands in front: the gateway itself, or nginx before it.

Every body holds a whole, correctly signed DELETE of the object `victim`: whatever is taken for the end of the first
request, the hidden one must never be carried out.
"""

from collections.abc import Iterator, Sequence

from tests.support.caller import Caller
from tests.support.raw_http import Request, http_chunks
from tests.support.signer import STREAMING_UNSIGNED_TRAILER, UNSIGNED

Headers = Sequence[tuple[str, str]]

TRANSFER_ENCODINGS: tuple[Headers, ...] = (
    [("Content-Length", "5"), ("Transfer-Encoding", "chunked")],
    [("Transfer-Encoding", "chunked"), ("Content-Length", "5")],
    [("Content-Length", "0"), ("Transfer-Encoding", "chunked")],
    [("Transfer-Encoding", "xchunked")],
    [("Transfer-Encoding", "\x0bchunked")],
    [("Transfer-Encoding", "chunked, identity")],
    [("Transfer-Encoding", "identity, chunked, identity")],
    [("Transfer-Encoding", "identity"), ("Content-Length", "5")],
    [("Transfer-Encoding", "chunked"), ("Transfer-Encoding", "identity")],
    [("Transfer-Encoding", "chunked"), ("Transfer-Encoding", "chunked")],
    [("Transfer-Encoding", "chunked, chunked")],
    [("Transfer-Encoding", "identity")],
    [("Transfer-Encoding", "gzip, chunked")],
    [("Transfer-Encoding", '"chunked"')],
    [("Transfer-Encoding", "chunked\udcff")],
    [("Transfer-Encoding", "")],
    [("Transfer-Encoding ", "chunked")],
    [("Transfer-Encoding\t", "chunked")],
    [(" Transfer-Encoding", "chunked")],
    [("Transfer\x00-Encoding", "chunked")],
    [("Transfer-Encoding", "\r\n chunked")],
    [("X-Folded", "a\r\n Transfer-Encoding: chunked")],
)
"""Ambiguous framing by a transfer coding, and by a line that is folded."""

CONTENT_LENGTHS: tuple[Headers, ...] = (
    [("Content-Length", "3"), ("Content-Length", "3")],
    [("Content-Length", "3"), ("Content-Length", "4")],
    [("Content-Length", "3, 3")],
    [("Content-Length", "3,3")],
    [("Content-Length", "+3")],
    [("Content-Length", "-1")],
    [("Content-Length", "-0")],
    [("Content-Length", "0x3")],
    [("Content-Length", "1_0")],
    [("Content-Length", "")],
    [("Content-Length", "3 3")],
    [("Content-Length", "3.0")],
    [("Content-Length", "9" * 23)],
    [("Content-Length", "٣")],
    [("Content-Length", "\udcb2")],
    [("Content-Length ", "3")],
    [("Content-Length", "3\x0b")],
)
"""A Content-Length that is not one number."""

BROKEN_CHUNKS = (
    b"0x1\r\nx\r\n0\r\n\r\n",
    b"+1\r\nx\r\n0\r\n\r\n",
    b"-1\r\nx\r\n0\r\n\r\n",
    b"1_0\r\n" + b"x" * 16 + b"\r\n0\r\n\r\n",
    b"\r\nx\r\n0\r\n\r\n",
    b"1\r\nxx\r\n0\r\n\r\n",
    b"10000000000000001\r\nx\r\n0\r\n\r\n",
)
FORGIVEN_BY_NGINX = (b"1\nx\n0\n\n", b"1;\nx\r\n0\r\n\r\n", b"1 \x0b\r\nx\r\n0\r\n\r\n")
"""Broken for the gateway; nginx frames such a body anew, so that both see the same one."""

NOT_ONE_HOST: tuple[Sequence[str], ...] = (
    [],
    ["{host}", "{host}"],
    ["{host}", "evil.example"],
    ["a, b"],
    ["{host}, {host}"],
    [""],
    ["a b"],
    ["{host}/x"],
    ["evil.example/x"],
    ["user@{host}"],
    ["{host}\udcff"],
    ["[::1"],
    ["127.0.0.1:99999999"],
    ["127.0.0.1:+80"],
)
"""Values of Host headers, {host} being the right one."""


def hidden_delete(caller: Caller, bucket: str) -> bytes:
    return caller.signed("DELETE", f"/{bucket}/victim").encode()


def framed_put(caller: Caller, bucket: str, headers: Headers, version: str = "HTTP/1.1") -> Request:
    """A signed PUT with framing of the test's own; if it were taken, it would be refused with 412 and store nothing."""
    request = Request("PUT", f"/{bucket}/victim", (("Host", caller.authority), ("If-None-Match", "*")), version=version)
    signed = caller.signer.sign(request, payload=UNSIGNED)
    for name, value in headers:
        signed = signed.with_header(name, value)
    return signed


def hiding(caller: Caller, bucket: str) -> Iterator[bytes]:
    """Bodies: a chunk, or three bytes, with the hidden request after it, and one with the request in its chunk."""
    hidden = hidden_delete(caller, bucket)
    yield http_chunks([b"x"]) + hidden
    yield http_chunks([hidden])
    yield b"xxx" + hidden


def chunked_put(caller: Caller, bucket: str, chunks: bytes) -> bytes:
    """A signed PUT of one byte in the test's own chunks, with the hidden request after it."""
    headers = (("Host", caller.authority), ("x-amz-decoded-content-length", "1"), ("Transfer-Encoding", "chunked"))
    request = Request("PUT", f"/{bucket}/framed", headers)
    head = caller.signer.sign(request, payload=STREAMING_UNSIGNED_TRAILER).head()
    return head + chunks + hidden_delete(caller, bucket)


def delete_with_hosts(caller: Caller, bucket: str, hosts: Sequence[str]) -> Request:
    """A signed DELETE of the victim with these Host headers."""
    headers = tuple(("Host", host.format(host=caller.authority)) for host in hosts)
    return caller.signer.sign(Request("DELETE", f"/{bucket}/victim", headers))
