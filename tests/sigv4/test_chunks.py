"""gateway/sigv4/chunks.py: the chain of chunk signatures, against AWS's two published uploads.

65,536 and 1,024 times the letter a, then the empty chunk.
"""

import hashlib

import pytest

from gateway.errors import Code
from gateway.sigv4.chunks import ChunkSigner, ChunkVerifier
from gateway.sigv4.model import CredentialScope
from gateway.sigv4.signing_key import derive_signing_key
from tests.sigv4.signers import SECRET, refused

SCOPE = CredentialScope("20130524", "us-east-1")
KEY = derive_signing_key(SECRET, SCOPE)
DIGESTS = [hashlib.sha256(b"a" * size).hexdigest() for size in (65536, 1024, 0)]

# https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-streaming.html
SEED = "4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9"
CHUNKS = [
    "ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648",
    "0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497",
    "b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9",
]
# https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-streaming-trailers.html
TRAILER_SEED = "106e2a8a18243abcf37539882f36619c00e2dfc72633413f02d3b74544bfeb8e"
TRAILER_CHUNKS = [
    "b474d8862b1487a5145d686f57f013e54db672cee1c953b3010fb58501ef5aa2",
    "1c1344b170168f8e65b41376b44b20fe354e373826ccbbe2c1d40a8cae51e5c7",
    "2ca2aba2005185cf7159c6277faf83795951dd77a3a99e6e65d5c9f85863f992",
]
TRAILER = b"x-amz-checksum-crc32c:sOO8/Q==\n"
TRAILER_SIGNATURE = "d81f82fc3505edab99d459891051a732e8730629a2e4a59689829ca17fe2e435"


def verifier(seed: str) -> ChunkVerifier:
    return ChunkVerifier(KEY, "20130524T000000Z", SCOPE.text, seed)


def signer(seed: str) -> ChunkSigner:
    return ChunkSigner(KEY, "20130524T000000Z", SCOPE.text, seed)


def test_the_published_chunks_are_accepted():
    chunks = verifier(SEED)
    for digest, signature in zip(DIGESTS, CHUNKS, strict=True):
        chunks.verify_chunk(digest, signature)


def test_the_published_chunks_and_trailer_are_accepted():
    chunks = verifier(TRAILER_SEED)
    for digest, signature in zip(DIGESTS, TRAILER_CHUNKS, strict=True):
        chunks.verify_chunk(digest, signature)
    chunks.verify_trailer(TRAILER, TRAILER_SIGNATURE)


def test_signing_gives_the_published_signatures():
    chunks = signer(TRAILER_SEED)
    assert [chunks.sign_chunk(digest) for digest in DIGESTS] == TRAILER_CHUNKS
    assert chunks.sign_trailer(TRAILER) == TRAILER_SIGNATURE


@pytest.mark.parametrize("bad", range(3))
def test_d01_an_altered_chunk_is_refused_wherever_it_stands(bad):
    chunks = verifier(SEED)
    for digest, signature in zip(DIGESTS[:bad], CHUNKS[:bad], strict=True):
        chunks.verify_chunk(digest, signature)
    with refused(Code.SignatureDoesNotMatch):
        chunks.verify_chunk(hashlib.sha256(b"altered").hexdigest(), CHUNKS[bad])


def test_d02_chunks_out_of_order_are_refused():
    with refused(Code.SignatureDoesNotMatch):
        verifier(SEED).verify_chunk(DIGESTS[1], CHUNKS[1])


def test_d02_a_chunk_of_another_request_is_refused():
    with refused(Code.SignatureDoesNotMatch):
        verifier(TRAILER_SEED).verify_chunk(DIGESTS[0], CHUNKS[0])


@pytest.mark.parametrize("signature", ["", "x", "é", "\ud800", "0" * 64, CHUNKS[0].upper(), CHUNKS[0] + "0"])
def test_a_chunk_signature_of_any_form_is_answered(signature):
    with refused(Code.SignatureDoesNotMatch):
        verifier(SEED).verify_chunk(DIGESTS[0], signature)


@pytest.mark.parametrize("trailer", [b"", TRAILER[:-1], TRAILER + b"x:y\n", TRAILER.replace(b"sOO8", b"AAAA")])
def test_an_altered_trailer_is_refused(trailer):
    chunks = verifier(TRAILER_SEED)
    for digest, signature in zip(DIGESTS, TRAILER_CHUNKS, strict=True):
        chunks.verify_chunk(digest, signature)
    with refused(Code.SignatureDoesNotMatch):
        chunks.verify_trailer(trailer, TRAILER_SIGNATURE)


def test_a_refused_chunk_does_not_move_the_chain():
    chunks = verifier(SEED)
    with refused(Code.SignatureDoesNotMatch):
        chunks.verify_chunk(DIGESTS[0], CHUNKS[1])
    chunks.verify_chunk(DIGESTS[0], CHUNKS[0])
