"""The files that an admin edits, read: gateway.toml and the policy files; what cannot be read is ConfigError."""

import shlex
import tomllib
from pathlib import Path
from typing import Any

from gateway.toml_fields import MIB

MAX_FILE_SIZE = 4 * MIB
_POLICY_HINT = "; anbar init writes a working one"


class ConfigError(Exception):
    """A configuration or policy file that is not used: which file and key, what is wrong; one line a mistake."""

    def __init__(self, file: Path | str, mistakes: list[str]) -> None:
        super().__init__("\n".join(f"{file}: {mistake}" for mistake in mistakes))
        self.file = file
        self.mistakes = mistakes


def read_text(path: Path) -> str:
    """The text of a file that an admin edits; raises ConfigError."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_FILE_SIZE + 1)
        if len(data) > MAX_FILE_SIZE:
            raise ConfigError(path, [f"larger than {MAX_FILE_SIZE // MIB} MiB"])
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ConfigError(path, [f"not UTF-8 text (byte {error.start})"]) from None
    except OSError as error:
        raise ConfigError(path, [f"cannot be read: {error.strerror}"]) from None


def read_policy_files(folder: Path) -> dict[Path, str]:
    """The texts of a directory's policy files, `*.toml` in the order of their names; raises ConfigError.

    A directory without any policy file is an error: an empty set of rules is more likely a wrong path than a wish.
    """
    try:
        files = policy_files(folder)
    except OSError as error:
        hint = _POLICY_HINT if isinstance(error, FileNotFoundError) else ""
        raise ConfigError(folder, [f"cannot be read: {error.strerror}{hint}"]) from None
    if not files:
        raise ConfigError(folder, [f"there is no policy file (NAME.toml) in this directory{_POLICY_HINT}"])
    return {file: read_text(file) for file in files}


def policy_files(folder: Path) -> list[Path]:
    """The policy files of a directory, by name, without hidden ones (an editor's); raises OSError."""
    return sorted(file for file in folder.iterdir() if file.suffix == ".toml" and not file.name.startswith("."))


def is_missing(path: Path) -> bool:
    """Is nothing there? What may not be looked at is not missing."""
    try:
        path.stat()
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return False


def init_command(directory: Path) -> str:
    """The command that makes an installation, or what is missing of one, in a directory."""
    here = directory.absolute() == Path.cwd()
    return "anbar init" if here else f"anbar init --dir {shlex.quote(str(directory))}"


def parse_toml(text: str, path: Path) -> dict[str, Any]:
    """The tables of a TOML text; raises ConfigError with the line and column."""
    try:
        return tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError, ValueError) as error:
        raise ConfigError(path, [str(error) or "nested too deeply"]) from None
