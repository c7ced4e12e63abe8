"""gateway/s3/results.py: values of answers, with the defaults of an object that is nothing special."""

import dataclasses

import pytest

from gateway.s3 import results

VALUES = [one for one in vars(results).values() if isinstance(one, type) and dataclasses.is_dataclass(one)]


@pytest.mark.parametrize("value", VALUES)
def test_values_are_frozen_slotted_and_say_what_they_are(value):
    assert value.__dataclass_params__.frozen
    assert "__slots__" in vars(value)


def test_a_listed_object_is_standard_without_owner_and_checksum():
    listed = results.ListedObject("k", 0, '"e"', 1)
    assert (listed.storage_class, listed.owner_id, listed.checksum_algorithm) == ("STANDARD", None, ())


def test_a_listed_version_is_the_only_and_latest_one():
    version = results.ListedVersion(results.ListedObject("k", 0, '"e"', 1))
    assert (version.version_id, version.latest, version.delete_marker) == ("null", True, False)
