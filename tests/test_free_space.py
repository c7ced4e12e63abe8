"""gateway/free_space.py: each file system is looked at once, where it is to be; the words are tested by who says them."""

from pathlib import Path

from gateway.config import Settings, parse_settings
from gateway.free_space import LEAST_BYTES, free_space, nearest_existing, render_free
from tests.support.file_systems import another_file_system

TOML = """
[store]
path = "var/anbar.sqlite"
[secrets]
key_ring = "key_ring"
[policies]
path = "policies"
[origins.near]
kind = "directory"
path = "objects"
[origins.far]
kind = "directory"
path = "{far}"
"""


def settings(directory: Path, far: Path) -> Settings:
    return parse_settings(TOML.format(far=far), directory / "gateway.toml")


def test_each_file_system_is_looked_at_once(tmp_path):
    elsewhere = another_file_system(tmp_path)
    found = dict(free_space(settings(tmp_path, elsewhere / "not there yet"), lambda path: len(path.parts)))
    assert found == {tmp_path: len(tmp_path.parts), elsewhere: len(elsewhere.parts)}
    assert len(list(free_space(settings(tmp_path, tmp_path / "beside")))) == 1


def test_what_is_not_there_yet_will_be_where_the_directory_above_it_is(tmp_path):
    assert nearest_existing(tmp_path / "a/b/c") == tmp_path
    assert nearest_existing(tmp_path) == tmp_path


def test_room_is_told_in_gibibytes():
    assert render_free(Path("/var/lib"), LEAST_BYTES * 5) == "1.2 GiB at /var/lib"
