"""Files with secrets are read only where nobody else may."""

import os
from pathlib import Path

import pytest

from gateway.private_files import NotPrivate, read_private


@pytest.fixture
def secret(tmp_path) -> Path:
    file = tmp_path / "secret"
    file.write_bytes(b"0123456789")
    file.chmod(0o600)
    return file


def test_a_private_file_is_read_up_to_a_limit(secret):
    assert read_private(secret, 100) == b"0123456789"
    assert read_private(secret, 4) == b"0123"


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o602, 0o644, 0o666])
def test_a_file_that_others_may_read_or_write_is_refused_with_advice(secret, mode):
    secret.chmod(mode)
    with pytest.raises(NotPrivate, match=rf"mode {mode:04o}\); run: chmod 600 {secret}"):
        read_private(secret, 100)


def test_a_link_to_a_private_file_is_read(secret, tmp_path):
    (tmp_path / "link").symlink_to(secret)
    assert read_private(tmp_path / "link", 100)


def test_what_is_no_file_is_refused_and_never_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe", 0o600)
    for path in (tmp_path, tmp_path / "pipe"):
        with pytest.raises((NotPrivate, IsADirectoryError)):
            read_private(path, 100)
    with pytest.raises(FileNotFoundError):
        read_private(tmp_path / "nothing", 100)
