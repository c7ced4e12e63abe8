"""C: one key has one name: what is signed, stored, listed and deleted is decoded exactly once, from the raw target."""

import random

import pytest

from tests.support.caller import parse_xml, refused, texts
from tests.support.raw_http import Request
from tests.support.signer import Signer, object_path, uri_encode


@pytest.mark.parametrize(
    "path", ["%FF", "%FE", "a%ff", "%C3", "%C3%28", "%ED%A0%80", "%F5%80%80%80", "%C0%80", "%E2%28%A1"]
)
def test_c01_c02_a_key_that_is_not_utf8_is_refused(caller, untouched, path):
    for method in ("PUT", "GET", "DELETE"):
        refused(caller.call(method, f"/{untouched}/{path}", b""), 400, "InvalidURI")


@pytest.mark.parametrize("path", ["%", "%2", "%zz", "a%z0", "%%41", "100%", "%u0041", "%+1"])
def test_c01_a_broken_percent_escape_is_refused(caller, untouched, path):
    for method in ("PUT", "GET", "DELETE"):
        refused(caller.call(method, f"/{untouched}/{path}", b""), 400, "InvalidURI")


def test_c01_an_encoded_percent_sign_is_a_percent_sign(caller, bucket):
    caller.put(bucket, "%FF", b"bytes")
    assert caller.keys(bucket) == ["%FF"]
    assert caller.ask(caller.signed("GET", f"/{bucket}/%25FF")).body == b"bytes"


@pytest.mark.parametrize("raw", ["\udcff", "\udcc3(", "caf\udce9"])
def test_c02_raw_bytes_in_the_target_that_are_not_utf8_are_refused(caller, untouched, raw):
    refused(caller.call("PUT", f"/{untouched}/{raw}", b"mine"), 400)


@pytest.mark.parametrize(
    ("path", "key"),
    [
        ("a%252e%252e%252fs", "a%2e%2e%2fs"),
        ("%252e%252e%252fs", "%2e%2e%2fs"),
        ("a%2Fb", "a/b"),
        ("a%2fb", "a/b"),
        ("%252F", "%2F"),
        ("%25%32%35", "%25"),
        ("a+b", "a+b"),
        ("a%2Bb", "a+b"),
        ("a%20b", "a b"),
        ("%61", "a"),
        ("%7E~", "~~"),
    ],
)
def test_c04_c07_a_key_is_decoded_exactly_once(caller, bucket, path, key):
    assert caller.call("PUT", f"/{bucket}/{path}", b"bytes").status == 200
    assert caller.keys(bucket) == [key]
    assert caller.ask(caller.signed("GET", object_path(bucket, key))).body == b"bytes"
    assert caller.call("DELETE", object_path(bucket, key)).status == 204
    assert caller.keys(bucket) == []


@pytest.mark.parametrize("path", ["%2Fk", "%2fk", "%2Fk/x", "%2F"])
def test_c05_an_encoded_slash_never_ends_the_bucket(caller, untouched, path):
    for method in ("PUT", "GET", "DELETE"):
        refused(caller.call(method, f"/{untouched}{path}", b""), 400, "InvalidBucketName", "InvalidURI")
    refused(caller.call("GET", f"/{untouched}%2Fvictim"), 400, "InvalidBucketName", "InvalidURI")


def test_c05_an_encoded_slash_before_the_bucket_is_no_bucket(caller, untouched):
    refused(caller.call("GET", f"/%2F{untouched}/victim"), 400)


@pytest.mark.parametrize("segment", ["..", ".", "%2e%2e", "%2E", ".%2e"])
@pytest.mark.parametrize(
    "form",
    [
        "/{bucket}/{segment}/{bucket}/victim",
        "/{bucket}/a/{segment}",
        "/{bucket}/{segment}",
        "/{segment}/{bucket}/victim",
    ],
)
def test_c04_dot_segments_are_refused_not_resolved(caller, untouched, segment, form):
    target = form.format(bucket=untouched, segment=segment)
    for method in ("PUT", "GET", "DELETE"):
        refused(caller.call(method, target, b""), 400)


def test_c07_a_plus_in_a_query_value_is_a_blank_for_the_signature_and_for_the_listing(caller, bucket):
    for key in ("a b", "a+b"):
        caller.put(bucket, key, b"")

    def listed(prefix: str) -> list[str]:
        answer = caller.call("GET", f"/{bucket}?list-type=2&prefix={prefix}")
        assert answer.status == 200, answer
        return texts(parse_xml(answer.body), "Contents/Key")

    assert listed("a%20b") == ["a b"]
    assert listed("a%2Bb") == ["a+b"]


@pytest.mark.parametrize(
    "query",
    [
        "list-type=2&prefix=a%2Fb",
        "list-type=2&prefix=a/b",
        "prefix=a/b&list-type=2",
        "prefix&list-type=2",
        "prefix=&list-type=2",
        "list-type=2&c=2&c=1",
        "list-type=2&c=1&c=2",
        "b=&a&list-type=2",
        "list-type=2&%C3%A9=%e2%82%ac",
        "list-type=2&~=~&-=._",
        "list-type=2&A=1&a=1&aa=1&a-=1",
        "list-type=2&prefix=%61",
        "list-type=2&prefix=(a)*!'",
    ],
)
def test_c08_queries_are_sorted_by_name_then_value_with_blanks_kept(caller, bucket, query):
    assert caller.call("GET", f"/{bucket}?{query}").status == 200
    assert caller.ask(caller.presigned("GET", f"/{bucket}?{query}")).status == 200


def test_c08_a_sub_resource_without_value_or_with_an_empty_one_is_the_same(caller, bucket):
    caller.put(bucket, "k", b"")
    for query in ("acl", "acl="):
        assert caller.call("GET", f"/{bucket}/k?{query}").status == 200


CONTROLS = [chr(code) for code in (*range(0x20), 0x7F)]


def test_c10_control_characters_in_a_key_are_refused(caller, untouched):
    for control in CONTROLS:
        for key in (f"a{control}b", control):
            refused(caller.call("PUT", object_path(untouched, key), b"mine"), 400)


ODD_KEYS = [
    "a\u2028b",
    "a\\b",
    "/leading",
    "//two",
    "a//b",
    "trailing ",
    " leading",
    "#",
    "?",
    "a?b#c",
    "&<>\"'",
    "]]>",
    "a;b=c",
    "é",
    "e\u0301",
    "ٱلْعَرَبِيَّة",
    "🗄️",
    "\uffff",
    "\U0010ffff",
    "..a",
    "a..",
    "a..b/c",
    "...",
    "-",
    "~",
    "*",
    "CON",
    "a/",
    "a/b/",
    "%",
    "%25",
    "+",
    "con.txt:stream",
    "\ufeffbom",
    "\u202egnp.exe",
    ".anbar",
    "tmp",
    "null",
    "%00",
]


@pytest.mark.parametrize("key", ODD_KEYS)
def test_c10_an_odd_key_makes_the_round(caller, bucket, key):
    caller.put(bucket, key, b"bytes of it")
    caller.put(bucket, key + "x", b"another")
    assert caller.keys(bucket) == sorted([key, key + "x"], key=lambda each: each.encode())
    assert caller.get(bucket, key).body == b"bytes of it"
    assert caller.call("HEAD", object_path(bucket, key)).header("content-length") == "11"
    assert caller.call("DELETE", object_path(bucket, key)).status == 204
    assert caller.keys(bucket) == [key + "x"]
    assert caller.get(bucket, key).status == 404


def test_c11_lower_case_escapes_are_the_same_key(caller, bucket):
    """Signed as the client sent it, or over AWS's canonical form: whichever verifies, the key is one."""
    caller.put(bucket, "é", b"bytes")
    lower = caller.request("GET", f"/{bucket}/%c3%a9")
    upper = caller.request("GET", f"/{bucket}/%C3%A9")
    as_sent = caller.ask(caller.signer.sign(lower))
    canonical = caller.ask(caller.signer.sign(lower, sign_as=upper))
    assert (as_sent.status, canonical.status).count(200) >= 1
    for answer in (as_sent, canonical):
        assert answer.body == b"bytes" or refused(answer, 403, "SignatureDoesNotMatch") is not None
    assert caller.keys(bucket) == ["é"]


@pytest.mark.parametrize("unit", ["k", "é", "🗄", "%", "k/"])
def test_c13_a_key_has_up_to_1024_bytes_of_utf8(caller, bucket, unit):
    longest = (unit * 1024).encode()[:1024].decode(errors="ignore")
    longest += "x" * (1024 - len(longest.encode()))
    caller.put(bucket, longest, b"bytes")
    assert caller.keys(bucket) == [longest]
    assert caller.get(bucket, longest).body == b"bytes"
    root = refused(caller.call("PUT", object_path(bucket, longest + "x"), b"mine"), 400, "KeyTooLongError")
    assert root is not None
    assert caller.keys(bucket) == [longest]


ALPHABET = "abzAZ019-._~ +%&=;,:@!$'()*#?/\\\"<>[]{}|^`éß€漢🗄\u0301\u2028"


def random_text(random: random.Random, longest: int) -> str:
    """Text that is a legal key: without dot segments."""
    made = "".join(random.choice(ALPHABET) for _ in range(random.randint(1, longest)))
    return "/".join("_" if segment in (".", "..") else segment for segment in made.split("/")) or "_"


def sloppily_encoded(random: random.Random, text: str) -> str:
    """The text with a random choice of escapes where the grammar leaves one (RFC 3986: unreserved characters)."""
    return "".join(
        f"%{ord(char):02X}"
        if char.isascii() and char.isalnum() and random.random() < 0.1
        else uri_encode(char, keep="/")
        for char in text
    )


@pytest.mark.parametrize("seed", range(4))
def test_c_random_keys_and_queries_verify_and_each_change_is_refused(caller, bucket, seed):
    """The independent signer and the gateway agree on what is signed, over one connection."""
    chance = random.Random(seed)
    signer: Signer = caller.signer
    with caller.connect() as connection:
        for _ in range(60):
            key = random_text(chance, 40)
            target = object_path(bucket, key)
            query = "&".join(
                f"{sloppily_encoded(chance, 'x' + random_text(chance, 8))}={sloppily_encoded(chance, random_text(chance, 8))}"
                for _ in range(chance.randint(0, 3))
            )
            request = caller.request("GET", target + (f"?{query}" if query else ""))
            presign = chance.random() < 0.5
            signed = signer.presign(request) if presign else signer.sign(request)
            assert connection.exchange(signed).status == 404, (key, query)
            changed = Request(signed.method, signed.target.replace(bucket + "/", bucket + "/x", 1), signed.headers)
            assert connection.exchange(changed).status == 403, (key, query)
