"""A: signatures in the Authorization header, forged, bent, replayed or half there."""

import base64
import time
from contextlib import suppress
from dataclasses import replace

import pytest

from tests.support.caller import Caller, refused, text
from tests.support.gateway import Gateway
from tests.support.raw_http import Request, eventually
from tests.support.signer import (
    STREAMING_SIGNED,
    STREAMING_SIGNED_TRAILER,
    STREAMING_UNSIGNED_TRAILER,
    amz_date,
    object_path,
    unsigned_chunks,
)

GIB = 1024**3


def with_signature(request: Request, signature: str) -> Request:
    """The same request with another signature in its Authorization header."""
    value = (request.header("authorization") or "").rpartition("Signature=")[0]
    return request.changing_header("Authorization", f"{value}Signature={signature}")


def forged(request: Request) -> Request:
    return with_signature(request, "0" * 64)


def test_a01_an_unsigned_copy_source_turns_no_upload_into_a_copy(caller, stranger, untouched):
    stranger.put("other-media", "secret", b"theirs")
    request = caller.signed("PUT", f"/{untouched}/victim", b"mine")
    answer = caller.ask(request.with_header("x-amz-copy-source", "/other-media/secret"))
    root = refused(answer, 403, "AccessDenied")
    assert text(root, "Message") == "There were headers present in the request which were not signed"
    assert "x-amz-copy-source" in text(root, "HeadersNotSigned")


def test_a01_an_unsigned_copy_source_of_the_own_bucket_is_refused_too(caller, untouched):
    request = caller.signed("PUT", f"/{untouched}/copy", b"")
    refused(caller.ask(request.with_header("x-amz-copy-source", f"/{untouched}/victim")), 403, "AccessDenied")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("x-amz-acl", "public-read"),
        ("X-AMZ-Acl", "private"),
        ("x-amz-grant-read", 'uri="http://acs.amazonaws.com/groups/global/AllUsers"'),
        ("x-amz-tagging", "a=b"),
        ("x-amz-storage-class", "STANDARD"),
        ("x-amz-website-redirect-location", "https://evil.example/"),
        ("x-amz-meta-mark", "two"),
        ("X-Amz-Meta-New", "two"),
        ("x-amz-server-side-encryption", "AES256"),
        ("x-amz-server-side-encryption-customer-algorithm", "AES256"),
        ("x-amz-server-side-encryption-customer-key", base64.b64encode(bytes(32)).decode()),
        ("x-amz-server-side-encryption-customer-key-md5", base64.b64encode(bytes(16)).decode()),
        ("x-amz-object-lock-mode", "GOVERNANCE"),
        ("x-amz-object-lock-retain-until-date", "2030-01-01T00:00:00Z"),
        ("x-amz-object-lock-legal-hold", "ON"),
        ("x-amz-security-token", "token"),
        ("x-amz-bypass-governance-retention", "true"),
        ("x-amz-expected-bucket-owner", "somebody"),
        ("x-amz-checksum-crc32", "AAAAAA=="),
        ("x-amz-anything-new", "1"),
    ],
)
def test_a02_an_unsigned_amz_header_is_refused(caller, untouched, name, value):
    request = caller.signed("PUT", f"/{untouched}/victim", b"mine")
    root = refused(caller.ask(request.with_header(name, value)), 403, "AccessDenied")
    assert name.lower() in text(root, "HeadersNotSigned")


def test_a02_a_trace_header_of_another_prefix_may_stay_unsigned(caller, bucket):
    request = caller.signed("PUT", f"/{bucket}/k", b"mine").with_header("x-amzn-trace-id", "Root=1-67891233-abcdef")
    assert caller.ask(request).status == 200


def test_a02_a_second_line_of_a_signed_header_is_refused(caller, untouched):
    request = caller.signed("PUT", f"/{untouched}/victim", b"mine", [("x-amz-meta-mark", "one")])
    refused(caller.ask(request.with_header("x-amz-meta-mark", "two")), 403, "SignatureDoesNotMatch")


@pytest.mark.parametrize("sentinel", [STREAMING_UNSIGNED_TRAILER, STREAMING_SIGNED, STREAMING_SIGNED_TRAILER])
def test_a04_a_streaming_upload_with_a_forged_signature_is_refused(caller, untouched, sentinel):
    body = unsigned_chunks([b"mine"], {"x-amz-checksum-crc32": "AAAAAA=="})
    headers = [("x-amz-decoded-content-length", "4"), ("x-amz-trailer", "x-amz-checksum-crc32")]
    request = caller.signed("PUT", f"/{untouched}/victim", body, headers, payload=sentinel)
    refused(caller.ask(forged(request)), 403, "SignatureDoesNotMatch")


@pytest.mark.parametrize("sentinel", [STREAMING_UNSIGNED_TRAILER, STREAMING_SIGNED])
def test_a05_a_streaming_upload_with_credentials_in_the_query_alone_is_refused(caller, untouched, sentinel):
    date = amz_date(time.time())
    credential = f"{caller.signer.access_key_id}%2F{date[:8]}%2Fus-east-1%2Fs3%2Faws4_request"
    for query in (f"X-Amz-Credential={credential}", f"X-Amz-Credential={credential}&X-Amz-Signature={'0' * 64}"):
        headers = [("x-amz-content-sha256", sentinel), ("x-amz-decoded-content-length", "4"), ("x-amz-date", date)]
        body = unsigned_chunks([b"mine"])
        answer = caller.ask(caller.request("PUT", f"/{untouched}/victim?{query}", body, headers))
        refused(answer, {400, 403})


@pytest.mark.parametrize("sentinel", [STREAMING_UNSIGNED_TRAILER, STREAMING_SIGNED, STREAMING_SIGNED_TRAILER])
@pytest.mark.parametrize("authorization", ["Bearer x", "Basic eDp4", "", None])
def test_a07_a_streaming_upload_under_another_scheme_is_no_anonymous_write(caller, untouched, sentinel, authorization):
    headers = [("x-amz-content-sha256", sentinel), ("x-amz-decoded-content-length", "4")]
    headers += [] if authorization is None else [("Authorization", authorization)]
    body = unsigned_chunks([b"mine"])
    answer = caller.ask(caller.request("PUT", f"/{untouched}/victim", body, headers))
    refused(answer, {400, 403} if authorization == "" else 403)


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "POST"])
def test_a07_an_unknown_scheme_or_none_is_denied(caller, untouched, method):
    for headers in ([], [("Authorization", "Bearer x")]):
        refused(caller.ask(caller.request(method, f"/{untouched}/victim", b"", headers)), {400, 403, 405})


def test_a08_a_signature_that_does_not_cover_the_host_is_refused(caller, untouched):
    request = caller.request("DELETE", f"/{untouched}/victim")
    signed = caller.signer.sign(request, signed=["x-amz-content-sha256", "x-amz-date"])
    refused(caller.ask(signed), {400, 403})


@pytest.mark.parametrize("names", ["", ";", "host;;x-amz-date", "HOST;x-amz-content-sha256;x-amz-date"])
def test_a08_a_list_of_signed_headers_that_is_not_canonical_is_refused(caller, untouched, names):
    request = caller.request("DELETE", f"/{untouched}/victim")
    refused(caller.ask(caller.signer.sign(request, signed=names.split(";"))), {400, 403})


@pytest.mark.parametrize(
    "algorithm",
    ["AWS4-HMAC-SHA256X", "AWS4-HMAC-SHA1", "AWS4-ECDSA-P256-SHA256", "AWSX-HMAC-SHA256", "aws4-hmac-sha256", "AWS4"],
)
def test_a10_another_algorithm_is_never_taken_for_sigv4(caller, untouched, algorithm):
    other = replace(caller, signer=replace(caller.signer, algorithm=algorithm))
    refused(other.call("DELETE", f"/{untouched}/victim"), {400, 403, 501})
    # The signature of the true algorithm under a false name.
    request = caller.signed("DELETE", f"/{untouched}/victim")
    value = (request.header("authorization") or "").replace("AWS4-HMAC-SHA256", algorithm)
    refused(caller.ask(request.changing_header("Authorization", value)), {400, 403, 501})


def test_a11_sigv2_in_the_authorization_header_is_refused_with_what_to_use_instead(caller, untouched):
    date = time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime())
    signature = caller.signer.signature_v2(f"DELETE\n\n\n{date}\n/{untouched}/victim")
    headers = [("Date", date), ("Authorization", f"AWS {caller.signer.access_key_id}:{signature}")]
    root = refused(caller.ask(caller.request("DELETE", f"/{untouched}/victim", b"", headers)), 400, "InvalidRequest")
    assert "AWS4-HMAC-SHA256" in text(root, "Message")


def test_a13_a_captured_delete_is_refused_after_sixteen_minutes(caller, untouched):
    for seconds in (-16 * 60, 16 * 60):
        request = caller.signed("DELETE", f"/{untouched}/victim", now_s=time.time() + seconds)
        refused(caller.ask(request), 403, "RequestTimeTooSkewed")


def test_a13_a_captured_put_is_refused_after_sixteen_minutes(caller, untouched):
    request = caller.signed("PUT", f"/{untouched}/victim", b"old", now_s=time.time() - 16 * 60)
    refused(caller.ask(request), 403, "RequestTimeTooSkewed")


def test_a13_two_identical_gets_of_one_second_both_pass(caller, bucket):
    caller.put(bucket, "k", b"bytes")
    request = caller.signed("GET", f"/{bucket}/k")
    assert [caller.ask(request).status for _ in range(2)] == [200, 200]


@pytest.mark.parametrize(
    "change",
    [
        {"scope_day": "20130524"},
        {"scope_day": ""},
        {"scope_day": "2026-01-01"},
        {"service": "sts"},
        {"service": ""},
        {"terminator": "aws5_request"},
        {"terminator": "aws4_request/x"},
        {"region": ""},
    ],
)
def test_a14_a_scope_of_another_day_service_or_end_is_refused(caller, untouched, change):
    other = replace(caller, signer=replace(caller.signer, **change))
    refused(other.call("DELETE", f"/{untouched}/victim"), {400, 403})


def test_a14_any_region_verifies_where_none_is_configured(caller, bucket):
    for region in ("default", "auto", "us-east-1", "ir-thr-1", "US-EAST-1"):
        other = replace(caller, signer=replace(caller.signer, region=region))
        assert other.call("GET", f"/{bucket}?list-type=2").status == 200


def test_a14_a_region_outside_the_configured_ones_is_refused(tmp_path):
    with Gateway(tmp_path, settings={"server": {"regions": ["default"], "sigv2": False}}) as narrow:
        caller = Caller.of(narrow)
        refused(caller.call("GET", "/demo-media"), {400, 403}, "AuthorizationHeaderMalformed")
        presigned = caller.presigned("GET", "/demo-media")
        refused(caller.ask(presigned), {400, 403}, "AuthorizationQueryParametersError", "AuthorizationHeaderMalformed")
        right = replace(caller, signer=replace(caller.signer, region="default"))
        assert right.call("GET", "/demo-media").status == 200
        # A11: the same gateway has Signature Version 2 turned off.
        refused(caller.ask(caller.signer.presign_v2(caller.request("GET", "/demo-media"))), {400, 403})


def test_a16_two_authorization_headers_are_refused(caller, untouched):
    request = caller.signed("DELETE", f"/{untouched}/victim")
    for second in (request.header("authorization") or "", "Bearer x"):
        refused(caller.ask(request.with_header("Authorization", second)), {400, 403})


def test_a16_a_header_and_a_query_signature_together_are_refused(caller, untouched):
    presigned = caller.presigned("DELETE", f"/{untouched}/victim")
    root = refused(caller.ask(caller.signer.sign(presigned)), 400, "InvalidArgument")
    assert text(root, "Message").startswith("Only one auth mechanism allowed")


def test_a17_a_foreign_bearer_token_beside_a_presigned_url_does_no_harm(caller, bucket):
    caller.put(bucket, "k", b"bytes")
    presigned = caller.presigned("GET", f"/{bucket}/k").with_header("Authorization", "Bearer x")
    assert caller.ask(presigned).body == b"bytes"


@pytest.mark.parametrize(
    "signature",
    [
        "",
        "0",
        "0" * 63,
        "0" * 65,
        "F" * 64,
        "é" * 64,
        "\udcff" * 64,
        "٣" * 64,
        "0" * 63 + " ",
        "0" * 63 + "\t0",
        "null",
    ],
)
def test_a19_a_signature_that_is_no_signature_is_refused(caller, untouched, signature):
    request = caller.signed("DELETE", f"/{untouched}/victim")
    refused(caller.ask(with_signature(request, signature)), {400, 403})


def test_a19_an_upper_case_signature_is_refused(caller, untouched):
    request = caller.signed("DELETE", f"/{untouched}/victim")
    signature = (request.header("authorization") or "").rpartition("Signature=")[2]
    while signature.upper() == signature:  # all digits: the next second has another
        request = caller.signed("DELETE", f"/{untouched}/victim", now_s=time.time() - 1)
        signature = (request.header("authorization") or "").rpartition("Signature=")[2]
    refused(caller.ask(with_signature(request, signature.upper())), {400, 403})


def test_a19_a_signature_of_a_megabyte_is_refused(caller, untouched):
    request = caller.signed("DELETE", f"/{untouched}/victim")
    refused(caller.ask(with_signature(request, "0" * 1_000_000)), {400, 403})


@pytest.mark.parametrize(
    "value",
    [
        "AWS4-HMAC-SHA256",
        "AWS4-HMAC-SHA256 ",
        "AWS4-HMAC-SHA256 Credential=",
        "AWS4-HMAC-SHA256 Credential=/////, SignedHeaders=host, Signature=" + "0" * 64,
        "AWS4-HMAC-SHA256 Credential=a/b, SignedHeaders=host, Signature=" + "0" * 64,
        "AWS4-HMAC-SHA256 ,,,,",
        "AWS4-HMAC-SHA256 ====",
        "AWS4-HMAC-SHA256 \udcff\udcfe",
        "AWS4-HMAC-SHA256 Credential=\u0663/20260101/x/s3/aws4_request, SignedHeaders=host, Signature=" + "0" * 64,
        "AWS",
        "AWS :",
        "AWS x",
    ],
)
def test_a19_garbage_in_the_authorization_header_is_refused(caller, untouched, value):
    headers = [("x-amz-date", amz_date(time.time())), ("x-amz-content-sha256", "UNSIGNED-PAYLOAD")]
    request = caller.request("DELETE", f"/{untouched}/victim", b"", [*headers, ("Authorization", value)])
    refused(caller.ask(request), {400, 403})


@pytest.mark.parametrize(
    "date", ["", "20260101", "20261301T000000Z", "20260230T000000Z", "20260101T250000Z", "٢٠٢٦٠١٠١T000000Z", "x" * 9000]
)
def test_a19_a_date_that_is_no_date_is_refused(caller, untouched, date):
    request = caller.signed("DELETE", f"/{untouched}/victim").changing_header("x-amz-date", date)
    refused(caller.ask(request), {400, 403})


def test_a19_a_missing_date_is_refused(caller, untouched):
    refused(caller.ask(caller.signed("DELETE", f"/{untouched}/victim").without_header("x-amz-date")), {400, 403})


def test_a20_an_unknown_key_and_a_wrong_secret_are_both_refused(caller, untouched):
    unknown = replace(caller, signer=replace(caller.signer, access_key_id="AK" + "0" * 18))
    refused(unknown.call("DELETE", f"/{untouched}/victim"), 403, "InvalidAccessKeyId")
    wrong = replace(caller, signer=replace(caller.signer, secret_access_key="s" * 40))
    refused(wrong.call("DELETE", f"/{untouched}/victim"), 403, "SignatureDoesNotMatch")


@pytest.mark.parametrize("access_key_id", ["%00", "' OR 1=1 --", "\udcff", "A" * 5000, "%2e%2e", "*"])
def test_a20_an_access_key_id_of_any_shape_is_refused(caller, untouched, access_key_id):
    unknown = replace(caller, signer=replace(caller.signer, access_key_id=access_key_id))
    refused(unknown.call("DELETE", f"/{untouched}/victim"), {400, 403})
    presigned = unknown.presigned("DELETE", f"/{untouched}/victim")
    refused(caller.ask(presigned), {400, 403})


def own_key(gateway: Gateway, caller: Caller) -> Caller:
    """Another access key of the same principal."""
    access_key_id, secret = gateway.create_key("demo")
    return replace(caller, signer=replace(caller.signer, access_key_id=access_key_id, secret_access_key=secret))


@pytest.mark.parametrize("command", ["disable", "delete"])
def test_a22_a_disabled_or_deleted_key_is_refused_at_once_and_for_good(gateway, caller, bucket, command):
    other = own_key(gateway, caller)
    caller.put(bucket, "k", b"bytes")
    presigned = other.presigned("GET", f"/{bucket}/k")
    assert other.get(bucket, "k").status == 200
    assert other.ask(presigned).status == 200
    gateway.command("keys", "disable", other.signer.access_key_id)
    if command == "delete":
        gateway.command("keys", "delete", other.signer.access_key_id)
    assert eventually(lambda: other.get(bucket, "k").status == 403)
    for _ in range(3):
        refused(other.get(bucket, "k"), 403)
        refused(other.ask(presigned), 403)  # B10
    assert caller.get(bucket, "k").status == 200


def test_a22_a_key_disabled_during_an_upload_opens_nothing_afterwards(gateway, caller, bucket):
    other = own_key(gateway, caller)
    body = bytes(100_000)
    request = other.signed("PUT", f"/{bucket}/k", body)
    with other.connect() as connection:
        connection.send(request.head() + body[:50_000])
        gateway.command("keys", "disable", other.signer.access_key_id)
        assert eventually(lambda: other.call("GET", f"/{bucket}?list-type=2").status == 403)
        connection.send(body[50_000:])
        assert connection.answer("PUT").status in (200, 403)
        with suppress(ConnectionError):
            connection.send(other.signed("GET", f"/{bucket}/k").encode())
            assert connection.answer("GET").status == 403


@pytest.mark.parametrize("expect", [True, False])
def test_a23_a_forged_upload_of_five_gibibytes_is_refused_on_its_head(caller, untouched, expect):
    headers = [("Content-Length", str(5 * GIB))]
    request = Request("PUT", f"/{untouched}/victim", (("Host", caller.authority), *headers))
    signed = forged(caller.signer.sign(request, payload="0" * 64))
    signed = signed.with_header("Expect", "100-continue") if expect else signed
    with caller.connect() as connection:
        connection.send(signed.head())
        answer = connection.answer("PUT")
        refused(answer, 403, "SignatureDoesNotMatch")
        assert answer.interim == ()
        assert connection.ended()


def test_a23_expect_is_answered_once_the_caller_is_known(caller, bucket):
    body = b"x" * 1000
    with caller.connect() as connection:
        connection.send(caller.signed("PUT", f"/{bucket}/k", body).with_header("Expect", "100-continue").head())
        assert connection.interim() == 100
        connection.send(body)
        assert connection.answer("PUT").status == 200
    assert caller.get(bucket, "k").body == body


@pytest.mark.parametrize("target", ["/no-such-bucket-anywhere/k", "/other-media/k", "/{bucket}/k?acl="])
def test_a23_a_refusal_spares_the_client_its_body(caller, bucket, target):
    request = caller.signed("PUT", target.format(bucket=bucket), b"x" * 1000).with_header("Expect", "100-continue")
    with caller.connect() as connection:
        connection.send(request.head())
        answer = connection.answer("PUT")
        refused(answer, {403, 404, 501})
        assert answer.interim == ()


@pytest.mark.parametrize("token", ["token", "", "A" * 4000, "\udcff"])
def test_a25_a_session_token_that_nobody_issued_is_refused(caller, untouched, token):
    headers = [("x-amz-security-token", token)]
    refused(caller.call("DELETE", f"/{untouched}/victim", b"", headers), {400, 403})


def test_a25_a_session_token_in_a_presigned_url_is_refused(caller, untouched):
    target = object_path(untouched, "victim") + "?X-Amz-Security-Token=token"
    refused(caller.ask(caller.presigned("DELETE", target)), {400, 403})
