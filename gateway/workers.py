"""Several serving processes on one address: a keeper that starts them, starts them again, and tells them things.

The keeper holds the listening sockets, one for each worker: the kernel spreads connections over them (SO_REUSEPORT),
and what comes to the socket of a worker that has died waits there for the next one. Workers are programs of their own,
not forks: `python -m gateway worker`. They read the settings from standard input, where later ones may follow, and
where the end says that the keeper is gone; on a pipe of its own each says that it is ready, and from then on, from time
to time, that its loop still turns.
"""

import asyncio
import contextlib
import logging
import os
import signal
import socket
import sys
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest
from pathlib import Path
from typing import Final

from prometheus_client.multiprocess import mark_process_dead

import gateway
from gateway.config import Listen
from gateway.metrics import WORKER_DEATHS

_log = logging.getLogger("anbar.workers")
READY: Final = b"ready\n"
_BEAT: Final = b"."
_LOOKS = 4  # in the time after which a worker counts as stuck
_BEATS = 2  # for each look
_MOST_BEATS = 1 << 16  # what a pipe holds
_BACKLOG = 1024
_START_S = 60.0
CUT_OFF_S: Final = 20.0
"""Beyond the time that requests have to end in; a worker that does not end by then is killed."""

_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.1, 10.0  # after a worker that has never been ready; any other is replaced at once


def bind(listen: Listen, count: int) -> list[list[socket.socket]]:
    """For each of `count` workers a listening socket for each address that the name stands for; raises OSError."""
    found = socket.getaddrinfo(listen.host, listen.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    addresses = list(dict.fromkeys((family, address[:2]) for family, _, _, _, address in found))
    port = listen.port
    bound: list[list[socket.socket]] = []
    with contextlib.ExitStack() as opened:
        for _ in range(count):
            bound.append([])
            for family, (host, _) in addresses:
                each = opened.enter_context(socket.socket(family, socket.SOCK_STREAM))
                each.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                if count > 1:
                    each.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
                if family == socket.AF_INET6:
                    each.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                each.bind((host, port))
                each.listen(_BACKLOG)
                each.setblocking(False)
                port = each.getsockname()[1]
                bound[-1].append(each)
        opened.pop_all()
    return bound


def frame(text: str) -> bytes:
    """Settings as they go to a worker: their length in bytes, a line end, and they."""
    data = text.encode()
    return b"%d\n" % len(data) + data


class Frames:
    """Takes such frames apart again, however they arrive."""

    def __init__(self) -> None:
        self._held = b""

    def feed(self, data: bytes) -> list[str]:
        """The texts that are whole now."""
        self._held += data
        texts: list[str] = []
        while True:
            length, end, rest = self._held.partition(b"\n")
            if not end or len(rest) < int(length):
                return texts
            texts.append(rest[: int(length)].decode())
            self._held = rest[int(length) :]


class Beat:
    """A worker's: tells its keeper that the loop turns, for as long as it does, also while requests are let end.

    `stuck_s`: after such a silence it is killed; 0: it is not, and says nothing.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, fd: int, stuck_s: float) -> None:
        os.set_blocking(fd, False)
        self._loop = loop
        self._fd = fd
        self._every_s = stuck_s / _LOOKS / _BEATS
        if stuck_s:
            loop.call_later(self._every_s, self._fire)

    def _fire(self) -> None:
        with contextlib.suppress(OSError):  # nobody reads: the keeper is held up, or gone, which standard input tells
            os.write(self._fd, _BEAT)
        self._loop.call_later(self._every_s, self._fire)


class Silence:
    """A keeper's: whether a worker has been silent for too long, by how often it was looked for in vain.

    Looks are counted, not seconds: where the keeper was held up itself, with the whole machine perhaps, that is one.
    """

    def __init__(self) -> None:
        self._missed = 0

    def look(self, *, heard: bool) -> bool:
        """One more look; True: it is stuck."""
        self._missed = 0 if heard else self._missed + 1
        return self._missed >= _LOOKS


@dataclass(frozen=True, slots=True)
class Order:
    """What workers are started with.

    `text` are the settings that all this began with, `latest` those that were read since, of which each takes what it
    can. `lock`, a descriptor, is held as long as one of them lives. Who is silent for `stuck_s` is killed; 0: nobody.
    """

    config: Path
    text: str
    lock: int
    drain_s: float
    stuck_s: float
    latest: str | None = None


class Worker:
    """One place among the workers: its sockets, those for nginx, and whichever process has them now."""

    def __init__(self, number: int, sockets: Sequence[socket.socket], for_nginx: Sequence[socket.socket]) -> None:
        self.number = number
        self.sockets = sockets
        self.for_nginx = for_nginx
        self.is_ready = False
        self.has_served = False
        self.is_ending = False
        self.was_killed = False
        """Whether its last process was stuck."""
        self._process: asyncio.subprocess.Process | None = None

    @property
    def pid(self) -> int | None:
        """The process that has this place now."""
        return self._process.pid if self._process is not None and self._process.returncode is None else None

    async def run(self, order: Order, on_ready: Callable[[], None]) -> int:
        """Start a process, and wait until it ends: its exit code. A worker that is never ready is killed."""
        fds = [each.fileno() for each in self.sockets]
        nginx_fds = [each.fileno() for each in self.for_nginx]
        hears, says = os.pipe()
        self.has_served = self.was_killed = False
        try:
            try:
                self._process = process = await asyncio.create_subprocess_exec(
                    sys.executable,
                    *(f"-W{option}" for option in sys.warnoptions),
                    *("-m", "gateway", "worker", "--config", str(order.config), "--number", str(self.number)),
                    *("--sockets", ",".join(map(str, fds)), "--ready", str(says)),
                    *("--nginx-sockets", ",".join(map(str, nginx_fds))),
                    stdin=asyncio.subprocess.PIPE,
                    pass_fds=(*fds, *nginx_fds, order.lock, says),
                    env=_environment(),
                )
            finally:
                os.close(says)
            _send(process, frame(order.text) + (frame(order.latest) if order.latest is not None else b""))
            if await self._is_ready_soon(hears):
                self.is_ready = self.has_served = True
                on_ready()
                if order.stuck_s:
                    return await self._watched(process, hears, order.stuck_s)
            elif process.returncode is None:
                _kill(process)
            return await process.wait()
        finally:
            os.close(hears)
            self.is_ready = False
            if self._process is not None:
                mark_process_dead(self._process.pid)  # type: ignore[no-untyped-call]

    async def _is_ready_soon(self, hears: int) -> bool:
        """Wait until the worker has said so, or has closed its pipe without a word."""
        loop = asyncio.get_running_loop()
        heard: asyncio.Future[None] = loop.create_future()
        loop.add_reader(hears, heard.set_result, None)
        try:
            async with asyncio.timeout(_START_S):
                await heard
        except TimeoutError:
            _log.error("worker %d did not get ready in %g seconds", self.number, _START_S)
            return False
        finally:
            loop.remove_reader(hears)
        return os.read(hears, len(READY)) == READY

    async def _watched(self, process: asyncio.subprocess.Process, hears: int, stuck_s: float) -> int:
        """Wait until it ends, and kill it where its loop turns no more: its exit code.

        One that was told to end is left alone: it has a deadline of its own, and at last no loop any more.
        """
        os.set_blocking(hears, False)
        silence = Silence()
        ended = asyncio.ensure_future(process.wait())
        try:
            while not (await asyncio.wait([ended], timeout=stuck_s / _LOOKS))[0]:
                is_stuck = silence.look(heard=_heard(hears))
                if is_stuck and not self.is_ending and not self.was_killed:
                    _log.error("worker %d has been stuck for %g seconds, it is killed", self.number, stuck_s)
                    self.was_killed = True
                    _kill(process)
            return ended.result()
        finally:
            ended.cancel()

    def tell(self, text: str) -> None:
        """Have it read the settings again."""
        if self._process is not None and self._process.returncode is None:
            _send(self._process, frame(text))

    def end(self) -> None:
        """Tell it to let its requests end, and to go."""
        self.is_ending = True
        self.signal(signal.SIGTERM)

    def signal(self, number: signal.Signals) -> None:
        if self._process is not None and self._process.returncode is None:
            self._process.send_signal(number)


class Workers:
    """All of them. `on_death` is awaited when one has ended that was not told to. `for_nginx`: as many, or none."""

    def __init__(
        self,
        sockets: Sequence[Sequence[socket.socket]],
        order: Order,
        on_death: Callable[[], Awaitable[None]],
        for_nginx: Sequence[Sequence[socket.socket]] = (),
    ) -> None:
        pairs = zip_longest(sockets, for_nginx, fillvalue=())
        self._workers = [Worker(number, *each) for number, each in enumerate(pairs)]
        self._order = order
        self._on_death = on_death
        self._stopping = False
        self._keepers: list[asyncio.Task[None]] = []

    @property
    def ready(self) -> int:
        """How many serve now."""
        return sum(worker.is_ready for worker in self._workers)

    def pids(self) -> dict[int, int]:
        """The processes that live now, by their workers' numbers."""
        return {worker.number: worker.pid for worker in self._workers if worker.pid is not None}

    async def start(self) -> bool:
        """Start all; False: one of them has ended instead of serving."""
        loop = asyncio.get_running_loop()
        began: list[asyncio.Future[bool]] = [loop.create_future() for _ in self._workers]
        for worker, serves in zip(self._workers, began, strict=True):
            self._keepers.append(loop.create_task(self._keep(worker, serves), name=f"worker {worker.number}"))
        return all(await asyncio.gather(*began))

    def tell(self, text: str) -> None:
        """Have all read the settings again, and those that are started later begin with them."""
        self._order = replace(self._order, latest=text)
        for worker in self._workers:
            worker.tell(text)

    async def stop(self) -> None:
        """Let what has begun end, then end them all; nobody listens any more."""
        self._stopping = True
        for worker in self._workers:
            for each in (*worker.sockets, *worker.for_nginx):
                each.close()
            worker.end()
        if not self._keepers:
            return
        _, late = await asyncio.wait(self._keepers, timeout=self._order.drain_s + CUT_OFF_S)
        if late:
            for worker in self._workers:
                worker.signal(signal.SIGKILL)
            await asyncio.wait(late)

    async def _keep(self, worker: Worker, serves: asyncio.Future[bool]) -> None:
        """Have a process in this place, one after the other; `serves` is told whether the first one has begun."""
        pause_s = _FIRST_PAUSE_S

        def begun() -> None:
            if not serves.done():
                serves.set_result(True)

        while not self._stopping:
            try:
                code = await worker.run(self._order, begun)
            except OSError as error:  # no process, no memory, no descriptor
                _log.error("worker %d could not be started: %s", worker.number, error)
                code = 1
            except Exception:  # noqa: BLE001  (a bug: its place must not stay empty)
                _log.exception("worker %d could not be kept", worker.number)
                code = 1
            if not serves.done():
                serves.set_result(False)
                return
            if self._stopping:
                return
            _log.error("worker %d has ended (%s), another takes its place", worker.number, _how(code))
            WORKER_DEATHS.labels("stuck" if worker.was_killed else "died").inc()
            await self._tell_of_death()
            if worker.has_served:
                pause_s = _FIRST_PAUSE_S
            else:
                await asyncio.sleep(pause_s)
                pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)

    async def _tell_of_death(self) -> None:
        try:
            await self._on_death()
        except Exception:  # noqa: BLE001  (the sweeper comes again)
            _log.exception("what a worker has left could not be ended yet")


def _heard(fd: int) -> bool:
    """Whether anything has come since the last time."""
    try:
        return bool(os.read(fd, _MOST_BEATS))
    except BlockingIOError:
        return False


def _kill(process: asyncio.subprocess.Process) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.kill()


def _send(process: asyncio.subprocess.Process, data: bytes) -> None:
    """Write to its standard input; one that has ended meanwhile need not be told."""
    if process.stdin is not None:
        with contextlib.suppress(OSError, RuntimeError):  # uvloop's transports that are closed raise RuntimeError
            process.stdin.write(data)


def _environment() -> dict[str, str]:
    """This process's, with the same program on the module path."""
    home = str(Path(gateway.__file__).resolve().parent.parent)
    paths = [home, *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    return dict(os.environ) | {"PYTHONPATH": os.pathsep.join(dict.fromkeys(paths))}


def _how(code: int) -> str:
    return f"signal {-code}" if code < 0 else f"exit code {code}"
