"""boto3 with an end user's session: everything works on what is theirs, and nothing on what is somebody else's."""

import io
from collections.abc import Callable
from contextlib import closing
from typing import Any

import pytest
from boto3.s3.transfer import TransferConfig
from botocore.exceptions import ClientError
from urllib3.filepost import encode_multipart_formdata

from tests.support.clients import error_code, s3_client
from tests.support.data import MIB, ODD_KEYS, pattern
from tests.support.media_house import PRIVATE, PUBLIC, EndUser, MediaHouse
from tests.support.plain_http import Response, fetch

IN_PARTS = TransferConfig(multipart_threshold=5 * MIB, multipart_chunksize=5 * MIB)
DENIED = ("AccessDenied", 403)

buckets = pytest.mark.parametrize("bucket", [PRIVATE, PUBLIC])
signatures = pytest.mark.parametrize("version", ["s3v4", "s3"], ids=["sigv4", "sigv2"])


def put(user: EndUser, name: str, body: bytes = b"x", bucket: str = PRIVATE, **more: Any) -> str:
    user.s3.put_object(Bucket=bucket, Key=user.path(name), Body=body, **more)
    return user.path(name)


def read(s3: Any, key: str, bucket: str = PRIVATE, **more: Any) -> bytes:
    with s3.get_object(Bucket=bucket, Key=key, **more)["Body"] as stream:
        body: bytes = stream.read()
    return body


def keys(s3: Any, bucket: str = PRIVATE, **more: Any) -> list[str]:
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, **more)
    return [entry["Key"] for page in pages for entry in page.get("Contents", [])]


def submit(house: MediaHouse, post: dict[str, Any], body: bytes, **fields: str) -> Response:
    form = [*(post["fields"] | fields).items(), ("file", ("a.bin", body, "application/octet-stream"))]
    encoded, content_type = encode_multipart_formdata(form)
    return fetch(house.gateway, "POST", post["url"], {"Content-Type": content_type}, encoded)


# --- what is one's own


@buckets
@pytest.mark.parametrize("name", ODD_KEYS[:20])
def test_an_end_user_stores_and_reads_what_is_theirs(lea: EndUser, bucket: str, name: str) -> None:
    key = put(lea, name, name.encode(), bucket, ContentType="audio/ogg", Metadata={"title": "first"})
    head = lea.s3.head_object(Bucket=bucket, Key=key)
    assert (head["ContentType"], head["Metadata"]) == ("audio/ogg", {"title": "first"})
    assert read(lea.s3, key, bucket) == name.encode()
    assert read(lea.s3, key, bucket, Range="bytes=0-1") == name.encode()[:2]


def test_a_file_is_uploaded_in_parts_and_downloaded_by_ranges(lea: EndUser) -> None:
    body = pattern(11 * MIB)
    lea.s3.upload_fileobj(io.BytesIO(body), PRIVATE, lea.path("big"), Config=IN_PARTS)
    assert lea.s3.head_object(Bucket=PRIVATE, Key=lea.path("big"))["ETag"].endswith('-3"')
    back = io.BytesIO()
    lea.s3.download_fileobj(PRIVATE, lea.path("big"), back, Config=IN_PARTS)
    assert back.getvalue() == body


def test_own_uploads_are_listed_resumed_and_aborted(lea: EndUser) -> None:
    where = {"Bucket": PRIVATE, "Key": lea.path("upload")}
    upload = {**where, "UploadId": lea.s3.create_multipart_upload(**where)["UploadId"]}
    lea.s3.upload_part(**upload, PartNumber=1, Body=b"part")
    found = lea.s3.list_multipart_uploads(Bucket=PRIVATE)["Uploads"]
    assert [(entry["Key"], entry["UploadId"], entry["Owner"]["ID"]) for entry in found] == [
        (where["Key"], upload["UploadId"], lea.name)
    ]
    assert [part["Size"] for part in lea.s3.list_parts(**upload)["Parts"]] == [4]
    lea.s3.abort_multipart_upload(**upload)
    assert "Uploads" not in lea.s3.list_multipart_uploads(Bucket=PRIVATE)


def test_own_objects_are_copied_tagged_and_deleted(lea: EndUser) -> None:
    key, copy = put(lea, "a b+é", b"body", Tagging="kind=voice"), lea.path("copy")
    lea.s3.copy_object(Bucket=PUBLIC, Key=copy, CopySource={"Bucket": PRIVATE, "Key": key})
    assert read(lea.s3, copy, PUBLIC) == b"body"
    assert lea.s3.get_object_tagging(Bucket=PUBLIC, Key=copy)["TagSet"] == [{"Key": "kind", "Value": "voice"}]
    lea.s3.put_object_tagging(Bucket=PRIVATE, Key=key, Tagging={"TagSet": [{"Key": "kind", "Value": "song"}]})
    assert lea.s3.get_object_tagging(Bucket=PRIVATE, Key=key)["TagSet"] == [{"Key": "kind", "Value": "song"}]
    lea.s3.delete_object_tagging(Bucket=PRIVATE, Key=key)
    assert lea.s3.get_object_tagging(Bucket=PRIVATE, Key=key)["TagSet"] == []
    lea.s3.delete_object(Bucket=PRIVATE, Key=key)
    done = lea.s3.delete_objects(Bucket=PUBLIC, Delete={"Objects": [{"Key": copy}]})
    assert ([entry["Key"] for entry in done["Deleted"]], done.get("Errors")) == ([copy], None)
    assert keys(lea.s3) == keys(lea.s3, PUBLIC) == []


def test_a_listing_shows_own_objects_only_in_full_pages(lea: EndUser, tom: EndUser, ops: Any) -> None:
    mine = [put(user, f"{n:02}", Metadata={}) for n in range(9) for user in (lea, tom)]
    mixed = f"mixed-{lea.name}/"
    for n in range(10):
        (lea, tom)[n % 2].s3.put_object(Bucket=PRIVATE, Key=f"{mixed}{n}/file", Body=b"x")
    own = [*(key for key in mine if key.startswith(lea.name)), *(f"{mixed}{n}/file" for n in range(0, 10, 2))]
    assert keys(lea.s3) == sorted(own)
    first = lea.s3.list_objects_v2(Bucket=PRIVATE, Prefix=mixed, MaxKeys=3)
    assert ([entry["Key"][-6:] for entry in first["Contents"]], first["IsTruncated"]) == (
        ["0/file", "2/file", "4/file"],
        True,
    )
    rest = lea.s3.list_objects_v2(Bucket=PRIVATE, Prefix=mixed, ContinuationToken=first["NextContinuationToken"])
    assert ([entry["Key"][-6:] for entry in rest["Contents"]], rest["IsTruncated"]) == (["6/file", "8/file"], False)
    folders = lea.s3.list_objects_v2(Bucket=PRIVATE, Prefix=mixed, Delimiter="/", MaxKeys=5)
    assert [entry["Prefix"] for entry in folders["CommonPrefixes"]] == [f"{mixed}{n}/" for n in range(0, 10, 2)]
    assert folders["IsTruncated"] is False
    assert len(keys(ops, Prefix=mixed)) == 10


def test_listings_of_version_1_and_of_versions_show_own_objects_only(lea: EndUser, tom: EndUser) -> None:
    key = put(lea, "a")
    put(tom, "a")
    entries = lea.s3.list_objects(Bucket=PRIVATE)["Contents"]
    assert [(entry["Key"], entry["Owner"]["ID"]) for entry in entries] == [(key, lea.name)]
    versions = lea.s3.list_object_versions(Bucket=PRIVATE)["Versions"]
    assert [entry["Key"] for entry in versions] == [key]


def test_buckets_are_listed_and_found(lea: EndUser) -> None:
    assert [entry["Name"] for entry in lea.s3.list_buckets()["Buckets"]] == [PUBLIC, PRIVATE]
    lea.s3.head_bucket(Bucket=PRIVATE)
    with pytest.raises(ClientError) as refused:
        lea.s3.create_bucket(Bucket="app-of-lea")
    assert error_code(refused) == DENIED


# --- what is somebody else's

_ON_OBJECT: dict[str, Callable[[Any, str], Any]] = {
    "get": lambda s3, key: s3.get_object(Bucket=PRIVATE, Key=key),
    "range": lambda s3, key: s3.get_object(Bucket=PRIVATE, Key=key, Range="bytes=0-0"),
    "get_if_none_match": lambda s3, key: s3.get_object(Bucket=PRIVATE, Key=key, IfNoneMatch="*"),
    "attributes": lambda s3, key: s3.get_object_attributes(Bucket=PRIVATE, Key=key, ObjectAttributes=["ETag"]),
    "acl": lambda s3, key: s3.get_object_acl(Bucket=PRIVATE, Key=key),
    "set_acl": lambda s3, key: s3.put_object_acl(Bucket=PRIVATE, Key=key, ACL="private"),
    "tags": lambda s3, key: s3.get_object_tagging(Bucket=PRIVATE, Key=key),
    "set_tags": lambda s3, key: s3.put_object_tagging(Bucket=PRIVATE, Key=key, Tagging={"TagSet": []}),
    "delete_tags": lambda s3, key: s3.delete_object_tagging(Bucket=PRIVATE, Key=key),
    "delete": lambda s3, key: s3.delete_object(Bucket=PRIVATE, Key=key),
    "overwrite": lambda s3, key: s3.put_object(Bucket=PRIVATE, Key=key, Body=b"y"),
    "overwrite_if_match": lambda s3, key: s3.put_object(Bucket=PRIVATE, Key=key, Body=b"y", IfMatch='"x"'),
    "copy_onto_itself": lambda s3, key: s3.copy_object(
        Bucket=PRIVATE, Key=key, CopySource={"Bucket": PRIVATE, "Key": key}, MetadataDirective="REPLACE"
    ),
}


@pytest.mark.parametrize("asked", _ON_OBJECT)
def test_what_is_somebody_else_s_is_refused_like_what_is_not_there(
    lea: EndUser, tom: EndUser, ops: Any, asked: str
) -> None:
    key = put(lea, "hers", b"hers", Tagging="a=b")
    with pytest.raises(ClientError) as refused:
        _ON_OBJECT[asked](tom.s3, key)
    assert error_code(refused) == DENIED
    assert read(ops, key) == b"hers"
    assert ops.get_object_tagging(Bucket=PRIVATE, Key=key)["TagSet"] == [{"Key": "a", "Value": "b"}]
    if "write" not in asked:
        with pytest.raises(ClientError) as missing:
            _ON_OBJECT[asked](tom.s3, lea.path("missing"))
        assert error_code(missing) == DENIED


def test_head_of_somebody_else_s_object_and_of_none_are_forbidden(lea: EndUser, tom: EndUser) -> None:
    for key in (put(lea, "a"), lea.path("missing")):
        with pytest.raises(ClientError) as refused:
            tom.s3.head_object(Bucket=PRIVATE, Key=key)
        assert error_code(refused) == ("403", 403)


def test_nobody_copies_from_or_onto_what_is_somebody_else_s(lea: EndUser, tom: EndUser) -> None:
    hers, his = put(lea, "a", b"hers"), put(tom, "a", b"his")
    for source, target in ((hers, tom.path("copy")), (his, hers)):
        with pytest.raises(ClientError) as refused:
            tom.s3.copy_object(Bucket=PRIVATE, Key=target, CopySource={"Bucket": PRIVATE, "Key": source})
        assert error_code(refused) == DENIED
    where = {"Bucket": PRIVATE, "Key": tom.path("parts")}
    upload = {**where, "UploadId": tom.s3.create_multipart_upload(**where)["UploadId"], "PartNumber": 1}
    with pytest.raises(ClientError) as refused:
        tom.s3.upload_part_copy(**upload, CopySource={"Bucket": PRIVATE, "Key": hers})
    assert error_code(refused) == DENIED
    assert (read(lea.s3, hers), keys(tom.s3)) == (b"hers", [his])


def test_delete_objects_deletes_what_is_one_s_own_and_names_what_is_not(lea: EndUser, tom: EndUser) -> None:
    hers, his = put(lea, "a"), put(tom, "a")
    objects = [{"Key": key} for key in (hers, his, lea.path("missing"))]
    done = tom.s3.delete_objects(Bucket=PRIVATE, Delete={"Objects": objects})
    assert [entry["Key"] for entry in done["Deleted"]] == [his]
    assert [(entry["Key"], entry["Code"]) for entry in done["Errors"]] == [
        (hers, "AccessDenied"),
        (lea.path("missing"), "AccessDenied"),
    ]
    assert (keys(lea.s3), keys(tom.s3)) == ([hers], [])


def test_an_upload_is_nobody_else_s_business(lea: EndUser, tom: EndUser) -> None:
    where = {"Bucket": PRIVATE, "Key": lea.path("upload")}
    upload = {**where, "UploadId": lea.s3.create_multipart_upload(**where)["UploadId"]}
    etag = lea.s3.upload_part(**upload, PartNumber=1, Body=b"hers")["ETag"]
    parts = {"Parts": [{"PartNumber": 1, "ETag": etag}]}
    for attempt in (
        lambda: tom.s3.upload_part(**upload, PartNumber=1, Body=b"his"),
        lambda: tom.s3.list_parts(**upload),
        lambda: tom.s3.complete_multipart_upload(**upload, MultipartUpload=parts),
        lambda: tom.s3.abort_multipart_upload(**upload),
    ):
        with pytest.raises(ClientError) as refused:
            attempt()
        assert error_code(refused) == ("NoSuchUpload", 404)
    assert "Uploads" not in tom.s3.list_multipart_uploads(Bucket=PRIVATE)
    lea.s3.complete_multipart_upload(**upload, MultipartUpload=parts)
    assert read(lea.s3, where["Key"]) == b"hers"


def test_an_upload_does_not_replace_what_somebody_else_has_stored_meanwhile(lea: EndUser, tom: EndUser) -> None:
    where = {"Bucket": PRIVATE, "Key": lea.path("contended")}
    upload = {**where, "UploadId": tom.s3.create_multipart_upload(**where)["UploadId"]}
    etag = tom.s3.upload_part(**upload, PartNumber=1, Body=b"his")["ETag"]
    lea.s3.put_object(**where, Body=b"hers")
    with pytest.raises(ClientError) as refused:
        tom.s3.complete_multipart_upload(**upload, MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": etag}]})
    assert error_code(refused) == DENIED
    assert read(lea.s3, where["Key"]) == b"hers"


def test_in_a_public_category_others_read_by_key_and_neither_list_nor_change(lea: EndUser, tom: EndUser) -> None:
    key = put(lea, "photo", b"photo", PUBLIC)
    assert read(tom.s3, key, PUBLIC) == b"photo"
    assert tom.s3.head_object(Bucket=PUBLIC, Key=key)["ContentLength"] == 5
    assert keys(tom.s3, PUBLIC) == []
    for attempt in (
        lambda: tom.s3.put_object(Bucket=PUBLIC, Key=key, Body=b"y"),
        lambda: tom.s3.delete_object(Bucket=PUBLIC, Key=key),
        lambda: tom.s3.get_object_tagging(Bucket=PUBLIC, Key=key),
    ):
        with pytest.raises(ClientError) as refused:
            attempt()
        assert error_code(refused) == DENIED


def test_another_project_s_admin_reaches_nothing(media_house: MediaHouse, lea: EndUser) -> None:
    key, stranger = put(lea, "a"), s3_client(media_house.gateway)
    for attempt in (
        lambda: stranger.get_object(Bucket=PRIVATE, Key=key),
        lambda: stranger.list_objects_v2(Bucket=PRIVATE),
        lambda: stranger.put_object(Bucket=PRIVATE, Key=key, Body=b"y"),
        lambda: lea.s3.list_objects_v2(Bucket="demo-media"),
        lambda: lea.s3.put_object(Bucket="demo-media", Key="a", Body=b"y"),
    ):
        with pytest.raises(ClientError) as refused:
            attempt()
        assert error_code(refused) == DENIED
    stranger.close()


def test_who_may_what_by_role(media_house: MediaHouse, lea: EndUser) -> None:
    """An admin does everything; the service and a reader read everything; other uploaders do nothing with it."""
    key = put(lea, "a", b"body")
    may = {"ops": "read list tag replace delete", "backend": "read list", "dashboard": "read list", "sara": ""}
    attempts: dict[str, Callable[[Any], Any]] = {
        "read": lambda s3: s3.get_object(Bucket=PRIVATE, Key=key)["Body"].read(),
        "list": lambda s3: s3.list_objects_v2(Bucket=PRIVATE, Prefix=key)["Contents"],
        "tag": lambda s3: s3.put_object_tagging(Bucket=PRIVATE, Key=key, Tagging={"TagSet": []}),
        "replace": lambda s3: s3.put_object(Bucket=PRIVATE, Key=key, Body=b"body"),
        "delete": lambda s3: s3.delete_object(Bucket=PRIVATE, Key=key),
    }

    def done(name: str) -> str:
        with closing(media_house.client(name)) as client:
            return " ".join(each for each, attempt in attempts.items() if _works(attempt, client))

    assert {name: done(name) for name in ("sara", "dashboard", "backend", "ops")} == may


def _works(attempt: Callable[[Any], Any], client: Any) -> bool:
    try:
        attempt(client)
    except (ClientError, KeyError):
        return False
    return True


# --- URLs and forms that others are given


@signatures
def test_a_presigned_url_of_a_session_reads_what_is_its_own(
    media_house: MediaHouse, lea: EndUser, tom: EndUser, version: str
) -> None:
    key, his = put(lea, "a b é", b"shared"), put(tom, "a")
    signer = media_house.client(lea.key, signature_version=version)
    url = signer.generate_presigned_url("get_object", Params={"Bucket": PRIVATE, "Key": key})
    assert "x-amz-security-token=" in url.lower()
    assert fetch(media_house.gateway, "GET", url).body == b"shared"
    foreign = signer.generate_presigned_url("get_object", Params={"Bucket": PRIVATE, "Key": his})
    assert fetch(media_house.gateway, "GET", foreign).code == "AccessDenied"
    tokenless = "&".join(part for part in url.split("&") if not part.lower().startswith("x-amz-security-token="))
    assert fetch(media_house.gateway, "GET", tokenless).status == 403
    signer.close()


@signatures
def test_a_presigned_url_of_a_session_stores_for_its_end_user(
    media_house: MediaHouse, lea: EndUser, tom: EndUser, version: str
) -> None:
    signer = media_house.client(lea.key, signature_version=version)
    params = {"Bucket": PRIVATE, "Key": lea.path("by url"), "ContentType": "image/png"}
    url = signer.generate_presigned_url("put_object", Params=params)
    done = fetch(media_house.gateway, "PUT", url, {"Content-Type": "image/png"}, b"from a browser")
    assert done.status == 200, done.body
    assert read(lea.s3, lea.path("by url")) == b"from a browser"
    his = put(tom, "a", b"his")
    onto = signer.generate_presigned_url("put_object", Params={"Bucket": PRIVATE, "Key": his})
    assert fetch(media_house.gateway, "PUT", onto, body=b"hers").code == "AccessDenied"
    assert read(tom.s3, his) == b"his"
    signer.close()


@signatures
def test_a_form_of_a_session_stores_for_its_end_user(
    media_house: MediaHouse, lea: EndUser, tom: EndUser, version: str
) -> None:
    signer = media_house.client(lea.key, signature_version=version)
    post = signer.generate_presigned_post(
        PRIVATE, lea.path("${filename}"), Conditions=[["content-length-range", 1, 1000]]
    )
    assert post["fields"]["x-amz-security-token"] == lea.key.session_token
    assert submit(media_house, post, b"from a form").status == 204
    assert read(lea.s3, lea.path("a.bin")) == b"from a form"
    assert lea.s3.list_objects(Bucket=PRIVATE)["Contents"][0]["Owner"]["ID"] == lea.name
    assert submit(media_house, post, pattern(1001)).code == "EntityTooLarge"
    his = put(tom, "a", b"his")
    onto = submit(media_house, signer.generate_presigned_post(PRIVATE, his), b"hers")
    assert (onto.status, onto.code) == (403, "AccessDenied")
    forged = post["fields"] | {"x-amz-security-token": tom.key.session_token or ""}
    assert submit(media_house, post | {"fields": forged}, b"x").code == "InvalidToken"
    signer.close()
