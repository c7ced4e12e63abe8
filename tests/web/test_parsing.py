"""Where documents are parsed: large ones beside the loop."""

import asyncio
import threading
from collections.abc import AsyncIterator

import pytest

from gateway.errors import Code, S3Error
from gateway.s3.documents import parse_delete
from gateway.threads import Threads
from gateway.web.documents import AT_ONCE, parsed

DEADLINE_S = 30


@pytest.fixture
async def threads() -> AsyncIterator[Threads]:
    made = Threads(1, "parse")
    yield made
    await made.close()


async def test_n_others_are_answered_while_a_large_document_is_parsed(threads):
    """Its parsing ends only once another has been answered: in the loop it would wait in vain."""
    other_answered = threading.Event()
    parsing = asyncio.ensure_future(parsed(threads, lambda body: other_answered.wait(DEADLINE_S), bytes(AT_ONCE + 1)))
    asyncio.get_running_loop().call_soon(other_answered.set)
    assert await parsing


async def test_a_small_document_is_not_handed_to_a_thread(threads):
    assert await parsed(threads, lambda body: threading.get_ident(), bytes(AT_ONCE)) == threading.get_ident()


async def test_a_large_document_is_refused_as_a_small_one_is(threads):
    for size in (AT_ONCE // 2, AT_ONCE + 1):
        with pytest.raises(S3Error) as refused:
            await parsed(threads, parse_delete, b"<Delete>" + b" " * size)
        assert refused.value.code is Code.MalformedXML
