"""boto3: buckets made, listed, asked about and deleted; what is unset answers so; what is not there says so."""

from contextlib import closing
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.support.clients import error_code, fresh_bucket_name, s3_client, status
from tests.support.gateway import Gateway
from tests.support.plain_http import fetch


def bucket_names(s3: Any, **asked: Any) -> list[str]:
    return [entry["Name"] for entry in s3.list_buckets(**asked)["Buckets"]]


def test_a_project_sees_its_own_buckets_only(s3: Any, other_s3: Any, bucket: str) -> None:
    mine = bucket_names(s3)
    assert mine == sorted(mine)
    assert {"demo-media", "demo-voice", bucket} <= set(mine)
    assert "other-media" not in mine
    assert "other-media" in bucket_names(other_s3)
    assert bucket not in bucket_names(other_s3)
    assert s3.list_buckets()["Owner"]["ID"] != other_s3.list_buckets()["Owner"]["ID"]


def test_buckets_are_listed_by_prefix_and_page(s3: Any) -> None:
    prefix = fresh_bucket_name("page")
    names = [f"{prefix}-{number}" for number in range(5)]
    for name in names:
        s3.create_bucket(Bucket=name)
    assert bucket_names(s3, Prefix=prefix) == names
    found: list[str] = []
    token: dict[str, str] = {}
    while True:
        page = s3.list_buckets(Prefix=prefix, MaxBuckets=2, **token)
        assert len(page["Buckets"]) <= 2
        found += [entry["Name"] for entry in page["Buckets"]]
        if "ContinuationToken" not in page:
            break
        token = {"ContinuationToken": page["ContinuationToken"]}
    assert found == names


def test_a_bucket_is_made_found_and_deleted(s3: Any) -> None:
    name = fresh_bucket_name()
    made = s3.create_bucket(Bucket=name)
    assert (status(made), made["Location"]) == (200, f"/{name}")
    assert status(s3.head_bucket(Bucket=name)) == 200
    assert status(s3.delete_bucket(Bucket=name)) == 204
    assert name not in bucket_names(s3)
    with pytest.raises(ClientError) as gone:
        s3.head_bucket(Bucket=name)
    assert status(gone.value.response) == 404
    s3.create_bucket(Bucket=name)
    assert "Contents" not in s3.list_objects_v2(Bucket=name)


@pytest.mark.parametrize("region", ["eu-west-1", "ir-thr-1", "default"])
def test_a_location_constraint_is_accepted(any_gateway: Gateway, region: str) -> None:
    name = fresh_bucket_name()
    with closing(s3_client(any_gateway, region=region)) as client:
        client.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": region})
        assert status(client.head_bucket(Bucket=name)) == 200
        first = client.get_bucket_location(Bucket=name)["LocationConstraint"]
        assert client.get_bucket_location(Bucket=name)["LocationConstraint"] == first


def test_making_one_s_own_bucket_again_is_a_conflict_that_clients_know(s3: Any, bucket: str) -> None:
    for name in (bucket, "demo-media"):
        with pytest.raises(ClientError) as refused:
            s3.create_bucket(Bucket=name)
        assert error_code(refused) == ("BucketAlreadyOwnedByYou", 409)


def test_a_name_that_another_project_has_is_taken(s3: Any) -> None:
    with pytest.raises(ClientError) as refused:
        s3.create_bucket(Bucket="other-media")
    assert error_code(refused) == ("BucketAlreadyExists", 409)


def test_a_bucket_that_is_not_empty_stays(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="a", Body=b"x")
    with pytest.raises(ClientError) as refused:
        s3.delete_bucket(Bucket=bucket)
    assert error_code(refused) == ("BucketNotEmpty", 409)
    assert status(s3.head_object(Bucket=bucket, Key="a")) == 200


def refusals_of_deletion(s3: Any, bucket: str, key: str) -> list[str]:
    """The codes of DeleteObjects, which may refuse as a whole or for each key."""
    try:
        done = s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": key}]})
    except ClientError as error:
        return [error.response["Error"]["Code"]]
    return [entry["Code"] for entry in done["Errors"]]


def test_another_project_s_bucket_is_denied_in_every_way(s3: Any, other_s3: Any) -> None:
    other_s3.put_object(Bucket="other-media", Key="secret", Body=b"x")
    there = {"Bucket": "other-media"}
    for refuse in (
        lambda: s3.list_objects(**there),
        lambda: s3.list_objects_v2(**there),
        lambda: s3.list_object_versions(**there),
        lambda: s3.list_multipart_uploads(**there),
        lambda: s3.get_bucket_location(**there),
        lambda: s3.get_bucket_acl(**there),
        lambda: s3.get_bucket_versioning(**there),
        lambda: s3.delete_bucket(**there),
        lambda: s3.get_object(Key="secret", **there),
        lambda: s3.get_object(Key="missing", **there),
        lambda: s3.put_object(Key="planted", Body=b"x", **there),
        lambda: s3.delete_object(Key="secret", **there),
        lambda: s3.get_object_tagging(Key="secret", **there),
        lambda: s3.put_object_tagging(Key="secret", Tagging={"TagSet": []}, **there),
        lambda: s3.get_object_attributes(Key="secret", ObjectAttributes=["ETag"], **there),
        lambda: s3.create_multipart_upload(Key="planted", **there),
    ):
        with pytest.raises(ClientError) as refused:
            refuse()
        assert error_code(refused) == ("AccessDenied", 403)
    with pytest.raises(ClientError) as refused:
        s3.head_object(Key="secret", **there)
    assert status(refused.value.response) == 403
    with pytest.raises(ClientError) as refused:
        s3.head_bucket(**there)
    assert status(refused.value.response) == 403
    assert set(refusals_of_deletion(s3, "other-media", "secret")) == {"AccessDenied"}
    keys = [entry["Key"] for entry in other_s3.list_objects_v2(Bucket="other-media", Prefix="secret")["Contents"]]
    assert keys == ["secret"]


def test_versioning_is_not_on_and_the_acl_is_the_owner_s(s3: Any, bucket: str) -> None:
    assert "Status" not in s3.get_bucket_versioning(Bucket=bucket)
    acl = s3.get_bucket_acl(Bucket=bucket)
    assert [(grant["Grantee"]["ID"], grant["Permission"]) for grant in acl["Grants"]] == [
        (acl["Owner"]["ID"], "FULL_CONTROL")
    ]
    assert s3.list_buckets()["Owner"]["ID"] == acl["Owner"]["ID"]


@pytest.mark.parametrize(
    ("operation", "code"),
    [
        ("get_bucket_encryption", "ServerSideEncryptionConfigurationNotFoundError"),
        ("get_bucket_lifecycle_configuration", "NoSuchLifecycleConfiguration"),
        ("get_bucket_policy", "NoSuchBucketPolicy"),
        ("get_bucket_website", "NoSuchWebsiteConfiguration"),
        ("get_bucket_tagging", "NoSuchTagSet"),
        ("get_bucket_replication", "ReplicationConfigurationNotFoundError"),
        ("get_object_lock_configuration", "ObjectLockConfigurationNotFoundError"),
        ("get_bucket_ownership_controls", "OwnershipControlsNotFoundError"),
        ("get_public_access_block", "NoSuchPublicAccessBlockConfiguration"),
    ],
)
def test_what_is_unset_answers_as_s3_does(s3: Any, bucket: str, operation: str, code: str) -> None:
    with pytest.raises(ClientError) as unset:
        getattr(s3, operation)(Bucket=bucket)
    assert error_code(unset) == (code, 404)


@pytest.mark.parametrize(
    ("operation", "answer"),
    [
        ("get_bucket_logging", {}),
        ("get_bucket_notification_configuration", {}),
        ("get_bucket_accelerate_configuration", {}),
        ("get_bucket_request_payment", {"Payer": "BucketOwner"}),
    ],
)
def test_what_is_off_answers_an_empty_document(s3: Any, bucket: str, operation: str, answer: dict[str, str]) -> None:
    found = getattr(s3, operation)(Bucket=bucket)
    del found["ResponseMetadata"]
    assert found == answer


def test_what_is_not_there_says_not_implemented_and_changes_nothing(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="a", Body=b"kept")
    there = {"Bucket": bucket, "Key": "a"}
    lifecycle = {"Rules": [{"Status": "Enabled", "Prefix": "", "Expiration": {"Days": 1}}]}
    for refuse in (
        lambda: s3.restore_object(RestoreRequest={"Days": 1}, **there),
        lambda: s3.put_object_retention(Retention={"Mode": "GOVERNANCE"}, **there),
        lambda: s3.put_object_legal_hold(LegalHold={"Status": "ON"}, **there),
        lambda: s3.get_object_torrent(**there),
        lambda: s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"}),
        lambda: s3.put_bucket_policy(Bucket=bucket, Policy="{}"),
        lambda: s3.put_bucket_lifecycle_configuration(Bucket=bucket, LifecycleConfiguration=lifecycle),
        lambda: s3.put_bucket_cors(Bucket=bucket, CORSConfiguration={"CORSRules": []}),
        lambda: s3.list_bucket_inventory_configurations(Bucket=bucket),
        lambda: s3.put_object(Bucket=bucket, Key="b", Body=b"x", WebsiteRedirectLocation="/c"),
        lambda: s3.put_object(Bucket=bucket, Key="b", Body=b"x", ServerSideEncryption="aws:kms"),
        lambda: s3.put_object(Bucket=bucket, Key="b", Body=b"x", ObjectLockLegalHoldStatus="ON"),
    ):
        with pytest.raises(ClientError) as refused:
            refuse()
        assert error_code(refused) == ("NotImplemented", 501)
    (entry,) = s3.list_objects_v2(Bucket=bucket)["Contents"]
    assert (entry["Key"], entry["Size"]) == ("a", 4)


def test_an_acl_that_would_change_who_may_what_is_refused(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="a", Body=b"kept")
    there = {"Bucket": bucket, "Key": "a"}
    for refuse in (
        lambda: s3.put_object_acl(ACL="public-read", **there),
        lambda: s3.put_object_acl(GrantRead="id=somebody", **there),
        lambda: s3.put_bucket_acl(Bucket=bucket, ACL="public-read"),
        lambda: s3.put_object(ACL="public-read", Body=b"changed", **there),
    ):
        with pytest.raises(ClientError) as refused:
            refuse()
        assert error_code(refused) == ("AccessControlListNotSupported", 400)
    s3.put_object_acl(ACL="private", **there)
    s3.put_bucket_acl(Bucket=bucket, ACL="private")
    assert s3.head_object(**there)["ContentLength"] == 4


@pytest.mark.parametrize("name", ["ab", "Upper-Case", "under_score", "two..dots", "-dash", "192.168.1.1", "a" * 64])
def test_names_that_s3_forbids_are_invalid(s3: Any, name: str) -> None:
    with pytest.raises(ClientError) as refused:
        s3.create_bucket(Bucket=name)
    assert error_code(refused) == ("InvalidBucketName", 400)


def test_a_browser_asks_first_and_is_told_the_configured_rules(any_gateway: Gateway) -> None:
    asked = {
        "Origin": "https://app.example",
        "Access-Control-Request-Method": "PUT",
        "Access-Control-Request-Headers": "content-type,x-amz-meta-user",
    }
    allowed = fetch(any_gateway, "OPTIONS", f"{any_gateway.endpoint}/demo-media/a", asked)
    assert allowed.status == 200
    assert allowed.headers["access-control-allow-origin"] == "https://app.example"
    assert "PUT" in allowed.headers["access-control-allow-methods"]
    assert allowed.headers["access-control-max-age"] == "3600"
    refused = fetch(any_gateway, "OPTIONS", f"{any_gateway.endpoint}/demo-media/a", {**asked, "Origin": "https://evil"})
    assert refused.status == 403
    assert "access-control-allow-origin" not in refused.headers
