"""A small S3 endpoint for tests, strict where AWS is strict, that does wrong what it is told to.

    with ScriptedOrigin() as origin:
        origin.make_bucket("photos")
        barrier = origin.barrier("PutObject", key="a.jpg", phase="applied")
        origin.script("GetObject", key="b.jpg", do=Cut(1000, reset=True))

It runs in a thread of its own, on a loop of its own, so that synchronous tests use it while a gateway's process talks to
it. Nothing in it knows the gateway: signatures are checked by tests.support.signer. What came is in `journal`, and what no
plain S3 client sends in `unexpected`. Behaviours are in origin_faults.py, what the endpoint can do in s3_model.Switches.
"""

import asyncio
import ssl
import threading
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Self, TypeVar

import trustme

from tests.support.gateway import TLS_NAMES, free_port
from tests.support.origin_exchange import Exchange, Inside
from tests.support.origin_faults import Behaviour, Hold, Phase
from tests.support.origin_journal import Entry
from tests.support.origin_scripts import Script
from tests.support.origin_signatures import KnownKey
from tests.support.origin_wire import WatchedReader, Wire
from tests.support.s3_calls import DEFAULT_TYPE
from tests.support.s3_model import Bucket, Clock, Description, S3Model, StoredObject, Switches, Upload

STOP_TIMEOUT_S = 5.0
WAIT_TIMEOUT_S = 10.0

T = TypeVar("T")


class ScriptedOrigin:
    """The endpoint. What it holds, its port and its journal outlive a `stop`, after which connections are refused."""

    def __init__(
        self,
        *,
        tls: bool = False,
        switches: Switches | None = None,
        access_key_id: str = "AKIAORIGIN0000000001",
        secret_access_key: str = "origin/secret+key/0000000000000000000001",
        region: str = "us-east-1",
        also_allowed: Sequence[str] = (),
        port: int | None = None,
    ) -> None:
        """`also_allowed`: header names, in lower case, that are not `unexpected` either."""
        self.access_key_id, self.secret_access_key, self.region = access_key_id, secret_access_key, region
        self.host = "127.0.0.1"
        self.port = free_port() if port is None else port
        self.tls = tls
        self.switches = switches or Switches()
        self._clock = Clock()
        model = S3Model(self.switches, self._clock)
        keys = {access_key_id: KnownKey(secret_access_key)}
        self._inside = Inside(model, self._clock, region, tls, keys, frozenset(also_allowed))
        self._authority = trustme.CA()
        self._context: ssl.SSLContext | None = None
        if tls:
            self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self._authority.issue_cert(*TLS_NAMES).configure_cert(self._context)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._server: asyncio.Server | None = None
        self._running: dict[asyncio.Task[None], Exchange] = {}
        self._bugs: list[BaseException] = []
        self._connections = 0

    # Running

    @property
    def endpoint(self) -> str:
        """The address, without a slash at its end."""
        return f"{'https' if self.tls else 'http'}://{self.host}:{self.port}"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        assert self._thread is None, "the origin runs already"
        self._inside.stopping = False
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="scripted origin", daemon=True)
        self._thread.start()
        try:
            self._call(self._listen())
        except BaseException:
            self._end_loop()
            raise

    def stop(self) -> None:
        """End every connection: a request that is held comes to nothing. Scripts and barriers are forgotten.

        Raises AssertionError for an exchange that hangs, and for what went wrong in the origin itself.
        """
        if self._thread is None:
            return
        self._inside.stopping = True
        try:
            left = self._call(self._end())
        finally:
            self._end_loop()
        assert not left, f"these exchanges hang: {left}"
        assert not self._bugs, f"the origin itself failed: {self._bugs!r}"

    @property
    def ca_pem(self) -> bytes:
        """The certificate of the authority that clients trust."""
        return self._authority.cert_pem.bytes()

    def write_ca(self, path: Path) -> Path:
        path.write_bytes(self.ca_pem)
        return path

    def change_certificate(self, *, trusted: bool = True, not_after: datetime | None = None) -> None:
        """Another certificate for new connections: of an authority that nobody trusts, or one that has expired."""
        assert self._context is not None, "the origin has no TLS"
        authority = self._authority if trusted else trustme.CA()
        not_before = None if not_after is None else not_after - timedelta(days=30)
        issued = authority.issue_cert(*TLS_NAMES, not_before=not_before, not_after=not_after)
        issued.configure_cert(self._context)

    # Keys and clock

    def add_key(self, access_key_id: str, secret_access_key: str, session_token: str | None = None) -> None:
        self._inside.keys[access_key_id] = KnownKey(secret_access_key, session_token)

    def revoke_key(self, access_key_id: str) -> None:
        """From now on it is an InvalidAccessKeyId."""
        del self._inside.keys[access_key_id]

    @property
    def clock_shift(self) -> timedelta:
        """How far the origin's clock is ahead of the machine's; may be set."""
        return self._clock.shift

    @clock_shift.setter
    def clock_shift(self, shift: timedelta) -> None:
        self._clock.shift = shift

    # What it holds

    def make_bucket(self, name: str) -> None:
        with self._inside.model.lock:
            self._inside.model.buckets.setdefault(name, Bucket())

    def objects(self, bucket: str) -> Mapping[str, StoredObject]:
        """All objects at this moment, by key."""
        with self._inside.model.lock:
            return dict(self._inside.model.bucket(bucket).objects)

    def uploads(self, bucket: str) -> Mapping[str, Upload]:
        """The multipart uploads under way, by upload id."""
        with self._inside.model.lock:
            return dict(self._inside.model.bucket(bucket).uploads)

    def put_behind(
        self,
        bucket: str,
        key: str,
        body: bytes,
        *,
        headers: Mapping[str, str] | None = None,
        metadata: Mapping[str, str] | None = None,
        tags: Mapping[str, str] | None = None,
        etag: str | None = None,
        modified: datetime | None = None,
    ) -> StoredObject:
        """Write an object as another client would, past the gateway. `etag` with quotes, header names in lower case."""
        about = Description({"content-type": DEFAULT_TYPE, **(headers or {})}, metadata or {}, tags or {})
        with self._inside.model.lock:
            made = self._inside.model.put(bucket, key, body, about)
            etag, modified = etag or made.etag, modified or made.modified
            made = StoredObject(body, etag, modified, made.headers, made.metadata, made.tags)
            self._inside.model.buckets[bucket].objects[key] = made
        return made

    def begin_upload_behind(self, bucket: str, key: str, *, ago: timedelta = timedelta()) -> str:
        """Begin a multipart upload as another client would, some time ago; gives its id."""
        with self._inside.model.lock:
            upload = self._inside.model.create_upload(bucket, key, Description({"content-type": DEFAULT_TYPE}, {}, {}))
            upload.initiated -= ago
        return upload.upload_id

    def abort_behind(self, bucket: str, upload_id: str) -> None:
        """Raises KeyError for what is not there."""
        with self._inside.model.lock:
            del self._inside.model.buckets[bucket].uploads[upload_id]

    def remove_behind(self, bucket: str, key: str) -> None:
        """Raises KeyError for what is not there."""
        with self._inside.model.lock:
            del self._inside.model.buckets[bucket].objects[key]

    # What came

    @property
    def journal(self) -> list[Entry]:
        """Every request in the order of arrival."""
        with self._inside.journal.changed:
            return list(self._inside.journal.entries)

    @property
    def unexpected(self) -> list[str]:
        """What no plain S3 client would have sent, in words; the list itself, to be cleared."""
        return self._inside.journal.unexpected

    def requests(
        self, operation: str | None = None, *, key: str | None = None, bucket: str | None = None
    ) -> list[Entry]:
        fits = Script((), operation=operation, bucket=bucket, key=key).fits
        return [entry for entry in self.journal if fits(entry)]

    def clear_journal(self) -> None:
        """Numbers go on; `unexpected` stays."""
        with self._inside.journal.changed:
            self._inside.journal.entries.clear()

    def wait_until(self, holds: Callable[[], bool], timeout_s: float = WAIT_TIMEOUT_S) -> bool:
        """Whether a condition on the journal came to hold; asked again at every change of it."""
        return self._inside.journal.wait_until(holds, timeout_s)

    def wait_for(
        self,
        operation: str | None = None,
        *,
        key: str | None = None,
        bucket: str | None = None,
        count: int = 1,
        timeout_s: float = WAIT_TIMEOUT_S,
    ) -> list[Entry]:
        """The requests that fit, when the origin has done with at least `count`; raises AssertionError at the deadline."""

        def ended() -> list[Entry]:
            return [entry for entry in self.requests(operation, key=key, bucket=bucket) if entry.ended]

        assert self.wait_until(lambda: len(ended()) >= count, timeout_s), f"{ended()} of {count} {operation} {key}"
        return ended()

    @property
    def open_connections(self) -> int:
        """Those that neither side has closed."""
        return self._call(self._count_open()) if self._loop is not None else 0

    def close_idle(self, *, reset: bool = False) -> int:
        """Close the connections on which no request is under way; how many there were."""
        return self._call(self._close_idle(reset))

    # What goes wrong

    def script(
        self,
        operation: str | None = None,
        *,
        do: Behaviour | Sequence[Behaviour],
        key: str | None = None,
        bucket: str | None = None,
        times: int | None = 1,
        when: Callable[[Entry], bool] | None = None,
    ) -> Script:
        """Do this to the next `times` requests that fit (None: to all). The oldest script that fits takes a request."""
        behaviours = (do,) if not isinstance(do, Sequence) else do
        made = Script(behaviours, operation=operation, bucket=bucket, key=key, when=when, times=times)
        return self._inside.scripts.arm(made)

    def barrier(
        self,
        operation: str | None = None,
        *,
        phase: Phase | int = "head",
        key: str | None = None,
        bucket: str | None = None,
        times: int | None = 1,
        when: Callable[[Entry], bool] | None = None,
    ) -> Script:
        """Hold the next `times` requests that fit in this phase until `release`, besides what a script does to them."""
        made = Script((Hold(phase),), operation=operation, bucket=bucket, key=key, when=when, times=times)
        return self._inside.scripts.bar(phase, made)

    def release(self) -> None:
        """Let all requests go on that wait anywhere."""
        self._inside.scripts.release()

    def heal(self) -> None:
        """Forget all scripts and barriers, and let all requests go on."""
        self._inside.scripts.heal()

    # In the origin's own thread

    async def _listen(self) -> None:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(self._protocol, self.host, self.port, ssl=self._context)

    def _protocol(self) -> asyncio.StreamReaderProtocol:
        reader = WatchedReader()

        def connected(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            self._connections += 1
            exchange = Exchange(self._inside, Wire(reader, writer), self._connections)
            task = asyncio.get_running_loop().create_task(exchange.serve())
            self._running[task] = exchange
            task.add_done_callback(self._ended)

        return asyncio.StreamReaderProtocol(reader, connected)

    def _ended(self, task: asyncio.Task[None]) -> None:
        exchange = self._running.pop(task)
        if not task.cancelled() and (bug := task.exception()) is not None:
            self._bugs.append(bug)
            exchange.wire.writer.transport.abort()

    async def _count_open(self) -> int:
        return sum(exchange.wire.open for exchange in self._running.values())

    async def _close_idle(self, reset: bool) -> int:
        idle = [exchange for exchange in self._running.values() if exchange.idle and exchange.wire.open]
        for exchange in idle:
            await (exchange.wire.reset() if reset else _close(exchange.wire))
        return len(idle)

    async def _end(self) -> list[str]:
        """End all connections; what hangs is cancelled and named."""
        assert self._server is not None
        self._server.close()
        loop = asyncio.get_running_loop()
        deadline = loop.time() + STOP_TIMEOUT_S
        await asyncio.sleep(0)  # what was accepted in this round has its task in the next
        while self._running and loop.time() < deadline:
            for exchange in self._running.values():
                exchange.wire.writer.transport.abort()
            self.heal()
            await asyncio.wait(self._running, timeout=STOP_TIMEOUT_S)
        self.heal()
        left = dict(self._running)
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)
        await asyncio.sleep(0)  # transports are closed in the loop's next round
        return [repr(exchange.entry) for exchange in left.values()]

    def _call(self, coroutine: Awaitable[T]) -> T:
        assert self._loop is not None, "the origin does not run"
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(2 * STOP_TIMEOUT_S)  # type: ignore[arg-type]

    def _end_loop(self) -> None:
        assert self._loop is not None
        assert self._thread is not None
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(STOP_TIMEOUT_S)
        assert not self._thread.is_alive(), "the origin's thread hangs"
        self._loop.close()
        self._loop = self._thread = self._server = None


async def _close(wire: Wire) -> None:
    wire.writer.close()
