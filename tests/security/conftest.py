"""Who attacks: the project's own admin, the admin of another project, and nobody at all."""

from collections.abc import Iterator

import pytest

from tests.support.caller import Caller
from tests.support.cast import Cast
from tests.support.gateway import Gateway

PEOPLE = """\
[categories.media]
[categories.voice]
[categories.open]
read = "public"
[principals]
ops = { role = "admin" }
backend = { role = "service" }
u1 = { role = "uploader" }
u2 = { role = "uploader" }
viewer = { role = "reader" }
"""
# Rights beyond the roles: a principal for each statement.
RULED = """\
project = "ruled"
[categories.media]
[categories.open]
read = "public"
[principals]
ops = { role = "admin" }
u1 = { role = "uploader" }
alice = { role = "uploader" }
current = { role = "uploader" }
viewer = { role = "reader" }
dropper = { role = "reader" }

[[statements]]
effect = "allow"
principals = ["alice"]
actions = ["s3:ListBucket", "s3:ListBucketVersions"]
resources = ["ruled-media"]
prefix = ["alice/"]
[[statements]]
effect = "allow"
principals = ["current"]
actions = ["s3:GetObject"]
resources = ["ruled-media/current/*"]
[[statements]]
effect = "allow"
principals = ["u1"]
actions = ["s3:GetObject"]
resources = ["ruled-media/elsewhere/*"]
source_ip = ["10.0.0.0/8"]
[[statements]]
effect = "allow"
principals = ["u1"]
actions = ["s3:GetObject"]
resources = ["ruled-media/here/*"]
source_ip = ["127.0.0.0/8"]
[[statements]]
effect = "deny"
principals = ["viewer"]
actions = ["s3:GetObject"]
resources = ["ruled-media/hidden/*"]
[[statements]]
effect = "deny"
principals = ["anonymous"]
actions = ["s3:GetObject"]
resources = ["ruled-open/signed/*"]
[[statements]]
effect = "deny"
principals = ["*"]
actions = ["s3:GetObject"]
resources = ["ruled-open/closed/*"]
[[statements]]
effect = "allow"
principals = ["dropper"]
actions = ["s3:PutObject"]
resources = ["ruled-media/drop/*"]
"""


@pytest.fixture(scope="session")
def cast(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cast]:
    """People of every role in the projects `demo`, `other` and `ruled`, at a gateway of their own."""
    policies = {
        "demo": f'project = "demo"\n{PEOPLE}',
        "other": f'project = "other"\nuploader_header = "x-amz-meta-owner"\n{PEOPLE}',
        "ruled": RULED,
    }
    local = {"kind": "directory", "path": "var/objects", "durable": False}
    directory = tmp_path_factory.mktemp("cast")
    with Gateway(directory, policies=policies, settings={"origins.local": local}) as running:
        everybody = ("ops", "backend", "u1", "u2", "viewer")
        names = [f"{project}/{name}" for project in ("demo", "other") for name in everybody]
        names += [f"ruled/{name}" for name in ("ops", "u1", "alice", "current", "viewer", "dropper")]
        yield Cast.at(running, names)


@pytest.fixture
def caller(gateway: Gateway) -> Caller:
    """The admin of the project demo."""
    return Caller.of(gateway)


@pytest.fixture
def stranger(gateway: Gateway) -> Caller:
    """The admin of the project other, to whom demo's buckets are closed."""
    return Caller.of(gateway, other=True)


@pytest.fixture
def bucket(caller: Caller) -> str:
    """A new, empty bucket of the project demo."""
    return caller.new_bucket()


@pytest.fixture(scope="session")
def guarded() -> list[str]:
    """The bucket that `untouched` guards, where there is one: it is made once, and anew after it has been changed."""
    return []


@pytest.fixture
def untouched(caller: Caller, guarded: list[str]) -> Iterator[str]:
    """A bucket with the object `victim` in it; after the test nothing in it may have changed."""
    if not guarded:
        name = caller.new_bucket()
        caller.put(name, "victim", b"the first bytes", [("x-amz-meta-mark", "one"), ("Content-Type", "text/plain")])
        guarded.append(name)
    name = guarded.pop()
    yield name
    assert caller.keys(name) == ["victim"]
    assert caller.uploads(name) == []
    found = caller.get(name, "victim")
    assert found.body == b"the first bytes"
    assert found.header("x-amz-meta-mark") == "one"
    assert found.header("content-type") == "text/plain"
    guarded.append(name)
