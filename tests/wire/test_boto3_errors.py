"""boto3: what a client reads when it is refused."""

import time
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import pytest
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import ClientError

from tests.support.clients import error_code, s3_client, signers_clock_at, status
from tests.support.gateway import Gateway
from tests.support.gateways import OpenGateway
from tests.support.plain_http import fetch


def client_with(gateway: Gateway, access_key_id: str, secret_access_key: str, **config: Any) -> Any:
    return boto3.client(
        "s3",
        endpoint_url=gateway.endpoint,
        region_name="us-east-1",
        aws_access_key_id=access_key_id,
        aws_secret_access_key=secret_access_key,
        verify=str(gateway.ca_file) if gateway.ca_file else None,
        config=Config(retries={"total_max_attempts": 1}, **config),
    )


def test_a_wrong_secret_is_signature_does_not_match(any_gateway: Gateway, bucket: str) -> None:
    with closing(client_with(any_gateway, any_gateway.access_key_id, "wrong" * 8)) as client:
        for call in (client.list_buckets, lambda: client.put_object(Bucket=bucket, Key="a", Body=b"x")):
            with pytest.raises(ClientError) as refused:
                call()
            assert error_code(refused) == ("SignatureDoesNotMatch", 403)


def test_an_unknown_access_key_is_named(any_gateway: Gateway) -> None:
    stranger = client_with(any_gateway, "AKNOBODY000000000000", "secret")
    with closing(stranger), pytest.raises(ClientError) as refused:
        stranger.list_buckets()
    assert error_code(refused) == ("InvalidAccessKeyId", 403)


def test_a_disabled_key_is_refused_within_seconds_and_so_is_a_deleted_one(any_gateway: Gateway) -> None:
    access_key_id, secret_access_key = any_gateway.create_key("demo")
    with closing(client_with(any_gateway, access_key_id, secret_access_key)) as client:
        assert status(client.list_buckets()) == 200
        for command in ("disable", "delete"):
            any_gateway.command("keys", command, access_key_id)
            assert first_refusal(client) == ("InvalidAccessKeyId", 403)


def first_refusal(client: Any) -> tuple[str, int]:
    """Ask until the gateway has learnt what the command line changed; it looks every second."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        try:
            client.list_buckets()
        except ClientError as error:
            return error.response["Error"]["Code"], status(error.response)
    raise AssertionError("never refused")


def test_nobody_may_do_anything(any_gateway: Gateway, bucket: str) -> None:
    with closing(client_with(any_gateway, "x", "y", signature_version=UNSIGNED)) as client:
        for call in (
            client.list_buckets,
            lambda: client.list_objects_v2(Bucket=bucket),
            lambda: client.get_object(Bucket=bucket, Key="a"),
            lambda: client.put_object(Bucket=bucket, Key="a", Body=b"x"),
            lambda: client.delete_object(Bucket=bucket, Key="a"),
            lambda: client.create_bucket(Bucket="t-anonymous-bucket"),
        ):
            with pytest.raises(ClientError) as refused:
                call()
            assert error_code(refused) == ("AccessDenied", 403)


def test_sigv2_in_the_authorization_header_is_refused_with_a_reason(any_gateway: Gateway) -> None:
    with closing(s3_client(any_gateway, signature_version="s3")) as client, pytest.raises(ClientError) as refused:
        client.list_buckets()
    assert error_code(refused) == ("InvalidRequest", 400)
    assert "AWS4-HMAC-SHA256" in refused.value.response["Error"]["Message"]


def test_a_clock_that_is_wrong_is_told_so(any_gateway: Gateway, s3: Any) -> None:
    for shift in (timedelta(minutes=-20), timedelta(minutes=20)):
        with signers_clock_at(datetime.now(UTC) + shift), pytest.raises(ClientError) as refused:
            s3.list_buckets()
        assert error_code(refused) == ("RequestTimeTooSkewed", 403)
    for shift in (timedelta(minutes=-10), timedelta(minutes=10)):
        with signers_clock_at(datetime.now(UTC) + shift):
            assert status(s3.list_buckets()) == 200


def test_refusals_carry_what_support_needs(s3: Any, bucket: str) -> None:
    with pytest.raises(ClientError) as refused:
        s3.get_object(Bucket=bucket, Key="no such/thing é")
    response = refused.value.response
    assert error_code(refused) == ("NoSuchKey", 404)
    assert response["Error"]["Key"] == "no such/thing é"
    assert response["ResponseMetadata"]["RequestId"]
    assert response["ResponseMetadata"]["HostId"]
    assert response["ResponseMetadata"]["HTTPHeaders"]["content-type"] == "application/xml"
    with pytest.raises(ClientError) as refused:
        s3.list_objects_v2(Bucket="t-nowhere-to-be-found")
    assert error_code(refused) == ("NoSuchBucket", 404)
    assert refused.value.response["Error"]["BucketName"] == "t-nowhere-to-be-found"


def test_head_of_what_is_missing_has_no_body(s3: Any, bucket: str) -> None:
    with pytest.raises(ClientError) as missing:
        s3.head_object(Bucket=bucket, Key="missing")
    assert error_code(missing) == ("404", 404)


@pytest.mark.parametrize(
    ("key", "code"),
    [
        ("k" * 1025, "KeyTooLongError"),
        ("é" * 513, "KeyTooLongError"),
        ("a/../b", "InvalidURI"),
        ("../escape", "InvalidURI"),
        ("a/./b", "InvalidURI"),
        ("nul\x00byte", "InvalidURI"),
    ],
)
def test_keys_that_cannot_be_are_refused(s3: Any, bucket: str, key: str, code: str) -> None:
    with pytest.raises(ClientError) as refused:
        s3.put_object(Bucket=bucket, Key=key, Body=b"x")
    assert error_code(refused) == (code, 400)
    assert "Contents" not in s3.list_objects_v2(Bucket=bucket)


def test_metadata_of_two_kilobytes_is_kept(s3: Any, bucket: str) -> None:
    metadata = {"k" * 48: "v" * 2000}
    s3.put_object(Bucket=bucket, Key="fits", Body=b"x", Metadata=metadata)
    assert s3.head_object(Bucket=bucket, Key="fits")["Metadata"] == metadata


def test_metadata_of_more_than_two_kilobytes_is_too_large(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="fits", Body=b"x", Metadata={"k" * 48: "v" * 1800})
    with pytest.raises(ClientError) as refused:
        s3.put_object(Bucket=bucket, Key="a", Body=b"x", Metadata={"k": "v" * 2048})
    assert error_code(refused) == ("MetadataTooLarge", 400)
    assert [entry["Key"] for entry in s3.list_objects_v2(Bucket=bucket)["Contents"]] == ["fits"]


def test_answers_name_no_software(any_gateway: Gateway, s3: Any) -> None:
    headers = s3.list_buckets()["ResponseMetadata"]["HTTPHeaders"]
    assert headers["x-amz-request-id"]
    assert headers["x-amz-id-2"]
    refused = fetch(any_gateway, "GET", f"{any_gateway.endpoint}/demo-media/a")
    assert (refused.status, refused.code) == (403, "AccessDenied")
    for banner in (headers.get("server", ""), refused.headers.get("server", ""), refused.body.decode().lower()):
        for software in ("aiohttp", "python", "anbar"):
            assert software not in banner.lower()


def test_stored_media_cannot_run_in_a_browser(any_gateway: Gateway, s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="evil.html", Body=b"<script>alert(1)</script>", ContentType="text/html")
    url = s3.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": "evil.html"})
    got = fetch(any_gateway, "GET", url)
    assert got.status == 200
    assert got.headers["x-content-type-options"] == "nosniff"
    assert "sandbox" in got.headers["content-security-policy"]
    assert got.headers["content-disposition"].startswith("attachment")


@pytest.mark.parametrize("tls", [False, True], ids=["http", "https"])
def test_a_gateway_ends_by_itself_although_a_client_stays_connected(open_gateway: OpenGateway, tls: bool) -> None:
    with open_gateway(tls=tls) as running, closing(s3_client(running)) as client:
        client.put_object(Bucket="demo-media", Key="a", Body=b"x")
        assert running.stop() == 0
        running.start()
        assert client.head_object(Bucket="demo-media", Key="a")["ContentLength"] == 1
        assert running.stop() == 0
