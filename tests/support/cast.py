"""Somebody of every role at one running gateway: admins, services, uploaders, readers, end users, nobody."""

import asyncio
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from urllib.parse import urlencode

from gateway.sigv4.model import SecretAccessKey
from gateway.store.access_keys import AccessKeys, OpenedKey
from gateway.store.database import Database
from gateway.store.key_ring import KeyRing
from gateway.store.session_tokens import SessionTokens
from tests.support.caller import Caller, parse_xml, text
from tests.support.gateway import Gateway
from tests.support.raw_http import Answer, Request
from tests.support.signer import Signer

FORM = "application/x-www-form-urlencoded"


class Nobody(Caller):
    """Who signs nothing."""

    def signed(self, method, target, body=b"", headers=(), *, payload=None, now_s=None) -> Request:
        """The request as it is."""
        return self.request(method, target, body, headers)


@dataclass(frozen=True, slots=True)
class Cast:
    """`cast["demo/u1"]` is a principal with an access key, `cast["demo/backend/sara"]` a session that it begins."""

    gateway: Gateway
    members: Mapping[str, Caller]

    @classmethod
    def at(cls, gateway: Gateway, names: Iterable[str]) -> "Cast":
        """Give an access key to each of the principals, "project/principal"."""
        wanted = [name.partition("/") for name in names]
        keys = asyncio.run(_make_keys(gateway, [(project, principal) for project, _, principal in wanted]))
        return cls(gateway, {name: Caller(gateway.host, gateway.port, signer) for name, signer in keys.items()})

    def __getitem__(self, name: str) -> Caller:
        project, principal, *end_user = name.split("/")
        found = self.members[f"{project}/{principal}"]
        return session_of(found, project, end_user[0]) if end_user else found

    @property
    def nobody(self) -> Caller:
        return Nobody(self.gateway.host, self.gateway.port, Signer("", ""))


async def _make_keys(gateway: Gateway, holders: Iterable[tuple[str, str]]) -> dict[str, Signer]:
    """As the command line makes them, but all by one process."""
    database = await Database.open(gateway.store_file)
    try:
        keys = AccessKeys(database, KeyRing.load(gateway.key_ring_file))
        made = {}
        for project, principal in holders:
            key = await keys.create(project, principal, int(time.time()), actor="tests")
            made[f"{project}/{principal}"] = Signer(key.access_key_id, key.secret_access_key)
        return made
    finally:
        await database.close()


def assume_role(service: Caller, project: str, end_user: str, **parameters: str) -> Answer:
    """Ask for a session of an end user."""
    form = {
        "Action": "AssumeRole",
        "Version": "2011-06-15",
        "RoleArn": f"arn:aws:iam::{project}:role/uploader",
        "RoleSessionName": end_user,
        **parameters,
    }
    asking = replace(service, signer=replace(service.signer, service="sts"))
    return asking.call("POST", "/", urlencode(form).encode(), [("Content-Type", FORM)])


def session_of(service: Caller, project: str, end_user: str, **parameters: str) -> Caller:
    """Who has the temporary credentials of an end user."""
    answer = assume_role(service, project, end_user, **parameters)
    assert answer.status == 200, answer
    found = parse_xml(answer.body)
    names = ("AccessKeyId", "SecretAccessKey", "SessionToken")
    access_key_id, secret, token = (text(found, f".//Credentials/{name}") for name in names)
    return replace(service, signer=Signer(access_key_id, secret, session_token=token))


def sealed_session(
    cast: Cast, parent: str, end_user: str, *, ring: KeyRing | None = None, now_s: float | None = None
) -> Caller:
    """A session that the gateway would not begin: of anybody ("project/principal"), at any time, lasting 15 minutes."""
    caller = cast.members[parent]
    project, _, principal = parent.partition("/")
    key = OpenedKey(caller.signer.access_key_id, project, principal, SecretAccessKey("not needed"))
    tokens = SessionTokens(ring or KeyRing.load(cast.gateway.key_ring_file))
    made = tokens.issue(key, end_user, None, now_s=int(time.time() if now_s is None else now_s), duration_s=900)
    signer = Signer(made.access_key_id, made.secret_access_key, session_token=made.session_token)
    return replace(caller, signer=signer)
