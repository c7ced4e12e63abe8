"""What nginx may ask beyond S3, on the listener that is its alone ([nginx] listen), by the header `X-Anbar-Ask`.

authorise: may this exact request be made? `204` with the headers of the object, without its body; X-Anbar-File is where
the body lies below its origin's directory, where it is one plain file that nginx may send, or else a name that no file
has. X-Accel-Expires says for how many seconds the answer may be kept: never longer than the signature is good.
Everything that nginx's key does not tell apart is not to be kept at all: who comes from where, signatures in the
Authorization header, signed headers that are not in KEYED. Which headers are signed only the gateway reads right: a URL
may write their names, and the name of their list, with escapes.
https://nginx.org/en/docs/http/ngx_http_auth_request_module.html

offload: the request as ever, but where the answer has a body that nginx can send, it has X-Accel-Redirect instead.
https://nginx.org/en/docs/http/ngx_http_proxy_module.html#proxy_ignore_headers

cache: the request as ever; X-Accel-Expires says for how long the answer may be kept for everybody.

On any other listener the header is as good as not there.
"""

import re
from typing import Final
from urllib.parse import quote

from gateway.errors import Code, S3Error
from gateway.objects.get import Wanted, open_object
from gateway.origin.base import BodyReader
from gateway.s3.conditions import NO_CONDITIONS
from gateway.s3.headers import parse_response_overrides
from gateway.sigv4.model import HEADER, SIGV2_QUERY
from gateway.sigv4.sigv2 import signed_by_sigv2
from gateway.web.answers import Answer
from gateway.web.call import Call
from gateway.web.dispatch import HANDLERS
from gateway.web.handlers.objects import read_answer
from gateway.web.object_headers import downstream_control

ASK: Final = "x-anbar-ask"
AUTHORISE: Final = "authorise"
OFFLOAD: Final = "offload"
CACHE: Final = "cache"
_ASKS: Final = (AUTHORISE, OFFLOAD, CACHE)
INTERNAL: Final = "/-/bodies"
"""Below it nginx has an internal location for each origin."""

KEYED: Final = frozenset(
    {
        "date",
        "host",
        "x-amz-checksum-mode",
        "x-amz-content-sha256",
        "x-amz-date",
        "x-amz-expected-bucket-owner",
        "x-amz-security-token",
    }
)
"""The signed headers that are in the key under which nginx keeps an authorisation."""

CARRIED: Final = frozenset(
    {
        "accept-ranges",
        "cache-control",
        "content-disposition",
        "content-encoding",
        "content-language",
        "content-range",
        "content-security-policy",
        "content-type",
        "etag",
        "expires",
        "last-modified",
        "x-amz-checksum-crc32",
        "x-amz-checksum-crc32c",
        "x-amz-checksum-crc64nvme",
        "x-amz-checksum-sha1",
        "x-amz-checksum-sha256",
        "x-amz-checksum-type",
        "x-amz-tagging-count",
        "x-content-type-options",
    }
)
"""The headers of an object that nginx puts on a body that it sends; an object with others is sent by the gateway."""

_NO_FILE: Final = ".none"  # a segment of a body's path never begins with a dot
_READS: Final = ("GetObject", "HeadObject")
_ONE_RANGE: Final = re.compile(r"bytes=(?:[0-9]+-[0-9]*|-[0-9]+)")
_DECIDED_BY_NGINX: Final = ("if-match", "if-unmodified-since", "if-range")
_UNSHARED: Final = re.compile(r"(?:^|,)\s*(?:no-store|no-cache|private)\b", re.IGNORECASE)
_MAX_AGE: Final = re.compile(r"(?:^|,)\s*(s-maxage|max-age)\s*=\s*\"?([0-9]{1,10})", re.IGNORECASE)


def asked_by_nginx(call: Call) -> str | None:
    """What nginx asks beside the request itself, if it is nginx; raises S3Error: InvalidRequest."""
    if not call.request.connection.is_nginx:
        return None
    asked = call.headers.get(ASK)
    if asked is not None and asked not in _ASKS:
        raise S3Error(Code.InvalidRequest, f"{ASK} is one of {', '.join(_ASKS)}.")
    return asked


def is_authorising(call: Call) -> bool:
    """Is only asked whether the request may be made?"""
    return call.request.connection.is_nginx and call.headers.get(ASK) == AUTHORISE


async def answer_nginx(call: Call, asked: str) -> Answer:
    """Answer a request that the gate has let in, as nginx asks it; raises what its handler raises."""
    if asked == AUTHORISE:
        return await _authorise(call)
    answer = await HANDLERS[call.operation.name](call)
    if asked == OFFLOAD:
        _offload(call, answer)
    else:
        answer.headers.append(("X-Accel-Expires", str(_shared_s(call, answer))))
    return answer


def internal_path(call: Call, origin: str, reader: BodyReader) -> str | None:
    """Where nginx finds an open body below the directory of its origin; None: it has to be sent from here."""
    return reader.plain_file if origin in call.services.settings.nginx.offload else None


async def _authorise(call: Call) -> Answer:
    """What holds for the whole object; conditions and ranges are left to who has the body."""
    if call.operation.name not in _READS:
        raise S3Error(Code.AccessDenied)
    wanted = Wanted(NO_CONDITIONS, may_read=call.may_read)
    found, reader = await open_object(call.rooms, call.object, wanted)
    try:
        control = downstream_control(call.rules.policies.bucket(call.bucket.bucket))
        answer = read_answer(call, found, parse_response_overrides(call.query), control)
        path = internal_path(call, found.record.origin, reader) if reader is not None else None
    finally:
        if reader is not None:
            reader.close()
    if path is None or "partNumber" in call.query or not _is_carried(answer):
        path = _NO_FILE
    answer.headers.append(("X-Anbar-File", f"/{path}"))
    answer.headers.append(("X-Accel-Expires", str(_authorised_s(call))))
    answer.status = 204
    return answer


def _authorised_s(call: Call) -> int:
    """For how long the same request may be made again without asking."""
    longest = call.services.settings.nginx.authorisation_s
    if call.asks_context:
        return 0
    if call.verified is not None:
        credentials = call.verified.credentials
        if credentials.scheme is HEADER:  # an SDK reads what it has just written, with the same signature in one second
            return 0
        signed = credentials.signed_headers
        if credentials.scheme is SIGV2_QUERY:
            signed = signed_by_sigv2(call.wire.headers)
        if not KEYED.issuperset(signed):
            return 0
        ends_s = credentials.time_s + (credentials.expires_s or 0)
        if call.session_ends_s is not None:
            ends_s = min(ends_s, call.session_ends_s)
        longest = min(longest, ends_s - call.now_s)
    return max(longest - 1, 0)  # nginx counts whole seconds, and the one that has begun is not over


def _shared_s(call: Call, answer: Answer) -> int:
    """For how long everybody may have the same answer."""
    if (
        call.identity is not None
        or not call.is_public
        or call.operation.name not in _READS
        or answer.status not in (200, 304)
    ):
        return 0
    if call.asks_context:
        return 0
    said = call.object.headers.get("cache-control", "")  # where it says nothing the category speaks to browsers alone
    if _UNSHARED.search(said):
        return 0
    ages = {name.lower(): int(age) for name, age in _MAX_AGE.findall(said)}
    longest = call.services.settings.nginx.public_s
    return min(longest, ages.get("s-maxage", ages.get("max-age", longest)))


def _offload(call: Call, answer: Answer) -> None:
    """Have nginx send the body, if it will send the same bytes with the same headers."""
    part, headers = answer.slice, call.headers
    if part is None or any(name in headers for name in _DECIDED_BY_NGINX) or not _is_carried(answer):
        return
    wanted = headers.get("range")
    if answer.status != (200 if wanted is None else 206) or (wanted and not _ONE_RANGE.fullmatch(wanted)):
        return
    path = internal_path(call, part.origin, part.reader)
    if path is None:
        return
    part.reader.close()
    answer.slice = None
    answer.status = 200  # nginx reads the range again, of the file
    made = "Accept-Ranges" if wanted is None else "Content-Range"  # by nginx, too
    answer.headers = [header for header in answer.headers if header[0] != made]
    answer.headers.append(("X-Accel-Redirect", f"{INTERNAL}/{part.origin}/{quote(path, safe='/@')}"))


def _is_carried(answer: Answer) -> bool:
    return all(name.lower() in CARRIED for name, _ in answer.headers)
