"""anbar presign: a URL that carries a principal's signature, for a person or a program without keys."""

import re
import time
from dataclasses import dataclass
from typing import Annotated

import typer

from gateway.cli.installation import (
    DEFAULT_CONFIG,
    ConfigOption,
    Installation,
    OpenStore,
    Refused,
    load_installation,
    run_with_store,
)
from gateway.cli.keys import require_principal
from gateway.config import Listen
from gateway.policy.model import Principal, Project, Role

METHODS = ("GET", "PUT", "HEAD", "DELETE")
MOST_EXPIRES_S = 7 * 86400

_TARGET = re.compile(r"s3://([^/]+)/(.+)", re.DOTALL)
_EXPIRES = re.compile(r"([0-9]{1,6})([smhd]?)")
_ENDPOINT = re.compile(r"(https?)://([A-Za-z0-9.-]+(?::[0-9]{1,5})?|\[[0-9A-Fa-f:.]+\](?::[0-9]{1,5})?)/?")
_DEFAULT_PORTS = {"http": ":80", "https": ":443"}
_SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}


def presign(
    method: Annotated[str, typer.Argument(metavar="GET|PUT", help="What the URL allows; also HEAD and DELETE.")],
    target: Annotated[str, typer.Argument(metavar="s3://BUCKET/KEY", help="The key as it is, not percent-encoded.")],
    expires: Annotated[str, typer.Option(metavar="T", help='Seconds, or "15m", "12h", "7d"; at most 7 days.')] = "1h",
    project: Annotated[
        str | None, typer.Option(metavar="P", help="Default: the project whose policy file names the bucket.")
    ] = None,
    principal: Annotated[
        str | None, typer.Option(metavar="N", help="Who signs. Default: the project's only principal or only admin.")
    ] = None,
    endpoint: Annotated[
        str | None, typer.Option(metavar="URL", help="Where clients reach the gateway. Default: [server] listen.")
    ] = None,
    region: Annotated[
        str | None, typer.Option(metavar="R", help="The region in the signature. Default: one that [server] allows.")
    ] = None,
    config: ConfigOption = DEFAULT_CONFIG,
) -> None:
    """Print a presigned URL, signed with an active key of a principal."""
    if method not in METHODS:
        raise typer.BadParameter(f"one of {', '.join(METHODS)}", param_hint="GET|PUT")
    bucket, key = parse_target(target)
    expires_s = parse_expires(expires)
    installation = load_installation(config)
    signer = find_signer(installation, bucket, project, principal)
    base = endpoint_of(installation, endpoint)
    url = UrlToSign(method, base, bucket, key, expires_s, region or default_region(installation))
    print(run_with_store(installation.settings, lambda store: sign_url(store, signer, url)))


@dataclass(frozen=True, slots=True)
class UrlToSign:
    """What a presigned URL will say. `endpoint` is `http://HOST[:PORT]`, `key` decoded text."""

    method: str
    endpoint: str
    bucket: str
    key: str
    expires_s: int
    region: str


async def sign_url(store: OpenStore, principal: Principal, url: UrlToSign) -> str:
    """The URL, signed with the principal's newest active key; raises Refused where there is none."""
    from gateway.sigv4.model import SecretAccessKey
    from gateway.sigv4.presign import Signer
    from gateway.sigv4.presign import presign as presigned

    access_key_id, secret = await _active_key(store, principal)
    signer = Signer(access_key_id, SecretAccessKey(secret.encode("ascii")), url.region)
    return presigned(
        url.method, url.endpoint, url.bucket, url.key, signer, expires_s=url.expires_s, now_s=int(time.time())
    )


def parse_target(target: str) -> tuple[str, str]:
    """Bucket and key of s3://BUCKET/KEY; raises BadParameter."""
    found = _TARGET.fullmatch(target)
    if not found or not _is_text(target):
        raise typer.BadParameter("like s3://demo-media/photos/cat.jpg", param_hint="s3://BUCKET/KEY")
    return found[1], found[2]


def _is_text(argument: str) -> bool:
    """Is it UTF-8? Other bytes of the command line arrive as lone surrogates."""
    return not any("\ud800" <= character <= "\udfff" for character in argument)


def parse_expires(text: str) -> int:
    """Seconds of "3600", "15m", "12h" or "7d"; raises BadParameter outside 1 second to 7 days."""
    found = _EXPIRES.fullmatch(text)
    seconds = int(found[1]) * _SECONDS[found[2]] if found else 0
    if not 1 <= seconds <= MOST_EXPIRES_S:
        raise typer.BadParameter('from 1 second to 7 days, like "900", "15m", "12h" or "7d"', param_hint="--expires")
    return seconds


def find_signer(installation: Installation, bucket: str, project: str | None, principal: str | None) -> Principal:
    """Who signs for a bucket; raises Refused where that is not one principal."""
    if project is None:
        category = installation.policies.bucket(bucket)
        if category is None:
            raise Refused(f'no policy file names the bucket "{bucket}"; say whose it is with --project')
        project = category.project
    found = installation.policies.project(project)
    if principal is None and found is not None:
        principal = _only_signer(found)
    if principal is None and found is not None:
        raise Refused(f"say who signs with --principal, one of: {', '.join(sorted(found.principals))}")
    return require_principal(installation, project, principal or "")


def _only_signer(project: Project) -> str | None:
    admins = [each.name for each in project.principals.values() if each.role is Role.ADMIN]
    candidates = admins or list(project.principals)
    return candidates[0] if len(candidates) == 1 else None


def endpoint_of(installation: Installation, endpoint: str | None = None) -> str:
    """The base of the URL, `http://HOST[:PORT]`; raises BadParameter, Refused where the port is not known."""
    if endpoint is not None:
        found = _ENDPOINT.fullmatch(endpoint)
        if not found:
            raise typer.BadParameter("like https://media.example.com", param_hint="--endpoint")
        return _without_default_port(found[1], found[2])
    server = installation.settings.server
    if server.listen.port == 0:
        raise Refused("[server] listen has port 0: say with --endpoint where the gateway is reached")
    # An address that stands for all of them is none that a client can ask for.
    reachable = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104
    listen = Listen(host=reachable.get(server.listen.host, server.listen.host), port=server.listen.port)
    return _without_default_port("https" if server.tls else "http", str(listen))


def default_region(installation: Installation) -> str:
    """A region that the gateway accepts."""
    regions = installation.settings.server.regions
    return "us-east-1" if regions is None or "us-east-1" in regions else min(regions)


def _without_default_port(scheme: str, host: str) -> str:
    """Clients leave the default port out of the Host header, so a signature must not have it."""
    return f"{scheme}://{host.removesuffix(_DEFAULT_PORTS[scheme])}"


async def _active_key(store: OpenStore, signer: Principal) -> tuple[str, str]:
    """The newest active key of a principal and its secret; raises Refused."""
    keys = [key for key in await store.keys.list(signer.project, signer.name) if key.state == "active"]
    if not keys:
        make = f"anbar keys create --project {signer.project} --principal {signer.name}"
        raise Refused(f"{signer.name} has no active access key; run: {make}")
    newest = max(keys, key=lambda key: key.created_s)
    return newest.access_key_id, await store.keys.secret(newest.access_key_id)
