"""How many requests somebody may make: a bucket of tokens for each name, filled at a steady rate.

Pure: the time is handed in. https://en.wikipedia.org/wiki/Token_bucket
"""

from collections import OrderedDict
from typing import Final, Self

from gateway.errors import Code, S3Error

BURST_S: Final = 2.0
"""Seconds of the rate that may come at once, after a silence."""

_MOST_NAMES: Final = 16_384


class Rates:
    """Requests by name: at most `per_s` a second in the long run. The names that were silent longest are forgotten."""

    def __init__(self, per_s: float) -> None:
        self._per_s = per_s
        self._most = max(per_s * BURST_S, 1.0)
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()  # tokens, and when there were so many

    @classmethod
    def shared(cls, per_s: float | None, workers: int) -> Self | None:
        """One worker's share of a rate; None: there is no limit."""
        return cls(per_s / workers) if per_s else None

    def require(self, name: str, now_s: float) -> None:
        """Refuse who asks too often; raises S3Error: SlowDown."""
        if not self.take(name, now_s):
            raise S3Error(Code.SlowDown)

    def take(self, name: str, now_s: float) -> bool:
        """May this request be made? `now_s`: of a clock that only goes forward."""
        tokens, since_s = self._buckets.get(name, (self._most, now_s))
        tokens = min(self._most, tokens + (now_s - since_s) * self._per_s)
        allowed = tokens >= 1.0
        self._buckets[name] = (tokens - 1.0 if allowed else tokens, now_s)
        self._buckets.move_to_end(name)
        if len(self._buckets) > _MOST_NAMES:
            self._buckets.popitem(last=False)
        return allowed
