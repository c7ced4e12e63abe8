"""Bodies that are kept close, as clients and the origin's journal see it: asked for once, and never stale."""

import json
import shutil
from base64 import b64encode
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from hashlib import md5
from itertools import pairwise
from pathlib import Path

import pytest

from tests.support.caller import Caller, complete_document, delete_document, refused
from tests.support.gateway import DEMO_POLICY, OTHER_POLICY, Gateway
from tests.support.origin_faults import Cut, Fail
from tests.support.raw_http import Answer, BrokenAnswer, eventually
from tests.support.s3_gateway import BUCKET, held_by_rows, s3_gateway
from tests.support.scripted_origin import ScriptedOrigin
from tests.support.signer import BOUNDARY, form_body, post_policy

BLOCK = 1 << 20
CACHED = DEMO_POLICY.replace("[categories.media]\n", "[categories.media]\ncache = true\n")
POLICIES = {"demo": CACHED, "other": OTHER_POLICY}
DISK = {"cache": {"path": "var/cache", "max_bytes": "64MiB", "memory_bytes": "8MiB"}}
SMALL, LARGE = b"a small picture", bytes(range(256)) * (10 * 1024)  # 2.5 MiB


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Gateway, ScriptedOrigin]]:
    with (
        ScriptedOrigin() as origin,
        s3_gateway(tmp_path_factory.mktemp("cache"), origin, settings=DISK, policies=POLICIES) as gateway,
    ):
        yield gateway, origin
        assert origin.unexpected == []


@pytest.fixture
def caller(shared: tuple[Gateway, ScriptedOrigin]) -> Caller:
    return Caller.of(shared[0])


@pytest.fixture
def origin(shared: tuple[Gateway, ScriptedOrigin]) -> ScriptedOrigin:
    shared[1].heal()
    return shared[1]


def told(answer: Answer) -> tuple[int, str | None, bytes]:
    return answer.status, answer.header("x-cache"), answer.body


def reads(origin: ScriptedOrigin, key: str) -> int:
    """How often the origin was asked for the bytes of a key, wherever they lie."""
    return sum(entry.operation == "GetObject" and entry.key.startswith(key) for entry in origin.journal)


@pytest.mark.parametrize("body", [SMALL, LARGE], ids=["small", "large"])
def test_the_second_get_makes_no_request(caller, origin, body):
    key = f"twice-{len(body)}"
    caller.put(BUCKET, key, body)
    assert told(caller.get(BUCKET, key)) == (200, "miss", body)
    again = caller.get(BUCKET, key)
    assert told(again) == (200, "hit", body)
    assert int(again.header("age") or "-1") in range(10)
    assert again.header("cache-control") == "private"
    part = caller.call("GET", f"/{BUCKET}/{key}", headers=[("Range", "bytes=3-9")])
    assert told(part) == (206, "hit", body[3:10])
    assert reads(origin, key) == 1


def test_a_range_fetches_its_blocks_alone(caller, origin):
    caller.put(BUCKET, "voice", LARGE)
    part = caller.call("GET", f"/{BUCKET}/voice", headers=[("Range", f"bytes={BLOCK + 5}-{BLOCK + 9}")])
    assert told(part) == (206, "miss", LARGE[BLOCK + 5 : BLOCK + 10])
    [entry] = [entry for entry in origin.journal if entry.operation == "GetObject" and entry.key == "voice"]
    assert entry.header("range") == f"bytes={BLOCK}-{2 * BLOCK - 1}"
    assert entry.header("if-match")
    assert told(caller.get(BUCKET, "voice")) == (200, "partial", LARGE)


def test_two_hundred_simultaneous_misses_are_one_request(caller, origin):
    caller.put(BUCKET, "wanted", LARGE)
    barrier = origin.barrier("GetObject", key="wanted", phase="applied")
    request = caller.signed("GET", f"/{BUCKET}/wanted")
    with ThreadPoolExecutor(200) as pool:
        asked = [pool.submit(caller.ask, request, timeout_s=60) for _ in range(200)]
        assert origin.wait_until(lambda: reads(origin, "wanted") == 1)
        origin.release()
        answers = [each.result() for each in asked]
    assert barrier is not None
    assert {(answer.status, answer.body) for answer in answers} == {(200, LARGE)}
    assert reads(origin, "wanted") == 1


def put(caller: Caller, key: str, body: bytes) -> None:
    caller.put(BUCKET, key, body)


def copy_onto(caller: Caller, key: str, body: bytes) -> None:
    caller.put(BUCKET, f"{key}-source", body)
    source = [("x-amz-copy-source", f"/{BUCKET}/{key}-source")]
    assert caller.call("PUT", f"/{BUCKET}/{key}", b"", source).status == 200


def complete(caller: Caller, key: str, body: bytes) -> None:
    upload = caller.start_upload(BUCKET, key)
    etag = caller.put_part(BUCKET, key, upload, 1, body)
    assert caller.complete(BUCKET, key, upload, complete_document([(1, etag)])).status == 200


def delete_and_put(caller: Caller, key: str, body: bytes) -> None:
    assert caller.call("DELETE", f"/{BUCKET}/{key}").status == 204
    refused(caller.get(BUCKET, key), 404, "NoSuchKey")
    caller.put(BUCKET, key, body)


def delete_many_and_put(caller: Caller, key: str, body: bytes) -> None:
    document = delete_document([key])
    digest = b64encode(md5(document).digest()).decode()
    assert caller.call("POST", f"/{BUCKET}?delete=", document, [("Content-MD5", digest)]).status == 200
    refused(caller.get(BUCKET, key), 404, "NoSuchKey")
    caller.put(BUCKET, key, body)


def send_form(caller: Caller, key: str, body: bytes) -> None:
    signed = [["starts-with", f"$x-amz-{name}", ""] for name in ("credential", "algorithm", "date")]
    policy = post_policy([{"bucket": BUCKET}, {"key": key}, *signed])
    fields = {"key": key, **caller.signer.post_fields(policy)}
    headers = [("Content-Type", f"multipart/form-data; boundary={BOUNDARY}")]
    request = caller.request("POST", f"/{BUCKET}", form_body(fields.items(), body), headers)
    assert caller.ask(request).status == 204


MUTATIONS: list[Callable[[Caller, str, bytes], None]] = [
    put,
    copy_onto,
    complete,
    delete_and_put,
    delete_many_and_put,
    send_form,
]


@pytest.mark.parametrize("size", [len(SMALL), BLOCK + 10])
@pytest.mark.parametrize("change", MUTATIONS)
def test_the_next_get_after_a_change_is_new(caller, origin, change, size):
    key = f"{change.__name__}-{size}"
    bodies = [bytes([number]) * size for number in range(1, 4)]
    caller.put(BUCKET, key, bodies[0])
    for old, new in pairwise(bodies):
        for _ in range(2):
            assert caller.get(BUCKET, key).body == old
        change(caller, key, new)
        answer = caller.get(BUCKET, key)
        assert told(answer) == (200, "miss", new)
        assert told(caller.get(BUCKET, key)) == (200, "hit", new)


@pytest.mark.parametrize("change", [put, delete_and_put])
def test_blocks_of_what_is_gone_are_reclaimed(tmp_path: Path, change):
    """Those that the change leaves behind, and no others."""
    with ScriptedOrigin() as origin, s3_gateway(tmp_path, origin, settings=DISK, policies=POLICIES) as gateway:
        caller = Caller.of(gateway)

        def lying() -> set[Path]:
            return {file for file in (tmp_path / "var/cache/blocks").rglob("*") if file.is_file()}

        def are(count: int) -> bool:
            return len(lying()) == count

        for key, count in (("neighbour", 3), ("k", 6)):
            before = lying()
            caller.put(BUCKET, key, LARGE)
            for _ in range(2):
                assert caller.get(BUCKET, key).body == LARGE
            assert eventually(partial(are, count))
        change(caller, "k", SMALL)
        assert eventually(lambda: lying() == before)
        assert told(caller.get(BUCKET, "neighbour")) == (200, "hit", LARGE)


def test_a_change_behind_our_back_is_never_mixed_with_what_is_kept(caller, origin):
    """What is kept is what the catalog says; once the origin is asked for more, everything is new."""
    old, new = b"o" * (2 * BLOCK), b"n" * (2 * BLOCK)
    caller.put(BUCKET, "foreign", old)
    first = [("Range", "bytes=0-9")]
    assert caller.call("GET", f"/{BUCKET}/foreign", headers=first).body == old[:10]
    origin.put_behind(BUCKET, "foreign", new)
    assert caller.call("GET", f"/{BUCKET}/foreign", headers=first).body == old[:10]
    assert caller.get(BUCKET, "foreign").body == new
    assert told(caller.call("GET", f"/{BUCKET}/foreign", headers=first)) == (206, "hit", new[:10])


def test_what_reconcile_finds_changed_is_new_at_the_next_get(caller, origin, shared):
    for key in ("reconciled-small", "reconciled-large"):
        old, new = (SMALL, b"another") if key.endswith("small") else (LARGE, LARGE[::-1])
        caller.put(BUCKET, key, old)
        assert [told(caller.get(BUCKET, key)) for _ in range(2)] == [(200, "miss", old), (200, "hit", old)]
        origin.put_behind(BUCKET, key, new)
        shared[0].command("reconcile", "--adopt")
        assert told(caller.get(BUCKET, key)) == (200, "miss", new)
        assert told(caller.get(BUCKET, key)) == (200, "hit", new)


def test_a_put_in_the_middle_of_a_slow_get_leaves_nothing_old(caller, origin):
    old, new = b"o" * (BLOCK + 10), b"n" * (BLOCK + 10)
    caller.put(BUCKET, "race", old)
    origin.barrier("GetObject", key="race", phase="applied")
    with ThreadPoolExecutor(1) as pool:
        slow = pool.submit(caller.get, BUCKET, "race")
        assert origin.wait_until(lambda: reads(origin, "race") == 1)
        caller.put(BUCKET, "race", new)
        origin.release()
        assert slow.result().body in (old, new)
    for state in ("miss", "hit"):
        assert told(caller.get(BUCKET, "race")) == (200, state, new)


def test_a_move_to_its_own_key_keeps_what_is_kept(caller, origin, shared):
    caller.put(BUCKET, "moved", SMALL)
    caller.put(BUCKET, "moved", LARGE)
    assert caller.get(BUCKET, "moved").body == LARGE
    assert any(key.startswith("moved@") for key in held_by_rows(shared[0], BUCKET))
    assert told(caller.get(BUCKET, "moved")) == (200, "hit", LARGE)


@pytest.mark.parametrize("fault", [Fail(500), Fail(403, "AccessDenied"), Cut(100), Cut(BLOCK + 5, reset=True)])
def test_what_fails_is_not_kept(caller, origin, fault):
    key = f"fails-{type(fault).__name__}-{getattr(fault, 'status', getattr(fault, 'at', 0))}"
    caller.put(BUCKET, key, LARGE)
    script = origin.script("GetObject", key=key, do=fault, times=None)
    try:
        answer = caller.get(BUCKET, key)
    except (ConnectionError, BrokenAnswer):
        pass  # it broke off
    else:
        assert answer.status >= 500
    assert script is not None
    origin.heal()
    assert eventually(lambda: caller.get(BUCKET, key).status == 200, within_s=10)
    assert caller.get(BUCKET, key).body == LARGE


def test_not_modified_touches_no_bytes(caller, origin):
    etag = caller.put(BUCKET, "same", SMALL).header("etag") or ""
    answer = caller.call("GET", f"/{BUCKET}/same", headers=[("If-None-Match", etag)])
    assert (answer.status, answer.body, answer.header("cache-control")) == (304, b"", "private")
    assert reads(origin, "same") == 0


@pytest.mark.parametrize("value", ["no-store", "private, max-age=9"])
def test_what_must_not_be_kept_is_not(caller, origin, value):
    key = f"secret-{value[:3]}"
    caller.put(BUCKET, key, SMALL, [("Cache-Control", value)])
    for number in (1, 2):
        answer = caller.get(BUCKET, key)
        assert told(answer) == (200, None, SMALL)
        assert answer.header("cache-control") == value
        assert reads(origin, key) == number


def test_a_dead_origin_serves_what_is_kept_also_after_a_restart(tmp_path: Path):
    with ScriptedOrigin() as origin, s3_gateway(tmp_path, origin, settings=DISK, policies=POLICIES) as gateway:
        caller = Caller.of(gateway)
        for key, body in (("small", SMALL), ("large", LARGE)):
            caller.put(BUCKET, key, body)
            caller.get(BUCKET, key)
        caller.put(BUCKET, "cold", SMALL)
        origin.stop()
        for _ in range(2):
            for key, body in (("small", SMALL), ("large", LARGE)):
                assert told(caller.get(BUCKET, key)) == (200, "hit", body)
            refused(caller.get(BUCKET, "cold"), 503, "SlowDown")
            gateway.restart()


def test_a_cache_that_cannot_be_is_no_reason_not_to_serve(tmp_path: Path):
    place = tmp_path / "gateway" / "var"
    with ScriptedOrigin() as origin:
        gateway = s3_gateway(tmp_path / "gateway", origin, settings=DISK, policies=POLICIES)
        place.mkdir(parents=True, exist_ok=True)
        (place / "cache").write_text("in the way")
        with gateway:
            caller = Caller.of(gateway)
            caller.put(BUCKET, "large", LARGE)
            for _ in range(2):
                assert caller.get(BUCKET, "large").body == LARGE
            assert gateway.stderr().count("the cache's disk cannot be used") == 1


def test_a_cache_that_is_deleted_is_no_reason_to_fail(tmp_path: Path):
    with ScriptedOrigin() as origin, s3_gateway(tmp_path, origin, settings=DISK, policies=POLICIES) as gateway:
        caller = Caller.of(gateway)
        caller.put(BUCKET, "large", LARGE)
        caller.get(BUCKET, "large")
        shutil.rmtree(tmp_path / "var" / "cache")
        for _ in range(2):
            assert caller.get(BUCKET, "large").body == LARGE


def test_two_workers_share_the_disk_and_neither_gives_what_is_old(tmp_path: Path):
    """Each request comes on a connection of its own, to whichever worker the system picks."""
    settings: dict[str, dict[str, object]] = {"cache": {**DISK["cache"]}, "server": {"workers": 2}}
    with ScriptedOrigin() as origin, s3_gateway(tmp_path, origin, settings=settings, policies=POLICIES) as gateway:
        caller = Caller.of(gateway)
        for body in (LARGE, LARGE[::-1], SMALL * 50_000):
            caller.put(BUCKET, "shared", body)
            origin.clear_journal()
            for _ in range(12):
                assert caller.get(BUCKET, "shared").body == body
            assert reads(origin, "shared") == 1
        told = json.loads(gateway.command("cache", "stats", "--json"))
        assert len(told["workers"]) == 2
        assert sum(worker["requests"] for worker in told["workers"]) == 3
        gateway.command("cache", "purge")
        origin.clear_journal()
        for _ in range(12):
            assert caller.get(BUCKET, "shared").body == SMALL * 50_000
        assert reads(origin, "shared") == 1


def test_the_access_log_says_what_the_cache_said(tmp_path):
    log = {"access": "access.log", "format": "json"}
    with (
        ScriptedOrigin() as origin,
        s3_gateway(tmp_path, origin, settings={**DISK, "log": log}, policies=POLICIES) as gateway,
    ):
        caller = Caller.of(gateway)
        caller.put(BUCKET, "k", SMALL)
        states = [caller.get(BUCKET, "k").header("x-cache") for _ in range(2)]
        assert gateway.stop() == 0
    told = [json.loads(line)["cache"] for line in (tmp_path / "access.log").read_text().splitlines()]
    assert told == [None, *states] == [None, "miss", "hit"]
