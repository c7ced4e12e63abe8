"""The tests' own signer against AWS's published examples, before anybody trusts what it says of the gateway."""

import calendar

from tests.support.raw_http import Request
from tests.support.signer import STREAMING_SIGNED, ChunkSigner, Signer, canonical_query, unsigned_chunks, uri_encode

EXAMPLE = Signer("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")
MAY_2013 = calendar.timegm((2013, 5, 24, 0, 0, 0))


def signature_of(request: Request) -> str:
    return (request.header("authorization") or "").rpartition("Signature=")[2]


def test_the_header_examples_have_the_published_signatures():
    """https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html"""
    host = ("Host", "examplebucket.s3.amazonaws.com")
    get = Request("GET", "/test.txt", (host, ("Range", "bytes=0-9")))
    expected = "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"
    assert signature_of(EXAMPLE.sign(get, now_s=MAY_2013)) == expected
    put = Request(
        "PUT",
        "/test%24file.text",
        (host, ("Date", "Fri, 24 May 2013 00:00:00 GMT"), ("x-amz-storage-class", "REDUCED_REDUNDANCY")),
        b"Welcome to Amazon S3.",
    )
    expected = "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd"
    assert signature_of(EXAMPLE.sign(put, now_s=MAY_2013)) == expected
    listing = Request("GET", "/?max-keys=2&prefix=J", (host,))
    expected = "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7"
    assert signature_of(EXAMPLE.sign(listing, now_s=MAY_2013)) == expected


def test_the_presigned_example_has_the_published_signature():
    """https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-query-string-auth.html"""
    request = Request("GET", "/test.txt", (("Host", "examplebucket.s3.amazonaws.com"),))
    presigned = EXAMPLE.presign(request, expires="86400", now_s=MAY_2013)
    expected = "aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404"
    assert presigned.target.rpartition("X-Amz-Signature=")[2] == expected


def test_the_chunked_example_has_the_published_signatures():
    """https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-streaming.html"""
    head = Request(
        "PUT",
        "/examplebucket/chunkObject.txt",
        (
            ("Host", "s3.amazonaws.com"),
            ("x-amz-storage-class", "REDUCED_REDUNDANCY"),
            ("Content-Encoding", "aws-chunked"),
            ("x-amz-decoded-content-length", "66560"),
            ("Content-Length", "66824"),
        ),
    )
    head = EXAMPLE.sign(head, payload=STREAMING_SIGNED, now_s=MAY_2013)
    assert signature_of(head) == "4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9"
    body = ChunkSigner.after(EXAMPLE, head).body([b"a" * 65536, b"a" * 1024])
    assert len(body) == 66824
    for signature in (
        b"ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648",
        b"0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497",
        b"b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9",
    ):
        assert b"chunk-signature=" + signature + b"\r\n" in body


def test_the_sigv2_example_has_the_published_signature():
    """https://docs.aws.amazon.com/AmazonS3/latest/userguide/RESTAuthentication.html, query string example"""
    text = "GET\n\n\n1175139620\n/awsexamplebucket1/photos/puppy.jpg"
    signer = Signer("AKIAIOSFODNN7EXAMPLE", EXAMPLE.secret_access_key)
    request = Request("GET", "/awsexamplebucket1/photos/puppy.jpg")
    signature = uri_encode(signer.signature_v2(text))
    assert signer.presign_v2(request, expires_s=1175139620).raw_query.endswith(f"Signature={signature}")


def test_queries_are_sorted_and_unsigned_chunks_framed_as_sdks_do():
    assert canonical_query("b=2&a&b=1&c=a/b%2f+") == "a=&b=1&b=2&c=a%2Fb%2F%2B"
    framed = unsigned_chunks([b"hello"], {"x-amz-checksum-crc32": "NhCmhg=="})
    assert framed == b"5\r\nhello\r\n0\r\nx-amz-checksum-crc32:NhCmhg==\r\n\r\n"
