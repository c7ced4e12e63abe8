"""Cross-origin requests: which headers a browser is answered, by the rules of a bucket's configuration.

https://docs.aws.amazon.com/AmazonS3/latest/userguide/cors.html
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

# What may be echoed into a header: an origin is scheme, host and port; a header's name is an HTTP token.
_ORIGIN = re.compile(r"[!-~]{1,1024}\Z")
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,256}\Z")
_MAX_REQUEST_HEADERS = 100


class Rule(Protocol):
    """One rule; the first that fits counts. `*` in an origin or in a header's name stands for any text."""

    @property
    def allowed_origins(self) -> tuple[str, ...]: ...
    @property
    def allowed_methods(self) -> tuple[str, ...]: ...
    @property
    def allowed_headers(self) -> tuple[str, ...]: ...
    @property
    def expose_headers(self) -> tuple[str, ...]: ...
    @property
    def max_age_s(self) -> int | None: ...


@dataclass(frozen=True, slots=True)
class CorsRule:
    """A rule as a value of this room."""

    allowed_origins: tuple[str, ...]
    allowed_methods: tuple[str, ...]
    allowed_headers: tuple[str, ...] = ()
    expose_headers: tuple[str, ...] = ()
    max_age_s: int | None = None


def match_preflight(
    rules: Sequence[Rule], origin: str, method: str, request_headers: str = ""
) -> dict[str, str] | None:
    """The headers that allow what a preflight asks for, or None where no rule allows all of it.

    `method` and `request_headers` are the Access-Control-Request-… headers as they came. The caller adds Vary.
    """
    names = [name.strip(" \t").lower() for name in request_headers.split(",", _MAX_REQUEST_HEADERS)]
    names = [name for name in names if name]
    if len(names) > _MAX_REQUEST_HEADERS or not all(_TOKEN.match(name) for name in names):
        return None
    for rule in rules:
        allowed = _allow(rule, origin, method)
        if allowed is None or not all(_fits_any(rule.allowed_headers, name) for name in names):
            continue
        if names:
            allowed["Access-Control-Allow-Headers"] = ", ".join(names)
        if rule.max_age_s is not None:
            allowed["Access-Control-Max-Age"] = str(rule.max_age_s)
        return allowed
    return None


def match_actual(rules: Sequence[Rule], origin: str, method: str) -> dict[str, str]:
    """The headers that let a page of `origin` read the answer to this request; empty where no rule fits."""
    for rule in rules:
        allowed = _allow(rule, origin, method)
        if allowed is not None:
            return allowed
    return {}


def _allow(rule: Rule, origin: str, method: str) -> dict[str, str] | None:
    if method not in rule.allowed_methods or not _ORIGIN.match(origin):
        return None
    fitting = next((pattern for pattern in rule.allowed_origins if _fits(pattern, origin)), None)
    if fitting is None:
        return None
    allowed = {"Access-Control-Allow-Origin": "*" if fitting == "*" else origin}
    allowed["Access-Control-Allow-Methods"] = ", ".join(rule.allowed_methods)
    if fitting != "*":  # as S3: credentials only for origins that are named; browsers refuse them with `*` anyway
        allowed["Access-Control-Allow-Credentials"] = "true"
    if rule.expose_headers:
        allowed["Access-Control-Expose-Headers"] = ", ".join(rule.expose_headers)
    return allowed


def _fits_any(patterns: tuple[str, ...], name: str) -> bool:
    return any(_fits(pattern.lower(), name) for pattern in patterns)


def _fits(pattern: str, text: str) -> bool:
    """Whether `text` is `pattern` with each `*` replaced by something; one pass over the text."""
    head, *rest = pattern.split("*")
    if not rest:
        return text == pattern
    *middle, tail = rest
    if not text.startswith(head):
        return False
    position = len(head)
    for piece in middle:  # the leftmost place for each piece leaves the most room for those after it
        position = text.find(piece, position)
        if position < 0:
            return False
        position += len(piece)
    return len(text) - position >= len(tail) and text.endswith(tail)
