"""How large the pieces are in which bodies stream: large while few are under way, small when there are many.

Large pieces are what makes a stream fast, and a thousand streams that are slow or stalled would hold a thousand of
them. So the bytes of large pieces come out of one bounded sum, and each has at most a sixteenth of what is left of it:
who comes late finds some as well, and streams that go on share what there is. A small piece is always to be had, and
not counted; how many of those there are is bounded by the connections.
"""

from types import TracebackType
from typing import Final, Self

SMALL: Final = 32 << 10
LARGE: Final = 256 << 10
_SUM: Final = 32 << 20
_PARTS: Final = 16


class StreamMemory:
    """Bytes that large pieces hold, all together. Used from one event loop."""

    __slots__ = ("_left", "scratch")

    def __init__(self, size: int = _SUM) -> None:
        self._left = size
        self.scratch = memoryview(bytearray(LARGE))
        """Where bytes are received before it is known how many they are; free whenever the loop turns."""

    @property
    def left(self) -> int:
        return self._left

    def piece_size(self) -> int:
        """The bytes that the next piece of a stream may have."""
        return min(max(self._left // _PARTS, SMALL), LARGE)

    def hold(self, size: int) -> int:
        """A piece of this size is in memory now; gives the bytes that were counted, to be given back."""
        if size <= SMALL:
            return 0
        self._left -= size
        return size

    def give(self, counted: int) -> None:
        self._left += counted

    def stream(self) -> "HeldPieces":
        return HeldPieces(self)


class HeldPieces:
    """What one stream holds; on leaving all of it is given back."""

    __slots__ = ("_counted", "_memory")

    def __init__(self, memory: StreamMemory) -> None:
        self._memory = memory
        self._counted = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _traceback: TracebackType | None
    ) -> None:
        self.drop(self._counted)

    def take(self) -> int:
        """The bytes that the next piece may have, counted from now on."""
        size = self._memory.piece_size()
        self._counted += self._memory.hold(size)
        return size

    def drop(self, size: int) -> None:
        """A piece of as many bytes as were taken is gone."""
        if size > SMALL:
            self._counted -= size
            self._memory.give(size)
