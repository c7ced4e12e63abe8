"""Bodies that are read whole: what they may weigh, whose memory they take, and that it is given back."""

import asyncio
from collections.abc import Sequence

import pytest

from gateway.s3.sts import MAX_FORM_BYTES
from tests.support.caller import delete_document
from tests.support.raw_http import Request
from tests.support.signer import UNSIGNED, Signer, content_md5

TAGS = b"<Tagging><TagSet><Tag><Key>a</Key><Value>1</Value></Tag></TagSet></Tagging>"
MANY_KEYS = delete_document([f"{number:0200d}" for number in range(1000)])  # some 230 KiB


def signed(listening, method: str, target: str, headers: Sequence[tuple[str, str]], body: bytes = b"") -> Request:
    """A request whose body is not signed, and may come or not."""
    request = Request(method, target, (("Host", f"127.0.0.1:{listening.port}"), *headers), body)
    return listening.signer.sign(request, payload=UNSIGNED)


def batch(listening, body: bytes = MANY_KEYS) -> Request:
    """DeleteObjects."""
    headers = [("Content-Length", str(len(body))), ("Content-MD5", content_md5(body))]
    return signed(listening, "POST", "/demo-media?delete=", headers, body)


def left(services) -> int:
    """What is left of the memory of all bodies, found by taking it."""
    low, high = 0, 1 << 40
    while low < high:
        middle = (low + high + 1) // 2
        if services.rooms.budget.take_kept(middle):
            services.rooms.budget.give(middle)
            low = middle
        else:
            high = middle - 1
    return low


@pytest.mark.parametrize(
    ("method", "target", "limit"),
    [
        ("PUT", "/demo-media/k?tagging=", 64 << 10),
        ("PUT", "/demo-media/k?acl=", 64 << 10),
        ("PUT", "/demo-media?acl=", 64 << 10),
        ("PUT", "/demo-new", 64 << 10),
        ("POST", "/demo-media?delete=", 8 << 20),
    ],
)
async def test_what_is_longer_than_its_operation_could_need_is_refused_before_it_comes(
    listening, method, target, limit
):
    assert (await listening.put("/demo-media/k", b"bytes"))[0] == 200
    for body_of in (limit + 1, 1 << 40):
        status, answer = await listening.exchange(
            signed(listening, method, target, [("Content-Length", str(body_of))])  # and nothing of it is sent
        )
        assert status == 400
        assert b"<Code>MaxMessageLengthExceeded</Code><Message>Your request was too big.</Message>" in answer
        assert b"<MaxMessageLengthBytes>%d</MaxMessageLengthBytes>" % limit in answer


async def test_what_tells_no_length_is_cut_off_at_the_same_limit(services, listening):
    assert (await listening.put("/demo-media/k", b"bytes"))[0] == 200
    before = left(services)
    chunk = b"10000\r\n" + TAGS.ljust(1 << 16) + b"\r\n"
    head = [("Transfer-Encoding", "chunked")]
    status, answer = await listening.exchange(signed(listening, "PUT", "/demo-media/k?tagging=", head, chunk + chunk))
    assert (status, b"<Code>MaxMessageLengthExceeded</Code>" in answer) == (400, True)
    request = signed(listening, "PUT", "/demo-media/k?tagging=", head, chunk + b"0\r\n\r\n")
    assert (await listening.exchange(request))[0] == 200
    await listening.over()
    assert left(services) == before


async def test_without_memory_a_long_document_is_slowed_down_and_a_short_one_read(services, listening):
    assert (await listening.put("/demo-media/k", b"bytes"))[0] == 200
    budget, all_of_it = services.rooms.budget, left(services)
    assert budget.take_kept(all_of_it)
    status, answer = await listening.exchange(batch(listening))
    assert (status, b"<Code>SlowDown</Code>" in answer) == (503, True)
    short = [("Content-Length", str(len(TAGS)))]
    assert (await listening.exchange(signed(listening, "PUT", "/demo-media/k?tagging=", short, TAGS)))[0] == 200
    budget.give(all_of_it)
    assert (await listening.exchange(batch(listening)))[0] == 200
    await listening.over()
    assert left(services) == all_of_it


async def test_uploads_that_could_be_streamed_leave_memory_for_documents(services, listening):
    budget, taken = services.rooms.budget, 0
    while budget.take(1 << 20):
        taken += 1 << 20
    assert (await listening.exchange(batch(listening)))[0] == 200
    budget.give(taken)


@pytest.mark.parametrize("ending", ["whole", "no document", "wrong digest", "the client leaves"])
async def test_however_a_document_ends_its_memory_is_given_back(services, listening, ending):
    before = left(services)
    if ending == "the client leaves":
        _, writer = await asyncio.open_connection("127.0.0.1", listening.port)
        writer.write(batch(listening).encode()[:-1])
        async with asyncio.timeout(20):
            while left(services) == before:  # noqa: ASYNC110  (turns of the loop, no time)
                await asyncio.sleep(0)
        assert before - left(services) < len(MANY_KEYS)
        writer.transport.abort()
    else:
        request = batch(listening, bytes(len(MANY_KEYS)) if ending == "no document" else MANY_KEYS)
        if ending == "wrong digest":
            request = request.with_body(MANY_KEYS.replace(b"1", b"2"))
        status, _ = await listening.exchange(request)
        assert status == (200 if ending == "whole" else 400)
    async with asyncio.timeout(20):
        while left(services) != before:  # noqa: ASYNC110  (turns of the loop, no time)
            await asyncio.sleep(0)


async def test_before_its_signer_is_known_a_form_takes_no_memory_that_others_miss(services, listening):
    assert services.rooms.budget.take_kept(left(services))
    nobody = Signer("AK" + "X" * 18, "x" * 40, service="sts")
    for size, code in ((MAX_FORM_BYTES, b"InvalidClientTokenId"), (MAX_FORM_BYTES + 1, b"MaxMessageLengthExceeded")):
        head = (
            ("Host", f"127.0.0.1:{listening.port}"),
            ("Content-Type", "application/x-www-form-urlencoded"),
            ("Content-Length", str(size)),
        )
        _, answer = await listening.exchange(nobody.sign(Request("POST", "/", head, bytes(size))))
        assert b"<Code>%b</Code>" % code in answer
