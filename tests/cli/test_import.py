"""anbar import, beside a gateway that serves: what it stores, what it passes over, where it goes on."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.caller import Caller
from tests.support.gateway import DEMO_POLICY, OTHER_POLICY, Gateway, GatewayError
from tests.support.oracle import usage_is_the_sum_of_the_objects
from tests.support.origin_faults import Change, Fail, Hold
from tests.support.raw_http import eventually
from tests.support.scripted_origin import ScriptedOrigin

POLICY = DEMO_POLICY.replace(
    "[categories.voice]",
    '[categories.voice]\nquota = { bytes = 100 }\n\n[categories.pictures]\ncontent_types = ["image/png"]',
)
PNG = b"\x89PNG\r\n\x1a\n" + bytes(100)


@pytest.fixture(scope="module")
def old() -> Iterator[ScriptedOrigin]:
    with ScriptedOrigin() as origin:
        origin.make_bucket("old")
        yield origin
        assert origin.unexpected == []


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory, old: ScriptedOrigin) -> Iterator[Gateway]:
    origin = {
        "kind": "s3", "endpoint": old.endpoint, "allow_http": True, "access_key_id": {"env": "OLD_KEY"},
        "secret_access_key": {"env": "OLD_SECRET"}, "retries": 0,
    }  # fmt: skip
    with Gateway(
        tmp_path_factory.mktemp("import"),
        settings={"origins.old": origin},
        policies={"demo": f'origin = "local"\n{POLICY}', "other": f'origin = "local"\n{OTHER_POLICY}'},
        environment={"OLD_KEY": old.access_key_id, "OLD_SECRET": old.secret_access_key},
    ) as running:
        yield running
        usage_is_the_sum_of_the_objects(running)


@pytest.fixture
def caller(gateway: Gateway) -> Caller:
    return Caller.of(gateway)


@pytest.fixture(autouse=True)
def fresh(old: ScriptedOrigin) -> Iterator[None]:
    yield
    old.heal()
    for key in list(old.objects("old")):
        old.remove_behind("old", key)
    old.clear_journal()


def imported(gateway: Gateway, source: str, category: str, *options: str) -> dict[str, tuple[str, bool]]:
    """What became of each object: its state, and whether its MD5 was compared."""
    try:
        text = gateway.command("import", source, "--from", "old", "--to", category, "--json", *options)
    except GatewayError as error:
        text = str(error).partition("ended with 1:\n")[2]
    found: dict[str, Any] = json.loads(text)
    return {each["key"]: (each["state"], each["verified"]) for each in found["objects"]}


def test_objects_come_with_what_is_kept_with_them(gateway, old, caller):
    old.put_behind(
        "old", "app/a b.txt", b"abc", headers={"content-type": "text/plain"}, metadata={"x": "1"}, tags={"t": "2"}
    )
    old.put_behind("old", "elsewhere", b"not asked for")
    assert imported(gateway, "s3://old/app/", "demo/media") == {"a b.txt": ("imported", True)}
    found = caller.get("demo-media", "a b.txt")
    assert (found.body, found.header("content-type"), found.header("x-amz-meta-x")) == (b"abc", "text/plain", "1")
    assert b"<Value>2</Value>" in caller.call("GET", "/demo-media/a%20b.txt?tagging").body
    assert old.objects("old")["app/a b.txt"].body == b"abc"
    assert {each.method for each in old.journal} == {"GET", "HEAD"}


def test_a_second_time_nothing_is_moved_and_nothing_replaced(gateway, old, caller):
    old.put_behind("old", "same", b"abc")
    old.put_behind("old", "other", b"abc")
    caller.put("demo-media", "other", b"what is here")
    assert imported(gateway, "s3://old", "demo/media") == {"same": ("imported", True), "other": ("differs", False)}
    old.clear_journal()
    assert imported(gateway, "s3://old", "demo/media") == {"same": ("already here", False), "other": ("differs", False)}
    assert old.requests("GetObject") == []
    assert caller.get("demo-media", "other").body == b"what is here"


def test_an_etag_that_is_no_md5_does_not_make_another_object_of_it(gateway, old):
    old.put_behind("old", "in parts", b"abc", etag=f'"{"0" * 32}-2"')
    old.put_behind("old", "keyed", b"abc", etag=f'"{"0" * 32}"')
    sealed = Change(headers={"x-amz-server-side-encryption": "aws:kms"})
    old.script("HeadObject", key="keyed", do=sealed)
    assert imported(gateway, "s3://old", "demo/media") == {
        "in parts": ("imported", False),
        "keyed": ("imported", False),
    }
    old.script("HeadObject", key="keyed", do=sealed)
    again = {"in parts": ("already here", False), "keyed": ("already here", False)}
    assert imported(gateway, "s3://old", "demo/media") == again


@pytest.mark.parametrize("etag", [f'"{"0" * 32}-2"', f'"{"0" * 32}"'])
def test_other_bytes_of_the_same_size_are_another_object_whatever_their_etag_is(gateway, old, caller, etag):
    caller.put("demo-media", "k", b"abd")
    old.put_behind("old", "k", b"abc", etag=etag)
    old.script("HeadObject", key="k", do=Change(headers={"x-amz-server-side-encryption": "aws:kms"}))
    assert imported(gateway, "s3://old", "demo/media") == {"k": ("differs", False)}
    assert caller.get("demo-media", "k").body == b"abd"


def test_a_dry_run_stores_nothing(gateway, old, caller):
    old.put_behind("old", "dry", b"abc")
    assert imported(gateway, "s3://old", "demo/media", "--dry-run") == {"dry": ("imported", False)}
    assert caller.get("demo-media", "dry").status == 404


def test_bytes_that_are_not_what_the_source_says_are_not_stored(gateway, old, caller):
    old.put_behind("old", "damaged", b"abc")
    old.script("GetObject", do=Change(body=b"abd"))
    assert imported(gateway, "s3://old", "demo/media") == {"damaged": ("refused", False)}
    assert caller.get("demo-media", "damaged").status == 404
    assert imported(gateway, "s3://old", "demo/media") == {"damaged": ("imported", True)}


@pytest.mark.parametrize("encryption", ["aws:kms", "aws:kms:dsse"])
def test_an_etag_of_what_a_kms_key_encrypts_is_not_taken_for_an_md5(gateway, old, caller, encryption):
    key = f"sealed {encryption}"
    old.put_behind("old", key, b"abc", etag=f'"{"0" * 32}"')
    old.script("HeadObject", do=Change(headers={"x-amz-server-side-encryption": encryption}))
    assert imported(gateway, "s3://old", "demo/media") == {key: ("imported", False)}
    assert caller.get("demo-media", key).body == b"abc"


def test_the_categorys_limits_hold(gateway, old):
    old.put_behind("old", "picture", PNG, headers={"content-type": "image/png"})
    old.put_behind("old", "text", b"abc", headers={"content-type": "text/plain"})
    assert imported(gateway, "s3://old", "demo/pictures") == {"picture": ("imported", True), "text": ("refused", False)}
    old.put_behind("old", "large", bytes(101))
    assert imported(gateway, "s3://old/large", "voice") == {"large": ("refused", False)}


def test_what_fails_is_told_and_comes_the_next_time(gateway, old):
    old.put_behind("old", "first", b"abc")
    old.put_behind("old", "second", b"abc")
    old.script("GetObject", key="second", do=Fail(500))
    assert imported(gateway, "s3://old", "demo/media") == {"first": ("imported", True), "second": ("failed", False)}
    assert imported(gateway, "s3://old", "demo/media")["second"] == ("imported", True)


def test_what_failed_before_an_import_was_cut_off_comes_the_next_time(gateway, old):
    old.put_behind("old", "early", b"abc")
    old.put_behind("old", "late", b"abc")
    listed = "<Contents><Key>early</Key><Size>3</Size></Contents>"
    page = f"<ListBucketResult>{listed}<IsTruncated>true</IsTruncated><NextContinuationToken>t</NextContinuationToken>"
    old.script("ListObjectsV2", do=Change(body=f"{page}</ListBucketResult>".encode()))
    old.script("ListObjectsV2", do=Fail(500))
    old.script("GetObject", key="early", do=Fail(500))
    with pytest.raises(GatewayError):
        gateway.command("import", "s3://old", "--from", "old", "--to", "demo/media")
    assert imported(gateway, "s3://old", "demo/media")["early"] == ("imported", True)


def audited(gateway: Gateway) -> list[dict[str, int]]:
    """What the imports have done, as the audit has it, the last one first."""
    entries: list[dict[str, Any]] = json.loads(gateway.command("audit", "--json"))
    return [each["details"] for each in reversed(entries) if each["event"] == "import"]


def test_what_was_done_before_an_import_could_not_go_on_is_told_and_audited(gateway, old):
    old.put_behind("old", "half/told", b"abc")
    listed = "<Contents><Key>half/told</Key><Size>3</Size></Contents>"
    page = f"<ListBucketResult>{listed}<IsTruncated>true</IsTruncated><NextContinuationToken>t</NextContinuationToken>"
    old.script("ListObjectsV2", do=Change(body=f"{page}</ListBucketResult>".encode()))
    old.script("ListObjectsV2", do=Fail(500))
    with pytest.raises(GatewayError, match="1 imported: stored here"):
        gateway.command("import", "s3://old/half/", "--from", "old", "--to", "demo/media")
    assert audited(gateway)[0] == {"imported": 1}


@pytest.fixture
def heeded() -> Iterator[None]:
    """Processes that are started heed SIGINT, also where this one was started in the background and does not."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("heeded")
def test_what_was_done_before_an_import_was_interrupted_is_told_and_audited(gateway, old):
    old.put_behind("old", "cut/goes", b"abc")
    old.put_behind("old", "cut/stays", b"abc")
    old.script("GetObject", key="cut/stays", do=Hold("head"))
    arguments = ("s3://old/cut/", "--from", "old", "--to", "demo/media", "--config", str(gateway.config))
    with subprocess.Popen(
        [sys.executable, "-m", "gateway", "import", *arguments],
        cwd=gateway.directory,
        env=gateway.environment,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert eventually(lambda: Caller.of(gateway).get("demo-media", "goes").status == 200, within_s=15)
        process.send_signal(signal.SIGINT)
        told, _ = process.communicate(timeout=15)
    assert process.returncode != 0
    assert "1 imported: stored here" in told
    assert audited(gateway)[0] == {"imported": 1}


def test_owners_are_those_that_the_source_or_the_operator_names(gateway, old, caller):
    old.put_behind("old", "hers", b"abc", metadata={"anbar-uploader": "sara", "anbar-write": "w"})
    old.put_behind("old", "nobodys", b"abc")
    imported(gateway, "s3://old", "demo/media", "--uploader", "tom")
    listed = caller.call("GET", "/demo-media?list-type=2&fetch-owner=true").body
    for key, owner in (("hers", b"sara"), ("nobodys", b"tom")):
        assert owner in listed.partition(f"<Key>{key}</Key>".encode())[2].partition(b"</Owner>")[0]


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        (
            ("s3://old", "--from", "nowhere", "--to", "demo/media"),
            '"nowhere" is no S3 origin of gateway.toml; there is old',
        ),
        (("s3://old", "--from", "local", "--to", "demo/media"), '"local" is no S3 origin'),
        (("s3://old", "--from", "old", "--to", "none"), 'there is no category "none"; there is demo/media'),
        (("s3://none", "--from", "old", "--to", "demo/media"), "NoSuchBucket"),
        (
            ("s3://old", "--from", "old", "--to", "demo/media", "--uploader", "a b"),
            "is no name that an uploader can have",
        ),
    ],
)
def test_what_cannot_be_is_refused_by_name(gateway, arguments, what):
    with pytest.raises(GatewayError, match=what):
        gateway.command("import", *arguments)
