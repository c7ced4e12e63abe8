"""anbar policy explain: the answer of the gateway's own evaluator, with the line that decides."""

import asyncio
import json
import re
from typing import Any

import pytest

from gateway.store.buckets import Bucket, Buckets
from gateway.store.database import Database

SHOP = """\
project = "shop"

[categories.items]

[principals.till]
role = "admin"
"""
CONDITIONS = """
[[statements]]
name = "only from the office"
effect = "deny"
principals = ["ops"]
actions = ["s3:DeleteObject"]
resources = ["demo-media/*"]
not_source_ip = ["10.0.0.0/8"]

[[statements]]
name = "nothing in the clear"
effect = "deny"
principals = ["sara"]
actions = ["*"]
resources = ["*"]
secure_transport = false

[[statements]]
name = "lea reads all recordings"
effect = "allow"
principals = ["backend/lea"]
actions = ["s3:GetObject"]
resources = ["demo-voice/*"]
"""


@pytest.fixture
def demo(anbar, installation):
    """The demo project with conditions, and another project; both are in force."""
    (installation / "policies/shop.toml").write_text(SHOP)
    with (installation / "policies/demo.toml").open("a") as file:
        file.write(CONDITIONS)
    assert anbar("policy", "apply").code == 0
    return installation


@pytest.fixture
def explain(anbar):
    """What explain says: (exit code, JSON)."""

    def run(*arguments: str) -> tuple[int, Any]:
        ended = anbar("policy", "explain", *arguments, "--json")
        assert ended.err == ""
        return ended.code, json.loads(ended.out)

    return run


@pytest.fixture
def allowed(explain):
    """May they? The exit code says the same as the JSON."""

    def run(*arguments: str) -> bool:
        code, told = explain(*arguments)
        assert code == (0 if told["allowed"] else 1)
        return bool(told["allowed"])

    return run


def test_the_owner_is_looked_up_in_the_store(explain, allowed, demo, hold):
    hold("demo-media", "hers", "sara")
    hold("demo-media", "not-hers", "ops")
    assert allowed("sara", "s3:GetObject", "s3://demo-media/hers")
    assert not allowed("sara", "s3:GetObject", "s3://demo-media/not-hers")
    assert not allowed("sara", "s3:GetObject", "s3://demo-media/missing")
    assert allowed("sara", "s3:PutObject", "s3://demo-media/missing")
    assert not allowed("sara", "s3:PutObject", "s3://demo-media/not-hers")
    owners = [explain("ops", "s3:GetObject", f"s3://demo-media/{key}")[1]["owner"] for key in ("hers", "missing")]
    assert owners == ["sara", None]


def test_another_owner_may_be_supposed(allowed, demo, hold):
    hold("demo-media", "hers", "sara")
    assert not allowed("sara", "s3:GetObject", "s3://demo-media/hers", "--owner", "backend")
    assert allowed("sara", "s3:GetObject", "s3://demo-media/missing", "--owner", "sara")


def test_sessions_reach_what_is_their_end_users(allowed, demo, hold):
    hold("demo-media", "of-lea", "lea")
    assert allowed("backend/lea", "s3:GetObject", "s3://demo-media/of-lea")
    assert not allowed("backend/max", "s3:GetObject", "s3://demo-media/of-lea")
    assert allowed("backend/lea", "s3:GetObject", "s3://demo-voice/anything")
    assert not allowed("backend/max", "s3:GetObject", "s3://demo-voice/anything")


def test_anonymous_reads_objects_of_public_categories_only(allowed, demo):
    assert allowed("anonymous", "s3:GetObject", "s3://demo-avatars/x")
    assert not allowed("anonymous", "s3:GetObject", "s3://demo-media/x")
    assert not allowed("anonymous", "s3:ListBucket", "s3://demo-avatars")
    assert not allowed("anonymous", "s3:PutObject", "s3://demo-avatars/x")


def test_principals_of_other_projects_reach_what_is_public_only(explain, allowed, demo):
    assert not allowed("till", "s3:GetObject", "s3://demo-media/x", "--project", "shop")
    assert allowed("till", "s3:GetObject", "s3://demo-avatars/x", "--project", "shop")
    _, told = explain("till", "s3:ListBucket", "s3://demo-media", "--project", "shop")
    assert told["reason"] == "the resource is not in the principal's project"


def test_addresses_and_transport_count(allowed, demo):
    delete = ("ops", "s3:DeleteObject", "s3://demo-media/x")
    assert allowed(*delete, "--source-ip", "10.1.2.3")
    assert not allowed(*delete, "--source-ip", "192.0.2.1")
    assert not allowed(*delete, "--source-ip", "2001:db8::1")
    assert not allowed(*delete), "an address that is not known is not in the office"
    listing = ("sara", "s3:ListBucket", "s3://demo-media")
    assert allowed(*listing)
    assert allowed(*listing, "--secure")
    assert not allowed(*listing, "--insecure")


def test_the_statement_that_decides_is_told_with_its_line(anbar, explain, demo):
    file = f"{demo}/policies/demo.toml"
    lines = (demo / "policies/demo.toml").read_text().splitlines()
    denied = ("dashboard", "s3:GetObject", "s3://demo-voice/x")
    name = "recordings are not read from the dashboard"
    line = next(number for number, text in enumerate(lines) if name in text)
    ended = anbar("policy", "explain", *denied)
    assert (ended.code, ended.err) == (1, "")
    assert ended.out == (f'denied: the statement "{name}" denies it ({file}:{line})\nthe object is not there\n')
    assert explain(*denied)[1]["statement"] == {"name": name, "file": file, "line": line}
    ended = anbar("policy", "explain", "backend", "s3:DeleteObject", "s3://demo-voice/tmp/x")
    assert ended.code == 0
    assert ended.out.startswith('allowed: the statement "backend clears temporary files" allows it (')


def test_the_answer_without_a_statement_has_its_reason(anbar, explain, demo, hold):
    hold("demo-media", "a", "sara")
    ended = anbar("policy", "explain", "ops", "s3:GetObject", "s3://demo-media/a")
    assert (ended.code, ended.out) == (0, "allowed: the role allows it (all)\nthe object is of sara\n")
    assert explain("ops", "s3:ListBucket", "s3://demo-media") == (
        0,
        {"allowed": True, "reason": "the role allows it (all)", "statement": None, "owner": None, "in_force": True},
    )


def test_files_that_are_not_in_force_are_told(anbar, explain, installation, edit_policy):
    asked = ("sara", "s3:PutObject", "s3://demo-media/x")
    assert anbar("policy", "explain", *asked).out.endswith("so say the files; nothing is in force yet\n")
    assert anbar("policy", "apply").code == 0
    assert "in force" not in anbar("policy", "explain", *asked).out
    edit_policy('[principals.sara]\nrole = "uploader"', '[principals.sara]\nrole = "reader"')
    ended = anbar("policy", "explain", *asked)
    assert ended.code == 1
    assert ended.out.endswith("so say the files; revision 1, which is in force, differs: anbar policy plan\n")
    assert explain(*asked)[1]["in_force"] is False


def test_a_bucket_that_a_client_made_is_its_projects(anbar, allowed, demo):
    async def make() -> None:
        database = await Database.open(demo / "var/anbar.sqlite")
        await Buckets(database).create(Bucket("made", "demo", "made", "local", "made", "", "client", 1))
        await database.close()

    asyncio.run(make())
    assert allowed("ops", "s3:PutObject", "s3://made/x")
    assert not allowed("till", "s3:PutObject", "s3://made/x", "--project", "shop")


def test_a_bucket_that_is_not_there_needs_a_project(anbar, allowed, demo):
    ended = anbar("policy", "explain", "ops", "s3:CreateBucket", "s3://new")
    assert (ended.code, ended.out) == (1, "")
    assert 'there is no bucket "new"; whose would it be? Say --project P' in ended.err
    assert allowed("ops", "s3:CreateBucket", "s3://new", "--project", "demo")
    assert not allowed("sara", "s3:CreateBucket", "s3://new", "--project", "demo")


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("reza", "s3:GetObject", "s3://demo-media/x"), 'no principal "reza"; it has backend, dashboard, ops, sara'),
        (("", "s3:GetObject", "s3://demo-media/x"), 'no principal ""'),
        (("ops", "s3:GetObject", "s3://demo-media/x", "--project", "moon"), 'no project "moon"; there is demo, shop'),
        (("anonymous", "s3:GetObject", "s3://x/x", "--project", "moon"), 'no project "moon"; there is demo, shop'),
        (("sara/lea", "s3:GetObject", "s3://demo-media/x"), '"sara/lea" is nobody: sara is no service'),
        (("backend/", "s3:GetObject", "s3://demo-media/x"), '"backend/" is nobody: names of end users are'),
        (("backend/a/b", "s3:GetObject", "s3://demo-media/x"), '"backend/a/b" is nobody'),
    ],
)
def test_unknown_names_are_refused(anbar, demo, arguments, reason):
    ended = anbar("policy", "explain", *arguments)
    assert (ended.code, ended.out) == (1, "")
    assert reason in ended.err


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("ops", "s3:GetObject"),
        ("ops", "s3:GetObjekt", "s3://demo-media/x"),
        ("ops", "GetObject", "s3://demo-media/x"),
        ("ops", "s3:Get*", "s3://demo-media/x"),
        ("ops", "s3:GetObject", "demo-media/x"),
        ("ops", "s3:GetObject", "s3://"),
        ("ops", "s3:GetObject", "s3:///x"),
        ("ops", "s3:GetObject", "s3://demo-media/x", "--source-ip", "10.0.0"),
        ("ops", "s3:GetObject", "s3://demo-media/x", "--source-ip", "10.0.0.0/8"),
    ],
)
def test_wrong_usage_is_exit_code_2_and_not_taken_for_a_denial(anbar, demo, arguments):
    ended = anbar("policy", "explain", *arguments)
    assert (ended.code, ended.out) == (2, "")


def test_an_action_with_a_slip_is_told_the_right_one(anbar, demo):
    ended = anbar("policy", "explain", "ops", "s3:GetObjekt", "s3://demo-media/x")
    assert 'did you mean "s3:GetObject"?' in re.sub(r"[\s│]+", " ", ended.err)


def test_broken_files_explain_nothing(anbar, demo, edit_policy):
    edit_policy('role = "admin"', 'role = "boss"')
    ended = anbar("policy", "explain", "ops", "s3:GetObject", "s3://demo-media/x")
    assert (ended.code, ended.out) == (1, "")
    assert "policies/demo.toml: line 23: principals.ops.role: must be" in ended.err


def test_without_a_store_it_is_explained_all_the_same(allowed, installation):
    assert allowed("ops", "s3:GetObject", "s3://demo-media/x")
    assert not (installation / "var/anbar.sqlite").exists()
