"""Denied requests are in the audit, counted by who asked for what; what no signature has proven is not written down."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from tests.support.caller import Caller
from tests.support.gateway import Gateway
from tests.support.signer import Signer

POLICY = """\
project = "demo"

[categories.media]

[principals.ops]
role = "admin"

[principals.sara]
role = "uploader"
"""
OTHER = 'project = "other"\n\n[principals.ops]\nrole = "admin"\n'


@dataclass(frozen=True)
class Audited:
    """A gateway that tells what was denied once it has ended."""

    gateway: Gateway
    ops: Caller
    sara: Caller

    def denials(self) -> list[tuple[Any, ...]]:
        """(project, actor, operation, bucket, code, count) of each class, in order."""
        assert self.gateway.stop() == 0
        told = json.loads(self.gateway.command("audit", "--event", "request.denied", "--json"))
        for each in told:
            assert set(each["details"]) == {"operation", "code", "count", "first_s", "last_s"}
        return sorted((_class_of(each) for each in told), key=str)


def _class_of(told: dict[str, Any]) -> tuple[Any, ...]:
    details = told["details"]
    return (told["project"], told["actor"], details["operation"], told["subject"], details["code"], details["count"])


@pytest.fixture
def audited(tmp_path: Path) -> Iterator[Audited]:
    with Gateway(tmp_path, policies={"demo": POLICY, "other": OTHER}) as gateway:
        sara = Signer(*gateway.create_key("demo", "sara"))
        yield Audited(gateway, Caller.of(gateway), Caller(gateway.host, gateway.port, sara))


def test_denials_are_counted_by_who_asked_for_what(audited):
    audited.ops.put("demo-media", "k", b"bytes")
    for _ in range(3):
        assert audited.sara.get("demo-media", "k").status == 403
    assert audited.sara.call("DELETE", "/demo-media/k").status == 403
    for key in ("k", "l"):
        assert audited.ops.ask(audited.ops.request("GET", f"/demo-media/{key}")).status == 403
    assert audited.denials() == [
        ("demo", "anonymous", "GetObject", "demo-media", "AccessDenied", 2),
        ("demo", "sara", "DeleteObject", "demo-media", "AccessDenied", 1),
        ("demo", "sara", "GetObject", "demo-media", "AccessDenied", 3),
    ]


def test_what_is_permitted_or_missing_is_no_denial(audited):
    audited.ops.put("demo-media", "k", b"bytes")
    assert audited.ops.get("demo-media", "k").status == 200
    assert audited.ops.get("demo-media", "missing").status == 404
    assert audited.ops.call("GET", "/missing").status == 404
    assert audited.ops.call("PUT", "/demo-media?analytics").status in (400, 501)
    assert audited.denials() == []


def test_a_name_that_no_signature_has_proven_is_not_written_down(audited):
    forged = replace(audited.ops, signer=replace(audited.ops.signer, secret_access_key="x" * 40))
    nobody = replace(audited.ops, signer=replace(audited.ops.signer, access_key_id="AKNOBODY"))
    for caller in (forged, nobody):
        assert caller.get("demo-media", "k").status == 403
        assert caller.ask(caller.presigned("GET", "/demo-media/k")).status == 403
    assert audited.denials() == [
        ("demo", "unknown", "unknown", "demo-media", "InvalidAccessKeyId", 2),
        ("demo", "unknown", "unknown", "demo-media", "SignatureDoesNotMatch", 2),
    ]
    written = audited.gateway.command("audit", "--event", "request.denied", "--json")
    assert "AKNOBODY" not in written
    assert audited.ops.signer.access_key_id not in written


def test_buckets_that_are_not_there_are_not_named(audited):
    """Whoever asks for a thousand of them makes one entry."""
    for number in range(200):
        assert audited.ops.ask(audited.ops.request("GET", f"/nobodys-{number}/k")).status == 403
    assert audited.denials() == [(None, "anonymous", "GetObject", "", "AccessDenied", 200)]


def test_strangers_are_told_to_the_project_whose_bucket_it_is(audited):
    other = Caller.of(audited.gateway, other=True)
    assert other.get("demo-media", "k").status == 403
    [(project, actor, *_)] = audited.denials()
    assert project == "demo"
    assert "ops" in actor


def test_what_is_not_yet_written_when_the_gateway_is_killed_is_not_made_up_later(audited):
    assert audited.sara.get("demo-media", "k").status == 403
    audited.gateway.kill()
    audited.gateway.start()
    assert audited.denials() == []
