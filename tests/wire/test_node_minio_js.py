"""minio-js: asks for the location first, uploads in parts by itself, writes bare XML and lower-case form fields."""

import hashlib

import pytest

from tests.support.gateway import Gateway
from tests.wire.node_clients import (
    MIB,
    PART_SIZE,
    Run,
    body,
    digest_of,
    etag,
    etag_in_parts,
    has_body,
    refused,
    run_node,
)

LARGE = 12 * MIB + 5


@pytest.fixture(scope="module", params=["path", "virtual"])
def minio(any_gateway: Gateway, request: pytest.FixtureRequest) -> Run:
    return run_node("minio_js.mjs", any_gateway, virtual=request.param == "virtual")


def bare(etag_: str) -> str:
    """minio-js takes the quotes off."""
    return etag_.strip('"')


def test_a_bucket_is_missed_made_and_made_once(minio: Run) -> None:
    facts = minio.facts("create_bucket")
    assert (facts["before"], facts["after"]) == (False, True)
    assert minio.bucket in facts["listed"]
    assert facts["again"]["code"] == "BucketAlreadyOwnedByYou"


def test_a_buffer_keeps_its_headers_and_metadata(minio: Run) -> None:
    facts = minio.facts("put_a_buffer")
    assert facts["etag"] == facts["stat"]["etag"] == bare(etag(body(70_000)))
    assert facts["stat"]["size"] == 70_000
    metadata = facts["stat"]["metadata"]
    assert metadata["content-type"] == "image/png"
    assert metadata["cache-control"] == "max-age=60"
    assert metadata["colour"] == "green"
    assert metadata["plain"] == "word"
    assert has_body(facts["got"], 70_000)


def test_a_stream_is_stored(minio: Run) -> None:
    assert has_body(minio.facts("put_a_stream"), 300_000)


def test_a_stream_of_unknown_length_goes_up_in_parts(minio: Run) -> None:
    facts = minio.facts("put_a_stream_of_unknown_length")
    assert facts["etag"] == bare(etag_in_parts(6 * MIB))
    assert has_body(facts, 6 * MIB)


def test_a_large_file_goes_up_in_parts(minio: Run) -> None:
    facts = minio.facts("put_a_file_in_parts")
    assert facts["etag"] == bare(etag_in_parts(LARGE))
    assert facts["type"] == "video/mp4"
    assert has_body(facts, LARGE)


def test_parts_of_an_object_are_read(minio: Run) -> None:
    facts = minio.facts("get_ranges")
    whole = body(1000)
    assert facts["middle"] == digest_of(whole[5:10])
    assert facts["rest"] == digest_of(whole[990:])
    assert facts["past"]["code"] == "InvalidRange"


def test_both_lists_show_every_key_in_byte_order(minio: Run) -> None:
    facts = minio.facts("list")
    ordered = sorted(facts["written"], key=str.encode)
    assert facts["v2"] == facts["v1"] == ordered
    assert sorted(facts["folder"], key=str.encode) == ["list/+&<>", "list/a", "list/b c", "list/d/", "list/ز"]
    assert facts["after"] == ["list/d/f", "list/ز"]


def test_copies_keep_metadata_and_heed_conditions(minio: Run) -> None:
    facts = minio.facts("copy")
    assert facts["etag"] == bare(etag(body(100)))
    assert facts["metadata"]["a"] == "1"
    assert facts["got"] == digest_of(body(100))
    assert facts["refused"]["code"] == "PreconditionFailed"


def test_an_object_is_composed_of_others(minio: Run) -> None:
    assert minio.facts("compose") == digest_of(body(PART_SIZE) + body(1000))


def test_unfinished_uploads_are_listed_and_removed(minio: Run) -> None:
    facts = minio.facts("unfinished_uploads")
    assert facts == {"before": [["unfinished/é", True]], "after": []}


def test_tags_are_set_read_and_removed(minio: Run) -> None:
    facts = minio.facts("tagging")
    assert {tag["Key"]: tag["Value"] for tag in facts["tags"]} == {"kind": "image", "state": "new"}
    assert facts["after"] == []


def test_presigned_urls_put_get_and_head(minio: Run) -> None:
    facts = minio.facts("presigned")
    assert facts["put"]["status"] == facts["get"]["status"] == facts["head"]["status"] == 200
    assert has_body(facts["get"], 3000)
    assert facts["get"]["headers"]["content-type"] == "image/png"
    assert facts["named"]["headers"]["content-type"] == "text/plain"
    assert facts["named"]["headers"]["content-disposition"] == 'attachment; filename="a b.png"'
    assert facts["other_key"] == 403


def test_a_form_with_lower_case_fields_stores_the_file(minio: Run) -> None:
    facts = minio.facts("presigned_post")
    assert "policy" in facts["fields"]
    assert facts["made"]["status"] == 204
    assert facts["made"]["headers"]["etag"] == etag(body(5000))
    assert minio.reaches(facts["made"]["headers"]["location"], "forms/a b.png")
    assert facts["metadata"]["content-type"] == "image/png"
    assert facts["metadata"]["by"] == "form"
    assert facts["got"] == digest_of(body(5000))


def test_a_form_outside_its_policy_is_refused(minio: Run) -> None:
    facts = minio.facts("presigned_post")
    assert refused(facts["too_large"], 400, "EntityTooLarge")
    assert refused(facts["other_key"], 403, "AccessDenied")


def test_objects_are_removed_one_by_one_and_together(minio: Run) -> None:
    facts = minio.facts("remove")
    assert facts["left"] == []
    assert all(answer is None or "Code" not in answer for answer in facts["answers"])


@pytest.mark.parametrize(
    ("asked", "code"),
    [
        ("no_key", "NoSuchKey"),
        ("stat_no_key", "NotFound"),
        ("no_bucket", "NoSuchBucket"),
        ("wrong_secret", "SignatureDoesNotMatch"),
        ("not_empty", "BucketNotEmpty"),
    ],
)
def test_errors_are_the_ones_the_client_knows(minio: Run, asked: str, code: str) -> None:
    facts = minio.facts("errors")[asked]
    assert facts["code"] == code, facts


def test_the_body_of_the_scripts_is_the_one_of_the_tests(minio: Run) -> None:
    assert hashlib.sha256(body(300_000)).hexdigest() == minio.facts("put_a_stream")["sha256"]
