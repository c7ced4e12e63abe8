"""Session tokens: what a temporary access key is, sealed into the token that its holder sends with every request.

    urlsafe base64 without padding of
        1 byte    the version, 1
        1 byte    the length of the id of the key ring's key, and the id
        12 bytes  nonce
        the rest  AES-256-GCM of compact JSON, tag included

Nothing of a session is stored: every worker that has the key ring opens the token, on any machine and after any
restart. The access key id is associated data, so a token is good for its own key only. Whether the session is over, and
whether its parent key still is active, is asked of each request by who opens it.
"""

import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, Final

from gateway.bounded import BoundedMap
from gateway.errors import Code, S3Error
from gateway.policy.model import Statement
from gateway.policy.session_policy import MalformedSessionPolicy, parse_session_policy
from gateway.s3.sts import TemporaryCredentials
from gateway.sigv4.model import SecretAccessKey
from gateway.store.access_keys import OpenedKey
from gateway.store.key_ring import NONCE_BYTES, KeyRing, KeyRingError, Sealed, generate_access_key

MAX_TOKEN_CHARACTERS: Final = 6000
KEY_PREFIX = "AS"
"""What the access key ids of sessions begin with."""

_VERSION: Final = 1


@dataclass(frozen=True, slots=True)
class Session:
    """An opened session: its key, who began it with which key, for whom, until when (not checked here).

    `narrowed_by` are the statements of the policy that it brought along; None: it brought none.
    """

    access_key_id: str
    secret: SecretAccessKey
    parent_access_key_id: str
    project: str
    principal: str
    end_user: str
    expires_s: int
    narrowed_by: tuple[Statement, ...] | None


class SessionTokens:
    """Issues sessions and opens their tokens."""

    def __init__(self, ring: KeyRing) -> None:
        self._ring = ring
        self._opened: BoundedMap[bytes, Session] = BoundedMap(2048)

    def forget(self) -> None:
        """Drop what is in memory."""
        self._opened.clear()

    def issue(
        self, parent: OpenedKey, end_user: str, policy: str | None, *, now_s: int, duration_s: int
    ) -> TemporaryCredentials:
        """Begin a session of `end_user` under a service principal's key, narrowed by `policy` (JSON).

        Raises S3Error: MalformedPolicyDocument, PackedPolicyTooLarge (the token would be too long for a header).
        """
        _check_policy(policy)
        new = generate_access_key(KEY_PREFIX)
        payload = {
            "secret": new.secret_access_key,
            "parent": parent.access_key_id,
            "project": parent.project,
            "principal": parent.principal,
            "end_user": end_user,
            "expires_s": now_s + duration_s,
            "policy": policy,
        }
        plaintext = json.dumps(payload, ensure_ascii=False, separators=(",", ":")).encode()
        token = _render_token(self._ring.seal(plaintext, _associated(new.access_key_id)))
        if len(token) > MAX_TOKEN_CHARACTERS:
            raise S3Error(Code.PackedPolicyTooLarge)
        return TemporaryCredentials(new.access_key_id, new.secret_access_key, token, now_s + duration_s)

    def open(self, token: str, access_key_id: str) -> Session:
        """The session of a token that is sent with this access key id.

        Raises S3Error: InvalidToken for one that we did not issue, of another key, changed, or sealed with a key that
        the ring no longer has.
        """
        if len(token) > MAX_TOKEN_CHARACTERS or not token.isascii():
            raise S3Error(Code.InvalidToken)
        name = blake2b(f"{access_key_id}\0{token}".encode("utf-8", "surrogatepass"), digest_size=32).digest()
        session = self._opened.get(name)
        if session is None:
            session = self._unseal(token, access_key_id)
            self._opened.put(name, session)
        return session

    def _unseal(self, token: str, access_key_id: str) -> Session:
        sealed = _parse_token(token)
        try:
            payload = json.loads(self._ring.open(sealed, _associated(access_key_id)))
            return _session(payload, access_key_id)
        except (KeyRingError, MalformedSessionPolicy) as error:
            raise S3Error(Code.InvalidToken) from error


def _session(payload: Mapping[str, Any], access_key_id: str) -> Session:
    """What we sealed, so nothing of it is checked anew. Raises MalformedSessionPolicy where its grammar has changed."""
    policy = payload["policy"]
    return Session(
        access_key_id=access_key_id,
        secret=SecretAccessKey(payload["secret"]),
        parent_access_key_id=payload["parent"],
        project=payload["project"],
        principal=payload["principal"],
        end_user=payload["end_user"],
        expires_s=payload["expires_s"],
        narrowed_by=None if policy is None else parse_session_policy(policy),
    )


def _check_policy(policy: str | None) -> None:
    if policy is not None:
        try:
            parse_session_policy(policy)
        except MalformedSessionPolicy as error:
            raise S3Error(Code.MalformedPolicyDocument, f"The session policy was refused: {error}.") from error


def _associated(access_key_id: str) -> bytes:
    return f"session|v{_VERSION}|{access_key_id}".encode("utf-8", "surrogatepass")


def _render_token(sealed: Sealed) -> str:
    key_id = sealed.key_id.encode("ascii")
    data = bytes([_VERSION, len(key_id)]) + key_id + sealed.nonce + sealed.ciphertext
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def _parse_token(token: str) -> Sealed:
    """Raises S3Error: InvalidToken for what `_render_token` never writes; base64 has several forms of one text."""
    try:
        data = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
    except binascii.Error as error:
        raise S3Error(Code.InvalidToken) from error
    if data[:1] != bytes([_VERSION]) or len(data) < 2:
        raise S3Error(Code.InvalidToken)
    nonce = 2 + data[1]
    ciphertext = nonce + NONCE_BYTES
    sealed = Sealed(data[2:nonce].decode("ascii", "replace"), data[nonce:ciphertext], data[ciphertext:])
    if base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii") != token:
        raise S3Error(Code.InvalidToken)
    return sealed
