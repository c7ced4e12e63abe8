"""F: who may do what. A running gateway is asked about every cell of the table in docs/access.md.

What is expected follows from the page: a cell that says something else than the gateway does makes a test fail.
"""

import itertools
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from gateway.s3.operations import ASSUME_ROLE, OPERATIONS, Operation, Support
from tests.support.caller import Caller, complete_document, delete_document, parse_xml, refused, text, texts
from tests.support.cast import Cast, assume_role
from tests.support.gateway import Gateway
from tests.support.raw_http import Answer
from tests.support.signer import BOUNDARY, content_md5, form_body, object_path, post_policy

PAGE = Path(__file__).resolve().parents[2] / "docs" / "access.md"
COLUMNS = ("admin", "service", "uploader", "reader", "end user", "anonymous", "other project")
MEDIA, OPEN, THEIRS = "demo-media", "demo-open", "other-media"
CATEGORIES = {MEDIA: False, OPEN: True}  # public?
TAGGING = b"<Tagging><TagSet><Tag><Key>a</Key><Value>b</Value></Tag></TagSet></Tagging>"

DONE = {row.name: row for row in (*OPERATIONS, ASSUME_ROLE) if row.support is not Support.NO}
STORING = ("PutObject", "CopyObject", "CreateMultipartUpload", "PostObject")
ON_UPLOADS = tuple(name for name, row in DONE.items() if dict(row.query).keys() >= {"uploadId"})
LISTINGS = ("ListObjects", "ListObjectsV2", "ListObjectVersions", "ListMultipartUploads")
ON_OBJECTS = tuple(name for name, row in DONE.items() if row.on == "object" and name not in (*STORING, *ON_UPLOADS))
OTHERS = ("DeleteObjects", "CreateBucket", "DeleteBucket", "ListBuckets", "AssumeRole")
ON_BUCKETS = tuple(name for name in DONE if name not in (*STORING, *ON_UPLOADS, *LISTINGS, *ON_OBJECTS, *OTHERS))

# How far each word reaches: may they, with what is own or not, and in a public category or not?
REACHES: dict[str, Callable[[bool, bool], bool]] = {
    "all": lambda _own, _public: True,
    "own": lambda own, _public: own,
    "own and free keys": lambda own, _public: own,
    "own list": lambda own, _public: own,
    "public": lambda _own, public: public,
    "own and public": lambda own, public: own or public,
    "–": lambda _own, _public: False,
}
WORDS = {
    STORING: {"all", "own and free keys", "–"},
    LISTINGS: {"all", "own list", "–"},
    (*ON_UPLOADS, "DeleteObjects"): {"all", "own", "–"},
    ON_OBJECTS: {"all", "own", "public", "own and public", "–"},
    (*ON_BUCKETS, *OTHERS[1:]): {"all", "–"},
}


def read_rows() -> list[list[str]]:
    """The rows of the page's only table, the first one being the heads of its columns."""
    lines = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("|")]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return [rows[0], *rows[2:]]


TITLES, *ROWS = read_rows()
MATRIX = {row[0]: dict(zip(TITLES[1:], row[1:], strict=True)) for row in ROWS}


def test_every_operation_has_one_row_and_nothing_else_has():
    assert tuple(TITLES) == ("operation", *COLUMNS)
    assert sorted(row[0] for row in ROWS) == sorted(DONE)


def test_the_page_explains_each_word_once():
    explained = re.findall(r"^- \*\*(.+?)\*\*: ", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert explained == list(REACHES)


@pytest.mark.parametrize("name", DONE)
def test_a_cell_has_a_word_that_fits_its_operation(name):
    words = next(words for names, words in WORDS.items() if name in names)
    assert set(MATRIX[name].values()) <= words
    assert not REACHES[MATRIX[name]["anonymous"]](True, False), "nobody owns nothing"


# --- the stage


@dataclass(frozen=True, slots=True)
class Stored:
    """An object that is there, and an upload of its key with one part."""

    bucket: str
    key: str
    owner: str
    upload_id: str = ""
    etag: str = ""


class Stage:
    """The cast, and objects and uploads of theirs as often as a test needs them.

    A reader stores nothing; what is its own it has from a time when it was an uploader. The admin of the other project
    has the name of this project's, so it seems to own what that one stores.
    """

    def __init__(self, cast: Cast) -> None:
        self.admin = cast["demo/ops"]
        self.stranger = cast["other/ops"]
        self.strange_service = cast["other/backend"]
        self.numbers = itertools.count()
        sara = cast["demo/backend/sara"]
        self.callers = dict(
            zip(
                COLUMNS,
                (
                    self.admin,
                    cast["demo/backend"],
                    cast["demo/u1"],
                    cast["demo/viewer"],
                    sara,
                    cast.nobody,
                    self.stranger,
                ),
                strict=True,
            )
        )
        self.names = {"admin": "ops", "service": "backend", "uploader": "u1", "reader": "viewer", "end user": "sara"}
        self.another = cast["demo/u2"]
        self.kept: dict[str, Stored] = {}
        for column in self.names:
            for bucket in CATEGORIES:
                self.store(self.callers[column], self.names[column], bucket, f"list/{self.names[column]}")
                self.begin(self.callers[column], self.names[column], bucket, f"list/{self.names[column]}")
        for bucket in CATEGORIES:
            self.store(self.another, "u2", bucket, "list/u2")
            self.begin(self.another, "u2", bucket, "list/u2")
            self.kept[bucket] = self.begin(self.callers["reader"], "viewer", bucket, "viewer")
            self.store(self.callers["reader"], "viewer", bucket, "viewer")
        self.stranger.put(THEIRS, "theirs", b"theirs")
        self.admin.put(OPEN, "source", b"for all to read")

    def store(self, who: Caller, owner: str, bucket: str, key: str = "") -> Stored:
        key = key or self.free_key()
        who.put(bucket, key, b"as it was", [("x-amz-meta-mark", "one")])
        return Stored(bucket, key, owner)

    def begin(self, who: Caller, owner: str, bucket: str, key: str = "") -> Stored:
        key = key or self.free_key()
        upload_id = who.start_upload(bucket, key)
        return Stored(bucket, key, owner, upload_id, who.put_part(bucket, key, upload_id, 1, b"part"))

    def free_key(self) -> str:
        return f"k{next(self.numbers)}"

    def own(self, column: str, bucket: str, make: Callable[..., Stored]) -> Iterator[Stored]:
        """Something that the caller of a column owns: made by `store` or `begin`; nobody owns nothing."""
        if column == "reader":
            yield self.kept[bucket]
        elif column != "anonymous":
            owner = "admin" if column == "other project" else column
            yield make(self.callers[owner], self.names[owner], bucket)

    def is_unchanged(self, stored: Stored) -> bool:
        target = object_path(stored.bucket, stored.key)
        found, acl = self.admin.call("GET", target), self.admin.call("GET", f"{target}?acl")
        return (
            found.body == b"as it was"
            and found.header("x-amz-meta-mark") == "one"
            and found.header("x-amz-tagging-count") is None
            and text(parse_xml(acl.body), "Owner/ID") == stored.owner
        )

    def is_free(self, bucket: str, key: str) -> bool:
        """Is there neither an object nor an upload?"""
        listed = self.admin.call("GET", f"/{bucket}?uploads=&prefix={key}")
        return self.admin.get(bucket, key).status == 404 and b"<Upload>" not in listed.body

    def is_open(self, upload: Stored) -> bool:
        """Is the upload there with its one part, and no object?"""
        listed = self.admin.call("GET", f"{object_path(upload.bucket, upload.key)}?uploadId={upload.upload_id}")
        return texts(parse_xml(listed.body), "Part/ETag") == [upload.etag]


def policy(project: str, viewer: str = "reader") -> str:
    return f"""\
project = "{project}"
[categories.media]
[categories.open]
read = "public"
[principals]
ops = {{ role = "admin" }}
backend = {{ role = "service" }}
u1 = {{ role = "uploader" }}
u2 = {{ role = "uploader" }}
viewer = {{ role = "{viewer}" }}
[[cors]]
allowed_origins = ["https://app.example"]
allowed_methods = ["GET"]
"""


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    policies = {"demo": policy("demo", viewer="uploader"), "other": policy("other")}
    local = {"kind": "directory", "path": "var/objects", "durable": False}
    directory = tmp_path_factory.mktemp("matrix")
    with Gateway(directory, policies=policies, settings={"origins.local": local}) as gateway:
        names = ("ops", "backend", "u1", "u2", "viewer")
        cast = Cast.at(gateway, [*(f"demo/{name}" for name in names), "other/ops", "other/backend"])
        made = Stage(cast)
        (directory / "policies" / "demo.toml").write_text(policy("demo"))
        gateway.command("policy", "apply")
        yield made


# --- asking, and what an answer must be


def query_of(row: Operation, upload_id: str) -> str:
    given = {"uploadId": upload_id, "partNumber": "2"}
    return "&".join(f"{name}={value or given.get(name, '')}" for name, value in row.query)


def ask(
    stage: Stage, column: str, name: str, bucket: str, key: str | None = None, upload: Stored | None = None
) -> Answer:
    """One request of the operation, by the caller of the column."""
    caller, row = stage.callers[column], DONE[name]
    if name == "PostObject":
        return post(caller, bucket, key or "", column)
    upload_id = upload.upload_id if upload is not None else "x"
    target = (f"/{bucket}" if key is None else object_path(bucket, key)) + f"?{query_of(row, upload_id)}"
    body, headers = b"", []
    if row.header is not None:
        headers.append((row.header, f"/{OPEN}/source"))
    if name == "GetObjectAttributes":
        headers.append(("x-amz-object-attributes", "ETag"))
    elif name == "PutObjectAcl":
        headers.append(("x-amz-acl", "public-read" if CATEGORIES.get(bucket) else "private"))
    elif name == "PutBucketAcl":
        headers.append(("x-amz-acl", "private"))
    elif name == "PutObjectTagging":
        body = TAGGING
    elif name == "CompleteMultipartUpload":
        body = complete_document([(1, upload.etag if upload is not None else '"x"')])
    elif name in ("PutObject", "UploadPart"):
        body = b"of another"
    return caller.call(row.method, target.rstrip("?"), body, headers)


def post(caller: Caller, bucket: str, key: str, column: str) -> Answer:
    fields: dict[str, str] = {}
    if column != "anonymous":
        names = ("key", "x-amz-credential", "x-amz-algorithm", "x-amz-date", "x-amz-security-token")
        conditions = [{"bucket": bucket}, *(["starts-with", f"${name}", ""] for name in names)]
        if caller.signer.session_token is None:
            conditions.pop()
        fields = caller.signer.post_fields(post_policy(conditions))
    body = form_body([("key", key), *fields.items()], b"of another")
    headers = [("Content-Type", f"multipart/form-data; boundary={BOUNDARY}")]
    return caller.ask(caller.request("POST", f"/{bucket}", body, headers))


def is_done(name: str, answer: Answer) -> None:
    """The operation was done, or answered that nothing is set."""
    unset = DONE[name].unset
    if unset is None:
        assert answer.status in (200, 204), answer
    else:
        refused(answer, unset.status, unset.name)


def is_denied(answer: Answer, name: str = "") -> None:
    if name.startswith("Head"):
        assert (answer.status, answer.body) == (403, b"")
    else:
        refused(answer, 403, "AccessDenied")


def cells(*names: str) -> pytest.MarkDecorator:
    """A test for each of the operations and each column."""
    return pytest.mark.parametrize(("name", "column"), [(name, column) for name in names for column in COLUMNS])


# --- the table


@cells(*ON_OBJECTS)
def test_an_operation_on_an_object_reaches_as_far_as_its_cell_says(stage, name, column):
    cell = MATRIX[name][column]
    for bucket, public in CATEGORIES.items():
        another = stage.store(stage.another, "u2", bucket)
        own = ((stored, True) for stored in stage.own(column, bucket, stage.store))
        for stored, is_own in (*own, (another, False)):
            answer = ask(stage, column, name, bucket, stored.key)
            if REACHES[cell](is_own, public):
                is_done(name, answer)
            else:
                is_denied(answer, name)
                assert stage.is_unchanged(stored)


@cells(*ON_OBJECTS)
def test_a_missing_object_is_missing_only_to_who_may_list(stage, name, column):
    for bucket in CATEGORIES:
        answer = ask(stage, column, name, bucket, stage.free_key())
        if MATRIX[name][column] == "–" or MATRIX["ListObjectsV2"][column] != "all":
            is_denied(answer, name)
        elif name == "DeleteObject":
            assert answer.status == 204
        else:
            assert answer.status == 404, answer


@cells(*STORING)
def test_an_operation_that_stores_reaches_as_far_as_its_cell_says(stage, name, column):
    cell = MATRIX[name][column]
    for bucket in CATEGORIES:
        another = stage.store(stage.another, "u2", bucket)
        own = ((stored, True) for stored in stage.own(column, bucket, stage.store))
        for stored, is_own in (*own, (another, False)):
            answer = ask(stage, column, name, bucket, stored.key)
            if REACHES[cell](is_own, False):
                is_done(name, answer)
            else:
                is_denied(answer)
                assert stage.is_unchanged(stored)
        key = stage.free_key()
        answer = ask(stage, column, name, bucket, key)
        if cell in ("all", "own and free keys"):
            is_done(name, answer)
        else:
            is_denied(answer)
        assert stage.is_free(bucket, key) == (cell == "–")


@cells(*ON_UPLOADS)
def test_an_operation_on_an_upload_reaches_as_far_as_its_cell_says(stage, name, column):
    cell = MATRIX[name][column]
    for bucket in CATEGORIES:
        another = stage.begin(stage.another, "u2", bucket)
        own = ((upload, True) for upload in stage.own(column, bucket, stage.begin))
        nobodys = Stored(bucket, stage.free_key(), "", "0" * 32)
        for upload, is_own in (*own, (another, False), (nobodys, None)):
            answer = ask(stage, column, name, bucket, upload.key, upload)
            if is_own is not None and REACHES[cell](is_own, False):
                is_done(name, answer)
                continue
            if cell == "–":
                is_denied(answer)
            else:
                refused(answer, 404, "NoSuchUpload")
            assert is_own is None or stage.is_open(upload)


@cells(*LISTINGS)
def test_a_listing_shows_what_its_cell_says(stage, name, column):
    cell = MATRIX[name][column]
    for bucket in CATEGORIES:
        row = DONE[name]
        answer = stage.callers[column].call("GET", f"/{bucket}?{query_of(row, '')}&prefix=list/")
        if cell == "–":
            is_denied(answer)
            continue
        everybody = {f"list/{owner}" for owner in (*stage.names.values(), "u2")}
        wanted = everybody if cell == "all" else {f"list/{stage.names[column]}"}
        shown = [element.text for element in parse_xml(answer.body).iter("Key")]
        assert (set(shown), len(shown)) == (wanted, len(wanted))


@cells("DeleteObjects")
def test_of_a_batch_each_object_is_deleted_as_far_as_the_cell_says(stage, name, column):
    cell = MATRIX[name][column]
    for bucket in CATEGORIES:
        own = list(stage.own(column, bucket, stage.store))
        another, missing = stage.store(stage.another, "u2", bucket), stage.free_key()
        body = delete_document([*(stored.key for stored in own), another.key, missing])
        answer = stage.callers[column].call("POST", f"/{bucket}?delete=", body, [("Content-MD5", content_md5(body))])
        if cell == "–":
            is_denied(answer)
            assert all(stage.is_unchanged(stored) for stored in (*own, another))
            continue
        assert answer.status == 200, answer
        root = parse_xml(answer.body)
        gone = {stored.key for stored in own} | ({another.key} if cell == "all" else set())
        gone |= {missing} if MATRIX["ListObjectsV2"][column] == "all" else set()
        assert set(texts(root, "Deleted/Key")) == gone
        assert set(texts(root, "Error/Key")) == {another.key, missing} - gone
        assert set(texts(root, "Error/Code")) <= {"AccessDenied"}
        assert stage.is_unchanged(another) == (another.key not in gone)


@cells(*ON_BUCKETS)
def test_an_operation_on_a_bucket_is_answered_to_whom_its_cell_says(stage, name, column):
    for bucket in CATEGORIES:
        answer = ask(stage, column, name, bucket)
        if MATRIX[name][column] == "all":
            is_done(name, answer)
        else:
            is_denied(answer, name)


@cells("CreateBucket", "DeleteBucket")
def test_buckets_are_made_and_removed_by_whom_the_cell_says(stage, name, column):
    bucket = f"made-{name.lower()}-{COLUMNS.index(column)}"
    if name == "DeleteBucket":
        assert stage.admin.call("PUT", f"/{bucket}").status == 200
    if name == "CreateBucket" and column == "other project":  # it may make buckets, but none of this project's
        bucket = MEDIA
        answer = ask(stage, column, name, bucket)
        refused(answer, 409, "BucketAlreadyExists")
        assert MATRIX[name][column] == "–"
        assert stage.admin.call("GET", f"/{bucket}?location").status == 200
        return
    answer = ask(stage, column, name, bucket)
    allowed = MATRIX[name][column] == "all"
    is_done(name, answer) if allowed else is_denied(answer)
    there = stage.admin.call("GET", f"/{bucket}?location").status == 200
    assert there == (allowed == (name == "CreateBucket"))


@pytest.mark.parametrize("column", COLUMNS)
def test_the_list_of_buckets_has_what_its_cell_says(stage, column):
    answer = stage.callers[column].call("GET", "/")
    if column == "anonymous":
        is_denied(answer)
    shown = set(texts(parse_xml(answer.body), "Buckets/Bucket/Name"))
    assert shown >= set(CATEGORIES) if MATRIX["ListBuckets"][column] == "all" else shown.isdisjoint(CATEGORIES)


@pytest.mark.parametrize("column", COLUMNS)
def test_sessions_are_begun_by_whom_the_cell_says(stage, column):
    caller = stage.strange_service if column == "other project" else stage.callers[column]
    answer = assume_role(caller, "demo", "mahsa")
    if MATRIX["AssumeRole"][column] == "all":
        assert answer.status == 200
    else:
        code = "MissingAuthenticationToken" if column == "anonymous" else "AccessDenied"
        assert (answer.status, text(parse_xml(answer.body), "Error/Code")) == (403, code)


# --- beyond the table


@cells(*(name for name in DONE if name not in ("AssumeRole", "CreateBucket", "ListBuckets")))
def test_another_projects_bucket_is_closed_whatever_the_role(stage, name, column):
    if column == "other project":
        return
    key = "theirs" if DONE[name].on == "object" or name == "PostObject" else None
    if name == "DeleteObjects":
        body = delete_document(["theirs"])
        headers = [("Content-MD5", content_md5(body))]
        is_denied(stage.callers[column].call("POST", f"/{THEIRS}?delete=", body, headers))
    else:
        is_denied(ask(stage, column, name, THEIRS, key), name)
    assert stage.stranger.get(THEIRS, "theirs").body == b"theirs"


@pytest.mark.parametrize("column", COLUMNS)
def test_a_categorys_bucket_is_removed_by_nobody(stage, column):
    for bucket in CATEGORIES:
        is_denied(ask(stage, column, "DeleteBucket", bucket))


@pytest.mark.parametrize("column", COLUMNS)
def test_a_bucket_that_is_nobodys_is_missing_to_who_signs(stage, column):
    answer = stage.callers[column].call("GET", "/no-such-bucket/k")
    is_denied(answer) if column == "anonymous" else refused(answer, 404, "NoSuchBucket")


@pytest.mark.parametrize("column", COLUMNS)
def test_what_is_not_implemented_changes_nothing_whoever_asks(stage, column):
    stored = stage.store(stage.another, "u2", MEDIA)
    for row in OPERATIONS:
        if row.support is Support.NO:
            path = {"object": object_path(MEDIA, stored.key), "bucket": f"/{MEDIA}", "service": "/"}[row.on]
            answer = stage.callers[column].call(row.method, f"{path}?{query_of(row, '')}")
            if row.on != "service":  # those have hosts of their own, and are not known by the path
                refused(answer, {403, 501}, "AccessDenied", "NotImplemented")
    assert stage.is_unchanged(stored)
