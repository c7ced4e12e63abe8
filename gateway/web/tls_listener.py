"""The public listener over TLS: connections count from their first moment, and handshakes have a deadline.

A loop's own server accepts whoever comes, and the connection learns of it when the handshake is done. So those that say
nothing would be bounded by nothing but descriptors. Here the server is asked before anything is done with a connection;
one that is too many is closed without a word, since words would need a handshake first.
"""

import asyncio
import logging
import socket
import ssl
from collections.abc import Sequence
from typing import Final, Protocol

from gateway.web.connection import Answering, Connection

_log = logging.getLogger("anbar.server")
_AT_ONCE: Final = 64  # are accepted before others have their turn
_PAUSE_S: Final = 1.0  # where no descriptor is left
_GOODBYE_S: Final = 1.0


class TlsServer(Answering, Protocol):
    """What a listener needs of its server, besides what its connections do."""

    def arrived(self, peer: str) -> bool:
        """Count a connection from this address, whose handshake begins; False: there is no room for one more."""
        ...

    def left(self, peer: str) -> None:
        """It is one of those that are open now, or gone."""
        ...


class TlsListener:
    """Accepts on `sockets`, which listen and do not block, until it is closed; then they are, too."""

    def __init__(
        self,
        server: TlsServer,
        loop: asyncio.AbstractEventLoop,
        context: ssl.SSLContext,
        sockets: Sequence[socket.socket],
    ) -> None:
        self.sockets: Sequence[socket.socket] = tuple(sockets)
        self._server = server
        self._loop = loop
        self._context = context
        self._handshakes: set[asyncio.Task[None]] = set()
        self._pauses: dict[socket.socket, asyncio.TimerHandle] = {}
        for each in self.sockets:
            loop.add_reader(each, self._accept, each)

    def close(self) -> None:
        """Accept nobody any more, and let those go who have not finished their handshake: they have asked nothing."""
        for pause in self._pauses.values():
            pause.cancel()
        for each in self.sockets:
            self._loop.remove_reader(each)
            each.close()
        self.sockets = ()
        for handshake in self._handshakes:
            handshake.cancel()

    def _accept(self, listening: socket.socket) -> None:
        for _ in range(_AT_ONCE):
            try:
                accepted, address = listening.accept()
            except BlockingIOError:
                return
            except ConnectionAbortedError:  # it was gone before its turn came
                continue
            except OSError as error:  # no descriptor or no memory: the loop would ask again and again
                _log.error("no connection can be accepted: %s", error.strerror)
                self._loop.remove_reader(listening)
                self._pauses[listening] = self._loop.call_later(_PAUSE_S, self._go_on, listening)
                return
            accepted.setblocking(False)
            self._begin(accepted, address[0])

    def _go_on(self, listening: socket.socket) -> None:
        del self._pauses[listening]
        self._loop.add_reader(listening, self._accept, listening)

    def _begin(self, accepted: socket.socket, peer: str) -> None:
        if not self._server.arrived(peer):
            accepted.close()
            return
        arrival = _Arrival(self._server, accepted, peer)
        task = self._loop.create_task(self._shake_hands(arrival))
        self._handshakes.add(task)
        task.add_done_callback(self._handshakes.discard)
        task.add_done_callback(lambda _: arrival.end())  # also of a task that never began

    async def _shake_hands(self, arrival: "_Arrival") -> None:
        try:
            await self._loop.connect_accepted_socket(
                lambda: _SecureConnection(self._server, self._loop, arrival),
                arrival.hand_over(),
                ssl=self._context,
                ssl_handshake_timeout=self._server.header_timeout_s,
                ssl_shutdown_timeout=_GOODBYE_S,
            )
        except OSError:  # the client is gone, has taken too long, or speaks no TLS that is spoken here
            return
        except Exception:  # noqa: BLE001  (a bug: it ends this connection, and no other)
            _log.exception("a handshake failed")


class _Arrival:
    """A connection up to the end of its handshake: its place among those that are open, and its socket."""

    __slots__ = ("_has_place", "_peer", "_server", "_socket")

    def __init__(self, server: TlsServer, accepted: socket.socket, peer: str) -> None:
        self._server = server
        self._socket: socket.socket | None = accepted
        self._peer = peer
        self._has_place = True

    def hand_over(self) -> socket.socket:
        """The socket, which its transport closes from now on."""
        accepted, self._socket = self._socket, None
        if accepted is None:
            raise AssertionError("a socket is handed over once")
        return accepted

    def give_place(self) -> None:
        if self._has_place:
            self._has_place = False
            self._server.left(self._peer)

    def end(self) -> None:
        self.give_place()
        if self._socket is not None:
            self._socket.close()


class _SecureConnection(Connection):
    """A connection that had its place before it was one."""

    __slots__ = ("_arrival",)

    def __init__(self, server: TlsServer, loop: asyncio.AbstractEventLoop, arrival: _Arrival) -> None:
        super().__init__(server, loop)
        self._arrival = arrival

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._arrival.give_place()  # nobody else can take it before this connection does
        super().connection_made(transport)
