"""STS at the same address: a form that is posted to the root, signed for the service `sts`.

Its signature covers the hash of the body and no header says it, so here, and only here, a small body is read before the
signature is checked.
https://docs.aws.amazon.com/STS/latest/APIReference/welcome.html
"""

from hashlib import sha256
from typing import Final

from gateway.errors import Code, S3Error
from gateway.s3.operations import ASSUME_ROLE
from gateway.s3.sts import MAX_FORM_BYTES, in_sts_words, render_sts_error
from gateway.sigv4.credentials import parse_credentials
from gateway.sigv4.model import Credentials
from gateway.web.answers import Answer
from gateway.web.call import Call, StsRequest
from gateway.web.documents import whole_body
from gateway.web.identity import find_signer, settle

_FORM: Final = "application/x-www-form-urlencoded"


def is_sts(call: Call) -> bool:
    """Is this a request to STS? S3 has no operation that posts such a form."""
    if call.wire.method != "POST" or call.address.bucket is not None:
        return False
    return call.headers.get("content-type", "").partition(";")[0].strip(" \t").lower() == _FORM


async def admit_sts(call: Call) -> None:
    """Read the form, check who signed it, and whether they may begin sessions.

    Raises S3Error: AccessDenied, SlowDown, and what reading, parsing and verifying raise.
    """
    call.operation = ASSUME_ROLE
    if call.wire.raw_query:
        raise S3Error(Code.ValidationError, "The parameters belong into the body.")
    credentials = parse_credentials(call.wire, service="sts")
    if credentials is None:
        raise S3Error(Code.MissingAuthenticationToken)
    async with whole_body(call, MAX_FORM_BYTES) as form:
        await _admit(call, credentials, form)


async def _admit(call: Call, credentials: Credentials, form: bytes) -> None:
    hashed = sha256(form).hexdigest()
    verifier = call.services.verifier
    signer = await find_signer(call, credentials)
    if signer is None:
        verifier.refuse_unknown_sts(call.wire, credentials, hashed, now_s=call.now_s)
    token = credentials.session_token if signer.identity.session else None
    verifier.verify_sts(call.wire, credentials, signer.secret, hashed, now_s=call.now_s, session_token=token)
    settle(call, signer)
    call.sts = StsRequest(form, signer.key)
    call.require(call.operation.action, None)


def sts_error_answer(error: S3Error, request_id: str) -> Answer:
    """A refusal in the form and by the codes that clients of STS read."""
    told = in_sts_words(error)
    return Answer(told.code.status, [("Content-Type", "text/xml")], render_sts_error(told, request_id))
