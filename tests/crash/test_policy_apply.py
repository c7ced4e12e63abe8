"""kill -9 in the middle of `anbar policy apply`: the old revision or the new one, whole, with its buckets and its audit."""

import json
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.support.caller import Caller
from tests.support.gateway import Gateway
from tests.support.oracle import rows

OTHER = 'project = "other"\n\n[principals.ops]\nrole = "admin"\n'
ROUNDS = 12


def policy(number: int) -> str:
    """A state of the policies with categories of its own."""
    categories = "".join(f"[categories.c{number}-{each}]\n\n" for each in range(20))
    return f'project = "demo"\n\n{categories}[principals.ops]\nrole = "admin"\n'


def buckets(number: int) -> set[str]:
    return {f"demo-c{number}-{each}" for each in range(20)}


def state_in_force(gateway: Gateway) -> int:
    """Which state the store is in; all its parts say the same."""
    [(revision,)] = rows(gateway, "SELECT max(revision) FROM revisions")
    sql = f"SELECT name, text FROM revision_files JOIN policy_texts USING (digest) WHERE revision = {revision}"
    files = {str(name): str(text) for name, text in rows(gateway, sql)}
    number = int(files["demo.toml"].partition("[categories.c")[2].partition("-")[0])
    assert files == {"demo.toml": policy(number), "other.toml": OTHER}
    assert {bucket for (bucket,) in rows(gateway, "SELECT bucket FROM buckets")} == buckets(number)
    applied = rows(gateway, "SELECT details FROM audit WHERE event = 'policy.apply' ORDER BY id")
    assert [json.loads(str(details))["revision"] for (details,) in applied] == list(range(1, int(str(revision)) + 1))
    return number


# Imports take longer than the work: what is killed has them behind it.
CHILD = """
import sys
from gateway import rulebook
from gateway.cli import main
from gateway.policy import consequences
from gateway.store import access_keys, key_ring
print("begun", flush=True)
main()
"""


def begin_apply(gateway: Gateway) -> "subprocess.Popen[bytes]":
    """`anbar policy apply`, at the moment when it begins to work."""
    process = subprocess.Popen(
        [sys.executable, "-c", CHILD, "policy", "apply", "--config", str(gateway.config)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        cwd=gateway.directory,
        env=gateway.environment,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"begun\n"
    return process


@pytest.mark.parametrize("seed", [1, 2])
def test_an_apply_that_is_killed_at_any_moment_is_done_or_not_begun(tmp_path: Path, seed: int):
    """Beside a running gateway, which follows it either way."""
    chance = random.Random(seed)
    with Gateway(tmp_path, policies={"demo": policy(0), "other": OTHER}) as gateway:
        caller = Caller.of(gateway)
        (gateway.directory / "policies" / "demo.toml").write_text(policy(ROUNDS + 1))
        with begin_apply(gateway) as applying:
            begun = time.monotonic()
            applying.communicate()
        takes_s = time.monotonic() - begun
        old = state_in_force(gateway)
        assert old == ROUNDS + 1
        for number in range(1, ROUNDS + 1):
            (gateway.directory / "policies" / "demo.toml").write_text(policy(number))
            with begin_apply(gateway) as applying:
                time.sleep(takes_s * chance.random() / 2)  # the crash point; the second half is the end of the process
                applying.kill()
            found = state_in_force(gateway)
            assert found in (old, number)
            assert caller.call("PUT", f"/demo-c{found}-0/k", b"bytes").status == 200
            assert caller.call("DELETE", f"/demo-c{found}-0/k").status == 204
            assert caller.call("PUT", f"/demo-c{number + old - found}-0/k", b"bytes").status == 404
            old = found
        gateway.restart()
        assert state_in_force(gateway) == ROUNDS, "the start applies what the files say"
        assert caller.call("PUT", f"/demo-c{ROUNDS}-0/k", b"bytes").status == 200
