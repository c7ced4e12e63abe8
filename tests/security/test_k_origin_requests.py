"""K01 to K11, J08: what goes to an S3 origin is built from what was asked, and what comes from it does not come through."""

import random
import re
import string
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.support.caller import Caller, complete_document, refused
from tests.support.gateway import DEMO_POLICY, OTHER_POLICY, Gateway, GatewayError
from tests.support.origin_faults import Change, Fail, Redirect, WrongETag
from tests.support.origin_journal import Entry
from tests.support.origin_signatures import ALLOWED_HEADERS
from tests.support.raw_http import Answer, eventually
from tests.support.s3_gateway import BUCKET, SMALL, recovered, s3_gateway, settled
from tests.support.scripted_origin import ScriptedOrigin
from tests.support.signer import object_path

SHARED = "tenants-of-one-bucket"
DEMO = DEMO_POLICY.replace(
    "[categories.media]\n", f'[categories.media]\norigin_bucket = "{SHARED}"\norigin_prefix = "demo/"\n'
)
OTHER = OTHER_POLICY.replace(
    "[categories.media]\n", f'[categories.media]\norigin_bucket = "{SHARED}"\norigin_prefix = "other/"\n'
)


@pytest.fixture(scope="module")
def origin() -> Iterator[ScriptedOrigin]:
    with ScriptedOrigin(secret_access_key="upstream/secret+0000000000000000000000001") as running:
        running.make_bucket(SHARED)
        yield running


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory, origin: ScriptedOrigin) -> Iterator[Gateway]:
    made = s3_gateway(tmp_path_factory.mktemp("k"), origin, policies={"demo": DEMO, "other": OTHER}, retries=1)
    with made as gateway:
        yield gateway
        origin.heal()
        settled(gateway, origin)


@pytest.fixture
def caller(running: Gateway, origin: ScriptedOrigin) -> Iterator[Caller]:
    caller = Caller.of(running)
    recovered(caller, origin, requests=0)
    origin.clear_journal()
    yield caller
    assert origin.unexpected == []


# K01: no header of a client's.

PREFIXES = (
    "x-amz-", "x-minio-", "x-goog-", "x-forwarded-", "x-rgw-", "x-oss-", "x-ms-", "x-amz-server-side-encryption-",
    "x-amz-object-lock-", "x-amz-acl-", "x-amz-copy-source-", "x-amz-website-", "x-amz-storage-", "",
)  # fmt: skip
NAMED = (
    ("x-amz-acl", "public-read"),
    ("x-amz-grant-read", 'uri="http://acs.amazonaws.com/groups/global/AllUsers"'),
    ("x-amz-storage-class", "GLACIER"),
    ("x-amz-request-payer", "requester"),
    ("x-amz-expected-bucket-owner", "000000000000"),
    ("x-amz-website-redirect-location", "http://127.0.0.1/"),
    ("x-amz-bypass-governance-retention", "true"),
    ("x-amz-mfa", "1 2"),
    ("x-minio-force-delete", "true"),
    ("x-minio-source-replication-request", "true"),
    ("x-goog-acl", "public-read"),
    ("x-goog-if-generation-match", "1234567"),
    ("x-forwarded-host", "elsewhere.example"),
    ("x-forwarded-for", "127.0.0.1"),
    ("forwarded", "for=127.0.0.1"),
    ("te", "trailers"),
    ("proxy-authorization", "Basic x"),
    ("cookie", "session=secret"),
    ("referer", "https://app.example/private?token=1"),
    ("x-http-method-override", "DELETE"),
    ("accept-language", "fa"),
    ("if-unmodified-since", "Sat, 01 Jan 2050 00:00:00 GMT"),
)


def junk(chance: random.Random) -> tuple[str, str]:
    name = chance.choice(PREFIXES) + "".join(chance.choices(string.ascii_lowercase, k=12))
    return name, f"junk-{chance.randrange(10**9)}"


def asked(caller: Caller, headers: list[tuple[str, str]]) -> list[Answer]:
    """One of each kind of request that reaches the origin, with further headers."""
    key = f"/{BUCKET}/k01"
    answers = [
        caller.call("PUT", key, b"body", headers),
        caller.call("GET", key, b"", headers),
        caller.call("GET", key, b"", [*headers, ("Range", "bytes=1-2")]),
        caller.call("PUT", f"{key}-copy", b"", [*headers, ("x-amz-copy-source", key)]),
        caller.call("POST", f"{key}-parts?uploads=", b"", headers),
        caller.call("PUT", f"{key}-streamed", b"s" * 2 * SMALL, headers),
    ]
    answers += [caller.call("DELETE", key + each, b"", headers) for each in ("", "-copy", "-streamed")]
    return answers


def told(origin: ScriptedOrigin) -> str:
    """All that the origin was told, as one text."""
    return "\n".join(entry.request.head().decode("utf-8", "surrogateescape").lower() for entry in origin.journal)


def allowed_only(entry: Entry) -> bool:
    named = {name.lower() for name, _ in entry.headers}
    return all(name in ALLOWED_HEADERS or name.startswith("x-amz-meta-") for name in named)


@pytest.mark.parametrize("seed", range(10))
def test_k01_random_client_headers_never_travel(caller: Caller, origin: ScriptedOrigin, seed: int):
    """200 of them, 20 a time, on every kind of request; refused or ignored, none is sent on."""
    headers = [junk(random.Random(f"{seed} {number}")) for number in range(20)]
    taken = [pair for pair in headers if caller.call("PUT", f"/{BUCKET}/k01", b"body", [pair]).status == 200]
    assert len(taken) > 3, "some are refused for what they would mean"
    assert [answer.status for answer in asked(caller, taken)] == [200, 200, 206, 200, 200, 200, 204, 204, 204]
    heard = told(origin)
    assert len(origin.journal) >= 9
    assert [(name, value) for name, value in headers if value in heard or (name and f"\n{name}:" in heard)] == []
    assert all(map(allowed_only, origin.journal))
    abort_all(caller)


@pytest.mark.parametrize(("name", "value"), NAMED)
def test_k01_headers_that_would_command_the_origin_never_travel(
    caller: Caller, origin: ScriptedOrigin, name: str, value: str
):
    asked(caller, [(name, value)])
    heard = told(origin)
    assert f"\n{name}:" not in heard
    assert f": {value.lower()}\r" not in heard
    assert all(map(allowed_only, origin.journal))
    abort_all(caller)


def test_k01_a_connection_header_takes_nothing_out_of_the_request(caller: Caller, origin: ScriptedOrigin):
    request = caller.signed("PUT", f"/{BUCKET}/k01-hop", b"hop").with_header("Connection", "x-amz-date, host")
    caller.ask(request)
    assert all(entry.header("x-amz-date") and entry.header("host") for entry in origin.journal)
    caller.call("DELETE", f"/{BUCKET}/k01-hop")


def test_k01_names_of_our_own_entries_cannot_be_forged(caller: Caller, origin: ScriptedOrigin):
    """Metadata that looks like ours is a user's like any other: it says nothing of whose the object is."""
    forged = [
        ("x-amz-meta-anbar-uploader", "victim"),
        ("x-amz-meta-anbar-write", "0" * 32),
        ("x-amz-meta-anbar-key", "x"),
    ]
    caller.put(BUCKET, "k01-forged", b"x", forged)
    stored = origin.objects(SHARED)["demo/k01-forged"]
    assert stored.metadata["anbar-uploader"] != "victim"
    assert stored.metadata["anbar-write"] != "0" * 32
    answer = caller.call("HEAD", f"/{BUCKET}/k01-forged")
    assert {name: answer.header(name) for name, _ in forged} == dict(forged)
    caller.call("DELETE", f"/{BUCKET}/k01-forged")


def abort_all(caller: Caller) -> None:
    for upload_id in caller.uploads(BUCKET):
        assert caller.call("DELETE", f"/{BUCKET}/k01-parts?uploadId={upload_id}").status == 204


# K02, K04: keys.

ESCAPES = [
    "../other/k", "a/./b", "a/../b", "/../other/k", "//other/k", "/other/k", "../../k", "..", ".", "./", "a/../../other/k",
    "%2e%2e/other/k", "..%2fother%2fk", "%2e%2e%2fother/k", "%252e%252e%252fother/k", "..\\other\\k",
    "..;/other/k", "?list-type=2", "k?uploads", "k#fragment", "k@" + "0" * 32, "x/%00",
]  # fmt: skip
ODD = [
    "a%2e%2e/c", "a b", "a+b", "%3D=", "=&;:,", "~._-", "a//b", "a/...", "..a/.b", "%", "%%", "%zz", "%2F", "%e2%82%ac",
    "€", "تصویر.jpg", "'\"<>", "*()!$", "[]{}|\\^`", "\u00e9", "e\u0301", "\U0001f600", "trailing/", "a" * 1000,
]  # fmt: skip


NO_PATHS = ("a//b", "a" * 1000)


def targets(origin: ScriptedOrigin) -> list[str]:
    return [entry.request.raw_path for entry in origin.journal if entry.key]


@pytest.mark.parametrize("key", ESCAPES)
def test_k02_no_key_leaves_the_mapped_prefix(caller: Caller, origin: ScriptedOrigin, running: Gateway, key: str):
    neighbour = Caller.of(running, other=True)
    neighbour.put("other-media", "k", b"the neighbour's")
    origin.clear_journal()
    for target in (object_path(BUCKET, key), f"/{BUCKET}/{key}"):
        for method, body in (("PUT", b"mine"), ("GET", b""), ("HEAD", b""), ("DELETE", b"")):
            if target.isascii() and "#" not in target and "\\" not in target:
                caller.ask(caller.signed(method, target, body))
    raw = targets(origin)
    assert all(path.startswith(f"/{SHARED}/demo/") for path in raw), raw
    assert not [path for path in raw if re.search(r"/\.\.?(/|$)", path)], "nobody on the way may shorten it"
    assert neighbour.get("other-media", "k").body == b"the neighbour's"
    for found in caller.keys(BUCKET):
        if found != "probe":
            caller.call("DELETE", object_path(BUCKET, found))
    neighbour.call("DELETE", "/other-media/k")


def test_k02_a_copy_source_does_not_leave_it_either(caller: Caller, origin: ScriptedOrigin, running: Gateway):
    Caller.of(running, other=True).put("other-media", "k", b"secret")
    for source in (f"/{BUCKET}/../other/k", f"/{SHARED}/other/k", f"{BUCKET}/%2e%2e/other/k", "/other-media/k"):
        answer = caller.call("PUT", f"/{BUCKET}/k02-copy", b"", [("x-amz-copy-source", source)])
        assert answer.status in (400, 403, 404), answer
    assert origin.requests("CopyObject") == []
    Caller.of(running, other=True).call("DELETE", "/other-media/k")


@pytest.mark.parametrize("key", ODD)
def test_k04_odd_keys_arrive_byte_for_byte(caller: Caller, origin: ScriptedOrigin, key: str):
    expected = f"/{SHARED}/demo/{quote(key, safe='/-_.~')}"
    target = object_path(BUCKET, key)
    assert caller.call("PUT", target, b"odd").status == 200
    assert caller.call("GET", target).body == b"odd"
    raw = targets(origin)
    if key in NO_PATHS:  # a store that makes paths of keys would refuse them, or take them for others
        assert all(path.startswith(f"/{SHARED}/demo/") and path == raw[0] for path in raw)
        kept = [each for name, each in origin.objects(SHARED).items() if name.startswith("demo/") and "~" in name]
        assert [each.metadata["anbar-key"] for each in kept] == [key]
    elif key.endswith("/"):  # its place has the id of its write, so that no console takes it for a folder
        assert all(path.startswith(expected + "%40") for path in raw)
    else:
        assert set(raw) == {expected}
        assert f"demo/{key}" in origin.objects(SHARED)
    assert caller.keys(BUCKET) == sorted([key, "probe"], key=str.encode)
    assert caller.call("DELETE", target).status == 204


# K05: redirects.


@pytest.mark.parametrize("status", [300, 301, 302, 303, 304, 305, 307, 308])
@pytest.mark.parametrize("where", ["elsewhere", "metadata service", "itself", "relative"])
def test_k05_redirects_are_never_followed(
    caller: Caller, origin: ScriptedOrigin, running: Gateway, status: int, where: str
):
    key = f"k05-{status}-{where.replace(' ', '-')}"
    for there in ("get", "over"):
        caller.put(BUCKET, f"{key}-{there}", b"x")
    origin.clear_journal()
    with ScriptedOrigin() as elsewhere:
        to = {
            "elsewhere": f"{elsewhere.endpoint}/stolen",
            "metadata service": "http://169.254.169.254/latest/meta-data/",
            "itself": f"{origin.endpoint}/{SHARED}/other/k",
            "relative": "//127.0.0.1/x",
        }[where]
        origin.script(do=Redirect(to, status), times=None)
        for name, size in (("small", 10), ("looked-at", 2 * SMALL), ("over", 2 * SMALL)):
            answer = caller.call("PUT", f"/{BUCKET}/{key}-{name}", b"b" * size)
            assert answer.status in (502, 503), answer
            assert answer.header("location") is None
            assert to.encode() not in answer.body
        answer = caller.get(BUCKET, f"{key}-get")
        assert answer.status in (500, 502, 503), answer
        assert answer.header("location") is None
        assert elsewhere.journal == []
        asked_for = {entry.key for entry in origin.journal}
        assert all(each.startswith(f"demo/{key}") or not each for each in asked_for), asked_for
        origin.heal()
    assert len(origin.requests("PutObject")) == 2, "no repetition either"


# K08: certificates.


def test_k08_a_plain_endpoint_must_be_allowed_in_so_many_words(tmp_path: Path, origin: ScriptedOrigin):
    with pytest.raises(GatewayError, match="allow_http"):
        s3_gateway(tmp_path, origin, allow_http=False).start()


def test_k08_every_body_that_is_held_is_signed_over_plain_http(caller: Caller, origin: ScriptedOrigin):
    """`unexpected` tells of every unsigned one."""
    assert caller.call("PUT", f"/{BUCKET}/k08", b"x" * SMALL).status == 200
    entry = origin.requests("PutObject", key="demo/k08")[0]
    assert re.fullmatch("[0-9a-f]{64}", entry.header("x-amz-content-sha256") or "")


@pytest.mark.parametrize("how", ["untrusted", "expired", "plain"])
def test_k08_an_origin_whose_certificate_does_not_hold_gets_nothing(tmp_path: Path, how: str):
    with ScriptedOrigin(tls=True) as origin:
        ca = origin.write_ca(tmp_path / "origin-ca.pem")
        if how == "untrusted":
            origin.change_certificate(trusted=False)
        elif how == "expired":
            origin.change_certificate(not_after=datetime.now(UTC) - timedelta(days=1))
        made = s3_gateway(tmp_path / "g", origin, ca_file=str(ca), retries=0)
        if how == "plain":
            origin.stop()
            with ScriptedOrigin(port=origin.port) as plain, made:
                refused(Caller.of(made).call("PUT", f"/{BUCKET}/k", b"secret"), 503)
                assert plain.journal == []
            return
        with made:
            caller = Caller.of(made)
            refused(caller.call("PUT", f"/{BUCKET}/k", b"secret"), 503)
            refused(caller.call("PUT", f"/{BUCKET}/k", b"secret" * SMALL), 503)
            assert origin.journal == []
            assert "certificate does not hold" in made.stderr()


# K10: an origin that has stored something else.


NO_MD5 = ('"x"', "", '"00000000000000000000000000000000-1"')


@pytest.mark.parametrize(  # a streamed body that nobody gave an MD5 of is the origin's to hash
    ("size", "etag"),
    [(10, '"00000000000000000000000000000000"'), *((size, etag) for size in (10, 2 * SMALL) for etag in NO_MD5)],
)
def test_k10_another_etag_is_not_acknowledged_and_leaves_nothing(
    caller: Caller, origin: ScriptedOrigin, running: Gateway, size: int, etag: str
):
    key = f"k10-{size}-{etag.strip(chr(34))[-3:]}"
    behaviour = WrongETag(etag) if etag else Change(without=("etag",))
    script = origin.script("PutObject", key=f"demo/{key}", do=behaviour, times=None)
    refused(caller.call("PUT", f"/{BUCKET}/{key}", b"k" * size), 503)
    assert script.taken
    script.remove()
    assert caller.get(BUCKET, key).status == 404
    assert eventually(lambda: f"demo/{key}" not in origin.objects(SHARED))


def test_k10_a_streamed_body_whose_md5_the_client_gave_is_compared(caller: Caller, origin: ScriptedOrigin):
    import base64
    import hashlib

    body = b"k" * 2 * SMALL
    origin.script("PutObject", key="demo/k10-md5", do=WrongETag(), times=None)
    md5 = base64.b64encode(hashlib.md5(body, usedforsecurity=False).digest()).decode()
    refused(caller.call("PUT", f"/{BUCKET}/k10-md5", body, [("Content-MD5", md5)]), 503)
    assert caller.get(BUCKET, "k10-md5").status == 404
    assert "demo/k10-md5" not in origin.objects(SHARED)


def test_k10_a_part_with_another_etag_is_no_part(caller: Caller, origin: ScriptedOrigin):
    upload_id = caller.start_upload(BUCKET, "k10-part")
    origin.script("UploadPart", do=WrongETag())
    target = f"/{BUCKET}/k10-part?partNumber=1&uploadId={upload_id}"
    refused(caller.call("PUT", target, b"part"), 503)
    refused(caller.complete(BUCKET, "k10-part", upload_id, complete_document([(1, '"0"')])), 400, "InvalidPart")
    assert caller.call("DELETE", f"/{BUCKET}/k10-part?uploadId={upload_id}").status == 204


# J08: what an origin says stays here.

SAID = {
    "Set-Cookie": "session=1",
    "Server": "SecretServer/1.0",
    "x-amz-request-id": "UPSTREAMREQUEST",
    "x-amz-id-2": "UPSTREAMHOST",
    "Location": "http://innards.example/bucket",
    "Via": "1.1 innards",
    "X-Powered-By": "innards",
    "x-amz-server-side-encryption-aws-kms-key-id": "arn:aws:kms:us-east-1:000000000000:key/x",
    "x-amz-expiration": 'expiry-date="x", rule-id="innards"',
    "x-amz-version-id": "innards",
    "x-minio-deployment-id": "innards",
    "Access-Control-Allow-Origin": "*",
    "Content-Security-Policy": "innards",
    "Cache-Control": "innards",
    "Content-Type": "text/innards",
    "x-amz-meta-innards": "innards",
    "Keep-Alive": "timeout=innards",
}


def silent_about(answer: Answer, origin: ScriptedOrigin) -> None:
    text = "\n".join(f"{name}: {value}" for name, value in answer.headers) + "\n" + answer.body.decode("latin-1")
    words = ("innards", "upstream", "SecretServer", "ScriptedOrigin", SHARED, str(origin.port), origin.access_key_id)
    assert [word for word in words if word.lower() in text.lower()] == [], text


def test_j08_no_header_of_an_origin_comes_through(caller: Caller, origin: ScriptedOrigin):
    origin.script(do=Change(headers=SAID), times=None)
    for answer in asked(caller, []):
        assert answer.status < 300, answer
        silent_about(answer, origin)
    abort_all(caller)


@pytest.mark.parametrize("value", ["a\x01b", "a\x7fb", "\udce9", "a" * 20_000])
def test_j08_control_bytes_in_an_origins_headers_come_nowhere(caller: Caller, origin: ScriptedOrigin, value: str):
    caller.put(BUCKET, "j08-control", b"x")
    for name in ("x-odd", "Content-Type", "x-amz-meta-odd"):
        origin.script("GetObject", do=Change(headers={name: value}), times=3)
        answer = caller.get(BUCKET, "j08-control")
        origin.heal()
        assert answer.status in (200, 503), answer
        assert value not in str(answer.headers)
        recovered(caller, origin)
    caller.call("DELETE", f"/{BUCKET}/j08-control")


@pytest.mark.parametrize(
    ("status", "code"),
    [(403, "AccessDenied"), (403, "InvalidAccessKeyId"), (404, "NoSuchBucket"), (500, "InternalError"),
     (503, "SlowDown"), (400, "InvalidRequest"), (507, "XMinioStorageFull"), (501, "NotImplemented")],
)  # fmt: skip
def test_j08_errors_of_an_origin_disclose_nothing(
    caller: Caller, origin: ScriptedOrigin, running: Gateway, status: int, code: str
):
    caller.put(BUCKET, f"j08-errors-{code}", b"x")
    message = f"innards: bucket {SHARED} at {origin.endpoint}, key {origin.access_key_id}"
    origin.script(do=Fail(status, code, message, headers={"Location": origin.endpoint}), times=None)
    answers = [
        caller.call("PUT", f"/{BUCKET}/j08-{code}", b"x"),
        caller.call("PUT", f"/{BUCKET}/j08-{code}-streamed", b"x" * 2 * SMALL),
        caller.get(BUCKET, f"j08-errors-{code}"),
        caller.call("POST", f"/{BUCKET}/j08-{code}-parts?uploads="),
        caller.call("PUT", f"/{BUCKET}/j08-{code}-copy", b"", [("x-amz-copy-source", f"/{BUCKET}/j08-errors-{code}")]),
    ]
    for answer in answers:
        refused(answer, (500, 502, 503, 507))
        silent_about(answer, origin)
    assert "upstream/secret" not in running.stderr()
