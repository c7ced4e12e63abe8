"""What is counted for the operator's monitoring; the admin listener tells it in Prometheus' text form.

https://prometheus.io/docs/practices/naming/
Labels are names of the configuration and closed sets, never what a client sends.
"""

from typing import Final

from prometheus_client import Counter

QUOTA_NEAR: Final = Counter(
    "anbar_quota_near", "Writes that brought a quota to 80 or 95 percent, or beyond.", ["project", "percent"]
)
QUOTA_REFUSED: Final = Counter("anbar_quota_refused", "Requests that a quota has refused.", ["project"])
