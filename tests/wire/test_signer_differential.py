"""Thousands of requests signed by botocore are accepted; each of them changed in one place is refused.

Keys, queries and headers are generated (the same at each run). The requests go over one keep-alive socket, byte for
byte as they were signed, so what is compared is only how botocore and the gateway make a canonical request.
"""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from urllib.parse import quote

import pytest

from tests.support.gateway import Gateway
from tests.support.signed_http import SignedConnection, SignedRequest, sign_request

BATCHES = 8
BATCH_SIZE = 250
REFUSALS = {
    "SignatureDoesNotMatch",
    "AccessDenied",
    "AuthorizationHeaderMalformed",
    "XAmzContentSHA256Mismatch",
    "RequestTimeTooSkewed",
}
LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
ODD = " !\"#$%&'()*+,-:;<=>?@[\\]^_`{|}~é漢🎧صüß\u0301"
QUERY_NAMES = ("prefix", "delimiter", "marker", "start-after", "x-unknown", "x-id", "z z", "ä", "A", "a", "a-b", "a.b")


@dataclass(frozen=True, slots=True)
class Wanted:
    """A request before it is signed; it may say anything that S3 answers without a 400 or 403."""

    method: str
    path: str
    query: tuple[tuple[str, str], ...]
    headers: dict[str, str]
    body: bytes
    region: str


def some_text(chance: random.Random, longest: int, *, slashes: bool = False) -> str:
    letters = LETTERS if chance.random() < 0.4 else LETTERS + ODD * 3
    letters += "/" * 6 if slashes else ""
    return "".join(chance.choice(letters) for _ in range(chance.randint(1, longest)))


def some_key(chance: random.Random) -> str:
    key = some_text(chance, 40, slashes=True)
    return "/".join("dots" if segment in (".", "..") else segment for segment in key.split("/"))


def some_headers(chance: random.Random) -> dict[str, str]:
    headers: dict[str, str] = {}
    for _ in range(chance.randint(0, 4)):
        name = (
            chance.choice(("x-amz-meta-", "X-Amz-Meta-", "x-custom-", "X-")) + some_text(chance, 8).strip(ODD).lower()
        )
        name = "".join(letter for letter in name if letter.isascii() and (letter.isalnum() or letter == "-"))
        value = "".join(chance.choice(LETTERS + " ,;=/\"'()") for _ in range(chance.randint(0, 30)))
        headers[name.rstrip("-") + "-h"] = chance.choice((value, f"  {value}", f"{value}  ", value.replace(" ", "   ")))
    if chance.random() < 0.3:
        headers["Content-Type"] = chance.choice(("text/plain", "application/xml; charset=utf-8", "image/png"))
    if chance.random() < 0.2:
        headers["Accept-Encoding"] = "identity"
    if chance.random() < 0.2:
        headers["amz-sdk-invocation-id"] = "6a1c4a3e-1b7a-4b39-9e0a-000000000000"
    return headers


def some_request(chance: random.Random, bucket: str) -> Wanted:
    """One of: read a missing key, list with a generated query, write, delete."""
    headers, region = some_headers(chance), chance.choice(("us-east-1", "default", "auto", "ir-thr-1"))
    kind = chance.choice(("read", "read", "list", "list", "write", "delete"))
    if kind == "list":
        names = chance.sample(QUERY_NAMES, chance.randint(0, 5))
        query = tuple((name, some_text(chance, 20) if chance.random() < 0.9 else "") for name in names)
        return Wanted("GET", f"/{bucket}" + chance.choice(("", "/")), query, headers, b"", region)
    path = f"/{bucket}/{some_key(chance)}"
    extra = tuple(
        (name, some_text(chance, 10)) for name in chance.sample(("x-id", "x-other", "é"), chance.randint(0, 2))
    )
    if kind == "read":
        return Wanted(chance.choice(("GET", "HEAD")), path, extra, headers, b"", region)
    if kind == "delete":
        return Wanted("DELETE", path, extra, headers, b"", region)
    body = chance.randbytes(chance.choice((0, 1, 100)))
    return Wanted("PUT", path, extra, headers, body, region)


def sign(gateway: Gateway, wanted: Wanted) -> SignedRequest:
    return sign_request(
        gateway,
        wanted.method,
        wanted.path,
        query=wanted.query,
        headers=wanted.headers,
        body=wanted.body,
        region=wanted.region,
    )


def with_authorization(request: SignedRequest, change: Callable[[str], str]) -> SignedRequest:
    headers = dict(request.headers)
    headers["Authorization"] = change(headers["Authorization"])
    return replace(request, headers=headers)


def another_digit(text: str, chance: random.Random) -> str:
    """The signature with one of its digits changed."""
    place = len(text) - 1 - chance.randrange(64)
    digit = chance.choice([letter for letter in "0123456789abcdef" if letter != text[place]])
    return text[:place] + digit + text[place + 1 :]


def mutations(request: SignedRequest, chance: random.Random) -> Iterator[tuple[str, SignedRequest]]:
    """The request changed in one place, each time in another; all of it is covered by the signature."""
    path, mark, query = request.target.partition("?")
    yield "signature", with_authorization(request, lambda text: another_digit(text, chance))
    yield "scope", with_authorization(request, lambda text: text.replace("/s3/aws4_request", "/sts/aws4_request", 1))
    yield "path", replace(request, target=f"{path}x{mark}{query}")
    yield "query", replace(request, target=f"{request.target}{'&' if mark else '?'}{quote(some_text(chance, 5))}=1")
    yield "method", replace(request, method={"GET": "DELETE", "HEAD": "DELETE"}.get(request.method, "GET"), body=b"")
    if request.body:
        yield "body", replace(request, body=bytes([request.body[0] ^ 1]) + request.body[1:])
    signed = request.headers["Authorization"].partition("SignedHeaders=")[2].partition(",")[0].split(";")
    for name, value in request.headers.items():
        if name.lower() in signed and name.lower() not in ("x-amz-date", "x-amz-content-sha256", "host"):
            yield f"header {name}", replace(request, headers={**request.headers, name: f"{value}x"})
            others = {other: text for other, text in request.headers.items() if other != name}
            if value.strip():  # one without a value says the same when a proxy drops it
                yield f"dropped {name}", replace(request, headers=others)
    yield "unsigned x-amz-", replace(request, headers={**request.headers, "x-amz-meta-added": "1"})


@pytest.fixture
def connection(any_gateway: Gateway) -> Iterator[SignedConnection]:
    with SignedConnection(any_gateway) as made:
        yield made


@pytest.mark.parametrize("batch", range(BATCHES))
def test_generated_requests_are_accepted_and_their_mutations_refused(
    connection: SignedConnection, bucket: str, batch: int
) -> None:
    chance = random.Random(f"signer {batch}")
    for _ in range(BATCH_SIZE):
        wanted = some_request(chance, bucket)
        request = sign(connection.gateway, wanted)
        answer = connection.send(request)
        assert answer.status in (200, 204, 404), (wanted, answer)
        name, changed = chance.choice(list(mutations(request, chance)))
        refused = connection.send(changed)
        assert refused.status in (400, 403), (name, wanted, refused)
        if changed.method != "HEAD":
            assert refused.code in REFUSALS, (name, wanted, refused)


def test_what_was_refused_has_changed_nothing(connection: SignedConnection, bucket: str) -> None:
    chance = random.Random("nothing changes")
    put = sign_request(connection.gateway, "PUT", f"/{bucket}/kept é+", body=b"kept")
    assert connection.send(put).status == 200
    for _ in range(10):
        for name, changed in mutations(put, chance):
            assert connection.send(changed).status in (400, 403), name
    listed = connection.signed("GET", f"/{bucket}", query=[("list-type", "2")])
    assert (listed.element("KeyCount"), listed.element("Size")) == ("1", "4")
    got = connection.signed("GET", f"/{bucket}/kept é+")
    assert (got.body, "x-amz-meta-added" in got.headers) == (b"kept", False)
