"""anbar presign: who signs, for where, for how long; the signature itself is checked with botocore's."""

import re
from datetime import UTC, datetime
from urllib.parse import parse_qs, urlsplit

import pytest
from botocore.auth import S3SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from gateway.cli.presign import parse_expires

BOB = '[principals.bob]\nrole = "admin"\n'
ENDPOINT = ("--endpoint", "https://media.example.com")


@pytest.fixture
def key(anbar, installation):
    """An access key of the demo project's only principal, as (id, secret)."""
    out = anbar("keys", "create", "--project", "demo", "--principal", "ops").out
    found = re.match(r"access key id +(\S+)\nsecret access key +(\S+)\n", out)
    assert found
    return found[1], found[2]


def signed_by_botocore(url: str, method: str, key: tuple[str, str], monkeypatch) -> str:
    """The same URL, signed at the same moment by botocore."""
    query = {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}
    auth = S3SigV4QueryAuth(Credentials(*key), "s3", "us-east-1", expires=int(query["X-Amz-Expires"]))
    moment = datetime.strptime(query["X-Amz-Date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    monkeypatch.setattr("botocore.auth.get_current_datetime", lambda: moment)
    request = AWSRequest(method=method, url=url.partition("?")[0])
    auth.add_auth(request)
    return parse_qs(urlsplit(request.url).query)["X-Amz-Signature"][0]


@pytest.mark.parametrize("method", ["GET", "PUT", "HEAD", "DELETE"])
@pytest.mark.parametrize("name", ["cat.jpg", "a b/é+%41.jpg", "a//b/"])
def test_the_signature_is_the_one_that_botocore_makes(anbar, key, monkeypatch, method, name):
    url = anbar("presign", method, f"s3://demo-media/{name}", *ENDPOINT).out.strip()
    assert parse_qs(urlsplit(url).query)["X-Amz-Signature"] == [signed_by_botocore(url, method, key, monkeypatch)]


def test_a_url_has_the_key_the_lifetime_and_nothing_secret(anbar, key):
    access_key_id, secret = key
    url = anbar("presign", "GET", "s3://demo-media/a/b.jpg", "--expires", "15m", *ENDPOINT).out.strip()
    assert url.startswith("https://media.example.com/demo-media/a/b.jpg?")
    query = parse_qs(urlsplit(url).query)
    assert query["X-Amz-Expires"] == ["900"]
    assert query["X-Amz-Credential"][0].startswith(f"{access_key_id}/")
    assert secret not in url


def test_the_default_endpoint_is_where_the_gateway_listens(anbar, key, installation):
    config = installation / "gateway.toml"
    config.write_text(config.read_text().replace("127.0.0.1:0", "0.0.0.0:9000"))
    assert anbar("presign", "GET", "s3://demo-media/a").out.startswith("http://127.0.0.1:9000/demo-media/a?")


def test_a_picked_port_must_be_said(anbar, key):
    ended = anbar("presign", "GET", "s3://demo-media/a")
    assert ended.code == 1
    assert "--endpoint" in ended.err


@pytest.mark.parametrize(
    ("endpoint", "base"),
    [
        ("http://h:80", "http://h"),
        ("https://h:443/", "https://h"),
        ("https://h:80", "https://h:80"),
        ("http://[::1]:9000", "http://[::1]:9000"),
    ],
)
def test_default_ports_are_left_out_as_clients_do(anbar, key, endpoint, base):
    assert anbar("presign", "GET", "s3://demo-media/a", "--endpoint", endpoint).out.startswith(f"{base}/demo-media/a?")


@pytest.mark.parametrize("endpoint", ["h", "ftp://h", "http://h/path", "http://h?x", "http://u:p@h", "http://"])
def test_an_endpoint_is_scheme_and_host_only(anbar, key, endpoint):
    assert anbar("presign", "GET", "s3://demo-media/a", "--endpoint", endpoint).code == 2


@pytest.mark.parametrize(
    "target", ["demo-media/a", "s3://demo-media", "s3://demo-media/", "s3:///a", "", "s3://b/\udce9"]
)
def test_a_target_is_bucket_and_key(anbar, key, target):
    assert anbar("presign", "GET", target, *ENDPOINT).code == 2


def test_other_methods_are_refused(anbar, key):
    assert anbar("presign", "POST", "s3://demo-media/a", *ENDPOINT).code == 2


@pytest.mark.parametrize(("text", "seconds"), [("1", 1), ("90s", 90), ("15m", 900), ("12h", 43200), ("7d", 604800)])
def test_lifetimes_have_units(text, seconds):
    assert parse_expires(text) == seconds


@pytest.mark.parametrize("expires", ["0", "604801", "8d", "1w", "-1", "1.5h", "", "٣", " 1", "1_0"])
def test_other_lifetimes_are_refused(anbar, key, expires):
    assert anbar("presign", "GET", "s3://demo-media/a", f"--expires={expires}", *ENDPOINT).code == 2


def test_a_principal_without_an_active_key_is_told_how_to_get_one(anbar, key):
    anbar("keys", "disable", key[0])
    ended = anbar("presign", "GET", "s3://demo-media/a", *ENDPOINT)
    assert ended.code == 1
    assert "anbar keys create --project demo --principal ops" in ended.err


def test_a_key_ring_that_does_not_open_the_key_is_told(anbar, foreign_ring):
    own, other = foreign_ring
    ended = anbar("presign", "GET", "s3://demo-media/a", *ENDPOINT)
    assert (ended.code, ended.out) == (1, "")
    assert ended.err == f"anbar: the key ring has no key {own}; it has {other}\n"


def test_with_several_admins_one_must_be_named(anbar, key, installation):
    policy = installation / "policies/demo.toml"
    policy.write_text(policy.read_text() + BOB)
    ended = anbar("presign", "GET", "s3://demo-media/a", *ENDPOINT)
    assert ended.code == 1
    assert "one of: backend, bob, dashboard, ops, sara" in ended.err
    assert key[0] in anbar("presign", "GET", "s3://demo-media/a", "--principal", "ops", *ENDPOINT).out


def test_a_bucket_of_no_policy_needs_its_project(anbar, key):
    ended = anbar("presign", "GET", "s3://made-by-a-client/a", *ENDPOINT)
    assert ended.code == 1
    assert "--project" in ended.err
    assert anbar("presign", "GET", "s3://made-by-a-client/a", "--project", "demo", *ENDPOINT).code == 0


def test_the_region_is_one_that_the_gateway_accepts(anbar, key, installation):
    config = installation / "gateway.toml"
    config.write_text(config.read_text().replace('# regions = ["default"]', 'regions = ["ir-1"] '))
    assert "%2Fir-1%2Fs3" in anbar("presign", "GET", "s3://demo-media/a", *ENDPOINT).out
