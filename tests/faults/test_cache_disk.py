"""X29: the cache's disk is full, read-only or broken while the gateway serves, and then works again."""

import os
from pathlib import Path

import pytest

from tests.faults.test_s3_origin_cache import DISK, LARGE, POLICIES
from tests.support.caller import Caller
from tests.support.gateway import REPOSITORY, Gateway
from tests.support.s3_gateway import BUCKET, s3_gateway
from tests.support.scripted_origin import ScriptedOrigin

OTHER = LARGE[::-1]
OF_A_DISK = """\
import errno
import os
from pathlib import Path

_told, _below = Path(__file__).with_name("fault"), f"{Path(__file__).parent}/gateway/var/cache/"


def _path(place):
    try:
        return os.readlink(f"/proc/self/fd/{place}") if isinstance(place, int) else str(place)
    except OSError:
        return ""


def _fail(name, fault, code, concerns=lambda *_: True):
    real = getattr(os, name)

    def call(place, *more, **named):
        if _told.read_text() == fault and concerns(*more) and _path(place).startswith(_below):
            raise OSError(code, os.strerror(code), _path(place))
        return real(place, *more, **named)

    setattr(os, name, call)


_fail("writev", "full", errno.ENOSPC)
_fail("open", "read-only", errno.EROFS, lambda flags, *_: flags & (os.O_WRONLY | os.O_RDWR))
for _name in ("mkdir", "rename", "unlink"):
    _fail(_name, "read-only", errno.EROFS)
for _name in ("pread", "preadv"):
    _fail(_name, "broken", errno.EIO)
"""
"""What the kernel would answer the gateway, for the files of the cache alone."""


def make_it(directory: Path, fault: str) -> None:
    """Have the disk be so from now on; "well": nothing is wrong."""
    new = directory / "fault.new"
    new.write_text(fault)
    os.replace(new, directory / "fault")


def faulty(directory: Path, origin: ScriptedOrigin) -> Gateway:
    """Not started yet. One worker, so that each alarm is one."""
    make_it(directory, "well")
    (directory / "sitecustomize.py").write_text(OF_A_DISK)
    gateway = s3_gateway(directory / "gateway", origin, settings=DISK, policies=POLICIES)
    gateway._environment["PYTHONPATH"] = f"{directory}:{REPOSITORY}"
    return gateway


def kept_on_disk(gateway: Gateway) -> int:
    return sum(file.is_file() for file in (gateway.directory / "var/cache/blocks").rglob("*"))


@pytest.mark.parametrize("fault", ["full", "read-only", "broken"])
def test_x29_a_disk_that_fails_costs_clients_nothing_and_one_alarm(tmp_path: Path, fault: str):
    with ScriptedOrigin() as origin, faulty(tmp_path, origin) as gateway:
        caller = Caller.of(gateway)
        caller.put(BUCKET, "before", LARGE)
        for state in ("miss", "hit", "hit"):
            answer = caller.get(BUCKET, "before")
            assert (answer.status, answer.header("x-cache"), answer.body) == (200, state, LARGE)
        make_it(tmp_path, fault)
        for number in range(3):
            caller.put(BUCKET, f"during-{number}", OTHER)
            for key, body in ((f"during-{number}", OTHER), ("before", LARGE)) * 3:
                answer = caller.get(BUCKET, key)
                assert (answer.status, answer.body) == (200, body)
        assert gateway.stderr().count("the cache's disk cannot be used") == 1
        assert "Traceback" not in gateway.stderr()
        make_it(tmp_path, "well")
        gateway.restart()
        for key, body in (("during-0", OTHER), ("before", LARGE)):
            assert caller.get(BUCKET, key).body == body
            answer = caller.get(BUCKET, key)
            assert (answer.header("x-cache"), answer.body) == ("hit", body)


@pytest.mark.parametrize("fault", ["full", "read-only", "broken"])
def test_x29_a_disk_that_fails_at_the_start_keeps_nobody_from_starting(tmp_path: Path, fault: str):
    with ScriptedOrigin() as origin:
        gateway = faulty(tmp_path, origin)
        make_it(tmp_path, fault)
        with gateway:
            caller = Caller.of(gateway)
            caller.put(BUCKET, "k", LARGE)
            for _ in range(4):
                assert caller.get(BUCKET, "k").body == LARGE
            assert gateway.stderr().count("the cache's disk cannot be used") == 1
            assert kept_on_disk(gateway) == 0
