"""An S3 endpoint that a gateway under test has as its origin: what gateway.toml says of it, and the buckets in it."""

import tomllib
from collections.abc import Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config


@dataclass(frozen=True, slots=True)
class S3Endpoint:
    """Where it answers, whom it trusts, and what it can do beyond what every such store can.

    `capabilities` are those of `[origins.NAME.capabilities]`.
    """

    url: str
    access_key_id: str
    secret_access_key: str
    capabilities: Mapping[str, bool] = field(default_factory=dict)

    def settings(self, directory: Path) -> dict[str, object]:
        """The section `[origins.NAME]` of a gateway in `directory`, where files with the credentials are written."""
        for name, value in (("origin_id", self.access_key_id), ("origin_secret", self.secret_access_key)):
            (directory / name).write_text(value)
            (directory / name).chmod(0o600)
        return {
            "kind": "s3",
            "endpoint": self.url,
            "allow_http": True,
            "access_key_id": {"file": "origin_id"},
            "secret_access_key": {"file": "origin_secret"},
            "capabilities": dict(self.capabilities),
        }

    def client(self) -> Any:
        """A boto3 client of the endpoint itself."""
        return boto3.client(
            "s3",
            endpoint_url=self.url,
            aws_access_key_id=self.access_key_id,
            aws_secret_access_key=self.secret_access_key,
            region_name="us-east-1",
            config=Config(retries={"total_max_attempts": 1}, s3={"addressing_style": "path"}),
        )

    def make_buckets(self, names: Iterable[str]) -> None:
        """As an operator does before the policies name them."""
        with closing(self.client()) as client:
            for name in names:
                client.create_bucket(Bucket=name)


def origin_buckets(policies: Iterable[str]) -> list[str]:
    """The buckets at the origin that policy files name, each once."""
    found: dict[str, None] = {}
    for policy in map(tomllib.loads, policies):
        for category, table in policy.get("categories", {}).items():
            bucket = table.get("bucket", f"{policy['project']}-{category}")
            found[table.get("origin_bucket", bucket)] = None
    return list(found)
