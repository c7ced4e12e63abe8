"""aws-cli version 1: the commands that people type."""

import json
import os
import time
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest

from tests.support.data import MIB, pattern
from tests.support.gateway import Gateway
from tests.support.media_house import PRIVATE, PUBLIC, EndUser, MediaHouse
from tests.support.plain_http import fetch
from tests.support.programs import aws_environment, run, succeed

A_YEAR_AGO_S = time.time() - 365 * 86400
"""Sync compares a file's time with the object's, which has whole seconds."""


class Aws:
    """The `aws` command with a gateway's key in its environment."""

    def __init__(self, gateway: Gateway, home: Path) -> None:
        self.environment = aws_environment(gateway, home=home)

    def __call__(self, *arguments: str | Path, stdin: bytes = b"") -> str:
        return succeed(run("aws", *arguments, environment=self.environment, stdin=stdin))


@pytest.fixture
def aws(any_gateway: Gateway, tmp_path: Path) -> Aws:
    return Aws(any_gateway, tmp_path)


def test_cp_up_ls_and_cp_down(aws: Aws, bucket: str, tmp_path: Path) -> None:
    big = pattern(9 * MIB)
    (tmp_path / "big file.mp4").write_bytes(big)
    aws("s3", "cp", tmp_path / "big file.mp4", f"s3://{bucket}/dir/big file.mp4", "--no-progress")
    aws("s3", "cp", "-", f"s3://{bucket}/dir/streamed é.txt", stdin=b"from standard input")
    listed = aws("s3", "ls", "--recursive", f"s3://{bucket}/")
    assert [line.split(maxsplit=3)[2:] for line in listed.splitlines()] == [
        [str(len(big)), "dir/big file.mp4"],
        ["19", "dir/streamed é.txt"],
    ]
    assert aws("s3", "ls", f"s3://{bucket}/").split() == ["PRE", "dir/"]
    aws("s3", "cp", f"s3://{bucket}/dir/big file.mp4", tmp_path / "back", "--no-progress")
    assert (tmp_path / "back").read_bytes() == big
    head = json.loads(aws("s3api", "head-object", "--bucket", bucket, "--key", "dir/big file.mp4"))
    assert (head["ContentLength"], head["ContentType"]) == (len(big), "video/mp4")


def test_sync_up_and_down_moves_only_what_differs(aws: Aws, bucket: str, tmp_path: Path) -> None:
    files = {"a.txt": b"a", "sub/b+c.txt": b"b", "sub/deep/é.txt": b"c", "x y/z.txt": b"d"}
    for name, body in files.items():
        (tmp_path / "up" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "up" / name).write_bytes(body)
        os.utime(tmp_path / "up" / name, (A_YEAR_AGO_S, A_YEAR_AGO_S))
    first = aws("s3", "sync", tmp_path / "up", f"s3://{bucket}/site", "--no-progress")
    assert len(first.splitlines()) == len(files)
    assert aws("s3", "sync", tmp_path / "up", f"s3://{bucket}/site", "--no-progress") == ""
    aws("s3", "sync", f"s3://{bucket}/site", tmp_path / "down", "--no-progress")
    assert {name: (tmp_path / "down" / name).read_bytes() for name in files} == files
    (tmp_path / "up" / "a.txt").unlink()
    deleted = aws("s3", "sync", "--delete", tmp_path / "up", f"s3://{bucket}/site", "--no-progress")
    assert deleted.strip() == f"delete: s3://{bucket}/site/a.txt"


def test_mv_and_rm(aws: Aws, bucket: str, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"moved")
    aws("s3", "cp", tmp_path / "a", f"s3://{bucket}/from", "--no-progress")
    aws("s3", "mv", f"s3://{bucket}/from", f"s3://demo-voice/{bucket}/to", "--no-progress")
    assert aws("s3", "cp", f"s3://demo-voice/{bucket}/to", "-") == "moved"
    assert aws("s3", "ls", "--recursive", f"s3://demo-voice/{bucket}/").endswith(f"{bucket}/to\n")
    aws("s3", "rm", "--recursive", f"s3://demo-voice/{bucket}/")
    gone = run("aws", "s3", "ls", f"s3://demo-voice/{bucket}/", environment=aws.environment)
    assert (gone.returncode, gone.stdout) == (1, b"")


def test_presign_gives_a_url_that_anybody_can_fetch(aws: Aws, any_gateway: Gateway, bucket: str) -> None:
    aws("s3", "cp", "-", f"s3://{bucket}/a b", stdin=b"shared")
    url = aws("s3", "presign", f"s3://{bucket}/a b", "--expires-in", "60").strip()
    assert fetch(any_gateway, "GET", url).body == b"shared"


def test_mb_rb_and_an_error_that_names_its_code(aws: Aws, bucket: str) -> None:
    aws("s3", "mb", f"s3://{bucket}-second")
    assert f"{bucket}-second" in aws("s3", "ls")
    aws("s3", "rb", f"s3://{bucket}-second")
    refused = run("aws", "s3", "ls", "s3://other-media", environment=aws.environment)
    assert refused.returncode != 0
    assert b"(AccessDenied)" in refused.stderr


# --- an end user's profile: the command begins the session by itself


@pytest.fixture
def profiles(media_house: MediaHouse, lea: EndUser, tmp_path: Path) -> dict[str, str]:
    """An environment in which the profile `lea` assumes the role of the project with the key of its service."""
    service, gateway = media_house.keys["backend"], media_house.gateway
    (tmp_path / "config").write_text(
        "[profile lea]\n"
        "role_arn = arn:aws:iam::app:role/uploader\n"
        "source_profile = backend\n"
        f"role_session_name = {lea.name}\n"
    )
    (tmp_path / "credentials").write_text(
        f"[backend]\naws_access_key_id = {service.access_key_id}\naws_secret_access_key = {service.secret_access_key}\n"
    )
    environment = {
        "HOME": str(tmp_path),
        "AWS_CONFIG_FILE": str(tmp_path / "config"),
        "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "credentials"),
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": gateway.endpoint,
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_PROFILE": "lea",
    }
    return environment | ({"AWS_CA_BUNDLE": str(gateway.ca_file)} if gateway.ca_file else {})


def test_a_profile_with_a_role_copies_as_its_end_user(
    profiles: dict[str, str], lea: EndUser, tom: EndUser, ops: Any, tmp_path: Path
) -> None:
    big = pattern(9 * MIB)
    (tmp_path / "big").write_bytes(big)
    tom.s3.put_object(Bucket=PRIVATE, Key=tom.path("a"), Body=b"his")

    def aws(*arguments: str | Path) -> CompletedProcess[bytes]:
        return run("aws", *arguments, environment=profiles)

    succeed(aws("s3", "cp", tmp_path / "big", f"s3://{PRIVATE}/{lea.path('big')}", "--no-progress"))
    succeed(aws("s3", "cp", f"s3://{PRIVATE}/{lea.path('big')}", tmp_path / "back", "--no-progress"))
    assert (tmp_path / "back").read_bytes() == big
    listed = succeed(aws("s3", "ls", "--recursive", f"s3://{PRIVATE}/"))
    assert [line.split()[3] for line in listed.splitlines()] == [lea.path("big")]
    found = ops.list_objects(Bucket=PRIVATE, Prefix=lea.path(""))["Contents"]
    assert [entry["Owner"]["ID"] for entry in found] == [lea.name]
    refused = aws("s3api", "get-object", "--bucket", PRIVATE, "--key", tom.path("a"), tmp_path / "none")
    assert refused.returncode != 0
    assert b"(AccessDenied)" in refused.stderr
    assert not (tmp_path / "none").exists()


def test_put_object_acl_accepts_what_get_object_acl_said(
    profiles: dict[str, str], lea: EndUser, tmp_path: Path
) -> None:
    for bucket, canned, other in ((PRIVATE, "private", "public-read"), (PUBLIC, "public-read", "private")):
        lea.s3.put_object(Bucket=bucket, Key=lea.path("a"), Body=b"x")
        where = ("--bucket", bucket, "--key", lea.path("a"))
        (tmp_path / "acl.json").write_text(succeed(run("aws", "s3api", "get-object-acl", *where, environment=profiles)))
        document = f"file://{tmp_path}/acl.json"
        for same in (("--acl", canned), ("--access-control-policy", document)):
            succeed(run("aws", "s3api", "put-object-acl", *where, *same, environment=profiles))
        for change in (("--acl", other), ("--grant-read", "id=somebody")):
            refused = run("aws", "s3api", "put-object-acl", *where, *change, environment=profiles)
            assert refused.returncode != 0
            assert b"(AccessControlListNotSupported)" in refused.stderr
