"""Requests that were refused their rights or their room, counted for the audit by who asked for what."""

from gateway.errors import Code, S3Error
from gateway.metrics import QUOTA_REFUSED
from gateway.s3.operations import PREFLIGHT
from gateway.web.call import Call

_ANONYMOUS = "anonymous"
_UNPROVEN = "unknown"


def note_denial(call: Call, error: S3Error) -> None:
    """Count a refusal; a name that no signature has proven is not written down."""
    identity = call.identity
    signed = "authorization" in call.headers or "X-Amz-Signature" in call.query or "Signature" in call.query
    bucket = call.found_bucket
    if error.code is Code.QuotaExceeded and bucket is not None:
        QUOTA_REFUSED.labels(bucket.project).inc()
    call.store.denials.note(
        bucket.project if bucket is not None else identity.project if identity is not None else None,
        identity.label if identity is not None else _UNPROVEN if signed else _ANONYMOUS,
        call.operation.name if call.operation is not PREFLIGHT or call.wire.method == "OPTIONS" else _UNPROVEN,
        bucket.bucket if bucket is not None else "",
        error.code.name,
        call.now_s,
    )
