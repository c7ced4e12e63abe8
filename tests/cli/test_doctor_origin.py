"""anbar doctor --origin: stores of several kinds are measured, broken ones are named, and nothing is left behind."""

import json
import os
import signal
import socket
import socketserver
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import boto3
import pytest
from botocore.config import Config

from gateway.cli.installation import load_installation
from gateway.cli.probe import find_target, render_report, run_probe
from gateway.origin.profile_file import profile_path
from tests.support.gateway import REPOSITORY, free_port
from tests.support.s3_servers import S3Server, moto, seaweedfs

BUCKET = "far-bucket"
PREFIX = "media/"
OWN_KEYS = ["media/kept.jpg", "other/kept.jpg"]
Connect = Callable[..., Path]


def client(server: S3Server) -> Any:
    return boto3.client(
        "s3",
        endpoint_url=server.endpoint,
        aws_access_key_id=server.access_key_id,
        aws_secret_access_key=server.secret_access_key,
        region_name="us-east-1",
        config=Config(s3={"addressing_style": "path"}),
    )


def fill(server: S3Server, bucket: str = BUCKET) -> None:
    """A bucket with somebody's objects, in the category's prefix and beside it."""
    store = client(server)
    store.create_bucket(Bucket=bucket)
    for key in OWN_KEYS:
        store.put_object(Bucket=bucket, Key=key, Body=b"kept")


def keys_at(server: S3Server, bucket: str = BUCKET) -> list[str]:
    store = client(server)
    assert not store.list_multipart_uploads(Bucket=bucket).get("Uploads")
    return [each["Key"] for each in store.list_objects_v2(Bucket=bucket).get("Contents", [])]


@pytest.fixture(scope="module")
def aws(tmp_path_factory) -> Iterator[S3Server]:
    with moto(tmp_path_factory.mktemp("moto")) as server:
        fill(server)
        yield server


@pytest.fixture(scope="module")
def weed(tmp_path_factory) -> Iterator[S3Server]:
    with seaweedfs(tmp_path_factory.mktemp("weed")) as server:
        fill(server)
        yield server


@pytest.fixture
def far(installation, edit_policy, monkeypatch) -> Connect:
    """Give the installation an S3 origin `far`, and a category there."""

    def connect(server: S3Server, more: str = "", bucket: str = BUCKET) -> Path:
        monkeypatch.setenv("FAR_ID", server.access_key_id)
        monkeypatch.setenv("FAR_SECRET", server.secret_access_key)
        with (installation / "gateway.toml").open("a", encoding="utf-8") as file:
            file.write(
                f'[origins.far]\nkind = "s3"\nendpoint = "{server.endpoint}"\nallow_http = true\n'
                f'access_key_id = {{ env = "FAR_ID" }}\nsecret_access_key = {{ env = "FAR_SECRET" }}\n{more}\n'
            )
        edit_policy('project = "demo"', 'project = "demo"\norigin = "local"')
        with (installation / "policies/demo.toml").open("a", encoding="utf-8") as file:
            file.write(
                f'[categories.distant]\norigin = "far"\norigin_bucket = "{bucket}"\norigin_prefix = "{PREFIX}"\n'
            )
        return installation

    return connect


@dataclass(frozen=True)
class Told:
    """What a probe told in JSON."""

    code: int
    report: dict[str, Any]

    def __getitem__(self, name: str) -> dict[str, Any]:
        [found] = [each for each in self.report["probes"] if each["name"] == name]
        return found

    def failed(self) -> list[str]:
        return [each["name"] for each in self.report["probes"] if each["verdict"] == "fail"]

    def found(self) -> dict[str, Any]:
        return {each["name"]: each["found"] for each in self.report["probes"]}


@pytest.fixture
def probe(anbar) -> Callable[..., Told]:
    def run(*arguments: str) -> Told:
        ended = anbar("doctor", "--origin", "far", "--json", *arguments)
        assert ended.err == ""
        return Told(ended.code, json.loads(ended.out))

    return run


def test_aws_as_moto_has_it_is_fit_and_nothing_is_left_there(aws, far, probe):
    far(aws)
    told = probe()
    assert told.code == 0
    assert told.report["ok"]
    assert told.failed() == []
    assert told["md5_etags"]["found"] is True
    assert told["multipart_etags"]["found"] is True
    assert told["copy_object"]["answered"].startswith("200, x-amz-copy-source-if-match was not heeded")
    assert told["metadata_bytes"]["found"] == 8192
    assert told.report["left"] == []
    assert keys_at(aws) == OWN_KEYS


def test_seaweedfs_is_fit_and_nothing_is_left_there(weed, far, probe):
    far(weed)
    told = probe()
    assert told.code == 0
    assert told.failed() == []
    for name in ("streaming", "trailer", "md5_checked", "checksums_checked", "copy_object", "abort", "special_keys"):
        assert told[name]["found"] is True, name
    assert keys_at(weed) == OWN_KEYS


def test_every_capability_is_measured(weed, far, probe):
    far(weed)
    told = probe()
    assert set(told.report["capabilities"]) == {
        "conditional_writes", "batch_delete", "copy_object", "upload_part_copy", "tagging", "checksum_headers",
        "md5_etags", "multipart_etags", "list_url_encoding",
    }  # fmt: skip
    assert all(each["verdict"] in ("ok", "note") for each in told.report["probes"])


def test_the_line_to_paste_makes_the_settings_what_was_found(weed, far, probe):
    installation = far(weed)
    paste = probe().report["paste"]
    config = installation / "gateway.toml"
    config.write_text(config.read_text() + paste + "\n")
    told = probe()
    assert told.report["paste"] is None
    assert told.failed() == []
    assert told["conditional_writes"] == {
        "name": "conditional_writes", "expected": False, "found": False, "verdict": "ok", "advice": "",
        "answered": "new: 200, existing: 412 PreconditionFailed, new where a folder is: 412 PreconditionFailed",
    }  # fmt: skip


def test_a_capability_that_settings_promise_and_the_origin_lacks_fails(aws, far, probe):
    far(aws, "capabilities = { copy_object = true }")
    told = probe()
    assert told.code == 1
    assert told.failed() == ["copy_object"]
    assert "copy_object = false" in told["copy_object"]["advice"]


@pytest.mark.parametrize("kind", ["gateway", "tls_gateway"])
def test_another_anbar_is_fit(kind, request, far, probe):
    other = request.getfixturevalue(kind)
    server = S3Server(other.endpoint, other.access_key_id, other.secret_access_key)
    far(server, f'ca_file = "{other.ca_file}"' if other.tls else "", bucket="demo-media")
    told = probe()
    assert told.code == 0, told.report
    assert told.failed() == []
    assert told["copy_object"]["found"] is True
    assert told.report["left"] == []
    if other.tls:
        assert told["certificate_days"]["found"] > 30
        assert "TLSv1.3" in told["reachable"]["answered"]


def test_people_get_a_table_what_follows_and_the_line_to_paste(aws, far, anbar):
    far(aws)
    ended = anbar("doctor", "--origin", "far")
    assert ended.code == 0
    lines = [" ".join(line.split()) for line in ended.out.splitlines()]
    assert "WHAT EXPECTED FOUND ANSWERED" in lines
    assert any(line.startswith("ok PutObject yes yes 200") for line in lines)
    assert "note DeleteObjects: it may be made use of: batch_delete = true" in lines
    assert any(line.startswith("ok origin far: fit to be served from with these settings") for line in lines)
    assert lines[-1].startswith("capabilities = { conditional_writes = true, ")


def test_versions_go_too(aws, far, probe):
    store = client(aws)
    store.create_bucket(Bucket="versioned")
    store.put_bucket_versioning(Bucket="versioned", VersioningConfiguration={"Status": "Enabled"})
    far(aws, bucket="versioned")
    told = probe()
    assert told["versioning"]["found"] is True
    assert told["versioning"]["verdict"] == "note"
    assert told.report["left"] == []
    found = store.list_object_versions(Bucket="versioned")
    assert not found.get("Versions")
    assert not found.get("DeleteMarkers")


def test_keys_of_a_probe_that_was_killed_are_noted_and_stay(aws, far, probe):
    client(aws).put_object(Bucket=BUCKET, Key="media/.anbar-doctor/old/plain", Body=b"")
    try:
        far(aws)
        told = probe()
        assert told.code == 0
        assert told["left_before"]["found"] == 1
        assert told["left_before"]["verdict"] == "note"
        assert "media/.anbar-doctor/old/plain" in keys_at(aws)
    finally:
        client(aws).delete_object(Bucket=BUCKET, Key="media/.anbar-doctor/old/plain")


def test_a_profile_is_written_for_the_gateways_owner_alone(aws, far, anbar):
    installation = far(aws)
    ended = anbar("doctor", "--origin", "far", "--write-profile")
    path = installation / "var/origin-far.profile.json"
    assert ended.out.endswith(f"profile: {path}\n")
    assert path.stat().st_mode & 0o777 == 0o600
    profile = json.loads(path.read_text())
    assert profile["endpoint"] == aws.endpoint
    assert profile["bucket"] == BUCKET
    assert profile["capabilities"]["tagging"] is True
    assert aws.secret_access_key not in path.read_text()
    assert [each.name for each in path.parent.iterdir() if each.name.startswith(".")] == []
    noted = anbar("doctor").out
    assert "note  origin far: the settings are not what was measured on 20" in noted
    assert "tagging = true" in noted


def test_nothing_is_written_without_being_asked(aws, far, probe):
    installation = far(aws)
    before = sorted(installation.rglob("*"))
    probe()
    assert sorted(installation.rglob("*")) == before


# What is wrong.


def test_nobody_listens(far, probe):
    far(S3Server(f"http://127.0.0.1:{free_port()}"))
    told = probe()
    assert told.code == 1
    assert told.failed() == ["reachable"]
    assert "Connect call failed" in told["reachable"]["answered"]
    assert told["put"]["verdict"] == "unknown"


class BlackHole(socketserver.BaseRequestHandler):
    """Takes everything, and says nothing."""

    def handle(self) -> None:
        while self.request.recv(65536):
            pass


class Canned(socketserver.StreamRequestHandler):
    """Says the same to every request."""

    answer: ClassVar[bytes] = b""

    def handle(self) -> None:
        while words := self.rfile.readline().split():
            length = 0
            while (line := self.rfile.readline()) not in (b"\r\n", b""):
                if line.lower().startswith(b"content-length:"):
                    length = int(line.partition(b":")[2])
            self.rfile.read(length)
            self.wfile.write(self.answer_to(words[0]))

    def answer_to(self, method: bytes) -> bytes:
        return self.answer


class KeepsAll(Canned):
    """Takes everything, and lets nothing be removed."""

    def answer_to(self, method: bytes) -> bytes:
        status = b"403 Forbidden" if method == b"DELETE" else b"200 OK"
        return b'HTTP/1.1 %b\r\nETag: "e"\r\nContent-Length: 0\r\n\r\n' % status


@contextmanager
def listening(handler: type[socketserver.BaseRequestHandler]) -> Iterator[S3Server]:
    class Server(socketserver.ThreadingTCPServer):
        allow_reuse_address = True
        daemon_threads = True

    with Server(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield S3Server(f"http://127.0.0.1:{server.server_address[1]}")
        server.shutdown()


def test_an_origin_that_never_answers_is_given_up_soon(far, probe):
    with listening(BlackHole) as server:
        far(server, "first_byte_timeout_s = 1\ngap_timeout_s = 1")
        began = time.monotonic()
        told = probe()
    assert time.monotonic() - began < 10
    assert told.code == 1
    assert told.failed() == ["reachable"]
    assert "1 seconds were too short for the head of its answer" in told["reachable"]["answered"]


def redirect(status: str, headers: str, document: str) -> type[Canned]:
    body = f'<?xml version="1.0" encoding="UTF-8"?><Error>{document}</Error>'.encode()
    head = f"HTTP/1.1 {status}\r\n{headers}Content-Length: {len(body)}\r\n\r\n".encode()
    return type("Redirect", (Canned,), {"answer": head + body})


@pytest.mark.parametrize(
    ("status", "headers", "document", "hint"),
    [
        (
            "301 Moved Permanently",
            "x-amz-bucket-region: eu-central-1\r\n",
            "<Code>PermanentRedirect</Code><Endpoint>s3.eu-central-1.amazonaws.com</Endpoint>",
            '301 PermanentRedirect: it names endpoint "s3.eu-central-1.amazonaws.com" and region "eu-central-1"',
        ),
        (
            "400 Bad Request",
            "",
            "<Code>AuthorizationHeaderMalformed</Code><Region>eu-west-1</Region>",
            '400 AuthorizationHeaderMalformed: it names region "eu-west-1"',
        ),
        (
            "307 Temporary Redirect",
            "Location: https://elsewhere.example/far\r\n",
            "",
            '307: it names endpoint "https://elsewhere.example/far"',
        ),
    ],
)
def test_an_origin_that_sends_us_elsewhere_says_where_to(far, probe, status, headers, document, hint):
    with listening(redirect(status, headers, document)) as server:
        far(server)
        told = probe()
    assert told.code == 1
    assert told.failed() == ["region"]
    assert told["region"]["answered"] == hint


@pytest.mark.parametrize(("code", "wrong"), [("SignatureDoesNotMatch", "secret"), ("InvalidAccessKeyId", "id")])
def test_a_wrong_key_is_told_from_a_missing_right(weed, far, probe, code, wrong):
    far(replace(weed, secret_access_key="wrong") if wrong == "secret" else replace(weed, access_key_id="wrong"))
    told = probe()
    assert told.code == 1
    assert told.failed() == ["credentials"]
    assert told["credentials"]["answered"] == f"403 {code}"


def test_credentials_that_are_not_there_are_named(weed, far, probe, monkeypatch):
    far(weed)
    monkeypatch.delenv("FAR_SECRET")
    told = probe()
    assert told.code == 1
    assert told.failed() == ["credentials"]
    assert "FAR_SECRET is not set" in told["credentials"]["answered"]


def test_a_bucket_that_is_not_there(weed, far, probe):
    far(weed, bucket="no-such-bucket")
    told = probe()
    assert told.code == 1
    assert told.failed() == ["bucket"]
    assert told["bucket"]["answered"] == "404 NoSuchBucket"


def test_a_key_that_may_only_read(weed, far, probe):
    far(replace(weed, access_key_id=weed.reader_key_id, secret_access_key=weed.reader_secret))
    told = probe()
    assert told.code == 1
    assert told.failed() == ["put"]
    assert told["put"]["answered"] == "403 AccessDenied"
    assert told["put"]["advice"] == "the key needs the right s3:PutObject"
    assert told["delete"]["verdict"] == "unknown"
    assert told.report["left"] == []


def test_a_clock_that_is_wrong_is_told_and_all_else_is_measured(gateway, far):
    installation = far(
        S3Server(gateway.endpoint, gateway.access_key_id, gateway.secret_access_key), bucket="demo-media"
    )
    target = find_target(load_installation(installation / "gateway.toml"), "far", None)
    told = Told(1, render_report(run_probe(target, clock=lambda: time.time() - 3600)))
    assert told.failed() == ["clock_skew_s"]
    assert abs(told["clock_skew_s"]["found"] - 3600) < 10
    assert told["put"]["found"] is True
    assert told.report["left"] == []


def test_what_cannot_be_removed_is_named(far, probe):
    with listening(KeepsAll) as server:
        far(server)
        told = probe()
    assert told.code == 1
    assert "delete" in told.failed()
    below = told.report["left"][0].rpartition("/")[0]
    assert below.startswith(f"s3://{BUCKET}/{PREFIX}.anbar-doctor/")
    assert f"{below}/plain" in told.report["left"]


@pytest.fixture
def heeded() -> Iterator[None]:
    """Processes that are started heed SIGINT, also where this one was started in the background and does not."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("heeded")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_probe_cleans_up(weed, far, number):
    with held_proxy(weed) as (server, begun, go_on):
        installation = far(server)
        process = subprocess.Popen(
            [sys.executable, "-m", "gateway", "doctor", "--origin", "far"],
            cwd=installation,
            env=os.environ | {"PYTHONPATH": str(REPOSITORY)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert begun.wait(30)
        assert len(keys_at(weed)) > len(OWN_KEYS)
        process.send_signal(number)
        go_on.set()
        out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "FAIL  origin far: interrupted after" in out
    assert "nothing is left there" in out
    assert keys_at(weed) == OWN_KEYS


@contextmanager
def held_proxy(server: S3Server) -> Iterator[tuple[S3Server, threading.Event, threading.Event]]:
    """The store by a way on which nothing goes on after some requests, of which the first event tells, until the other."""
    begun, go_on = threading.Event(), threading.Event()
    count = 0
    address = server.endpoint.removeprefix("http://").split(":")

    class Pipe(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            nonlocal count
            with socket.create_connection((address[0], int(address[1]))) as onward:
                back = threading.Thread(target=_pump, args=(onward, self.request), daemon=True)
                back.start()
                while data := self.request.recv(1 << 16):
                    count += 1
                    if count >= 12:
                        begun.set()
                        go_on.wait(60)
                    onward.sendall(data)
                onward.shutdown(socket.SHUT_WR)
                back.join(5)

    with listening(Pipe) as slow:
        yield replace(server, endpoint=slow.endpoint), begun, go_on


def _pump(source: socket.socket, target: socket.socket) -> None:
    try:
        while data := source.recv(1 << 16):
            target.sendall(data)
    except OSError:
        pass


# How it is used.


def test_origins_that_cannot_be_probed_are_wrong_usage(aws, far, anbar):
    far(aws)
    for arguments, words in (
        (["--origin", "nowhere"], 'no origin "nowhere"; there is far, local'),
        (["--origin", "local"], 'local is kind = "directory"'),
        (["--origin", "far", "--bucket", "other"], f"no category keeps its bytes in other; there is {BUCKET}"),
        (["--bucket", BUCKET], "go with --origin"),
        (["--json"], "go with --origin"),
    ):
        ended = anbar("doctor", *arguments)
        assert ended.code == 2
        assert words in " ".join(ended.err.replace("│", " ").split())


def test_an_origin_that_no_category_uses_is_wrong_usage(aws, far, anbar, edit_policy):
    far(aws)
    edit_policy('origin = "far"', 'origin = "local"')
    ended = anbar("doctor", "--origin", "far")
    assert ended.code == 2
    assert "no category of the policy files keeps its bytes" in " ".join(ended.err.replace("│", " ").split())


def test_a_bucket_can_be_chosen(aws, far, probe):
    client(aws).create_bucket(Bucket="second")
    installation = far(aws)
    with (installation / "policies/demo.toml").open("a", encoding="utf-8") as file:
        file.write('[categories.more]\norigin = "far"\norigin_bucket = "second"\n')
    assert probe("--bucket", "second").report["prefix"] == ""
    assert probe().report["bucket"] == BUCKET


# Without --origin.


def test_doctor_alone_says_whether_s3_origins_are_there(aws, far, anbar):
    far(aws)
    ended = anbar("doctor")
    assert ended.code == 0
    assert f"ok    origin far: there are credentials: access key id {aws.access_key_id}" in ended.out
    assert f"ok    origin far: {aws.endpoint}, connected in" in ended.out
    assert "anbar doctor --origin far" in ended.out


def test_doctor_alone_notes_an_origin_that_is_down_and_passes(far, anbar):
    far(S3Server(f"http://127.0.0.1:{free_port()}"))
    ended = anbar("doctor")
    assert ended.code == 0
    assert "note  origin far: http://127.0.0.1:" in ended.out
    assert "cannot be reached" in ended.out


def test_doctor_alone_fails_without_the_credentials_that_settings_name(aws, far, anbar, monkeypatch):
    far(aws)
    monkeypatch.delenv("FAR_ID")
    ended = anbar("doctor")
    assert ended.code == 1
    assert "FAIL  origin far: access_key_id: the environment variable FAR_ID is not set" in ended.out


def test_the_profile_is_beside_the_store(tmp_path):
    assert profile_path(tmp_path / "anbar.sqlite", "far") == tmp_path / "origin-far.profile.json"
