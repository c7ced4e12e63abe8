"""boto3: presigned POST policies, by SigV4 and SigV2, sent as a browser sends a form with a file."""

import base64
import json
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
from urllib3.filepost import encode_multipart_formdata

from tests.support.clients import s3_client
from tests.support.data import MIB, pattern
from tests.support.gateway import Gateway
from tests.support.plain_http import Response, fetch


@pytest.fixture(scope="session", params=["s3v4", "s3"], ids=["sigv4", "sigv2"])
def signer(any_gateway: Gateway, request: pytest.FixtureRequest) -> Iterator[Any]:
    """A boto3 client that only signs policies. Without a choice it signs by SigV2 in us-east-1."""
    config: dict[str, Any] = {"signature_version": "s3v4"} if request.param == "s3v4" else {}
    with closing(s3_client(any_gateway, **config)) as client:
        fields = client.generate_presigned_post("bucket", "key")["fields"]
        assert ("x-amz-signature" if request.param == "s3v4" else "AWSAccessKeyId") in fields
        yield client


def policy_for(signer: Any, bucket: str, key: str, **more: Any) -> dict[str, Any]:
    post: dict[str, Any] = signer.generate_presigned_post(bucket, key, **more)
    return post


def submit(
    gateway: Gateway, post: dict[str, Any], body: bytes, *, file: str = "a.bin", headers: Any = None, **fields: str
) -> Response:
    """Send the form: the signed fields, further ones, and the file last."""
    form = [*post["fields"].items(), *fields.items(), ("file", (file, body, "application/octet-stream"))]
    encoded, content_type = encode_multipart_formdata(form)
    return fetch(gateway, "POST", post["url"], {"Content-Type": content_type, **(headers or {})}, encoded)


@pytest.mark.parametrize("size", [0, 1, 100_000, 6 * MIB])
def test_a_form_stores_its_file(any_gateway: Gateway, signer: Any, s3: Any, bucket: str, size: int) -> None:
    body = pattern(size)
    done = submit(any_gateway, policy_for(signer, bucket, "dir/a b é.bin"), body)
    assert (done.status, done.body) == (204, b"")
    with s3.get_object(Bucket=bucket, Key="dir/a b é.bin")["Body"] as stream:
        assert stream.read() == body
    assert done.headers["etag"] == s3.head_object(Bucket=bucket, Key="dir/a b é.bin")["ETag"]
    assert done.headers["location"] == f"{any_gateway.endpoint}/{bucket}/dir/a%20b%20%C3%A9.bin"


def test_the_file_s_name_takes_its_place_in_the_key(any_gateway: Gateway, signer: Any, s3: Any, bucket: str) -> None:
    done = submit(any_gateway, policy_for(signer, bucket, "user/1/${filename}"), b"x", file="voice.ogg")
    assert done.status == 204
    assert [entry["Key"] for entry in s3.list_objects_v2(Bucket=bucket)["Contents"]] == ["user/1/voice.ogg"]


def test_success_action_status_201_tells_where_the_object_is(
    any_gateway: Gateway, signer: Any, s3: Any, bucket: str
) -> None:
    post = policy_for(
        signer,
        bucket,
        "a.jpg",
        Fields={"success_action_status": "201"},
        Conditions=[{"success_action_status": "201"}],
    )
    done = submit(any_gateway, post, b"x")
    assert done.status == 201
    assert (done.element("Bucket"), done.element("Key")) == (bucket, "a.jpg")
    assert done.element("ETag") == s3.head_object(Bucket=bucket, Key="a.jpg")["ETag"]
    assert done.element("Location") == f"{any_gateway.endpoint}/{bucket}/a.jpg"


def test_success_action_redirect_leads_the_browser_on(any_gateway: Gateway, signer: Any, bucket: str) -> None:
    target = "https://app.example/done?from=form"
    post = policy_for(
        signer,
        bucket,
        "a",
        Fields={"success_action_redirect": target},
        Conditions=[["starts-with", "$success_action_redirect", "https://app.example/"]],
    )
    done = submit(any_gateway, post, b"x")
    assert done.status == 303
    assert done.headers["location"].startswith(f"{target}&bucket={bucket}&key=a&etag=%22")


def test_fields_become_headers_metadata_and_tags(any_gateway: Gateway, signer: Any, s3: Any, bucket: str) -> None:
    tagging = "<Tagging><TagSet><Tag><Key>kind</Key><Value>voice</Value></Tag></TagSet></Tagging>"
    fields = {
        "Content-Type": "audio/ogg",
        "Cache-Control": "no-cache",
        "x-amz-meta-user": "sara",
        "acl": "private",
        "tagging": tagging,
    }
    post = policy_for(signer, bucket, "a", Fields=fields, Conditions=[{name: fields[name]} for name in fields])
    assert submit(any_gateway, post, b"x").status == 204
    head = s3.head_object(Bucket=bucket, Key="a")
    assert (head["ContentType"], head["CacheControl"], head["Metadata"]) == ("audio/ogg", "no-cache", {"user": "sara"})
    assert s3.get_object_tagging(Bucket=bucket, Key="a")["TagSet"] == [{"Key": "kind", "Value": "voice"}]


@pytest.mark.parametrize(
    ("size", "status", "code"), [(9, 400, "EntityTooSmall"), (10, 204, ""), (20, 204, ""), (21, 400, "EntityTooLarge")]
)
def test_content_length_range_holds_to_the_byte(
    any_gateway: Gateway, signer: Any, s3: Any, bucket: str, size: int, status: int, code: str
) -> None:
    post = policy_for(signer, bucket, "a", Conditions=[["content-length-range", 10, 20]])
    done = submit(any_gateway, post, b"x" * size)
    assert (done.status, done.code) == (status, code)
    assert s3.list_objects_v2(Bucket=bucket)["KeyCount"] == (1 if status == 204 else 0)


def test_a_form_may_say_only_what_the_policy_covers(any_gateway: Gateway, signer: Any, s3: Any, bucket: str) -> None:
    post = policy_for(signer, bucket, "a")
    assert submit(any_gateway, post, b"x", **{"Content-Type": "text/html"}).code == "AccessDenied"
    assert submit(any_gateway, post, b"x", **{"x-amz-meta-admin": "yes"}).code == "AccessDenied"
    assert submit(any_gateway, {**post, "fields": {**post["fields"], "key": "b"}}, b"x").code == "AccessDenied"
    typed = policy_for(signer, bucket, "a", Conditions=[["starts-with", "$Content-Type", "image/"]])
    assert submit(any_gateway, typed, b"x", **{"Content-Type": "text/html"}).status == 403
    assert submit(any_gateway, typed, b"x").status == 403
    assert s3.list_objects_v2(Bucket=bucket)["KeyCount"] == 0
    assert submit(any_gateway, typed, b"x", **{"Content-Type": "image/png"}).status == 204


def test_a_policy_that_was_changed_or_expired_is_refused(
    any_gateway: Gateway, signer: Any, s3: Any, bucket: str
) -> None:
    post = policy_for(signer, bucket, "a")
    document = json.loads(base64.b64decode(post["fields"]["policy"]))
    document["conditions"] = [{"bucket": bucket}, ["starts-with", "$key", ""]]
    changed = base64.b64encode(json.dumps(document).encode()).decode()
    forged = submit(any_gateway, {**post, "fields": {**post["fields"], "policy": changed}}, b"x")
    assert (forged.status, forged.code) == (403, "SignatureDoesNotMatch")
    expired = submit(any_gateway, policy_for(signer, bucket, "a", ExpiresIn=-60), b"x")
    assert (expired.status, expired.code) == (403, "AccessDenied")
    assert s3.list_objects_v2(Bucket=bucket)["KeyCount"] == 0


def test_a_policy_of_another_project_stores_nothing_here(any_gateway: Gateway, s3: Any, bucket: str) -> None:
    for config in ({"signature_version": "s3v4"}, {}):
        with closing(s3_client(any_gateway, other=True, **config)) as client:
            done = submit(any_gateway, policy_for(client, bucket, "a"), b"x")
        assert (done.status, done.code) == (403, "AccessDenied")
    assert s3.list_objects_v2(Bucket=bucket)["KeyCount"] == 0


def test_a_form_without_a_policy_is_anonymous_and_refused(any_gateway: Gateway, s3: Any, bucket: str) -> None:
    done = submit(any_gateway, {"url": f"{any_gateway.endpoint}/{bucket}", "fields": {"key": "a"}}, b"x")
    assert (done.status, done.code) == (403, "AccessDenied")
    assert s3.list_objects_v2(Bucket=bucket)["KeyCount"] == 0


def test_field_names_may_be_in_any_case_and_fields_behind_the_file_are_ignored(
    any_gateway: Gateway, signer: Any, s3: Any, bucket: str
) -> None:
    post = policy_for(signer, bucket, "a")
    form = [(name.upper(), value) for name, value in post["fields"].items()]
    encoded, content_type = encode_multipart_formdata(
        [*form, ("file", ("f", b"body", "text/plain")), ("submit", "Send")]
    )
    done = fetch(any_gateway, "POST", post["url"], {"Content-Type": content_type}, encoded)
    assert done.status == 204
    assert s3.head_object(Bucket=bucket, Key="a")["ContentLength"] == 4


def test_a_browser_of_an_allowed_origin_may_read_the_answer(any_gateway: Gateway, signer: Any) -> None:
    post = policy_for(signer, "demo-media", "cors/a")
    done = submit(any_gateway, post, b"x", headers={"Origin": "https://app.example"})
    assert done.status == 204
    assert done.headers["access-control-allow-origin"] == "https://app.example"
    assert "Location" in done.headers["access-control-expose-headers"]
