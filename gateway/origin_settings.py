"""`[origins.NAME]` of gateway.toml: a local directory, or a bucket store that speaks S3.

What is known of each provider is in gateway/origin/providers.py; here is what an admin may write, and which mistakes
can be seen without asking anybody.
"""

import re
from collections.abc import Mapping
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from gateway.toml_fields import FilePath, Region, Seconds, Table, matching, mistake, mistake_at

Addressing = Literal["path", "virtual"]
ProviderName = Literal["liara", "aws", "gcs", "minio", "generic"]
PROVIDERS_WITH_ENDPOINT = frozenset({"liara", "aws", "gcs"})

_ENDPOINT = re.compile(r"(https?)://(\[[0-9A-Fa-f:.]{2,45}\]|[A-Za-z0-9.-]{1,253})(?::([0-9]{1,5}))?")
_HOST_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
_ENV_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,254}")
_DEFAULT_PORTS = {"http": 80, "https": 443}
# Where clouds tell every process on a machine its credentials; no store of objects is there. fd00:ec2::254 is AWS's,
# fd20:ce::254 Google's, 100.100.100.200 Alibaba's; the others answer at 169.254.169.254.
# https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/configuring-instance-metadata-service.html
# https://docs.cloud.google.com/compute/docs/metadata/overview
_NO_STORES = tuple(map(ip_network, ("169.254.0.0/16", "fe80::/10", "fd00:ec2::254", "fd20:ce::254", "100.100.100.200")))
_NAT64 = ip_network("64:ff9b::/96")
_IN_CLEAR = (
    'credentials never stand in this file: name an environment variable, { env = "NAME" }, '
    'or a file of mode 0600, { file = "PATH" }'
)
_ENDPOINT_WORDS = 'an endpoint is "https://HOST" or "https://HOST:PORT", without a user, a path or a query'


def is_no_store(address: IPv4Address | IPv6Address) -> bool:
    """Is this an address that no endpoint may have: link-local, a cloud's metadata service, or no host's at all?

    Also to be asked of what a name stands for, when a connection is made: a name in the settings can lead anywhere.
    """
    if isinstance(address, IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour
        if inner is None and address in _NAT64:
            inner = IPv4Address(int(address) & 0xFFFFFFFF)
        if inner is not None:
            return is_no_store(inner)
    return address.is_unspecified or address.is_multicast or any(address in network for network in _NO_STORES)


class Endpoint(Table):
    """Where a provider answers: the scheme, the host (lower case, no brackets) and the port."""

    scheme: Literal["http", "https"]
    host: str
    port: int

    @property
    def authority(self) -> str:
        """Host and port as a Host header has them: the scheme's own port is not named."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _DEFAULT_PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def address(self) -> IPv4Address | IPv6Address | None:
        """The address, where the host is one and no name."""
        try:
            return ip_address(self.host)
        except ValueError:
            return None

    def __str__(self) -> str:
        return f"{self.scheme}://{self.authority}"


def parse_endpoint(value: object) -> Endpoint:
    """The parts of "https://HOST:PORT"; raises a pydantic error."""
    if isinstance(value, Endpoint):
        return value
    found = _ENDPOINT.fullmatch(value) if isinstance(value, str) else None
    if not found:
        raise mistake(_ENDPOINT_WORDS)
    scheme: Literal["http", "https"] = "https" if found[1] == "https" else "http"
    port = int(found[3]) if found[3] else _DEFAULT_PORTS[scheme]
    endpoint = Endpoint(scheme=scheme, host=found[2].strip("[]").lower(), port=port)
    if not 1 <= port <= 65535:
        raise mistake("a port is between 1 and 65535")
    if endpoint.address is None and not _is_host_name(endpoint.host):
        raise mistake(f"{_ENDPOINT_WORDS}; this is neither a host name nor an address")
    if endpoint.address is not None and is_no_store(endpoint.address):
        raise mistake("no endpoint is at a link-local address or a cloud's metadata service")
    return endpoint


def _is_host_name(host: str) -> bool:
    """A host whose last part is a number is an address to many resolvers: 2130706433 and 127.1 are 127.0.0.1."""
    return _HOST_NAME.fullmatch(host) is not None and not _NUMBER.fullmatch(host.rsplit(".", 1)[-1])


class CredentialSource(Table):
    """Where one part of the credentials is read from: an environment variable or a file."""

    env: Annotated[str, matching(_ENV_NAME, "this is not the name of an environment variable")] | None = None
    file: FilePath | None = None

    @model_validator(mode="after")
    def _one_of_them(self) -> Self:
        if (self.env is None) == (self.file is None):
            raise mistake('either { env = "NAME" } or { file = "PATH" }')
        return self


def _not_in_clear(value: object) -> object:
    if not isinstance(value, dict | CredentialSource):
        raise mistake(_IN_CLEAR)
    return value


_Source = Annotated[CredentialSource | None, BeforeValidator(_not_in_clear)]


class DirectoryOriginSettings(Table):
    """A local directory that keeps the bytes."""

    kind: Literal["directory"] = Field(description='What kind of origin this is: "directory".')
    path: FilePath = Field(description="The directory; made when missing. Nobody else writes in it.")
    durable: bool = Field(
        default=True,
        description="Wait until the disk has every byte before a write is acknowledged. Without it a power cut can "
        "lose acknowledged objects: for tests only.",
    )
    group_read: bool = Field(
        default=False,
        description="New bodies and their directories can be read by the group of the gateway's process: for an nginx "
        "that sends them and belongs to it.",
    )


class OriginCapabilities(Table):
    """What an S3 origin was found to do, where that is not what is known of its provider."""

    conditional_writes: bool | None = Field(
        default=None, description="`If-None-Match: *` keeps a PutObject from replacing an object."
    )
    batch_delete: bool | None = Field(default=None, description="DeleteObjects, up to 1,000 keys a request.")
    copy_object: bool | None = Field(default=None, description="CopyObject: copies without moving the bytes.")
    upload_part_copy: bool | None = Field(default=None, description="UploadPartCopy: the same, part by part.")
    tagging: bool | None = Field(default=None, description="Tags of objects: `x-amz-tagging`, `?tagging`.")
    checksum_headers: bool | None = Field(
        default=None, description="`x-amz-checksum-*` may be sent; others refuse the request."
    )
    md5_etags: bool | None = Field(
        default=None,
        description="The ETag of a PutObject is the MD5 of its body. Not so in buckets that encrypt with a KMS key.",
    )
    multipart_etags: bool | None = Field(
        default=None, description="The ETag of a multipart object is made of its parts' as at AWS."
    )
    list_url_encoding: bool | None = Field(
        default=None, description="`encoding-type=url` of listings, for keys that XML cannot hold."
    )

    def known(self) -> Mapping[str, bool]:
        """Those that are set."""
        return self.model_dump(exclude_none=True)


class S3OriginSettings(Table):
    """A store that speaks S3: Liara, AWS, Google Cloud Storage, MinIO and others."""

    kind: Literal["s3"] = Field(description='What kind of origin this is: "s3".')
    provider: ProviderName = Field(
        default="generic",
        description='"liara", "aws", "gcs" (Google Cloud Storage by its XML API, with an HMAC key), "minio" or '
        '"generic": '
        "decides what is asked of it, and the defaults below.",
    )
    endpoint: Annotated[Endpoint | None, BeforeValidator(parse_endpoint)] = Field(
        default=None,
        description='Where it answers, `"https://HOST:PORT"`. It has a default for liara, gcs and, by its `region`, '
        "aws (not in China); required for the others.",
    )
    region: Region | None = Field(
        default=None, description='The region in signatures. Default: "auto" for gcs, "us-east-1" for the others.'
    )
    addressing: Addressing | None = Field(
        default=None,
        description='"path": the bucket is the first part of the path. "virtual": it is a subdomain of the endpoint. '
        'Default: "path".',
    )
    access_key_id: _Source = Field(
        default=None,
        description='Where the access key id is read from: `{ env = "NAME" }` or `{ file = "PATH" }`. Without both '
        "keys, credentials are looked for where AWS's own tools look.",
    )
    secret_access_key: _Source = Field(default=None, description="The same, for the secret access key.")
    session_token: _Source = Field(
        default=None, description="The same, for the session token that temporary credentials come with."
    )
    ca_file: FilePath | None = Field(
        default=None,
        description="PEM file with the certificate authorities that the endpoint's certificate is checked against, "
        "instead of the system's.",
    )
    allow_http: bool = Field(
        default=False, description="Let the endpoint be plain `http://`, which anybody on the way can read and change."
    )
    connect_timeout_s: Seconds = Field(default=5.0, description="For a connection to be made, TLS included.")
    first_byte_timeout_s: Seconds = Field(
        default=30.0, description="For an answer to begin, after all of a request was sent."
    )
    gap_timeout_s: Seconds = Field(default=30.0, description="The longest pause between two pieces of a body.")
    whole_timeout_s: Seconds = Field(
        default=120.0, description="For the whole of a request that moves no object's body."
    )
    retries: Annotated[int, Field(ge=0, le=10)] = Field(
        default=3, description="How often a request is tried again where that is safe."
    )
    max_connections: Annotated[int, Field(ge=1, le=65535)] = Field(
        default=256, description="Connections at a time; further requests wait for one."
    )
    capabilities: OriginCapabilities = Field(
        default=OriginCapabilities(),
        description="What it was found to do, beside what is known of its provider: `{ conditional_writes = true }`.",
    )

    @model_validator(mode="after")
    def _reachable(self) -> Self:
        if self.endpoint is None:
            if self.provider not in PROVIDERS_WITH_ENDPOINT:
                raise mistake_at("endpoint", f'this key is required with provider = "{self.provider}"')
            return self
        if self.endpoint.scheme == "http" and not self.allow_http:
            raise mistake_at(
                "endpoint",
                "plain http lets anybody on the way read and change what is stored: use https://, or set "
                "allow_http = true (a loopback address needs it, too)",
            )
        if self.addressing == "virtual" and self.endpoint.address is not None:
            raise mistake_at("addressing", 'an address has no subdomains for buckets; use a host name, or "path"')
        return self

    @model_validator(mode="after")
    def _whole_credentials(self) -> Self:
        if self.access_key_id is not None and self.secret_access_key is None:
            raise mistake_at("secret_access_key", "this key is required beside access_key_id")
        if self.access_key_id is None and self.secret_access_key is not None:
            raise mistake_at("access_key_id", "this key is required beside secret_access_key")
        if self.access_key_id is None and self.session_token is not None:
            raise mistake_at("session_token", "only beside access_key_id and secret_access_key")
        return self


OriginSettings = Annotated[DirectoryOriginSettings | S3OriginSettings, Field(discriminator="kind")]
