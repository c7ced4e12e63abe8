"""What every object operation works with: the store, the origins, time, and the bounds on memory."""

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from gateway.config import Limits
from gateway.objects.background import Background
from gateway.objects.collector import Collector
from gateway.objects.locks import KeyedLocks
from gateway.origin.base import Origin
from gateway.store.records import Intent
from gateway.store.store import Store
from gateway.threads import Threads


def new_id() -> str:
    """A name that is never used twice: 128 random bits in hex."""
    return secrets.token_hex(16)


class MemoryBudget:
    """Bytes that bodies may hold in memory, all together."""

    def __init__(self, size: int) -> None:
        self._left = size

    def take(self, size: int) -> bool:
        """Take `size` bytes if that many are left."""
        if size > self._left:
            return False
        self._left -= size
        return True

    def give(self, size: int) -> None:
        self._left += size


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
    new_id: Callable[[], str] = new_id
    unfinished: dict[str, Intent] = field(default_factory=dict)
    stuck: set[str] = field(default_factory=set)
    locks: KeyedLocks = field(default_factory=KeyedLocks)

    def origin(self, name: str) -> Origin:
        return self.origins[name]
