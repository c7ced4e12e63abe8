"""S3 clients that point at a gateway under test, made as an application would make them."""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import boto3
import botocore.loaders
import botocore.session
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from tests.support.gateway import Gateway

_MODELS = botocore.loaders.create_loader()
"""The service models, read once for all clients."""


def s3_client(gateway: Gateway, *, region: str | None = "us-east-1", other: bool = False, **config: Any) -> Any:
    """A boto3 client of the project demo (`other`: of the project other); `config` goes to botocore's Config."""
    access_key_id = gateway.other_access_key_id if other else gateway.access_key_id
    secret_access_key = gateway.other_secret_access_key if other else gateway.secret_access_key
    return aws_client(gateway, "s3", access_key_id, secret_access_key, region=region, **config)


def aws_client(
    gateway: Gateway,
    service: str,
    access_key_id: str,
    secret_access_key: str,
    session_token: str | None = None,
    *,
    region: str | None = "us-east-1",
    **config: Any,
) -> Any:
    """A boto3 client of `service` (s3 or sts) with a key or a session of anybody's."""
    core = botocore.session.get_session()
    core.register_component("data_loader", _MODELS)
    session = boto3.session.Session(
        botocore_session=core,
        aws_access_key_id=access_key_id,
        aws_secret_access_key=secret_access_key,
        aws_session_token=session_token,
    )
    config.setdefault("retries", {"total_max_attempts": 2 if getattr(gateway, "hangs_up_on_refusal", False) else 1})
    return session.client(
        service,
        endpoint_url=gateway.endpoint,
        region_name=region,
        verify=str(gateway.ca_file) if gateway.ca_file else None,
        config=Config(**config),
    )


def fresh_bucket_name(prefix: str = "t") -> str:
    """A bucket name that nobody has used."""
    return f"{prefix}-{secrets.token_hex(8)}"


@contextmanager
def signers_clock_at(moment: datetime) -> Iterator[None]:
    """Within it, botocore signs as if it were another time."""

    def clock(remove_tzinfo: bool = True) -> datetime:
        return moment.replace(tzinfo=None) if remove_tzinfo else moment

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("botocore.auth.get_current_datetime", clock)
        patch.setattr("botocore.crt.auth.get_current_datetime", clock)
        patch.setattr("botocore.auth.time.time", moment.timestamp)
        yield


def error_code(refused: pytest.ExceptionInfo[ClientError]) -> tuple[str, int]:
    """The code and HTTP status of a refusal that botocore raised."""
    return refused.value.response["Error"]["Code"], status(refused.value.response)


def status(response: Any) -> int:
    """The HTTP status of a botocore answer."""
    return int(response["ResponseMetadata"]["HTTPStatusCode"])
