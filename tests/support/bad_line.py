"""A bad line to a server: what goes over it comes late, in small pieces, and some of it once more late.

What a lossy network costs a stream is time: what was lost is sent again, and what follows waits for it. So the relay
holds pieces up instead of losing them, by a seed, the same in each run.
"""

import asyncio
import random

from tests.support.small_server import SmallServer

LATE_S = 0.2
"""Of a connection's first bytes, and of every twentieth piece, until it was sent again."""

_LOST = 0.05
_PIECE = 24 * 1024


class BadLine(SmallServer):
    """A relay on a port of its own to `host` and `port`."""

    def __init__(self, host: str, port: int, *, seed: int = 0) -> None:
        super().__init__()
        self.host = "127.0.0.1"
        self.port = 0
        self._target = host, port
        self._random = random.Random(seed)

    async def _listen(self) -> asyncio.Server:
        server = await asyncio.start_server(self._accept, self.host, 0)
        self.port = server.sockets[0].getsockname()[1]
        return server

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection(*self._target)
        try:
            await asyncio.gather(self._pump(reader, far_writer), self._pump(far_reader, writer))
        except OSError:
            pass  # either end is gone, which the other one sees
        finally:
            writer.close()
            far_writer.close()

    async def _pump(self, source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        late = True
        while piece := await source.read(self._random.randint(1, _PIECE)):
            if late:
                await asyncio.sleep(LATE_S)
            late = self._random.random() < _LOST
            target.write(piece)
            await target.drain()
        target.write_eof()
