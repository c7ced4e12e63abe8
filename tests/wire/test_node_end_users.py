"""Node.js applications with end users: sessions with the SDK v3 and minio-js, forms through multer-s3 as a service."""

from dataclasses import dataclass
from typing import Any

import pytest

from tests.support.data import MIB
from tests.support.media_house import PRIVATE, PUBLIC, EndUser, MediaHouse
from tests.support.plain_http import fetch
from tests.wire.node_clients import Run, end_user_environment, failed, has_body, refused, run_node

LARGE = 12 * MIB + 5


@dataclass(frozen=True, slots=True)
class Application:
    """What `end_users.mjs` found, and in whose name it has stored."""

    run: Run
    user: EndUser


@pytest.fixture(scope="module")
def application(media_house: MediaHouse) -> Any:
    with media_house.end_user() as user, media_house.end_user() as stranger:
        foreign = stranger.path("foreign")
        stranger.s3.put_object(Bucket=PRIVATE, Key=foreign, Body=b"foreign")
        environment = end_user_environment(media_house, user.name, foreign)
        run = run_node("end_users.mjs", media_house.gateway, environment=environment)
        assert stranger.s3.get_object(Bucket=PRIVATE, Key=foreign)["Body"].read() == b"foreign"
        yield Application(run, user)


@pytest.mark.parametrize(("case", "key"), [("sdk_v3", "sdk v3 é"), ("minio_js", "minio-js é")])
def test_a_session_uploads_in_parts_lists_its_own_and_reads_it(application: Application, case: str, key: str) -> None:
    facts = application.run.facts(case)
    assert has_body(facts["got"], LARGE)
    assert application.user.path(key) in facts["listed"]
    assert all(listed.startswith(application.user.path("")) for listed in facts["listed"])


def test_a_session_is_denied_what_is_somebody_else_s(application: Application) -> None:
    facts = application.run.facts("sdk_v3")
    assert failed(facts["foreign"], 403, "AccessDenied"), facts["foreign"]
    assert failed(facts["onto"], 403, "AccessDenied"), facts["onto"]
    assert application.run.facts("minio_js")["foreign"]["code"] == "AccessDenied"


def test_urls_and_forms_of_a_session_work_for_who_is_given_them(application: Application) -> None:
    facts = application.run.facts("sdk_v3_presigned")
    assert (facts["put"], facts["post"]) == (200, 204)
    assert has_body(facts["get"], 3000)
    assert refused(facts["foreign"], 403, "AccessDenied")
    assert "X-Amz-Security-Token" in facts["fields"]
    assert has_body(application.run.facts("minio_js")["presigned"], LARGE)


def test_sts_refuses_with_the_codes_that_the_sdk_knows(application: Application) -> None:
    facts = application.run.facts("refused_by_sts")
    assert failed(facts["role"], 403, "AccessDenied"), facts["role"]
    assert failed(facts["duration"], 400, "ValidationError"), facts["duration"]
    assert failed(facts["admin"], 403, "AccessDenied"), facts["admin"]


@pytest.mark.parametrize("version", ["v3", "v2"])
def test_what_multer_s3_stores_with_the_metadata_uploader_is_that_end_user_s(
    application: Application, ops: Any, version: str
) -> None:
    facts, user = application.run.facts(f"multer_{version}"), application.user
    for name, bucket, size in (("small", PRIVATE, 1000), ("large", PRIVATE, LARGE), ("picture", PUBLIC, 2000)):
        assert "error" not in facts[name]
        key = user.path(f"{version} {name}")
        for listing in (
            ops.list_objects(Bucket=bucket, Prefix=key),
            ops.list_objects_v2(Bucket=bucket, Prefix=key, FetchOwner=True),
        ):
            assert [entry["Owner"]["ID"] for entry in listing["Contents"]] == [user.name]
        head = user.s3.head_object(Bucket=bucket, Key=key)
        assert (head["ContentLength"], head["Metadata"]) == (size, {"fieldname": "photo"})


@pytest.mark.parametrize("version", ["v3", "v2"])
def test_multer_s3_publishes_in_a_public_category_and_nowhere_else(
    application: Application, media_house: MediaHouse, version: str
) -> None:
    facts, user = application.run.facts(f"multer_{version}"), application.user
    assert fetch(media_house.gateway, "GET", facts["picture"]["location"]).status == 200
    assert facts["published"] == {"error": "AccessControlListNotSupported"}
    assert user.s3.list_objects_v2(Bucket=PRIVATE, Prefix=user.path(f"{version} published"))["KeyCount"] == 0
