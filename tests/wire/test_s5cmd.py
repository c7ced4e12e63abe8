"""s5cmd (Go, SDK v1): many requests at once, a SHA-256 and an MD5 with each."""

import os
import time
from pathlib import Path

import pytest

from tests.support.clients import fresh_bucket_name
from tests.support.data import MIB, pattern
from tests.support.gateway import Gateway
from tests.support.plain_http import fetch
from tests.support.programs import aws_environment, run, succeed

A_YEAR_AGO_S = time.time() - 365 * 86400
"""Sync compares a file's time with the object's, which has whole seconds."""


class S5cmd:
    """The `s5cmd` command at a gateway."""

    def __init__(self, gateway: Gateway, home: Path) -> None:
        self.endpoint = gateway.endpoint
        self.environment = aws_environment(gateway, home=home)

    def __call__(self, *arguments: str | Path, stdin: bytes = b"") -> str:
        base = ("--endpoint-url", self.endpoint, "--retry-count", "0")
        return succeed(run("s5cmd", *base, *arguments, environment=self.environment, stdin=stdin))


@pytest.fixture
def s5cmd(any_gateway: Gateway, tmp_path: Path) -> S5cmd:
    return S5cmd(any_gateway, tmp_path)


def test_cp_ls_cat_mv_and_rm(s5cmd: S5cmd, bucket: str, tmp_path: Path) -> None:
    body = pattern(11 * MIB)
    (tmp_path / "big é.bin").write_bytes(body)
    s5cmd("cp", "--part-size", "5", tmp_path / "big é.bin", f"s3://{bucket}/dir/big é.bin")
    assert str(len(body)) in s5cmd("ls", f"s3://{bucket}/dir/*")
    s5cmd("cp", f"s3://{bucket}/dir/big é.bin", tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == body
    s5cmd("pipe", f"s3://{bucket}/a b+c", stdin=b"piped")
    assert s5cmd("cat", f"s3://{bucket}/a b+c") == "piped"
    s5cmd("mv", f"s3://{bucket}/a b+c", f"s3://{bucket}/moved")
    assert s5cmd("cat", f"s3://{bucket}/moved") == "piped"
    s5cmd("rm", f"s3://{bucket}/*")
    empty = run("s5cmd", "--endpoint-url", s5cmd.endpoint, "ls", f"s3://{bucket}/*", environment=s5cmd.environment)
    assert b"no object found" in empty.stderr


def test_a_folder_of_many_files_is_synced_and_removed(s5cmd: S5cmd, bucket: str, tmp_path: Path) -> None:
    (tmp_path / "up").mkdir()
    for number in range(120):
        file = tmp_path / "up" / f"file {number:03d}.txt"
        file.write_bytes(b"x" * number)
        os.utime(file, (A_YEAR_AGO_S, A_YEAR_AGO_S))
    s5cmd("sync", f"{tmp_path}/up/", f"s3://{bucket}/many/")
    assert s5cmd("sync", f"{tmp_path}/up/", f"s3://{bucket}/many/") == ""
    assert len(s5cmd("ls", f"s3://{bucket}/many/").splitlines()) == 120
    assert s5cmd("du", f"s3://{bucket}/many/*").split()[0] == str(sum(range(120)))
    s5cmd("rm", f"s3://{bucket}/many/*")


def test_mb_rb_and_presign(s5cmd: S5cmd, any_gateway: Gateway) -> None:
    name = fresh_bucket_name()
    s5cmd("mb", f"s3://{name}")
    assert f"s3://{name}" in s5cmd("ls")
    s5cmd("pipe", f"s3://{name}/a b", stdin=b"shared")
    url = s5cmd("presign", "--expire", "5m", f"s3://{name}/a b").strip()
    assert fetch(any_gateway, "GET", url).body == b"shared"
    s5cmd("rm", f"s3://{name}/a b")
    s5cmd("rb", f"s3://{name}")
