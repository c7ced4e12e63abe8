"""Laravel's Flysystem adapter over AWS's PHP SDK, as the signed requests that it sends for each call of its own.

PHP's SDK is in no registry that the tests install from. Call by call, after league/flysystem-aws-s3-v3 and
aws-sdk-php 3.337 and later: path style, an ACL with every write, a CRC32 header by default, GetObjectAcl before copies.
"""

import base64
import hashlib
from collections.abc import Iterator, Mapping
from zlib import crc32

import pytest
from botocore.credentials import Credentials

from tests.support.data import MIB, pattern
from tests.support.gateway import Gateway
from tests.support.media_house import PRIVATE, PUBLIC, EndUser, MediaHouse
from tests.support.plain_http import Response, fetch
from tests.support.signed_http import SignedConnection, encode_path

SDK_HEADERS = {
    "User-Agent": "aws-sdk-php/3.337.0 ua/2.1 OS/linux#6.1 lang/php#8.3.0 GuzzleHttp/7",
    "X-Amz-User-Agent": "aws-sdk-php/3.337.0",
    "aws-sdk-invocation-id": "5d4e1d6a1b2c3d4e5f60718293a4b5c6",
    "aws-sdk-retry": "0/0",
}
ALL_USERS = "http://acs.amazonaws.com/groups/global/AllUsers"


class Flysystem:
    """The calls of Laravel's `Storage::disk('s3')`, each as the requests that it makes."""

    def __init__(self, connection: SignedConnection, bucket: str) -> None:
        self.connection = connection
        self.bucket = bucket

    def send(
        self,
        method: str,
        key: str = "",
        *,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
    ) -> Response:
        path = f"/{self.bucket}/{key}" if key else f"/{self.bucket}"
        return self.connection.signed(
            method,
            path,
            query=(query or {}).items(),
            headers={**SDK_HEADERS, **(headers or {})},
            body=body,
            region="default",
        )

    def put(self, key: str, body: bytes, content_type: str = "text/plain", acl: str = "private") -> Response:
        checksum = base64.b64encode(crc32(body).to_bytes(4, "big")).decode()
        headers = {"Content-Type": content_type, "x-amz-acl": acl, "x-amz-checksum-crc32": checksum}
        return self.send("PUT", key, headers=headers, body=body)

    def file_exists(self, key: str) -> bool:
        head = self.send("HEAD", key)
        assert head.status in (200, 404)
        return head.status == 200

    def directory_exists(self, key: str) -> bool:
        found = self.listing(f"{key}/", **{"max-keys": "1", "delimiter": "/"})
        return found.element("Key") != "" or found.element("CommonPrefixes") != ""

    def listing(self, prefix: str, **more: str) -> Response:
        found = self.send("GET", query={"list-type": "2", "prefix": prefix, **more})
        assert found.status == 200
        return found

    def visibility(self, key: str) -> str:
        acl = self.send("GET", key, query={"acl": ""})
        assert acl.status == 200
        return "public" if ALL_USERS.encode() in acl.body else "private"

    def set_visibility(self, key: str, visibility: str) -> Response:
        acl = "public-read" if visibility == "public" else "private"
        return self.send("PUT", key, query={"acl": ""}, headers={"x-amz-acl": acl})

    def copy(self, source: str, key: str) -> Response:
        acl = self.visibility(source)
        headers = {
            "x-amz-acl": "public-read" if acl == "public" else "private",
            "x-amz-copy-source": encode_path(f"/{self.bucket}/{source}"),
            "x-amz-metadata-directive": "COPY",
        }
        return self.send("PUT", key, headers=headers)

    def move(self, source: str, key: str) -> None:
        assert self.copy(source, key).status == 200
        assert self.send("DELETE", source).status == 204

    def delete_directory(self, key: str) -> Response:
        keys = self.listing(f"{key}/").body.decode().split("<Key>")[1:]
        objects = "".join(f"<Object><Key>{text.partition('<')[0]}</Key></Object>" for text in keys)
        body = f'<?xml version="1.0" encoding="UTF-8"?>\n<Delete xmlns="http://s3.amazonaws.com/doc/2006-03-01/">{objects}</Delete>\n'.encode()
        md5 = base64.b64encode(hashlib.md5(body).digest()).decode()
        return self.send(
            "POST", query={"delete": ""}, headers={"Content-MD5": md5, "Content-Type": "application/xml"}, body=body
        )


@pytest.fixture
def disk(any_gateway: Gateway, bucket: str) -> Iterator[Flysystem]:
    with SignedConnection(any_gateway) as connection:
        yield Flysystem(connection, bucket)


def test_put_get_and_file_exists(disk: Flysystem) -> None:
    assert disk.put("avatars/سارا 1.jpg", b"body", "image/jpeg").status == 200
    assert disk.file_exists("avatars/سارا 1.jpg")
    assert not disk.file_exists("avatars/missing.jpg")
    got = disk.send("GET", "avatars/سارا 1.jpg", headers={"x-amz-checksum-mode": "ENABLED"})
    assert (got.body, got.headers["content-type"]) == (b"body", "image/jpeg")
    head = disk.send("HEAD", "avatars/سارا 1.jpg")
    assert (head.headers["content-length"], "last-modified" in head.headers) == ("4", True)


def test_copy_and_move_ask_for_the_acl_first(disk: Flysystem) -> None:
    disk.put("a b+c.txt", b"body")
    assert disk.visibility("a b+c.txt") == "private"
    copied = disk.copy("a b+c.txt", "copy.txt")
    assert (copied.status, copied.element("ETag") != "") == (200, True)
    disk.move("a b+c.txt", "moved.txt")
    assert (disk.file_exists("a b+c.txt"), disk.send("GET", "moved.txt").body) == (False, b"body")
    assert disk.send("GET", "missing", query={"acl": ""}).code == "NoSuchKey"


def test_directories_are_made_seen_and_deleted(disk: Flysystem) -> None:
    assert not disk.directory_exists("photos")
    assert disk.put("photos/", b"").status == 200
    assert disk.directory_exists("photos")
    for name in ("photos/a.jpg", "photos/sub/b.jpg", "photoshop.txt"):
        disk.put(name, b"x")
    assert disk.delete_directory("photos").status == 200
    assert not disk.directory_exists("photos")
    assert disk.file_exists("photoshop.txt")


def test_a_large_file_goes_up_in_parts_of_five_megabytes(disk: Flysystem) -> None:
    bodies = [pattern(5 * MIB, seed=1), pattern(1000, seed=2)]
    created = disk.send(
        "POST", "big.mp4", query={"uploads": ""}, headers={"x-amz-acl": "private", "Content-Type": "video/mp4"}
    )
    upload_id = created.element("UploadId")
    parts = ""
    for number, body in enumerate(bodies, 1):
        put = disk.send("PUT", "big.mp4", query={"partNumber": str(number), "uploadId": upload_id}, body=body)
        parts += f"<Part><ETag>{put.headers['etag']}</ETag><PartNumber>{number}</PartNumber></Part>"
    document = (
        f'<CompleteMultipartUpload xmlns="http://s3.amazonaws.com/doc/2006-03-01/">{parts}</CompleteMultipartUpload>'
    )
    done = disk.send("POST", "big.mp4", query={"uploadId": upload_id}, body=document.encode())
    assert (done.status, done.element("ETag").endswith('-2"')) == (200, True)
    part = disk.send("GET", "big.mp4", headers={"Range": f"bytes={5 * MIB}-"})
    assert (part.status, part.body) == (206, bodies[1])


def test_a_listing_of_a_folder_shows_files_and_folders(disk: Flysystem) -> None:
    for name in ("dir/a b.txt", "dir/sub/c.txt", "other.txt"):
        disk.put(name, b"x")
    shallow = disk.listing("dir/", delimiter="/")
    assert (shallow.element("Key"), shallow.body.count(b"<Contents>")) == ("dir/a b.txt", 1)
    assert b"<CommonPrefixes><Prefix>dir/sub/</Prefix></CommonPrefixes>" in shallow.body
    assert disk.listing("dir/").body.count(b"<Contents>") == 2


def test_public_visibility_is_refused_rather_than_pretended(disk: Flysystem) -> None:
    disk.put("a", b"x")
    made_public = disk.set_visibility("a", "public")
    assert (made_public.status, made_public.code) == (400, "AccessControlListNotSupported")
    assert disk.visibility("a") == "private"


@pytest.fixture(params=["ops", "backend", "sara", "a session"])
def key(media_house: MediaHouse, lea: EndUser, request: pytest.FixtureRequest) -> Credentials:
    """Whoever an application's disk may sign as."""
    found = lea.key if request.param == "a session" else media_house.keys[request.param]
    return Credentials(found.access_key_id, found.secret_access_key, found.session_token)


@pytest.fixture
def public_disk(media_house: MediaHouse, key: Credentials) -> Iterator[Flysystem]:
    with SignedConnection(media_house.gateway, key) as connection:
        yield Flysystem(connection, PUBLIC)


@pytest.fixture
def private_disk(media_house: MediaHouse, key: Credentials) -> Iterator[Flysystem]:
    with SignedConnection(media_house.gateway, key) as connection:
        yield Flysystem(connection, PRIVATE)


def test_in_a_public_category_all_files_are_public_however_they_are_put(public_disk: Flysystem, lea: EndUser) -> None:
    for acl in ("private", "public-read"):
        name = lea.path(f"{acl} +é.txt")
        assert public_disk.put(name, b"body", acl=acl).status == 200
        assert public_disk.visibility(name) == "public"
    refused = public_disk.put(lea.path("b"), b"body", acl="public-read-write")
    assert (refused.status, refused.code) == (400, "AccessControlListNotSupported")
    assert public_disk.send("HEAD", lea.path("b")).status in (403, 404)


def test_in_a_private_category_nothing_is_put_as_public(private_disk: Flysystem, lea: EndUser) -> None:
    assert private_disk.put(lea.path("a"), b"body", acl="private").status == 200
    assert private_disk.visibility(lea.path("a")) == "private"
    for acl in ("public-read", "authenticated-read"):
        refused = private_disk.put(lea.path("a"), b"changed", acl=acl)
        assert (refused.status, refused.code) == (400, "AccessControlListNotSupported")
    begun = private_disk.send("POST", lea.path("big"), query={"uploads": ""}, headers={"x-amz-acl": "public-read"})
    assert (begun.status, begun.code) == (400, "AccessControlListNotSupported")
    assert private_disk.send("GET", lea.path("a")).body == b"body"


def test_visibility_is_set_to_what_it_is_and_to_nothing_else(
    public_disk: Flysystem, private_disk: Flysystem, lea: EndUser
) -> None:
    for disk, true, false in ((public_disk, "public", "private"), (private_disk, "private", "public")):
        disk.put(lea.path("a"), b"body")
        assert disk.set_visibility(lea.path("a"), true).status == 200
        refused = disk.set_visibility(lea.path("a"), false)
        assert (refused.status, refused.code) == (400, "AccessControlListNotSupported")
        assert disk.visibility(lea.path("a")) == true


def test_a_file_is_copied_and_moved_in_a_public_category(public_disk: Flysystem, lea: EndUser) -> None:
    public_disk.put(lea.path("a"), b"body")
    assert public_disk.copy(lea.path("a"), lea.path("copy")).status == 200
    public_disk.move(lea.path("a"), lea.path("moved"))
    assert public_disk.visibility(lea.path("moved")) == "public"
    assert public_disk.send("GET", lea.path("moved")).body == b"body"


def test_a_temporary_url_reads_without_a_key(disk: Flysystem, any_gateway: Gateway, s3: object) -> None:
    disk.put("a b.txt", b"temporary")
    url = s3.generate_presigned_url("get_object", Params={"Bucket": disk.bucket, "Key": "a b.txt"})  # type: ignore[attr-defined]
    assert fetch(any_gateway, "GET", url).body == b"temporary"
    assert fetch(any_gateway, "GET", f"{any_gateway.endpoint}/{disk.bucket}/a%20b.txt").status == 403
