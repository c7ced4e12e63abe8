"""Two workers on one cache: what is new at one of them is new at the other, and what both want is fetched once."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import pairwise
from urllib.request import urlopen

import pytest

from tests.faults.test_s3_origin_cache import BLOCK, DISK, MUTATIONS, POLICIES, SMALL, reads
from tests.support.caller import Caller, refused
from tests.support.each_worker import CallerOfOne, connections_to_each
from tests.support.gateway import Gateway, Settings
from tests.support.raw_http import eventually
from tests.support.s3_gateway import BUCKET, s3_gateway
from tests.support.scripted_origin import ScriptedOrigin
from tests.support.signer import Signer

WORKERS = 2
DENIED = f"""\
[[statements]]
effect = "deny"
principals = ["*"]
actions = ["s3:GetObject"]
resources = ["{BUCKET}/hot"]
"""
ASKING = 40


@pytest.fixture(scope="module")
def origin() -> Iterator[ScriptedOrigin]:
    with ScriptedOrigin() as running:
        yield running
        assert running.unexpected == []


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory, origin: ScriptedOrigin) -> Iterator[Gateway]:
    settings: Settings = {**DISK, "server": {"workers": WORKERS}}
    with s3_gateway(tmp_path_factory.mktemp("two"), origin, settings=settings, policies=POLICIES) as running:
        yield running


@pytest.fixture
def each(gateway: Gateway) -> Iterator[list[CallerOfOne]]:
    """The admin at one worker, and at the other."""
    caller = Caller.of(gateway)
    with connections_to_each(caller, WORKERS) as connections:
        yield [CallerOfOne.over(caller, connection) for connection in connections]


def hold(each: list[CallerOfOne], key: str, body: bytes) -> None:
    """Read it until every worker has it close."""
    for caller in each * 2:
        assert caller.get(BUCKET, key).body == body
    assert all(caller.get(BUCKET, key).header("x-cache") == "hit" for caller in each)


@pytest.mark.parametrize("size", [len(SMALL), BLOCK + 10])
@pytest.mark.parametrize("change", MUTATIONS)
def test_after_a_change_at_one_worker_the_next_get_at_each_is_new(each, change, size):
    key = f"{change.__name__}-{size}"
    bodies = [bytes([number]) * size for number in range(1, 2 * WORKERS + 2)]
    each[0].put(BUCKET, key, bodies[0])
    for number, (old, new) in enumerate(pairwise(bodies)):
        hold(each, key, old)
        change(each[number % WORKERS], key, new)
        assert [caller.get(BUCKET, key).body == new for caller in each] == [True] * WORKERS


def test_what_reconcile_finds_changed_is_new_at_each_worker(each, gateway, origin):
    old, new = b"o" * (BLOCK + 10), b"n" * (BLOCK + 10)
    each[0].put(BUCKET, "reconciled", old)
    hold(each, "reconciled", old)
    origin.put_behind(BUCKET, "reconciled", new)
    gateway.command("reconcile", "--adopt")
    assert [caller.get(BUCKET, "reconciled").body == new for caller in each] == [True] * WORKERS


def test_i05_what_is_hot_at_each_worker_is_closed_at_each_when_a_right_goes(each, gateway):
    """A key that is disabled, then a rule; what is kept is there still, for who may have it."""
    each[0].put(BUCKET, "hot", SMALL)
    hold(each, "hot", SMALL)
    access_key_id, secret = gateway.create_key("demo")
    others = [replace(caller, signer=Signer(access_key_id, secret)) for caller in each]
    urls = [caller.presigned("GET", f"/{BUCKET}/hot") for caller in others]
    for caller, url in zip(others, urls, strict=True):
        assert [caller.ask(url).header("x-cache") for _ in range(2)] == ["hit"] * 2
    gateway.command("keys", "disable", access_key_id)
    for caller, url in zip(others, urls, strict=True):
        refused(caller.ask(url), 403, "InvalidAccessKeyId")
        refused(caller.get(BUCKET, "hot"), 403, "InvalidAccessKeyId")
    assert [caller.get(BUCKET, "hot").header("x-cache") for caller in each] == ["hit"] * WORKERS
    file = gateway.directory / "policies/demo.toml"
    before = file.read_text()
    urls = [caller.presigned("GET", f"/{BUCKET}/hot") for caller in each]
    assert [caller.ask(url).header("x-cache") for caller, url in zip(each, urls, strict=True)] == ["hit"] * WORKERS
    file.write_text(f"{before}\n{DENIED}")
    gateway.command("policy", "apply")
    for caller, url in zip(each, urls, strict=True):
        refused(caller.ask(url), 403, "AccessDenied")
        refused(caller.get(BUCKET, "hot"), 403, "AccessDenied")
    file.write_text(before)
    gateway.command("policy", "apply")
    assert [caller.ask(url).header("x-cache") for caller, url in zip(each, urls, strict=True)] == ["hit"] * WORKERS


def in_flight(gateway: Gateway) -> float:
    """Requests that are being answered, by all workers: they tell it four times a second."""
    with urlopen(f"{gateway.admin_endpoint}/-/metrics", timeout=5) as answer:
        lines = answer.read().decode().splitlines()
    return float(next(line for line in lines if line.startswith("anbar_requests_in_flight ")).split()[1])


def test_a_block_that_both_workers_miss_at_once_is_fetched_by_one_of_them(each, gateway, origin):
    caller, body = Caller.of(gateway), bytes(range(251)) * 4000
    caller.put(BUCKET, "wanted", body)
    origin.barrier("GetObject", key="wanted", phase="applied")
    request = caller.signed("GET", f"/{BUCKET}/wanted")
    with ThreadPoolExecutor(ASKING + WORKERS) as pool:
        asked = [pool.submit(one.ask, request, timeout_s=60) for one in each]  # each worker, for sure
        asked += [pool.submit(caller.ask, request, timeout_s=60) for _ in range(ASKING)]
        assert origin.wait_until(lambda: reads(origin, "wanted") == 1)
        assert eventually(lambda: in_flight(gateway) == ASKING + WORKERS)
        origin.release()
        answers = [one.result() for one in asked]
    assert all((answer.status, answer.body) == (200, body) for answer in answers)
    assert reads(origin, "wanted") == 1
