"""Access keys: sealed in the store, opened on first use, kept in memory until somebody changes one.

The sealed secret is bound to its row (id, project, principal, generation) as associated data, so that rows cannot be
swapped, moved to another project or rolled back unnoticed.
"""

import logging
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from gateway.errors import Code, S3Error
from gateway.sigv4.model import SecretAccessKey
from gateway.store.audit import AuditEntry, Detail, record
from gateway.store.database import Connection, Database
from gateway.store.key_ring import KeyRing, KeyRingError, Sealed, generate_access_key

_log = logging.getLogger("anbar.keys")
_COLUMNS = "access_key_id, project, principal, state, created_s, last_used_s"
_SEALED = "access_key_id, project, principal, generation, key_id, nonce, ciphertext"
_LARGEST_MAP = 10_000
_STATE_EVENTS = {"active": "key.enable", "disabled": "key.disable"}


class UnknownAccessKey(Exception):
    """There is no such access key."""


@dataclass(frozen=True, slots=True)
class NewAccessKey:
    """A key as it is shown once, when it is made."""

    access_key_id: str
    secret_access_key: str


@dataclass(frozen=True, slots=True)
class AccessKeyRecord:
    """What is told of a key; never its secret. `state` is active or disabled."""

    access_key_id: str
    project: str
    principal: str
    state: str
    created_s: int
    last_used_s: int | None


@dataclass(frozen=True, slots=True)
class OpenedKey:
    """A usable key: whose it is, and the secret to verify with."""

    access_key_id: str
    project: str
    principal: str
    secret: SecretAccessKey


@dataclass(frozen=True, slots=True)
class Seals:
    """How many access keys each key of a ring has sealed, by its id, and the ids of the ring that is here."""

    counts: Mapping[str, int]
    ring_ids: tuple[str, ...]

    @property
    def missing(self) -> dict[str, int]:
        return {key_id: count for key_id, count in self.counts.items() if key_id not in self.ring_ids}

    @property
    def all_missing(self) -> bool:
        """Is there something sealed, and nothing of it to be opened?"""
        return bool(self.counts) and len(self.missing) == len(self.counts)

    def mistakes(self, path: Path) -> tuple[str, ...]:
        """What an operator is told of the ring at `path`: a line for each key that it lacks."""
        return tuple(
            f"{path} has no key {key_id}, which sealed {count} access key{'s' if count > 1 else ''}: "
            f"restore the ring that belongs to this store (it has {', '.join(self.ring_ids)})"
            for key_id, count in self.missing.items()
        )


class AccessKeys:
    """The keys of all principals."""

    def __init__(self, database: Database, ring: KeyRing) -> None:
        self._database = database
        self._ring = ring
        self._opened: OrderedDict[str, OpenedKey] = OrderedDict()
        self._epoch = 0
        self._used: dict[str, int] = {}

    def forget(self) -> None:
        """Drop what is in memory: a key may have changed."""
        self._epoch += 1
        self._opened.clear()

    def at_hand(self, access_key_id: str) -> OpenedKey | None:
        """The opened key if it is in memory."""
        return self._opened.get(access_key_id)

    async def open(self, access_key_id: str) -> OpenedKey | None:
        """The key ready for use, or None where there is no active key of this id.

        Raises S3Error: ServiceUnavailable where the key ring cannot open it; it is never treated as missing.
        """
        found = self._opened.get(access_key_id)
        if found is not None:
            return found
        epoch = self._epoch
        try:
            opened = await self._read_sealed(access_key_id, "AND state = 'active'")
        except KeyRingError as error:
            _log.error("access key %s cannot be opened: %s", access_key_id, error)
            raise S3Error(Code.ServiceUnavailable) from error
        if opened is not None and epoch == self._epoch:
            self._opened[access_key_id] = opened
            if len(self._opened) > _LARGEST_MAP:
                self._opened.popitem(last=False)
        return opened

    async def create(
        self, project: str, principal: str, now_s: int, *, actor: str, beside: str | None = None
    ) -> NewAccessKey:
        """Make a key; its secret is shown now and never again. `beside` is the key that it is to replace."""
        new = generate_access_key()
        sealed = self._ring.seal(
            new.secret_access_key.encode("ascii"), _associated(new.access_key_id, project, principal, 1)
        )
        details: dict[str, Detail] = {"principal": principal}
        if beside is not None:
            details["beside"] = beside
        entry = AuditEntry(now_s, actor, "key.create", project, new.access_key_id, details)

        def work(connection: Connection) -> None:
            connection.execute(
                "INSERT INTO access_keys (access_key_id, project, principal, state, generation, created_s, "
                "key_id, nonce, ciphertext) VALUES (?, ?, ?, 'active', 1, ?, ?, ?, ?)",
                (new.access_key_id, project, principal, now_s, sealed.key_id, sealed.nonce, sealed.ciphertext),
            )
            record(connection, entry)

        await self._database.write(work)
        return NewAccessKey(new.access_key_id, new.secret_access_key)

    async def list(self, project: str | None = None, principal: str | None = None) -> list[AccessKeyRecord]:
        """All keys, or those of a project or principal, the oldest first."""
        rows = await self._database.read(
            lambda connection: connection.execute(
                f"SELECT {_COLUMNS} FROM access_keys WHERE (?1 IS NULL OR project = ?1) "
                "AND (?2 IS NULL OR principal = ?2) ORDER BY project, principal, created_s, access_key_id",
                (project, principal),
            ).fetchall()
        )
        return [AccessKeyRecord(*row) for row in rows]

    async def find(self, access_key_id: str) -> AccessKeyRecord | None:
        row = await self._database.read(
            lambda connection: connection.execute(
                f"SELECT {_COLUMNS} FROM access_keys WHERE access_key_id = ?", (access_key_id,)
            ).fetchone()
        )
        return None if row is None else AccessKeyRecord(*row)

    async def set_state(
        self, access_key_id: str, state: Literal["active", "disabled"], *, actor: str, now_s: int
    ) -> None:
        """Accept a key, or refuse it from now on; raises UnknownAccessKey."""
        sql = "UPDATE access_keys SET state = ?2 WHERE access_key_id = ?1"
        await self._change(sql, (access_key_id, state), _STATE_EVENTS[state], actor, now_s)

    async def delete(self, access_key_id: str, *, actor: str, now_s: int) -> None:
        """Raises UnknownAccessKey."""
        sql = "DELETE FROM access_keys WHERE access_key_id = ?1"
        await self._change(sql, (access_key_id,), "key.delete", actor, now_s)

    async def secret(self, access_key_id: str) -> str:
        """The secret of a key, for the operator's own tools; raises UnknownAccessKey, KeyRingError."""
        opened = await self._read_sealed(access_key_id, "")
        if opened is None:
            raise UnknownAccessKey(access_key_id)
        return opened.secret.reveal().decode("ascii")

    async def seals(self) -> Seals:
        """What the ring ought to have, and what it has."""
        rows = await self._database.read(
            lambda connection: connection.execute(
                "SELECT key_id, count(*) FROM access_keys GROUP BY key_id ORDER BY min(created_s), key_id"
            ).fetchall()
        )
        return Seals(dict(rows), self._ring.ids)

    async def unopened(self) -> dict[str, str]:
        """The access keys that the ring does not open though it has the key for them, each with the reason."""
        rows = await self._database.read(
            lambda connection: connection.execute(
                f"SELECT {_SEALED} FROM access_keys ORDER BY access_key_id"
            ).fetchall()
        )
        reasons = {}
        for row in rows:
            if row[4] in self._ring.ids:
                try:
                    self._open(*row)
                except KeyRingError as error:
                    reasons[row[0]] = str(error)
        return reasons

    def note_use(self, access_key_id: str, now_s: int) -> None:
        """Remember that a key was used; written by `write_uses`."""
        self._used[access_key_id] = now_s

    async def write_uses(self) -> None:
        """Write when keys were last used."""
        used, self._used = self._used, {}
        if used:
            await self._database.write(
                lambda connection: connection.executemany(
                    "UPDATE access_keys SET last_used_s = ?2 WHERE access_key_id = ?1", list(used.items())
                )
            )

    async def _change(self, sql: str, values: tuple[str, ...], event: str, actor: str, now_s: int) -> None:
        """Change the key that is named first among the values, and say so in the audit."""
        access_key_id = values[0]

        def work(connection: Connection) -> None:
            row = connection.execute(f"{sql} RETURNING project, principal", values).fetchone()
            if row is None:
                raise UnknownAccessKey(access_key_id)
            project, principal = row
            record(connection, AuditEntry(now_s, actor, event, project, access_key_id, {"principal": principal}))

        await self._database.write(work, lambda _: self.forget())

    async def _read_sealed(self, access_key_id: str, condition: str) -> OpenedKey | None:
        row = await self._database.read(
            lambda connection: connection.execute(
                f"SELECT {_SEALED} FROM access_keys WHERE access_key_id = ? {condition}", (access_key_id,)
            ).fetchone()
        )
        return None if row is None else self._open(*row)

    def _open(
        self,
        access_key_id: str,
        project: str,
        principal: str,
        generation: int,
        key_id: str,
        nonce: bytes,
        ciphertext: bytes,
    ) -> OpenedKey:
        """Raises KeyRingError."""
        secret = self._ring.open(
            Sealed(key_id, nonce, ciphertext), _associated(access_key_id, project, principal, generation)
        )
        return OpenedKey(access_key_id, project, principal, SecretAccessKey(secret))


def _associated(access_key_id: str, project: str, principal: str, generation: int) -> bytes:
    return f"s3key|v1|{access_key_id}|{project}|{principal}|{generation}".encode()
