"""What requests to an S3 origin are signed with, and how a rotated key is picked up without a restart.

Credentials come from environment variables and files that the settings name, or from where AWS's own tools look: the
environment, profiles, a web identity, the machine's metadata service. A source is asked before every request, which
costs nothing while nothing has changed, and told to look again when the origin does not take what it gave.
"""

import asyncio
import logging
import os
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from gateway.origin.errors import OriginError
from gateway.origin_settings import CredentialSource, S3OriginSettings
from gateway.private_files import NotPrivate, read_private
from gateway.sigv4.model import SecretAccessKey

_log = logging.getLogger("anbar.origin")
_MAX_FILE_SIZE = 64 * 1024
# An access key id stands between "Credential=" and "/" in the Authorization header.
_ACCESS_KEY_ID = re.compile(r"[!-+\-.0-~]{1,256}")
_SECRET = re.compile(r"[!-~]{1,32768}")
_LOOK_EVERY_S = 1.0
# Credentials that end are replaced a quarter of an hour before they do, as botocore has it.
_RENEW_BEFORE_S = 15 * 60
_TOO_LATE_BEFORE_S = 30
_ASK_AGAIN_AFTER_S = 5.0

_Stamp = tuple[int, ...] | None


class CredentialsError(OriginError):
    """There are no credentials to sign with; the text says what is missing, and never a value."""


@dataclass(frozen=True, slots=True, eq=False)
class OriginCredentials:
    """What requests are signed with; `expires_s` is when they end, in seconds since the epoch, where they do."""

    access_key_id: str
    secret_access_key: SecretAccessKey
    session_token: str | None = field(default=None, repr=False)
    expires_s: int | None = None

    def same_as(self, other: "OriginCredentials") -> bool:
        """Would they sign the same?"""
        return (
            self.access_key_id == other.access_key_id
            and self.secret_access_key.identity == other.secret_access_key.identity
            and self.session_token == other.session_token
        )


class CredentialsSource(Protocol):
    """Where credentials come from. Both methods raise CredentialsError where there are none at all."""

    async def current(self) -> OriginCredentials:
        """What to sign with now; costs nothing while nothing has changed."""
        ...

    async def refresh(self, refused: OriginCredentials | None = None) -> bool:
        """Look again: are there others now than the `refused` ones (without them: than before)?

        For when the origin answered InvalidAccessKeyId, SignatureDoesNotMatch or ExpiredToken: a request is worth
        another try where this says so. Whoever was refused together is told the same, and one look serves them all.
        """
        ...


def credentials_of(settings: S3OriginSettings, environ: Mapping[str, str] = os.environ) -> CredentialsSource:
    """The source that an origin's settings mean."""
    if settings.access_key_id is None:
        return ChainCredentials()
    return ConfiguredCredentials(settings, environ)


def read_credentials(settings: S3OriginSettings, environ: Mapping[str, str]) -> OriginCredentials:
    """Read what the settings name; raises CredentialsError. Blocks."""
    access_key_id = _read("access_key_id", settings.access_key_id, environ, _ACCESS_KEY_ID)
    secret = _read("secret_access_key", settings.secret_access_key, environ, _SECRET)
    token = None
    if settings.session_token is not None:
        token = _read("session_token", settings.session_token, environ, _SECRET)
    return OriginCredentials(access_key_id, SecretAccessKey(secret), token)


def _read(key: str, source: CredentialSource | None, environ: Mapping[str, str], pattern: re.Pattern[str]) -> str:
    """One part of the credentials, without the white space round it."""
    if source is None:
        raise CredentialsError(f"{key} is not in the settings")
    if source.file is not None:
        where, text = str(source.file), _read_file(key, source.file)
    else:
        where, text = f"the environment variable {source.env}", environ.get(source.env or "", "")
        if not text:
            raise CredentialsError(f"{key}: {where} is not set")
    value = text.strip()
    if not pattern.fullmatch(value):
        raise CredentialsError(f"{key}: what {where} holds is not one word of visible ASCII characters")
    return value


def _read_file(key: str, path: Path) -> str:
    try:
        data = read_private(path, _MAX_FILE_SIZE)
    except NotPrivate as error:
        raise CredentialsError(f"{key}: {path}: {error}") from None
    except OSError as error:
        raise CredentialsError(f"{key}: {path}: {error.strerror}") from error
    return data.decode("latin-1")


class ConfiguredCredentials:
    """Credentials from the environment variables and files that the settings name.

    Files are looked at again at most once a second, and read when they are other ones; what cannot be read then, such
    as a file that is just being replaced, leaves the credentials as they are.
    """

    def __init__(
        self,
        settings: S3OriginSettings,
        environ: Mapping[str, str] = os.environ,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings = settings
        self._environ = environ
        self._clock = clock
        sources = (settings.access_key_id, settings.secret_access_key, settings.session_token)
        self._files = [source.file for source in sources if source is not None and source.file is not None]
        self._stamps: list[_Stamp] = []
        self._current: OriginCredentials | None = None
        self._next_look = 0.0
        self._lock = asyncio.Lock()

    async def current(self) -> OriginCredentials:
        known = self._current
        if known is not None and (not self._files or self._clock() < self._next_look):
            return known
        self._next_look = self._clock() + _LOOK_EVERY_S  # one looks, the others go on
        return await self._look()

    async def refresh(self, refused: OriginCredentials | None = None) -> bool:
        before = refused or self._current
        async with self._lock:
            now = await self._read_anew()
        return before is None or not now.same_as(before)

    async def _look(self) -> OriginCredentials:
        """Read the files where they are others than those that were read."""
        async with self._lock:
            known = self._current
            if known is not None and await asyncio.to_thread(self._stamp) == self._stamps:
                return known
            return await self._read_anew()

    async def _read_anew(self) -> OriginCredentials:
        known = self._current
        self._next_look = self._clock() + _LOOK_EVERY_S
        try:
            stamps, read = await asyncio.to_thread(self._read)
        except CredentialsError as error:
            if known is None:
                raise
            _log.warning("credentials stay as they are: %s", error)
            return known
        if known is not None and not known.same_as(read):
            _log.info("new credentials: access key id %s", read.access_key_id)
        self._current, self._stamps = read, stamps
        return read

    def _read(self) -> tuple[list[_Stamp], OriginCredentials]:
        """In a thread; stamped before it is read, so that no change is missed."""
        return self._stamp(), read_credentials(self._settings, self._environ)

    def _stamp(self) -> list[_Stamp]:
        return [_stamp_of(file) for file in self._files]


def _stamp_of(file: Path) -> _Stamp:
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


class ChainCredentials:
    """Credentials from where AWS's own tools look, in their order; aiobotocore knows all the places.

    They are looked for in a thread with a loop of its own: some places take the loading of large files, others an
    answer over the network. Temporary ones are replaced before they end; while a try to do so fails and they have not
    ended, they are used.
    """

    def __init__(self, clock: Callable[[], float] = time.time, ask_again_after_s: float = _ASK_AGAIN_AFTER_S) -> None:
        self._clock = clock
        self._ask_again_after_s = ask_again_after_s
        self._current: OriginCredentials | None = None
        self._error: CredentialsError | None = None
        self._asked = float("-inf")
        self._lock = asyncio.Lock()

    async def current(self) -> OriginCredentials:
        known = self._current
        if known is not None and not self._ends_within(known, _RENEW_BEFORE_S):
            return known
        usable = known is not None and not self._ends_within(known, _TOO_LATE_BEFORE_S)
        if not (usable and self._lock.locked()):  # one looks, the others go on with what there is
            async with self._lock:
                if self._current is known:
                    await self._ask()
        if self._current is None or self._ends_within(self._current, _TOO_LATE_BEFORE_S):
            raise self._error or CredentialsError("the credentials have expired")
        return self._current

    async def refresh(self, refused: OriginCredentials | None = None) -> bool:
        before = refused or self._current
        async with self._lock:
            if self._current is None or before is None or self._current.same_as(before):
                await self._ask()
        if self._current is None:
            raise self._error or CredentialsError("there are no credentials")
        return before is None or not self._current.same_as(before)

    def _ends_within(self, credentials: OriginCredentials, seconds: float) -> bool:
        return credentials.expires_s is not None and credentials.expires_s - self._clock() < seconds

    async def _ask(self) -> None:
        """Look once more, unless that was done just now; a failure is kept for whoever has no credentials left."""
        now = self._clock()
        if now - self._asked < self._ask_again_after_s:
            return
        self._asked = now
        try:
            found = await asyncio.to_thread(_find_in_chain)
        except CredentialsError as error:
            self._error = error
            if self._current is not None:
                _log.warning("credentials stay as they are: %s", error)
            return
        if self._current is not None and not self._current.same_as(found):
            _log.info("new credentials: access key id %s", found.access_key_id)
        self._current, self._error = found, None


def _find_in_chain() -> OriginCredentials:
    """In a thread; raises CredentialsError."""
    from aiobotocore.session import get_session  # half a second, for those who use it

    async def find() -> OriginCredentials:
        found = await get_session().get_credentials()
        if found is None:
            raise CredentialsError(
                "there are no credentials: the settings name no access_key_id, and none are where AWS's tools look "
                "(environment, profiles, web identity, metadata service)"
            )
        frozen = await found.get_frozen_credentials()
        # botocore keeps the end to itself; AWS's own tools read it there as well.
        expires = getattr(found, "_expiry_time", None)
        return OriginCredentials(
            frozen.access_key,
            SecretAccessKey(frozen.secret_key),
            frozen.token,
            None if expires is None else int(expires.timestamp()),
        )

    try:
        return asyncio.run(find())
    except CredentialsError:
        raise
    except Exception as error:
        raise CredentialsError(f"looking for credentials where AWS's tools do: {error}") from error
