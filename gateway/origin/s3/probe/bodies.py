"""Steps of a probe: how a body is taken, checked and given back, and what is kept beside it."""

from base64 import b64encode
from collections.abc import AsyncIterator
from hashlib import md5, sha256

from gateway.origin.s3.probe.outcomes import Outcome
from gateway.origin.s3.probe.reach import DATA
from gateway.origin.s3.probe.scratch import Scratch
from gateway.sigv4.payload import UNSIGNED_PAYLOAD
from gateway.sigv4.presign import Signer

OTHER = b"something else"
KEPT_HEADERS = {
    "cache-control": "max-age=60",
    "content-disposition": 'attachment; filename="a.txt"',
    "content-encoding": "gzip",
    "content-language": "fa",
    "expires": "Thu, 01 Jan 2037 00:00:00 GMT",
}
_META = "x-amz-meta-"
_WORD = "=?UTF-8?B?2LnZhtio2LE=?="
_FILL = "fill"


async def unsigned(scratch: Scratch) -> AsyncIterator[Outcome]:
    answer = await scratch.put("unsigned", DATA, payload=UNSIGNED_PAYLOAD)
    yield Outcome("unsigned_payload", answer.fine, answer.told)


async def etag(scratch: Scratch) -> AsyncIterator[Outcome]:
    found = (await scratch.ask("HEAD", "plain")).etag
    yield Outcome("md5_etags", found == f'"{_md5(DATA).hex()}"', f"ETag {found[:80]}")


async def wrong_digests(scratch: Scratch) -> AsyncIterator[Outcome]:
    """A body that is not what its head says must not be stored."""
    answer = await scratch.put("wrong-md5", DATA, {"content-md5": b64encode(_md5(OTHER)).decode("ascii")})
    yield Outcome("md5_checked", answer.status == 400, answer.told)
    answer = await scratch.put("wrong-sha256", DATA, payload=sha256(OTHER).hexdigest())
    yield Outcome("sha256_checked", 400 <= answer.status < 500, answer.told)


async def conditional_reads(scratch: Scratch) -> AsyncIterator[Outcome]:
    found = (await scratch.ask("HEAD", "plain")).etag
    right = await scratch.ask("GET", "plain", headers={"if-match": found})
    wrong = await scratch.ask("GET", "plain", headers={"if-match": f'"{"0" * 32}"'})
    kept = right.fine and right.body == DATA and wrong.status == 412
    yield Outcome("if_match", kept, f"right: {right.told}, wrong: {wrong.told}")


async def ranges(scratch: Scratch) -> AsyncIterator[Outcome]:
    answer = await scratch.ask("GET", "plain", headers={"range": "bytes=6-9"})
    told = answer.headers.get("content-range", "no Content-Range")
    kept = answer.status == 206 and answer.body == DATA[6:10] and told == f"bytes 6-9/{len(DATA)}"
    yield Outcome("range", kept, f"{answer.told}, {told}")


async def metadata(scratch: Scratch) -> AsyncIterator[Outcome]:
    """Metadata as the data path writes it: ASCII, encoded words, and names in lower case."""
    sent = {f"{_META}plain": "a b, c", f"{_META}word": _WORD}
    answer = await scratch.put("metadata", DATA, sent)
    kept = (await scratch.ask("HEAD", "metadata")).headers if answer.fine else {}
    plain, word = (kept.get(name, "nothing") for name in sent)
    yield Outcome("metadata", plain == sent[f"{_META}plain"], answer.told)
    yield Outcome("metadata_words", word == _WORD, answer.told + ("" if word == _WORD else f", gave {word[:60]!a}"))
    yield await _upper_case(scratch)


async def _upper_case(scratch: Scratch) -> Outcome:
    """A name that is not in lower case, which only a head of our own can have."""
    headers = {**await scratch.token_headers(), f"{_META}upper": "yes"}

    def render(signer: Signer) -> tuple[bytes, bytes]:
        target, now_s = scratch.target("upper"), int(scratch.clock.now())
        signed = signer.sign_headers("PUT", target, "", headers, payload_hash=sha256(DATA).hexdigest(), now_s=now_s)
        head = render_head(target, {**headers, **signed, "content-length": str(len(DATA))})
        return head.replace(f"{_META}upper:".encode(), f"{_META}UPPER:".encode()), DATA

    answer = await scratch.raw("upper", render)
    kept = (await scratch.ask("HEAD", "upper")).headers if answer.fine else {}
    return Outcome("metadata_upper", kept.get(f"{_META}upper") == "yes", answer.told)


async def metadata_size(scratch: Scratch) -> AsyncIterator[Outcome]:
    """The most of 2 KiB and 8 KiB, of names and values together, that is taken and given back."""
    most, told = 0, ""
    for size in (2048, 8192):
        names = [f"{_FILL}{number}" for number in range(size // 2048)]
        headers = {f"{_META}{name}": "x" * (2048 - len(name)) for name in names}
        answer = await scratch.put("much-metadata", DATA, headers)
        told = f"{size} bytes: {answer.told}"
        if not answer.fine:
            break
        kept = (await scratch.ask("HEAD", "much-metadata")).headers
        if any(kept.get(name) != value for name, value in headers.items()):
            told += ", and not kept"
            break
        most = size
    yield Outcome("metadata_bytes", most, told)


async def standard_headers(scratch: Scratch) -> AsyncIterator[Outcome]:
    answer = await scratch.put("headers", DATA, KEPT_HEADERS)
    kept = (await scratch.ask("HEAD", "headers")).headers if answer.fine else {}
    lost = [name for name, value in KEPT_HEADERS.items() if kept.get(name) != value]
    told = f", changed or lost: {', '.join(lost)}" if answer.fine and lost else ""
    yield Outcome("headers_kept", answer.fine and not lost, answer.told + told)


async def conditional_writes(scratch: Scratch) -> AsyncIterator[Outcome]:
    """`If-None-Match: *` lets a new key through, and keeps what is there: the answer alone is no proof.

    A key is new also where others go on from it: SeaweedFS takes the folder `a/` of `a/b` for an object `a`.
    """
    once = {"if-none-match": "*"}
    first = await scratch.put("once", DATA, once)
    second = await scratch.put("once", OTHER, once)
    kept = (await scratch.ask("GET", "once")).body == DATA
    works = first.fine and second.status == 412 and kept
    told = f"new: {first.told}, existing: {second.told}"
    if first.fine and not kept:
        told += ", and it was replaced"
    if works and (await scratch.put("folder/below", DATA)).fine:
        beside = await scratch.put("folder", DATA, once)
        works = beside.fine
        told += f", new where a folder is: {beside.told}"
    yield Outcome("conditional_writes", works, told)


def render_head(target: str, headers: dict[str, str]) -> bytes:
    """A PUT's head of our own making."""
    lines = [f"PUT {target} HTTP/1.1\r\n", *(f"{name}: {value}\r\n" for name, value in headers.items()), "\r\n"]
    return "".join(lines).encode("ascii")


def _md5(data: bytes) -> bytes:
    return md5(data, usedforsecurity=False).digest()
