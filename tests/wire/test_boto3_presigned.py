"""boto3: presigned URLs by SigV4, and by SigV2 as boto3 still makes them by default, used without any SDK."""

from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

import pytest
from botocore.auth import S3SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from tests.support.clients import s3_client, signers_clock_at
from tests.support.data import ODD_KEYS, pattern
from tests.support.gateway import Gateway
from tests.support.plain_http import Response, fetch


@pytest.fixture(scope="session", params=["s3v4", "s3"], ids=["sigv4", "sigv2"])
def signer(any_gateway: Gateway, request: pytest.FixtureRequest) -> Iterator[Any]:
    """A boto3 client that only presigns. Without a choice it signs by SigV2 in us-east-1."""
    config: dict[str, Any] = {"signature_version": "s3v4"} if request.param == "s3v4" else {}
    with closing(s3_client(any_gateway, **config)) as client:
        marker = "X-Amz-Signature=" if request.param == "s3v4" else "AWSAccessKeyId="
        assert marker in client.generate_presigned_url("get_object", Params={"Bucket": "b", "Key": "k"})
        yield client


def presign(signer: Any, operation: str, bucket: str, key: str, *, expires_s: int = 600, **more: Any) -> str:
    url: str = signer.generate_presigned_url(
        operation, Params={"Bucket": bucket, "Key": key, **more}, ExpiresIn=expires_s
    )
    return url


def refusal(answer: Response) -> tuple[int, str]:
    return answer.status, answer.code


def test_a_presigned_get_reads(any_gateway: Gateway, signer: Any, s3: Any, bucket: str) -> None:
    body = pattern(100_000)
    s3.put_object(Bucket=bucket, Key="photo.jpg", Body=body, ContentType="image/jpeg")
    url = presign(signer, "get_object", bucket, "photo.jpg")
    got = fetch(any_gateway, "GET", url)
    assert (got.status, got.body, got.headers["content-type"]) == (200, body, "image/jpeg")
    part = fetch(any_gateway, "GET", url, {"Range": "bytes=10-19"})
    assert (part.status, part.body) == (206, body[10:20])
    same = fetch(any_gateway, "GET", url, {"If-None-Match": got.headers["etag"]})
    assert (same.status, same.body) == (304, b"")


def test_every_odd_key_is_reached_by_a_presigned_url(any_gateway: Gateway, signer: Any, s3: Any, bucket: str) -> None:
    for key in ODD_KEYS:
        s3.put_object(Bucket=bucket, Key=key, Body=key.encode())
        got = fetch(any_gateway, "GET", presign(signer, "get_object", bucket, key))
        assert (key, got.status, got.body) == (key, 200, key.encode())


@pytest.mark.parametrize(
    ("method", "operation"), [("HEAD", "head_bucket"), ("GET", "get_bucket_location"), ("GET", "get_bucket_acl")]
)
def test_a_presigned_url_asks_about_a_bucket(
    any_gateway: Gateway, signer: Any, bucket: str, method: str, operation: str
) -> None:
    url = signer.generate_presigned_url(operation, Params={"Bucket": bucket})
    assert fetch(any_gateway, method, url).status == 200
    other = url.replace(f"/{bucket}?", "/demo-voice?")
    assert fetch(any_gateway, method, other).status == 403


def test_a_presigned_put_writes(any_gateway: Gateway, signer: Any, s3: Any, bucket: str) -> None:
    put = fetch(any_gateway, "PUT", presign(signer, "put_object", bucket, "a é.bin"), body=b"from a browser")
    assert (put.status, put.body) == (200, b"")
    head = s3.head_object(Bucket=bucket, Key="a é.bin")
    assert (head["ContentLength"], head["ETag"]) == (14, put.headers["etag"])


def test_a_presigned_put_holds_the_browser_to_the_signed_content_type(
    any_gateway: Gateway, signer: Any, s3: Any, bucket: str
) -> None:
    url = presign(signer, "put_object", bucket, "a", ContentType="image/png")
    wrong = fetch(any_gateway, "PUT", url, {"Content-Type": "text/html"}, b"x")
    assert wrong.status == 403
    assert wrong.code in ("SignatureDoesNotMatch", "AccessDenied")
    right = fetch(any_gateway, "PUT", url, {"Content-Type": "image/png"}, b"x")
    assert right.status == 200
    assert s3.head_object(Bucket=bucket, Key="a")["ContentType"] == "image/png"


def test_presigned_head_and_delete(any_gateway: Gateway, signer: Any, s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="a", Body=b"12345")
    head = fetch(any_gateway, "HEAD", presign(signer, "head_object", bucket, "a"))
    assert (head.status, head.headers["content-length"], head.body) == (200, "5", b"")
    assert fetch(any_gateway, "DELETE", presign(signer, "delete_object", bucket, "a")).status == 204
    assert "Contents" not in s3.list_objects_v2(Bucket=bucket)


def test_a_presigned_listing_lists_by_sigv4_and_is_refused_with_a_reason_by_sigv2(
    any_gateway: Gateway, signer: Any, s3: Any, bucket: str
) -> None:
    """SigV2 signs neither the prefix nor that it is a listing: whoever has such a URL could list everything."""
    s3.put_object(Bucket=bucket, Key="dir/a", Body=b"x")
    url = signer.generate_presigned_url("list_objects_v2", Params={"Bucket": bucket, "Prefix": "dir/"})
    got = fetch(any_gateway, "GET", url)
    if "X-Amz-Signature=" in url:
        assert (got.status, got.element("Key")) == (200, "dir/a")
    else:
        assert refusal(got) == (403, "AccessDenied")
        assert "AWS4-HMAC-SHA256" in got.element("Message")


def test_presigned_parts_make_an_object(any_gateway: Gateway, signer: Any, s3: Any, bucket: str) -> None:
    upload_id = s3.create_multipart_upload(Bucket=bucket, Key="big", ChecksumAlgorithm="CRC64NVME")["UploadId"]
    url = presign(signer, "upload_part", bucket, "big", UploadId=upload_id, PartNumber=1)
    put = fetch(any_gateway, "PUT", url, body=b"part")
    assert put.status == 200
    parts = [{"PartNumber": 1, "ETag": put.headers["etag"]}]
    s3.complete_multipart_upload(Bucket=bucket, Key="big", UploadId=upload_id, MultipartUpload={"Parts": parts})
    assert s3.head_object(Bucket=bucket, Key="big")["ContentLength"] == 4


def test_signed_overrides_shape_the_answer(any_gateway: Gateway, signer: Any, s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="a", Body=b"x")
    disposition = "attachment; filename=\"a b.ogg\"; filename*=UTF-8''%D8%B5%D8%AF%D8%A7.ogg"
    url = presign(
        signer,
        "get_object",
        bucket,
        "a",
        ResponseContentDisposition=disposition,
        ResponseContentType="audio/ogg; codecs=opus",
    )
    got = fetch(any_gateway, "GET", url)
    assert got.status == 200
    assert got.headers["content-disposition"] == disposition
    assert got.headers["content-type"] == "audio/ogg; codecs=opus"


def test_a_url_is_good_for_one_method_key_and_query(any_gateway: Gateway, signer: Any, s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="a", Body=b"x")
    s3.put_object(Bucket=bucket, Key="b", Body=b"y")
    url = presign(signer, "get_object", bucket, "a")
    changed = [
        ("PUT", url),
        ("DELETE", url),
        ("GET", url.replace(f"{bucket}/a?", f"{bucket}/b?")),
        ("GET", url.replace(f"{bucket}/a?", f"{bucket}//a?")),
        ("GET", f"{url}&response-content-type=text%2Fhtml"),
        ("GET", f"{url}&versionId=null"),
        ("GET", f"{url}&tagging"),
        ("GET", with_parameter(url, ("X-Amz-Signature", "Signature"), lambda text: text[::-1])),
        ("GET", with_parameter(url, ("X-Amz-Expires", "Expires"), lambda text: str(int(text) + 1))),
    ]
    for method, changed_url in changed:
        answer = fetch(any_gateway, method, changed_url)
        assert refusal(answer) == (403, "SignatureDoesNotMatch"), (method, changed_url)
    assert fetch(any_gateway, "GET", url).body == b"x"


def with_parameter(url: str, names: tuple[str, str], change: Any) -> str:
    """The URL with one of its query parameters changed."""
    parts = urlsplit(url)
    query = [(name, change(value) if name in names else value) for name, value in parse_qsl(parts.query)]
    return parts._replace(query=urlencode(query, quote_via=quote, safe="-_.~")).geturl()


def test_an_expired_url_is_refused(any_gateway: Gateway, signer: Any, s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="a", Body=b"x")
    with signers_clock_at(datetime.now(UTC) - timedelta(hours=1)):
        expired = presign(signer, "get_object", bucket, "a", expires_s=600)
        still_good = presign(signer, "get_object", bucket, "a", expires_s=7200)
    assert refusal(fetch(any_gateway, "GET", expired)) == (403, "AccessDenied")
    assert fetch(any_gateway, "GET", still_good).status == 200


def test_an_unknown_key_and_a_wrong_secret_are_told_apart(any_gateway: Gateway, bucket: str) -> None:
    class Stranger:
        endpoint, ca_file = any_gateway.endpoint, any_gateway.ca_file
        access_key_id, secret_access_key = "AKDOESNOTEXIST000000", "secret"
        other_access_key_id, other_secret_access_key = any_gateway.access_key_id, "wrong"

    for version in ("s3v4", None):
        config = {"signature_version": version} if version else {}
        for other, code in ((False, "InvalidAccessKeyId"), (True, "SignatureDoesNotMatch")):
            with closing(s3_client(Stranger, other=other, **config)) as client:  # type: ignore[arg-type]
                url = presign(client, "get_object", bucket, "a")
            assert refusal(fetch(any_gateway, "GET", url)) == (403, code)


def test_a_url_of_another_project_reads_nothing_here(any_gateway: Gateway, s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="a", Body=b"x")
    for config in ({"signature_version": "s3v4"}, {}):
        with closing(s3_client(any_gateway, other=True, **config)) as client:
            url = presign(client, "get_object", bucket, "a")
        assert refusal(fetch(any_gateway, "GET", url)) == (403, "AccessDenied")


def test_sigv4_urls_live_for_seven_days_at_most(any_gateway: Gateway, s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="a", Body=b"x")
    with closing(s3_client(any_gateway, signature_version="s3v4")) as client:
        week = presign(client, "get_object", bucket, "a", expires_s=7 * 86400)
        longer = presign(client, "get_object", bucket, "a", expires_s=7 * 86400 + 1)
    assert fetch(any_gateway, "GET", week).status == 200
    assert refusal(fetch(any_gateway, "GET", longer)) == (400, "AuthorizationQueryParametersError")


def test_checksums_that_a_browser_cannot_know_are_not_enforced_from_the_query(
    any_gateway: Gateway, s3: Any, bucket: str
) -> None:
    """JavaScript's SDK v3 presigns PUTs with the CRC32 of an empty body in the query."""
    url = f"{any_gateway.endpoint}/{bucket}/a?x-amz-checksum-crc32=AAAAAA%3D%3D&x-amz-sdk-checksum-algorithm=CRC32&x-id=PutObject"
    request = AWSRequest("PUT", url)
    credentials = Credentials(any_gateway.access_key_id, any_gateway.secret_access_key)
    S3SigV4QueryAuth(credentials, "s3", "us-east-1", expires=600).add_auth(request)
    put = fetch(any_gateway, "PUT", request.url, {"Content-Type": "image/png"}, b"not empty")
    assert put.status == 200
    assert s3.head_object(Bucket=bucket, Key="a")["ContentLength"] == 9
