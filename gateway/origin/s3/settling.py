"""What lies at a place of an S3 origin, and so what became of a request whose answer was lost.

Every body of ours has the id of its write beside it: the one that lies there tells what a lost answer was about.
"""

import logging

from gateway.bounded import BoundedMap
from gateway.origin.errors import BodyExists, BodyNotFound, OriginDown, OriginError, OutcomeUnknown
from gateway.origin.http_client import Response
from gateway.origin.providers import Provider
from gateway.origin.s3.documents import quoted
from gateway.origin.s3.entries import Kept, parse_entries
from gateway.origin.s3.failures import Refused, is_taken
from gateway.origin.s3.places import parse_place
from gateway.origin.s3.requests import Request
from gateway.origin.s3.session import Session

_log = logging.getLogger("anbar.origin")
_MOST_TOLD = 1024


class Settling:
    """Looks, and says what follows."""

    def __init__(self, session: Session, profile: Provider) -> None:
        self._session = session
        self._profile = profile
        self._told: BoundedMap[str, bool] = BoundedMap(_MOST_TOLD)

    async def look(self, location: str) -> tuple[Kept, str, int] | None:
        """What is kept with the body at a location, the origin's ETag of it and its bytes; None: there is none."""
        try:
            response = await self._session.ask(Request("HEAD", parse_place(location)))
        except BodyNotFound:
            return None
        response.close()
        return parse_entries(response.headers), etag_of(response, location), response.length or 0

    async def settled(self, error: OriginError, location: str, write_id: str, size: int) -> str:
        """The origin's ETag where a write whose answer was lost, or was about an earlier attempt, took effect.

        Raises the error where it did not, BodyExists where something else is there: some take the folder of `a/b` for
        an `a`, and show no such object.
        """
        taken = isinstance(error, Refused) and is_taken(error)
        if isinstance(error, Refused) and not taken and error.code != "NoSuchUpload":
            raise error
        if not write_id or parse_place(location).query:
            raise error
        try:
            found = await self.look(location)
        except OriginError as unanswered:
            raise error from unanswered
        if found is not None:
            kept, etag, length = found
            if kept.write_id == write_id and length == size:
                return etag
        if taken:
            raise BodyExists(location) from error
        raise error

    async def is_still(self, location: str, write_id: str, etag: str | None) -> bool:
        """Does a body of ours still lie under its own key? What others have put there since is theirs."""
        if not write_id and etag is None:
            return True
        try:
            found = await self.look(location)
        except OutcomeUnknown as error:  # of the look: nothing was removed
            raise OriginDown(str(error)) from error
        if found is None:
            return False
        kept, found_etag, _ = found
        # The id of a write is on one body alone. What the origin called it need not be what it calls it now: a body is
        # copied onto itself for its tags, and an answer may have said anything.
        ours = kept.write_id == write_id if write_id else bare(found_etag) == bare(etag or "")
        if not ours and not self._told.get(location):  # a place that is kept clear is looked at each minute
            self._told.put(location, True)
            _log.warning("%s: somebody else has put another body there, which is left alone", location)
        return ours


def etag_of(response: Response, location: str) -> str:
    """The origin's ETag, with its quotes; raises OriginError where it says none."""
    etag = response.headers.get("etag", "")
    if not etag:
        raise OriginError(f"{location}: the origin gave no ETag")
    return quoted(etag)


def bare(etag: str) -> str:
    """Of an ETag what two mentions of one body have in common, quotes or not, weak or not."""
    return etag.removeprefix("W/").strip('"')
