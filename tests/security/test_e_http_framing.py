"""E: where a message ends, who it is for, and how large its head may be."""

import functools
import gzip

import pytest

from tests.support.caller import Caller, refused, text
from tests.support.framing import (
    BROKEN_CHUNKS,
    CONTENT_LENGTHS,
    FORGIVEN_BY_NGINX,
    NOT_ONE_HOST,
    TRANSFER_ENCODINGS,
    chunked_put,
    delete_with_hosts,
    framed_put,
    hidden_delete,
    hiding,
)
from tests.support.gateway import Gateway
from tests.support.process import MIB, forget_peak, peak_memory
from tests.support.raw_http import Answer, Request, all_answers, http_chunks
from tests.support.signer import STREAMING_UNSIGNED_TRAILER, UNSIGNED, crc32, unsigned_chunks


def one_refusal(caller: Caller, data: bytes) -> Answer:
    """The only answer to these bytes, which is a 400 (501 for a coding), after which the connection is closed."""
    answers, closed = all_answers(caller.host, caller.port, data)
    assert len(answers) == 1, answers
    assert closed
    refused(answers[0], {400, 501})
    return answers[0]


@pytest.mark.parametrize("headers", TRANSFER_ENCODINGS)
def test_e01_an_ambiguous_transfer_encoding_ends_the_connection(caller, untouched, headers):
    head = framed_put(caller, untouched, headers).head()
    for body in hiding(caller, untouched):
        one_refusal(caller, head + body)


@pytest.mark.parametrize("ending", [b"\n", b"\r"])
def test_e01_lines_that_end_with_half_a_line_end_are_refused(caller, untouched, ending):
    head = framed_put(caller, untouched, [("Content-Length", "0"), ("X-A", "b")]).head()
    data = head.replace(b"Content-Length: 0\r\n", b"Content-Length: 0" + ending)
    answers, _ = all_answers(caller.host, caller.port, data)
    assert [answer.status for answer in answers] == [400]


@pytest.mark.parametrize("chunks", [*BROKEN_CHUNKS, *FORGIVEN_BY_NGINX])
def test_e01_broken_chunks_end_the_connection(caller, untouched, chunks):
    answers, closed = all_answers(caller.host, caller.port, chunked_put(caller, untouched, chunks))
    assert closed
    assert [answer.status for answer in answers] == [400]
    refused(answers[0], 400)


@pytest.mark.parametrize("headers", CONTENT_LENGTHS)
def test_e02_a_content_length_that_is_not_one_number_ends_the_connection(caller, untouched, headers):
    head = framed_put(caller, untouched, headers).head()
    for body in hiding(caller, untouched):
        one_refusal(caller, head + body)


def test_e04_chunks_under_http_1_0_are_refused(caller, untouched):
    request = framed_put(caller, untouched, [("Transfer-Encoding", "chunked")], version="HTTP/1.0")
    one_refusal(caller, request.head() + http_chunks([b"x"]) + hidden_delete(caller, untouched))


@pytest.mark.parametrize(
    "version", ["HTTP/2.0", "HTTP/0.9", "HTTP/1", "HTTP/11", "http/1.1", "HTTP/1.1x", "HTTP/1.\u0661", "ICY/1.0"]
)
def test_e04_other_versions_are_refused(caller, untouched, version):
    request = framed_put(caller, untouched, [("Content-Length", "0")], version=version)
    answers, closed = all_answers(caller.host, caller.port, request.head() + hidden_delete(caller, untouched))
    assert closed
    assert len(answers) == 1
    refused(answers[0], {400, 505})


@pytest.mark.parametrize("upgrade", ["websocket", "h2c", "TLS/1.2", "anything"])
@pytest.mark.parametrize("method", ["GET", "PUT"])
def test_e05_an_upgrade_is_ignored_and_its_body_is_a_body(caller, untouched, upgrade, method):
    hidden = hidden_delete(caller, untouched)
    request = Request(method, f"/{untouched}/nothing", (("Host", caller.authority),))
    if method == "PUT":
        request = Request(method, f"/{untouched}/victim", (("Host", caller.authority), ("If-None-Match", "*")))
    signed = caller.signer.sign(request, payload=UNSIGNED)
    headers = [
        ("Connection", "Upgrade, HTTP2-Settings"),
        ("Upgrade", upgrade),
        ("HTTP2-Settings", "AAMAAABkAARAAAAAAAIAAAAA"),
        ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ("Sec-WebSocket-Version", "13"),
        ("Content-Length", str(len(hidden))),
    ]
    for name, value in headers:
        signed = signed.with_header(name, value)
    answers, _ = all_answers(caller.host, caller.port, signed.with_body(hidden).encode())
    assert len(answers) == 1
    assert answers[0].status in (400, 404, 412, 501)
    assert answers[0].interim == ()


@pytest.mark.parametrize("method", ["GET", "HEAD", "DELETE", "OPTIONS"])
@pytest.mark.parametrize("chunked", [False, True])
def test_e07_a_body_where_none_belongs_is_no_second_request(caller, untouched, method, chunked):
    hidden = hidden_delete(caller, untouched)
    framing = ("Transfer-Encoding", "chunked") if chunked else ("Content-Length", str(len(hidden)))
    signed = caller.signer.sign(
        Request(method, f"/{untouched}/nothing", (("Host", caller.authority),)), payload=UNSIGNED
    ).with_header(*framing)
    body = http_chunks([hidden]) if chunked else hidden
    second = caller.signed("GET", f"/{untouched}/second-question")
    data = signed.head() + body + second.encode()
    answers, closed = all_answers(caller.host, caller.port, data, methods=[method, "GET"])
    assert answers[0].status in (200, 204, 400, 403, 404, 411, 501)
    if len(answers) == 1:
        assert closed
    else:
        assert len(answers) == 2
        assert "second-question" in text(refused(answers[1], 404, "NoSuchKey"), "Resource")


def test_e07_a_hundred_pipelined_requests_are_answered_in_order(caller, bucket):
    caller.put(bucket, "k", b"bytes")
    data = b"".join(caller.signed("GET", f"/{bucket}/missing-{number}").encode() for number in range(100))
    with caller.connect() as connection:
        connection.send(data)
        for number in range(100):
            assert f"missing-{number}" in text(refused(connection.answer(), 404, "NoSuchKey"), "Resource")


@pytest.mark.parametrize(
    "trailer",
    [
        "x-amz-copy-source: /{bucket}/victim",
        "x-amz-acl: public-read",
        "Content-Length: 0",
        "Authorization: x",
        "x-amz-meta-mark: two",
    ],
)
def test_e08_a_trailer_of_http_is_no_header(caller, bucket, trailer):
    caller.put(bucket, "victim", b"the first bytes")
    framed = unsigned_chunks([b"mine"], {"x-amz-checksum-crc32": crc32(b"mine")})
    headers = (
        ("Host", caller.authority),
        ("x-amz-decoded-content-length", "4"),
        ("x-amz-trailer", "x-amz-checksum-crc32"),
    )
    head = caller.signer.sign(Request("PUT", f"/{bucket}/k", headers), payload=STREAMING_UNSIGNED_TRAILER)
    head = head.with_header("Transfer-Encoding", "chunked").with_header("Trailer", trailer.partition(":")[0])
    tail = b"0\r\n" + trailer.format(bucket=bucket).encode() + b"\r\n\r\n"
    answer = caller.ask(head.with_body(http_chunks([framed], end=False) + tail))
    found = caller.get(bucket, "k")
    if answer.status == 200:
        assert found.body == b"mine"
        assert found.header("x-amz-meta-mark") is None
    else:
        refused(answer, 400)
        assert found.status == 404
    assert caller.get(bucket, "victim").body == b"the first bytes"


@functools.cache
def bomb() -> bytes:
    """1 GiB of zeros in 1 MiB: many gzip members, one after the other."""
    return gzip.compress(bytes(64 * MIB), 9) * 16


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "zstd"])
def test_e10_a_compressed_body_is_stored_as_it_came(caller, bucket, gateway, encoding):
    before = forget_peak(gateway.pid)
    caller.put(bucket, "bomb", bomb(), [("Content-Encoding", encoding)])
    assert caller.get(bucket, "bomb").body == bomb()
    assert caller.call("HEAD", f"/{bucket}/bomb").header("content-encoding") == encoding
    assert peak_memory(gateway.pid) - before < 40 * MIB


@pytest.mark.parametrize("hosts", NOT_ONE_HOST)
def test_e11_anything_but_one_host_is_refused(caller, untouched, hosts):
    refused(caller.ask(delete_with_hosts(caller, untouched, hosts)), {400, 403})


@pytest.mark.parametrize("authority", ["{host}", "evil.example", "{bucket}.localhost"])
def test_e11_an_absolute_target_routes_and_signs_by_one_source(caller, untouched, authority):
    """Whichever counts, target or Host header: it counts for both, so a foreign authority changes nothing."""
    plain = caller.signed("GET", f"/{untouched}/victim")
    target = f"http://{authority.format(host=caller.authority, bucket=untouched)}/{untouched}/victim"
    answer = caller.ask(Request("GET", target, plain.headers))
    if answer.status == 200:
        assert answer.body == b"the first bytes"
        assert authority == "{host}"
    else:
        refused(answer, {400, 403})


def test_e11_authority_and_asterisk_targets_are_refused(caller, untouched):
    for method, target in (
        ("CONNECT", caller.authority),
        ("OPTIONS", "*"),
        ("GET", "*"),
        ("GET", ""),
        ("GET", "nothing"),
    ):
        answer = caller.ask(caller.signed(method, target))
        refused(answer, {400, 403, 405, 501})


@pytest.mark.parametrize("method", ["TRACE", "CONNECT", "PATCH", "PROPFIND", "get", "G@T", "X" * 100, "GET\x00"])
def test_e11_other_methods_are_refused(caller, untouched, method):
    request = caller.signed(method, f"/{untouched}/victim")
    answers, _ = all_answers(caller.host, caller.port, request.encode())
    assert len(answers) == 1
    refused(answers[0], {400, 403, 405, 501})


def test_e13_a_head_of_more_than_eight_kilobytes_is_refused(caller, untouched):
    request = caller.signed("DELETE", f"/{untouched}/victim").with_header("X-Junk", "j" * 9000)
    refused(caller.ask(request), {400, 431})
    request = caller.signed("DELETE", f"/{untouched}/victim")
    for number in range(100):
        request = request.with_header(f"X-Junk-{number}", "j" * 200)
    refused(caller.ask(request), {400, 431})


def test_e13_a_hundred_and_twenty_nine_headers_are_refused(caller, untouched):
    request = caller.signed("DELETE", f"/{untouched}/victim")
    for number in range(129):
        request = request.with_header(f"X-J-{number}", "j")
    refused(caller.ask(request), {400, 431})


def test_e13_a_query_of_a_hundred_kilobytes_is_refused(caller, untouched):
    refused(caller.call("GET", f"/{untouched}?prefix={'p' * 100_000}"), {400, 414})


def test_e13_ten_thousand_parameters_are_refused(caller, untouched):
    query = "&".join(f"p{number}" for number in range(10_000))
    refused(caller.call("GET", f"/{untouched}?{query}"), {400, 414})
    refused(caller.call("GET", f"/{untouched}?{'&' * 5000}"), {400, 414})


def test_e13_two_kilobytes_of_metadata_are_the_most(caller, bucket):
    caller.put(bucket, "most", b"", [("x-amz-meta-m", "v" * 2047)])
    assert caller.get(bucket, "most").header("x-amz-meta-m") == "v" * 2047
    refused(caller.call("PUT", f"/{bucket}/more", b"", [("x-amz-meta-m", "v" * 2048)]), 400, "MetadataTooLarge")
    several = [(f"x-amz-meta-{number}", "v" * 100) for number in range(30)]
    refused(caller.call("PUT", f"/{bucket}/more", b"", several), 400, "MetadataTooLarge")
    answer = caller.call("POST", f"/{bucket}/more?uploads", b"", [("x-amz-meta-m", "v" * 2048)])
    refused(answer, 400, "MetadataTooLarge")
    assert caller.keys(bucket) == ["most"]
    assert caller.uploads(bucket) == []


def test_e13_a_head_that_never_ends_is_cut_off(caller, gateway):
    """Constant memory: the connection is refused long before these 64 MiB are through."""
    before = forget_peak(gateway.pid)
    with caller.connect() as connection:
        connection.send(b"GET / HTTP/1.1\r\nX: ")
        assert not all(connection.send_leniently(b"x" * MIB) for _ in range(64))
    assert peak_memory(gateway.pid) - before < 16 * MIB


@pytest.mark.parametrize("name", ["x_amz_copy_source", "X_Amz_Copy_Source", "x-amz_copy-source", "x.amz.copy.source"])
def test_e19_an_underscore_is_no_hyphen(caller, bucket, name):
    caller.put(bucket, "victim", b"the first bytes")
    answer = caller.call("PUT", f"/{bucket}/k", b"mine", [(name, f"/{bucket}/victim")])
    if answer.status == 200:
        assert caller.get(bucket, "k").body == b"mine"
    else:
        refused(answer, {400, 403})


@pytest.mark.parametrize("start", [b"", b"G", b"GET / HTTP/1.1\r\n", b"GET / HTTP/1.1\r\nHost: x\r\nX: "])
def test_e20_a_head_that_does_not_arrive_in_time_is_given_up(quick: Gateway, start: bytes):
    """One byte is enough to hold a connection for seconds; not for more than the configured time."""
    with Caller.of(quick).connect() as connection:
        connection.send(start)
        said = connection.rest()
    assert said == b"" or (start and said.startswith(b"HTTP/1.1 4"))


def test_e20_a_head_that_trickles_in_is_given_up(quick: Gateway):
    """Each byte that arrives must not start the clock anew."""
    with Caller.of(quick).connect() as connection:
        connection.send(b"GET / HTTP/1.1\r\nX: ")
        connection.socket.settimeout(0.1)
        for _ in range(100):
            try:
                if not connection.send_leniently(b"x") or not connection.fill():
                    return
            except TimeoutError:
                continue
        raise AssertionError("a trickling head was still being read after ten seconds")


def test_e20_a_body_that_stops_is_given_up(quick: Gateway):
    caller = Caller.of(quick)
    request = caller.signed("PUT", "/demo-media/stopped", b"x" * 1000)
    with caller.connect() as connection:
        connection.send(request.head() + request.body[:500])
        refused(connection.answer("PUT"), {400, 408}, "RequestTimeout")
        assert connection.ended()
    assert caller.get("demo-media", "stopped").status == 404


@pytest.fixture(scope="module")
def quick(tmp_path_factory: pytest.TempPathFactory):
    """A gateway with little patience."""
    limits = {"header_timeout_s": 1.0, "idle_s": 2.0, "body_gap_timeout_s": 1.0}
    with Gateway(tmp_path_factory.mktemp("quick"), settings={"limits": limits}) as running:
        yield running
