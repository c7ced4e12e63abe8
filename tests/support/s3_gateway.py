"""A gateway whose origin `local` is a scripted S3 endpoint, and what must hold of the two together."""

import sqlite3
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from urllib.parse import unquote

from tests.support.caller import Caller
from tests.support.gateway import DEMO_POLICY, OTHER_POLICY, Gateway, Settings
from tests.support.oracle import open_intents, rows, usage_is_the_sum_of_the_objects
from tests.support.raw_http import eventually
from tests.support.scripted_origin import ScriptedOrigin

BUCKET = "demo-media"
BUCKETS = ("demo-media", "demo-voice", "other-media")
SMALL = 64 * 1024
"""Bytes of the largest body that is held in memory, and so may be sent twice."""

CAPABILITIES = {
    "conditional_writes": True,
    "batch_delete": True,
    "copy_object": True,
    "upload_part_copy": True,
    "tagging": True,
    "md5_etags": True,
    "multipart_etags": True,
    "list_url_encoding": True,
}
POLICIES = {"demo": DEMO_POLICY, "other": OTHER_POLICY}
TWO_ORIGINS = {
    "demo": DEMO_POLICY.replace("[categories.voice]\n", '[categories.voice]\norigin = "disk"\n').replace(
        'project = "demo"\n', 'project = "demo"\norigin = "local"\n'
    ),
    "other": OTHER_POLICY.replace('project = "other"\n', 'project = "other"\norigin = "local"\n'),
}
"""demo-voice is at a directory of its own, called `disk`."""

DISK: Settings = {"origins.disk": {"kind": "directory", "path": "var/disk"}}


def origin_settings(origin: ScriptedOrigin, **more: object) -> dict[str, object]:
    """The keys of [origins.local]; deadlines are short."""
    return {
        "kind": "s3",
        "path": None,
        "provider": "generic",
        "endpoint": origin.endpoint,
        "allow_http": not origin.tls,
        "access_key_id": {"env": "ORIGIN_ID"},
        "secret_access_key": {"env": "ORIGIN_SECRET"},
        "connect_timeout_s": 1,
        "first_byte_timeout_s": 1,
        "gap_timeout_s": 1,
        "whole_timeout_s": 3,
        "capabilities": CAPABILITIES,
    } | more


def s3_gateway(
    directory: Path,
    origin: ScriptedOrigin,
    *,
    settings: Settings | None = None,
    policies: Mapping[str, str] | None = None,
    **local: object,
) -> Gateway:
    """A gateway that is not started yet; `local` are further keys of the origin's section."""
    for bucket in BUCKETS:
        origin.make_bucket(bucket)
    limits = {"small_body": SMALL, "body_gap_timeout_s": 5.0, "write_timeout_s": 5.0}
    sections: dict[str, Mapping[str, object]] = {"limits": limits, "origins.local": origin_settings(origin, **local)}
    for name, values in (settings or {}).items():
        sections[name] = {**sections.get(name, {}), **values}
    keys = {"ORIGIN_ID": origin.access_key_id, "ORIGIN_SECRET": origin.secret_access_key}
    return Gateway(directory, settings=sections, policies=POLICIES if policies is None else policies, environment=keys)


@contextmanager
def served(gateway: Gateway, origin: ScriptedOrigin) -> Iterator[Gateway]:
    """The running gateway; at its end, origin and catalog must say the same."""
    with gateway:
        yield gateway
        origin.heal()
        settled(gateway, origin)


def recovered(caller: Caller, origin: ScriptedOrigin, *, requests: int = 40) -> None:
    """Wait until a healed origin is believed in again; so many requests save up retries."""
    origin.heal()

    def reads() -> bool:
        return caller.get(BUCKET, "probe").status == 200

    def works() -> bool:
        """Written once only: what an overwrite replaces is removed later, in the middle of a test."""
        return reads() or (caller.call("PUT", f"/{BUCKET}/probe", b"?").status == 200 and reads())

    assert eventually(works, within_s=10)
    for _ in range(requests):
        assert reads()


@contextmanager
def calling(gateway: Gateway, origin: ScriptedOrigin) -> Iterator[Caller]:
    """The admin, of a healthy origin with full budgets and an empty journal; afterwards nothing goes wrong any more."""
    caller = Caller.of(gateway)
    recovered(caller, origin)
    origin.clear_journal()
    yield caller
    origin.heal()


def held_by_rows(gateway: Gateway, bucket: str) -> set[str]:
    """The keys in a bucket at the origin at which the catalog has objects."""
    found = rows(gateway, "SELECT location FROM objects WHERE origin = 'local'")
    places = (str(location).partition("/") for (location,) in found)
    return {unquote(path, errors="surrogateescape") for name, _, path in places if name == bucket}


def stray_bodies(gateway: Gateway, origin: ScriptedOrigin, *, foreign: frozenset[str] = frozenset()) -> set[str]:
    """Objects at the origin that no row has; `foreign` are keys that others have put there."""
    return {
        f"{bucket}/{key}"
        for bucket in origin_buckets(origin)
        for key in origin.objects(bucket).keys() - held_by_rows(gateway, bucket) - foreign
    }


def lost_bodies(gateway: Gateway, origin: ScriptedOrigin) -> set[str]:
    """Rows whose body is not at the origin."""
    return {
        f"{bucket}/{key}"
        for bucket in origin_buckets(origin)
        for key in held_by_rows(gateway, bucket) - origin.objects(bucket).keys()
    }


def stray_uploads(gateway: Gateway, origin: ScriptedOrigin) -> set[str]:
    """Uploads at the origin that no open upload of ours is."""
    found = [str(place) for (place,) in rows(gateway, "SELECT location FROM uploads WHERE state <> 'done'")]
    strays = set()
    for bucket in origin_buckets(origin):
        for upload in origin.uploads(bucket).values():
            known = [place for place in found if unquote(place.partition("?")[0]) == f"{bucket}/{upload.key}"]
            if not any(place.endswith(("?uploads", f"?uploadId={upload.upload_id}")) for place in known):
                strays.add(f"{bucket}/{upload.key}?{upload.upload_id}")
    return strays


def origin_buckets(origin: ScriptedOrigin) -> list[str]:
    with origin._inside.model.lock:
        return list(origin._inside.model.buckets)


def waiting_garbage(gateway: Gateway) -> int:
    """Places that an unknown end may still bring something back to."""
    return len(rows(gateway, "SELECT 1 FROM garbage WHERE until_s > 0"))


def garbage_at_once(gateway: Gateway) -> int:
    return len(rows(gateway, "SELECT 1 FROM garbage WHERE until_s = 0"))


def at_rest(gateway: Gateway, origin: ScriptedOrigin, *, foreign: frozenset[str] = frozenset()) -> bool:
    return not (
        open_intents(gateway)
        or garbage_at_once(gateway)
        or stray_bodies(gateway, origin, foreign=foreign)
        or stray_uploads(gateway, origin)
    )


def settled(gateway: Gateway, origin: ScriptedOrigin, *, foreign: frozenset[str] = frozenset()) -> None:
    """Inv4, Inv5, and nothing left anywhere, once everything that began has ended.

    What could not be removed is tried again every minute, and at a start: the gateway may be started anew for it.
    """
    if not eventually(lambda: at_rest(gateway, origin, foreign=foreign), within_s=3):
        gateway.restart()
    assert eventually(lambda: at_rest(gateway, origin, foreign=foreign), within_s=15), (
        open_intents(gateway),
        garbage_at_once(gateway),
        stray_bodies(gateway, origin, foreign=foreign),
        stray_uploads(gateway, origin),
    )
    assert lost_bodies(gateway, origin) == set()
    usage_is_the_sum_of_the_objects(gateway)
    assert rows(gateway, "SELECT bucket, key FROM objects WHERE uploader = ''") == []
    assert origin.unexpected == []


def end_waiting(gateway: Gateway) -> None:
    """Let the quarter of an hour be over after which no write whose end is unknown can take effect any more.

    The gateway must be down; its next start removes what lies there, and forgets the places.
    """
    assert gateway.process is None
    with closing(sqlite3.connect(gateway.store_file)) as connection, connection:
        connection.execute("UPDATE garbage SET until_s = ? WHERE until_s > 0", (int(time.time()) - 1,))
