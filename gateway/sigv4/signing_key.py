"""Signing keys: derived from a secret for one day, region and service, and kept as HMAC states.

    HMAC(HMAC(HMAC(HMAC("AWS4" + secret, date), region), service), "aws4_request")

https://docs.aws.amazon.com/IAM/latest/UserGuide/create-signed-request.html (step 3 and 4)
A copy of a hashed inner and outer state saves 3 µs against a new HMAC; a derived key kept saves 20 µs.
"""

import hmac
import re
from hashlib import sha256
from typing import Final

from gateway.bounded import BoundedMap
from gateway.sigv4.model import CredentialScope, SecretAccessKey

_BLOCK_BYTES: Final = 64
_INNER_PAD: Final = bytes(byte ^ 0x36 for byte in range(256))
_OUTER_PAD: Final = bytes(byte ^ 0x5C for byte in range(256))
_SIGNATURE = re.compile(r"[0-9a-f]{64}")


class Signature:
    """A signature that we computed. It is only ever asked whether the client's matches, in constant time."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def matches(self, claimed: str) -> bool:
        """Compare in constant time; text of any length and any characters is answered."""
        return hmac.compare_digest(self._text.encode(), claimed.encode("utf-8", "surrogatepass"))

    def reveal(self) -> str:
        """The signature itself, for requests that we sign."""
        return self._text

    def __eq__(self, _other: object) -> bool:
        raise TypeError("signatures are compared by matches(), in constant time")

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return "Signature(…)"


def is_signature(text: str) -> bool:
    """Whether the text has the form of a SigV4 signature: 64 lower-case hex digits."""
    return len(text) == 64 and _SIGNATURE.fullmatch(text) is not None


class SigningKey:
    """HMAC-SHA256 under one derived key."""

    __slots__ = ("_inner", "_outer")

    def __init__(self, key: bytes) -> None:
        block = key.ljust(_BLOCK_BYTES, b"\0")
        self._inner = sha256(block.translate(_INNER_PAD))
        self._outer = sha256(block.translate(_OUTER_PAD))

    def sign(self, text: bytes) -> Signature:
        """Sign a string to sign."""
        inner = self._inner.copy()
        inner.update(text)
        outer = self._outer.copy()
        outer.update(inner.digest())
        return Signature(outer.hexdigest())

    def __repr__(self) -> str:
        return "SigningKey(…)"


def derive_signing_key(secret: SecretAccessKey, scope: CredentialScope) -> SigningKey:
    """Derive the key for one day, region and service."""
    key = b"AWS4" + secret.reveal()
    for part in (scope.date, scope.region, scope.service, "aws4_request"):
        key = hmac.digest(key, part.encode("utf-8", "surrogatepass"), "sha256")
    return SigningKey(key)


class SigningKeys:
    """Derived keys at hand: a bounded map by access key id, secret and scope.

    Keys that a correct signature has used are kept apart from keys that were only asked for, so that a flood of
    forged requests (any region, any day) cannot push out those in use. The second map is why a known and an unknown
    access key id cost the same.
    """

    def __init__(self, limit: int = 4096) -> None:
        self._proven: BoundedMap[tuple[str, bytes, str], SigningKey] = BoundedMap(limit)
        self._asked: BoundedMap[tuple[str, bytes, str], SigningKey] = BoundedMap(64)

    def get(self, access_key_id: str, secret: SecretAccessKey, scope: CredentialScope) -> SigningKey:
        """The key, derived if need be."""
        name = (access_key_id, secret.identity, scope.text)
        key = self._proven.get(name) or self._asked.get(name)
        if key is None:
            key = derive_signing_key(secret, scope)
            self._asked.put(name, key)
        return key

    def keep(self, access_key_id: str, secret: SecretAccessKey, scope: CredentialScope, key: SigningKey) -> None:
        """A correct signature was made with this key."""
        name = (access_key_id, secret.identity, scope.text)
        if self._proven.get(name) is None:
            self._asked.discard(name)
            self._proven.put(name, key)

    def forget(self) -> None:
        """Drop every key."""
        self._proven.clear()
        self._asked.clear()
