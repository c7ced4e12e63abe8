"""Digests of bodies: ETags, Content-MD5, payload hashes and x-amz-checksum-*.

A checksum is base64 of the digest, big endian, in a header or a trailer named after its algorithm. A multipart object
has either one of the whole object (FULL_OBJECT) or one of its parts' digests (COMPOSITE, written with "-" and the
number of parts). CRCs can be of both kinds, CRC64NVME only of the first, SHA only of the second.

https://docs.aws.amazon.com/AmazonS3/latest/userguide/checking-object-integrity-upload.html
"""

import re
from base64 import b64decode, b64encode
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, unique
from hashlib import md5, sha1, sha256
from typing import Final, Protocol

from awscrt import checksums as awscrt  # type: ignore[import-untyped]
from isal import isal_zlib

from gateway.errors import Code, S3Error

Buffer = bytes | bytearray | memoryview

CHECKSUM_PREFIX: Final = "x-amz-checksum-"
SDK_ALGORITHM: Final = "x-amz-sdk-checksum-algorithm"
TRAILER: Final = "x-amz-trailer"

_NOT_VALUES = frozenset({"x-amz-checksum-algorithm", "x-amz-checksum-mode", "x-amz-checksum-type"})
_MULTIPLE = "Expecting a single x-amz-checksum- header. Multiple checksum Types are not allowed."
_PART_COUNT = re.compile(r"([A-Za-z0-9+/]+={0,2})-([1-9][0-9]{0,4})", re.ASCII)


class Hasher(Protocol):
    """What hashlib's objects offer; ours for CRCs do too."""

    def update(self, data: Buffer, /) -> None: ...

    def digest(self) -> bytes: ...


@unique
class Algorithm(Enum):
    """A checksum algorithm, by its name on the wire; the second number is a digest's bytes."""

    header: str
    """The header and trailer of this algorithm's values, in lower case."""
    element: str
    """The XML element of this algorithm's values."""
    size: int
    """Bytes of a digest."""

    CRC32 = "CRC32", 4
    CRC32C = "CRC32C", 4
    CRC64NVME = "CRC64NVME", 8
    SHA1 = "SHA1", 20
    SHA256 = "SHA256", 32

    def __new__(cls, name: str, size: int) -> "Algorithm":
        # Plain attributes: they are asked for in every PUT, and an enumeration's properties are slow.
        member = object.__new__(cls)
        member._value_ = name
        member.header = CHECKSUM_PREFIX + name.lower()
        member.element = "Checksum" + name
        member.size = size
        return member


@unique
class ChecksumType(Enum):
    """What the checksum of a multipart object covers."""

    COMPOSITE = "COMPOSITE"
    FULL_OBJECT = "FULL_OBJECT"


@dataclass(frozen=True, slots=True)
class Checksum:
    """A checksum as on the wire: `value` is base64 (of a composite one with its "-N")."""

    algorithm: Algorithm
    value: str


class _Crc:
    __slots__ = ("_function", "_size", "_value")

    def __init__(self, function: Callable[[Buffer, int], int], size: int) -> None:
        self._function = function
        self._size = size
        self._value = 0

    def update(self, data: Buffer, /) -> None:
        self._value = self._function(data, self._value)

    def digest(self) -> bytes:
        return self._value.to_bytes(self._size, "big")


_BY_NAME = {algorithm.value: algorithm for algorithm in Algorithm}
_BY_HEADER = {algorithm.header: algorithm for algorithm in Algorithm}
# isal computes CRC32, awscrt the other two at 25 GiB/s and more: a twentieth of what zlib needs.
# By name: a member's hash is a Python function.
_HASHERS: dict[str, Callable[[], Hasher]] = {
    "CRC32": lambda: _Crc(isal_zlib.crc32, 4),
    "CRC32C": lambda: _Crc(awscrt.crc32c, 4),
    "CRC64NVME": lambda: _Crc(awscrt.crc64nvme, 8),
    "SHA1": lambda: sha1(usedforsecurity=False),
    "SHA256": sha256,
}
_COMBINE: dict[Algorithm, Callable[[int, int, int], int]] = {
    Algorithm.CRC32: awscrt.combine_crc32,
    Algorithm.CRC32C: awscrt.combine_crc32c,
    Algorithm.CRC64NVME: awscrt.combine_crc64nvme,
}
_TYPES = {  # the default is the first
    Algorithm.CRC32: (ChecksumType.COMPOSITE, ChecksumType.FULL_OBJECT),
    Algorithm.CRC32C: (ChecksumType.COMPOSITE, ChecksumType.FULL_OBJECT),
    Algorithm.CRC64NVME: (ChecksumType.FULL_OBJECT,),
    Algorithm.SHA1: (ChecksumType.COMPOSITE,),
    Algorithm.SHA256: (ChecksumType.COMPOSITE,),
}


def new_hasher(algorithm: Algorithm) -> Hasher:
    """A hasher that has seen nothing yet."""
    return _HASHERS[algorithm._value_]()


def parse_checksum_algorithm(text: str) -> Algorithm:
    """x-amz-checksum-algorithm and x-amz-sdk-checksum-algorithm, in any case. Raises S3Error: InvalidRequest."""
    algorithm = _BY_NAME.get(text.upper()) if text.isascii() else None
    if algorithm is None:
        names = ", ".join(_BY_NAME)
        message = f"Checksum algorithm provided is unsupported. Please try again with any of the valid types: [{names}]"
        raise S3Error(Code.InvalidRequest, message)
    return algorithm


def parse_checksum_type(text: str) -> ChecksumType:
    """x-amz-checksum-type, in any case. Raises S3Error: InvalidRequest."""
    for kind in ChecksumType:
        if text.isascii() and text.upper() == kind.value:
            return kind
    raise S3Error(Code.InvalidRequest, "Value for x-amz-checksum-type header is invalid.")


def default_checksum_type(algorithm: Algorithm) -> ChecksumType:
    """The type of a multipart object's checksum where its creator named none."""
    return _TYPES[algorithm][0]


def check_checksum_type(algorithm: Algorithm, kind: ChecksumType) -> None:
    """Raises S3Error: InvalidRequest where the algorithm has no checksums of this type."""
    if kind not in _TYPES[algorithm]:
        name = algorithm.value.lower()
        message = f"The {kind.value} checksum type cannot be used with the {name} checksum algorithm."
        raise S3Error(Code.InvalidRequest, message)


def parse_checksum_headers(headers: Mapping[str, str]) -> Checksum | None:
    """The one x-amz-checksum-… header of a request, where there is one.

    Raises S3Error: InvalidRequest (two of them, one beside a trailer, a value that is no digest, an algorithm we do not
    have, another algorithm than x-amz-sdk-checksum-algorithm names, or that one without any checksum).
    """
    names = [name for name in headers if name.startswith(CHECKSUM_PREFIX) and name not in _NOT_VALUES]
    if not names:
        if SDK_ALGORITHM in headers and TRAILER not in headers:
            parse_checksum_algorithm(headers[SDK_ALGORITHM])
            message = f"{SDK_ALGORITHM} specified, but no corresponding x-amz-checksum-* or x-amz-trailer headers "
            raise S3Error(Code.InvalidRequest, message + "were found.")
        return None
    if len(names) > 1 or TRAILER in headers:
        raise S3Error(Code.InvalidRequest, _MULTIPLE)
    algorithm = _BY_HEADER.get(names[0]) or parse_checksum_algorithm(names[0].removeprefix(CHECKSUM_PREFIX))
    _check_sdk_algorithm(headers, algorithm)
    return Checksum(algorithm, _checked_value(algorithm, headers[names[0]], "header"))


def parse_object_checksum(headers: Mapping[str, str]) -> Checksum | None:
    """The checksum that CompleteMultipartUpload claims for the object; a composite one may end in -N.

    Raises S3Error: InvalidRequest (two of them, a value that is no digest, an algorithm we do not have).
    """
    names = [name for name in headers if name.startswith(CHECKSUM_PREFIX) and name not in _NOT_VALUES]
    if not names:
        return None
    if len(names) > 1:
        raise S3Error(Code.InvalidRequest, _MULTIPLE)
    algorithm = _BY_HEADER.get(names[0]) or parse_checksum_algorithm(names[0].removeprefix(CHECKSUM_PREFIX))
    value = headers[names[0]]
    composite_value = split_composite(value)
    _checked_value(algorithm, composite_value[0] if composite_value else value, "header")
    return Checksum(algorithm, value)


def parse_trailer_checksum(headers: Mapping[str, str]) -> Algorithm | None:
    """The algorithm whose checksum x-amz-trailer announces. Raises S3Error: InvalidRequest."""
    announced = headers.get(TRAILER)
    if announced is None:
        return None
    algorithm = _BY_HEADER.get(announced.strip(" \t").lower()) if announced.isascii() else None
    if algorithm is None:
        if announced.lower().count(CHECKSUM_PREFIX) > 1:
            raise S3Error(Code.InvalidRequest, _MULTIPLE)
        raise S3Error(Code.InvalidRequest, "The value specified in the x-amz-trailer header is not supported")
    if any(name.startswith(CHECKSUM_PREFIX) and name not in _NOT_VALUES for name in headers):
        raise S3Error(Code.InvalidRequest, _MULTIPLE)
    _check_sdk_algorithm(headers, algorithm)
    return algorithm


def parse_trailer_value(algorithm: Algorithm, trailers: Mapping[str, str]) -> Checksum:
    """The checksum that came behind the body. Raises S3Error: MalformedTrailerError, InvalidRequest."""
    value = trailers.get(algorithm.header)
    if value is None:
        raise S3Error(Code.MalformedTrailerError)
    return Checksum(algorithm, _checked_value(algorithm, value, "trailing header"))


def parse_checksum_value(algorithm: Algorithm, text: str) -> str:
    """A checksum from an XML document: strict base64 of the right length. Raises S3Error: InvalidRequest."""
    if _digest(algorithm, text) is None:
        raise S3Error(Code.InvalidRequest, f"Value for {algorithm.element} is invalid.")
    return text


def _check_sdk_algorithm(headers: Mapping[str, str], algorithm: Algorithm) -> None:
    named = headers.get(SDK_ALGORITHM)
    if named is not None and parse_checksum_algorithm(named) is not algorithm:
        raise S3Error(Code.InvalidRequest, f"Value for {SDK_ALGORITHM} header is invalid.")


def _checked_value(algorithm: Algorithm, value: str, where: str) -> str:
    if _digest(algorithm, value) is None:
        raise S3Error(Code.InvalidRequest, f"Value for {algorithm.header} {where} is invalid.")
    return value


def _digest(algorithm: Algorithm, value: str) -> bytes | None:
    try:
        digest = b64decode(value, validate=True)
    except ValueError:  # of which binascii.Error is one
        return None
    # Python accepts padding bits that are not zero: two texts would name one digest.
    if len(digest) != algorithm.size or b64encode(digest).decode("ascii") != value:
        return None
    return digest


def _known_digest(algorithm: Algorithm, value: str) -> bytes:
    digest = _digest(algorithm, value)
    if digest is None:
        raise ValueError(f"not a {algorithm.value} checksum: {value!r}")
    return digest


def composite(algorithm: Algorithm, part_values: Sequence[str]) -> str:
    """The checksum of the parts' digests, "base64-N". The values are ones we computed or checked before."""
    hasher = new_hasher(algorithm)
    for value in part_values:
        hasher.update(_known_digest(algorithm, value))
    return f"{_base64(hasher.digest())}-{len(part_values)}"


def combine_full_object(algorithm: Algorithm, parts: Sequence[tuple[str, int]]) -> str:
    """The checksum of the whole object from the parts' (value, size in bytes); their bytes are not needed.

    Raises S3Error: InvalidRequest for an algorithm that is no CRC.
    """
    check_checksum_type(algorithm, ChecksumType.FULL_OBJECT)
    combine = _COMBINE[algorithm]
    combined = 0
    for value, size in parts:
        combined = combine(combined, int.from_bytes(_known_digest(algorithm, value), "big"), size)
    return _base64(combined.to_bytes(algorithm.size, "big"))


def split_composite(value: str) -> tuple[str, int] | None:
    """A composite checksum's base64 and number of parts; None where the value is not composite."""
    match = _PART_COUNT.fullmatch(value)
    return (match[1], int(match[2])) if match else None


def multipart_etag(part_md5_digests: Sequence[bytes]) -> str:
    """The ETag of a multipart object, with its quotes: MD5 of the parts' MD5s, and their number."""
    return f'"{md5(b"".join(part_md5_digests), usedforsecurity=False).hexdigest()}-{len(part_md5_digests)}"'


def _base64(digest: bytes) -> str:
    return b64encode(digest).decode("ascii")


class BodyHasher:
    """Everything a PUT must know of its bytes, each digest computed once.

    The payload hash of a signature and a SHA256 checksum are one digest.
    """

    __slots__ = ("_algorithm", "_checksum", "_md5", "_sha256", "_updates")

    def __init__(self, md5: bool, sha256: bool, algorithm: Algorithm | None) -> None:
        self._algorithm = algorithm
        self._md5 = _new_md5() if md5 else None
        self._sha256 = _new_sha256() if sha256 or algorithm is Algorithm.SHA256 else None
        self._checksum = self._sha256
        if algorithm is not None and algorithm is not Algorithm.SHA256:
            self._checksum = new_hasher(algorithm)
        self._updates = [hasher.update for hasher in (self._md5, self._sha256) if hasher is not None]
        if self._checksum is not None and self._checksum is not self._sha256:
            self._updates.append(self._checksum.update)

    def update(self, data: Buffer) -> None:
        for update in self._updates:
            update(data)

    @property
    def md5_digest(self) -> bytes:
        """16 bytes; ValueError where MD5 was not asked for."""
        return _asked(self._md5).digest()

    @property
    def sha256_hex(self) -> str:
        """Lower case; ValueError where SHA-256 was not asked for."""
        return _asked(self._sha256).digest().hex()

    @property
    def checksum(self) -> Checksum | None:
        """The checksum of the algorithm that was asked for."""
        if self._algorithm is None:
            return None
        return Checksum(self._algorithm, _base64(_asked(self._checksum).digest()))


def _new_md5() -> Hasher:
    return md5(usedforsecurity=False)


def _new_sha256() -> Hasher:
    return sha256()


def _asked(hasher: Hasher | None) -> Hasher:
    if hasher is None:
        raise ValueError("this digest was not asked for")
    return hasher


def verify_checksum(claimed: Checksum, computed: Checksum | None) -> None:
    """Raises S3Error: BadDigest where the body is not what the client said."""
    if claimed != computed:
        name = claimed.algorithm.value
        raise S3Error(Code.BadDigest, f"The {name} you specified did not match the calculated checksum.")


def verify_content_md5(claimed: bytes, computed: bytes) -> None:
    """Raises S3Error: BadDigest where the body is not what Content-MD5 said."""
    if claimed != computed:
        message = "The Content-MD5 you specified did not match what we received."
        raise S3Error(Code.BadDigest, message, ExpectedDigest=_base64(claimed), CalculatedDigest=_base64(computed))


def verify_payload_sha256(claimed_hex: str, computed_hex: str) -> None:
    """Raises S3Error: XAmzContentSHA256Mismatch where the body is not what was signed."""
    if claimed_hex != computed_hex:
        raise S3Error(
            Code.XAmzContentSHA256Mismatch,
            ClientComputedContentSHA256=claimed_hex,
            S3ComputedContentSHA256=computed_hex,
        )
