"""Serving: one process, or a keeper with its workers, from the first look at the settings to the last answer."""

import asyncio
import logging
import os
import resource
import signal
import socket
import ssl
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import uvloop
from aiohttp import web

from gateway.allocator import keep_freed_memory
from gateway.app import build_services, key_rates_of, verifier_of
from gateway.config import ConfigError, Settings, parse_settings, read_text
from gateway.errors import S3Error
from gateway.objects.sweeper import recover
from gateway.origin.errors import OriginError
from gateway.reload import Reloaded, reload_settings
from gateway.startup import (
    StartError,
    TlsError,
    listening,
    only_server_of,
    tls_context,
)
from gateway.store.bucket_changes import PolicyRefused
from gateway.store.database import StoreError
from gateway.store.key_ring import KeyRingError
from gateway.traces import TracesError, open_traces
from gateway.traces import use as use_traces
from gateway.web.access_log import AccessLog, open_access_log
from gateway.web.call import Services
from gateway.web.connection import Connection
from gateway.web.exposition import Exposition
from gateway.web.logs import configure_logging
from gateway.web.loop_lag import LoopLag
from gateway.web.probes import probes
from gateway.web.server import S3Server
from gateway.web.tls_listener import TlsListener
from gateway.workers import READY, Beat, Frames, Order, Workers, bind

_log = logging.getLogger("anbar")
_BACKLOG = 1024


@dataclass(frozen=True, slots=True)
class Sockets:
    """What a worker serves on: the public ones, and those for nginx."""

    public: Sequence[socket.socket]
    for_nginx: Sequence[socket.socket]


def serve(settings: Settings, config: Path) -> None:
    """Serve until SIGTERM or SIGINT; prints `ready: URL` when requests are accepted. `config`: the file to read again.

    Raises StartError: the key ring, a policy, the store, a directory, a certificate or an address cannot be used.
    """
    _prepare_process(settings)
    with _start_errors():
        tls = tls_context(settings.server.tls)
        if settings.server.worker_count == 1:
            uvloop.run(_serve(settings, config, tls))
        else:
            uvloop.run(_keep_workers(read_text(config), config))


def serve_beside(settings: Settings, sockets: Sockets, ready: int, more: Frames, config: Path) -> None:
    """Serve as one of several workers, on the sockets of their keeper, who hears of it at `ready`; raises StartError.

    What comes on standard input are settings that have changed (`more` has what came with the first ones); its end
    says that the keeper is gone.
    """
    _prepare_process(settings)
    with _start_errors():
        uvloop.run(_serve_beside(settings, sockets, ready, more, config))


def _prepare_process(settings: Settings) -> None:
    configure_logging(settings.log)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # no secrets in core files
    keep_freed_memory()


@contextmanager
def _start_errors() -> Iterator[None]:
    """Whatever keeps a gateway from starting, as a StartError."""
    try:
        yield
    except TlsError as error:
        raise StartError(f"[server] tls: {error}") from error
    except TracesError as error:
        raise StartError(f"[log] traces: {error}") from error
    except S3Error as error:
        raise StartError(error.message) from error
    except (StoreError, KeyRingError, ConfigError, OriginError, PolicyRefused) as error:
        raise StartError(str(error)) from error
    except OSError as error:
        raise StartError(f"{error.filename}: {error.strerror}" if error.filename else str(error)) from error


async def _serve(settings: Settings, config: Path, tls: ssl.SSLContext | None) -> None:
    stop = _stop_signals(signal.SIGTERM, signal.SIGINT)
    _ignore(signal.SIGHUP)  # until there is something to be read again
    with only_server_of(settings.store.path):
        async with (
            _traces(settings),
            build_services(settings) as services,
            _access_log(settings) as access_log,
            _loop_lag(),
        ):
            server = S3Server(services, asyncio.get_running_loop(), access_log)
            listen = settings.server.listen
            with listening(listen, "listen"):
                listeners = await _listen_publicly(server, tls, bind(listen, 1)[0])
            if (nginx := settings.nginx.listen) is not None:
                with listening(nginx, "listen", "nginx"):
                    where = {"host": nginx.host, "port": nginx.port, "reuse_address": True}
                    listeners.append(await _listen(server.for_nginx, **where))
            serving = Serving(services, server, tls, access_log)
            _on_hangup(lambda: serving.read_again(config))
            port = listeners[0].sockets[0].getsockname()[1]
            admin: web.AppRunner | None = None
            try:
                admin = await _start_probes(settings, services)
                _announce(_ready_line(settings, port))
                await stop.wait()
            finally:
                for each in listeners:
                    each.close()
                await server.drain(settings.limits.drain_s)
                if admin is not None:
                    await admin.cleanup()


async def _keep_workers(text: str, config: Path) -> None:
    """Do what is done once for all, and have workers serve; `text` are the settings."""
    settings = parse_settings(text, config)
    stop = _stop_signals(signal.SIGTERM, signal.SIGINT)
    _ignore(signal.SIGHUP)  # until there is something to be read again
    listen = settings.server.listen
    with only_server_of(settings.store.path) as lock:
        async with build_services(settings) as services, _loop_lag():
            with listening(listen, "listen"):
                sockets = bind(listen, settings.server.worker_count)
            for_nginx: Sequence[Sequence[socket.socket]] = ()
            if (nginx := settings.nginx.listen) is not None:
                with listening(nginx, "listen", "nginx"):
                    for_nginx = bind(nginx, settings.server.worker_count)
            order = Order(config, text, lock, settings.limits.drain_s, settings.server.stuck_worker_s)
            workers = Workers(sockets, order, lambda: recover(services.rooms), for_nginx)
            keeping = Keeping(services.settings, workers)
            admin: web.AppRunner | None = None
            try:
                port = sockets[0][0].getsockname()[1]
                admin = await _start_probes(settings, services, lambda: workers.ready > 0, workers.pids)
                if not await workers.start():
                    raise StartError("a worker did not start; its reason is above")
                _on_hangup(lambda: keeping.read_again(config))
                _announce(_ready_line(settings, port))
                await stop.wait()
            finally:
                await workers.stop()
                if admin is not None:
                    await admin.cleanup()


async def _serve_beside(settings: Settings, sockets: Sockets, ready: int, more: Frames, config: Path) -> None:
    loop = asyncio.get_running_loop()
    stop = _stop_signals(signal.SIGTERM)
    _ignore(signal.SIGINT, signal.SIGHUP)  # a terminal sends them to all; the keeper passes on what they mean
    tls = tls_context(settings.server.tls)
    async with (
        _traces(settings),
        build_services(settings, beside=True) as services,
        _access_log(settings) as access_log,
        _loop_lag(),
    ):
        server = S3Server(services, loop, access_log)
        listeners = await _listen_publicly(server, tls, sockets.public)
        listeners += [await _listen(server.for_nginx, sock=each) for each in sockets.for_nginx]
        serving = Serving(services, server, tls, access_log)

        def told() -> None:
            data = os.read(0, 1 << 16)
            if not data:
                loop.remove_reader(0)
                stop.set()
            for text in more.feed(data):
                serving.take_up(parse_settings(text, config))

        loop.add_reader(0, told)
        os.write(ready, READY)
        Beat(loop, ready, settings.server.stuck_worker_s)
        try:
            await stop.wait()
        finally:
            for each in listeners:
                each.close()
            await server.drain(settings.limits.drain_s)


async def _listen_publicly(
    server: S3Server, tls: ssl.SSLContext | None, sockets: Sequence[socket.socket]
) -> list[asyncio.Server | TlsListener]:
    if tls is None:
        return [await _listen(server, sock=each) for each in sockets]
    return [TlsListener(server, asyncio.get_running_loop(), tls, sockets)]


async def _listen(made: Callable[[], Connection], **where: Any) -> asyncio.Server:
    return await asyncio.get_running_loop().create_server(made, backlog=_BACKLOG, **where)


def _stop_signals(*numbers: signal.Signals) -> asyncio.Event:
    stop = asyncio.Event()
    for number in numbers:
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    return stop


def _ignore(*numbers: signal.Signals) -> None:
    for number in numbers:
        signal.signal(number, signal.SIG_IGN)


def _on_hangup(act: Callable[[], None]) -> None:
    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, act)


def _ready_line(settings: Settings, port: int) -> str:
    listen = settings.server.listen
    host = f"[{listen.host}]" if ":" in listen.host else listen.host
    return f"ready: {'https' if settings.server.tls else 'http'}://{host}:{port}"


class Serving:
    """What a process serves with, which later settings may change."""

    def __init__(
        self, services: Services, server: S3Server, tls: ssl.SSLContext | None, access_log: AccessLog | None
    ) -> None:
        self._services = services
        self._server = server
        self._tls = tls
        self._access_log = access_log

    def read_again(self, config: Path) -> None:
        """Read the settings again; what is wrong with them changes nothing."""
        read = _reload(self._services.settings, config)
        if read is not None:
            self._go_on_with(read[1].settings)

    def take_up(self, new: Settings) -> None:
        self._go_on_with(reload_settings(self._services.settings, new).settings)

    def _go_on_with(self, settings: Settings) -> None:
        if self._access_log is not None:
            self._access_log.reopen()  # it may have been moved away
            self._access_log.trust(settings.server.trusted_proxies)
        if self._tls is not None and settings.server.tls is not None:
            try:
                tls_context(settings.server.tls)  # whether they can be used
                self._tls.load_cert_chain(settings.server.tls.certificate, settings.server.tls.key)
            except (TlsError, OSError) as error:
                _log.error("[server] tls: the certificate stays as it is: %s", error)
        self._services = replace(
            self._services, settings=settings, verifier=verifier_of(settings), key_rates=key_rates_of(settings)
        )
        self._server.go_on_with(self._services)


class Keeping:
    """The same for several workers: their keeper reads the file, and they are told."""

    def __init__(self, settings: Settings, workers: Workers) -> None:
        self._settings = settings
        self._workers = workers

    def read_again(self, config: Path) -> None:
        """Read the settings again and tell the workers; what is wrong with them changes nothing."""
        read = _reload(self._settings, config)
        if read is not None:
            text, reloaded = read
            self._settings = reloaded.settings
            self._workers.tell(text)


def _reload(old: Settings, config: Path) -> tuple[str, Reloaded] | None:
    """Read the file again, and tell the operator what comes of it."""
    try:
        text = read_text(config)
        reloaded = reload_settings(old, parse_settings(text, config))
    except ConfigError as error:
        _log.error("the settings were not read again, the old ones stay in force: %s", error)
        return None
    _log.info("the settings were read again; new: %s", ", ".join(reloaded.taken_up) or "none")
    if reloaded.waiting:
        _log.warning("only a new start takes up: %s", ", ".join(reloaded.waiting))
    return text, reloaded


@asynccontextmanager
async def _access_log(settings: Settings) -> AsyncIterator[AccessLog | None]:
    log = open_access_log(settings)
    try:
        yield log
    finally:
        if log is not None:
            await asyncio.to_thread(log.close)


@asynccontextmanager
async def _traces(settings: Settings) -> AsyncIterator[None]:
    """Traces, where they are wanted; raises TracesError."""
    if not settings.log.traces:
        yield
        return
    traces = open_traces()
    use_traces(traces)
    try:
        yield
    finally:
        use_traces(None)
        await asyncio.to_thread(traces.close)


@asynccontextmanager
async def _loop_lag() -> AsyncIterator[None]:
    lag = LoopLag(asyncio.get_running_loop())
    try:
        yield
    finally:
        lag.stop()


async def _start_probes(
    settings: Settings,
    services: Services,
    serves: Callable[[], bool] = lambda: True,
    workers: Callable[[], Mapping[int, int]] = dict,
) -> web.AppRunner | None:
    listen = settings.server.admin_listen
    if listen is None:
        return None
    exposition = Exposition(services.store, lambda: services.rulebook.rules.policies, workers)
    runner = web.AppRunner(probes(services.store, exposition, serves), access_log=None)
    await runner.setup()
    with listening(listen, "admin_listen"):
        await web.TCPSite(runner, listen.host, listen.port).start()
    return runner


def _announce(line: str) -> None:
    try:
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()
    except OSError:
        _log.info("%s", line)
