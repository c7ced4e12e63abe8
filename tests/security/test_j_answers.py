"""J: what a stored object or a parameter can do to the browser that gets it, and CORS."""

import pytest

from tests.support.caller import assert_nothing_about_the_server, refused
from tests.support.signer import uri_encode

CONTROLS = ["a\x00b", "a\x01b", "a\x0bb", "a\x1fb", "a\x7fb", "a\rb", "a\nb"]
STORED_HEADERS = ["x-amz-meta-mark", "Content-Disposition", "Cache-Control", "Content-Type", "Content-Language", "Content-Encoding", "Expires", "x-amz-tagging"]  # fmt: skip


@pytest.mark.parametrize("name", STORED_HEADERS)
@pytest.mark.parametrize("value", CONTROLS)
def test_j01_a_control_character_in_a_header_is_refused_when_it_is_written(caller, untouched, name, value):
    for method, target in (("PUT", "victim"), ("POST", "victim?uploads")):
        refused(caller.call(method, f"/{untouched}/{target}", b"", [(name, value)]), {400, 403})
    headers = [("x-amz-copy-source", f"/{untouched}/victim"), ("x-amz-metadata-directive", "REPLACE"), (name, value)]
    refused(caller.call("PUT", f"/{untouched}/copy", b"", headers), {400, 403})


@pytest.mark.parametrize(
    "value", ["=?UTF-8?Q?a=0D=0Ab?=", "%0d%0a", "\\r\\n", "é", "ﬀ", "a\u2028b", "a\x85b", "\U0001f5c4"]
)
def test_j01_any_metadata_that_is_accepted_can_be_read_back(caller, bucket, value):
    answer = caller.call("PUT", f"/{bucket}/k", b"bytes", [("x-amz-meta-mark", value)])
    if answer.status == 200:
        found = caller.get(bucket, "k")
        assert found.body == b"bytes"
        assert (found.header("x-amz-meta-mark") or "") != ""
        assert caller.call("HEAD", f"/{bucket}/k").status == 200
    else:
        refused(answer, 400)


OVERRIDES = ["response-content-disposition", "response-content-type", "response-cache-control", "response-expires", "response-content-language", "response-content-encoding"]  # fmt: skip


@pytest.mark.parametrize("name", OVERRIDES)
@pytest.mark.parametrize("value", ["attachment\r\nSet-Cookie: x=y", "a\nb", "a\rb", "a\x00b", "a\x1fb", "a\x7fb"])
def test_j02_a_response_parameter_injects_no_header(caller, untouched, name, value):
    target = f"/{untouched}/victim?{name}={uri_encode(value)}"
    refused(caller.call("GET", target), 400)
    refused(caller.ask(caller.presigned("GET", target)), 400)
    assert caller.call("HEAD", target).status == 400


@pytest.mark.parametrize("value", ["é", "\u2028", "%0d%0a", "🗄"])
def test_j02_a_response_parameter_beyond_ascii_breaks_nothing(caller, untouched, value):
    target = f"/{untouched}/victim?response-content-disposition={uri_encode('attachment; filename=' + value)}"
    answer = caller.call("GET", target)
    if answer.status == 200:
        assert answer.body == b"the first bytes"
        assert answer.header("set-cookie") is None
    else:
        refused(answer, 400)


@pytest.mark.parametrize("name", OVERRIDES)
def test_j02_nobody_overrides_without_a_signature(caller, untouched, name):
    answer = caller.ask(caller.request("GET", f"/{untouched}/victim?{name}=x"))
    refused(answer, {400, 403})


DANGEROUS = ["text/html", "TEXT/HTML; charset=utf-8", "image/svg+xml", "application/xhtml+xml", "text/xml", "application/xml", "application/pdf", "text/javascript", "multipart/x-mixed-replace; boundary=a", "nonsense", "text/html,image/png", None]  # fmt: skip


@pytest.mark.parametrize("content_type", DANGEROUS)
def test_j04_active_content_is_sandboxed_and_downloaded(caller, bucket, content_type):
    headers = [("Content-Type", content_type)] if content_type else []
    caller.put(bucket, "k", b"<script>alert(1)</script>", headers)
    for answer in (
        caller.get(bucket, "k"),
        caller.call("HEAD", f"/{bucket}/k"),
        caller.ask(caller.presigned("GET", f"/{bucket}/k")),
    ):
        assert answer.status == 200
        assert answer.header("x-content-type-options") == "nosniff"
        policy = answer.header("content-security-policy") or ""
        assert "sandbox" in policy
        assert "default-src 'none'" in policy
        assert (answer.header("content-disposition") or "").startswith("attachment")
        assert_nothing_about_the_server(answer) if answer.body == b"" else None


@pytest.mark.parametrize(
    "content_type", ["image/png", "image/jpeg", "image/webp", "video/mp4", "audio/ogg", "audio/mpeg"]
)
def test_j04_media_is_shown_in_place_but_never_sniffed(caller, bucket, content_type):
    caller.put(bucket, "k", b"<html><script>alert(1)</script>", [("Content-Type", content_type)])
    answer = caller.get(bucket, "k")
    assert answer.header("content-type") == content_type
    assert answer.header("x-content-type-options") == "nosniff"
    assert "sandbox" in (answer.header("content-security-policy") or "")
    assert answer.header("content-disposition") is None


@pytest.mark.parametrize("override", ["text/html", "image/svg+xml"])
def test_j04_a_response_parameter_does_not_take_the_sandbox_away(caller, bucket, override):
    caller.put(bucket, "k", b"<script>alert(1)</script>", [("Content-Type", "image/png")])
    query = f"response-content-type={uri_encode(override)}"
    answer = caller.call("GET", f"/{bucket}/k?{query}")
    assert answer.header("x-content-type-options") == "nosniff"
    assert "sandbox" in (answer.header("content-security-policy") or "")


def test_j04_errors_are_no_pages_either(caller, untouched):
    answer = caller.call("GET", f"/{untouched}/%3Cscript%3Ealert(1)%3C%2Fscript%3E")
    refused(answer, 404, "NoSuchKey")
    assert b"<script" not in answer.body


PREFLIGHT = [("Origin", "https://app.example"), ("Access-Control-Request-Method", "PUT")]


def test_j07_a_preflight_needs_no_signature(caller, gateway):
    answer = caller.ask(caller.request("OPTIONS", "/demo-media/k", b"", PREFLIGHT))
    assert answer.status == 200
    assert answer.header("access-control-allow-origin") in ("https://app.example", "*")
    assert "origin" in (answer.header("vary") or "").lower()


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [("Origin", "https://app.example")],
        [("Access-Control-Request-Method", "PUT")],
        [("Origin", "https://evil.example"), ("Access-Control-Request-Method", "PUT")],
        [("Origin", "https://app.example.evil.example"), ("Access-Control-Request-Method", "PUT")],
        [("Origin", "http://app.example"), ("Access-Control-Request-Method", "PUT")],
        [("Origin", "null"), ("Access-Control-Request-Method", "GET")],
        [("Origin", ""), ("Access-Control-Request-Method", "")],
        [("Origin", "https://app.example"), ("Access-Control-Request-Method", "TRACE")],
        [("Origin", "https://app.example"), ("Access-Control-Request-Method", "put")],
        [("Origin", "\udcff"), ("Access-Control-Request-Method", "PUT")],
        [("Origin", "https://" + "a" * 7000), ("Access-Control-Request-Method", "PUT")],
        [("Origin", "*"), ("Access-Control-Request-Method", "*")],
    ],
)
@pytest.mark.parametrize("target", ["/demo-media/k", "/no-such-bucket-of-anybody/k", "/"])
def test_j07_a_preflight_of_others_is_refused_whether_the_bucket_exists_or_not(caller, gateway, headers, target):
    refused(caller.ask(caller.request("OPTIONS", target, b"", headers)), {400, 403})


def test_j07_the_refusal_of_a_preflight_tells_nothing_of_a_bucket(caller):
    headers = [("Origin", "https://evil.example"), ("Access-Control-Request-Method", "PUT")]
    answers = [
        caller.ask(caller.request("OPTIONS", f"/{name}/k", b"", headers)) for name in ("demo-media", "demo-mediX")
    ]
    first, second = [(answer.status, answer.reason) for answer in answers]
    assert first[0] == second[0] or second[0] == 400  # an impossible name may be told so
    absent = caller.ask(caller.request("OPTIONS", "/no-such-bucket-of-anybody/k", b"", headers))
    assert absent.status == first[0]


def test_j07_cors_headers_follow_each_requests_origin(caller, gateway):
    caller.put("demo-media", "cors", b"bytes")
    for origin, allowed in (("https://app.example", True), ("https://evil.example", False), (None, False)):
        headers = [("Origin", origin)] if origin else []
        for answer in (
            caller.call("GET", "/demo-media/cors", b"", headers),
            caller.call("GET", "/demo-media/missing-cors", b"", headers),
            caller.ask(caller.request("GET", "/demo-media/cors", b"", headers)),
        ):
            assert (answer.header("access-control-allow-origin") is not None) == allowed
            assert (answer.header("access-control-allow-credentials") is None) or origin == answer.header(
                "access-control-allow-origin"
            )
            assert "origin" in (answer.header("vary") or "").lower()


def test_j08_an_answer_says_nothing_of_what_it_was_made_with(caller, bucket):
    caller.put(bucket, "k", b"bytes")
    for target in (f"/{bucket}/k", f"/{bucket}?list-type=2", "/", f"/{bucket}/missing"):
        answer = caller.call("GET", target)
        for name in ("server", "x-powered-by", "via"):
            value = (answer.header(name) or "").lower()
            assert "aiohttp" not in value
            assert "python" not in value
        assert answer.header("set-cookie") is None


@pytest.mark.parametrize("name", ["X-Request-Id", "X-Amz-Request-Id", "X-Correlation-Id"])
@pytest.mark.parametrize("value", ["client-chosen", "a b", "x" * 5000])
def test_j10_a_request_id_of_the_client_is_replaced(caller, untouched, gateway, name, value):
    request = caller.signer.sign(caller.request("GET", f"/{untouched}/missing", b"", [(name, value)]))
    answer = caller.ask(request)
    refused(answer, 404)
    assert answer.header("x-amz-request-id") != value
    assert value.encode() not in answer.body
    assert value not in gateway.stderr()


def test_j10_request_ids_are_never_given_twice(caller, untouched):
    ids = [caller.call("GET", f"/{untouched}/missing").header("x-amz-request-id") for _ in range(20)]
    assert len(set(ids)) == len(ids)
