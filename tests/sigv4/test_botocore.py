"""The verifier against botocore's signers: whatever they sign is accepted, and each single change to it refused."""

from urllib.parse import quote

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.errors import Code
from gateway.sigv4.model import SecretAccessKey, WireRequest
from gateway.sigv4.signature import Verifier
from tests.sigv4.signers import (
    AWS_NOW_S,
    ENDPOINT,
    header_signed,
    presigned,
    refused,
    verify,
    with_headers,
    with_query,
)

# Any text that can be a key; `#` and `?` and all else is percent-encoded, in one of the ways that clients have.
keys = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
safe = st.sampled_from(["", "~", "/", "/~", "/~!*'()", "/+:;,=@&$"])
methods = st.sampled_from(["GET", "PUT", "HEAD", "DELETE", "POST"])
names = st.one_of(
    st.sampled_from(["versionId", "uploadId", "partNumber", "prefix", "acl", "select", "select-type", "x-id"]),
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8),
).filter(lambda name: not name.lower().startswith(("x-amz-", "awsaccesskeyid", "signature")))
queries = st.lists(st.tuples(names, keys), max_size=5, unique_by=lambda pair: pair[0])
values = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=30)
headers = st.dictionaries(
    st.sampled_from(
        ["Range", "Content-Type", "Accept-Encoding", "x-amz-meta-a", "x-amz-meta-b.c_d", "X-Amz-Acl", "If-None-Match"]
    ),
    values,
    max_size=5,
)
regions = st.sampled_from(["us-east-1", "default", "auto", "ir-thr-1"])
VERIFIER = Verifier(hosts=("s3.example.com",), domains=("s3.localhost",))


def url_of(key: str, kept: str, query: list[tuple[str, str]]) -> str:
    encoded = "&".join(f"{quote(name, safe='-_.~')}={quote(value, safe='-_.~')}" for name, value in query)
    return f"{ENDPOINT}/media/{quote(key, safe=kept)}?{encoded}"


def changes(request: WireRequest) -> list[WireRequest]:
    """Every request that differs from this one in one thing."""
    path, query = request.raw_path, request.raw_query
    joined = f"{query}&" if query else ""
    changed = [
        WireRequest("PATCH", path, query, request.headers),
        WireRequest(request.method, path + "x", query, request.headers),
        WireRequest(request.method, path + "/", query, request.headers),
        WireRequest(request.method, "/" + path, query, request.headers),
        WireRequest(request.method, path.replace("/media", "/medib"), query, request.headers),
        with_query(request, f"{joined}added"),
        with_query(request, f"added=1&{query}" if query else "added=1"),
        with_headers(request, host="127.0.0.1:9001"),
        with_headers(request, host="media.s3.localhost"),
        with_headers(request, host=None),
    ]
    pairs = query.split("&") if query else []
    for place, pair in enumerate(pairs):
        if not pair.startswith("X-Amz-"):
            rest = [*pairs[:place], *pairs[place + 1 :]]
            changed.append(with_query(request, "&".join(rest)))
            changed.append(with_query(request, "&".join([*rest, pair + "x"])))
            changed.append(with_query(request, "&".join([*rest, "x" + pair])))
    return changed


@settings(max_examples=1000, deadline=None)
@given(methods, keys, safe, queries, headers, regions)
def test_what_botocore_signs_by_header_is_accepted(method, key, kept, query, extra, region):
    request = header_signed(method, url_of(key, kept, query), extra, region=region)
    verify(request, verifier=VERIFIER)


@settings(max_examples=1000, deadline=None)
@given(methods, keys, safe, queries, headers, regions)
def test_what_botocore_presigns_is_accepted_once_and_again(method, key, kept, query, extra, region):
    request = presigned(method, url_of(key, kept, query), extra, region=region)
    verify(request, verifier=VERIFIER)
    verify(request, verifier=VERIFIER, now_s=AWS_NOW_S + 3600)


@settings(max_examples=200, deadline=None)
@given(methods, keys, safe, queries, headers)
def test_each_change_to_a_header_signed_request_is_refused(method, key, kept, query, extra):
    request = header_signed(method, url_of(key, kept, query), extra)
    changed = changes(request)
    for name in ("x-amz-date", "x-amz-content-sha256", *[name for name in request.headers if name.lower() in extra]):
        changed.append(with_headers(request, **{name: request.headers[name] + "~"}))
    for other in changed:
        with refused(
            Code.SignatureDoesNotMatch, Code.AccessDenied, Code.InvalidArgument, Code.AuthorizationHeaderMalformed
        ):
            verify(other, verifier=VERIFIER)
    verify(request, verifier=VERIFIER)


@settings(max_examples=200, deadline=None)
@given(methods, keys, safe, queries, headers)
def test_each_change_to_a_presigned_request_is_refused(method, key, kept, query, extra):
    request = presigned(method, url_of(key, kept, query), extra)
    for other in changes(request):
        with refused(Code.SignatureDoesNotMatch):
            verify(other, verifier=VERIFIER)
    verify(request, verifier=VERIFIER)


@settings(max_examples=200, deadline=None)
@given(st.integers(min_value=0, max_value=63), st.sampled_from("0123456789abcdef"), keys)
def test_each_change_to_a_signature_is_refused(place, digit, key):
    for sign in (header_signed, presigned):
        request = sign("GET", url_of(key, "/~", []))
        text = request.headers.get("authorization") or request.raw_query
        good = text.rpartition("Signature=")[2]
        if good[place] == digit:
            continue
        bad = text.replace(good, good[:place] + digit + good[place + 1 :])
        other = with_headers(request, authorization=bad) if sign is header_signed else with_query(request, bad)
        with refused(Code.SignatureDoesNotMatch):
            verify(other, verifier=VERIFIER)
        with refused(Code.SignatureDoesNotMatch):
            verify(request, verifier=VERIFIER, secret=SecretAccessKey("another"))
