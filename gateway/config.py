"""gateway.toml → frozen Settings, and the reading of every file an admin edits.

TOML (https://toml.io/en/v1.0.0), read by the standard library and checked by pydantic. Every table is closed: a key
that is not listed here is an error that names it. Nothing falls back to a default because it was malformed.
Relative paths belong to the directory of the file that names them.
"""

import os
import re
import shlex
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Final, Literal, Self, Union, get_args, get_origin

from pydantic import BaseModel, BeforeValidator, Field, PrivateAttr, ValidationError, ValidationInfo, model_validator
from pydantic_core import ErrorDetails

from gateway.origin_settings import DirectoryOriginSettings, OriginSettings
from gateway.toml_fields import (
    GIB,
    MIB,
    FilePath,
    LongSeconds,
    Name,
    PositiveSize,
    Region,
    Seconds,
    Size,
    Table,
    distinct_list,
    matching,
    mistake,
    mistake_at,
    resolve_path,
)
from gateway.toml_lines import lines_of_keys

MAX_FILE_SIZE = 4 * MIB
OFF: Final = "off"
STANDARD_OUTPUT: Final = "-"
_POLICY_HINT = "; anbar init writes a working one"

_LISTEN = re.compile(r"(\[[0-9A-Fa-f:.]{2,45}\]|[A-Za-z0-9._-]{1,253}):([0-9]{1,5})")
_DOMAIN = re.compile(r"(?=.{1,253}$)[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*")
_PUBLIC_HOST = re.compile(r"([a-z0-9.-]{1,253}|\[[0-9a-f:.]{2,45}\])(:[0-9]{1,5})?")


class ConfigError(Exception):
    """A configuration or policy file that is not used: which file and key, what is wrong; one line a mistake."""

    def __init__(self, file: Path | str, mistakes: list[str]) -> None:
        super().__init__("\n".join(f"{file}: {mistake}" for mistake in mistakes))
        self.file = file
        self.mistakes = mistakes


_MOST_WORKERS = 64


def parse_listen(value: object) -> object:
    """Give the host and port of "HOST:PORT"; raises a pydantic error."""
    if isinstance(value, Listen):
        return value
    found = _LISTEN.fullmatch(value) if isinstance(value, str) else None
    if not found or int(found[2]) > 65535:
        raise mistake('an address is a text "HOST:PORT", for example "127.0.0.1:9000" or "[::1]:9000"')
    return {"host": found[1].strip("[]"), "port": int(found[2])}


def _parse_admin_listen(value: object) -> object:
    return None if value is None or value == "off" else parse_listen(value)


def _parse_nginx_listen(value: object) -> object:
    return None if value is None else parse_listen(value)


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


class Listen(Table):
    """An address to listen on; with port 0 the system picks one."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


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


class Nginx(Table):
    """What an nginx in front may do beside passing requests on."""

    listen: Annotated[Listen | None, BeforeValidator(_parse_nginx_listen)] = Field(
        default=None,
        description="A second address, plain HTTP, for nginx alone: there it may ask whether a request is allowed, and "
        "be told which file to send. Unset: none. Never expose it.",
    )
    offload: Annotated[tuple[Name, ...], BeforeValidator(distinct_list)] = Field(
        default=(),
        description="Origins, each a directory that nginx can read, whose bodies nginx sends where they are one plain "
        "file.",
    )
    authorisation_s: Annotated[int, Field(ge=0, le=300)] = Field(
        default=10,
        description="How long nginx may go by an authorisation that it has been given: so long at most a revoked key "
        "or a changed policy is not seen. 0: it asks each time.",
    )
    public_s: Annotated[int, Field(ge=0, le=86400)] = Field(
        default=60,
        description="How long nginx may keep an object of a public category, if its `Cache-Control` does not say less: "
        "so long at most an overwritten one is not seen. 0: not at all.",
    )

    @model_validator(mode="after")
    def _offloads_to_somebody(self) -> Self:
        if self.offload and self.listen is None:
            raise mistake_at("offload", "nginx is told which file to send at [nginx] listen, which is not set")
        return self


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


class Limits(Table):
    """Bounds on what one client can ask for."""

    max_object_size: PositiveSize = Field(
        default=5 * GIB, le=5 * GIB, description="The largest body of one PutObject, UploadPart or POST form."
    )
    header_timeout_s: Seconds = Field(default=10.0, description="For a request's head to arrive, from its first byte.")
    idle_s: Seconds = Field(default=75.0, description="How long an idle connection is kept for the next request.")
    body_gap_timeout_s: Seconds = Field(
        default=60.0, description="The longest pause between two pieces of a request's body."
    )
    write_timeout_s: Seconds = Field(
        default=60.0, description="The longest time a client may take to accept the next piece of an answer."
    )
    drain_s: Seconds = Field(
        default=30.0, description="After SIGTERM: for the requests that have begun, before they are cut off."
    )
    small_body: Size = Field(
        default=8 * MIB, le=GIB, description="Bodies up to this size are held in memory while they are checked."
    )
    memory_budget: PositiveSize = Field(
        default=256 * MIB,
        description="The memory for all bodies together; when it is used up, small bodies are streamed as well.",
    )
    quota_headers: bool = Field(
        default=False,
        description="Answer writes with `x-anbar-quota-limit` and `x-anbar-quota-used`: bytes of the quota with the "
        "least room left.",
    )
    max_connections: int = Field(
        default=10_000, ge=1, le=1_000_000, description="Open connections of clients; one more is told `503 SlowDown`."
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


def _parse_access(value: object, info: ValidationInfo) -> object:
    return value if value in (OFF, STANDARD_OUTPUT) else resolve_path(value, info)


class Log(Table):
    """What is written down of what happens."""

    level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="The least serious messages that are logged to standard error."
    )
    format: Literal["text", "json"] = Field(
        default="text", description='How messages and requests are logged: "text", or "json", one object a line.'
    )
    access: Annotated[Literal["off", "-"] | Path, BeforeValidator(_parse_access)] = Field(
        default=OFF,
        description='Where each request is logged: "off", "-" for standard output, or a file, which is appended to.',
    )
    traces: bool = Field(
        default=False,
        description="Send traces by OpenTelemetry to where its environment variables say, such as "
        "`OTEL_EXPORTER_OTLP_ENDPOINT`. It needs the packages of `requirements-traces.txt`.",
    )


class Settings(Table):
    """All of gateway.toml."""

    server: Server = Server()
    store: Store
    secrets: Secrets
    origins: Annotated[dict[Name, OriginSettings], Field(min_length=1)]
    policies: Policies
    cache: Cache = Cache()
    limits: Limits = Limits()
    log: Log = Log()
    nginx: Nginx = Nginx()
    _directory: Path = PrivateAttr(Path())

    @model_validator(mode="after")
    def _nginx_fits(self) -> Self:
        listen = self.nginx.listen
        if listen is not None and listen.port != 0 and listen in (self.server.listen, self.server.admin_listen):
            raise mistake_at("nginx", "it is the address of another listener", "listen")
        for name in self.nginx.offload:
            if not isinstance(self.origins.get(name), DirectoryOriginSettings):
                raise mistake_at("nginx", f'there is no origin "{name}" of kind "directory"', "offload")
        return self

    def model_post_init(self, context: Mapping[str, Path] | None, /) -> None:
        if context:
            self._directory = context["base"]

    @property
    def directory(self) -> Path:
        """Where the file is that says all this."""
        return self._directory

    @property
    def roots(self) -> dict[str, Path | None]:
        """The directories of the origins by their names; None for those that are none."""
        return {
            name: origin.path if isinstance(origin, DirectoryOriginSettings) else None
            for name, origin in self.origins.items()
        }


def load_settings(path: Path) -> Settings:
    """Read gateway.toml.

    Raises ConfigError with every mistake in it: unreadable, not TOML, unknown, missing or wrong keys.
    """
    text = read_text(path)
    return parse_settings(text, path)


def parse_settings(text: str, path: Path) -> Settings:
    """Settings from the text of the file `path`; relative paths in it belong to that file's directory."""
    data = parse_toml(text, path)
    with_context = {"base": path.absolute().parent}
    try:
        return Settings.model_validate(data, context=with_context)
    except ValidationError as error:
        raise ConfigError(path, describe_mistakes(error, text, Settings)) from None


def read_text(path: Path) -> str:
    """The text of a file that an admin edits; raises ConfigError."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_FILE_SIZE + 1)
        if len(data) > MAX_FILE_SIZE:
            raise ConfigError(path, [f"larger than {MAX_FILE_SIZE // MIB} MiB"])
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ConfigError(path, [f"not UTF-8 text (byte {error.start})"]) from None
    except OSError as error:
        raise ConfigError(path, [f"cannot be read: {error.strerror}"]) from None


def read_policy_files(folder: Path) -> dict[Path, str]:
    """The texts of a directory's policy files, `*.toml` in the order of their names; raises ConfigError.

    A directory without any policy file is an error: an empty set of rules is more likely a wrong path than a wish.
    """
    try:
        files = policy_files(folder)
    except OSError as error:
        hint = _POLICY_HINT if isinstance(error, FileNotFoundError) else ""
        raise ConfigError(folder, [f"cannot be read: {error.strerror}{hint}"]) from None
    if not files:
        raise ConfigError(folder, [f"there is no policy file (NAME.toml) in this directory{_POLICY_HINT}"])
    return {file: read_text(file) for file in files}


def policy_files(folder: Path) -> list[Path]:
    """The policy files of a directory, by name, without hidden ones (an editor's); raises OSError."""
    return sorted(file for file in folder.iterdir() if file.suffix == ".toml" and not file.name.startswith("."))


def is_missing(path: Path) -> bool:
    """Is nothing there? What may not be looked at is not missing."""
    try:
        path.stat()
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return False


def init_command(directory: Path) -> str:
    """The command that makes an installation, or what is missing of one, in a directory."""
    here = directory.absolute() == Path.cwd()
    return "anbar init" if here else f"anbar init --dir {shlex.quote(str(directory))}"


def parse_toml(text: str, path: Path) -> dict[str, Any]:
    """The tables of a TOML text; raises ConfigError with the line and column."""
    try:
        return tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError, ValueError) as error:
        raise ConfigError(path, [str(error) or "nested too deeply"]) from None


def describe_mistakes(error: ValidationError, text: str, document: type[BaseModel]) -> list[str]:
    """What a file's text has wrong, against the tables of `document`, as `place_mistakes` tells it.

    Values are not repeated: a file may have a secret where none belongs.
    """
    found = []
    for each in error.errors(include_url=False, include_input=False):
        key, table = _find(document, _place(each))
        words = _WORDS.get(each["type"])
        what = words.format_map(each.get("ctx", {})) if words else each["msg"]
        if each["type"] == "extra_forbidden" and table:
            what += did_you_mean(key[-1], table.model_fields)
        found.append((key, what))
    return place_mistakes(found, text)


def place_mistakes(mistakes: Iterable[tuple[tuple[str, ...], str]], text: str) -> list[str]:
    """One line for each mistake, a key and what is wrong there, in the order of the file.

    It begins with the line of the key; of a key that is missing, with that of its table.
    """
    lines = lines_of_keys(text)
    described = []
    for key, what in mistakes:
        line = next((lines[key[:size]] for size in range(len(key), 0, -1) if key[:size] in lines), 0)
        place = f"line {line}: " if line else ""
        described.append((line, f"{place}{'.'.join(key) or 'the file'}: {what}"))
    return [text for _, text in sorted(described, key=lambda each: each[0])]


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """`; did you mean "quota"?` where a known name is close to what was written, or nothing."""
    folded = {each.lower(): each for each in known}
    close = get_close_matches(name.lower(), folded, 1)
    return f'; did you mean "{folded[close[0]]}"?' if close else ""


_WORDS: Mapping[str, str] = {
    "extra_forbidden": "unknown key",
    "missing": "this key is required",
    "string_type": "must be a text",
    "int_type": "must be a whole number",
    "float_type": "must be a number",
    "bool_type": "must be true or false",
    "tuple_type": "must be a list",
    "frozen_set_type": "must be a list of texts",
    "model_type": "must be a table",
    "dict_type": "must be a table",
    "model_attributes_type": "must be a table",
    "union_tag_invalid": "must be one of {expected_tags}",
    "union_tag_not_found": "this key is required",
    "too_short": "must not be empty",
    "too_long": "at most {max_length} of these",
    "literal_error": "must be {expected}",
    "greater_than": "must be more than {gt}",
    "greater_than_equal": "must be at least {ge}",
    "less_than_equal": "must be at most {le}",
}


def _place(error: ErrorDetails) -> tuple[str, ...]:
    """Where in the file a mistake is; of a table that is of no known kind, the key that tells its kind."""
    place = tuple(str(part) for part in error["loc"] if part != "[key]")
    if error["type"] in ("union_tag_invalid", "union_tag_not_found"):
        return (*place, error["ctx"]["discriminator"].strip("'"))
    return place


def _find(document: type[BaseModel], place: tuple[str, ...]) -> tuple[tuple[str, ...], type[BaseModel] | None]:
    """The key that a place is, and the table that it is a key of: through tables, dictionaries and lists of tables.

    Where a table is one of several kinds, pydantic's place also has the kind, which no key in the file is.
    """
    key: list[str] = []
    table: type[BaseModel] | None = None
    here: list[Any] = [document]
    for part in place:
        tables = [each for each in here if isinstance(each, type) and issubclass(each, BaseModel)]
        if len(tables) > 1 and (of_kind := [each for each in tables if part in _kinds(each)]):
            here = [*of_kind]
            continue
        key.append(part)
        table = tables[0] if tables else None
        here = [each for outer in here for each in _alternatives(_inside(outer, part))]
    return tuple(key), table


def _kinds(table: type[BaseModel]) -> tuple[str, ...]:
    return get_args(table.model_fields["kind"].annotation)


def _alternatives(annotation: Any) -> Iterator[Any]:
    """What a value of this type may be."""
    if get_origin(annotation) is Annotated:
        yield from _alternatives(get_args(annotation)[0])
    elif get_origin(annotation) in (Union, UnionType):
        for each in get_args(annotation):
            yield from _alternatives(each)
    else:
        yield annotation


def _inside(annotation: Any, part: str) -> Any:
    """The type of one value of a table, a dictionary or a list."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        field = annotation.model_fields.get(part)
        return field.annotation if field else None
    inner = get_args(annotation)
    if get_origin(annotation) is dict:
        return inner[1]
    return inner[0] if get_origin(annotation) is tuple else None
