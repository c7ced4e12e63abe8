"""gateway/sigv4/model.py: the values, and the secret that does not show itself."""

import copy
import pickle

import pytest

from gateway.sigv4.model import Credentials, CredentialScope, Scheme, SecretAccessKey

TEXT = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"


def test_a_secret_shows_itself_only_when_asked():
    secret = SecretAccessKey(TEXT)
    assert secret.reveal() == TEXT.encode()
    for shown in (repr(secret), str(secret), f"{secret}", f"{secret!r}", f"{secret:>50}", repr([secret])):
        assert TEXT not in shown


@pytest.mark.parametrize("away", [pickle.dumps, copy.copy, copy.deepcopy])
def test_a_secret_is_not_pickled_or_copied(away):
    with pytest.raises(TypeError):
        away(SecretAccessKey(TEXT))


def test_secrets_are_not_compared_or_hashed():
    with pytest.raises(TypeError):
        _ = SecretAccessKey(TEXT) == SecretAccessKey(TEXT)
    with pytest.raises(TypeError):
        hash(SecretAccessKey(TEXT))


def test_the_identity_names_the_secret_and_does_not_tell_it():
    assert SecretAccessKey(TEXT).identity == SecretAccessKey(TEXT.encode()).identity
    assert SecretAccessKey(TEXT).identity != SecretAccessKey(TEXT + "x").identity
    assert TEXT.encode() not in SecretAccessKey(TEXT).identity


def test_a_scope_is_written_as_in_the_string_to_sign():
    assert CredentialScope("20130524", "us-east-1").text == "20130524/us-east-1/s3/aws4_request"


def test_credentials_keep_signature_and_token_out_of_logs():
    shown = repr(Credentials(Scheme.QUERY, "AKID", None, (), "the-signature", 0, 1, "the-token"))
    assert "the-signature" not in shown
    assert "the-token" not in shown
