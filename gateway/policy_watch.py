"""Policies that are applied as soon as their folder says something new.

Editors write in steps: a file is half there, gone, or replaced by rename. Whatever the folder says at a moment is read
as a whole; what has a mistake is told, changes nothing, and is looked at again with the next change.
"""

import asyncio
import logging
import time
from collections.abc import Collection
from pathlib import Path

from watchfiles import awatch

from gateway.config import ConfigError
from gateway.errors import S3Error
from gateway.rulebook import Rulebook, apply_folder
from gateway.store.audit import Audit, AuditEntry
from gateway.store.bucket_changes import PolicyRefused
from gateway.store.revisions import Revisions

AUTHOR = "serve"
_log = logging.getLogger("anbar.policies")
_STEP_MS = 50
_LOOK_AGAIN_S = 5.0


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

    async def run(self) -> None:
        """Watch until cancelled. A folder that is gone, or cannot be watched, is looked at every few seconds."""
        while True:
            try:
                async for _ in awatch(
                    self._folder, step=_STEP_MS, recursive=False, yield_on_timeout=True, rust_timeout=5_000
                ):
                    await self.look()
            except (OSError, RuntimeError) as error:
                await self._refuse(f"{self._folder}: {error}")
            await asyncio.sleep(_LOOK_AGAIN_S)
            await self.look()

    async def look(self) -> None:
        """Apply what the folder says now, if it is new; what cannot be applied changes nothing."""
        try:
            in_force = await apply_folder(
                self._revisions,
                self._folder,
                self._origins,
                author=AUTHOR,
                comment="the policy folder has changed",
                now_s=int(time.time()),
            )
        except (ConfigError, PolicyRefused) as error:
            await self._refuse(str(error))
        except S3Error as error:
            _log.warning("the policy folder is looked at later: %s", error)
        else:
            self._refused = ""
            self._rulebook.take(*in_force)

    async def _refuse(self, why: str) -> None:
        """Say once what is wrong; the audit has it too."""
        if why == self._refused:
            return
        self._refused = why
        _log.error("the policies were not applied, revision %d stays in force: %s", self._rulebook.rules.revision, why)
        entry = AuditEntry(int(time.time()), AUTHOR, "policy.refused", None, "", {"why": why[:1000]})
        try:
            await self._audit.record([entry])
        except S3Error as error:
            _log.warning("the audit has no line of that: %s", error)
