"""What a scrape says after requests: by operation and status, exact, and nothing that a client has named."""

import asyncio
import re
import time
from dataclasses import dataclass, field

import pytest

from gateway import __version__
from gateway.metrics import all_metrics
from gateway.objects.put import Attributes, Target, begin, new_intent, put_object, undo
from gateway.policy.model import Category, PolicySet, Project, Quota
from gateway.web.dispatch import HANDLERS
from gateway.web.exposition import Exposition
from gateway.web.loop_lag import LoopLag
from tests.support.data import pattern
from tests.support.house import body_of
from tests.support.raw_http import Request

MIB = 1 << 20
CATEGORY_RESERVED = 'anbar_category_reserved_bytes{category="media",project="demo"}'


@dataclass
class Scrapes:
    """Scrapes, compared with an earlier one: counters of the process have counted other tests' requests, too."""

    exposition: Exposition
    before: dict[str, float] = field(default_factory=dict)

    async def all(self) -> dict[str, float]:
        text = (await self.exposition.text()).decode()
        lines = [line for line in text.splitlines() if not line.startswith("#")]
        return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines)}

    async def growth(self, name: str) -> float:
        return (await self.all()).get(name, 0.0) - self.before.get(name, 0.0)


@pytest.fixture
async def scrapes(services) -> Scrapes:
    made = Scrapes(Exposition(services.store, lambda: services.rulebook.rules.policies))
    made.before = await made.all()
    return made


async def stored(services, key: str, body: bytes, bucket: str = "demo-media"):
    found = services.store.buckets.get(bucket)
    return await put_object(services.rooms, Target(found, key, "ops"), body_of(body, piece=MIB), Attributes(), None)


async def test_requests_are_counted_by_operation_and_status(services, listening, scrapes):
    await stored(services, "k", b"bytes")
    for target, method in (("/demo-media/k", "GET"), ("/demo-media/k", "HEAD"), ("/demo-media/gone", "GET")):
        await listening.get(target, method)
    await listening.get("/demo-media/k")
    await listening.over()
    assert await scrapes.growth('anbar_requests_total{code="200",operation="GetObject"}') == 2
    assert await scrapes.growth('anbar_requests_total{code="404",operation="GetObject"}') == 1
    assert await scrapes.growth('anbar_requests_total{code="200",operation="HeadObject"}') == 1


async def test_requests_of_nobody_and_of_no_operation_are_unknown(listening, scrapes):
    unknown = 'anbar_requests_total{code="%d",operation="unknown"}'
    status, _ = await listening.exchange(Request("GET", "/demo-media/k", (("Host", "a b"),)))
    assert status == 400
    wrong = Request("GET", "/demo-media/k", (("Host", "h"), ("Authorization", "AWS4-HMAC-SHA256 nonsense")))
    assert (await listening.exchange(wrong))[0] == 400
    reader, writer = await asyncio.open_connection("127.0.0.1", listening.port)
    writer.write(b"no request at all\r\n\r\n")
    assert (await reader.read()).startswith(b"HTTP/1.1 400 ")
    writer.close()
    assert await scrapes.growth(unknown % 400) == 3


async def test_times_are_observed_once_a_request(services, listening, scrapes):
    await stored(services, "k", b"bytes")
    for _ in range(3):
        await listening.get("/demo-media/k")
    await listening.over()
    for name in ("anbar_request_first_byte_seconds", "anbar_request_duration_seconds"):
        assert await scrapes.growth(f'{name}_count{{operation="GetObject"}}') == 3
        assert await scrapes.growth(f'{name}_bucket{{le="+Inf",operation="GetObject"}}') == 3
        assert await scrapes.growth(f'{name}_sum{{operation="GetObject"}}') > 0


async def test_bytes_are_those_that_were_sent_and_have_come(services, listening, scrapes):
    await stored(services, "k", pattern(3 * MIB))
    await listening.get("/demo-media/k")
    await listening.get("/demo-media/k", "HEAD")
    await listening.over()
    assert await scrapes.growth('anbar_sent_bytes_total{operation="GetObject"}') == 3 * MIB
    assert await scrapes.growth('anbar_sent_bytes_total{operation="HeadObject"}') == 0
    assert (await listening.put("/demo-media/new", b"x" * 1000))[0] == 200
    assert await scrapes.growth('anbar_received_bytes_total{operation="PutObject"}') == 1000


async def test_an_answer_that_breaks_off_is_counted_as_far_as_it_was_sent(services, listening, scrapes, tmp_path):
    record = await stored(services, "k", pattern(3 * MIB))
    path = tmp_path / "var" / "objects" / record.location
    path.chmod(0o600)
    with path.open("r+b") as file:
        file.truncate(MIB)
    await listening.get("/demo-media/k")
    await listening.over()
    assert await scrapes.growth('anbar_answers_broken_off_total{operation="GetObject"}') == 1
    assert await scrapes.growth('anbar_requests_total{code="200",operation="GetObject"}') == 1
    assert 0 < await scrapes.growth('anbar_sent_bytes_total{operation="GetObject"}') <= MIB


async def test_requests_and_connections_that_are_open_are_told(listening, scrapes, monkeypatch):
    held, asked = asyncio.Event(), asyncio.Event()
    listed = HANDLERS["ListBuckets"]

    async def waits(call):
        asked.set()
        await held.wait()
        return await listed(call)

    monkeypatch.setitem(HANDLERS, "ListBuckets", waits)  # type: ignore[arg-type]
    _, idle = await asyncio.open_connection("127.0.0.1", listening.port)
    request = asyncio.ensure_future(listening.get("/"))
    await asked.wait()
    told = await scrapes.all()
    assert told["anbar_requests_in_flight"] == 1
    assert told["anbar_connections"] == 2
    held.set()
    assert (await request)[0] == 200
    idle.close()
    assert (await scrapes.all())["anbar_requests_in_flight"] == 0
    assert await scrapes.growth("anbar_connections_accepted_total") == 2


async def test_a_client_that_is_gone_before_there_is_an_answer_is_499(listening, scrapes, monkeypatch):
    asked, ended = asyncio.Event(), asyncio.Event()

    async def never(_call):
        asked.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    monkeypatch.setitem(HANDLERS, "ListBuckets", never)  # type: ignore[arg-type]
    request = asyncio.ensure_future(listening.get("/"))
    await asked.wait()
    for connection in tuple(listening.server.connections):
        await connection.shut_down(5.0)
    await asyncio.gather(request, return_exceptions=True)
    assert ended.is_set()
    assert await scrapes.growth('anbar_requests_total{code="499",operation="ListBuckets"}') == 1


async def test_what_the_store_does_is_told(services, scrapes):
    await stored(services, "k", b"bytes")
    assert await scrapes.growth("anbar_store_commit_seconds_count") >= 2  # begin and commit
    assert await scrapes.growth("anbar_store_commit_writes_sum") >= 2
    assert (await scrapes.all())["anbar_store_queued_writes"] == 0


async def test_use_is_told_of_projects_and_categories(services, scrapes):
    await stored(services, "k", b"x" * 1000)
    await stored(services, "l", b"x" * 234)
    told = await scrapes.all()
    assert told['anbar_project_used_bytes{project="demo"}'] == 1234
    assert told['anbar_category_used_bytes{category="media",project="demo"}'] == 1234
    assert told['anbar_category_used_objects{category="media",project="demo"}'] == 2
    assert told['anbar_project_used_objects{project="demo"}'] == 2
    assert told["anbar_garbage_bodies"] == 0
    assert told["anbar_open_writes"] == 0


async def test_room_that_a_write_has_reserved_is_told_until_it_ends(services, scrapes):
    target = Target(services.store.buckets.get("demo-media"), "k", "ops")
    intent = await begin(services.rooms, new_intent(services.rooms, "put", target, 500), None)
    reserved = ('anbar_project_reserved_bytes{project="demo"}', CATEGORY_RESERVED)
    told = await scrapes.all()
    assert [told[name] for name in reserved] == [500, 500]
    assert told["anbar_open_writes"] == 1
    await undo(services.rooms, intent)
    told = await scrapes.all()
    assert [told[name] for name in reserved] == [0, 0]
    assert told["anbar_open_writes"] == 0


async def test_the_version_that_runs_is_told(scrapes):
    assert (await scrapes.all())[f'anbar_build_info{{version="{__version__}"}}'] == 1


async def test_buckets_that_clients_made_are_told_together(services, listening, scrapes):
    for bucket in ("clients-first", "clients-second"):
        assert (await listening.put(f"/{bucket}", b""))[0] == 200
        await stored(services, "k", b"x" * 100, bucket)
    told = await scrapes.all()
    assert told['anbar_category_used_bytes{category="(others)",project="demo"}'] == 200
    assert not [name for name in told if "clients-" in name]


async def test_limits_are_told_where_there_are_some(services):
    limited = Category("p", "images", "p-images", "local", "p-images", quota=Quota(bytes=5 * MIB, objects=7))
    free = Category("p", "voice", "p-voice", "local", "p-voice")
    project = Project("p", {"images": limited, "voice": free}, {}, (), "local", quota=Quota(bytes=9 * MIB, objects=8))
    told = await Scrapes(Exposition(services.store, lambda: PolicySet((project,)))).all()
    limits = {name: value for name, value in told.items() if "_limit_" in name}
    assert limits == {
        'anbar_project_limit_bytes{project="p"}': 9 * MIB,
        'anbar_project_limit_objects{project="p"}': 8,
        'anbar_category_limit_bytes{category="images",project="p"}': 5 * MIB,
        'anbar_category_limit_objects{category="images",project="p"}': 7,
    }


async def test_a_scrape_while_the_store_cannot_be_read_has_what_was_counted(services, listening, scrapes):
    await services.store.database.close()
    told = await scrapes.all()
    assert "anbar_requests_in_flight" in told
    assert not [name for name in told if name.startswith(("anbar_project_", "anbar_garbage"))]


async def test_only_metrics_of_the_table_are_told_each_with_its_help(services, listening, scrapes):
    await stored(services, "k", b"bytes")
    await listening.get("/demo-media/k")
    text = (await scrapes.exposition.text()).decode()
    table = {metric.name: metric for metric in all_metrics()}
    for name, kind in re.findall(r"^# TYPE (\S+) (\S+)$", text, re.MULTILINE):
        assert table[name].kind == kind
        assert re.search(rf"^# HELP {name} \S", text, re.MULTILINE)


async def test_a_loop_that_was_late_says_how_late(scrapes):
    lag = LoopLag(asyncio.get_running_loop())
    try:
        lag.fire(time.monotonic() - 0.3)
        assert await scrapes.growth('anbar_loop_lag_seconds_bucket{le="0.25"}') == 0
        assert await scrapes.growth('anbar_loop_lag_seconds_bucket{le="+Inf"}') == 1
        assert await scrapes.growth("anbar_loop_lag_seconds_sum") >= 0.3
    finally:
        lag.stop()


async def test_tasks_that_have_not_ended_are_told(scrapes):
    lag = LoopLag(asyncio.get_running_loop())
    try:
        before = (await scrapes.all())["anbar_tasks"]
        waits = asyncio.ensure_future(asyncio.Event().wait())
        assert (await scrapes.all())["anbar_tasks"] == before + 1
        waits.cancel()
        await asyncio.wait([waits])
        assert (await scrapes.all())["anbar_tasks"] == before
    finally:
        lag.stop()
