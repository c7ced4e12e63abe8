"""gateway/sigv4/hosts.py: which host a client may have signed for."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import S3Error
from gateway.s3.address import parse_address
from gateway.sigv4.hosts import PublicHosts, without_port

DOMAINS = ("s3.localhost", "eu.s3.localhost")
HOSTS = ("s3.example.com", "files.example.com:9000")


def alternatives(sent: str, hosts: tuple[str, ...] = HOSTS, domains: tuple[str, ...] = DOMAINS) -> list[str]:
    return list(PublicHosts(hosts, domains).alternatives(sent))


@pytest.mark.parametrize(
    ("host", "bucket"),
    [
        ("s3.localhost", None),
        ("s3.localhost:9000", None),
        ("media.s3.localhost", "media"),
        ("Media.S3.localhost:9000", "media"),
        ("media.s3.localhost.", "media"),
        ("eu.s3.localhost", None),
        ("media.eu.s3.localhost", "media"),
        ("a.b.s3.localhost", "a.b"),
        ("xs3.localhost", None),
        ("127.0.0.1:9000", None),
        ("[::1]:9000", None),
        ("[::1]", None),
        ("", None),
    ],
)
def test_a_virtual_host_names_its_bucket(host, bucket):
    assert PublicHosts((), DOMAINS).bucket_of(host) == bucket


@given(
    st.lists(st.sampled_from(["media", ".", "s3", "eu", "localhost", ":", "9000", "[", "]", "S3", "::1"]), max_size=9)
)
def test_signature_and_address_agree_on_the_bucket_of_every_host(pieces):
    host = "".join(pieces)
    bucket = PublicHosts((), DOMAINS).bucket_of(host)
    try:
        address = parse_address("/", host, DOMAINS)
    except S3Error:
        assert bucket is not None  # the name was found, and is no name of a bucket
    else:
        assert address.bucket == bucket


def test_the_public_hosts_are_tried_with_and_without_default_port():
    assert alternatives("10.0.0.7:9000") == [
        "s3.example.com",
        "s3.example.com:80",
        "s3.example.com:443",
        "files.example.com:9000",
    ]


def test_the_host_sent_is_tried_in_lower_case_and_with_the_default_port():
    assert alternatives("Files.Example.Org", hosts=()) == [
        "files.example.org",
        "files.example.org:80",
        "files.example.org:443",
    ]
    assert alternatives("files.example.org:443", hosts=()) == ["files.example.org"]


def test_b11_other_ports_and_a_trailing_dot_stay_apart():
    assert "a:9001" not in alternatives("a:9000", hosts=())
    assert "a" not in alternatives("a:9000", hosts=())
    assert "a" not in alternatives("a.", hosts=())


def test_a_virtual_host_is_tried_under_other_hosts_only_with_its_bucket():
    tried = alternatives("media.s3.localhost")
    assert "media.s3.example.com" in tried
    assert all(host.startswith("media.") for host in tried)


def test_a_path_style_request_is_never_taken_for_a_virtual_host():
    assert "media.s3.localhost" not in alternatives("10.0.0.7", hosts=("media.s3.localhost",))


@pytest.mark.parametrize(("host", "bare"), [("a:1", "a"), ("a", "a"), ("[::1]:9", "[::1]"), ("[::1]", "[::1]")])
def test_a_host_without_its_port(host, bare):
    assert without_port(host) == bare
