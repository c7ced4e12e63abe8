"""The JSON Schema of policy files: it takes what Anbar takes, and marks the mistakes that people make."""

import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from jsonschema import Draft202012Validator

from gateway.config import ConfigError, read_policy_files
from gateway.policy.documents import parse_policy
from gateway.policy.schema import policy_schema
from gateway.policy.tables import CategoryDocument, ProjectDocument, StatementDocument
from tests.support.gateway import DEMO_POLICY, OTHER_POLICY
from tests.support.policies import WHOLE, written_keys

ROOT = Path(__file__).resolve().parent.parent.parent
SHIPPED = read_policy_files(ROOT / "policies").values()
SCHEMA = policy_schema()
VALIDATOR = Draft202012Validator(SCHEMA)
START = 'project = "demo"\n'
STATEMENT = (
    '[[statements]]\neffect = "allow"\nprincipals = ["ops"]\nactions = ["s3:GetObject"]\nresources = ["demo-x/*"]\n'
)


def is_valid(text: str) -> bool:
    return bool(VALIDATOR.is_valid(tomllib.loads(text)))


def test_it_is_a_schema_of_2020_12_with_a_title_and_no_id():
    Draft202012Validator.check_schema(SCHEMA)
    assert SCHEMA["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert SCHEMA["title"] == "Anbar policy file"
    assert "$id" not in SCHEMA


@pytest.mark.parametrize("text", [WHOLE, DEMO_POLICY, OTHER_POLICY, *SHIPPED, START, START + STATEMENT])
def test_what_anbar_takes_is_valid(text):
    assert is_valid(text)


@given(written_keys())
def test_whatever_anbar_takes_is_valid(text):
    try:
        parse_policy(text if text.startswith("\nproject") else START + text, Path("demo.toml"), ["local"])
    except ConfigError:
        return
    assert is_valid(START + text)


@pytest.mark.parametrize("size", ["1", '"5MiB"', '"20 GB"', '"010KiB"', "500_000"])
def test_sizes_are_numbers_or_texts_with_a_unit(size):
    assert is_valid(f"{START}[categories.x]\nmax_object_size = {size}")


@pytest.mark.parametrize(
    "mistake",
    [
        "",
        'project = "De mo"',
        'project = "demo"\nqouta = { bytes = 1 }',
        START + "quota = {}",
        START + "quota = { bytes = 0 }",
        START + 'quota = { objects = "5" }',
        START + 'quota = "5GiB"',
        START + "max_open_uploads = 0",
        START + 'max_open_uploads = "20"',
        START + 'uploader_header = "x-user"',
        START + "[categories.x]\nraed = 'public'",
        START + "[categories.x]\nread = 'all'",
        START + "[categories.X]",
        START + "[categories.x]\nbucket = 'No_pe'",
        START + "[categories.x]\nmax_object_size = '5 mb'",
        START + "[categories.x]\nmax_object_size = '0MiB'",
        START + "[categories.x]\nmax_object_size = 1.5",
        START + "[categories.x]\ncontent_types = []",
        START + "[categories.x]\ncontent_types = ['image/jpeg', 'image/jpeg']",
        START + "[categories.x]\ncontent_types = ['Image/JPEG']",
        START + "[categories.x]\ncontent_types = 'image/jpeg'",
        START + "[categories.x]\norigin_prefix = '/a'",
        START + "[categories.x]\ncache = 'yes'",
        START + "[categories.x]\ncache = { size = 1 }",
        START + "[principals.x]",
        START + "[principals.x]\nrole = 'root'",
        START + "[principals.anonymous]\nrole = 'reader'",
        START + "[principals.'a/b']\nrole = 'reader'",
        START + "[statements]\neffect = 'allow'",
        START + STATEMENT.replace('"allow"', '"Allow"'),
        START + STATEMENT.replace("s3:GetObject", "s3:GetObjct"),
        START + STATEMENT.replace("s3:GetObject", "GetObject"),
        START + STATEMENT.replace('["s3:GetObject"]', '"s3:GetObject"'),
        START + STATEMENT.replace('["s3:GetObject"]', "[]"),
        START + STATEMENT.replace("demo-x/*", "demo-x/?"),
        START + STATEMENT.replace("demo-x/*", "Demo-x/*"),
        START + STATEMENT.replace("demo-x/*", "demo-x/"),
        START + STATEMENT.replace('"ops"', '"*/ops"'),
        START + STATEMENT.replace("effect", "effekt"),
        START + STATEMENT + "prefix = ['a/*']",
        START + STATEMENT + "secure_transport = 'true'",
        START + STATEMENT + "source_ip = []",
        START + "[[cors]]\nallowed_origins = ['*']\nallowed_methods = ['PATCH']",
    ],
)
def test_mistakes_are_marked(mistake):
    assert not is_valid(mistake)
    with pytest.raises(ConfigError):
        parse_policy(mistake, Path("demo.toml"), ["local"])


@pytest.mark.parametrize(
    ("table", "made"),
    [
        (ProjectDocument, SCHEMA),
        (CategoryDocument, SCHEMA["$defs"]["CategoryDocument"]),
        (StatementDocument, SCHEMA["$defs"]["StatementDocument"]),
    ],
)
def test_every_key_is_described_and_nothing_else_is_taken(table, made):
    assert made["additionalProperties"] is False
    assert {name: key["description"] for name, key in made["properties"].items()} == {
        name: field.description for name, field in table.model_fields.items()
    }


def test_defaults_are_told_and_null_is_none_of_them():
    assert SCHEMA["properties"]["uploader_header"]["default"] == "x-amz-meta-uploader"
    category = SCHEMA["$defs"]["CategoryDocument"]["properties"]
    assert category["read"]["default"] == "private"
    assert "default" not in category["quota"]
    assert "null" not in str(SCHEMA)
