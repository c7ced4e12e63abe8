"""Steps of a probe: tags, deletions by the dozen, listings, and keys that are hard to write down."""

from base64 import b64encode
from collections.abc import AsyncIterator
from hashlib import md5

from gateway.origin.s3.documents import parse_page, parse_tags, render_delete, render_tagging
from gateway.origin.s3.probe.outcomes import Outcome
from gateway.origin.s3.probe.reach import DATA
from gateway.origin.s3.probe.scratch import Scratch

ODD_KEYS = ("odd/a b", "odd/a+b", "odd/a%2Bb", "odd/عنبر", "odd/a&b=c?d#e", "odd/'(a)*!~;:@,$", 'odd/é\u0301<">')
UNWRITABLE = "odd-xml/a\x01b"
"""A key that XML cannot hold."""

_XML = "application/xml"


async def tagging(scratch: Scratch) -> AsyncIterator[Outcome]:
    """Tags that come with an object, and others that take their place."""
    put = await scratch.put("tags", DATA, {"x-amz-tagging": "first=a%20b"})
    if not put.fine:
        yield Outcome("tagging", False, put.told)
        return
    first = await scratch.ask("GET", "tags", "tagging=")
    body = render_tagging({"second": "c d"})
    headers = {"content-type": _XML, "content-md5": _content_md5(body)}
    replaced = await scratch.put("tags", body, headers, "tagging=")
    second = await scratch.ask("GET", "tags", "tagging=")
    faults = []
    if not first.fine or parse_tags(first.body) != {"first": "a b"}:
        faults.append(f"tags of a PUT are not there: {first.told}")
    if not second.fine or parse_tags(second.body) != {"second": "c d"}:
        faults.append(f"tags are not replaced: {replaced.told}")
    yield Outcome("tagging", not faults, ", ".join(faults) or replaced.told)


async def batch_delete(scratch: Scratch) -> AsyncIterator[Outcome]:
    keys = ("batch/1", "batch/2 +")
    for key in keys:
        await scratch.put(key, DATA)
    body = render_delete([scratch.prefix + key for key in keys])
    headers = {"content-type": _XML, "content-md5": _content_md5(body)}
    answer = await scratch.ask("POST", query="delete=", headers=headers, body=body)
    gone = answer.fine and all([(await scratch.ask("HEAD", key)).status == 404 for key in keys])
    yield Outcome(
        "batch_delete", gone, answer.told if gone or not answer.fine else f"{answer.told}, and they are there"
    )


async def special_keys(scratch: Scratch) -> AsyncIterator[Outcome]:
    """Every key is its own object: what one write takes for another's key replaces it."""
    for number, key in enumerate(ODD_KEYS):
        await scratch.put(key, DATA + bytes([number]))
    answers = {key: await scratch.ask("GET", key) for key in ODD_KEYS}
    lost = [key for number, key in enumerate(ODD_KEYS) if answers[key].body != DATA + bytes([number])]
    told = ", ".join(f"{key.removeprefix('odd/')} {answers[key].told}" for key in lost)
    yield Outcome("special_keys", not lost, told or f"{len(ODD_KEYS)} keys with spaces, +, %, quotes, Unicode")


async def prefixes(scratch: Scratch) -> AsyncIterator[Outcome]:
    """A listing has what begins with its prefix, and nothing else."""
    for key in ("in/1", "in/2", "in-beside", "side"):
        await scratch.put(key, DATA)
    answer = await scratch.list("in/")
    found = [each.key.removeprefix(scratch.prefix) for each in parse_page(answer.body).keys] if answer.fine else []
    kept = found == ["in/1", "in/2"]
    yield Outcome("prefixes", kept, answer.told if kept or not answer.fine else f"{answer.told}, it lists {found}")


async def pages(scratch: Scratch) -> AsyncIterator[Outcome]:
    first = await scratch.list("in/", **{"max-keys": "1"})
    page = parse_page(first.body) if first.fine else None
    if page is None or page.next is None:
        yield Outcome("pages", False, f"{first.told}, without a continuation token")
        return
    second = await scratch.list("in/", **{"max-keys": "1", "continuation-token": page.next})
    keys = [each.key for each in (*page.keys, *(parse_page(second.body).keys if second.fine else ()))]
    yield Outcome("pages", keys == [f"{scratch.prefix}in/{number}" for number in (1, 2)], second.told)


async def url_encoding(scratch: Scratch) -> AsyncIterator[Outcome]:
    """`encoding-type=url` gives odd keys back, also one that XML cannot hold, where the origin takes such."""
    taken = (await scratch.put(UNWRITABLE, DATA)).fine
    expected = {scratch.prefix + key for key in (*ODD_KEYS, *([UNWRITABLE] if taken else []))}
    answer = await scratch.list("odd", **{"encoding-type": "url"})
    found = {each.key for each in parse_page(answer.body).keys} if answer.fine else set()
    told = answer.told
    if answer.fine and b"<EncodingType>url</EncodingType>" not in answer.body:
        told += ", it does not say that keys are encoded"
    elif answer.fine and found != expected:
        told += f", {len(expected - found)} of {len(expected)} keys are not in it"
    yield Outcome("list_url_encoding", told == answer.told and answer.fine, told)
    await scratch.ask("DELETE", UNWRITABLE)  # a plain listing could not name it


async def versioning(scratch: Scratch) -> AsyncIterator[Outcome]:
    """Where versions are kept, what is deleted stays."""
    answer = await scratch.ask("GET", query="versioning=")
    if not answer.fine:
        yield Outcome("versioning", True if scratch.versioned else None, answer.told)
        return
    on = b"<Status>Enabled</Status>" in answer.body or scratch.versioned
    yield Outcome("versioning", on, f"{answer.told}, {'kept' if on else 'not kept'}")


def _content_md5(body: bytes) -> str:
    return b64encode(md5(body, usedforsecurity=False).digest()).decode("ascii")
