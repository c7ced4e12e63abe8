"""gateway/web/object_headers.py: what is said of an object, also the second time."""

from dataclasses import replace

import pytest

from gateway.objects.get import Found
from gateway.s3.ranges import ByteRange
from gateway.store.records import ObjectRecord
from gateway.web.object_headers import read_headers

RECORD = ObjectRecord(
    "b", "k", "ann", 9, '"e1"', 1_700_000_000, "local", "there", metadata={"album": "7"}, tags={"a": "1"}
)


def told(record: ObjectRecord = RECORD, **asked: object) -> dict[str, str]:
    headers = read_headers(Found(record), **asked)  # type: ignore[arg-type]
    assert len(dict(headers)) == len(headers)
    return dict(headers)


@pytest.mark.parametrize(
    ("asked", "name", "value"),
    [
        ({"cache_control": "private"}, "Cache-Control", "private"),
        ({"cache_control": "public, max-age=60"}, "Cache-Control", "public, max-age=60"),
        ({}, "Cache-Control", None),
        ({"reserved": "album"}, "x-amz-meta-album", None),
        ({}, "x-amz-meta-album", "7"),
        ({"tags_shown": False}, "x-amz-tagging-count", None),
        ({}, "x-amz-tagging-count", "1"),
        ({"overrides": {"content-type": "text/plain"}}, "Content-Type", "text/plain"),
        ({}, "Content-Type", "binary/octet-stream"),
    ],
)
def test_what_was_said_before_changes_nothing(asked, name, value):
    assert told(**asked).get(name) == value
    assert told(**asked).get(name) == value


def test_another_row_is_described_anew():
    assert told()["ETag"] == '"e1"'
    assert told(replace(RECORD, etag='"e2"'))["ETag"] == '"e2"'
    assert told(replace(RECORD, headers={"content-type": "image/png"}))["Content-Type"] == "image/png"


def test_whoever_adds_to_an_answer_adds_to_no_other():
    read_headers(Found(RECORD)).append(("X-Cache", "miss"))
    assert "X-Cache" not in told()
    ranged = read_headers(Found(RECORD, ByteRange(1, 2), partial=True))
    assert ("Content-Range", "bytes 1-2/9") in ranged
    assert "Content-Range" not in told()
