"""gateway/s3/aws_chunked.py: exact bytes of real clients, every split of them, and everything that is refused."""

from hashlib import sha256
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.errors import Code, S3Error
from gateway.s3.aws_chunked import AwsChunkedDecoder

CRC32 = frozenset({"x-amz-checksum-crc32"})
CRC32C = frozenset({"x-amz-checksum-crc32c"})

# boto3 over TLS: the object "hello", inside the outer chunked coding.
BOTO3 = b"5\r\nhello\r\n0\r\nx-amz-checksum-crc32:NhCmhg==\r\n\r\n"
# minio-go writes LF behind its trailers, and the empty line of the end after that.
MINIO_GO_UNSIGNED = b"5\r\nhello\r\n0\r\nx-amz-checksum-crc32:NhCmhg==\n\r\n\r\n"

# https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-streaming.html#example-signature-calculations-streaming
CONTENT = b"a" * 66560
SIGNATURES = (
    "ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648",
    "0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497",
    "b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9",
)
SIGNED = b"".join(
    (
        b"10000;chunk-signature=" + SIGNATURES[0].encode() + b"\r\n" + CONTENT[:65536] + b"\r\n",
        b"400;chunk-signature=" + SIGNATURES[1].encode() + b"\r\n" + CONTENT[65536:] + b"\r\n",
        b"0;chunk-signature=" + SIGNATURES[2].encode() + b"\r\n\r\n",
    )
)
# https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-streaming-trailers.html
TRAILER_SIGNATURE = "63bddb248ad2590c92712055f51b8e78ab024eead08276b24f010b0efd74843f"
SIGNED_TRAILER = SIGNED[:-2] + (
    b"x-amz-checksum-crc32c:sOO8/Q==\r\nx-amz-trailer-signature:" + TRAILER_SIGNATURE.encode() + b"\r\n\r\n"
)
MINIO_GO_SIGNED = SIGNED_TRAILER.replace(b"sOO8/Q==\r\n", b"sOO8/Q==\n\r\n")


class Recorder:
    """Signatures that all hold, and are remembered."""

    def __init__(self) -> None:
        self.chunks: list[tuple[str, str]] = []
        self.trailer: tuple[bytes, str] | None = None

    def verify_chunk(self, sha256_hex: str, signature: str) -> None:
        self.chunks.append((sha256_hex, signature))

    def verify_trailer(self, canonical_trailer: bytes, signature: str) -> None:
        self.trailer = (canonical_trailer, signature)


class Refuser(Recorder):
    """Signatures of which the one with this number (from 0; the trailer's is -1) does not hold."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number

    def verify_chunk(self, sha256_hex: str, signature: str) -> None:
        super().verify_chunk(sha256_hex, signature)
        if len(self.chunks) - 1 == self.number:
            raise S3Error(Code.SignatureDoesNotMatch)

    def verify_trailer(self, canonical_trailer: bytes, signature: str) -> None:
        raise S3Error(Code.SignatureDoesNotMatch)


def unsigned(length: int, trailers: frozenset[str] = frozenset()) -> AwsChunkedDecoder:
    return AwsChunkedDecoder(length, signatures=None, trailer_names=trailers)


def decode(decoder: AwsChunkedDecoder, data: bytes, size: int | None = None) -> bytes:
    content = b""
    for start in range(0, len(data), size or len(data) or 1):
        content += b"".join(decoder.feed(data[start : start + (size or len(data))]))
    decoder.finish()
    return content


def refusal(decoder: AwsChunkedDecoder, data: bytes, size: int | None = None) -> S3Error:
    with pytest.raises(S3Error) as caught:
        decode(decoder, data, size)
    return caught.value


@pytest.mark.parametrize("size", [1, 2, 7, None])
@pytest.mark.parametrize("body", [BOTO3, MINIO_GO_UNSIGNED])
def test_pieces_of_any_size_give_the_same_body(body, size):
    decoder = unsigned(5, CRC32)
    assert decode(decoder, body, size) == b"hello"
    assert decoder.trailers == {"x-amz-checksum-crc32": "NhCmhg=="}
    assert decoder.done


@pytest.mark.parametrize("body", [BOTO3, MINIO_GO_UNSIGNED])
def test_every_split_into_two_pieces_gives_the_same_body(body):
    for split in range(len(body) + 1):
        decoder = unsigned(5, CRC32)
        content = b"".join(decoder.feed(body[:split]) + decoder.feed(body[split:]))
        decoder.finish()
        assert content == b"hello"


@pytest.mark.parametrize("size", [1, 2, 7, 4096, 65536, None])
def test_signed_chunks_of_the_published_example_are_hashed_and_verified_in_their_order(size):
    signatures = Recorder()
    decoder = AwsChunkedDecoder(len(CONTENT), signatures=signatures, trailer_names=frozenset())
    assert decode(decoder, SIGNED, size) == CONTENT
    hashes = (CONTENT[:65536], CONTENT[65536:], b"")
    assert signatures.chunks == [
        (sha256(data).hexdigest(), signature) for data, signature in zip(hashes, SIGNATURES, strict=True)
    ]
    assert signatures.trailer is None


@pytest.mark.parametrize("size", [1, 7, 4096, None])
@pytest.mark.parametrize("body", [SIGNED_TRAILER, MINIO_GO_SIGNED])
def test_signed_trailers_are_verified_in_their_canonical_form(body, size):
    signatures = Recorder()
    decoder = AwsChunkedDecoder(len(CONTENT), signatures=signatures, trailer_names=CRC32C)
    assert decode(decoder, body, size) == CONTENT
    assert decoder.trailers == {"x-amz-checksum-crc32c": "sOO8/Q=="}
    assert signatures.trailer == (b"x-amz-checksum-crc32c:sOO8/Q==\n", TRAILER_SIGNATURE)


@pytest.mark.parametrize("number", [0, 1, 2])
def test_a_wrong_signature_of_any_chunk_is_refused_d01_d02(number):
    decoder = AwsChunkedDecoder(len(CONTENT), signatures=Refuser(number), trailer_names=frozenset())
    assert refusal(decoder, SIGNED).code is Code.SignatureDoesNotMatch
    assert not decoder.done


def test_the_piece_that_ends_a_chunk_is_not_given_back_before_its_signature_holds():
    decoder = AwsChunkedDecoder(len(CONTENT), signatures=Refuser(0), trailer_names=frozenset())
    start = SIGNED.index(b"\r\n") + 2
    assert b"".join(decoder.feed(SIGNED[: start + 65535])) == CONTENT[:65535]
    with pytest.raises(S3Error):
        decoder.feed(SIGNED[start + 65535 : start + 65536])


def test_a_wrong_trailer_signature_is_refused():
    decoder = AwsChunkedDecoder(len(CONTENT), signatures=Refuser(-1), trailer_names=CRC32C)
    assert refusal(decoder, SIGNED_TRAILER).code is Code.SignatureDoesNotMatch


def test_no_bytes_are_copied_where_a_whole_piece_is_content():
    decoder = unsigned(1 << 20)
    decoder.feed(b"100000\r\n")
    data = b"x" * 65536
    (piece,) = decoder.feed(data)
    assert piece is data


@pytest.mark.parametrize("length", [0, 1, 8191, 8192])
def test_an_object_of_one_chunk_may_have_any_size(length):
    body = (b"%x\r\n" % length + b"x" * length + b"\r\n" if length else b"") + b"0\r\n\r\n"
    assert decode(unsigned(length), body) == b"x" * length


@pytest.mark.parametrize(
    "line",
    [b"0x5", b"+5", b" 5", b"5 ", b"5_0", b"-1", b"", b"g", b"\xd9\xa5", b"5;", b"5;ext=1", b"5\r", b"0" * 17, b"5,5"],
)
def test_sizes_python_would_forgive_are_incomplete_body_d05(line):
    assert refusal(unsigned(5), line + b"\r\nhello\r\n0\r\n\r\n").code is Code.IncompleteBody


@pytest.mark.parametrize("body", [b"5\nhello\r\n0\r\n\r\n", b"5\r\nhello\n0\r\n\r\n", b"5\r\nhello0\r\n\r\n"])
def test_lines_that_do_not_end_in_crlf_are_incomplete_body(body):
    assert refusal(unsigned(5), body).code is Code.IncompleteBody


@pytest.mark.parametrize(
    "line",
    [
        b"5",
        b"5;chunk-signature=",
        b"5;chunk-signature=" + b"a" * 63,
        b"5;chunk-signature=" + b"a" * 65,
        b"5;chunk-signature=" + b"A" * 64,
        b"5;chunk-signature=" + b"\xe9" * 64,
        b"5;chunk-signature=" + b"a" * 64 + b";x=y",
        b"5;x=y;chunk-signature=" + b"a" * 64,
        b"5; chunk-signature=" + b"a" * 64,
    ],
)
def test_a_signed_chunk_has_exactly_one_signature_d02(line):
    decoder = AwsChunkedDecoder(5, signatures=Recorder(), trailer_names=frozenset())
    assert refusal(decoder, line + b"\r\nhello\r\n0;chunk-signature=" + b"a" * 64 + b"\r\n\r\n").code in (
        Code.IncompleteBody,
        Code.SignatureDoesNotMatch,
    )


def test_a_signature_on_an_unsigned_chunk_is_incomplete_body():
    assert refusal(unsigned(5), b"5;chunk-signature=" + b"a" * 64 + b"\r\nhello").code is Code.IncompleteBody


@pytest.mark.parametrize("size", [1, 4096, None])
def test_a_size_line_without_end_is_refused_within_its_bound_d05(size):
    decoder = unsigned(5)
    assert refusal(decoder, b"0" * (1 << 20 if size != 1 else 1000), size).code is Code.IncompleteBody
    assert len(decoder._line) <= 128


def test_a_chunk_of_more_than_was_declared_is_refused_before_its_data_n05():
    decoder = unsigned(10)
    decoder.feed(b"FFFFFFFFFFFFFFF")
    with pytest.raises(S3Error) as caught:
        decoder.feed(b"F\r\n")
    assert caught.value.code is Code.IncompleteBody
    assert caught.value.fields["NumberBytesExpected"] == 10


@pytest.mark.parametrize("length", [0, 4, 6, 1 << 40])
def test_another_length_than_declared_is_incomplete_body_d04(length):
    assert refusal(unsigned(length, CRC32), BOTO3).code is Code.IncompleteBody


@pytest.mark.parametrize("small", [1, 8191])
def test_only_the_last_chunk_may_be_small(small):
    chunk = b"%x\r\n" % small + b"x" * small + b"\r\n"
    error = refusal(unsigned(2 * small), chunk + chunk + b"0\r\n\r\n")
    assert error.code is Code.InvalidChunkSizeError
    assert error.fields == {"Chunk": 1, "BadChunkSize": small}


def test_every_truncation_is_incomplete_body():
    for body, make in (
        (BOTO3, lambda: unsigned(5, CRC32)),
        (
            SIGNED_TRAILER[65536 - 8192 :],
            lambda: AwsChunkedDecoder(len(CONTENT), signatures=Recorder(), trailer_names=CRC32C),
        ),
    ):
        head = b"" if body is BOTO3 else SIGNED_TRAILER[: 65536 - 8192]
        for end in range(0, len(body), 1 if body is BOTO3 else 97):
            assert refusal(make(), head + body[:end]).code is Code.IncompleteBody


@pytest.mark.parametrize("extra", [b"\r\n", b"x", b"0\r\n\r\n", b"\r"])
def test_bytes_behind_the_end_are_incomplete_body(extra):
    assert refusal(unsigned(5, CRC32), BOTO3 + extra).code is Code.IncompleteBody


@pytest.mark.parametrize(
    "trailers",
    [
        b"\r\n",  # the announced one is missing
        b"x-amz-checksum-crc32c:AAAAAA==\r\n\r\n",
        b"x-amz-checksum-crc32:NhCmhg==\r\nx-amz-meta-a:b\r\n\r\n",
        b"x-amz-checksum-crc32:NhCmhg==\r\nx-amz-checksum-crc32:NhCmhg==\r\n\r\n",
        b"x-amz-checksum-crc32:NhCmhg==\r\nx-amz-trailer-signature:" + b"a" * 64 + b"\r\n\r\n",
        b"x-amz-checksum-crc32\r\n\r\n",
        b"x-amz-checksum-crc32 :NhCmhg==\r\n\r\n",
        b" x-amz-checksum-crc32:NhCmhg==\r\n\r\n",
        b":NhCmhg==\r\n\r\n",
        b"x-amz-checksum-crc32:\xe9\r\n\r\n",
        b"x-amz-checksum-crc32:a\x00b\r\n\r\n",
        b"x-amz-checksum-crc32:a\rb\r\n\r\n",
        b"x-amz-checksum-crc32:" + b"a" * 2000,
    ],
)
def test_other_trailers_than_announced_are_malformed(trailers):
    assert refusal(unsigned(5, CRC32), b"5\r\nhello\r\n0\r\n" + trailers).code is Code.MalformedTrailerError


def test_trailer_names_are_of_any_case_and_values_without_their_outer_blanks():
    decoder = unsigned(5, CRC32)
    decode(decoder, b"5\r\nhello\r\n0\r\nX-Amz-Checksum-CRC32: \tNhCmhg== \r\n\r\n")
    assert decoder.trailers == {"x-amz-checksum-crc32": "NhCmhg=="}


@pytest.mark.parametrize(
    "trailers",
    [
        b"\r\n",
        b"x-amz-checksum-crc32c:sOO8/Q==\r\n\r\n",
        b"x-amz-trailer-signature:" + b"a" * 64 + b"\r\n\r\n",
        b"x-amz-checksum-crc32c:sOO8/Q==\r\nx-amz-trailer-signature:" + b"a" * 63 + b"\r\n\r\n",
        b"x-amz-checksum-crc32c:sOO8/Q==\r\nx-amz-trailer-signature:" + b"a" * 64 + b"\r\nx:y\r\n\r\n",
        b"x-amz-checksum-crc32c:sOO8/Q==\n\r\n\r\n",
        b"x-amz-checksum-crc32c:sOO8/Q==\n\r\nx:y\r\n\r\n",
    ],
)
def test_signed_trailers_end_with_exactly_one_signature(trailers):
    decoder = AwsChunkedDecoder(0, signatures=Recorder(), trailer_names=CRC32C)
    error = refusal(decoder, b"0;chunk-signature=" + b"a" * 64 + b"\r\n" + trailers)
    assert error.code is Code.MalformedTrailerError


def outcome(body: bytes, cuts: list[int], signed: bool) -> tuple[object, ...]:
    signatures = Recorder() if signed else None
    decoder = AwsChunkedDecoder(5, signatures=signatures, trailer_names=CRC32)
    content = b""
    try:
        for start, end in pairwise([0, *cuts, len(body)]):
            content += b"".join(decoder.feed(body[start:end]))
        decoder.finish()
    except S3Error as error:
        return (error.code, error.fields)
    return (content, tuple(decoder.trailers.items()))


garbage = st.lists(
    st.one_of(
        st.sampled_from(
            [b"5", b"0", b"\r\n", b"\n", b"\r", b"hello", b"x-amz-checksum-crc32:", b"NhCmhg==", b";", BOTO3]
        ),
        st.binary(max_size=40),
    ),
    max_size=14,
).map(b"".join)


@settings(max_examples=400, deadline=None)
@given(garbage, st.lists(st.integers(0, 400), max_size=8), st.booleans())
def test_garbage_is_an_s3_error_and_the_same_one_however_it_is_split(body, cuts, signed):
    assert outcome(body, sorted(min(cut, len(body)) for cut in cuts), signed) == outcome(body, [], signed)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.binary(min_size=1, max_size=40), max_size=3), st.data())
def test_what_is_encoded_comes_back(tail, data):
    chunks = [b"x" * 8192, b"y" * 8200, b"".join(tail)]
    content = b"".join(chunks)
    body = b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks if chunk) + b"0\r\n\r\n"
    decoder = unsigned(len(content))
    assert decode(decoder, body, data.draw(st.integers(1, len(body)))) == content
