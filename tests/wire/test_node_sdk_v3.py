"""aws-sdk-js v3: client-s3, lib-storage and both presigners, path style and virtual-host style, over HTTP and TLS."""

import base64
import hashlib
import zlib
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from awscrt import checksums as crc  # type: ignore[import-untyped]

from tests.support.gateway import Gateway
from tests.wire.node_clients import (
    MIB,
    PART_SIZE,
    Run,
    body,
    etag,
    etag_in_parts,
    failed,
    has_body,
    refused,
    run_node,
    xml_value,
)

LARGE = 12 * MIB + 5


@pytest.fixture(scope="module", params=["path", "virtual"])
def sdk(any_gateway: Gateway, request: pytest.FixtureRequest) -> Run:
    return run_node("sdk_v3.mjs", any_gateway, virtual=request.param == "virtual")


def checksum(algorithm: str, data: bytes) -> str:
    """The checksum as S3 writes it: big-endian, base64."""
    raw = {
        "CRC32": lambda: zlib.crc32(data).to_bytes(4, "big"),
        "CRC32C": lambda: crc.crc32c(data).to_bytes(4, "big"),
        "CRC64NVME": lambda: crc.crc64nvme(data).to_bytes(8, "big"),
        "SHA1": lambda: hashlib.sha1(data, usedforsecurity=False).digest(),
        "SHA256": lambda: hashlib.sha256(data).digest(),
    }[algorithm]()
    return base64.b64encode(raw).decode()


def test_a_bucket_is_made_seen_listed_and_made_once(sdk: Run) -> None:
    facts = sdk.facts("create_bucket")
    assert sdk.bucket in facts["location"]
    assert facts["head"] == 200
    assert sdk.bucket in facts["listed"]
    assert facts["versioning"] is None
    assert failed(facts["again"], 409, "BucketAlreadyOwnedByYou")


def test_a_buffer_keeps_its_headers_metadata_and_checksum(sdk: Run) -> None:
    facts = sdk.facts("put_a_buffer")
    assert facts["put"]["ETag"] == etag(body(70_000))
    assert facts["put"]["ChecksumCRC32"] == checksum("CRC32", body(70_000))
    for seen in (facts["head"], facts["got"]):
        assert seen["ETag"] == etag(body(70_000))
        assert seen["ContentLength"] == 70_000
        assert seen["ContentType"] == "image/png"
        assert seen["CacheControl"] == "max-age=60"
        assert seen["ContentDisposition"] == 'inline; filename="a b.png"'
        assert seen["ContentLanguage"] == "fa"
        assert seen["ExpiresString"] == "Mon, 02 Jan 2040 00:00:00 GMT"
        assert seen["Metadata"] == {"colour": "green", "mixed": "Case"}
        assert seen["ChecksumCRC32"] == checksum("CRC32", body(70_000))
        assert seen["AcceptRanges"] == "bytes"
    assert has_body(facts["got"], 70_000)


def test_an_empty_object_is_an_object(sdk: Run) -> None:
    facts = sdk.facts("put_an_empty_object")
    assert facts["put"]["ETag"] == etag(b"")
    assert facts["got"]["ContentLength"] == 0
    assert has_body(facts["got"], 0)


def test_a_text_comes_back_in_its_own_letters(sdk: Run) -> None:
    assert sdk.facts("put_a_text")["text"] == "انبار, a storehouse"


def test_a_file_stream_is_stored_without_its_framing(sdk: Run) -> None:
    facts = sdk.facts("put_a_file_stream")
    assert has_body(facts, 3 * MIB + 17)
    assert facts["ETag"] == etag(body(3 * MIB + 17))
    assert facts.get("ContentEncoding") is None
    assert facts["ChecksumCRC32"] == checksum("CRC32", body(3 * MIB + 17))


def test_a_stream_keeps_its_own_content_encoding_and_loses_aws_chunked(sdk: Run) -> None:
    facts = sdk.facts("put_a_stream_of_known_length")
    assert has_body(facts, 300_000)
    assert facts["ContentEncoding"] == "identity"


def test_a_stream_of_unknown_length_is_refused_and_stores_nothing(sdk: Run) -> None:
    facts = sdk.facts("put_a_stream_of_unknown_length")
    assert failed(facts["answer"], 411, "MissingContentLength")
    assert facts["keys"] == []


def test_compressed_bodies_are_stored_and_given_back_as_they_are(sdk: Run) -> None:
    facts = sdk.facts("put_what_is_compressed")
    for got in (facts["buffer"], facts["stream"]):
        assert {"size": got["size"], "sha256": got["sha256"]} == facts["sent"]
        assert got["ContentEncoding"] == "gzip"


def test_an_sdk_told_to_leave_checksums_out_is_served(sdk: Run) -> None:
    facts = sdk.facts("put_when_required")
    assert has_body(facts["buffer"], 50_000)
    assert has_body(facts["stream"], 200_000)


@pytest.mark.parametrize("algorithm", ["CRC32", "CRC32C", "CRC64NVME", "SHA1", "SHA256"])
def test_each_checksum_is_taken_in_header_and_trailer_and_given_back(sdk: Run, algorithm: str) -> None:
    facts = sdk.facts("put_with_each_checksum")[algorithm]
    expected = checksum(algorithm, body(40_000))
    assert facts["put"] == facts["head"] == facts[f"Checksum{algorithm}"] == expected
    assert facts["type"] == "FULL_OBJECT"
    assert has_body(facts, 40_000)


def test_a_wrong_checksum_stores_nothing(sdk: Run) -> None:
    facts = sdk.facts("put_with_a_wrong_checksum")
    assert facts["answer"]["status"] == 400
    assert facts["answer"]["name"] in {"BadDigest", "InvalidRequest"}
    assert facts["head"]["status"] == 404


def test_ranges_are_answered_as_http_says(sdk: Run) -> None:
    facts = sdk.facts("get_ranges")
    whole = body(1000)
    for name, start, end in (("middle", 5, 10), ("rest", 990, 1000), ("last", 997, 1000), ("beyond", 900, 1000)):
        assert facts[name]["status"] == 206
        assert facts[name]["ContentRange"] == f"bytes {start}-{end - 1}/1000"
        assert facts[name]["sha256"] == hashlib.sha256(whole[start:end]).hexdigest()
    assert failed(facts["past"], 416, "InvalidRange")


def test_conditions_on_reads_and_writes_hold(sdk: Run) -> None:
    facts = sdk.facts("conditions")
    assert facts["created"] == facts["updated"] == 200
    assert failed(facts["create_again"], 412, "PreconditionFailed")
    assert failed(facts["update_of_another"], 412, "PreconditionFailed")
    assert failed(facts["get_other"], 412, "PreconditionFailed")
    assert facts["get_same"]["status"] == 304
    assert facts["size"] == 12


def test_odd_keys_are_kept_byte_for_byte_and_listed_in_byte_order(sdk: Run) -> None:
    facts = sdk.facts("odd_keys")
    written: list[str] = facts["written"]
    assert facts["texts"] == {key: key for key in written}
    assert facts["listed"] == sorted(written, key=str.encode)
    assert facts["prefixes"] == ["odd/..a/", "odd//", "odd/a/", "odd/trailing/"]
    below = [key for key in written if "/" not in key.removeprefix("odd/")]
    assert facts["contents"] == sorted(below, key=str.encode)


@pytest.mark.parametrize(
    ("key", "code"),
    [
        pytest.param("odd/new\nline", "InvalidURI", id="line feed"),
        pytest.param("odd/nothing\0", "InvalidURI", id="nul"),
        pytest.param("odd/up/../up", "InvalidURI", id="up"),
        pytest.param("odd/./here", "InvalidURI", id="here"),
        pytest.param("k" * 1025, "KeyTooLongError", id="long"),
    ],
)
def test_a_key_that_could_not_be_named_in_xml_or_a_path_is_refused(sdk: Run, key: str, code: str) -> None:
    assert failed(sdk.facts("refused_keys")[key], 400, code)


def test_lists_come_in_pages(sdk: Run) -> None:
    facts = sdk.facts("list_in_pages")
    keys = [f"page/{n}" for n in range(7)]
    assert [page["keys"] for page in facts["pages"]] == [keys[0:3], keys[3:6], keys[6:7]]
    assert [page["count"] for page in facts["pages"]] == [3, 3, 1]
    assert [page["truncated"] for page in facts["pages"]] == [True, True, False]
    assert facts["v1"] == {"truncated": True, "keys": keys[3:6]}
    assert facts["versions"] == [[key, "null", True] for key in keys]


def test_copies_keep_or_replace_metadata_and_heed_conditions(sdk: Run) -> None:
    facts = sdk.facts("copy")
    sha256 = hashlib.sha256(body(5000)).hexdigest()
    assert facts["result"]["ETag"] == facts["source"] == etag(body(5000))
    assert facts["same"] == {"type": "image/png", "metadata": {"a": "1"}, "sha256": sha256}
    assert facts["other"] == {"type": "image/webp", "metadata": {"b": "2"}, "sha256": sha256}
    assert failed(facts["refused"], 412, "PreconditionFailed")
    assert failed(facts["onto_itself"], 400, "InvalidRequest")


def test_many_objects_are_deleted_in_one_request(sdk: Run) -> None:
    facts = sdk.facts("delete_objects")
    assert sorted(facts["deleted"]) == sorted(["gone/1", "gone/<&>", "gone/کلید", "gone/never"])
    assert facts["errors"] == facts["quiet"] == facts["left"] == []
    assert facts["one"] == 204


def test_tags_are_set_with_the_object_replaced_counted_and_removed(sdk: Run) -> None:
    facts = sdk.facts("tagging")
    assert sorted(facts["first"], key=_tag_key) == [
        {"Key": "kind", "Value": "image"},
        {"Key": "owner", "Value": "sara + co@x"},
    ]
    assert facts["second"] == [{"Key": "state", "Value": "a/b = ب"}]
    assert facts["count"] == 1
    assert facts["third"] == []


def _tag_key(tag: dict[str, str]) -> str:
    return tag["Key"]


def test_a_canned_acl_is_taken_and_the_owner_has_full_control(sdk: Run) -> None:
    facts = sdk.facts("acl")
    (grant,) = facts["grants"]
    assert grant["Permission"] == "FULL_CONTROL"
    assert grant["Grantee"]["Type"] == "CanonicalUser"
    assert grant["Grantee"]["ID"] == facts["owner"]["ID"]


def test_a_large_stream_is_uploaded_in_parts(sdk: Run) -> None:
    facts = sdk.facts("upload_a_stream_in_parts")
    assert facts["key"] == "parts/stream é.bin"
    assert facts["etag"] == etag_in_parts(LARGE)
    assert facts["loaded"] == LARGE
    assert facts["type"] == "video/mp4"
    assert has_body(facts, LARGE)
    assert facts["first_part"] == {"size": PART_SIZE, "count": 3, "range": f"bytes 0-{PART_SIZE - 1}/{LARGE}"}


@pytest.mark.parametrize(
    ("case", "key"), [("upload_a_stream_in_parts", "parts/stream é.bin"), ("upload_a_small_stream", "parts/small")]
)
def test_the_location_of_an_upload_reaches_the_object(sdk: Run, case: str, key: str) -> None:
    location = sdk.facts(case)["location"]
    assert sdk.reaches(location, key), location


def test_downloads_that_are_called_off_harm_nobody(sdk: Run) -> None:
    assert has_body(sdk.facts("get_that_is_called_off"), LARGE)


def test_a_small_stream_is_uploaded_at_once(sdk: Run) -> None:
    facts = sdk.facts("upload_a_small_stream")
    assert facts["etag"] == etag(body(1000))
    assert has_body(facts, 1000)


def test_an_upload_by_hand_has_parts_checksums_and_attributes(sdk: Run) -> None:
    facts = sdk.facts("upload_in_parts_by_hand")
    size = PART_SIZE + 1000
    parts = [body(size)[:PART_SIZE], body(size)[PART_SIZE:]]
    of_parts = b"".join(hashlib.sha256(part).digest() for part in parts)
    composite = base64.b64encode(hashlib.sha256(of_parts).digest()).decode()
    assert ["parts/by hand", True] in facts["uploads"]
    assert facts["etags"] == [etag(part) for part in parts]
    assert facts["parts"] == [[n, len(part), etag(part)] for n, part in enumerate(parts, start=1)]
    assert facts["checksums"] == [checksum("SHA256", part) for part in parts]
    assert facts["done"]["etag"] == etag_in_parts(size)
    assert facts["done"]["checksum"] == f"{composite}-2"
    assert facts["attributes"]["etag"] == etag_in_parts(size).strip('"')
    assert facts["attributes"]["size"] == size
    assert facts["attributes"]["parts"] == 2
    assert facts["attributes"]["checksum"].startswith(composite)
    assert facts["metadata"] == {"by": "hand"}
    assert has_body(facts, size)


def test_parts_can_be_copied_from_ranges_of_an_object(sdk: Run) -> None:
    facts = sdk.facts("upload_part_copy")
    assert has_body(facts, PART_SIZE + 2000)
    assert facts["ETag"] == etag_in_parts(PART_SIZE + 2000)


def test_an_aborted_upload_leaves_nothing(sdk: Run) -> None:
    facts = sdk.facts("abort_an_upload")
    assert facts["aborted"] == 204
    assert failed(facts["parts"], 404, "NoSuchUpload")
    assert facts["head"]["status"] == 404


def test_an_upload_with_crc64nvme_has_a_checksum_of_the_whole_object(sdk: Run) -> None:
    facts = sdk.facts("upload_with_whole_object_checksum")
    assert facts["done"] == facts["head"] == [checksum("CRC64NVME", body(6 * MIB)), "FULL_OBJECT"]
    assert has_body(facts, 6 * MIB)


def test_an_upload_that_may_only_create_leaves_an_existing_object_alone(sdk: Run) -> None:
    facts = sdk.facts("upload_onto_an_existing_key")
    assert failed(facts["answer"], 412, "PreconditionFailed")
    assert facts["size"] == 10
    assert facts["uploads"] == []


def test_an_upload_that_is_called_off_leaves_nothing(sdk: Run) -> None:
    facts = sdk.facts("upload_that_is_called_off")
    assert facts["answer"] == "AbortError"
    assert facts["head"]["status"] == 404
    assert facts["uploads"] == []


def test_a_put_whose_body_breaks_off_changes_nothing(sdk: Run) -> None:
    facts = sdk.facts("put_that_breaks_off")
    assert facts["over"] == facts["anew"] == "AbortError"
    assert facts["left"] == ["broken-off"]
    assert has_body(facts, 10)


def test_puts_of_one_key_at_once_leave_one_of_them_whole(sdk: Run) -> None:
    facts = sdk.facts("puts_of_one_key_at_once")
    assert facts["size"] in facts["sizes"]
    assert has_body(facts, facts["size"])
    assert facts["ETag"] == etag(body(facts["size"]))


def test_a_presigned_get_serves_that_object_by_that_method_only(sdk: Run) -> None:
    facts = sdk.facts("presigned_get")
    assert facts["whole"]["status"] == facts["head"]["status"] == 200
    assert has_body(facts["whole"], 3000)
    assert facts["ranged"]["status"] == 206
    assert has_body(facts["ranged"], 10)
    assert facts["head"]["headers"]["content-length"] == "3000"
    named = facts["named"]["headers"]
    assert named["content-type"] == "text/plain"
    assert named["content-disposition"] == (
        "attachment; filename=\"a b.png\"; filename*=UTF-8''%D8%AA%D8%B5%D9%88%DB%8C%D8%B1.png"
    )
    assert facts["other_method"] == facts["changed"] == 403


def test_a_presigned_put_ignores_the_checksum_of_the_empty_body_in_its_query(sdk: Run) -> None:
    facts = sdk.facts("presigned_put")
    assert facts["query"]["x-amz-checksum-crc32"] == "AAAAAA=="
    assert facts["put"]["status"] == 200
    assert facts["put"]["headers"]["etag"] == etag(body(4000))
    assert facts["type"] == "image/png"
    assert has_body(facts, 4000)


def test_a_presigned_put_bound_to_a_type_refuses_another(sdk: Run) -> None:
    facts = sdk.facts("presigned_put")
    assert "content-type" in facts["bound"].split(";")
    assert refused(facts["other"], 403, "SignatureDoesNotMatch")


def test_parts_go_up_by_presigned_urls(sdk: Run) -> None:
    facts = sdk.facts("presigned_parts")
    assert facts["ETag"] == etag_in_parts(PART_SIZE + 1000)
    assert facts["ContentType"] == "video/mp4"
    assert has_body(facts, PART_SIZE + 1000)


def test_a_form_that_asks_for_it_is_sent_on_to_the_application(sdk: Run) -> None:
    facts = sdk.facts("presigned_post_with_redirect")
    assert facts["answer"]["status"] == 303
    target = urlsplit(facts["answer"]["headers"]["location"])
    assert (target.scheme, target.netloc, target.path) == ("https", "app.example", "/done")
    assert dict(parse_qsl(target.query)) == {
        "from": "form",
        "bucket": sdk.bucket,
        "key": "redirected/a b.png",
        "etag": etag(body(100)),
    }
    assert has_body(facts, 100)


def test_a_presigned_form_stores_the_file_and_tells_where_it_is(sdk: Run) -> None:
    facts = sdk.facts("presigned_post")
    made = facts["made"]
    assert made["status"] == 201
    assert xml_value(made, "Bucket") == sdk.bucket
    assert xml_value(made, "Key") == "forms/عکس 1.png"
    assert xml_value(made, "ETag") == made["headers"]["etag"] == etag(body(5000))
    assert sdk.reaches(xml_value(made, "Location"), "forms/عکس 1.png"), xml_value(made, "Location")
    assert made["headers"]["location"] == xml_value(made, "Location")
    assert facts["type"] == "image/png"
    assert facts["metadata"] == {"by": "form"}
    assert has_body(facts, 5000)


def test_a_form_outside_its_policy_is_refused(sdk: Run) -> None:
    facts: dict[str, Any] = sdk.facts("presigned_post")
    assert refused(facts["too_large"], 400, "EntityTooLarge")
    assert refused(facts["other_type"], 403, "AccessDenied")
    assert refused(facts["other_key"], 403, "AccessDenied")
    assert refused(facts["forged"], 403, "SignatureDoesNotMatch")
    assert facts["keys"] == ["forms/عکس 1.png"]


@pytest.mark.parametrize(
    ("asked", "status", "name"),
    [
        ("no_key", 404, "NoSuchKey"),
        ("no_bucket", 404, "NoSuchBucket"),
        ("head_no_key", 404, "NotFound"),
        ("unknown_access_key", 403, "InvalidAccessKeyId"),
        ("wrong_secret", 403, "SignatureDoesNotMatch"),
        ("other_region", 404, "NoSuchKey"),
        ("not_empty", 409, "BucketNotEmpty"),
    ],
)
def test_errors_are_the_ones_the_sdk_knows(sdk: Run, asked: str, status: int, name: str) -> None:
    facts = sdk.facts("errors")[asked]
    assert failed(facts, status, name), facts
