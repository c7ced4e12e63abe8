"""Clients who do everything again and again with the same few keys, so that whatever grows meanwhile is a leak.

Beside what a `Client` does: presigned and forged requests, keep-alive, signed chunks, forms, batches, writes over a quota,
and leaving in the middle of a body. After each round there are as many objects as before, give or take what one
client's keys hold.
"""

import asyncio
import time
from base64 import b64encode
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from hashlib import md5
from pathlib import Path

from tests.support.caller import Caller, delete_document, parse_xml, text
from tests.support.gateway import Gateway
from tests.support.many_clients import KEYS, Client, ask, converse
from tests.support.raw_http import Answer, Request
from tests.support.s3_gateway import s3_gateway
from tests.support.scripted_origin import ScriptedOrigin
from tests.support.signer import BOUNDARY, UNSIGNED, form_body, post_policy

FULL = "demo-full"
ROOM = 64 * 1024
BUCKETS = ("demo-media", "demo-voice")
"""One at the endpoint and kept in the cache, the other in a directory."""

_POLICY = f"""\
project = "demo"
origin = "disk"
[categories.media]
origin = "local"
cache = true
quota = {{ bytes = "1GiB", objects = 100_000 }}
[categories.voice]
quota = {{ bytes = "1GiB" }}
[categories.full]
quota = {{ bytes = {ROOM} }}
[principals.ops]
role = "admin"
"""
_OTHER = 'project = "other"\norigin = "disk"\n[principals.ops]\nrole = "admin"\n'


def gateway_of_regulars(directory: Path, origin: ScriptedOrigin, *, workers: int) -> Gateway:
    """Not started yet: an endpoint over TLS behind a cache that is smaller than what is read, and a directory."""
    directory.mkdir()
    authority = origin.write_ca(directory / "origin-ca.pem")
    return s3_gateway(
        directory / "gateway",
        origin,
        retries=2,
        ca_file=str(authority),
        policies={"demo": _POLICY, "other": _OTHER},
        settings={
            "server": {"workers": workers},
            "cache": {"path": "var/cache", "max_bytes": "16MiB", "memory_bytes": "4MiB"},
            "origins.disk": {"kind": "directory", "path": "var/disk"},
        },
    )


@dataclass(slots=True)
class Regular(Client):
    """One who does everything once in a round, in any order.

    Its presigned URLs are always the same ones, as those that were seen lately are remembered.
    """

    signed_s: float = field(default_factory=time.time)

    async def round(self) -> None:
        steps: list[Callable[[str], Awaitable[None]]] = [
            *[self.put] * 3,
            *[self.get] * 6,
            *[self.head, self.delete, self.copy, self.upload, self.listed, self.converse, self.send_form],
            *[self.get_presigned, self.put_presigned, self.put_in_chunks, self.delete_both, self.forge],
            *[self.leave_an_upload, self.leave_a_part, self.leave_a_download, self.ask_too_much],
        ]
        self.chance.shuffle(steps)
        for step in steps:
            await step(f"{self.name}-{self.chance.randrange(KEYS)}")

    async def send_as_it_is(self, request: Request) -> Answer | None:
        answer = await ask(self.caller, request)
        self.heard["broken" if answer is None else str(answer.status)] += 1
        return answer

    async def get_presigned(self, key: str) -> None:
        self.look(key, await self.send_as_it_is(self.presigned("GET", key)))

    async def put_presigned(self, key: str) -> None:
        body = self.body()
        self.wrote(key, body, await self.send_as_it_is(self.presigned("PUT", key, body)))

    def presigned(self, method: str, key: str, body: bytes = b"") -> Request:
        return self.caller.presigned(method, self.path(key), body, expires="604800", now_s=self.signed_s)

    async def put_in_chunks(self, key: str) -> None:
        body = self.body()
        pieces = [body[start : start + 65536] for start in range(0, len(body), 65536)]
        head, chunks = self.caller.streamed(self.path(key), pieces)
        framed = chunks.body(pieces)
        request = head.with_header("Content-Length", str(len(framed))).with_body(framed)
        self.wrote(key, body, await self.send_as_it_is(request))

    async def send_form(self, key: str) -> None:
        signed = [["starts-with", f"$x-amz-{name}", ""] for name in ("credential", "algorithm", "date")]
        policy = post_policy([{"bucket": self.bucket}, {"key": key}, *signed])
        fields = {"key": key, **self.caller.signer.post_fields(policy)}
        headers = [("Content-Type", f"multipart/form-data; boundary={BOUNDARY}")]
        body = self.body()
        form = form_body(fields.items(), body)
        self.wrote(key, body, await self.send_as_it_is(self.caller.request("POST", f"/{self.bucket}", form, headers)))

    async def converse(self, key: str) -> None:
        """Several requests on one connection."""
        body = self.body()
        asked = [("GET", b""), ("PUT", body), ("HEAD", b""), ("GET", b"")]
        requests = [self.caller.signed(method, self.path(key), sent) for method, sent in asked]
        answers: list[Answer | None] = [*await converse(self.caller, requests)]
        found, stored, _, read = [*answers, *[None] * 4][:4]
        self.look(key, found)
        if len(answers) >= 1:
            self.wrote(key, body, stored)
        self.look(key, read)

    async def delete_both(self, key: str) -> None:
        keys = [key, f"{self.name}-{self.chance.randrange(KEYS)}"]
        document = delete_document(keys)
        digest = b64encode(md5(document).digest()).decode()
        answer = await self.send("POST", f"/{self.bucket}?delete=", document, [("Content-MD5", digest)])
        if answer is None or answer.status >= 300:
            deleted: set[str] = set()
        else:
            deleted = {text(each, "Key") for each in parse_xml(answer.body).findall("Deleted")}
        for each in set(keys):
            self.possible[each] = {None} if each in deleted else self.now(each) | {None}

    async def forge(self, key: str) -> None:
        """A secret that is guessed, and a URL that was good once."""
        guessed = replace(self.caller, signer=replace(self.caller.signer, secret_access_key="guessed"))
        await self.is_refused(403, guessed.signed("PUT", self.path(key), b"forged"))
        await self.is_refused(403, guessed.presigned("GET", self.path(key)))
        await self.is_refused(403, self.caller.presigned("GET", self.path(key), now_s=time.time() - 3600))

    async def ask_too_much(self, key: str) -> None:
        """More than the quota: declared, and in parts."""
        target = f"/{FULL}/{key}"
        await self.is_refused(403, self.caller.signed("PUT", target, bytes(ROOM + 1)))
        begun = await self.send("POST", f"{target}?uploads=")
        if begun is None or begun.status != 200:
            return
        upload = f"{target}?uploadId={text(parse_xml(begun.body), 'UploadId')}"
        await self.is_refused(403, self.caller.signed("PUT", f"{upload}&partNumber=1", bytes(ROOM + 1)))
        await self.send("DELETE", upload)

    async def is_refused(self, status: int, request: Request) -> None:
        answer = await self.send_as_it_is(request)
        if answer is not None and answer.status not in (status, 503):
            self.mistakes.append(f"{request.method} {request.target}: {answer.status}, not {status}")

    async def leave_an_upload(self, key: str) -> None:
        """Half a body, and gone: what was there stays."""
        body = self.chance.randbytes(200_000)
        request = self.caller.signer.sign(self.caller.request("PUT", self.path(key), body), payload=UNSIGNED)
        await leave(self.caller, request.encode()[:-100_000])

    async def leave_a_part(self, key: str) -> None:
        begun = await self.send("POST", f"{self.path(key)}?uploads=")
        if begun is None or begun.status != 200:
            return
        upload = f"{self.path(key)}?uploadId={text(parse_xml(begun.body), 'UploadId')}"
        part = self.caller.request("PUT", f"{upload}&partNumber=1", self.chance.randbytes(200_000))
        await leave(self.caller, self.caller.signer.sign(part, payload=UNSIGNED).encode()[:-100_000])
        await self.send("DELETE", upload)

    async def leave_a_download(self, key: str) -> None:
        await leave(self.caller, self.caller.signed("GET", self.path(key)).encode(), read=1000)

    def look(self, key: str, answer: Answer | None) -> None:
        """Whether a GET of all of it has found what it may."""
        if answer is None or answer.status >= 500:
            return
        found = None if answer.status == 404 else answer.body
        if found not in self.now(key):
            self.mistakes.append(f"GET {key}: {answer.status}, {len(answer.body)} bytes that nobody stored")

    async def tidy(self) -> None:
        """Abort the uploads whose end was not heard."""
        answer = await self.send("GET", f"/{self.bucket}?uploads=&prefix={self.name}-")
        if answer is not None and answer.status == 200:
            for each in parse_xml(answer.body).findall("Upload"):
                await self.send("DELETE", f"{self.path(text(each, 'Key'))}?uploadId={text(each, 'UploadId')}")


async def leave(caller: Caller, data: bytes, *, read: int = 0) -> None:
    """Send this, read so much of what comes, and be gone."""
    async with asyncio.timeout(60):
        reader, writer = await asyncio.open_connection(caller.host, caller.port)
        try:
            writer.write(data)
            await writer.drain()
            if read:
                await reader.read(read)
        except ConnectionError:
            pass
        finally:
            writer.transport.abort()
