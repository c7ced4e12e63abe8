"""What an S3 origin's refusal means to us: one table, so that origins' many words for one thing are known in one place.

https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html
"""

from gateway.origin.errors import BodyNotFound, OriginDown, OriginError, OriginFull, OutcomeUnknown, UploadNotFound

_MISSING = frozenset({"NoSuchKey", "NoSuchVersion"})
# Codes that AWS, MinIO, Ceph and Google have for credentials that are not, or no longer, good.
_CREDENTIALS = frozenset(
    {"InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "InvalidToken", "TokenRefreshRequired"}
)
_FULL = frozenset({"QuotaExceeded", "XMinioStorageFull", "XMinioAdminBucketQuotaExceeded", "InsufficientStorage"})
# Of stores that make paths of keys, of an `a` where there is an `a/b`: MinIO's cmd/api-errors.go, versitygw's and
# SeaweedFS's s3err. A parent that is an object is another matter: what is beside the key is below it, too.
_FOLDERS = frozenset({"XMinioObjectExistsAsDirectory", "ExistingObjectIsDirectory"})
# Nothing was done: the origin says so before it begins.
_BUSY = frozenset(
    {
        "SlowDown",
        "RequestTimeout",
        "ServiceUnavailable",
        "OperationAborted",
        "ConditionalRequestConflict",
        "Throttling",
    }
)
_BUSY_STATUS = frozenset({429, 503})
# Of these nobody can tell: what stood before the origin gave up waiting, or something broke on the way.
_FAILED_STATUS = frozenset({500, 502, 504})


class Refused(OriginError):
    """The origin answered, and what it answered is not what was asked for; `code` is "" where it said none."""

    def __init__(self, status: int, code: str, message: str, what: str) -> None:
        super().__init__(
            f"{what}: the origin answered {status}{' ' + code if code else ''}{': ' + message if message else ''}"
        )
        self.status = status
        self.code = code


class BadCredentials(Refused):
    """The origin does not know, or no longer takes, what the request was signed with."""


class ClockSkewed(Refused):
    """The origin's clock and ours are more than a quarter of an hour apart."""


class Busy(OriginDown):
    """The origin is there and could not do it now."""


class Failed(OutcomeUnknown):
    """The origin, or what stands before it, failed over the request, perhaps after it had done it."""


class MayNot(Refused):
    """The key that requests are signed with may not do this."""


class NoUpload(Refused, UploadNotFound):
    """The origin has no upload of this id."""


class NoBucket(Refused):
    """The origin has no bucket of this name."""


def is_precondition(error: Refused) -> bool:
    """Did a condition of the request not hold?"""
    return error.status == 412 or error.code == "PreconditionFailed"


def is_taken(error: Refused) -> bool:
    """Is something else where a body should be stored?"""
    return is_precondition(error) or error.code in _FOLDERS


def failure_of(status: int, code: str, message: str, what: str) -> OriginError:
    """The error that an answer is; `what` says what was asked, for the operator.

    The status may be 200: a copy or a Complete begins its answer before it knows how it will end.
    """
    code, message = code[:100], " ".join(message.split())[:300]
    if code in _MISSING or (status == 404 and not code):
        return BodyNotFound(what)
    if code == "RequestTimeTooSkewed":
        return ClockSkewed(status, code, message, what)
    if code in _CREDENTIALS:
        return BadCredentials(status, code, message, what)
    if code in _FULL or status == 507:
        return OriginFull(f"{what}: {status} {code}")
    if code in _BUSY or status in _BUSY_STATUS:
        return Busy(f"{what}: the origin answered {status} {code}")
    if code == "InternalError" or status in _FAILED_STATUS:
        return Failed(f"{what}: the origin answered {status} {code}")
    if status == 403:
        return MayNot(status, code, message, what)
    if code == "NoSuchUpload":
        return NoUpload(status, code, message, what)
    if code == "NoSuchBucket":
        return NoBucket(status, code, message or "make it there, or name another origin_bucket", what)
    if 300 <= status < 400:
        return Refused(status, code, "a redirect, which is never followed: is the endpoint or region right?", what)
    return Refused(status, code, message, what)
