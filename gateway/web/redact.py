"""The last net before a log: secrets are taken out of a text by what stands before them.

Nothing that logs is meant to rely on it; it catches what a library, an exception or a client's mistake puts into a
text.
"""

import re
from typing import Final

GONE: Final = "[redacted]"

# A name that tells what follows, then `=` or `:` (as such, or as a URL, a dictionary or JSON has it), then the secret.
_NAMED = re.compile(
    r"""(?ix)
    ( (?: x-amz-(?:signature|security-token|credential) | signature | security[-_]?token | session[-_]?token
        | (?:aws)?[-_]?secret[-_]?(?:access[-_]?)?key | secret | password | passwd | passphrase | api[-_]?key
        | x-amz-server-side-encryption-customer-key | cookie
      )
      (?: \\?["'] | %22 | %27 )? \s* (?: = | : | %3D | %3A ) \s* (?: b? \\?["'] | %22 | %27 )?
    )
    ( [^\s"'\\&,;<>{}()\[\]]+ )
    """
)
# Whole credentials in one header: everything behind the scheme.
_SIGV4 = re.compile(r"(AWS4-HMAC-SHA256\s+)(?=Credential)[^\"'\r\n]+")
_TOKEN = re.compile(r"(?i)(\b(?:Bearer|Basic)\s+|\bAWS\s+[A-Z0-9]{16,128}:)[A-Za-z0-9+/=._~-]{8,}")
_PRIVATE_KEY = re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.DOTALL)
_USER = re.compile(r"(?i)\b([a-z][a-z0-9+.-]{0,20}://)[^/\s@\"']{1,512}@")


def redact(text: str) -> str:
    """The text with `[redacted]` in place of signatures, tokens, keys, passwords and Authorization headers."""
    text = _NAMED.sub(rf"\1{GONE}", text)
    text = _TOKEN.sub(rf"\1{GONE}", _SIGV4.sub(rf"\1{GONE}", text))
    if "://" in text:
        text = _USER.sub(rf"\1{GONE}@", text)
    if "PRIVATE KEY" in text:
        text = _PRIVATE_KEY.sub(GONE, text)
    return text
