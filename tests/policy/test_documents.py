"""Policy files: what is accepted, and that no mistake is passed over."""

import string
from ipaddress import ip_network
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.config import ConfigError, read_policy_files
from gateway.policy.documents import parse_policies, parse_policy
from gateway.policy.model import Category, Conditions, CorsRule, Effect, Principal, Project, Quota, Role, Statement
from tests.support.policies import WHOLE, written_keys

ROOT = Path(__file__).resolve().parent.parent.parent
FILE = Path("/etc/anbar/policies/demo.toml")
DEMO = """\
project = "demo"
[categories.media]
bucket = "demo-pictures"
origin = "local"
[categories.voice]
[principals.ops]
role = "admin"
"""
CORS = """\
[[cors]]
allowed_origins = ["https://app.example", "https://*.example"]
allowed_methods = ["GET", "PUT"]
allowed_headers = ["*"]
expose_headers = ["ETag"]
max_age_s = 3600
"""


def project_of(text: str, origins=("local",)):
    return parse_policy(text, FILE, origins)


def mistakes_of(text: str, origins=("local",)) -> list[str]:
    with pytest.raises(ConfigError) as refusal:
        parse_policy(text, FILE, origins)
    assert str(FILE) in str(refusal.value)
    return refusal.value.mistakes


def test_a_project_has_its_categories_and_principals():
    demo = project_of(DEMO)
    assert demo.name == "demo"
    assert demo.categories["media"].bucket == "demo-pictures"
    assert demo.categories["media"].project == "demo"
    assert demo.principals["ops"].role is Role.ADMIN
    assert demo.principals["ops"].project == "demo"


def test_the_default_bucket_is_project_and_category():
    voice = project_of(DEMO).categories["voice"]
    assert (voice.bucket, voice.origin, voice.origin_bucket, voice.origin_prefix) == (
        "demo-voice", "local", "demo-voice", "",
    )  # fmt: skip


def test_the_project_names_the_origin_of_categories_that_name_none():
    demo = project_of('origin = "cold"\n' + DEMO, ["local", "cold"])
    assert demo.origin == "cold"
    assert demo.categories["media"].origin == "local"
    assert demo.categories["voice"].origin == "cold"


def test_with_several_origins_the_project_must_name_one():
    assert mistakes_of(DEMO, ["local", "cold"]) == [
        "origin: this key is required, since gateway.toml has several origins: cold, local"
    ]


def test_categories_without_cors_rules_get_the_projects():
    demo = project_of(DEMO + CORS + CORS.replace("[[cors]]", "[[categories.voice.cors]]").replace("3600", "5"))
    rule = CorsRule(("https://app.example", "https://*.example"), ("GET", "PUT"), ("*",), ("ETag",), 3600)
    assert demo.cors == (rule,)
    assert demo.categories["media"].cors == (rule,)
    assert [each.max_age_s for each in demo.categories["voice"].cors] == [5]


def test_an_empty_project_is_a_project():
    assert project_of('project = "demo"') == Project("demo", {}, {}, (), "local", file="demo.toml")


def test_everything_a_file_says_is_in_the_model():
    assert project_of(WHOLE, ["local", "cold"]) == Project(
        "demo",
        {
            "avatars": Category(
                "demo", "avatars", "demo-pictures", "cold", "media", "pictures/avatars/",
                adopt=True, public=True, content_types=("image/jpeg", "image/*"), max_object_size=5 << 20,
                quota=Quota(bytes=20 << 30), quota_per_uploader=Quota(objects=100), cache=True, cache_max_object_size=1 << 20,
                max_age_s=300,
            ),
            "voice": Category("demo", "voice", "demo-voice", "local", "demo-voice", cache=True),
        },
        {
            "ops": Principal("demo", "ops", Role.ADMIN),
            "backend": Principal("demo", "backend", Role.SERVICE),
            "sara": Principal("demo", "sara", Role.UPLOADER),
            "dashboard": Principal("demo", "dashboard", Role.READER),
        },
        (),
        "local",
        (
            Statement(
                "statements.0", Effect.ALLOW, ("backend", "backend/*", "backend/sara:7", "*"),
                ("s3:DeleteObject", "s3:Get*", "s3:ListBucket"),
                ("demo-voice/tmp/*", "demo-pictures", "*", "made-by-a-client/*"), line=30,
            ),
            Statement(
                "no writes from outside", Effect.DENY, ("anonymous", "*"), ("*",), ("*",),
                Conditions((ip_network("10.0.0.0/8"), ip_network("::1")), (ip_network("10.0.0.1"),), ("tmp/", "a?"), False),
                line=36,
            ),
        ),
        Quota(1 << 40, 1_000_000),
        "x-amz-meta-owner.id",
        "demo.toml",
        20,
    )  # fmt: skip


@pytest.mark.parametrize(("text", "kept"), [("true", True), ("false", False), ("{}", True)])
def test_a_cache_is_on_or_off(text, kept):
    voice = project_of(f'project = "demo"\n[categories.voice]\ncache = {text}').categories["voice"]
    assert (voice.cache, voice.cache_max_object_size) == (kept, None)


def test_statements_written_in_one_list_stand_on_its_line():
    statement = '{ effect = "deny", principals = ["*"], actions = ["*"], resources = ["*"] }'
    project = project_of(f'project = "demo"\n\nstatements = [\n{statement},\n{statement},\n]')
    assert [each.line for each in project.statements] == [3, 3]


def test_a_file_has_2000_statements_at_most():
    statement = '[[statements]]\neffect = "deny"\nprincipals = ["*"]\nactions = ["*"]\nresources = ["*"]\n'
    assert len(project_of(DEMO + 2000 * statement).statements) == 2000
    assert mistakes_of(DEMO + 2001 * statement) == ["line 8: statements: at most 2000 of these"]


@given(written_keys())
def test_a_value_of_any_type_is_taken_or_refused_by_name(text):
    try:
        project_of(text)
    except ConfigError as error:
        assert any(mistake.startswith(("line 1: ", "line 2: ", "project: ")) for mistake in error.mistakes)
        assert all(": " in mistake for mistake in error.mistakes)


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ("[principals.sara]\nrole = 'root'", "line 9: principals.sara.role: must be 'admin', 'service', 'uploader' or"),
        ("[principals.sara]\nroll = 'admin'", "line 8: principals.sara.role: this key is required"),
        ("[categories.x]\nread = 'all'", "line 9: categories.x.read: must be 'private' or 'public'"),
        ("[categories.x]\nqouta = { bytes = 1 }", 'line 9: categories.x.qouta: unknown key; did you mean "quota"?'),
        ("[categories.x]\nquota.byte = 1", 'line 9: categories.x.quota.byte: unknown key; did you mean "bytes"?'),
        ("[categories.x]\nquota = {}", "line 9: categories.x.quota: a quota is a table such as"),
        ("[categories.x]\nxyz = 1", "line 9: categories.x.xyz: unknown key"),
        ("[categories.x]\nbucket = 'No'", 'line 9: categories.x.bucket: "No" is no bucket name'),
        ("[categories.x]\nbucket = 3", "line 9: categories.x.bucket: must be a text"),
        ("[categories.x]\norigin = 'liara'", 'line 9: categories.x.origin: there is no origin "liara" in gateway.toml'),
        ("[categories.a_b]", 'line 8: categories.a_b.bucket: "demo-a_b" is no bucket name'),
        ("[statements]", "line 8: statements: must be a list"),
        ("[[cors]]\nallowed_methods = ['GET']", "line 8: cors.0.allowed_origins: this key is required"),
        (CORS.replace("PUT", "PATCH"), "line 10: cors.0.allowed_methods.1: "),
        (CORS.replace("https://*.example", "*://*"), "line 9: cors.0.allowed_origins.1: an origin is"),
        (CORS.replace('"ETag"', '"*"'), "line 12: cors.0.expose_headers.0: headers are exposed by their full names"),
        (CORS.replace('["*"]', '["a b"]'), "line 11: cors.0.allowed_headers.0: a header name"),
        (CORS.replace("3600", "-1"), "line 13: cors.0.max_age_s: must be at least 0"),
        (CORS.replace("3600", "86401"), "line 13: cors.0.max_age_s: must be at most 86400"),
        (CORS.replace("max_age_s", "max_age"), 'line 13: cors.0.max_age: unknown key; did you mean "max_age_s"?'),
    ],
)
def test_a_mistake_is_named_with_its_line_and_key(more, expected):
    assert mistakes_of(DEMO + more)[0].startswith(expected)


def test_the_file_is_called_after_its_project():
    assert mistakes_of(DEMO.replace('"demo"', '"other"')) == [
        "line 1: project: the file of project other is called other.toml"
    ]


def test_the_project_must_be_named():
    assert mistakes_of("[categories.x]") == ["project: this key is required"]


def test_two_projects_cannot_have_one_bucket():
    files = {
        Path("p/demo.toml"): DEMO,
        Path("p/other.toml"): 'project = "other"\n[categories.x]\nbucket = "demo-voice"\n',
    }
    with pytest.raises(ConfigError) as refusal:
        parse_policies(files, ["local"])
    assert str(refusal.value) == (
        'p/other.toml: line 3: categories.x.bucket: "demo-voice" is taken by p/demo.toml: categories.voice'
    )


def test_two_categories_cannot_have_one_bucket():
    with pytest.raises(ConfigError, match=r'categories\.x\.bucket: "demo-voice" is taken by categories\.voice'):
        parse_policies({FILE: DEMO + '[categories.x]\nbucket = "demo-voice"\n'}, ["local"])


def test_one_broken_file_refuses_all():
    with pytest.raises(ConfigError, match=r"other\.toml"):
        parse_policies({FILE: DEMO, FILE.with_name("other.toml"): "project = "}, ["local"])


def test_the_policies_that_are_shipped_are_valid():
    policies = parse_policies(read_policy_files(ROOT / "policies"), ["local"])
    assert policies.bucket("demo-media") is not None
    assert policies.bucket("demo-voice") is not None
    assert policies.principal("demo", "ops") is not None
    demo = policies.project("demo")
    assert demo is not None
    assert {principal.role for principal in demo.principals.values()} == set(Role)
    assert {statement.effect for statement in demo.statements} == set(Effect)
    assert demo.categories["avatars"].public


@given(st.text(alphabet=string.printable, max_size=200))
def test_garbage_is_config_error_and_nothing_else(text):
    with pytest.raises(ConfigError):
        project_of(text)
