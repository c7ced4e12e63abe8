"""What was measured of an S3 origin, kept as JSON beside the store: `origin-NAME.profile.json`, mode 0600.

Nothing is decided by it: gateway.toml says what the gateway goes by. It is there to be compared and to be shown.
"""

import contextlib
import json
import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gateway.origin.providers import upstream_of
from gateway.origin.s3.probe.judgement import differences, render_place
from gateway.origin_settings import OriginCapabilities, S3OriginSettings
from gateway.private_files import NotPrivate, read_private

FORMAT = 1
_MOST_BYTES = 1 << 20


def profile_path(store: Path, name: str) -> Path:
    """`store` is the file of the store."""
    return store.parent / f"origin-{name}.profile.json"


def write_profile(path: Path, profile: Mapping[str, Any]) -> None:
    """Put a profile in the place of an older one, whole or not at all. Blocks; raises OSError."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.name}~{secrets.token_hex(4)}")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with open(descriptor, "w", encoding="utf-8") as file:
            json.dump(profile, file, indent=2, ensure_ascii=False)
            file.write("\n")
            file.flush()
            os.fsync(descriptor)
        os.replace(fresh, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(fresh)
        raise


def read_differences(store: Path, name: str, settings: S3OriginSettings) -> tuple[str, dict[str, bool]]:
    """When the origin was measured, and what was found otherwise than the settings have it. Blocks.

    Nothing where there is no profile, or one of another place. Raises ValueError: the file is not a profile.
    """
    path = profile_path(store, name)
    try:
        profile = json.loads(read_private(path, _MOST_BYTES))
    except FileNotFoundError:
        return "", {}
    except NotPrivate as error:
        raise ValueError(f"{path}: {error}") from None
    except (OSError, ValueError) as error:
        raise ValueError(f"{path} cannot be read: {error}") from error
    if not isinstance(profile, dict) or profile.get("format") != FORMAT:
        raise ValueError(f"{path} is not a profile of this version: anbar doctor --origin {name} --write-profile")
    upstream = upstream_of(settings)
    if any(profile.get(key) != value for key, value in render_place(upstream).items()):
        return "", {}
    found = profile.get("capabilities")
    known = OriginCapabilities.model_fields
    table = found.items() if isinstance(found, dict) else ()
    flags = {key: value for key, value in table if key in known and isinstance(value, bool)}
    return str(profile.get("measured", "")), differences(flags, upstream.profile)
