"""D: bodies that are not what was signed, announced or hashed: nothing of them may be seen afterwards."""

import base64
import gzip
from collections.abc import Callable

import pytest

from tests.support.caller import Caller, complete_document, parse_xml, refused, text
from tests.support.raw_http import Answer, Request, eventually, http_chunks
from tests.support.signer import (
    STREAMING_SIGNED,
    STREAMING_SIGNED_TRAILER,
    STREAMING_UNSIGNED_TRAILER,
    UNSIGNED,
    ChunkSigner,
    content_md5,
    crc32,
    object_path,
    sha256_hex,
    unsigned_chunks,
    uri_encode,
)

PIECES = [b"a" * 8192, b"b" * 8192, b"c" * 100]
WHOLE = b"".join(PIECES)
SIGNATURE_SIZE = 64


def send_body(caller: Caller, head: Request, body: bytes) -> Answer:
    """The head with the body's true length on the wire."""
    return caller.ask(head.with_header("Content-Length", str(len(body))).with_body(body))


def signed_framing(caller: Caller, target: str) -> tuple[Request, ChunkSigner]:
    return caller.streamed(target, PIECES)


def test_d01_signed_chunks_are_stored_without_their_framing(caller, bucket):
    head, chunks = signed_framing(caller, f"/{bucket}/k")
    assert send_body(caller, head, chunks.body(PIECES)).status == 200
    assert caller.get(bucket, "k").body == WHOLE


@pytest.mark.parametrize("place", [200, 8192 + 200, len(WHOLE)], ids=["first chunk", "second chunk", "last chunk"])
def test_d01_one_changed_byte_in_a_signed_chunk_stores_nothing(caller, untouched, place):
    head, chunks = signed_framing(caller, f"/{untouched}/victim")
    body = bytearray(chunks.body(PIECES))
    place = bytes(body).rindex(b"c") if place == len(WHOLE) else place + 100 * (place > 8192)
    body[place] ^= 1
    refused(send_body(caller, head, bytes(body)), 403, "SignatureDoesNotMatch")


def test_d01_a_bad_chunk_of_a_part_stores_no_part(caller, bucket):
    upload_id = caller.start_upload(bucket, "k")
    head, chunks = signed_framing(caller, f"/{bucket}/k?partNumber=1&uploadId={upload_id}")
    body = bytearray(chunks.body(PIECES))
    body[200] ^= 1
    refused(send_body(caller, head, bytes(body)), 403, "SignatureDoesNotMatch")
    listed = caller.call("GET", f"/{bucket}/k?uploadId={upload_id}")
    assert parse_xml(listed.body).findall("Part") == []


def without_signature(body: bytes) -> bytes:
    start = body.index(b";chunk-signature=")
    return body[:start] + body[start + len(";chunk-signature=") + SIGNATURE_SIZE :]


def with_wrong_signature(body: bytes) -> bytes:
    start = body.index(b"chunk-signature=") + len("chunk-signature=")
    return body[:start] + b"0" * SIGNATURE_SIZE + body[start + SIGNATURE_SIZE :]


def with_wrong_last_signature(body: bytes) -> bytes:
    start = body.rindex(b"chunk-signature=") + len("chunk-signature=")
    return body[:start] + b"0" * SIGNATURE_SIZE + body[start + SIGNATURE_SIZE :]


def without_last_signature(body: bytes) -> bytes:
    return body[: body.rindex(b"0;chunk-signature=")] + b"0\r\n\r\n"


def without_last_chunk(body: bytes) -> bytes:
    return body[: body.rindex(b"0;chunk-signature=")]


def with_chunks_swapped(body: bytes) -> bytes:
    size = len(b"2000;chunk-signature=") + SIGNATURE_SIZE + 2 + 8192 + 2
    return body[size : 2 * size] + body[:size] + body[2 * size :]


def with_a_chunk_twice(body: bytes) -> bytes:
    size = len(b"2000;chunk-signature=") + SIGNATURE_SIZE + 2 + 8192 + 2
    return body[:size] + body


def with_a_chunk_missing(body: bytes) -> bytes:
    size = len(b"2000;chunk-signature=") + SIGNATURE_SIZE + 2 + 8192 + 2
    return body[size:]


def with_another_extension(body: bytes) -> bytes:
    return body.replace(b";chunk-signature=", b";chunk-signatur=", 1)


def with_more_after_the_end(body: bytes) -> bytes:
    return body + b"more"


@pytest.mark.parametrize(
    "change",
    [
        without_signature,
        with_wrong_signature,
        with_wrong_last_signature,
        without_last_signature,
        without_last_chunk,
        with_chunks_swapped,
        with_a_chunk_twice,
        with_a_chunk_missing,
        with_another_extension,
        with_more_after_the_end,
    ],
)
def test_d02_a_broken_chain_of_chunks_stores_nothing(caller: Caller, untouched: str, change: Callable[[bytes], bytes]):
    head, chunks = signed_framing(caller, f"/{untouched}/victim")
    refused(send_body(caller, head, change(chunks.body(PIECES))), {400, 403})


def test_d02_unsigned_framing_under_the_signed_sentinel_stores_nothing(caller, untouched):
    head, _ = signed_framing(caller, f"/{untouched}/victim")
    refused(send_body(caller, head, unsigned_chunks(PIECES)), {400, 403})


def test_d02_a_plain_body_under_a_streaming_sentinel_stores_nothing(caller, untouched):
    for sentinel in (STREAMING_SIGNED, STREAMING_UNSIGNED_TRAILER):
        headers = [("x-amz-decoded-content-length", str(len(WHOLE)))]
        refused(caller.ask(caller.signed("PUT", f"/{untouched}/victim", WHOLE, headers, payload=sentinel)), {400, 403})


def trailer_head(caller: Caller, target: str, sentinel: str, **headers: str) -> Request:
    named = {"x-amz-decoded-content-length": str(len(WHOLE)), "x-amz-trailer": "x-amz-checksum-crc32"}
    named |= {name.replace("_", "-"): value for name, value in headers.items()}
    pairs = tuple((name, value) for name, value in named.items() if value != "absent")
    request = Request("PUT", target, (("Host", caller.authority), ("Content-Encoding", "aws-chunked"), *pairs))
    return caller.signer.sign(request, payload=sentinel)


def test_d02_a_signed_trailer_is_verified(caller, bucket):
    head = trailer_head(caller, f"/{bucket}/k", STREAMING_SIGNED_TRAILER)
    chunks = ChunkSigner.after(caller.signer, head)
    assert send_body(caller, head, chunks.body(PIECES, {"x-amz-checksum-crc32": crc32(WHOLE)})).status == 200
    assert caller.get(bucket, "k").body == WHOLE


def test_d02_a_trailer_with_a_wrong_or_missing_signature_stores_nothing(caller, untouched):
    for line in (b"x-amz-trailer-signature:" + b"0" * SIGNATURE_SIZE + b"\r\n", b""):
        head = trailer_head(caller, f"/{untouched}/victim", STREAMING_SIGNED_TRAILER)
        body = ChunkSigner.after(caller.signer, head).body(PIECES, {"x-amz-checksum-crc32": crc32(WHOLE)})
        body = body[: body.rindex(b"x-amz-trailer-signature:")] + line + b"\r\n"
        refused(send_body(caller, head, body), {400, 403})


@pytest.mark.parametrize(
    "trailers",
    [
        {"x-amz-checksum-crc32": crc32(b"another body")},
        {"x-amz-checksum-crc32": "!!!!"},
        {"x-amz-checksum-crc32": ""},
        {"x-amz-checksum-crc32": "AAAA"},
        {"x-amz-checksum-sha256": base64.b64encode(bytes(32)).decode()},
        {},
        {"x-amz-checksum-crc32": crc32(WHOLE), "x-amz-acl": "public-read"},
        {"x-amz-meta-mark": "two"},
    ],
)
def test_d10_a_trailer_that_does_not_hold_stores_nothing(caller, untouched, trailers):
    head = trailer_head(caller, f"/{untouched}/victim", STREAMING_UNSIGNED_TRAILER)
    refused(send_body(caller, head, unsigned_chunks(PIECES, trailers)), 400)


@pytest.mark.parametrize(("length", "statuses"), [("absent", {400, 411}), ("0", {400}), ("16483", {400}), ("16485", {400}), ("", {400, 411}), ("-1", {400}), ("1_6484", {400}), ("١٦٤٨٤", {400}), ("9" * 30, {400})])  # fmt: skip
@pytest.mark.parametrize("sentinel", [STREAMING_SIGNED, STREAMING_UNSIGNED_TRAILER])
def test_d04_a_decoded_length_that_is_missing_or_wrong_stores_nothing(caller, untouched, sentinel, length, statuses):
    trailer = "absent" if sentinel == STREAMING_SIGNED else "x-amz-checksum-crc32"
    head = trailer_head(
        caller, f"/{untouched}/victim", sentinel, x_amz_decoded_content_length=length, x_amz_trailer=trailer
    )
    chunks = ChunkSigner.after(caller.signer, head)
    signed = sentinel == STREAMING_SIGNED
    body = chunks.body(PIECES) if signed else unsigned_chunks(PIECES, {"x-amz-checksum-crc32": crc32(WHOLE)})
    refused(send_body(caller, head, body), statuses)


def test_d04_the_stored_length_is_never_the_framed_one(caller, bucket):
    head = trailer_head(caller, f"/{bucket}/k", STREAMING_UNSIGNED_TRAILER)
    body = unsigned_chunks(PIECES, {"x-amz-checksum-crc32": crc32(WHOLE)})
    assert send_body(caller, head, body).status == 200
    answer = caller.call("HEAD", f"/{bucket}/k")
    assert answer.header("content-length") == str(len(WHOLE))
    assert answer.header("content-encoding") is None


def test_d04_a_body_without_any_length_is_refused(caller, untouched):
    request = Request("PUT", f"/{untouched}/victim", (("Host", caller.authority), ("Transfer-Encoding", "chunked")))
    request = caller.signer.sign(request, payload=UNSIGNED).with_body(http_chunks([b"mine"]))
    refused(caller.ask(request), 411, "MissingContentLength")
    request = Request("PUT", f"/{untouched}/victim", (("Host", caller.authority),))
    refused(caller.ask(caller.signer.sign(request, payload=UNSIGNED)), 411, "MissingContentLength")


@pytest.mark.parametrize(
    "size",
    ["0x2000", "+2000", "2_000", "-1", "FFFFFFFFFFFFFFFF", "10000000000000000", " 2000", "2000 ", "", "g", "２000", "2000;x", "2" * 1_000_000],
)  # fmt: skip
def test_d05_a_chunk_size_that_is_no_hexadecimal_number_stores_nothing(caller, untouched, size):
    head = trailer_head(caller, f"/{untouched}/victim", STREAMING_UNSIGNED_TRAILER)
    body = unsigned_chunks(PIECES, {"x-amz-checksum-crc32": crc32(WHOLE)}).replace(
        b"2000\r\n", size.encode() + b"\r\n", 1
    )
    refused(send_body(caller, head, body), {400, 403})


def test_d05_a_small_chunk_before_the_last_stores_nothing(caller, untouched):
    pieces = [b"a" * 100, b"b" * (len(WHOLE) - 100)]
    head, chunks = caller.streamed(f"/{untouched}/victim", pieces)
    refused(send_body(caller, head, chunks.body(pieces)), {400, 403}, "InvalidChunkSizeError")


@pytest.mark.parametrize("ending", [b"\n", b"\r", b"", b"xx"])
def test_d05_a_chunk_that_does_not_end_with_its_line_end_stores_nothing(caller, untouched, ending):
    head = trailer_head(caller, f"/{untouched}/victim", STREAMING_UNSIGNED_TRAILER)
    body = unsigned_chunks(PIECES, {"x-amz-checksum-crc32": crc32(WHOLE)})
    body = body.replace(b"a\r\n", b"a" + ending, 1)
    refused(send_body(caller, head, body), {400, 403})


@pytest.mark.parametrize(
    ("method", "target"),
    [
        ("GET", "/{bucket}/victim"),
        ("HEAD", "/{bucket}/victim"),
        ("DELETE", "/{bucket}/victim"),
        ("GET", "/{bucket}?list-type=2"),
        ("PUT", "/{bucket}-new"),
        ("POST", "/{bucket}/victim?uploads"),
        ("POST", "/{bucket}?delete"),
        ("PUT", "/{bucket}/victim?tagging"),
    ],
)
def test_d07_a_streaming_sentinel_elsewhere_than_on_an_upload_is_refused(caller, untouched, method, target):
    body = unsigned_chunks([b"<x/>"]) if method in ("PUT", "POST") else b""
    headers = [("x-amz-decoded-content-length", "4" if body else "0")]
    request = caller.signed(method, target.format(bucket=untouched), body, headers, payload=STREAMING_UNSIGNED_TRAILER)
    answer = caller.ask(request)
    assert answer.status == 400, answer
    assert method == "HEAD" or refused(answer, 400, "InvalidRequest", "InvalidArgument") is not None


def test_d07_a_copy_with_a_streaming_sentinel_is_refused(caller, untouched):
    headers = [("x-amz-copy-source", f"/{untouched}/victim"), ("x-amz-decoded-content-length", "0")]
    request = caller.signed(
        "PUT", f"/{untouched}/copy", unsigned_chunks([]), headers, payload=STREAMING_UNSIGNED_TRAILER
    )
    refused(caller.ask(request), 400)


@pytest.mark.parametrize(
    "sentinel",
    ["STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD", "STREAMING-X", "x" * 64, "0" * 63, "A" * 64, "", "unsigned-payload"],
)
def test_d07_a_payload_word_that_nobody_knows_stores_nothing(caller, untouched, sentinel):
    refused(caller.ask(caller.signed("PUT", f"/{untouched}/victim", b"mine", payload=sentinel)), {400, 403, 501})


def test_d10_a_body_that_is_not_the_signed_one_stores_nothing(caller, untouched):
    request = caller.signed("PUT", f"/{untouched}/victim", b"promised")
    refused(caller.ask(request.with_body(b"another!")), 400, "XAmzContentSHA256Mismatch")


@pytest.mark.parametrize(
    ("value", "code"),
    [
        (content_md5(b"another body"), "BadDigest"),
        ("", "InvalidDigest"),
        ("x", "InvalidDigest"),
        (content_md5(b"mine")[:-1], "InvalidDigest"),
        (content_md5(b"mine") + "=", "InvalidDigest"),
        ("YW$Jj!" + content_md5(b"mine")[6:], "InvalidDigest"),  # P05: junk that a forgiving decoder skips
        (content_md5(b"mine")[:8] + "$" + content_md5(b"mine")[8:], "InvalidDigest"),
        (sha256_hex(b"mine"), "InvalidDigest"),
        ("é", "InvalidDigest"),
        ("\udcff", "InvalidDigest"),
    ],
)
def test_d10_a_content_md5_that_does_not_hold_stores_nothing(caller, untouched, value, code):
    answer = caller.call("PUT", f"/{untouched}/victim", b"mine", [("Content-MD5", value)])
    refused(answer, 400, code)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("x-amz-checksum-crc32c", "AAAAAA=="),
        ("x-amz-checksum-crc32", "AAAAAA=="),
        ("x-amz-checksum-crc64nvme", "AAAAAAAAAAA="),
        ("x-amz-checksum-sha1", base64.b64encode(bytes(20)).decode()),
        ("x-amz-checksum-sha256", base64.b64encode(bytes(32)).decode()),
        ("x-amz-checksum-crc32", "AAAA"),
        ("x-amz-checksum-crc32", ""),
        ("x-amz-checksum-crc32", crc32(b"mine") + "!"),
        ("x-amz-checksum-crc32", "\udcff"),
        ("x-amz-checksum-xyz", "AAAAAA=="),
        ("x-amz-sdk-checksum-algorithm", "XYZ"),
    ],
)
def test_d10_a_checksum_that_does_not_hold_stores_nothing(caller, untouched, name, value):
    refused(caller.call("PUT", f"/{untouched}/victim", b"mine", [(name, value)]), 400)


def test_d10_two_checksums_of_different_kinds_store_nothing(caller, untouched):
    headers = [("x-amz-checksum-crc32", crc32(b"mine")), ("x-amz-checksum-crc32c", "AAAAAA==")]
    refused(caller.call("PUT", f"/{untouched}/victim", b"mine", headers), 400)


@pytest.mark.parametrize("encoding", ["aws-chunked,gzip", "gzip,aws-chunked", "aws-chunked, gzip"])
def test_d11_only_the_true_content_encoding_is_kept_and_the_bytes_stay(caller, bucket, encoding):
    body = gzip.compress(b"text" * 5000)
    head = Request(
        "PUT",
        f"/{bucket}/k",
        (
            ("Host", caller.authority),
            ("Content-Encoding", encoding),
            ("x-amz-decoded-content-length", str(len(body))),
            ("x-amz-trailer", "x-amz-checksum-crc32"),
        ),
    )
    head = caller.signer.sign(head, payload=STREAMING_UNSIGNED_TRAILER)
    framed = unsigned_chunks([body], {"x-amz-checksum-crc32": crc32(body)})
    assert send_body(caller, head, framed).status == 200
    answer = caller.get(bucket, "k")
    assert answer.body == body
    assert answer.header("content-encoding") == "gzip"


@pytest.mark.parametrize("share", [0, 1, 50, 99.9])
@pytest.mark.parametrize("framing", ["plain", "signed chunks", "unsigned chunks in HTTP chunks"])
@pytest.mark.parametrize("reset", [False, True], ids=["FIN", "RST"])
def test_d08_a_client_that_leaves_stores_nothing(caller, untouched, share, framing, reset):
    body = b"x" * 300_000
    if framing == "plain":
        request = caller.signed("PUT", f"/{untouched}/victim", body)
        head, sent = request.head(), body
    elif framing == "signed chunks":
        signed, chunks = caller.streamed(f"/{untouched}/victim", [body[:200_000], body[200_000:]])
        sent = chunks.body([body[:200_000], body[200_000:]])
        head = signed.with_header("Content-Length", str(len(sent))).head()
    else:
        signed = trailer_head(
            caller, f"/{untouched}/victim", STREAMING_UNSIGNED_TRAILER, x_amz_decoded_content_length=str(len(body))
        )
        head = signed.with_header("Transfer-Encoding", "chunked").head()
        sent = http_chunks([unsigned_chunks([body], {"x-amz-checksum-crc32": crc32(body)})])
    connection = caller.connect()
    connection.send(head + sent[: int(len(sent) * share / 100)])
    if reset:
        connection.reset()
    else:
        connection.close()
    # What `untouched` asserts afterwards must hold at every moment, and also once the gateway has noticed.
    assert caller.get(untouched, "victim").body == b"the first bytes"


PART = b"p" * (5 * 1024 * 1024)


@pytest.fixture(scope="module")
def upload(gateway) -> tuple[str, str, list[str]]:
    """An upload with parts 1 (5 MiB), 2 (small) and 3 (small): bucket, upload id and the parts' ETags."""
    caller = Caller.of(gateway)
    bucket = caller.new_bucket()
    upload_id = caller.start_upload(bucket, "k")
    etags = [caller.put_part(bucket, "k", upload_id, *part) for part in ((1, PART), (2, b"small"), (3, b"last"))]
    return bucket, upload_id, etags


@pytest.mark.parametrize(
    ("parts", "code"),
    [
        ([(1, '"' + "0" * 32 + '"')], "InvalidPart"),
        ([(4, "{1}")], "InvalidPart"),
        ([(1, "{2}")], "InvalidPart"),
        ([(2, "{2}"), (1, "{1}")], "InvalidPartOrder"),
        ([(1, "{1}"), (1, "{1}")], "InvalidPartOrder"),
        ([(1, "{1}"), (2, "{2}"), (3, "{3}")], "EntityTooSmall"),
        ([], "MalformedXML"),
        ([(0, "{1}")], ""),
        ([(10_001, "{1}")], ""),
        ([(-1, "{1}")], ""),
        ([("1_0", "{1}")], "MalformedXML"),
        ([("+1", "{1}")], "MalformedXML"),
        ([("١", "{1}")], "MalformedXML"),
        ([("9" * 5000, "{1}")], ""),
        ([("", "{1}")], "MalformedXML"),
    ],
)
def test_d13_a_list_of_parts_that_does_not_fit_completes_nothing(caller, upload, parts, code):
    bucket, upload_id, etags = upload
    listed = [(number, etag.format("", *etags)) for number, etag in parts]
    answer = caller.complete(bucket, "k", upload_id, complete_document(listed))
    refused(answer, 400, *([code] if code else []))
    assert caller.keys(bucket) == []
    assert caller.uploads(bucket) == [upload_id]


def test_d13_more_than_ten_thousand_parts_complete_nothing(caller, upload):
    bucket, upload_id, etags = upload
    document = complete_document([(number, etags[0]) for number in range(1, 10_002)])
    refused(caller.complete(bucket, "k", upload_id, document), 400)
    assert caller.keys(bucket) == []


@pytest.mark.parametrize(
    "document", [b"", b"<", b"<CompleteMultipartUpload>", b"<Delete/>", b"\xff", b"<a/>" * 2, b"{}"]
)
def test_d13_a_list_of_parts_that_is_no_document_completes_nothing(caller, upload, document):
    bucket, upload_id, _ = upload
    refused(caller.complete(bucket, "k", upload_id, document), 400, "MalformedXML", "MissingRequestBodyError")
    assert caller.keys(bucket) == []


def test_d13_an_etag_without_quotes_is_the_same_etag(caller, bucket):
    upload_id = caller.start_upload(bucket, "k")
    etag = caller.put_part(bucket, "k", upload_id, 1, b"bytes")
    answer = caller.complete(bucket, "k", upload_id, complete_document([(1, etag.strip('"'))]))
    assert answer.status == 200
    assert text(parse_xml(answer.body), "ETag").endswith('-1"')
    assert eventually(lambda: caller.uploads(bucket) == [])
    assert caller.get(bucket, "k").body == b"bytes"


@pytest.mark.parametrize("number", ["0", "10001", "-1", "+1", "1_0", "١", "²", "", "1.0", "x", "9" * 5000])
def test_p01_a_part_number_that_is_none_stores_no_part(caller, upload, number):
    bucket, upload_id, _ = upload
    target = object_path(bucket, "k") + f"?partNumber={uri_encode(number)}&uploadId={upload_id}"
    refused(caller.call("PUT", target, b"mine"), {400, 414})
