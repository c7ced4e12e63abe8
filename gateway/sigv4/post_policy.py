"""Who signed a browser's POST form: the signature is over the policy field's base64 text, as it was sent.

    policy, x-amz-algorithm, x-amz-credential, x-amz-date, x-amz-signature      SigV4: hex(HMAC-SHA256(key, policy))
    policy, AWSAccessKeyId, signature                                           SigV2: base64(HMAC-SHA1(secret, policy))

https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-authentication-HTTPPOST.html
https://docs.aws.amazon.com/AmazonS3/latest/userguide/HTTPPOSTForms.html
What the policy allows, and until when, is read by `gateway.s3.post_form`.
"""

import re
from collections.abc import Callable, Mapping
from typing import Final

from gateway.errors import Code, S3Error
from gateway.sigv4.canonical import encode_text
from gateway.sigv4.credentials import parse_credential
from gateway.sigv4.model import ALGORITHM, Credentials, Scheme, SecretAccessKey
from gateway.sigv4.signature import Verifier
from gateway.sigv4.signing_key import is_signature
from gateway.sigv4.sigv2 import matches_sigv2
from gateway.sigv4.timestamps import parse_amz_date

_SIGV4_FIELDS: Final = ("policy", "x-amz-credential", "x-amz-date", "x-amz-signature")
_SIGV2_FIELDS: Final = ("policy", "awsaccesskeyid", "signature")
_CLAIMS: Final = frozenset({*_SIGV4_FIELDS, *_SIGV2_FIELDS, "x-amz-algorithm"})
_ACCESS_KEY_ID = re.compile(r"[A-Za-z0-9._~=+@-]{1,128}")
_SIGV2_SIGNATURE = re.compile(r"[A-Za-z0-9+/]{27}=")
_NOBODY: Final = SecretAccessKey(b"the secret of an access key that does not exist")


def parse_post_credentials(fields: Mapping[str, str]) -> Credentials | None:
    """Read who signed a form (field names in any case); None: it has neither policy nor signature, it is anonymous.

    Raises S3Error: InvalidArgument (a field is missing or malformed), SignatureDoesNotMatch (one of impossible form),
    NotImplemented (SigV4A).
    """
    found = _lower_case(fields)
    if _CLAIMS.isdisjoint(found):
        return None
    if "x-amz-signature" in found or "x-amz-algorithm" in found or "x-amz-credential" in found:
        return _parse_sigv4(found)
    return _parse_sigv2(found)


def verify_post_signature(
    fields: Mapping[str, str],
    secret_for: Callable[[str], SecretAccessKey | None],
    verifier: Verifier,
) -> str | None:
    """The access key id of who signed a form; None: nobody. `secret_for` gives a key's secret, None if unknown.

    Raises S3Error: as `parse_post_credentials` and `verify_post`; InvalidAccessKeyId.
    """
    credentials = parse_post_credentials(fields)
    if credentials is None:
        return None
    verify_post(fields, credentials, secret_for(credentials.access_key_id), verifier)
    return credentials.access_key_id


def verify_post(
    fields: Mapping[str, str],
    credentials: Credentials,
    secret: SecretAccessKey | None,
    verifier: Verifier,
    *,
    session_token: str | None = None,
) -> None:
    """Check the signature of a form. `secret` is None for an unknown key, which costs the same work.

    Raises S3Error: SignatureDoesNotMatch, InvalidAccessKeyId, InvalidRequest (SigV2 is off), InvalidToken,
    AuthorizationQueryParametersError (region).
    """
    matches = _signature_matches(_lower_case(fields)["policy"], credentials, secret or _NOBODY, verifier)
    if secret is None:
        raise S3Error(Code.InvalidAccessKeyId, AWSAccessKeyId=credentials.access_key_id)
    if not matches:
        raise S3Error(
            Code.SignatureDoesNotMatch,
            AWSAccessKeyId=credentials.access_key_id,
            SignatureProvided=credentials.signature,
        )
    if credentials.session_token != session_token:
        raise S3Error(Code.InvalidToken)


def _signature_matches(policy: str, credentials: Credentials, secret: SecretAccessKey, verifier: Verifier) -> bool:
    if credentials.scheme is Scheme.SIGV2_QUERY:
        verifier.check_sigv2_allowed()
        return matches_sigv2(secret, policy, credentials.signature)
    key = verifier.signing_key(credentials, secret)
    return key.sign(encode_text(policy)).matches(credentials.signature)


def _lower_case(fields: Mapping[str, str]) -> dict[str, str]:
    """The fields by lower-case name. Raises S3Error: InvalidArgument if two of the signature's differ only in case."""
    found: dict[str, str] = {}
    for name, value in fields.items():
        lowered = name.lower()
        if lowered in found and lowered in _CLAIMS:
            raise S3Error(Code.InvalidArgument, "A field of the form was given more than once.", ArgumentName=lowered)
        found[lowered] = value
    return found


def _require(found: Mapping[str, str], names: tuple[str, ...]) -> None:
    for name in names:
        if name not in found:
            raise S3Error(
                Code.InvalidArgument,
                f"Bucket POST must contain a field named '{name}'.  If it is specified, please check the order of the"
                " fields.",
                ArgumentName=name,
            )


def _parse_sigv4(found: Mapping[str, str]) -> Credentials:
    _require(found, ("x-amz-algorithm", *_SIGV4_FIELDS))
    algorithm = found["x-amz-algorithm"]
    if algorithm.startswith("AWS4-ECDSA-"):
        raise S3Error(Code.NotImplemented, "AWS4-ECDSA-P256-SHA256 is not supported; use AWS4-HMAC-SHA256.")
    if algorithm != ALGORITHM:
        raise S3Error(Code.InvalidArgument, 'x-amz-algorithm only supports "AWS4-HMAC-SHA256"')
    access_key_id, scope = parse_credential(found["x-amz-credential"], Code.InvalidArgument)
    timestamp, signature = found["x-amz-date"], found["x-amz-signature"]
    time_s = parse_amz_date(timestamp)
    if time_s is None or not timestamp.startswith(scope.date):
        raise S3Error(Code.InvalidArgument, "x-amz-date is malformed or not of the day of x-amz-credential.")
    if not is_signature(signature):
        raise _impossible_signature(access_key_id)
    token = found.get("x-amz-security-token")
    return Credentials(Scheme.QUERY, access_key_id, scope, (), signature, time_s, None, token, timestamp)


def _parse_sigv2(found: Mapping[str, str]) -> Credentials:
    _require(found, _SIGV2_FIELDS)
    access_key_id, signature = found["awsaccesskeyid"], found["signature"]
    if _ACCESS_KEY_ID.fullmatch(access_key_id) is None:
        raise S3Error(Code.InvalidAccessKeyId)
    if _SIGV2_SIGNATURE.fullmatch(signature) is None:
        raise _impossible_signature(access_key_id)
    token = found.get("x-amz-security-token")
    return Credentials(Scheme.SIGV2_QUERY, access_key_id, None, (), signature, 0, None, token)


def _impossible_signature(access_key_id: str) -> S3Error:
    return S3Error(Code.SignatureDoesNotMatch, AWSAccessKeyId=access_key_id)
