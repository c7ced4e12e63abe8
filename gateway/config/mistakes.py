"""What a file has wrong, told in an admin's words: the line, the key and what is the matter there."""

from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from gateway.toml_lines import lines_of_keys


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
