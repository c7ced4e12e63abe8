"""gateway/sigv4/signing_key.py: derived keys, and signatures that are only ever matched."""

import hashlib
import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.sigv4.model import CredentialScope, SecretAccessKey
from gateway.sigv4.signing_key import Signature, SigningKey, SigningKeys, derive_signing_key, is_signature
from tests.sigv4.signers import ACCESS_KEY_ID, SECRET

SCOPE = CredentialScope("20130524", "us-east-1")
GET_OBJECT = (
    b"AWS4-HMAC-SHA256\n20130524T000000Z\n20130524/us-east-1/s3/aws4_request\n"
    b"7344ae5b7ee6c3e7e6b0fe0640412a37625d1fbfff95c48bbb2dc43964946972"
)
GET_OBJECT_SIGNATURE = "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"


def test_the_published_signature_of_get_object():
    """https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html"""
    assert derive_signing_key(SECRET, SCOPE).sign(GET_OBJECT).matches(GET_OBJECT_SIGNATURE)


@given(st.binary(min_size=32, max_size=32), st.binary(max_size=300))
def test_a_signing_key_is_hmac_sha256(key, text):
    assert SigningKey(key).sign(text).reveal() == hmac.new(key, text, hashlib.sha256).hexdigest()


def test_signing_leaves_the_key_as_it_was():
    key = derive_signing_key(SECRET, SCOPE)
    assert key.sign(b"a").reveal() == key.sign(b"a").reveal() != key.sign(b"b").reveal()


def test_signatures_are_not_compared_with_equals():
    with pytest.raises(TypeError):
        _ = Signature("a" * 64) == "a" * 64
    with pytest.raises(TypeError):
        _ = Signature("a" * 64) != Signature("a" * 64)
    with pytest.raises(TypeError):
        hash(Signature("a" * 64))


def test_a_signature_does_not_show_itself():
    assert "a" * 64 not in repr(Signature("a" * 64))
    assert "…" in repr(derive_signing_key(SECRET, SCOPE))


@given(st.text(st.characters()))
def test_a19_any_text_is_answered_with_no(claimed):
    assert not Signature("0" * 64 + "never").matches(claimed)


@pytest.mark.parametrize("text", ["", "a" * 63, "a" * 65, "A" * 64, "é" * 64, "g" * 64, "a" * 63 + "\n", "٠" * 64])
def test_a19_only_64_lower_case_hex_digits_are_a_signature(text):
    assert not is_signature(text)
    assert is_signature("0123456789abcdef" * 4)


def test_a_key_is_derived_once():
    keys = SigningKeys()
    first = keys.get(ACCESS_KEY_ID, SECRET, SCOPE)
    assert keys.get(ACCESS_KEY_ID, SECRET, SCOPE) is first
    keys.keep(ACCESS_KEY_ID, SECRET, SCOPE, first)
    assert keys.get(ACCESS_KEY_ID, SECRET, CredentialScope("20130524", "us-east-1")) is first


@pytest.mark.parametrize(
    ("access_key_id", "secret", "scope"),
    [
        ("ANOTHER", SECRET, SCOPE),
        (ACCESS_KEY_ID, SecretAccessKey("rotated"), SCOPE),
        (ACCESS_KEY_ID, SECRET, CredentialScope("20130525", "us-east-1")),
        (ACCESS_KEY_ID, SECRET, CredentialScope("20130524", "default")),
        (ACCESS_KEY_ID, SECRET, CredentialScope("20130524", "us-east-1", "sts")),
    ],
)
def test_another_key_secret_day_region_or_service_is_another_signing_key(access_key_id, secret, scope):
    keys = SigningKeys()
    first = keys.get(ACCESS_KEY_ID, SECRET, SCOPE)
    assert keys.get(access_key_id, secret, scope) is not first


def test_forged_requests_do_not_push_out_keys_in_use():
    keys = SigningKeys(limit=4)
    used = keys.get(ACCESS_KEY_ID, SECRET, SCOPE)
    keys.keep(ACCESS_KEY_ID, SECRET, SCOPE, used)
    for number in range(200):
        keys.get(ACCESS_KEY_ID, SECRET, CredentialScope("20130524", f"region-{number}"))
    assert keys.get(ACCESS_KEY_ID, SECRET, SCOPE) is used


def test_forgetting_drops_every_key():
    keys = SigningKeys()
    first = keys.get(ACCESS_KEY_ID, SECRET, SCOPE)
    keys.keep(ACCESS_KEY_ID, SECRET, SCOPE, first)
    keys.forget()
    assert keys.get(ACCESS_KEY_ID, SECRET, SCOPE) is not first
