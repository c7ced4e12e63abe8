"""Ways 2 and 3 and the offload: nginx sends what the gateway allows, and no more than that. I05, I22."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from urllib.request import urlopen

import pytest

from tests.support.caller import Caller, parse_xml, refused, text
from tests.support.gateway import OTHER_POLICY
from tests.support.nginx import GatewayBehindNginx
from tests.support.raw_http import Answer, Request, all_answers, eventually
from tests.support.signer import Signer, crc32

LARGE = bytes(range(256)) * 1024
OTHER = LARGE[::-1]
OPEN = """\
project = "demo"
[categories.media]
[categories.open]
read = "public"
[principals]
ops = { role = "admin" }
reader = { role = "reader" }
"""
AWKWARD = ["a%2Fb", "a//b", "plus+plus", "one%20two", "100%25", "%E2%82%AC.jpg", "q%3Fmark", ".hidden/x", "at@at"]


@pytest.fixture(scope="module")
def offloading(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayBehindNginx]:
    with front(tmp_path_factory.mktemp("offloading"), "s3-offload.conf") as running:
        yield running


@pytest.fixture(scope="module")
def private(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayBehindNginx]:
    with front(tmp_path_factory.mktemp("private"), "private-media.conf", authorisation_s=300) as running:
        yield running


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayBehindNginx]:
    with front(tmp_path_factory.mktemp("site"), "media.conf", public_s=3600) as running:
        yield running


def front(directory: Path, site: str, **nginx: object) -> GatewayBehindNginx:
    settings = {"nginx": {"offload": ["local"], **nginx}}
    return GatewayBehindNginx(
        directory, sites=(site,), settings=settings, policies={"demo": OPEN, "other": OTHER_POLICY}
    )


def at_the_gateway(running: GatewayBehindNginx) -> Caller:
    return Caller("127.0.0.1", running.own_port, Caller.of(running).signer)


def stored(
    running: GatewayBehindNginx,
    key: str,
    body: bytes = LARGE,
    bucket: str = "demo-media",
    headers: Mapping[str, str] = MappingProxyType({}),
) -> str:
    """Put an object past nginx; its path."""
    target = f"/{bucket}/{key}"
    answer = at_the_gateway(running).call("PUT", target, body, tuple(headers.items()))
    assert answer.status == 200, answer
    return target


def named(answer: Answer) -> list[tuple[str, str]]:
    """Its headers, each as often as it is there, without those that are another's each time, or the server's own."""
    passing = ("date", "server", "connection", "x-amz-request-id", "x-amz-id-2")
    return sorted((name.lower(), value) for name, value in answer.headers if name.lower() not in passing)


def sent_by_nginx(running: GatewayBehindNginx, ask: Callable[[], Answer]) -> bool:
    """Did nginx have the body from elsewhere than the gateway? Its log says how many bytes came from there."""
    before = len(running.nginx.access_log)
    size = len(ask().body)
    assert eventually(lambda: len(running.nginx.access_log) > before)
    line = running.nginx.access_log[-1]
    _, _, said = line.rpartition('"')
    _, length, _, _ = said.split()
    assert f" {size} " in line, line
    return length in ("-", "0")


def sent_by_the_gateway(running: GatewayBehindNginx) -> float:
    """Bytes of bodies, as it counts them itself."""
    with urlopen(f"{running.admin_endpoint}/-/metrics", timeout=5) as answer:
        lines = answer.read().decode().splitlines()
    wanted = 'anbar_sent_bytes_total{operation="GetObject"} '
    return sum(float(line.removeprefix(wanted)) for line in lines if line.startswith(wanted))


# --- offload


HEADERS = {
    "Content-Type": "image/jpeg",
    "Cache-Control": "max-age=7",
    "Content-Disposition": 'inline; filename="a.jpg"',
    "Content-Language": "de",
    "Content-Encoding": "identity",
    "Expires": "Thu, 01 Jan 2037 00:00:00 GMT",
}


@pytest.mark.parametrize("way", ["offloading", "private"])
@pytest.mark.parametrize("wanted", [None, "bytes=0-9", "bytes=100-200000", "bytes=-70000", "bytes=7-"])
def test_nginx_sends_the_file_with_the_headers_of_the_object(request, way, wanted):
    running = request.getfixturevalue(way)
    target = stored(running, f"headers-{wanted}".replace("=", ""), headers=HEADERS)
    asked = [] if wanted is None else [("Range", wanted)]
    through, direct = Caller.of(running), at_the_gateway(running)
    plain = direct.ask(direct.presigned("GET", target, headers=asked))
    assert plain.status == (200 if wanted is None else 206)
    answer = through.ask(through.presigned("GET", target, headers=asked))
    assert (
        sent_by_nginx(running, lambda: through.ask(through.presigned("GET", target, headers=asked)))
        or wanted == "bytes=0-9"
    )
    assert (answer.status, answer.body) == (plain.status, plain.body)
    assert named(answer) == named(plain)
    head, plain_head = through.ask(through.presigned("HEAD", target)), direct.ask(direct.presigned("HEAD", target))
    assert named(head) == named(plain_head)


@pytest.mark.parametrize("way", ["offloading", "private"])
def test_the_bytes_are_nginxs_and_the_gateway_has_not_sent_them(request, way):
    running = request.getfixturevalue(way)
    caller, target = Caller.of(running), stored(running, "whose")
    before = sent_by_the_gateway(running)
    assert sent_by_nginx(running, lambda: caller.ask(caller.presigned("GET", target)))
    assert sent_by_the_gateway(running) == before
    assert at_the_gateway(running).call("GET", target).body == LARGE
    assert eventually(lambda: sent_by_the_gateway(running) == before + len(LARGE)), "it counts what it sends"
    marked = stored(running, "marked", headers={"x-amz-meta-mark": "kept"})
    assert not sent_by_nginx(running, lambda: caller.ask(caller.presigned("GET", marked)))
    assert caller.call("GET", marked).header("x-amz-meta-mark") == "kept"


@pytest.mark.parametrize("way", ["offloading", "private"])
@pytest.mark.parametrize("key", AWKWARD)
def test_the_files_of_awkward_keys_are_found(request, way, key):
    running = request.getfixturevalue(way)
    caller, target = Caller.of(running), stored(running, key)
    assert sent_by_nginx(running, lambda: caller.ask(caller.presigned("GET", target)))
    assert caller.ask(caller.presigned("GET", target)).body == LARGE


@pytest.mark.parametrize("way", ["offloading", "private"])
def test_conditions_and_refusals_are_the_gateways(request, way):
    running = request.getfixturevalue(way)
    caller, target = Caller.of(running), stored(running, "conditions")
    etag = caller.call("GET", target).header("etag")
    ask = lambda *headers: caller.ask(caller.presigned("GET", target, headers=headers))  # noqa: E731
    assert ask(("If-None-Match", etag)).status == 304
    assert ask(("If-None-Match", '"x"')).body == LARGE
    assert ask(("If-Match", etag)).body == LARGE
    refused(ask(("If-Match", '"x"')), 412, "PreconditionFailed")
    assert ask(("If-Range", '"x"'), ("Range", "bytes=0-9")).body == LARGE
    assert ask(("If-Range", etag), ("Range", "bytes=0-9")).body == LARGE[:10]
    assert ask(("Range", "bytes=0-1,5-6")).body == LARGE
    assert ask(("Range", "nonsense")).body == LARGE
    beyond = ask(("Range", "bytes=9999999-"))
    assert beyond.status == 416
    assert text(parse_xml(beyond.body), "Code") == "InvalidRange"
    assert beyond.header("content-range") == f"bytes */{len(LARGE)}"
    assert len({name for name, _ in named(beyond)}) == len(named(beyond))
    refused(caller.ask(caller.presigned("GET", f"{target}-not-there")), 404, "NoSuchKey")
    refused(caller.ask(caller.request("GET", target)), 403, "AccessDenied")
    refused(caller.ask(caller.presigned("GET", target).with_query("x=1")), 403, "SignatureDoesNotMatch")


@pytest.mark.parametrize("way", ["offloading", "private"])
def test_an_overwritten_object_is_new_and_a_deleted_one_gone(request, way):
    running = request.getfixturevalue(way)
    caller, target = Caller.of(running), stored(running, "changing")
    asked = caller.presigned("GET", target)
    assert caller.ask(asked).body == LARGE
    stored(running, "changing", OTHER)
    assert eventually(lambda: caller.ask(asked).body == OTHER)
    assert caller.call("DELETE", target).status == 204
    assert eventually(lambda: caller.ask(asked).status == 404)


@pytest.mark.parametrize("way", ["offloading", "private"])
def test_uploads_and_everything_else_go_on_as_ever(request, way):
    caller = Caller.of(request.getfixturevalue(way))
    caller.put("demo-media", "up/a//b", LARGE)
    assert caller.get("demo-media", "up/a//b").body == LARGE
    assert "up/a//b" in caller.keys("demo-media")
    upload_id = caller.start_upload("demo-media", "parts")
    assert caller.put_part("demo-media", "parts", upload_id, 1, LARGE)


@pytest.mark.parametrize("way", ["offloading", "private", "site"])
def test_no_client_reaches_the_internal_places(request, way):
    running = request.getfixturevalue(way)
    caller = Caller.of(running)
    stored(running, "inside")
    [file] = [each for each in (running.origin_directory / "demo-media").glob("inside@*") if each.suffix != ".json"]
    for target in (f"/-/bodies/local/demo-media/{file.name}", "/-/authorise", f"/demo-media/{file.name}"):
        answer = caller.ask(caller.request("GET", target))
        assert answer.status in (400, 403, 404)
        assert LARGE[:256] not in answer.body


@pytest.mark.parametrize("way", ["offloading", "private", "site"])
@pytest.mark.parametrize(
    "forged",
    [
        ("X-Accel-Redirect", "/-/bodies/local/.anbar-origin"),
        ("X-Anbar-File", "/.anbar-origin"),
        ("X-Anbar-Ask", "authorise"),
        ("X-Anbar-Ask", "offload"),
        ("X-Anbar-Ask", "nonsense"),
        ("X-Original-URI", "/demo-media/elsewhere"),
        ("X-Original-Method", "DELETE"),
    ],
)
def test_what_a_client_forges_does_nothing(request, way, forged):
    running = request.getfixturevalue(way)
    caller, target = Caller.of(running), stored(running, "forged")
    request_ = caller.presigned("GET", target, headers=[forged])
    if way == "site":
        request_ = Request("GET", request_.target.replace("/demo-", "/media/"), request_.headers)
    assert caller.ask(request_).body == LARGE
    bare = caller.ask(
        caller.request("GET", target.replace("/demo-", "/media/") if way == "site" else target, headers=[forged])
    )
    refused(bare, 403, "AccessDenied")


@pytest.mark.parametrize("ask", ["authorise", "offload", "cache"])
def test_the_public_listener_takes_no_orders(offloading, ask):
    direct, target = at_the_gateway(offloading), stored(offloading, "public-listener")
    answer = direct.call("GET", target, b"", [("X-Anbar-Ask", ask)])
    assert answer.body == LARGE
    for name in ("x-accel-redirect", "x-accel-expires", "x-anbar-file"):
        assert answer.header(name) is None


# --- authorisations that are kept


def test_a_kept_authorisation_is_of_one_very_request(private):
    caller, target = Caller.of(private), stored(private, "one")
    asked = caller.presigned("GET", target)
    assert caller.ask(asked).body == LARGE
    private.stop_gateway()
    try:
        assert caller.ask(asked).body == LARGE
    finally:
        private.start_gateway()
    for changed in (
        Request("GET", asked.target[:-1] + ("0" if asked.target[-1] != "0" else "1"), asked.headers),
        Request("GET", target, asked.headers),
        Request("GET", asked.target.replace("/one?", "/two?"), asked.headers),
        asked.with_query("response-content-type=text%2Fhtml"),
        Request("HEAD", asked.target, asked.headers),
    ):
        assert caller.ask(changed).status == 403, changed


def test_another_range_of_a_kept_authorisation_is_another_range(private):
    caller, target = Caller.of(private), stored(private, "ranges")
    asked = caller.presigned("GET", target)
    assert caller.ask(asked.with_header("Range", "bytes=0-9")).body == LARGE[:10]
    assert caller.ask(asked.with_header("Range", "bytes=10-19")).body == LARGE[10:20]
    assert caller.ask(asked).body == LARGE


def escaped(text: str) -> str:
    """The same to who decodes it, and not to who looks for the letters."""
    return f"{text[:-1]}%{ord(text[-1]):02X}"


@pytest.mark.parametrize("spelt", ["plainly", "escaped value", "escaped name"])
@pytest.mark.parametrize(
    "signed",
    [("Range", "bytes=0-9"), ("x-amz-expected-bucket-owner", "demo"), ("x-amz-meta-of", "one"), ("x-odd", "1")],
)
def test_b02_a_kept_authorisation_is_of_the_signed_header_too(private, signed, spelt):
    """However the URL spells what it signs: a URL for one range is not one for the others."""
    caller, (name, value) = Caller.of(private), signed
    bare = caller.request("GET", stored(private, "signed"))
    asked = caller.signer.presign(bare.with_header(name, value))
    if spelt != "plainly":
        letters = name.lower() if spelt == "escaped value" else "X-Amz-SignedHeaders"
        assert letters in asked.target
        asked = Request("GET", asked.target.replace(letters, escaped(letters)), asked.headers)
    without = Request("GET", asked.target, bare.headers)
    for _ in range(2):
        assert caller.ask(asked).body == (LARGE[:10] if name == "Range" else LARGE)
        for other in (without, without.with_header(name, value + "0"), without.with_header("Range", "bytes=0-262143")):
            refused(caller.ask(other), 403)


def test_b02_a_kept_authorisation_is_of_what_sigv2_signs_too(private):
    caller, target = Caller.of(private), stored(private, "signed-by-sigv2")
    bare = caller.request("GET", target)
    for name in ("x-amz-meta-of", "Content-Type"):
        asked = caller.signer.presign_v2(bare.with_header(name, "text/plain"))
        without = Request("GET", asked.target, bare.headers)
        for _ in range(2):
            assert caller.ask(asked).body == LARGE
            refused(caller.ask(without), 403, "SignatureDoesNotMatch")
            refused(caller.ask(without.with_header(name, "text/html")), 403, "SignatureDoesNotMatch")


@pytest.mark.parametrize("spell", [str, escaped], ids=["plain", "escaped"])
@pytest.mark.parametrize(
    "parameter",
    [
        "partNumber=1",
        "response-content-type=text%2Fplain",
        "response-expires=Thu%2C%2001%20Jan%202037%2000%3A00%3A00%20GMT",
        "versionId=null",
        "versionId=other",
        "x-amz-checksum-mode=ENABLED",
        "x-amz-expected-bucket-owner=other",
        "x-id=GetObject",
    ],
)
def test_a_parameter_does_through_nginx_what_it_does_without(private, parameter, spell):
    """Whatever of it was kept, and whether nginx can read its name."""
    through, direct = Caller.of(private), at_the_gateway(private)
    target = stored(private, "parameters", headers={"x-amz-checksum-crc32": crc32(LARGE), **HEADERS})
    name, _, value = parameter.partition("=")
    asked = through.presigned("GET", f"{target}?{name}={value}")
    asked = Request("GET", asked.target.replace(name, spell(name)), asked.headers)
    for wanted in (None, "bytes=0-9", "bytes=7-", None):
        with_range = asked if wanted is None else asked.with_header("Range", wanted)
        answer, plain = through.ask(with_range), direct.ask(with_range)
        if plain.status < 400:
            assert (answer.status, answer.body, named(answer)) == (plain.status, plain.body, named(plain))
        else:
            refused(answer, plain.status, text(parse_xml(plain.body), "Code"))
        refused(through.ask(Request("GET", target, asked.headers)), 403, "AccessDenied")
        dropped = asked.target.replace(f"{spell(name)}={value}&", "")
        refused(through.ask(Request("GET", dropped, asked.headers)), 403, "SignatureDoesNotMatch")


def test_a_revoked_key_is_refused_within_the_bound(tmp_path: Path):
    with front(tmp_path / "revoked", "private-media.conf", authorisation_s=2) as running:
        key, secret = running.create_key("demo", "reader")
        caller = Caller(running.host, running.port, Signer(key, secret))
        asked = caller.presigned("GET", stored(running, "hot"))
        assert caller.ask(asked).body == LARGE
        running.command("keys", "disable", key)
        assert eventually(lambda: caller.ask(asked).status == 403)


def test_an_authorisation_of_nothing_is_asked_each_time(tmp_path: Path):
    with front(tmp_path / "each", "private-media.conf", authorisation_s=0) as running:
        key, secret = running.create_key("demo", "reader")
        caller = Caller(running.host, running.port, Signer(key, secret))
        asked = caller.presigned("GET", stored(running, "hot"))
        assert caller.ask(asked).body == LARGE
        running.command("keys", "disable", key)
        refused(caller.ask(asked), 403, "InvalidAccessKeyId")


def test_a_range_has_no_checksum_of_the_whole(private):
    caller = Caller.of(private)
    target = stored(private, "summed", headers={"x-amz-checksum-crc32": crc32(LARGE)})
    for headers in ([("Range", "bytes=0-9")], []):
        request = caller.signed("GET", target, headers=[("x-amz-checksum-mode", "ENABLED"), *headers])
        answer = caller.ask(request)
        assert answer.body == (LARGE[:10] if headers else LARGE)
        assert (answer.header("x-amz-checksum-crc32") is None) == bool(headers)


# --- the media site


def test_a_public_object_is_kept_by_nginx(site):
    caller = Caller.of(site)
    stored(site, "kept.jpg", bucket="demo-open", headers={"Content-Type": "image/jpeg"})
    asked = caller.request("GET", "/media/open/kept.jpg")
    answer = caller.ask(asked)
    assert (answer.status, answer.body, answer.header("content-type")) == (200, LARGE, "image/jpeg")
    site.stop_gateway()
    try:
        assert caller.ask(asked).body == LARGE
        assert caller.ask(asked.with_header("Range", "bytes=5-9")).body == LARGE[5:10]
        assert caller.ask(caller.request("GET", "/media/open/other.jpg")).status == 502
    finally:
        site.start_gateway()


@pytest.mark.parametrize("said", ["private", "no-store", "max-age=0", "no-cache"])
def test_i20_what_its_uploader_keeps_out_of_caches_is_not_kept(site, said):
    caller, key = Caller.of(site), f"unkept-{said}"
    stored(site, key, bucket="demo-open", headers={"Cache-Control": said})
    asked = caller.request("GET", f"/media/open/{key}")
    assert caller.ask(asked).body == LARGE
    stored(site, key, OTHER, bucket="demo-open", headers={"Cache-Control": said})
    assert caller.ask(asked).body == OTHER


def test_i22_a_private_object_is_never_kept(site):
    caller, target = Caller.of(site), stored(site, "secret.jpg")
    linked = caller.presigned("GET", target)
    linked = Request("GET", linked.target.replace("/demo-", "/media/"), linked.headers)
    disguised = Request("GET", linked.target.replace("X-Amz-", "X-%41mz-"), linked.headers)
    assert caller.ask(linked).body == LARGE
    assert caller.ask(disguised).status in (200, 403)
    for asked in (linked, disguised):
        refused(caller.ask(Request("GET", asked.target.partition("?")[0], asked.headers)), 403, "AccessDenied")
    stored(site, "secret.jpg", OTHER)
    assert caller.ask(linked).body == OTHER
    assert not kept_files(site, LARGE[:256], "secret")


def test_a_public_object_is_new_when_its_time_is_over(tmp_path: Path):
    with front(tmp_path / "short", "media.conf", public_s=1) as running:
        caller = Caller.of(running)
        stored(running, "news", bucket="demo-open")
        asked = caller.request("GET", "/media/open/news")
        assert caller.ask(asked).body == LARGE
        stored(running, "news", OTHER, bucket="demo-open")
        assert eventually(lambda: caller.ask(asked).body == OTHER)
        assert caller.ask(asked).body == OTHER


@pytest.mark.parametrize("key", ["a%2Fb", "a//b", "plus+plus", "one%20two", "100%25"])
def test_awkward_keys_of_a_media_site(site, key):
    caller = Caller.of(site)
    stored(site, key, key.encode(), bucket="demo-open")
    assert caller.ask(caller.request("GET", f"/media/open/{key}")).body == key.encode()


def kept_files(running: GatewayBehindNginx, data: bytes, key: str) -> list[Path]:
    """Files of nginx's cache that hold these bytes of this key."""
    files = [file for file in running.nginx.directory.glob("cache-*/**/*") if file.is_file()]
    return [file for file in files if key.encode() in file.read_bytes()[:1024] and data in file.read_bytes()]


# --- logs


@pytest.mark.parametrize("file", ["s3.conf", "s3-offload.conf", "media.conf", "private-media.conf"])
def test_o01_no_log_of_nginx_has_a_signature_whatever_fails(tmp_path: Path, file: str):
    """What nginx writes of a request that failed has all of its first line."""
    own = GatewayBehindNginx(tmp_path / "own") if file == "s3.conf" else front(tmp_path / "own", file)
    with own:
        caller, target = Caller.of(own), stored(own, "k")
        signatures: set[str] = set()

        def presigned(expires: str) -> Request:
            request = caller.presigned("GET", target, expires=expires)
            signatures.add(request.target.rpartition("X-Amz-Signature=")[2])
            below = "/media/" if file == "media.conf" else "/demo-"
            return Request("GET", request.target.replace("/demo-", below), request.headers)

        assert caller.ask(presigned("300")).body == LARGE
        for broken in (
            presigned("301").head().replace(b"\r\n", b"\r\n\x00", 1),
            presigned("302").head().replace(b"HTTP/1.1", b"HTTP/9.9"),
            presigned("303").head().replace(b"\r\nHost: ", b"\r\nHost: a b"),
            presigned("304").head()[:-4] + b"\r\nX: " + b"y" * 20_000 + b"\r\n\r\n",
        ):
            all_answers(own.host, own.port, broken)
        own.stop_gateway()
        failed = caller.ask(presigned("305"))
        own.start_gateway()
        assert failed.status >= 500
        assert caller.ask(presigned("306")).body == LARGE
    logs = [log.read_text(errors="replace") for log in own.nginx.directory.glob("*.log")]
    assert any(f" {failed.status} " in log for log in logs), "it is told that it failed"
    assert len(signatures) == 7
    assert not [each for each in signatures if any(each in log for log in logs)]
