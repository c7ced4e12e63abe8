"""boto3's STS client: a service begins sessions for its end users, and nobody else begins any."""

import json
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.support.clients import error_code, s3_client
from tests.support.gateway import Gateway
from tests.support.media_house import PRIVATE, PUBLIC, ROLE, EndUser, Key, MediaHouse, key_of
from tests.support.plain_http import fetch

DENIED = ("AccessDenied", 403)


@pytest.fixture
def sts(media_house: MediaHouse) -> Iterator[Any]:
    """The service at STS; what is wrong reaches the gateway, not boto3's own checks."""
    with closing(media_house.client("backend", "sts", parameter_validation=False)) as client:
        yield client


def session_policy(*statements: dict[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", **each} for each in statements]})


def test_a_session_is_told_its_name_its_role_and_its_end(sts: Any) -> None:
    before = datetime.now(UTC)
    answer = sts.assume_role(RoleArn=ROLE, RoleSessionName="lea@example.com", DurationSeconds=900)
    assert answer["AssumedRoleUser"] == {
        "Arn": "arn:aws:sts::app:assumed-role/uploader/lea@example.com",
        "AssumedRoleId": "app.uploader:lea@example.com",
    }
    assert timedelta(seconds=895) < answer["Credentials"]["Expiration"] - before < timedelta(seconds=960)


@pytest.mark.parametrize(
    ("wrong", "code", "status"),
    [
        ({"DurationSeconds": 899}, "ValidationError", 400),
        ({"DurationSeconds": 43_201}, "ValidationError", 400),
        ({"DurationSeconds": -1}, "ValidationError", 400),
        ({"RoleArn": "arn:aws:iam::app:role/admin"}, "AccessDenied", 403),
        ({"RoleArn": "arn:aws:iam::demo:role/uploader"}, "AccessDenied", 403),
        ({"RoleArn": ""}, "ValidationError", 400),
        ({"RoleSessionName": "ops"}, "AccessDenied", 403),
        ({"RoleSessionName": "dashboard"}, "AccessDenied", 403),
        ({"RoleSessionName": ""}, "ValidationError", 400),
        ({"RoleSessionName": "a/b"}, "ValidationError", 400),
        ({"RoleSessionName": "*"}, "ValidationError", 400),
        ({"RoleSessionName": "l" * 129}, "ValidationError", 400),
        ({"Tags": [{"Key": "a", "Value": "b"}]}, "ValidationError", 400),
        ({"PolicyArns": [{"arn": "arn:aws:iam::aws:policy/ReadOnlyAccess"}]}, "ValidationError", 400),
        ({"SerialNumber": "1", "TokenCode": "123456"}, "ValidationError", 400),
        ({"Policy": "{"}, "MalformedPolicyDocument", 400),
    ],
)
def test_what_cannot_be_asked_for_is_refused_by_its_code(sts: Any, wrong: Any, code: str, status: int) -> None:
    with pytest.raises(ClientError) as refused:
        sts.assume_role(**{"RoleArn": ROLE, "RoleSessionName": "lea", **wrong})
    assert error_code(refused) == (code, status)


@pytest.mark.parametrize("who", ["ops", "sara", "dashboard", "a session"])
def test_only_a_service_begins_sessions(media_house: MediaHouse, lea: EndUser, who: str) -> None:
    with pytest.raises(ClientError) as refused:
        media_house.assume("tom", lea.key if who == "a session" else who)
    assert error_code(refused) == DENIED


def test_who_is_unknown_or_signs_wrongly_is_told_so_in_words_of_sts(media_house: MediaHouse) -> None:
    service = media_house.keys["backend"]
    for key, code in (
        (Key("AKNOBODYKNOWSTHISONE", service.secret_access_key), "InvalidClientTokenId"),
        (Key(service.access_key_id, "x" * 40), "SignatureDoesNotMatch"),
    ):
        with pytest.raises(ClientError) as refused:
            media_house.assume("lea", key)
        assert error_code(refused) == (code, 403)


def test_other_operations_of_sts_are_refused(sts: Any) -> None:
    for ask in (sts.get_caller_identity, sts.get_session_token):
        with pytest.raises(ClientError) as refused:
            ask()
        assert error_code(refused)[1] in (400, 403)


def test_two_sessions_of_one_end_user_are_the_same_owner(media_house: MediaHouse, lea: EndUser) -> None:
    lea.s3.put_object(Bucket=PRIVATE, Key=lea.path("a"), Body=b"body")
    with media_house.end_user(lea.name) as again:
        assert again.s3.get_object(Bucket=PRIVATE, Key=lea.path("a"))["Body"].read() == b"body"
        again.s3.delete_object(Bucket=PRIVATE, Key=lea.path("a"))


def test_a_session_in_the_name_of_an_uploader_is_that_uploader(media_house: MediaHouse, lea: EndUser) -> None:
    key = lea.path("of sara")
    with closing(media_house.client("sara")) as sara, media_house.end_user("sara") as session:
        sara.put_object(Bucket=PRIVATE, Key=key, Body=b"body")
        assert session.s3.get_object(Bucket=PRIVATE, Key=key)["Body"].read() == b"body"
    with closing(media_house.client("bob")) as bob, pytest.raises(ClientError) as refused:
        bob.get_object(Bucket=PRIVATE, Key=key)
    assert error_code(refused) == DENIED


def test_a_session_without_its_token_or_with_another_s_is_refused(
    media_house: MediaHouse, lea: EndUser, tom: EndUser
) -> None:
    key = lea.key
    for forged, code in (
        (Key(key.access_key_id, key.secret_access_key), "InvalidAccessKeyId"),
        (Key(key.access_key_id, key.secret_access_key, tom.key.session_token), "InvalidToken"),
        (Key(key.access_key_id, key.secret_access_key, f"{key.session_token}A"), "InvalidToken"),
        (Key(key.access_key_id, tom.key.secret_access_key, key.session_token), "SignatureDoesNotMatch"),
    ):
        with closing(media_house.client(forged)) as client, pytest.raises(ClientError) as refused:
            client.list_objects_v2(Bucket=PRIVATE)
        assert error_code(refused)[0] == code


def test_a_session_ends_with_the_next_request_after_the_service_s_key_is_disabled(media_house: MediaHouse) -> None:
    gateway = media_house.gateway
    second = Key(*gateway.create_key("app", "backend"))
    session = media_house.assume("lea", second)
    with closing(media_house.client(session, signature_version="s3v4")) as ended:
        ended.list_objects_v2(Bucket=PRIVATE)
        url = ended.generate_presigned_url("list_objects_v2", Params={"Bucket": PRIVATE})
        assert fetch(gateway, "GET", url).status == 200
        gateway.command("keys", "disable", second.access_key_id)
        with pytest.raises(ClientError) as refused:
            ended.list_objects_v2(Bucket=PRIVATE)
        assert error_code(refused) == ("InvalidAccessKeyId", 403)
        assert fetch(gateway, "GET", url).code == "InvalidAccessKeyId"
    with pytest.raises(ClientError) as refused:
        media_house.assume("lea", second)
    assert error_code(refused) == ("InvalidClientTokenId", 403)
    with media_house.end_user("lea") as unharmed:
        unharmed.s3.list_objects_v2(Bucket=PRIVATE)
    gateway.command("keys", "delete", second.access_key_id)


# --- a policy that comes with a session


def test_a_policy_narrows_a_session_to_one_folder(media_house: MediaHouse, lea: EndUser) -> None:
    folder = lea.path("")
    policy = session_policy({"Action": "s3:PutObject", "Resource": f"arn:aws:s3:::{PRIVATE}/{folder}*"})
    lea.s3.put_object(Bucket=PRIVATE, Key=lea.path("before"), Body=b"x")
    with media_house.end_user(lea.name, Policy=policy) as narrow:
        narrow.s3.put_object(Bucket=PRIVATE, Key=lea.path("photo"), Body=b"photo")
        for attempt in (
            lambda: narrow.s3.put_object(Bucket=PRIVATE, Key=f"outside/{lea.name}", Body=b"x"),
            lambda: narrow.s3.put_object(Bucket=PUBLIC, Key=lea.path("photo"), Body=b"x"),
            lambda: narrow.s3.get_object(Bucket=PRIVATE, Key=lea.path("before")),
            lambda: narrow.s3.delete_object(Bucket=PRIVATE, Key=lea.path("before")),
            lambda: narrow.s3.list_objects_v2(Bucket=PRIVATE),
        ):
            with pytest.raises(ClientError) as refused:
                attempt()
            assert error_code(refused) == DENIED
    assert lea.s3.get_object(Bucket=PRIVATE, Key=lea.path("photo"))["Body"].read() == b"photo"


def test_a_policy_narrows_a_listing_to_one_folder(media_house: MediaHouse, lea: EndUser) -> None:
    for name in ("in/a", "in/b", "out/c"):
        lea.s3.put_object(Bucket=PRIVATE, Key=lea.path(name), Body=b"x")
    policy = session_policy(
        {
            "Action": "s3:ListBucket",
            "Resource": f"arn:aws:s3:::{PRIVATE}",
            "Condition": {"StringLike": {"s3:prefix": f"{lea.path('in/')}*"}},
        }
    )
    with media_house.end_user(lea.name, Policy=policy) as narrow:
        found = narrow.s3.list_objects_v2(Bucket=PRIVATE, Prefix=lea.path("in/"))
        assert [entry["Key"] for entry in found["Contents"]] == [lea.path("in/a"), lea.path("in/b")]
        assert narrow.s3.list_objects_v2(Bucket=PRIVATE, Prefix=lea.path("out/"))["KeyCount"] == 0


def test_a_policy_widens_nothing(media_house: MediaHouse, lea: EndUser, tom: EndUser) -> None:
    tom.s3.put_object(Bucket=PRIVATE, Key=tom.path("a"), Body=b"his")
    with media_house.end_user(lea.name, Policy=session_policy({"Action": "s3:*", "Resource": "*"})) as wide:
        with pytest.raises(ClientError) as refused:
            wide.s3.get_object(Bucket=PRIVATE, Key=tom.path("a"))
        assert error_code(refused) == DENIED
        assert wide.s3.list_objects_v2(Bucket=PRIVATE)["KeyCount"] == 0


def test_projects_do_not_share_sessions_or_roles(media_house: MediaHouse, sts: Any) -> None:
    gateway: Gateway = media_house.gateway
    key = key_of(sts.assume_role(RoleArn=ROLE, RoleSessionName="lea"))
    with closing(media_house.client(key)) as session, pytest.raises(ClientError) as refused:
        session.list_objects_v2(Bucket="demo-media")
    assert error_code(refused) == DENIED
    with closing(s3_client(gateway)) as demo, pytest.raises(ClientError) as refused:
        demo.list_objects_v2(Bucket=PRIVATE)
    assert error_code(refused) == DENIED
