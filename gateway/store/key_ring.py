"""The key ring: the master keys that seal the secrets in the store, in a file of their own.

One key a line, `id: base64 of 32 bytes`; blank lines and lines that begin with # are passed over. The last key seals,
all of them open. The file is its owner's alone (0600) and belongs in no backup that also holds the store.
Sealing is AES-256-GCM (NIST SP 800-38D) with a random 96-bit nonce and the row's identity as associated data, so that
a sealed secret cannot be moved to another row.
"""

import base64
import binascii
import contextlib
import hashlib
import os
import re
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn, Self

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from gateway.config import Settings, init_command, is_missing
from gateway.private_files import NotPrivate, read_private

KEY_BYTES = 32
NONCE_BYTES = 12
MAX_FILE_SIZE = 64 * 1024

_LINE = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]{0,63}):[ \t]*([A-Za-z0-9+/]{43}=)")
_ACCESS_KEY_ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"


class KeyRingError(Exception):
    """The key ring cannot be used, or what was sealed cannot be opened with it. Never carries a key."""


@dataclass(frozen=True, slots=True)
class Sealed:
    """A sealed secret; the key with `key_id` opens it."""

    key_id: str
    nonce: bytes
    ciphertext: bytes


@dataclass(frozen=True, slots=True)
class NewSecret:
    """A generated pair: an access key id of 20 characters and a secret of 40 (240 random bits)."""

    access_key_id: str
    secret_access_key: str

    def __repr__(self) -> str:
        return f"NewSecret(access_key_id={self.access_key_id!r}, secret_access_key=…)"


class KeyRing:
    """The master keys by their ids, in the order of the file; the last one is primary."""

    __slots__ = ("_keys", "primary_id")

    def __init__(self, keys: dict[str, bytes]) -> None:
        """Raises KeyRingError for no key at all, a key of a wrong length, or the same key twice."""
        if not keys:
            raise KeyRingError("the key ring has no key")
        if any(len(key) != KEY_BYTES for key in keys.values()):
            raise KeyRingError(f"a key has {KEY_BYTES} bytes")
        if len(set(keys.values())) != len(keys):
            raise KeyRingError("two ids have the same key")
        self._keys = dict(keys)
        self.primary_id = next(reversed(self._keys))

    def __repr__(self) -> str:
        return f"KeyRing(ids={list(self._keys)})"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a key ring is never serialised")

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a key ring; raises KeyRingError where it is missing, malformed or not its owner's alone."""
        try:
            return cls(_parse(_read_private(path)))
        except KeyRingError as error:
            raise KeyRingError(f"{path}: {error}") from None
        except OSError as error:
            raise KeyRingError(f"{path}: {error.strerror}") from None

    @classmethod
    def create(cls, path: Path) -> Self:
        """Make a key ring with one new key, mode 0600, safely on disk; raises FileExistsError, never overwrites."""
        ring = cls({f"k{secrets.token_hex(4)}": secrets.token_bytes(KEY_BYTES)})
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        _write_new(path, ring._render())
        return ring

    @property
    def ids(self) -> tuple[str, ...]:
        return tuple(self._keys)

    def fingerprints(self) -> dict[str, str]:
        """The SHA-256 of each key in hex, to notice a key that was replaced under its id."""
        return {key_id: hashlib.sha256(key).hexdigest() for key_id, key in self._keys.items()}

    def seal(self, plaintext: bytes, associated: bytes) -> Sealed:
        """Seal with the primary key; `associated` must be given again to open it."""
        nonce = secrets.token_bytes(NONCE_BYTES)
        ciphertext = AESGCM(self._keys[self.primary_id]).encrypt(nonce, plaintext, associated)
        return Sealed(self.primary_id, nonce, ciphertext)

    def open(self, sealed: Sealed, associated: bytes) -> bytes:
        """Open what was sealed; raises KeyRingError for an unknown key, other associated data or changed bytes."""
        key = self._keys.get(sealed.key_id)
        if key is None:
            raise KeyRingError(f"the key ring has no key {sealed.key_id}; it has {', '.join(self._keys)}")
        try:
            return AESGCM(key).decrypt(sealed.nonce, sealed.ciphertext, associated)
        except (InvalidTag, ValueError):
            raise KeyRingError(f"what key {sealed.key_id} sealed was changed, or belongs to another row") from None

    def _render(self) -> bytes:
        lines = [f"{key_id}: {base64.b64encode(key).decode('ascii')}\n" for key_id, key in self._keys.items()]
        return "".join(lines).encode("ascii")


def load_key_ring(settings: Settings) -> KeyRing:
    """The key ring of an installation; raises KeyRingError, where it is missing with what is to be done."""
    path, store = settings.secrets.key_ring, settings.store.path
    if not is_missing(path):
        return KeyRing.load(path)
    if is_missing(store):
        command = init_command(settings.directory)
        raise KeyRingError(f"{path}: No such file or directory; to make one, run: {command}")
    raise KeyRingError(lost_ring(path, store))


def lost_ring(path: Path, store: Path) -> str:
    """What an operator is told whose store has outlived its key ring."""
    return f"{path} is missing, but the store {store} was sealed with it. Restore the key ring from its backup."


def generate_access_key(kind: str = "AK") -> NewSecret:
    """A new access key from the system's randomness; ids are AK (of sessions AS) and 18 of A-Z, 2-7."""
    access_key_id = kind + "".join(secrets.choice(_ACCESS_KEY_ALPHABET) for _ in range(18))
    return NewSecret(access_key_id, base64.b64encode(secrets.token_bytes(30)).decode("ascii"))


def _read_private(path: Path) -> str:
    """The text of a file that nobody else may read; raises KeyRingError, OSError."""
    try:
        data = read_private(path, MAX_FILE_SIZE + 1)
    except NotPrivate as error:
        raise KeyRingError(str(error)) from None
    if len(data) > MAX_FILE_SIZE or not data.isascii():
        raise KeyRingError("not a key ring")
    return data.decode("ascii")


def _parse(text: str) -> dict[str, bytes]:
    keys: dict[str, bytes] = {}
    for number, line in enumerate(text.split("\n"), 1):
        entry = line.strip(" \t\r")
        if not entry or entry.startswith("#"):
            continue
        found = _LINE.fullmatch(entry)
        if not found:
            raise KeyRingError(f"line {number} is not `id: base64 of {KEY_BYTES} bytes`")
        if found[1] in keys:
            raise KeyRingError(f"line {number}: the id {found[1]} is there twice")
        try:
            keys[found[1]] = base64.b64decode(found[2], validate=True)
        except binascii.Error:
            raise KeyRingError(f"line {number} is not `id: base64 of {KEY_BYTES} bytes`") from None
    return keys


def _write_new(path: Path, data: bytes) -> None:
    """Write a file that was not there, whole or not at all: a hard link never replaces an existing name."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        with open(descriptor, "wb") as file:
            os.fchmod(descriptor, 0o600)
            file.write(data)
            file.flush()
            os.fsync(descriptor)
        os.link(draft, path)
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(draft)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
