"""All of gateway.toml: its tables together, and what holds between them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, PrivateAttr, ValidationError, model_validator

from gateway.config.cache import Cache
from gateway.config.files import ConfigError, parse_toml, read_text
from gateway.config.limits import Limits
from gateway.config.log import Log
from gateway.config.mistakes import describe_mistakes
from gateway.config.nginx import Nginx
from gateway.config.places import Policies, Secrets, Store
from gateway.config.server import Server
from gateway.origin_settings import DirectoryOriginSettings, OriginSettings
from gateway.toml_fields import Name, Table, mistake_at


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
