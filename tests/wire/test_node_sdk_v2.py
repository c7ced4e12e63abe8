"""aws-sdk-js v2: SigV4 headers, presigned URLs by SigV2 (its default) and SigV4, managed uploads, POST forms."""

import hashlib

import pytest

from tests.support.gateway import Gateway
from tests.wire.node_clients import MIB, Run, body, etag, etag_in_parts, failed, has_body, refused, run_node, xml_value

LARGE = 12 * MIB + 5


@pytest.fixture(scope="module", params=["path", "virtual"])
def sdk(any_gateway: Gateway, request: pytest.FixtureRequest) -> Run:
    return run_node("sdk_v2.mjs", any_gateway, virtual=request.param == "virtual")


def test_a_bucket_is_made_listed_and_made_once(sdk: Run) -> None:
    facts = sdk.facts("create_bucket")
    assert sdk.bucket in facts["listed"]
    assert failed(facts["again"], 409, "BucketAlreadyOwnedByYou")


def test_a_buffer_keeps_its_headers_and_metadata(sdk: Run) -> None:
    facts = sdk.facts("put_a_buffer")
    assert facts["etag"] == etag(body(70_000))
    for seen in (facts["head"], facts["got"]):
        assert seen["ETag"] == etag(body(70_000))
        assert seen["ContentLength"] == 70_000
        assert seen["ContentType"] == "image/png"
        assert seen["CacheControl"] == "max-age=60"
        assert seen["Metadata"] == {"colour": "green"}
    assert has_body(facts["got"], 70_000)


def test_a_file_stream_is_stored(sdk: Run) -> None:
    assert has_body(sdk.facts("put_a_file_stream"), 3 * MIB + 17)


def test_any_region_is_accepted_in_a_signature(sdk: Run) -> None:
    assert has_body(sdk.facts("put_with_signed_payload_v4"), 9000)


def test_an_object_is_read_as_a_stream_and_in_ranges(sdk: Run) -> None:
    facts = sdk.facts("get_ranges_and_streams")
    assert has_body(facts["stream"], 200_000)
    assert facts["range"]["part"] == "bytes 5-9/200000"
    assert facts["range"]["sha256"] == hashlib.sha256(body(200_000)[5:10]).hexdigest()
    assert failed(facts["past"], 416, "InvalidRange")
    assert failed(facts["same"], 304, "NotModified")


def test_a_large_stream_is_uploaded_in_parts(sdk: Run) -> None:
    facts = sdk.facts("upload_a_stream_in_parts")
    assert facts["etag"] == etag_in_parts(LARGE)
    assert facts["type"] == "video/mp4"
    assert has_body(facts, LARGE)


@pytest.mark.parametrize(
    ("case", "key"), [("upload_a_stream_in_parts", "parts/stream é.bin"), ("upload_a_small_buffer", "parts/small")]
)
def test_the_location_of_an_upload_reaches_the_object(sdk: Run, case: str, key: str) -> None:
    location = sdk.facts(case)["location"]
    assert sdk.reaches(location, key), location


def test_lists_are_folded_at_the_delimiter_and_come_in_pages(sdk: Run) -> None:
    facts = sdk.facts("list")
    assert facts["pages"] == [["list/+&<>", "list/a"], ["list/b c", "list/d/"], ["list/ز"]]
    assert len(facts["v1"]) == len(facts["written"])


def test_a_copy_takes_tags_and_metadata_along_and_both_are_deleted(sdk: Run) -> None:
    facts = sdk.facts("copy_tag_and_delete")
    assert facts["etag"] == etag(body(100))
    assert facts["tags"] == [{"Key": "kind", "Value": "image"}]
    assert facts["metadata"] == {"a": "1"}
    assert sorted(facts["deleted"]) == ["copy/a é", "copy/b"]
    assert facts["left"] == []


@pytest.mark.parametrize(
    ("case", "signed_by"), [("presigned_by_default", "AWSAccessKeyId="), ("presigned_v4", "X-Amz-Signature=")]
)
def test_presigned_urls_of_both_signature_versions_live_their_life(sdk: Run, case: str, signed_by: str) -> None:
    facts = sdk.facts(case)
    assert signed_by in facts["url"]
    assert facts["put"]["status"] == facts["get"]["status"] == facts["head"]["status"] == 200
    assert facts["put"]["headers"]["etag"] == etag(body(3000))
    assert has_body(facts["get"], 3000)
    assert facts["get"]["headers"]["content-type"] == "image/png"
    assert facts["ranged"]["status"] == 206
    assert facts["ranged"]["sha256"] == hashlib.sha256(body(3000)[10:20]).hexdigest()
    assert facts["named"]["status"] == 200
    assert facts["named"]["headers"]["content-disposition"] == 'attachment; filename="a b.png"'
    assert facts["head"]["headers"]["content-length"] == "3000"
    assert has_body(facts["back"], 3000)
    assert facts["removed"] == 204


@pytest.mark.parametrize("case", ["presigned_by_default", "presigned_v4"])
def test_a_presigned_url_serves_no_other_key_and_no_other_method(sdk: Run, case: str) -> None:
    facts = sdk.facts(case)
    assert refused(facts["other_key"], 403, "SignatureDoesNotMatch")
    assert refused(facts["other_method"], 403, "SignatureDoesNotMatch")


def test_a_sigv2_url_that_has_expired_or_carries_another_type_is_refused(sdk: Run) -> None:
    facts = sdk.facts("presigned_by_default")
    assert refused(facts["expired"], 403, "AccessDenied")
    assert facts["other_type"]["status"] == 403
    assert xml_value(facts["other_type"], "Code") in {"SignatureDoesNotMatch", "AccessDenied"}
    assert facts["left"] == []


def test_a_sigv4_url_with_a_negative_life_is_refused(sdk: Run) -> None:
    answer = sdk.facts("presigned_v4")["expired"]
    assert refused(answer, 400, "AuthorizationQueryParametersError")


def test_a_presigned_form_stores_the_file(sdk: Run) -> None:
    facts = sdk.facts("presigned_post")
    assert facts["made"]["status"] == 201
    assert xml_value(facts["made"], "Key") == "forms/a b.png"
    assert sdk.reaches(xml_value(facts["made"], "Location"), "forms/a b.png")
    assert has_body(facts, 5000)
    assert refused(facts["too_large"], 400, "EntityTooLarge")


@pytest.mark.parametrize(
    ("asked", "status", "name"),
    [
        ("no_key", 404, "NoSuchKey"),
        ("head_no_key", 404, "NotFound"),
        ("wrong_secret", 403, "SignatureDoesNotMatch"),
        ("unknown_access_key", 403, "InvalidAccessKeyId"),
    ],
)
def test_errors_are_the_ones_the_sdk_knows(sdk: Run, asked: str, status: int, name: str) -> None:
    facts = sdk.facts("errors")[asked]
    assert failed(facts, status, name), facts
