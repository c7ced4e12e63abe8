"""gateway/objects/current.py: as what the body of a row is kept."""

from dataclasses import replace

import pytest

from gateway.objects.current import Keeping, name_of
from gateway.store.records import ObjectRecord, StoredChecksum

RECORD = ObjectRecord("b", "k", "ann", 9, '"e1"', 1_700_000_000, "s3", "there", '"o1"')
ANY_SIZE = Keeping()


@pytest.mark.parametrize(
    "other",
    [
        replace(RECORD, etag='"e2"'),
        replace(RECORD, size=10),
        replace(RECORD, modified_s=1_700_000_001),
        replace(RECORD, checksum=StoredChecksum("CRC32", "FULL_OBJECT", "AAAAAA==")),
        replace(RECORD, origin="other"),
    ],
)
def test_another_body_has_another_name_however_lately_its_key_was_asked_for(other):
    before = name_of(RECORD, ANY_SIZE)
    after = name_of(other, ANY_SIZE)
    assert before is not None
    assert after is not None
    assert before.name != after.name
    assert after.size == other.size
    assert name_of(RECORD, ANY_SIZE) == before


def test_what_has_a_name_is_kept_only_where_it_may_be():
    assert name_of(RECORD, Keeping(9)) is not None
    assert name_of(RECORD, Keeping(8)) is None
    assert name_of(replace(RECORD, headers={"cache-control": "no-store"}), ANY_SIZE) is None
    assert name_of(replace(RECORD, origin_etag='W/"o1"'), ANY_SIZE) is None


def test_a_body_that_was_moved_keeps_its_name():
    assert name_of(RECORD, ANY_SIZE) == name_of(replace(RECORD, location="elsewhere"), ANY_SIZE)
