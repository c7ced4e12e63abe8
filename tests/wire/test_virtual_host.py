"""Virtual-host style: the bucket is in the host's name, as SDKs without a path style switch send it."""

from collections.abc import Iterator
from contextlib import closing
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from urllib3.filepost import encode_multipart_formdata

from tests.support.clients import error_code, fresh_bucket_name, status
from tests.support.data import ODD_KEYS
from tests.support.gateway import Gateway
from tests.support.localhost import localhost_names
from tests.support.plain_http import fetch


@pytest.fixture(params=["s3.localhost", "localhost"])
def virtual(any_gateway: Gateway, request: pytest.FixtureRequest) -> Iterator[Any]:
    """boto3 in virtual-host style below one of the configured domains."""
    scheme = "https" if any_gateway.tls else "http"
    client = boto3.client(
        "s3",
        endpoint_url=f"{scheme}://{request.param}:{any_gateway.port}",
        region_name="us-east-1",
        aws_access_key_id=any_gateway.access_key_id,
        aws_secret_access_key=any_gateway.secret_access_key,
        verify=str(any_gateway.ca_file) if any_gateway.ca_file else None,
        config=Config(s3={"addressing_style": "virtual"}, retries={"total_max_attempts": 1}),
    )
    with localhost_names(), closing(client):
        yield client


def test_buckets_and_objects_are_reached_by_the_host_s_name(virtual: Any, any_gateway: Gateway) -> None:
    name = fresh_bucket_name()
    virtual.create_bucket(Bucket=name)
    assert name in [entry["Name"] for entry in virtual.list_buckets()["Buckets"]]
    for key in ODD_KEYS:
        virtual.put_object(Bucket=name, Key=key, Body=key.encode())
        with virtual.get_object(Bucket=name, Key=key)["Body"] as body:
            assert body.read() == key.encode()
    listed = [entry["Key"] for entry in virtual.list_objects_v2(Bucket=name)["Contents"]]
    assert listed == sorted(ODD_KEYS, key=lambda key: key.encode())
    virtual.copy_object(Bucket=name, Key="copy", CopySource={"Bucket": name, "Key": "a"})
    deletions = [{"Key": key} for key in (*ODD_KEYS, "copy")]
    virtual.delete_objects(Bucket=name, Delete={"Objects": deletions})
    assert status(virtual.delete_bucket(Bucket=name)) == 204
    with pytest.raises(ClientError) as gone:
        virtual.list_objects_v2(Bucket=name)
    assert error_code(gone) == ("NoSuchBucket", 404)


def test_the_location_of_complete_is_in_the_same_style(virtual: Any, any_gateway: Gateway) -> None:
    upload_id = virtual.create_multipart_upload(Bucket="demo-media", Key="a b")["UploadId"]
    put = virtual.upload_part(Bucket="demo-media", Key="a b", UploadId=upload_id, PartNumber=1, Body=b"x")
    part = {"PartNumber": 1, "ETag": put["ETag"], "ChecksumCRC32": put["ChecksumCRC32"]}
    done = virtual.complete_multipart_upload(
        Bucket="demo-media", Key="a b", UploadId=upload_id, MultipartUpload={"Parts": [part]}
    )
    scheme, host = virtual.meta.endpoint_url.split("://")
    assert done["Location"] == f"{scheme}://demo-media.{host}/a%20b"


def test_presigned_urls_and_forms_of_both_signatures_work(virtual: Any, any_gateway: Gateway) -> None:
    scheme, host = virtual.meta.endpoint_url.split("://")
    put = virtual.generate_presigned_url("put_object", Params={"Bucket": "demo-media", "Key": "signed é"})
    assert put.startswith(f"{scheme}://demo-media.{host}/signed%20%C3%A9?")
    assert fetch(any_gateway, "PUT", put, body=b"body").status == 200
    got = virtual.generate_presigned_url("get_object", Params={"Bucket": "demo-media", "Key": "signed é"})
    assert fetch(any_gateway, "GET", got).body == b"body"
    post = virtual.generate_presigned_post("demo-media", "form")
    encoded, content_type = encode_multipart_formdata([*post["fields"].items(), ("file", ("f", b"form body"))])
    done = fetch(any_gateway, "POST", post["url"], {"Content-Type": content_type}, encoded)
    assert (done.status, done.headers["location"]) == (204, f"{scheme}://demo-media.{host}/form")


def test_a_host_that_is_no_bucket_name_is_refused(any_gateway: Gateway) -> None:
    for host in ("UP_.s3.localhost", "a..b.s3.localhost", "-.s3.localhost"):
        answer = fetch(any_gateway, "GET", f"{any_gateway.endpoint}/", {"Host": f"{host}:{any_gateway.port}"})
        assert answer.status in (400, 403), host
