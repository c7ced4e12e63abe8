"""Clients of a scripted origin that stand where a gateway will: boto3, and requests signed by hand."""

from typing import Any

import boto3
from botocore.config import Config

from tests.support.raw_http import Answer, Connection, Request, ask
from tests.support.scripted_origin import ScriptedOrigin
from tests.support.signer import Signer, object_path

BUCKET = "photos"


def client_of(origin: ScriptedOrigin, **settings: Any) -> Any:
    """A boto3 client, path style, without the checksums that it adds by itself; to be closed."""
    return boto3.client(
        "s3",
        endpoint_url=origin.endpoint,
        region_name=origin.region,
        aws_access_key_id=origin.access_key_id,
        aws_secret_access_key=origin.secret_access_key,
        config=Config(
            s3={"addressing_style": "path"},
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
            retries={"total_max_attempts": 1},
        ),
        **settings,
    )


def request(
    origin: ScriptedOrigin,
    method: str,
    key: str,
    body: bytes = b"",
    *,
    query: str = "",
    headers: tuple[tuple[str, str], ...] = (),
    signer: Signer | None = None,
    **signing: Any,
) -> Request:
    """A plain client's request for an object of BUCKET, signed over all its headers; `signing` goes to Signer.sign."""
    sized = (("Content-Length", str(len(body))),) if method in ("PUT", "POST") else ()
    target = object_path(BUCKET, key) + (f"?{query}" if query else "")
    plain = Request(method, target, (("Host", f"127.0.0.1:{origin.port}"), *sized, *headers), body)
    return (signer or Signer(origin.access_key_id, origin.secret_access_key)).sign(plain, **signing)


def send(origin: ScriptedOrigin, method: str, key: str, body: bytes = b"", **more: Any) -> Answer:
    return ask("127.0.0.1", origin.port, request(origin, method, key, body, **more))


def connect(origin: ScriptedOrigin) -> Connection:
    return Connection.open("127.0.0.1", origin.port)


def begin(connection: Connection, wanted: Request) -> None:
    connection.send(wanted.encode())
