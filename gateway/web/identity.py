"""Who asks: access keys of the store, principals of the policies, sessions by their tokens, end users by a header."""

import time
from collections.abc import Mapping
from dataclasses import replace
from typing import NamedTuple

from gateway.errors import Code, S3Error
from gateway.policy.end_users import is_end_user
from gateway.policy.evaluate import Rules
from gateway.policy.model import UPLOADER_HEADER, Identity, Principal, Role
from gateway.s3.headers import METADATA_PREFIX
from gateway.sigv4.credentials import parse_credentials
from gateway.sigv4.hoisted import hoisted_headers
from gateway.sigv4.model import Credentials, SecretAccessKey
from gateway.sigv4.payload import refuse_streaming
from gateway.store.access_keys import OpenedKey
from gateway.store.session_tokens import KEY_PREFIX
from gateway.web.call import Call


class Signer(NamedTuple):
    """Whose signature it would be: the secret to verify with, and until when it is good (None: no end)."""

    identity: Identity
    key: OpenedKey
    secret: SecretAccessKey
    expires_s: int | None = None


async def authenticate(call: Call) -> None:
    """Find out who signed the request, if anybody, and check the signature.

    Raises S3Error: what parsing and verifying raise, InvalidToken, ExpiredToken, InvalidAccessKeyId, SlowDown.
    """
    wire = call.wire
    credentials = parse_credentials(wire)
    if credentials is None:
        refuse_streaming(call.headers.get("x-amz-content-sha256", ""))
        return
    verifier = call.services.verifier
    signer = await find_signer(call, credentials)
    if signer is None:
        verifier.refuse_unknown(wire, credentials, now_s=call.now_s)
    token = credentials.session_token if signer.identity.session else None
    call.verified = verifier.verify(wire, credentials, signer.secret, now_s=call.now_s, session_token=token)
    settle(call, signer)
    hoisted = hoisted_headers(wire, credentials)
    if hoisted:
        call.headers = {**call.headers, **hoisted}


async def find_signer(call: Call, credentials: Credentials) -> Signer | None:
    """Who has these credentials, if the policies still know them; None: nobody.

    A session is nobody's any more once the key that began it is disabled, its principal is no service, or its end user
    has the name of a principal with other rights.
    Raises S3Error: InvalidToken (not of ours, or of another key), ServiceUnavailable.
    """
    token, access_key_id = credentials.session_token, credentials.access_key_id
    if token is None or not access_key_id.startswith(KEY_PREFIX):
        key = await _open_key(call, access_key_id)
        identity = call.rules.identity(key.project, key.principal) if key is not None else None
        return None if key is None or identity is None else Signer(identity, key, key.secret)
    session = call.services.sessions.open(token, access_key_id)
    key = await _open_key(call, session.parent_access_key_id)
    parent = call.rules.identity(key.project, key.principal) if key is not None else None
    if key is None or parent is None or parent.role is not Role.SERVICE:
        return None
    if _is_anothers_name(call.rules, parent.principal, session.end_user):
        return None
    identity = Identity(parent.principal, session.end_user, session=True, narrowed_by=session.narrowed_by)
    return Signer(identity, key, session.secret, session.expires_s)


def settle(call: Call, signer: Signer) -> None:
    """Note who asks, now that the signature holds; raises S3Error: ExpiredToken, SlowDown."""
    if signer.expires_s is not None and call.now_s >= signer.expires_s:
        raise S3Error(Code.ExpiredToken)
    call.identity = signer.identity
    call.access_key_id = signer.key.access_key_id
    call.session_ends_s = signer.expires_s
    count_use(call)


def count_use(call: Call) -> None:
    """Count a request of the key that has signed it, wherever its signature stood; raises S3Error: SlowDown."""
    call.store.access_keys.note_use(call.access_key_id, call.now_s)
    rates = call.services.key_rates
    if rates is not None:
        rates.require(call.access_key_id, time.monotonic())


async def _open_key(call: Call, access_key_id: str) -> OpenedKey | None:
    keys = call.store.access_keys
    return keys.at_hand(access_key_id) or await keys.open(access_key_id)


def reserved_metadata(call: Call) -> str:
    """The name among an object's metadata that says whose it is to be: it is not kept, and not told."""
    return _uploader_header(call, call.bucket.project).removeprefix(METADATA_PREFIX)


def _uploader_header(call: Call, project_name: str) -> str:
    """The header by which a project's services name an end user, in lower case."""
    project = call.rules.policies.project(project_name)
    return project.uploader_header if project is not None else UPLOADER_HEADER


def settle_uploader(call: Call, headers: Mapping[str, str], *, stores: bool) -> None:
    """Let a service store for the end user that it names; anybody else who names one is refused.

    `stores`: the request makes an object, or begins an upload.
    Raises S3Error: AccessDenied, InvalidArgument, InvalidRequest.
    """
    if call.identity is None:
        return
    name = _uploader_header(call, call.identity.project)
    value = headers.get(name)
    if value is None:
        return
    if call.identity.role is not Role.SERVICE:
        raise S3Error(Code.AccessDenied, f"Only a service may name the uploader of an object ({name}).")
    if not stores:
        raise S3Error(Code.InvalidRequest, f"{name} is only for requests that store an object.")
    if not is_end_user(value):
        message = f"{name} has 1 to 128 of letters, digits and _+=.@:|-"
        raise S3Error(Code.InvalidArgument, message, ArgumentName=name, ArgumentValue=value[:256])
    require_nobodys_name(call, value)
    call.identity = replace(call.identity, uploader=value)


def require_nobodys_name(call: Call, end_user: str) -> None:
    """An end user may have the name of an uploader, who is the same person then, but of nobody with other rights.

    Raises S3Error: AccessDenied.
    """
    if _is_anothers_name(call.rules, call.caller.principal, end_user):
        raise S3Error(Code.AccessDenied, f"{end_user} is a principal of the project, and no uploader.")


def _is_anothers_name(rules: Rules, service: Principal, end_user: str) -> bool:
    namesake = rules.policies.principal(service.project, end_user)
    return namesake is not None and namesake.role is not Role.UPLOADER and namesake != service
