"""Single objects: what is said of them."""

from collections.abc import Iterator

import pytest

from tests.support.caller import Caller, complete_document
from tests.support.gateway import OTHER_POLICY, Gateway
from tests.support.raw_http import Answer
from tests.support.signer import crc32

POLICY = """\
project = "demo"

[categories.media]

[categories.open]
read = "public"
max_age_s = 77

[principals.ops]
role = "admin"
"""
BODY = bytes(range(256)) * 500
OF_A_BODY = ("x-cache", "age")  # where it came from: HEAD has none
OF_A_CACHE = "cache-control"  # the object's own is said by both, a category's by GET alone
OF_AN_ANSWER = ("date", "x-amz-request-id", "x-amz-id-2")
KINDS: dict[str, list[tuple[str, str]]] = {
    "plain": [],
    "page": [("Content-Type", "text/html")],
    "marked": [("x-amz-meta-mark", "m"), ("x-amz-tagging", "a=b&c=d")],
    "described": [
        ("Cache-Control", "max-age=5"),
        ("Content-Type", "image/png"),
        ("Content-Disposition", "inline"),
        ("Content-Encoding", "identity"),
        ("Content-Language", "de"),
        ("Expires", "Thu, 01 Jan 2037 00:00:00 GMT"),
    ],
    "summed": [("x-amz-checksum-crc32", crc32(BODY))],
}


@pytest.fixture(scope="module")
def caller(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Caller]:
    """demo's admin, with an object of each kind in a private and in a public category."""
    with Gateway(tmp_path_factory.mktemp("said"), policies={"demo": POLICY, "other": OTHER_POLICY}) as gateway:
        made = Caller.of(gateway)
        for bucket in ("demo-media", "demo-open"):
            for kind, headers in KINDS.items():
                made.put(bucket, kind, BODY, headers)
            made.put(bucket, "empty", b"")
            upload_id = made.start_upload(bucket, "parts")
            etag = made.put_part(bucket, "parts", upload_id, 1, BODY)
            assert made.complete(bucket, "parts", upload_id, complete_document([(1, etag)])).status == 200
        yield made


def said(answer: Answer) -> list[tuple[str, str]]:
    passing = (*OF_A_BODY, *OF_AN_ANSWER)
    return sorted((name.lower(), value) for name, value in answer.headers if name.lower() not in passing)


@pytest.mark.parametrize("bucket", ["demo-media", "demo-open"])
@pytest.mark.parametrize("kind", [*KINDS, "empty", "parts"])
@pytest.mark.parametrize(
    ("query", "headers"),
    [
        ("", []),
        ("?versionId=null", []),
        ("?partNumber=1", []),
        ("?response-content-type=text%2Fplain&response-cache-control=no-store", []),
        ("", [("x-amz-checksum-mode", "ENABLED")]),
        ("", [("Range", "bytes=5-9")]),
        ("", [("If-None-Match", "*")]),
    ],
)
def test_head_says_what_get_says(caller, bucket, kind, query, headers):
    target = f"/{bucket}/{kind}{query}"
    if kind == "empty" and headers[:1] == [("Range", "bytes=5-9")]:
        assert {caller.call(method, target, b"", headers).status for method in ("GET", "HEAD")} == {416}
        return
    got, told = caller.call("GET", target, b"", headers), caller.call("HEAD", target, b"", headers)
    assert got.status in (200, 206, 304)
    of_the_category = [] if told.header(OF_A_CACHE) else [(OF_A_CACHE, got.header(OF_A_CACHE))]
    assert (told.status, told.body, sorted([*said(told), *of_the_category])) == (got.status, b"", said(got))


def test_how_long_an_object_may_be_kept_is_said_by_get_and_what_is_stored_by_both(caller):
    """Tools that copy objects store again what HEAD has told them: a category's word would become the object's."""
    for bucket, control in (("demo-media", "private"), ("demo-open", "public, max-age=77")):
        assert caller.call("GET", f"/{bucket}/plain").header("cache-control") == control
        assert caller.call("HEAD", f"/{bucket}/plain").header("cache-control") is None
        for method in ("GET", "HEAD"):
            assert caller.call(method, f"/{bucket}/described").header("cache-control") == "max-age=5"
