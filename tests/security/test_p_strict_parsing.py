"""P: what Python would forgive and HTTP, RFC 9110 and S3 do not."""

import os
import subprocess
import sys

import pytest

from tests.support.caller import refused
from tests.support.gateway import REPOSITORY, Gateway
from tests.support.signer import uri_encode

NO_NUMBERS = [
    "+5",
    " 12 ",
    "12 ",
    "1_000",
    "٥",
    "５",
    "²",
    "5.0",
    "1e3",
    "0x5",
    "-1",
    "",
    "x",
    "5" * 5000,
    "5\n",
    "\u20035",
    "5\x1c",
]


@pytest.mark.parametrize("number", NO_NUMBERS)
@pytest.mark.parametrize(
    "query", ["list-type=2&max-keys={}", "max-keys={}", "versions&max-keys={}", "uploads&max-uploads={}"]
)
def test_p01_a_page_size_that_is_no_number_is_refused(caller, untouched, number, query):
    answer = caller.call("GET", f"/{untouched}?{query.format(uri_encode(number))}")
    if number == "":  # as if it were not there, or refused
        assert answer.status in (200, 400)
    else:
        refused(answer, {400, 414})


@pytest.mark.parametrize("number", NO_NUMBERS)
def test_p01_a_part_number_that_is_no_number_is_refused_on_reads(caller, untouched, number):
    target = f"/{untouched}/victim?partNumber={uri_encode(number)}"
    refused(caller.call("GET", target), {400, 414, 416})
    assert caller.call("HEAD", target).status in (400, 414, 416)


@pytest.mark.parametrize("number", NO_NUMBERS)
def test_p01_a_page_of_parts_that_is_no_number_is_refused(caller, bucket, number):
    upload_id = caller.start_upload(bucket, "k")
    for name in ("max-parts", "part-number-marker"):
        answer = caller.call("GET", f"/{bucket}/k?uploadId={upload_id}&{name}={uri_encode(number)}")
        assert answer.status in (400, 414) or (number == "" and answer.status == 200), answer


@pytest.mark.parametrize(
    ("value", "status", "body"),
    [
        ("bytes=0-2", 206, b"012"),
        ("bytes=-2", 206, b"89"),
        ("bytes=8-", 206, b"89"),
        ("bytes=-99999", 206, b"0123456789"),
        ("bytes=0-99999999999999999999", 206, b"0123456789"),
        ("Bytes=0-1", None, b""),
        ("bytes=-0", 416, b""),
        ("bytes=10-", 416, b""),
        ("bytes=99999999999999999999-", 416, b""),
        ("bytes=5-2", 200, b"0123456789"),
        ("bytes=٠-٢", 200, b"0123456789"),
        ("bytes=０-２", 200, b"0123456789"),
        ("bytes=+0-2", 200, b"0123456789"),
        ("bytes=0-+2", 200, b"0123456789"),
        ("bytes=0_0-2", 200, b"0123456789"),
        ("bytes=0x0-2", 200, b"0123456789"),
        ("bytes=²-3", 200, b"0123456789"),
        ("bytes=0-2x", 200, b"0123456789"),
        ("bytes 0-2", 200, b"0123456789"),
        ("bytes=", 200, b"0123456789"),
        ("bytes=-", 200, b"0123456789"),
        ("lines=0-2", 200, b"0123456789"),
        ("\udcff", 200, b"0123456789"),
        ("bytes=0-" + "9" * 5000, 206, b"0123456789"),
        ("bytes=" + ",".join(["0-0"] * 1500), 200, b"0123456789"),
    ],
)
def test_p02_ranges_follow_rfc_9110_in_ascii(caller, bucket, value, status, body):
    caller.put(bucket, "k", b"0123456789")
    answer = caller.call("GET", f"/{bucket}/k", b"", [("Range", value)])
    if value == "Bytes=0-1":  # RFC 9110: range units are compared without case; ignoring an odd one is allowed
        assert (answer.status, answer.body) in ((206, b"01"), (200, b"0123456789"))
        return
    assert answer.status == status
    if status == 416:
        refused(answer, 416, "InvalidRange")
        assert answer.header("content-range") == "bytes */10"
    else:
        assert answer.body == body
        assert (answer.header("content-range") is not None) == (status == 206)


@pytest.mark.parametrize(
    "value",
    [
        "",
        "bytes=",
        "bytes=0",
        "bytes=0-",
        "bytes=-1",
        "bytes=2-1",
        "bytes=+0-1",
        "bytes=0-9999",
        "bytes=٠-١",
        "0-1",
        "bytes=0-1,2-3",
    ],
)
def test_p02_a_copy_range_is_read_strictly(caller, untouched, value):
    upload_id = caller.start_upload(untouched, "copy")
    headers = [("x-amz-copy-source", f"/{untouched}/victim"), ("x-amz-copy-source-range", value)]
    target = f"/{untouched}/copy?uploadId={upload_id}"
    refused(caller.call("PUT", f"{target}&partNumber=1", b"", headers), {400, 416})
    assert caller.call("DELETE", target).status == 204


RAW = ["caf\udce9", "\udcff", "\udced\udca0\udc80", "a\udc80b"]


@pytest.mark.parametrize("value", RAW)
@pytest.mark.parametrize(
    "name", ["x-amz-meta-mark", "Content-Type", "Content-Disposition", "Cache-Control", "x-amz-copy-source", "x-amz-tagging", "If-Match", "If-None-Match", "If-Modified-Since", "Range", "x-amz-acl", "x-amz-storage-class", "Origin", "User-Agent", "Referer", "X-Forwarded-For", "Accept-Encoding", "Expect", "Date", "x-amz-checksum-mode", "x-amz-expected-bucket-owner"]
)  # fmt: skip
def test_p04_bytes_that_are_not_utf8_in_a_header_never_break_an_answer(caller, bucket, name, value):
    for method in ("PUT", "GET", "HEAD", "POST"):
        target = f"/{bucket}/k?uploads" if method == "POST" else f"/{bucket}/k"
        answer = caller.call(method, target, b"", [(name, value)])
        assert answer.status < 500 or answer.status == 501, (method, answer)
        found = caller.get(bucket, "k")
        assert found.status in (200, 404)


@pytest.mark.parametrize("value", ["\x1cv\x1c", "\x85v", "\u2003v\u2003", "\u00a0v"])
def test_p07_only_ascii_blanks_are_trimmed(caller, bucket, value):
    """Others are part of the value or refused; the signature says the same as the stored text."""
    answer = caller.call("PUT", f"/{bucket}/k", b"", [("x-amz-meta-mark", value)])
    if answer.status == 200:
        assert caller.get(bucket, "k").status == 200
    else:
        refused(answer, 400)


def serve(gateway: Gateway, *options: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    """Run `serve` where it must refuse to."""
    return subprocess.run(
        [sys.executable, *options, "-m", "gateway", "serve", "--config", str(gateway.config)],
        env=gateway.environment | {"PYTHONPATH": str(REPOSITORY)} | environment,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


@pytest.mark.parametrize(
    ("options", "environment"),
    [(["-O"], {}), (["-OO"], {}), ([], {"PYTHONOPTIMIZE": "1"}), ([], {"AIOHTTP_NO_EXTENSIONS": "1"})],
)
def test_p10_a_python_without_its_checks_is_refused_at_the_start(tmp_path, options, environment):
    done = serve(Gateway(tmp_path), *options, **environment)
    assert done.returncode == 1
    assert "ready" not in done.stdout
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("section", "line", "word"),
    [
        ("server", "listen = 5", "listen"),
        ("server", 'unknown = "x"', "unknown"),
        ("server", "workers = -2", "workers"),
        ("limits", 'max_object_size = "5 parsecs"', "max_object_size"),
        ("limits", "drain_s = -1", "drain_s"),
        ("limits", "drain_s = nan", "drain_s"),
        ("limits", "drain_s = 1\ndrain_s = 2", ""),
        ("server", "domains = [", ""),
    ],
)
def test_q01_a_malformed_configuration_is_refused_with_its_place(tmp_path, section, line, word):
    gateway = Gateway(tmp_path)
    text = gateway.config.read_text()
    name = line.partition(" ")[0]
    kept = "\n".join(each for each in text.split("\n") if not each.startswith(f"{name} ="))
    gateway.config.write_text(kept.replace(f"[{section}]", f"[{section}]\n{line}"))
    done = serve(gateway)
    assert done.returncode == 1
    assert word in done.stderr
    assert "gateway.toml" in done.stderr
    assert "Traceback" not in done.stderr
    assert "ready" not in done.stdout


@pytest.mark.parametrize(
    "text",
    [
        "",
        "project = ",
        'project = "demo"\nunknown = 1',
        'project = "demo"\nproject = "demo"',
        '{"project": "demo"}',
        "\ufeff",
        'project = "demo"\n[principals.ops]\nrole = "king"',
        "\x00",
    ],
)
def test_q01_a_malformed_policy_is_refused_with_its_file(tmp_path, text):
    gateway = Gateway(tmp_path)
    (tmp_path / "policies" / "demo.toml").write_text(text)
    done = serve(gateway)
    assert done.returncode == 1
    assert "demo.toml" in done.stderr
    assert "Traceback" not in done.stderr


def test_q01_an_unreadable_missing_or_empty_place_of_policies_is_refused(tmp_path):
    gateway = Gateway(tmp_path)
    policies = tmp_path / "policies"
    for path in policies.iterdir():
        path.unlink()
    assert serve(gateway).returncode == 1
    policies.rmdir()
    assert serve(gateway).returncode == 1
    gateway.config.unlink()
    done = serve(gateway)
    assert done.returncode != 0
    assert "Traceback" not in done.stderr


def test_q01_two_projects_with_one_bucket_are_refused(tmp_path):
    gateway = Gateway(tmp_path)
    other = tmp_path / "policies" / "other.toml"
    other.write_text(other.read_text().replace("other-media", "demo-media"))
    done = serve(gateway)
    assert done.returncode == 1
    assert "demo-media" in done.stderr


def test_q04_a_fresh_installation_lets_nobody_in(tmp_path):
    """`init` makes no access key, and there is none by default."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "ANBAR_"))}
    environment["PYTHONPATH"] = str(REPOSITORY)

    def run(*arguments: str) -> str:
        return subprocess.run(
            [sys.executable, "-m", "gateway", *arguments], env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=True
        ).stdout  # fmt: skip

    run("init", "--dir", str(tmp_path))
    assert run("keys", "list", "--json", "--config", str(tmp_path / "gateway.toml")).strip() == "[]"
    for path in tmp_path.rglob("*"):
        if path.is_file() and "key" in path.name:
            assert path.stat().st_mode & 0o077 == 0, path


def test_q04_nobody_may_do_anything_without_a_key(caller, untouched):
    for method in ("GET", "HEAD", "PUT", "POST", "DELETE"):
        for target in (
            "/",
            f"/{untouched}",
            f"/{untouched}/victim",
            f"/{untouched}?list-type=2",
            f"/{untouched}?delete",
            "/new-bucket-of-nobody",
        ):
            answer = caller.ask(caller.request(method, target))
            assert answer.status in (400, 403, 405, 412), (method, target, answer)
