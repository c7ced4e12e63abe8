"""gateway.toml → frozen Settings, and the reading of every file an admin edits.

TOML (https://toml.io/en/v1.0.0), read by the standard library and checked by pydantic. Every table is closed: a key
that is not listed here is an error that names it. Nothing falls back to a default because it was malformed.
Relative paths belong to the directory of the file that names them.

A module for each large table, `settings.py` for all of them together; `files.py` reads, `mistakes.py` says what is
wrong. The other rooms import from here.
"""

from gateway.config.cache import Cache
from gateway.config.files import (
    ConfigError,
    init_command,
    is_missing,
    parse_toml,
    policy_files,
    read_policy_files,
    read_text,
)
from gateway.config.limits import Limits
from gateway.config.listen import Listen, parse_listen
from gateway.config.log import OFF, STANDARD_OUTPUT, Log
from gateway.config.mistakes import describe_mistakes, did_you_mean, place_mistakes
from gateway.config.nginx import Nginx
from gateway.config.places import Policies, Secrets, Store
from gateway.config.server import Server, Tls
from gateway.config.settings import Settings, load_settings, parse_settings

__all__ = [
    "OFF",
    "STANDARD_OUTPUT",
    "Cache",
    "ConfigError",
    "Limits",
    "Listen",
    "Log",
    "Nginx",
    "Policies",
    "Secrets",
    "Server",
    "Settings",
    "Store",
    "Tls",
    "describe_mistakes",
    "did_you_mean",
    "init_command",
    "is_missing",
    "load_settings",
    "parse_listen",
    "parse_settings",
    "parse_toml",
    "place_mistakes",
    "policy_files",
    "read_policy_files",
    "read_text",
]
