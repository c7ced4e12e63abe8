"""The addresses that are listened on, as texts "HOST:PORT"."""

import re

from gateway.toml_fields import Table, mistake

_LISTEN = re.compile(r"(\[[0-9A-Fa-f:.]{2,45}\]|[A-Za-z0-9._-]{1,253}):([0-9]{1,5})")


class Listen(Table):
    """An address to listen on; with port 0 the system picks one."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse_listen(value: object) -> object:
    """Give the host and port of "HOST:PORT"; raises a pydantic error."""
    if isinstance(value, Listen):
        return value
    found = _LISTEN.fullmatch(value) if isinstance(value, str) else None
    if not found or int(found[2]) > 65535:
        raise mistake('an address is a text "HOST:PORT", for example "127.0.0.1:9000" or "[::1]:9000"')
    return {"host": found[1].strip("[]"), "port": int(found[2])}
