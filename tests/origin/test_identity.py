"""A directory knows itself again, and an empty one is not taken for it."""

import pytest

from gateway.origin.identity import make_identity, read_identity


def test_a_directory_keeps_the_identity_it_was_given(tmp_path):
    root = tmp_path / "objects"
    made = make_identity(root)
    assert read_identity(root) == made
    assert make_identity(root) == made
    assert [path.name for path in root.iterdir()] == [".anbar-origin"]
    assert (root / ".anbar-origin").stat().st_mode & 0o777 == 0o600


def test_two_directories_never_have_one_identity(tmp_path):
    assert make_identity(tmp_path / "a") != make_identity(tmp_path / "b")


def test_an_empty_directory_has_none(tmp_path):
    assert read_identity(tmp_path) is None
    assert read_identity(tmp_path / "missing") is None


@pytest.mark.parametrize("text", ["", "x", "0" * 31, "0" * 33, "0" * 32 + "\n\n"])
def test_a_damaged_identity_is_told_from_none(tmp_path, text):
    (tmp_path / ".anbar-origin").write_text(text)
    with pytest.raises(ValueError, match="damaged"):
        read_identity(tmp_path)
    with pytest.raises(ValueError, match="damaged"):
        make_identity(tmp_path)
