"""The chain of signatures in an aws-chunked body.

    AWS4-HMAC-SHA256-PAYLOAD          AWS4-HMAC-SHA256-TRAILER
    20130524T000000Z                  20130524T000000Z
    20130524/us-east-1/s3/…           20130524/us-east-1/s3/…
    previous signature                previous signature
    SHA-256 of nothing                SHA-256 of the canonical trailers
    SHA-256 of the chunk

The first previous signature is the request's own; the last chunk is empty and signed like the others.
https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-streaming.html
https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-streaming-trailers.html
"""

from hashlib import sha256

from gateway.errors import Code, S3Error
from gateway.sigv4.model import ALGORITHM
from gateway.sigv4.payload import EMPTY_SHA256
from gateway.sigv4.signing_key import Signature, SigningKey


class _Chain:
    """What both ends share: the key, and the signature that the next one is chained to."""

    __slots__ = ("_key", "_prefix", "_previous", "_trailer_prefix")

    def __init__(self, key: SigningKey, timestamp: str, scope: str, seed_signature: str) -> None:
        self._key = key
        self._previous = seed_signature
        self._prefix = f"{ALGORITHM}-PAYLOAD\n{timestamp}\n{scope}\n"
        self._trailer_prefix = f"{ALGORITHM}-TRAILER\n{timestamp}\n{scope}\n"

    def _chunk_signature(self, sha256_hex: str) -> Signature:
        return self._key.sign(f"{self._prefix}{self._previous}\n{EMPTY_SHA256}\n{sha256_hex}".encode())

    def _trailer_signature(self, canonical_trailer: bytes) -> Signature:
        digest = sha256(canonical_trailer).hexdigest()
        return self._key.sign(f"{self._trailer_prefix}{self._previous}\n{digest}".encode())


class ChunkVerifier(_Chain):
    """Checks the chunks of one body, in their order."""

    __slots__ = ()

    def verify_chunk(self, sha256_hex: str, signature: str) -> None:
        """Check one chunk, by the hash of its data; the last, empty one too. Raises S3Error: SignatureDoesNotMatch."""
        self._accept(self._chunk_signature(sha256_hex), signature)

    def verify_trailer(self, canonical_trailer: bytes, signature: str) -> None:
        r"""Check the trailers, as `name:value\n` lines in their order on the wire, without x-amz-trailer-signature.

        Raises S3Error: SignatureDoesNotMatch.
        """
        self._accept(self._trailer_signature(canonical_trailer), signature)

    def _accept(self, expected: Signature, signature: str) -> None:
        if not expected.matches(signature):
            raise S3Error(Code.SignatureDoesNotMatch)
        self._previous = signature


class ChunkSigner(_Chain):
    """Signs the chunks of one body, in their order."""

    __slots__ = ()

    def sign_chunk(self, sha256_hex: str) -> str:
        """The signature of the next chunk, by the hash of its data."""
        self._previous = self._chunk_signature(sha256_hex).reveal()
        return self._previous

    def sign_trailer(self, canonical_trailer: bytes) -> str:
        r"""The signature of the trailers, as `name:value\n` lines."""
        self._previous = self._trailer_signature(canonical_trailer).reveal()
        return self._previous
