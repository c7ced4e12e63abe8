"""The AWS SDK for Go v2: CRC32 in headers over HTTP and in trailers over TLS, the upload manager, presigned URLs.

It signs accept-encoding, content-length and amz-sdk-* headers, and writes `?uploads=` with its equals sign.
"""

import base64
import fcntl
import hashlib
import json
import os
import secrets
import shutil
import sys
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.support.gateway import Gateway
from tests.support.media_house import PRIVATE, EndUser, MediaHouse
from tests.wire.node_clients import (
    MIB,
    Run,
    body,
    end_user_environment,
    etag,
    etag_in_parts,
    failed,
    gateway_environment,
    has_body,
    run_client,
)

SOURCE = Path(__file__).parent / "go"
LARGE = 12 * MIB + 5


def go_program() -> str:
    """The go beside this Python, which the test requirements bring, or else the machine's."""
    found = shutil.which("go", path=str(Path(sys.executable).parent)) or shutil.which("go")
    if found is None:
        raise FileNotFoundError("no go on the PATH: `make test` installs one")
    return found


@pytest.fixture(scope="session")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The compiled client. Workers compile one after the other: the second one finds all of it in Go's cache."""
    built = tmp_path_factory.mktemp("go") / "wire"
    environment = os.environ | {"GOTOOLCHAIN": "local", "GOFLAGS": "-mod=readonly -buildvcs=false", "CGO_ENABLED": "0"}
    with (tmp_path_factory.getbasetemp().parent / "go.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        run_client([go_program(), "build", "-o", str(built), "."], cwd=SOURCE, environment=environment)
    return built


@pytest.fixture(scope="module", params=["path", "virtual"])
def sdk(any_gateway: Gateway, program: Path, request: pytest.FixtureRequest) -> Run:
    bucket = f"go-{secrets.token_hex(8)}"
    environment = gateway_environment(any_gateway, bucket) | {"STYLE": request.param}
    cases = run_cases(program, any_gateway, environment)
    return Run(any_gateway, bucket, request.param == "virtual", cases)


def run_cases(program: Path, gateway: Gateway, environment: Mapping[str, str]) -> Any:
    certificates = {} if gateway.ca_file is None else {"SSL_CERT_FILE": str(gateway.ca_file)}
    return json.loads(run_client([str(program)], cwd=SOURCE, environment={**environment, **certificates}))


def test_a_bucket_is_made_once(sdk: Run) -> None:
    assert failed(sdk.facts("create_bucket")["again"], 409, "BucketAlreadyOwnedByYou")


def test_a_buffer_keeps_its_headers_metadata_and_checksum(sdk: Run) -> None:
    facts = sdk.facts("put_a_buffer")
    assert facts["etag"] == facts["got"]["etag"] == etag(body(70_000))
    assert facts["crc32"] == base64.b64encode(zlib.crc32(body(70_000)).to_bytes(4, "big")).decode()
    assert facts["got"]["type"] == "image/png"
    assert facts["got"]["metadata"] == {"colour": "green"}
    assert facts["got"]["encoding"] is None
    assert has_body(facts["got"], 70_000)


def test_a_body_that_cannot_seek_is_taken_over_tls(sdk: Run) -> None:
    facts = sdk.facts("put_a_stream")
    if sdk.gateway.tls:
        assert has_body(facts["got"], 300_000)
        assert facts["got"]["encoding"] is None
    else:
        assert "without TLS" in facts["refused"]["message"]


@pytest.mark.parametrize("algorithm", ["CRC32", "CRC32C", "CRC64NVME", "SHA1", "SHA256"])
def test_each_checksum_is_taken_and_verified_on_the_way_back(sdk: Run, algorithm: str) -> None:
    assert has_body(sdk.facts("put_with_each_checksum")[algorithm], 40_000)


def test_the_upload_manager_uploads_in_parts_and_its_location_reaches_the_object(sdk: Run) -> None:
    facts = sdk.facts("upload_in_parts")
    assert facts["etag"] == etag_in_parts(LARGE)
    assert has_body(facts["got"], LARGE)
    assert sdk.reaches(facts["location"], "parts/stream é.bin"), facts["location"]


def test_ranges_are_served(sdk: Run) -> None:
    facts = sdk.facts("ranges")
    assert facts["middle"]["range"] == "bytes 5-9/1000"
    assert facts["middle"]["sha256"] == hashlib.sha256(body(1000)[5:10]).hexdigest()
    assert failed(facts["past"], 416, "InvalidRange")


def test_lists_come_in_pages_and_byte_order(sdk: Run) -> None:
    facts = sdk.facts("list")
    assert facts["listed"] == sorted(facts["written"], key=str.encode)


def test_a_copy_keeps_metadata_and_both_are_deleted(sdk: Run) -> None:
    facts = sdk.facts("copy_and_delete")
    assert facts["etag"] == etag(body(100))
    assert facts["got"]["metadata"] == {"a": "1"}
    assert has_body(facts["got"], 100)
    assert (facts["deleted"], facts["errors"]) == (2, 0)


def test_presigned_requests_put_get_and_head(sdk: Run) -> None:
    facts = sdk.facts("presigned")
    assert [facts[name]["status"] for name in ("put", "get", "head", "delete")] == [200, 200, 200, 403]
    assert facts["put"]["etag"] == facts["head"]["etag"] == etag(body(3000))
    assert has_body(facts["get"], 3000)
    assert facts["back"]["type"] == "image/png"
    assert facts["back"]["metadata"] == {"by": "go"}


@pytest.mark.parametrize(
    ("asked", "status", "name"),
    [
        ("no_key", 404, "NoSuchKey"),
        ("head_no_key", 404, "NotFound"),
        ("exists", 412, "PreconditionFailed"),
        ("wrong_secret", 403, "SignatureDoesNotMatch"),
    ],
)
def test_errors_are_the_ones_the_sdk_knows(sdk: Run, asked: str, status: int, name: str) -> None:
    assert failed(sdk.facts("errors")[asked], status, name), sdk.facts("errors")[asked]


def test_a_session_uploads_lists_and_reads_what_is_its_own_and_nothing_else(
    media_house: MediaHouse, lea: EndUser, tom: EndUser, program: Path
) -> None:
    foreign = tom.path("foreign")
    tom.s3.put_object(Bucket=PRIVATE, Key=foreign, Body=b"his")
    environment = end_user_environment(media_house, lea.name, foreign)
    run = Run(media_house.gateway, PRIVATE, False, run_cases(program, media_house.gateway, environment))
    facts = run.facts("end_user")
    assert has_body(facts["got"], LARGE)
    assert facts["listed"] == [lea.path("go é")]
    for refused in ("foreign", "onto", "admin"):
        assert failed(facts[refused], 403, "AccessDenied"), facts[refused]
