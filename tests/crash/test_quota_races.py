"""M01, X25: eight client processes race for what is left of a quota; exactly what fits is accepted."""

import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from gateway.store.migrate import migrate
from tests.support.caller import Caller, complete_document, delete_document
from tests.support.gateway import REPOSITORY, Gateway
from tests.support.oracle import at_rest, recorded_usage, rows, usage_is_the_sum_of_the_objects
from tests.support.racers import RACERS, Job, Race, outcomes, race
from tests.support.raw_http import eventually
from tests.support.signer import Signer, content_md5

REQUESTS = 400
FITS = 37
SIZE = 1000
POLICY = f"""
project = "demo"

[categories.bytes]
quota = {{ bytes = {FITS * SIZE} }}
[categories.objects]
quota = {{ objects = {FITS} }}
[categories.uploaders]
quota_per_uploader = {{ objects = 9 }}
[categories.one]
quota = {{ bytes = {(RACERS + 1) * SIZE}, objects = 1 }}
[categories.parts]
quota = {{ bytes = {FITS * SIZE} }}
[categories.source]

[principals.ops]
role = "admin"
[principals.backend]
role = "service"
"""


@pytest.fixture(scope="module", params=[1, 2], ids=["one worker", "two workers"])
def quotas(request, tmp_path_factory) -> Iterator[Gateway]:
    with Gateway(
        tmp_path_factory.mktemp("quotas"),
        settings={"server": {"workers": request.param}},
        policies={"demo": POLICY, "other": 'project = "other"\n[principals.ops]\nrole = "admin"\n'},
    ) as gateway:
        yield gateway


@pytest.fixture(scope="module")
def ops(quotas) -> Caller:
    return Caller.of(quotas)


@pytest.fixture(scope="module")
def backend(quotas) -> Caller:
    return Caller(quotas.host, quotas.port, Signer(*quotas.create_key("demo", "backend")))


@pytest.fixture(scope="module")
def racers() -> Iterator[Race]:
    with race() as running:
        yield running


def puts(bucket: str, size: int = SIZE) -> list[Job]:
    return [("PUT", f"/{bucket}/{number:03}", b"x" * size, ()) for number in range(REQUESTS)]


def used(gateway: Gateway, category: str, uploader: str = "") -> tuple[int, int]:
    return recorded_usage(gateway).get(("demo", category, uploader), (0, 0))


def reserved(gateway: Gateway, category: str) -> tuple[int, int]:
    return recorded_usage(gateway, "reserved_bytes, reserved_objects").get(("demo", category, ""), (0, 0))


def empty(gateway: Gateway, caller: Caller, bucket: str) -> None:
    """Delete all objects, and wait until their bodies are gone and given back."""
    keys = caller.keys(bucket)
    body = delete_document(keys)
    if keys:
        assert caller.call("POST", f"/{bucket}?delete=", body, [("Content-MD5", content_md5(body))]).status == 200
    assert eventually(lambda: at_rest(gateway), within_s=10)


def exactly(gateway: Gateway, answers: list[tuple[int, str]], fits: int) -> None:
    assert outcomes(answers) == {"200": fits, "QuotaExceeded": REQUESTS - fits}
    assert eventually(lambda: at_rest(gateway), within_s=10)
    usage_is_the_sum_of_the_objects(gateway)


@pytest.mark.parametrize("time", range(50))
def test_m01_of_400_puts_exactly_as_many_bytes_as_fit_are_accepted(quotas, ops, racers, time):
    exactly(quotas, racers.run(ops, puts("demo-bytes")), FITS)
    assert used(quotas, "bytes") == (FITS * SIZE, FITS)
    assert reserved(quotas, "bytes") == (0, 0)
    empty(quotas, ops, "demo-bytes")
    assert used(quotas, "bytes") == (0, 0)


@pytest.mark.parametrize("time", range(10))
def test_m14_of_400_empty_objects_exactly_as_many_as_fit_are_accepted(quotas, ops, racers, time):
    exactly(quotas, racers.run(ops, puts("demo-objects", 0)), FITS)
    assert used(quotas, "objects") == (0, FITS)
    empty(quotas, ops, "demo-objects")


@pytest.mark.parametrize("time", range(5))
def test_every_uploader_gets_just_what_is_hers(quotas, ops, backend, racers, time):
    names = ("ann", "bob", "eve", "lea")
    jobs = [
        (method, target, body, (("x-amz-meta-uploader", names[number % 4]),))
        for number, (method, target, body, _) in enumerate(puts("demo-uploaders"))
    ]
    exactly(quotas, racers.run(backend, jobs), 4 * 9)
    assert [used(quotas, "uploaders", name) for name in names] == [(9 * SIZE, 9)] * 4
    empty(quotas, ops, "demo-uploaders")


@pytest.mark.parametrize("time", range(5))
def test_m05_overwrites_of_one_key_count_their_difference(quotas, ops, racers, time):
    ops.put("demo-one", "k", b"")
    jobs = [("PUT", "/demo-one/k", bytes(number % (SIZE + 1)), ()) for number in range(REQUESTS)]
    assert outcomes(racers.run(ops, jobs)) == {"200": REQUESTS}
    assert eventually(lambda: at_rest(quotas), within_s=10)
    size = len(ops.get("demo-one", "k").body)
    assert used(quotas, "one") == (size, 1)
    usage_is_the_sum_of_the_objects(quotas)
    empty(quotas, ops, "demo-one")


@pytest.mark.parametrize("time", range(5))
def test_m10_copies_count_as_uploads(quotas, ops, racers, time):
    ops.put("demo-source", "k", b"x" * SIZE)
    jobs = [
        ("PUT", f"/demo-bytes/{number:03}", b"", (("x-amz-copy-source", "/demo-source/k"),))
        for number in range(REQUESTS)
    ]
    exactly(quotas, racers.run(ops, jobs), FITS)
    empty(quotas, ops, "demo-bytes")


@pytest.mark.parametrize("time", range(5))
def test_m04_parts_count_as_they_come_and_completing_neither_adds_nor_loses(quotas, ops, racers, time):
    uploads = [ops.start_upload("demo-parts", f"k{number}") for number in range(8)]
    jobs = [
        (
            "PUT",
            f"/demo-parts/k{number % 8}?partNumber={number // 8 + 1}&uploadId={uploads[number % 8]}",
            b"x" * SIZE,
            (),
        )
        for number in range(REQUESTS)
    ]
    answers = racers.run(ops, jobs)
    assert outcomes(answers) == {"200": FITS, "QuotaExceeded": REQUESTS - FITS}
    assert reserved(quotas, "parts") == (FITS * SIZE, 8)
    usage_is_the_sum_of_the_objects(quotas)
    for number, upload_id in enumerate(uploads):
        stored = rows(quotas, f"SELECT part_number, etag FROM upload_parts WHERE upload_id = '{upload_id}' ORDER BY 1")
        if number % 2 or not stored:
            assert ops.call("DELETE", f"/demo-parts/k{number}?uploadId={upload_id}").status == 204
        else:
            one = [(int(str(stored[0][0])), str(stored[0][1]))]
            assert ops.complete("demo-parts", f"k{number}", upload_id, complete_document(one)).status == 200
    assert reserved(quotas, "parts") == (0, 0)
    assert eventually(lambda: at_rest(quotas), within_s=10)
    usage_is_the_sum_of_the_objects(quotas)
    empty(quotas, ops, "demo-parts")


RESERVER = """
import sqlite3, sys
from gateway.policy.model import Quota
from gateway.store.ledger import Account, Allowance, Amount, reserve
connection = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=60)
print("ready", flush=True)
sys.stdin.readline()
taken = 0
for _ in range(400):
    connection.execute("BEGIN IMMEDIATE")
    taken += reserve(connection, Account("demo", "media", sys.argv[2]), Amount(10, 1), Allowance(Quota(bytes=3700))) is None
    connection.execute("COMMIT")
print(taken)
"""


def test_processes_on_one_store_never_take_more_than_there_is(tmp_path: Path):
    store = tmp_path / "store.sqlite"
    with closing(sqlite3.connect(store, isolation_level=None)) as connection:
        migrate(connection, check=False)
        connection.execute("PRAGMA journal_mode = DELETE")  # as safe as it is slow, with any version of SQLite
    children = [
        subprocess.Popen(
            [sys.executable, "-c", RESERVER, str(store), name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=REPOSITORY,
        )
        for name in ("ann", "bob")
    ]
    for child in children:
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
    taken = [int(child.communicate("go\n", timeout=120)[0]) for child in children]
    assert sum(taken) == 370
    with closing(sqlite3.connect(store)) as connection:
        assert connection.execute("SELECT reserved_bytes FROM usage WHERE category = ''").fetchone() == (3700,)
