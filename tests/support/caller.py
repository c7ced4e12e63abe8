"""Somebody with an access key who talks to a running gateway by hand, and what must hold for every refusal."""

import re
import secrets
import xml.etree.ElementTree as ElementTree
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Self
from urllib.parse import unquote_to_bytes

from tests.support.gateway import Gateway
from tests.support.raw_http import Answer, Connection, Request, ask
from tests.support.signer import STREAMING_SIGNED, ChunkSigner, Signer, object_path, uri_encode

FORBIDDEN_WORDS = (b"traceback", b"aiohttp", b"python", b"<html", b"<!doctype", b"sqlite", b'.py"')


@dataclass(frozen=True, slots=True)
class Caller:
    """`call` signs and sends; `signed` and `presigned` only make the request, for tests that bend it first."""

    host: str
    port: int
    signer: Signer

    @property
    def authority(self) -> str:
        return f"{self.host}:{self.port}"

    @classmethod
    def of(cls, gateway: Gateway, *, other: bool = False) -> Self:
        """The admin of the project demo (`other`: of the project other) at a running gateway over plain HTTP."""
        signer = (
            Signer(gateway.other_access_key_id, gateway.other_secret_access_key)
            if other
            else Signer(gateway.access_key_id, gateway.secret_access_key)
        )
        return cls(gateway.host, gateway.port, signer)

    def new_bucket(self) -> str:
        """CreateBucket under a name that nobody has used."""
        name = f"t-{secrets.token_hex(8)}"
        answer = self.call("PUT", f"/{name}")
        assert answer.status == 200, answer
        return name

    def request(self, method: str, target: str, body: bytes = b"", headers: Sequence[tuple[str, str]] = ()) -> Request:
        """A request with Host, and Content-Length where there is or must be a body."""
        length = (("Content-Length", str(len(body))),) if body or method in ("PUT", "POST") else ()
        return Request(method, target, (("Host", self.authority), *length, *headers), body)

    def signed(
        self,
        method: str,
        target: str,
        body: bytes = b"",
        headers: Sequence[tuple[str, str]] = (),
        *,
        payload: str | None = None,
        now_s: float | None = None,
    ) -> Request:
        return self.signer.sign(self.request(method, target, body, headers), payload=payload, now_s=now_s)

    def presigned(
        self,
        method: str,
        target: str,
        body: bytes = b"",
        headers: Sequence[tuple[str, str]] = (),
        *,
        expires: str | None = "300",
        now_s: float | None = None,
    ) -> Request:
        """Only Host is signed; `headers` go along unsigned."""
        request = Request(method, target, (("Host", self.authority),))
        request = self.signer.presign(request, expires=expires, now_s=now_s)
        return Request(method, request.target, self.request(method, target, body, headers).headers, body)

    def streamed(
        self, target: str, pieces: Sequence[bytes], headers: Sequence[tuple[str, str]] = ()
    ) -> tuple[Request, ChunkSigner]:
        """The signed head of a PUT in signed chunks (body and Content-Length still to come), and its chunk signer."""
        decoded = str(sum(map(len, pieces)))
        head = Request(
            "PUT",
            target,
            (
                ("Host", self.authority),
                ("Content-Encoding", "aws-chunked"),
                ("x-amz-decoded-content-length", decoded),
                *headers,
            ),
        )
        head = self.signer.sign(head, payload=STREAMING_SIGNED)
        return head, ChunkSigner.after(self.signer, head)

    def connect(self, *, timeout_s: float = 15.0) -> Connection:
        return Connection.open(self.host, self.port, timeout_s=timeout_s)

    def ask(self, request: Request, *, timeout_s: float = 15.0) -> Answer:
        """One request on a connection of its own."""
        return ask(self.host, self.port, request, timeout_s=timeout_s)

    def call(self, method: str, target: str, body: bytes = b"", headers: Sequence[tuple[str, str]] = ()) -> Answer:
        return self.ask(self.signed(method, target, body, headers))

    def put(self, bucket: str, key: str, body: bytes, headers: Sequence[tuple[str, str]] = ()) -> Answer:
        """Store an object, which must work."""
        answer = self.call("PUT", object_path(bucket, key), body, headers)
        assert answer.status == 200, answer
        return answer

    def get(self, bucket: str, key: str) -> Answer:
        return self.call("GET", object_path(bucket, key))

    def keys(self, bucket: str) -> list[str]:
        """Every key of a bucket, in the order of the listing."""
        found: list[str] = []
        token = ""
        while True:
            target = f"/{bucket}?encoding-type=url&list-type=2"
            answer = self.call("GET", target + (f"&continuation-token={uri_encode(token)}" if token else ""))
            assert answer.status == 200, answer
            root = parse_xml(answer.body)
            found += [unquote_to_bytes(key.replace("+", "%20")).decode() for key in texts(root, "Contents/Key")]
            token = text(root, "NextContinuationToken")
            if not token:
                return found

    def uploads(self, bucket: str) -> list[str]:
        """The ids of a bucket's open multipart uploads."""
        answer = self.call("GET", f"/{bucket}?uploads=")
        assert answer.status == 200, answer
        return texts(parse_xml(answer.body), "Upload/UploadId")

    def start_upload(self, bucket: str, key: str, headers: Sequence[tuple[str, str]] = ()) -> str:
        """CreateMultipartUpload."""
        answer = self.call("POST", object_path(bucket, key) + "?uploads=", b"", headers)
        assert answer.status == 200, answer
        return text(parse_xml(answer.body), "UploadId")

    def put_part(self, bucket: str, key: str, upload_id: str, number: int, body: bytes) -> str:
        """UploadPart; returns the part's ETag."""
        query = f"?partNumber={number}&uploadId={uri_encode(upload_id)}"
        answer = self.call("PUT", object_path(bucket, key) + query, body)
        assert answer.status == 200, answer
        return answer.header("etag") or ""

    def complete(self, bucket: str, key: str, upload_id: str, body: bytes) -> Answer:
        """CompleteMultipartUpload with the given document."""
        return self.call("POST", object_path(bucket, key) + f"?uploadId={uri_encode(upload_id)}", body)


def complete_document(parts: Sequence[tuple[int, str]]) -> bytes:
    """The list of parts that CompleteMultipartUpload wants; ETags as given."""
    listed = "".join(f"<Part><PartNumber>{number}</PartNumber><ETag>{etag}</ETag></Part>" for number, etag in parts)
    return f"<CompleteMultipartUpload>{listed}</CompleteMultipartUpload>".encode()


def delete_document(keys: Sequence[str]) -> bytes:
    listed = "".join(f"<Object><Key>{key}</Key></Object>" for key in keys)
    return f"<Delete>{listed}</Delete>".encode()


def parse_xml(body: bytes) -> ElementTree.Element:
    """An answer's document with the namespace taken off its names."""
    root = ElementTree.fromstring(body)
    for element in root.iter():
        element.tag = element.tag.rpartition("}")[2]
    return root


def text(root: ElementTree.Element, path: str) -> str:
    found = root.find(path)
    return "" if found is None else found.text or ""


def texts(root: ElementTree.Element, path: str) -> list[str]:
    return [element.text or "" for element in root.findall(path)]


def refused(answer: Answer, status: int | Collection[int], *codes: str) -> ElementTree.Element:
    """Assert that the answer is a refusal as S3 words them, and give its document.

    Code, Message, Resource and RequestId; nothing that tells what the server is made of.
    """
    wanted = {status} if isinstance(status, int) else set(status)
    assert answer.status in wanted, answer
    assert answer.header("content-type") == "application/xml", answer
    root = parse_xml(answer.body)
    assert root.tag == "Error", answer
    assert not codes or text(root, "Code") in codes, answer
    assert text(root, "Message"), answer
    assert root.find("Resource") is not None, answer
    assert text(root, "RequestId"), answer
    assert text(root, "RequestId") == answer.header("x-amz-request-id"), answer
    assert_nothing_about_the_server(answer)
    return root


def same_but_ids(first: Answer, second: Answer) -> bool:
    """Whether two refusals tell the same, apart from ids, dates and the resource that was asked for."""

    def told(answer: Answer) -> tuple[int, bytes, list[tuple[str, str]]]:
        body = re.sub(rb"<(RequestId|HostId|Resource)>[^<]*</\1>", b"", answer.body)
        passing = ("x-amz-request-id", "x-amz-id-2", "date", "content-length")
        return answer.status, body, [pair for pair in answer.headers if pair[0].lower() not in passing]

    return told(first) == told(second)


def assert_nothing_about_the_server(answer: Answer) -> None:
    """No banner, no traceback, no page of a framework, no path of the machine."""
    banner = (answer.header("server") or "").lower()
    assert "python" not in banner, answer
    assert "aiohttp" not in banner, answer
    lowered = answer.body.lower()
    assert not [word for word in FORBIDDEN_WORDS if word in lowered], answer
    assert answer.header("x-powered-by") is None
