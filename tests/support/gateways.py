"""The gateways of a test session over each kind of origin, started when a test first asks for them."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import Any, Self

from tests.support.gateway import Gateway
from tests.support.nginx import GatewayBehindNginx
from tests.support.s3_origins import ORIGINS

DIRECTORY = "directory"
NGINX = "nginx"
"""No origin: a gateway over a directory that is reached through nginx."""
OpenGateway = Callable[..., AbstractContextManager[Gateway]]
"""Starts a gateway of a test's own, over the origin of this run; takes what Gateway takes."""


@contextmanager
def gateway_over(origin: str, directory: Path, **more: Any) -> Iterator[Gateway]:
    """A gateway over a new and empty origin: "directory", one of ORIGINS, or NGINX. `more` goes to Gateway."""
    with ExitStack() as stack:
        if origin == NGINX:
            yield stack.enter_context(GatewayBehindNginx(directory / "gateway", **more))
            return
        if origin != DIRECTORY:
            below = directory / f"below-{origin}"
            below.mkdir()
            more["origin"] = stack.enter_context(ORIGINS[origin](below))
        yield stack.enter_context(Gateway(directory / "gateway", **more))


class Gateways:
    """One gateway for each name that is asked for; all of them end with the session.

    A fixture with parameters would start its own again for every file: pytest keeps one value of it at a time.
    """

    def __init__(self, new_directory: Callable[[str], Path]) -> None:
        self._new_directory = new_directory
        self._stack = ExitStack()
        self._running: dict[str, Gateway] = {}

    def find(self, name: str, origin: str, **more: Any) -> Gateway:
        """The gateway of this name over this kind of origin, which `more` made what it is."""
        known = f"{name}-{origin}"
        if known not in self._running:
            directory = self._new_directory(known)
            self._running[known] = self._stack.enter_context(gateway_over(origin, directory, **more))
        return self._running[known]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()
