"""Names below localhost, for virtual-host style: browsers resolve them by themselves, many machines' resolvers do not."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest


@contextmanager
def localhost_names() -> Iterator[None]:
    """Within it, every name below localhost is 127.0.0.1 for this process (RFC 6761 §6.3)."""
    resolve = socket.getaddrinfo

    def resolve_localhost(host: Any, *arguments: Any, **named: Any) -> Any:
        text = host.decode() if isinstance(host, bytes) else host
        return resolve("127.0.0.1" if str(text).endswith(".localhost") else host, *arguments, **named)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket, "getaddrinfo", resolve_localhost)
        yield
