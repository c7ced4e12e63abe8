"""The admin listener: is the process alive, can it serve, and what has it counted? Never on the public address."""

from collections.abc import Callable

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST

from gateway.errors import S3Error
from gateway.store.store import Store
from gateway.web.exposition import Exposition

_HEADERS = {"Cache-Control": "no-store"}


def probes(store: Store, exposition: Exposition, serves: Callable[[], bool] = lambda: True) -> web.Application:
    """`/-/live`: the loop turns. `/-/ready`: the store can be read. `/-/metrics`: counters for Prometheus.

    `serves`: does anybody take requests?
    """

    async def live(_: web.Request) -> web.Response:
        return web.Response(text="ok\n", headers=_HEADERS)

    async def ready(_: web.Request) -> web.Response:
        try:
            await store.database.read(lambda connection: connection.execute("SELECT 1").fetchone())
        except S3Error:
            return web.Response(status=503, text="the store cannot be read\n", headers=_HEADERS)
        if not serves():
            return web.Response(status=503, text="no worker serves\n", headers=_HEADERS)
        return web.Response(text="ok\n", headers=_HEADERS)

    async def metrics(_: web.Request) -> web.Response:
        return web.Response(body=await exposition.text(), headers=_HEADERS | {"Content-Type": CONTENT_TYPE_LATEST})

    application = web.Application()
    application.router.add_get("/-/live", live)
    application.router.add_get("/-/ready", ready)
    application.router.add_get("/-/metrics", metrics)
    return application
