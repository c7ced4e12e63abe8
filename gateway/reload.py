"""Which settings a serving gateway takes up when it is told to read its file again, and which only a new start does."""

from dataclasses import dataclass
from typing import Final

from gateway.config import Settings

_TAKEN_UP: Final = {
    "server": ("domains", "public_hosts", "regions", "sigv2", "tls", "trusted_proxies"),
    "limits": (
        "body_gap_timeout_s",
        "connections_per_address",
        "header_timeout_s",
        "idle_s",
        "max_connections",
        "max_object_size",
        "min_upload_rate",
        "quota_headers",
        "requests_per_address",
        "requests_per_key",
        "write_timeout_s",
    ),
    "nginx": ("authorisation_s", "public_s"),
}


@dataclass(frozen=True, slots=True)
class Reloaded:
    """The settings to go on with, and the names of those that are new, `[section] key`, and of those that must wait."""

    settings: Settings
    taken_up: tuple[str, ...]
    waiting: tuple[str, ...]


def reload_settings(old: Settings, new: Settings) -> Reloaded:
    """Take over from a file that was read again what can change while requests are answered.

    HTTPS stays HTTPS: its files can be others, but neither come nor go.
    """
    updates: dict[str, object] = {}
    taken_up: list[str] = []
    waiting: list[str] = []
    for section in type(old).model_fields:
        before, after = getattr(old, section), getattr(new, section)
        changed = [key for key in _keys(before) if getattr(before, key) != getattr(after, key)] if _keys(before) else []
        if not _keys(before) and before != after:
            waiting.append(f"[{section}]")
        for key in changed:
            (taken_up if _can_change(section, key, old, new) else waiting).append(f"[{section}] {key}")
        if taken := {key: getattr(after, key) for key in changed if _can_change(section, key, old, new)}:
            updates[section] = before.model_copy(update=taken)
    return Reloaded(old.model_copy(update=updates), tuple(taken_up), tuple(waiting))


def _keys(section: object) -> tuple[str, ...]:
    """The keys of a section; none of the origins, which are a table of sections."""
    return tuple(getattr(type(section), "model_fields", ()))


def _can_change(section: str, key: str, old: Settings, new: Settings) -> bool:
    if (section, key) == ("server", "tls"):
        return old.server.tls is not None and new.server.tls is not None
    return key in _TAKEN_UP.get(section, ())
