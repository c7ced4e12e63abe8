"""Buckets at a gateway whose origin is an S3 endpoint, and the buckets at that endpoint."""

from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.support.clients import error_code, fresh_bucket_name, s3_client
from tests.support.gateway import DEMO_POLICY, OTHER_POLICY, Gateway
from tests.support.s3_endpoint import S3Endpoint
from tests.support.s3_origins import ORIGINS

POLICY = DEMO_POLICY.replace("[categories.voice]\n", '[categories.voice]\norigin_bucket = "not-made"\n')


@pytest.fixture(scope="module", params=ORIGINS)
def endpoint(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Endpoint]:
    with ORIGINS[request.param](tmp_path_factory.mktemp(request.param)) as running:
        yield running


@pytest.fixture(scope="module")
def over(endpoint: S3Endpoint, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A gateway with one category whose bucket at the origin nobody has made."""
    policies = {"demo": POLICY, "other": OTHER_POLICY}
    made = Gateway(tmp_path_factory.mktemp("over") / "gateway", origin=endpoint, policies=policies)
    with closing(endpoint.client()) as store:
        store.delete_bucket(Bucket="not-made")
    with made as running:
        yield running


@pytest.fixture(scope="module")
def s3(over: Gateway) -> Iterator[Any]:
    with closing(s3_client(over)) as client:
        yield client


@pytest.fixture(scope="module")
def store(endpoint: S3Endpoint) -> Iterator[Any]:
    """boto3 at the endpoint itself."""
    with closing(endpoint.client()) as client:
        yield client


def test_a_bucket_that_a_client_makes_is_there_at_the_origin_and_may_be_made_again(s3: Any, store: Any) -> None:
    name = fresh_bucket_name()
    s3.create_bucket(Bucket=name)
    s3.put_object(Bucket=name, Key="a/b", Body=b"x")
    assert store.get_object(Bucket=name, Key="a/b")["Body"].read() == b"x"
    s3.delete_object(Bucket=name, Key="a/b")
    s3.delete_bucket(Bucket=name)
    s3.create_bucket(Bucket=name)
    assert "Contents" not in s3.list_objects_v2(Bucket=name)


def test_a_bucket_of_the_origin_with_anything_in_it_is_no_clients(s3: Any, store: Any) -> None:
    name = fresh_bucket_name()
    store.create_bucket(Bucket=name)
    store.put_object(Bucket=name, Key="secret", Body=b"x")
    with pytest.raises(ClientError) as refused:
        s3.create_bucket(Bucket=name)
    assert error_code(refused) == ("BucketAlreadyExists", 409)
    store.delete_object(Bucket=name, Key="secret")
    s3.create_bucket(Bucket=name)


def test_a_category_without_its_bucket_at_the_origin_is_the_operators_to_mend(
    over: Gateway, s3: Any, store: Any
) -> None:
    with pytest.raises(ClientError) as refused:
        s3.put_object(Bucket="demo-voice", Key="a", Body=b"x")
    assert error_code(refused) == ("ServiceUnavailable", 503)
    assert "not-made" not in str(refused.value)
    assert "origin local failed: local: PUT not-made/a: the origin answered 404 NoSuchBucket" in over.stderr()
    store.create_bucket(Bucket="not-made")
    s3.put_object(Bucket="demo-voice", Key="a", Body=b"x")
    assert store.get_object(Bucket="not-made", Key="a")["Body"].read() == b"x"
