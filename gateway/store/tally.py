"""What is counted of the store's writer."""

from gateway.metrics import (
    BATCH_BOUNDS,
    COMMIT_BOUNDS,
    STORE_BATCH,
    STORE_COMMIT,
    STORE_QUEUE,
    Observations,
    Tally,
)


class StoreTally(Tally):
    """`asked` belongs to the loop, all else to the writing thread."""

    __slots__ = ("_batches", "_commits", "_done", "asked")

    def __init__(self) -> None:
        super().__init__()
        self.asked = 0
        self._done = 0
        self._commits = Observations(COMMIT_BOUNDS)
        self._batches = Observations(BATCH_BOUNDS)

    def commit(self, writes: int, seconds: float) -> None:
        """A batch was committed, or refused."""
        self._done += writes
        self._commits.note(seconds)
        self._batches.note(writes)

    def tell(self) -> None:
        STORE_QUEUE.set(self.asked - self._done)
        self._commits.tell(STORE_COMMIT)
        self._batches.tell(STORE_BATCH)
