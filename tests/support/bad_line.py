"""A bad line to a server: what goes over it comes late, in small pieces, and some of it once more late.

What a lossy network costs a stream is time: what was lost is sent again, and what follows waits for it. So the relay
holds pieces up instead of losing them, by a seed, the same in each run.
"""

import asyncio
import random
import threading
from typing import Self

LATE_S = 0.2
"""Of a connection's first bytes, and of every twentieth piece, until it was sent again."""

_LOST = 0.05
_PIECE = 24 * 1024


class BadLine:
    """A relay on a port of its own to `host` and `port`."""

    def __init__(self, host: str, port: int, *, seed: int = 0) -> None:
        self.host = "127.0.0.1"
        self.port = 0
        self._target = host, port
        self._random = random.Random(seed)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._tasks: set[asyncio.Task[None]] = set()

    def __enter__(self) -> Self:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result(10)
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._accept, self.host, 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _end(self) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = self._loop.create_task(self._relay(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
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
