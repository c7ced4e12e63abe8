"""SIGHUP in the middle of work: what is under way goes on as it began, and what comes is judged by the new settings."""

import itertools
import json
import os
import signal
from pathlib import Path

import pytest

from tests.support.caller import Caller, refused
from tests.support.gateway import Gateway, Settings
from tests.support.oracle import at_rest, open_intents, usage_is_the_sum_of_the_objects
from tests.support.process import MIB
from tests.support.raw_http import Connection, eventually
from tests.support.transfers import BUCKET, TRANSFERS, begin_downloads, begin_uploads, read_on

TRUSTED = 'trusted_proxies = ["127.0.0.1"]'


@pytest.mark.parametrize("workers", [1, 2], ids=["one worker", "two workers"])
def test_fifty_transfers_under_way_end_as_they_began_and_newcomers_meet_the_new_settings(
    tmp_path: Path, crowd: list[Connection], workers: int
):
    settings: Settings = {"server": {"workers": workers}, "limits": {"max_object_size": "10MiB"}}
    with Gateway(tmp_path, settings=settings) as gateway:
        caller = Caller.of(gateway)
        large, body = os.urandom(4 * MIB), b"u" * 200_000
        caller.put(BUCKET, "large", large)
        uploads, downloads = begin_uploads(caller, body, crowd), begin_downloads(caller, crowd)
        assert eventually(lambda: open_intents(gateway) == TRANSFERS, within_s=15)
        gateway.config.write_text(gateway.config.read_text().replace("10MiB", "100KiB"))  # less than is under way
        os.kill(gateway.pid, signal.SIGHUP)
        refusing: set[str] = set()

        def newcomers_are_refused() -> bool:
            answer = caller.call("PUT", f"/{BUCKET}/late", body)
            if answer.status != 200:
                refused(answer, 400, "EntityTooLarge")
                refusing.add(answer.header("x-amz-id-2") or "")
            return len(refusing) == workers

        assert eventually(newcomers_are_refused, within_s=15), "each worker has an id of its own"
        assert open_intents(gateway) == TRANSFERS
        for connection in uploads:
            connection.send(b"u")
        assert [connection.answer("PUT").status for connection in uploads] == [200] * TRANSFERS
        assert all(read_on(connection) == large for connection in downloads)
        for number in range(TRANSFERS):
            assert caller.get(BUCKET, f"up-{number}").body == body
        for connection in uploads:  # the same connections, from their next request on
            refused(connection.exchange(caller.signed("PUT", f"/{BUCKET}/late", body)), 400, "EntityTooLarge")
        assert eventually(lambda: at_rest(gateway))
        usage_is_the_sum_of_the_objects(gateway)


@pytest.mark.parametrize("workers", [1, 2], ids=["one worker", "two workers"])
@pytest.mark.parametrize(
    "limit",
    [
        "requests_per_key = 0.001",
        "requests_per_address = 0.001",
        "max_connections = 2",
        "connections_per_address = 2",
    ],
)
def test_a_limit_that_is_read_again_slows_newcomers_down(tmp_path: Path, limit: str, workers: int):
    with Gateway(tmp_path, settings={"server": {"workers": workers}}) as gateway:
        caller = Caller.of(gateway)
        caller.put(BUCKET, "k", b"bytes")
        gateway.config.write_text(gateway.config.read_text().replace("[limits]\n", f"[limits]\n{limit}\n"))
        with caller.connect() as first, caller.connect() as second, caller.connect() as third:
            for connection in (first, second, third):
                assert connection.exchange(caller.signed("GET", f"/{BUCKET}/k")).body == b"bytes"
            os.kill(gateway.pid, signal.SIGHUP)

            def is_slowed_down() -> bool:
                with caller.connect() as newcomer:
                    answer = newcomer.exchange(caller.signed("GET", f"/{BUCKET}/k"))
                if answer.status != 200:
                    refused(answer, 503, "SlowDown")
                return answer.status == 503

            assert eventually(is_slowed_down)


@pytest.mark.parametrize("workers", [1, 2], ids=["one worker", "two workers"])
def test_a_proxy_that_is_trusted_from_now_on_is_believed_in_the_access_log_too(tmp_path: Path, workers: int):
    settings: Settings = {"server": {"workers": workers}, "log": {"access": "access.log", "format": "json"}}
    with Gateway(tmp_path, settings=settings) as gateway:
        caller, log = Caller.of(gateway), tmp_path / "access.log"

        def remotes(key: str) -> set[str]:
            """As whose requests ten of them are written down."""
            request = caller.signed("GET", f"/{BUCKET}/{key}").with_header("X-Forwarded-For", "192.0.2.7")
            for _ in range(10):
                assert caller.ask(request).status == 404
            told: list[dict[str, str]] = []

            def is_written() -> bool:
                told[:] = [line for line in map(json.loads, log.read_text().splitlines()) if line["key"] == key]
                return len(told) == 10

            assert eventually(is_written)
            return {line["remote"] for line in told}

        assert remotes("before") == {"127.0.0.1"}
        gateway.config.write_text(gateway.config.read_text().replace("[server]\n", f"[server]\n{TRUSTED}\n"))
        os.kill(gateway.pid, signal.SIGHUP)
        assert eventually(lambda: "new: [server] trusted_proxies" in gateway.stderr())
        numbers = itertools.count()
        assert eventually(lambda: remotes(f"after-{next(numbers)}") == {"192.0.2.7"}, within_s=15)
