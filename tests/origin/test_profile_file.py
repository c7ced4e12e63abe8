"""Profiles of origins: whole or not at all, their owner's alone, and compared with the settings only where they are of it."""

import json

import pytest

from gateway.origin.profile_file import FORMAT, profile_path, read_differences, write_profile
from gateway.origin_settings import OriginCapabilities, S3OriginSettings, parse_endpoint
from gateway.startup import measured_otherwise

FAR = S3OriginSettings(kind="s3", endpoint=parse_endpoint("https://far.example"))
PROFILE = {
    "format": FORMAT,
    "endpoint": "https://far.example",
    "region": "us-east-1",
    "addressing": "path",
    "measured": "2026-11-28T10:00:00Z",
    "capabilities": {"tagging": True, "copy_object": False, "nonsense": True, "md5_etags": "yes"},
}


@pytest.fixture
def store(tmp_path):
    return tmp_path / "var" / "anbar.sqlite"


def test_what_differs_from_the_settings_is_given_with_its_date(store):
    write_profile(profile_path(store, "far"), PROFILE)
    assert read_differences(store, "far", FAR) == ("2026-11-28T10:00:00Z", {"tagging": True})
    assert list(measured_otherwise(store, {"far": FAR})) == [
        "origin far: the settings are not what was measured on 2026-11-28T10:00:00Z: tagging = true"
    ]


def test_settings_that_say_the_same_differ_in_nothing(store):
    write_profile(profile_path(store, "far"), PROFILE)
    settings = FAR.model_copy(update={"capabilities": OriginCapabilities(tagging=True)})
    assert list(measured_otherwise(store, {"far": settings})) == []


def test_a_profile_of_another_place_says_nothing(store):
    write_profile(profile_path(store, "far"), {**PROFILE, "endpoint": "https://elsewhere.example"})
    assert read_differences(store, "far", FAR) == ("", {})


def test_without_a_profile_there_is_nothing_to_say(store):
    assert read_differences(store, "far", FAR) == ("", {})


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '"a"', '{"format": 99}', "\udcff"])
def test_a_file_that_is_no_profile_is_named_and_hinders_nobody(store, text):
    store.parent.mkdir()
    path = profile_path(store, "far")
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    path.chmod(0o600)
    [line] = measured_otherwise(store, {"far": FAR})
    assert line.startswith(f"origin far: {path} ")


def test_capabilities_that_are_no_table_are_none(store):
    write_profile(profile_path(store, "far"), {**PROFILE, "capabilities": ["tagging"]})
    assert read_differences(store, "far", FAR)[1] == {}


def test_a_profile_that_others_can_write_is_not_read(store):
    write_profile(profile_path(store, "far"), PROFILE)
    profile_path(store, "far").chmod(0o666)
    [line] = measured_otherwise(store, {"far": FAR})
    assert "chmod 600" in line


def test_an_older_profile_is_replaced_and_nothing_lies_beside_it(store):
    path = profile_path(store, "far")
    write_profile(path, {"old": True})
    write_profile(path, PROFILE)
    assert json.loads(path.read_text()) == PROFILE
    assert path.stat().st_mode & 0o777 == 0o600
    assert list(path.parent.iterdir()) == [path]


def test_a_profile_that_cannot_be_written_leaves_the_older_one(store):
    path = profile_path(store, "far")
    write_profile(path, PROFILE)
    with pytest.raises(TypeError):
        write_profile(path, {"no": object()})
    assert json.loads(path.read_text()) == PROFILE
    assert list(path.parent.iterdir()) == [path]
