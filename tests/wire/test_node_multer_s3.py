"""The upload server that web teams write: an HTML form, express and multer-s3 (3.x on the SDK v3, 2.x on the SDK v2)."""

import pytest

from tests.support.gateway import Gateway
from tests.wire.node_clients import MIB, Run, body, etag, etag_in_parts, has_body, run_node

versions = pytest.mark.parametrize("version", ["v3", "v2"])


@pytest.fixture(scope="module", params=["path", "virtual"])
def application(any_gateway: Gateway, request: pytest.FixtureRequest) -> Run:
    return run_node("multer_s3.mjs", any_gateway, virtual=request.param == "virtual")


@versions
@pytest.mark.parametrize(
    ("case", "size", "key"),
    [
        ("small_file", 200_000, "a photo.png"),
        ("large_file", 12 * MIB + 3, "a large photo.png"),
        # Browsers send UTF-8 file names that multer reads as Latin-1; the key is stored as it was sent.
        ("foreign_name", 6 * MIB, "عکس +1&2.png".encode().decode("latin-1")),
    ],
)
def test_an_uploaded_file_is_fetched_back_at_its_location(
    application: Run, case: str, size: int, key: str, version: str
) -> None:
    facts = application.facts(f"{case}_{version}")
    assert facts["status"] == 200
    assert facts["fields"] == {"title": "سلام"}
    assert facts["file"]["bucket"] == application.bucket
    assert facts["file"]["key"] == f"{version}/{key}"
    location = facts["file"]["location"]
    assert application.reaches(location, f"{version}/{key}"), location
    back = facts["back"]
    assert back["status"] == 200, (location, back)
    assert has_body(back, size)
    assert back["headers"]["content-type"] == "image/png"
    assert back["headers"]["cache-control"] == "private, max-age=60"
    assert back["headers"]["x-amz-meta-fieldname"] == "photo"
    assert back["headers"]["x-amz-meta-title"] == "%D8%B3%D9%84%D8%A7%D9%85"


@versions
def test_files_above_five_mebibytes_go_up_in_parts(application: Run, version: str) -> None:
    assert application.facts(f"small_file_{version}")["file"]["etag"] == etag(body(200_000))
    assert application.facts(f"large_file_{version}")["file"]["etag"] == etag_in_parts(12 * MIB + 3)


@versions
def test_a_storage_with_nothing_but_a_bucket_works(application: Run, version: str) -> None:
    facts = application.facts(f"as_installed_{version}")
    assert facts["type"] == "application/octet-stream"
    assert application.reaches(facts["file"]["location"], facts["file"]["key"])
    assert has_body(facts["back"], 1000)


@versions
def test_a_file_that_the_form_refuses_is_not_stored(application: Run, version: str) -> None:
    facts = application.facts(f"too_large_for_the_form_{version}")
    assert facts["status"] == 400
    assert facts["error"] == "LIMIT_FILE_SIZE"
    assert facts["head"]["status"] == 404
