"""A bound on the memory that bodies take, all together."""


class MemoryBudget:
    """Bytes that bodies may hold in memory."""

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
