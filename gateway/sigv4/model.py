"""The values of this room: a request as it came over the wire, and what it says about who signed it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from hashlib import blake2b
from typing import Any, Final, NamedTuple, NoReturn

MAX_SKEW_S: Final = 15 * 60
MAX_EXPIRES_S: Final = 7 * 24 * 3600
ALGORITHM: Final = "AWS4-HMAC-SHA256"
# The services that a credential scope may name, each at its own door.
S3: Final = "s3"
STS: Final = "sts"


class WireRequest(NamedTuple):
    """A request as it was sent, before anything was decoded.

    `raw_path` and `raw_query` are percent-encoded, exactly as on the request line; `headers` has lower-case names,
    repeated lines joined by a comma.
    """

    method: str
    raw_path: str
    raw_query: str
    headers: Mapping[str, str]


class SecretAccessKey:
    """A secret that does not show itself: only `reveal()` gives it away.

    `identity` names the secret without telling it, for the keys of caches: another secret, another identity.
    """

    __slots__ = ("_secret", "identity")

    def __init__(self, secret: str | bytes) -> None:
        self._secret = secret.encode() if isinstance(secret, str) else bytes(secret)
        self.identity = blake2b(self._secret, digest_size=16, person=b"anbar-identity").digest()

    def reveal(self) -> bytes:
        """The secret itself."""
        return self._secret

    def __repr__(self) -> str:
        return "SecretAccessKey(…)"

    __str__ = __repr__

    def __format__(self, _spec: str) -> str:
        return repr(self)

    def __eq__(self, _other: object) -> bool:
        raise TypeError("secrets are not compared")

    __hash__ = None  # type: ignore[assignment]

    def __reduce_ex__(self, _protocol: Any) -> NoReturn:
        raise TypeError("a secret access key is not pickled or copied")


class Scheme(Enum):
    """How a request is signed."""

    HEADER = "header"
    QUERY = "query"
    SIGV2_QUERY = "sigv2-query"


# The members by plain names, for the hot path: looking one up in an Enum class costs 0.13 µs.
HEADER: Final = Scheme.HEADER
QUERY: Final = Scheme.QUERY
SIGV2_QUERY: Final = Scheme.SIGV2_QUERY


@dataclass(frozen=True, slots=True)
class CredentialScope:
    """What a signing key is good for: one day (`20130524`), region and service.

    https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html
    """

    date: str
    region: str
    service: str = S3
    text: str = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "text", f"{self.date}/{self.region}/{self.service}/aws4_request")


class Credentials(NamedTuple):
    """What a request says about its signer; nothing of it is proven yet.

    `signed_headers` are sorted. `time_s` is the signing time and `expires_s` the life of a presigned URL after it;
    a SigV2 URL names only the end of its life: `time_s` is 0 there. `timestamp` is the signing time as it was sent.
    `payload_hash` is x-amz-content-sha256 where a presigned URL carries it in the query.
    """

    scheme: Scheme
    access_key_id: str
    scope: CredentialScope | None
    signed_headers: tuple[str, ...]
    signature: str
    time_s: int
    expires_s: int | None
    session_token: str | None
    timestamp: str = ""
    payload_hash: str | None = None

    def __repr__(self) -> str:
        return f"Credentials({self.access_key_id!r}, {self.scope!r}, …)"
