"""A line for each request, with what it was about and without a word that could be used again."""

import asyncio
import json
import os
import re
from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.config import parse_settings
from gateway.web.access_log import FIELDS, AccessLog, open_access_log
from gateway.web.exchange import Exchange
from gateway.web.line_writer import LineWriter
from gateway.web.server import S3Server
from tests.support.caller import Caller
from tests.support.clients import s3_client
from tests.support.data import pattern
from tests.support.gateway import Gateway, GatewayError
from tests.support.listening import Listening
from tests.support.raw_http import Request
from tests.support.signer import Signer
from tests.web.conftest import SETTINGS

NAMES = [name for name, _ in FIELDS]
MIB = 1 << 20


class Logged(Listening):
    """A listener whose access log can be read when it has ended."""

    path: Path
    log: AccessLog

    async def lines(self) -> list[dict[str, Any]]:
        await self.over()
        await asyncio.to_thread(self.log.close)
        return [json.loads(line) for line in self.path.read_text().splitlines()]

    async def line(self) -> dict[str, Any]:
        [line] = await self.lines()
        return line


@pytest.fixture
async def logged(services, tmp_path) -> AsyncIterator[Logged]:
    loop = asyncio.get_running_loop()
    log = AccessLog(LineWriter(tmp_path / "access.log"), "json")
    server = S3Server(services, loop, log)
    public = await loop.create_server(server, "127.0.0.1", 0)
    new = await services.store.access_keys.create("demo", "ops", 1, actor="ops")
    signer = Signer(new.access_key_id, new.secret_access_key)
    made = Logged(server, public.sockets[0].getsockname()[1], signer)
    made.path, made.log = tmp_path / "access.log", log
    yield made
    public.close()
    await server.drain(5.0)
    log.close()


def head(logged: Logged, *more: tuple[str, str]) -> tuple[tuple[str, str], ...]:
    return (("Host", f"127.0.0.1:{logged.port}"), *more)


async def test_a_read_is_told_with_every_field(logged):
    await logged.put("/demo-media/a%20b.jpg", b"x" * 1000)
    agents = (("User-Agent", "aws-cli/2.0 é"), ("Referer", "https://user:pw@app.example/page?token=secret#top"))
    read = logged.signer.sign(Request("GET", "/demo-media/a%20b.jpg", head(logged, *agents)))
    assert (await logged.exchange(read))[0] == 200
    stored, line = await logged.lines()
    assert list(line) == NAMES
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", line.pop("time"))
    assert re.fullmatch(r"[0-9A-F]{16}", line.pop("request_id"))
    assert 0 < line.pop("turnaround_ms") <= line.pop("total_ms") + 0.1
    assert line == {
        "remote": "127.0.0.1",
        "project": "demo",
        "principal": "demo/ops",
        "operation": "GetObject",
        "method": "GET",
        "bucket": "demo-media",
        "key": "a b.jpg",
        "status": 200,
        "error": None,
        "bytes_received": 0,
        "bytes_sent": 1000,
        "object_size": 1000,
        "user_agent": "aws-cli/2.0 é",
        "referer": "https://[redacted]@app.example/page",
        "host": f"127.0.0.1:{logged.port}",
        "tls": None,
        "cache": None,
    }
    assert (stored["operation"], stored["bytes_received"], stored["object_size"]) == ("PutObject", 1000, 1000)


async def test_a_refusal_is_told_with_its_code(logged):
    assert (await logged.get("/demo-media/missing"))[0] == 404
    line = await logged.line()
    assert (line["status"], line["error"], line["operation"]) == (404, "NoSuchKey", "GetObject")
    assert line["bytes_sent"] > 0


async def test_nobody_has_a_name_that_is_not_proven(logged):
    forged = Signer(logged.signer.access_key_id, "W" * 40)
    await logged.exchange(forged.sign(Request("GET", "/demo-media/k", head(logged))))
    await logged.exchange(Request("GET", "/demo-media/k", head(logged)))
    wrong, anonymous = await logged.lines()
    assert (wrong["principal"], wrong["operation"], wrong["error"]) == (None, "unknown", "SignatureDoesNotMatch")
    assert (anonymous["principal"], anonymous["operation"], anonymous["project"]) == (None, "GetObject", "demo")


async def test_a_request_that_says_nothing_sound_has_a_line(logged):
    await logged.exchange(Request("GET", "/demo-media/%FF", head(logged)))
    line = await logged.line()
    assert (line["status"], line["operation"], line["bucket"], line["key"]) == (400, "unknown", None, None)
    assert line["remote"] == "127.0.0.1"


async def test_bytes_sent_are_those_that_the_client_was_sent(logged):
    await logged.put("/demo-media/k", pattern(3 * MIB))
    await logged.get("/demo-media/k", "HEAD")
    part = logged.signer.sign(Request("GET", "/demo-media/k", head(logged, ("Range", "bytes=0-99"))))
    assert (await logged.exchange(part))[0] == 206
    _, described, ranged = await logged.lines()
    assert (described["bytes_sent"], described["object_size"]) == (0, 3 * MIB)
    assert (ranged["status"], ranged["bytes_sent"], ranged["object_size"]) == (206, 100, 3 * MIB)


async def test_no_part_of_a_signature_is_in_a_line(logged):
    presigned = logged.signer.presign(Request("GET", "/demo-media/k", head(logged)))
    signature = presigned.target.rpartition("X-Amz-Signature=")[2]
    mistaken = presigned.target.replace("?", "%3F")  # the query has become a part of the key
    for target in (presigned.target, mistaken, mistaken.replace("=", "%3D"), mistaken.replace("=", "%253D")):
        await logged.exchange(Request("GET", target, head(logged, ("Referer", f"http://h{target}"))))
        await logged.exchange(Request("GET", target, head(logged, ("User-Agent", presigned.target))))
    signed = logged.signer.sign(Request("GET", "/demo-media/k", head(logged)))
    await logged.exchange(signed)
    assert len(await logged.lines()) == 9
    text = logged.path.read_text()
    hidden = (signed.header("authorization") or "").rpartition("Signature=")[2]
    for secret in (signature, hidden, logged.signer.secret_access_key):
        assert secret
        assert secret not in text


def an_exchange(**more: Any) -> Exchange:
    """A request that was made up, with whatever a client could send."""
    request: Any = SimpleNamespace(
        method=more.get("method", "GET"),
        body=SimpleNamespace(total_bytes=0),
        connection=SimpleNamespace(peer=more.get("peer", "192.0.2.1"), tls=""),
    )
    exchange = Exchange(request, "562ADA0D00000002")
    headers = {name: more[name] for name in ("user-agent", "referer", "x-forwarded-for") if name in more}
    call: Any = SimpleNamespace(
        operation=SimpleNamespace(name="GetObject"),
        headers=headers,
        identity=None,
        address=SimpleNamespace(bucket="b", key=more.get("key")),
        found_bucket=None,
        found_object=None,
        host=more.get("host", ""),
    )
    exchange.call = call
    return exchange


@pytest.fixture(scope="module")
def renderers(tmp_path_factory) -> dict[str, Callable[[Exchange], str]]:
    writer = LineWriter(Path(os.devnull))
    writer.close()
    return {form: partial(_rendered, AccessLog(writer, form)) for form in ("json", "text")}


def _rendered(log: AccessLog, exchange: Exchange) -> str:
    """A quarter of a second after its head had come, at a round time."""
    return log.render(exchange, exchange.began_s + 0.25, 1e9)


@given(key=st.text(), agent=st.text(), referer=st.text(), method=st.text())
def test_whatever_a_client_sends_is_one_bounded_line_of_ascii(renderers, key, agent, referer, method):
    exchange = an_exchange(key=key, method=method, **{"user-agent": agent, "referer": referer})
    line = renderers["json"](exchange)
    assert re.fullmatch(r"[ -~]*", line)
    told = json.loads(line)
    assert len(told["user_agent"]) <= 256
    assert len(told["referer"]) <= 256
    assert len(told["method"]) <= 32
    assert re.fullmatch(r"[ -~]*", renderers["text"](exchange))


def test_text_has_the_same_values_in_the_same_order(renderers):
    exchange = an_exchange(key='a "b"', **{"user-agent": "u v"})
    exchange.head_s = exchange.began_s + 0.125
    assert renderers["text"](exchange) == (
        '2001-09-09T01:46:39.750Z 562ADA0D00000002 "192.0.2.1" - - GetObject "GET" "b" "a \\"b\\"" 499 - 0 0 - '
        '250.0 125.0 "u v" - - - -'
    )
    told = json.loads(renderers["json"](exchange))
    assert (told["key"], told["total_ms"], told["turnaround_ms"]) == ('a "b"', 250.0, 125.0)


def test_a_trusted_proxy_is_believed_from_the_right(tmp_path):
    settings = parse_settings(
        SETTINGS + '[server]\ntrusted_proxies = ["10.0.0.0/8"]\n[log]\naccess = "a.log"\nformat = "json"\n',
        tmp_path / "gateway.toml",
    )
    log = open_access_log(settings)
    assert log is not None

    def remote(peer: str, forwarded: str) -> Any:
        exchange = an_exchange(peer=peer, **{"x-forwarded-for": forwarded})
        return json.loads(log.render(exchange, exchange.began_s, 1e9))["remote"]

    assert remote("10.0.0.1", "198.51.100.7, 203.0.113.9") == "203.0.113.9"
    assert remote("192.0.2.1", "203.0.113.9") == "192.0.2.1"
    assert remote("::ffff:192.0.2.1", "") == "192.0.2.1"
    assert remote("10.0.0.1", "nonsense") is None
    log.trust(())  # the settings were read again
    assert remote("10.0.0.1", "198.51.100.7, 203.0.113.9") == "10.0.0.1"
    log.close()


def test_without_the_setting_there_is_none(tmp_path):
    assert open_access_log(parse_settings(SETTINGS, tmp_path / "gateway.toml")) is None


@pytest.mark.parametrize("form", ["json", "text"])
def test_a_gateway_writes_what_its_settings_say(tmp_path, form):
    with Gateway(tmp_path, tls=False, settings={"log": {"access": "access.log", "format": form}}) as gateway:
        caller = Caller.of(gateway)
        caller.put("demo-media", "k", b"bytes")
        assert caller.get("demo-media", "k").status == 200
        assert gateway.stop() == 0
    lines = (tmp_path / "access.log").read_text().splitlines()
    assert len(lines) == 2
    assert all(("GetObject" in line) == (index == 1) for index, line in enumerate(lines))
    assert lines[0].startswith('{"time":"' if form == "json" else "20")


def test_a_gateway_whose_access_log_cannot_be_opened_does_not_start(tmp_path):
    gateway = Gateway(tmp_path, settings={"log": {"access": "missing/access.log"}})
    with pytest.raises(GatewayError, match=r"missing/access\.log: No such file or directory"):
        gateway.start()


def test_over_tls_its_version_is_told(tmp_path):
    with Gateway(tmp_path, tls=True, settings={"log": {"access": "access.log", "format": "json"}}) as gateway:
        client = s3_client(gateway)
        client.put_object(Bucket="demo-media", Key="k", Body=b"bytes")
        client.close()
    [line] = [json.loads(line) for line in (tmp_path / "access.log").read_text().splitlines()]
    assert (line["operation"], line["status"]) == ("PutObject", 200)
    assert line["tls"] in ("TLSv1.2", "TLSv1.3")
    assert line["user_agent"].startswith("Boto3/")


def test_standard_output_has_the_lines_where_the_settings_say_so(tmp_path):
    with Gateway(tmp_path, settings={"log": {"access": "-"}}) as gateway:
        Caller.of(gateway).put("demo-media", "k", b"bytes")
        assert gateway.stop() == 0
    assert [line.split(" ")[5] for line in gateway.output if not line.startswith("ready: ")] == ["PutObject"]
