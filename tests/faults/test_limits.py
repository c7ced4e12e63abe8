"""Limits on what one client can take: rates, connections, slowness. Refusals are S3's, others are served meanwhile."""

import select
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.web.rates import BURST_S
from tests.support.caller import Caller, refused
from tests.support.cast import assume_role, session_of
from tests.support.gateway import DEMO_POLICY, OTHER_POLICY, Gateway, Settings
from tests.support.oracle import at_rest
from tests.support.plain_http import Connection as HttpsConnection
from tests.support.process import open_descriptors
from tests.support.raw_http import Answer, Connection, eventually
from tests.support.signer import BOUNDARY, UNSIGNED, Signer, form_body, post_policy

BUCKET = "demo-media"
RATE = 20
ONE = 0.001  # a second: one request, and a test is over long before the next


@pytest.fixture
def limited(tmp_path: Path, request) -> Iterator[Gateway]:
    policies = {"demo": f'{DEMO_POLICY}[principals.backend]\nrole = "service"\n', "other": OTHER_POLICY}
    with Gateway(tmp_path, settings={"limits": request.param}, policies=policies) as running:
        yield running


def statuses(connection: Connection, caller: Caller, count: int) -> list[int]:
    return [connection.exchange(caller.signed("HEAD", f"/{BUCKET}")).status for _ in range(count)]


def by_form(caller: Caller) -> Answer:
    """Store an object by a browser's form."""
    signer = caller.signer
    names = ["key", "x-amz-credential", "x-amz-algorithm", "x-amz-date"]
    names += ["x-amz-security-token"] if signer.session_token is not None else []
    policy = post_policy([{"bucket": BUCKET}, *(["starts-with", f"${name}", ""] for name in names)])
    fields = {"key": f"by-{signer.access_key_id}", **signer.post_fields(policy)}
    headers = [("Content-Type", f"multipart/form-data; boundary={BOUNDARY}")]
    return caller.ask(caller.request("POST", f"/{BUCKET}", form_body(fields.items(), b"formed"), headers))


@pytest.mark.parametrize("limited", [{"requests_per_key": RATE}], indirect=True)
def test_who_asks_too_often_with_one_key_is_slowed_down_and_others_are_not(limited):
    caller, other = Caller.of(limited), Caller.of(limited, other=True)
    another_key = Caller(caller.host, caller.port, Signer(*limited.create_key("demo")))
    with caller.connect() as connection:
        found = statuses(connection, caller, 10 * RATE)
        assert 503 in found
        assert found.count(200) >= RATE
        answer = connection.exchange(caller.signed("GET", f"/{BUCKET}"))
        if answer.status != 200:  # the bucket may have filled a little meanwhile
            refused(answer, 503, "SlowDown")
            assert answer.header("retry-after")
        assert another_key.ask(another_key.signed("HEAD", f"/{BUCKET}")).status == 200
        assert other.ask(other.signed("HEAD", "/other-media")).status == 200
        assert eventually(lambda: connection.exchange(caller.signed("HEAD", f"/{BUCKET}")).status == 200)


@pytest.mark.parametrize("limited", [{"requests_per_key": RATE}], indirect=True)
def test_a_forged_signature_takes_nothing_of_anybodys_rate(limited):
    caller = Caller.of(limited)
    forger = Caller(caller.host, caller.port, Signer(caller.signer.access_key_id, "x" * 40))
    with caller.connect() as connection:
        for _ in range(10 * RATE):
            assert connection.exchange(forger.signed("HEAD", f"/{BUCKET}")).status == 403
        assert statuses(connection, caller, 5) == [200] * 5


@pytest.mark.parametrize("limited", [{"requests_per_key": ONE}], indirect=True)
def test_a_forms_key_has_the_rate_that_it_has_in_a_header(limited):
    first, second = (replace(Caller.of(limited), signer=Signer(*limited.create_key("demo"))) for _ in range(2))
    assert by_form(first).status == 204
    refused(first.ask(first.signed("GET", f"/{BUCKET}")), 503, "SlowDown")
    assert second.ask(second.signed("GET", f"/{BUCKET}")).status == 200
    refused(by_form(second), 503, "SlowDown")
    refused(by_form(replace(second, signer=replace(second.signer, secret_access_key="x" * 40))), 403)
    assert Caller.of(limited).keys(BUCKET) == [f"by-{first.signer.access_key_id}"]


@pytest.mark.parametrize("limited", [{"requests_per_key": ONE}], indirect=True)
def test_who_begins_sessions_has_one_rate_with_them(limited):
    caller = Caller.of(limited)
    first, second = (replace(caller, signer=Signer(*limited.create_key("demo", "backend"))) for _ in range(2))
    session = session_of(first, "demo", "ann")
    for answer in (assume_role(first, "demo", "ann"), session.call("PUT", f"/{BUCKET}/k"), by_form(session)):
        assert answer.status == 503, answer
    assert second.ask(second.signed("GET", f"/{BUCKET}")).status == 200
    assert assume_role(second, "demo", "ann").status == 503


@pytest.mark.parametrize("limited", [{"requests_per_address": RATE}], indirect=True)
def test_who_asks_too_often_from_one_address_is_slowed_down_before_any_signature_is_checked(limited):
    caller = Caller.of(limited)
    forger = Caller(caller.host, caller.port, Signer(caller.signer.access_key_id, "x" * 40))
    with caller.connect() as connection:
        found = [connection.exchange(forger.signed("HEAD", f"/{BUCKET}")).status for _ in range(10 * RATE)]
    assert set(found) == {403, 503}


@pytest.mark.parametrize("limited", [{"requests_per_address": RATE}, {"requests_per_key": RATE}], indirect=True)
def test_a_url_that_was_seen_before_counts_each_time(limited):
    caller = Caller.of(limited)
    caller.put(BUCKET, "k", b"bytes")
    asked = caller.presigned("GET", f"/{BUCKET}/k")
    with caller.connect() as connection:
        assert {connection.exchange(asked).status for _ in range(10 * RATE)} == {200, 503}


def test_the_address_is_what_a_trusted_proxy_says_of_it(tmp_path):
    settings: Settings = {"server": {"trusted_proxies": ["127.0.0.1"]}, "limits": {"requests_per_address": RATE}}
    with Gateway(tmp_path, settings=settings) as gateway:
        caller = Caller.of(gateway)
        with caller.connect() as connection:
            for number in range(5 * RATE):
                head = caller.signed("HEAD", f"/{BUCKET}").with_header("X-Forwarded-For", f"10.0.0.{number % 50}")
                assert connection.exchange(head).status == 200
            flood = caller.signed("HEAD", f"/{BUCKET}").with_header("X-Forwarded-For", "10.1.1.1")
            assert 503 in [connection.exchange(flood).status for _ in range(10 * RATE)]


@pytest.mark.parametrize("limited", [{"max_connections": 8}], indirect=True)
def test_a_connection_that_is_too_many_is_told_so_and_those_that_are_open_go_on(limited):
    caller = Caller.of(limited)
    with ExitStack() as opened:
        connections = [opened.enter_context(caller.connect()) for _ in range(8)]
        assert [connection.exchange(caller.signed("HEAD", f"/{BUCKET}")).status for connection in connections] == [
            200
        ] * 8
        for _ in range(20):
            with caller.connect() as one_more:
                refused(one_more.answer(), 503, "SlowDown")
                assert one_more.ended()
        assert statuses(connections[0], caller, 3) == [200] * 3
    assert eventually(lambda: caller.ask(caller.signed("HEAD", f"/{BUCKET}")).status == 200)


@pytest.mark.parametrize("limited", [{"connections_per_address": 4}], indirect=True)
def test_connections_of_one_address_are_counted(limited):
    caller = Caller.of(limited)
    with ExitStack() as opened:
        for _ in range(4):
            assert opened.enter_context(caller.connect()).exchange(caller.signed("HEAD", f"/{BUCKET}")).status == 200
        with caller.connect() as one_more:
            refused(one_more.answer(), 503, "SlowDown")
        with socket.create_connection((caller.host, caller.port), source_address=("127.0.0.2", 0)) as elsewhere:
            elsewhere.settimeout(10)
            elsewhere.sendall(caller.signed("HEAD", f"/{BUCKET}").encode())
            assert elsewhere.recv(12) == b"HTTP/1.1 200"


def test_the_connections_of_a_trusted_proxy_are_its_clients(tmp_path):
    settings: Settings = {"server": {"trusted_proxies": ["127.0.0.1"]}, "limits": {"connections_per_address": 2}}
    with Gateway(tmp_path, settings=settings) as gateway, ExitStack() as opened:
        caller = Caller.of(gateway)
        for _ in range(10):
            assert opened.enter_context(caller.connect()).exchange(caller.signed("HEAD", f"/{BUCKET}")).status == 200
        others = [opened.enter_context(Connection.open(caller.host, caller.port, source="127.0.0.2")) for _ in range(3)]
        for connection in others[:2]:
            assert connection.exchange(caller.signed("HEAD", f"/{BUCKET}")).status == 200
        refused(others[2].answer(), 503, "SlowDown")


def test_workers_share_what_is_allowed_as_a_whole(tmp_path):
    """Each has its part: however the kernel spreads them, all together are never more."""
    settings: Settings = {"server": {"workers": 2}, "limits": {"max_connections": 8}}
    with Gateway(tmp_path, settings=settings) as gateway, ExitStack() as opened:
        caller = Caller.of(gateway)
        crowd = [opened.enter_context(caller.connect()) for _ in range(64)]
        let_in = []
        for connection in crowd:
            answer = connection.exchange(caller.signed("GET", f"/{BUCKET}"))
            if answer.status != 200:
                refused(answer, 503, "SlowDown")
            else:
                let_in.append(connection)
        assert len(let_in) == 8
        assert [connection.exchange(caller.signed("HEAD", f"/{BUCKET}")).status for connection in let_in] == [200] * 8


@pytest.mark.parametrize("limit", ["requests_per_key", "requests_per_address"])
def test_workers_share_the_rate_of_a_key_and_of_an_address(tmp_path, limit):
    """However long the requests take: no more than a burst, and what the time that passed allows."""
    with Gateway(tmp_path, settings={"server": {"workers": 2}, "limits": {limit: RATE}}) as gateway:
        caller = Caller(gateway.host, gateway.port, Signer(*gateway.create_key("demo")))
        with ExitStack() as opened:
            connections = [opened.enter_context(caller.connect()) for _ in range(32)]
            began_s = time.monotonic()
            found = [connection.exchange(caller.signed("HEAD", f"/{BUCKET}")) for connection in connections * 8]
            passed_s = time.monotonic() - began_s
        assert {answer.status for answer in found} == {200, 503}
        assert len({answer.header("x-amz-id-2") for answer in found}) == 2, "both workers were asked"
        assert [answer.status for answer in found].count(200) <= RATE * (BURST_S + passed_s) + 2


def test_over_tls_who_says_nothing_is_counted_and_closed(tmp_path):
    limits = {"max_connections": 20, "header_timeout_s": 1.0}
    with Gateway(tmp_path, tls=True, settings={"limits": limits}) as gateway, ExitStack() as opened:
        before = open_descriptors(gateway.pid)
        crowd = [opened.enter_context(Connection.open(gateway.host, gateway.port)) for _ in range(300)]
        assert open_descriptors(gateway.pid) <= before + 25
        assert all(connection.ended() for connection in crowd)
        assert eventually(lambda: open_descriptors(gateway.pid) <= before + 2)
        with HttpsConnection(gateway) as client:
            assert client.request("GET", "/").status == 403


@pytest.mark.parametrize("limited", [{"body_gap_timeout_s": 1.0, "min_upload_rate": "10KiB"}], indirect=True)
def test_a_body_that_trickles_is_cut_off_and_one_that_flows_is_not(limited):
    caller = Caller.of(limited)
    request = caller.signer.sign(caller.request("PUT", f"/{BUCKET}/slow", b"s" * 100_000), payload=UNSIGNED)
    with caller.connect() as connection:
        connection.send(request.head())
        answered = False
        for _ in range(100):  # ten bytes at a time, always before a gap would be too long
            connection.send(b"s" * 10)
            if select.select([connection.socket], [], [], 0.1)[0]:
                answered = True
                break
        assert answered
        refused(connection.answer("PUT"), 400, "RequestTimeout")
    caller.put(BUCKET, "quick", b"q" * 100_000)
    assert eventually(lambda: at_rest(limited))
    assert caller.keys(BUCKET) == ["quick"]
