"""A small body at a store that verifies checksums: it gets the object's own, and no MD5 is computed where it says it.

Where it does not say it, what it has stored is compared by its MD5.
"""

import base64
import hashlib
from collections.abc import Iterator, Mapping

import pytest

from tests.support.caller import Caller, complete_document, refused
from tests.support.gateway import Gateway
from tests.support.origin_faults import Change, LoseAnswer, WrongETag
from tests.support.origin_journal import Entry
from tests.support.origin_signatures import CHECKSUMS
from tests.support.raw_http import eventually
from tests.support.s3_gateway import BUCKET, CAPABILITIES, calling, s3_gateway, served, stray_bodies
from tests.support.scripted_origin import ScriptedOrigin

BODY = b"a small voice recording"
CRC64 = "x-amz-checksum-crc64nvme"


@pytest.fixture(scope="module")
def origin() -> Iterator[ScriptedOrigin]:
    with ScriptedOrigin(also_allowed=tuple(CHECKSUMS)) as running:
        yield running


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory, origin: ScriptedOrigin) -> Iterator[Gateway]:
    capabilities = {**CAPABILITIES, "checksum_headers": True}
    made = s3_gateway(tmp_path_factory.mktemp("checksums"), origin, capabilities=capabilities, retries=1)
    with served(made, origin) as gateway:
        yield gateway


@pytest.fixture
def caller(running: Gateway, origin: ScriptedOrigin) -> Iterator[Caller]:
    with calling(running, origin) as caller:
        yield caller
    assert origin.unexpected == []


def digest(name: str, body: bytes = BODY) -> str:
    return base64.b64encode(CHECKSUMS[name](body)).decode()


def etag(body: bytes = BODY) -> str:
    return f'"{hashlib.md5(body, usedforsecurity=False).hexdigest()}"'


def sent_checksums(entry: Entry) -> Mapping[str, str]:
    return {name.lower(): value for name, value in entry.headers if name.lower() in {*CHECKSUMS, "content-md5"}}


def test_the_checksum_that_is_kept_goes_along_and_the_etag_is_the_stores(caller: Caller, origin: ScriptedOrigin):
    made = caller.put(BUCKET, "plain", BODY)
    (entry,) = origin.requests("PutObject")
    assert sent_checksums(entry) == {CRC64: digest(CRC64)}
    assert made.header("etag") == etag()
    assert made.header(CRC64) == digest(CRC64)
    found = caller.get(BUCKET, "plain")
    assert found.body == BODY
    assert found.header("etag") == etag()


@pytest.mark.parametrize("name", CHECKSUMS)
def test_a_checksum_of_the_client_is_the_one_that_goes_along(caller: Caller, origin: ScriptedOrigin, name: str):
    caller.put(BUCKET, name, BODY, [(name, digest(name))])
    (entry,) = origin.requests("PutObject")
    assert sent_checksums(entry) == {name: digest(name)}


def test_a_md5_of_the_client_goes_along_and_is_compared(caller: Caller, origin: ScriptedOrigin):
    md5 = base64.b64encode(hashlib.md5(BODY, usedforsecurity=False).digest()).decode()
    caller.put(BUCKET, "md5", BODY, [("Content-MD5", md5)])
    (entry,) = origin.requests("PutObject")
    assert sent_checksums(entry) == {"content-md5": md5}
    origin.script("PutObject", do=WrongETag(), times=None)
    refused(caller.call("PUT", f"/{BUCKET}/md5-wrong", BODY, [("Content-MD5", md5)]), 503)


@pytest.mark.parametrize(
    "unconfirmed",
    [Change(without=(CRC64,)), Change(headers={CRC64: "AAAAAAAAAAA="}), LoseAnswer(applied=True)],
    ids=["says nothing", "says another", "is not heard"],
)
def test_a_store_that_does_not_confirm_it_is_compared_by_the_md5(
    caller: Caller, origin: ScriptedOrigin, unconfirmed: Change | LoseAnswer
):
    origin.script("PutObject", do=unconfirmed)
    made = caller.put(BUCKET, "unconfirmed", BODY)
    assert made.header("etag") == etag()
    assert caller.get(BUCKET, "unconfirmed").body == BODY


def test_what_is_neither_confirmed_nor_of_this_md5_is_not_acknowledged(
    caller: Caller, running: Gateway, origin: ScriptedOrigin
):
    other = '"00000000000000000000000000000000"'
    script = origin.script("PutObject", do=Change(without=(CRC64,), headers={"ETag": other}), times=None)
    refused(caller.call("PUT", f"/{BUCKET}/neither", BODY), 503)
    assert script.taken
    script.remove()
    assert caller.get(BUCKET, "neither").status == 404
    assert eventually(lambda: not stray_bodies(running, origin))


def test_a_part_has_none_since_an_upload_has_but_one_kind(caller: Caller, origin: ScriptedOrigin):
    upload_id = caller.start_upload(BUCKET, "parts")
    part = caller.put_part(BUCKET, "parts", upload_id, 1, BODY)
    (entry,) = origin.requests("UploadPart")
    assert not set(sent_checksums(entry)) & set(CHECKSUMS)
    assert caller.complete(BUCKET, "parts", upload_id, complete_document([(1, part)])).status == 200
    assert caller.get(BUCKET, "parts").body == BODY
