"""gateway/s3/sts.py: forms as SDKs send them, answers as they read them, and what is refused."""

import re
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote, urlencode

import botocore.awsrequest
import botocore.parsers
import botocore.serialize
import botocore.session
import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree
from minio.credentials.providers import _parse_credentials

from gateway.errors import Code, S3Error
from gateway.s3.sts import (
    MAX_FORM_BYTES,
    AssumeRole,
    TemporaryCredentials,
    in_sts_words,
    parse_assume_role,
    parse_form,
    render_assume_role,
    render_sts_error,
    role_arn,
)
from tests.s3.refusal import refused

MODEL = botocore.session.get_session().get_service_model("sts")
OPERATION = MODEL.operation_model("AssumeRole")
NAMES = re.compile(r"[a-z0-9@.|]{1,128}")
ARN = "arn:aws:iam::photoapp:role/uploader"
GOOD = {"Action": "AssumeRole", "Version": "2011-06-15", "RoleArn": ARN, "RoleSessionName": "sara"}
EXPIRES_S = 1_795_338_000
CREDENTIALS = TemporaryCredentials("ASABCDEFGHIJKLMNOPQR", "se/cret+&<", "tok-en_<&", EXPIRES_S)
names = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12)
values = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)


def sent_by_botocore(parameters: dict[str, Any]) -> bytes:
    serialized = botocore.serialize.create_serializer("query").serialize_to_request(parameters, OPERATION)
    request = botocore.awsrequest.AWSRequest("POST", "http://127.0.0.1:9000/", data=serialized["body"])
    body = request.prepare().body
    return body.encode() if isinstance(body, str) else body


def read_by_botocore(body: bytes, status: int = 200) -> dict[str, Any]:
    answer = {"body": body, "headers": {}, "status_code": status}
    return dict(botocore.parsers.create_parser("query").parse(answer, OPERATION.output_shape))


def asked(**changes: str | None) -> AssumeRole:
    """Good parameters with some changed, or (None) taken away."""
    changed = {name: value for name, value in (GOOD | changes).items() if value is not None}
    return parse_assume_role(changed, "photoapp", NAMES)


# --- forms


def test_a_form_is_read_as_it_was_written():
    assert parse_form(b"a=1&b=x+y&c=%D8%B3%2B&d&e==&f=") == {
        "a": "1",
        "b": "x y",
        "c": "س+",
        "d": "",
        "e": "=",
        "f": "",
    }
    assert parse_form(b"") == {}
    assert parse_form(b"&a=1&&b=2&") == {"a": "1", "b": "2"}


@given(st.dictionaries(names, values, max_size=20))
def test_what_libraries_write_is_read_back(parameters):
    assert parse_form(urlencode(parameters).encode()) == parameters
    assert parse_form(urlencode(parameters, quote_via=quote).encode()) == parameters


@pytest.mark.parametrize(
    "body",
    [b"a=%", b"a=%4", b"a=%zz", b"a=%FF", b"%ED%A0%80=1", b"a=\xd8\xb3", b"a=1\r\n", b"a=1 ", b"a=\x00", b"a=\x7f"],
)
def test_what_is_not_percent_encoded_utf8_is_refused(body):
    with refused(Code.ValidationError):
        parse_form(body)


@pytest.mark.parametrize("body", [b"a=1&a=1", b"a=1&b=2&%61=3", b"a&a", b"=1&=2", b"a+b=1&a%20b=2"])
def test_a_parameter_given_twice_is_refused(body):
    with refused(Code.ValidationError):
        parse_form(body)


def test_a_form_has_64_parameters_and_64_kib_at_most():
    assert len(parse_form(b"&".join(b"p%d=" % number for number in range(64)))) == 64
    with refused(Code.ValidationError):
        parse_form(b"&".join(b"p%d=" % number for number in range(65)))
    assert parse_form(b"a=" + b"x" * (MAX_FORM_BYTES - 2))
    with refused(Code.ValidationError):
        parse_form(b"a=" + b"x" * (MAX_FORM_BYTES - 1))


@given(st.binary(max_size=60))
def test_garbage_is_a_form_or_a_validation_error(body):
    try:
        parse_form(body)
    except S3Error as error:
        assert error.code is Code.ValidationError


# --- AssumeRole


def test_what_botocore_sends_is_read():
    parameters: dict[str, Any] = {"RoleArn": ARN, "RoleSessionName": "sara@example.org", "ExternalId": "any/thing"}
    assert parse_assume_role(parse_form(sent_by_botocore(parameters)), "photoapp", NAMES) == AssumeRole(
        "sara@example.org", 3600, None
    )
    policy = '{"Statement": "a+b & é"}'
    parameters |= {"Policy": policy, "DurationSeconds": 900, "Tags": [], "PolicyArns": []}
    assert parse_assume_role(parse_form(sent_by_botocore(parameters)), "photoapp", NAMES) == AssumeRole(
        "sara@example.org", 900, policy
    )


@pytest.mark.parametrize(
    "parameters",
    [
        {"Tags": [{"Key": "a", "Value": "b"}]},
        {"Tags": [], "TransitiveTagKeys": ["a"]},
        {"PolicyArns": [{"arn": "arn:aws:iam::aws:policy/ReadOnlyAccess"}]},
        {"SerialNumber": "GAHT12345678"},
        {"TokenCode": "123456"},
        {"SourceIdentity": "sara"},
        {"ProvidedContexts": [{"ProviderArn": "arn:aws:iam::aws:contextProvider/a", "ContextAssertion": "abcd"}]},
    ],
)
def test_what_would_narrow_a_session_elsewhere_is_refused(parameters):
    form = parse_form(sent_by_botocore({"RoleArn": ARN, "RoleSessionName": "sara"} | parameters))
    with refused(Code.ValidationError) as caught:
        parse_assume_role(form, "photoapp", NAMES)
    assert "is not supported" in caught.error.message


@pytest.mark.parametrize(
    "name", ["", "policy", "Policy.1", "MaxSessions", "X-Amz-Security-Token", "SerialNumber", "Tags "]
)
def test_a_parameter_that_nobody_knows_is_refused_even_empty(name):
    with refused(Code.ValidationError):
        asked(**{name: ""})


def test_a_request_without_an_action_is_missing_action():
    for action in (None, ""):
        with refused(Code.MissingAction):
            asked(Action=action)


@pytest.mark.parametrize(
    ("action", "version"),
    [
        ("GetSessionToken", "2011-06-15"),
        ("assumeRole", "2011-06-15"),
        ("AssumeRole ", "2011-06-15"),
        ("AssumeRoleWithWebIdentity", "2011-06-15"),
        ("AssumeRole", "2012-11-05"),
        ("AssumeRole", ""),
        ("AssumeRole", None),
    ],
)
def test_another_action_or_version_is_invalid_action(action, version):
    with refused(Code.InvalidAction) as caught:
        asked(Action=action, Version=version)
    assert caught.error.message == f"Could not find operation {action} for version {version or 'NO_VERSION_SPECIFIED'}"


@pytest.mark.parametrize(
    "arn",
    [
        "arn:aws:iam::other:role/uploader",
        "arn:aws:iam::photoapp:role/admin",
        "arn:aws:iam::photoapp:role/uploader/",
        "arn:aws:iam::photoapp:user/uploader",
        "arn:aws:sts::photoapp:role/uploader",
        "arn:aws:iam::photoapp:role/uploader\n",
        "ARN:aws:iam::photoapp:role/uploader",
        "uploader",
        "*",
    ],
)
def test_any_role_but_the_projects_own_is_denied_and_the_right_one_named(arn):
    with refused(Code.AccessDenied) as caught:
        asked(RoleArn=arn)
    assert caught.error.message.endswith(f"the role is {ARN}")


def test_the_role_of_the_callers_project_counts():
    with refused(Code.AccessDenied):
        parse_assume_role(GOOD, "other", NAMES)
    assert parse_assume_role(GOOD | {"RoleArn": role_arn("other")}, "other", NAMES).session_name == "sara"


def test_a_missing_role_is_refused_and_the_right_one_named():
    for arn in (None, ""):
        with refused(Code.ValidationError) as caught:
            asked(RoleArn=arn)
        assert ARN in caught.error.message


@pytest.mark.parametrize("name", [None, "", "Sara", "sara\n", "a" * 129, "sara/ali"])
def test_a_session_name_that_is_no_end_users_is_refused_with_the_rule(name):
    with refused(Code.ValidationError) as caught:
        asked(RoleSessionName=name)
    assert NAMES.pattern in caught.error.message


@pytest.mark.parametrize(("text", "seconds"), [(None, 3600), ("900", 900), ("43200", 43200), ("00900", 900)])
def test_a_session_lasts_a_quarter_to_twelve_hours(text, seconds):
    assert asked(DurationSeconds=text).duration_s == seconds


@pytest.mark.parametrize(
    "text", ["", "899", "43201", "0", "-900", "+900", " 900", "900 ", "9e2", "3600.0", "1_000", "٩٠٠", "9" * 5000]
)
def test_any_other_duration_is_refused(text):
    with refused(Code.ValidationError):
        asked(DurationSeconds=text)


def test_a_policy_has_1_to_2048_characters():
    assert asked(Policy="é" * 2048).policy == "é" * 2048
    for policy in ("", "x" * 2049):
        with refused(Code.ValidationError):
            asked(Policy=policy)


@given(st.dictionaries(st.sampled_from([*GOOD, "Policy", "DurationSeconds", "Tags"]) | names, values, max_size=6))
def test_any_parameters_are_read_or_refused(changes):
    try:
        parse_assume_role(GOOD | changes, "photoapp", NAMES)
    except S3Error as error:
        assert error.code in (Code.MissingAction, Code.InvalidAction, Code.AccessDenied, Code.ValidationError)


# --- answers


def test_the_answer_is_read_by_botocore():
    body = render_assume_role("photoapp", AssumeRole("sara@x"), CREDENTIALS, "R1")
    parsed = read_by_botocore(body)
    assert parsed == {
        "AssumedRoleUser": {
            "Arn": "arn:aws:sts::photoapp:assumed-role/uploader/sara@x",
            "AssumedRoleId": "photoapp.uploader:sara@x",
        },
        "Credentials": {
            "AccessKeyId": "ASABCDEFGHIJKLMNOPQR",
            "SecretAccessKey": "se/cret+&<",
            "SessionToken": "tok-en_<&",
            "Expiration": datetime.fromtimestamp(EXPIRES_S, UTC),
        },
        "ResponseMetadata": {"RequestId": "R1", "HTTPStatusCode": 200, "HTTPHeaders": {}},
    }
    assert etree.fromstring(body).tag == f"{{{MODEL.metadata['xmlNamespace']}}}AssumeRoleResponse"


def test_the_answer_is_read_by_minio():
    body = render_assume_role("photoapp", AssumeRole("sara"), CREDENTIALS, "R1")
    found = _parse_credentials(body.decode(), "AssumeRoleResult")
    assert (found.access_key, found.secret_key, found.session_token) == (
        CREDENTIALS.access_key_id,
        CREDENTIALS.secret_access_key,
        CREDENTIALS.session_token,
    )
    assert b"<Expiration>2026-11-22T09:00:00Z</Expiration>" in body


@pytest.mark.parametrize(("characters", "percent"), [(1, 1), (1024, 50), (1025, 51), (2047, 100), (2048, 100)])
def test_the_answer_tells_how_much_of_a_policy_was_used(characters, percent):
    body = render_assume_role("photoapp", AssumeRole("sara", 3600, "x" * characters), CREDENTIALS, "R1")
    assert read_by_botocore(body)["PackedPolicySize"] == percent


def test_credentials_do_not_show_their_secrets():
    assert repr(CREDENTIALS) == f"TemporaryCredentials(access_key_id='ASABCDEFGHIJKLMNOPQR', expires_s={EXPIRES_S})"


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (Code.AccessDenied, "Sender"),
        (Code.ExpiredToken, "Sender"),
        (Code.MalformedPolicyDocument, "Sender"),
        (Code.SignatureDoesNotMatch, "Sender"),
        (Code.InternalError, "Receiver"),
        (Code.ServiceUnavailable, "Receiver"),
    ],
)
def test_an_error_is_read_by_botocore(code, kind):
    body = render_sts_error(S3Error(code, "no <way> & out", Field="unseen"), "R1")
    parsed = read_by_botocore(body, code.status)
    assert parsed["Error"] == {"Type": kind, "Code": code.name, "Message": "no <way> & out"}
    assert parsed["ResponseMetadata"]["RequestId"] == "R1"
    assert b"unseen" not in body
    assert etree.fromstring(body).tag == f"{{{MODEL.metadata['xmlNamespace']}}}ErrorResponse"


@given(st.text(max_size=30))
def test_an_error_about_anything_is_well_formed(text):
    assert etree.fromstring(render_sts_error(S3Error(Code.ValidationError, text), text))[0][1].text == "ValidationError"


def test_a_key_or_token_that_is_nobodys_is_invalid_client_token_id():
    for code in (Code.InvalidAccessKeyId, Code.InvalidToken):
        told = in_sts_words(S3Error(code, "of S3", AWSAccessKeyId="AK"))
        assert (told.code, told.fields) == (Code.InvalidClientTokenId, {})
        assert told.code.status == 403
    error = S3Error(Code.AccessDenied, "mine")
    assert in_sts_words(error) is error
