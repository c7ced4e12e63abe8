"""Steps of a probe: copies, and objects that are made of parts."""

from collections.abc import AsyncIterator
from hashlib import md5

from gateway.origin.s3.documents import parse_etag, parse_upload_id, parse_uploads, render_complete
from gateway.origin.s3.probe.bodies import OTHER
from gateway.origin.s3.probe.outcomes import Answer, Outcome
from gateway.origin.s3.probe.reach import DATA
from gateway.origin.s3.probe.scratch import Scratch, quoted
from gateway.toml_fields import MIB

PART = bytes(5 * MIB)
"""As small as a part that is not the last may be."""

LAST = b"!"
_NOTHING = f'"{"0" * 32}"'
_XML = {"content-type": "application/xml"}


async def copies(scratch: Scratch) -> AsyncIterator[Outcome]:
    """A copy with other metadata, and one whose source must not have changed: the data path needs both."""
    await scratch.put("source", DATA, {"x-amz-meta-before": "yes"})
    etag = (await scratch.ask("HEAD", "source")).etag
    replace = {"x-amz-metadata-directive": "REPLACE", "x-amz-meta-after": "yes"}
    copied = await scratch.put("copy", b"", {**_source(scratch), **replace, "x-amz-copy-source-if-match": etag})
    found = await scratch.ask("GET", "copy") if copied.fine else Answer(0)
    replaced = found.headers.get("x-amz-meta-after") == "yes" and "x-amz-meta-before" not in found.headers
    changed = {**_source(scratch), **replace, "x-amz-copy-source-if-match": _NOTHING}
    refused = await scratch.put("wrong-copy", b"", changed)
    told = [copied.told]
    if copied.fine and found.body != DATA:
        told.append("another body came of it")
    if copied.fine and not replaced:
        told.append("it kept the old metadata")
    if refused.status != 412:
        told.append(f"x-amz-copy-source-if-match was not heeded: {refused.told}")
    yield Outcome("copy_object", copied.fine and len(told) == 1, ", ".join(told))


async def multipart(scratch: Scratch) -> AsyncIterator[Outcome]:
    """Two parts, the first as small as S3 lets it be."""
    begun = await scratch.ask("POST", "parts", "uploads=", {"x-amz-meta-upload": "yes"})
    if not begun.fine:
        yield Outcome("multipart", False, begun.told)
        return
    upload_id = parse_upload_id(begun.body)
    listed = await scratch.list_uploads()
    ours = listed.fine and any(
        each.upload_id == upload_id for each in parse_uploads(listed.body) if each.key == scratch.prefix + "parts"
    )
    yield Outcome("list_uploads", ours, listed.told if ours or not listed.fine else f"{listed.told}, it is not there")
    sent = [await _part(scratch, "parts", upload_id, number, body) for number, body in ((1, PART), (2, LAST))]
    refused = next((each for each in sent if not each.fine), None)
    if refused is not None:
        yield Outcome("multipart", False, f"a part: {refused.told}")
        return
    done = await _complete(scratch, "parts", upload_id, sent)
    found = await scratch.ask("HEAD", "parts")
    whole = found.headers.get("content-length") == str(len(PART) + len(LAST))
    kept = found.headers.get("x-amz-meta-upload") == "yes"
    faults = [] if whole else [f"then HEAD: {found.told}, {found.headers.get('content-length')} bytes"]
    faults += [] if kept else ["its metadata was lost"]
    yield Outcome("multipart", done.fine and not faults, ", ".join([done.told, *(faults if done.fine else [])]))
    if done.fine:
        etag = parse_etag(done.body)
        yield Outcome("multipart_etags", etag == _formula(PART, LAST), f"ETag {etag[:80]}")


async def part_copies(scratch: Scratch) -> AsyncIterator[Outcome]:
    """A part that is a range of another object."""
    begun = await scratch.ask("POST", "part-copy", "uploads=")
    if not begun.fine:
        yield Outcome("upload_part_copy", False, begun.told)
        return
    upload_id = parse_upload_id(begun.body)
    headers = {**_source(scratch, "plain"), "x-amz-copy-source-range": "bytes=0-9"}
    copied = await scratch.put("part-copy", b"", headers, f"partNumber=1&uploadId={quoted(upload_id)}")
    if not copied.fine:
        yield Outcome("upload_part_copy", False, copied.told)
        return
    listed = Answer(200, headers={"etag": parse_etag(copied.body)})
    done = await _complete(scratch, "part-copy", upload_id, [listed])
    same = done.fine and (await scratch.ask("GET", "part-copy")).body == DATA[:10]
    yield Outcome("upload_part_copy", same, copied.told if same else f"{copied.told}, completed: {done.told}")


async def aborts(scratch: Scratch) -> AsyncIterator[Outcome]:
    """An upload that is aborted takes no more parts."""
    begun = await scratch.ask("POST", "aborted", "uploads=")
    upload_id = parse_upload_id(begun.body)
    ended = await scratch.abort("aborted", upload_id)
    after = await _part(scratch, "aborted", upload_id, 1, OTHER)
    works = ended.fine and not after.fine
    yield Outcome("abort", works, ended.told if works or not ended.fine else f"{ended.told}, then a part: {after.told}")


async def _part(scratch: Scratch, key: str, upload_id: str, number: int, body: bytes) -> Answer:
    return await scratch.put(key, body, query=f"partNumber={number}&uploadId={quoted(upload_id)}")


async def _complete(scratch: Scratch, key: str, upload_id: str, parts: list[Answer]) -> Answer:
    body = render_complete([(number, part.etag) for number, part in enumerate(parts, 1)])
    return await scratch.complete(key, upload_id, _XML, body)


def _source(scratch: Scratch, key: str = "source") -> dict[str, str]:
    place = scratch.place(key)
    return {"x-amz-copy-source": f"/{place.bucket}/{place.path}"}


def _formula(*parts: bytes) -> str:
    """The ETag that AWS gives: the MD5 of the parts' MD5s, and how many they are."""
    digests = b"".join(md5(part, usedforsecurity=False).digest() for part in parts)
    return f'"{md5(digests, usedforsecurity=False).hexdigest()}-{len(parts)}"'
