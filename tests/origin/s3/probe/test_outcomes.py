"""Where an answer sends us."""

import pytest

from gateway.origin.s3.probe.outcomes import Answer, elsewhere


@pytest.mark.parametrize("answer", [Answer(200), Answer(403, "AccessDenied"), Answer(404, "NoSuchBucket"), Answer(400)])
def test_an_answer_that_sends_nobody_anywhere(answer):
    assert elsewhere(answer) is None


def test_region_and_endpoint_are_found_in_headers_and_in_the_document():
    body = b"<Error><Code>PermanentRedirect</Code><Endpoint>b.s3.eu-west-1.amazonaws.com</Endpoint></Error>"
    found = elsewhere(Answer(301, "PermanentRedirect", {"x-amz-bucket-region": "eu-west-1"}, body))
    assert found == '301 PermanentRedirect: it names endpoint "b.s3.eu-west-1.amazonaws.com" and region "eu-west-1"'


def test_what_is_no_region_is_not_told():
    assert elsewhere(Answer(301, "", {"x-amz-bucket-region": "\x1b[31m"})) == "301, without saying where to"


def test_an_error_under_status_200_is_not_fine():
    assert not Answer(200, "InternalError").fine
    assert Answer(200, "InternalError").told == "200 InternalError"
