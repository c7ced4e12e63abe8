"""What the values in the files of an admin may be: sizes, times, paths, names, and the closed tables they stand in."""

import re
from pathlib import Path
from typing import Annotated

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    WithJsonSchema,
)
from pydantic_core import InitErrorDetails, PydanticCustomError

KIB = 1024
MIB = 1024 * KIB
GIB = 1024 * MIB
TIB = 1024 * GIB

_BINARY_UNITS = {"KiB": KIB, "MiB": MIB, "GiB": GIB, "TiB": TIB}
_DECIMAL_UNITS = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
_UNITS = _BINARY_UNITS | _DECIMAL_UNITS
_SIZE = re.compile(r"([0-9]{1,15}) ?(|B|KiB|MiB|GiB|TiB|KB|MB|GB|TB)")
_REGION = re.compile(r"[A-Za-z0-9_-]{1,64}")
_NAME = re.compile(r"[a-z0-9]([a-z0-9_-]{0,61}[a-z0-9])?")


def mistake(text: str) -> PydanticCustomError:
    """What a validator raises, in the words that the admin reads."""
    return PydanticCustomError("mistake", "{text}", {"text": text})


def mistake_at(key: str, text: str, *below: str) -> ValidationError:
    """What the validator of a table raises about one of its keys, or about a key below it."""
    place = (key, *below)
    return ValidationError.from_exception_data("table", [InitErrorDetails(type=mistake(text), loc=place, input=None)])


def parse_size(value: object) -> int:
    """Give bytes for a whole number or a text such as "5MiB" or "20 GB"; raises a pydantic error."""
    if isinstance(value, int) and not isinstance(value, bool):
        size = value
    elif isinstance(value, str) and (found := _SIZE.fullmatch(value)):
        size = int(found[1]) * _UNITS[found[2]]
    else:
        raise mistake('a size is a whole number of bytes or a text like "5MiB" (KiB, MiB, GiB, TiB, KB, MB, GB, TB)')
    if not 0 <= size < 2**63:
        raise mistake("a size is between 0 and 2^63 - 1 bytes")
    return size


def resolve_path(value: object, info: ValidationInfo) -> object:
    """A path of the file's directory; raises a pydantic error."""
    if isinstance(value, Path):
        return value
    if not isinstance(value, str) or not value or "\0" in value:
        raise mistake("a path is a text that is not empty")
    base: Path = info.context["base"] if info.context else Path()
    return base / value


def distinct_list(value: object) -> object:
    """A list as a tuple, anything else as it is; raises a pydantic error where a value is listed twice."""
    if not isinstance(value, list):
        return value
    if len({repr(item) for item in value}) != len(value):
        raise mistake("a value is listed twice")
    return tuple(value)


def matching(pattern: re.Pattern[str], what: str) -> AfterValidator:
    """Refuse, with the words `what`, a text that the whole pattern does not match."""

    def check(value: str) -> str:
        if not pattern.fullmatch(value):
            raise mistake(what)
        return value

    return AfterValidator(check)


def pattern_schema(pattern: re.Pattern[str]) -> WithJsonSchema:
    """What a JSON Schema says of a text that the whole pattern matches; the pattern is one that JavaScript knows."""
    return WithJsonSchema({"type": "string", "pattern": f"^(?:{pattern.pattern})$"})


_POSITIVE_SIZE_SCHEMA = WithJsonSchema(
    {"anyOf": [{"type": "integer", "minimum": 1}, {"type": "string", "pattern": f"^(?=0*[1-9]){_SIZE.pattern}$"}]}
)
Size = Annotated[int, BeforeValidator(parse_size)]
PositiveSize = Annotated[int, Field(ge=1), BeforeValidator(parse_size), _POSITIVE_SIZE_SCHEMA]
Seconds = Annotated[float, Field(gt=0, le=86400, allow_inf_nan=False)]
LongSeconds = Annotated[int, Field(ge=60, le=366 * 86400)]
FilePath = Annotated[Path, BeforeValidator(resolve_path)]
Region = Annotated[str, matching(_REGION, "a region consists of letters, digits, - and _")]
Name = Annotated[
    str,
    matching(_NAME, "a name has 1 to 63 of a-z, 0-9, - and _ and begins and ends with a letter or digit"),
    pattern_schema(_NAME),
]


class Table(BaseModel):
    """A closed, frozen table of a TOML file; texts are not taken for numbers, nor numbers for texts."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)
