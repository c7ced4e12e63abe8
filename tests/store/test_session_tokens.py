"""gateway/store/session_tokens.py: sessions that only we can have issued, for one key, unchanged."""

import base64
import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import Code, S3Error
from gateway.policy.session_policy import parse_session_policy
from gateway.s3.sts import TemporaryCredentials
from gateway.sigv4.model import SecretAccessKey
from gateway.store.access_keys import OpenedKey
from gateway.store.key_ring import KeyRing
from gateway.store.session_tokens import MAX_TOKEN_CHARACTERS, Session, SessionTokens
from tests.s3.refusal import refused

NOW_S = 1_700_000_000
OLD, NEW = bytes(range(32)), bytes(range(32, 64))
RING = KeyRing({"k1": OLD})
PARENT = OpenedKey("AKPARENT", "photoapp", "backend", SecretAccessKey("the parent's secret"))
POLICY = '{"Statement": {"Effect": "Allow", "Action": "s3:PutObject", "Resource": "arn:aws:s3:::voice/عکس/*"}}'


@pytest.fixture
def tokens() -> SessionTokens:
    return SessionTokens(RING)


def issued(tokens: SessionTokens, policy: str | None = None, end_user: str = "sara") -> TemporaryCredentials:
    return tokens.issue(PARENT, end_user, policy, now_s=NOW_S, duration_s=900)


def opened(tokens: SessionTokens, new: TemporaryCredentials) -> Session:
    return tokens.open(new.session_token, new.access_key_id)


def test_a_session_opens_as_it_was_issued(tokens):
    new = issued(tokens)
    session = opened(tokens, new)
    assert re.fullmatch("AS[A-Z2-7]{18}", new.access_key_id)
    assert len(new.secret_access_key) == 40
    assert session.secret.reveal().decode() == new.secret_access_key
    assert (session.access_key_id, session.parent_access_key_id) == (new.access_key_id, "AKPARENT")
    assert (session.project, session.principal, session.end_user) == ("photoapp", "backend", "sara")
    assert session.expires_s == new.expires_s == NOW_S + 900
    assert session.narrowed_by is None


def test_a_session_has_the_statements_of_its_policy_parsed_once(tokens):
    new = issued(tokens, POLICY)
    session = opened(tokens, new)
    assert session.narrowed_by == parse_session_policy(POLICY)
    assert opened(tokens, new) is session


def test_a_policy_that_is_refused_makes_no_session(tokens):
    with refused(Code.MalformedPolicyDocument) as caught:
        issued(tokens, POLICY.replace("PutObject", "PutEverything"))
    assert "PutEverything" in caught.error.message


def test_a_policy_that_makes_the_token_too_long_is_refused(tokens):
    beginning = POLICY.rpartition("*")[0]

    def of(length: int) -> str:
        return beginning + "é" * (length - len(beginning) - 3) + POLICY[-3:]

    with refused(Code.PackedPolicyTooLarge):
        issued(tokens, of(2300))
    new = issued(tokens, of(2000))
    assert len(new.session_token) <= MAX_TOKEN_CHARACTERS
    assert opened(tokens, new).narrowed_by


def test_every_policy_of_2048_ascii_characters_has_room(tokens):
    policy = POLICY.replace("عکس", "").replace("*", '\\"' * 900)
    assert len(policy) < 2048
    assert opened(tokens, issued(tokens, policy, "u" * 128)).narrowed_by


def test_another_worker_with_the_same_ring_opens_the_token(tokens):
    assert opened(SessionTokens(KeyRing({"k1": OLD})), issued(tokens)).end_user == "sara"


def test_a_token_opens_after_the_ring_got_a_new_key_and_not_after_its_own_is_gone(tokens):
    new = issued(tokens)
    assert opened(SessionTokens(KeyRing({"k1": OLD, "k2": NEW})), new).end_user == "sara"
    for ring in (KeyRing({"k2": NEW}), KeyRing({"k1": NEW})):
        with refused(Code.InvalidToken):
            opened(SessionTokens(ring), new)


def test_new_sessions_are_sealed_with_the_newest_key(tokens):
    new = issued(SessionTokens(KeyRing({"k1": OLD, "k2": NEW})))
    assert opened(SessionTokens(KeyRing({"k2": NEW})), new).end_user == "sara"
    with refused(Code.InvalidToken):
        opened(tokens, new)


@pytest.mark.parametrize("warm", [False, True])
def test_a_token_is_good_for_its_own_key_only(tokens, warm):
    mine, other = issued(tokens), issued(tokens, end_user="ali")
    if warm:
        opened(tokens, mine)
        opened(tokens, other)
    for access_key_id in (other.access_key_id, "AKPARENT", "", mine.access_key_id.lower(), f"{mine.access_key_id}\0"):
        with refused(Code.InvalidToken):
            tokens.open(mine.session_token, access_key_id)


@pytest.mark.parametrize("warm", [False, True])
def test_each_change_to_a_token_is_refused(tokens, warm):
    new = issued(tokens)
    if warm:
        opened(tokens, new)
    token = new.session_token
    changed = {token[:place] + character + token[place + 1 :] for place in range(len(token)) for character in "AQ_"}
    changed |= {token[:end] for end in range(len(token))} | {token + "A", token + "=", "A" + token, token + "\n"}
    for other in changed - {token}:
        with refused(Code.InvalidToken):
            tokens.open(other, new.access_key_id)


def test_each_changed_byte_of_a_token_is_refused(tokens):
    new = issued(tokens)
    data = base64.urlsafe_b64decode(new.session_token + "=" * (-len(new.session_token) % 4))
    for place in range(len(data)):
        other = data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]
        with refused(Code.InvalidToken):
            tokens.open(base64.urlsafe_b64encode(other).rstrip(b"=").decode(), new.access_key_id)


def test_a_token_has_one_form_only(tokens):
    """Base64 ends with bits that say nothing; with any of them set it is not what we issued."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    for length in range(1, 4):
        new = issued(tokens, end_user="s" * length)
        token = new.session_token
        for last in set(alphabet) - {token[-1]}:
            with refused(Code.InvalidToken):
                tokens.open(token[:-1] + last, new.access_key_id)


def test_what_the_ring_sealed_for_another_purpose_is_no_token(tokens):
    """The associated data says what a sealed text is for."""
    payload = {"secret": "s", "parent": "AKPARENT", "project": "photoapp", "principal": "ops", "end_user": "sara"}
    plaintext = json.dumps(payload | {"expires_s": NOW_S, "policy": None}).encode()

    def token(associated: bytes) -> str:
        sealed = RING.seal(plaintext, associated)
        data = b"\x01\x02" + sealed.key_id.encode() + sealed.nonce + sealed.ciphertext
        return base64.urlsafe_b64encode(data).rstrip(b"=").decode()

    assert tokens.open(token(b"session|v1|ASX"), "ASX").principal == "ops"
    for associated in (b"", b"ASX", b"s3key|v1|ASX|photoapp|backend|1", b"session|v2|ASX", b"session|v1|ASY"):
        with refused(Code.InvalidToken):
            tokens.open(token(associated), "ASX")


@given(
    st.text(max_size=80) | st.binary(max_size=80).map(lambda data: base64.urlsafe_b64encode(data).decode()), st.text()
)
def test_garbage_is_an_invalid_token(token, access_key_id):
    try:
        SessionTokens(RING).open(token, access_key_id)
    except S3Error as error:
        assert error.code is Code.InvalidToken
    else:
        pytest.fail("opened")


@pytest.mark.parametrize(
    "head", [b"", b"\x01", b"\x01\xff", b"\x01\x00", b"\x01\x02k1", b"\x02\x02k1", b"\x01\x02\xff\xfe"]
)
@pytest.mark.parametrize("rest", [0, 1, 7, 12, 27, 28, 100])
def test_tokens_that_end_too_early_are_invalid(tokens, head, rest):
    with refused(Code.InvalidToken):
        tokens.open(base64.urlsafe_b64encode(head + bytes(rest)).rstrip(b"=").decode(), "ASX")


def test_a_token_that_is_too_long_is_refused_before_any_work(tokens):
    with refused(Code.InvalidToken):
        tokens.open("A" * (MAX_TOKEN_CHARACTERS + 1), "ASX")
    with refused(Code.InvalidToken):
        tokens.open("A" * MAX_TOKEN_CHARACTERS, "ASX")


def test_opened_sessions_are_kept_until_they_are_forgotten(tokens):
    new = issued(tokens)
    session = opened(tokens, new)
    assert opened(tokens, new) is session
    tokens.forget()
    again = opened(tokens, new)
    assert again is not session
    assert again.end_user == "sara"


def test_two_sessions_of_one_user_have_nothing_in_common(tokens):
    first, second = issued(tokens), issued(tokens)
    assert first.access_key_id != second.access_key_id
    assert first.secret_access_key != second.secret_access_key
    assert first.session_token[:5] == second.session_token[:5]  # version and key id
    assert first.session_token[6:22] != second.session_token[6:22]


def test_nothing_shows_a_secret(tokens):
    new = issued(tokens)
    session = opened(tokens, new)
    shown = f"{session!r} {session} {tokens!r} {new!r} {new}"
    assert new.secret_access_key not in shown
    assert new.session_token not in shown
    assert "sara" in shown
    assert new.secret_access_key not in base64.urlsafe_b64decode(new.session_token + "==").decode("latin-1")
