"""anbar cache, beside a gateway that serves: what it shows, what it drops, what it reads beforehand."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.caller import Caller
from tests.support.gateway import DEMO_POLICY, OTHER_POLICY, Gateway, GatewayError
from tests.support.raw_http import eventually
from tests.support.s3_gateway import s3_gateway
from tests.support.scripted_origin import ScriptedOrigin

BLOCK = 1 << 20
MEDIA, VOICE = "demo-media", "demo-voice"
POLICIES = {
    "demo": DEMO_POLICY.replace("[categories.voice]\n", "[categories.voice]\ncache = true\n").replace(
        "[categories.media]\n", "[categories.media]\ncache = true\n"
    ),
    "other": OTHER_POLICY,
}
SMALL, LARGE = b"small", bytes(range(256)) * 8000  # two blocks
OBJECTS = [(MEDIA, "a/1", SMALL), (MEDIA, "a/2", LARGE), (MEDIA, "b/1", LARGE), (VOICE, "a/1", LARGE)]


@pytest.fixture(scope="module", params=["disk", "memory"])
def running(request, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Gateway, ScriptedOrigin, bool]]:
    settings = {"cache": {"path": "var/cache", "max_bytes": "64MiB"}} if request.param == "disk" else None
    with (
        ScriptedOrigin() as origin,
        s3_gateway(tmp_path_factory.mktemp("cache"), origin, settings=settings, policies=POLICIES) as gateway,
    ):
        caller = Caller.of(gateway)
        for bucket, key, body in OBJECTS:
            caller.put(bucket, key, body)
        yield gateway, origin, request.param == "disk"


def states(gateway: Gateway) -> list[str | None]:
    """Read everything: what was kept of it."""
    caller = Caller.of(gateway)
    answers = [(caller.get(bucket, key), body) for bucket, key, body in OBJECTS]
    assert all((answer.status, answer.body) == (200, body) for answer, body in answers)
    return [answer.header("x-cache") for answer, _ in answers]


def all_warm(gateway: Gateway, *, on_disk: bool) -> None:
    states(gateway)
    assert states(gateway) == ["hit"] * 4
    blocks = gateway.directory / "var/cache/blocks"
    assert not on_disk or eventually(lambda: sum(each.is_file() for each in blocks.rglob("*")) == 7, within_s=10)


def purged(gateway: Gateway, *options: str) -> tuple[int, int]:
    told = json.loads(gateway.command("cache", "purge", *options, "--json"))
    return told["blocks"], told["bytes"]


@pytest.mark.parametrize(
    ("options", "blocks", "kept"),
    [
        ((), 7, ["miss", "miss", "miss", "miss"]),
        (("--category", "voice"), 2, ["hit", "hit", "hit", "miss"]),
        (("--category", "demo/media"), 5, ["miss", "miss", "miss", "hit"]),
        (("--prefix", "s3://demo-media/a/"), 3, ["miss", "miss", "hit", "hit"]),
        (("--prefix", "s3://demo-media"), 5, ["miss", "miss", "miss", "hit"]),
        (("--key", "s3://demo-media/a/1"), 1, ["miss", "hit", "hit", "hit"]),
        (("--key", "s3://demo-media/a/"), 0, ["hit", "hit", "hit", "hit"]),
    ],
)
def test_a_purge_is_seen_by_the_next_request(running, options, blocks, kept):
    gateway, _, on_disk = running
    all_warm(gateway, on_disk=on_disk)
    count, size = purged(gateway, *options)
    assert count == (blocks if on_disk else 0)
    assert (size > 0) is (count > 0)
    assert states(gateway) == (kept if on_disk else ["miss"] * 4)


def test_two_ways_to_say_what_is_to_go_are_wrong_usage(running):
    for options in (("--category", "voice", "--key", "s3://a/b"), ("--prefix", "photos"), ("--key", "s3://a")):
        with pytest.raises(GatewayError):
            running[0].command("cache", "purge", *options)


def test_stats_tell_what_was_counted(running):
    gateway, _, on_disk = running
    all_warm(gateway, on_disk=on_disk)
    before = json.loads(gateway.command("cache", "stats", "--json"))
    states(gateway)
    after = json.loads(gateway.command("cache", "stats", "--json"))
    [was], [now] = before["workers"], after["workers"]
    asked = sum(len(body) for _, _, body in OBJECTS)
    assert now["hits"] - was["hits"] == 4
    assert now["hit_bytes"] - was["hit_bytes"] == asked
    assert (now["requests"], now["failures"], now["errors"]) == (was["requests"], 0, 0)
    if on_disk:
        assert asked < after["disk_bytes"] < asked + 8 * 8192
        assert after["max_bytes"] == 64 << 20
    else:
        assert (after["disk_bytes"], after["max_bytes"]) == (None, None)
    assert "hit bytes" in gateway.command("cache", "stats")


def test_a_list_is_read_beforehand(running, tmp_path: Path):
    gateway, origin, on_disk = running
    listed = tmp_path / "list"
    listed.write_text("".join(f"s3://{bucket}/{key}\n" for bucket, key, _ in OBJECTS))
    if not on_disk:
        with pytest.raises(GatewayError, match="path is not set"):
            gateway.command("cache", "warm", str(listed))
        return
    purged(gateway)
    assert json.loads(gateway.command("cache", "warm", str(listed), "--json")) == {"warmed": 4, "failed": []}
    origin.clear_journal()
    assert states(gateway) == ["hit"] * 4
    assert [entry for entry in origin.journal if entry.operation == "GetObject"] == []


def test_what_cannot_be_read_beforehand_is_named(running, tmp_path: Path):
    gateway, _, on_disk = running
    listed = tmp_path / "list"
    listed.write_text("s3://demo-media/a/1\ns3://demo-media/missing\n\ns3://other-media/x\n")
    if on_disk:
        with pytest.raises(GatewayError) as refused:
            gateway.command("cache", "warm", str(listed))
        assert "s3://demo-media/missing: there is no such object" in str(refused.value)
        assert "s3://other-media/x: its category keeps nothing close" in str(refused.value)
    with pytest.raises(GatewayError):
        gateway.command("cache", "warm", str(tmp_path / "nothing"))


def test_without_a_server_the_commands_work_too(tmp_path: Path):
    with ScriptedOrigin() as origin:
        settings = {"cache": {"path": "var/cache", "max_bytes": "64MiB"}}
        gateway = s3_gateway(tmp_path, origin, settings=settings, policies=POLICIES)
        with gateway:
            Caller.of(gateway).put(MEDIA, "k", LARGE)
            Caller.of(gateway).get(MEDIA, "k")
        told = json.loads(gateway.command("cache", "stats", "--json"))
        assert told["workers"] == []
        assert told["disk_bytes"] > len(LARGE)
        assert purged(gateway)[0] == 2
        assert json.loads(gateway.command("cache", "stats", "--json"))["disk_bytes"] == 0
