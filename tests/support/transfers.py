"""Many uploads and downloads that are half-way, at a gateway to which something happens meanwhile."""

import socket

from tests.support.caller import Caller
from tests.support.raw_http import Connection
from tests.support.signer import UNSIGNED

BUCKET = "demo-media"
TRANSFERS = 25
"""Of each kind."""


def begin_uploads(caller: Caller, body: bytes, crowd: list[Connection]) -> list[Connection]:
    """Uploads whose last byte is still to come."""
    opened = []
    for number in range(TRANSFERS):
        request = caller.signer.sign(caller.request("PUT", f"/{BUCKET}/up-{number}", body), payload=UNSIGNED)
        opened.append(caller.connect())
        crowd.append(opened[-1])
        opened[-1].send(request.encode()[:-1])
    return opened


def begin_downloads(caller: Caller, crowd: list[Connection]) -> list[Connection]:
    """Downloads of more than the kernel holds for a reader who has read a first piece and stopped."""
    opened = []
    for _ in range(TRANSFERS):
        opened.append(Connection.open(caller.host, caller.port, receive_buffer=4096))
        crowd.append(opened[-1])
        opened[-1].send(caller.signed("GET", f"/{BUCKET}/large").encode())
        opened[-1].fill()
    return opened


def read_on(connection: Connection) -> bytes:
    """The rest of a download, in large pieces now."""
    connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
    return connection.answer().body
