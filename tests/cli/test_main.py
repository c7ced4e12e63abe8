"""The command line's contract: exit codes, where texts go, where the configuration is found."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from gateway import __version__

COMMANDS = ("init", "serve", "keys", "usage", "presign", "doctor")


def test_help_names_every_command(anbar):
    ended = anbar("--help")
    assert ended.code == 0
    assert all(command in ended.out for command in COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(anbar, command):
    ended = anbar(command, "--help")
    assert ended.code == 0
    assert "Usage" in ended.out


def test_the_version_is_the_packages(anbar):
    assert anbar("--version").out == f"anbar {__version__}\n"


@pytest.mark.parametrize(
    "arguments", [("nothing",), ("serve", "--nothing"), ("keys",), ("keys", "create"), ("presign", "GET"), ()]
)
def test_wrong_usage_is_exit_code_2(anbar, arguments):
    assert anbar(*arguments).code == 2


def test_a_refusal_is_exit_code_1_with_its_reason_on_standard_error(anbar, tmp_path):
    ended = anbar("usage", "--config", tmp_path / "gateway.toml")
    assert ended.code == 1
    assert ended.out == ""
    assert ended.err.startswith(f"anbar: {tmp_path}/gateway.toml: cannot be read: No such file or directory\n")
    assert "anbar init" in ended.err


def test_every_mistake_of_the_configuration_is_told(anbar, installation):
    config = installation / "gateway.toml"
    config.write_text(config.read_text() + "a = 1\nb = 2\n")
    ended = anbar("doctor")
    assert ended.code == 1
    assert "log.a: unknown key" in ended.err
    assert "log.b: unknown key" in ended.err
    assert "init" not in ended.err


def test_every_line_of_a_refusal_says_whose_it_is(anbar, installation):
    config = installation / "gateway.toml"
    config.write_text(config.read_text() + "a = 1\nb = 2\n")
    lines = anbar("doctor").err.splitlines()
    assert len(lines) == 2
    assert all(line.startswith("anbar: gateway.toml: line ") for line in lines)


@pytest.mark.parametrize(
    ("config", "command"),
    [
        ("nosuch/gateway.toml", "anbar init --dir nosuch"),
        ("a b/gateway.toml", "anbar init --dir 'a b'"),
        ("x.toml", "anbar init"),
    ],
)
def test_an_installation_that_is_not_there_is_made_where_it_was_looked_for(
    anbar, tmp_path, monkeypatch, config, command
):
    monkeypatch.chdir(tmp_path)
    for arguments, variable in ((("--config", config), ""), ((), config)):
        monkeypatch.setenv("ANBAR_CONFIG", variable)
        ended = anbar("usage", *arguments)
        assert ended.code == 1
        assert ended.err.endswith(f"anbar: To make a new installation, run: {command}\n")


def test_a_configuration_that_may_not_be_read_is_refused_as_such(anbar, installation, monkeypatch):
    open_path = Path.open

    def refuse(path: Path, *arguments, **named):
        if path.name == "gateway.toml":
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        return open_path(path, *arguments, **named)

    monkeypatch.setattr(os, "access", lambda *_, **__: False)
    monkeypatch.setattr(Path, "open", refuse)
    for command in ("usage", "doctor", "serve"):
        ended = anbar(command, "--config", "gateway.toml")
        assert (ended.code, ended.err) == (1, "anbar: gateway.toml: cannot be read: Permission denied\n")


def test_missing_policies_are_told_with_the_command_that_makes_them(anbar, installation):
    for file in (installation / "policies").iterdir():
        file.unlink()
    for reason in (
        "there is no policy file (NAME.toml) in this directory",
        "cannot be read: No such file or directory",
    ):
        ended = anbar("usage")
        assert ended.code == 1
        assert ended.err == f"anbar: {installation}/policies: {reason}; anbar init writes a working one\n"
        if (installation / "policies").exists():
            (installation / "policies").rmdir()


def test_a_mistake_in_a_policy_file_is_told_with_file_and_line(anbar, installation):
    policy = installation / "policies" / "demo.toml"
    policy.write_text(policy.read_text().replace("[categories.voice]", '[categories.voice]\nraed = "public"'))
    ended = anbar("usage")
    assert ended.code == 1
    assert f'{policy}: line 13: categories.voice.raed: unknown key; did you mean "read"?' in ended.err


def test_the_configuration_is_found_by_option_environment_and_working_directory(
    anbar, installation, tmp_path_factory, monkeypatch
):
    config = installation / "gateway.toml"
    assert anbar("usage").code == 0
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    assert anbar("usage").code == 1
    assert anbar("usage", "--config", config).code == 0
    monkeypatch.setenv("ANBAR_CONFIG", str(config))
    assert anbar("usage").code == 0


def test_the_package_runs_as_the_command():
    ended = subprocess.run(
        [sys.executable, "-m", "gateway", "--version"], capture_output=True, text=True, check=True, timeout=60
    )
    assert ended.stdout == f"anbar {__version__}\n"
