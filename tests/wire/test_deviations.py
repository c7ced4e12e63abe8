"""The table of what does not go over an origin: it names tests that there are, and touches no other origin's run."""

import re
from pathlib import Path

import pytest

from tests.wire.deviations import DEVIATIONS, reason_of

NAMED = sorted({pattern for each in DEVIATIONS.values() for pattern, _ in each})


@pytest.mark.parametrize("pattern", NAMED)
def test_every_deviation_is_of_a_test_that_there_is(pattern: str) -> None:
    name = re.match(r"test_\w+", pattern)
    assert name is not None
    assert any(f"def {name[0]}(" in file.read_text() for file in Path(__file__).parent.glob("test_*.py"))


def test_a_deviation_is_of_one_origin() -> None:
    late = "tests/wire/test_s3_behaviour_buckets.py::test_a_part_that_comes_after_the_end_of_its_upload_is_not_taken"
    assert reason_of("moto", f"{late}[moto-abort]")
    assert reason_of("moto", f"{late}[directory-abort]") is None
    assert reason_of("seaweedfs", f"{late}[seaweedfs-abort]") is None
