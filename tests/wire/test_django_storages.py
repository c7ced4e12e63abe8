"""django-storages: a Django application's files, with links that boto3 signs by SigV2 unless told otherwise."""

from collections.abc import Iterator

import pytest
from django.conf import settings
from django.core.files.base import ContentFile
from storages.backends.s3 import S3Storage

from tests.support.data import MIB, pattern
from tests.support.gateway import Gateway
from tests.support.plain_http import fetch


@pytest.fixture(scope="module", autouse=True)
def django_settings() -> None:
    if not settings.configured:
        settings.configure(USE_TZ=True)


@pytest.fixture(params=[None, "s3v4"], ids=["default", "sigv4"])
def storage(any_gateway: Gateway, bucket: str, request: pytest.FixtureRequest) -> Iterator[S3Storage]:
    made = S3Storage(
        access_key=any_gateway.access_key_id,
        secret_key=any_gateway.secret_access_key,
        bucket_name=bucket,
        endpoint_url=any_gateway.endpoint,
        region_name="us-east-1",
        verify=str(any_gateway.ca_file) if any_gateway.ca_file else None,
        signature_version=request.param,
        file_overwrite=False,
        default_acl="private",
        object_parameters={"CacheControl": "max-age=60"},
    )
    yield made
    made.connection.meta.client.close()


def test_files_are_saved_opened_listed_and_deleted(storage: S3Storage) -> None:
    name = storage.save("users/1/صدا é.ogg", ContentFile(pattern(100_000)))
    assert name == "users/1/صدا é.ogg"
    assert storage.exists(name)
    assert not storage.exists("users/1/missing")
    assert storage.size(name) == 100_000
    with storage.open(name) as file:
        assert file.read() == pattern(100_000)
    assert storage.get_modified_time(name).tzinfo is not None
    assert storage.listdir("users") == (["1"], [])
    assert storage.listdir("users/1") == ([], ["صدا é.ogg"])
    assert storage.save(name, ContentFile(b"another")) != name
    storage.delete(name)
    assert not storage.exists(name)


def test_a_large_file_goes_up_in_parts_and_is_written_like_a_file(storage: S3Storage) -> None:
    body = pattern(9 * MIB)
    storage.save("big.bin", ContentFile(body))
    with storage.open("big.bin") as file:
        assert file.read() == body
    with storage.open("written.txt", "wb") as file:
        file.write(b"line one\n")
        file.write(b"line two\n")
    with storage.open("written.txt") as file:
        assert file.read() == b"line one\nline two\n"


def test_url_is_a_link_that_a_browser_can_follow(storage: S3Storage, any_gateway: Gateway) -> None:
    name = storage.save("a b.txt", ContentFile(b"linked"))
    url = storage.url(name)
    signed_by_sigv2 = "AWSAccessKeyId=" in url
    assert signed_by_sigv2 is (storage.signature_version is None)
    got = fetch(any_gateway, "GET", url)
    assert (got.status, got.body, got.headers["cache-control"]) == (200, b"linked", "max-age=60")
