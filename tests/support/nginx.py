"""A real nginx in front of a gateway, with the files of deploy/nginx: only addresses and paths are another machine's."""

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.support.gateway import REPOSITORY, Gateway, GatewayError, free_port, write_certificate

FILES = REPOSITORY / "deploy" / "nginx"
START_S = 30
STOP_S = 20
S3 = ("s3.conf",)
_MAIN = """\
{user}
daemon off;
worker_processes 1;
pid nginx.pid;
error_log error.log info;
events {{ worker_connections 1024; }}
http {{
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    include anbar/http.conf;
    include anbar/http-media.conf;
    server {{
        listen 127.0.0.1:{port}{ssl};
        server_name _;
        set $anbar_project demo;
        set $anbar_host 127.0.0.1:{port};
        {certificate}
        {includes}
    }}
}}
"""


class Nginx:
    """One nginx with a worker, in the foreground, and everything it writes below `directory`.

    `sites`: the files of deploy/nginx that its server includes. `moved`: what stands in their place of which text.
    """

    def __init__(self, directory: Path, sites: Sequence[str], moved: Mapping[str, str], *, tls: bool = False) -> None:
        self.directory = directory
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        shutil.copytree(FILES, directory / "anbar")
        moved = {"/var/log/nginx/": f"{directory}/", "/var/cache/nginx/": f"{directory}/cache-", **moved}
        for file in (directory / "anbar").iterdir():
            text = file.read_text()
            for there, here in moved.items():
                text = text.replace(there, here)
            file.write_text(text)
        if tls:
            write_certificate(directory)
        (directory / "nginx.conf").write_text(
            _MAIN.format(
                user="user root;" if os.geteuid() == 0 else "",
                port=self.port,
                ssl=" ssl" if tls else "",
                certificate=f"ssl_certificate {directory}/cert.pem; ssl_certificate_key {directory}/key.pem;"
                if tls
                else "",
                includes=" ".join(f"include anbar/{site};" for site in sites),
            )
        )

    @property
    def access_log(self) -> list[str]:
        """Its lines so far."""
        log = self.directory / "anbar.log"
        return log.read_text().splitlines() if log.exists() else []

    @property
    def error_log(self) -> str:
        return (self.directory / "error.log").read_text(errors="replace")

    @property
    def pid(self) -> int:
        if self._process is None:
            raise GatewayError("nginx is not running")
        return self._process.pid

    def start(self) -> Self:
        """Start it and wait until it accepts; raises GatewayError with what it said."""
        with (self.directory / "stderr.log").open("ab") as said:
            self._process = subprocess.Popen(
                [program(), "-p", str(self.directory), "-e", "stderr", "-c", "nginx.conf"],
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
                cwd=self.directory,
            )
        end = time.monotonic() + START_S
        while time.monotonic() < end and self._process.poll() is None:
            with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=1):
                return self
            time.sleep(0.02)
        self.stop()
        raise GatewayError(f"nginx did not start:\n{(self.directory / 'stderr.log').read_text()}")

    def reload(self) -> None:
        """Have new workers take over; the old ones end what they are sending."""
        os.kill(self.pid, signal.SIGHUP)

    def stop(self) -> None:
        """End it, whatever it is sending."""
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(STOP_S)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()


class GatewayBehindNginx(Gateway):
    """A gateway that clients reach through nginx alone: host, port and certificate are nginx's."""

    hangs_up_on_refusal = True

    def __init__(self, directory: Path, *, sites: Sequence[str] = S3, tls: bool = False, **more: Any) -> None:
        """`sites` other than S3 get the second listener; what it may do, `settings` say."""
        self.nginx_port = free_port()
        settings = dict(more.pop("settings", None) or {})
        settings["server"] = {"trusted_proxies": ["127.0.0.1"], **settings.get("server", {})}
        if sites != S3:
            settings["nginx"] = {"listen": f"127.0.0.1:{self.nginx_port}", **settings.get("nginx", {})}
        super().__init__(directory, settings=settings, **more)
        front = directory / "nginx"
        front.mkdir()
        moved = {
            "127.0.0.1:9000": f"127.0.0.1:{self.own_port}",
            "127.0.0.1:9002": f"127.0.0.1:{self.nginx_port}",
            "/var/lib/anbar/objects": str(self.origin_directory),
        }
        self.nginx = Nginx(front, sites, moved, tls=tls)
        self.port = self.nginx.port
        self.tls = tls
        self.ca_file = front / "ca.pem" if tls else None

    def start(self) -> Self:
        self.start_gateway()
        self.nginx.start()
        return self

    def start_gateway(self) -> None:
        """The gateway alone, for one that was killed: nginx runs on."""
        super().start()

    def stop_gateway(self) -> None:
        """The gateway alone."""
        super().stop()

    def stop(self) -> int:
        self.nginx.stop()
        return super().stop()


def program() -> str:
    """The path of nginx, which distributions keep out of users' PATH."""
    found = shutil.which("nginx", path=os.environ.get("PATH", "") + ":/usr/sbin")
    if found is None:
        raise GatewayError("nginx is not installed")
    return found
