"""The command line's contract: exit codes, where texts go, where the configuration is found."""

import subprocess
import sys

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
    assert "limits.a: unknown key" in ended.err
    assert "limits.b: unknown key" in ended.err
    assert "init" not in ended.err


def test_a_mistake_in_a_policy_file_is_told_with_file_and_line(anbar, installation):
    policy = installation / "policies" / "demo.toml"
    policy.write_text(policy.read_text().replace("[categories.voice]", '[categories.voice]\nread = "public"'))
    ended = anbar("usage")
    assert ended.code == 1
    assert f"{policy}: line 10: categories.voice.read: unknown key" in ended.err


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
