"""An S3 origin whose answers hold orders to nginx: they end at the gateway, whichever of its listeners nginx asks."""

from collections.abc import Iterator

import pytest

from tests.support.caller import Caller
from tests.support.nginx import GatewayBehindNginx
from tests.support.origin_faults import Change
from tests.support.s3_gateway import BUCKETS, origin_settings
from tests.support.scripted_origin import ScriptedOrigin

BODY = bytes(range(256)) * 1024
ORDERS = {
    "X-Accel-Redirect": "/-/bodies/local/secret",
    "X-Accel-Expires": "3600",
    "X-Accel-Buffering": "yes",
    "X-Accel-Limit-Rate": "1",
    "X-Anbar-File": "/secret",
    "Set-Cookie": "a=b",
}


@pytest.fixture(scope="module")
def origin() -> Iterator[ScriptedOrigin]:
    with ScriptedOrigin() as running:
        for bucket in BUCKETS:
            running.make_bucket(bucket)
        yield running


@pytest.fixture(scope="module", params=["s3.conf", "s3-offload.conf", "private-media.conf"])
def fronted(request, tmp_path_factory: pytest.TempPathFactory, origin: ScriptedOrigin) -> Iterator[GatewayBehindNginx]:
    running = GatewayBehindNginx(
        tmp_path_factory.mktemp("orders"),
        sites=(request.param,),
        settings={"origins.local": origin_settings(origin)},
        environment={"ORIGIN_ID": origin.access_key_id, "ORIGIN_SECRET": origin.secret_access_key},
    )
    running.origin_directory.mkdir(parents=True)
    (running.origin_directory / "secret").write_text("what lies beside the media")
    with running:
        yield running


@pytest.mark.parametrize("status", [None, 403, 404])
def test_what_an_origin_orders_is_not_done(fronted, origin, status):
    caller, key = Caller.of(fronted), f"k-{fronted.port}-{status}"
    caller.put("demo-media", key, BODY)
    origin.script("GetObject", do=Change(status=status, headers=ORDERS), times=None)
    try:
        answer = caller.ask(caller.presigned("GET", f"/demo-media/{key}"))
    finally:
        origin.heal()
    assert b"beside the media" not in answer.body
    if status is None:
        assert answer.body == BODY
    assert not {name.lower() for name, _ in answer.headers} & {name.lower() for name in ORDERS}
