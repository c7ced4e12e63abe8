"""H: documents that a client sends: no entity, no file, no network, and never half of a batch."""

import http.server
import threading
from collections.abc import Iterator

import pytest

from tests.support.caller import Caller, complete_document, delete_document, parse_xml, refused, texts
from tests.support.process import MIB, forget_peak, peak_memory
from tests.support.raw_http import Answer
from tests.support.signer import content_md5, crc32, object_path, sha256_hex

BILLION_LAUGHS = "<!DOCTYPE x [<!ENTITY a0 'ha'>" + "".join(
    f"<!ENTITY a{number} '{f'&a{number - 1};' * 10}'>" for number in range(1, 10)
)
QUADRATIC = "<!DOCTYPE x [<!ENTITY a '" + "a" * 100_000 + "'>]>"


@pytest.fixture
def visited() -> Iterator[list[str]]:
    """A web server on loopback that nobody may visit; it tells which paths were asked for at `visited[0]`'s port."""
    paths: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            paths.append(self.path)
            self.send_error(404)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        paths.append(f"http://127.0.0.1:{server.server_port}/dtd")
        serving = threading.Thread(target=server.serve_forever)
        serving.start()
        try:
            yield paths
        finally:
            server.shutdown()
            serving.join()


def delete(caller: Caller, bucket: str, body: bytes, **headers: str) -> Answer:
    """DeleteObjects with a Content-MD5 that holds, where no header is given."""
    named = headers or {"Content-MD5": content_md5(body)}
    return caller.call(
        "POST", f"/{bucket}?delete", body, [(name.replace("_", "-"), value) for name, value in named.items()]
    )


def documents_of(root: str, inner: str) -> list[tuple[str, str]]:
    """Where a client sends a document: the bucket's and object's targets, and a document with `inner` in a text."""
    return [
        ("POST {bucket}?delete", f"<Delete><Object><Key>{inner}</Key></Object></Delete>"),
        (
            "PUT {bucket}/victim?tagging",
            f"<Tagging><TagSet><Tag><Key>{inner}</Key><Value>v</Value></Tag></TagSet></Tagging>",
        ),
        (
            "POST {bucket}/victim?uploadId={upload}",
            f"<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>{inner}</ETag></Part></CompleteMultipartUpload>",
        ),
        (
            "PUT {bucket}-new",
            f"<CreateBucketConfiguration><LocationConstraint>{inner}</LocationConstraint></CreateBucketConfiguration>",
        ),
    ]


DOCTYPES = {
    "file": '<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/hostname">]>',
    "url": '<!DOCTYPE x [<!ENTITY e SYSTEM "{url}">]>',
    "parameter entity": '<!DOCTYPE x [<!ENTITY % e SYSTEM "{url}"> %e;]>',
    "external subset": '<!DOCTYPE x SYSTEM "{url}"><!-- e -->',
    "public": '<!DOCTYPE x PUBLIC "-//x//EN" "{url}">',
    "internal": "<!DOCTYPE x [<!ENTITY e 'victim'>]>",
    "none of use": "<!DOCTYPE x>",
    "billion laughs": BILLION_LAUGHS + "<!ENTITY e '&a9;'>]>",
    "quadratic": QUADRATIC,
}


@pytest.mark.parametrize("doctype", DOCTYPES)
@pytest.mark.parametrize("place", range(4))
def test_h01_h02_a_document_with_a_doctype_is_refused(caller, untouched, gateway, visited, doctype, place):
    entity = "&e;" if "<!ENTITY e " in DOCTYPES[doctype] else "victim"
    target, document = documents_of("", entity)[place]
    method, _, path = target.partition(" ")
    upload = caller.start_upload(untouched, "victim") if "{upload}" in target else ""
    body = (DOCTYPES[doctype].replace("{url}", visited[0]) + document).encode()
    before = forget_peak(gateway.pid)
    headers = [("Content-MD5", content_md5(body))]
    answer = caller.call(method, "/" + path.format(bucket=untouched, upload=upload), body, headers)
    refused(answer, 400, "MalformedXML", "MaxMessageLengthExceeded")
    assert peak_memory(gateway.pid) - before < 16 * MIB
    assert visited[1:] == []
    if upload:
        assert caller.call("DELETE", object_path(untouched, "victim") + f"?uploadId={upload}").status == 204


def test_h02_quadratic_references_are_refused(caller, untouched):
    inner = "&a;" * 10_000
    body = (QUADRATIC + f"<Delete><Object><Key>{inner}</Key></Object></Delete>").encode()
    refused(delete(caller, untouched, body), 400, "MalformedXML")


@pytest.mark.parametrize("depth", [1000, 100_000])
def test_h02_deep_nesting_is_refused(caller, untouched, depth):
    body = b"<Delete>" + b"<a>" * depth + b"</a>" * depth + b"</Delete>"
    refused(delete(caller, untouched, body), 400, "MalformedXML")


def test_h02_a_document_without_bounds_is_refused_in_little_memory(caller, untouched, gateway):
    body = b"<Delete>" + b" " * 16 * MIB + b"</Delete>"
    before = forget_peak(gateway.pid)
    refused(delete(caller, untouched, body), 400, "MaxMessageLengthExceeded")
    assert peak_memory(gateway.pid) - before < 24 * MIB


def test_h04_more_than_a_thousand_keys_delete_nothing(caller, untouched):
    body = delete_document(["victim", *(f"k{number}" for number in range(1000))])
    refused(delete(caller, untouched, body), 400, "MalformedXML")


@pytest.mark.parametrize(
    "document",
    [
        "<Delete/>",
        "<Delete></Delete>",
        "<Delete><Quiet>true</Quiet></Delete>",
        "<Delete><Object/></Delete>",
        "<Delete><Object><Key></Key></Object></Delete>",
        "<Delete><Object><Key>victim</Key><Key>other</Key></Object></Delete>",
        "<Delete><Object><Key>other</Key></Object><Object></Object></Delete>",
        "<Delete><Object><VersionId>null</VersionId></Object></Delete>",
        "<Delete><Object><Key>victim</Key></Object><Quiet>maybe</Quiet></Delete>",
        "<Delete>victim</Delete>",
        "<delete><object><key>victim</key></object></delete>",
        "<Other><Object><Key>victim</Key></Object></Other>",
        "<Delete><Object><Key>victim</Key></Object>",
        "<Delete><Object><Key>victim</Key></Object></Delete><Delete/>",
        "victim",
        "",
        "{}",
        "<Delete><Object><Key>victim<b/></Key></Object></Delete>",
        "<Delete><Object><Key>vic&tim;</Key></Object></Delete>",
        "<Delete><Object><Key>victim\x01</Key></Object></Delete>",
        "<Delete><Object><Key>victim&#1;</Key></Object></Delete>",
    ],
)
def test_h04_a_batch_that_is_none_deletes_nothing(caller, untouched, document):
    refused(delete(caller, untouched, document.encode()), 400, "MalformedXML", "MissingRequestBodyError")


def test_h04_a_key_that_is_no_key_in_a_batch_is_an_error_of_its_own(caller, untouched):
    """`..` or too long: refused as a whole or for that key alone, but never carried out elsewhere."""
    for key in ("../victim", "a/../victim", "./victim", "k" * 1025):
        answer = delete(caller, untouched, delete_document([key]))
        if answer.status == 200:
            assert texts(parse_xml(answer.body), "Deleted/Key") in ([], [key])
        else:
            refused(answer, 400)


def test_h04_a_batch_without_a_digest_deletes_nothing(caller, untouched):
    refused(caller.call("POST", f"/{untouched}?delete", delete_document(["victim"])), 400, "InvalidRequest")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Content-MD5", content_md5(b"another")),
        ("Content-MD5", "x"),
        ("x-amz-checksum-crc32", crc32(b"another")),
        ("x-amz-checksum-sha256", "AAAA"),
    ],
)
def test_h04_a_batch_with_a_wrong_digest_deletes_nothing(caller, untouched, name, value):
    refused(delete(caller, untouched, delete_document(["victim"]), **{name: value}), 400)


def test_h04_a_batch_whose_signed_hash_is_not_its_own_deletes_nothing(caller, untouched):
    body = delete_document(["victim"])
    headers = [("Content-MD5", content_md5(body))]
    request = caller.signed("POST", f"/{untouched}?delete", body, headers, payload=sha256_hex(b"another"))
    refused(caller.ask(request), 400, "XAmzContentSHA256Mismatch")


GOOD = "<Delete><Object><Key>é</Key></Object></Delete>"


@pytest.mark.parametrize(
    "body",
    [
        GOOD.encode("latin-1"),
        b'<?xml version="1.0" encoding="utf-7"?>' + GOOD.encode(),
        b'<?xml version="1.0" encoding="nonsense"?>' + GOOD.encode(),
        b"<Delete><Object><Key>\xff</Key></Object></Delete>",
        b"<Delete><Object><Key>\xed\xa0\x80</Key></Object></Delete>",
        b"\x00" + GOOD.encode(),
        GOOD.encode("utf-16-le"),
        b'<?xml version="1.1"?><Delete><Object><Key>&#1;</Key></Object></Delete>',
    ],
)
def test_h05_another_encoding_deletes_nothing(caller, untouched, body):
    refused(delete(caller, untouched, body), 400, "MalformedXML")


@pytest.mark.parametrize(
    "body",
    [
        b"\xef\xbb\xbf" + GOOD.encode(),
        b'<?xml version="1.0" encoding="UTF-8"?>\n' + GOOD.encode(),
        GOOD.replace("<Delete>", '<Delete xmlns="http://s3.amazonaws.com/doc/2006-03-01/">').encode(),
        b'<s:Delete xmlns:s="http://s3.amazonaws.com/doc/2006-03-01/"><s:Object><s:Key>\xc3\xa9</s:Key></s:Object></s:Delete>',
        GOOD.replace("é", "<![CDATA[é]]>").encode(),
        GOOD.replace("é", "&#233;").encode(),
        GOOD.replace("é", "<!-- c -->é<!-- c -->").encode(),
        GOOD.replace("<Key>", "<Unknown/><Key>").encode(),
        GOOD.encode("utf-16"),
    ],
)
def test_h05_an_unusual_document_deletes_the_key_it_names_or_nothing(caller, untouched, body):
    for key in ("é", "c", " c "):
        caller.put(untouched, key, b"")
    answer = delete(caller, untouched, body)
    left = set(caller.keys(untouched))
    if answer.status == 200:
        assert left == {"victim", "c", " c "}
    else:
        refused(answer, 400, "MalformedXML")
        assert left == {"victim", "c", " c ", "é"}
    for key in left - {"victim"}:
        caller.call("DELETE", object_path(untouched, key))


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<",
        b"<Tagging/>",
        b"<Tagging><TagSet><Tag/></TagSet></Tagging>",
        b"<Tagging><TagSet><Tag><Key>a</Key></Tag></TagSet></Tagging>",
        b"<Tagging><TagSet><Tag><Key></Key><Value>v</Value></Tag></TagSet></Tagging>",
        b"<Tagging><TagSet><Tag><Key>a</Key><Value>1</Value></Tag><Tag><Key>a</Key><Value>2</Value></Tag></TagSet></Tagging>",
        b"<Tagging><TagSet><Tag><Key>aws:x</Key><Value>1</Value></Tag></TagSet></Tagging>",
        b"<Tagging><TagSet><Tag><Key>" + b"k" * 129 + b"</Key><Value>1</Value></Tag></TagSet></Tagging>",
        b"<Tagging><TagSet><Tag><Key>k</Key><Value>" + b"v" * 257 + b"</Value></Tag></TagSet></Tagging>",
        b"<Tagging><TagSet>" + b"".join(b"<Tag><Key>%d</Key><Value>v</Value></Tag>" % number for number in range(11)) + b"</TagSet></Tagging>",
        b"\xff\xfe",
    ],
)  # fmt: skip
def test_h07_tags_that_are_none_change_nothing(caller, untouched, body):
    good = b"<Tagging><TagSet><Tag><Key>a</Key><Value>1</Value></Tag></TagSet></Tagging>"
    target = f"/{untouched}/victim?tagging"
    assert caller.call("PUT", target, good).status == 200
    refused(caller.call("PUT", target, body, [("Content-MD5", content_md5(body))]), 400)
    assert texts(parse_xml(caller.call("GET", target).body), "TagSet/Tag/Value") == ["1"]


@pytest.mark.parametrize(
    "value",
    [
        "a",
        "=",
        "a=1&a=2",
        "aws:x=1",
        "&".join(f"k{number}=v" for number in range(11)),
        "a=%FF",
        "a=%zz",
        "k" * 129 + "=v",
        "a=\udcff",
        "a=b=c",
        "a=<b>",
    ],
)
def test_h07_a_tagging_header_of_any_shape_is_stored_well_or_not_at_all(caller, bucket, value):
    answer = caller.call("PUT", f"/{bucket}/k", b"", [("x-amz-tagging", value)])
    if answer.status == 200:
        tags = caller.call("GET", f"/{bucket}/k?tagging")
        assert tags.status == 200
        assert len(texts(parse_xml(tags.body), "TagSet/Tag/Key")) <= 10
    else:
        refused(answer, 400)
        assert caller.keys(bucket) == []


def test_h07_the_bytes_of_a_completed_upload_survive_a_broken_second_list(caller, bucket):
    upload_id = caller.start_upload(bucket, "k")
    etag = caller.put_part(bucket, "k", upload_id, 1, b"bytes")
    assert caller.complete(bucket, "k", upload_id, complete_document([(1, etag)])).status == 200
    refused(caller.complete(bucket, "k", upload_id, b"<"), {400, 404})
    assert caller.get(bucket, "k").body == b"bytes"
