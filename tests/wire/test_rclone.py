"""rclone (Go, SDK v2): makes the bucket before each upload, looks before and after, and signs accept-encoding."""

from pathlib import Path

import pytest

from tests.support.clients import fresh_bucket_name
from tests.support.data import MIB, pattern
from tests.support.gateway import Gateway
from tests.support.programs import run, succeed

FILES = {
    "a.txt": b"a",
    "empty": b"",
    "sub/b+c %.txt": b"b",
    "sub/deep/é.txt": b"c",
    "صدا/x y.ogg": b"d",
    "big.bin": pattern(6 * MIB),
}


class Rclone:
    """The `rclone` command with a remote `anbar:` of one of rclone's S3 providers."""

    def __init__(self, gateway: Gateway, provider: str, home: Path) -> None:
        options = {
            "TYPE": "s3",
            "PROVIDER": provider,
            "ENDPOINT": gateway.endpoint,
            "ACCESS_KEY_ID": gateway.access_key_id,
            "SECRET_ACCESS_KEY": gateway.secret_access_key,
            "UPLOAD_CUTOFF": "5M",
            "CHUNK_SIZE": "5M",
        }
        self.environment = {f"RCLONE_CONFIG_ANBAR_{name}": value for name, value in options.items()}
        self.environment |= {"RCLONE_CONFIG": str(home / "rclone.conf"), "HOME": str(home)}
        self.environment |= {"RCLONE_RETRIES": "1", "RCLONE_LOW_LEVEL_RETRIES": "1"}
        if gateway.ca_file:
            self.environment["RCLONE_CA_CERT"] = str(gateway.ca_file)

    def __call__(self, *arguments: str | Path, stdin: bytes = b"") -> str:
        return succeed(run("rclone", *arguments, environment=self.environment, stdin=stdin))


@pytest.fixture(params=["Other", "Liara"])
def rclone(any_gateway: Gateway, request: pytest.FixtureRequest, tmp_path: Path) -> Rclone:
    (tmp_path / "rclone.conf").touch()
    return Rclone(any_gateway, request.param, tmp_path)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, body in FILES.items():
        (tmp_path / "up" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "up" / name).write_bytes(body)
    return tmp_path / "up"


def test_copy_check_list_and_copy_back(rclone: Rclone, bucket: str, folder: Path, tmp_path: Path) -> None:
    rclone("copy", folder, f"anbar:{bucket}/site")
    rclone("check", "--download", folder, f"anbar:{bucket}/site")
    listed = rclone("lsf", "--recursive", "--files-only", f"anbar:{bucket}/site")
    assert set(listed.splitlines()) == set(FILES)
    assert rclone("lsf", f"anbar:{bucket}").splitlines() == ["site/"]
    rclone("copy", f"anbar:{bucket}/site", tmp_path / "down")
    assert {name: (tmp_path / "down" / name).read_bytes() for name in FILES} == FILES


def test_sync_sends_only_what_differs_and_deletes_what_went(rclone: Rclone, bucket: str, folder: Path) -> None:
    rclone("sync", folder, f"anbar:{bucket}")
    (folder / "a.txt").write_bytes(b"changed")
    (folder / "empty").unlink()
    rclone("sync", folder, f"anbar:{bucket}")
    assert rclone("cat", f"anbar:{bucket}/a.txt") == "changed"
    assert "empty" not in rclone("lsf", f"anbar:{bucket}").splitlines()
    rclone("check", folder, f"anbar:{bucket}")


def test_moveto_and_delete(rclone: Rclone, bucket: str) -> None:
    rclone("rcat", f"anbar:{bucket}/from here", stdin=b"moved")
    rclone("moveto", f"anbar:{bucket}/from here", f"anbar:demo-voice/{bucket}/to there")
    assert rclone("cat", f"anbar:demo-voice/{bucket}/to there") == "moved"
    assert rclone("lsf", f"anbar:{bucket}") == ""
    rclone("delete", f"anbar:demo-voice/{bucket}")
    assert rclone("lsf", "--recursive", f"anbar:demo-voice/{bucket}") == ""


def test_buckets_are_made_by_a_copy_and_removed(rclone: Rclone, folder: Path) -> None:
    name = fresh_bucket_name()
    rclone("copy", folder / "sub", f"anbar:{name}/sub")
    assert f"{name}/" in rclone("lsf", "anbar:").splitlines()
    rclone("purge", f"anbar:{name}")
    assert f"{name}/" not in rclone("lsf", "anbar:").splitlines()
