"""What a call knows of its connection; a client may be gone before its rights are asked."""

from types import SimpleNamespace
from typing import Any, cast

import pytest

from gateway.policy.evaluate import Context
from gateway.web.call import Call
from gateway.web.gate import Gate


class Transport:
    """A connection from the loopback address, with TLS or without."""

    def __init__(self, *, tls: bool) -> None:
        self._extra = {"peername": ("127.0.0.1", 4000), "sslcontext": object() if tls else None}

    def get_extra_info(self, name: str) -> object:
        return self._extra[name]


def call_by(services, transport: Transport | None) -> Call:
    request = SimpleNamespace(method="GET", target="/", version=(1, 1), fields=((b"Host", b"localhost"),))
    request.transport = transport
    return Gate(services).read(cast(Any, request), "1")


@pytest.mark.parametrize("tls", [True, False])
async def test_a_request_is_as_secure_as_its_connection(services, tls):
    call = call_by(services, Transport(tls=tls))
    assert (call.scheme, call.context.secure_transport) == ("https" if tls else "http", tls)


async def test_a_request_whose_client_has_hung_up_was_not_secure_and_came_from_nowhere(services):
    """Else a DELETE over plain HTTP passes a denial of plain HTTP, if its client does not wait for the answer."""
    call = call_by(services, None)
    assert call.context == Context(None, secure_transport=False)
