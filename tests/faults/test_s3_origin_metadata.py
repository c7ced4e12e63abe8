"""E13 at an origin that takes 2 KiB of metadata and counts them: a client may use all of it, and not a byte more."""

from collections.abc import Iterator

import pytest

from tests.support.caller import Caller, complete_document, refused
from tests.support.gateway import Gateway
from tests.support.raw_http import Answer
from tests.support.s3_gateway import BUCKET, calling, s3_gateway, served
from tests.support.scripted_origin import ScriptedOrigin
from tests.support.signer import BOUNDARY, form_body, post_policy

MOST = 2048
"""Bytes of S3's limit: names without their prefix, and values, in UTF-8.

https://docs.aws.amazon.com/AmazonS3/latest/userguide/UsingMetadata.html
"""

LEFT_OUT = "anbar-left-out"


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory, origin: ScriptedOrigin) -> Iterator[Gateway]:
    with served(s3_gateway(tmp_path_factory.mktemp("metadata"), origin), origin) as gateway:
        yield gateway


@pytest.fixture
def caller(running: Gateway, origin: ScriptedOrigin) -> Iterator[Caller]:
    with calling(running, origin) as caller:
        yield caller


def metadata_of(size: int) -> dict[str, str]:
    """Some of it longer in UTF-8 than in letters; five entries, the last one makes it up to `size` bytes."""
    metadata = {"colour": "red", "title": "ماه", "note": "n" * 100, "longer": "l" * 600}
    used = sum(len(name) + len(value.encode()) for name, value in metadata.items())
    return {**metadata, "rest": "r" * (size - used - len("rest"))}


def headers_of(metadata: dict[str, str]) -> list[tuple[str, str]]:
    return [(f"x-amz-meta-{name}", value) for name, value in metadata.items()]


def put(caller: Caller, key: str, metadata: dict[str, str]) -> Answer:
    return caller.call("PUT", f"/{BUCKET}/{key}", b"body", headers_of(metadata))


def post(caller: Caller, key: str, metadata: dict[str, str]) -> Answer:
    fields = [("key", key), *((f"x-amz-meta-{name}", value) for name, value in metadata.items())]
    signing = ("x-amz-credential", "x-amz-algorithm", "x-amz-date")
    names = [*(name for name, _ in fields), *signing]
    conditions = [{"bucket": BUCKET}, *(["starts-with", f"${name}", ""] for name in names)]
    body = form_body([*fields, *caller.signer.post_fields(post_policy(conditions)).items()], b"body")
    headers = [("Content-Type", f"multipart/form-data; boundary={BOUNDARY}")]
    return caller.ask(caller.request("POST", f"/{BUCKET}", body, headers))


def upload(caller: Caller, key: str, metadata: dict[str, str]) -> Answer:
    begun = caller.call("POST", f"/{BUCKET}/{key}?uploads=", b"", headers_of(metadata))
    if begun.status != 200:
        return begun
    upload_id = begun.body.partition(b"<UploadId>")[2].partition(b"<")[0].decode()
    etag = caller.put_part(BUCKET, key, upload_id, 1, b"body")
    return caller.complete(BUCKET, key, upload_id, complete_document([(1, etag)]))


def copy(caller: Caller, key: str, metadata: dict[str, str]) -> Answer:
    more = [("x-amz-copy-source", f"/{BUCKET}/probe"), ("x-amz-metadata-directive", "REPLACE")]
    return caller.call("PUT", f"/{BUCKET}/{key}", b"", [*headers_of(metadata), *more])


WAYS = [put, post, upload, copy]


@pytest.mark.parametrize("way", WAYS)
def test_e13_all_of_two_kilobytes_is_kept_and_one_byte_more_is_too_large(caller: Caller, origin: ScriptedOrigin, way):
    key, metadata = f"full-{way.__name__}", metadata_of(MOST)
    refused(way(caller, key, metadata_of(MOST + 1)), 400, "MetadataTooLarge")
    assert caller.get(BUCKET, key).status == 404
    assert way(caller, key, metadata).status in (200, 204)
    answer = caller.call("HEAD", f"/{BUCKET}/{key}")
    found = {name: answer.header(f"x-amz-meta-{name}") for name in metadata}
    assert found["rest"] == metadata["rest"]
    assert (found["colour"], found["note"], found["longer"]) == ("red", "n" * 100, "l" * 600)
    assert answer.header(f"x-amz-meta-{LEFT_OUT}") is None
    kept = origin.objects(BUCKET)[key].metadata
    assert kept[LEFT_OUT] == "1", "the largest entry"
    assert (kept["colour"], kept["longer"]) == ("red", "l" * 600)
    assert "rest" not in kept
    assert kept["anbar-write"], "and it is known whose write it was"


def test_e13_a_copy_takes_all_of_two_kilobytes_along(caller: Caller):
    metadata = metadata_of(MOST)
    put(caller, "source", metadata)
    assert caller.call("PUT", f"/{BUCKET}/target", b"", [("x-amz-copy-source", f"/{BUCKET}/source")]).status == 200
    answer = caller.call("HEAD", f"/{BUCKET}/target")
    assert answer.header("x-amz-meta-rest") == metadata["rest"]
    assert answer.header("x-amz-meta-colour") == "red"


def test_e13_what_fits_beside_our_entries_is_all_at_the_origin(caller: Caller, origin: ScriptedOrigin):
    metadata = metadata_of(1900)
    assert put(caller, "fits", metadata).status == 200
    kept = origin.objects(BUCKET)["fits"].metadata
    assert kept["rest"] == metadata["rest"]
    assert LEFT_OUT not in kept
