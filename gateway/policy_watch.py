"""Policies that are applied as soon as their folder says something new.

Editors write in steps: a file is half there, gone, or replaced by rename. The beginning of a file may be without any
mistake, and say less than the whole; so the folder counts only when it has stood still for a moment. What has a mistake
is told, changes nothing, and is looked at again with the next change.
"""

import asyncio
import logging
import time
from collections.abc import Collection, Mapping
from pathlib import Path

from watchfiles import awatch

from gateway.config import ConfigError, read_policy_files
from gateway.errors import S3Error
from gateway.rulebook import Rulebook, apply_files
from gateway.store.audit import Audit, AuditEntry
from gateway.store.bucket_changes import PolicyRefused
from gateway.store.revisions import Revisions, digest_of

Files = Mapping[Path, str]

AUTHOR = "serve"
_log = logging.getLogger("anbar.policies")
_STEP_MS = 50
_SETTLE_S = 0.5
_LOOK_AGAIN_S = 5
_LONGEST_WHY = 600  # bytes; as JSON, up to six times as many


class PolicyWatch:
    """Applies a policy folder whenever it changes."""

    def __init__(
        self, rulebook: Rulebook, revisions: Revisions, audit: Audit, folder: Path, origins: Collection[str]
    ) -> None:
        self._rulebook = rulebook
        self._revisions = revisions
        self._audit = audit
        self._folder = folder
        self._origins = origins
        self._refused = ""
        self._unwatched = ""

    async def run(self) -> None:
        """Watch until cancelled. A folder that is gone, or cannot be watched, is looked at every few seconds."""
        while True:
            try:
                async for _ in awatch(
                    self._folder,
                    step=_STEP_MS,
                    recursive=False,
                    yield_on_timeout=True,
                    rust_timeout=round(_LOOK_AGAIN_S * 1000),
                ):
                    self._unwatched = ""
                    await self.look()
            except (OSError, RuntimeError, ExceptionGroup) as error:  # a group: a name there is no UTF-8
                self._say_unwatched(str(error))
            await asyncio.sleep(_LOOK_AGAIN_S)
            await self.look()

    async def look(self) -> None:
        """Apply what the folder says now, if it is new; what cannot be applied changes nothing."""
        try:
            found = await self._read()
            if isinstance(found, str) or await self._is_news(found):
                found = await self._settled(found)
            if isinstance(found, str):
                await self._refuse(found)
                return
            if await self._is_news(found):
                await self._apply(found)
            self._refused = ""
        except (ConfigError, PolicyRefused) as error:
            await self._refuse(str(error))
        except S3Error as error:
            _log.warning("the policy folder is looked at later: %s", error)
        except Exception:  # noqa: BLE001  (a bug must not end the watching for good)
            _log.exception("the policy folder could not be looked at")

    async def _read(self) -> Files | str:
        """The policy files, or why they cannot be read: one of them may be about to come back."""
        try:
            return await asyncio.to_thread(read_policy_files, self._folder)
        except ConfigError as error:
            return str(error)

    async def _settled(self, found: Files | str) -> Files | str:
        """The same, once it has not changed for a moment."""
        before = None
        while before != found:
            await asyncio.sleep(_SETTLE_S)
            before, found = found, await self._read()
        return found

    async def _is_news(self, files: Files) -> bool:
        """Do the files say something else than when the revision in force was applied?"""
        latest = await self._revisions.latest()
        if latest is None or latest.revision != self._rulebook.rules.revision:
            return True
        return digest_of({file.name: text for file, text in files.items()}) != latest.folder_digest

    async def _apply(self, files: Files) -> None:
        in_force = await apply_files(
            self._revisions,
            files,
            self._origins,
            author=AUTHOR,
            comment="the policy folder has changed",
            now_s=int(time.time()),
        )
        self._rulebook.take(*in_force)

    def _say_unwatched(self, why: str) -> None:
        if why != self._unwatched:
            self._unwatched = why
            _log.warning("%s cannot be watched, it is read every %d s: %s", self._folder, _LOOK_AGAIN_S, why)

    async def _refuse(self, why: str) -> None:
        """Say once what is wrong; the audit has it too. A file's name need not be UTF-8."""
        why = why.encode("utf-8", "backslashreplace").decode()
        if why == self._refused:
            return
        self._refused = why
        _log.error("the policies were not applied, revision %d stays in force: %s", self._rulebook.rules.revision, why)
        short = why.encode()[:_LONGEST_WHY].decode("utf-8", "ignore")
        entry = AuditEntry(int(time.time()), AUTHOR, "policy.refused", None, "", {"why": short})
        try:
            await self._audit.record([entry])
        except S3Error as error:
            _log.warning("the audit has no line of that: %s", error)
