"""A public category: anybody reads an object whose key they know, and nothing else is open to them."""

from collections.abc import Mapping

import pytest

from tests.support.media_house import PRIVATE, PUBLIC, EndUser, MediaHouse
from tests.support.plain_http import Response, fetch

BODY = b"a picture"


@pytest.fixture
def picture(lea: EndUser) -> str:
    """The path of an object of a public category, with its leading slash."""
    key = lea.path("picture 1.png")
    lea.s3.put_object(Bucket=PUBLIC, Key=key, Body=BODY, ContentType="image/png", CacheControl="max-age=60")
    return f"/{PUBLIC}/{key.replace(' ', '%20')}"


def ask(
    house: MediaHouse, method: str, path: str, headers: Mapping[str, str] | None = None, body: bytes | None = None
) -> Response:
    return fetch(house.gateway, method, f"{house.gateway.endpoint}{path}", headers, body)


def test_anybody_gets_an_object(media_house: MediaHouse, picture: str) -> None:
    got = ask(media_house, "GET", picture)
    assert (got.status, got.body) == (200, BODY)
    assert (got.headers["content-type"], got.headers["cache-control"]) == ("image/png", "max-age=60")


def test_anybody_gets_a_range_a_head_and_not_modified(media_house: MediaHouse, picture: str) -> None:
    part = ask(media_house, "GET", picture, {"Range": "bytes=2-4"})
    assert (part.status, part.body, part.headers["content-range"]) == (206, BODY[2:5], f"bytes 2-4/{len(BODY)}")
    head = ask(media_house, "HEAD", picture)
    assert (head.status, head.headers["content-length"], head.body) == (200, str(len(BODY)), b"")
    assert ask(media_house, "GET", picture, {"If-None-Match": head.headers["etag"]}).status == 304


def test_what_is_gone_is_gone_for_everybody(media_house: MediaHouse, lea: EndUser, picture: str) -> None:
    lea.s3.delete_object(Bucket=PUBLIC, Key=lea.path("picture 1.png"))
    assert ask(media_house, "GET", picture).status == 403  # who may not list it learns nothing of what is there


@pytest.mark.parametrize(
    ("method", "query"),
    [
        ("PUT", ""),
        ("DELETE", ""),
        ("POST", "?uploads"),
        ("GET", "?acl"),
        ("PUT", "?acl"),
        ("GET", "?tagging"),
        ("PUT", "?tagging"),
        ("GET", "?attributes"),
        ("GET", "?uploadId=x"),
    ],
)
def test_nothing_else_of_an_object_is_open(media_house: MediaHouse, picture: str, method: str, query: str) -> None:
    refused = ask(media_house, method, picture + query, body=b"x" if method != "GET" else None)
    assert (refused.status, refused.code) == (403, "AccessDenied")
    assert ask(media_house, "GET", picture).body == BODY


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/"),
        ("GET", f"/{PUBLIC}"),
        ("GET", f"/{PUBLIC}?list-type=2"),
        ("GET", f"/{PUBLIC}?uploads"),
        ("GET", f"/{PUBLIC}?acl"),
        ("HEAD", f"/{PUBLIC}"),
        ("PUT", f"/{PUBLIC}/new"),
        ("POST", f"/{PUBLIC}?delete"),
        ("DELETE", f"/{PUBLIC}"),
        ("PUT", "/a-new-bucket"),
    ],
)
def test_nothing_of_the_bucket_is_open(media_house: MediaHouse, method: str, path: str) -> None:
    refused = ask(media_house, method, path, body=b"" if method in ("PUT", "POST") else None)
    assert refused.status == 403
    assert refused.code in ("AccessDenied", "")


def test_only_who_signs_chooses_response_headers(media_house: MediaHouse, lea: EndUser, picture: str) -> None:
    refused = ask(media_house, "GET", f"{picture}?response-content-type=text/html")
    assert (refused.status, refused.code) == (400, "InvalidRequest")
    params = {"Bucket": PUBLIC, "Key": lea.path("picture 1.png"), "ResponseContentType": "image/x-own"}
    url = lea.s3.generate_presigned_url("get_object", Params=params)
    assert fetch(media_house.gateway, "GET", url).headers["content-type"] == "image/x-own"


def test_a_private_category_is_closed(media_house: MediaHouse, lea: EndUser) -> None:
    lea.s3.put_object(Bucket=PRIVATE, Key=lea.path("a"), Body=b"x")
    for path in (f"/{PRIVATE}/{lea.path('a')}", f"/{PRIVATE}/{lea.path('missing')}"):
        refused = ask(media_house, "GET", path)
        assert (refused.status, refused.code) == (403, "AccessDenied")
        assert ask(media_house, "HEAD", path).status == 403
