"""The place where a probe works: keys below one scratch prefix, and the memory of all that must go again.

Whatever is about to be made is noted first. What a definite refusal says was not made is crossed out; the rest is
removed at the end, and what the origin lists below the prefix besides. No key outside the prefix is ever named.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from hashlib import sha256
from urllib.parse import quote

from gateway.origin.credentials import CredentialsSource
from gateway.origin.errors import ConnectionBroken, OriginError
from gateway.origin.http_client import HttpClient, Response
from gateway.origin.providers import Upstream
from gateway.origin.s3.documents import parse_error, parse_page, parse_upload_id, parse_uploads, parse_versions
from gateway.origin.s3.places import Place
from gateway.origin.s3.probe.outcomes import Answer
from gateway.origin.s3.requests import Request
from gateway.origin.s3.session import Session
from gateway.sigv4.canonical import uri_encode
from gateway.sigv4.presign import Signer

FOLDER = ".anbar-doctor/"
"""Below a category's prefix; each probe has a folder of its own in it."""

MOST_BYTES = 8 << 20
_ANY_STATUS = frozenset(range(200, 600))
_VERSION = "x-amz-version-id"
_NO_VERSION = ("", "null")


class Clock:
    """Our clock, or the origin's where that does not take ours: requests are signed with it."""

    def __init__(self, ours: Callable[[], float] = time.time) -> None:
        self.ours = ours
        self.skew_s = 0.0

    def now(self) -> float:
        return self.ours() + self.skew_s


class Scratch:
    """Requests about scratch keys of one bucket, and what they have made there."""

    def __init__(
        self,
        session: Session,
        upstream: Upstream,
        credentials: CredentialsSource,
        connect: Callable[[str], HttpClient],
        bucket: str,
        prefix: str,
        *,
        clock: Clock,
    ) -> None:
        """`prefix` ends in "/"; keys of requests begin behind it. `connect` makes a client of a host, for raw heads.

        `clock` is the session's, too.
        """
        self.upstream = upstream
        self.bucket = bucket
        self.prefix = prefix
        self.clock = clock
        self.versioned = False  # until an answer names a version
        self._session = session
        self._credentials = credentials
        self._connect = connect
        self._made: set[str] = set()
        self._uploads: set[tuple[str, str]] = set()
        self._versions: set[tuple[str, str]] = set()
        self._versions_listed = False

    @property
    def left(self) -> list[str]:
        """What was made, and not removed yet."""
        below = f"s3://{self.bucket}/{self.prefix}"
        return [
            *(f"{below}{key}" for key in sorted(self._made)),
            *(f"{below}{key} (multipart upload {upload_id})" for key, upload_id in sorted(self._uploads)),
            *(f"{below}{key} (version {version_id})" for key, version_id in sorted(self._versions)),
            *([f"{below} (old versions, which could not be listed)"] if self._may_have_versions else []),
        ]

    @property
    def _may_have_versions(self) -> bool:
        return self.versioned and not self._versions_listed

    @property
    def host(self) -> str:
        """The name that is connected to, without a port."""
        host = self.upstream.endpoint.host
        return f"{self.bucket}.{host}" if self.upstream.addressing == "virtual" else host

    async def check_credentials(self) -> None:
        """Raises CredentialsError: there is nothing to sign with."""
        await self._credentials.current()

    def place(self, key: str | None) -> Place:
        return Place(self.bucket, "" if key is None else uri_encode(self.prefix + key, keep_slash=True))

    async def ask(
        self,
        method: str,
        key: str | None = None,
        query: str = "",
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        *,
        payload: str | None = None,
    ) -> Answer:
        """One request, sent once; without a key it is about the bucket. `payload` is x-amz-content-sha256.

        Raises OriginError: there was no answer.
        """
        payload = sha256(body).hexdigest() if payload is None else payload
        request = Request(method, self.place(key), query, headers or {}, payload, len(body))
        makes = (method == "PUT" and not query) or (method == "POST" and query.startswith("uploadId="))
        is_new = key not in self._made
        if key is not None and makes:
            self._made.add(key)
        answer = await self._answer(request, body)
        if key is not None and method not in ("GET", "HEAD") and not query.startswith("versionId="):
            self._note_version(key, answer)
        if key is not None and makes and is_new and _was_refused(answer):
            self._made.discard(key)
        if method == "POST" and query == "uploads=" and key is not None and answer.fine:
            self._uploads.add((key, parse_upload_id(answer.body)))
        return answer

    async def put(
        self,
        key: str,
        body: bytes,
        headers: Mapping[str, str] | None = None,
        query: str = "",
        *,
        payload: str | None = None,
    ) -> Answer:
        return await self.ask("PUT", key, query, headers, body, payload=payload)

    async def list(self, prefix: str = "", **parameters: str) -> Answer:
        """A page of the keys below the scratch prefix and `prefix`."""
        return await self.list_under(self.prefix + prefix, **parameters)

    async def list_under(self, prefix: str, **parameters: str) -> Answer:
        return await self.ask("GET", query=_query({"list-type": "2", "prefix": prefix, **parameters}))

    async def list_uploads(self) -> Answer:
        return await self.ask("GET", query=f"max-uploads=1000&prefix={quoted(self.prefix)}&uploads=")

    async def complete(self, key: str, upload_id: str, headers: Mapping[str, str], body: bytes) -> Answer:
        answer = await self.ask("POST", key, f"uploadId={quoted(upload_id)}", headers, body)
        if answer.fine:
            self._uploads.discard((key, upload_id))
        return answer

    async def abort(self, key: str, upload_id: str) -> Answer:
        answer = await self.ask("DELETE", key, f"uploadId={quoted(upload_id)}")
        if answer.fine or answer.status == 404:
            self._uploads.discard((key, upload_id))
        return answer

    async def raw(self, key: str, head: Callable[[Signer], tuple[bytes, bytes]]) -> Answer:
        """A PUT whose head and body `head` makes with a signer: what the data path has no words for."""
        credentials = await self._credentials.current()
        signer = Signer(credentials.access_key_id, credentials.secret_access_key, self.upstream.region)
        is_new = key not in self._made
        self._made.add(key)
        async with self.client() as client:
            answer = await _read(await client.ask(*head(signer)))
        self._note_version(key, answer)
        if is_new and _was_refused(answer):
            self._made.discard(key)
        return answer

    async def token_headers(self) -> dict[str, str]:
        """Host, and the token of temporary credentials: what a raw head begins with."""
        token = (await self._credentials.current()).session_token
        authority = self.upstream.endpoint.authority
        host = f"{self.bucket}.{authority}" if self.upstream.addressing == "virtual" else authority
        return {"host": host} if token is None else {"host": host, "x-amz-security-token": token}

    def target(self, key: str) -> str:
        """The path of a raw head."""
        place = self.place(key)
        return f"/{place.path}" if self.upstream.addressing == "virtual" else f"/{place.bucket}/{place.path}"

    @asynccontextmanager
    async def client(self) -> AsyncIterator[HttpClient]:
        client = self._connect(self.host)
        try:
            yield client
        finally:
            await client.close()

    async def clean(self, most_s: float) -> None:
        """Remove all that was made, within the time; `left` names what could not be."""
        try:
            async with asyncio.timeout(most_s):
                for key, upload_id in await self._open_uploads():
                    with suppress(OriginError):
                        await self.abort(key, upload_id)
                for key in sorted(self._made | await self._listed()):
                    await self._remove(key)
                if self.versioned:
                    await self._remove_versions()
        except (OriginError, TimeoutError):
            pass

    async def _answer(self, request: Request, body: bytes) -> Answer:
        try:
            response = await self._session.ask(request, body, fine=_ANY_STATUS, repeatable=False)
        except OriginError as error:
            cause = error.__cause__
            if not (isinstance(cause, ConnectionBroken) and cause.reused):
                raise
            response = await self._session.ask(request, body, fine=_ANY_STATUS, repeatable=False)
        return await _read(response)

    def _note_version(self, key: str, answer: Answer) -> None:
        """A write, and a removal, too, has made a version that only a removal by its id ends."""
        version_id = answer.headers.get(_VERSION, "")
        if version_id not in _NO_VERSION:
            self.versioned = True
            self._versions.add((key, version_id))

    async def _open_uploads(self) -> set[tuple[str, str]]:
        """The uploads that are known, and those that the origin lists below our prefix."""
        try:
            answer = await self.list_uploads()
            listed = parse_uploads(answer.body) if answer.fine else []
        except OriginError:
            listed = []
        ours = {
            (each.key.removeprefix(self.prefix), each.upload_id) for each in listed if each.key.startswith(self.prefix)
        }
        self._uploads |= ours
        return set(self._uploads)

    async def _listed(self) -> set[str]:
        """Keys below our prefix, also those that the origin has made something else of."""
        try:
            answer = await self.list()
            page = parse_page(answer.body) if answer.fine else None
        except OriginError:
            return set()
        keys = [each.key for each in page.keys] if page is not None else []
        return {key.removeprefix(self.prefix) for key in keys if key.startswith(self.prefix)}

    async def _remove(self, key: str) -> None:
        try:
            answer = await self.ask("DELETE", key)
            gone = answer.fine or answer.status == 404
            if not gone:
                gone = (await self.ask("HEAD", key)).status == 404
        except OriginError:
            gone = False
        if gone:
            self._made.discard(key)
        else:
            self._made.add(key)

    async def _remove_versions(self) -> None:
        """In a bucket with versions a removed object is still there. Those that are known go first.

        One of them has a key that no listing without encoded keys can name.
        """
        await self._remove_known_versions()
        answer = await self.ask("GET", query=f"prefix={quoted(self.prefix)}&versions=")
        if answer.fine:
            found = parse_versions(answer.body)
            self._versions |= {
                (key.removeprefix(self.prefix), each) for key, each in found if key.startswith(self.prefix)
            }
            self._versions_listed = True
            await self._remove_known_versions()

    async def _remove_known_versions(self) -> None:
        for key, version_id in sorted(self._versions):
            gone = await self.ask("DELETE", key, f"versionId={quoted(version_id)}")
            if gone.fine or gone.status == 404:
                self._versions.discard((key, version_id))


async def _read(response: Response) -> Answer:
    try:
        body = await response.read_all(MOST_BYTES)
    finally:
        response.close()
    error = parse_error(body) if body else None
    return Answer(response.status, error.code if error else "", response.headers, body)


def _was_refused(answer: Answer) -> bool:
    """Does the answer say that nothing was made? What it made all the same is found by a listing."""
    return 400 <= answer.status < 500 and answer.status != 408


def _query(parameters: Mapping[str, str]) -> str:
    return "&".join(f"{name}={quoted(value)}" for name, value in sorted(parameters.items()))


def quoted(text: str) -> str:
    """A value of a query."""
    return quote(text, safe="-._~", errors="surrogateescape")
