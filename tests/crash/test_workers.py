"""Several workers on one address: real processes, really killed, told things, and stopped."""

import os
import secrets
import signal
import ssl
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from urllib.request import urlopen

import pytest

from tests.support.caller import Caller, complete_document, refused
from tests.support.each_worker import connections_to_each, who
from tests.support.footprint import processes_of
from tests.support.gateway import Gateway, GatewayError, Settings, write_certificate
from tests.support.oracle import at_rest, files_of, garbage, open_intents, rows, usage_is_the_sum_of_the_objects
from tests.support.racers import race
from tests.support.raw_http import BrokenAnswer, Connection, Request, eventually
from tests.support.signer import UNSIGNED, Signer

BUCKET = "demo-media"
KILLS = int(os.environ.get("ANBAR_KILLS", "60"))
TWO: Settings = {"server": {"workers": 2}, "limits": {"drain_s": 5.0}}
POLICY = 'project = "demo"\n[categories.media]\nquota = { objects = %d }\n[principals.ops]\nrole = "admin"\n'
OTHER = 'project = "other"\n[principals.ops]\nrole = "admin"\n'


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[Gateway]:
    with Gateway(tmp_path, settings=TWO) as running:
        yield running


def workers_of(gateway: Gateway) -> list[int]:
    """The processes that answer requests."""
    found = Path(f"/proc/{gateway.pid}/task/{gateway.pid}/children").read_text().split()
    return [int(pid) for pid in found if b"worker" in Path(f"/proc/{pid}/cmdline").read_bytes()]


def test_what_one_worker_stores_every_worker_has_at_once(gateway):
    caller = Caller.of(gateway)
    with connections_to_each(caller) as (first, second):
        for number in range(50):
            body = b"%d" % number
            writer, reader = (first, second) if number % 2 else (second, first)
            assert writer.exchange(caller.signed("PUT", f"/{BUCKET}/k", body)).status == 200
            assert reader.exchange(caller.signed("GET", f"/{BUCKET}/k")).body == body
        assert first.exchange(caller.signed("DELETE", f"/{BUCKET}/k")).status == 204
        assert second.exchange(caller.signed("GET", f"/{BUCKET}/k")).status == 404


def test_a_key_that_is_disabled_and_a_policy_that_is_applied_count_at_every_worker(gateway):
    caller = Caller.of(gateway)
    access_key_id, secret = gateway.create_key("demo")
    another = Caller(caller.host, caller.port, Signer(access_key_id, secret))
    with connections_to_each(another) as connections:
        gateway.command("keys", "disable", access_key_id)
        for connection in connections:
            refused(connection.exchange(another.signed("GET", f"/{BUCKET}")), 403, "InvalidAccessKeyId")
    with connections_to_each(caller) as connections:
        policy = gateway.directory / "policies" / "demo.toml"
        policy.write_text(
            policy.read_text()
            + '\n[[statements]]\neffect = "deny"\nprincipals = ["*"]\nactions = ["s3:PutObject"]\nresources = ["*"]\n'
        )
        gateway.command("policy", "apply")
        for connection in connections:
            refused(connection.exchange(caller.signed("PUT", f"/{BUCKET}/k", b"x")), 403, "AccessDenied")


def test_a_worker_that_is_killed_is_replaced_and_what_it_had_begun_is_undone(gateway):
    caller = Caller.of(gateway)
    before = workers_of(gateway)
    assert len(before) == 2
    with connections_to_each(caller) as connections:
        for connection in connections:
            request = caller.signer.sign(caller.request("PUT", f"/{BUCKET}/half", b"u" * 100_000), payload=UNSIGNED)
            connection.send(request.encode()[:-1])
        assert eventually(lambda: open_intents(gateway) == 2)
        os.kill(before[0], signal.SIGKILL)
        assert eventually(lambda: len(set(workers_of(gateway)) - set(before)) == 1)
        assert eventually(lambda: open_intents(gateway) == 1), "the living worker's upload goes on"
        ended = []
        for connection in connections:
            with suppress(BrokenAnswer, ConnectionError):
                connection.send(b"u")
                ended.append(connection.answer("PUT").status)
        assert ended == [200]
    assert eventually(lambda: at_rest(gateway))
    with connections_to_each(caller):
        pass
    assert "worker" in gateway.stderr()
    assert "signal 9" in gateway.stderr()


@dataclass(slots=True)
class Lane:
    """One who writes and deletes a few keys over and over: `possible` is what each may hold, by what was acknowledged."""

    caller: Caller
    name: str
    possible: dict[str, set[bytes | None]] = field(default_factory=dict)
    acknowledged: int = 0

    def run(self, stop: threading.Event, heard: set[str]) -> None:
        """`heard`: the workers that have answered with success."""
        number = 0
        while not stop.is_set():
            key, number = f"{self.name}-{number % 20}", number + 1
            body = None if number % 7 == 0 else f"{self.name} {number}".encode() * 50
            request = self.caller.signed("PUT" if body else "DELETE", f"/{BUCKET}/{key}", body or b"")
            try:
                answer = self.caller.ask(request, timeout_s=60)
            except (BrokenAnswer, ConnectionError):
                answer = None
            if answer is not None and answer.status < 300:
                self.possible[key] = {body}
                self.acknowledged += 1
                heard.add(who(answer))
            else:
                self.possible[key] = self.possible.get(key, {None}) | {body}  # nobody knows


def are_more_than(found: set[str], count: int) -> bool:
    return len(found) > count


def test_x34_a_worker_killed_every_second_for_a_minute_loses_nothing_that_was_acknowledged(gateway):
    """In turns, each when the one before it has been replaced and has answered a write."""
    caller = Caller.of(gateway)
    lanes = [Lane(caller, f"lane-{number}") for number in range(6)]
    stop, heard = threading.Event(), set[str]()
    with ThreadPoolExecutor(len(lanes)) as pool:
        running = [pool.submit(lane.run, stop, heard) for lane in lanes]
        try:
            assert eventually(lambda: len(heard) == 2, within_s=60)
            for number in range(KILLS):
                killed, known = processes_of(gateway)[f"worker {number % 2}"], len(heard)
                os.kill(killed, signal.SIGKILL)
                assert eventually(partial(are_more_than, heard, known), within_s=60), f"kill {number}"
                assert killed not in workers_of(gateway)
        finally:
            stop.set()
        for each in running:
            each.result()
    print(f"{sum(lane.acknowledged for lane in lanes)} writes were acknowledged by {len(heard)} workers")
    for lane in lanes:
        for key, bodies in lane.possible.items():
            found = caller.get(BUCKET, key)
            assert (found.body if found.status == 200 else None) in bodies, (key, found.status)
    assert eventually(lambda: at_rest(gateway), within_s=20)
    usage_is_the_sum_of_the_objects(gateway)


STUCK: Settings = {"server": {"workers": 2, "stuck_worker_s": 1.0}, "limits": {"drain_s": 60.0}}


def half_an_upload(caller: Caller, connection: Connection, key: str) -> None:
    request = caller.signer.sign(caller.request("PUT", f"/{BUCKET}/{key}", b"u" * 100_000), payload=UNSIGNED)
    connection.send(request.encode()[:-1])


def test_a_worker_that_is_stuck_is_killed_and_replaced(tmp_path):
    with Gateway(tmp_path, settings=STUCK) as gateway:
        caller, before = Caller.of(gateway), processes_of(gateway)
        with connections_to_each(caller) as connections:
            for number, connection in enumerate(connections):
                half_an_upload(caller, connection, f"half-{number}")
            assert eventually(lambda: open_intents(gateway) == 2)
            os.kill(before["worker 0"], signal.SIGSTOP)
            assert eventually(lambda: before["worker 0"] not in workers_of(gateway), within_s=30)
            ended = []
            for connection in connections:
                with suppress(BrokenAnswer, ConnectionError):
                    connection.send(b"u")
                    ended.append(connection.answer("PUT").status)
            assert ended == [200], "the one that turns goes on, and who waited for the other one hears that it is gone"
        assert [caller.ask(caller.signed("HEAD", f"/{BUCKET}"), timeout_s=30).status for _ in range(8)] == [200] * 8
        assert eventually(lambda: at_rest(gateway))
        assert processes_of(gateway)["worker 1"] == before["worker 1"]
        assert "worker 0 has been stuck for 1 seconds, it is killed" in gateway.stderr()
        with urlopen(f"{gateway.admin_endpoint}/-/metrics", timeout=5) as answer:
            assert 'anbar_worker_deaths_total{reason="stuck"} 1.0' in answer.read().decode()
        usage_is_the_sum_of_the_objects(gateway)


def test_workers_that_let_requests_end_for_longer_are_not_stuck(tmp_path):
    gateway = Gateway(tmp_path, settings=STUCK).start()
    try:
        caller = Caller.of(gateway)
        with connections_to_each(caller) as connections:
            for number, connection in enumerate(connections):
                request = caller.request("PUT", f"/{BUCKET}/slow-{number}", b"u" * 100)
                connection.send(caller.signer.sign(request, payload=UNSIGNED).head())
            process = gateway.process
            assert process is not None
            process.send_signal(signal.SIGTERM)
            for _ in range(100):  # a body that takes three times as long
                time.sleep(0.03)
                for connection in connections:
                    connection.send(b"u")
            assert [connection.answer("PUT").status for connection in connections] == [200, 200]
        assert process.wait(30) == 0
        assert "stuck" not in gateway.stderr()
    finally:
        gateway.stop()


def test_a_gateway_that_was_held_up_as_a_whole_kills_none_of_its_workers(tmp_path):
    """As by Ctrl-Z and fg."""
    with Gateway(tmp_path, settings=STUCK) as gateway:
        caller, before = Caller.of(gateway), processes_of(gateway)
        os.killpg(gateway.pid, signal.SIGSTOP)
        time.sleep(3.0)  # three times what a worker may be silent for
        os.killpg(gateway.pid, signal.SIGCONT)
        with connections_to_each(caller):
            assert processes_of(gateway) == before
        assert "stuck" not in gateway.stderr()


def test_connections_wait_for_the_next_worker_where_one_has_died(tmp_path):
    with Gateway(tmp_path, settings=TWO) as gateway:
        caller = Caller.of(gateway)
        for pid in workers_of(gateway):
            os.kill(pid, signal.SIGKILL)
        assert [caller.ask(caller.signed("HEAD", f"/{BUCKET}"), timeout_s=30).status for _ in range(8)] == [200] * 8


def test_a_second_gateway_on_the_store_does_not_start(gateway):
    with pytest.raises(GatewayError, match="another process serves"):
        gateway.command("serve")
    assert len(workers_of(gateway)) == 2


def test_workers_end_when_their_keeper_is_gone_and_only_then_another_gateway_starts(tmp_path):
    gateway = Gateway(tmp_path, settings=TWO).start()
    try:
        caller = Caller.of(gateway)
        caller.put(BUCKET, "k", b"kept")
        workers = workers_of(gateway)
        assert gateway.process is not None
        os.kill(gateway.pid, signal.SIGKILL)
        gateway.process.wait(10)
        assert eventually(lambda: not any(Path(f"/proc/{pid}").exists() for pid in workers), within_s=20)
        gateway.kill()
        gateway.start()
        assert caller.get(BUCKET, "k").body == b"kept"
    finally:
        gateway.stop()


def is_stored(connection: Connection, put: Request) -> bool:
    return connection.exchange(put).status == 200


def set_limits(gateway: Gateway, old: str, new: str) -> None:
    text = gateway.config.read_text()
    assert old in text
    gateway.config.write_text(text.replace(old, new))


@pytest.mark.parametrize("workers", [1, 2], ids=["one worker", "two workers"])
def test_settings_are_read_again_on_sighup_where_they_can_be(tmp_path, workers):
    settings: Settings = {
        "server": {"workers": workers},
        "limits": {"max_object_size": "10KiB", "upload_expiry_s": 86400},
    }
    with Gateway(tmp_path, settings=settings) as gateway:
        caller = Caller.of(gateway)
        too_large = caller.signed("PUT", f"/{BUCKET}/k", bytes(20_000))
        with connections_to_each(caller, workers) as connections:
            for connection in connections:
                refused(connection.exchange(too_large), 400, "EntityTooLarge")
        set_limits(gateway, "10KiB", "10KiB nonsense")
        os.kill(gateway.pid, signal.SIGHUP)
        assert eventually(lambda: "the old ones stay in force" in gateway.stderr())
        set_limits(gateway, "10KiB nonsense", "30KiB")
        set_limits(gateway, "86400", "96400")
        os.kill(gateway.pid, signal.SIGHUP)
        assert eventually(lambda: "only a new start takes up: [limits] upload_expiry_s" in gateway.stderr())
        assert "new: [limits] max_object_size" in gateway.stderr()
        for _ in range(workers):
            assert eventually(lambda: caller.ask(too_large).status == 200)
        with connections_to_each(caller, workers) as connections:
            for connection in connections:
                assert eventually(partial(is_stored, connection, too_large))
        if workers > 1:  # those that are started later have them too, and nothing that must wait
            set_limits(gateway, "anbar.sqlite", "another.sqlite")
            os.kill(gateway.pid, signal.SIGHUP)
            assert eventually(lambda: "only a new start takes up: [store] path" in gateway.stderr())
            for pid in workers_of(gateway):
                os.kill(pid, signal.SIGKILL)
            with connections_to_each(caller, workers) as connections:
                for connection in connections:
                    assert connection.exchange(too_large).status == 200
            assert not gateway.store_file.with_name("another.sqlite").exists()


@pytest.mark.parametrize("workers", [1, 2], ids=["one worker", "two workers"])
def test_a_new_certificate_is_served_after_sighup(tmp_path, workers):
    with Gateway(tmp_path, tls=True, settings={"server": {"workers": workers}}) as gateway:
        before = certificate_of(gateway)
        (gateway.directory / "cert.pem").unlink()
        write_certificate(gateway.directory)
        os.kill(gateway.pid, signal.SIGHUP)
        for _ in range(4 * workers):
            assert eventually(lambda: certificate_of(gateway) != before)


def certificate_of(gateway: Gateway) -> str:
    return ssl.get_server_certificate((gateway.host, gateway.port))


def test_the_keeper_answers_the_health_checks(gateway):
    for path in ("/-/live", "/-/ready", "/-/metrics"):
        with urlopen(f"{gateway.admin_endpoint}{path}", timeout=5) as answer:
            assert answer.status == 200


def scrape(gateway: Gateway) -> dict[str, float]:
    with urlopen(f"{gateway.admin_endpoint}/-/metrics", timeout=5) as answer:
        lines = [line for line in answer.read().decode().splitlines() if not line.startswith("#")]
    return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines)}


def test_what_workers_had_open_that_have_died_is_not_told_any_more(gateway):
    with connections_to_each(Caller.of(gateway)):
        assert eventually(lambda: scrape(gateway)["anbar_connections"] >= 2)
        for pid in workers_of(gateway):
            os.kill(pid, signal.SIGKILL)
    assert eventually(lambda: scrape(gateway)["anbar_connections"] == 0, within_s=20)


def counted(gateway: Gateway, operation: str) -> float:
    found = scrape(gateway).items()
    return sum(value for name, value in found if name.startswith("anbar_requests_total{") and f'"{operation}"' in name)


def test_each_process_tells_its_time_memory_and_descriptors_also_one_that_took_anothers_place(gateway):
    places = {f'{{process="{each}"}}' for each in ("keeper", "worker-0", "worker-1")}
    names = ("process_cpu_seconds_total", "process_resident_memory_bytes", "process_open_fds", "process_max_fds")
    told = scrape(gateway)
    assert {name for name in told if name.startswith("process_")} >= {
        name + place for name in names for place in places
    }
    assert all(told[name + place] > 0 for name in names for place in places)
    began = "process_start_time_seconds"
    before = {place: told[began + place] for place in places}
    os.kill(workers_of(gateway)[0], signal.SIGKILL)

    def younger() -> int:
        after = scrape(gateway)
        return sum(after.get(began + place, 0.0) > before[place] for place in places)

    assert eventually(lambda: younger() == 1)


def test_the_keeper_tells_what_all_workers_have_counted_also_those_that_have_died(gateway):
    caller = Caller.of(gateway)
    with connections_to_each(caller) as connections:
        for connection in connections:
            for _ in range(5):
                connection.exchange(caller.signed("PUT", f"/{BUCKET}/k", b"x"))
    assert eventually(lambda: counted(gateway, "PutObject") == 10)
    os.kill(workers_of(gateway)[0], signal.SIGKILL)
    with connections_to_each(caller) as connections:
        connections[0].exchange(caller.signed("PUT", f"/{BUCKET}/k", b"x"))
    assert eventually(lambda: counted(gateway, "PutObject") == 11)


def test_x25_two_workers_race_for_one_key_and_one_body_wins_whole(gateway):
    caller = Caller.of(gateway)
    bodies = [bytes([65 + number]) * (1000 + number) for number in range(16)]
    with race() as racers:
        for _ in range(5):
            jobs = [("PUT", f"/{BUCKET}/one", body, ()) for body in bodies]
            jobs[5:5] = [("DELETE", f"/{BUCKET}/one", b"", ()), ("DELETE", f"/{BUCKET}/one", b"", ())]
            assert {status for status, _ in racers.run(caller, jobs)} <= {200, 204}
            found = caller.get(BUCKET, "one")
            assert found.status == 404 or found.body in bodies
    assert eventually(lambda: at_rest(gateway))
    usage_is_the_sum_of_the_objects(gateway)


@contextmanager
def film_half_read(gateway: Gateway) -> Iterator[tuple[Connection, Connection, bytes]]:
    """A download, which has begun, of an object in parts; a connection to the other worker; and the whole body."""
    caller = Caller.of(gateway)
    parts = [secrets.token_bytes(8 << 20) for _ in range(3)]  # more than what the sockets' buffers take
    upload_id = caller.start_upload(BUCKET, "film")
    etags = [caller.put_part(BUCKET, "film", upload_id, number, part) for number, part in enumerate(parts, 1)]
    assert caller.complete(BUCKET, "film", upload_id, complete_document([*enumerate(etags, 1)])).status == 200
    with connections_to_each(caller) as (first, second):
        first.send(caller.signed("GET", f"/{BUCKET}/film").encode())
        while not (begun := first.received.partition(b"\r\n\r\n")[2]):
            assert first.fill()
        assert parts[0].startswith(begun[:1000])
        yield first, second, b"".join(parts)


@pytest.mark.parametrize("overwritten", [True, False], ids=["overwritten", "deleted"])
def test_a_download_ends_whole_when_its_object_goes_through_another_worker(gateway, overwritten):
    caller = Caller.of(gateway)
    with film_half_read(gateway) as (reading, other, body):
        method, status = ("PUT", 200) if overwritten else ("DELETE", 204)
        assert other.exchange(caller.signed(method, f"/{BUCKET}/film")).status == status
        assert eventually(lambda: garbage(gateway) == 0)
        assert reading.answer().body == body
    assert caller.get(BUCKET, "film").status == (200 if overwritten else 404)
    assert eventually(lambda: len(files_of(gateway.origin_directory)) == (3 if overwritten else 1))
    usage_is_the_sum_of_the_objects(gateway)


def test_what_a_worker_that_died_was_reading_is_removed_by_the_next(gateway):
    caller = Caller.of(gateway)
    with film_half_read(gateway) as (_, other, _):
        assert other.exchange(caller.signed("DELETE", f"/{BUCKET}/film")).status == 204
        assert len(files_of(gateway.origin_directory)) > 1, "somebody reads it"
        for pid in workers_of(gateway):
            os.kill(pid, signal.SIGKILL)
        assert eventually(lambda: len(files_of(gateway.origin_directory)) == 1, within_s=20)


def test_x25_complete_and_complete_and_abort_of_one_upload_at_two_workers(gateway):
    caller = Caller.of(gateway)
    with race() as racers:
        for number in range(6):
            upload_id = caller.start_upload(BUCKET, f"m-{number}")
            part = caller.call("PUT", f"/{BUCKET}/m-{number}?partNumber=1&uploadId={upload_id}", b"p" * 1000)
            document = complete_document([(1, part.header("etag") or "")])
            target = f"/{BUCKET}/m-{number}?uploadId={upload_id}"
            jobs = [("POST", target, document, ())] * 8
            if number % 2:
                jobs[3:3] = [("DELETE", target, b"", ())]
            answers = racers.run(caller, jobs)
            completed = [status for (method, *_), (status, _) in zip(jobs, answers, strict=True) if method == "POST"]
            if number % 2 == 0:
                assert completed == [200] * 8, answers
            else:
                assert set(completed) in ({200}, {404}), answers
            assert caller.get(BUCKET, f"m-{number}").status == completed[0]
    assert eventually(lambda: at_rest(gateway))
    usage_is_the_sum_of_the_objects(gateway)


def test_a_worker_that_cannot_start_ends_the_gateway_with_its_reason(tmp_path):
    gateway = Gateway(tmp_path, settings=TWO)
    (gateway.directory / "sitecustomize.py").write_text(
        "import sys\nif 'worker' in sys.argv or 'worker' in sys.orig_argv: sys.exit('no worker today')\n"
    )
    gateway._environment["PYTHONPATH"] = f"{gateway.directory}:{gateway.environment['PYTHONPATH']}"
    with pytest.raises(GatewayError, match="a worker did not start"):
        gateway.start()
    assert "no worker today" in gateway.stderr()
    assert rows(gateway, "SELECT count(*) FROM intents") == [(0,)]
