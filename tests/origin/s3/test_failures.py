"""What each refusal of an origin means: whether it was done, whether to ask again, and whose fault it is."""

import pytest

from gateway.origin.errors import BodyNotFound, OriginDown, OriginFull, OutcomeUnknown
from gateway.origin.s3.failures import (
    BadCredentials,
    Busy,
    ClockSkewed,
    Failed,
    MayNot,
    NoBucket,
    NoUpload,
    Refused,
    failure_of,
)

CASES = (
    # status, code, class
    (404, "NoSuchKey", BodyNotFound),
    (404, "NoSuchVersion", BodyNotFound),
    (404, "", BodyNotFound),  # HEAD has no document
    (200, "NoSuchKey", BodyNotFound),  # a copy that had begun its answer
    (404, "NoSuchBucket", NoBucket),
    (404, "NoSuchUpload", NoUpload),
    (403, "RequestTimeTooSkewed", ClockSkewed),
    (403, "InvalidAccessKeyId", BadCredentials),
    (403, "SignatureDoesNotMatch", BadCredentials),
    (400, "ExpiredToken", BadCredentials),
    (400, "InvalidToken", BadCredentials),
    (403, "AccessDenied", MayNot),
    (403, "", MayNot),
    (403, "QuotaExceeded", OriginFull),
    (507, "XMinioStorageFull", OriginFull),
    (507, "", OriginFull),
    (503, "SlowDown", Busy),
    (503, "", Busy),
    (429, "", Busy),
    (200, "SlowDown", Busy),
    (400, "RequestTimeout", Busy),
    (409, "OperationAborted", Busy),
    (409, "ConditionalRequestConflict", Busy),
    (500, "InternalError", Failed),
    (200, "InternalError", Failed),
    (500, "", Failed),
    (502, "", Failed),
    (504, "", Failed),
    (301, "PermanentRedirect", Refused),
    (307, "", Refused),
    (412, "PreconditionFailed", Refused),
    (416, "InvalidRange", Refused),
    (400, "InvalidPart", Refused),
    (501, "NotImplemented", Refused),
    (200, "", Refused),
)


@pytest.mark.parametrize(("status", "code", "kind"), CASES)
def test_an_answer_is_the_error_that_it_means(status, code, kind):
    error = failure_of(status, code, "Because.", "main: PUT b/k")
    assert type(error) is kind
    assert "main: PUT b/k" in str(error)


def test_what_may_have_been_done_is_told_from_what_was_not():
    assert issubclass(Failed, OutcomeUnknown)
    assert issubclass(Busy, OriginDown)
    assert not issubclass(Busy, OutcomeUnknown)
    assert not issubclass(Refused, OriginDown)


def test_the_operator_is_told_what_the_origin_said_in_one_short_line():
    error = failure_of(400, "InvalidPart", "One\nor more\r\n" + "x" * 5000, "main: POST b/k")
    assert str(error).startswith("main: POST b/k: the origin answered 400 InvalidPart: One or more x")
    assert "\n" not in str(error)
    assert len(str(error)) < 400
    assert len(str(failure_of(400, "c" * 5000, "", "w"))) < 200


def test_a_redirect_says_what_to_look_at():
    assert "endpoint or region" in str(failure_of(301, "PermanentRedirect", "", "w"))
