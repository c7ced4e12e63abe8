"""The presets: what is known of each provider, and how settings complete and override it."""

from dataclasses import fields
from pathlib import Path
from typing import get_args

import pytest

from gateway.config import parse_settings
from gateway.origin.providers import PROVIDERS, profile_of, upstream_of
from gateway.origin_settings import (
    PROVIDERS_WITH_ENDPOINT,
    OriginCapabilities,
    ProviderName,
    S3OriginSettings,
    parse_endpoint,
)
from gateway.toml_fields import GIB, KIB, MIB

CAPABILITIES = set(OriginCapabilities.model_fields)


def settings(**keys) -> S3OriginSettings:
    return S3OriginSettings.model_validate({"kind": "s3"} | keys)


def test_the_settings_know_the_same_providers_capabilities_and_endpoints():
    assert set(PROVIDERS) == set(get_args(ProviderName))
    assert all(name == provider.name for name, provider in PROVIDERS.items())
    flags = {field.name for field in fields(PROVIDERS["generic"]) if isinstance(field.default, bool)}
    assert flags == CAPABILITIES
    assert {name for name, provider in PROVIDERS.items() if provider.endpoint} == PROVIDERS_WITH_ENDPOINT


@pytest.mark.parametrize("name", ["liara", "generic"])
def test_of_liara_and_of_the_unknown_nothing_is_taken_for_granted(name):
    assert not any(getattr(PROVIDERS[name], capability) for capability in CAPABILITIES)


def test_google_has_neither_conditions_by_etag_nor_copies_of_parts_nor_checksums():
    gcs = PROVIDERS["gcs"]
    unsafe = ("conditional_writes", "upload_part_copy", "checksum_headers", "multipart_etags")
    assert not any(getattr(gcs, capability) for capability in unsafe)


@pytest.mark.parametrize("provider", PROVIDERS.values(), ids=lambda provider: provider.name)
def test_limits_are_at_least_those_of_s3(provider):
    assert provider.max_put_bytes >= 5 * GIB
    assert provider.max_copy_bytes >= 5 * GIB
    assert (provider.min_part_bytes, provider.max_part_bytes, provider.max_parts) == (5 * MIB, 5 * GIB, 10_000)
    assert provider.max_metadata_bytes == 2 * KIB


def test_what_was_found_overrides_the_preset_and_leaves_the_rest():
    found = profile_of("liara", {"conditional_writes": True, "copy_object": True})
    assert found.conditional_writes
    assert found.copy_object
    assert not found.tagging
    assert found.endpoint == PROVIDERS["liara"].endpoint
    assert not PROVIDERS["liara"].conditional_writes
    assert not profile_of("aws", {"md5_etags": False}).md5_etags


def test_what_the_settings_leave_out_is_the_provider_s():
    liara = upstream_of(settings(provider="liara"))
    assert (str(liara.endpoint), liara.region, liara.addressing) == (
        "https://storage.iran.liara.site",
        "us-east-1",
        "path",
    )
    gcs = upstream_of(settings(provider="gcs"))
    assert (str(gcs.endpoint), gcs.region) == ("https://storage.googleapis.com", "auto")


def test_the_endpoint_of_aws_is_that_of_its_region():
    assert str(upstream_of(settings(provider="aws")).endpoint) == "https://s3.us-east-1.amazonaws.com"
    frankfurt = upstream_of(settings(provider="aws", region="eu-central-1"))
    assert (str(frankfurt.endpoint), frankfurt.region) == ("https://s3.eu-central-1.amazonaws.com", "eu-central-1")


def test_what_the_settings_say_wins():
    found = upstream_of(
        settings(
            provider="liara",
            endpoint="https://storage.iran.liara.space",
            region="default",
            addressing="virtual",
            capabilities={"tagging": True},
        )
    )
    assert str(found.endpoint) == "https://storage.iran.liara.space"
    assert (found.region, found.addressing, found.profile.tagging) == ("default", "virtual", True)


@pytest.mark.parametrize("provider", [each for each in PROVIDERS.values() if each.endpoint], ids=lambda each: each.name)
def test_default_endpoints_are_https(provider):
    assert parse_endpoint(provider.endpoint.format(region="eu-west-1")).scheme == "https"


def test_the_capabilities_that_a_file_sets_reach_the_profile():
    text = """
        store.path = "a"
        secrets.key_ring = "b"
        policies.path = "c"
        [origins.liara]
        kind = "s3"
        provider = "liara"
        capabilities = { md5_etags = true }
        """
    origin = parse_settings(text, Path("/srv/gateway.toml")).origins["liara"]
    assert isinstance(origin, S3OriginSettings)
    assert upstream_of(origin).profile.md5_etags
