"""A22, A25, B10: temporary credentials and their tokens, and what is left of them when the key behind them is disabled."""

import json
import time
from collections.abc import Callable
from dataclasses import replace

import pytest

from gateway.store.key_ring import KeyRing
from tests.support.caller import Caller, parse_xml, refused, text
from tests.support.cast import Cast, assume_role, sealed_session, session_of
from tests.support.raw_http import Answer
from tests.support.signer import BOUNDARY, Signer, form_body, post_policy

MEDIA = "demo-media"
TARGET = f"/{MEDIA}/session"


def with_token(caller: Caller, token: str | None) -> Caller:
    return replace(caller, signer=replace(caller.signer, session_token=token))


def by_form(caller: Caller) -> Answer:
    """A form that stores the object; its policy signs the token, too."""
    names = ["key", "x-amz-credential", "x-amz-algorithm", "x-amz-date"]
    names += ["x-amz-security-token"] if caller.signer.session_token is not None else []
    conditions = [{"bucket": MEDIA}, *(["starts-with", f"${name}", ""] for name in names)]
    fields = caller.signer.post_fields(post_policy(conditions))
    body = form_body([("key", "session"), *fields.items()], b"forged")
    headers = [("Content-Type", f"multipart/form-data; boundary={BOUNDARY}")]
    return caller.ask(caller.request("POST", f"/{MEDIA}", body, headers))


WAYS: dict[str, Callable[[Caller], Answer]] = {
    "header": lambda caller: caller.call("PUT", TARGET, b"forged"),
    "query": lambda caller: caller.ask(caller.presigned("PUT", TARGET, b"forged")),
    "form": by_form,
}


@pytest.fixture(params=WAYS)
def store(request: pytest.FixtureRequest) -> Callable[[Caller], Answer]:
    """Store an object, the token being in a header, in a presigned URL or in a form."""
    return WAYS[request.param]


@pytest.fixture
def sara(cast: Cast) -> Caller:
    """An end user in a session, with an object of her own that nobody may change in her name."""
    made = cast["demo/backend/sara"]
    made.put(MEDIA, "session", b"as it was")
    return made


@pytest.fixture(autouse=True)
def unchanged(cast: Cast, sara: Caller):
    yield
    assert cast["demo/ops"].get(MEDIA, "session").body == b"as it was"


def changed_in_one_place(token: str, place: int) -> str:
    other = "A" if token[place] != "A" else "B"
    return token[:place] + other + token[place + 1 :]


def test_a25_a_token_that_was_issued_with_its_key_is_accepted_in_every_way(cast, sara, store):
    assert store(sara).status in (200, 204)
    sara.put(MEDIA, "session", b"as it was")


@pytest.mark.parametrize("place", [0, 1, 5, 30, 100, -2])
def test_a25_a_token_that_was_changed_in_one_place_is_refused(sara, store, place):
    token = sara.signer.session_token or ""
    position = place % len(token)
    refused(store(with_token(sara, changed_in_one_place(token, position))), 400, "InvalidToken")


@pytest.mark.parametrize("shape", ["", "token", "A" * 500, "=", "é", "{}=", "{}A", "{}{}", "A{}"])
def test_a25_a_token_of_another_shape_is_refused(sara, store, shape):
    token = shape.replace("{}", sara.signer.session_token or "")
    refused(store(with_token(sara, token)), {400, 403})


def test_a25_a_token_of_a_megabyte_is_refused(sara, store):
    refused(store(with_token(sara, "A" * (1 << 20))), {400, 413, 414})


def test_a25_temporary_credentials_without_their_token_are_nobodys(sara, store):
    refused(store(with_token(sara, None)), 403, "InvalidAccessKeyId")


def test_a25_a_token_of_another_session_is_refused(cast, sara, store):
    for other in (cast["demo/backend/sara"], cast["demo/backend/mahsa"], cast["other/backend/sara"]):
        refused(store(with_token(sara, other.signer.session_token)), 400, "InvalidToken")


def test_a25_a_token_beside_a_lasting_key_is_refused(cast, sara, store):
    refused(store(with_token(cast["demo/ops"], sara.signer.session_token)), 400, "InvalidToken")


def test_a25_a_session_that_is_over_is_refused(cast, sara, store):
    over = sealed_session(cast, "demo/backend", "sara", now_s=time.time() - 901)
    refused(store(over), 400, "ExpiredToken")


def test_a25_of_a_session_that_is_over_only_who_has_its_secret_is_told_so(cast, sara, store):
    over = sealed_session(cast, "demo/backend", "sara", now_s=time.time() - 901)
    thief = replace(over, signer=replace(over.signer, secret_access_key="W" * 40))
    refused(store(thief), 403, "SignatureDoesNotMatch")


def test_a25_a_stolen_token_without_the_secret_opens_nothing(sara, store):
    thief = replace(sara, signer=replace(sara.signer, secret_access_key="W" * 40))
    refused(store(thief), 403, "SignatureDoesNotMatch")


def test_a25_a_token_that_another_key_ring_has_sealed_is_refused(cast, sara, store):
    ring = KeyRing({key_id: bytes(range(32)) for key_id in KeyRing.load(cast.gateway.key_ring_file).ids})
    refused(store(sealed_session(cast, "demo/backend", "sara", ring=ring)), 400, "InvalidToken")


@pytest.mark.parametrize("parent", ["demo/ops", "demo/u1", "demo/viewer", "ruled/u1"])
def test_a25_a_session_of_a_principal_that_is_no_service_any_more_is_refused(cast, sara, store, parent):
    refused(store(sealed_session(cast, parent, "sara")), 403, "InvalidAccessKeyId")


def test_a25_a_token_must_be_signed(cast, sara):
    token = sara.signer.session_token or ""
    bare = with_token(sara, None)
    refused(cast.nobody.ask(bare.signed("PUT", TARGET, b"forged").with_header("x-amz-security-token", token)), 403)
    refused(bare.ask(bare.presigned("PUT", TARGET, b"forged").with_query(f"X-Amz-Security-Token={token}")), 403)
    refused(bare.ask(bare.presigned("PUT", TARGET, b"forged", [("x-amz-security-token", token)])), 403)
    twice = sara.signed("PUT", TARGET, b"forged").with_header("x-amz-security-token", token)
    refused(sara.ask(twice), {400, 403})


def test_a25_a_token_in_a_sigv2_url_is_checked_as_well(cast, sara):
    for token in ("token", changed_in_one_place(sara.signer.session_token or "", 30)):
        request = with_token(sara, None).request("GET", f"{TARGET}?x-amz-security-token={token}")
        refused(sara.ask(sara.signer.presign_v2(request)), {400, 403})


def test_a25_sts_refuses_foreign_tokens_in_its_own_words(cast, sara):
    service = cast["demo/backend"]
    for caller in (with_token(service, "token"), with_token(sara, "token"), with_token(sara, None)):
        answer = assume_role(caller, "demo", "mahsa")
        assert (answer.status, text(parse_xml(answer.body), "Error/Code")) == (403, "InvalidClientTokenId")
    over = sealed_session(cast, "demo/backend", "sara", now_s=time.time() - 901)
    assert text(parse_xml(assume_role(over, "demo", "mahsa").body), "Error/Code") == "ExpiredToken"


def test_a22_b10_with_a_key_its_sessions_and_all_their_urls_are_refused_and_no_policy_brings_them_back(cast, sara):
    gateway = cast.gateway
    access_key_id, secret = gateway.create_key("demo", "backend")
    service = replace(cast["demo/backend"], signer=Signer(access_key_id, secret))
    session = session_of(service, "demo", "sara")
    service.put(MEDIA, "of-the-service", b"bytes")
    by_url = [service.presigned("GET", f"/{MEDIA}/of-the-service"), session.presigned("GET", TARGET)]
    by_url.append(session.presigned("PUT", TARGET, b"forged"))

    def statuses() -> list[int]:
        direct = [service.get(MEDIA, "of-the-service"), session.get(MEDIA, "session")]
        sts = assume_role(service, "demo", "sara")
        return [answer.status for answer in (*direct, *(service.ask(each) for each in by_url[:2]), sts)]

    assert statuses() == [200] * 5
    gateway.command("keys", "disable", access_key_id)
    assert statuses() == [403] * 5
    refused(session.ask(by_url[2]), 403)
    refused(by_form(session), 403)
    applied = gateway.directory / "policies" / "demo.toml"
    applied.write_text(f"{applied.read_text()}# changed\n")
    gateway.command("policy", "apply")
    assert statuses() == [403] * 5
    gateway.command("keys", "enable", access_key_id)
    assert statuses() == [200] * 5
    gateway.command("keys", "disable", access_key_id)
    gateway.command("keys", "delete", access_key_id)
    assert statuses() == [403] * 5


def test_a_session_never_reaches_beyond_its_policy_or_its_end_user(cast, sara):
    """What a service may do is not what its sessions may."""
    document = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}
    wide = session_of(cast["demo/backend"], "demo", "mahsa", Policy=json.dumps(document))
    refused(wide.get(MEDIA, "session"), 403, "AccessDenied")
    refused(wide.call("PUT", TARGET, b"forged"), 403, "AccessDenied")
    refused(wide.call("PUT", f"/{MEDIA}/new", b"x", [("x-amz-meta-uploader", "mahsa")]), 403, "AccessDenied")
    assert text(parse_xml(assume_role(wide, "demo", "sara").body), "Error/Code") == "AccessDenied"


@pytest.mark.parametrize("end_user", ["ops", "viewer"])
def test_a_session_does_not_take_the_name_of_a_principal_with_other_rights(cast, sara, end_user):
    answer = assume_role(cast["demo/backend"], "demo", end_user)
    assert (answer.status, text(parse_xml(answer.body), "Error/Code")) == (403, "AccessDenied")


@pytest.mark.parametrize("end_user", ["ops", "viewer"])
def test_a_session_ends_when_somebody_with_other_rights_gets_its_end_users_name(cast, sara, store, end_user):
    """It was begun before the policies named that principal; what is own to both would be open to it."""
    session = sealed_session(cast, "demo/backend", end_user)
    refused(store(session), 403, "InvalidAccessKeyId")
    cast["demo/ops"].put(MEDIA, "of-ops", b"inner")
    refused(session.get(MEDIA, "of-ops"), 403, "InvalidAccessKeyId")


def test_a_session_may_have_the_name_of_an_uploader(cast, sara):
    cast["demo/u1"].put(MEDIA, "of-u1", b"own")
    assert cast["demo/backend/u1"].get(MEDIA, "of-u1").body == b"own"
