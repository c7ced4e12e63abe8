"""s3cmd: asks for a bucket's location before all else, lists by version 1, and signs URLs by SigV2."""

from pathlib import Path
from subprocess import CompletedProcess

import pytest

from tests.support.clients import fresh_bucket_name
from tests.support.data import MIB, pattern
from tests.support.gateway import Gateway
from tests.support.media_house import PRIVATE, PUBLIC, EndUser, Key, MediaHouse
from tests.support.plain_http import fetch
from tests.support.programs import run, succeed


class S3cmd:
    """The `s3cmd` command with a configuration file for a gateway."""

    def __init__(self, gateway: Gateway, directory: Path, key: Key | None = None) -> None:
        self.config = directory / "s3cfg"
        lines = {
            "access_key": key.access_key_id if key else gateway.access_key_id,
            "secret_key": key.secret_access_key if key else gateway.secret_access_key,
            "access_token": (key.session_token or "") if key else "",
            "host_base": f"{gateway.host}:{gateway.port}",
            "host_bucket": f"{gateway.host}:{gateway.port}",
            "use_https": gateway.tls,
            "ca_certs_file": gateway.ca_file or "",
            "multipart_chunk_size_mb": 5,
            "progress_meter": False,
        }
        self.config.write_text("[default]\n" + "".join(f"{name} = {value}\n" for name, value in lines.items()))

    def __call__(self, *arguments: str | Path) -> str:
        return succeed(self.attempt(*arguments))

    def attempt(self, *arguments: str | Path) -> CompletedProcess[bytes]:
        return run("s3cmd", "--config", self.config, *arguments)


@pytest.fixture
def s3cmd(any_gateway: Gateway, tmp_path: Path) -> S3cmd:
    return S3cmd(any_gateway, tmp_path)


def test_put_ls_info_get_and_del(s3cmd: S3cmd, bucket: str, tmp_path: Path) -> None:
    body = pattern(100_000)
    (tmp_path / "photo é.jpg").write_bytes(body)
    s3cmd("put", tmp_path / "photo é.jpg", f"s3://{bucket}/dir/photo é+1.jpg", "--mime-type=image/jpeg")
    listed = s3cmd("ls", "--recursive", f"s3://{bucket}/")
    assert f"100000  s3://{bucket}/dir/photo é+1.jpg" in listed
    assert f"DIR  s3://{bucket}/dir/" in s3cmd("ls", f"s3://{bucket}/")
    info = s3cmd("info", f"s3://{bucket}/dir/photo é+1.jpg")
    assert "File size: 100000" in info
    assert "MIME type: image/jpeg" in info
    s3cmd("get", f"s3://{bucket}/dir/photo é+1.jpg", tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == body
    s3cmd("del", f"s3://{bucket}/dir/photo é+1.jpg")
    assert s3cmd("ls", "--recursive", f"s3://{bucket}/") == ""


def test_mb_info_and_rb_of_a_bucket(s3cmd: S3cmd) -> None:
    name = fresh_bucket_name()
    s3cmd("mb", f"s3://{name}")
    assert f"s3://{name}" in s3cmd("ls")
    info = s3cmd("info", f"s3://{name}")
    assert "Location:" in info
    assert "Policy:    none" in info
    s3cmd("rb", f"s3://{name}")
    assert f"s3://{name}" not in s3cmd("ls")


def test_a_large_file_goes_up_in_parts(s3cmd: S3cmd, bucket: str, tmp_path: Path) -> None:
    body = pattern(11 * MIB)
    (tmp_path / "big").write_bytes(body)
    s3cmd("put", tmp_path / "big", f"s3://{bucket}/big")
    s3cmd("get", f"s3://{bucket}/big", tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == body


def test_sync_both_ways(s3cmd: S3cmd, bucket: str, tmp_path: Path) -> None:
    files = {"a.txt": b"a", "sub/b c.txt": b"b", "sub/é.txt": b"c"}
    for name, body in files.items():
        (tmp_path / "up" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "up" / name).write_bytes(body)
    s3cmd("sync", f"{tmp_path}/up/", f"s3://{bucket}/site/")
    again = s3cmd("sync", f"{tmp_path}/up/", f"s3://{bucket}/site/")
    assert "upload:" not in again
    (tmp_path / "down").mkdir()
    s3cmd("sync", f"s3://{bucket}/site/", f"{tmp_path}/down/")
    assert {name: (tmp_path / "down" / name).read_bytes() for name in files} == files
    s3cmd("del", "--recursive", "--force", f"s3://{bucket}/site/")
    assert s3cmd("ls", f"s3://{bucket}/") == ""


def test_cp_and_mv_inside_the_bucket(s3cmd: S3cmd, bucket: str, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"body")
    s3cmd("put", tmp_path / "a", f"s3://{bucket}/a")
    s3cmd("cp", f"s3://{bucket}/a", f"s3://{bucket}/b")
    s3cmd("mv", f"s3://{bucket}/b", f"s3://{bucket}/c d")
    s3cmd("modify", "--add-header=x-amz-meta-seen:yes", f"s3://{bucket}/a")
    assert "x-amz-meta-seen: yes" in s3cmd("info", f"s3://{bucket}/a")
    keys = [line.split(maxsplit=3)[3] for line in s3cmd("ls", f"s3://{bucket}/").splitlines()]
    assert keys == [f"s3://{bucket}/a", f"s3://{bucket}/c d"]


def test_signurl_gives_a_url_that_anybody_can_fetch(
    s3cmd: S3cmd, any_gateway: Gateway, bucket: str, tmp_path: Path
) -> None:
    (tmp_path / "a").write_bytes(b"shared")
    s3cmd("put", tmp_path / "a", f"s3://{bucket}/a b")
    url = s3cmd("signurl", f"s3://{bucket}/a b", "+600").strip()
    assert "AWSAccessKeyId=" in url
    got = fetch(any_gateway, "GET", url)
    assert (got.status, got.body) == (200, b"shared")


@pytest.mark.parametrize("who", ["ops", "sara", "a session"])
def test_setacl_writes_back_what_it_read_and_changes_nothing(
    media_house: MediaHouse, lea: EndUser, tmp_path: Path, who: str
) -> None:
    s3cmd = S3cmd(media_house.gateway, tmp_path, lea.key if who == "a session" else media_house.keys[who])
    (tmp_path / "a").write_bytes(b"body")
    private, public = f"s3://{PRIVATE}/{lea.path('a')}", f"s3://{PUBLIC}/{lea.path('a')}"
    s3cmd("put", tmp_path / "a", private, "--acl-private")
    s3cmd("put", tmp_path / "a", public, "--acl-public")
    assert "ACL:       *anon*: READ" in s3cmd("info", public)
    assert "*anon*" not in s3cmd("info", private)
    for same in ((private, "--acl-private"), (public, "--acl-public"), (private, "--acl-revoke=read:nobody")):
        s3cmd("setacl", *same)
    for change in ((private, "--acl-public"), (public, "--acl-private"), (private, "--acl-grant=read:somebody")):
        refused = s3cmd.attempt("setacl", *change)
        assert refused.returncode != 0
        assert b"AccessControlListNotSupported" in refused.stderr
    s3cmd("get", private, tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == b"body"
