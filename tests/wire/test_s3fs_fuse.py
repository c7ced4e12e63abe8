"""s3fs-fuse: a bucket mounted as a folder where the machine has FUSE, and its requests replayed everywhere."""

import base64
import hashlib
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.data import MIB, pattern
from tests.support.gateway import Gateway
from tests.support.programs import program, run
from tests.support.signed_http import SignedConnection, encode_path

MOUNT_TIMEOUT_S = 15
FUSE_DEVICE = Path("/dev/fuse")
CAP_SYS_ADMIN = 21


def fuse_is_there() -> bool:
    """Whether this machine can mount: the device can be opened, and somebody here may mount (in containers often not)."""
    try:
        os.close(os.open(FUSE_DEVICE, os.O_RDWR))
    except OSError:
        return False
    status = dict(line.split(":\t", 1) for line in Path("/proc/self/status").read_text().splitlines() if ":\t" in line)
    return bool(int(status["CapBnd"], 16) >> CAP_SYS_ADMIN & 1)


def is_mounted(folder: Path) -> bool:
    """Whether a file system answers there; while one is coming or going it may also fail."""
    try:
        return folder.is_mount()
    except OSError:
        return False


@contextmanager
def mounted(gateway: Gateway, bucket: str, directory: Path) -> Iterator[Path]:
    """The bucket as a folder, until the block ends."""
    folder, password = directory / "mnt", directory / "passwd"
    folder.mkdir()
    password.write_text(f"{gateway.access_key_id}:{gateway.secret_access_key}\n")
    password.chmod(0o600)
    options = f"passwd_file={password},url={gateway.endpoint},use_path_request_style,multipart_size=10,retries=1"
    # Debian's curl with GnuTLS takes no certificate authority from the environment.
    options += ",no_check_certificate" if gateway.tls else ""
    with (directory / "s3fs.log").open("wb") as log:
        process = subprocess.Popen(
            [program("s3fs"), bucket, str(folder), "-f", "-o", options],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    try:
        deadline = time.monotonic() + MOUNT_TIMEOUT_S
        while not is_mounted(folder):
            assert process.poll() is None, (directory / "s3fs.log").read_text()
            assert time.monotonic() < deadline, (directory / "s3fs.log").read_text()
            time.sleep(0.02)
        yield folder
    finally:
        if is_mounted(folder):
            run(shutil.which("fusermount3") or "fusermount", "-u", folder)
        try:
            process.wait(MOUNT_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def test_a_mounted_bucket_is_used_like_a_folder(any_gateway: Gateway, bucket: str, tmp_path: Path, s3: object) -> None:
    if not fuse_is_there():
        refused = run("s3fs", bucket, tmp_path, "-f", "-o", f"url={any_gateway.endpoint},passwd_file=/dev/null")
        assert refused.returncode != 0
        return
    body = pattern(11 * MIB)
    with mounted(any_gateway, bucket, tmp_path) as folder:
        (folder / "dir é" / "sub").mkdir(parents=True)
        (folder / "dir é" / "big file.bin").write_bytes(body)
        (folder / "dir é" / "sub" / "a+b").write_bytes(b"small")
        assert (folder / "dir é" / "big file.bin").read_bytes() == body
        (folder / "dir é" / "sub" / "a+b").rename(folder / "renamed")
        assert (folder / "renamed").read_bytes() == b"small"
        with (folder / "renamed").open("ab") as file:
            file.write(b", appended")
        (folder / "renamed").chmod(0o640)
        (folder / "dir é" / "sub").rmdir()
        assert sorted(path.name for path in folder.iterdir()) == ["dir é", "renamed"]
    listed = s3.list_objects_v2(Bucket=bucket)["Contents"]  # type: ignore[attr-defined]
    assert [(entry["Key"], entry["Size"]) for entry in listed] == [
        ("dir é/", 0),
        ("dir é/big file.bin", len(body)),
        ("renamed", 15),
    ]
    with s3.get_object(Bucket=bucket, Key="renamed")["Body"] as stream:  # type: ignore[attr-defined]
        assert stream.read() == b"small, appended"


@pytest.fixture
def fuse(any_gateway: Gateway) -> Iterator[SignedConnection]:
    with SignedConnection(any_gateway) as connection:
        yield connection


def test_its_requests_as_it_sends_them(fuse: SignedConnection, bucket: str) -> None:
    """A mount, a new file, a write, a chmod (a copy onto itself) and a rename, after s3fs 1.90."""
    attributes = {
        "x-amz-meta-mode": "33188",
        "x-amz-meta-uid": "0",
        "x-amz-meta-gid": "0",
        "x-amz-meta-mtime": "1795338000",
    }
    key = f"/{bucket}/new file+1"
    assert fuse.signed("GET", f"/{bucket}/").status == 200
    assert fuse.signed("HEAD", key).status == 404
    assert fuse.signed("HEAD", f"{key}/").status == 404
    found = fuse.signed("GET", f"/{bucket}/", query=[("delimiter", "/"), ("max-keys", "2"), ("prefix", "new file+1/")])
    assert (found.status, b"<Contents>" in found.body) == (200, False)
    typed = {"Content-Type": "application/octet-stream", "x-amz-acl": "private", **attributes}
    assert fuse.signed("PUT", key, headers=typed).status == 200
    md5 = base64.b64encode(hashlib.md5(b"written").digest()).decode()
    assert fuse.signed("PUT", key, headers={**typed, "Content-MD5": md5}, body=b"written").status == 200
    source = {"x-amz-copy-source": encode_path(key), "x-amz-metadata-directive": "REPLACE"}
    chmod = fuse.signed("PUT", key, headers={**typed, **source, "x-amz-meta-mode": "33152"})
    assert (chmod.status, chmod.element("ETag") != "") == (200, True)
    assert fuse.signed("PUT", f"/{bucket}/renamed", headers={**typed, **source}).status == 200
    assert fuse.signed("DELETE", key).status == 204
    head = fuse.signed("HEAD", f"/{bucket}/renamed")
    assert (head.headers["content-length"], head.headers["x-amz-meta-mode"]) == ("7", "33188")
    page = fuse.signed("GET", f"/{bucket}/", query=[("delimiter", "/"), ("max-keys", "1000"), ("prefix", "")])
    assert (page.element("Key"), page.body.count(b"<Contents>")) == ("renamed", 1)
