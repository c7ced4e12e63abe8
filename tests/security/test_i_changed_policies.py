"""I: a right is asked for at every request, and never learned: not from a bucket, a connection or an earlier answer."""

import time
from collections.abc import Callable, Iterator

import pytest

from tests.support.caller import Caller, refused
from tests.support.cast import Cast
from tests.support.raw_http import Request

Apply = Callable[[str, str], None]


@pytest.fixture
def apply(cast: Cast) -> Iterator[Apply]:
    """Replace one text in the policy of the project ruled and apply it; after the test it is as before."""
    file = cast.gateway.directory / "policies" / "ruled.toml"
    before = file.read_text()

    def change(old: str, new: str) -> None:
        assert old in file.read_text()
        file.write_text(file.read_text().replace(old, new))
        cast.gateway.command("policy", "apply")

    yield change
    file.write_text(before)
    cast.gateway.command("policy", "apply")


def get(caller: Caller, target: str) -> Request:
    return caller.signed("GET", target)


def test_i02_that_one_object_is_public_says_nothing_of_the_next(cast):
    admin, nobody = cast["ruled/ops"], cast.nobody
    admin.put("ruled-open", "free/i02", b"for all")
    admin.put("ruled-open", "closed/i02", b"for nobody")
    admin.put("ruled-media", "i02", b"private")
    with nobody.connect() as connection:
        for _ in range(3):
            assert connection.exchange(get(nobody, "/ruled-open/free/i02")).body == b"for all"
            for target in ("/ruled-open/closed/i02", "/ruled-media/i02", "/ruled-open?list-type=2"):
                refused(connection.exchange(get(nobody, target)), 403, "AccessDenied")


def test_i01_what_one_caller_has_read_is_not_read_by_the_next_on_the_same_connection(cast):
    admin = cast["demo/ops"]
    admin.put("demo-media", "i01", b"inner")
    recorded = admin.signed("GET", "/demo-media/i01", now_s=time.time() - 3600)
    strangers = (cast["demo/u1"], cast["demo/backend/sara"], cast["other/ops"], cast.nobody)
    with admin.connect() as connection:
        for stranger in strangers:
            assert connection.exchange(get(admin, "/demo-media/i01")).body == b"inner"
            refused(connection.exchange(get(stranger, "/demo-media/i01")), 403, "AccessDenied")
            refused(connection.exchange(recorded), 403)


def test_i05_a_category_that_is_public_no_longer_is_closed_at_the_next_request(cast, apply):
    u1, nobody = cast["ruled/u1"], cast.nobody
    u1.put("ruled-open", "free/i05", b"for all")
    with nobody.connect() as connection:
        assert connection.exchange(get(nobody, "/ruled-open/free/i05")).status == 200
        apply('read = "public"', 'read = "private"')
        refused(connection.exchange(get(nobody, "/ruled-open/free/i05")), 403, "AccessDenied")
    refused(cast["other/ops"].get("ruled-open", "free/i05"), 403, "AccessDenied")
    assert u1.get("ruled-open", "free/i05").body == b"for all"


def test_i05_a_principal_that_is_in_no_policy_any_more_is_nobody(cast, apply):
    viewer, admin = cast["ruled/viewer"], cast["ruled/ops"]
    admin.put("ruled-media", "i05", b"inner")
    url = viewer.presigned("GET", "/ruled-media/i05")
    with viewer.connect() as connection:
        assert connection.exchange(get(viewer, "/ruled-media/i05")).status == 200
        assert viewer.ask(url).status == 200
        apply("viewer", "somebody-else")
        refused(connection.exchange(get(viewer, "/ruled-media/i05")), 403, "InvalidAccessKeyId")
        refused(viewer.ask(url), 403, "InvalidAccessKeyId")


def test_i05_a_role_that_became_smaller_is_smaller_at_the_next_request(cast, apply):
    admin, u1 = cast["ruled/ops"], cast["ruled/u1"]
    u1.put("ruled-media", "i05-own", b"own")
    admin.put("ruled-media", "i05-inner", b"inner")
    apply('ops = { role = "admin" }', 'ops = { role = "uploader" }\nchief = { role = "admin" }')
    with admin.connect() as connection:
        assert connection.exchange(get(admin, "/ruled-media/i05-inner")).body == b"inner"
        refused(connection.exchange(get(admin, "/ruled-media/i05-own")), 403, "AccessDenied")
        refused(connection.exchange(admin.signed("DELETE", "/ruled-media/i05-own")), 403, "AccessDenied")


def test_an_upload_that_was_let_in_before_a_denial_is_the_last_one(cast, apply):
    """A request sees the rules that were in force when it came in, and no others."""
    u1 = cast["ruled/u1"]
    request = u1.signed("PUT", "/ruled-media/begun", b"x" * 1000).with_header("Expect", "100-continue")
    with u1.connect() as connection:
        connection.send(request.head())
        assert connection.interim() == 100
        apply('u1 = { role = "uploader" }', 'u1 = { role = "reader" }')
        connection.send(request.body)
        assert connection.answer("PUT").status == 200
        refused(connection.exchange(u1.signed("PUT", "/ruled-media/begun", b"y")), 403, "AccessDenied")
