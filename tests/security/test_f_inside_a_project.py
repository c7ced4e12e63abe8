"""F: what those of one project may do to each other: uploaders, readers, services, end users, and nobody at all."""

import itertools
import json
import re
import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace
from urllib.parse import quote

import pytest

from tests.support.caller import (
    Caller,
    complete_document,
    delete_document,
    parse_xml,
    refused,
    same_but_ids,
    text,
    texts,
)
from tests.support.cast import Cast, session_of
from tests.support.raw_http import Answer, Request, eventually
from tests.support.signer import BOUNDARY, content_md5, form_body, object_path, post_policy, uri_encode

MEDIA, OPEN = "demo-media", "demo-open"
TAGGING = b"<Tagging><TagSet><Tag><Key>a</Key><Value>b</Value></Tag></TagSet></Tagging>"
_NUMBERS = itertools.count()


@pytest.fixture(scope="module")
def u1(cast: Cast) -> Caller:
    return cast["demo/u1"]


@pytest.fixture(scope="module")
def u2(cast: Cast) -> Caller:
    return cast["demo/u2"]


@pytest.fixture(scope="module")
def admin(cast: Cast) -> Caller:
    return cast["demo/ops"]


@pytest.fixture
def mark() -> str:
    """The beginning of this test's own keys; all have one length."""
    return f"{next(_NUMBERS):04d}"


def owner_of(admin: Caller, bucket: str, key: str) -> str:
    answer = admin.call("GET", f"{object_path(bucket, key)}?acl")
    assert answer.status == 200, answer
    return text(parse_xml(answer.body), "Owner/ID")


def delete(caller: Caller, bucket: str, keys: Sequence[str]) -> Answer:
    body = delete_document(keys)
    return caller.call("POST", f"/{bucket}?delete=", body, [("Content-MD5", content_md5(body))])


def copy(caller: Caller, target: str, source: str, *more: tuple[str, str]) -> Answer:
    return caller.call("PUT", target, b"", [("x-amz-copy-source", source), *more])


def part_copy(caller: Caller, bucket: str, source: str, *more: tuple[str, str]) -> Answer:
    """UploadPartCopy into an upload of the caller's own; it is aborted, and must have got no part by a refusal."""
    key = f"parts{next(_NUMBERS)}"
    target = f"/{bucket}/{key}?uploadId={caller.start_upload(bucket, key)}"
    answer = copy(caller, f"{target}&partNumber=1", source, *more)
    assert answer.status == 200 or b"<Part>" not in caller.call("GET", target).body
    assert caller.call("DELETE", target).status == 204
    return answer


# --- F01, F02, F05: sources of copies

CONDITIONS = (
    ("x-amz-copy-source-if-match", '"another"'),
    ("x-amz-copy-source-if-none-match", "*"),
    ("x-amz-copy-source-if-modified-since", "Thu, 01 Jan 2026 00:00:00 GMT"),
    ("x-amz-copy-source-if-unmodified-since", "Thu, 01 Jan 1970 00:00:00 GMT"),
)


def test_f01_the_source_of_a_copy_that_is_another_uploaders_looks_like_a_missing_one(u1, u2, mark):
    u2.put(MEDIA, f"{mark}/theirs", b"theirs")
    tried = [
        copy(u1, f"/{MEDIA}/{mark}/mine", f"/{MEDIA}/{mark}/{name}{version}")
        for name in ("theirs", "nobody")
        for version in ("", "?versionId=null")
    ]
    for answer in tried:
        refused(answer, 403, "AccessDenied")
        assert same_but_ids(answer, tried[0])
    assert u1.keys(MEDIA).count(f"{mark}/mine") == 0


def test_f01_everybody_copies_what_is_public_and_owns_the_copy(cast, u1, u2, admin, mark):
    u2.put(OPEN, mark, b"for all")
    assert copy(u1, f"/{MEDIA}/{mark}", f"/{OPEN}/{mark}").status == 200
    assert copy(cast["other/u1"], f"/other-media/{mark}", f"/{OPEN}/{mark}").status == 200
    assert (owner_of(admin, MEDIA, mark), owner_of(admin, OPEN, mark)) == ("u1", "u2")


def test_f01_a_copy_of_the_public_object_of_another_project_that_is_missing_is_denied(cast, mark):
    refused(copy(cast["other/u1"], f"/other-media/{mark}", f"/{OPEN}/{mark}-nobody"), 403, "AccessDenied")


@pytest.mark.parametrize("byte_range", [None, "bytes=0-2", "bytes=900-999", "nonsense"])
def test_f02_a_part_copied_from_another_uploaders_object_looks_like_one_of_a_missing_object(u1, u2, mark, byte_range):
    u2.put(MEDIA, f"{mark}/theirs", b"theirs")
    more = [("x-amz-copy-source-range", byte_range)] if byte_range else []
    present = part_copy(u1, MEDIA, f"/{MEDIA}/{mark}/theirs", *more)
    missing = part_copy(u1, MEDIA, f"/{MEDIA}/{mark}/nobody", *more)
    refused(present, 403, "AccessDenied")
    assert same_but_ids(present, missing)


@pytest.mark.parametrize("condition", CONDITIONS, ids=lambda pair: pair[0])
def test_f05_conditions_on_a_source_are_asked_after_the_rights_on_it(u1, u2, mark, condition):
    u2.put(MEDIA, f"{mark}/theirs", b"theirs")
    for source in (f"/{MEDIA}/{mark}/theirs", f"/{MEDIA}/{mark}/nobody"):
        refused(copy(u1, f"/{MEDIA}/{mark}/mine", source, condition), 403, "AccessDenied")
        refused(part_copy(u1, MEDIA, source, condition), 403, "AccessDenied")


@pytest.mark.parametrize("name", ["x-amz-metadata-directive", "x-amz-tagging-directive"])
@pytest.mark.parametrize("value", ["REPLAC", "copy", "", "REPLACE,COPY"])
def test_f05_a_directive_that_is_none_copies_nothing(u1, mark, name, value):
    u1.put(MEDIA, f"{mark}/source", b"mine")
    refused(copy(u1, f"/{MEDIA}/{mark}/copy", f"/{MEDIA}/{mark}/source", (name, value)), 400)
    refused(u1.get(MEDIA, f"{mark}/copy"), 403)


def test_f05_a_statement_about_addresses_holds_for_the_source_of_a_copy(cast, mark):
    u1 = cast["ruled/u1"]
    for place in ("here", "elsewhere"):
        cast["ruled/ops"].put("ruled-media", f"{place}/{mark}", b"bytes")
    here, elsewhere = (f"/ruled-media/{place}/{mark}" for place in ("here", "elsewhere"))
    assert copy(u1, f"/ruled-media/{mark}", here).status == 200
    refused(copy(u1, f"/ruled-media/{mark}", elsewhere, ("X-Forwarded-For", "10.0.0.1")), 403, "AccessDenied")
    refused(part_copy(u1, "ruled-media", elsewhere), 403, "AccessDenied")


def test_tags_that_a_copy_takes_along_are_rights_of_their_own(cast, admin, u1, mark):
    """A public object is read by all, its tags are not."""
    admin.put(OPEN, mark, b"for all", [("x-amz-tagging", "inner=word")])
    refused(copy(u1, f"/{MEDIA}/{mark}", f"/{OPEN}/{mark}"), 403, "AccessDenied")
    replaced = ("x-amz-tagging-directive", "REPLACE")
    assert copy(u1, f"/{MEDIA}/{mark}", f"/{OPEN}/{mark}", replaced).status == 200


# --- F07: batches


def test_f07_a_batch_of_nobody_or_of_a_reader_deletes_nothing(cast, u1, mark):
    u1.put(MEDIA, mark, b"mine")
    for caller in (cast.nobody, cast["demo/viewer"], cast["other/ops"]):
        refused(delete(caller, MEDIA, [mark]), 403, "AccessDenied")
    assert u1.get(MEDIA, mark).body == b"mine"


def test_f07_of_an_uploaders_batch_own_objects_go_and_others_look_like_missing_ones(u1, u2, mark):
    mine, theirs, nobodys = (f"{mark}/{name}" for name in ("mine", "theirs", "nobody"))
    u1.put(MEDIA, mine, b"mine")
    u2.put(MEDIA, theirs, b"theirs")
    root = parse_xml(delete(u1, MEDIA, [theirs, mine, nobodys]).body)
    assert texts(root, "Deleted/Key") == [mine]
    told = {text(error, "Key"): (text(error, "Code"), text(error, "Message")) for error in root.findall("Error")}
    assert set(told) == {theirs, nobodys}
    assert told[theirs] == told[nobodys]
    assert told[theirs][0] == "AccessDenied"
    assert u2.get(MEDIA, theirs).body == b"theirs"


# --- F08: listings

QUERIES = ("list-type=2&", "", "versions=&")


def pages(caller: Caller, bucket: str, kind: str, query: str = "") -> Iterator[Answer]:
    """Every page of a listing of one of the three kinds."""
    more = ""
    while True:
        answer = caller.call("GET", f"/{bucket}?{kind}{query}{more}")
        assert answer.status == 200, answer
        yield answer
        root = parse_xml(answer.body)
        if text(root, "IsTruncated") != "true":
            return
        last = [*texts(root, "Contents/Key"), *texts(root, "CommonPrefixes/Prefix")]
        following = {
            "list-type=2&": ("continuation-token", text(root, "NextContinuationToken")),
            "": ("marker", text(root, "NextMarker") or max(last, default="")),
            "versions=&": ("key-marker", text(root, "NextKeyMarker")),
        }[kind]
        more = f"&{following[0]}={uri_encode(following[1])}"


def shown(answers: Iterator[Answer]) -> tuple[list[str], list[str]]:
    """Keys and common prefixes; a page says no more of what it does not show than that it is not there."""
    keys: list[str] = []
    prefixes: list[str] = []
    for answer in answers:
        root = parse_xml(answer.body)
        found = [each.text or "" for each in root.iter("Key")]
        groups = texts(root, "CommonPrefixes/Prefix")
        assert text(root, "KeyCount") in ("", str(len(found) + len(groups)))
        assert found or groups or text(root, "IsTruncated") == "false"
        assert [each for each in (*found, *groups) if "theirs" in each] == []
        keys += found
        prefixes += groups
    return keys, prefixes


@pytest.fixture(scope="module")
def shared(admin, u1, u2) -> str:
    """A bucket with keys of two uploaders between one another."""
    bucket = admin.new_bucket()
    for key in ("a/1", "a/3", "m", "z/z/1"):
        u1.put(bucket, key, b"mine")
    for key in (
        "a/0-theirs",
        "a/2-theirs",
        "a-theirs/1",
        "b-theirs/1",
        "l-theirs",
        "n-theirs",
        "z/theirs/1",
        "zz-theirs",
    ):
        u2.put(bucket, key, b"theirs")
    return bucket


@pytest.mark.parametrize("kind", QUERIES)
@pytest.mark.parametrize(
    ("query", "keys", "prefixes"),
    [
        ("", ["a/1", "a/3", "m", "z/z/1"], []),
        ("max-keys=1", ["a/1", "a/3", "m", "z/z/1"], []),
        ("max-keys=0", [], []),
        ("prefix=", ["a/1", "a/3", "m", "z/z/1"], []),
        ("prefix=a", ["a/1", "a/3"], []),
        ("prefix=b", [], []),
        ("prefix=a-", [], []),
        ("prefix=zz", [], []),
        ("delimiter=/", ["m"], ["a/", "z/"]),
        ("delimiter=/&max-keys=1", ["m"], ["a/", "z/"]),
        ("delimiter=/&prefix=z/", [], ["z/z/"]),
        ("delimiter=/&prefix=b", [], []),
        ("delimiter=-", ["a/1", "a/3", "m", "z/z/1"], []),
        ("delimiter=t&max-keys=2", ["a/1", "a/3", "m", "z/z/1"], []),
        ("delimiter=1", ["a/3", "m"], ["a/1", "z/z/1"]),
    ],
)
def test_f08_an_uploaders_listing_shows_own_entries_and_counts_no_others(u1, shared, kind, query, keys, prefixes):
    assert shown(pages(u1, shared, kind, query)) == (keys, prefixes)


@pytest.mark.parametrize("after", ["a/1", "a/2-theirs", "b-theirs/1", "l", "\U0010ffff", "a/"])
@pytest.mark.parametrize("delimiter", ["", "&delimiter=/"])
def test_f08_a_listing_that_starts_anywhere_shows_own_entries(u1, admin, shared, after, delimiter):
    mine = {"a/1", "a/3", "m", "z/z/1", "a/", "z/"}
    for name, kind in (("start-after", "list-type=2&"), ("marker", ""), ("key-marker", "versions=&")):
        keys, prefixes = shown(pages(u1, shared, kind, f"{name}={uri_encode(after)}{delimiter}"))
        assert set(keys) | set(prefixes) <= mine
        assert all(key > after for key in keys)


def test_f08_a_token_of_another_callers_listing_opens_nothing(u1, admin, shared):
    for query in ("prefix=b", "prefix=zz", "max-keys=3", "max-keys=1&delimiter=/"):
        first = parse_xml(admin.call("GET", f"/{shared}?list-type=2&max-keys=1&{query}").body)
        token = text(first, "NextContinuationToken")
        if token:
            shown(pages(u1, shared, "list-type=2&", f"continuation-token={uri_encode(token)}"))


def test_f08_uploads_of_others_are_not_listed_nor_counted(u1, u2, admin):
    bucket = admin.new_bucket()
    mine = [u1.start_upload(bucket, key) for key in ("b", "d/1", "d/2")]
    for key in ("a-theirs", "c-theirs/1", "d-theirs", "e-theirs"):
        u2.start_upload(bucket, key)
    for query, keys, prefixes in (
        ("", ["b", "d/1", "d/2"], []),
        ("&delimiter=/", ["b"], ["d/"]),
        ("&prefix=c", [], []),
        ("&key-marker=a-theirs", ["b", "d/1", "d/2"], []),
    ):
        answer = u1.call("GET", f"/{bucket}?uploads={query}")
        root = parse_xml(answer.body)
        assert (texts(root, "Upload/Key"), texts(root, "CommonPrefixes/Prefix")) == (keys, prefixes)
        assert text(root, "IsTruncated") == "false"
    last = parse_xml(u1.call("GET", f"/{bucket}?uploads=&max-uploads=3").body)
    assert (texts(last, "Upload/UploadId"), text(last, "IsTruncated")) == (mine, "false")


def test_f08_a_statement_about_a_prefix_says_nothing_of_its_siblings(cast):
    alice, admin = cast["ruled/alice"], cast["ruled/ops"]
    for key in (
        "alice/1",
        "alice/sub/2",
        "alice-private/theirs",
        "alice",
        "alic/theirs",
        "alice0-theirs",
        "zoe/theirs",
    ):
        admin.put("ruled-media", key, b"bytes")
    alice.put("ruled-media", "mine", b"mine")
    for kind in QUERIES:
        for query, keys, prefixes in (
            ("", ["alice/1", "alice/sub/2", "mine"], []),
            ("prefix=alice", ["alice/1", "alice/sub/2"], []),
            ("prefix=alice-", [], []),
            ("prefix=alice&delimiter=/", [], ["alice/"]),
            ("prefix=alice/&delimiter=/", ["alice/1"], ["alice/sub/"]),
            ("delimiter=/", ["mine"], ["alice/"]),
            ("delimiter=/&max-keys=1", ["mine"], ["alice/"]),
            ("prefix=alice&delimiter=e", ["alice/1", "alice/sub/2"], []),
            ("delimiter=-", ["alice/1", "alice/sub/2", "mine"], []),
        ):
            assert shown(pages(alice, "ruled-media", kind, query)) == (keys, prefixes)
    refused(alice.get("ruled-media", "alice/1"), 403)  # what is listed is not yet read


def test_f08_a_session_narrowed_to_a_prefix_lists_own_entries_below_it(cast):
    admin, service = cast["demo/ops"], cast["demo/backend"]
    bucket = admin.new_bucket()
    sara = cast["demo/backend/sara"]
    for key in ("in/1", "in/2", "in-side", "out/1"):
        sara.put(bucket, key, b"mine")
    cast["demo/u1"].put(bucket, "in/theirs", b"theirs")
    below = {"StringLike": {"s3:prefix": "in/*"}}
    lists = {"Action": "s3:ListBucket", "Resource": f"arn:aws:s3:::{bucket}", "Condition": below}
    reads = {"Action": "s3:GetObject", "Resource": f"arn:aws:s3:::{bucket}/in/*"}
    statements = [{"Effect": "Allow", **each} for each in (lists, reads)]
    document = json.dumps({"Version": "2012-10-17", "Statement": statements})
    narrowed = session_of(service, "demo", "sara", Policy=document)
    assert narrowed.get(bucket, "in/1").body == b"mine"
    assert shown(pages(narrowed, bucket, "list-type=2&")) == (["in/1", "in/2"], [])
    assert shown(pages(narrowed, bucket, "list-type=2&", "prefix=out/")) == ([], [])
    for key in ("in-side", "out/1", "in/theirs"):
        refused(narrowed.get(bucket, key), 403, "AccessDenied")
    refused(narrowed.call("PUT", f"/{bucket}/in/1", b"x"), 403, "AccessDenied")


# --- F10, F11: uploads by their ids


def on_upload(caller: Caller, bucket: str, key: str, upload_id: str, document: bytes) -> list[Answer]:
    """Everything that is done with an upload, by somebody who has its id."""
    target = object_path(bucket, key) + f"?uploadId={upload_id}"
    return [
        caller.call("PUT", f"{target}&partNumber=1", b"poison"),
        copy(caller, f"{target}&partNumber=1", f"/{OPEN}/no-such-key"),
        caller.call("GET", target),
        caller.call("POST", target, document),
        caller.call("DELETE", target),
    ]


def test_f10_an_upload_id_of_another_uploader_is_like_one_that_never_was(u1, u2, cast, mark):
    """(a) at its true place, (b) in another bucket, (c) for a key of one's own, and for a key that holds nothing."""
    upload_id = u1.start_upload(MEDIA, mark)
    document = complete_document([(1, u1.put_part(MEDIA, mark, upload_id, 1, b"part"))])
    unknown = "f" * len(upload_id)
    u2.put(MEDIA, f"{mark}-own", b"own")
    places = ((MEDIA, mark), ("demo-voice", mark), (MEDIA, f"{mark}-own"), (MEDIA, f"{mark}-free"))
    for attacker in (u2, cast["demo/backend"], cast["demo/backend/sara"]):
        for bucket, key in places:
            tried = on_upload(attacker, bucket, key, upload_id, document)
            random = on_upload(attacker, bucket, key, unknown, document)
            for answer, other in zip(tried, random, strict=True):
                refused(answer, 404, "NoSuchUpload")
                told = replace(answer, body=answer.body.replace(upload_id.encode(), unknown.encode()))
                assert same_but_ids(told, other)
    assert u2.get(MEDIA, f"{mark}-own").body == b"own"
    assert u1.complete(MEDIA, mark, upload_id, document).status == 200
    assert u1.get(MEDIA, mark).body == b"part"


def test_f10_a_completed_uploads_answer_is_repeated_to_its_own_uploader_only(u1, u2, mark):
    upload_id = u1.start_upload(MEDIA, mark)
    document = complete_document([(1, u1.put_part(MEDIA, mark, upload_id, 1, b"part"))])
    assert u1.complete(MEDIA, mark, upload_id, document).status == 200
    assert u1.complete(MEDIA, mark, upload_id, document).status == 200
    refused(u2.complete(MEDIA, mark, upload_id, document), 404, "NoSuchUpload")


def test_f10_an_upload_that_a_service_began_for_an_end_user_is_both_of_theirs(cast, admin, mark):
    service, sara, other = (cast[f"demo/backend{name}"] for name in ("", "/sara", "/mahsa"))
    upload_id = service.start_upload(MEDIA, mark, [("x-amz-meta-uploader", "sara")])
    etag = sara.put_part(MEDIA, mark, upload_id, 1, b"part")
    refused(other.call("GET", f"/{MEDIA}/{mark}?uploadId={upload_id}"), 404, "NoSuchUpload")
    assert service.complete(MEDIA, mark, upload_id, complete_document([(1, etag)])).status == 200
    assert owner_of(admin, MEDIA, mark) == "sara"
    assert sara.get(MEDIA, mark).body == b"part"


def test_f11_a_key_that_was_taken_while_an_upload_went_on_is_not_taken_back(cast, u1, u2, admin):
    bucket = admin.new_bucket()
    upload_id = u1.start_upload(bucket, "k")
    document = complete_document([(1, u1.put_part(bucket, "k", upload_id, 1, b"of the first"))])
    u2.put(bucket, "k", b"of the second")
    refused(u1.complete(bucket, "k", upload_id, document), 403, "AccessDenied")
    refused(u1.call("GET", f"/{bucket}/k?uploadId={upload_id}"), 404, "NoSuchUpload")
    refused(u1.complete(bucket, "k", upload_id, document), 404, "NoSuchUpload")
    assert u2.get(bucket, "k").body == b"of the second"
    assert owner_of(admin, bucket, "k") == "u2"
    folder = cast.gateway.origin_directory / bucket
    assert eventually(lambda: bodies_in(folder) == [b"of the second"])
    used = json.loads(cast.gateway.command("usage", "--project", "demo", "--json"))
    category = next(each for each in used["projects"][0]["categories"] if each["category"] == bucket)
    assert (category["bytes"], category["objects"]) == (len(b"of the second"), 1)
    assert [each["uploader"] for each in category["uploaders"] if each["objects"] or each["bytes"]] == ["u2"]


def bodies_in(folder) -> list[bytes]:
    """What the files below a folder hold that are no descriptions."""
    return [path.read_bytes() for path in folder.rglob("*") if path.is_file() and path.suffix != ".json"]


# --- F13: in whose name

NAME = "x-amz-meta-uploader"


def post_form(caller: Caller, bucket: str, key: str, *more: tuple[str, str]) -> Answer:
    signing = ("x-amz-credential", "x-amz-algorithm", "x-amz-date")
    names = ["key", *signing, *(name for name, _ in more)]
    names += ["x-amz-security-token"] if caller.signer.session_token is not None else []
    conditions = [{"bucket": bucket}, *(["starts-with", f"${name}", ""] for name in names)]
    fields = caller.signer.post_fields(post_policy(conditions))
    body = form_body([("key", key), *more, *fields.items()], b"forged")
    headers = [("Content-Type", f"multipart/form-data; boundary={BOUNDARY}")]
    return caller.ask(caller.request("POST", f"/{bucket}", body, headers))


def in_every_way(caller: Caller, key: str, *named: tuple[str, str]) -> list[Answer]:
    """Store an object in all ways there are, with headers or fields that name its uploader."""
    target = f"/{MEDIA}/{key}"
    hoisted = "&".join(f"{name}={quote(value, safe='')}" for name, value in named)
    signed = Request("PUT", target, (("Host", caller.authority), *named))
    presigned = caller.signer.presign(signed)
    return [
        caller.call("PUT", target, b"forged", named),
        copy(caller, target, f"/{OPEN}/source", *named),
        copy(caller, target, f"/{OPEN}/source", ("x-amz-metadata-directive", "REPLACE"), *named),
        caller.call("POST", f"{target}?uploads=", b"", named),
        caller.ask(replace(presigned, headers=(*presigned.headers, ("Content-Length", "6")), body=b"forged")),
        caller.ask(caller.presigned("PUT", f"{target}?{hoisted}", b"forged")),
        post_form(caller, MEDIA, key, *named),
    ]


@pytest.fixture(scope="module", autouse=True)
def source(admin) -> None:
    admin.put(OPEN, "source", b"for all", [("x-amz-meta-album", "7")])


@pytest.mark.parametrize("who", ["ops", "u1", "viewer", "backend/sara"])
@pytest.mark.parametrize("name", [NAME, "X-Amz-Meta-Uploader", "X-AMZ-META-UPLOADER"])
def test_f13_nobody_but_a_service_names_the_uploader_of_an_object(cast, admin, mark, who, name):
    for value in ("u2", "u1", "sara", "nobody-yet", ""):
        for answer in in_every_way(cast[f"demo/{who}"], mark, (name, value)):
            refused(answer, 403, "AccessDenied")
    refused(admin.get(MEDIA, mark), 404)
    assert mark not in texts(parse_xml(admin.call("GET", f"/{MEDIA}?uploads=").body), "Upload/Key")


def test_f13_nobody_without_a_signature_stores_in_any_name(cast, admin, mark):
    refused(cast.nobody.call("PUT", f"/{MEDIA}/{mark}", b"forged", [(NAME, "u2")]), 403, "AccessDenied")
    refused(cast.nobody.call("PUT", f"/{OPEN}/{mark}", b"forged", [(NAME, "u2")]), 403, "AccessDenied")
    refused(admin.get(OPEN, mark), 404)


@pytest.mark.parametrize("value", ["ops", "viewer"])
def test_f13_a_service_does_not_name_a_principal_that_is_no_uploader(cast, admin, mark, value):
    for answer in in_every_way(cast["demo/backend"], mark, (NAME, value)):
        refused(answer, 403, "AccessDenied")
    refused(admin.get(MEDIA, mark), 404)


@pytest.mark.parametrize("value", ["", "a/b", "a b", "*", "sara,u2", "é", "x" * 129])
def test_f13_a_name_that_is_none_is_refused(cast, admin, mark, value):
    service = cast["demo/backend"]
    refused(service.call("PUT", f"/{MEDIA}/{mark}", b"forged", [(NAME, value)]), 400)
    refused(post_form(service, MEDIA, mark, (NAME, value)), 400)
    refused(admin.get(MEDIA, mark), 404)


def test_f13_a_name_given_twice_or_unsigned_is_refused(cast, admin, mark):
    service = cast["demo/backend"]
    for second in (NAME, "X-Amz-Meta-Uploader"):
        refused(service.call("PUT", f"/{MEDIA}/{mark}", b"x", [(NAME, "sara"), (second, "sara")]), 400)
        refused(post_form(service, MEDIA, mark, (NAME, "sara"), (second, "mahsa")), 400)
    unsigned = service.signed("PUT", f"/{MEDIA}/{mark}", b"x").with_header(NAME, "sara")
    refused(service.ask(unsigned), 403, "AccessDenied")
    refused(service.ask(service.presigned("PUT", f"/{MEDIA}/{mark}", b"x", [(NAME, "sara")])), 403, "AccessDenied")
    changed = service.presigned("PUT", f"/{MEDIA}/{mark}?{NAME}=sara", b"x", [(NAME, "mahsa")])
    refused(service.ask(changed), 403, "AccessDenied")
    refused(admin.get(MEDIA, mark), 404)


@pytest.mark.parametrize("method", ["GET", "HEAD", "DELETE"])
def test_f13_a_name_where_nothing_is_stored_is_refused(cast, mark, method):
    service = cast["demo/backend"]
    service.put(MEDIA, mark, b"own")
    assert service.call(method, f"/{MEDIA}/{mark}", b"", [(NAME, "sara")]).status == 400
    assert service.get(MEDIA, mark).body == b"own"


def test_f13_what_a_service_stores_in_a_name_belongs_to_it_and_tells_the_name_nowhere_else(cast, admin, mark):
    service, sara = cast["demo/backend"], cast["demo/backend/sara"]
    for number, answer in enumerate(in_every_way(service, mark, (NAME, "sara"))):
        assert answer.status in (200, 204), (number, answer)
        found = sara.get(MEDIA, mark)
        assert found.status == 200
        assert found.header(NAME) is None
    assert owner_of(admin, MEDIA, mark) == "sara"
    refused(service.call("PUT", f"/{MEDIA}/{mark}", b"x"), 403, "AccessDenied")  # its own name is another
    refused(service.call("DELETE", f"/{MEDIA}/{mark}"), 403, "AccessDenied")
    assert sara.call("DELETE", f"/{MEDIA}/{mark}").status == 204


def test_f13_the_name_of_an_uploader_is_the_same_uploader(cast, u1, admin, mark):
    cast["demo/backend"].put(MEDIA, mark, b"for u1", [(NAME, "u1")])
    assert owner_of(admin, MEDIA, mark) == "u1"
    assert u1.get(MEDIA, mark).body == b"for u1"


@pytest.mark.parametrize("directive", ["COPY", "REPLACE"])
def test_f13_metadata_of_another_project_names_no_uploader_here(cast, u1, mark, directive):
    """There the header is an ordinary one, and so is ours there."""
    theirs = cast["other/u1"]
    theirs.put("other-open", mark, b"bytes", [(NAME, "u2"), ("x-amz-meta-album", "7")])
    assert theirs.get("other-open", mark).header(NAME) == "u2"
    answer = copy(u1, f"/{MEDIA}/{mark}", f"/other-open/{mark}", ("x-amz-metadata-directive", directive))
    assert answer.status == 200
    found = u1.get(MEDIA, mark)
    assert found.header(NAME) is None
    assert found.header("x-amz-meta-album") == ("7" if directive == "COPY" else None)


def test_f13_each_project_has_its_own_header(cast, mark):
    service = cast["other/backend"]
    service.put("other-media", mark, b"x", [("x-amz-meta-owner", "sara"), (NAME, "u2")])
    assert owner_of(cast["other/ops"], "other-media", mark) == "sara"
    refused(cast["other/u1"].call("PUT", f"/other-media/{mark}", b"x", [("x-amz-meta-owner", "sara")]), 403)


# --- F14: what is there and what is not

SUBRESOURCES = ("", "?attributes", "?tagging", "?acl", "?retention", "?legal-hold", "?versionId=null", "?partNumber=1")
HEADERS = (
    ("If-Modified-Since", "Thu, 01 Jan 2060 00:00:00 GMT"),
    ("If-Unmodified-Since", "Thu, 01 Jan 1970 00:00:00 GMT"),
    ("If-Match", '"x"'),
    ("If-None-Match", "*"),
    ("Range", "bytes=0-1"),
    ("Range", "bytes=900-"),
    ("x-amz-expected-bucket-owner", "somebody"),
    ("x-amz-object-attributes", "ETag"),
)


def told(answer: Answer, key: str) -> tuple[int, str, bytes, list[tuple[str, str]]]:
    """All that an answer says, without the key that was asked for and what is new in every answer."""
    body = re.sub(rb"<(RequestId|HostId)>[^<]*</\1>", b"", answer.body).replace(key.encode(), b"")
    headers = [pair for pair in answer.headers if pair[0].lower() not in ("x-amz-request-id", "x-amz-id-2", "date")]
    return answer.status, answer.reason, body, headers


@pytest.fixture(scope="module")
def present_and_missing(u2) -> dict[str, tuple[str, str]]:
    """In each bucket the key of an object of another uploader, and one of the same length that holds nothing."""
    for bucket in (MEDIA, OPEN):
        u2.put(bucket, "f14-present", b"theirs", [("x-amz-tagging", "a=b")])
    return dict.fromkeys((MEDIA, OPEN), ("f14-present", "f14-missing"))


@pytest.mark.parametrize("who", ["u1", "backend/sara"])
@pytest.mark.parametrize("header", [None, *HEADERS], ids=str)
def test_f14_who_may_not_list_cannot_tell_missing_from_forbidden(cast, present_and_missing, who, header):
    caller = cast[f"demo/{who}"]
    headers = [] if header is None else [header]
    requests = [("GET", query, b"") for query in SUBRESOURCES]
    requests += [("HEAD", query, b"") for query in ("", "?versionId=null", "?partNumber=1")]
    requests += [("DELETE", query, b"") for query in ("", "?tagging", "?versionId=null")]
    requests += [("PUT", "?tagging", TAGGING), ("PUT", "?tagging", b"nonsense"), ("PUT", "?acl", b"")]
    for method, query, body in requests:
        answers = [
            told(caller.call(method, f"/{MEDIA}/{key}{query}", body, headers), key)
            for key in present_and_missing[MEDIA]
        ]
        assert answers[0] == answers[1]
        assert answers[0][0] == 403


def test_f14_in_a_public_category_the_parts_that_are_not_public_tell_nothing_either(cast, present_and_missing):
    for caller in (cast["demo/u1"], cast["other/ops"], cast.nobody):
        for method, query in (("GET", "?tagging"), ("GET", "?acl"), ("GET", "?versionId=null"), ("DELETE", "")):
            answers = [told(caller.call(method, f"/{OPEN}/{key}{query}"), key) for key in present_and_missing[OPEN]]
            assert answers[0] == answers[1]
            assert answers[0][0] == 403


def test_f14_what_is_missing_is_told_to_who_may_list_and_to_nobody_else(cast, present_and_missing):
    """As S3 has it, by GetObject and HeadObject: 404 to who has s3:ListBucket on the bucket, 403 to others.

    So in a public category, too: who reads an object that is there learns by its 403 that another one is not, and not
    why. An uploader lists what is its own, which is no right to learn of the others' keys.
    https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObject.html (Permissions)
    https://docs.aws.amazon.com/AmazonS3/latest/API/API_HeadObject.html (Permissions)
    """
    nobody = cast.nobody
    for bucket, listing, others in (
        (MEDIA, ("ops", "viewer"), ("u1", "u2")),
        (OPEN, ("ops", "viewer"), ("u1", "u2")),
    ):
        missing = f"/{bucket}/{present_and_missing[bucket][1]}"
        for name in listing:
            assert cast[f"demo/{name}"].call("HEAD", missing).status == 404
            refused(cast[f"demo/{name}"].call("GET", missing), 404, "NoSuchKey")
        for caller in (*(cast[f"demo/{name}"] for name in others), cast["other/ops"], nobody):
            assert caller.call("HEAD", missing).status == 403
            refused(caller.call("GET", missing), 403, "AccessDenied")
            refused(caller.call("GET", missing, b"", [("If-Match", '"x"')]), 403, "AccessDenied")
            refused(caller.call("GET", missing, b"", [("Range", "bytes=0-1")]), 403, "AccessDenied")


# --- F16, F17, F20: statements


def test_f16_a_statement_about_objects_says_nothing_of_their_versions(cast, mark):
    current, key = cast["ruled/current"], f"current/{mark}"
    cast["ruled/ops"].put("ruled-media", key, b"bytes")
    target = f"/ruled-media/{key}"
    assert current.call("GET", target).body == b"bytes"
    for method in ("GET", "HEAD", "DELETE"):
        assert current.call(method, f"{target}?versionId=null").status == 403
    refused(copy(current, f"/ruled-media/{mark}", f"{target}?versionId=null"), 403, "AccessDenied")
    refused(part_copy(current, "ruled-media", f"{target}?versionId=null"), 403, "AccessDenied")
    assert copy(current, f"/ruled-media/{mark}", target).status == 200


def test_f16_a_denial_about_objects_is_not_passed_by_naming_a_version(cast, mark):
    viewer, key = cast["ruled/viewer"], f"hidden/{mark}"
    cast["ruled/ops"].put("ruled-media", key, b"bytes")
    for query in ("", "?versionId=null"):
        for method in ("GET", "HEAD"):
            assert viewer.call(method, f"/ruled-media/{key}{query}").status == 403
    assert viewer.call("GET", f"/ruled-media/{key}?tagging").status == 200  # only reading is denied


def test_f16_who_may_not_read_an_object_is_not_told_its_attributes(cast, mark):
    """Its size and ETag say what it holds to who has a guess."""
    viewer, attributes = cast["ruled/viewer"], [("x-amz-object-attributes", "ETag,ObjectSize")]
    for key in (f"hidden/{mark}", mark):
        cast["ruled/ops"].put("ruled-media", key, b"bytes")
    for query in ("?attributes", "?attributes&versionId=null"):
        refused(viewer.call("GET", f"/ruled-media/hidden/{mark}{query}", b"", attributes), 403, "AccessDenied")
        assert viewer.call("GET", f"/ruled-media/{mark}{query}", b"", attributes).status == 200


def test_f16_the_public_reads_no_versions_by_name(cast, admin, mark):
    admin.put(OPEN, mark, b"for all")
    for caller in (cast.nobody, cast["other/ops"], cast["demo/u1"]):
        assert caller.get(OPEN, mark).body == b"for all"
        refused(caller.call("GET", f"/{OPEN}/{mark}?versionId=null"), 403, "AccessDenied")


def test_f17_a_denial_wins_over_a_public_category(cast, mark):
    admin, u1 = cast["ruled/ops"], cast["ruled/u1"]
    for place in ("closed", "signed", "free"):
        u1.put("ruled-open", f"{place}/{mark}", b"bytes")
    readers = {"nobody": cast.nobody, "stranger": cast["other/ops"], "viewer": cast["ruled/viewer"], "u1": u1, "ops": admin}  # fmt: skip
    may = {
        "free": {"nobody", "stranger", "viewer", "u1", "ops"},
        "signed": {"viewer", "u1", "ops"},
        "closed": set(),
    }
    for place, names in may.items():
        for name, caller in readers.items():
            for method in ("GET", "HEAD"):
                answer = caller.call(method, f"/ruled-open/{place}/{mark}")
                assert (answer.status == 200) == (name in names), (place, name)
                assert answer.status in (200, 403)


@pytest.mark.parametrize(("place", "public"), [("free", True), ("signed", False), ("closed", False)])
def test_f17_an_acl_says_what_denials_leave(cast, mark, place, public):
    cast["ruled/u1"].put("ruled-open", f"{place}/{mark}", b"bytes")
    answer = cast["ruled/u1"].call("GET", f"/ruled-open/{place}/{mark}?acl")
    assert (b"AllUsers" in answer.body) == public


@pytest.mark.parametrize("header", [("x-amz-tagging", "a=b"), ("x-amz-acl", "private"), ("x-amz-acl", "public-read")])
def test_f20_tags_and_acls_that_come_along_are_rights_of_their_own(cast, mark, header):
    dropper, admin, key = cast["ruled/dropper"], cast["ruled/ops"], f"drop/{mark}"
    target, free = f"/ruled-media/{key}", f"/ruled-open/free/{mark}"
    admin.put("ruled-open", f"free/{mark}", b"for all")
    form_field = (header[0].removeprefix("x-amz-"), "<Tagging><TagSet/></Tagging>" if "tag" in header[0] else header[1])
    for answer in (
        dropper.call("PUT", target, b"x", [header]),
        dropper.call("POST", f"{target}?uploads=", b"", [header]),
        copy(dropper, target, free, header, ("x-amz-tagging-directive", "REPLACE")),
        post_form(dropper, "ruled-media", key, form_field),
        dropper.ask(dropper.presigned("PUT", f"{target}?{header[0]}={uri_encode(header[1])}", b"x")),
    ):
        refused(answer, 403, "AccessDenied")
    refused(admin.get("ruled-media", key), 404)
    dropper.put("ruled-media", key, b"without")


# --- races


def test_of_two_uploaders_who_take_a_free_key_at_once_one_gets_it_and_the_other_never_does(u1, u2, admin):
    bucket = admin.new_bucket()
    for number in range(20):
        key, statuses = f"k{number}", dict.fromkeys(("u1", "u2"), 0)
        together = threading.Barrier(2)

        def write(name: str, caller: Caller, key=key, statuses=statuses, together=together) -> None:
            request = caller.signed("PUT", f"/{bucket}/{key}", name.encode() * 1000)
            with caller.connect() as connection:
                together.wait(10)
                statuses[name] = connection.exchange(request).status

        writers = [threading.Thread(target=write, args=pair) for pair in (("u1", u1), ("u2", u2))]
        for writer in writers:
            writer.start()
        for writer in writers:
            writer.join()
        assert sorted(statuses.values()) == [200, 403]
        winner = min(statuses, key=statuses.__getitem__)
        assert admin.get(bucket, key).body == winner.encode() * 1000
        assert owner_of(admin, bucket, key) == winner


def test_a_key_that_is_taken_between_the_gate_and_the_commit_stays_taken(u1, u2, admin, mark):
    """The first is let in while the key is free, and sends its body when it is another's."""
    request = u1.signed("PUT", f"/{MEDIA}/{mark}", b"first" * 1000).with_header("Expect", "100-continue")
    with u1.connect() as connection:
        connection.send(request.head())
        assert connection.interim() == 100
        u2.put(MEDIA, mark, b"second")
        connection.send(request.body)
        refused(connection.answer("PUT"), 403, "AccessDenied")
    assert (u2.get(MEDIA, mark).body, owner_of(admin, MEDIA, mark)) == (b"second", "u2")


def test_a_form_for_a_key_that_is_taken_meanwhile_stores_nothing(u1, u2, mark):
    signing = ("key", "x-amz-credential", "x-amz-algorithm", "x-amz-date")
    conditions = [{"bucket": MEDIA}, *(["starts-with", f"${name}", ""] for name in signing)]
    fields = u1.signer.post_fields(post_policy(conditions))
    body = form_body([("key", mark), *fields.items()], b"first" * 1000)
    headers = [("Content-Type", f"multipart/form-data; boundary={BOUNDARY}")]
    request = u1.request("POST", f"/{MEDIA}", body, headers)
    with u1.connect() as connection:
        connection.send(request.encode()[:-1000])
        u2.put(MEDIA, mark, b"second")
        connection.send(request.encode()[-1000:])
        refused(connection.answer("POST"), 403, "AccessDenied")
    assert u2.get(MEDIA, mark).body == b"second"
