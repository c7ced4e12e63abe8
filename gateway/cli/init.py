"""anbar init: the files of a new installation, each only where it is missing."""

from importlib import resources
from pathlib import Path
from typing import Annotated

import typer

from gateway.cli.installation import Refused
from gateway.config import ConfigError, Settings, load_settings


def init(
    directory: Annotated[Path, typer.Option("--dir", metavar="D", help="Where to make the installation.")] = Path(),
) -> None:
    """Write gateway.toml, policies/demo.toml and a key ring where none is; overwrite nothing."""
    config = directory / "gateway.toml"
    _say(config, _write_template("gateway.toml", config))
    try:
        settings = load_settings(config)
    except ConfigError as error:
        raise Refused(str(error)) from None
    _make_policies(settings)
    _make_key_ring(settings)


def _make_policies(settings: Settings) -> None:
    folder = settings.policies.path
    if folder.is_dir() and any(folder.glob("*.toml")):
        _say(folder, False)
    else:
        _say(folder / "demo.toml", _write_template("demo.toml", folder / "demo.toml"))


def _make_key_ring(settings: Settings) -> None:
    """A new ring beside an old store would bury the fact that the old ring, and with it every key, is gone."""
    from gateway.store.key_ring import KeyRing, KeyRingError

    path = settings.secrets.key_ring
    if not path.exists() and settings.store.path.exists():
        raise Refused(
            f"{path} is missing, but the store {settings.store.path} is there and was sealed with it.\n"
            "Restore the key ring from its backup, or move the store away to begin anew."
        )
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
    _say(path, made)


def _write_template(name: str, path: Path) -> bool:
    """Write a file that is not there yet; False where it is."""
    text = (resources.files("gateway.cli") / "templates" / name).read_text(encoding="utf-8")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        return False
    except OSError as error:
        raise Refused(f"{path}: {error.strerror}") from None
    return True


def _say(path: Path, made: bool) -> None:
    print(f"{'made ' if made else 'kept '} {path}")
