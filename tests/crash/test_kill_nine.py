"""X19, X20: kill -9 at chosen and at random moments, and the invariants after every restart.

Inv1 what was acknowledged is readable with the same bytes; Inv2 a refused write leaves the previous object; Inv3 nothing
partial is visible; Inv4 usage is the sum of the objects; Inv5 every object has one owner. And once the restarted gateway
is at rest: no file that nothing needs, no write that never ended.
"""

import os
import random
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import pytest

from tests.support.caller import Caller, complete_document, delete_document, parse_xml, texts
from tests.support.gateway import DEMO_POLICY, OTHER_POLICY, Gateway
from tests.support.oracle import (
    IDENTITY,
    at_rest,
    files_of,
    garbage,
    open_intents,
    recorded_usage,
    rows,
    stray_files,
    usage_command_agrees,
    usage_is_the_sum_of_the_objects,
)
from tests.support.raw_http import Answer, BrokenAnswer, Connection, Request, eventually
from tests.support.signer import UNSIGNED, content_md5, object_path

BUCKET = "demo-media"
Body = bytes | None
"""What a key holds; None: there is no such object."""

BROKEN = (OSError, BrokenAnswer)
LIMITS = {"limits": {"small_body": 16 * 1024}}  # so that both ways of storing a body are interrupted


def settled(gateway: Gateway) -> None:
    """Everything that must hold once a restarted gateway has cleaned up."""
    assert eventually(lambda: at_rest(gateway), within_s=10), (
        open_intents(gateway),
        garbage(gateway),
        stray_files(gateway),
    )
    usage_is_the_sum_of_the_objects(gateway)
    assert rows(gateway, "SELECT bucket, key FROM objects WHERE uploader = ''") == []


def stored(caller: Caller, key: str) -> Body:
    answer = caller.get(BUCKET, key)
    if answer.status == 404:
        return None
    assert answer.status == 200, answer
    return answer.body


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with Gateway(tmp_path_factory.mktemp("crash"), settings=LIMITS) as gateway:
        yield gateway


@pytest.fixture
def caller(running: Gateway) -> Iterator[Caller]:
    caller = Caller.of(running)
    yield caller
    settled(running)


def crash(gateway: Gateway) -> None:
    gateway.kill()
    gateway.start()


MOMENTS = ("head", "half", "all but the last byte", "whole", "acknowledged")


@dataclass(slots=True)
class Upload:
    """One upload that a crash will meet at its moment."""

    key: str
    old: Body
    new: bytes
    moment: str

    @property
    def sent(self) -> int:
        """How many bytes of the body go out before the crash."""
        size = len(self.new)
        return {"head": 0, "half": size // 2, "all but the last byte": max(size - 1, 0)}.get(self.moment, size)

    def begin(self, caller: Caller) -> Connection:
        request = caller.signer.sign(caller.request("PUT", object_path(BUCKET, self.key), self.new), payload=UNSIGNED)
        connection = caller.connect()
        connection.send(request.head() + self.new[: self.sent])
        return connection

    def possible(self) -> tuple[Body, ...]:
        """What the key may hold after the crash."""
        if self.moment == "acknowledged":
            return (self.new,)
        return (self.old,) if self.sent < len(self.new) else (self.old, self.new)


@pytest.mark.parametrize("size", [0, 5000, 300_000], ids=["empty", "small", "streamed"])
def test_x19_an_upload_killed_at_any_moment_is_whole_or_never_was(caller: Caller, running: Gateway, size: int):
    """New objects and overwritten ones, each interrupted at every moment of what the client has sent and heard."""
    bodies = random.Random(size)
    uploads = [
        Upload(f"{moment}-{'new' if old is None else 'over'}", old, bodies.randbytes(size), moment)
        for moment in MOMENTS
        for old in (None, b"the old bytes")
    ]
    for upload in uploads:
        if upload.old is not None:
            caller.put(BUCKET, upload.key, upload.old)
    connections = {upload.key: upload.begin(caller) for upload in uploads if upload.sent < size}
    assert eventually(lambda: open_intents(running) == len(connections))
    for upload in uploads:
        if upload.moment == "acknowledged":
            connections[upload.key] = upload.begin(caller)
            assert connections[upload.key].answer("PUT").status == 200
    connections |= {upload.key: upload.begin(caller) for upload in uploads if upload.key not in connections}
    crash(running)
    for upload in uploads:
        connections[upload.key].close()
        assert stored(caller, upload.key) in upload.possible(), upload.key
        assert caller.call("DELETE", object_path(BUCKET, upload.key)).status == 204
    assert caller.keys(BUCKET) == []


@dataclass(slots=True)
class Operation:
    """An operation on the object `name`, which holds `old` before and `after` once it is done."""

    name: str
    request: Callable[[], Request]
    after: Body
    old: Body = b"old"


SOURCE = b"s" * 100_000


def operations(caller: Caller) -> list[Operation]:
    """One of each, prepared up to the request that does it."""

    def upload(name: str) -> tuple[str, bytes]:
        upload_id = caller.start_upload(BUCKET, name)
        etag = caller.put_part(BUCKET, name, upload_id, 1, SOURCE)
        return f"/{BUCKET}/{name}?uploadId={upload_id}", complete_document([(1, etag)])

    for name in ("source", "complete", "abort", "part", "copy", "delete", "batch"):
        caller.put(BUCKET, name, SOURCE if name == "source" else b"old")
    (completed, document), (aborted, _), (continued, _) = map(upload, ("complete", "abort", "part"))
    batch = delete_document(["batch"])
    copied = [("x-amz-copy-source", f"/{BUCKET}/source")]
    return [
        Operation("complete", lambda: caller.signed("POST", completed, document), SOURCE),
        Operation("abort", lambda: caller.signed("DELETE", aborted), b"old"),
        Operation("part", lambda: caller.signed("PUT", f"{continued}&partNumber=2", SOURCE), b"old"),
        Operation("copy", lambda: caller.signed("PUT", f"/{BUCKET}/copy", b"", copied), SOURCE),
        Operation("delete", lambda: caller.signed("DELETE", f"/{BUCKET}/delete"), None),
        Operation(
            "batch",
            lambda: caller.signed("POST", f"/{BUCKET}?delete", batch, [("Content-MD5", content_md5(batch))]),
            None,
        ),
    ]


@pytest.mark.parametrize("delay_s", [0.0, 0.001, 0.002, 0.004, 0.006, 0.009, 0.014])
def test_x20_an_operation_killed_before_its_answer_is_done_or_not_begun(
    caller: Caller, running: Gateway, delay_s: float
):
    """The kill falls this long after the requests were sent; whichever way it went, a repetition ends it."""
    wanted = operations(caller)
    requests = [operation.request() for operation in wanted]
    connections = [caller.connect() for _ in wanted]
    for connection, request in zip(connections, requests, strict=True):
        connection.send(request.encode())
    time.sleep(delay_s)  # the crash point
    running.kill()
    answers = [heard(connection, request) for connection, request in zip(connections, requests, strict=True)]
    running.start()
    for operation, answer, connection in zip(wanted, answers, connections, strict=True):
        connection.close()
        found = stored(caller, operation.name)
        if answer is None:
            assert found in (operation.old, operation.after), operation.name
        else:
            assert answer.status in (200, 204), (operation.name, answer)
            assert found == operation.after, operation.name
        again = caller.ask(operation.request())
        # An abort that was carried out cannot be repeated; a Complete can, until its answer has been heard.
        assert again.status in (200, 204) or (operation.name == "abort" and again.status == 404), (
            operation.name,
            again,
        )
        assert operation.name != "complete" or parse_xml(again.body).findtext("ETag")
        assert stored(caller, operation.name) == operation.after
    empty_the_bucket(caller)


def empty_the_bucket(caller: Caller) -> None:
    for upload in parse_xml(caller.call("GET", f"/{BUCKET}?uploads").body).findall("Upload"):
        target = object_path(BUCKET, upload.findtext("Key") or "") + f"?uploadId={upload.findtext('UploadId')}"
        assert caller.call("DELETE", target).status == 204
    for key in caller.keys(BUCKET):
        assert caller.call("DELETE", object_path(BUCKET, key)).status == 204
    assert caller.keys(BUCKET) == []
    assert caller.uploads(BUCKET) == []


def heard(connection: Connection, request: Request) -> Answer | None:
    """The answer, where one was on its way before the end."""
    with suppress(*BROKEN):
        return connection.answer(request.method)
    return None


def test_x20_an_upload_goes_on_after_a_crash_between_its_parts(caller: Caller, running: Gateway):
    first, last = b"f" * 5 * 1024 * 1024, b"the end"
    upload_id = caller.start_upload(BUCKET, "film")
    crash(running)
    etags = [caller.put_part(BUCKET, "film", upload_id, 1, first)]
    crash(running)
    etags.append(caller.put_part(BUCKET, "film", upload_id, 2, last))
    assert stored(caller, "film") is None
    crash(running)
    answer = caller.complete(BUCKET, "film", upload_id, complete_document([(1, etags[0]), (2, etags[1])]))
    assert answer.status == 200
    crash(running)
    assert stored(caller, "film") == first + last
    assert caller.call("DELETE", f"/{BUCKET}/film").status == 204


# Random moments of many clients at once.


@dataclass(slots=True)
class Model:
    """What one client may find under its own keys: every body that an interrupted request could have left."""

    possible: dict[str, set[Body]] = field(default_factory=dict)

    def now(self, key: str) -> set[Body]:
        return self.possible.setdefault(key, {None})

    def began(self, key: str, body: Body) -> None:
        self.possible[key] = self.now(key) | {body}

    def done(self, key: str, body: Body) -> None:
        self.possible[key] = {body}

    def refused(self, key: str, before: set[Body]) -> None:
        """Nothing has happened: what could be there before is what can be there now."""
        self.possible[key] = before


@dataclass(slots=True)
class Client:
    """A client with four keys of its own, who does what chance tells it to until the gateway dies."""

    caller: Caller
    name: str
    chance: random.Random
    model: Model = field(default_factory=Model)
    acknowledged: int = 0
    mistakes: list[str] = field(default_factory=list)

    def run(self) -> None:
        steps: list[Callable[[str], None]] = [
            self.put,
            self.put,
            self.put,
            self.copy,
            self.delete,
            self.batch,
            self.upload,
        ]
        with suppress(*BROKEN):
            while not self.mistakes:
                self.chance.choice(steps)(f"{self.name}/{self.chance.randrange(4)}")
                self.acknowledged += 1

    def body(self) -> bytes:
        return self.chance.randbytes(self.chance.choice([0, 1, 1000, 20_000, 400_000]))

    def expect(self, answer: Answer, *statuses: int) -> None:
        if answer.status not in statuses:
            self.mistakes.append(f"{answer.status}: {answer.body!r}")

    def store(self, key: str, body: Body, request: Callable[[], Answer]) -> None:
        """A request that makes `key` hold `body`, unless its quota refuses it."""
        before = self.model.now(key)
        self.model.began(key, body)
        answer = request()
        if answer.status == 403 and b"<Code>QuotaExceeded</Code>" in answer.body:
            self.model.refused(key, before)
            return
        self.expect(answer, 200)
        self.model.done(key, body)

    def put(self, key: str) -> None:
        body = self.body()
        self.store(key, body, lambda: self.caller.call("PUT", object_path(BUCKET, key), body))

    def copy(self, key: str) -> None:
        source = f"{self.name}/{self.chance.randrange(4)}"
        (body,) = self.model.now(source)
        if body is None or source == key:
            return
        headers = [("x-amz-copy-source", object_path(BUCKET, source))]
        self.store(key, body, lambda: self.caller.call("PUT", object_path(BUCKET, key), b"", headers))

    def delete(self, key: str) -> None:
        self.model.began(key, None)
        self.expect(self.caller.call("DELETE", object_path(BUCKET, key)), 204)
        self.model.done(key, None)

    def batch(self, key: str) -> None:
        keys = [f"{self.name}/{number}" for number in range(2)]
        for each in keys:
            self.model.began(each, None)
        document = delete_document(keys)
        answer = self.caller.call("POST", f"/{BUCKET}?delete", document, [("Content-MD5", content_md5(document))])
        self.expect(answer, 200)
        if texts(parse_xml(answer.body), "Deleted/Key") != keys:
            self.mistakes.append(f"{answer.body!r}")
        for each in keys:
            self.model.done(each, None)

    def upload(self, key: str) -> None:
        body = self.body()
        begun = self.caller.call("POST", object_path(BUCKET, key) + "?uploads=")
        if begun.status == 403:
            return
        target = object_path(BUCKET, key) + f"?uploadId={parse_xml(begun.body).findtext('UploadId')}"
        self.caller.call("PUT", f"{target}&partNumber=1", b"overwritten")
        part = self.caller.call("PUT", f"{target}&partNumber=1", body)
        if part.status == 403 or self.chance.random() < 0.3:
            self.expect(self.caller.call("DELETE", target), 204)
            return
        document = complete_document([(1, part.header("etag") or "")])
        self.store(key, body, lambda: self.caller.call("POST", target, document))

    def verify(self) -> None:
        """Inv1 to Inv3 for this client's keys; what is found is what it goes on from."""
        assert self.mistakes == []
        listed = set(self.caller.keys(BUCKET))
        for key, possible in self.model.possible.items():
            found = stored(self.caller, key)
            assert found in possible, f"{key}: {None if found is None else len(found)} bytes found"
            assert (key in listed) == (found is not None)
            self.model.done(key, found)


def has_acknowledged(clients: Sequence[Client], goal: int) -> bool:
    return sum(client.acknowledged for client in clients) >= goal


ROUNDS = 10


QUOTA = DEMO_POLICY.replace("[categories.media]\n", "[categories.media]\nquota = { bytes = 900_000, objects = 9 }\n")
SEEDS = [int(seed) for seed in os.environ.get("ANBAR_CRASH_SEEDS", "1 2").split()]


@pytest.mark.parametrize("policy", [DEMO_POLICY, QUOTA], ids=["roomy", "nearly full"])
@pytest.mark.parametrize("seed", SEEDS)
def test_x19_random_kills_under_load_keep_every_invariant(tmp_path: Path, seed: int, policy: str):
    """Ten kills for each seed; ANBAR_CRASH_SEEDS="1 2 3 …" asks for more."""
    chance = random.Random(seed)
    policies = {"demo": policy, "other": OTHER_POLICY}
    with Gateway(tmp_path, settings=LIMITS, policies=policies) as gateway:
        clients = [Client(Caller.of(gateway), f"c{number}", random.Random(chance.random())) for number in range(4)]
        for _ in range(ROUNDS):
            goal = sum(client.acknowledged for client in clients) + chance.randrange(2, 40)
            threads = [threading.Thread(target=client.run) for client in clients]
            for thread in threads:
                thread.start()
            eventually(partial(has_acknowledged, clients, goal), within_s=20, every_s=0.001)
            time.sleep(chance.random() * 0.02)  # the crash point
            gateway.kill()
            for thread in threads:
                thread.join()
            gateway.start()
            for client in clients:
                client.verify()
            assert eventually(lambda: not open_intents(gateway) and not garbage(gateway), within_s=10)
            assert eventually(lambda: not stray_files(gateway), within_s=10), stray_files(gateway)
            usage_is_the_sum_of_the_objects(gateway)
            if policy is QUOTA:
                held = recorded_usage(gateway).get(("demo", "media", ""), (0, 0))
                assert held <= (900_000, held[1])
                assert held[1] <= 9
        usage_command_agrees(gateway)
        empty_the_bucket(clients[0].caller)
        settled(gateway)
        assert files_of(gateway.origin_directory) == {IDENTITY}, "nothing is left of nothing"
