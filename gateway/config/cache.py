"""[cache]: where warm bodies are kept, and how many bytes of them."""

from typing import Annotated

from pydantic import Field

from gateway.toml_fields import GIB, MIB, FilePath, PositiveSize, Size, Table


class Cache(Table):
    """Where bodies that come from S3 origins are kept close, and how much of them."""

    path: FilePath | None = Field(
        default=None,
        description="The directory of what is kept on disk; made when missing. On a local disk, apart from everything "
        "else that must not be full. Unset: bodies are kept in memory only.",
    )
    max_bytes: Annotated[PositiveSize, Field(ge=16 * MIB)] = Field(
        default=10 * GIB, description="How much may be on disk, of all workers together."
    )
    memory_bytes: Size = Field(
        default=128 * MIB,
        description="How much each worker may hold in memory; blocks of more than 128 KiB leave it once they are on "
        "disk. 0: nothing.",
    )
