"""anbar init: the files of a new installation, each only where it is missing."""

from importlib import resources
from pathlib import Path
from typing import Annotated

import typer

from gateway.cli.installation import Refused
from gateway.config import ConfigError, Settings, is_missing, load_settings, policy_files
from gateway.policy.schema import render_policy_schema


def init(
    directory: Annotated[
        Path, typer.Option("--dir", metavar="D", help="Where to make the installation.", readable=False)
    ] = Path(),
) -> None:
    """Write gateway.toml, policies/demo.toml with its schema, and a key ring where none is; overwrite nothing."""
    config = directory / "gateway.toml"
    _say(config, directory, _write_new(config, _template("gateway.toml")))
    try:
        settings = load_settings(config)
    except ConfigError as error:
        raise Refused(str(error)) from None
    _make_policies(settings, directory)
    _make_key_ring(settings, directory)


def _make_policies(settings: Settings, directory: Path) -> None:
    folder = settings.policies.path
    try:
        kept = [] if is_missing(folder) else policy_files(folder)
    except OSError as error:
        raise Refused(f"{folder}: {error.strerror}") from None
    for file in kept:
        _say(file, directory, False)
    if not kept:
        _say(folder / "demo.toml", directory, _write_new(folder / "demo.toml", _template("demo.toml")))
        schema = folder / "policy.schema.json"
        _say(schema, directory, _write_new(schema, render_policy_schema()))


def _make_key_ring(settings: Settings, directory: Path) -> None:
    """A new ring beside an old store would bury the fact that the old ring, and with it every key, is gone."""
    from gateway.store.key_ring import KeyRing, KeyRingError, lost_ring

    path, store = settings.secrets.key_ring, settings.store.path
    if is_missing(path) and not is_missing(store):
        raise Refused(f"{lost_ring(path, store)}\nOr move the store away to begin anew.")
    try:
        KeyRing.create(path)
        made = True
    except FileExistsError:
        made = False
    except OSError as error:
        raise Refused(f"{path}: {error.strerror}") from None
    try:
        KeyRing.load(path)
    except KeyRingError as error:
        raise Refused(str(error)) from None
    _say(path, directory, made)


def _template(name: str) -> str:
    return (resources.files("gateway.cli") / "templates" / name).read_text(encoding="utf-8")


def _write_new(path: Path, text: str) -> bool:
    """Write a file that is not there yet; False where it is."""
    _make_folder(path.parent)
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        return False
    except OSError as error:
        raise Refused(f"{path}: {error.strerror}") from None
    return True


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        raise Refused(f"{folder}: not a directory") from None
    except OSError as error:
        raise Refused(f"{folder}: {error.strerror}") from None


def _say(file: Path, directory: Path, made: bool) -> None:
    """Name a file as it is reached from the working directory; one outside the installation by its whole path."""
    home, whole = directory.absolute(), file.absolute()
    shown = directory / whole.relative_to(home) if whole.is_relative_to(home) else whole
    print(f"{'made ' if made else 'kept '} {shown}")
