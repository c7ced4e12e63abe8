"""AssumeRole of STS on the wire: the form that asks, the XML that answers.

    POST /
    Action=AssumeRole&Version=2011-06-15&RoleArn=arn%3Aaws%3Aiam%3A%3Aphotoapp%3Arole%2Fuploader&RoleSessionName=sara

    <AssumeRoleResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">
      <AssumeRoleResult><Credentials>…</Credentials><AssumedRoleUser>…</AssumedRoleUser></AssumeRoleResult>
      <ResponseMetadata><RequestId>…</RequestId></ResponseMetadata>
    </AssumeRoleResponse>

https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html
https://smithy.io/2.0/aws/protocols/aws-query-protocol.html
A project has one role, `uploader`, and the session's name is the end user whose files are stored. What the request
asks for beyond that is refused, never passed over: almost everything that STS knows narrows the rights of a session.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final
from urllib.parse import unquote_to_bytes

from gateway.errors import Code, S3Error
from gateway.s3.xml import document, element, number_element

VERSION: Final = "2011-06-15"
MAX_FORM_BYTES: Final = 32 << 10  # the longest policy, percent-encoded, is most of it
MAX_PARAMETERS: Final = 64
MAX_POLICY_CHARACTERS: Final = 2048
MIN_DURATION_S: Final = 900
MAX_DURATION_S: Final = 43_200
DEFAULT_DURATION_S: Final = 3600

_XMLNS: Final = f'xmlns="https://sts.amazonaws.com/doc/{VERSION}/"'
# A pair of a form: printable ASCII, every % with its two digits.
_PAIR: Final = re.compile(rb"(?:[!-$'-~]|%[0-9A-Fa-f]{2})*")
_DURATION: Final = re.compile(r"[0-9]{1,5}")
_SHOWN: Final = 128  # characters of a client's text in a message

# ExternalId is read by the trust policies of roles that strangers may assume. Ours is assumed by the project's own
# service principals only, known by their signature, so the value has nobody to convince, and narrows nothing.
_TAKEN: Final = frozenset(
    {"Action", "Version", "RoleArn", "RoleSessionName", "DurationSeconds", "Policy", "ExternalId"}
)
# Lists without members, as SDKs write them.
_LISTS: Final = frozenset({"PolicyArns", "Tags", "TransitiveTagKeys", "ProvidedContexts"})
# S3's words for what STS calls otherwise.
_STS_CODES: Final = {
    Code.InvalidAccessKeyId: Code.InvalidClientTokenId,
    Code.InvalidToken: Code.InvalidClientTokenId,
}


@dataclass(frozen=True, slots=True)
class AssumeRole:
    """What is asked for: the end user, for how long, and narrowed by which policy (JSON, not yet read)."""

    session_name: str
    duration_s: int = DEFAULT_DURATION_S
    policy: str | None = None


@dataclass(frozen=True, slots=True)
class TemporaryCredentials:
    """What a session signs with."""

    access_key_id: str
    secret_access_key: str = field(repr=False)
    session_token: str = field(repr=False)
    expires_s: int


def role_arn(project: str) -> str:
    """The one role of a project."""
    return f"arn:aws:iam::{project}:role/uploader"


def parse_form(body: bytes) -> dict[str, str]:
    """An application/x-www-form-urlencoded body; `+` is a space, a name without `=` has the value "".

    Raises S3Error: ValidationError (too large or too many, not percent-encoded UTF-8, a name twice).
    """
    if len(body) > MAX_FORM_BYTES or body.count(b"&") >= MAX_PARAMETERS:
        raise S3Error(
            Code.ValidationError, f"A request has at most {MAX_PARAMETERS} parameters in {MAX_FORM_BYTES} bytes."
        )
    parameters: dict[str, str] = {}
    for pair in body.split(b"&"):
        if not _PAIR.fullmatch(pair):
            raise _malformed_form()
        raw_name, _, raw_value = pair.partition(b"=")
        name, value = _decode(raw_name), _decode(raw_value)
        if name in parameters:
            raise S3Error(Code.ValidationError, f"The parameter {name[:_SHOWN]} is given more than once.")
        if pair:
            parameters[name] = value
    return parameters


def _decode(text: bytes) -> str:
    try:
        return unquote_to_bytes(text.replace(b"+", b" ")).decode()
    except UnicodeDecodeError:
        raise _malformed_form() from None


def _malformed_form() -> S3Error:
    return S3Error(Code.ValidationError, "The body is not application/x-www-form-urlencoded text in UTF-8.")


def parse_assume_role(parameters: Mapping[str, str], project: str, session_names: re.Pattern[str]) -> AssumeRole:
    """Read the parameters of a caller of `project`; a session's name matches `session_names`.

    SDKs want two characters of a name, and AWS takes 64 at most; here `session_names` alone says.
    Raises S3Error: MissingAction, InvalidAction, AccessDenied (another role), ValidationError.
    """
    _check_action(parameters)
    for name, value in parameters.items():
        if name not in _TAKEN and (value or name not in _LISTS):
            raise S3Error(Code.ValidationError, f"The parameter {name[:_SHOWN]} is not supported.")
    _check_role(parameters.get("RoleArn"), project)
    return AssumeRole(
        _session_name(parameters.get("RoleSessionName", ""), session_names),
        _duration_s(parameters.get("DurationSeconds")),
        _policy(parameters.get("Policy")),
    )


def _check_action(parameters: Mapping[str, str]) -> None:
    action = parameters.get("Action")
    if not action:
        raise S3Error(Code.MissingAction)
    version = parameters.get("Version") or "NO_VERSION_SPECIFIED"
    if action != "AssumeRole" or version != VERSION:
        message = f"Could not find operation {action[:_SHOWN]} for version {version[:_SHOWN]}"
        raise S3Error(Code.InvalidAction, message)


def _check_role(arn: str | None, project: str) -> None:
    if not arn:
        raise S3Error(Code.ValidationError, f"RoleArn is missing; it is {role_arn(project)}")
    if arn != role_arn(project):
        message = f"Not authorized to perform sts:AssumeRole on {arn[:_SHOWN]}; the role is {role_arn(project)}"
        raise S3Error(Code.AccessDenied, message)


def _session_name(name: str, names: re.Pattern[str]) -> str:
    if not names.fullmatch(name):
        raise S3Error(
            Code.ValidationError, f"RoleSessionName is the name of an end user; it must match {names.pattern}"
        )
    return name


def _duration_s(text: str | None) -> int:
    if text is None:
        return DEFAULT_DURATION_S
    if not _DURATION.fullmatch(text) or not MIN_DURATION_S <= int(text) <= MAX_DURATION_S:
        raise S3Error(Code.ValidationError, f"DurationSeconds is a number from {MIN_DURATION_S} to {MAX_DURATION_S}.")
    return int(text)


def _policy(text: str | None) -> str | None:
    if text is not None and not 1 <= len(text) <= MAX_POLICY_CHARACTERS:
        raise S3Error(Code.ValidationError, f"Policy has 1 to {MAX_POLICY_CHARACTERS} characters.")
    return text


def render_assume_role(project: str, wanted: AssumeRole, credentials: TemporaryCredentials, request_id: str) -> bytes:
    """The answer. PackedPolicySize is the share, in percent, of the characters that a policy may have."""
    role = f"arn:aws:sts::{project}:assumed-role/uploader/{wanted.session_name}"
    expiration = datetime.fromtimestamp(credentials.expires_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    used = None if wanted.policy is None else -(-100 * len(wanted.policy) // MAX_POLICY_CHARACTERS)
    return document(
        f"<AssumeRoleResponse {_XMLNS}><AssumeRoleResult><AssumedRoleUser>{element('Arn', role)}"
        f"{element('AssumedRoleId', f'{project}.uploader:{wanted.session_name}')}</AssumedRoleUser>"
        f"<Credentials>{element('AccessKeyId', credentials.access_key_id)}"
        f"{element('SecretAccessKey', credentials.secret_access_key)}"
        f"{element('SessionToken', credentials.session_token)}{element('Expiration', expiration)}</Credentials>"
        f"{number_element('PackedPolicySize', used)}</AssumeRoleResult>"
        f"<ResponseMetadata>{element('RequestId', request_id)}</ResponseMetadata></AssumeRoleResponse>"
    )


def in_sts_words(error: S3Error) -> S3Error:
    """The same refusal by the code that clients of STS know: a key or token that is nobody's is InvalidClientTokenId.

    Its code has the status of the answer, and its name and message are what `render_sts_error` writes.
    """
    code = _STS_CODES.get(error.code)
    return error if code is None else S3Error(code)


def render_sts_error(error: S3Error, request_id: str) -> bytes:
    """An error as the query protocol has it; STS knows no further fields.

    https://docs.aws.amazon.com/STS/latest/APIReference/CommonErrors.html
    """
    kind = "Receiver" if error.code.status >= 500 else "Sender"
    return document(
        f"<ErrorResponse {_XMLNS}><Error><Type>{kind}</Type>{element('Code', error.code.name)}"
        f"{element('Message', error.message)}</Error>{element('RequestId', request_id)}</ErrorResponse>"
    )
