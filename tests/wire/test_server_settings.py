"""What gateway.toml narrows: regions that signatures may name, and whether SigV2 is verified at all."""

from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
from urllib3.filepost import encode_multipart_formdata

from tests.support.clients import s3_client, status
from tests.support.gateway import Gateway
from tests.support.gateways import OpenGateway
from tests.support.plain_http import fetch
from tests.support.signed_http import SignedConnection


@pytest.fixture(scope="module")
def narrow(open_gateway: OpenGateway) -> Iterator[Gateway]:
    settings = {"server": {"regions": ["ir-thr-1", "default"], "sigv2": False}}
    with open_gateway(settings=settings) as running:
        yield running


@pytest.fixture
def sigv2(narrow: Gateway) -> Iterator[Any]:
    """boto3 as it signs links and forms by default; without a region it would use us-east-1."""
    with closing(s3_client(narrow)) as client:
        yield client


def test_only_configured_regions_are_accepted_and_the_refusal_names_one(narrow: Gateway) -> None:
    with SignedConnection(narrow) as connection:
        for region in ("ir-thr-1", "default"):
            assert connection.signed("GET", "/", region=region).status == 200
        refused = connection.signed("GET", "/", region="us-east-1")
    assert (refused.status, refused.code) == (400, "AuthorizationHeaderMalformed")
    assert refused.element("Region") in ("ir-thr-1", "default")


def test_sigv2_links_and_forms_are_refused_with_a_reason_once_it_is_off(narrow: Gateway, sigv2: Any) -> None:
    url = sigv2.generate_presigned_url("get_object", Params={"Bucket": "demo-media", "Key": "a"})
    assert "AWSAccessKeyId=" in url
    link = fetch(narrow, "GET", url)
    post = sigv2.generate_presigned_post("demo-media", "a")
    encoded, content_type = encode_multipart_formdata([*post["fields"].items(), ("file", ("f", b"x"))])
    form = fetch(narrow, "POST", post["url"], {"Content-Type": content_type}, encoded)
    for refused in (link, form):
        assert (refused.status, refused.code) == (400, "InvalidRequest")
        assert "AWS4-HMAC-SHA256" in refused.element("Message")


def test_sigv4_links_of_a_configured_region_work(narrow: Gateway) -> None:
    with closing(s3_client(narrow, region="ir-thr-1", signature_version="s3v4")) as client:
        assert status(client.put_object(Bucket="demo-media", Key="a", Body=b"x")) == 200
        url = client.generate_presigned_url("get_object", Params={"Bucket": "demo-media", "Key": "a"})
    assert fetch(narrow, "GET", url).body == b"x"
