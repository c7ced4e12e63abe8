"""What nginx is told at its own listener, and for how long it may go by it."""

import time
from collections.abc import Iterator
from dataclasses import replace

import pytest

from tests.support.caller import Caller, complete_document, refused
from tests.support.cast import Cast, sealed_session
from tests.support.gateway import Gateway, free_port
from tests.support.media_house import POLICIES, PRIVATE, PUBLIC, MediaHouse
from tests.support.raw_http import Answer, Request
from tests.support.signer import Signer

BODY = bytes(200_000)
KEEP_S = 100
LEFT_S = 60
GUARDED = """\
project = "guarded"
[categories.media]
[categories.open]
read = "public"
[principals.ops]
role = "admin"
[[statements]]
effect = "deny"
principals = ["*"]
actions = ["s3:GetObject"]
resources = ["guarded-media/*", "guarded-open/*"]
not_source_ip = ["127.0.0.0/8"]
"""


class BothListeners:
    """A gateway's, app's admin at each of them, and its service at the one for nginx."""

    def __init__(self, house: MediaHouse, port: int) -> None:
        ops, backend = house.keys["ops"], house.keys["backend"]
        self.gateway = house.gateway
        self.public = Caller(self.gateway.host, self.gateway.port, Signer(ops.access_key_id, ops.secret_access_key))
        self.nginx = Caller(self.gateway.host, port, self.public.signer)
        self.service = replace(self.nginx, signer=Signer(backend.access_key_id, backend.secret_access_key))


@pytest.fixture(scope="module", params=[1, 2], ids=["one process", "two workers"])
def listening(request, tmp_path_factory: pytest.TempPathFactory) -> Iterator[BothListeners]:
    port = free_port()
    settings = {
        "server": {"workers": request.param},
        "nginx": {"listen": f"127.0.0.1:{port}", "offload": ["local"], "authorisation_s": KEEP_S, "public_s": 50},
    }
    policies = {**POLICIES, "guarded": GUARDED}
    with Gateway(tmp_path_factory.mktemp("asked"), settings=settings, policies=policies) as gateway:
        made = BothListeners(MediaHouse(gateway), port)
        for bucket in (PRIVATE, PUBLIC):
            made.public.put(bucket, "k", BODY, [("Content-Type", "image/jpeg")])
        yield made


def asking(what: str, request: Request) -> Request:
    return request.with_header("X-Anbar-Ask", what)


def kept_s(answer: Answer) -> int:
    """For how long nginx may keep it."""
    return int(answer.header("x-accel-expires") or "-1")


def test_an_allowed_request_is_answered_with_the_head_of_its_object(listening):
    caller = listening.nginx
    plain = caller.call("HEAD", f"/{PRIVATE}/k")
    answer = caller.ask(asking("authorise", caller.presigned("GET", f"/{PRIVATE}/k", expires="3600")))
    assert (answer.status, answer.body) == (204, b"")
    for name in ("etag", "last-modified", "content-type", "content-security-policy", "x-content-type-options"):
        assert answer.header(name) == plain.header(name)
    file = answer.header("x-anbar-file") or ""
    assert (listening.gateway.origin_directory / file.removeprefix("/")).read_bytes() == BODY
    assert kept_s(answer) == KEEP_S - 1


@pytest.mark.parametrize("life_s", [1, 2, 30])
def test_an_authorisation_is_not_kept_longer_than_its_url_is_good(listening, life_s):
    caller = listening.nginx
    answer = caller.ask(asking("authorise", caller.presigned("GET", f"/{PRIVATE}/k", expires=str(life_s))))
    assert answer.status == 204
    assert 0 <= kept_s(answer) < life_s


def test_an_authorisation_of_a_session_is_not_kept_longer_than_the_session_lasts(listening):
    cast = Cast(listening.gateway, {"app/backend": listening.service})
    session = sealed_session(cast, "app/backend", "sara", now_s=time.time() - 900 + LEFT_S)
    session.put(PRIVATE, "of-sara", BODY)
    answer = session.ask(asking("authorise", session.presigned("GET", f"/{PRIVATE}/of-sara", expires="3600")))
    assert session.call("DELETE", f"/{PRIVATE}/of-sara").status == 204
    assert answer.status == 204
    assert 0 <= kept_s(answer) < LEFT_S


def test_a_signed_header_that_nginx_does_not_tell_apart_keeps_nothing(listening):
    caller = listening.nginx
    for headers, kept in (((), KEEP_S - 1), ((("x-odd", "1"),), 0), ((("Range", "bytes=0-9"),), 0)):
        request = caller.signer.presign(Request("GET", f"/{PRIVATE}/k", (("Host", caller.authority), *headers)))
        answer = caller.ask(asking("authorise", request))
        assert (answer.status, kept_s(answer)) == (204, kept)


@pytest.mark.parametrize("header", ["x-amz-meta-of", "Content-Type", "Content-MD5"])
def test_a_sigv2_url_has_no_list_of_what_it_signs_and_keeps_nothing_then(listening, header):
    caller = listening.nginx
    for headers, kept in (((), KEEP_S - 1), (((header, "1"),), 0)):
        request = caller.signer.presign_v2(Request("GET", f"/{PRIVATE}/k", (("Host", caller.authority), *headers)))
        answer = caller.ask(asking("authorise", request))
        assert (answer.status, kept_s(answer)) == (204, kept)


def test_a_signature_in_a_header_keeps_nothing(listening):
    """SDKs sign what they read after a write as they signed it before, within one second."""
    answer = listening.nginx.ask(asking("authorise", listening.nginx.signed("GET", f"/{PRIVATE}/k")))
    assert (answer.status, kept_s(answer)) == (204, 0)


def test_a_rule_about_addresses_keeps_nothing(listening):
    gateway = listening.gateway
    caller = Caller("127.0.0.1", listening.nginx.port, Signer(*gateway.create_key("guarded")))
    for bucket in ("guarded-media", "guarded-open"):
        caller.put(bucket, "k", BODY)
        answer = caller.ask(asking("authorise", caller.presigned("GET", f"/{bucket}/k")))
        assert (answer.status, kept_s(answer)) == (204, 0)
    answer = caller.ask(asking("cache", caller.request("GET", "/guarded-open/k")))
    assert (answer.status, kept_s(answer)) == (200, 0)


@pytest.mark.parametrize(
    ("method", "target"),
    [
        ("GET", f"/{PRIVATE}/missing"),
        ("GET", f"/{PRIVATE}"),
        ("GET", f"/{PRIVATE}/k?acl"),
        ("GET", "/"),
        ("PUT", f"/{PRIVATE}/new"),
        ("DELETE", f"/{PRIVATE}/k"),
        ("POST", f"/{PRIVATE}/new?uploads"),
    ],
)
def test_whatever_is_no_read_of_an_object_is_answered_no_and_not_done(listening, method, target):
    caller = listening.nginx
    refused(caller.ask(asking("authorise", caller.signed(method, target))), 403)
    assert listening.public.keys(PRIVATE) == ["k"]
    assert listening.public.uploads(PRIVATE) == []


def test_a_no_is_not_kept(listening):
    caller = listening.nginx
    answer = caller.ask(asking("authorise", caller.request("GET", f"/{PRIVATE}/k")))
    assert answer.status == 403
    assert answer.header("x-accel-expires") is None


def test_a_file_is_named_only_where_all_of_the_answer_is_in_it(listening):
    caller = listening.nginx
    caller.put(PUBLIC, "marked", BODY, [("x-amz-meta-mark", "x")])
    caller.put(PUBLIC, "empty", b"")
    upload_id = caller.start_upload(PUBLIC, "parts")
    etag = caller.put_part(PUBLIC, "parts", upload_id, 1, BODY)
    assert caller.complete(PUBLIC, "parts", upload_id, complete_document([(1, etag)])).status == 200
    for key in ("marked", "empty", "parts", "k?partNumber=1"):
        answer = caller.ask(asking("authorise", caller.signed("GET", f"/{PUBLIC}/{key}")))
        assert answer.status == 204
        assert answer.header("x-anbar-file") == "/.none"
        sent = caller.ask(asking("offload", caller.signed("GET", f"/{PUBLIC}/{key}")))
        assert sent.header("x-accel-redirect") is None
        assert len(sent.body) == (0 if key == "empty" else len(BODY))


@pytest.mark.parametrize(
    "headers",
    [
        [("If-Match", "*")],
        [("If-Unmodified-Since", "Thu, 01 Jan 2037 00:00:00 GMT")],
        [("If-Range", '"x"')],
        [("Range", "bytes=0-1,3-4")],
        [("Range", "bytes=9-")],
        [("Range", "bytes = 9-")],
    ],
)
def test_a_body_is_offloaded_only_where_nginx_reads_the_request_alike(listening, headers):
    caller = listening.nginx
    answer = caller.ask(asking("offload", caller.presigned("GET", f"/{PRIVATE}/k", headers=headers)))
    if headers == [("Range", "bytes=9-")]:
        assert (answer.status, answer.body) == (200, b"")
        assert (answer.header("x-accel-redirect") or "").startswith(f"/-/bodies/local/{PRIVATE}/k@")
        assert answer.header("content-range") is None
    else:
        assert answer.header("x-accel-redirect") is None
        assert answer.body


def test_only_what_everybody_may_read_is_kept_for_everybody(listening):
    caller = listening.nginx
    anonymous = caller.ask(asking("cache", caller.request("GET", f"/{PUBLIC}/k")))
    assert (anonymous.body, kept_s(anonymous)) == (BODY, 50)
    for request in (
        caller.signed("GET", f"/{PUBLIC}/k"),
        caller.presigned("GET", f"/{PUBLIC}/k"),
        caller.presigned("GET", f"/{PRIVATE}/k"),
        caller.request("GET", f"/{PUBLIC}/k").with_header("Range", "bytes=0-9"),
    ):
        assert kept_s(caller.ask(asking("cache", request))) == 0
    assert caller.ask(asking("cache", caller.request("GET", f"/{PRIVATE}/k"))).header("x-accel-expires") is None


def test_an_unknown_question_is_refused_and_none_is_plain_s3(listening):
    caller = listening.nginx
    refused(caller.ask(asking("everything", caller.signed("GET", f"/{PRIVATE}/k"))), 400, "InvalidRequest")
    answer = caller.call("GET", f"/{PRIVATE}/k")
    assert answer.body == BODY
    assert answer.header("x-accel-expires") is None
