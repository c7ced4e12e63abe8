"""What can go wrong at an origin, in our own words; foreign exceptions are translated here and nowhere else."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager


class OriginError(Exception):
    """The origin could not do what it was asked."""


class BodyNotFound(OriginError):
    """There is no body at this location."""


class BodyChanged(OriginError):
    """Another body lies at this location than the one that was asked for: somebody else has put it there."""


class BodyExists(OriginError):
    """Something that nobody here knows of lies where a new body should."""


class OriginFull(OriginError):
    """The origin has no room left."""


class OriginDown(OriginError):
    """The origin cannot be reached or does not answer: whoever asks again later may have more luck."""


class OutcomeUnknown(OriginDown):
    """Nobody knows whether the origin did what it was asked, or still will."""


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
