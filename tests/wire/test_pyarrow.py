"""pyarrow (C++ SDK): CRC64NVME trailers in unsigned chunks, over plain HTTP too, and Parquet read by ranges."""

import pyarrow as pa
import pyarrow.parquet
import pytest
from pyarrow import fs

from tests.support.data import MIB, pattern
from tests.support.gateway import Gateway


@pytest.fixture
def arrow(any_gateway: Gateway) -> fs.S3FileSystem:
    return fs.S3FileSystem(
        access_key=any_gateway.access_key_id,
        secret_key=any_gateway.secret_access_key,
        endpoint_override=f"{any_gateway.host}:{any_gateway.port}",
        scheme="https" if any_gateway.tls else "http",
        region="us-east-1",
        allow_bucket_creation=True,
        allow_bucket_deletion=True,
        **({"tls_ca_file_path": str(any_gateway.ca_file)} if any_gateway.ca_file else {}),
    )


@pytest.mark.parametrize("size", [0, 1, 100_000, 11 * MIB])
def test_streams_of_any_size_come_back(arrow: fs.S3FileSystem, bucket: str, size: int) -> None:
    body = pattern(size)
    with arrow.open_output_stream(f"{bucket}/dir/a b é.bin", metadata={"Content-Type": "audio/ogg"}) as out:
        out.write(body)
    info = arrow.get_file_info(f"{bucket}/dir/a b é.bin")
    assert (info.type, info.size) == (fs.FileType.File, size)
    with arrow.open_input_stream(f"{bucket}/dir/a b é.bin") as stream:
        assert stream.read() == body


def test_a_table_is_written_as_parquet_and_one_column_read(arrow: fs.S3FileSystem, bucket: str) -> None:
    table = pa.table({"number": list(range(50_000)), "text": [str(number) for number in range(50_000)]})
    pyarrow.parquet.write_table(table, f"{bucket}/table.parquet", filesystem=arrow)
    found = pyarrow.parquet.read_table(f"{bucket}/table.parquet", columns=["number"], filesystem=arrow)
    assert found.column("number").to_pylist()[-1] == 49_999


def test_folders_are_made_listed_moved_and_deleted(arrow: fs.S3FileSystem, bucket: str) -> None:
    arrow.create_dir(f"{bucket}/dir/sub")
    for name in ("dir/a", "dir/sub/b+c", "é"):
        with arrow.open_output_stream(f"{bucket}/{name}") as out:
            out.write(name.encode())
    found = arrow.get_file_info(fs.FileSelector(bucket, recursive=True))
    assert {entry.path.removeprefix(f"{bucket}/") for entry in found if entry.is_file} == {"dir/a", "dir/sub/b+c", "é"}
    arrow.move(f"{bucket}/dir/a", f"{bucket}/dir/moved")
    arrow.copy_file(f"{bucket}/é", f"{bucket}/copy")
    with arrow.open_input_file(f"{bucket}/copy") as file:
        assert file.read() == "é".encode()
    arrow.delete_dir(f"{bucket}/dir")
    arrow.delete_file(f"{bucket}/copy")
    left = arrow.get_file_info(fs.FileSelector(bucket, recursive=True))
    assert [entry.path for entry in left if entry.is_file] == [f"{bucket}/é"]


def test_buckets_are_made_and_deleted(arrow: fs.S3FileSystem, bucket: str) -> None:
    arrow.create_dir(f"{bucket}-arrow")
    assert arrow.get_file_info(f"{bucket}-arrow").type == fs.FileType.Directory
    arrow.delete_dir(f"{bucket}-arrow")
    assert arrow.get_file_info(f"{bucket}-arrow").type == fs.FileType.NotFound
