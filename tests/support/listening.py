"""The public listener in this process, and somebody who may ask it."""

import asyncio
from dataclasses import dataclass

from gateway.web.server import S3Server
from tests.support.raw_http import Request
from tests.support.signer import Signer


@dataclass
class Listening:
    """A served port, and who may ask."""

    server: S3Server
    port: int
    signer: Signer

    async def exchange(self, request: Request) -> tuple[int, bytes]:
        """Status and body; a body that breaks off is given as far as it came."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(request.encode())
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            length = next((int(line[16:]) for line in head.split(b"\r\n") if line.startswith(b"Content-Length: ")), 0)
            length = 0 if request.method == "HEAD" else length
            try:
                body = await reader.readexactly(length)
            except asyncio.IncompleteReadError as short:
                body = short.partial
            except ConnectionError:
                body = b""
        finally:
            writer.close()
        return int(head.split(b" ")[1]), body

    async def get(self, target: str, method: str = "GET") -> tuple[int, bytes]:
        return await self.exchange(self.signer.sign(Request(method, target, (("Host", f"127.0.0.1:{self.port}"),))))

    async def over(self) -> None:
        """Returns once no request is being answered: a client may have its last byte before the server knows."""
        while self.server.tally.in_flight:  # noqa: ASYNC110  (turns of the loop, no time)
            await asyncio.sleep(0)

    async def put(self, target: str, body: bytes) -> tuple[int, bytes]:
        head = (("Host", f"127.0.0.1:{self.port}"), ("Content-Length", str(len(body))))
        return await self.exchange(self.signer.sign(Request("PUT", target, head, body)))
