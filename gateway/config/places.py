"""[store], [secrets] and [policies]: where the gateway finds what it works by."""

from pydantic import Field

from gateway.toml_fields import FilePath, Table


class Store(Table):
    """Where the catalog, the access keys and the usage are kept."""

    path: FilePath = Field(
        description="The SQLite file; made when missing. It needs a local disk, not a network share."
    )


class Secrets(Table):
    """What seals the secrets that the store holds."""

    key_ring: FilePath = Field(
        description="The key ring: owner-only (0600), made by `anbar init`. Back it up apart from the store: without "
        "it every access key is lost, and with both every secret can be read."
    )


class Policies(Table):
    """The rules."""

    path: FilePath = Field(description="The directory of the policy files, `<project>.toml` each.")
    watch: bool = Field(
        default=False,
        description="Apply the files as soon as they change. What has a mistake is logged and changes nothing.",
    )
