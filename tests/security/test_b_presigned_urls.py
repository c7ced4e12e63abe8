"""B: presigned URLs with something added, changed or out of date."""

import time
from dataclasses import replace

import pytest

from tests.support.caller import Caller, refused, text
from tests.support.raw_http import Request
from tests.support.signer import STREAMING_SIGNED, STREAMING_UNSIGNED_TRAILER, sha256_hex, unsigned_chunks


def test_b01_an_unsigned_copy_source_beside_a_presigned_put_is_refused(caller, stranger, untouched):
    stranger.put("other-media", "secret", b"theirs")
    for source in ("/other-media/secret", f"/{untouched}/victim"):
        request = caller.presigned("PUT", f"/{untouched}/copy", b"", [("x-amz-copy-source", source)])
        root = refused(caller.ask(request), 403, "AccessDenied")
        assert "x-amz-copy-source" in text(root, "HeadersNotSigned")


@pytest.mark.parametrize("name", ["x-amz-acl", "X-Amz-Tagging", "x-amz-meta-mark", "x-amz-storage-class"])
def test_b01_any_unsigned_amz_header_beside_a_presigned_put_is_refused(caller, untouched, name):
    request = caller.presigned("PUT", f"/{untouched}/victim", b"mine", [(name, "private")])
    refused(caller.ask(request), 403, "AccessDenied")


@pytest.mark.parametrize(
    "added",
    [
        "versionId=null",
        "acl",
        "acl=",
        "tagging",
        "uploadId=x&partNumber=1",
        "uploads",
        "delete",
        "response-content-type=text/html",
        "response-content-disposition=inline",
        "x=1",
        "x-id=GetObject",
        "X-Amz-Signature=0",
        "X-Amz-Expires=604800",
        "X-Amz-Date=20300101T000000Z",
        "x-amz-signature=0",
        "%58-Amz-Signature=0",
        "Signature=x",
        "partNumber=1",
    ],
)
@pytest.mark.parametrize("method", ["GET", "PUT"])
def test_b02_no_parameter_can_be_added(caller, untouched, method, added):
    request = caller.presigned(method, f"/{untouched}/victim", b"mine" if method == "PUT" else b"")
    refused(caller.ask(request.with_query(added)), {400, 403})


def test_b02_a_parameter_put_before_the_signature_is_refused_too(caller, untouched):
    request = caller.presigned("GET", f"/{untouched}/victim")
    path, _, query = request.target.partition("?")
    for added in ("acl=&", "versionId=null&", "x=1&"):
        refused(caller.ask(replace(request, target=f"{path}?{added}{query}")), 403, "SignatureDoesNotMatch")


def test_b02_another_key_method_or_sub_resource_is_refused(caller, untouched):
    request = caller.presigned("GET", f"/{untouched}/victim")
    refused(caller.ask(replace(request, target=request.target.replace("victim", "victim2"))), 403)
    refused(caller.ask(replace(request, method="DELETE")), 403, "SignatureDoesNotMatch")
    refused(caller.ask(replace(request, method="PUT").with_header("Content-Length", "0")), 403)


def test_b04_a_url_is_dead_a_second_after_its_end(caller, untouched):
    request = caller.presigned("GET", f"/{untouched}/victim", expires="60", now_s=time.time() - 62)
    root = refused(caller.ask(request), 403, "AccessDenied")
    assert text(root, "Message") == "Request has expired"
    assert caller.ask(caller.presigned("GET", f"/{untouched}/victim", now_s=time.time() - 240)).status == 200


def test_b04_a_url_that_was_good_once_dies_at_its_end(caller, untouched):
    """Remembering that a URL has been verified must not prolong it."""
    signed_at = time.time() - 58
    request = caller.presigned("GET", f"/{untouched}/victim", expires="60", now_s=signed_at)
    statuses = []
    while time.time() < signed_at + 62:
        statuses.append(caller.ask(request).status)
    assert statuses[0] == 200
    refused(caller.ask(request), 403, "AccessDenied")


def test_b04_a_url_of_the_future_is_refused(caller, untouched):
    refused(caller.ask(caller.presigned("GET", f"/{untouched}/victim", now_s=time.time() + 16 * 60)), 403)


@pytest.mark.parametrize(
    "expires",
    [
        "604801",
        "0",
        "-1",
        "1e3",
        "+60",
        "60 ",
        " 60",
        "6_0",
        "60.0",
        "0x3c",
        "٦٠",
        "６０",
        "²",
        "",
        "1" + "0" * 30,
        "6" * 5000,
        None,
    ],
)
def test_b05_a_lifetime_that_is_no_number_of_seconds_up_to_a_week_is_refused(caller, untouched, expires):
    answer = caller.ask(caller.presigned("GET", f"/{untouched}/victim", expires=expires))
    refused(answer, {400, 403})


def test_b05_a_week_is_accepted(caller, untouched):
    assert caller.ask(caller.presigned("GET", f"/{untouched}/victim", expires="604800")).status == 200


def test_b05_two_lifetimes_are_refused_even_when_signed(caller, untouched):
    for first, second in (("60", "604800"), ("604800", "60"), ("60", "60")):
        request = caller.presigned("GET", f"/{untouched}/victim?X-Amz-Expires={first}", expires=second)
        refused(caller.ask(request), {400, 403})


@pytest.mark.parametrize(
    "name", ["X-Amz-Algorithm", "X-Amz-Credential", "X-Amz-Date", "X-Amz-SignedHeaders", "X-Amz-Signature"]
)
def test_b05_a_presigned_url_with_a_parameter_missing_or_doubled_is_refused(caller, untouched, name):
    request = caller.presigned("GET", f"/{untouched}/victim")
    path, _, query = request.target.partition("?")
    kept = [item for item in query.split("&") if not item.startswith(name + "=")]
    dropped = [item for item in query.split("&") if item.startswith(name + "=")]
    refused(caller.ask(replace(request, target=f"{path}?{'&'.join(kept)}")), {400, 403})
    refused(caller.ask(replace(request, target=f"{path}?{query}&{dropped[0]}")), {400, 403})
    refused(caller.ask(replace(request, target=f"{path}?{'&'.join(kept)}&{name}=")), {400, 403})


def presigned_with_payload(caller: Caller, target: str, payload: str, body: bytes) -> Request:
    """A presigned PUT whose payload hash is among the signed headers."""
    head = Request("PUT", target, (("Host", caller.authority), ("x-amz-content-sha256", payload)))
    signed = caller.signer.presign(head, payload=payload)
    return signed.with_header("Content-Length", str(len(body))).with_body(body)


def test_b07_a_pinned_payload_hash_binds_the_body(caller, untouched):
    request = presigned_with_payload(caller, f"/{untouched}/victim", sha256_hex(b"promised"), b"another!")
    refused(caller.ask(request), 400, "XAmzContentSHA256Mismatch")


def test_b07_the_pinned_body_is_stored(caller, bucket):
    request = presigned_with_payload(caller, f"/{bucket}/k", sha256_hex(b"promised"), b"promised")
    assert caller.ask(request).status == 200
    assert caller.get(bucket, "k").body == b"promised"


@pytest.mark.parametrize("sentinel", [STREAMING_SIGNED, STREAMING_UNSIGNED_TRAILER, "STREAMING-", "UNSIGNED"])
def test_b08_an_unsigned_streaming_sentinel_reroutes_no_presigned_put(caller, untouched, sentinel):
    body = unsigned_chunks([b"mine"])
    headers = [("x-amz-content-sha256", sentinel), ("x-amz-decoded-content-length", "4")]
    refused(caller.ask(caller.presigned("PUT", f"/{untouched}/victim", body, headers)), {400, 403})


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1", "127.0.0.1:1", "localhost:{port}", "127.0.0.1:{port}.", "127.0.0.1.:{port}"]
)
def test_b11_a_url_signed_for_one_host_is_refused_at_another(caller, untouched, host):
    request = caller.presigned("GET", f"/{untouched}/victim")
    request = request.changing_header("Host", host.format(port=caller.port))
    refused(caller.ask(request), {400, 403, 404})


def test_b11_the_case_of_a_host_name_does_not_matter(caller, bucket):
    """The client signs what it was told, and its HTTP library sends the name in lower case."""
    caller.put(bucket, "k", b"bytes")
    signed = Request("GET", f"/{bucket}/k", (("Host", f"localhost:{caller.port}"),))
    request = caller.signer.presign(signed)
    assert caller.ask(request).status == 200
    assert caller.ask(request.changing_header("Host", f"LOCALHOST:{caller.port}")).status in (200, 403)


# A11: the same for Signature Version 2, which is verified as strictly.


def test_a11_a_presigned_url_of_signature_version_2_works(caller, bucket):
    request = caller.signer.presign_v2(caller.request("PUT", f"/{bucket}/k", b"bytes"))
    assert caller.ask(request).status == 200
    assert caller.ask(caller.signer.presign_v2(caller.request("GET", f"/{bucket}/k"))).body == b"bytes"


def test_a11_signed_sub_resources_and_response_headers_of_version_2_work(caller, bucket):
    caller.put(bucket, "k", b"bytes")
    request = caller.request("GET", f"/{bucket}/k?response-content-type=text%2Fcsv&versionId=null")
    answer = caller.ask(caller.signer.presign_v2(request))
    assert (answer.status, answer.header("content-type")) == (200, "text/csv")


@pytest.mark.parametrize(
    "added",
    ["acl", "versionId=null", "response-content-type=text%2Fhtml", "tagging", "uploads", "x=1", "list-type=2", "delete",
     "Expires=9999999999", "AWSAccessKeyId=x", "Signature=x", "partNumber=1", "prefix=a", "x-amz-acl=public-read"],
)  # fmt: skip
def test_a11_no_parameter_can_be_added_to_version_2(caller, untouched, added):
    request = caller.signer.presign_v2(caller.request("GET", f"/{untouched}/victim"))
    refused(caller.ask(request.with_query(added)), {400, 403})


def test_a11_version_2_forged_or_expired_is_refused(caller, untouched):
    get = caller.request("GET", f"/{untouched}/victim")
    forged = caller.signer.presign_v2(get)
    refused(caller.ask(replace(forged, target=forged.target[:-4] + "AAA%3D")), 403)
    refused(caller.ask(caller.signer.presign_v2(get, expires_s=int(time.time()) - 1)), 403, "AccessDenied")
    wrong = replace(caller.signer, secret_access_key="s" * 40)
    refused(caller.ask(wrong.presign_v2(get)), 403, "SignatureDoesNotMatch")
    unknown = replace(caller.signer, access_key_id="AK" + "0" * 18)
    refused(caller.ask(unknown.presign_v2(get)), 403, "InvalidAccessKeyId")


def test_a11_another_method_or_key_of_version_2_is_refused(caller, untouched):
    request = caller.signer.presign_v2(caller.request("GET", f"/{untouched}/victim"))
    refused(caller.ask(replace(request, method="DELETE")), 403)
    refused(caller.ask(replace(request, target=request.target.replace("victim", "victim2"))), 403)


@pytest.mark.parametrize("name", ["x-amz-copy-source", "x-amz-acl", "x-amz-meta-mark"])
def test_a11_an_unsigned_amz_header_beside_version_2_is_refused(caller, untouched, name):
    request = caller.signer.presign_v2(caller.request("PUT", f"/{untouched}/victim", b""))
    refused(caller.ask(request.with_header(name, f"/{untouched}/victim")), 403)


@pytest.mark.parametrize("expires", ["", "x", "-1", "+5", "1e10", "٥", "9" * 400, " 99999999999"])
def test_a11_an_end_of_version_2_that_is_no_number_is_refused(caller, untouched, expires):
    target = f"/{untouched}/victim"
    signature = caller.signer.signature_v2(f"GET\n\n\n{expires}\n{target}").replace("+", "%2B").replace("=", "%3D")
    query = f"AWSAccessKeyId={caller.signer.access_key_id}&Expires={expires.replace(' ', '%20').replace('+', '%2B')}"
    request = caller.request("GET", f"{target}?{query}&Signature={signature}")
    refused(caller.ask(request), {400, 403})
