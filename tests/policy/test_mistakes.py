"""Mistakes that no table shows by itself, each with its line and in words that say what would be right."""

from pathlib import Path

import pytest

from gateway.config import ConfigError
from gateway.policy.documents import parse_policies, parse_policy

FILE = Path("policies/demo.toml")
DEMO = """\
project = "demo"
[categories.media]
[categories.voice]
bucket = "demo-recordings"
[principals]
backend = { role = "service" }
sara = { role = "uploader" }
"""
FIRST_LINE = DEMO.count("\n") + 1


def statement(**keys: str) -> str:
    """A `[[statements]]` table of five lines, at FIRST_LINE where it comes first."""
    table = {
        "effect": '"allow"',
        "principals": '["backend"]',
        "actions": '["s3:DeleteObject"]',
        "resources": '["demo-media/*"]',
    } | keys
    return "[[statements]]\n" + "".join(f"{key} = {value}\n" for key, value in table.items())


def mistakes_of(text: str, origins=("local",)) -> list[str]:
    with pytest.raises(ConfigError) as refusal:
        parse_policy(text, FILE, origins)
    return refusal.value.mistakes


def clash_of(**texts: str) -> ConfigError:
    with pytest.raises(ConfigError) as refusal:
        parse_policies({Path(f"{name}.toml"): text for name, text in texts.items()}, ["local", "cold"])
    return refusal.value


@pytest.mark.parametrize(
    ("principal", "expected"),
    [
        ("bakend", 'there is no principal "bakend" in this file; there is backend, sara; did you mean "backend"?'),
        ("bakend/sara", 'there is no principal "bakend" in this file; there is backend, sara; did you mean "backend"?'),
        ("zzz", 'there is no principal "zzz" in this file; there is backend, sara'),
        ("sara/reza", 'only a service has end users, and the role of "sara" is "uploader"'),
        ("sara/*", 'only a service has end users, and the role of "sara" is "uploader"'),
        (
            "anonymous",
            'no statement allows requests without a signature; `read = "public"` in a category lets everybody read it',
        ),
    ],
)
def test_a_principal_must_be_one_of_the_file(principal, expected):
    where = f"line {FIRST_LINE + 2}: statements.0.principals.1: "
    assert mistakes_of(DEMO + statement(principals=f'["backend", "{principal}"]')) == [where + expected]


def test_many_principals_are_not_all_listed():
    many = "".join(f'p{number} = {{ role = "reader" }}\n' for number in range(100))
    [mistake] = mistakes_of(DEMO + many + statement(principals='["zzz"]'))
    assert mistake.endswith("p24, p25 and 82 more")


@pytest.mark.parametrize("principal", ["anonymous", "*", "backend/*", "backend/sara", "sara"])
def test_a_denial_may_name_everybody(principal):
    assert parse_policy(DEMO + statement(effect='"deny"', principals=f'["{principal}"]'), FILE, ["local"]).statements


@pytest.mark.parametrize(
    ("resource", "expected"),
    [
        ("voice/*", '"voice" is a category; clients see it as the bucket "demo-recordings"'),
        ("voice", '"voice" is a category; clients see it as the bucket "demo-recordings"'),
        ("Demo-Media/*", '"Demo-Media" is no bucket name'),
        ("demo_media/*", 'there is demo-media, demo-recordings; did you mean "demo-media"?'),
    ],
)
def test_a_resource_begins_with_a_bucket(resource, expected):
    [mistake] = mistakes_of(DEMO + statement(actions='["*"]', resources=f'["*", "{resource}"]'))
    assert mistake.startswith(f"line {FIRST_LINE + 4}: statements.0.resources.1: ")
    assert expected in mistake


@pytest.mark.parametrize(
    "resource", ["demo-recordings/*", "made-by-a-client/*", "demo-*", "*", "V*", "arn:aws:s3:::demo-media/a"]
)
def test_a_bucket_may_be_one_that_a_client_makes_or_a_pattern(resource):
    assert parse_policy(DEMO + statement(resources=f'["{resource}"]'), FILE, ["local"]).statements


def test_a_category_may_have_the_bucket_of_its_own_name():
    text = DEMO.replace("demo-recordings", "voice") + statement(resources='["voice/*"]')
    assert parse_policy(text, FILE, ["local"]).statements


def test_a_statements_name_is_its_own():
    text = DEMO + statement(name='"x"') + statement() + statement(name='"x"')
    assert mistakes_of(text) == [f"line {FIRST_LINE + 16}: statements.2.name: statements.0 has this name"]
    assert mistakes_of(DEMO + statement(name='"statements.1"') + statement()) == [
        f"line {FIRST_LINE + 6}: statements.1.name: statements.0 has this name"
    ]


def test_all_mistakes_are_told_in_the_order_of_the_file():
    text = DEMO.replace('"demo"', '"other"') + "[categories.x]\norigin = 'far'\n" + statement(principals='["zzz"]')
    assert [mistake.split(":")[0] for mistake in mistakes_of(text)] == ["line 1", "line 9", "line 12"]


@pytest.mark.parametrize(
    ("outer", "inner", "relation"),
    [
        ("", "a/", "is inside"),
        ("a/", "a/b/", "is inside"),
        ("a/", "a/", "is"),
        ("a/b/", "a/", "holds"),
        ("a/b/", "", "holds"),
    ],
)
def test_two_categories_cannot_have_one_place_at_an_origin(outer, inner, relation):
    text = (
        'project = "demo"\norigin = "cold"\n[categories.one]\norigin_bucket = "media"\n'
        f'origin_prefix = "{outer}"\n[categories.two]\norigin_bucket = "media"\norigin_prefix = "{inner}"\n'
    )
    assert clash_of(demo=text).mistakes == [
        (
            f"line 8: categories.two.origin_prefix: its place at the origin, cold:media/{inner}, {relation} that of "
            f"categories.one, cold:media/{outer}; every category has a place of its own"
        )
    ]


def test_two_projects_cannot_have_one_place_at_an_origin():
    one = 'project = "one"\norigin = "cold"\n[categories.x]\n'
    two = 'project = "two"\norigin = "cold"\n[categories.y]\norigin_bucket = "one-x"\norigin_prefix = "a/"\n'
    error = clash_of(two=two, one=one)
    assert error.file == Path("one.toml")
    assert error.mistakes == [
        (
            "line 3: categories.x.origin_prefix: its place at the origin, cold:one-x/, holds that of "
            "two.toml: categories.y, cold:one-x/a/; every category has a place of its own"
        )
    ]


def test_every_category_inside_another_is_told():
    text = 'project = "demo"\norigin = "cold"\n[categories.all]\norigin_bucket = "media"\n' + "".join(
        f'[categories.{name}]\norigin_bucket = "media"\norigin_prefix = "{name}/"\n' for name in ("b", "a", "ab")
    )
    assert [mistake.split(":")[0] for mistake in clash_of(demo=text).mistakes] == ["line 7", "line 10", "line 13"]


def test_neighbours_do_not_share_a_place():
    text = 'project = "demo"\norigin = "cold"\n' + "".join(
        f'[categories.{name}]\norigin_bucket = "media"\norigin_prefix = "{prefix}"\n'
        for name, prefix in (("one", "a/"), ("two", "ab/"), ("three", "b/a/"))
    )
    elsewhere = text + '[categories.four]\norigin_bucket = "media"\norigin_prefix = "a/"\norigin = "local"\n'
    project = parse_policies({FILE: elsewhere}, ["local", "cold"]).projects[0]
    assert len(project.categories) == 4


@pytest.mark.parametrize("action", ["sts:AssumeRole", "sts:*"])
def test_no_statement_lets_anybody_begin_sessions(action):
    text = DEMO + statement(actions=f'["s3:DeleteObject", "{action}"]', resources='["*"]')
    [mistake] = mistakes_of(text)
    assert mistake.startswith(
        f"line {FIRST_LINE + 3}: statements.0.actions.1: no statement lets anybody begin sessions"
    )
    assert parse_policy(text.replace('"allow"', '"deny"'), FILE, ["local"]).statements
