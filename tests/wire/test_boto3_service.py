"""boto3 in an application's backend, which stores for its end users and names them in x-amz-meta-uploader."""

import io
from contextlib import closing
from typing import Any

import pytest
from boto3.s3.transfer import TransferConfig
from botocore.exceptions import ClientError
from urllib3.filepost import encode_multipart_formdata

from tests.support.clients import error_code
from tests.support.data import MIB, pattern
from tests.support.media_house import PRIVATE, PUBLIC, EndUser, MediaHouse
from tests.support.plain_http import Response, fetch

DENIED = ("AccessDenied", 403)


def read(s3: Any, key: str, bucket: str = PRIVATE) -> bytes:
    with s3.get_object(Bucket=bucket, Key=key)["Body"] as stream:
        body: bytes = stream.read()
    return body


def owner_of(s3: Any, key: str, bucket: str = PRIVATE) -> str:
    """Whose object it is, as a listing with owners says."""
    found = s3.list_objects_v2(Bucket=bucket, Prefix=key, FetchOwner=True)["Contents"]
    assert [entry["Key"] for entry in found] == [key]
    owner: str = found[0]["Owner"]["ID"]
    return owner


def submit(house: MediaHouse, post: dict[str, Any], body: bytes) -> Response:
    form = [*post["fields"].items(), ("file", ("a.bin", body, "application/octet-stream"))]
    encoded, content_type = encode_multipart_formdata(form)
    return fetch(house.gateway, "POST", post["url"], {"Content-Type": content_type}, encoded)


def named(user: EndUser, **metadata: str) -> dict[str, str]:
    return {"uploader": user.name, **metadata}


def assert_is_of(user: EndUser, ops: Any, key: str, body: bytes) -> None:
    """The object is the end user's, who reads it; that it is is nowhere among its metadata."""
    assert owner_of(ops, key) == user.name
    assert read(user.s3, key) == body
    for client in (ops, user.s3):
        assert "uploader" not in client.head_object(Bucket=PRIVATE, Key=key)["Metadata"]


def test_an_object_put_for_an_end_user_is_theirs(backend: Any, lea: EndUser, tom: EndUser, ops: Any) -> None:
    key = lea.path("a")
    backend.put_object(Bucket=PRIVATE, Key=key, Body=b"body", Metadata=named(lea, title="first"))
    assert_is_of(lea, ops, key, b"body")
    assert lea.s3.head_object(Bucket=PRIVATE, Key=key)["Metadata"] == {"title": "first"}
    with pytest.raises(ClientError) as refused:
        read(tom.s3, key)
    assert error_code(refused) == DENIED
    lea.s3.delete_object(Bucket=PRIVATE, Key=key)


def test_a_file_uploaded_in_parts_for_an_end_user_is_theirs(backend: Any, lea: EndUser, ops: Any) -> None:
    body = pattern(11 * MIB)
    in_parts = TransferConfig(multipart_threshold=5 * MIB, multipart_chunksize=5 * MIB)
    backend.upload_fileobj(
        io.BytesIO(body), PRIVATE, lea.path("big"), ExtraArgs={"Metadata": named(lea)}, Config=in_parts
    )
    assert ops.head_object(Bucket=PRIVATE, Key=lea.path("big"))["ETag"].endswith('-3"')
    assert_is_of(lea, ops, lea.path("big"), body)


def test_an_upload_that_a_service_began_for_an_end_user_is_both_s(backend: Any, lea: EndUser, tom: EndUser) -> None:
    where = {"Bucket": PRIVATE, "Key": lea.path("upload")}
    upload = {**where, "UploadId": backend.create_multipart_upload(**where, Metadata=named(lea))["UploadId"]}
    first = backend.upload_part(**upload, PartNumber=1, Body=pattern(5 * MIB))["ETag"]
    second = lea.s3.upload_part(**upload, PartNumber=2, Body=b"end")["ETag"]
    with pytest.raises(ClientError) as refused:
        tom.s3.list_parts(**upload)
    assert error_code(refused) == ("NoSuchUpload", 404)
    parts = [{"PartNumber": 1, "ETag": first}, {"PartNumber": 2, "ETag": second}]
    lea.s3.complete_multipart_upload(**upload, MultipartUpload={"Parts": parts})
    assert read(lea.s3, where["Key"]) == pattern(5 * MIB) + b"end"


def test_a_copy_for_an_end_user_is_theirs(backend: Any, lea: EndUser, ops: Any) -> None:
    source = {"Bucket": PRIVATE, "Key": lea.path("template")}
    backend.put_object(**source, Body=b"body", Metadata={"title": "template"})
    assert owner_of(ops, source["Key"]) == "backend"
    backend.copy_object(
        Bucket=PRIVATE,
        Key=lea.path("replaced"),
        CopySource=source,
        Metadata=named(lea, title="own"),
        MetadataDirective="REPLACE",
    )
    assert_is_of(lea, ops, lea.path("replaced"), b"body")
    assert lea.s3.head_object(Bucket=PRIVATE, Key=lea.path("replaced"))["Metadata"] == {"title": "own"}
    backend.copy_object(Bucket=PRIVATE, Key=lea.path("kept"), CopySource=source, Metadata=named(lea))
    assert_is_of(lea, ops, lea.path("kept"), b"body")
    assert lea.s3.head_object(Bucket=PRIVATE, Key=lea.path("kept"))["Metadata"] == {"title": "template"}


@pytest.mark.parametrize("version", ["s3v4", "s3"], ids=["sigv4", "sigv2"])
def test_a_form_signed_for_an_end_user_stores_what_is_theirs(
    media_house: MediaHouse, lea: EndUser, tom: EndUser, ops: Any, version: str
) -> None:
    with closing(media_house.client("backend", signature_version=version)) as signer:
        field = {"x-amz-meta-uploader": lea.name}
        post = signer.generate_presigned_post(PRIVATE, lea.path("form"), Fields=field, Conditions=[field])
    assert submit(media_house, post, b"from a form").status == 204
    assert_is_of(lea, ops, lea.path("form"), b"from a form")
    changed = post | {"fields": post["fields"] | {"x-amz-meta-uploader": tom.name}}
    assert submit(media_house, changed, b"x").code == "AccessDenied"


def test_a_url_signed_for_an_end_user_stores_what_is_theirs(
    media_house: MediaHouse, lea: EndUser, tom: EndUser, ops: Any
) -> None:
    with closing(media_house.client("backend", signature_version="s3v4")) as signer:
        params = {"Bucket": PRIVATE, "Key": lea.path("url"), "Metadata": {"uploader": lea.name}}
        url = signer.generate_presigned_url("put_object", Params=params)
    headers = {"x-amz-meta-uploader": lea.name}
    assert fetch(media_house.gateway, "PUT", url, headers, b"by url").status == 200
    assert_is_of(lea, ops, lea.path("url"), b"by url")
    changed = fetch(media_house.gateway, "PUT", url, {"x-amz-meta-uploader": tom.name}, b"x")
    assert changed.code == "SignatureDoesNotMatch"


def test_what_a_service_stores_in_nobody_s_name_is_its_own(backend: Any, lea: EndUser, ops: Any) -> None:
    backend.put_object(Bucket=PRIVATE, Key=lea.path("own"), Body=b"body")
    assert owner_of(ops, lea.path("own")) == "backend"
    with pytest.raises(ClientError) as refused:
        read(lea.s3, lea.path("own"))
    assert error_code(refused) == DENIED
    backend.delete_object(Bucket=PRIVATE, Key=lea.path("own"))


def test_a_service_replaces_what_is_of_the_end_user_it_names_and_nothing_else(
    backend: Any, lea: EndUser, tom: EndUser
) -> None:
    key = lea.path("a")
    lea.s3.put_object(Bucket=PRIVATE, Key=key, Body=b"old")
    for metadata in ({}, {"uploader": tom.name}):
        with pytest.raises(ClientError) as refused:
            backend.put_object(Bucket=PRIVATE, Key=key, Body=b"new", Metadata=metadata)
        assert error_code(refused) == DENIED
    assert read(lea.s3, key) == b"old"
    backend.put_object(Bucket=PRIVATE, Key=key, Body=b"new", Metadata=named(lea))
    assert read(lea.s3, key) == b"new"


def test_a_service_reads_and_lists_what_is_everybody_s(backend: Any, lea: EndUser, tom: EndUser) -> None:
    for user in (lea, tom):
        user.s3.put_object(Bucket=PRIVATE, Key=f"both-{lea.name}/{user.name}", Body=user.name.encode())
        assert read(backend, f"both-{lea.name}/{user.name}") == user.name.encode()
    found = backend.list_objects_v2(Bucket=PRIVATE, Prefix=f"both-{lea.name}/", FetchOwner=True)["Contents"]
    assert {entry["Owner"]["ID"] for entry in found} == {lea.name, tom.name}


@pytest.mark.parametrize("who", ["ops", "sara", "dashboard", "a session"])
@pytest.mark.parametrize("uploader", ["tom", "sara"])
def test_nobody_but_a_service_names_an_uploader(
    media_house: MediaHouse, lea: EndUser, backend: Any, who: str, uploader: str
) -> None:
    source = {"Bucket": PUBLIC, "Key": lea.path("source")}
    backend.put_object(**source, Body=b"x")
    target = {"Bucket": PRIVATE, "Key": lea.path("a"), "Metadata": {"uploader": uploader}}
    with closing(media_house.client(lea.key if who == "a session" else who)) as client:
        for attempt in (
            lambda: client.put_object(**target, Body=b"x"),
            lambda: client.create_multipart_upload(**target),
            lambda: client.copy_object(**target, CopySource=source, MetadataDirective="REPLACE"),
        ):
            with pytest.raises(ClientError) as refused:
                attempt()
            assert error_code(refused) == DENIED
        post = client.generate_presigned_post(PRIVATE, lea.path("a"), Fields={"x-amz-meta-uploader": uploader})
        fields = [{"x-amz-meta-uploader": uploader}]
        post = client.generate_presigned_post(
            PRIVATE, lea.path("a"), Fields={"x-amz-meta-uploader": uploader}, Conditions=fields
        )
    assert submit(media_house, post, b"x").code == "AccessDenied"
    assert backend.list_objects_v2(Bucket=PRIVATE, Prefix=lea.path("a"))["KeyCount"] == 0


@pytest.mark.parametrize(
    ("uploader", "code"),
    [
        ("ops", "AccessDenied"),
        ("dashboard", "AccessDenied"),
        ("a/b", "InvalidArgument"),
        ("*", "InvalidArgument"),
        ("two words", "InvalidArgument"),
        ("l" * 129, "InvalidArgument"),
    ],
)
def test_a_service_names_no_admin_and_nothing_that_is_no_name(
    backend: Any, lea: EndUser, uploader: str, code: str
) -> None:
    with pytest.raises(ClientError) as refused:
        backend.put_object(Bucket=PRIVATE, Key=lea.path("a"), Body=b"x", Metadata={"uploader": uploader})
    assert error_code(refused)[0] == code


def test_a_service_s_uploads_for_end_users_do_not_open_what_is_theirs_already(
    backend: Any, lea: EndUser, tom: EndUser
) -> None:
    """Naming an end user is for storing; it does not let a service delete or tag in their name."""
    lea.s3.put_object(Bucket=PRIVATE, Key=lea.path("a"), Body=b"x")
    for attempt in (
        lambda: backend.delete_object(Bucket=PRIVATE, Key=lea.path("a")),
        lambda: backend.put_object_tagging(Bucket=PRIVATE, Key=lea.path("a"), Tagging={"TagSet": []}),
    ):
        with pytest.raises(ClientError) as refused:
            attempt()
        assert error_code(refused) == DENIED
