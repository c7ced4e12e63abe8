"""DeleteObjects: each of its entries is deleted or refused by itself."""

import json
from pathlib import Path

from gateway.web.documents import AT_ONCE
from tests.support.caller import Caller, delete_document, parse_xml, texts
from tests.support.gateway import OTHER_POLICY, Gateway
from tests.support.signer import Signer, content_md5

POLICY = """\
project = "demo"

[categories.media]

[principals.ops]
role = "admin"

[principals.sara]
role = "uploader"
"""


def test_a_key_that_no_object_can_have_is_refused_by_itself_and_the_others_are_deleted(tmp_path: Path):
    impossible = {"a/../b": "InvalidURI", "tab\tbed": "InvalidURI", "é" * 513: "KeyTooLongError"}
    with Gateway(tmp_path) as gateway:
        ops = Caller.of(gateway)
        for key in ("first", "last"):
            ops.put("demo-media", key, b"bytes")
        document = delete_document(["first", *impossible, "last"])
        answer = ops.call("POST", "/demo-media?delete=", document, [("Content-MD5", content_md5(document))])
        told = parse_xml(answer.body)
        assert (answer.status, texts(told, "Deleted/Key")) == (200, ["first", "last"]), answer
        assert dict(zip(texts(told, "Error/Key"), texts(told, "Error/Code"), strict=True)) == impossible
        assert ops.keys("demo-media") == []


def test_a_thousand_long_keys_are_deleted_at_once(tmp_path: Path):
    with Gateway(tmp_path) as gateway:
        ops = Caller.of(gateway)
        keys = [f"{'long' * 50}{number}" for number in range(1000)]
        for key in ("kept", keys[7]):
            ops.put("demo-media", key, b"bytes")
        document = delete_document(keys)
        assert len(document) > AT_ONCE
        answer = ops.call("POST", "/demo-media?delete=", document, [("Content-MD5", content_md5(document))])
        assert texts(parse_xml(answer.body), "Deleted/Key") == keys
        assert ops.keys("demo-media") == ["kept"]


def test_the_audit_counts_every_object_that_somebody_was_not_let_delete(tmp_path: Path):
    with Gateway(tmp_path, policies={"demo": POLICY, "other": OTHER_POLICY}) as gateway:
        ops = Caller.of(gateway)
        sara = Caller(gateway.host, gateway.port, Signer(*gateway.create_key("demo", "sara")))
        for key in ("a", "b"):
            ops.put("demo-media", key, b"bytes")
        sara.put("demo-media", "own", b"bytes")
        document = delete_document(["a", "own", "b", "missing"])
        answer = sara.call("POST", "/demo-media?delete=", document, [("Content-MD5", content_md5(document))])
        assert texts(parse_xml(answer.body), "Error/Code") == ["AccessDenied"] * 3, answer
        assert gateway.stop() == 0
        (told,) = json.loads(gateway.command("audit", "--event", "request.denied", "--json"))
    assert (told["project"], told["actor"], told["subject"]) == ("demo", "sara", "demo-media")
    assert (told["details"]["operation"], told["details"]["count"]) == ("DeleteObjects", 3)
