"""A span for each request, where they are wanted; without the packages, or the wish, nothing of it."""

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import import_module
from ipaddress import ip_network
from typing import Any

import pytest

from gateway import traces as module
from gateway.origin.s3.places import Place
from gateway.origin.s3.requests import Request as OriginRequest
from gateway.traces import Traces, use
from gateway.web.dispatch import HANDLERS
from gateway.web.server import S3Server
from tests.origin.s3.scripted import LOST, Server, answer, refusal, session_to
from tests.support.caller import Caller
from tests.support.gateway import Gateway
from tests.support.listening import Listening
from tests.support.raw_http import Request
from tests.support.signer import Signer

export = import_module("opentelemetry.sdk.trace.export.in_memory_span_exporter")
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
GET = OriginRequest("GET", Place("b", "k"))
PARENT = f"00-{TRACE}-00f067aa0ba902b7-01"


class Traced(Listening):
    """A listener whose spans can be looked at."""

    exporter: Any

    async def spans(self) -> list[Any]:
        await self.over()
        return list(self.exporter.get_finished_spans())


@pytest.fixture
def exporter() -> Iterator[Any]:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor

    made = export.InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(made))
    traces = Traces(provider)
    use(traces)
    yield made
    use(None)
    traces.close()


@pytest.fixture
async def traced(services, exporter) -> AsyncIterator[Traced]:
    loop = asyncio.get_running_loop()
    server = S3Server(services, loop)
    public = await loop.create_server(server, "127.0.0.1", 0)
    new = await services.store.access_keys.create("demo", "ops", 1, actor="ops")
    made = Traced(server, public.sockets[0].getsockname()[1], Signer(new.access_key_id, new.secret_access_key))
    made.exporter = exporter
    yield made
    public.close()
    await server.drain(5.0)


async def test_a_request_is_a_span_with_what_became_of_it(traced):
    await traced.put("/demo-media/secret-key", b"x" * 1000)
    await traced.get("/demo-media/secret-key")
    await traced.get("/demo-media/missing")
    put, got, missing = await traced.spans()
    assert [span.name for span in (put, got, missing)] == ["PutObject", "GetObject", "GetObject"]
    assert got.attributes["http.response.status_code"] == 200
    assert got.attributes["http.response.body.size"] == 1000
    assert got.attributes["aws.s3.bucket"] == "demo-media"
    assert put.attributes["http.request.body.size"] == 1000
    assert missing.attributes["error.type"] == "NoSuchKey"
    assert got.status.is_unset
    assert missing.status.is_unset, "a client's mistake is none of ours"
    assert got.parent is None
    assert "secret-key" not in got.to_json()
    assert traced.signer.access_key_id not in got.to_json()


async def test_a_bug_is_an_error(traced, monkeypatch):
    async def bug(_call):
        raise KeyError("a bug")

    monkeypatch.setitem(HANDLERS, "ListBuckets", bug)  # type: ignore[arg-type]
    await traced.get("/")
    [span] = await traced.spans()
    assert span.status.status_code.name == "ERROR"


async def test_requests_of_one_connection_are_traces_of_their_own(traced):
    reader, writer = await asyncio.open_connection("127.0.0.1", traced.port)
    request = traced.signer.sign(Request("GET", "/", (("Host", f"127.0.0.1:{traced.port}"),)))
    writer.write(request.encode() * 2)
    for _ in range(2):
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(int(line[16:]) for line in head.split(b"\r\n") if line.startswith(b"Content-Length: "))
        await reader.readexactly(length)
    writer.close()
    first, second = await traced.spans()
    assert first.context.trace_id != second.context.trace_id
    assert second.parent is None


@pytest.mark.parametrize("trusted", [True, False])
async def test_only_a_trusted_proxys_trace_is_gone_on_with(traced, trusted):
    traced.server._trusted_proxies = (ip_network("127.0.0.0/8"),) if trusted else ()
    head = (("Host", f"127.0.0.1:{traced.port}"), ("traceparent", PARENT))
    await traced.exchange(traced.signer.sign(Request("GET", "/", head)))
    [span] = await traced.spans()
    assert (span.context.trace_id == int(TRACE, 16)) == trusted


async def test_answers_of_an_origin_are_spans_within_the_requests(exporter):
    traces = module.current()
    assert traces is not None
    async with Server(answer(200, b"x"), refusal(404, "NoSuchKey"), LOST) as server:
        session = session_to(server.port, retries=0)
        begun = traces.begin(None)
        for _ in range(3):
            await asyncio.gather(session.document(GET), return_exceptions=True)
        traces.end(begun, "GetObject", {}, failed=False)
        await session.close()
    found, missing, request = exporter.get_finished_spans()
    assert [found.name, missing.name, request.name] == ["origin GET", "origin GET", "GetObject"]
    for child, status in ((found, 200), (missing, 404)):
        assert child.parent.span_id == request.context.span_id
        assert dict(child.attributes) == {
            "anbar.origin": "main",
            "http.request.method": "GET",
            "http.response.status_code": status,
        }
        assert child.start_time <= child.end_time
    [event] = request.events
    assert dict(event.attributes) == {"anbar.origin": "main", "anbar.outcome": "broken"}


class Collected(BaseHTTPRequestHandler):
    """What an OpenTelemetry collector gets."""

    def do_POST(self) -> None:
        self.server.seen.append((self.path, self.rfile.read(int(self.headers["Content-Length"]))))  # type: ignore[attr-defined]
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Nothing: requests are looked at, not told."""


@pytest.fixture
def collector() -> Iterator[Any]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Collected)
    server.seen = []  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_gateway_sends_them_to_where_the_environment_says(tmp_path, collector):
    environment = {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{collector.server_address[1]}"}
    with Gateway(tmp_path, settings={"log": {"traces": True}}, environment=environment) as gateway:
        caller = Caller.of(gateway)
        caller.put("demo-media", "k", b"bytes")
        presigned = caller.presigned("GET", "/demo-media/k")
        assert caller.ask(presigned).status == 200
        assert gateway.stop() == 0
    assert {path for path, _ in collector.seen} == {"/v1/traces"}
    sent = b"".join(body for _, body in collector.seen)
    for word in (b"PutObject", b"GetObject", b"demo-media", b"anbar"):
        assert word in sent
    assert presigned.target.rpartition("=")[2].encode() not in sent


def test_a_collector_that_is_not_there_stops_nothing(tmp_path):
    environment = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9", "OTEL_EXPORTER_OTLP_TIMEOUT": "1"}
    with Gateway(tmp_path, settings={"log": {"traces": True}}, environment=environment) as gateway:
        Caller.of(gateway).put("demo-media", "k", b"bytes")
        assert gateway.stop() == 0
