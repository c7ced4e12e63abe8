"""Listings at their corners: delimiters of any kind, markers, page sizes and encodings, as S3 answers them."""

from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.support.clients import error_code, s3_client
from tests.support.gateway import Gateway
from tests.support.plain_http import fetch
from tests.support.signed_http import SignedConnection

SHELVES = ("plum", "pear/green", "pear/red/small", "quince%1", "quince 2", "quince.3", "quince+4")


@pytest.fixture(scope="module")
def s3(gateway: Gateway) -> Iterator[Any]:
    with closing(s3_client(gateway)) as client:
        yield client


@pytest.fixture
def signed(gateway: Gateway) -> Iterator[SignedConnection]:
    with SignedConnection(gateway) as connection:
        yield connection


def fill(s3: Any, bucket: str, keys: tuple[str, ...]) -> None:
    for key in keys:
        s3.put_object(Bucket=bucket, Key=key, Body=key.encode())


def keys_of(page: dict[str, Any]) -> list[str]:
    return [entry["Key"] for entry in page.get("Contents", page.get("Versions", []))]


def prefixes_of(page: dict[str, Any]) -> list[str]:
    return [entry["Prefix"] for entry in page.get("CommonPrefixes", [])]


def listers(s3: Any) -> tuple[Any, ...]:
    return s3.list_objects, s3.list_objects_v2, s3.list_object_versions


@pytest.mark.parametrize(
    ("delimiter", "rolled"),
    [
        ("%", ["quince%"]),
        (" ", ["quince "]),
        (".", ["quince."]),
        ("+", ["quince+"]),
        ("ea", ["pea"]),
        ("r/", ["pear/"]),
        ("nowhere", []),
        ("\n", []),
        ("\x01", []),
        ("é", []),
    ],
)
def test_any_text_may_be_a_delimiter_and_is_echoed(s3: Any, bucket: str, delimiter: str, rolled: list[str]) -> None:
    fill(s3, bucket, SHELVES)
    for call in listers(s3):
        page = call(Bucket=bucket, Delimiter=delimiter)
        assert (page["Delimiter"], prefixes_of(page)) == (delimiter, rolled)
        assert keys_of(page) == sorted(key for key in SHELVES if delimiter not in key)


def test_an_empty_delimiter_is_none_and_not_echoed(s3: Any, bucket: str) -> None:
    fill(s3, bucket, SHELVES)
    for call in listers(s3):
        page = call(Bucket=bucket, Delimiter="")
        assert "Delimiter" not in page
        assert (keys_of(page), prefixes_of(page)) == (sorted(SHELVES), [])


@pytest.mark.parametrize("text", ["\n", "\x01", "none such", "zzz"])
def test_a_prefix_that_nothing_has_gives_an_empty_page_that_ends(s3: Any, bucket: str, text: str) -> None:
    fill(s3, bucket, SHELVES)
    page = s3.list_objects_v2(Bucket=bucket, Prefix=text)
    assert (page["Prefix"], page["KeyCount"], page["IsTruncated"], keys_of(page)) == (text, 0, False, [])


def test_a_key_that_is_the_prefix_itself_is_listed_with_a_delimiter(s3: Any, bucket: str) -> None:
    fill(s3, bucket, ("box/", "box/lid", "box/in/side"))
    for call in listers(s3):
        page = call(Bucket=bucket, Prefix="box/", Delimiter="/")
        assert (keys_of(page), prefixes_of(page)) == (["box/", "box/lid"], ["box/in/"])


def test_keys_that_sort_around_a_delimiter_are_not_swallowed_by_a_group(s3: Any, bucket: str) -> None:
    fill(s3, bucket, ("7/", "7/a", "7/z", "7", "7!", "70", "7~"))
    for call in listers(s3):
        page = call(Bucket=bucket, Delimiter="/")
        assert (keys_of(page), prefixes_of(page)) == (["7", "7!", "70", "7~"], ["7/"])


def test_next_marker_comes_with_a_delimiter_only(s3: Any, bucket: str) -> None:
    fill(s3, bucket, SHELVES)
    plain = s3.list_objects(Bucket=bucket, MaxKeys=1)
    assert (plain["IsTruncated"], "NextMarker" in plain, plain["Marker"]) == (True, False, "")
    group = s3.list_objects(Bucket=bucket, MaxKeys=1, Delimiter="/")
    assert (group["NextMarker"], prefixes_of(group)) == ("pear/", ["pear/"])
    key = s3.list_objects(Bucket=bucket, MaxKeys=1, Delimiter="/", Marker="pear/")
    assert (key["NextMarker"], keys_of(key), prefixes_of(key)) == ("plum", ["plum"], [])


def test_versions_are_paged_by_key_and_version(s3: Any, bucket: str) -> None:
    fill(s3, bucket, ("a", "b/1", "b/2", "c"))
    first = s3.list_object_versions(Bucket=bucket, MaxKeys=1)
    assert (first["NextKeyMarker"], first["NextVersionIdMarker"]) == ("a", "null")
    group = s3.list_object_versions(Bucket=bucket, MaxKeys=1, Delimiter="/", KeyMarker="a", VersionIdMarker="null")
    assert (prefixes_of(group), group["NextKeyMarker"], "NextVersionIdMarker" in group) == (["b/"], "b/", False)
    last = s3.list_object_versions(Bucket=bucket, MaxKeys=1, Delimiter="/", KeyMarker="b/")
    assert (keys_of(last), last["IsTruncated"]) == (["c"], False)
    with pytest.raises(ClientError) as refused:
        s3.list_object_versions(Bucket=bucket, VersionIdMarker="null")
    assert error_code(refused) == ("InvalidArgument", 400)


@pytest.mark.parametrize("after", ["", "\n", "\x01", "A"])
def test_a_start_before_everything_gives_everything(s3: Any, bucket: str, after: str) -> None:
    fill(s3, bucket, SHELVES)
    assert keys_of(s3.list_objects(Bucket=bucket, Marker=after)) == sorted(SHELVES)
    assert keys_of(s3.list_objects_v2(Bucket=bucket, StartAfter=after)) == sorted(SHELVES)


def test_a_start_beyond_the_prefix_gives_nothing_and_one_before_it_all_of_it(s3: Any, bucket: str) -> None:
    fill(s3, bucket, SHELVES)
    for call, name in ((s3.list_objects, "Marker"), (s3.list_objects_v2, "StartAfter")):
        assert keys_of(call(Bucket=bucket, Prefix="pear/", **{name: "q"})) == []
        assert keys_of(call(Bucket=bucket, Prefix="pear/", **{name: "a"})) == ["pear/green", "pear/red/small"]


def test_a_token_goes_before_start_after(s3: Any, bucket: str) -> None:
    fill(s3, bucket, ("1", "2", "3", "4"))
    token = s3.list_objects_v2(Bucket=bucket, MaxKeys=1)["NextContinuationToken"]
    page = s3.list_objects_v2(Bucket=bucket, ContinuationToken=token, StartAfter="3")
    assert (keys_of(page), page["ContinuationToken"]) == (["2", "3", "4"], token)


def test_an_empty_token_is_refused(s3: Any, bucket: str) -> None:
    with pytest.raises(ClientError) as refused:
        s3.list_objects_v2(Bucket=bucket, ContinuationToken="")
    assert error_code(refused) == ("InvalidArgument", 400)


@pytest.mark.parametrize("number", ["-1", "x", "1.0", "+1", "1e3", "2147483648", "9" * 30])
@pytest.mark.parametrize(
    ("query", "name"),
    [
        ([], "max-keys"),
        ([("list-type", "2")], "max-keys"),
        ([("versions", "")], "max-keys"),
        ([("uploads", "")], "max-uploads"),
    ],
)
def test_a_page_size_is_a_number_that_is_not_negative(
    signed: SignedConnection, query: list[tuple[str, str]], name: str, number: str
) -> None:
    refused = signed.signed("GET", "/demo-media", query=[*query, (name, number)])
    assert (refused.status, refused.code, refused.element("ArgumentName")) == (400, "InvalidArgument", name)


def test_a_page_of_nothing_ends_in_every_listing(s3: Any, bucket: str) -> None:
    fill(s3, bucket, ("a", "b"))
    s3.create_multipart_upload(Bucket=bucket, Key="c")
    for call, size in (*((call, "MaxKeys") for call in listers(s3)), (s3.list_multipart_uploads, "MaxUploads")):
        page = call(Bucket=bucket, **{size: 0})
        assert (page["IsTruncated"], page[size], keys_of(page), page.get("Uploads")) == (False, 0, [], None)


def test_an_unstated_page_size_is_a_thousand(s3: Any, bucket: str) -> None:
    for call in listers(s3):
        assert call(Bucket=bucket)["MaxKeys"] == 1000
    assert s3.list_multipart_uploads(Bucket=bucket)["MaxUploads"] == 1000


@pytest.mark.parametrize("value", ["bogus", "URL", "base64"])
def test_url_is_the_one_encoding(signed: SignedConnection, value: str) -> None:
    for query in ([], [("list-type", "2")], [("versions", "")], [("uploads", "")]):
        refused = signed.signed("GET", "/demo-media", query=[*query, ("encoding-type", value)])
        assert (refused.status, refused.code) == (400, "InvalidArgument")


@pytest.mark.parametrize("value", ["", "1", "3", "two"])
def test_there_is_no_other_list_type_than_2(signed: SignedConnection, value: str) -> None:
    refused = signed.signed("GET", "/demo-media", query=[("list-type", value)])
    assert (refused.status, refused.code) == (400, "InvalidArgument")


def test_url_encoding_covers_keys_prefixes_delimiters_and_markers(
    s3: Any, bucket: str, signed: SignedConnection
) -> None:
    fill(s3, bucket, ("in+1/a", "in 2/b", "k+=é", "z"))
    page = signed.signed("GET", f"/{bucket}", query=[("encoding-type", "url"), ("delimiter", "/"), ("marker", "in +")])
    text = page.body.decode()
    for element in (
        "<Marker>in%20%2B</Marker>",
        "<Delimiter>/</Delimiter>",
        "<Key>k%2B%3D%C3%A9</Key>",
        "<CommonPrefixes><Prefix>in%202/</Prefix></CommonPrefixes>",
        "<CommonPrefixes><Prefix>in%2B1/</Prefix></CommonPrefixes>",
        "<EncodingType>url</EncodingType>",
    ):
        assert element in text
    plus = signed.signed("GET", f"/{bucket}", query=[("encoding-type", "url"), ("delimiter", "+"), ("list-type", "2")])
    assert "<Delimiter>%2B</Delimiter>" in plus.body.decode()


def test_times_in_listings_have_milliseconds_that_are_zero(s3: Any, bucket: str, signed: SignedConnection) -> None:
    fill(s3, bucket, ("a",))
    for query in ([], [("list-type", "2")], [("versions", "")]):
        written = signed.signed("GET", f"/{bucket}", query=query).element("LastModified")
        assert (len(written), written[10], written[-5:]) == (24, "T", ".000Z")


def test_entries_agree_with_head(s3: Any, bucket: str) -> None:
    fill(s3, bucket, SHELVES)
    for call in listers(s3):
        page = call(Bucket=bucket)
        for entry in page.get("Contents", page.get("Versions", [])):
            head = s3.head_object(Bucket=bucket, Key=entry["Key"])
            assert (entry["ETag"], entry["Size"]) == (head["ETag"], head["ContentLength"])
            assert entry["LastModified"] == head["LastModified"]


def test_an_uploads_marker_without_a_key_marker_is_ignored(s3: Any, bucket: str) -> None:
    started = {s3.create_multipart_upload(Bucket=bucket, Key=key)["UploadId"] for key in ("a", "b", "b")}
    page = s3.list_multipart_uploads(Bucket=bucket, UploadIdMarker=max(started))
    assert {upload["UploadId"] for upload in page["Uploads"]} == started
    only_key = s3.list_multipart_uploads(Bucket=bucket, KeyMarker="a")
    assert [upload["Key"] for upload in only_key["Uploads"]] == ["b", "b"]


def test_parameters_that_s3_does_not_know_change_nothing(s3: Any, bucket: str, signed: SignedConnection) -> None:
    fill(s3, bucket, ("a",))
    for extra in (("allow-unordered", "true"), ("x-id", "ListObjects"), ("foo", "")):
        listed = signed.signed("GET", f"/{bucket}", query=[extra])
        assert (listed.status, listed.element("Key")) == (200, "a")


def test_nobody_lists_anything(gateway: Gateway, bucket: str) -> None:
    for path in ("/", f"/{bucket}", f"/{bucket}?list-type=2", f"/{bucket}?versions", "/t-never-there"):
        refused = fetch(gateway, "GET", f"{gateway.endpoint}{path}")
        assert (refused.status, refused.code) == (403, "AccessDenied")


@pytest.mark.parametrize(
    "query",
    [
        [("max-buckets", "0")],
        [("max-buckets", "10001")],
        [("max-buckets", "x")],
        [("max-buckets", "")],
        [("continuation-token", "not a token")],
        [("continuation-token", "")],
    ],
)
def test_list_buckets_refuses_pages_that_cannot_be(signed: SignedConnection, query: list[tuple[str, str]]) -> None:
    refused = signed.signed("GET", "/", query=query)
    assert (refused.status, refused.code) == (400, "InvalidArgument")


def test_list_buckets_of_a_prefix_that_no_bucket_has_is_empty(s3: Any) -> None:
    page = s3.list_buckets(Prefix="no-such-bucket-name")
    assert (page["Buckets"], page["Prefix"], "ContinuationToken" in page) == ([], "no-such-bucket-name", False)
