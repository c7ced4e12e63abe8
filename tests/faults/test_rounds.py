"""Round after round of everything that clients do, right and wrong: in the end the gateway is as small as it was.

ANBAR_ROUNDS=100 makes it longer, ANBAR_ROUNDS_SEED=7 repeats one; `python -m bench.soak` does the same for half an hour.
"""

import asyncio
import os
import random
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.support.caller import Caller
from tests.support.footprint import footprints, kept_files, processes_of
from tests.support.gateway import Gateway
from tests.support.many_clients import arm
from tests.support.oracle import files_of, usage_command_agrees
from tests.support.process import MIB
from tests.support.raw_http import eventually
from tests.support.regulars import BUCKETS, Regular, gateway_of_regulars
from tests.support.s3_gateway import recovered, settled
from tests.support.scripted_origin import ScriptedOrigin

ROUNDS = int(os.environ.get("ANBAR_ROUNDS", "8"))
CLIENTS = 24
FAULTS = 0.3
MORE_DESCRIPTORS = 6
"""Connections of SQLite are opened when there is most to read at once, which need not have been in the first round."""
MORE_THREADS = 10
"""Pools start theirs when they are first needed: the keeper's, when there is something to be removed."""
GROWTH = 80 * MIB
"""The most that a process may have grown since the first round, when its caches were not full."""


@dataclass(frozen=True, slots=True)
class Size:
    """Of each process: its descriptors but those of kept files, its threads and memory; of all: tasks, open writes."""

    descriptors: Mapping[str, int]
    threads: Mapping[str, int]
    memory: Mapping[str, int]
    tasks: int
    intents: int

    def is_back_at(self, before: "Size") -> bool:
        return (
            self.intents == 0
            and self.tasks <= before.tasks
            and all(self.descriptors[who] <= count + MORE_DESCRIPTORS for who, count in before.descriptors.items())
        )


def size_of(gateway: Gateway) -> Size:
    found = footprints(gateway)
    return Size(
        descriptors={who: each.descriptors for who, each in found.processes.items()},
        threads={who: each.threads for who, each in found.processes.items()},
        memory={who: each.proportional for who, each in found.processes.items()},
        tasks=found.tasks,
        intents=found.intents,
    )


def each_is_kept_once(gateway: Gateway) -> bool:
    """No descriptor is left of a file that is open anyway, and no more of them than there are files."""
    there = sum(len(files_of(gateway.directory / "var" / name)) for name in ("disk", "cache"))
    for pid in processes_of(gateway).values():
        lying = [path for path in kept_files(gateway, pid) if not path.endswith("(deleted)")]
        if len(lying) > there or len(set(lying)) < len(lying):
            return False
    return True


def size_of_idle(gateway: Gateway, origin: ScriptedOrigin) -> Size:
    """Without connections that are idle."""
    origin.close_idle()
    return size_of(gateway)


def at_rest(gateway: Gateway, origin: ScriptedOrigin) -> Size:
    """How large it is when all that began has ended: it is the same twice."""
    found = [size_of_idle(gateway, origin)]

    def is_still() -> bool:
        found.append(size_of_idle(gateway, origin))
        last, before = found[-1], found[-2]
        return (last.intents, last.tasks, last.descriptors) == (0, before.tasks, before.descriptors)

    assert eventually(is_still, within_s=20, every_s=0.5), found[-1]
    return found[-1]


async def each_once(clients: Iterable[Regular]) -> None:
    await asyncio.gather(*[client.round() for client in clients])
    await asyncio.gather(*[client.tidy() for client in clients])


def mistakes(clients: Iterable[Regular]) -> list[str]:
    return [mistake for client in clients for mistake in client.mistakes]


def test_after_many_rounds_of_everything_the_gateway_is_as_small_as_after_the_first(tmp_path: Path):
    seed = os.environ.get("ANBAR_ROUNDS_SEED") or secrets.token_hex(4)
    print(f"ANBAR_ROUNDS_SEED={seed} ANBAR_ROUNDS={ROUNDS}")
    chance = random.Random(seed)
    with ScriptedOrigin(tls=True) as origin, gateway_of_regulars(tmp_path / "g", origin, workers=2) as gateway:
        caller = Caller.of(gateway)
        clients = [
            Regular(caller, f"c{number}", random.Random(chance.random()), BUCKETS[number % len(BUCKETS)])
            for number in range(CLIENTS)
        ]
        asyncio.run(each_once(clients))
        assert mistakes(clients) == []
        began, first = processes_of(gateway), at_rest(gateway, origin)
        arm(origin, chance, part=FAULTS)
        for _ in range(ROUNDS):
            asyncio.run(each_once(clients))
        assert mistakes(clients) == []
        recovered(caller, origin)
        asyncio.run(each_once(clients))  # what was left open while the endpoint failed ends now
        heard = sum(client.heard.total() for client in clients)
        is_back = eventually(lambda: size_of_idle(gateway, origin).is_back_at(first), within_s=20)
        last = size_of(gateway)
        print(f"{heard} requests; after the first round {first}, after the last {last}")
        assert is_back
        assert processes_of(gateway) == began, "nobody has died"
        assert each_is_kept_once(gateway)
        for who, memory in first.memory.items():
            assert last.memory[who] - memory < GROWTH, who
            assert last.threads[who] - first.threads[who] <= MORE_THREADS, who
        for client in clients:
            client.verify()
        settled(gateway, origin)
        usage_command_agrees(gateway)
