"""The reference of the PUT case: what writing the files of one object costs, done as plainly as can be.

`python -m bench.disk FOLDER COUNT SIZE COMMITS` prints CPU µs for each object: its body written and synced, what is
kept beside it written, the folder synced, and COMMITS times for each object (requests share the store's commits, so it
is a fraction) a page appended to a log and synced.
"""

import os
import shutil
import sys
import time
from pathlib import Path

_BESIDE = b"x" * 300
_LOG_PAGES = b"x" * 4096 * 4


def main(folder: Path, count: int, size: int, commits: float) -> float:
    """CPU µs for each of `count` objects of `size` bytes."""
    body = b"x" * size
    folder.mkdir()
    try:
        log = os.open(folder / "log", os.O_WRONLY | os.O_CREAT)
        before_ns = time.process_time_ns()
        for number in range(count):
            _write_object(folder, number, body)
            for _ in range(round((number + 1) * commits) - round(number * commits)):
                os.write(log, _LOG_PAGES)
                os.fdatasync(log)
        spent_ns = time.process_time_ns() - before_ns
        os.close(log)
    finally:
        shutil.rmtree(folder)
    return spent_ns / count / 1000


def _write_object(folder: Path, number: int, body: bytes) -> None:
    fd = os.open(folder / str(number), os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    os.write(fd, body)
    os.fsync(fd)
    os.close(fd)
    fd = os.open(folder / f"{number}.json", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    os.write(fd, _BESIDE)
    os.close(fd)
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    os.fsync(fd)
    os.close(fd)


if __name__ == "__main__":
    print(main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4])))
