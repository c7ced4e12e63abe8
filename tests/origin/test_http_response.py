"""gateway/origin/http_response.py: whole and split anywhere, and everything two readers might understand differently."""

from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.origin.errors import BadResponse
from gateway.origin.http_response import (
    FREE_CHUNKS,
    LEAST_CHUNK,
    MAX_HEAD,
    MAX_HEADERS,
    MAX_INTERIM,
    MAX_SIZE_LINE,
    MAX_TRAILERS,
    ResponseReader,
    parse_head,
)

OK = b"HTTP/1.1 200 OK\r\n"
SIZED = OK + b'ETag: "a"\r\nContent-Length: 5\r\nx-amz-meta-Note: \xe9 b\t\r\n\r\nhello'
CHUNKED = OK + b"Transfer-Encoding: Chunked\r\n\r\n5;a=b\r\nhello\r\n0006\r\n world\r\n0\r\nX-Checksum: 1\r\n\r\n"
INTERIM = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"


def fed(*pieces: bytes, bodyless: bool = False) -> tuple[ResponseReader, bytes]:
    reader = ResponseReader(bodyless=bodyless)
    return reader, b"".join([reader.feed(piece) for piece in pieces])


def bytewise(data: bytes) -> list[bytes]:
    return [data[at : at + 1] for at in range(len(data))]


def refused(*pieces: bytes) -> str:
    with pytest.raises(BadResponse) as caught:
        fed(*pieces)
    return str(caught.value)


def test_a_response_with_content_length():
    reader, body = fed(SIZED)
    assert (reader.status, reader.length, body) == (200, 5, b"hello")
    assert reader.headers == {"etag": '"a"', "content-length": "5", "x-amz-meta-note": "é b"}
    assert reader.done
    assert reader.may_keep


def test_a_body_within_one_piece_is_not_copied():
    reader = ResponseReader()
    reader.feed(OK + b"Content-Length: 8\r\n\r\n")
    piece = b"12345678"
    assert reader.feed(piece) is piece
    reader = ResponseReader()
    reader.feed(OK + b"Transfer-Encoding: chunked\r\n\r\nff\r\n")
    assert reader.feed(piece) is piece


def test_a_chunked_response():
    reader, body = fed(CHUNKED)
    assert (reader.status, reader.length, body) == (200, None, b"hello world")
    assert reader.may_keep
    assert "x-checksum" not in reader.headers


def test_interim_responses_are_skipped():
    reader, body = fed(INTERIM + SIZED)
    assert (reader.status, body) == (200, b"hello")
    assert "link" not in reader.headers


@pytest.mark.parametrize("data", [SIZED, CHUNKED, INTERIM + SIZED, OK + b"Content-Length: 0\r\n\r\n"])
def test_one_byte_at_a_time_gives_the_same(data):
    whole, body = fed(data)
    split, pieces = fed(*bytewise(data))
    assert (split.status, split.headers, split.length, split.may_keep) == (
        whole.status, whole.headers, whole.length, whole.may_keep,
    )  # fmt: skip
    assert pieces == body


@pytest.mark.parametrize(
    ("head", "bodyless"),
    [
        (b"HTTP/1.1 204 No Content\r\n\r\n", False),
        (b"HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n", False),
        (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 700\r\n\r\n", False),
        (OK + b"Content-Length: 700\r\n\r\n", True),
        (OK + b"\r\n", True),
    ],
)
def test_a_response_without_a_body_ends_with_its_head(head, bodyless):
    reader, body = fed(head, bodyless=bodyless)
    assert reader.done
    assert reader.may_keep
    assert body == b""


@pytest.mark.parametrize(
    ("head", "bodyless"),
    [
        (b"HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n", False),
        (b"HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n", False),
        (b"HTTP/1.1 304 Not Modified\r\nTransfer-Encoding: chunked\r\n\r\n", False),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n", True),
    ],
)
def test_a_body_that_may_come_although_there_is_none_costs_the_connection(head, bodyless):
    reader, _ = fed(head, bodyless=bodyless)
    assert reader.done
    assert not reader.may_keep


def test_a_body_without_length_ends_with_the_connection():
    reader, body = fed(OK + b"\r\n", b"hello", b" world")
    assert body == b"hello world"
    assert not reader.done
    assert reader.end()
    assert reader.done
    assert not reader.may_keep


@pytest.mark.parametrize("data", [b"", b"HTTP/1.1 2", SIZED[:-1], CHUNKED[:-1], INTERIM])
def test_an_end_before_the_end_is_told(data):
    reader, _ = fed(data)
    assert not reader.end()
    assert not reader.done


@pytest.mark.parametrize(
    ("version", "connection", "kept"),
    [
        (b"1.1", b"", True),
        (b"1.1", b"Connection: keep-alive\r\n", True),
        (b"1.1", b"Connection: close\r\n", False),
        (b"1.1", b"Connection: Upgrade , CLOSE\r\n", False),
        (b"1.1", b"Connection: keep-alive\r\nConnection: close\r\n", False),
        (b"1.0", b"", False),
        (b"1.0", b"Connection: Keep-Alive\r\n", True),
        (b"1.0", b"Connection: keep-alive, close\r\n", False),
    ],
)
def test_who_may_keep_its_connection(version, connection, kept):
    reader, _ = fed(b"HTTP/" + version + b" 200 OK\r\n" + connection + b"Content-Length: 1\r\n\r\nx")
    assert reader.done
    assert reader.may_keep is kept


@pytest.mark.parametrize("data", [SIZED, CHUNKED, b"HTTP/1.1 304 \r\n\r\n"])
def test_bytes_after_the_end_are_no_body_and_cost_the_connection(data):
    whole, body = fed(data)
    for pieces in ([data + b"HTTP/1.1 200 OK\r\n"], [data, b"H"], [*bytewise(data), b"\r\n"]):
        reader, got = fed(*pieces)
        assert (reader.done, reader.may_keep, got) == (True, False, body)
    assert whole.may_keep


@pytest.mark.parametrize(
    "line",
    [
        b"HTTP/2 200 OK", b"HTTP/1.2 200 OK", b"HTTP/1.10 200 OK", b"http/1.1 200 OK", b"HTTP/1.1  200 OK",
        b"HTTP/1.1 20 OK", b"HTTP/1.1 2000 OK", b"HTTP/1.1 099 OK", b"HTTP/1.1 600 OK", b"HTTP/1.1 +20 OK",
        b"HTTP/1.1 \xb200 OK", b"HTTP/1.1 200OK", b" HTTP/1.1 200 OK", b"\r\nHTTP/1.1 200 OK", b"ICY 200 OK",
        b"HTTP/1.1\t200 OK", b"HTTP/1.1 200 O\x00K", b"HTTP/1.1 200 O\rK", b"HTTP/1.1", b"",
    ],
)  # fmt: skip
def test_a_bad_status_line_is_refused(line):
    refused(line + b"\r\nContent-Length: 0\r\n\r\n")


@pytest.mark.parametrize("line", [b"HTTP/1.1 200", b"HTTP/1.1 200 ", b"HTTP/1.1 200 Tr\xe8s bien"])
def test_a_reason_may_be_missing_or_be_anything(line):
    reader, _ = fed(line + b"\r\nContent-Length: 0\r\n\r\n")
    assert reader.status == 200


@pytest.mark.parametrize(
    "line",
    [
        b"Content-Length : 5", b"Content-Length\t: 5", b" Content-Length: 5", b"X: a\r\n folded", b"X: a\r\n\tfolded",
        b"X: a\rb", b"X: a\nContent-Length: 7", b"X: a\x00b", b"X: a\x01b", b"X: a\x7fb", b"X: a\x0bb", b"no colon",
        b"etag", b": empty", b"X\xe9: a", b"X(y): a", b"X: a\r", b"X\x00: a",
    ],
)  # fmt: skip
def test_a_bad_header_is_refused(line):
    refused(OK + line + b"\r\nContent-Length: 5\r\n\r\nhello")


@pytest.mark.parametrize(
    "value",
    [b"", b"+5", b"-5", b"0x5", b"1_0", b"5 5", b"5, 5", b"5,5", b"5.0", b"\xb2", b"five", b"9" * 19, b"\xa05"],
)
def test_a_length_that_is_not_plain_digits_is_refused(value):
    assert "Content-Length" in refused(OK + b"Content-Length: " + value + b"\r\n\r\nhello")


def test_lengths_that_agree_are_one_and_others_are_refused():
    reader, _ = fed(OK + b"Content-Length: 5\r\ncontent-length: 5\r\n\r\nhello")
    assert reader.may_keep
    refused(OK + b"Content-Length: 5\r\ncontent-length: 6\r\n\r\nhello")
    refused(OK + b"Content-Length: 5\r\ncontent-length: 05\r\n\r\nhello")


@pytest.mark.parametrize(
    "lines",
    [
        b"Transfer-Encoding: xchunked", b"Transfer-Encoding: chunked, identity", b"Transfer-Encoding: gzip, chunked",
        b"Transfer-Encoding: identity", b"Transfer-Encoding:", b"Transfer-Encoding: \x0bchunked",
        b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", b"Transfer-Encoding: chunked\r\nContent-Length: 3",
        b"Content-Length: 3\r\nTransfer-Encoding: chunked", b"Transfer-Encoding : chunked",
    ],
)  # fmt: skip
def test_a_transfer_encoding_other_than_chunked_alone_is_refused(lines):
    refused(OK + lines + b"\r\n\r\n0\r\n\r\n")


def test_http_1_0_knows_no_chunks():
    refused(b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")


def test_two_etags_must_agree_and_other_headers_are_joined():
    assert parse_head(b'HTTP/1.1 200 OK\r\nETag: "a"\r\netag: "a"\r\nVary: a\r\nvary: b')[2] == {
        "etag": '"a"',
        "vary": "a, b",
    }
    refused(OK + b'ETag: "a"\r\netag: "b"\r\n\r\n')


def test_a_switch_of_protocols_is_refused():
    refused(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\n\r\n")


def test_interim_responses_end_sometime():
    interim = b"HTTP/1.1 102 Processing\r\n\r\n"
    assert fed(interim * MAX_INTERIM + SIZED)[1] == b"hello"
    refused(interim * (MAX_INTERIM + 1))


@pytest.mark.parametrize(
    "chunks",
    [
        b"0x5\r\nhello\r\n0\r\n\r\n", b"+5\r\nhello\r\n0\r\n\r\n", b" 5\r\nhello\r\n0\r\n\r\n",
        b"5 \r\nhello\r\n0\r\n\r\n", b"1_0\r\nhello\r\n0\r\n\r\n", b"-5\r\nhello\r\n0\r\n\r\n",
        b"5\nhello\r\n0\r\n\r\n", b"5\r\nhelloX0\r\n\r\n", b"5\r\nhello!\r\n0\r\n\r\n", b"5\r\nhello\n0\r\n\r\n",
        b"5\r\nhel\r\n0\r\n\r\n", b"\r\n5\r\nhello\r\n", b"g\r\n", b"1" * 17 + b"\r\n", b"5;a\x00\r\nhello\r\n",
        b"5;a\rb\r\nhello\r\n", b"0\r\nno trailer\r\n\r\n", b"0\r\nX : a\r\n\r\n", b"0\r\nX: a\x00\r\n\r\n",
        b"0\r\n folded: a\r\n\r\n", b"0\r\n\n",
    ],
)  # fmt: skip
def test_bad_chunks_are_refused(chunks):
    head = OK + b"Transfer-Encoding: chunked\r\n\r\n"
    refused(head + chunks)
    refused(head, *bytewise(chunks))


def test_a_head_has_an_end_and_not_too_many_headers():
    fed(OK + b"X: a\r\n" * MAX_HEADERS + b"\r\n")
    refused(OK + b"X: a\r\n" * (MAX_HEADERS + 1) + b"\r\n")
    refused(OK + b"X: " + b"a" * MAX_HEAD + b"\r\n\r\n")
    refused(OK + b"X: ", *[b"a" * 1024] * 64)


@pytest.mark.parametrize("data", [b"SSH-2.0-OpenSSH_9.2\r\n", b"\x15\x03\x01\x00\x02", b"H\x00", b"\n"])
def test_what_can_never_become_a_response_is_refused_before_its_end(data):
    refused(data)
    refused(*bytewise(data))


def test_lines_of_chunks_have_an_end():
    head = OK + b"Transfer-Encoding: chunked\r\n\r\n"
    fed(head + b"1;" + b"a" * (MAX_SIZE_LINE - 4) + b"\r\nx")
    refused(head + b"1;" + b"a" * (MAX_SIZE_LINE - 3) + b"\r\nx")
    refused(head + b"0\r\n" + b"X: a\r\n" * (MAX_TRAILERS // 6 + 1) + b"\r\n")
    refused(head, b"0\r\nX: ", b"a" * MAX_TRAILERS)


def test_a_body_in_tiny_chunks_is_refused_before_they_cost_much():
    """However many come in one read: the loop is held for so many of them, and no longer."""
    reader, _ = fed(OK + b"Transfer-Encoding: chunked\r\n\r\n")
    with pytest.raises(BadResponse, match="chunks"):
        reader.feed(b"1\r\nx\r\n" * 40_000)
    assert FREE_CHUNKS < reader.chunks <= FREE_CHUNKS + FREE_CHUNKS // LEAST_CHUNK + 2


@pytest.mark.parametrize("last", [b"0\r\n\r\n", b"40000000\r\n" + bytes(100)], ids=["the end", "a large one"])
def test_some_chunks_may_be_of_any_size(last):
    reader, body = fed(OK + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n" * FREE_CHUNKS, last)
    assert body.startswith(b"x" * FREE_CHUNKS)
    assert reader.chunks == FREE_CHUNKS + (len(last) > 100)


def test_the_work_of_a_read_is_bounded_by_the_bytes_it_brings():
    reader, _ = fed(OK + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n" * FREE_CHUNKS)
    fair = b"%x\r\n%b\r\n" % (LEAST_CHUNK, bytes(LEAST_CHUNK))
    assert len(reader.feed(fair * 2000)) == 2000 * LEAST_CHUNK
    with pytest.raises(BadResponse, match="chunks"):
        reader.feed(b"1\r\nx\r\n" * 40_000)
    assert reader.chunks <= FREE_CHUNKS + 2000 + (FREE_CHUNKS // LEAST_CHUNK + 2) * 2


def test_a_chunk_counts_for_its_bytes_once_they_have_come():
    head = OK + b"Transfer-Encoding: chunked\r\n\r\n" + b"1\r\nx\r\n" * (FREE_CHUNKS + FREE_CHUNKS // LEAST_CHUNK)
    assert "chunks" in refused(head, b"7fffffff\r\n")


def chunked(pieces: list[bytes]) -> bytes:
    return b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces if piece) + b"0\r\n\r\n"


@given(st.lists(st.binary(max_size=40)), st.booleans(), st.lists(st.integers(0, 600), max_size=12))
def test_any_split_gives_the_same(pieces, in_chunks, cuts):
    content = b"".join(pieces)
    framing = b"Transfer-Encoding: chunked" if in_chunks else b"Content-Length: %d" % len(content)
    data = INTERIM + OK + framing + b"\r\n\r\n" + (chunked(pieces) if in_chunks else content)
    at = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
    reader, body = fed(*[data[start:stop] for start, stop in pairwise(at)])
    assert body == content
    assert reader.done
    assert reader.may_keep


GRAMMAR = st.sampled_from(
    [
        b"HTTP/1.1 200 OK", b"HTTP/1.1 100 Continue", b"HTTP/1.0 404", b"HTTP/1.1 204 No", b"\r\n", b"\n", b"\r", b":",
        b"Content-Length: 5", b"Transfer-Encoding: chunked", b"Connection: close", b"5", b"0", b"hello", b";", b" ",
        b"\x00", b"\xff", b"\r\n\r\n", b"etag", b"ffffffffffffffff",
    ]
)  # fmt: skip


@given(st.lists(GRAMMAR | st.binary(max_size=8), max_size=30), st.lists(st.binary(max_size=8)), st.booleans())
@example([b"HTTP/1.1 200 OK", b"\r\n\r\n"], [b"x"], False)
def test_garbage_raises_bad_response_only(tokens, rest, bodyless):
    reader = ResponseReader(bodyless=bodyless)
    try:
        for piece in (b"".join(tokens), *rest):
            before = reader.done
            body = reader.feed(piece)
            assert not (before and body)
    except BadResponse:
        return
    assert reader.end() is reader.done
    assert not reader.may_keep


@given(st.lists(GRAMMAR, max_size=16).map(b"".join), st.lists(GRAMMAR, max_size=16).map(b"".join))
def test_garbage_is_understood_alike_however_it_is_split(garbage, chunks):
    for data in (garbage, OK + b"Transfer-Encoding: chunked\r\n\r\n" + chunks):
        outcomes: list[object] = []
        for pieces in ([data], bytewise(data)):
            try:
                reader, body = fed(*pieces)
                outcomes.append((reader.status, reader.headers, reader.done, reader.may_keep, body))
            except BadResponse:
                outcomes.append(None)
        assert outcomes[0] == outcomes[1]
