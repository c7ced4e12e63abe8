"""anbar init: makes what is missing and overwrites nothing."""

import stat
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent


def files_of(directory: Path) -> dict[str, bytes]:
    return {str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*") if path.is_file()}


def test_a_new_installation_has_its_files(anbar, tmp_path):
    ended = anbar("init", "--dir", tmp_path / "new")
    assert ended.code == 0
    assert set(files_of(tmp_path / "new")) == {
        "gateway.toml",
        "policies/demo.toml",
        "policies/policy.schema.json",
        "var/key_ring",
    }
    assert stat.S_IMODE((tmp_path / "new/var/key_ring").stat().st_mode) == 0o600


def test_a_second_run_changes_nothing(anbar, installation):
    before = files_of(installation)
    ended = anbar("init")
    assert ended.code == 0
    assert files_of(installation) == before
    assert "made" not in ended.out


def test_only_what_is_missing_is_made(anbar, installation):
    (installation / "policies/demo.toml").rename(installation / "policies/demo.toml.off")
    (installation / "policies/photos.toml").write_text('project = "photos"\n')
    assert anbar("init").code == 0
    assert not (installation / "policies/demo.toml").exists()


def test_the_key_ring_is_made_where_the_configuration_says(anbar, tmp_path):
    config = (ROOT / "gateway.toml").read_text().replace("var/key_ring", "secret/ring")
    (tmp_path / "gateway.toml").write_text(config)
    assert anbar("init", "--dir", tmp_path).code == 0
    assert (tmp_path / "secret/ring").exists()


def test_a_new_key_ring_is_refused_beside_an_old_store(anbar, installation):
    assert anbar("keys", "create", "--project", "demo", "--principal", "ops").code == 0
    (installation / "var/key_ring").unlink()
    ended = anbar("init")
    assert ended.code == 1
    assert "Restore the key ring from its backup.\nanbar: Or move the store away" in ended.err
    assert not (installation / "var/key_ring").exists()


def test_a_key_ring_that_others_can_read_is_refused(anbar, installation):
    (installation / "var/key_ring").chmod(0o644)
    assert "chmod 600" in anbar("init").err


def test_a_broken_configuration_is_refused_and_kept(anbar, tmp_path):
    (tmp_path / "gateway.toml").write_text("[serve]\n")
    assert anbar("init", "--dir", tmp_path).code == 1
    assert set(files_of(tmp_path)) == {"gateway.toml"}


@pytest.mark.parametrize("name", ["file", "file/below"])
def test_a_directory_that_cannot_be_made_is_refused(anbar, tmp_path, name):
    (tmp_path / "file").write_text("")
    ended = anbar("init", "--dir", tmp_path / name)
    assert (ended.code, ended.out) == (1, "")
    assert ended.err == f"anbar: {tmp_path / name}: not a directory\n"


def test_files_are_named_as_they_are_reached_from_here(anbar, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert anbar("init").out == (
        "made  gateway.toml\nmade  policies/demo.toml\nmade  policies/policy.schema.json\nmade  var/key_ring\n"
    )
    (tmp_path / "policies/a.toml").write_text('project = "a"\n')
    kept = "kept  gateway.toml\nkept  policies/a.toml\nkept  policies/demo.toml\nkept  var/key_ring\n"
    assert anbar("init").out == kept
    assert (
        anbar("init", "--dir", "new").out
        == "made  new/gateway.toml\nmade  new/policies/demo.toml\nmade  new/policies/policy.schema.json\n"
        "made  new/var/key_ring\n"
    )


def test_files_outside_the_directory_are_named_by_their_whole_paths(anbar, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "new").mkdir()
    config = (ROOT / "gateway.toml").read_text().replace('"var/key_ring"', f'"{tmp_path}/ring"')
    (tmp_path / "new/gateway.toml").write_text(config)
    assert f"made  {tmp_path}/ring\n" in anbar("init", "--dir", "new").out


def test_policies_that_are_no_directory_are_refused(anbar, tmp_path):
    (tmp_path / "policies").write_text("")
    ended = anbar("init", "--dir", tmp_path)
    assert ended.code == 1
    assert ended.err == f"anbar: {tmp_path}/policies: Not a directory\n"


def test_the_shipped_files_are_the_ones_that_init_writes():
    templates = ROOT / "gateway/cli/templates"
    assert (ROOT / "gateway.toml").read_bytes() == (templates / "gateway.toml").read_bytes()
    assert (ROOT / "policies/demo.toml").read_bytes() == (templates / "demo.toml").read_bytes()
