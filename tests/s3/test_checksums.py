"""gateway/s3/checksums.py: known answers, strict values, composites, combinations."""

import hashlib
import zlib
from base64 import b64encode
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import Code, S3Error
from gateway.s3.checksums import (
    Algorithm,
    BodyHasher,
    Buffer,
    Checksum,
    ChecksumType,
    check_checksum_type,
    combine_full_object,
    composite,
    default_checksum_type,
    multipart_etag,
    new_hasher,
    parse_checksum_algorithm,
    parse_checksum_headers,
    parse_checksum_type,
    parse_checksum_value,
    parse_trailer_checksum,
    parse_trailer_value,
    split_composite,
    verify_checksum,
    verify_content_md5,
    verify_payload_sha256,
)

CHECK = b"123456789"
# The check values of the CRC catalogue (reveng.sourceforge.io/crc-catalogue) and of FIPS 180.
KNOWN = {
    Algorithm.CRC32: "cbf43926",
    Algorithm.CRC32C: "e3069283",
    Algorithm.CRC64NVME: "ae8b14860a799888",
    Algorithm.SHA1: "f7c3bc1d808e04732adf679965ccc34ca7ae3441",
    Algorithm.SHA256: "15e2b0d3c33891ebb0f1ef609ec419420c20e320ce94c65fbc8c3312448eb225",
}
CRC32_OF_CHECK = "y/Q5Jg=="
CRCS = (Algorithm.CRC32, Algorithm.CRC32C, Algorithm.CRC64NVME)


def value_of(algorithm: Algorithm, data: bytes) -> str:
    hasher = new_hasher(algorithm)
    hasher.update(data)
    return b64encode(hasher.digest()).decode()


def refusal(function, *arguments) -> S3Error:
    with pytest.raises(S3Error) as caught:
        function(*arguments)
    return caught.value


@pytest.mark.parametrize("algorithm", Algorithm)
def test_the_known_answers_come_out_in_one_piece_and_in_three(algorithm):
    cuts: list[list[Buffer]] = [
        [CHECK],
        [CHECK[:4], b"", CHECK[4:]],
        [memoryview(CHECK)[:5], bytearray(CHECK[5:])],
    ]
    for pieces in cuts:
        hasher = new_hasher(algorithm)
        for piece in pieces:
            hasher.update(piece)
        assert hasher.digest().hex() == KNOWN[algorithm]
        assert len(hasher.digest()) == algorithm.size


def test_names_on_the_wire():
    assert [algorithm.header for algorithm in Algorithm] == [
        "x-amz-checksum-crc32",
        "x-amz-checksum-crc32c",
        "x-amz-checksum-crc64nvme",
        "x-amz-checksum-sha1",
        "x-amz-checksum-sha256",
    ]
    assert Algorithm.CRC64NVME.element == "ChecksumCRC64NVME"


@given(st.binary(max_size=300))
def test_crc32_is_the_one_of_zlib(data):
    assert value_of(Algorithm.CRC32, data) == b64encode(zlib.crc32(data).to_bytes(4, "big")).decode()


@pytest.mark.parametrize("algorithm", CRCS)
def test_the_checksum_of_the_whole_comes_from_those_of_the_parts(algorithm):
    parts = [b"a" * 5000, b"", b"b" * 70000, b"c"]
    combined = combine_full_object(algorithm, [(value_of(algorithm, part), len(part)) for part in parts])
    assert combined == value_of(algorithm, b"".join(parts))


@pytest.mark.parametrize("algorithm", CRCS)
def test_parts_of_five_gibibytes_combine(algorithm):
    value = value_of(algorithm, CHECK)
    assert combine_full_object(algorithm, [(value, 5 << 30)] * 3) == combine_full_object(
        algorithm, [(combine_full_object(algorithm, [(value, 5 << 30)] * 2), 10 << 30), (value, 5 << 30)]
    )


@pytest.mark.parametrize("algorithm", [Algorithm.SHA1, Algorithm.SHA256])
def test_a_sha_of_the_whole_object_is_invalid_request(algorithm):
    error = refusal(combine_full_object, algorithm, [])
    assert error.code is Code.InvalidRequest
    assert error.message == (
        f"The FULL_OBJECT checksum type cannot be used with the {algorithm.value.lower()} checksum algorithm."
    )


@pytest.mark.parametrize("algorithm", Algorithm)
def test_a_composite_is_the_checksum_of_the_digests_and_their_number(algorithm):
    parts = [b"one", b"two"]
    digests = []
    for part in parts:
        hasher = new_hasher(algorithm)
        hasher.update(part)
        digests.append(hasher.digest())
    expected = value_of(algorithm, b"".join(digests)) + "-2"
    assert composite(algorithm, [value_of(algorithm, part) for part in parts]) == expected
    assert split_composite(expected) == (expected[:-2], 2)


@pytest.mark.parametrize("value", [CRC32_OF_CHECK, "y/Q5Jg==-0", "y/Q5Jg==-01", "y/Q5Jg==-", "-1", "y/Q5Jg==-٢"])
def test_what_has_no_number_of_parts_is_not_composite(value):
    assert split_composite(value) is None


def test_the_etag_of_a_multipart_object_counts_its_parts():
    digests = [hashlib.md5(b"one").digest(), hashlib.md5(b"two").digest()]
    assert multipart_etag(digests) == f'"{hashlib.md5(b"".join(digests)).hexdigest()}-2"'


def test_crc64nvme_is_of_the_full_object_and_the_others_composite_by_default():
    assert {algorithm: default_checksum_type(algorithm) for algorithm in Algorithm} == {
        Algorithm.CRC32: ChecksumType.COMPOSITE,
        Algorithm.CRC32C: ChecksumType.COMPOSITE,
        Algorithm.CRC64NVME: ChecksumType.FULL_OBJECT,
        Algorithm.SHA1: ChecksumType.COMPOSITE,
        Algorithm.SHA256: ChecksumType.COMPOSITE,
    }
    assert refusal(check_checksum_type, Algorithm.CRC64NVME, ChecksumType.COMPOSITE).code is Code.InvalidRequest
    check_checksum_type(Algorithm.CRC32, ChecksumType.FULL_OBJECT)


@pytest.mark.parametrize("text", ["CRC32", "crc32", "Crc32"])
def test_algorithms_are_named_in_any_case(text):
    assert parse_checksum_algorithm(text) is Algorithm.CRC32


@pytest.mark.parametrize("text", ["", "MD5", "SHA512", "CRC-32", " CRC32", "CRC32,SHA1", "ſha1", "\udce9"])
def test_an_algorithm_we_do_not_have_is_invalid_request(text):
    assert refusal(parse_checksum_algorithm, text).code is Code.InvalidRequest


def test_checksum_types_are_two():
    assert parse_checksum_type("full_object") is ChecksumType.FULL_OBJECT
    for text in ("", "FULL", "full_object ", "COMPOſITE"):
        error = refusal(parse_checksum_type, text)
        assert (error.code, error.message) == (
            Code.InvalidRequest,
            "Value for x-amz-checksum-type header is invalid.",
        )


@pytest.mark.parametrize("algorithm", Algorithm)
def test_a_checksum_header_is_read_and_only_strict_base64_of_its_length_is_one(algorithm):
    value = value_of(algorithm, CHECK)
    headers = {algorithm.header: value, "x-amz-sdk-checksum-algorithm": algorithm.value, "content-md5": "x"}
    assert parse_checksum_headers(headers) == Checksum(algorithm, value)
    for wrong in (
        "",
        value[:-4],
        value + value,
        value.rstrip("="),
        value[:2] + "$" + value[2:],
        value + "\n",
        KNOWN[algorithm],
        "é",
    ):
        error = refusal(parse_checksum_headers, {algorithm.header: wrong})
        assert (error.code, error.message) == (
            Code.InvalidRequest,
            f"Value for {algorithm.header} header is invalid.",
        )


def test_padding_bits_that_are_not_zero_are_refused():
    assert refusal(parse_checksum_headers, {"x-amz-checksum-crc32": "y/Q5Jh=="}).code is Code.InvalidRequest


def test_no_checksum_header_is_no_checksum():
    assert parse_checksum_headers({"host": "h", "x-amz-checksum-mode": "ENABLED"}) is None
    assert parse_checksum_headers({"x-amz-checksum-algorithm": "CRC32", "x-amz-checksum-type": "COMPOSITE"}) is None


@pytest.mark.parametrize(
    "headers",
    [
        {"x-amz-checksum-crc32": CRC32_OF_CHECK, "x-amz-checksum-crc32c": "4waSgw=="},
        {"x-amz-checksum-crc32": CRC32_OF_CHECK, "x-amz-trailer": "x-amz-checksum-crc32"},
    ],
)
def test_two_checksums_are_invalid_request(headers):
    error = refusal(parse_checksum_headers, headers)
    assert error.code is Code.InvalidRequest
    assert error.message == "Expecting a single x-amz-checksum- header. Multiple checksum Types are not allowed."


@pytest.mark.parametrize(
    "headers",
    [
        {"x-amz-checksum-md5": "JfnnlDI7RTiF9RgfG2JNCw=="},
        {"x-amz-checksum-": "AAAAAA=="},
        {"x-amz-sdk-checksum-algorithm": "CRC32"},
        {"x-amz-sdk-checksum-algorithm": "MD4"},
        {"x-amz-sdk-checksum-algorithm": "MD4", "x-amz-checksum-crc32": CRC32_OF_CHECK},
        {"x-amz-sdk-checksum-algorithm": "SHA256", "x-amz-checksum-crc32": CRC32_OF_CHECK},
        {"x-amz-checksum-crc32": f"{CRC32_OF_CHECK},{CRC32_OF_CHECK}"},
    ],
)
def test_checksum_headers_that_do_not_fit_are_invalid_request(headers):
    assert refusal(parse_checksum_headers, headers).code is Code.InvalidRequest


def test_a_trailer_announces_an_algorithm_and_brings_its_value():
    headers = {"x-amz-trailer": "X-Amz-Checksum-CRC32", "x-amz-sdk-checksum-algorithm": "CRC32"}
    assert parse_checksum_headers(headers) is None
    assert parse_trailer_checksum(headers) is Algorithm.CRC32
    trailers = {"x-amz-checksum-crc32": CRC32_OF_CHECK}
    assert parse_trailer_value(Algorithm.CRC32, trailers) == Checksum(Algorithm.CRC32, CRC32_OF_CHECK)
    assert parse_trailer_checksum({}) is None


@pytest.mark.parametrize(
    "headers",
    [
        {"x-amz-trailer": ""},
        {"x-amz-trailer": "x-amz-meta-a"},
        {"x-amz-trailer": "x-amz-checksum-md5"},
        {"x-amz-trailer": "x-amz-checksum-crc32,x-amz-checksum-crc32c"},
        {"x-amz-trailer": "x-amz-checksum-crc32", "x-amz-checksum-sha1": "x"},
        {"x-amz-trailer": "x-amz-checksum-crc32", "x-amz-sdk-checksum-algorithm": "SHA1"},
        {"x-amz-trailer": "\udcff"},
    ],
)
def test_a_trailer_that_announces_anything_else_is_invalid_request(headers):
    assert refusal(parse_trailer_checksum, headers).code is Code.InvalidRequest


def test_a_trailer_value_must_be_a_digest():
    error = refusal(parse_trailer_value, Algorithm.CRC32, {"x-amz-checksum-crc32": "y/Q5Jg"})
    assert (error.code, error.message) == (
        Code.InvalidRequest,
        "Value for x-amz-checksum-crc32 trailing header is invalid.",
    )
    assert refusal(parse_trailer_value, Algorithm.CRC32, {}).code is Code.MalformedTrailerError


def test_a_value_of_an_xml_document_must_be_a_digest():
    assert parse_checksum_value(Algorithm.CRC32, CRC32_OF_CHECK) == CRC32_OF_CHECK
    assert refusal(parse_checksum_value, Algorithm.CRC32, "y/Q5Jg").code is Code.InvalidRequest


@given(
    st.dictionaries(
        st.sampled_from(["x-amz-checksum-crc32", "x-amz-checksum-x", "x-amz-trailer", "x-amz-sdk-checksum-algorithm"]),
        st.text(max_size=12),
    )
)
def test_garbage_in_headers_is_an_s3_error_or_nothing(headers):
    for parse in (parse_checksum_headers, parse_trailer_checksum):
        with suppress(S3Error):
            parse(headers)


@pytest.mark.parametrize("algorithm", [None, *Algorithm])
def test_a_body_hasher_gives_every_digest_that_was_asked_for(algorithm):
    hasher = BodyHasher(md5=True, sha256=True, algorithm=algorithm)
    for piece in (CHECK[:3], memoryview(CHECK)[3:]):
        hasher.update(piece)
    assert hasher.md5_digest == hashlib.md5(CHECK).digest()
    assert hasher.sha256_hex == KNOWN[Algorithm.SHA256]
    expected = None if algorithm is None else Checksum(algorithm, value_of(algorithm, CHECK))
    assert hasher.checksum == expected


def test_a_payload_hash_and_a_sha256_checksum_are_one_digest():
    assert len(BodyHasher(md5=False, sha256=True, algorithm=Algorithm.SHA256)._updates) == 1
    assert len(BodyHasher(md5=True, sha256=True, algorithm=Algorithm.SHA1)._updates) == 3
    assert BodyHasher(md5=False, sha256=False, algorithm=None)._updates == []


def test_a_digest_that_was_not_asked_for_is_a_mistake_of_ours():
    hasher = BodyHasher(md5=False, sha256=False, algorithm=None)
    for name in ("md5_digest", "sha256_hex"):
        with pytest.raises(ValueError):
            getattr(hasher, name)


def test_another_body_than_was_claimed_is_refused():
    checksum = Checksum(Algorithm.CRC32, CRC32_OF_CHECK)
    verify_checksum(checksum, checksum)
    for computed in (None, Checksum(Algorithm.CRC32, "AAAAAA=="), Checksum(Algorithm.CRC32C, CRC32_OF_CHECK)):
        error = refusal(verify_checksum, checksum, computed)
        assert (error.code, error.message) == (
            Code.BadDigest,
            "The CRC32 you specified did not match the calculated checksum.",
        )
    verify_content_md5(b"a" * 16, b"a" * 16)
    error = refusal(verify_content_md5, b"a" * 16, b"b" * 16)
    assert error.code is Code.BadDigest
    assert error.fields["CalculatedDigest"] == b64encode(b"b" * 16).decode()
    verify_payload_sha256("a" * 64, "a" * 64)
    assert refusal(verify_payload_sha256, "a" * 64, "b" * 64).code is Code.XAmzContentSHA256Mismatch
