"""Steps of a probe: what SDKs send by default and the data path never does: checksum headers, aws-chunked, trailers.

https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-streaming.html
https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-streaming-trailers.html
"""

import zlib
from base64 import b64encode
from collections.abc import AsyncIterator
from hashlib import sha256

from gateway.origin.s3.probe.bodies import OTHER, render_head
from gateway.origin.s3.probe.outcomes import Answer, Outcome
from gateway.origin.s3.probe.reach import DATA
from gateway.origin.s3.probe.scratch import Scratch
from gateway.sigv4.presign import Signer

_CRC32 = "x-amz-checksum-crc32"
_SIGNED = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"
_UNSIGNED_TRAILER = "STREAMING-UNSIGNED-PAYLOAD-TRAILER"
_FRAMED = {"content-encoding": "aws-chunked", "x-amz-decoded-content-length": str(len(DATA))}


async def checksum_headers(scratch: Scratch) -> AsyncIterator[Outcome]:
    right = await scratch.put("checksum", DATA, {_CRC32: _crc32(DATA)})
    yield Outcome("checksum_headers", right.fine, right.told)
    wrong = await scratch.put("wrong-checksum", DATA, {_CRC32: _crc32(OTHER)})
    yield Outcome("checksums_checked", right.fine and 400 <= wrong.status < 500, f"a wrong one: {wrong.told}")


async def streaming(scratch: Scratch) -> AsyncIterator[Outcome]:
    """Signed chunks: one with the data, and the empty last one."""
    headers = {**await scratch.token_headers(), **_FRAMED}

    def render(signer: Signer) -> tuple[bytes, bytes]:
        target, now_s = scratch.target("streamed"), int(scratch.clock.now())
        signed = signer.sign_headers("PUT", target, "", headers, payload_hash=_SIGNED, now_s=now_s)
        chunks = signer.sign_chunks(signed)
        body = b"".join(
            b"%x;chunk-signature=%b\r\n%b\r\n"
            % (len(piece), chunks.sign_chunk(sha256(piece).hexdigest()).encode("ascii"), piece)
            for piece in (DATA, b"")
        )
        return render_head(target, {**headers, **signed, "content-length": str(len(body))}), body

    yield await _came_whole(scratch, "streaming", "streamed", await scratch.raw("streamed", render))


async def trailer(scratch: Scratch) -> AsyncIterator[Outcome]:
    """Unsigned chunks and a checksum behind them, as today's SDKs send them over TLS."""
    body = b"%x\r\n%b\r\n0\r\n%b:%b\r\n\r\n" % (len(DATA), DATA, _CRC32.encode(), _crc32(DATA).encode())
    headers = {**_FRAMED, "x-amz-trailer": _CRC32}
    answer = await scratch.put("trailed", body, headers, payload=_UNSIGNED_TRAILER)
    yield await _came_whole(scratch, "trailer", "trailed", answer)


async def _came_whole(scratch: Scratch, name: str, key: str, answer: Answer) -> Outcome:
    """What was taken must not lie there with its frames."""
    if not answer.fine:
        return Outcome(name, False, answer.told)
    found = await scratch.ask("GET", key)
    same = found.fine and found.body == DATA
    return Outcome(name, same, answer.told if same else f"{answer.told}, and stored with its frames")


def _crc32(data: bytes) -> str:
    return b64encode(zlib.crc32(data).to_bytes(4, "big")).decode("ascii")
