"""Browser forms and cross-origin requests at their corners, as S3 answers them."""

import base64
import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.auth import S3SigV4PostAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from urllib3.filepost import encode_multipart_formdata

from tests.support.clients import s3_client
from tests.support.gateway import DEMO_POLICY, Gateway
from tests.support.gateways import OpenGateway
from tests.support.plain_http import Response, fetch

FILE = b"a small file"
KEY = {"key": "in/file.txt"}
SHA256 = base64.b64encode(hashlib.sha256(FILE).digest()).decode()
CRC32 = "x-amz-checksum-crc32"


@pytest.fixture(scope="module")
def s3(gateway: Gateway) -> Iterator[Any]:
    with closing(s3_client(gateway)) as client:
        yield client


class Form:
    """A form for one bucket whose policy the test writes itself."""

    def __init__(self, gateway: Gateway, bucket: str) -> None:
        self.gateway, self.bucket = gateway, bucket
        self.key = Credentials(gateway.access_key_id, gateway.secret_access_key)

    def policy(self, *conditions: object) -> dict[str, Any]:
        """What a good policy says, and further conditions."""
        ends = (datetime.now(UTC) + timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
        return {
            "expiration": ends,
            "conditions": [{"bucket": self.bucket}, ["starts-with", "$key", "in/"], *conditions],
        }

    def sign(self, policy: Mapping[str, Any]) -> dict[str, str]:
        """The fields of a signed policy, by botocore."""
        request = AWSRequest("POST", f"{self.gateway.endpoint}/{self.bucket}")
        fields: dict[str, str] = {}
        request.context["s3-presign-post-fields"] = fields
        request.context["s3-presign-post-policy"] = json.loads(json.dumps(policy))
        S3SigV4PostAuth(self.key, "s3", "us-east-1").add_auth(request)
        return fields

    def send(
        self, fields: Mapping[str, str], *, file: bytes | None = FILE, name: str | None = "file.txt", tail: bytes = b""
    ) -> Response:
        parts: list[Any] = list(fields.items())
        if file is not None:
            parts.append(("file", file if name is None else (name, file, "text/plain")))
        body, content_type = encode_multipart_formdata(parts)
        url = f"{self.gateway.endpoint}/{self.bucket}"
        return fetch(self.gateway, "POST", url, {"Content-Type": content_type}, body + tail)

    def post(self, fields: Mapping[str, str], *conditions: object, **how: Any) -> Response:
        """Sign the good policy with further conditions, and send."""
        return self.send({**fields, **self.sign(self.policy(*conditions))}, **how)


@pytest.fixture
def form(gateway: Gateway, bucket: str) -> Form:
    return Form(gateway, bucket)


def stored(s3: Any, bucket: str) -> int:
    return s3.list_objects_v2(Bucket=bucket)["KeyCount"]


# --- conditions ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "conditions"),
    [
        ({}, []),
        ({"Content-Type": "text/plain"}, [["eq", "$Content-Type", "text/plain"]]),
        ({"Content-Type": "text/plain"}, [{"content-type": "text/plain"}]),
        ({"Content-Type": "text/plain, text/html"}, [["starts-with", "$Content-Type", "text/"]]),
        ({}, [["starts-with", "$Content-Type", ""]]),
        ({"x-amz-meta-tone": "anything"}, [["starts-with", "$x-amz-meta-tone", ""]]),
        ({"x-amz-meta-tone": "barking"}, [["starts-with", "$x-amz-meta-tone", "bar"]]),
        ({"x-ignore-this": "one"}, []),
        ({}, [["content-length-range", 0, 1000]]),
        ({}, [["content-length-range", "0", "1000"]]),
        ({}, [["content-length-range", len(FILE), len(FILE)]]),
        ({}, [["StArTs-WiTh", "$KEY", "in/f"]]),
        ({"KeY": "in/other.txt", "key": ""}, []),
    ],
    ids=str,
)
def test_a_form_that_its_policy_covers_is_stored(
    s3: Any, bucket: str, form: Form, fields: dict[str, str], conditions: list[Any]
) -> None:
    sent = {name: value for name, value in {**KEY, **fields}.items() if value}
    done = form.post(sent, *conditions)
    assert (done.status, done.body, stored(s3, bucket)) == (204, b"", 1)
    assert done.headers["etag"] == f'"{hashlib.md5(FILE).hexdigest()}"'


@pytest.mark.parametrize(
    ("fields", "conditions"),
    [
        ({"Content-Type": "image/png"}, []),
        ({"x-amz-meta-tone": "low"}, []),
        ({"submit": "Send"}, []),
        ({"bucket": "another"}, []),
        ({"Content-Type": "image/png"}, [["eq", "$Content-Type", "text/plain"]]),
        ({"Content-Type": "text/plain, image/png"}, [["starts-with", "$Content-Type", "text/"]]),
        ({}, [["starts-with", "$Content-Type", "text/"]]),
        ({}, [["eq", "$x-amz-meta-tone", "low"]]),
        ({"x-amz-meta-tone": "low"}, [["starts-with", "$x-amz-meta-tone", "high"]]),
        ({}, [["eq", "key", "in/file.txt"]]),
        ({}, [{"bucket": "another"}]),
        ({"key": "out/file.txt"}, []),
    ],
    ids=str,
)
def test_a_form_that_its_policy_does_not_cover_is_denied(
    s3: Any, bucket: str, form: Form, fields: dict[str, str], conditions: list[Any]
) -> None:
    refused = form.post({**KEY, **fields}, *conditions)
    assert (refused.status, refused.code, stored(s3, bucket)) == (403, "AccessDenied", 0)
    assert refused.element("Message").startswith("Invalid according to Policy")


@pytest.mark.parametrize("missing", ["bucket", "key"])
def test_a_policy_must_speak_of_bucket_and_key(form: Form, missing: str) -> None:
    policy = form.policy()
    del policy["conditions"][0 if missing == "bucket" else 1]
    refused = form.send({**KEY, **form.sign(policy)})
    assert (refused.status, refused.code) == (403, "AccessDenied")
    assert missing in refused.element("Message")


@pytest.mark.parametrize(
    "condition",
    [
        True,
        [],
        {},
        {"acl": "private", "key": "a"},
        {"acl": True},
        ["eq"],
        ["eq", "$key"],
        ["eq", "$key", "a", "b"],
        ["eq", False, "a"],
        ["eq", "$key", 5],
        ["ends-with", "$key", "a"],
        ["content-length-range", 0],
        ["content-length-range", -1, 5],
        ["content-length-range", 0, False],
        ["content-length-range", "few", "many"],
    ],
    ids=str,
)
def test_a_condition_that_is_none_spoils_the_policy(s3: Any, bucket: str, form: Form, condition: object) -> None:
    refused = form.post(KEY, condition)
    assert (refused.status, refused.code, stored(s3, bucket)) == (400, "InvalidPolicyDocument", 0)


@pytest.mark.parametrize(
    "change",
    [
        {"expiration": "tomorrow"},
        {"expiration": 5},
        {"expiration": "2031-02-30T00:00:00Z"},
        {"expiration": None},
        {"EXPIRATION": "2031-01-01T00:00:00Z", "expiration": None},
        {"conditions": None},
        {"conditions": True},
        {"CONDITIONS": [], "conditions": None},
        {"version": 1},
    ],
    ids=str,
)
def test_a_policy_has_an_end_and_conditions_and_nothing_else(form: Form, change: dict[str, Any]) -> None:
    policy = {name: value for name, value in {**form.policy(), **change}.items() if value is not None}
    signed = form.sign({**policy, "conditions": []}) if not isinstance(policy.get("conditions"), list) else None
    fields = form.sign(policy) if signed is None else resigned(form, policy, signed)
    refused = form.send({**KEY, **fields})
    assert (refused.status, refused.code) == (400, "InvalidPolicyDocument")


def resigned(form: Form, policy: Mapping[str, Any], fields: dict[str, str]) -> dict[str, str]:
    """Sign a policy that botocore would not: it has no list to add its own conditions to."""
    text = base64.b64encode(json.dumps(policy).encode()).decode()
    signer = S3SigV4PostAuth(form.key, "s3", "us-east-1")
    request = AWSRequest("POST", form.gateway.endpoint)
    request.context["timestamp"] = fields["x-amz-date"]
    return {**fields, "policy": text, "x-amz-signature": signer.signature(text, request)}


def test_who_signs_says_all_of_it(form: Form) -> None:
    fields = {**KEY, **form.sign(form.policy())}
    for name in ("policy", "x-amz-signature", "x-amz-algorithm", "x-amz-credential", "x-amz-date"):
        refused = form.send({field: value for field, value in fields.items() if field != name})
        assert (refused.status, refused.code) == (400, "InvalidArgument")
        assert name in refused.element("Message")
    for name, value in (("x-amz-date", "today"), ("x-amz-credential", "me"), ("x-amz-algorithm", "ROT13")):
        refused = form.send({**fields, name: value})
        assert (refused.status, refused.code) == (400, "InvalidArgument")
    assert form.send(fields).status == 204


def test_a_form_names_its_key_and_has_a_file(form: Form) -> None:
    for fields, how in (({}, {}), (KEY, {"file": None})):
        refused = form.post(fields, **how)
        assert (refused.status, refused.code) == (400, "InvalidArgument")
    long = form.post({"key": "in/" + "k" * 1024})
    assert (long.status, long.code) == (400, "KeyTooLongError")


# --- what is stored and answered ----------------------------------------------------------------------------------


def test_a_file_may_have_no_name_and_no_bytes(s3: Any, bucket: str, form: Form) -> None:
    assert form.post({"key": "in/nameless"}, name=None).status == 204
    assert form.post({"key": "in/empty"}, file=b"").status == 204
    assert s3.head_object(Bucket=bucket, Key="in/nameless")["ContentLength"] == len(FILE)
    assert s3.head_object(Bucket=bucket, Key="in/empty")["ContentLength"] == 0


def test_what_follows_the_form_is_not_the_file_s(s3: Any, bucket: str, form: Form) -> None:
    assert form.post(KEY, tail=b"an epilogue").status == 204
    assert s3.head_object(Bucket=bucket, Key=KEY["key"])["ContentLength"] == len(FILE)


def test_a_key_may_hold_a_dollar_sign(s3: Any, bucket: str, form: Form) -> None:
    assert form.post({"key": "in/$price"}, ["starts-with", "$key", "in/$"]).status == 204
    assert s3.head_object(Bucket=bucket, Key="in/$price")["ContentLength"] == len(FILE)


def test_fields_are_kept_as_headers(s3: Any, bucket: str, form: Form) -> None:
    kept = {
        "Content-Type": "image/png",
        "Cache-Control": "max-age=60",
        "Content-Disposition": "inline",
        "Content-Encoding": "gzip",
        "Content-Language": "fa",
        "Expires": "Thu, 01 Dec 2033 16:00:00 GMT",
    }
    assert form.post({**KEY, **kept}, *({name: value} for name, value in kept.items())).status == 204
    headers = s3.head_object(Bucket=bucket, Key=KEY["key"])["ResponseMetadata"]["HTTPHeaders"]
    assert {name: headers.get(name.lower()) for name in kept} == kept


@pytest.mark.parametrize(("asked", "status"), [("200", 200), ("201", 201), ("204", 204), ("404", 204), ("", 204)])
def test_three_statuses_can_be_asked_for(bucket: str, form: Form, asked: str, status: int) -> None:
    done = form.post({**KEY, "success_action_status": asked}, {"success_action_status": asked})
    location = f"{form.gateway.endpoint}/{bucket}/{KEY['key']}"
    assert (done.status, done.headers["location"]) == (status, location)
    if status == 201:
        assert [done.element(name) for name in ("Location", "Bucket", "Key")] == [location, bucket, KEY["key"]]
        assert done.element("ETag") == done.headers["etag"]
    else:
        assert done.body == b""


@pytest.mark.parametrize("name", ["success_action_redirect", "redirect"])
def test_a_redirect_goes_before_a_status_and_keeps_its_query(bucket: str, form: Form, name: str) -> None:
    target = "http://localhost/thanks?x=1"
    fields = {**KEY, name: target, "success_action_status": "201"}
    done = form.post(fields, {name: target}, {"success_action_status": "201"})
    etag = hashlib.md5(FILE).hexdigest()
    expected = f"{target}&bucket={bucket}&key=in%2Ffile.txt&etag=%22{etag}%22"
    assert (done.status, done.headers["location"]) == (303, expected)


@pytest.mark.parametrize(
    ("fields", "status", "code"),
    [
        ({"x-amz-checksum-sha256": SHA256}, 204, ""),
        ({"x-amz-checksum-sha256": SHA256, "x-amz-checksum-algorithm": "SHA256"}, 204, ""),
        ({"x-amz-checksum-sha256": base64.b64encode(bytes(32)).decode()}, 400, "BadDigest"),
        ({"x-amz-checksum-sha256": "none"}, 400, "InvalidRequest"),
        ({"x-amz-checksum-sha256": SHA256, CRC32: "AAAAAA=="}, 400, "InvalidRequest"),
        ({"Content-MD5": base64.b64encode(hashlib.md5(FILE).digest()).decode()}, 204, ""),
        ({"Content-MD5": base64.b64encode(bytes(16)).decode()}, 400, "BadDigest"),
        ({"tagging": "<Tagging><TagSet><Tag><Key>a</Key><Value>b</Value></Tag></TagSet></Tagging>"}, 204, ""),
        ({"tagging": "a=b"}, 400, "MalformedXML"),
        ({"x-amz-storage-class": "GLACIER"}, 400, "InvalidStorageClass"),
        ({"x-amz-server-side-encryption": "AES256"}, 501, "NotImplemented"),
        ({"x-amz-acl": "public-read"}, 400, "AccessControlListNotSupported"),
        ({"acl": "private"}, 204, ""),
    ],
    ids=str,
)
def test_what_a_form_may_ask_for_besides(
    s3: Any, bucket: str, form: Form, fields: dict[str, str], status: int, code: str
) -> None:
    done = form.post({**KEY, **fields}, *({name: value} for name, value in fields.items()))
    assert (done.status, done.code, stored(s3, bucket)) == (status, code, 1 if status == 204 else 0)
    if status == 204 and "x-amz-checksum-sha256" in fields:
        head = s3.head_object(Bucket=bucket, Key=KEY["key"], ChecksumMode="ENABLED")
        assert head["ChecksumSHA256"] == SHA256


def test_a_post_that_is_no_form(gateway: Gateway, bucket: str) -> None:
    url = f"{gateway.endpoint}/{bucket}"
    for content_type, status, code in (
        ("application/json", 412, "PreconditionFailed"),
        ("multipart/form-data", 400, "MalformedPOSTRequest"),
    ):
        refused = fetch(gateway, "POST", url, {"Content-Type": content_type}, b"{}")
        assert (refused.status, refused.code) == (status, code)
    at_a_key = fetch(gateway, "POST", f"{url}/a", {"Content-Type": "multipart/form-data; boundary=x"}, b"--x--\r\n")
    assert (at_a_key.status, at_a_key.code) == (405, "MethodNotAllowed")


# --- cross-origin requests ----------------------------------------------------------------------------------------

WILDCARDS = """\
[[cors]]
allowed_origins = ["https://*.start.example", "*end.example", "https://mid*.example:8443"]
allowed_methods = ["GET"]

[[cors]]
allowed_origins = ["*"]
allowed_methods = ["PUT"]
allowed_headers = ["x-amz-*", "Content-Type"]
expose_headers = ["x-amz-request-id"]
max_age_s = 60
"""


@pytest.fixture(scope="module")
def crossing(open_gateway: OpenGateway) -> Iterator[Gateway]:
    """A gateway whose rules have wildcards."""
    policy = DEMO_POLICY.partition("[[cors]]")[0] + WILDCARDS
    with open_gateway(policies={"demo": policy, "other": policy.replace("demo", "other")}) as running:
        yield running


def ask(gateway: Gateway, origin: str | None, method: str | None, headers: str | None = None) -> Response:
    asked = {
        "Origin": origin,
        "Access-Control-Request-Method": method,
        "Access-Control-Request-Headers": headers,
    }
    sent = {name: value for name, value in asked.items() if value is not None}
    return fetch(gateway, "OPTIONS", f"{gateway.endpoint}/demo-media/a", sent)


@pytest.mark.parametrize(
    ("origin", "method", "headers", "allowed"),
    [
        ("https://a.start.example", "GET", None, "https://a.start.example"),
        ("https://a.b.start.example", "GET", None, "https://a.b.start.example"),
        ("https://start.example", "GET", None, None),
        ("http://a.start.example", "GET", None, None),
        ("https://weekend.example", "GET", None, "https://weekend.example"),
        ("https://end.example.net", "GET", None, None),
        ("https://midway.example:8443", "GET", None, "https://midway.example:8443"),
        ("https://midway.example", "GET", None, None),
        ("https://a.start.example", "GET", "x-any", None),
        ("https://a.start.example", "DELETE", None, None),
        ("https://a.start.example", "get", None, None),
        ("https://anyone.test", "PUT", None, "*"),
        ("null", "PUT", None, "*"),
        ("https://anyone.test", "PUT", "X-Amz-Meta-A, content-type", "*"),
        ("https://anyone.test", "PUT", "x-amz-meta-a,authorization", None),
    ],
)
def test_a_preflight_is_answered_by_the_first_rule_that_allows_all_of_it(
    crossing: Gateway, origin: str, method: str, headers: str | None, allowed: str | None
) -> None:
    answer = ask(crossing, origin, method, headers)
    assert answer.status == (403 if allowed is None else 200)
    assert answer.headers.get("access-control-allow-origin") == allowed
    if allowed == "*":
        assert answer.headers["access-control-max-age"] == "60"
        assert "access-control-allow-credentials" not in answer.headers
        if headers:
            assert answer.headers["access-control-allow-headers"].lower() == "x-amz-meta-a, content-type"


@pytest.mark.parametrize(("origin", "method"), [(None, "GET"), ("https://a.start.example", None), (None, None)])
def test_a_preflight_must_say_who_and_what(crossing: Gateway, origin: str | None, method: str | None) -> None:
    answer = ask(crossing, origin, method)
    assert (answer.status, answer.code) == (400, "BadRequest")


def test_answers_carry_the_rule_s_headers_refusals_and_304_too(crossing: Gateway) -> None:
    with closing(s3_client(crossing, signature_version="s3v4")) as client:
        etag = client.put_object(Bucket="demo-media", Key="a", Body=b"x")["ETag"]
        url = client.generate_presigned_url("get_object", Params={"Bucket": "demo-media", "Key": "a"})
    good = "https://a.start.example"
    for headers, status in (({}, 200), ({"If-None-Match": etag}, 304), ({"If-Match": '"x"'}, 412)):
        answer = fetch(crossing, "GET", url, {"Origin": good, **headers})
        assert (answer.status, answer.headers["access-control-allow-origin"]) == (status, good)
        assert "origin" in answer.headers["vary"].lower()
    stranger = fetch(crossing, "GET", url, {"Origin": "https://anyone.test"})
    assert (stranger.status, "access-control-allow-origin" in stranger.headers) == (200, False)
    assert "origin" in fetch(crossing, "GET", url).headers["vary"].lower()
