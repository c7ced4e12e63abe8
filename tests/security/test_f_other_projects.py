"""F: what one project may do to another: nothing, by whatever way the other's key is named."""

import threading
from dataclasses import replace

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
from tests.support.raw_http import Answer
from tests.support.signer import content_md5, object_path

THEIRS = "other-media"


@pytest.fixture
def secret(stranger: Caller) -> str:
    """An object of the other project: bucket and key for a copy source."""
    stranger.put(THEIRS, "secret", b"theirs", [("x-amz-meta-mark", "theirs")])
    return f"/{THEIRS}/secret"


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE"])
def test_f01_the_other_projects_objects_are_closed(caller, stranger, secret, method):
    answer = caller.call(method, secret, b"mine" if method == "PUT" else b"")
    assert answer.status == 403
    assert method == "HEAD" or refused(answer, 403, "AccessDenied") is not None
    assert stranger.get(THEIRS, "secret").body == b"theirs"


@pytest.mark.parametrize("directive", ["COPY", "REPLACE"])
def test_f01_a_copy_of_what_the_caller_cannot_read_is_denied(caller, untouched, secret, directive):
    denied = []
    for source in (secret, f"/{THEIRS}/no-such-key", "/no-such-bucket-of-anybody/k"):
        headers = [("x-amz-copy-source", source), ("x-amz-metadata-directive", directive)]
        answer = caller.call("PUT", f"/{untouched}/victim", b"", headers)
        refused(answer, {403, 404} if "no-such-bucket" in source else 403)
        denied.append(answer)
    assert same_but_ids(denied[0], denied[1])


@pytest.mark.parametrize(
    "source",
    [
        "{secret}?versionId=null",
        "{encoded}",
        "//other-media/secret",
        "other-media//secret",
        "../other-media/secret",
        "/{bucket}/../other-media/secret",
    ],
)
def test_f01_no_spelling_of_the_source_opens_it(caller, untouched, secret, source):
    encoded = "%2Fother-media%2Fsecret"
    value = source.format(secret=secret, bucket=untouched, encoded=encoded)
    answer = caller.call("PUT", f"/{untouched}/copy", b"", [("x-amz-copy-source", value)])
    refused(answer, {400, 403, 404})


@pytest.mark.parametrize(
    "source",
    [
        "",
        "/",
        "bucket-only",
        "/b",
        "%zz/k",
        "/b/%FF",
        "/b/k\udcff",
        "/b/a\x1fb",
        "/b/" + "k" * 2000,
        "/b/k?versionId=",
        "/b/k?x=1",
        "http://127.0.0.1/b/k",
        "arn:aws:s3:::other-media/secret",
    ],
)
def test_f01_a_source_that_is_none_is_refused(caller, untouched, source):
    refused(caller.call("PUT", f"/{untouched}/copy", b"", [("x-amz-copy-source", source)]), {400, 403, 404, 501})


@pytest.mark.parametrize("byte_range", [None, "bytes=0-2", "bytes=9-99"])
def test_f02_a_part_copied_from_what_the_caller_cannot_read_is_denied(caller, bucket, secret, byte_range):
    upload_id = caller.start_upload(bucket, "k")
    headers = [("x-amz-copy-source", secret)]
    headers += [("x-amz-copy-source-range", byte_range)] if byte_range else []
    answer = caller.call("PUT", f"/{bucket}/k?partNumber=1&uploadId={upload_id}", b"", headers)
    refused(answer, 403, "AccessDenied")
    assert parse_xml(caller.call("GET", f"/{bucket}/k?uploadId={upload_id}").body).findall("Part") == []


@pytest.mark.parametrize(
    ("method", "query"),
    [
        ("GET", ""),
        ("HEAD", ""),
        ("DELETE", ""),
        ("POST", "?uploads"),
        ("POST", "?uploadId=x"),
        ("PUT", "?tagging"),
        ("GET", "?acl"),
    ],
)
def test_f04_a_copy_source_elsewhere_than_on_a_copy_is_refused(caller, untouched, method, query):
    headers = [("x-amz-copy-source", f"/{untouched}/victim")]
    answer = caller.call(method, f"/{untouched}/victim{query}", b"", headers)
    assert answer.status == 400, answer
    assert method == "HEAD" or refused(answer, 400, "InvalidArgument") is not None


def test_f05_an_unknown_directive_or_a_condition_that_fails_copies_nothing(caller, untouched):
    source = ("x-amz-copy-source", f"/{untouched}/victim")
    for name, value, statuses in (
        ("x-amz-metadata-directive", "REPLAC", {400}),
        ("x-amz-metadata-directive", "", {400}),
        ("x-amz-tagging-directive", "REPLAC", {400}),
        ("x-amz-copy-source-if-match", '"another"', {412}),
        ("x-amz-copy-source-if-unmodified-since", "Thu, 01 Jan 1970 00:00:00 GMT", {412}),
        ("x-amz-copy-source-if-none-match", "*", {400, 412}),
        ("x-amz-expected-bucket-owner", "123456789012", {403}),
        ("x-amz-source-expected-bucket-owner", "123456789012", {403}),
    ):
        refused(caller.call("PUT", f"/{untouched}/copy", b"", [source, (name, value)]), statuses)


def test_f07_a_batch_delete_by_nobody_or_by_a_stranger_deletes_nothing(caller, stranger, untouched):
    body = delete_document(["victim"])
    headers = [("Content-MD5", content_md5(body))]
    refused(caller.ask(caller.request("POST", f"/{untouched}?delete", body, headers)), 403, "AccessDenied")
    answer = stranger.call("POST", f"/{untouched}?delete", body, headers)
    if answer.status == 200:  # S3's way: an error for each key
        assert texts(parse_xml(answer.body), "Error/Code") == ["AccessDenied"]
        assert texts(parse_xml(answer.body), "Deleted") == []
    else:
        refused(answer, 403, "AccessDenied")


@pytest.mark.parametrize(
    "query", ["", "?list-type=2", "?uploads", "?versions", "?location", "?acl", "?versioning", "?cors", "?policy"]
)
def test_f08_a_stranger_learns_nothing_of_a_bucket(stranger, untouched, query):
    refused(stranger.call("GET", f"/{untouched}{query}"), 403, "AccessDenied")


def test_f08_the_list_of_buckets_names_only_the_own_ones(caller, stranger, bucket):
    assert bucket in texts(parse_xml(caller.call("GET", "/").body), "Buckets/Bucket/Name")
    theirs = texts(parse_xml(stranger.call("GET", "/").body), "Buckets/Bucket/Name")
    assert THEIRS in theirs
    assert bucket not in theirs
    refused(caller.ask(caller.request("GET", "/")), 403, "AccessDenied")


def test_f08_a_bucket_name_taken_by_another_project_is_not_handed_over(caller, stranger, untouched):
    refused(stranger.call("PUT", f"/{untouched}"), 409, "BucketAlreadyExists")
    refused(stranger.call("DELETE", f"/{untouched}"), 403, "AccessDenied")
    refused(caller.call("PUT", f"/{untouched}"), 409, "BucketAlreadyOwnedByYou")


def test_f10_another_projects_upload_is_like_one_that_never_was(caller, stranger):
    """The victim's upload id with (b) the attacker's bucket, (c) the attacker's own upload's key; and the true place."""
    mine = caller.new_bucket()
    upload_id = caller.start_upload(mine, "k")
    etag = caller.put_part(mine, "k", upload_id, 1, b"part")
    document = complete_document([(1, etag)])
    unknown = "x" * len(upload_id)

    def attempts(who: Caller, bucket: str, key: str, used: str) -> list[Answer]:
        target = object_path(bucket, key) + f"?uploadId={used}"
        return [
            who.call("PUT", f"{target}&partNumber=1", b"poison"),
            who.call("PUT", f"{target}&partNumber=2", b"", [("x-amz-copy-source", f"/{THEIRS}/own")]),
            who.call("GET", target),
            who.call("POST", target, document),
            who.call("DELETE", target),
        ]

    stranger.put(THEIRS, "own", b"own")
    for answer in attempts(stranger, mine, "k", upload_id):
        refused(answer, 403, "AccessDenied")
    for bucket, key in ((THEIRS, "k"), (THEIRS, "own")):
        tried, random = attempts(stranger, bucket, key, upload_id), attempts(stranger, bucket, key, unknown)
        for answer, other in zip(tried, random, strict=True):
            refused(answer, 404, "NoSuchUpload")
            assert same_but_ids(
                replace(answer, body=answer.body.replace(upload_id.encode(), b"")),
                replace(other, body=other.body.replace(unknown.encode(), b"")),
            )
    for answer in attempts(caller, mine, "another-key", upload_id):
        refused(answer, 404, "NoSuchUpload", "NoSuchKey", "AccessDenied")
    assert caller.complete(mine, "k", upload_id, document).status == 200
    assert caller.get(mine, "k").body == b"part"


@pytest.mark.parametrize("upload_id", ["", "x", "%00", "../../x", "%FF", "' OR 1=1 --", "é", "0" * 5000, "null", "1_0"])
def test_f10_an_upload_id_of_any_shape_is_no_upload(caller, untouched, upload_id):
    encoded = upload_id.replace(" ", "%20").replace("é", "%C3%A9").replace("'", "%27")
    target = f"/{untouched}/victim?uploadId={encoded}"
    for method, query in (("PUT", "&partNumber=1"), ("GET", ""), ("POST", ""), ("DELETE", "")):
        body = complete_document([(1, '"x"')]) if method == "POST" else b"mine"
        answer = caller.call(method, target + query, body if method in ("PUT", "POST") else b"")
        refused(answer, {400, 404, 405, 414})


def test_f13_names_that_only_the_gateway_may_write_are_no_ones_to_forge(caller, bucket):
    caller.put(bucket, "k", b"bytes", [("X-Project", "other")])
    assert caller.get(bucket, "k").status == 200
    for name in ("x-amz-meta-uploader", "X-Amz-Meta-Uploader"):
        refused(caller.call("PUT", f"/{bucket}/forged", b"bytes", [(name, "somebody")]), 403, "AccessDenied")
    for name in ("anbar-uploader", "anbar-intent"):
        answer = caller.call("PUT", f"/{bucket}/forged", b"bytes", [(f"x-amz-meta-{name}", "x")])
        assert answer.status in (200, 400, 403)
    assert caller.get(bucket, "k").header("x-project") is None


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [("If-Modified-Since", "Thu, 01 Jan 2060 00:00:00 GMT")],
        [("If-Match", '"x"')],
        [("If-None-Match", "*")],
        [("Range", "bytes=0-1")],
        [("Range", "bytes=900-")],
    ],
)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_f14_a_stranger_cannot_tell_a_missing_object_from_a_present_one(stranger, untouched, method, headers):
    present = stranger.call(method, f"/{untouched}/victim", b"", headers)
    missing = stranger.call(method, f"/{untouched}/missing", b"", headers)
    nobody = stranger.ask(stranger.request(method, f"/{untouched}/victim", b"", headers))
    assert (present.status, nobody.status) == (403, 403)
    assert same_but_ids(present, missing)


@pytest.mark.parametrize("query", ["?versionId=x", "?versionId=", "?versionId=%00", "?versionId=null%20"])
def test_f16_a_version_that_is_not_there_is_not_the_current_one(caller, untouched, query):
    for method in ("GET", "DELETE"):
        refused(caller.call(method, f"/{untouched}/victim{query}"), {400, 404, 501})


@pytest.mark.parametrize(
    "target",
    ["/-/live", "/-/ready", "/-/metrics", "/metrics", "/health", "/admin", "/debug/pprof", "/minio/health/live"],
)
def test_f23_the_public_listener_has_no_other_doors(caller, gateway, target):
    for answer in (caller.call("GET", target), caller.ask(caller.request("GET", target))):
        refused(answer, {400, 403, 404})
    assert caller.ask(caller.request("GET", "/-/live")).status != 200


def test_f25_of_many_writers_who_want_to_be_first_exactly_one_is(caller, bucket):
    statuses: list[int] = []

    def write(number: int) -> None:
        answer = caller.call("PUT", f"/{bucket}/k", b"%02d" % number, [("If-None-Match", "*")])
        statuses.append(answer.status)

    writers = [threading.Thread(target=write, args=(number,)) for number in range(20)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert statuses.count(200) == 1
    assert set(statuses) <= {200, 409, 412}


def test_f25_of_many_writers_who_saw_the_same_state_exactly_one_changes_it(caller, bucket):
    etag = caller.put(bucket, "k", b"seen by all").header("etag") or ""
    statuses: list[int] = []

    def write(number: int) -> None:
        answer = caller.call("PUT", f"/{bucket}/k", b"%02d" % number, [("If-Match", etag)])
        statuses.append(answer.status)

    writers = [threading.Thread(target=write, args=(number,)) for number in range(20)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert statuses.count(200) == 1
    assert set(statuses) <= {200, 409, 412}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("x-amz-server-side-encryption", "aws:kms"),
        ("x-amz-server-side-encryption-customer-algorithm", "AES256"),
        ("x-amz-object-lock-mode", "COMPLIANCE"),
        ("x-amz-object-lock-legal-hold", "ON"),
        ("x-amz-acl", "public-read"),
        ("x-amz-acl", "nonsense"),
        ("x-amz-grant-read", 'uri="http://acs.amazonaws.com/groups/global/AllUsers"'),
        ("x-amz-storage-class", "NONSENSE"),
        ("x-amz-website-redirect-location", "/elsewhere"),
        ("x-amz-write-offset-bytes", "5"),
    ],
)
def test_f26_protection_that_is_not_there_is_not_promised(caller, untouched, name, value):
    refused(caller.call("PUT", f"/{untouched}/victim", b"mine", [(name, value)]), {400, 403, 501})
    refused(caller.call("POST", f"/{untouched}/victim?uploads", b"", [(name, value)]), {400, 403, 501})


@pytest.mark.parametrize("query", ["acl", "policy", "versioning", "lifecycle", "replication", "encryption", "object-lock", "website", "logging", "notification", "accelerate", "inventory&id=x", "analytics&id=x", "metrics&id=x", "publicAccessBlock", "ownershipControls", "intelligent-tiering&id=x", "requestPayment", "tagging", "cors"])  # fmt: skip
def test_f26_a_sub_resource_is_never_taken_for_the_bucket_or_the_object(caller, untouched, query):
    """A PUT ?acl that fell through to PutObject would overwrite the object; a DELETE ?policy would delete the bucket."""
    for method in ("PUT", "DELETE"):
        answer = caller.call(method, f"/{untouched}?{query}", b"<x/>" if method == "PUT" else b"")
        assert answer.status in (204, 400, 403, 404, 405, 501), answer
    for name in ("acl", "legal-hold", "retention", "torrent", "restore", "select&select-type=2", "renameObject"):
        for method in ("PUT", "POST", "DELETE"):
            answer = caller.call(method, f"/{untouched}/victim?{name}", b"<x/>" if method != "DELETE" else b"")
            assert answer.status in (400, 403, 404, 405, 501), answer


def test_f26_the_error_of_an_unknown_operation_names_no_secret(caller, untouched):
    root = refused(caller.call("PUT", f"/{untouched}?policy", b"{}"), 501, "NotImplemented")
    assert text(root, "Message")
