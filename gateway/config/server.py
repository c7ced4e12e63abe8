"""[server]: the addresses that clients reach, under which names, and by how many processes."""

import os
import re
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Annotated, Self

from pydantic import BeforeValidator, Field, model_validator

from gateway.config.listen import Listen, parse_listen
from gateway.toml_fields import FilePath, Region, Table, distinct_list, matching, mistake

_MOST_WORKERS = 64
_DOMAIN = re.compile(r"(?=.{1,253}$)[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*")
_PUBLIC_HOST = re.compile(r"([a-z0-9.-]{1,253}|\[[0-9a-f:.]{2,45}\])(:[0-9]{1,5})?")


def _parse_admin_listen(value: object) -> object:
    return None if value is None or value == "off" else parse_listen(value)


def _parse_networks(value: object) -> object:
    if not isinstance(value, list):
        return value
    if not all(isinstance(item, str) for item in value):
        raise mistake('a proxy is a text such as "10.0.0.1" or "10.0.0.0/8"')
    try:
        return tuple(map(ip_network, value))
    except ValueError as error:
        raise mistake(f'a proxy is an address or a network such as "10.0.0.0/8": {error}') from error


def _set_from_list(value: object) -> object:
    items = distinct_list(value)
    return frozenset(items) if isinstance(items, tuple) and all(isinstance(item, str) for item in items) else items


def _count_workers(value: object) -> object:
    if type(value) is not int or not 0 <= value <= _MOST_WORKERS:
        raise mistake(f"a number of processes from 0 (one for each processor) to {_MOST_WORKERS}")
    return value


def _parse_stuck(value: object) -> object:
    if type(value) not in (int, float) or not (value == 0 or 1 <= value <= 3600):  # type: ignore[operator]
        raise mistake("seconds from 1 to 3600, or 0 for never")
    return value


Domain = Annotated[str, matching(_DOMAIN, "a domain is a lower-case host name without scheme and port")]
PublicHost = Annotated[str, matching(_PUBLIC_HOST, 'a public host is "host" or "host:port" in lower case')]


class Tls(Table):
    """HTTPS on the public listener."""

    certificate: FilePath = Field(description="PEM file: the certificate, then its chain.")
    key: FilePath = Field(description="PEM file: the private key, without a passphrase.")


class Server(Table):
    """How clients reach the gateway."""

    listen: Annotated[Listen, BeforeValidator(parse_listen)] = Field(
        default=Listen(host="127.0.0.1", port=9000),
        description='The public address, "HOST:PORT". Port 0 lets the system pick a free one.',
    )
    admin_listen: Annotated[Listen | None, BeforeValidator(_parse_admin_listen)] = Field(
        default=Listen(host="127.0.0.1", port=9001),
        description='The address of the health checks `/-/live` and `/-/ready` and of `/-/metrics`; "off" for none. '
        "Never expose it.",
    )
    tls: Tls | None = Field(
        default=None,
        description='Serve HTTPS: `{ certificate = "cert.pem", key = "key.pem" }`. Without it, plain HTTP.',
    )
    domains: Annotated[tuple[Domain, ...], BeforeValidator(distinct_list)] = Field(
        default=(),
        description="Host names below which a bucket is a subdomain: with `s3.example.com` the host "
        "`media.s3.example.com` addresses the bucket `media`.",
    )
    public_hosts: Annotated[tuple[PublicHost, ...], BeforeValidator(distinct_list)] = Field(
        default=(),
        description="Further hosts (`host` or `host:port`) that clients may have signed, for a proxy in front that "
        "rewrites the Host header.",
    )
    regions: Annotated[frozenset[Region] | None, BeforeValidator(_set_from_list), Field(min_length=1)] = Field(
        default=None, description="The regions accepted in signatures. Unset: any."
    )
    sigv2: bool = Field(
        default=True,
        description="Accept presigned URLs and POST forms that are signed with Signature Version 2, which several SDKs "
        "still make by default. Version 2 in the Authorization header is always refused.",
    )
    workers: Annotated[int, BeforeValidator(_count_workers)] = Field(
        default=1,
        description="Serving processes; 0: one for each processor. With more than one, another process keeps them: it "
        "starts those again that have died, and does what is done once for all.",
    )
    stuck_worker_s: Annotated[float, BeforeValidator(_parse_stuck)] = Field(
        default=60.0,
        description="With several workers: one whose event loop has not turned for so long is killed, and another "
        "takes its place. 0: never.",
    )
    trusted_proxies: Annotated[tuple[IPv4Network | IPv6Network, ...], BeforeValidator(_parse_networks)] = Field(
        default=(),
        description="Addresses or networks of proxies that are believed: their `X-Forwarded-Proto` decides http or "
        "https, their `X-Forwarded-For`, read from the right, the address that a statement's `source_ip` is compared "
        "with.",
    )

    @property
    def worker_count(self) -> int:
        """How many processes answer requests."""
        return self.workers or os.cpu_count() or 1

    @model_validator(mode="after")
    def _two_addresses(self) -> Self:
        if self.admin_listen is not None and self.admin_listen == self.listen and self.listen.port != 0:
            raise mistake("listen and admin_listen are the same address")
        return self
