"""[log]: what is written down of what happens, and where."""

from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import BeforeValidator, Field, ValidationInfo

from gateway.toml_fields import Table, resolve_path

OFF: Final = "off"
STANDARD_OUTPUT: Final = "-"


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
