"""A day of fifty clients and an origin that fails them now and then, by seed: nothing that was acknowledged is lost or
wrong, nothing partial is seen, the books are right in the end, and the gateway is as small as it was.

ANBAR_DAY_OPERATIONS=10000 makes the day longer, ANBAR_DAY_SEED=7 repeats one.
"""

import asyncio
import os
import random
import secrets
import time
from collections import Counter
from pathlib import Path

from tests.support.caller import Caller, parse_xml, text
from tests.support.gateway import Gateway
from tests.support.many_clients import Client, arm
from tests.support.oracle import usage_command_agrees
from tests.support.process import MIB, open_descriptors, resident_memory
from tests.support.raw_http import eventually
from tests.support.s3_gateway import BUCKET, recovered, s3_gateway, settled
from tests.support.scripted_origin import ScriptedOrigin

OPERATIONS = int(os.environ.get("ANBAR_DAY_OPERATIONS", "1500"))
CLIENTS = 50
GROWTH = 60 * MIB


def small_again(gateway: Gateway, origin: ScriptedOrigin, descriptors: int) -> bool:
    origin.close_idle()
    return open_descriptors(gateway.pid) <= descriptors


def test_a_day_of_many_clients_and_a_failing_origin(tmp_path: Path):
    seed = os.environ.get("ANBAR_DAY_SEED") or secrets.token_hex(4)
    print(f"ANBAR_DAY_SEED={seed} ANBAR_DAY_OPERATIONS={OPERATIONS}")
    chance = random.Random(seed)
    with ScriptedOrigin() as origin, s3_gateway(tmp_path, origin, retries=2) as gateway:
        caller = Caller.of(gateway)
        clients = [Client(caller, f"c{number}", random.Random(chance.random())) for number in range(CLIENTS)]

        async def live(operations: int) -> None:
            await asyncio.gather(*[client.live(operations // CLIENTS) for client in clients])

        asyncio.run(live(min(OPERATIONS, 500) // 2))  # in good health, to be as large as one gets
        assert [mistake for client in clients for mistake in client.mistakes] == []
        assert {status for client in clients for status in client.heard} <= {"200", "204", "206", "404"}
        origin.close_idle()
        memory, descriptors = resident_memory(gateway.pid), open_descriptors(gateway.pid)
        arm(origin, chance)
        began = time.monotonic()
        asyncio.run(live(OPERATIONS))
        lasted_s = time.monotonic() - began
        heard = sum((client.heard for client in clients), Counter[str]())
        print(f"{lasted_s:.1f} s: {dict(heard)}; the origin saw {len(origin.journal)} requests")
        assert [mistake for client in clients for mistake in client.mistakes] == []
        origin.heal()
        recovered(caller, origin)
        for client in clients:
            client.verify()
        assert heard["503"] + heard["broken"] < sum(heard.values()) / 2, "most of the day was good"
        assert eventually(lambda: small_again(gateway, origin, descriptors + 4), within_s=10)
        grown = resident_memory(gateway.pid) - memory
        print(f"{grown / MIB:.1f} MiB more than in the morning")
        assert grown < GROWTH
        for upload_id, key in open_uploads(caller):
            assert caller.call("DELETE", f"/{BUCKET}/{key}?uploadId={upload_id}").status == 204
        settled(gateway, origin)
        usage_command_agrees(gateway)
        for client in clients:
            client.verify()


def open_uploads(caller: Caller) -> list[tuple[str, str]]:
    root = parse_xml(caller.call("GET", f"/{BUCKET}?uploads=").body)
    return [(text(each, "UploadId"), text(each, "Key")) for each in root.findall("Upload")]
