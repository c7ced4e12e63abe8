"""Who reads a body of several files: shared by its readers, whichever process they are in, and had alone to remove it.

One file stays readable through its descriptor whoever unlinks it; of several files only some are open at a time.
"""

from typing import Protocol


class ReadLocks(Protocol):
    """Locks that end with the process that holds them. Called from any thread; none of it waits."""

    def share(self, name: str) -> bool:
        """Hold it as a reader, once for all readers of this process; False: somebody has it alone."""
        ...

    def unshare(self, name: str) -> None: ...

    def try_lock(self, name: str) -> bool:
        """Have it alone; False: somebody reads, here or elsewhere."""
        ...

    def unlock(self, name: str) -> None: ...


class OneProcess:
    """Read locks where no other process reads or removes: the readers of this one."""

    def __init__(self) -> None:
        self._shared: set[str] = set()

    def share(self, name: str) -> bool:
        self._shared.add(name)
        return True

    def unshare(self, name: str) -> None:
        self._shared.discard(name)

    def try_lock(self, name: str) -> bool:
        return name not in self._shared

    def unlock(self, name: str) -> None:
        """Nobody was kept out: within a process the origin itself sees to that."""
