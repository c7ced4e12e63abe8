"""Steps of a probe: is anybody there, is its clock ours, are we let in, and what may we do?"""

import asyncio
import ssl
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import NamedTuple

from gateway.origin.credentials import CredentialsError
from gateway.origin.errors import not_reached
from gateway.origin.s3.documents import parse_page
from gateway.origin.s3.probe.outcomes import BAD_CREDENTIALS, Answer, Outcome, elsewhere
from gateway.origin.s3.probe.scratch import FOLDER, Scratch

DATA = b"Anbar asks whether this comes back as it is.\n"
_SKEWED = "RequestTimeTooSkewed"


class Connected(NamedTuple):
    """A connection that could be made: how long that took, and what its TLS is, "" for none."""

    milliseconds: int
    tls: str
    days_left: int | None


async def connect(host: str, port: int, tls: ssl.SSLContext | None, most_s: float) -> Connected:
    """Make a connection and close it; raises NotReached."""
    began = time.monotonic()
    with not_reached(f"{host}:{port}"):
        async with asyncio.timeout(most_s):
            _, writer = await asyncio.open_connection(
                host, port, ssl=tls, server_hostname=host if tls is not None else None
            )
    took = int((time.monotonic() - began) * 1000)
    channel, certificate = writer.get_extra_info("ssl_object"), writer.get_extra_info("peercert")
    writer.transport.abort()
    if channel is None:
        return Connected(took, "", None)
    end = datetime.fromtimestamp(ssl.cert_time_to_seconds(certificate["notAfter"]), UTC) if certificate else None
    told = f"{channel.version()}" + (f", certificate until {end:%Y-%m-%d}" if end else "")
    return Connected(took, told, (end - datetime.now(UTC)).days if end else None)


async def reach(scratch: Scratch, tls: ssl.SSLContext | None, most_s: float) -> AsyncIterator[Outcome]:
    """A connection, an answer to nobody in particular, and the time that it tells."""
    found = await connect(scratch.host, scratch.upstream.endpoint.port, tls, most_s)
    if found.days_left is not None:
        yield Outcome("certificate_days", found.days_left, found.tls)
    asked = scratch.clock.ours()
    head = f"GET / HTTP/1.1\r\nhost: {scratch.upstream.endpoint.authority}\r\n\r\n"
    async with scratch.client() as client:
        response = await client.ask(head.encode("ascii"))
        response.close()
    answered = scratch.clock.ours()
    parts = (f"connected in {found.milliseconds} ms", found.tls, f"answers in {(answered - asked) * 1000:.0f} ms")
    yield Outcome("reachable", True, ", ".join(filter(None, parts)))
    yield _clock(response.headers.get("date", ""), (asked + answered) / 2)


def _clock(date: str, ours: float) -> Outcome:
    try:
        skew = parsedate_to_datetime(date).timestamp() - ours
    except (ValueError, TypeError):
        return Outcome("clock_skew_s", None, "no Date header")
    return Outcome("clock_skew_s", round(skew) if abs(skew) >= 1 else 0, date)  # a Date has whole seconds


async def enter(scratch: Scratch) -> AsyncIterator[Outcome]:
    """A listing of the folder of all probes: it says whether key, region and bucket are right, and what was left."""
    try:
        await scratch.check_credentials()
    except CredentialsError as error:
        yield Outcome("credentials", False, str(error))
        return
    answer = await _list_folder(scratch)
    if answer.code == _SKEWED:
        _follow_clock(scratch, answer)
        answer = await _list_folder(scratch)
    told, sent_on = answer.told, elsewhere(answer)
    yield Outcome("region", sent_on is None, sent_on or told)
    if sent_on:
        return
    bad_key = answer.code in BAD_CREDENTIALS or answer.code == _SKEWED or answer.status == 401
    yield Outcome("credentials", not bad_key, told)
    if bad_key:
        return
    yield Outcome("bucket", answer.status != 404, told)
    if answer.status == 404:
        return
    yield Outcome("list", answer.fine, told)
    if answer.fine:
        keys = len(parse_page(answer.body).keys)
        yield Outcome("left_before", keys, f"{told}, {keys} keys below {_folder(scratch)}")


async def _list_folder(scratch: Scratch) -> Answer:
    return await scratch.list_under(_folder(scratch))


def _folder(scratch: Scratch) -> str:
    return scratch.prefix[: scratch.prefix.index(FOLDER) + len(FOLDER)]


def _follow_clock(scratch: Scratch, answer: Answer) -> None:
    told = _clock(answer.headers.get("date", ""), scratch.clock.ours()).value
    if told is not None:
        scratch.clock.skew_s = float(told)


async def write(scratch: Scratch) -> AsyncIterator[Outcome]:
    answer = await scratch.put("plain", DATA, {"content-type": "text/plain"})
    yield Outcome("put", answer.fine, answer.told)


async def read(scratch: Scratch) -> AsyncIterator[Outcome]:
    answer = await scratch.ask("GET", "plain")
    same = answer.fine and answer.body == DATA
    yield Outcome("get", same, answer.told if same or not answer.fine else f"{answer.told}, another body")


async def head(scratch: Scratch) -> AsyncIterator[Outcome]:
    answer = await scratch.ask("HEAD", "plain")
    same = answer.fine and answer.headers.get("content-length") == str(len(DATA))
    yield Outcome("head", same, answer.told if same or not answer.fine else f"{answer.told}, another length")


async def missing(scratch: Scratch) -> AsyncIterator[Outcome]:
    """Without the right to list, S3 says 403 of what is not there, and nobody can tell it from what is forbidden."""
    found = [await scratch.ask(method, "never-there") for method in ("HEAD", "GET")]
    yield Outcome("missing", all(each.status == 404 for each in found), found[-1].told)


async def remove(scratch: Scratch) -> AsyncIterator[Outcome]:
    await scratch.put("to-be-deleted", DATA)
    answer = await scratch.ask("DELETE", "to-be-deleted")
    after = await scratch.ask("HEAD", "to-be-deleted")
    gone = answer.fine and after.status == 404
    yield Outcome("delete", gone, answer.told if gone or not answer.fine else f"{answer.told}, HEAD: {after.told}")
