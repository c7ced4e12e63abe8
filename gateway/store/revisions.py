"""Revisions: every state of the policies that was ever applied, whole, numbered from 1, never changed.

A revision takes effect in one transaction: its texts, its buckets and its line in the audit, or nothing of it.
"""

import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from gateway.store.audit import AuditEntry, Detail, record
from gateway.store.bucket_changes import BucketChanges, carry_out, find_changes
from gateway.store.buckets import Bucket, Buckets
from gateway.store.database import Connection, Database

PolicyTexts = Mapping[str, str]
"""The files of a policy folder: name → text."""

_COLUMNS = "revision, applied_s, author, comment, folder_digest, changes"


class RevisionConflict(Exception):
    """Somebody else has applied a revision meanwhile: `latest` is its number (None: there is none)."""

    def __init__(self, base: int | None, latest: int | None) -> None:
        super().__init__(f"the latest revision is {latest or 'none'}, not {base or 'none'}")
        self.latest = latest


class UnknownRevision(Exception):
    """There is no revision of this number."""


@dataclass(frozen=True, slots=True)
class Revision:
    """One applied state. `changes` is JSON: what it changed, for people.

    `folder_digest` is that of the policy folder when it was applied; after a rollback the folder says something else.
    """

    revision: int
    applied_s: int
    author: str
    comment: str
    folder_digest: str
    changes: list[Any]


@dataclass(frozen=True, slots=True)
class NewRevision:
    """A state to be applied. `event` is "policy.apply" or "policy.rollback"; `details` go into the audit."""

    applied_s: int
    author: str
    comment: str
    folder_digest: str
    changes: Sequence[Any]
    texts: PolicyTexts
    event: str = "policy.apply"
    details: Mapping[str, Detail] = field(default_factory=dict)


class Revisions:
    """The history of the policies."""

    def __init__(self, database: Database, buckets: Buckets) -> None:
        self._database = database
        self._buckets = buckets

    async def latest(self) -> Revision | None:
        """The one in effect; None where none was ever applied."""
        found = await self.list(1)
        return found[0] if found else None

    async def latest_number(self) -> int | None:
        """The number of the one in effect, for whoever needs no more."""
        return await self._database.read(_latest_number)

    async def find(self, number: int) -> Revision | None:
        row = await self._database.read(
            lambda connection: connection.execute(
                f"SELECT {_COLUMNS} FROM revisions WHERE revision = ?", (number,)
            ).fetchone()
        )
        return None if row is None else _revision(row)

    async def texts(self, number: int) -> dict[str, str]:
        """All files of a revision; raises UnknownRevision."""
        rows = await self._database.read(
            lambda connection: connection.execute(
                "SELECT f.name, t.text FROM revisions r LEFT JOIN revision_files f ON f.revision = r.revision "
                "LEFT JOIN policy_texts t ON t.digest = f.digest WHERE r.revision = ? ORDER BY f.name",
                (number,),
            ).fetchall()
        )
        if not rows:
            raise UnknownRevision(number)
        return {name: text for name, text in rows if name is not None}

    async def list(self, limit: int, before: int | None = None) -> list[Revision]:
        """The latest revisions, or those before one, the newest first."""
        rows = await self._database.read(
            lambda connection: connection.execute(
                f"SELECT {_COLUMNS} FROM revisions WHERE (?1 IS NULL OR revision < ?1) ORDER BY revision DESC LIMIT ?2",
                (before, limit),
            ).fetchall()
        )
        return [_revision(row) for row in rows]

    async def bucket_changes(self, buckets: Sequence[Bucket], projects: Collection[str]) -> BucketChanges:
        """What `apply` would do to the buckets, and what it would refuse; nothing is written."""
        return await self._database.read(lambda connection: find_changes(connection, buckets, projects))

    async def apply(
        self, new: NewRevision, buckets: Sequence[Bucket], projects: Collection[str], *, base: int | None
    ) -> Revision:
        """Make a state the latest revision, the one after `base` (None: the first), and the buckets follow.

        `buckets` are those of all categories, `projects` the names of all projects.
        Raises RevisionConflict where `base` is not the latest; PolicyRefused where a bucket with objects would go.
        """

        def work(connection: Connection) -> tuple[Revision, BucketChanges]:
            revision = _insert(connection, new, base)
            changes = find_changes(connection, buckets, projects)
            carry_out(connection, changes)
            return revision, changes

        def follow(result: tuple[Revision, BucketChanges]) -> None:
            _, changes = result
            self._buckets.follow(changes.removed, (*changes.changed, *changes.made))

        revision, _ = await self._database.write(work, follow)
        return revision


def digest_of(texts: PolicyTexts) -> str:
    """The digest of a policy folder: SHA-256 over names and texts with their lengths, in hexadecimal.

    A name is what the file system has, which need not be UTF-8.
    """
    digest = hashlib.sha256()
    for name in sorted(texts):
        for part in (name.encode("utf-8", "surrogateescape"), texts[name].encode()):
            digest.update(len(part).to_bytes(8, "big"))
            digest.update(part)
    return digest.hexdigest()


def _latest_number(connection: Connection) -> int | None:
    number: int | None = connection.execute("SELECT max(revision) FROM revisions").fetchone()[0]
    return number


def _insert(connection: Connection, new: NewRevision, base: int | None) -> Revision:
    latest = _latest_number(connection)
    if latest != base:
        raise RevisionConflict(base, latest)
    number = (latest or 0) + 1
    connection.execute(
        f"INSERT INTO revisions ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?)",
        (
            number,
            new.applied_s,
            new.author,
            new.comment,
            new.folder_digest,
            json.dumps(list(new.changes), ensure_ascii=False, separators=(",", ":")),
        ),
    )
    for name, text in new.texts.items():
        digest = hashlib.sha256(text.encode()).hexdigest()
        connection.execute(
            "INSERT INTO policy_texts (digest, text) SELECT ?1, ?2 "
            "WHERE NOT EXISTS (SELECT 1 FROM policy_texts WHERE digest = ?1)",
            (digest, text),
        )
        connection.execute(
            "INSERT INTO revision_files (revision, name, digest) VALUES (?, ?, ?)", (number, name, digest)
        )
    details = {"revision": number, **new.details}
    record(connection, AuditEntry(new.applied_s, new.author, new.event, None, f"revision {number}", details))
    return Revision(number, new.applied_s, new.author, new.comment, new.folder_digest, list(new.changes))


def _revision(row: tuple[Any, ...]) -> Revision:
    number, applied_s, author, comment, folder_digest, changes = row
    return Revision(number, applied_s, author, comment, folder_digest, json.loads(changes))
