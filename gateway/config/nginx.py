"""[nginx]: what an nginx in front is told, and for how long it may go by that."""

from typing import Annotated, Self

from pydantic import BeforeValidator, Field, model_validator

from gateway.config.listen import Listen, parse_listen
from gateway.toml_fields import Name, Table, distinct_list, mistake_at


def _parse_nginx_listen(value: object) -> object:
    return None if value is None else parse_listen(value)


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
