"""Copies, tags and batch deletions at their corners, as S3 answers them."""

import base64
import hashlib
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.support.clients import error_code, s3_client
from tests.support.gateway import Gateway
from tests.support.plain_http import Response
from tests.support.signed_http import SignedConnection

LONG_AGO, FAR_AWAY = "Mon, 01 Jan 2001 00:00:00 GMT", '"00000000000000000000000000000000"'


@pytest.fixture(scope="module")
def s3(gateway: Gateway) -> Iterator[Any]:
    with closing(s3_client(gateway)) as client:
        yield client


@pytest.fixture
def signed(gateway: Gateway) -> Iterator[SignedConnection]:
    with SignedConnection(gateway) as connection:
        yield connection


@pytest.fixture
def source(s3: Any, bucket: str) -> str:
    s3.put_object(
        Bucket=bucket,
        Key="source",
        Body=b"the source",
        ContentType="audio/ogg",
        Metadata={"from": "source"},
        Tagging="kind=source",
        ChecksumAlgorithm="SHA256",
    )
    return f"{bucket}/source"


def read(s3: Any, bucket: str, key: str) -> bytes:
    with s3.get_object(Bucket=bucket, Key=key)["Body"] as body:
        return body.read()


def tags_of(s3: Any, bucket: str, key: str) -> dict[str, str]:
    return {tag["Key"]: tag["Value"] for tag in s3.get_object_tagging(Bucket=bucket, Key=key)["TagSet"]}


# --- copies -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("named", "expected"),
    [
        ("{source}", (200, "")),
        ("/{source}", (200, "")),
        ("{encoded}", (200, "")),
        ("{source}?versionId=null", (200, "")),
        ("{source}?versionId=1", (400, "InvalidArgument")),
        ("{source}?acl", (400, "InvalidArgument")),
        ("//{source}", (400, "InvalidArgument")),
        ("{bucket}//source", (404, "NoSuchKey")),
        ("{bucket}/missing", (404, "NoSuchKey")),
        ("t-never-there/a", (404, "NoSuchBucket")),
        ("other-media/a", (403, "AccessDenied")),
        ("{bucket}", (400, "InvalidArgument")),
        ("{bucket}/", (400, "InvalidArgument")),
        ("/", (400, "InvalidArgument")),
        ("", (400, "InvalidArgument")),
        ("100%/a", (400, "InvalidArgument")),
        ("{bucket}/%C3%28", (400, "InvalidArgument")),
        ("{bucket}/../a", (400, "InvalidArgument")),
        ("192.168.1.1/a", (400, "InvalidBucketName")),
        ("my-buc@k&()t/a", (400, "InvalidBucketName")),
    ],
)
def test_a_copy_source_is_read_strictly(
    bucket: str, source: str, signed: SignedConnection, named: str, expected: tuple[int, str]
) -> None:
    written = named.format(source=source, bucket=bucket, encoded=source.replace("/", "%2F"))
    answer = signed.signed("PUT", f"/{bucket}/copy", headers={"x-amz-copy-source": written})
    assert (answer.status, answer.code) == expected


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"x-amz-metadata-directive": "replace"}, (400, "InvalidArgument")),
        ({"x-amz-tagging-directive": "MERGE"}, (400, "InvalidArgument")),
        ({"x-amz-checksum-algorithm": "ADLER32"}, (400, "InvalidRequest")),
        ({"x-amz-storage-class": "GLACIER"}, (400, "InvalidStorageClass")),
        ({"x-amz-acl": "public-read"}, (400, "AccessControlListNotSupported")),
        ({"x-amz-copy-source-server-side-encryption-customer-algorithm": "AES256"}, (501, "NotImplemented")),
        ({"x-amz-copy-source-if-match": FAR_AWAY}, (412, "PreconditionFailed")),
        ({"x-amz-copy-source-if-none-match": "*"}, (412, "PreconditionFailed")),
        ({"x-amz-copy-source-if-unmodified-since": LONG_AGO}, (412, "PreconditionFailed")),
        ({"x-amz-copy-source-if-modified-since": LONG_AGO}, (200, "")),
        ({"x-amz-copy-source-if-modified-since": "some day"}, (200, "")),
        ({"x-amz-source-expected-bucket-owner": "demo"}, (200, "")),
        ({"x-amz-source-expected-bucket-owner": "other"}, (403, "AccessDenied")),
        ({"x-amz-expected-bucket-owner": "other"}, (403, "AccessDenied")),
        ({"if-none-match": "*"}, (412, "PreconditionFailed")),
        ({"if-match": FAR_AWAY}, (412, "PreconditionFailed")),
    ],
    ids=str,
)
def test_what_a_copy_may_ask_for_besides(
    s3: Any, bucket: str, source: str, signed: SignedConnection, headers: dict[str, str], expected: tuple[int, str]
) -> None:
    s3.put_object(Bucket=bucket, Key="copy", Body=b"there before")
    answer = signed.signed("PUT", f"/{bucket}/copy", headers={"x-amz-copy-source": source, **headers})
    assert (answer.status, answer.code) == expected
    assert read(s3, bucket, "copy") == (b"the source" if answer.status == 200 else b"there before")


def test_conditions_on_a_source_follow_their_order(s3: Any, bucket: str, source: str, signed: SignedConnection) -> None:
    etag = s3.head_object(Bucket=bucket, Key="source")["ETag"]
    prefix = "x-amz-copy-source-"
    for conditions, status in (
        ({"if-match": etag, "if-unmodified-since": LONG_AGO}, 200),
        ({"if-match": etag.strip('"'), "if-none-match": FAR_AWAY}, 200),
        ({"if-none-match": FAR_AWAY, "if-unmodified-since": LONG_AGO}, 412),
        ({"if-none-match": etag.strip('"'), "if-modified-since": LONG_AGO}, 412),
        ({"if-match": FAR_AWAY, "if-modified-since": LONG_AGO}, 412),
    ):
        headers = {f"{prefix}{name}": value for name, value in conditions.items()}
        answer = signed.signed("PUT", f"/{bucket}/copy", headers={"x-amz-copy-source": source, **headers})
        assert answer.status == status, conditions


def test_a_copy_into_a_bucket_that_is_not_there(source: str, signed: SignedConnection) -> None:
    answer = signed.signed("PUT", "/t-never-there/a", headers={"x-amz-copy-source": source})
    assert (answer.status, answer.code) == (404, "NoSuchBucket")


def test_a_copy_keeps_its_checksum_and_tells_it(s3: Any, bucket: str, source: str) -> None:
    done = s3.copy_object(Bucket=bucket, Key="copy", CopySource=source)["CopyObjectResult"]
    expected = base64.b64encode(hashlib.sha256(b"the source").digest()).decode()
    assert (done["ChecksumSHA256"], done["ChecksumType"]) == (expected, "FULL_OBJECT")
    assert done["ETag"] == f'"{hashlib.md5(b"the source").hexdigest()}"'
    assert s3.head_object(Bucket=bucket, Key="copy", ChecksumMode="ENABLED")["ChecksumSHA256"] == expected


def test_each_directive_replaces_its_own_only(s3: Any, bucket: str, source: str) -> None:
    def copied(**more: Any) -> tuple[str, dict[str, str], dict[str, str]]:
        s3.copy_object(Bucket=bucket, Key="copy", CopySource=source, **more)
        head = s3.head_object(Bucket=bucket, Key="copy")
        return head["ContentType"], head["Metadata"], tags_of(s3, bucket, "copy")

    old, new = {"from": "source"}, {"from": "request"}
    given: dict[str, Any] = {"Metadata": new, "ContentType": "image/png", "Tagging": "kind=request"}
    assert copied(**given) == ("audio/ogg", old, {"kind": "source"})
    assert copied(MetadataDirective="REPLACE", **given) == ("image/png", new, {"kind": "source"})
    assert copied(TaggingDirective="REPLACE", **given) == ("audio/ogg", old, {"kind": "request"})
    assert copied(MetadataDirective="REPLACE") == ("binary/octet-stream", {}, {"kind": "source"})
    assert copied(TaggingDirective="REPLACE") == ("audio/ogg", old, {})


def test_onto_itself_an_object_is_copied_with_a_change_only(s3: Any, bucket: str, source: str) -> None:
    with pytest.raises(ClientError) as refused:
        s3.copy_object(Bucket=bucket, Key="source", CopySource=source)
    assert error_code(refused) == ("InvalidRequest", 400)
    with pytest.raises(ClientError) as refused:
        s3.copy_object(Bucket=bucket, Key="source", CopySource=source, ACL="bucket-owner-full-control")
    assert error_code(refused) == ("InvalidRequest", 400)
    s3.copy_object(Bucket=bucket, Key="source", CopySource=source, MetadataDirective="REPLACE", Metadata={"a": "b"})
    assert s3.head_object(Bucket=bucket, Key="source")["Metadata"] == {"a": "b"}
    assert (read(s3, bucket, "source"), tags_of(s3, bucket, "source")) == (b"the source", {"kind": "source"})


def test_an_empty_object_is_copied(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="empty", Body=b"")
    s3.copy_object(Bucket=bucket, Key="copy", CopySource=f"{bucket}/empty")
    assert s3.head_object(Bucket=bucket, Key="copy")["ContentLength"] == 0


# --- tags ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("header", "tags"),
    [
        ("", {}),
        ("&", {}),
        ("&&&", {}),
        ("a", {"a": ""}),
        ("a&", {"a": ""}),
        ("a=&b", {"a": "", "b": ""}),
        ("a=1&b=2", {"a": "1", "b": "2"}),
        ("a=b=c", {"a": "b=c"}),
        ("a%2E=%2F%2B", {"a.": "/+"}),
        ("a++b=c%20d", {"a  b": "c d"}),
        ("a-_./:@=+", {"a-_./:@": " "}),
        ("%D8%B5=%D9%86", {"ص": "ن"}),
    ],
)
def test_a_tagging_header_is_a_query(
    s3: Any, bucket: str, signed: SignedConnection, header: str, tags: dict[str, str]
) -> None:
    assert signed.signed("PUT", f"/{bucket}/a", headers={"x-amz-tagging": header}).status == 200
    assert tags_of(s3, bucket, "a") == tags
    assert s3.head_object(Bucket=bucket, Key="a").get("TagCount", 0) == len(tags)


@pytest.mark.parametrize(
    "header",
    [
        *("=", "a%", "a=%ZZ", "a=1&a=2", "a?=1", "a=(", "a*=1", "a=$", "a=%00", "a=%FF", "aws:a=1", "AWS:a=1"),
        "k" * 129,
        "a=" + "v" * 257,
        "&".join(f"k{number}=v" for number in range(11)),
    ],
)
def test_a_tagging_header_that_is_none_stores_nothing(
    s3: Any, bucket: str, signed: SignedConnection, header: str
) -> None:
    refused = signed.signed("PUT", f"/{bucket}/a", headers={"x-amz-tagging": header})
    assert refused.status == 400
    assert refused.code in ("InvalidTag", "InvalidArgument", "BadRequest")
    assert s3.list_objects_v2(Bucket=bucket)["KeyCount"] == 0


def tagging(*tags: tuple[str, str]) -> str:
    inner = "".join(f"<Tag><Key>{key}</Key><Value>{value}</Value></Tag>" for key, value in tags)
    return f"<Tagging><TagSet>{inner}</TagSet></Tagging>"


@pytest.mark.parametrize(
    ("document", "code"),
    [
        ("", "MalformedXML"),
        ("nonsense", "MalformedXML"),
        ("<Tagging/>", "MalformedXML"),
        ("<Tagging><TagSet><Tag><Key>a</Key></Tag></TagSet></Tagging>", "MalformedXML"),
        (tagging(("", "1")), "InvalidTag"),
        (tagging(("a?", "1")), "InvalidTag"),
        (tagging(("aws:a", "1")), "InvalidTag"),
    ],
)
def test_a_tag_set_that_is_none_changes_nothing(
    s3: Any, bucket: str, source: str, signed: SignedConnection, document: str, code: str
) -> None:
    refused = signed.signed("PUT", f"/{source}", query=[("tagging", "")], body=document.encode())
    assert (refused.status, refused.code) == (400, code)
    assert tags_of(s3, bucket, "source") == {"kind": "source"}


def test_tags_at_s3_s_limits_are_kept_and_change_no_etag_and_no_time(s3: Any, bucket: str, source: str) -> None:
    before = s3.head_object(Bucket=bucket, Key="source")
    most = {f"{number:0128}": "v" * 256 for number in range(10)}
    tag_set = [{"Key": key, "Value": value} for key, value in most.items()]
    s3.put_object_tagging(Bucket=bucket, Key="source", Tagging={"TagSet": tag_set}, VersionId="null")
    after = s3.head_object(Bucket=bucket, Key="source")
    assert tags_of(s3, bucket, "source") == most
    assert (after["ETag"], after["LastModified"], bool(source)) == (before["ETag"], before["LastModified"], True)
    s3.put_object_tagging(Bucket=bucket, Key="source", Tagging={"TagSet": []})
    assert tags_of(s3, bucket, "source") == {}


def test_what_is_not_there_has_no_tags(s3: Any, bucket: str) -> None:
    there = {"Bucket": bucket, "Key": "missing"}
    for refuse in (
        lambda: s3.get_object_tagging(**there),
        lambda: s3.put_object_tagging(Tagging={"TagSet": []}, **there),
        lambda: s3.delete_object_tagging(**there),
    ):
        with pytest.raises(ClientError) as refused:
            refuse()
        assert error_code(refused) == ("NoSuchKey", 404)


# --- batch deletions ----------------------------------------------------------------------------------------------


def delete(signed: SignedConnection, bucket: str, document: str, headers: dict[str, str] | None = None) -> Response:
    body = document.encode()
    digest = {"content-md5": base64.b64encode(hashlib.md5(body).digest()).decode()}
    return signed.signed("POST", f"/{bucket}", query=[("delete", "")], headers=headers or digest, body=body)


def target(key: str, more: str = "") -> str:
    return f"<Object><Key>{key}</Key>{more}</Object>"


@pytest.mark.parametrize("space", ["", ' xmlns="http://s3.amazonaws.com/doc/2006-03-01/"'])
def test_a_batch_names_what_is_gone_also_what_was_never_there(
    s3: Any, bucket: str, signed: SignedConnection, space: str
) -> None:
    s3.put_object(Bucket=bucket, Key="a<&>", Body=b"")
    done = delete(
        signed, bucket, f"<Delete{space}>{target('a&lt;&amp;&gt;')}{target('never')}{target('never')}</Delete>"
    )
    text = done.body.decode()
    assert (done.status, text.count("<Deleted>"), "<Error>" in text) == (200, 3, False)
    assert "<Key>a&lt;&amp;&gt;</Key>" in text
    assert s3.list_objects_v2(Bucket=bucket)["KeyCount"] == 0


@pytest.mark.parametrize(
    ("more", "code"),
    [
        (f"<ETag>{FAR_AWAY}</ETag>", "PreconditionFailed"),
        ("<VersionId>3sL4kqtJlcpXroDTDmJ</VersionId>", "NoSuchVersion"),
        ("<Size>1</Size>", "NotImplemented"),
        ("<LastModifiedTime>2001-01-01T00:00:00Z</LastModifiedTime>", "NotImplemented"),
    ],
)
def test_a_batch_refuses_each_object_by_itself(
    s3: Any, bucket: str, signed: SignedConnection, more: str, code: str
) -> None:
    for key in ("a", "b"):
        s3.put_object(Bucket=bucket, Key=key, Body=b"")
    done = delete(signed, bucket, f"<Delete>{target('a', more)}{target('b')}</Delete>")
    assert (done.status, done.element("Code")) == (200, code)
    assert [entry["Key"] for entry in s3.list_objects_v2(Bucket=bucket)["Contents"]] == ["a"]


def test_a_batch_with_an_etag_wants_the_object(signed: SignedConnection, bucket: str) -> None:
    done = delete(signed, bucket, f"<Delete>{target('missing', f'<ETag>{FAR_AWAY}</ETag>')}</Delete>")
    assert (done.status, done.element("Code")) == (200, "NoSuchKey")


@pytest.mark.parametrize(
    "document",
    [
        "",
        "<Delete/>",
        "<Delete><Object/></Delete>",
        f"<Delete>{target('')}</Delete>",
        f"<Delete><Quiet>perhaps</Quiet>{target('a')}</Delete>",
        f"<Remove>{target('a')}</Remove>",
    ],
)
def test_a_batch_that_is_none_deletes_nothing(s3: Any, bucket: str, signed: SignedConnection, document: str) -> None:
    s3.put_object(Bucket=bucket, Key="a", Body=b"")
    refused = delete(signed, bucket, document)
    assert (refused.status, refused.code) == (400, "MalformedXML")
    assert s3.list_objects_v2(Bucket=bucket)["KeyCount"] == 1


def test_a_batch_in_a_bucket_that_is_not_there(signed: SignedConnection) -> None:
    refused = delete(signed, "t-never-there", f"<Delete>{target('a')}</Delete>")
    assert (refused.status, refused.code) == (404, "NoSuchBucket")
