"""I: what is kept close is kept from whoever may not read it, and never harmed by whoever asks oddly."""

import os
import random
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest

from tests.support.caller import Caller, refused
from tests.support.cast import Cast
from tests.support.gateway import Gateway
from tests.support.origin_faults import ApplyLate, Change, Cut, ErrorInside, Fail, LoseAnswer, Redirect, Stall
from tests.support.raw_http import Answer, BrokenAnswer, Request, eventually
from tests.support.s3_gateway import s3_gateway
from tests.support.scripted_origin import ScriptedOrigin

POLICY = """\
project = "demo"
[categories.media]
cache = true
[categories.voice]
cache = true
[categories.open]
bucket = "demo-open"
read = "public"
max_age_s = 300
cache = true
[principals]
ops = { role = "admin" }
backend = { role = "service" }
u1 = { role = "uploader" }
u2 = { role = "uploader" }

[[cors]]
allowed_origins = ["https://a.example", "https://b.example"]
allowed_methods = ["GET"]

[[statements]]
effect = "deny"
principals = ["anonymous"]
actions = ["s3:GetObject"]
resources = ["demo-open/closed/*"]
"""
OTHER = 'project = "other"\n[categories.media]\n[principals.ops]\nrole = "admin"\n'
CACHE = {"path": "var/cache", "max_bytes": "16MiB", "memory_bytes": "4MiB"}
MEDIA, OPEN = "demo-media", "demo-open"
BLOCK = 1 << 20
SECRET, LARGE = b"the inner voice", random.Random(5).randbytes(BLOCK + 200_000)
CAST = ("demo/ops", "demo/backend", "demo/u1", "demo/u2", "other/ops")


@pytest.fixture(scope="module")
def origin() -> Iterator[ScriptedOrigin]:
    with ScriptedOrigin() as running:
        running.make_bucket(OPEN)
        yield running
        assert running.unexpected == []


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory, origin: ScriptedOrigin) -> Iterator[Gateway]:
    policies = {"demo": POLICY, "other": OTHER}
    settings = {"cache": CACHE}
    with s3_gateway(tmp_path_factory.mktemp("i"), origin, settings=settings, policies=policies, retries=0) as running:
        yield running


@pytest.fixture(scope="module")
def cast(gateway: Gateway) -> Cast:
    return Cast.at(gateway, CAST)


@pytest.fixture(autouse=True)
def healed(origin: ScriptedOrigin) -> Iterator[None]:
    yield
    origin.heal()


def warm(caller: Caller, bucket: str, key: str, body: bytes) -> None:
    """Store an object, and read it until it is kept."""
    caller.put(bucket, key, body)
    assert eventually(lambda: caller.get(bucket, key).header("x-cache") == "hit", within_s=10)


def is_whole(answer: Answer, body: bytes) -> bool:
    return (answer.status, answer.body) == (200, body)


def test_i01_a_right_is_asked_for_before_anything_is_looked_up(cast):
    owner = cast["demo/u1"]
    warm(owner, MEDIA, "i01", SECRET)
    old = owner.presigned("GET", f"/{MEDIA}/i01", expires="60", now_s=time.time() - 3600)
    forged = owner.signed("GET", f"/{MEDIA}/i01")
    signature = forged.header("authorization") or ""
    last = "0" if signature[-1] != "0" else "1"
    headers = [(n, signature[:-1] + last if n.lower() == "authorization" else v) for n, v in forged.headers]
    wrong = Request(forged.method, forged.target, tuple(headers))
    strangers = [cast["demo/u2"], cast["demo/backend/sara"], cast["other/ops"], cast.nobody]
    for _ in range(2):
        assert owner.get(MEDIA, "i01").header("x-cache") == "hit"
        for stranger in strangers:
            for ranged in ((), (("Range", "bytes=0-3"),)):
                answer = stranger.call("GET", f"/{MEDIA}/i01", b"", ranged)
                refused(answer, 403, "AccessDenied")
                assert answer.header("x-cache") is None
        refused(owner.ask(wrong), 403, "SignatureDoesNotMatch")
        refused(owner.ask(old), 403, "AccessDenied")


def test_i02_that_one_object_is_public_says_nothing_of_the_next(cast):
    admin, nobody = cast["demo/ops"], cast.nobody
    for key in ("free/i02", "closed/i02"):
        warm(admin, OPEN, key, SECRET)
    warm(admin, MEDIA, "i02", SECRET)
    for _ in range(2):
        assert nobody.get(OPEN, "free/i02").header("x-cache") == "hit"
        refused(nobody.get(OPEN, "closed/i02"), 403, "AccessDenied")
        refused(nobody.get(MEDIA, "i02"), 403, "AccessDenied")


def test_i04_no_right_is_inferred_from_another_operation(cast):
    admin, u2 = cast["demo/ops"], cast["demo/u2"]
    warm(admin, MEDIA, "i04", SECRET)
    u2.put(MEDIA, "i04-own", b"mine")
    assert u2.call("HEAD", f"/{MEDIA}").status in (200, 403)
    refused(u2.get(MEDIA, "i04"), 403, "AccessDenied")


def test_i05_a_category_that_is_closed_and_a_key_that_is_revoked_count_at_once(cast, gateway):
    admin, nobody = cast["demo/ops"], cast.nobody
    warm(admin, OPEN, "free/i05", SECRET)
    assert nobody.get(OPEN, "free/i05").status == 200
    file = gateway.directory / "policies" / "demo.toml"
    before = file.read_text()
    file.write_text(before.replace('read = "public"\nmax_age_s = 300\n', ""))
    gateway.command("policy", "apply")
    try:
        refused(nobody.get(OPEN, "free/i05"), 403, "AccessDenied")
        answer = admin.get(OPEN, "free/i05")
        assert (answer.header("x-cache"), answer.header("cache-control")) == ("hit", "private")
    finally:
        file.write_text(before)
        gateway.command("policy", "apply")
    reader = Caller.of(gateway)
    access_key_id = reader.signer.access_key_id
    assert reader.get(OPEN, "free/i05").header("x-cache") == "hit"
    gateway.command("keys", "disable", access_key_id)
    refused(reader.get(OPEN, "free/i05"), 403, "InvalidAccessKeyId")
    gateway.command("keys", "enable", access_key_id)


def test_i07_what_was_read_before_a_write_is_not_kept_as_what_came_after(cast, origin):
    admin = cast["demo/ops"]
    for size in (1000, BLOCK + 1000):
        key, old, new = f"i07-{size}", b"o" * size, b"n" * size
        admin.put(MEDIA, key, old)
        origin.barrier("GetObject", key=key, phase="applied")
        with ThreadPoolExecutor(3) as pool:
            slow = [pool.submit(admin.get, MEDIA, key) for _ in range(3)]
            assert origin.wait_until(
                lambda key=key: any(e.operation == "GetObject" and e.key == key for e in origin.journal)
            )
            admin.put(MEDIA, key, new)
            assert admin.call("HEAD", f"/{MEDIA}/{key}").status == 200
            origin.release()
            assert {each.result().body for each in slow} <= {old, new}
        for _ in range(3):
            assert is_whole(admin.get(MEDIA, key), new)


@pytest.mark.parametrize("size", [1000, BLOCK + 1000])
@pytest.mark.parametrize(
    "fault", [LoseAnswer(applied=True), LoseAnswer(applied=False), Stall("head"), ApplyLate()], ids=str
)
def test_i08_an_overwrite_whose_end_is_unknown_leaves_what_was_acknowledged_and_nothing_else(
    cast, gateway, origin, fault, size
):
    """Nothing need be dropped: what is kept of the old object is the old one's, and the new one has another name."""
    admin, old, new, last = cast["demo/ops"], b"o" * size, b"n" * size, b"l" * size
    key = f"i08-{size}-{type(fault).__name__}-{fault == LoseAnswer(applied=True)}"
    warm(admin, MEDIA, key, old)
    script = origin.script("PutObject", when=lambda entry: entry.key.startswith(f"{key}@"), do=fault, times=None)
    answer = admin.call("PUT", f"/{MEDIA}/{key}", new)
    if answer.status != 200:
        refused(answer, 503)
    acknowledged = new if answer.status == 200 else old
    for _ in range(2):
        assert is_whole(admin.get(MEDIA, key), acknowledged)
    script.release()
    origin.heal()
    gateway.restart()  # it finds out what became of the write
    for _ in range(2):
        assert is_whole(admin.get(MEDIA, key), acknowledged)
    admin.put(MEDIA, key, last)
    for _ in range(2):
        assert is_whole(admin.get(MEDIA, key), last)


FAULTS = [
    Fail(500),
    Fail(403, "AccessDenied"),
    Fail(404, "NoSuchKey"),
    Redirect("http://127.0.0.1:1/elsewhere"),
    ErrorInside(),
    Cut(200),
    Cut("last"),
    Change(body=b"<Error><Code>SlowDown</Code></Error>"),
    Change(body=b""),
    Change(body=b"x" * 999),
    Change(status=200),
    Change(headers={"ETag": '"something else"'}),
    Change(headers={"Content-Range": "bytes 1-1000/2000"}, status=206),
]


@pytest.mark.parametrize("number", range(len(FAULTS)), ids=lambda number: str(FAULTS[number]))
@pytest.mark.parametrize("size", [1000, BLOCK + 1000])
def test_i10_what_the_origin_answers_instead_is_not_the_object(cast, origin, number, size):
    admin, body = cast["demo/ops"], random.Random(size).randbytes(size)
    key = f"i10-{size}-{number}"
    admin.put(MEDIA, key, body)
    origin.script("GetObject", key=key, do=FAULTS[number])
    with admin.connect() as connection:
        connection.send(admin.signed("GET", f"/{MEDIA}/{key}").encode())
        try:
            answer = connection.answer("GET")
        except (ConnectionError, BrokenAnswer):
            pass  # it broke off
        else:
            assert answer.status >= 500 or is_whole(answer, body)
    origin.heal()
    assert eventually(lambda: admin.get(MEDIA, key).status == 200, within_s=10)
    for _ in range(2):
        assert is_whole(admin.get(MEDIA, key), body)


@pytest.mark.parametrize(
    "header",
    [
        ("X-Oversize", "x" * 6000),
        ("X-Meta", "a\x0bb"),
        ("X-HTTP-Method-Override", "DELETE"),
        ("x-amz-security-token", "junk"),
        ("x-amz-server-side-encryption-customer-algorithm", "AES256"),
        ("x-forwarded-host", "evil.example"),
        ("Cache-Control", "no-store"),
        ("Pragma", "no-cache"),
    ],
    ids=lambda header: header[0],
)
def test_i11_what_a_client_sends_along_neither_spoils_nor_reaches_the_origin(cast, origin, header):
    admin = cast["demo/ops"]
    key = f"i11-{header[0]}"
    admin.put(OPEN, key, SECRET)
    origin.clear_journal()
    target = f"/{OPEN}/{key}"
    with admin.connect() as connection:
        connection.send(Request("GET", target, (("Host", admin.authority), header)).encode())
        try:
            connection.answer("GET")
        except (ConnectionError, BrokenAnswer):
            pass
    for _ in range(2):
        assert is_whole(cast.nobody.get(OPEN, key), SECRET)
    reads = [entry for entry in origin.journal if entry.operation == "GetObject" and entry.key == key]
    assert len(reads) == 1
    assert not {name.lower() for name, _ in reads[0].headers} & {header[0].lower()} - {"x-amz-security-token"}


@pytest.mark.parametrize("size", [1000, BLOCK + 1000])
@pytest.mark.parametrize(
    "header",
    [
        ("Range", "bytes=5-9"),
        ("Range", "bytes=-3"),
        ("Range", "bytes=0-0,0-0"),
        ("Range", "bytes=" + ",".join(["0-0"] * 1000)),
        ("Range", "bytes=999999999-"),
        ("If-None-Match", "*"),
        ("If-Match", '"something else"'),
        ("If-Modified-Since", "Fri, 01 Jan 2100 00:00:00 GMT"),
    ],
    ids=lambda header: f"{header[0]} {header[1][:12]}",
)
def test_i13_what_is_asked_for_in_part_or_on_conditions_first_is_whole_afterwards(cast, size, header):
    admin, body = cast["demo/ops"], random.Random(size).randbytes(size)
    key = f"i13-{size}-{header[0]}-{len(header[1])}"
    admin.put(MEDIA, key, body)
    first = admin.call("GET", f"/{MEDIA}/{key}", b"", [header])
    assert first.status in (200, 206, 304, 412, 416)
    for _ in range(2):
        assert is_whole(admin.get(MEDIA, key), body)


def test_i14_what_a_page_may_read_is_said_anew_for_each_request(cast):
    warm(cast["demo/ops"], OPEN, "free/i14", SECRET)
    nobody = cast.nobody
    for page in ("https://a.example", "https://b.example", "https://c.example", None):
        headers = [("Origin", page)] if page else []
        answer = nobody.call("GET", f"/{OPEN}/free/i14", b"", headers)
        assert answer.header("x-cache") == "hit"
        allowed = page if page in ("https://a.example", "https://b.example") else None
        assert answer.header("access-control-allow-origin") == allowed
        assert "origin" in (answer.header("vary") or "").lower()


def blocks_of(gateway: Gateway) -> list[Path]:
    return [file for file in (gateway.directory / "var/cache/blocks").rglob("*") if file.is_file()]


def newest_blocks(gateway: Gateway, size: int) -> list[Path]:
    """The files of blocks of at least so many bytes, the newest last; others may be removed meanwhile."""
    found: list[tuple[int, Path]] = []
    for file in blocks_of(gateway):
        with suppress(FileNotFoundError):
            known = file.stat()
            if known.st_size >= size:
                found.append((known.st_mtime_ns, file))
    return [file for _, file in sorted(found)]


@pytest.mark.parametrize("harm", ["flip", "truncate", "swap", "delete", "symlink"])
@pytest.mark.parametrize("restarted", [False, True])
def test_i16_a_file_that_somebody_has_touched_is_not_sent(cast, gateway, harm, restarted):
    admin = cast["demo/ops"]
    bodies = {f"i16-{harm}-{restarted}-{number}": random.Random(number).randbytes(200_000) for number in range(2)}
    for key, body in bodies.items():
        warm(admin, MEDIA, key, body)
    assert eventually(lambda: len(newest_blocks(gateway, 200_000)) >= 2, within_s=10)
    if restarted:  # files of objects that are gone are no longer being removed
        gateway.stop()
    one, two = newest_blocks(gateway, 200_000)[-2:]
    if harm == "flip":
        with one.open("r+b") as file:
            file.seek(1000)
            byte = file.read(1)
            file.seek(1000)
            file.write(bytes([byte[0] ^ 0xFF]))
    elif harm == "truncate":
        os.truncate(one, 1000)
    elif harm == "swap":
        aside = one.with_name("aside")
        one.rename(aside)
        two.rename(one)
        aside.rename(two)
    elif harm == "delete":
        one.unlink()
    else:
        elsewhere = gateway.directory / "elsewhere"
        one.rename(elsewhere)
        one.symlink_to(elsewhere)
    if restarted:
        gateway.start()
    for _ in range(2):
        for key, body in bodies.items():
            assert is_whole(admin.get(MEDIA, key), body)


def test_i17_a_head_makes_no_body_and_an_empty_object_is_one(cast, origin):
    admin = cast["demo/ops"]
    admin.put(MEDIA, "i17", SECRET)
    admin.put(MEDIA, "i17-empty", b"")
    origin.clear_journal()
    head = admin.call("HEAD", f"/{MEDIA}/i17")
    assert (head.status, head.header("content-length"), head.header("x-cache")) == (200, str(len(SECRET)), None)
    assert [entry for entry in origin.journal if entry.operation == "GetObject"] == []
    assert is_whole(admin.get(MEDIA, "i17"), SECRET)
    for _ in range(2):
        assert is_whole(admin.get(MEDIA, "i17-empty"), b"")


def test_i17_what_others_replace_at_the_origin_is_old_or_new_and_never_mixed(cast, origin):
    admin, old, new = cast["demo/ops"], b"o" * 2 * BLOCK, b"n" * 2 * BLOCK
    admin.put(MEDIA, "i17-foreign", old)
    assert admin.call("GET", f"/{MEDIA}/i17-foreign", b"", [("Range", "bytes=0-9")]).body == old[:10]
    origin.put_behind(MEDIA, "i17-foreign", new)
    for _ in range(2):
        assert admin.get(MEDIA, "i17-foreign").body == new


def test_i19_any_number_of_objects_of_any_size_leaves_the_disk_within_its_bounds(cast, gateway):
    admin = cast["demo/ops"]
    rng = random.Random(9)
    for number in range(40):
        size = rng.choice([1, 1, 1, 300_000, BLOCK + 1, 2 * BLOCK])
        admin.put(MEDIA, f"i19/{number}", LARGE[:1] * size)
        assert is_whole(admin.get(MEDIA, f"i19/{number}"), LARGE[:1] * size)
        taken = sum(-(-file.stat().st_size // 4096) * 4096 for file in blocks_of(gateway) if not file.is_symlink())
        assert taken <= 16 << 20


@pytest.mark.parametrize("value", ["no-store", "private", "max-age=5, Private"])
def test_i20_what_says_that_it_must_not_be_kept_is_not(cast, origin, value):
    admin = cast["demo/ops"]
    key = f"i20-{len(value)}"
    admin.put(OPEN, key, SECRET, [("Cache-Control", value)])
    for count in (1, 2):
        answer = admin.get(OPEN, key)
        assert is_whole(answer, SECRET)
        assert (answer.header("cache-control"), answer.header("x-cache")) == (value, None)
        reads = [entry for entry in origin.journal if entry.operation == "GetObject" and entry.key == key]
        assert len(reads) == count


def test_i20_who_may_keep_an_answer_is_said_with_it(cast):
    admin = cast["demo/ops"]
    warm(admin, MEDIA, "i20", SECRET)
    warm(admin, OPEN, "free/i20", SECRET)
    presigned = admin.presigned("GET", f"/{MEDIA}/i20")
    etag = admin.get(MEDIA, "i20").header("etag") or ""
    for answer in (
        admin.get(MEDIA, "i20"),
        admin.ask(presigned),
        admin.call("GET", f"/{MEDIA}/i20", b"", [("If-None-Match", etag)]),
        admin.call("GET", f"/{MEDIA}/i20", b"", [("Range", "bytes=0-1")]),
    ):
        assert answer.status in (200, 206, 304)
        assert answer.header("cache-control") == "private"
    for caller in (admin, cast.nobody):
        assert caller.get(OPEN, "free/i20").header("cache-control") == "public, max-age=300"
    assert refused(admin.get(OPEN, "missing"), 404) is not None
    assert admin.get(OPEN, "missing").header("cache-control") is None
    override = admin.presigned("GET", f"/{OPEN}/free/i20?response-cache-control=no-cache")
    assert admin.ask(override).header("cache-control") == "no-cache"
