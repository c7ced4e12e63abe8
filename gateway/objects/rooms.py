"""What every object operation works with: the store, the origins, time, and the bounds on memory."""

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from gateway.budget import MemoryBudget
from gateway.config import Limits
from gateway.errors import Code, S3Error
from gateway.objects.background import Background
from gateway.objects.collector import Collector
from gateway.objects.locks import KeyedLocks
from gateway.origin.base import Origin
from gateway.store.records import Intent
from gateway.store.store import Store
from gateway.stream_memory import StreamMemory
from gateway.threads import Threads

_ID_BYTES = 16


class Ids:
    """Names that are never used twice: 128 random bits in hex, asked of the system 256 at a time."""

    def __init__(self) -> None:
        self._digits = ""

    def __call__(self) -> str:
        if not self._digits:
            self._digits = secrets.token_hex(_ID_BYTES * 256)
        made, self._digits = self._digits[: 2 * _ID_BYTES], self._digits[2 * _ID_BYTES :]
        return made


@dataclass(frozen=True, slots=True)
class Rooms:
    """The parts that the operations in this room are functions of.

    `unfinished` are failed writes, `stuck` uploads whose Complete failed, that the store could not be told of yet.
    """

    store: Store
    origins: Mapping[str, Origin]
    limits: Limits
    background: Background
    collector: Collector
    budget: MemoryBudget
    now_s: Callable[[], int]
    hashing: Threads
    new_id: Callable[[], str] = field(default_factory=Ids)
    unfinished: dict[str, Intent] = field(default_factory=dict)
    stuck: set[str] = field(default_factory=set)
    locks: KeyedLocks = field(default_factory=KeyedLocks)
    stream_memory: StreamMemory = field(default_factory=StreamMemory)

    def origin(self, name: str) -> Origin:
        """Raises S3Error: ServiceUnavailable where an origin was taken out of the settings."""
        found = self.origins.get(name)
        if found is None:
            raise S3Error(Code.ServiceUnavailable, f"The origin {name} is not configured.")
        return found
