"""minio-py: asks for the region first, sends parts with Content-MD5, and writes ETags without quotes."""

import io
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import urllib3
from minio import Minio
from minio.commonconfig import CopySource, Tags
from minio.credentials.providers import AssumeRoleProvider
from minio.datatypes import PostPolicy
from minio.deleteobjects import DeleteObject
from minio.error import S3Error
from urllib3.filepost import encode_multipart_formdata

from tests.support.clients import fresh_bucket_name
from tests.support.data import MIB, ODD_KEYS, pattern
from tests.support.gateway import Gateway
from tests.support.media_house import PRIVATE, ROLE, EndUser, MediaHouse
from tests.support.plain_http import fetch


def pool_for(gateway: Gateway) -> urllib3.PoolManager:
    return urllib3.PoolManager(timeout=30, retries=False, ca_certs=str(gateway.ca_file) if gateway.ca_file else None)


@pytest.fixture
def minio(any_gateway: Gateway) -> Iterator[Minio]:
    pool = pool_for(any_gateway)
    yield Minio(
        endpoint=f"{any_gateway.host}:{any_gateway.port}",
        access_key=any_gateway.access_key_id,
        secret_key=any_gateway.secret_access_key,
        secure=any_gateway.tls,
        http_client=pool,
    )
    pool.clear()


def read(minio: Minio, bucket: str, key: str, **more: Any) -> bytes:
    answer = minio.get_object(bucket_name=bucket, object_name=key, **more)
    with answer:
        data: bytes = answer.read()
    answer.release_conn()
    return data


def put(minio: Minio, bucket: str, key: str, body: bytes, **more: Any) -> None:
    minio.put_object(bucket_name=bucket, object_name=key, data=io.BytesIO(body), length=len(body), **more)


def test_buckets_are_made_found_and_removed(minio: Minio) -> None:
    name = fresh_bucket_name()
    minio.make_bucket(bucket_name=name)
    assert minio.bucket_exists(bucket_name=name)
    assert name in [entry.name for entry in minio.list_buckets()]
    minio.remove_bucket(bucket_name=name)
    assert not minio.bucket_exists(bucket_name=name)


def test_odd_keys_are_put_read_listed_and_removed(minio: Minio, bucket: str) -> None:
    keys = [key for key in ODD_KEYS if not key.startswith("/")]
    for key in keys:
        put(minio, bucket, key, key.encode(), content_type="text/plain", metadata={"x-amz-meta-k": "v"})
        assert read(minio, bucket, key) == key.encode()
    stat = minio.stat_object(bucket_name=bucket, object_name=keys[0])
    assert stat.metadata is not None
    assert (stat.content_type, stat.metadata["x-amz-meta-k"]) == ("text/plain", "v")
    listed = [entry.object_name for entry in minio.list_objects(bucket_name=bucket, recursive=True)]
    assert listed == sorted(keys, key=lambda key: key.encode())
    errors = minio.remove_objects(bucket_name=bucket, delete_object_list=[DeleteObject(key) for key in keys])
    assert list(errors) == []
    assert list(minio.list_objects(bucket_name=bucket, recursive=True)) == []


def test_a_file_in_parts_a_range_and_a_copy(minio: Minio, bucket: str, tmp_path: Path) -> None:
    body = pattern(11 * MIB)
    (tmp_path / "big").write_bytes(body)
    minio.fput_object(bucket_name=bucket, object_name="big", file_path=str(tmp_path / "big"), part_size=5 * MIB)
    assert read(minio, bucket, "big") == body
    assert read(minio, bucket, "big", offset=5 * MIB - 2, length=4) == body[5 * MIB - 2 : 5 * MIB + 2]
    minio.copy_object(bucket_name=bucket, object_name="copy", source=CopySource(bucket_name=bucket, object_name="big"))
    assert minio.stat_object(bucket_name=bucket, object_name="copy").size == len(body)


def test_a_stream_of_unknown_length(minio: Minio, bucket: str) -> None:
    body = pattern(6 * MIB)
    minio.put_object(bucket_name=bucket, object_name="stream", data=io.BytesIO(body), length=-1, part_size=5 * MIB)
    assert read(minio, bucket, "stream") == body


def test_tags(minio: Minio, bucket: str) -> None:
    put(minio, bucket, "a", b"x")
    tags = Tags.new_object_tags()
    tags["kind"] = "voice"
    minio.set_object_tags(bucket_name=bucket, object_name="a", tags=tags)
    assert minio.get_object_tags(bucket_name=bucket, object_name="a") == {"kind": "voice"}
    minio.delete_object_tags(bucket_name=bucket, object_name="a")
    assert not minio.get_object_tags(bucket_name=bucket, object_name="a")


@pytest.mark.filterwarnings("ignore:datetime.datetime.utcnow:DeprecationWarning:minio")  # its own, from Python 3.12 on
def test_presigned_urls_and_forms(minio: Minio, any_gateway: Gateway, bucket: str) -> None:
    url = minio.presigned_put_object(bucket_name=bucket, object_name="a b", expires=timedelta(minutes=5))
    assert fetch(any_gateway, "PUT", url, body=b"browser").status == 200
    url = minio.presigned_get_object(bucket_name=bucket, object_name="a b", expires=timedelta(minutes=5))
    assert fetch(any_gateway, "GET", url).body == b"browser"
    policy = PostPolicy(bucket, datetime.now(UTC) + timedelta(minutes=5))
    policy.add_equals_condition("key", "form")
    policy.add_content_length_range_condition(1, 100)
    fields = {**minio.presigned_post_policy(policy=policy), "key": "form"}
    encoded, content_type = encode_multipart_formdata([*fields.items(), ("file", ("f", b"form body"))])
    done = fetch(any_gateway, "POST", f"{any_gateway.endpoint}/{bucket}", {"Content-Type": content_type}, encoded)
    assert done.status == 204
    assert read(minio, bucket, "form") == b"form body"


def test_errors_keep_their_code(minio: Minio, bucket: str) -> None:
    with pytest.raises(S3Error) as refused:
        minio.get_object(bucket_name=bucket, object_name="missing")
    assert refused.value.code == "NoSuchKey"
    with pytest.raises(S3Error) as refused:
        minio.stat_object(bucket_name="other-media", object_name="a")
    assert refused.value.code == "AccessDenied"


@pytest.mark.parametrize("region", [None, "us-east-1"])
def test_an_assume_role_provider_uploads_for_an_end_user(
    media_house: MediaHouse, lea: EndUser, tom: EndUser, region: str | None
) -> None:
    """Its STS request has neither a region, unless it is told one, nor a user agent."""
    gateway, service = media_house.gateway, media_house.keys["backend"]
    tom.s3.put_object(Bucket=PRIVATE, Key=tom.path("a"), Body=b"his")
    pool = pool_for(gateway)
    provider = AssumeRoleProvider(
        sts_endpoint=gateway.endpoint,
        access_key=service.access_key_id,
        secret_key=service.secret_access_key,
        region=region,
        role_arn=ROLE,
        role_session_name=lea.name,
        http_client=pool,
    )
    client = Minio(
        endpoint=f"{gateway.host}:{gateway.port}", credentials=provider, secure=gateway.tls, http_client=pool
    )
    body = pattern(6 * MIB)
    client.put_object(
        bucket_name=PRIVATE, object_name=lea.path("big"), data=io.BytesIO(body), length=len(body), part_size=5 * MIB
    )
    assert read(client, PRIVATE, lea.path("big")) == body
    assert [found.object_name for found in client.list_objects(bucket_name=PRIVATE, recursive=True)] == [
        lea.path("big")
    ]
    url = client.presigned_get_object(bucket_name=PRIVATE, object_name=lea.path("big"))
    assert fetch(gateway, "GET", url).body == body
    with pytest.raises(S3Error) as refused:
        read(client, PRIVATE, tom.path("a"))
    assert refused.value.code == "AccessDenied"
    pool.clear()
