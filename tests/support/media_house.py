"""A project as applications use it: every role has a key, a service begins sessions, one category is public."""

import secrets
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any

from tests.support.clients import aws_client
from tests.support.gateway import DEMO_POLICY, OTHER_POLICY, Gateway

PUBLIC, PRIVATE = "app-profiles", "app-voice"
ROLE = "arn:aws:iam::app:role/uploader"
POLICY = """\
project = "app"

[categories.profiles]
read = "public"

[categories.voice]

[principals.ops]
role = "admin"

[principals.backend]
role = "service"

[principals.sara]
role = "uploader"

[principals.bob]
role = "uploader"

[principals.dashboard]
role = "reader"

[[statements]]
name = "sara keeps a folder in step"
effect = "allow"
principals = ["sara"]
actions = ["s3:ListBucket"]
resources = ["app-voice"]
prefix = ["sara/"]
"""
POLICIES = {"app": POLICY, "demo": DEMO_POLICY, "other": OTHER_POLICY}


@dataclass(frozen=True, slots=True)
class Key:
    """What somebody signs with; a session's has a token."""

    access_key_id: str
    secret_access_key: str
    session_token: str | None = None


@dataclass(frozen=True, slots=True)
class EndUser:
    """One of the service's end users, with a session: a key and a boto3 client that signs with it."""

    name: str
    key: Key
    s3: Any

    def path(self, name: str) -> str:
        """A key that no other test has."""
        return f"{self.name}/{name}"


class Keys(dict[str, Key]):
    """A key for each principal of the project, made when it is first asked for."""

    def __init__(self, gateway: Gateway) -> None:
        super().__init__()
        self._gateway = gateway

    def __missing__(self, principal: str) -> Key:
        key = self[principal] = Key(*self._gateway.create_key("app", principal))
        return key


class MediaHouse:
    """The project `app` at a running gateway: buckets app-profiles (public) and app-voice, a key for each principal."""

    def __init__(self, gateway: Gateway) -> None:
        self.gateway = gateway
        self.keys = Keys(gateway)

    def client(self, who: str | Key, service: str = "s3", **config: Any) -> Any:
        """A boto3 client of a principal, or of whoever has the key."""
        key = self.keys[who] if isinstance(who, str) else who
        return aws_client(self.gateway, service, key.access_key_id, key.secret_access_key, key.session_token, **config)

    def assume(self, name: str, who: str | Key = "backend", **more: Any) -> Key:
        """A session for the end user `name`, begun by `who`."""
        with closing(self.client(who, "sts")) as sts:
            answer = sts.assume_role(**{"RoleArn": ROLE, "RoleSessionName": name, **more})
        return key_of(answer)

    @contextmanager
    def end_user(self, name: str | None = None, **more: Any) -> Iterator[EndUser]:
        """An end user with a session; without a name it is somebody new. `more` goes to AssumeRole."""
        name = name or f"user-{secrets.token_hex(4)}"
        key = self.assume(name, **more)
        with closing(self.client(key)) as client:
            yield EndUser(name, key, client)


def key_of(answer: Mapping[str, Any]) -> Key:
    """The credentials in boto3's answer to AssumeRole."""
    made = answer["Credentials"]
    return Key(made["AccessKeyId"], made["SecretAccessKey"], made["SessionToken"])
