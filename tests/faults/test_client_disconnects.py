"""X01, X02: clients that vanish in the middle. Nothing of a broken upload stays; nothing of a broken download leaks."""

from collections.abc import Callable, Iterator

import pytest

from tests.support.caller import Caller, parse_xml
from tests.support.gateway import Gateway
from tests.support.oracle import (
    at_rest,
    open_intents,
    stray_files,
    usage_command_agrees,
    usage_is_the_sum_of_the_objects,
)
from tests.support.process import MIB, open_descriptors
from tests.support.raw_http import Connection, Request, eventually, http_chunks
from tests.support.signer import (
    BOUNDARY,
    STREAMING_UNSIGNED_TRAILER,
    UNSIGNED,
    crc32,
    form_body,
    post_policy,
    unsigned_chunks,
)

SHARES = [0, 0.01, 0.5, 0.999]
BUCKET = "demo-media"


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A gateway of its own, whose every file and row is counted; bodies over 64 KiB are streamed."""
    limits = {"small_body": 64 * 1024, "body_gap_timeout_s": 5.0, "write_timeout_s": 5.0}
    with Gateway(tmp_path_factory.mktemp("disconnects"), settings={"limits": limits}) as gateway:
        yield gateway
        usage_command_agrees(gateway)


@pytest.fixture
def caller(running: Gateway) -> Iterator[Caller]:
    """The admin; the object `old` is there before, and after the test it must be what it was."""
    caller = Caller.of(running)
    caller.put(BUCKET, "old", b"the old bytes")
    yield caller
    assert caller.get(BUCKET, "old").body == b"the old bytes"
    assert caller.keys(BUCKET) == ["old"]
    assert eventually(lambda: at_rest(running)), (open_intents(running), stray_files(running))
    usage_is_the_sum_of_the_objects(running)


def plain(caller: Caller, key: str, body: bytes) -> tuple[bytes, bytes]:
    request = caller.signer.sign(caller.request("PUT", f"/{BUCKET}/{key}", body), payload=UNSIGNED)
    return request.head(), body


def signed_chunks(caller: Caller, key: str, body: bytes) -> tuple[bytes, bytes]:
    pieces = [body[start : start + 65536] for start in range(0, len(body), 65536)]
    head, chunks = caller.streamed(f"/{BUCKET}/{key}", pieces)
    framed = chunks.body(pieces)
    return head.with_header("Content-Length", str(len(framed))).head(), framed


def nested_chunks(caller: Caller, key: str, body: bytes) -> tuple[bytes, bytes]:
    """aws-chunked in HTTP chunks and without Content-Length, as boto3 sends it over TLS."""
    headers = (
        ("Host", caller.authority),
        ("x-amz-decoded-content-length", str(len(body))),
        ("x-amz-trailer", "x-amz-checksum-crc32"),
        ("Transfer-Encoding", "chunked"),
    )
    head = caller.signer.sign(Request("PUT", f"/{BUCKET}/{key}", headers), payload=STREAMING_UNSIGNED_TRAILER)
    framed = unsigned_chunks([body], {"x-amz-checksum-crc32": crc32(body)})
    return head.head(), http_chunks([framed[start : start + 50_000] for start in range(0, len(framed), 50_000)])


def form(caller: Caller, key: str, body: bytes) -> tuple[bytes, bytes]:
    conditions: list[object] = [{"bucket": BUCKET}, ["starts-with", "$key", ""]]
    names = ("x-amz-credential", "x-amz-algorithm", "x-amz-date")
    conditions += [["starts-with", f"${name}", ""] for name in names]
    fields = caller.signer.post_fields(post_policy(conditions))
    data = form_body([("key", key), *fields.items()], body)
    headers = [("Content-Type", f"multipart/form-data; boundary={BOUNDARY}")]
    return caller.request("POST", f"/{BUCKET}", data, headers).head(), data


def leave(connection: Connection, *, reset: bool) -> None:
    if reset:
        connection.reset()
    else:
        connection.close()


@pytest.mark.parametrize("share", SHARES)
@pytest.mark.parametrize("size", [1000, 2 * MIB], ids=["small", "streamed"])
@pytest.mark.parametrize("framing", [plain, signed_chunks, nested_chunks, form])
@pytest.mark.parametrize("reset", [False, True], ids=["FIN", "RST"])
def test_x01_an_upload_that_breaks_off_leaves_nothing(
    caller: Caller, framing: Callable[[Caller, str, bytes], tuple[bytes, bytes]], size: int, share: float, reset: bool
):
    for key in ("old", "new"):
        head, body = framing(caller, key, b"x" * size)
        connection = caller.connect()
        connection.send(head + body[: min(int(len(body) * share), len(body) - 1)])
        leave(connection, reset=reset)


@pytest.mark.parametrize("share", SHARES)
def test_x01_a_part_that_breaks_off_leaves_no_part(caller: Caller, share: float):
    upload_id = caller.start_upload(BUCKET, "old")
    target = f"/{BUCKET}/old?uploadId={upload_id}"
    body = b"x" * MIB
    connection = caller.connect()
    connection.send(caller.signed("PUT", f"{target}&partNumber=1", body).head() + body[: int(len(body) * share)])
    connection.close()
    etag = caller.put_part(BUCKET, "old", upload_id, 2, b"whole")
    listed = parse_xml(caller.call("GET", target).body)
    assert [each.findtext("PartNumber") for each in listed.findall("Part")] == ["2"]
    assert etag
    assert caller.call("DELETE", target).status == 204


def test_x01_a_broken_upload_is_forgotten_while_its_repetition_succeeds(caller: Caller):
    """The retry of an SDK arrives before the gateway has noticed the first attempt's end."""
    head, body = plain(caller, "retried", b"x" * MIB)
    first = caller.connect()
    first.send(head + body[: MIB // 2])
    assert caller.ask(caller.signed("PUT", f"/{BUCKET}/retried", body)).status == 200
    first.close()
    assert caller.get(BUCKET, "retried").body == body
    assert caller.call("DELETE", f"/{BUCKET}/retried").status == 204


def test_x01_two_uploads_of_one_key_at_once_end_with_one_whole_body(caller: Caller):
    bodies = [bytes([97 + number]) * MIB for number in range(4)]
    opened = [caller.connect() for _ in bodies]
    for connection, body in zip(opened, bodies, strict=True):
        connection.send(plain(caller, "raced", body)[0] + body[:-1])
    for connection in opened:
        connection.send(b"abcd"[opened.index(connection) :][:1])
    assert [connection.answer("PUT").status for connection in opened] == [200] * 4
    assert caller.get(BUCKET, "raced").body in bodies
    for connection in opened:
        connection.close()
    assert caller.call("DELETE", f"/{BUCKET}/raced").status == 204


@pytest.mark.parametrize("reset", [False, True], ids=["FIN", "RST"])
def test_x02_downloads_that_break_off_give_their_descriptors_back(caller: Caller, running: Gateway, reset: bool):
    body = b"x" * 8 * MIB
    caller.put(BUCKET, "large", body)
    assert caller.get(BUCKET, "large").body == body
    before = open_descriptors(running.pid)
    get = caller.signed("GET", f"/{BUCKET}/large").encode()
    for number in range(40):
        connection = Connection.open(running.host, running.port, receive_buffer=4096)
        connection.send(get)
        if number % 4:
            connection.fill()
        leave(connection, reset=reset)
    assert eventually(lambda: open_descriptors(running.pid) <= before + 2)
    assert caller.get(BUCKET, "large").body == body
    assert caller.call("DELETE", f"/{BUCKET}/large").status == 204


def test_x02_an_object_that_is_overwritten_or_deleted_during_a_download_stays_whole(caller: Caller, running: Gateway):
    """Whoever began to read gets all of what was there when they began."""
    body = b"x" * 8 * MIB
    for end in ("overwritten", "deleted"):
        caller.put(BUCKET, "large", body)
        connection = Connection.open(running.host, running.port, receive_buffer=4096)
        connection.send(caller.signed("GET", f"/{BUCKET}/large").encode())
        connection.fill()
        if end == "overwritten":
            caller.put(BUCKET, "large", b"another")
        assert caller.call("DELETE", f"/{BUCKET}/large").status == 204
        assert connection.answer().body == body
        connection.close()


def test_p11_a_client_that_leaves_between_the_last_byte_and_the_answer_sees_all_or_nothing(caller: Caller):
    """The body is whole: the object is stored or not, but never in between."""
    for number in range(20):
        head, body = plain(caller, f"all-{number}", b"x" * 100_000)
        connection = caller.connect()
        connection.send(head + body)
        leave(connection, reset=bool(number % 2))
    for number in range(20):
        found = caller.get(BUCKET, f"all-{number}")
        assert found.status == 404 or found.body == b"x" * 100_000

    def gone() -> bool:
        """Deleting until none is left: an upload that nobody waits for may still be finished."""
        for number in range(20):
            assert caller.call("DELETE", f"/{BUCKET}/all-{number}").status == 204
        return caller.keys(BUCKET) == ["old"] and True

    assert eventually(gone)
