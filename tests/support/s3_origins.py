"""S3 endpoints for a gateway to have as its origin: moto, SeaweedFS, and a second Anbar.

    anbar       this gateway over a directory; it verifies signatures and refuses what it does not know
    seaweedfs   a storage that people run in earnest, with ways of its own; it verifies signatures
    moto        a simulation of AWS with most of its answers; it believes every signature

Each is a process of its own with nothing in it, and belongs to one gateway: two would write under the same keys.
"""

import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path

from botocore.exceptions import BotoCoreError, ClientError

from tests.support import s3_servers
from tests.support.gateway import Gateway, GatewayError
from tests.support.s3_endpoint import S3Endpoint

_USABLE_S = 30
_ALL_OF_S3 = {
    "conditional_writes": True,
    "batch_delete": True,
    "copy_object": True,
    "upload_part_copy": True,
    "tagging": True,
    "md5_etags": True,
    "multipart_etags": True,
    "list_url_encoding": True,
}


@contextmanager
def anbar(directory: Path) -> Iterator[S3Endpoint]:
    """A second gateway over a directory, by the key of its admin."""
    policies = {name: f'project = "{name}"\n[principals.ops]\nrole = "admin"\n' for name in ("demo", "other")}
    settings = {"origins.local": {"durable": False}}
    with Gateway(directory / "origin", settings=settings, policies=policies) as running:
        yield S3Endpoint(running.endpoint, running.access_key_id, running.secret_access_key, _ALL_OF_S3)


@contextmanager
def seaweedfs(directory: Path) -> Iterator[S3Endpoint]:
    """SeaweedFS, by an identity that may do everything.

    Its `If-None-Match: *` takes the folder of `a/b` for an object `a`, so it is not relied on.
    """
    with s3_servers.seaweedfs(directory) as server, _usable(server, conditional_writes=False) as endpoint:
        yield endpoint


@contextmanager
def moto(directory: Path) -> Iterator[S3Endpoint]:
    """moto's server."""
    with s3_servers.moto(directory) as server, _usable(server) as endpoint:
        yield endpoint


ORIGINS: Mapping[str, Callable[[Path], AbstractContextManager[S3Endpoint]]] = {
    "anbar": anbar,
    "seaweedfs": seaweedfs,
    "moto": moto,
}


@contextmanager
def _usable(server: s3_servers.S3Server, **capabilities: bool) -> Iterator[S3Endpoint]:
    """An endpoint that takes a body; one that listens need not yet."""
    endpoint = S3Endpoint(server.endpoint, server.access_key_id, server.secret_access_key, _ALL_OF_S3 | capabilities)
    end = time.monotonic() + _USABLE_S
    with closing(endpoint.client()) as client:
        while True:
            bucket = f"usable-{secrets.token_hex(4)}"
            try:
                client.create_bucket(Bucket=bucket)
                client.put_object(Bucket=bucket, Key="a", Body=b"x")
                break
            except (BotoCoreError, ClientError) as error:
                if time.monotonic() > end:
                    raise GatewayError(f"{endpoint.url} takes no body") from error
                time.sleep(0.1)
    yield endpoint
