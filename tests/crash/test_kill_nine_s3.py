"""X19, X20 over an S3 origin: kill -9 at chosen points of what the origin sees, and the invariants after the restart.

The origin is another machine: it goes on with what it was asked, whoever has died. So a write that was under way is
watched for a quarter of an hour; what it left, or leaves late, is removed, and nothing of it is ever seen.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any, Literal

import pytest

from tests.support.caller import Caller, complete_document
from tests.support.gateway import Gateway
from tests.support.oracle import usage_command_agrees
from tests.support.origin_faults import Phase
from tests.support.origin_journal import Entry
from tests.support.raw_http import Answer, BrokenAnswer, Request, eventually
from tests.support.s3_gateway import BUCKET, SMALL, end_waiting, s3_gateway, settled, waiting_garbage
from tests.support.scripted_origin import ScriptedOrigin

SIZES = [1000, 5 * SMALL]
IDS = ["small", "streamed"]
PHASES: list[Phase] = ["head", "body", "applied"]
HEADS: dict[str, Any] = {"first_byte_timeout_s": 20, "gap_timeout_s": 20, "whole_timeout_s": 30}


@pytest.fixture(scope="module")
def origin() -> Iterator[ScriptedOrigin]:
    with ScriptedOrigin() as running:
        yield running


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory, origin: ScriptedOrigin) -> Iterator[Gateway]:
    with s3_gateway(tmp_path_factory.mktemp("crash"), origin, **HEADS) as gateway:
        yield gateway
        usage_command_agrees(gateway)


@pytest.fixture
def caller(running: Gateway, origin: ScriptedOrigin) -> Iterator[Caller]:
    caller = Caller.of(running)
    origin.clear_journal()
    yield caller
    origin.heal()
    settled(running, origin)


def killed_at(
    running: Gateway,
    origin: ScriptedOrigin,
    caller: Caller,
    request: Request,
    operation: str,
    phase: Phase | int,
    when: Callable[[Entry], bool] | None = None,
) -> Answer | None:
    """Send a request, kill the gateway when the origin has its own in this phase, and start it again.

    The origin goes on with the held request only then: that is the latest effect it can have.
    """
    barrier = origin.barrier(operation, phase=phase, when=when)
    with caller.connect() as connection:
        connection.send_leniently(request.encode())
        barrier.wait_reached()
        running.kill()
        running.start()
        barrier.remove()
        origin.wait_until(lambda: all(entry.ended for entry in origin.journal))
        with suppress(OSError, BrokenAnswer):
            return connection.answer(request.method)
    return None


def swept(running: Gateway, origin: ScriptedOrigin) -> None:
    """A minute passes: what is watched is looked at again; then the quarter of an hour is over."""
    running.restart()
    settled(running, origin)
    running.stop()
    end_waiting(running)
    running.start()
    assert eventually(lambda: not waiting_garbage(running), within_s=10)


@pytest.mark.parametrize("size", SIZES, ids=IDS)
@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize("old", [None, b"the old bytes"], ids=["new", "over"])
def test_x19_a_put_killed_while_the_origin_has_it_never_was(
    caller: Caller, origin: ScriptedOrigin, running: Gateway, size: int, phase: Phase, old: bytes | None
):
    key = f"put-{size}-{phase}-{old is None}"
    if old is not None:
        caller.put(BUCKET, key, old)
    request = caller.signed("PUT", f"/{BUCKET}/{key}", b"n" * size)
    assert killed_at(running, origin, caller, request, "PutObject", phase) is None
    assert caller.get(BUCKET, key).status == 404 if old is None else caller.get(BUCKET, key).body == old
    caller.put(BUCKET, f"{key}-next", b"others go on")
    caller.put(BUCKET, key, b"again")
    if old is None:
        swept(running, origin)
    assert caller.get(BUCKET, key).body == b"again"


@pytest.mark.parametrize("point", ["refused", *PHASES])
@pytest.mark.parametrize("size", SIZES, ids=IDS)
def test_x19_a_put_killed_on_its_way_beside_the_key_never_was(
    caller: Caller, origin: ScriptedOrigin, running: Gateway, size: int, point: Phase | Literal["refused"]
):
    """Others have put something at the key's own place: that stays, and whatever was to lie beside it is removed."""
    key = f"beside-{size}-{point}"
    theirs = origin.put_behind(BUCKET, key, b"foreign")
    request = caller.signed("PUT", f"/{BUCKET}/{key}", b"n" * size)
    if point == "refused":  # it is known to be taken, and nothing is on record of another place
        assert killed_at(running, origin, caller, request, "HeadObject", "head") is None
    else:
        second = lambda entry: entry.key.startswith(f"{key}@")  # noqa: E731
        assert killed_at(running, origin, caller, request, "PutObject", point, when=second) is None
    assert caller.get(BUCKET, key).status == 404
    running.restart()  # a minute passes: what took effect late is looked for again
    assert eventually(lambda: not any(found.startswith(f"{key}@") for found in origin.objects(BUCKET)))
    assert origin.objects(BUCKET)[key] == theirs
    caller.put(BUCKET, key, b"again")
    assert caller.get(BUCKET, key).body == b"again"
    assert caller.call("DELETE", f"/{BUCKET}/{key}").status == 204
    assert origin.objects(BUCKET)[key] == theirs
    origin.remove_behind(BUCKET, key)
    swept(running, origin)


@pytest.mark.parametrize("phase", PHASES)
def test_x20_an_initiate_killed_in_between_leaves_no_upload_in_the_end(
    caller: Caller, origin: ScriptedOrigin, running: Gateway, phase: Phase
):
    """Its client never heard an id; the upload that may have begun is found by its key and aborted."""
    key = f"initiate-{phase}"
    request = caller.signed("POST", f"/{BUCKET}/{key}?uploads=")
    assert killed_at(running, origin, caller, request, "CreateMultipartUpload", phase) is None
    settled(running, origin)
    for upload_id in caller.uploads(BUCKET):
        assert caller.call("DELETE", f"/{BUCKET}/{key}?uploadId={upload_id}").status == 204
    assert not origin.uploads(BUCKET)
    caller.put(BUCKET, key, b"free again")
    assert caller.get(BUCKET, key).body == b"free again"


def test_x20_an_upload_goes_on_after_crashes_between_and_in_its_parts(
    caller: Caller, origin: ScriptedOrigin, running: Gateway
):
    first = b"f" * 5 * 1024 * 1024
    upload_id = caller.start_upload(BUCKET, "film")
    target = f"/{BUCKET}/film?uploadId={upload_id}"
    etags = [caller.put_part(BUCKET, "film", upload_id, 1, first)]
    running.kill()
    running.start()
    for phase in (*PHASES, 1000):
        request = caller.signed("PUT", f"{target}&partNumber=2", b"lost" * SMALL)
        assert killed_at(running, origin, caller, request, "UploadPart", phase) is None
    etags.append(caller.put_part(BUCKET, "film", upload_id, 2, b"the end"))
    assert caller.get(BUCKET, "film").status == 404
    answer = caller.complete(BUCKET, "film", upload_id, complete_document([(1, etags[0]), (2, etags[1])]))
    assert answer.status == 200
    assert caller.get(BUCKET, "film").body == first + b"the end"
    assert not origin.uploads(BUCKET)


@pytest.mark.parametrize("phase", PHASES)
def test_x20_a_complete_killed_in_between_can_be_repeated(
    caller: Caller, origin: ScriptedOrigin, running: Gateway, phase: Phase
):
    key = f"complete-{phase}"
    caller.put(BUCKET, f"{key}-over", b"old")
    for name in (key, f"{key}-over"):
        upload_id = caller.start_upload(BUCKET, name)
        document = complete_document([(1, caller.put_part(BUCKET, name, upload_id, 1, b"part"))])
        request = caller.signed("POST", f"/{BUCKET}/{name}?uploadId={upload_id}", document)
        assert killed_at(running, origin, caller, request, "CompleteMultipartUpload", phase) is None
        found = caller.get(BUCKET, name)
        assert found.status == 404 or found.body == b"old", "it was not acknowledged, and is not seen"
        again = caller.complete(BUCKET, name, upload_id, document)
        assert again.status == 200
        assert caller.get(BUCKET, name).body == b"part"
        once_more = caller.complete(BUCKET, name, upload_id, document)
        assert (once_more.status, once_more.body) == (200, again.body)
    assert not origin.uploads(BUCKET)


@pytest.mark.parametrize("phase", PHASES)
def test_x20_a_complete_killed_in_between_can_be_aborted_instead(
    caller: Caller, origin: ScriptedOrigin, running: Gateway, phase: Phase
):
    key = f"undecided-{phase}"
    upload_id = caller.start_upload(BUCKET, key)
    document = complete_document([(1, caller.put_part(BUCKET, key, upload_id, 1, b"part"))])
    request = caller.signed("POST", f"/{BUCKET}/{key}?uploadId={upload_id}", document)
    assert killed_at(running, origin, caller, request, "CompleteMultipartUpload", phase) is None
    assert caller.call("DELETE", f"/{BUCKET}/{key}?uploadId={upload_id}").status == 204
    assert key not in origin.objects(BUCKET)
    assert caller.get(BUCKET, key).status == 404


@pytest.mark.parametrize("phase", PHASES)
def test_x20_an_abort_killed_in_between_is_carried_out(
    caller: Caller, origin: ScriptedOrigin, running: Gateway, phase: Phase
):
    key = f"abort-{phase}"
    upload_id = caller.start_upload(BUCKET, key)
    etag = caller.put_part(BUCKET, key, upload_id, 1, b"part")
    request = caller.signed("DELETE", f"/{BUCKET}/{key}?uploadId={upload_id}")
    assert killed_at(running, origin, caller, request, "AbortMultipartUpload", phase) is None
    assert caller.complete(BUCKET, key, upload_id, complete_document([(1, etag)])).status == 404
    assert eventually(lambda: not origin.uploads(BUCKET))


@pytest.mark.parametrize("phase", PHASES)
def test_x19_a_copy_killed_in_between_never_was(caller: Caller, origin: ScriptedOrigin, running: Gateway, phase: Phase):
    caller.put(BUCKET, "source", b"s" * 1000)
    key = f"copy-{phase}"
    request = caller.signed("PUT", f"/{BUCKET}/{key}", b"", [("x-amz-copy-source", f"/{BUCKET}/source")])
    assert killed_at(running, origin, caller, request, "CopyObject", phase) is None
    assert caller.get(BUCKET, key).status == 404
    assert (
        caller.ask(caller.signed("PUT", f"/{BUCKET}/{key}", b"", [("x-amz-copy-source", f"/{BUCKET}/source")])).status
        == 200
    )
    swept(running, origin)
    assert caller.get(BUCKET, key).body == b"s" * 1000


@pytest.mark.parametrize("phase", PHASES)
def test_x19_a_delete_killed_in_between_is_carried_out(
    caller: Caller, origin: ScriptedOrigin, running: Gateway, phase: Phase
):
    key = f"delete-{phase}"
    caller.put(BUCKET, key, b"x")
    request = caller.signed("DELETE", f"/{BUCKET}/{key}")
    assert killed_at(running, origin, caller, request, "DeleteObject", phase) is None
    assert caller.get(BUCKET, key).status == 404
    assert eventually(lambda: key not in origin.objects(BUCKET))


def test_x19_tags_killed_in_between_are_set_or_not(caller: Caller, origin: ScriptedOrigin, running: Gateway):
    caller.put(BUCKET, "tagged", b"x", [("x-amz-tagging", "a=old")])
    document = b"<Tagging><TagSet><Tag><Key>a</Key><Value>new</Value></Tag></TagSet></Tagging>"
    request = caller.signed("PUT", f"/{BUCKET}/tagged?tagging=", document)
    assert killed_at(running, origin, caller, request, "PutObjectTagging", "applied") is None
    found = caller.call("GET", f"/{BUCKET}/tagged?tagging=").body
    assert b"new" in found
    assert origin.objects(BUCKET)["tagged"].tags == {"a": "new"}


def test_x19_many_writes_killed_at_once_are_whole_or_never_were(
    caller: Caller, origin: ScriptedOrigin, running: Gateway
):
    """Thirty uploads at any point; the acknowledged ones are there, the others are not half there."""
    for seed in range(3):
        bodies = {f"many-{seed}-{number}": bytes([number]) * (SMALL // 8 * (number + 1)) for number in range(30)}
        acknowledged: set[str] = set()

        def store(key: str, bodies: dict[str, bytes] = bodies, acknowledged: set[str] = acknowledged) -> None:
            with suppress(OSError, BrokenAnswer):
                if caller.call("PUT", f"/{BUCKET}/{key}", bodies[key]).status == 200:
                    acknowledged.add(key)

        threads = [threading.Thread(target=store, args=(key,)) for key in bodies]
        for thread in threads:
            thread.start()
        assert eventually(enough(acknowledged, 5 * seed + 1), every_s=0.001)
        running.kill()
        for thread in threads:
            thread.join()
        running.start()
        for key, body in bodies.items():
            found = caller.get(BUCKET, key)
            assert found.body == body if key in acknowledged else found.status == 404 or found.body == body
        settled(running, origin)


def enough(acknowledged: set[str], count: int) -> Callable[[], bool]:
    return lambda: len(acknowledged) >= count
