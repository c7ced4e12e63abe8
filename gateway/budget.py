"""A bound on the memory that bodies take, all together."""


class MemoryBudget:
    """Bytes that bodies may hold in memory; the last `kept` of them only those that cannot be streamed instead."""

    def __init__(self, size: int, kept: int = 0) -> None:
        self._left = size
        self._kept = kept

    def take(self, size: int) -> bool:
        """Take `size` bytes if that many are left, and those that are kept besides."""
        return self._take(size, self._left - self._kept)

    def take_kept(self, size: int) -> bool:
        """Take `size` bytes if that many are left, for what can be nowhere but in memory."""
        return self._take(size, self._left)

    def give(self, size: int) -> None:
        self._left += size

    def _take(self, size: int, most: int) -> bool:
        if size > most:
            return False
        self._left -= size
        return True
