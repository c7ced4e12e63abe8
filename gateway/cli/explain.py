"""anbar policy explain: would it be allowed, and which line says so? The very evaluator of the gateway is asked."""

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gateway.cli.installation import (
    DEFAULT_CONFIG,
    ConfigOption,
    Installation,
    JsonOption,
    OpenStore,
    Refused,
    load_installation,
    print_json,
    require_project,
    run_with_store,
)
from gateway.config import did_you_mean, is_missing

if TYPE_CHECKING:
    from gateway.policy.evaluate import Decision
    from gateway.policy.model import Identity, PolicySet

_PLACE = "s3://"


@dataclass(frozen=True, slots=True)
class _Known:
    """What the store knows of the place: whose the bucket and the object are, and the revision in force.

    `applied`: that revision is the policy files as they are now.
    """

    project: str | None = None
    owner: str | None = None
    revision: int | None = None
    applied: bool = False


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
    from gateway.policy.evaluate import Context, Resource, Rules

    _check_action(action)
    bucket, key = _parse_place(resource)
    context = Context(_address(source_ip), secure)
    installation = load_installation(config)
    policies, known = installation.policies, _look_up(installation, bucket, key)
    category = policies.bucket(bucket)
    home = category.project if category is not None else known.project or project
    if home is None:
        raise Refused(f'there is no bucket "{bucket}"; whose would it be? Say --project P')
    identity = _identity(policies, principal, project or home)
    found_owner = None if key is None else known.owner if owner is None else owner
    decision = Rules(policies).decide(identity, action, Resource(home, bucket, key, found_owner), context)
    file = str(installation.settings.policies.path / require_project(policies, home).file)
    if as_json:
        print_json(_as_json(decision, file, found_owner, known))
    else:
        _print_decision(decision, file)
        if key is not None:
            print("the object is not there" if found_owner is None else f"the object is of {found_owner}")
        if known.revision is None:
            print("so say the files; nothing is in force yet")
        elif not known.applied:
            print(f"so say the files; revision {known.revision}, which is in force, differs: anbar policy plan")
    if not decision.allowed:
        raise typer.Exit(1)


def _print_decision(decision: "Decision", file: str) -> None:
    answer, statement = "allowed" if decision.allowed else "denied", decision.statement
    if statement is None:
        print(f"{answer}: {decision.reason}")
    else:
        verb = "allows" if decision.allowed else "denies"
        print(f'{answer}: the statement "{statement.name}" {verb} it ({file}:{statement.line})')


def _as_json(decision: "Decision", file: str, owner: str | None, known: _Known) -> dict[str, Any]:
    statement = decision.statement
    return {
        "allowed": decision.allowed,
        "reason": decision.reason,
        "statement": None if statement is None else {"name": statement.name, "file": file, "line": statement.line},
        "owner": owner,
        "in_force": known.applied,
    }


def _identity(policies: "PolicySet", name: str, project: str) -> "Identity | None":
    from gateway.policy.end_users import is_end_user
    from gateway.policy.model import ANONYMOUS, Identity, Role

    found = require_project(policies, project)
    if name == ANONYMOUS:
        return None
    principal_name, slash, end_user = name.partition("/")
    principal = found.principals.get(principal_name)
    if principal is None:
        known = ", ".join(sorted(found.principals)) or "none"
        raise Refused(f'project {project} has no principal "{principal_name}"; it has {known}')
    if not slash:
        return Identity(principal, principal_name)
    if principal.role is not Role.SERVICE:
        raise Refused(f'"{name}" is nobody: {principal_name} is no service, and only services have end users')
    if not is_end_user(end_user):
        raise Refused(f'"{name}" is nobody: names of end users are 1 to 128 of letters, digits and _+=.@:|-')
    return Identity(principal, end_user, session=True)


def _check_action(action: str) -> None:
    from gateway.policy.roles import ACTIONS

    if action not in ACTIONS:
        raise typer.BadParameter(f'"{action}" is no action that Anbar knows{did_you_mean(action, ACTIONS)}')


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


def _look_up(installation: Installation, bucket: str, key: str | None) -> _Known:
    """Ask the store, as far as there is one yet."""
    from gateway.store.buckets import Buckets
    from gateway.store.catalog import Catalog

    if is_missing(installation.settings.store.path):
        return _Known()

    async def work(store: OpenStore) -> _Known:
        buckets = Buckets(store.database)
        await buckets.load()
        made = buckets.find(bucket)
        record = await Catalog(store.database).find(bucket, key) if key is not None else None
        latest = await store.revisions.latest_number()
        texts = await store.revisions.texts(latest) if latest is not None else None
        return _Known(
            project=made.project if made is not None else None,
            owner=record.uploader if record is not None else None,
            revision=latest,
            applied=texts == installation.texts,
        )

    return run_with_store(installation.settings, work)
