"""What a probe has learned, as values: an origin's answer, and what follows from it. Pure."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

MOST_SKEW_S = 15 * 60
"""More than this is refused. https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html"""

_PLACE = re.compile(rb"<(Region|Endpoint)>([A-Za-z0-9.:-]{1,253})</")
_REGION = re.compile(r"[A-Za-z0-9-]{1,64}\Z")
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
# What stores say to whom they would rather see elsewhere, whatever the status.
_ELSEWHERE = frozenset(
    {"PermanentRedirect", "TemporaryRedirect", "AuthorizationHeaderMalformed", "IllegalLocationConstraintException"}
)
BAD_CREDENTIALS = frozenset(
    {"InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "InvalidToken", "TokenRefreshRequired"}
)


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer that was read to its end; `code` is that of an error document, also under status 200."""

    status: int
    code: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""

    @property
    def fine(self) -> bool:
        return 200 <= self.status < 300 and not self.code

    @property
    def told(self) -> str:
        """The answer in words: "200", "403 AccessDenied"."""
        return f"{self.status} {self.code}".strip()

    @property
    def etag(self) -> str:
        return self.headers.get("etag", "")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What was learned of one thing: yes, no or how much; None: nothing. `told` is what the origin answered.

    `tried`: somebody asked. What was not asked because of something else is not a fault of its own.
    """

    name: str
    value: bool | int | None
    told: str = ""
    tried: bool = True


def elsewhere(answer: Answer) -> str | None:
    """Where an answer sends us, as a sentence; None: it does not."""
    if answer.status not in _REDIRECTS and answer.code not in _ELSEWHERE:
        return None
    found = {name.decode().lower(): text.decode() for name, text in _PLACE.findall(answer.body)}
    region = answer.headers.get("x-amz-bucket-region", "")
    if _REGION.match(region):
        found["region"] = region
    location = answer.headers.get("location", "")
    if location and "endpoint" not in found:
        found["endpoint"] = location[:200]
    hints = [f'{name} "{text}"' for name, text in sorted(found.items())]
    return f"{answer.told}: it names {' and '.join(hints)}" if hints else f"{answer.told}, without saying where to"
