"""Continuation tokens: opaque to clients, the last name of a page to us."""

import base64
import binascii
import re

from gateway.errors import Code, S3Error

_BASE64 = re.compile(r"[A-Za-z0-9_-]{1,5600}={0,2}", re.ASCII)


def render_token(after: str) -> str:
    return base64.urlsafe_b64encode(after.encode()).decode("ascii")


def parse_token(token: str | None) -> str:
    """The name that a page begins after; "" without a token. Raises S3Error: InvalidArgument."""
    if token is None:
        return ""
    try:
        if not _BASE64.fullmatch(token):
            raise ValueError(token)
        return base64.b64decode(token, altchars=b"-_", validate=True).decode()
    except (binascii.Error, ValueError) as error:
        raise S3Error(
            Code.InvalidArgument, "The continuation token provided is incorrect", ArgumentName="continuation-token"
        ) from error
