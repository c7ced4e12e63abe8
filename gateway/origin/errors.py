"""What can go wrong at an origin, in our own words; foreign exceptions are translated here and nowhere else."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager


class OriginError(Exception):
    """The origin could not do what it was asked."""


class BodyNotFound(OriginError):
    """There is no body at this location."""


class OriginFull(OriginError):
    """The origin has no room left."""


@contextmanager
def origin_errors(location: str) -> Iterator[None]:
    """Translate the operating system's errors about `location`."""
    try:
        yield
    except FileNotFoundError as error:
        raise BodyNotFound(location) from error
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise OriginFull(location) from error
        raise OriginError(f"{location}: {error.strerror}") from error
