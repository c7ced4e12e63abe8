"""A small server for a test, in an event loop and a thread of its own."""

import asyncio
import threading
from typing import Self

_SOON_S = 10.0


class SmallServer:
    """Listens while it is entered; the end breaks off whatever it was doing."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._tasks: set[asyncio.Task[None]] = set()

    def __enter__(self) -> Self:
        self._thread.start()
        self._server = asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result(_SOON_S)
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result(_SOON_S)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_SOON_S)
        self._loop.close()

    async def _listen(self) -> asyncio.Server:
        """Begin to accept connections, each of which is for `_accept`."""
        raise NotImplementedError

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """All that becomes of a connection."""
        raise NotImplementedError

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = self._loop.create_task(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _end(self) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
