"""anbar policy explain: would it be allowed, and which line says so? The very evaluator of the gateway is asked."""

from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import TYPE_CHECKING, Annotated

import typer

from gateway.cli.installation import (
    DEFAULT_CONFIG,
    ConfigOption,
    JsonOption,
    Refused,
    load_installation,
    print_json,
    run_with_store,
)
from gateway.config import Settings, is_missing

if TYPE_CHECKING:
    from gateway.policy.evaluate import Decision
    from gateway.policy.model import Identity, PolicySet

_PLACE = "s3://"


def explain(
    principal: Annotated[
        str, typer.Argument(metavar="PRINCIPAL", help='A principal, an end user ("backend/sara"), or "anonymous".')
    ],
    action: Annotated[str, typer.Argument(metavar="ACTION", help='Such as "s3:GetObject".')],
    resource: Annotated[str, typer.Argument(metavar="s3://BUCKET[/KEY]", help="What it is about.")],
    project: Annotated[
        str | None, typer.Option("--project", metavar="P", help="The principal's project. Default: the bucket's.")
    ] = None,
    owner: Annotated[
        str | None,
        typer.Option("--owner", metavar="NAME", help="Whose object it is. Default: who has stored it, if it is there."),
    ] = None,
    source_ip: Annotated[
        str | None, typer.Option("--source-ip", metavar="IP", help="Where the request comes from.")
    ] = None,
    secure: Annotated[bool, typer.Option("--secure/--insecure", help="Does it come by HTTPS?")] = True,
    as_json: JsonOption = False,
    config: ConfigOption = DEFAULT_CONFIG,
) -> None:
    """Say whether the files allow something, and which line decides; exit 1 if they do not."""
    installation = load_installation(config)
    bucket, key = _parse_place(resource)
    known_owner = owner if owner is not None or key is None else _owner_in(installation.settings, bucket, key)
    decision, home = _decide(
        installation.policies, principal, action, (bucket, key), known_owner, project, _address(source_ip), secure
    )
    file = installation.settings.policies.path / home
    line = f"{file}:{decision.statement.line}" if decision.statement is not None else None
    if as_json:
        print_json(
            {
                "allowed": decision.allowed,
                "reason": decision.reason,
                "statement": decision.statement.name if decision.statement else None,
                "line": line,
                "owner": known_owner,
            }
        )
    else:
        print(f"{'allowed' if decision.allowed else 'denied'}: {decision.reason}{f' ({line})' if line else ''}")
        if key is not None:
            print(f"the object is {f'of {known_owner}' if known_owner is not None else 'not there'}")
    if not decision.allowed:
        raise typer.Exit(1)


def _decide(
    policies: "PolicySet",
    principal: str,
    action: str,
    place: tuple[str, str | None],
    owner: str | None,
    project: str | None,
    address: IPv4Address | IPv6Address | None,
    secure: bool,
) -> "tuple[Decision, str]":
    """The decision, and the name of the file that it comes from; raises Refused."""
    from gateway.policy.evaluate import Context, Resource, Rules

    bucket, key = place
    category = policies.bucket(bucket)
    home = policies.project(category.project if category is not None else project or "")
    if home is None:
        known = ", ".join(sorted(each.name for each in policies.projects))
        raise Refused(f'no category has the bucket "{bucket}"; say whose it would be by --project (there is {known})')
    identity = _identity(policies, principal, project or home.name)
    resource = Resource(home.name, bucket, key, owner)
    return Rules(policies).decide(identity, action, resource, Context(address, secure)), home.file


def _identity(policies: "PolicySet", name: str, project: str) -> "Identity | None":
    from gateway.policy.end_users import is_end_user
    from gateway.policy.model import ANONYMOUS, Identity, Role

    if name == ANONYMOUS:
        return None
    principal_name, slash, end_user = name.partition("/")
    principal = policies.principal(project, principal_name)
    if principal is None:
        found = policies.project(project)
        known = ", ".join(sorted(found.principals)) if found is not None else "none"
        raise Refused(f'project {project} has no principal "{principal_name}"; it has {known}')
    if not slash:
        return Identity(principal, principal_name)
    if principal.role is not Role.SERVICE or not is_end_user(end_user):
        raise Refused(
            f'"{name}" is no end user: only a service has some, and their names are letters, digits and _+=.@:|-'
        )
    return Identity(principal, end_user, session=True)


def _parse_place(resource: str) -> tuple[str, str | None]:
    bucket, _, key = resource.removeprefix(_PLACE).partition("/")
    if not resource.startswith(_PLACE) or not bucket:
        raise typer.BadParameter("write it as s3://BUCKET or s3://BUCKET/KEY")
    return bucket, key or None


def _address(text: str | None) -> IPv4Address | IPv6Address | None:
    if text is None:
        return None
    try:
        return ip_address(text)
    except ValueError:
        raise typer.BadParameter("--source-ip is an address such as 10.0.0.1") from None


def _owner_in(settings: Settings, bucket: str, key: str) -> str | None:
    """Who has stored an object, as far as there is a store yet."""
    from gateway.store.catalog import Catalog

    if is_missing(settings.store.path):
        return None
    record = run_with_store(settings, lambda store: Catalog(store.database).find(bucket, key))
    return record.uploader if record is not None else None
