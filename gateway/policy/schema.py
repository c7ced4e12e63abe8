"""The JSON Schema of a policy file, for editors: what its tables say, as people write them.

https://json-schema.org/draft/2020-12
"""

import json
from typing import Any, Final

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from gateway.policy.tables import ProjectDocument

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
TITLE: Final = "Anbar policy file"

_ITEMS: Final = {"minLength": "minItems", "maxLength": "maxItems"}


class _Written(GenerateJsonSchema):
    """TOML has no null: a key that is not set is not written. Titles would only repeat the keys."""

    def generate_inner(self, schema: Any) -> JsonSchemaValue:
        # pydantic calls a list's length that of a text where a validator of ours comes before its own.
        made = super().generate_inner(schema)
        if made.get("type") != "array":
            return made
        return {_ITEMS.get(key, key): value for key, value in made.items()}

    def nullable_schema(self, schema: core_schema.NullableSchema) -> JsonSchemaValue:
        return self.generate_inner(schema["schema"])

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> JsonSchemaValue:
        made = super().default_schema(schema)
        return {key: value for key, value in made.items() if not (key == "default" and value is None)}

    def dict_schema(self, schema: core_schema.DictSchema) -> JsonSchemaValue:
        # Keys are checked by pattern; without this word a name that does not match would stand for anything.
        return super().dict_schema(schema) | {"additionalProperties": False}

    def field_title_should_be_set(self, schema: object) -> bool:
        return False

    def model_schema(self, schema: core_schema.ModelSchema) -> JsonSchemaValue:
        return {key: value for key, value in super().model_schema(schema).items() if key != "title"}


def render_policy_schema() -> str:
    """The schema as it is published: in a file beside the policies, and by the command line."""
    return json.dumps(policy_schema(), indent=2, ensure_ascii=False) + "\n"


def policy_schema() -> dict[str, Any]:
    """A JSON Schema of what `parse_policy` takes, save what shows only when tables are seen together."""
    made = ProjectDocument.model_json_schema(schema_generator=_Written)
    return {"$schema": DIALECT, "title": TITLE, **made}
