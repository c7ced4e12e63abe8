"""O: secrets, signatures and tokens are in no log, no answer, no command line and no file."""

import base64
import json
import resource
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.caller import Caller, refused, text
from tests.support.cast import Cast, assume_role
from tests.support.footprint import processes_of
from tests.support.gateway import DEMO_POLICY, OTHER_POLICY, Gateway
from tests.support.origin_faults import Behaviour, Cut, ErrorInside, Fail, Garbage, HangUp, Redirect
from tests.support.raw_http import all_answers, eventually
from tests.support.s3_gateway import s3_gateway
from tests.support.scripted_origin import ScriptedOrigin
from tests.support.signer import amz_date


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory):
    """A gateway of its own, whose every output is searched."""
    demo = DEMO_POLICY.replace("[[cors]]", '[principals.backend]\nrole = "service"\n\n[[cors]]')
    policies = {"demo": demo, "other": OTHER_POLICY}
    log = {"level": "debug", "access": "access.log"}
    with Gateway(tmp_path_factory.mktemp("watched"), policies=policies, settings={"log": log}) as running:
        yield running


@pytest.fixture(scope="module")
def cast(watched: Gateway) -> Cast:
    return Cast.at(watched, ["demo/backend"])


@pytest.fixture(scope="module")
def session(cast: Cast) -> Caller:
    """The temporary credentials of an end user; nobody but who asked for them ever sees them again."""
    return cast["demo/backend/sara"]


def access_log(watched: Gateway) -> str:
    """The access log with all requests until now, each of which was answered."""
    file, last = watched.directory / "access.log", f"last-{time.monotonic_ns()}"
    assert Caller.of(watched).get("demo-media", last).status == 404
    assert eventually(lambda: last in file.read_text())
    return file.read_text()


def whispers_of_a_session(cast: Cast, session: Caller) -> set[str]:
    """Use temporary credentials in every way, rightly and wrongly; what must never be seen again."""
    service, target = cast["demo/backend"], "/demo-media/of-sara"
    session.put("demo-media", "of-sara", b"bytes")
    token = session.signer.session_token or ""
    for signer in (
        session.signer,
        replace(session.signer, session_token=None),
        replace(session.signer, session_token=token[:-5] + "AAAAA"),
        replace(session.signer, secret_access_key="W" * 40),
        replace(cast.members["demo/backend"].signer, session_token=token),
    ):
        caller = replace(session, signer=signer)
        caller.get("demo-media", "of-sara")
        caller.get("demo-media", "of-nobody")
        for request in (caller.presigned("GET", target), caller.presigned("PUT", "/demo-media/of-nobody/x", b"x")):
            caller.ask(request)
            all_answers(caller.host, caller.port, request.head().replace(b"HTTP/1.1", b"HTTP/9.9"))
        assume_role(caller, "demo", "sara", Policy='{"secret": "policy-of-a-session"}')
    assert service.get("demo-media", "of-sara").status == 200
    return {
        session.signer.secret_access_key,
        token,
        token[:-5],
        service.signer.secret_access_key,
        "policy-of-a-session",
    }


def whispers(gateway: Gateway) -> tuple[set[str], Caller]:
    """Talk to the gateway in every way that carries a secret; everything that must never be seen again."""
    caller = Caller.of(gateway)
    hidden = {gateway.secret_access_key, gateway.other_secret_access_key}
    session_token, customer_key = "S" * 60, base64.b64encode(b"K" * 32).decode()
    hidden |= {session_token, customer_key}
    target = "/demo-media/k"

    def say(request) -> None:
        authorization = request.header("authorization") or ""
        hidden.update(part for part in (authorization.rpartition("Signature=")[2],) if len(part) == 64)
        hidden.update(item.partition("=")[2] for item in request.raw_query.split("&") if "Signature=" in item)
        caller.ask(request)

    say(caller.signed("PUT", target, b"bytes"))
    say(caller.signed("GET", target))
    say(caller.presigned("GET", target))
    say(caller.presigned("GET", "/demo-media/missing"))
    say(caller.presigned("PUT", target, b"bytes"))
    say(caller.signer.presign_v2(caller.request("GET", target)))
    say(caller.signed("GET", target, b"", [("x-amz-security-token", session_token)]))
    say(caller.presigned("GET", f"{target}?X-Amz-Security-Token={session_token}"))
    say(caller.signed("PUT", target, b"", [("x-amz-server-side-encryption-customer-key", customer_key)]))
    say(caller.signed("GET", target, now_s=time.time() - 3600))
    say(caller.signed("GET", target).with_header("Expect", "nonsense"))
    say(caller.presigned("GET", target).with_header("Transfer-Encoding", "nonsense"))
    wrong = replace(caller.signer, secret_access_key="W" * 40)
    say(wrong.sign(caller.request("GET", target)))
    say(wrong.presign(caller.request("GET", target)))
    presigned = caller.presigned("GET", target)
    hidden.add(presigned.target.rpartition("X-Amz-Signature=")[2])
    for broken in (
        presigned.head().replace(b"HTTP/1.1", b"HTTP/9.9"),
        presigned.head().replace(b"\r\n", b"\r\n\x00", 1),
        presigned.head()[:-4] + b"\r\nX: " + b"y" * 20_000 + b"\r\n\r\n",
    ):
        all_answers(caller.host, caller.port, broken)
    return {each for each in hidden if each}, caller


def test_o01_nothing_that_was_whispered_is_in_a_log_or_a_process_table(watched, cast, session):
    hidden, caller = whispers(watched)
    hidden |= whispers_of_a_session(cast, session)
    outputs = watched.stderr() + access_log(watched)
    for name in ("cmdline", "environ"):
        outputs += Path(f"/proc/{watched.pid}/{name}").read_bytes().decode(errors="replace")
    assert [secret for secret in hidden if secret in outputs] == []
    assert "AWS4-HMAC-SHA256 Credential" not in outputs
    assert "Traceback" not in outputs
    assert caller.get("demo-media", "k").status == 200


def test_o01_health_and_metrics_tell_no_secret_bucket_key_or_path(watched):
    hidden, caller = whispers(watched)
    for target in ("/-/live", "/-/ready", "/-/metrics", "/-/nothing"):
        request = caller.request("GET", target)
        answers, _ = all_answers("127.0.0.1", watched.admin_port, request.encode())
        body = answers[0].body.decode()
        assert [secret for secret in hidden if secret in body] == []
        for word in ("demo-media", str(watched.directory), watched.access_key_id, "Traceback"):
            assert word not in body


@pytest.fixture
def cores_allowed() -> Iterator[None]:
    """Processes that are started now may dump as much as this machine lets them."""
    soft, hard = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (hard, hard))
    yield
    resource.setrlimit(resource.RLIMIT_CORE, (soft, hard))


@pytest.mark.usefixtures("cores_allowed")
def test_o01_no_process_of_the_gateway_dumps_what_it_has_decrypted(tmp_path):
    with Gateway(tmp_path, settings={"server": {"workers": 2}}) as gateway:
        processes = processes_of(gateway)
        assert len(processes) == 3
        for name, pid in processes.items():
            limits = Path(f"/proc/{pid}/limits").read_text()
            core = next(line for line in limits.splitlines() if line.startswith("Max core file size"))
            assert core.split()[4:6] == ["0", "0"], name


def test_o02_no_file_of_the_gateway_holds_a_secret_in_plain_text(watched, cast, session):
    whispers(watched)
    whispers_of_a_session(cast, session)
    caller = Caller.of(watched)
    spellings = set()
    of_session = (session.signer.secret_access_key, session.signer.session_token or "")
    for secret in (watched.secret_access_key, watched.other_secret_access_key, *of_session):
        spellings |= {
            secret.encode(),
            base64.b64encode(secret.encode()),
            secret.encode().hex().encode(),
            secret.encode("utf-16-le"),
        }
    date = amz_date(time.time())
    spellings |= {caller.signer.signing_key(date), caller.signer.signing_key(date).hex().encode()}
    for path in watched.directory.rglob("*"):
        if path.is_file():
            data = path.read_bytes()
            assert not [spelling for spelling in spellings if spelling in data], path


def spellings_of(secrets: set[str]) -> set[bytes]:
    """As which bytes they could lie in a file."""
    plain = {secret.encode() for secret in secrets}
    return plain | {base64.b64encode(each) for each in plain} | {each.hex().encode() for each in plain}


def signatures_to(origin: ScriptedOrigin) -> set[str]:
    """What the gateway has signed for its origin."""
    told = [entry.request.header("authorization") or "" for entry in origin.journal]
    return {each.rpartition("Signature=")[2] for each in told} - {""}


ORIGINS_FAULTS: list[Behaviour] = [
    Fail(403, "SignatureDoesNotMatch"),
    Fail(500),
    Redirect("http://127.0.0.1:1/elsewhere"),
    Garbage(),
    ErrorInside(),
    HangUp(),
    Cut("mid-head"),
]


def test_o01_o02_what_an_origin_and_clients_whisper_is_in_no_log_cache_or_backup(tmp_path):
    """Errors of the origin are told, at debug level too, and not with what was sent to it."""
    policy = DEMO_POLICY.replace("[categories.media]\n", "[categories.media]\ncache = true\n")
    settings = {
        "cache": {"path": "var/cache", "max_bytes": "16MiB"},
        "log": {"level": "debug", "access": "access.log", "format": "json"},
    }
    with ScriptedOrigin() as origin:
        gateway = s3_gateway(tmp_path, origin, settings=settings, policies={"demo": policy, "other": OTHER_POLICY})
        with gateway:
            hidden, caller = whispers(gateway)
            for number, fault in enumerate(ORIGINS_FAULTS):
                for operation in ("PutObject", "GetObject", "DeleteObject"):
                    origin.script(operation, do=fault, times=2)
                caller.call("PUT", f"/demo-media/k-{number}", b"bytes")
                caller.call("GET", f"/demo-media/k-{number}")
                caller.call("DELETE", f"/demo-media/k-{number}")
                origin.heal()
            caller.put("demo-media", "kept", bytes(300_000))
            for _ in range(3):
                assert caller.get("demo-media", "kept").status == 200
            gateway.command("backup", "backup")
            assert "backup" in {path.name for path in tmp_path.iterdir()}
        hidden |= signatures_to(origin) | {origin.secret_access_key}
        assert len(hidden) > 20
    wanted = spellings_of(hidden)
    read = [path for path in tmp_path.rglob("*") if path.is_file()]
    for path in read:
        data = path.read_bytes()
        assert not [each for each in wanted if each in data], path
    assert {"access.log", "stderr.log", "anbar.sqlite", "MANIFEST"} <= {path.name for path in read}
    assert any("cache" in path.parts for path in read), "and the cache's disk"


def test_o04_a_signature_that_does_not_match_shows_the_callers_own_words_only(caller, untouched):
    target = f"/{untouched}/victim"
    signed = caller.signed("GET", target)
    expected = (signed.header("authorization") or "").rpartition("Signature=")[2]
    date = signed.header("x-amz-date") or ""
    forged = signed.changing_header("Authorization", (signed.header("authorization") or "").replace(expected, "0" * 64))
    answer = caller.ask(forged)
    root = refused(answer, 403, "SignatureDoesNotMatch")
    for secret in (expected, caller.signer.secret_access_key, caller.signer.signing_key(date).hex()):
        assert secret.encode() not in answer.body
    assert text(root, "AWSAccessKeyId") in ("", caller.signer.access_key_id)
    assert text(root, "SignatureProvided") in ("", "0" * 64)
    assert text(root, "CanonicalRequest") == "" or target in text(root, "CanonicalRequest")


def test_o04_the_answer_to_an_altered_presigned_url_does_not_sign_it_for_the_caller(caller, untouched):
    request = caller.presigned("GET", f"/{untouched}/victim")
    right = caller.presigned("GET", f"/{untouched}/victim?versionId=null")
    answer = caller.ask(request.with_query("versionId=null"))
    refused(answer, 403, "SignatureDoesNotMatch")
    assert right.target.rpartition("=")[2].encode() not in answer.body


def test_o05_a_secret_is_shown_once(watched):
    listed = watched.command("keys", "list", "--json")
    assert watched.access_key_id in listed
    assert watched.secret_access_key not in listed
    assert all("secret" not in name for record in json.loads(listed) for name in record)
    assert watched.secret_access_key not in watched.command("keys", "list")


def test_j10_no_request_writes_a_line_of_its_own_into_the_log(watched):
    """Line ends and terminal controls in a key, a header or a method stay escaped."""
    caller = Caller.of(watched)
    caller.call("GET", "/demo-media/%0Aforged%20line%0D%1B%5B2J")
    caller.call(
        "GET", "/demo-media/k?prefix=%0Aforged%20line", b"", [("User-Agent", "u\u2028forged line\u0085\x1b[2J")]
    )
    caller.call("GET", "/demo-media/\u2028forged line", b"", [("Referer", "\udcff\u202e")])
    for line in [*watched.stderr().split("\n"), *access_log(watched).split("\n")]:
        assert not line.startswith("forged line")
        assert "\x1b" not in line
