"""restic (minio-go): signed chunks over plain HTTP without a Content-Encoding, and a backup that can be restored."""

from pathlib import Path

from tests.support.data import MIB, pattern
from tests.support.gateway import Gateway
from tests.support.programs import aws_environment, run, succeed


def test_a_backup_is_made_checked_listed_and_restored(any_gateway: Gateway, bucket: str, tmp_path: Path) -> None:
    environment = aws_environment(any_gateway, home=tmp_path) | {
        "RESTIC_REPOSITORY": f"s3:{any_gateway.endpoint}/{bucket}/backup",
        "RESTIC_PASSWORD": "a password of the tests",
        "RESTIC_CACHE_DIR": str(tmp_path / "cache"),
    }
    trust = ("--cacert", str(any_gateway.ca_file)) if any_gateway.ca_file else ()
    files = {"a.txt": b"a", "sub/é.bin": pattern(6 * MIB), "sub/empty": b""}
    for name, body in files.items():
        (tmp_path / "data" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "data" / name).write_bytes(body)

    def restic(*arguments: str | Path) -> str:
        return succeed(run("restic", *trust, *arguments, environment=environment, directory=tmp_path))

    restic("init")
    restic("backup", "data")
    assert "no errors were found" in restic("check", "--read-data")
    restic("restore", "latest", "--target", tmp_path / "back")
    assert {name: (tmp_path / "back" / "data" / name).read_bytes() for name in files} == files
    (tmp_path / "data" / "a.txt").write_bytes(b"changed")
    restic("backup", "data")
    restic("forget", "--keep-last", "1", "--prune")
    assert restic("snapshots", "--json").count('"short_id"') == 1


def test_a_wrong_secret_opens_no_repository(any_gateway: Gateway, bucket: str, tmp_path: Path) -> None:
    environment = aws_environment(any_gateway, home=tmp_path) | {
        "RESTIC_REPOSITORY": f"s3:{any_gateway.endpoint}/{bucket}/backup",
        "RESTIC_PASSWORD": "a password of the tests",
        "AWS_SECRET_ACCESS_KEY": "another",
    }
    trust = ("--cacert", str(any_gateway.ca_file)) if any_gateway.ca_file else ()
    refused = run("restic", "--no-cache", *trust, "cat", "config", environment=environment)
    assert refused.returncode != 0
    assert b"Access Denied" in refused.stderr
