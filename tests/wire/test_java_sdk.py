"""The AWS SDK for Java v2: the one client whose uploads over plain HTTP have signed chunks *and* a signed trailer.

Over TLS its trailers are unsigned. It writes a trailer's bytes in small pieces, waits for 100 Continue, and signs
`x-amz-te` and a checksum of the empty body with every GET.
"""

import base64
import fcntl
import json
import os
import secrets
import shutil
import zlib
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import NoEncryption, pkcs12

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

SOURCE = Path(__file__).parent / "java"
LARGE = 12 * MIB + 5


def program(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        raise FileNotFoundError(f"no {name} on the PATH: `make test` installs one")
    return found


@pytest.fixture(scope="session")
def jars(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The compiled client among the SDK's jars, which are checked against their checksums.

    Workers fetch one after the other, into one local repository.
    """
    folder = tmp_path_factory.mktemp("java")
    command = [program("mvn"), "-q", "-B", "-C", "dependency:copy-dependencies", f"-DoutputDirectory={folder}"]
    with (tmp_path_factory.getbasetemp().parent / "java.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        run_client(command, cwd=SOURCE, environment=os.environ)
    compile_ = [program("javac"), "-encoding", "UTF-8", "-cp", f"{folder}/*", "-d", str(folder), "Wire.java"]
    run_client(compile_, cwd=SOURCE, environment=os.environ)
    return folder


@pytest.fixture(scope="module", params=["path", "virtual"])
def sdk(
    any_gateway: Gateway, jars: Path, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Run:
    bucket = f"java-{secrets.token_hex(8)}"
    virtual = request.param == "virtual"
    environment = gateway_environment(any_gateway, bucket) | {"STYLE": request.param}
    if virtual:
        environment["ENDPOINT"] = f"{urlsplit(any_gateway.endpoint).scheme}://s3.localhost:{any_gateway.port}"
    return run_cases(any_gateway, jars, tmp_path_factory.mktemp("java_run"), environment)


def run_cases(gateway: Gateway, jars: Path, folder: Path, environment: Mapping[str, str]) -> Run:
    """Run the client; `folder` gets the files that Java wants."""
    bucket = environment["BUCKET"]
    hosts = folder / "hosts"
    hosts.write_text(f"127.0.0.1 localhost s3.localhost {bucket}.s3.localhost\n")
    options = [f"-Djdk.net.hosts.file={hosts}", "-Dfile.encoding=UTF-8", "-XX:TieredStopAtLevel=1"]
    if gateway.ca_file is not None:
        trusted = folder / "trusted.p12"
        write_trust_store(gateway.ca_file, trusted)
        options += [f"-Djavax.net.ssl.trustStore={trusted}", "-Djavax.net.ssl.trustStoreType=PKCS12"]
    command = [program("java"), *options, "-cp", f"{jars}:{jars}/*", "Wire"]
    output = run_client(command, cwd=SOURCE, environment=environment)
    return Run(gateway, bucket, environment.get("STYLE") == "virtual", json.loads(output))


def write_trust_store(ca_file: Path, trusted: Path) -> None:
    certificate = x509.load_pem_x509_certificate(ca_file.read_bytes())
    entry = pkcs12.PKCS12Certificate(certificate, b"ca")
    trusted.write_bytes(pkcs12.serialize_java_truststore([entry], NoEncryption()))


def test_a_bucket_is_made_once(sdk: Run) -> None:
    assert failed(sdk.facts("create_bucket")["again"], 409, "BucketAlreadyOwnedByYou")


def test_a_buffer_with_a_signed_or_unsigned_trailer_is_stored_without_its_framing(sdk: Run) -> None:
    facts = sdk.facts("put_a_buffer")
    signed, unsigned = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER", "STREAMING-UNSIGNED-PAYLOAD-TRAILER"
    assert facts["payload"] == (unsigned if sdk.gateway.tls else signed)
    assert facts["etag"] == facts["got"]["etag"] == etag(body(70_000))
    assert facts["crc32"] == base64.b64encode(zlib.crc32(body(70_000)).to_bytes(4, "big")).decode()
    assert facts["got"]["type"] == "image/png"
    assert facts["got"]["metadata"] == {"colour": "green"}
    assert facts["got"]["encoding"] is None
    assert has_body(facts["got"], 70_000)


def test_a_stream_of_many_chunks_is_stored(sdk: Run) -> None:
    facts = sdk.facts("put_a_large_stream")
    assert facts["payload"].endswith("-TRAILER")
    assert has_body(facts["got"], 3 * MIB + 17)


def test_an_empty_object_has_a_trailer_too(sdk: Run) -> None:
    assert has_body(sdk.facts("put_an_empty_object")["got"], 0)


@pytest.mark.parametrize("algorithm", ["CRC32", "CRC32C", "SHA1", "SHA256"])
def test_each_checksum_is_taken_from_a_trailer(sdk: Run, algorithm: str) -> None:
    assert has_body(sdk.facts("put_with_each_checksum")[algorithm], 40_000)


def test_parts_with_trailers_make_an_object(sdk: Run) -> None:
    facts = sdk.facts("upload_in_parts")
    assert facts["payload"].endswith("-TRAILER")
    assert facts["etag"] == etag_in_parts(LARGE)
    assert has_body(facts["got"], LARGE)
    assert sdk.reaches(facts["location"], "parts/by hand é"), facts["location"]


def test_lists_come_in_pages_and_byte_order(sdk: Run) -> None:
    facts = sdk.facts("list")
    assert facts["listed"] == sorted(facts["written"], key=str.encode)


def test_a_copy_keeps_metadata_and_both_are_deleted(sdk: Run) -> None:
    facts = sdk.facts("copy_and_delete")
    assert facts["etag"] == etag(body(100))
    assert facts["got"]["metadata"] == {"a": "1"}
    assert facts["deleted"] == 2


def test_presigned_requests_put_and_get(sdk: Run) -> None:
    facts = sdk.facts("presigned")
    assert facts["put"]["status"] == facts["get"]["status"] == 200
    assert has_body(facts["get"], 3000)
    assert facts["back"]["type"] == "image/png"


@pytest.mark.parametrize(
    ("asked", "status", "name"),
    [
        ("no_key", 404, "NoSuchKey"),
        ("exists", 412, "PreconditionFailed"),
        ("wrong_secret", 403, "SignatureDoesNotMatch"),
    ],
)
def test_errors_are_the_ones_the_sdk_knows(sdk: Run, asked: str, status: int, name: str) -> None:
    assert failed(sdk.facts("errors")[asked], status, name), sdk.facts("errors")[asked]


def test_a_session_uploads_lists_and_reads_what_is_its_own_and_nothing_else(
    media_house: MediaHouse, lea: EndUser, tom: EndUser, jars: Path, tmp_path: Path
) -> None:
    foreign = tom.path("foreign")
    tom.s3.put_object(Bucket=PRIVATE, Key=foreign, Body=b"his")
    environment = end_user_environment(media_house, lea.name, foreign)
    facts = run_cases(media_house.gateway, jars, tmp_path, environment).facts("end_user")
    assert facts["payload"].endswith("-TRAILER")
    assert has_body(facts["got"], 3 * MIB + 17)
    assert facts["listed"] == [lea.path("java é")]
    for refused in ("foreign", "onto", "admin"):
        assert failed(facts[refused], 403, "AccessDenied"), facts[refused]
