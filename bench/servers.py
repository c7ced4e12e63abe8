"""The two servers, nginx and the gateway as a client of the command line would start it; and what they forward to."""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from bench import machine

REPOSITORY = Path(__file__).parent.parent

_NGINX = """\
{user}
daemon off;
worker_processes 1;
pid {root}/nginx.pid;
error_log stderr error;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    sendfile on;
    tcp_nopush on;
    keepalive_timeout 75s;
    keepalive_requests 100000000;
    default_type application/octet-stream;
    client_body_temp_path {root}/body;
    proxy_temp_path {root}/proxy;
    fastcgi_temp_path {root}/fastcgi;
    uwsgi_temp_path {root}/uwsgi;
    scgi_temp_path {root}/scgi;
    {server}
}}
"""
_STATIC = "server {{ listen 127.0.0.1:{port}; root {root}/files; }}"
_PROXY = """\
    upstream s3 {{ server 127.0.0.1:{upstream}; keepalive 64; keepalive_requests 100000000; }}
    server {{
        listen 127.0.0.1:{port};
        tcp_nopush off;
        client_max_body_size 0;
        location / {{
            proxy_pass http://s3;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_request_buffering off;
        }}
    }}
"""

_PRIVATE = """\
    include anbar/http.conf;
    include anbar/http-media.conf;
    server {{
        listen 127.0.0.1:{port};
        include anbar/private-media.conf;
    }}
"""

_GATEWAY = """\
[server]
listen = "127.0.0.1:0"
admin_listen = "127.0.0.1:0"
[store]
path = "var/anbar.sqlite"
[secrets]
key_ring = "var/key_ring"
[policies]
path = "policies"
[origins.local]
"""
_DIRECTORY = """\
kind = "directory"
path = "var/objects"
"""
_NGINX_SECTION = """\
[nginx]
listen = "127.0.0.1:{port}"
offload = ["local"]
authorisation_s = {authorisation_s}
"""
_S3 = """\
kind = "s3"
provider = "minio"
endpoint = "http://127.0.0.1:{upstream}"
allow_http = true
access_key_id = {{ file = "origin-key" }}
secret_access_key = {{ file = "origin-secret" }}
"""

_CACHE = """\
[cache]
path = "{cache}"
memory_bytes = "32MiB"
"""
_POLICY = """\
project = "bench"
[categories.media]
origin = "local"
cache = true
[principals.ops]
role = "admin"
"""

BUCKET = "bench-media"


class NotReady(Exception):
    """A server did not start; the text is what it said."""


class Upstream:
    """An S3 endpoint on the load's core, which answers whatever it is asked."""

    def __init__(self, root: Path) -> None:
        root.mkdir(parents=True)
        command = [sys.executable, "-m", "bench.upstream"]
        self._process = machine.start(command, cwd=REPOSITORY, log=root / "log", core=machine.LOAD_CORE)
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            machine.stop(self._process)
            raise NotReady((root / "log").read_text())
        self.port = int(line)

    def close(self) -> None:
        machine.stop(self._process)


class Nginx:
    """nginx on one core: serving the files of `root`/files, forwarding to an upstream, or in front of a gateway."""

    def __init__(self, root: Path, upstream: Upstream | None = None, behind: "Gateway | None" = None) -> None:
        self.files = root / "files"
        self.files.mkdir(parents=True)
        self.files.chmod(0o755)
        self.address = ("127.0.0.1", _free_port())
        user = "user root;" if os.geteuid() == 0 else ""
        config = root / "nginx.conf"
        port = self.address[1]
        server = _STATIC.format(root=root, port=port)
        if upstream is not None:
            server = _PROXY.format(port=port, upstream=upstream.port)
        if behind is not None:
            server = _PRIVATE.format(port=port)
            _copy_shipped_files(root, behind)
        config.write_text(_NGINX.format(user=user, root=root, server=server))
        program = shutil.which("nginx", path=os.environ.get("PATH", "") + ":/usr/sbin")
        if program is None:
            raise NotReady("nginx is not installed")
        self._process = machine.start([program, "-p", root, "-e", "stderr", "-c", config], cwd=root, log=root / "log")
        self.pid = self._process.pid
        _wait_for(self.address, self._process, root / "log")

    def close(self) -> None:
        machine.stop(self._process)


@dataclass(frozen=True, slots=True)
class AccessKey:
    """What `keys create --json` prints."""

    access_key_id: str
    secret_access_key: str


class Gateway:
    """An installation in `root`, with one project, one bucket and one key; bodies are in files, or at an upstream."""

    def __init__(
        self,
        root: Path,
        upstream: Upstream | None = None,
        *,
        cache: Path | None = None,
        authorisation_s: int | None = None,
    ) -> None:
        """`cache`: where it keeps what it has read; None: it keeps nothing.

        `authorisation_s`: listen for nginx as well, which may keep authorisations for so long.
        """
        self.root = root
        self.nginx_port = _free_port()
        self.store = root / "var" / "anbar.sqlite"
        self.objects = root / "var" / "objects"
        self._config = root / "gateway.toml"
        self._process: subprocess.Popen[bytes] | None = None
        (root / "policies").mkdir(parents=True)
        origin = _S3.format(upstream=upstream.port) if upstream else _DIRECTORY
        nginx = (
            ""
            if authorisation_s is None
            else _NGINX_SECTION.format(port=self.nginx_port, authorisation_s=authorisation_s)
        )
        self._config.write_text(_GATEWAY + origin + (_CACHE.format(cache=cache) if cache else "") + nginx)
        for name in ("origin-key", "origin-secret"):
            (root / name).write_text(name)
            (root / name).chmod(0o600)
        (root / "policies" / "bench.toml").write_text(
            _POLICY.replace("cache = true\n", "" if cache is None else "cache = true\n")
        )
        self._anbar("init", "--dir", root)
        created = self._anbar("keys", "create", "--project", "bench", "--principal", "ops", "--json", config=True)
        self.key = AccessKey(**json.loads(created))

    def start(self) -> None:
        """Serve on one core; raises NotReady."""
        self._process = machine.start(
            self._command("serve", config=True),
            cwd=REPOSITORY,
            log=self.root / "log",
        )
        assert self._process.stdout is not None
        line = self._process.stdout.readline().decode()
        if not line.startswith("ready: http://"):
            machine.stop(self._process)
            raise NotReady(line + (self.root / "log").read_text()[-4000:])
        host, _, port = line.removeprefix("ready: http://").strip().rpartition(":")
        self.address = (host, int(port))
        self.pid = self._process.pid

    def close(self) -> None:
        if self._process is not None:
            machine.stop(self._process)
            self._process = None

    def _command(self, *arguments: str | Path, config: bool) -> list[str | Path]:
        tail: list[str | Path] = ["--config", self._config] if config else []
        return [sys.executable, "-m", "gateway", *arguments, *tail]

    def _anbar(self, *arguments: str | Path, config: bool = False) -> str:
        command = self._command(*arguments, config=config)
        done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
        if done.returncode:
            raise NotReady(f"{' '.join(map(str, command))}\n{done.stdout}{done.stderr}")
        return done.stdout


def _copy_shipped_files(root: Path, gateway: Gateway) -> None:
    """The files of deploy/nginx with the addresses of this run; they write no log, as the other nginx does not."""
    shutil.copytree(REPOSITORY / "deploy" / "nginx", root / "anbar")
    moved = {
        "127.0.0.1:9000": "{}:{}".format(*gateway.address),
        "127.0.0.1:9002": f"127.0.0.1:{gateway.nginx_port}",
        "/var/lib/anbar/objects": str(gateway.objects),
        "/var/cache/nginx/": f"{root}/cache-",
        "access_log /var/log/nginx/anbar.log anbar;": "access_log off;",
        "/var/log/nginx/anbar-error.log": "stderr",
    }
    for file in (root / "anbar").iterdir():
        text = file.read_text()
        for there, here in moved.items():
            text = text.replace(there, here)
        file.write_text(text)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


def _wait_for(address: tuple[str, int], process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline and process.poll() is None:
        with suppress(OSError), socket.create_connection(address, timeout=1):
            return
        time.sleep(0.02)
    raise NotReady(log.read_text())
