"""What others put at the origin: never harmed by what we clean up, and taken in where a category says so."""

from collections.abc import Iterator
from datetime import timedelta

import pytest

from tests.support.caller import Caller, complete_document, refused
from tests.support.gateway import DEMO_POLICY, OTHER_POLICY, Gateway
from tests.support.oracle import rows, usage_is_the_sum_of_the_objects
from tests.support.origin_faults import Fail, LoseAnswer, WrongETag
from tests.support.raw_http import eventually
from tests.support.s3_gateway import BUCKET, SMALL, calling, end_waiting, s3_gateway
from tests.support.scripted_origin import ScriptedOrigin
from tests.support.signer import BOUNDARY, Signer, form_body, post_policy

ADOPTING = (
    DEMO_POLICY.replace("[categories.voice]\n", "[categories.voice]\nadopt = true\n")
    + '\n[principals.app]\nrole = "service"\n\n[principals.u1]\nrole = "uploader"\n'
)
SHARED = "demo-voice"
"""The bucket in which others write too."""

SIZES = [1000, 3 * SMALL]


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory, origin: ScriptedOrigin) -> Iterator[Gateway]:
    policies = {"demo": ADOPTING, "other": OTHER_POLICY}
    with s3_gateway(tmp_path_factory.mktemp("foreign"), origin, policies=policies, retries=1) as gateway:
        yield gateway


@pytest.fixture
def caller(running: Gateway, origin: ScriptedOrigin) -> Iterator[Caller]:
    with calling(running, origin) as caller:
        yield caller
    usage_is_the_sum_of_the_objects(running)
    assert origin.unexpected == []


@pytest.fixture(scope="module")
def service(running: Gateway) -> Caller:
    """Who reads all of the project, and changes only what is its own."""
    return Caller(running.host, running.port, Signer(*running.create_key("demo", "app")))


@pytest.fixture(scope="module")
def uploader(running: Gateway) -> Caller:
    """Who reads only what is its own."""
    return Caller(running.host, running.port, Signer(*running.create_key("demo", "u1")))


def body_of(origin: ScriptedOrigin, key: str, bucket: str = BUCKET) -> bytes | None:
    found = origin.objects(bucket).get(key)
    return None if found is None else found.body


# Where nothing is taken in, what others have put there stays.


def beside(origin: ScriptedOrigin, key: str) -> list[str]:
    """The keys at the origin under which bodies lie beside their own."""
    return [found for found in origin.objects(BUCKET) if found.startswith(f"{key}@")]


@pytest.mark.parametrize("size", SIZES, ids=["small", "streamed"])
def test_a_put_where_others_have_put_something_is_stored_beside_it(caller: Caller, origin: ScriptedOrigin, size: int):
    key = f"put-{size}"
    theirs = origin.put_behind(BUCKET, key, b"foreign")
    refused(caller.get(BUCKET, key), 404)
    caller.put(BUCKET, key, b"x" * size)
    assert caller.get(BUCKET, key).body == b"x" * size
    assert len(beside(origin, key)) == 1
    caller.put(BUCKET, key, b"again")
    assert caller.get(BUCKET, key).body == b"again"
    assert caller.call("DELETE", f"/{BUCKET}/{key}").status == 204
    refused(caller.get(BUCKET, key), 404)
    assert eventually(lambda: not beside(origin, key))
    assert origin.objects(BUCKET)[key] == theirs, "what is not in the catalog is neither replaced nor removed"
    assert caller.keys(BUCKET) == ["probe"]


def test_a_form_where_others_have_put_something_is_stored_beside_it(caller: Caller, origin: ScriptedOrigin):
    """Of its body nobody knows the size before its end."""
    for key, body in (("form-small", b"x"), ("form", b"x" * SIZES[1])):
        theirs = origin.put_behind(BUCKET, key, b"foreign")
        names = ("key", "x-amz-credential", "x-amz-algorithm", "x-amz-date")
        conditions = [{"bucket": BUCKET}, *(["starts-with", f"${name}", ""] for name in names)]
        form = form_body([("key", key), *caller.signer.post_fields(post_policy(conditions)).items()], body)
        headers = [("Content-Type", f"multipart/form-data; boundary={BOUNDARY}")]
        assert caller.ask(caller.request("POST", f"/{BUCKET}", form, headers)).status == 204
        assert caller.get(BUCKET, key).body == body
        assert origin.objects(BUCKET)[key] == theirs


def test_a_copy_where_others_have_put_something_is_made_beside_it(caller: Caller, origin: ScriptedOrigin):
    theirs = origin.put_behind(BUCKET, "copy", b"foreign")
    headers = [("x-amz-copy-source", f"/{BUCKET}/probe")]
    assert caller.call("PUT", f"/{BUCKET}/copy", b"", headers).status == 200
    assert caller.get(BUCKET, "copy").body == b"?"
    assert origin.objects(BUCKET)["copy"] == theirs


def test_an_upload_where_others_have_put_something_is_begun_beside_it(caller: Caller, origin: ScriptedOrigin):
    theirs = origin.put_behind(BUCKET, "upload", b"foreign")
    upload_id = caller.start_upload(BUCKET, "upload")
    etag = caller.put_part(BUCKET, "upload", upload_id, 1, b"part")
    assert caller.complete(BUCKET, "upload", upload_id, complete_document([(1, etag)])).status == 200
    assert caller.get(BUCKET, "upload").body == b"part"
    assert origin.objects(BUCKET)["upload"] == theirs


def test_a_complete_where_others_have_put_something_since_is_begun_anew(caller: Caller, origin: ScriptedOrigin):
    upload_id = caller.start_upload(BUCKET, "complete")
    document = complete_document([(1, caller.put_part(BUCKET, "complete", upload_id, 1, b"part"))])
    origin.put_behind(BUCKET, "complete", b"foreign")
    refused(caller.complete(BUCKET, "complete", upload_id, document), 409, "ConditionalRequestConflict")
    anew = caller.start_upload(BUCKET, "complete")
    document = complete_document([(1, caller.put_part(BUCKET, "complete", anew, 1, b"part"))])
    assert caller.complete(BUCKET, "complete", anew, document).status == 200
    assert caller.get(BUCKET, "complete").body == b"part"
    assert body_of(origin, "complete") == b"foreign"
    assert caller.call("DELETE", f"/{BUCKET}/complete?uploadId={upload_id}").status == 204
    assert body_of(origin, "complete") == b"foreign"
    assert not origin.uploads(BUCKET)


def test_what_others_put_there_while_a_body_streams_costs_its_client_a_second_try(
    caller: Caller, origin: ScriptedOrigin
):
    """What was sent cannot be sent again from here: a 503, which a client answers by itself, and then it goes beside."""
    barrier = origin.barrier("PutObject", key="meanwhile", phase="body")
    request = caller.signed("PUT", f"/{BUCKET}/meanwhile", b"x" * SIZES[1])
    with caller.connect() as connection:
        connection.send(request.encode())
        barrier.wait_reached()
        origin.put_behind(BUCKET, "meanwhile", b"foreign")
        barrier.remove()
        refused(connection.answer("PUT"), 503, "SlowDown")
    refused(caller.get(BUCKET, "meanwhile"), 404)
    origin.clear_journal()
    caller.put(BUCKET, "meanwhile", b"x" * SIZES[1])
    assert not origin.requests("PutObject", key="meanwhile"), "it is known to be taken"
    assert caller.get(BUCKET, "meanwhile").body == b"x" * SIZES[1]
    assert body_of(origin, "meanwhile") == b"foreign"


@pytest.mark.parametrize("size", SIZES, ids=["small", "streamed"])
@pytest.mark.parametrize("code", ["PreconditionFailed", "ExistingObjectIsDirectory", "XMinioObjectExistsAsDirectory"])
def test_a_folder_that_a_store_takes_for_an_object_is_no_hindrance(
    caller: Caller, origin: ScriptedOrigin, size: int, code: str
):
    """It makes paths of keys, and where `a/b` is it has no place for an `a`, though a look shows nothing there."""
    status, key = 412 if code == "PreconditionFailed" else 409, f"folder-{size}-{code}"
    origin.script("PutObject", key=key, do=Fail(status, code), times=None)
    if size > SMALL:
        refused(caller.call("PUT", f"/{BUCKET}/{key}", b"x" * size), 503, "SlowDown")
    caller.put(BUCKET, key, b"x" * size)
    assert caller.get(BUCKET, key).body == b"x" * size
    assert key not in origin.objects(BUCKET)


@pytest.mark.parametrize("size", SIZES, ids=["small", "streamed"])
def test_the_undoing_of_a_failed_write_leaves_what_others_put_there_since(
    caller: Caller, origin: ScriptedOrigin, running: Gateway, size: int
):
    key = f"undo-{size}"
    barrier = origin.barrier("PutObject", key=key, phase="body")
    origin.script("PutObject", key=key, do=LoseAnswer(applied=False), times=None)
    origin.script("PutObject", key=key, do=Fail(503), times=None)
    with caller.connect() as connection:
        connection.send(caller.signed("PUT", f"/{BUCKET}/{key}", b"x" * size).encode())
        barrier.wait_reached()
        origin.put_behind(BUCKET, key, b"foreign")
        barrier.release()
        assert connection.answer("PUT").status >= 409
    origin.heal()
    running.restart()
    assert eventually(lambda: not rows(running, "SELECT 1 FROM intents"))
    assert body_of(origin, key) == b"foreign"
    running.stop()
    end_waiting(running)
    running.start()
    assert eventually(lambda: not rows(running, "SELECT 1 FROM garbage"), within_s=10)
    assert body_of(origin, key) == b"foreign"


def test_an_abort_leaves_what_others_put_there(caller: Caller, origin: ScriptedOrigin):
    upload_id = caller.start_upload(BUCKET, "abort")
    caller.put_part(BUCKET, "abort", upload_id, 1, b"part")
    origin.put_behind(BUCKET, "abort", b"foreign")
    assert caller.call("DELETE", f"/{BUCKET}/abort?uploadId={upload_id}").status == 204
    assert body_of(origin, "abort") == b"foreign"


@pytest.mark.parametrize("foreign", [b"foreign", b"ours"], ids=["other", "the same bytes"])
@pytest.mark.parametrize("way", ["overwrite", "delete"])
def test_what_others_put_over_an_object_of_ours_is_not_removed_with_it(
    caller: Caller, origin: ScriptedOrigin, running: Gateway, way: str, foreign: bytes
):
    """Nothing is taken in here: the catalog's object is gone by its client's wish, the foreign one is nobody's here."""
    key = f"over-{way}-{foreign.decode()}"
    caller.put(BUCKET, key, b"ours")
    theirs = origin.put_behind(BUCKET, key, foreign)
    if way == "delete":
        assert caller.call("DELETE", f"/{BUCKET}/{key}").status == 204
    else:
        caller.put(BUCKET, key, b"ours again")
        assert caller.get(BUCKET, key).body == b"ours again"
    assert eventually(lambda: not rows(running, "SELECT 1 FROM garbage WHERE until_s = 0")), (
        "ours is gone, it is settled"
    )
    assert origin.objects(BUCKET).get(key) == theirs
    assert not origin.requests("DeleteObject", key=key)
    caller.put(BUCKET, key, b"ours once more")
    assert caller.get(BUCKET, key).body == b"ours once more"
    assert origin.objects(BUCKET).get(key) == theirs


def test_a_body_whose_etag_was_told_wrong_is_ours_all_the_same_and_removed(
    caller: Caller, origin: ScriptedOrigin, running: Gateway
):
    """Of a streamed body the origin alone knows the MD5; the id of its write says whose it is."""
    origin.script("PutObject", key="told-wrong", do=WrongETag())
    caller.put(BUCKET, "told-wrong", b"b" * SIZES[1])
    assert caller.call("DELETE", f"/{BUCKET}/told-wrong").status == 204
    assert eventually(lambda: not rows(running, "SELECT 1 FROM garbage WHERE until_s = 0"))
    assert "told-wrong" not in origin.objects(BUCKET)


def test_a_removal_at_a_keys_own_place_costs_one_look_and_elsewhere_none(
    caller: Caller, origin: ScriptedOrigin, running: Gateway
):
    caller.put(BUCKET, "cost", b"first")
    caller.put(BUCKET, "cost", b"second")  # beside it
    assert eventually(lambda: not rows(running, "SELECT 1 FROM garbage WHERE until_s = 0"))
    (beside,) = (key for key in origin.objects(BUCKET) if key.startswith("cost@"))
    assert len(origin.requests("HeadObject", key="cost")) == len(origin.requests("DeleteObject", key="cost")) == 1
    assert caller.call("DELETE", f"/{BUCKET}/cost").status == 204
    assert len(origin.requests("DeleteObject", key=beside)) == 1
    assert not origin.requests("HeadObject", key=beside)


def test_an_object_of_ours_that_cannot_be_looked_at_is_removed_later(
    caller: Caller, origin: ScriptedOrigin, running: Gateway
):
    """A look that fails has removed nothing: the room stays charged, and the place is not watched for it."""
    caller.put(BUCKET, "unseen", b"ours")
    origin.script("HeadObject", key="unseen", do=LoseAnswer(applied=False), times=2)
    assert caller.call("DELETE", f"/{BUCKET}/unseen").status == 204
    assert rows(running, "SELECT bytes, until_s FROM garbage WHERE location LIKE '%unseen'") == [(4, 0)]
    origin.heal()
    running.restart()
    assert eventually(lambda: "unseen" not in origin.objects(BUCKET))


def test_uploads_that_others_have_begun_to_a_key_of_ours_go_on(
    caller: Caller, origin: ScriptedOrigin, running: Gateway
):
    """Ours that nobody heard of are looked for by their key: what was begun before is none of them."""
    theirs = origin.begin_upload_behind(BUCKET, "under-way", ago=timedelta(minutes=5))
    origin.script("PutObject", key="under-way", do=LoseAnswer(applied=False), times=None)
    refused(caller.call("PUT", f"/{BUCKET}/under-way", b"small"), 503)
    origin.heal()
    assert set(origin.uploads(BUCKET)) == {theirs}
    running.stop()
    end_waiting(running)
    running.start()
    assert eventually(lambda: not rows(running, "SELECT 1 FROM garbage"), within_s=10)
    origin.script("CreateMultipartUpload", key="under-way", do=LoseAnswer(applied=True))
    refused(caller.call("POST", f"/{BUCKET}/under-way?uploads="), 503)
    assert origin.wait_for("AbortMultipartUpload", key="under-way")
    assert set(origin.uploads(BUCKET)) == {theirs}
    origin.abort_behind(BUCKET, theirs)


def test_a_removal_of_ours_ends_no_upload_that_others_begin_meanwhile(
    caller: Caller, origin: ScriptedOrigin, running: Gateway
):
    """Its answer is lost, so its place is watched: but it is an object, and has begun no upload."""
    caller.put(BUCKET, "watched", b"ours")
    origin.script("DeleteObject", key="watched", do=LoseAnswer(applied=True))
    assert caller.call("DELETE", f"/{BUCKET}/watched").status == 204
    assert rows(running, "SELECT 1 FROM garbage WHERE until_s > 0 AND location LIKE '%watched'")
    theirs = origin.begin_upload_behind(BUCKET, "watched")
    origin.clear_journal()
    running.restart()
    assert origin.wait_for("HeadObject", key="watched")
    assert set(origin.uploads(BUCKET)) == {theirs}
    looked = [entry.query["prefix"] for entry in origin.requests("ListMultipartUploads")]
    assert "watched" not in looked
    origin.abort_behind(BUCKET, theirs)


# adopt = true.


def test_foreign_objects_are_taken_in_as_they_are_asked_for(caller: Caller, origin: ScriptedOrigin, running: Gateway):
    origin.put_behind(
        SHARED, "in/a.txt", b"foreign bytes", headers={"content-type": "text/plain", "cache-control": "max-age=5"},
        metadata={"colour": "red"}, tags={"k": "v"},
    )  # fmt: skip
    head = caller.call("HEAD", f"/{SHARED}/in/a.txt")
    assert head.status == 200
    assert head.header("content-length") == "13"
    answer = caller.get(SHARED, "in/a.txt")
    assert answer.body == b"foreign bytes"
    assert answer.header("content-type") == "text/plain"
    assert answer.header("cache-control") == "max-age=5"
    assert answer.header("x-amz-meta-colour") == "red"
    assert answer.header("etag") == origin.objects(SHARED)["in/a.txt"].etag
    assert caller.call("GET", f"/{SHARED}/in/a.txt", b"", [("Range", "bytes=8-")]).body == b"bytes"
    assert b"<Key>k</Key><Value>v</Value>" in caller.call("GET", f"/{SHARED}/in/a.txt?tagging=").body
    assert "in/a.txt" in caller.keys(SHARED)
    assert rows(running, "SELECT uploader FROM objects WHERE key = 'in/a.txt'") == [("(adopted)",)]
    assert len(origin.requests("HeadObject", key="in/a.txt")) == 1, "once"


def test_foreign_objects_can_be_copied_overwritten_and_deleted(caller: Caller, origin: ScriptedOrigin):
    for key in ("rw/copied", "rw/over", "rw/deleted"):
        origin.put_behind(SHARED, key, b"foreign")
    headers = [("x-amz-copy-source", f"/{SHARED}/rw/copied")]
    assert caller.call("PUT", f"/{SHARED}/rw/copy", b"", headers).status == 200
    assert caller.get(SHARED, "rw/copy").body == b"foreign"
    caller.put(SHARED, "rw/over", b"ours")
    assert caller.get(SHARED, "rw/over").body == b"ours"
    assert caller.call("DELETE", f"/{SHARED}/rw/deleted").status == 204
    refused(caller.get(SHARED, "rw/deleted"), 404)
    assert eventually(lambda: "rw/deleted" not in origin.objects(SHARED))
    assert eventually(lambda: sum(o.body == b"foreign" for k, o in origin.objects(SHARED).items() if "over" in k) == 0)


def test_foreign_objects_are_the_admins(caller: Caller, service: Caller, uploader: Caller, origin: ScriptedOrigin):
    origin.put_behind(SHARED, "theirs", b"foreign")
    assert service.get(SHARED, "theirs").body == b"foreign"
    for method in ("GET", "HEAD"):
        assert uploader.call(method, f"/{SHARED}/theirs").status == 403
    for one in (service, uploader):
        refused(one.call("PUT", f"/{SHARED}/theirs", b"x"), 403)
        refused(one.call("DELETE", f"/{SHARED}/theirs"), 403)
        refused(one.call("PUT", f"/{SHARED}/theirs?tagging=", b"<Tagging><TagSet/></Tagging>"), 403)
    refused(uploader.call("PUT", f"/{SHARED}/copied", b"", [("x-amz-copy-source", f"/{SHARED}/theirs")]), 403)
    assert body_of(origin, "theirs", SHARED) == b"foreign"
    assert caller.get(SHARED, "theirs").body == b"foreign"
    assert caller.call("DELETE", f"/{SHARED}/theirs").status == 204


def test_a_first_write_to_a_key_asks_whose_object_is_there(uploader: Caller, service: Caller, origin: ScriptedOrigin):
    """Nobody has ever asked for it: the origin is asked before somebody may store there."""
    for number, one in enumerate((service, uploader)):
        for size in SIZES:
            origin.put_behind(SHARED, f"first-{number}-{size}", b"foreign")
            refused(one.call("PUT", f"/{SHARED}/first-{number}-{size}", b"x" * size), 403)
            assert body_of(origin, f"first-{number}-{size}", SHARED) == b"foreign"


def test_nobody_unknown_makes_us_ask_the_origin(caller: Caller, running: Gateway, origin: ScriptedOrigin):
    origin.put_behind(SHARED, "private/a", b"foreign")
    neighbour = Caller.of(running, other=True)
    for method in ("GET", "HEAD", "PUT", "DELETE"):
        assert neighbour.call(method, f"/{SHARED}/private/a").status == 403
        assert caller.ask(caller.request(method, f"/{SHARED}/private/a")).status == 403
    assert body_of(origin, "private/a", SHARED) == b"foreign"


def test_an_adopted_object_that_is_changed_behind_us_is_seen_as_it_is(caller: Caller, origin: ScriptedOrigin):
    for body in (b"first", b"second one", b"third", b""):
        origin.put_behind(SHARED, "changing", body)
        assert caller.get(SHARED, "changing").body == body or body == b""
    assert caller.get(SHARED, "changing").body == b""
    answer = caller.call("HEAD", f"/{SHARED}/changing")
    assert answer.header("content-length") == "0"


def test_an_object_of_ours_that_is_changed_behind_us_is_served_anew(caller: Caller, origin: ScriptedOrigin):
    for bucket in (SHARED, BUCKET):
        caller.put(bucket, "ours", b"what we stored")
        origin.put_behind(bucket, "ours", b"what they stored")
        origin.clear_journal()
        answer = caller.get(bucket, "ours")
        assert answer.body == b"what they stored"
        assert answer.header("etag") == origin.objects(bucket)["ours"].etag
        assert caller.get(bucket, "ours").body == b"what they stored"
        assert len(origin.requests("HeadObject", key="ours")) == 1, "looked at once"


def test_rights_are_asked_anew_when_the_owner_changes_behind_us(
    caller: Caller, uploader: Caller, origin: ScriptedOrigin
):
    """The foreign bytes belong to the admins: who may read only what is its own is refused, from the first request."""
    uploader.put(SHARED, "mine", b"my own")
    assert uploader.get(SHARED, "mine").body == b"my own"
    origin.put_behind(SHARED, "mine", b"somebody else's")
    refused(uploader.get(SHARED, "mine"), 403)
    refused(uploader.call("DELETE", f"/{SHARED}/mine"), 403)
    assert caller.get(SHARED, "mine").body == b"somebody else's"


@pytest.mark.parametrize("bucket", [SHARED, BUCKET])
def test_an_object_that_is_removed_behind_us_is_an_error_and_can_be_stored_again(
    caller: Caller, origin: ScriptedOrigin, running: Gateway, bucket: str
):
    caller.put(bucket, "removed", b"x")
    origin.remove_behind(bucket, "removed")
    assert caller.get(bucket, "removed").status in (404, 500)
    caller.put(bucket, "removed", b"new")
    assert caller.get(bucket, "removed").body == b"new"
    origin.remove_behind(bucket, next(k for k in origin.objects(bucket) if k.startswith("removed")))
    assert caller.call("DELETE", f"/{bucket}/removed").status == 204
    refused(caller.get(bucket, "removed"), 404)


def test_an_origin_that_is_busy_is_not_taken_for_an_empty_one(caller: Caller, origin: ScriptedOrigin):
    origin.put_behind(SHARED, "busy", b"foreign")
    origin.script("HeadObject", key="busy", do=Fail(503, "SlowDown"), times=None)
    refused(caller.get(SHARED, "busy"), 503)
    refused(caller.call("PUT", f"/{SHARED}/busy", b"ours"), 503)
    assert body_of(origin, "busy", SHARED) == b"foreign"
