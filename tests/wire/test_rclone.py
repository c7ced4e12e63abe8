"""rclone (Go, SDK v2): makes the bucket before each upload, looks before and after, and signs accept-encoding."""

from pathlib import Path

import pytest

from tests.support.clients import fresh_bucket_name
from tests.support.data import MIB, pattern
from tests.support.gateway import Gateway
from tests.support.media_house import PRIVATE, EndUser, Key, MediaHouse
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

    def __init__(self, gateway: Gateway, provider: str, home: Path, key: Key | None = None) -> None:
        options = {
            "TYPE": "s3",
            "PROVIDER": provider,
            "ENDPOINT": gateway.endpoint,
            "ACCESS_KEY_ID": key.access_key_id if key else gateway.access_key_id,
            "SECRET_ACCESS_KEY": key.secret_access_key if key else gateway.secret_access_key,
            "SESSION_TOKEN": (key.session_token or "") if key else "",
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


def test_an_uploader_who_may_list_a_folder_keeps_it_in_step(
    media_house: MediaHouse, lea: EndUser, folder: Path, tmp_path: Path
) -> None:
    """rclone looks for each file before it uploads; what is not there is only told to who may list the place."""
    rclone = Rclone(media_house.gateway, "Other", tmp_path, media_house.keys["sara"])
    site = f"anbar:{PRIVATE}/sara/{lea.name}"
    rclone("sync", folder, site)
    rclone("check", folder, site)
    rclone("moveto", f"{site}/a.txt", f"{site}/moved.txt")
    rclone("copy", site, tmp_path / "down")
    assert (tmp_path / "down" / "moved.txt").read_bytes() == FILES["a.txt"]
    outside = run("rclone", "copyto", folder / "a.txt", f"anbar:{PRIVATE}/elsewhere", environment=rclone.environment)
    assert outside.returncode != 0


def test_a_session_copies_a_folder_without_looking_first(
    media_house: MediaHouse, lea: EndUser, folder: Path, tmp_path: Path
) -> None:
    rclone = Rclone(media_house.gateway, "Other", tmp_path, lea.key)
    blind = ("--s3-no-head", "--s3-no-head-object", "--s3-no-check-bucket")
    rclone("copy", folder, f"anbar:{PRIVATE}/{lea.name}/", *blind)
    rclone("check", folder, f"anbar:{PRIVATE}/{lea.name}/", *blind)
    found = lea.s3.list_objects_v2(Bucket=PRIVATE)["Contents"]
    assert [entry["Key"] for entry in found] == sorted((lea.path(name) for name in FILES), key=str.encode)
