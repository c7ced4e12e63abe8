"""Buckets at their corners, and what happens when many ask at once, as S3 answers it."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.support.clients import error_code, fresh_bucket_name, s3_client
from tests.support.data import MIB
from tests.support.gateway import Gateway
from tests.support.raw_http import Answer, Connection, Request, connected
from tests.support.signed_http import SignedConnection, sign_request

SEVERAL = 6


@pytest.fixture(scope="module")
def s3(gateway: Gateway) -> Iterator[Any]:
    with closing(s3_client(gateway, max_pool_connections=2 * SEVERAL)) as client:
        yield client


@pytest.fixture
def signed(gateway: Gateway) -> Iterator[SignedConnection]:
    with SignedConnection(gateway) as connection:
        yield connection


def read(s3: Any, bucket: str, key: str) -> bytes:
    with s3.get_object(Bucket=bucket, Key=key)["Body"] as body:
        return body.read()


# --- names and making ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "shape", ["{}" + "a" * 51, "0{}", "{}.a", "a.{}.b", "xn--{}", "{}-s3alias", "sthree-{}", "1.2.{}"]
)
def test_names_that_s3_or_its_neighbours_allow(s3: Any, signed: SignedConnection, shape: str) -> None:
    name = shape.format(fresh_bucket_name("")[1:13])
    assert signed.signed("PUT", f"/{name}").status == 200
    assert signed.signed("HEAD", f"/{name}/").status == 200
    assert signed.signed("DELETE", f"/{name}").status == 204
    with pytest.raises(ClientError) as gone:
        s3.head_bucket(Bucket=name)
    assert error_code(gone)[1] == 404


@pytest.mark.parametrize("name", ["a", ".ab", "ab.", "ab-", "a.-b", "a-.b", "a b", "ab!c", "é12", "256.1.1.1", "a/b"])
def test_names_that_s3_does_not_allow(signed: SignedConnection, name: str) -> None:
    for path in (name, f"{name}/"):
        refused = signed.signed("PUT", f"/{path}")
        if "/" not in name:
            assert (refused.status, refused.code) == (400, "InvalidBucketName")
        else:
            assert refused.status == 400


@pytest.mark.parametrize(
    ("document", "status", "code"),
    [
        ("<CreateBucketConfiguration/>", 200, ""),
        ("<CreateBucketConfiguration><LocationConstraint/></CreateBucketConfiguration>", 200, ""),
        ("<CreateBucketConfiguration><Colour>red</Colour></CreateBucketConfiguration>", 400, "MalformedXML"),
        ("<Bucket/>", 400, "MalformedXML"),
        ("nonsense", 400, "MalformedXML"),
    ],
)
def test_the_document_of_create_bucket_is_read_strictly(
    s3: Any, signed: SignedConnection, document: str, status: int, code: str
) -> None:
    name = fresh_bucket_name()
    answer = signed.signed("PUT", f"/{name}", body=document.encode())
    assert (answer.status, answer.code) == (status, code)
    assert (name in [entry["Name"] for entry in s3.list_buckets()["Buckets"]]) == (status == 200)


@pytest.mark.parametrize(
    ("headers", "status", "code"),
    [
        ({"x-amz-acl": "private"}, 200, ""),
        ({"x-amz-acl": "public-read-write"}, 400, "AccessControlListNotSupported"),
        ({"x-amz-acl": "everyone"}, 400, "InvalidArgument"),
        ({"x-amz-grant-full-control": "id=x"}, 400, "AccessControlListNotSupported"),
        ({"x-amz-object-ownership": "BucketOwnerEnforced"}, 200, ""),
        ({"x-amz-object-ownership": "ObjectWriter"}, 501, "NotImplemented"),
        ({"x-amz-bucket-object-lock-enabled": "true"}, 501, "NotImplemented"),
        ({"x-amz-bucket-object-lock-enabled": "false"}, 200, ""),
    ],
    ids=str,
)
def test_what_create_bucket_may_ask_for_besides(
    signed: SignedConnection, headers: dict[str, str], status: int, code: str
) -> None:
    answer = signed.signed("PUT", f"/{fresh_bucket_name()}", headers=headers)
    assert (answer.status, answer.code) == (status, code)


def test_making_a_bucket_again_changes_nothing_in_it(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="a", Body=b"kept")
    with pytest.raises(ClientError) as refused:
        s3.create_bucket(Bucket=bucket)
    assert (error_code(refused), read(s3, bucket, "a")) == (("BucketAlreadyOwnedByYou", 409), b"kept")


def test_what_is_not_there_cannot_be_deleted_or_asked(s3: Any) -> None:
    name = fresh_bucket_name()
    for refuse in (
        lambda: s3.delete_bucket(Bucket=name),
        lambda: s3.get_bucket_location(Bucket=name),
        lambda: s3.get_bucket_acl(Bucket=name),
        lambda: s3.get_bucket_versioning(Bucket=name),
        lambda: s3.get_bucket_cors(Bucket=name),
        lambda: s3.put_object(Bucket=name, Key="a", Body=b"x"),
        lambda: s3.get_object(Bucket=name, Key="a"),
        lambda: s3.delete_object(Bucket=name, Key="a"),
        lambda: s3.create_multipart_upload(Bucket=name, Key="a"),
        lambda: s3.put_bucket_policy(Bucket=name, Policy="{}"),
    ):
        with pytest.raises(ClientError) as refused:
            refuse()
        assert error_code(refused) == ("NoSuchBucket", 404)


def test_an_acl_of_what_is_not_there(s3: Any, bucket: str) -> None:
    with pytest.raises(ClientError) as refused:
        s3.get_object_acl(Bucket=bucket, Key="missing")
    assert error_code(refused) == ("NoSuchKey", 404)


def test_unfinished_uploads_do_not_keep_a_bucket(s3: Any, bucket: str) -> None:
    upload_id = s3.create_multipart_upload(Bucket=bucket, Key="a")["UploadId"]
    s3.upload_part(Bucket=bucket, Key="a", UploadId=upload_id, PartNumber=1, Body=b"part")
    s3.delete_bucket(Bucket=bucket)
    s3.create_bucket(Bucket=bucket)
    assert "Uploads" not in s3.list_multipart_uploads(Bucket=bucket)
    with pytest.raises(ClientError) as refused:
        s3.list_parts(Bucket=bucket, Key="a", UploadId=upload_id)
    assert error_code(refused) == ("NoSuchUpload", 404)


@pytest.mark.parametrize("method", ["PUT", "DELETE", "HEAD"])
def test_the_service_itself_is_only_read(signed: SignedConnection, method: str) -> None:
    assert signed.signed(method, "/").status == 405


# --- many at once -------------------------------------------------------------------------------------------------


def at_once(work: Callable[[int], Any]) -> list[Any]:
    """The results of `work` done by several at the same moment; of a refusal its code."""
    ready = threading.Barrier(SEVERAL)

    def one(number: int) -> Any:
        ready.wait(20)
        try:
            return work(number)
        except ClientError as error:
            return error.response["Error"]["Code"]

    with ThreadPoolExecutor(SEVERAL) as pool:
        return list(pool.map(one, range(SEVERAL)))


def test_of_several_who_make_one_bucket_one_does(s3: Any) -> None:
    name = fresh_bucket_name()
    results = at_once(lambda _: s3.create_bucket(Bucket=name) and "made")
    assert sorted(results) == ["BucketAlreadyOwnedByYou"] * (SEVERAL - 1) + ["made"]


def test_of_several_who_delete_what_exists_one_does(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="a", Body=b"x")
    results = at_once(lambda _: s3.delete_object(Bucket=bucket, Key="a", IfMatch="*") and "deleted")
    assert sorted(results) == ["NoSuchKey"] * (SEVERAL - 1) + ["deleted"]


def test_of_several_copies_onto_nothing_one_is_made(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="a", Body=b"x")
    source = f"{bucket}/a"
    results = at_once(lambda _: s3.copy_object(Bucket=bucket, Key="b", CopySource=source, IfNoneMatch="*") and "made")
    assert sorted(results) == ["PreconditionFailed"] * (SEVERAL - 1) + ["made"]


def test_several_completes_of_one_upload_agree(s3: Any, bucket: str) -> None:
    upload_id = s3.create_multipart_upload(Bucket=bucket, Key="a")["UploadId"]
    put = s3.upload_part(Bucket=bucket, Key="a", UploadId=upload_id, PartNumber=1, Body=b"part")
    parts = {"Parts": [{"PartNumber": 1, "ETag": put["ETag"]}]}
    there = {"Bucket": bucket, "Key": "a", "UploadId": upload_id, "MultipartUpload": parts}
    results = at_once(lambda _: s3.complete_multipart_upload(**there)["ETag"])
    assert set(results) == {s3.head_object(Bucket=bucket, Key="a")["ETag"]}


def test_readers_see_one_writer_s_body_whole(s3: Any, bucket: str) -> None:
    bodies = [bytes([65 + number]) * (MIB + number) for number in range(SEVERAL)]
    s3.put_object(Bucket=bucket, Key="a", Body=bodies[0])

    def write_and_read(number: int) -> bool:
        s3.put_object(Bucket=bucket, Key="a", Body=bodies[number])
        return read(s3, bucket, "a") in bodies

    assert at_once(write_and_read) == [True] * SEVERAL


def test_a_reader_keeps_the_body_it_began(s3: Any, bucket: str) -> None:
    for replace in (
        lambda: s3.put_object(Bucket=bucket, Key="a", Body=b"new"),
        lambda: s3.delete_object(Bucket=bucket, Key="a"),
    ):
        s3.put_object(Bucket=bucket, Key="a", Body=bytes(8 * MIB))
        with s3.get_object(Bucket=bucket, Key="a")["Body"] as body:
            begun = body.read(10)
            replace()
            assert begun + body.read() == bytes(8 * MIB)


# --- while a body is on its way -----------------------------------------------------------------------------------


class Upload:
    """A PUT that has said `Expect: 100-continue`, and got it: it has begun, and its body is still to come."""

    def __init__(self, gateway: Gateway, connection: Connection, path: str, body: bytes, **sign: Any) -> None:
        signed = sign_request(gateway, "PUT", path, body=body, **sign)
        framing = (
            ("Host", f"{gateway.host}:{gateway.port}"),
            ("Content-Length", str(len(body))),
            ("Expect", "100-continue"),
        )
        self.request = Request("PUT", signed.target, (*signed.headers.items(), *framing), body)
        self.connection = connection
        connection.send(self.request.head())
        self.first_status = connection.interim()

    def finish(self) -> Answer:
        self.connection.send(self.request.body)
        return self.connection.answer("PUT")


@pytest.fixture
def line(gateway: Gateway) -> Iterator[Connection]:
    with connected(gateway.host, gateway.port) as connection:
        yield connection


def code_of(answer: Answer) -> str:
    return answer.body.decode().partition("<Code>")[2].partition("<")[0]


@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [
        ("/t-never-there/a", {}, 404),
        ("/other-media/a", {}, 403),
        ("/demo-media/missing", {"if-match": '"x"'}, 404),
        ("/demo-media/a", {"x-amz-acl": "public-read"}, 400),
        ("/demo-media/a", {"content-md5": "none"}, 400),
    ],
)
def test_a_client_that_waits_is_refused_before_its_body(
    gateway: Gateway, line: Connection, path: str, headers: dict[str, str], status: int
) -> None:
    assert Upload(gateway, line, path, b"never sent", headers=headers).first_status == status


def test_a_bucket_that_goes_away_under_an_upload_takes_nothing_in(
    gateway: Gateway, line: Connection, s3: Any, bucket: str
) -> None:
    under_way = Upload(gateway, line, f"/{bucket}/a", b"body")
    assert under_way.first_status == 100
    s3.delete_bucket(Bucket=bucket)
    answer = under_way.finish()
    assert (answer.status, code_of(answer)) == (404, "NoSuchBucket")


def test_a_condition_is_decided_when_the_body_is_there(
    gateway: Gateway, line: Connection, s3: Any, bucket: str
) -> None:
    etag = s3.put_object(Bucket=bucket, Key="a", Body=b"first")["ETag"]
    under_way = Upload(gateway, line, f"/{bucket}/a", b"second", headers={"if-match": etag})
    assert under_way.first_status == 100
    s3.put_object(Bucket=bucket, Key="a", Body=b"between")
    answer = under_way.finish()
    assert (answer.status, code_of(answer)) == (412, "PreconditionFailed")
    assert read(s3, bucket, "a") == b"between"


def test_of_two_uploads_of_a_part_the_later_end_counts(
    gateway: Gateway, line: Connection, s3: Any, bucket: str
) -> None:
    upload_id = s3.create_multipart_upload(Bucket=bucket, Key="a")["UploadId"]
    query = [("partNumber", "1"), ("uploadId", upload_id)]
    early = Upload(gateway, line, f"/{bucket}/a", b"began first, ended last", query=query)
    assert early.first_status == 100
    s3.upload_part(Bucket=bucket, Key="a", UploadId=upload_id, PartNumber=1, Body=b"between")
    etag = early.finish().header("ETag")
    (part,) = s3.list_parts(Bucket=bucket, Key="a", UploadId=upload_id)["Parts"]
    assert part["ETag"] == etag
    parts = {"Parts": [{"PartNumber": 1, "ETag": etag}]}
    s3.complete_multipart_upload(Bucket=bucket, Key="a", UploadId=upload_id, MultipartUpload=parts)
    assert read(s3, bucket, "a") == b"began first, ended last"


@pytest.mark.parametrize("end", ["complete", "abort"])
def test_a_part_that_comes_after_the_end_of_its_upload_is_not_taken(
    gateway: Gateway, line: Connection, s3: Any, bucket: str, end: str
) -> None:
    upload_id = s3.create_multipart_upload(Bucket=bucket, Key="a")["UploadId"]
    there = {"Bucket": bucket, "Key": "a", "UploadId": upload_id}
    put = s3.upload_part(PartNumber=1, Body=b"in time", **there)
    late = Upload(gateway, line, f"/{bucket}/a", b"late", query=[("partNumber", "1"), ("uploadId", upload_id)])
    assert late.first_status == 100
    if end == "complete":
        parts = {"Parts": [{"PartNumber": 1, "ETag": put["ETag"]}]}
        s3.complete_multipart_upload(MultipartUpload=parts, **there)
    else:
        s3.abort_multipart_upload(**there)
    answer = late.finish()
    assert (answer.status, code_of(answer)) == (404, "NoSuchUpload")
    found = [(entry["Key"], entry["Size"]) for entry in s3.list_objects_v2(Bucket=bucket).get("Contents", [])]
    assert found == ([("a", len(b"in time"))] if end == "complete" else [])
