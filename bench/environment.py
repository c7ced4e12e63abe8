"""What the cases share: the servers, started when the first case wants them, and the objects in them."""

import os
import sqlite3
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Self

from bench import load, machine
from bench.load import Load
from bench.servers import BUCKET, Gateway, Nginx, Upstream
from bench.signing import Signer

FOLDERS = 10_000
KEYS_PER_FOLDER = 100
"""Together the 1,000,000 keys of the catalog that is listed."""

_MEMORY = Path("/dev/shm")


class Environment:
    """One run of the harness; a context manager that stops what it started and removes what it wrote."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._stack = ExitStack()
        self._fronted: dict[int, tuple[Nginx, Gateway]] = {}
        self._root = self._temporary(None)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    @cached_property
    def nginx(self) -> Nginx:
        """nginx without files."""
        server = Nginx(self._root / "nginx")
        self._stack.callback(server.close)
        return server

    @cached_property
    def gateway(self) -> Gateway:
        """A gateway without objects."""
        return self._started(Gateway(self._root / "gateway"))

    @cached_property
    def in_memory(self) -> Gateway:
        """A gateway without objects whose files are in memory, where the system has such a file system."""
        return self._started(Gateway(self._in_memory() / "gateway"))

    @cached_property
    def upstream(self) -> Upstream:
        """What the next two forward to."""
        server = Upstream(self._root / "upstream")
        self._stack.callback(server.close)
        return server

    @cached_property
    def proxy(self) -> Nginx:
        """nginx that forwards; what it buffers in files is in memory, too."""
        server = Nginx(self._in_memory() / "proxy", self.upstream)
        self._stack.callback(server.close)
        return server

    @cached_property
    def forwarder(self) -> Gateway:
        """A gateway that forwards, with its store in memory."""
        return self._started(Gateway(self._in_memory() / "forwarder", self.upstream))

    def fronted(self, authorisation_s: int) -> tuple[Nginx, Gateway]:
        """A gateway and the nginx in front of it that sends its files, and keeps authorisations for so long."""
        found = self._fronted.get(authorisation_s)
        if found is None:
            gateway = self._started(Gateway(self._root / f"behind-{authorisation_s}", authorisation_s=authorisation_s))
            nginx = Nginx(self._root / f"front-{authorisation_s}", behind=gateway)
            self._stack.callback(nginx.close)
            found = self._fronted[authorisation_s] = (nginx, gateway)
        return found

    @cached_property
    def keeper(self) -> Gateway:
        """The same, which keeps what it has read, on disk and in memory."""
        return self._started(Gateway(self._in_memory() / "keeper", self.upstream, cache=self._root / "cache"))

    @cached_property
    def signer(self) -> Signer:
        return Signer(self.gateway.address, self.gateway.key)

    @cached_property
    def large(self) -> Gateway:
        """A gateway whose catalog has a million keys. Their bodies are not there: only lists are asked for."""
        gateway = Gateway(self._root / "large")
        gateway.start()  # makes the schema and the bucket
        gateway.close()
        _fill_catalog(gateway.store)
        return self._started(gateway)

    @cached_property
    def large_signer(self) -> Signer:
        return Signer(self.large.address, self.large.key)

    def store_twice(self, name: str, size: int) -> None:
        """Give both servers the same object."""
        body = os.urandom(size)
        path = self.nginx.files / name
        path.write_bytes(body)
        path.chmod(0o644)
        put = [self.signer.signed("PUT", f"/{BUCKET}/{name}", body)]
        load.run(self.gateway.address, put, pid=self.gateway.pid, seconds=0, connections=1)

    def load_nginx(self, requests: list[bytes]) -> Load:
        return load.run(self.nginx.address, requests, pid=self.nginx.pid, seconds=self.seconds)

    def load_gateway(self, requests: list[bytes], *, head_only: bool = False) -> Load:
        gateway = self.gateway
        return load.run(gateway.address, requests, pid=gateway.pid, seconds=self.seconds, head_only=head_only)

    def _in_memory(self) -> Path:
        return self._temporary(_MEMORY if _MEMORY.is_dir() else None)

    def _temporary(self, parent: Path | None) -> Path:
        root = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="anbar-bench-", dir=parent)))
        root.chmod(0o755)  # nginx's worker may be another user
        return root

    @staticmethod
    def on_server_core(command: Sequence[str | Path]) -> list[str | Path]:
        """A command as it must be started to be measured beside the servers."""
        return ["taskset", "-c", str(machine.SERVER_CORE), *command]

    def _started(self, gateway: Gateway) -> Gateway:
        gateway.start()
        self._stack.callback(gateway.close)
        return gateway


def key_of(folder: int, number: int = 0) -> str:
    """A key of the listed catalog; they are in the order of their numbers."""
    return f"folder-{folder:05d}/photo-{number:03d}.jpg"


def _fill_catalog(store: Path) -> None:
    """Write the rows of a million objects as the store itself would have, but all at once."""
    connection = sqlite3.connect(store, isolation_level=None)
    connection.execute("PRAGMA synchronous = OFF")
    connection.execute("PRAGMA cache_size = -262144")
    connection.execute("BEGIN IMMEDIATE")
    connection.executemany(
        "INSERT INTO objects (bucket, key, version_id, uploader, size, etag, modified_s, origin, location, part_count, "
        "headers, metadata, tags) VALUES (?, ?, 'null', 'ops', 1000, ?, ?, 'local', ?, 0, ?, '{}', '{}')",
        _rows(),
    )
    count = FOLDERS * KEYS_PER_FOLDER
    connection.executemany(
        "INSERT OR REPLACE INTO usage (project, category, uploader, bytes, objects) VALUES ('bench', ?, ?, ?, ?)",
        [
            (category, uploader, count * 1000, count)
            for category, uploader in (("", ""), ("media", ""), ("media", "ops"))
        ],
    )
    connection.execute("COMMIT")
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()


def _rows() -> Iterator[tuple[object, ...]]:
    now_s = int(time.time())
    for folder in range(FOLDERS):
        for number in range(KEYS_PER_FOLDER):
            key = key_of(folder, number)
            etag = f'"{folder * KEYS_PER_FOLDER + number:032x}"'
            yield BUCKET, key, etag, now_s, f"{BUCKET}/{key}@{folder:08x}{number:08x}", '{"content-type":"image/jpeg"}'
