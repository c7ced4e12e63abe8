"""boto3: listings of both versions and of object versions, page by page, with delimiters and odd keys."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.support.clients import error_code
from tests.support.data import ODD_KEYS

TREE = (
    "a",
    "a/b",
    "a/c",
    "album 1/x.jpg",
    "album 1/y.jpg",
    "album+1/x.jpg",
    "b&c/1",
    "dir/",
    "dir//double",
    "dir/sub/deep/file",
    "dir/sub/file",
    "dir0",
    "z",
    "é/1",
    "é/2",
    "漢",
)


def in_s3_order(keys: Any) -> list[str]:
    """S3 sorts by the bytes of UTF-8."""
    return sorted(keys, key=lambda key: key.encode())


def fill(s3: Any, bucket: str, keys: Any) -> None:
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda key: s3.put_object(Bucket=bucket, Key=key, Body=key.encode()), keys))


def grouped(keys: Any, prefix: str, delimiter: str) -> tuple[list[str], list[str]]:
    """What S3 promises: keys below the prefix, and the common prefixes that roll up the others."""
    plain: list[str] = []
    rolled: set[str] = set()
    for key in (key for key in keys if key.startswith(prefix)):
        head, found, _ = key[len(prefix) :].partition(delimiter)
        if found:
            rolled.add(prefix + head + delimiter)
        else:
            plain.append(key)
    return in_s3_order(plain), in_s3_order(rolled)


def pages_v1(s3: Any, bucket: str, **asked: Any) -> Iterator[dict[str, Any]]:
    marker = ""
    while True:
        page = s3.list_objects(Bucket=bucket, Marker=marker, **asked)
        yield page
        if not page["IsTruncated"]:
            return
        marker = page.get("NextMarker") or page["Contents"][-1]["Key"]


def pages_v2(s3: Any, bucket: str, **asked: Any) -> Iterator[dict[str, Any]]:
    yield from s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, **asked)


def pages_versions(s3: Any, bucket: str, **asked: Any) -> Iterator[dict[str, Any]]:
    for page in s3.get_paginator("list_object_versions").paginate(Bucket=bucket, **asked):
        yield {**page, "Contents": page.get("Versions", [])}


LISTERS = (pages_v1, pages_v2, pages_versions)


def collect(pages: Iterator[dict[str, Any]], most: int) -> tuple[list[str], list[str]]:
    keys: list[str] = []
    prefixes: list[str] = []
    for page in pages:
        page_keys = [entry["Key"] for entry in page.get("Contents", [])]
        page_prefixes = [entry["Prefix"] for entry in page.get("CommonPrefixes", [])]
        assert len(page_keys) + len(page_prefixes) <= most
        assert page_keys or page_prefixes or not page["IsTruncated"]
        keys += page_keys
        prefixes += page_prefixes
    return keys, prefixes


@pytest.mark.parametrize("lister", LISTERS)
def test_odd_keys_are_listed_in_the_order_of_their_bytes(s3: Any, bucket: str, lister: Any) -> None:
    fill(s3, bucket, ODD_KEYS)
    keys, _ = collect(lister(s3, bucket), 1000)
    assert keys == in_s3_order(ODD_KEYS)


@pytest.mark.parametrize("lister", LISTERS)
@pytest.mark.parametrize("page_size", [1, 2, 3])
def test_small_pages_to_the_end_give_every_key_once(s3: Any, bucket: str, lister: Any, page_size: int) -> None:
    fill(s3, bucket, ODD_KEYS)
    size = {"MaxKeys": page_size} if lister is pages_v1 else {"PaginationConfig": {"PageSize": page_size}}
    keys, _ = collect(lister(s3, bucket, **size), page_size)
    assert keys == in_s3_order(ODD_KEYS)


@pytest.mark.parametrize("lister", LISTERS)
@pytest.mark.parametrize("page_size", [1, 2, 3, 1000])
def test_a_delimiter_rolls_up_each_common_prefix_once_over_all_pages(
    s3: Any, bucket: str, lister: Any, page_size: int
) -> None:
    fill(s3, bucket, TREE)
    size = {"MaxKeys": page_size} if lister is pages_v1 else {"PaginationConfig": {"PageSize": page_size}}
    for prefix, delimiter in (
        ("", "/"),
        ("a", "/"),
        ("a/", "/"),
        ("dir/", "/"),
        ("dir/sub/", "/"),
        ("album", " "),
        ("", "+"),
        ("", "sub"),
        ("é", "/"),
        ("nothing", "/"),
        ("b&", "c"),
    ):
        listed = collect(lister(s3, bucket, Prefix=prefix, Delimiter=delimiter, **size), page_size)
        assert listed == grouped(TREE, prefix, delimiter), (prefix, delimiter)


def test_a_prefix_is_echoed_and_matched_by_bytes(s3: Any, bucket: str) -> None:
    fill(s3, bucket, TREE)
    page = s3.list_objects_v2(Bucket=bucket, Prefix="album 1/")
    assert (page["Prefix"], page["KeyCount"], page["MaxKeys"], page["Name"]) == ("album 1/", 2, 1000, bucket)
    assert [entry["Key"] for entry in page["Contents"]] == ["album 1/x.jpg", "album 1/y.jpg"]


def test_entries_say_size_etag_time_and_class(s3: Any, bucket: str) -> None:
    put = s3.put_object(Bucket=bucket, Key="a", Body=b"12345")
    (entry,) = s3.list_objects_v2(Bucket=bucket)["Contents"]
    assert (entry["Size"], entry["ETag"], entry["StorageClass"]) == (5, put["ETag"], "STANDARD")
    head = s3.head_object(Bucket=bucket, Key="a")
    assert entry["LastModified"].replace(microsecond=0) == head["LastModified"]


def test_start_after_and_marker_begin_behind_a_key_that_need_not_be_there(s3: Any, bucket: str) -> None:
    fill(s3, bucket, TREE)
    for after in ("a", "a/b", "a/bb", "dir/", "é", "zzz", "\u00ff"):
        expected = [key for key in in_s3_order(TREE) if key.encode() > after.encode()]
        v2 = s3.list_objects_v2(Bucket=bucket, StartAfter=after)
        v1 = s3.list_objects(Bucket=bucket, Marker=after)
        assert [entry["Key"] for entry in v2.get("Contents", [])] == expected
        assert [entry["Key"] for entry in v1.get("Contents", [])] == expected
        assert (v2["StartAfter"], v1["Marker"]) == (after, after)


def test_a_marker_inside_a_common_prefix_goes_on_behind_it(s3: Any, bucket: str) -> None:
    fill(s3, bucket, TREE)
    page = s3.list_objects(Bucket=bucket, Delimiter="/", Marker="a/")
    assert "a/" not in [entry["Prefix"] for entry in page["CommonPrefixes"]]
    page = s3.list_objects_v2(Bucket=bucket, Delimiter="/", StartAfter="dir/sub/deep/file")
    assert "dir0" in [entry["Key"] for entry in page["Contents"]]


def test_max_keys_of_zero_is_an_empty_page_that_ends(s3: Any, bucket: str) -> None:
    fill(s3, bucket, ["a", "b"])
    page = s3.list_objects_v2(Bucket=bucket, MaxKeys=0)
    assert (page["IsTruncated"], page["KeyCount"], page.get("Contents", [])) == (False, 0, [])


def test_max_keys_over_a_thousand_is_a_thousand(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="a", Body=b"")
    assert s3.list_objects_v2(Bucket=bucket, MaxKeys=5000)["MaxKeys"] in (1000, 5000)
    assert s3.list_objects_v2(Bucket=bucket, MaxKeys=5000)["KeyCount"] == 1


def test_the_owner_is_told_when_asked_for(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="a", Body=b"")
    owner = s3.get_object_acl(Bucket=bucket, Key="a")["Owner"]["ID"]
    assert "Owner" not in s3.list_objects_v2(Bucket=bucket)["Contents"][0]
    assert s3.list_objects_v2(Bucket=bucket, FetchOwner=True)["Contents"][0]["Owner"]["ID"] == owner
    assert s3.list_objects(Bucket=bucket)["Contents"][0]["Owner"]["ID"] == owner


def test_each_object_is_one_version_called_null(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="a", Body=b"1")
    put = s3.put_object(Bucket=bucket, Key="a", Body=b"22")
    page = s3.list_object_versions(Bucket=bucket)
    (entry,) = page["Versions"]
    assert (entry["Key"], entry["VersionId"], entry["IsLatest"]) == ("a", "null", True)
    assert (entry["Size"], entry["ETag"]) == (2, put["ETag"])
    assert "DeleteMarkers" not in page


def test_an_invented_continuation_token_is_refused(s3: Any, bucket: str) -> None:
    for token in ("nonsense", "../../etc/passwd", "a" * 2000):
        with pytest.raises(ClientError) as refused:
            s3.list_objects_v2(Bucket=bucket, ContinuationToken=token)
        assert error_code(refused) == ("InvalidArgument", 400)


def test_a_listing_of_a_missing_bucket_is_no_such_bucket(s3: Any) -> None:
    for call in (s3.list_objects, s3.list_objects_v2, s3.list_object_versions, s3.list_multipart_uploads):
        with pytest.raises(ClientError) as refused:
            call(Bucket="t-nowhere-to-be-found")
        assert error_code(refused) == ("NoSuchBucket", 404)


def test_a_listing_without_encoding_is_well_formed_for_keys_that_xml_can_carry(s3: Any, bucket: str) -> None:
    fill(s3, bucket, TREE)
    page = s3.list_objects_v2(Bucket=bucket, EncodingType="url", Delimiter="/", Prefix="é")
    assert page["EncodingType"] == "url"
    assert [entry["Prefix"] for entry in page["CommonPrefixes"]] == ["%C3%A9/"]
