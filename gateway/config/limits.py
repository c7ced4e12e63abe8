"""[limits]: bounds on what one client can ask for, in size, time, memory and number."""

from typing import Self

from pydantic import Field, model_validator

from gateway.toml_fields import GIB, MIB, LongSeconds, PositiveSize, Seconds, Size, Table, mistake


class Limits(Table):
    """Bounds on what one client can ask for."""

    max_object_size: PositiveSize = Field(
        default=5 * GIB, le=5 * GIB, description="The largest body of one PutObject, UploadPart or POST form."
    )
    header_timeout_s: Seconds = Field(
        default=10.0,
        description="For a request's head to arrive, from its first byte; before it, for the TLS handshake.",
    )
    idle_s: Seconds = Field(default=75.0, description="How long an idle connection is kept for the next request.")
    body_gap_timeout_s: Seconds = Field(
        default=60.0, description="The longest pause between two pieces of a request's body."
    )
    write_timeout_s: Seconds = Field(
        default=60.0, description="The longest time a client may take for the next 64 KiB of an answer."
    )
    drain_s: Seconds = Field(
        default=30.0, description="After SIGTERM: for the requests that have begun, before they are cut off."
    )
    small_body: Size = Field(
        default=8 * MIB, le=GIB, description="Bodies up to this size are held in memory while they are checked."
    )
    memory_budget: PositiveSize = Field(
        default=256 * MIB,
        description="The memory for all bodies together; when it is used up, small bodies are streamed as well, and "
        "long documents told `503 SlowDown`.",
    )
    quota_headers: bool = Field(
        default=False,
        description="Answer writes with `x-anbar-quota-limit` and `x-anbar-quota-used`: bytes of the quota with the "
        "least room left.",
    )
    max_connections: int = Field(
        default=10_000,
        ge=1,
        le=1_000_000,
        description="Open connections of clients; one more is told `503 SlowDown`, over TLS just closed.",
    )
    connections_per_address: int | None = Field(
        default=None,
        ge=1,
        description="Of them, from one address. Unset: any. Addresses of `trusted_proxies` may have any number.",
    )
    requests_per_key: float | None = Field(
        default=None,
        gt=0,
        le=1e6,
        description="Requests a second that are signed with one access key, its sessions included; twice as many at "
        "once after a silence. More are told `503 SlowDown`. Unset: any.",
    )
    requests_per_address: float | None = Field(
        default=None,
        gt=0,
        le=1e6,
        description="Requests a second from one address, which trusted proxies may tell. The same otherwise.",
    )
    min_upload_rate: Size = Field(
        default=256,
        description="Bytes a second: who sends a body more slowly for `body_gap_timeout_s` on end is cut off.",
    )
    upload_expiry_s: LongSeconds = Field(
        default=7 * 86400, description="A multipart upload without a new part for so long is aborted."
    )

    @model_validator(mode="after")
    def _budget_fits(self) -> Self:
        if self.memory_budget < self.small_body:
            raise mistake("memory_budget is smaller than small_body")
        return self
