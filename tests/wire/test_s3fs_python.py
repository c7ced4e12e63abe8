"""s3fs (fsspec, Python): folders over aiobotocore, opened like files."""

from collections.abc import Iterator

import pytest
import s3fs

from tests.support.data import MIB, pattern
from tests.support.gateway import Gateway


@pytest.fixture
def filesystem(any_gateway: Gateway) -> Iterator[s3fs.S3FileSystem]:
    made = s3fs.S3FileSystem(
        key=any_gateway.access_key_id,
        secret=any_gateway.secret_access_key,
        endpoint_url=any_gateway.endpoint,
        client_kwargs={
            "region_name": "us-east-1",
            **({"verify": str(any_gateway.ca_file)} if any_gateway.ca_file else {}),
        },
        skip_instance_cache=True,
    )
    yield made
    made.close_session(made.loop, made._s3)


def test_files_are_written_read_found_copied_moved_and_removed(filesystem: s3fs.S3FileSystem, bucket: str) -> None:
    body = pattern(11 * MIB)
    with filesystem.open(f"{bucket}/dir/big é.bin", "wb", block_size=5 * MIB) as file:
        file.write(body)
    filesystem.pipe({f"{bucket}/dir/a b": b"1", f"{bucket}/dir/sub/c+d": b"22"})
    assert filesystem.cat(f"{bucket}/dir/a b") == b"1"
    with filesystem.open(f"{bucket}/dir/big é.bin", "rb") as file:
        file.seek(5 * MIB - 1)
        assert file.read(3) == body[5 * MIB - 1 : 5 * MIB + 2]
    assert filesystem.find(bucket) == [f"{bucket}/dir/a b", f"{bucket}/dir/big é.bin", f"{bucket}/dir/sub/c+d"]
    assert filesystem.du(f"{bucket}/dir") == len(body) + 3
    filesystem.copy(f"{bucket}/dir/a b", f"{bucket}/copy")
    filesystem.mv(f"{bucket}/copy", f"{bucket}/moved")
    assert filesystem.info(f"{bucket}/moved")["size"] == 1
    filesystem.rm(f"{bucket}/dir", recursive=True)
    filesystem.invalidate_cache()
    assert filesystem.find(bucket) == [f"{bucket}/moved"]


def test_appending_rewrites_by_copying_parts(filesystem: s3fs.S3FileSystem, bucket: str) -> None:
    start = pattern(6 * MIB)
    filesystem.pipe(f"{bucket}/log", start)
    with filesystem.open(f"{bucket}/log", "ab") as file:
        file.write(b"appended")
    filesystem.invalidate_cache()
    assert filesystem.cat(f"{bucket}/log") == start + b"appended"


def test_tags_metadata_and_links(filesystem: s3fs.S3FileSystem, bucket: str) -> None:
    filesystem.pipe(f"{bucket}/a", b"x")
    filesystem.put_tags(f"{bucket}/a", {"kind": "voice"})
    assert filesystem.get_tags(f"{bucket}/a") == {"kind": "voice"}
    filesystem.setxattr(f"{bucket}/a", copy_kwargs={"ContentType": "text/plain"}, seen="yes")
    assert filesystem.metadata(f"{bucket}/a", refresh=True) == {"seen": "yes"}
