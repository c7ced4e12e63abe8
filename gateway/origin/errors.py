"""What can go wrong at an origin, in our own words; foreign exceptions are translated here and nowhere else."""

import errno
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum


class OriginError(Exception):
    """The origin could not do what it was asked."""


class BodyNotFound(OriginError):
    """There is no body at this location."""


class BodyChanged(OriginError):
    """Another body lies at this location than the one that was asked for: somebody else has put it there."""


class BodyExists(OriginError):
    """Something that nobody here knows of lies where a new body should."""


class BucketTaken(OriginError):
    """The origin has a bucket of this name with something in it, or it is somebody else's."""


class BucketRefused(OriginError):
    """The origin makes no bucket of this name for us."""


class UploadNotFound(OriginError):
    """The origin knows no such upload, or not any more: it was ended, by us or by somebody else."""


class OriginFull(OriginError):
    """The origin has no room left."""


class MetadataTooLarge(OriginError):
    """What should be kept with a body is more than the origin takes."""


class OriginDown(OriginError):
    """The origin cannot be reached or does not answer: whoever asks again later may have more luck."""


class OutcomeUnknown(OriginDown):
    """Nobody knows whether the origin did what it was asked, or still will."""


class NotReached(OriginError):
    """There was no connection to be had: nothing was sent, so any request may be tried again."""


class AllBusy(NotReached):
    """All connections that there may be are in use, and none came free in time: that says nothing of the origin."""


class GaveWay(OriginError):
    """Others needed the connection of an answer that nobody read on: what is left of it must be asked for again."""


class ConnectionBroken(OriginError):
    """A connection died after something was sent and before the answer was complete.

    `reused`: it had served before, and not one byte of an answer came. The origin has most likely closed it while it
    was idle, so a request that may be repeated at all may be repeated at once.
    """

    def __init__(self, text: str, *, reused: bool = False) -> None:
        super().__init__(text)
        self.reused = reused


class Phase(Enum):
    """What an origin was too slow with."""

    FIRST_BYTE = "the head of its answer"
    READ = "the next bytes of its answer"
    WRITE = "taking the next bytes of a request"


class TooSlow(OriginError):
    """A deadline passed after something was sent: nobody knows whether the origin did what it was asked."""

    def __init__(self, text: str, phase: Phase) -> None:
        super().__init__(text)
        self.phase = phase


class BadResponse(OriginError):
    """What the origin sent is no HTTP response that we accept."""


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


@contextmanager
def not_reached(endpoint: str) -> Iterator[None]:
    """Translate what can go wrong while a connection is opened; a certificate that does not hold is one of these."""
    try:
        yield
    except TimeoutError as error:
        raise NotReached(f"{endpoint}: no connection in time") from error
    except ssl.SSLCertVerificationError as error:
        raise NotReached(f"{endpoint}: its certificate does not hold: {error.verify_message}") from error
    except (OSError, ValueError) as error:  # a text that can be no name is a ValueError
        raise NotReached(f"{endpoint}: {error}") from error
