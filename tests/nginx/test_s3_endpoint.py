"""Way 1: what a client says reaches the gateway as it was said, and while it is said. X41: nginx reloads, or goes."""

import json
import re
import socket
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.support.caller import Caller, complete_document, parse_xml, refused, text
from tests.support.nginx import GatewayBehindNginx
from tests.support.oracle import at_rest, open_intents, usage_is_the_sum_of_the_objects
from tests.support.process import MIB
from tests.support.raw_http import BrokenAnswer, Connection, Request, eventually
from tests.support.signer import UNSIGNED, uri_encode

AWKWARD = [
    "a%2Fb",
    "a//b",
    "a///b//",
    "/leading",
    "trailing/",
    "plus+plus",
    "%2B",
    "one%20two",
    "100%25",
    "%2525",
    "%E2%82%AC/%C3%A9.jpg",
    "q%3Fmark%23hash",
    "semi;colon,comma@at=is&and",
    "tilde~%7E",
    "dot.%2E.dot",
    "...",
    "a%5Cb",
    "%22quotes%27",
    "case/%c3%a9",
]
DOTS = ["../victim", "a/../victim", "./victim", "a/./b", "%2e%2e/victim", "..%2Fvictim"]


@pytest.mark.parametrize("path", AWKWARD)
def test_e14_an_awkward_key_is_the_same_key_with_and_without_nginx(caller, direct, bucket, path):
    target = f"/{bucket}/{path}"
    stored = caller.call("PUT", target, path.encode())
    assert stored.status == 200, stored
    assert direct.call("GET", target).body == path.encode()
    assert caller.call("GET", target).body == path.encode()
    assert caller.ask(caller.presigned("GET", target)).body == path.encode()
    assert caller.keys(bucket) == direct.keys(bucket)
    assert caller.call("DELETE", target).status == 204
    assert direct.keys(bucket) == []


@pytest.mark.parametrize("path", DOTS)
def test_e14_dot_segments_are_answered_as_without_nginx(caller, direct, untouched, path):
    target = f"/{untouched}/{path}"
    through, plain = caller.call("GET", target), direct.call("GET", target)
    assert (through.status, through.header("etag")) == (plain.status, plain.header("etag"))


def test_a_host_other_than_the_targets_is_refused(caller, untouched):
    signed = caller.signed("GET", f"/{untouched}/victim")
    same = Request("GET", f"http://{caller.authority}/{untouched}/victim", signed.headers)
    assert caller.ask(same).body == b"the first bytes"
    other = Request("GET", f"http://evil.example/{untouched}/victim", signed.headers)
    assert caller.ask(other).status == 400


@pytest.mark.parametrize("name", ["x-amz-meta-with.dot", "x-amz-meta-under_score"])
def test_odd_names_of_metadata_pass(caller, direct, bucket, name):
    caller.put(bucket, "k", b"", [(name, "kept")])
    assert direct.get(bucket, "k").header(name) == "kept"


def test_e16_e17_an_upload_reaches_the_gateway_while_it_is_sent(caller, fronted, bucket):
    body = bytes(24 * MIB)
    request = caller.signer.sign(caller.request("PUT", f"/{bucket}/slow", body), payload=UNSIGNED)
    with caller.connect(timeout_s=60) as connection:
        connection.send(request.head() + body[: 20 * MIB])
        assert eventually(lambda: largest_below(fronted.origin_directory / bucket) >= 8 * MIB, within_s=30)
        assert written_below(fronted.nginx.directory) == []
        connection.send(body[20 * MIB :])
        assert connection.answer("PUT").status == 200
    assert caller.get(bucket, "slow").body == body


def test_a_download_is_not_written_to_nginxs_disk(caller, fronted, bucket):
    caller.put(bucket, "large", bytes(32 * MIB))
    with Connection.open(caller.host, caller.port, receive_buffer=4096, timeout_s=60) as connection:
        connection.send(caller.signed("GET", f"/{bucket}/large").encode())
        connection.fill()
        assert written_below(fronted.nginx.directory) == []
        connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        assert len(connection.answer().body) == 32 * MIB


def test_an_upload_that_ends_early_leaves_nothing(caller, direct, bucket):
    request = caller.signer.sign(caller.request("PUT", f"/{bucket}/k", bytes(16 * MIB)), payload=UNSIGNED)
    with caller.connect() as connection:
        connection.send(request.head() + request.body[: 12 * MIB])
        connection.reset()
    assert eventually(lambda: direct.call("GET", f"/{bucket}?uploads").status == 200)
    assert direct.keys(bucket) == []


def test_expect_is_answered_and_the_body_stored(caller, bucket):
    request = caller.signed("PUT", f"/{bucket}/k", b"body").with_header("Expect", "100-continue")
    with caller.connect() as connection:
        connection.send(request.head())
        assert connection.interim() == 100
        connection.send(request.body)
        assert connection.answer("PUT").status == 200
    assert caller.get(bucket, "k").body == b"body"


def test_a_small_upload_that_is_refused_leaves_the_client_its_connection(caller, bucket):
    """By the time nginx knows of the refusal it has the whole body; otherwise it would close, and not say so."""
    caller.put(bucket, "k", b"kept")
    with caller.connect() as connection:
        for _ in range(20):
            upload = caller.signed("PUT", f"/{bucket}/k", bytes(5000), [("x-amz-acl", "public-read")])
            connection.send(upload.with_header("Expect", "100-continue").head())
            assert connection.interim() == 100
            connection.send(upload.body)
            refused(connection.answer("PUT"), 400, "AccessControlListNotSupported")
        connection.send(caller.signed("GET", f"/{bucket}/k").encode())
        assert connection.answer().body == b"kept"


def test_expect_of_who_may_not_is_refused_in_xml(caller, untouched):
    request = caller.request("PUT", f"/{untouched}/k", b"body").with_header("Expect", "100-continue")
    with caller.connect() as connection:
        connection.send(request.encode())
        refused(connection.answer("PUT"), 403, "AccessDenied")


def test_limits_are_the_gateways_and_worded_in_xml(caller, bucket):
    refused(caller.call("PUT", f"/{bucket}/m", b"", [("x-amz-meta-m", "v" * 2048)]), 400, "MetadataTooLarge")
    caller.put(bucket, "k", b"", [("x-amz-meta-m", "v" * 2047)])
    assert caller.get(bucket, "k").header("x-amz-meta-m") == "v" * 2047


def test_what_a_client_says_of_its_scheme_is_replaced(caller, direct, bucket):
    """Location repeats the scheme that the gateway believes in."""
    forged = [("X-Forwarded-Proto", "https")]
    assert location_of(direct, bucket, forged).startswith("https://")  # it is believed where nginx stands
    assert location_of(caller, bucket, forged).startswith("http://")


def test_what_a_client_says_of_its_address_is_replaced(tmp_path: Path):
    """nginx and the client have one address here, and it is a trusted one: whatever stood further left would be believed."""
    with GatewayBehindNginx(tmp_path / "own", settings={"log": {"access": "access.log", "format": "json"}}) as own:
        caller, log = Caller.of(own), own.directory / "access.log"
        forged = caller.signed("GET", "/demo-media/forged").with_header("X-Forwarded-For", "192.0.2.7")
        assert caller.ask(forged).status == 404
        assert eventually(lambda: "forged" in log.read_text())
        [line] = [json.loads(line) for line in log.read_text().splitlines() if "forged" in line]
        assert line["remote"] == "127.0.0.1"


def test_a_signature_is_not_in_the_log(caller, fronted, bucket):
    caller.put(bucket, "logged", b"x")
    request = caller.presigned("GET", f"/{bucket}/logged")
    assert caller.ask(request).status == 200
    assert eventually(lambda: any(f"/{bucket}/logged HTTP" in line for line in fronted.nginx.access_log))
    assert "X-Amz-Signature" not in "".join(fronted.nginx.access_log)
    assert "Signature=" not in "".join(fronted.nginx.access_log)


def test_a_gateway_that_dies_in_the_middle_of_a_body_breaks_the_clients_connection(tmp_path: Path):
    with GatewayBehindNginx(tmp_path / "own") as own:
        caller = Caller.of(own)
        with begun_download(caller, "demo-media") as connection:
            own.kill()
            with pytest.raises(BrokenAnswer):
                connection.answer()
        own.start_gateway()
        assert caller.get("demo-media", "large").status == 200


def test_x41_a_reload_lets_transfers_end(caller, fronted, bucket):
    with begun_download(caller, bucket) as connection:
        fronted.nginx.reload()
        assert len(connection.answer().body) == 32 * MIB
    assert caller.get(bucket, "large").status == 200


def test_x41_an_upload_whose_nginx_goes_leaves_nothing_and_can_be_repeated(tmp_path: Path):
    with GatewayBehindNginx(tmp_path / "own") as own:
        caller, body = Caller.of(own), bytes(16 * MIB)
        caller.put("demo-media", "k", b"before")
        request = caller.signer.sign(caller.request("PUT", "/demo-media/k", body), payload=UNSIGNED)
        with caller.connect() as connection:
            connection.send(request.head() + body[: 12 * MIB])
            assert eventually(lambda: open_intents(own) == 1)
            own.nginx.stop()
            own.nginx.start()
            assert eventually(lambda: at_rest(own))
        assert caller.get("demo-media", "k").body == b"before"
        usage_is_the_sum_of_the_objects(own)
        assert caller.ask(request).status == 200
        assert caller.get("demo-media", "k").body == body


def test_e20_n01_whoever_sends_no_head_is_closed_by_nginx_and_others_are_served(tmp_path: Path):
    """By its own times, which are made shorter here; the gateway has much longer ones, and hears of none of them."""
    own = GatewayBehindNginx(tmp_path / "own", settings={"limits": {"header_timeout_s": 600, "idle_s": 600}})
    file = own.nginx.directory / "anbar/server.conf"
    for name, seconds in (("client_header_timeout", 10), ("keepalive_timeout", 75)):
        [told] = re.findall(rf"^{name} (\d+)s;$", file.read_text(), re.MULTILINE)
        assert int(told) <= seconds
        file.write_text(file.read_text().replace(f"{name} {told}s;", f"{name} 1s;"))
    with own, ExitStack() as opened:
        caller = Caller.of(own)
        caller.put("demo-media", "k", b"bytes")
        silent, slow, idle = ([opened.enter_context(caller.connect()) for _ in range(100)] for _ in range(3))
        get = caller.signed("GET", "/demo-media/k")
        for connection in slow:
            connection.send(get.encode()[:20])
        for connection in idle:
            assert connection.exchange(get).body == b"bytes"
        assert caller.get("demo-media", "k").body == b"bytes"
        assert all(connection.ended() for connection in (*silent, *slow, *idle))


def begun_download(caller: Caller, bucket: str) -> Connection:
    """A download of which the client has taken a little."""
    caller.put(bucket, "large", bytes(32 * MIB))
    connection = Connection.open(caller.host, caller.port, receive_buffer=65536, timeout_s=60)
    connection.send(caller.signed("GET", f"/{bucket}/large").encode())
    connection.fill()
    return connection


def location_of(caller: Caller, bucket: str, headers: list[tuple[str, str]]) -> str:
    """What Complete says of an object's address."""
    upload_id = caller.start_upload(bucket, "k")
    etag = caller.put_part(bucket, "k", upload_id, 1, b"part")
    target = f"/{bucket}/k?uploadId={uri_encode(upload_id)}"
    request = caller.signed("POST", target, complete_document([(1, etag)]))
    for name, value in headers:
        request = request.with_header(name, value)
    return text(parse_xml(caller.ask(request).body), "Location")


def largest_below(folder: Path) -> int:
    """The size of the largest file."""
    return max((file.stat().st_size for file in folder.rglob("*") if file.is_file()), default=0)


def written_below(directory: Path) -> list[Path]:
    """The bodies that nginx has put into files."""
    return [file for name in ("body", "proxy") for file in (directory / name).rglob("*") if file.is_file()]
