"""A gateway under test: the real program, as a process of its own, in a directory of its own.

Every test that speaks to it sees what a user sees: `python -m gateway serve` reads a gateway.toml and a policies
folder, says `ready: http://…` on its standard output, and answers on a TCP port.
"""

import json
import os
import random
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import IO, Self

import trustme

from gateway.store.key_ring import KeyRing
from tests.support.s3_endpoint import S3Endpoint, origin_buckets

REPOSITORY = Path(__file__).resolve().parents[2]
START_TIMEOUT_S = 30
STOP_TIMEOUT_S = 20
COMMAND_TIMEOUT_S = 60
LISTENING_PORTS = range(20_000, 32_000)
TLS_NAMES = ("localhost", "*.localhost", "s3.localhost", "*.s3.localhost", "127.0.0.1")

DEMO_POLICY = """\
project = "demo"

[categories.media]
bucket = "demo-media"
origin = "local"

[categories.voice]

[principals.ops]
role = "admin"

[[cors]]
allowed_origins = ["https://app.example"]
allowed_methods = ["GET", "PUT", "POST", "HEAD", "DELETE"]
allowed_headers = ["*"]
expose_headers = ["ETag", "Location"]
max_age_s = 3600
"""
OTHER_POLICY = """\
project = "other"

[categories.media]
bucket = "other-media"
origin = "local"

[principals.ops]
role = "admin"
"""

Settings = Mapping[str, Mapping[str, object]]
"""Sections of gateway.toml and their keys, laid over the default ones: {"server": {"sigv2": False}}. None: left out."""


class GatewayError(Exception):
    """The gateway did not start, or a command of it failed; the text has what it wrote to standard error."""


class Gateway:
    """One gateway process with the projects `demo` and `other`, each with one admin, `ops`, and one access key.

    `access_key_id` and `secret_access_key` are of demo's ops, `other_access_key_id` and `other_secret_access_key` of
    other's. Buckets at the start: demo-media, demo-voice, other-media. The port stays the same over restarts; `own_port`
    is the process's own, also where clients reach it through something else.
    """

    hangs_up_on_refusal = False
    """Does what clients reach close after a refusal that came before the whole body, without announcing it?"""

    def __init__(
        self,
        directory: Path,
        *,
        tls: bool = False,
        origin: S3Endpoint | None = None,
        settings: Settings | None = None,
        policies: Mapping[str, str] | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """Write the files of a new gateway into `directory`; `start` runs it.

        `origin`: where the bodies go that the origin `local` keeps, instead of into a directory; no other gateway's go
        there. The buckets that the policies name are made there.
        """
        self.directory = directory
        self.tls = tls
        self.config = directory / "gateway.toml"
        self.stderr_file = directory / "stderr.log"
        self.ca_file: Path | None = directory / "ca.pem" if tls else None
        self.host = "127.0.0.1"
        self.port = self.own_port = free_port()
        self.admin_port = free_port()
        self.access_key_id = self.secret_access_key = ""
        self.other_access_key_id = self.other_secret_access_key = ""
        self.process: subprocess.Popen[str] | None = None
        self.output: list[str] = []  # lines of the last run's standard output, complete once it has ended
        self._own_endpoint = self.endpoint
        self._origin = origin
        self._settings = settings or {}
        self._environment = dict(environment or {})
        self._drain: threading.Thread | None = None
        self._write_files({"demo": DEMO_POLICY, "other": OTHER_POLICY} if policies is None else policies)

    @property
    def endpoint(self) -> str:
        """The address that a client is given, without a slash at its end."""
        return f"{'https' if self.tls else 'http'}://{self.host}:{self.port}"

    @property
    def admin_endpoint(self) -> str:
        """The second listener, with health and metrics."""
        return f"http://127.0.0.1:{self.admin_port}"

    @property
    def origin_directory(self) -> Path:
        """Where the directory origin `local` keeps the bodies."""
        return self.directory / "var" / "objects"

    @property
    def store_file(self) -> Path:
        """The SQLite file of the store."""
        return self.directory / "var" / "anbar.sqlite"

    @property
    def key_ring_file(self) -> Path:
        """The keys that seal secrets and session tokens."""
        return self.directory / "var" / "key_ring"

    @property
    def pid(self) -> int:
        """The process id of the running gateway."""
        if self.process is None:
            raise GatewayError("the gateway is not running")
        return self.process.pid

    def start(self) -> Self:
        """Start the process, wait until it accepts requests, and make the access keys if there are none yet.

        Raises GatewayError when it ends or stays silent instead.
        """
        with self.stderr_file.open("ab") as stderr:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "gateway", "serve", "--config", str(self.config)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=stderr,
                text=True,
                cwd=self.directory,
                env=self.environment,
                start_new_session=True,
            )
        address = self._wait_until_ready(self.process)
        if address != self._own_endpoint:
            self.kill()
            raise GatewayError(f"ready at {address}, not at {self._own_endpoint}")
        if not self.access_key_id:
            self.access_key_id, self.secret_access_key = self.create_key("demo")
            self.other_access_key_id, self.other_secret_access_key = self.create_key("other")
        return self

    def create_key(self, project: str, principal: str = "ops") -> tuple[str, str]:
        """Make an access key by the command line: (access key id, secret access key)."""
        made = json.loads(self.command("keys", "create", "--project", project, "--principal", principal, "--json"))
        return made["access_key_id"], made["secret_access_key"]

    def command(self, *arguments: str) -> str:
        """Run another command of the program on the same files; its standard output. Raises GatewayError."""
        done = subprocess.run(
            [sys.executable, "-m", "gateway", *arguments, "--config", str(self.config)],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            cwd=self.directory,
            env=self.environment,
            timeout=COMMAND_TIMEOUT_S,
            check=False,
        )
        if done.returncode != 0:
            raise GatewayError(f"{' '.join(arguments)} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
        return done.stdout

    def stop(self) -> int:
        """Ask the process to end by SIGTERM, insist by SIGKILL after a while; its exit code."""
        if self.process is None:
            return 0
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            return self.kill()
        return self._reap()

    def kill(self) -> int:
        """End the process and what it may have started by SIGKILL, as a power cut would; its exit code."""
        if self.process is None:
            return 0
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
        return self._reap()

    def restart(self) -> Self:
        """Stop and start again on the same port with the same files and keys."""
        self.stop()
        return self.start()

    def stderr(self) -> str:
        """What all runs of this gateway wrote to standard error."""
        return self.stderr_file.read_text(errors="replace") if self.stderr_file.exists() else ""

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def environment(self) -> dict[str, str]:
        """The environment of the process: this one's, with the repository on the module path."""
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "ANBAR_"))}
        return inherited | {"PYTHONPATH": str(REPOSITORY), "PYTHONUNBUFFERED": "1"} | self._environment

    def _wait_until_ready(self, process: subprocess.Popen[str]) -> str:
        lines = self.output = []
        ready = threading.Event()
        assert process.stdout is not None
        self._drain = threading.Thread(target=_read_lines, args=(process.stdout, lines, ready), daemon=True)
        self._drain.start()
        ready.wait(START_TIMEOUT_S)
        for line in lines:
            if line.startswith("ready: http"):
                return line.removeprefix("ready: ").strip()
        code = self.kill()
        raise GatewayError(f"no ready line; exit code {code}\n--- stdout\n{''.join(lines)}--- stderr\n{self.stderr()}")

    def _reap(self) -> int:
        process, self.process = self.process, None
        assert process is not None
        code = process.wait(STOP_TIMEOUT_S)
        if self._drain is not None:
            self._drain.join(STOP_TIMEOUT_S)
        if process.stdout is not None:
            process.stdout.close()
        return code

    def _write_files(self, policies: Mapping[str, str]) -> None:
        (self.directory / "var").mkdir(parents=True)
        (self.directory / "policies").mkdir()
        for project, text in policies.items():
            (self.directory / "policies" / f"{project}.toml").write_text(text)
        if self._origin is not None:
            self._origin.make_buckets(origin_buckets(policies.values()))
        KeyRing.create(self.key_ring_file)
        if self.tls:
            write_certificate(self.directory)
        self._write_config()

    def _write_config(self) -> None:
        sections: dict[str, dict[str, object]] = {
            "server": {
                "listen": f"127.0.0.1:{self.own_port}",
                "admin_listen": f"127.0.0.1:{self.admin_port}",
                "domains": ["s3.localhost", "localhost"],
            },
            "store": {"path": "var/anbar.sqlite"},
            "secrets": {"key_ring": "var/key_ring"},
            "origins.local": self._origin_section(),
            "policies": {"path": "policies"},
            "limits": {},
        }
        if self.tls:
            sections["server"]["tls"] = {"certificate": "cert.pem", "key": "key.pem"}
        for section, values in self._settings.items():
            sections.setdefault(section, {}).update(values)
        self.config.write_text("\n".join(_render_section(name, values) for name, values in sections.items()))

    def _origin_section(self) -> dict[str, object]:
        if self._origin is None:
            return {"kind": "directory", "path": "var/objects"}
        return self._origin.settings(self.directory)


_given: set[int] = set()


def free_port() -> int:
    """A TCP port of the loopback address that nobody listens on now, and that was not given before.

    It is none of those that Linux gives to outgoing connections, so no client takes it while a gateway is down.
    """
    for port in random.SystemRandom().sample(LISTENING_PORTS, 100):
        if port in _given:
            continue
        with socket.socket() as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                listener.bind(("127.0.0.1", port))
            except OSError:
                continue
            _given.add(port)
            return port
    raise GatewayError("no free port")


def write_certificate(directory: Path) -> None:
    """A certificate for the loopback names by an authority of its own: cert.pem, key.pem and ca.pem."""
    authority = trustme.CA()
    certificate = authority.issue_cert(*TLS_NAMES)
    authority.cert_pem.write_to_path(str(directory / "ca.pem"))
    certificate.private_key_pem.write_to_path(str(directory / "key.pem"))
    (directory / "key.pem").chmod(0o600)
    for part in certificate.cert_chain_pems:
        part.write_to_path(str(directory / "cert.pem"), append=True)


def _read_lines(stream: IO[str], lines: list[str], ready: threading.Event) -> None:
    """Keep reading, so that the process never waits for its output to be taken; `ready` also at the end."""
    for line in stream:
        lines.append(line)
        if line.startswith("ready: http"):
            ready.set()
    ready.set()


def _render_section(name: str, values: Mapping[str, object]) -> str:
    kept = {key: value for key, value in values.items() if value is not None}
    return "".join([f"[{name}]\n", *(f"{key} = {_render_value(value)}\n" for key, value in kept.items())])


def _render_value(value: object) -> str:
    """A TOML value; JSON's texts, numbers, truths and lists of them are also TOML's."""
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{key} = {_render_value(item)}" for key, item in value.items()) + " }"
    return json.dumps(value)
