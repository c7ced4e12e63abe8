"""What a change of the policies means: every difference once, and nothing else."""

import json
from dataclasses import fields
from pathlib import Path

import pytest

from gateway.policy.consequences import Consequence, consequences, from_json, orphaned, render_consequences, to_json
from gateway.policy.documents import parse_policies
from gateway.policy.model import Category, PolicySet
from tests.support.policies import WHOLE

FIRST = """\
[[statements]]
effect = "allow"
principals = ["backend", "sara"]
actions = ["s3:DeleteObject"]
resources = ["demo-media/tmp/*"]
"""
SECOND = """\
[[statements]]
name = "nothing from outside"
effect = "deny"
principals = ["*"]
actions = ["*"]
resources = ["*"]
not_source_ip = ["10.0.0.0/8"]
"""
DEMO = """\
project = "demo"
origin = "local"
[categories.media]
quota = { bytes = "1GiB" }
[categories.pictures]
read = "public"
[principals]
backend = { role = "service" }
sara = { role = "uploader" }
[[cors]]
allowed_origins = ["https://app.example"]
allowed_methods = ["GET"]
"""


def policies(*texts: str) -> PolicySet:
    named = {Path(f"{text.split(chr(34))[1]}.toml"): text for text in texts}
    return parse_policies(named, ["local", "cold"])


def change(old: str, new: str) -> tuple[Consequence, ...]:
    return consequences(policies(old), policies(new))


def edited(*replacements: tuple[str, str]) -> tuple[Consequence, ...]:
    """What follows from replacing texts of DEMO."""
    new = DEMO
    for old_part, new_part in replacements:
        assert old_part in new
        new = new.replace(old_part, new_part)
    return change(DEMO, new)


def test_equal_policies_have_no_consequences():
    assert change(WHOLE, WHOLE) == ()
    assert render_consequences(()) == "nothing changes\n"


def test_order_comments_and_way_of_writing_are_no_change():
    other = DEMO.replace("1GiB", "1024MiB").replace("[categories.media]\n", "# media\n[categories.media]\n")
    assert change(DEMO + FIRST + SECOND, other + SECOND + FIRST) == ()
    assert change(DEMO + FIRST, DEMO + FIRST.replace('"backend", "sara"', '"sara", "backend"')) == ()


def test_the_first_policies_are_all_new():
    found = consequences(None, policies(DEMO + FIRST))
    assert [(each.sign, each.kind, each.name) for each in found] == [
        ("+", "project", "demo"),
        ("+", "category", "media"),
        ("+", "category", "pictures"),
        ("+", "principal", "backend"),
        ("+", "principal", "sara"),
        ("+", "statement", "statements.0"),
    ]
    assert found[0].text.startswith("categories 2, principals 2, statements 1, origin local, ")
    assert found[1].text == "bucket demo-media, origin local, origin_bucket demo-media, read private, quota.bytes 1 GiB"
    assert found[2].gains == ("everybody: reads the objects of demo-pictures without a signature",)
    assert found[4].gains[0].startswith("sara: stores new objects; ")
    assert not [each for each in found if each.loses]


def test_a_project_that_is_gone_takes_everything_with_it():
    found = consequences(
        policies(DEMO + SECOND, 'project = "other"\norigin = "local"'), policies('project = "other"\norigin = "local"')
    )
    assert [(each.project, each.sign, each.kind) for each in found] == [
        ("demo", "-", "project"),
        ("demo", "-", "category"),
        ("demo", "-", "category"),
        ("demo", "-", "principal"),
        ("demo", "-", "principal"),
        ("demo", "-", "statement"),
    ]
    assert found[2].loses == ("everybody: reads the objects of demo-pictures without a signature",)
    assert found[5].gains == ("everybody: * on *, from elsewhere than 10.0.0.0/8",)


def test_projects_come_in_the_order_of_their_names():
    one, two = 'project = "one"\norigin = "local"', 'project = "two"\norigin = "local"'
    assert [each.project for each in consequences(None, policies(two, one))] == ["one", "two"]


@pytest.mark.parametrize(
    ("old", "new", "text"),
    [
        ("1GiB", "1500MB", "quota.bytes 1 GiB → 1,500 MB"),
        ('bytes = "1GiB"', "objects = 5_000", "quota.bytes 1 GiB → unset, quota.objects unset → 5,000"),
        ("quota =", "quota_per_uploader =", "quota.bytes 1 GiB → unset, quota_per_uploader.bytes unset → 1 GiB"),
        ("quota =", "cache = true\nquota =", "cache unset → on"),
        (
            "quota =",
            "cache = { max_object_size = 8 }\nquota =",
            "cache unset → on, cache.max_object_size unset → 8 bytes",
        ),
        ("quota =", 'content_types = ["image/*", "a/b"]\nquota =', "content_types unset → a/b, image/*"),
        ("quota =", 'max_object_size = "5MiB"\nquota =', "max_object_size unset → 5 MiB"),
        ("quota =", 'origin = "cold"\nquota =', "origin local → cold"),
        ("quota =", 'origin_prefix = "a/"\nquota =', "origin_prefix unset → a/"),
        ("quota =", "adopt = true\nquota =", "adopt unset → on"),
        ("quota =", 'origin_bucket = "media"\nquota =', "origin_bucket demo-media → media"),
        ("quota =", 'bucket = "media"\nquota =', "bucket demo-media → media, origin_bucket demo-media → media"),
    ],
)
def test_a_changed_category_names_what_changed(old, new, text):
    assert edited((old, new)) == (Consequence("demo", "~", "category", "media", text),)


def test_every_field_of_a_category_is_compared():
    told = {"name", "project"}  # what a category is found by
    text = "".join(each.text for each in consequences(None, policies(WHOLE)) if each.kind == "category")
    renamed = {"public": "read", "cors": "", "cache_max_object_size": "cache.max_object_size"}
    for field in fields(Category):
        assert field.name in told or renamed.get(field.name, field.name) in text, field.name


def test_a_category_that_becomes_public_or_private_is_told():
    public, private = DEMO, DEMO.replace("public", "private")
    sentence = "everybody: reads the objects of demo-pictures without a signature"
    assert change(private, public)[0].gains == (sentence,)
    [closed] = change(public, private)
    assert (closed.text, closed.gains, closed.loses) == ("read public → private", (), (sentence,))


def test_a_public_category_with_another_bucket_is_another_place_to_read():
    [moved] = edited(('read = "public"', 'read = "public"\nbucket = "pictures"'))
    assert moved.gains == ("everybody: reads the objects of pictures without a signature",)
    assert moved.loses == ("everybody: reads the objects of demo-pictures without a signature",)


def test_the_projects_cors_rules_are_told_once():
    assert edited(('"GET"', '"GET", "PUT"')) == (
        Consequence(
            "demo", "~", "settings", "cors", "cors GET from https://app.example → GET/PUT from https://app.example"
        ),
    )
    [own] = change(
        DEMO, DEMO + DEMO[DEMO.index("[[cors]]") :].replace("cors", "categories.media.cors").replace("GET", "PUT")
    )
    assert (own.kind, own.name, own.text) == ("category", "media", "cors unset → PUT from https://app.example")


@pytest.mark.parametrize(
    ("line", "name", "text"),
    [
        ('quota = { bytes = "1TiB" }', "quota", "quota.bytes unset → 1 TiB"),
        ("max_open_uploads = 5_000", "max_open_uploads", "max_open_uploads unset → 5,000"),
        (
            'uploader_header = "x-amz-meta-user"',
            "uploader_header",
            "uploader_header x-amz-meta-uploader → x-amz-meta-user",
        ),
    ],
)
def test_a_changed_setting_is_named(line, name, text):
    assert edited(('origin = "local"', f'origin = "local"\n{line}')) == (
        Consequence("demo", "~", "settings", name, text),
    )


def test_another_origin_is_told_of_the_project_and_of_each_category_that_moves():
    found = edited(('origin = "local"', 'origin = "cold"'))
    assert [(each.kind, each.name, each.text) for each in found] == [
        ("settings", "origin", "origin local → cold"),
        ("category", "media", "origin local → cold"),
        ("category", "pictures", "origin local → cold"),
    ]


def test_another_role_says_what_is_gained_and_lost():
    [sara] = edited(('"uploader"', '"reader"'))
    assert sara == Consequence(
        "demo", "~", "principal", "sara", "role uploader → reader",
        ("sara: reads and lists the objects of others",),
        ("sara: stores new objects; overwrites, changes and deletes its own objects; lists its own unfinished uploads",),
    )  # fmt: skip


def test_a_principal_that_is_gone_loses_all_its_rights():
    [sara] = edited(('sara = { role = "uploader" }\n', ""))
    assert (sara.sign, sara.name, sara.text, sara.gains) == ("-", "sara", "role uploader", ())
    assert sara.loses[0].startswith("sara: stores new objects; ")


@pytest.mark.parametrize(
    ("old", "new", "sign", "gains", "loses"),
    [
        ("", FIRST, "+", ("backend, sara: s3:DeleteObject on demo-media/tmp/*",), ()),
        (FIRST, "", "-", (), ("backend, sara: s3:DeleteObject on demo-media/tmp/*",)),
        ("", SECOND, "+", (), ("everybody: * on *, from elsewhere than 10.0.0.0/8",)),
        (SECOND, "", "-", ("everybody: * on *, from elsewhere than 10.0.0.0/8",), ()),
    ],
)
def test_a_statement_gives_or_takes(old, new, sign, gains, loses):
    [found] = change(DEMO + old, DEMO + new)
    assert (found.sign, found.kind, found.gains, found.loses) == (sign, "statement", gains, loses)


def test_an_unnamed_statement_that_says_something_else_is_another_one():
    found = change(DEMO + FIRST, DEMO + FIRST.replace("tmp/", "old/"))
    assert [(each.sign, each.gains, each.loses) for each in found] == [
        ("-", (), ("backend, sara: s3:DeleteObject on demo-media/tmp/*",)),
        ("+", ("backend, sara: s3:DeleteObject on demo-media/old/*",), ()),
    ]


NAMED = FIRST.replace("effect", 'name = "clearing"\neffect')


@pytest.mark.parametrize(
    ("old", "new", "text", "gains", "loses"),
    [
        (
            '"s3:DeleteObject"', '"s3:DeleteObject", "s3:PutObject"',
            "actions s3:DeleteObject → s3:DeleteObject, s3:PutObject",
            ("backend, sara: s3:PutObject on demo-media/tmp/*",), (),
        ),
        (
            '"backend", "sara"', '"backend", "backend/*"', "principals backend, sara → backend, backend/*",
            ("backend/*: s3:DeleteObject on demo-media/tmp/*",), ("sara: s3:DeleteObject on demo-media/tmp/*",),
        ),
        (
            "tmp/", "old/", "resources demo-media/tmp/* → demo-media/old/*",
            ("backend, sara: s3:DeleteObject on demo-media/old/*",), ("backend, sara: s3:DeleteObject on demo-media/tmp/*",),
        ),
        (
            '"allow"', '"deny"', "effect allow → deny",
            (), ("backend, sara: s3:DeleteObject on demo-media/tmp/*",) * 2,
        ),
        (
            "effect", 'source_ip = ["10.0.0.1"]\nsecure_transport = true\nprefix = ["a"]\neffect',
            "source_ip unset → 10.0.0.1/32, prefix unset → a, secure_transport unset → true",
            ("backend, sara: s3:DeleteObject on demo-media/tmp/*, from 10.0.0.1/32, where keys begin with a, over HTTPS",),
            ("backend, sara: s3:DeleteObject on demo-media/tmp/*",),
        ),
    ],
)  # fmt: skip
def test_a_named_statement_that_says_something_else_has_changed(old, new, text, gains, loses):
    assert change(DEMO + NAMED, DEMO + NAMED.replace(old, new)) == (
        Consequence("demo", "~", "statement", "clearing", text, gains, loses),
    )


def test_a_changed_denial_gives_what_it_no_longer_denies():
    [found] = change(DEMO + SECOND, DEMO + SECOND.replace('actions = ["*"]', 'actions = ["s3:Get*"]'))
    assert found.gains == ("everybody: * on *, from elsewhere than 10.0.0.0/8",)
    assert found.loses == ("everybody: s3:Get* on *, from elsewhere than 10.0.0.0/8",)


def test_another_name_is_told_and_changes_no_right():
    [found] = change(DEMO + SECOND + FIRST, DEMO + NAMED + SECOND)
    assert found == Consequence("demo", "~", "statement", "clearing", "name unset → clearing")


def test_a_statement_said_twice_is_lost_only_with_the_last_of_them():
    assert change(DEMO + FIRST + FIRST, DEMO + FIRST) == ()


def test_people_read_one_paragraph_a_project():
    other = 'project = "other"\norigin = "local"\n'
    found = consequences(
        policies(DEMO, other), policies(DEMO.replace("public", "private") + SECOND, other + "[categories.x]")
    )
    assert render_consequences(found) == (
        "project demo\n"
        "  ~ category pictures: read public → private\n"
        "      loses  everybody: reads the objects of demo-pictures without a signature\n"
        '  + statement "nothing from outside": deny\n'
        "      loses  everybody: * on *, from elsewhere than 10.0.0.0/8\n"
        "\n"
        "project other\n"
        "  + category x: bucket other-x, origin local, origin_bucket other-x, read private\n"
    )


def test_machines_read_tables():
    found = edited(('"uploader"', '"reader"'))
    [table] = json.loads(json.dumps(to_json(found)))
    assert from_json([table]) == found
    assert table == {
        "project": "demo",
        "sign": "~",
        "kind": "principal",
        "name": "sara",
        "text": "role uploader → reader",
        "gains": list(found[0].gains),
        "loses": list(found[0].loses),
    }


def test_categories_whose_bucket_nobody_has_any_more_are_orphaned():
    old = policies(DEMO)
    assert orphaned(None, old) == orphaned(old, old) == ()
    [left] = orphaned(
        old, policies(DEMO.replace("categories.media", 'categories.x]\nbucket = "demo-pictures-2"\n[categories.y'))
    )
    assert left.bucket == "demo-media"
    assert orphaned(old, policies(DEMO.replace("categories.media]", 'categories.other]\nbucket = "demo-media"'))) == ()
