"""What lies there after a restore: what lay there before, with the same rights, and safely on the disk."""

import os
from pathlib import Path

import pytest

from gateway.backup.restore import restore_backup
from gateway.backup.take import Wanted, take_backup
from gateway.config import load_settings
from tests.support.caller import Caller, complete_document
from tests.support.gateway import Gateway

BUCKET = "demo-media"


def taken(gateway: Gateway, target: Path) -> Path:
    """A backup of a gateway that has a body and one in parts."""
    caller = Caller.of(gateway)
    caller.put(BUCKET, "deep/er/a.json", b"a")
    upload_id = caller.start_upload(BUCKET, "film")
    etag = caller.put_part(BUCKET, "film", upload_id, 1, b"film")
    assert caller.complete(BUCKET, "film", upload_id, complete_document([(1, etag)])).status == 200
    take_backup(
        gateway.config, load_settings(gateway.config), target, Wanted(media=True, key_ring=True), lambda _: None
    )
    return target


def rights(root: Path) -> dict[str, int]:
    return {str(path.relative_to(root)): path.stat().st_mode & 0o777 for path in root.rglob("*")}


@pytest.mark.parametrize("group_read", [True, False])
def test_what_the_group_could_read_it_can_read_again_and_nothing_else(tmp_path, group_read):
    """As a web server that sends the bodies."""
    with Gateway(tmp_path / "old", settings={"origins.local": {"group_read": group_read}}) as gateway:
        backup = taken(gateway, tmp_path / "backup")
        before = rights(gateway.origin_directory)
        place = tmp_path / "new" / gateway.origin_directory.relative_to(gateway.directory)
    restore_backup(backup, tmp_path / "new" / gateway.config.name, media=True, told=lambda _: None)
    assert rights(place) == before
    assert set(before.values()) == ({0o750, 0o640, 0o600} if group_read else {0o700, 0o600})


def test_all_is_on_the_disk_before_anything_can_serve_from_it(tmp_path, monkeypatch):
    steps: list[str] = []
    link = os.link

    def noted(source: Path, target: Path) -> None:
        steps.append(target.name)
        link(source, target)

    with Gateway(tmp_path / "old") as gateway:
        backup = taken(gateway, tmp_path / "backup")
    monkeypatch.setattr(os, "sync", lambda: steps.append("all"))
    monkeypatch.setattr(os, "link", noted)
    restore_backup(backup, tmp_path / "new" / gateway.config.name, media=True, told=lambda _: None)
    assert steps[0] == "all"
    assert steps[-1] == gateway.store_file.name
