"""X35: the machine's clock jumps and stands still. Signatures are judged by it, and nothing else is."""

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.caller import Caller, complete_document, refused
from tests.support.footprint import processes_of
from tests.support.gateway import REPOSITORY, Gateway, Settings
from tests.support.oracle import at_rest, open_intents, usage_is_the_sum_of_the_objects
from tests.support.raw_http import Answer, eventually
from tests.support.signer import UNSIGNED

BUCKET = "demo-media"
HOUR, DAY = 3600.0, 86400.0
SKEW = 900.0
SETTINGS: Settings = {"server": {"workers": 2, "stuck_worker_s": 1.0}, "limits": {"idle_s": 60.0}}
OF_A_FILE = """\
import time
from pathlib import Path

_told, _system = Path(__file__).with_name("clock"), time.time


def _now() -> float:
    ahead, stands_at = map(float, _told.read_text().split())
    return ahead + (stands_at or _system())


time.time = _now
"""


class MovedClock:
    """What the gateway's processes are told by `time.time`: the machine's clock, moved, or standing still."""

    def __init__(self, directory: Path) -> None:
        self._told = directory / "clock"
        self._ahead = self._stands_at = 0.0
        self.jump(0.0)
        (directory / "sitecustomize.py").write_text(OF_A_FILE)

    @property
    def now_s(self) -> float:
        return self._ahead + (self._stands_at or time.time())

    def jump(self, ahead_s: float) -> None:
        """Be so far ahead of the machine's own, and go on."""
        self._ahead, self._stands_at = ahead_s, 0.0
        self._tell()

    def stand(self) -> None:
        self._stands_at = time.time()
        self._tell()

    def _tell(self) -> None:
        new = self._told.with_name("clock.new")
        new.write_text(f"{self._ahead} {self._stands_at}")
        os.replace(new, self._told)


@pytest.fixture
def clock(tmp_path: Path) -> MovedClock:
    return MovedClock(tmp_path)


@pytest.fixture
def gateway(tmp_path: Path, clock: MovedClock) -> Iterator[Gateway]:
    environment = {"PYTHONPATH": f"{tmp_path}:{REPOSITORY}"}
    with Gateway(tmp_path / "gateway", settings=SETTINGS, environment=environment) as running:
        yield running


def at(caller: Caller, now_s: float, method: str, key: str, body: bytes = b"") -> Answer:
    """A request that was signed at that time."""
    return caller.ask(caller.signed(method, f"/{BUCKET}/{key}", body, now_s=now_s))


def test_x35_only_who_is_more_than_a_quarter_of_an_hour_away_is_refused(gateway, clock):
    caller = Caller.of(gateway)
    caller.put(BUCKET, "k", b"bytes")
    for ahead_s in (HOUR, -HOUR, DAY, -DAY, SKEW - 60, 60 - SKEW, 1.0, -1.0):
        clock.jump(ahead_s)
        if abs(ahead_s) > SKEW:
            refused(at(caller, time.time(), "GET", "k"), 403, "RequestTimeTooSkewed")
            refused(at(caller, time.time(), "PUT", "k", b"other"), 403, "RequestTimeTooSkewed")
        else:
            assert at(caller, time.time(), "GET", "k").body == b"bytes"
        assert at(caller, clock.now_s, "GET", "k").body == b"bytes"
    clock.jump(0.0)
    assert caller.get(BUCKET, "k").body == b"bytes"


def test_x35_a_presigned_url_that_was_seen_before_ends_and_begins_with_the_clock(gateway, clock):
    """What is remembered of it is no reason to let it in, at any worker."""
    caller = Caller.of(gateway)
    caller.put(BUCKET, "k", b"bytes")
    asked = caller.presigned("GET", f"/{BUCKET}/k", expires="600")
    for _ in range(8):
        assert caller.ask(asked).body == b"bytes"
    for ahead_s in (HOUR, -HOUR, DAY):
        clock.jump(ahead_s)
        for _ in range(4):
            refused(caller.ask(asked), 403, "AccessDenied")
        clock.jump(0.0)
        assert caller.ask(asked).body == b"bytes"


def test_x35_what_is_under_way_goes_on_whatever_the_clock_does(gateway, clock):
    """Deadlines, reservations and workers' beats are none of its business; ids stay unique."""
    caller, before = Caller.of(gateway), processes_of(gateway)
    body = os.urandom(200_000)
    upload_id = caller.start_upload(BUCKET, "parts")
    etag = caller.put_part(BUCKET, "parts", upload_id, 1, body)
    ids: list[str | None] = []
    request = caller.signer.sign(caller.request("PUT", f"/{BUCKET}/slow", body), payload=UNSIGNED)
    with caller.connect() as idle, caller.connect() as uploading:
        assert idle.exchange(caller.signed("PUT", f"/{BUCKET}/kept", b"0")).status == 200
        uploading.send(request.encode()[:-1])
        assert eventually(lambda: open_intents(gateway) == 1)
        for number, ahead_s in enumerate((HOUR, -HOUR, DAY, -DAY, 1.0, -1.0)):
            clock.jump(ahead_s)
            ids += [at(caller, clock.now_s, "HEAD", "kept").header("x-amz-request-id") for _ in range(10)]
            assert at(caller, clock.now_s, "PUT", f"at-{number}", b"x").status == 200
            assert idle.exchange(caller.signed("GET", f"/{BUCKET}/kept", now_s=clock.now_s)).body == b"0"
        clock.stand()
        ids += [at(caller, clock.now_s, "HEAD", "kept").header("x-amz-request-id") for _ in range(10)]
        for number in range(5):
            assert at(caller, clock.now_s, "PUT", "kept", b"%d" % number).status == 200
            assert at(caller, clock.now_s, "GET", "kept").body == b"%d" % number
        clock.jump(0.0)
        uploading.send(body[-1:])
        assert uploading.answer("PUT").status == 200
    assert None not in ids
    assert len(set(ids)) == len(ids)
    assert caller.complete(BUCKET, "parts", upload_id, complete_document([(1, etag)])).status == 200
    assert caller.get(BUCKET, "parts").body == caller.get(BUCKET, "slow").body == body
    assert caller.keys(BUCKET) == [*(f"at-{number}" for number in range(6)), "kept", "parts", "slow"]
    assert processes_of(gateway) == before
    assert "Traceback" not in gateway.stderr()
    assert eventually(lambda: at_rest(gateway))
    usage_is_the_sum_of_the_objects(gateway)


def test_x35_after_a_start_in_the_past_or_in_the_future_everything_is_there(gateway, clock):
    caller = Caller.of(gateway)
    caller.put(BUCKET, "k", b"bytes")
    upload_id = caller.start_upload(BUCKET, "parts")
    etag = caller.put_part(BUCKET, "parts", upload_id, 1, b"part")
    for ahead_s in (DAY, -DAY):
        clock.jump(ahead_s)
        gateway.restart()
        assert at(caller, clock.now_s, "GET", "k").body == b"bytes"
        assert at(caller, clock.now_s, "PUT", "new", b"new").status == 200
        assert at(caller, clock.now_s, "DELETE", "new").status == 204
    clock.jump(0.0)
    gateway.restart()
    assert caller.complete(BUCKET, "parts", upload_id, complete_document([(1, etag)])).status == 200
    assert caller.keys(BUCKET) == ["k", "parts"]
    assert eventually(lambda: at_rest(gateway))
    usage_is_the_sum_of_the_objects(gateway)
