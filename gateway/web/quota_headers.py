"""How full the narrowest quota is, on answers to writes: `[limits] quota_headers`."""

from typing import Final

from gateway.errors import S3Error
from gateway.store.ledger import Account, tightest
from gateway.web.call import Call

TOLD: Final = frozenset({"CompleteMultipartUpload", "CopyObject", "PostObject", "PutObject"})
"""The operations whose success is told with the quota; each one's QuotaExceeded is."""


async def quota_headers(call: Call) -> list[tuple[str, str]]:
    """Bytes of the scope with the least room left, as they are now; nothing where none has a limit.

    A store that is busy is no reason to take back an answer: then there are no headers either.
    """
    bucket = call.bucket
    try:
        found = await tightest(
            call.store.database, Account(bucket.project, bucket.category, call.charged), call.allowance
        )
    except S3Error:
        return []
    if found is None:
        return []
    limit, used = found
    return [("x-anbar-quota-limit", str(limit)), ("x-anbar-quota-used", str(used))]
