"""The admin listener: is the process alive, and can it serve? Never on the public address."""

from aiohttp import web

from gateway.errors import S3Error
from gateway.store.store import Store

_HEADERS = {"Cache-Control": "no-store"}


def probes(store: Store) -> web.Application:
    """`/-/live`: the loop turns. `/-/ready`: the store can be read."""

    async def live(_: web.Request) -> web.Response:
        return web.Response(text="ok\n", headers=_HEADERS)

    async def ready(_: web.Request) -> web.Response:
        try:
            await store.database.read(lambda connection: connection.execute("SELECT 1").fetchone())
        except S3Error:
            return web.Response(status=503, text="the store cannot be read\n", headers=_HEADERS)
        return web.Response(text="ok\n", headers=_HEADERS)

    application = web.Application()
    application.router.add_get("/-/live", live)
    application.router.add_get("/-/ready", ready)
    return application
