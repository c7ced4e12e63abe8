"""anbar worker: one of several serving processes; `anbar serve` starts it, and nobody else."""

import os
import socket
from pathlib import Path
from typing import Annotated

import typer

from gateway.cli.installation import Refused

_PIECE = 1 << 16


def worker(
    config: Annotated[Path, typer.Option("--config")],
    sockets: Annotated[str, typer.Option("--sockets")],
    ready: Annotated[int, typer.Option("--ready")],
    number: Annotated[int, typer.Option("--number")],
    nginx_sockets: Annotated[str, typer.Option("--nginx-sockets")] = "",
) -> None:
    """Serve on sockets that are open already, with the settings that come on standard input."""
    from gateway.config import parse_settings
    from gateway.reload import reload_settings
    from gateway.serving import Sockets, serve_beside
    from gateway.startup import StartError
    from gateway.workers import Frames

    frames = Frames()
    texts: list[str] = []
    while not texts:
        data = os.read(0, _PIECE)
        if not data:
            raise Refused(f"worker {number}: its keeper is gone")
        texts = frames.feed(data)
    opened = Sockets(_open(sockets), _open(nginx_sockets))
    try:
        settings, *later = [parse_settings(text, config) for text in texts]
        for each in later:
            settings = reload_settings(settings, each).settings
        serve_beside(settings, opened, ready, frames, config)
    except StartError as error:
        raise Refused(f"worker {number}: {error}") from error


def _open(fds: str) -> list[socket.socket]:
    return [socket.socket(fileno=int(fd)) for fd in filter(None, fds.split(","))]
