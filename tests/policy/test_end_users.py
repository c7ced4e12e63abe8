"""gateway/policy/end_users.py: what an end user may be called."""

import pytest

from gateway.policy.end_users import END_USER, is_end_user


@pytest.mark.parametrize(
    "name",
    ["s", "sara", "1042", "sara@example.org", "google-oauth2|103", "urn:user:7", "a=b+c", "_", "...", "u" * 128],
)
def test_ids_addresses_and_names_of_identity_providers_are_end_users(name):
    assert is_end_user(name)
    assert END_USER.fullmatch(name)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "u" * 129,
        "*",
        "backend/sara",
        "sara\n",
        "\nsara",
        "sara ",
        "sa ra",
        "سارا",
        "sara,ali",
        "s\0",
        "s%61",
        "é",
        "٣",
    ],
)
def test_what_statements_and_headers_would_misread_is_no_end_user(name):
    assert not is_end_user(name)
