"""anbar keys: access keys of principals. A secret is shown once, when its key is made, and never again.

Keys are made for principals that the policy files name. Mistakes in these keep nobody from taking a key away.
"""

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from gateway.cli.installation import (
    DEFAULT_CONFIG,
    ConfigOption,
    Installation,
    JsonOption,
    OpenStore,
    Refused,
    load_installation,
    operator,
    print_json,
    print_table,
    read_settings,
    render_time,
    require_project,
    run_with_store,
)
from gateway.policy.model import Principal

if TYPE_CHECKING:
    from gateway.store.access_keys import AccessKeyRecord, NewAccessKey

app = typer.Typer(help="Access keys of principals.", no_args_is_help=True)

ProjectOption = Annotated[str, typer.Option("--project", metavar="P", help="The project.")]
PrincipalOption = Annotated[str, typer.Option("--principal", metavar="N", help="A principal of the project.")]
KeyArgument = Annotated[str, typer.Argument(metavar="ACCESS_KEY_ID")]

# A key is replaced by a second one beside it, so that clients change over without a gap.
_MOST_ACTIVE_KEYS = 2


@app.command()
def create(
    project: ProjectOption,
    principal: PrincipalOption,
    as_json: JsonOption = False,
    config: ConfigOption = DEFAULT_CONFIG,
) -> None:
    """Make an access key and print it with its secret, this once."""
    installation = load_installation(config)
    require_principal(installation, project, principal)
    _print_new(run_with_store(installation.settings, lambda store: _create(store, project, principal)), as_json)


@app.command("list")
def list_keys(
    project: Annotated[str | None, typer.Option("--project", metavar="P", help="Only this project's.")] = None,
    as_json: JsonOption = False,
    config: ConfigOption = DEFAULT_CONFIG,
) -> None:
    """List access keys, without their secrets."""
    records = run_with_store(read_settings(config), lambda store: store.keys.list(project))
    if as_json:
        print_json([_as_json(record) for record in records])
    else:
        _print_table(records)


@app.command()
def rotate(key: KeyArgument, as_json: JsonOption = False, config: ConfigOption = DEFAULT_CONFIG) -> None:
    """Make a second key for the same principal; the old one works until it is disabled."""
    installation = load_installation(config)

    async def work(store: OpenStore) -> "NewAccessKey":
        old = await _find(store, key)
        require_principal(installation, old.project, old.principal)
        keys = await store.keys.list(old.project)
        active = [each for each in keys if each.principal == old.principal and each.state == "active"]
        if len(active) >= _MOST_ACTIVE_KEYS:
            others = ", ".join(each.access_key_id for each in active)
            raise Refused(f"{old.principal} has {len(active)} active keys ({others}); disable one that is not used")
        return await _create(store, old.project, old.principal, beside=key)

    _print_new(run_with_store(installation.settings, work), as_json)
    if not as_json:
        print(f"\nWhen every client uses it: anbar keys disable {key}; later: anbar keys delete {key}")


@app.command()
def disable(key: KeyArgument, config: ConfigOption = DEFAULT_CONFIG) -> None:
    """Refuse a key within a second; `enable` takes it back."""
    _set_state(key, "disabled", config)


@app.command()
def enable(key: KeyArgument, config: ConfigOption = DEFAULT_CONFIG) -> None:
    """Accept a disabled key again."""
    _set_state(key, "active", config)


@app.command()
def delete(key: KeyArgument, config: ConfigOption = DEFAULT_CONFIG) -> None:
    """Remove a disabled key for good."""

    async def work(store: OpenStore) -> None:
        if (await _find(store, key)).state == "active":
            raise Refused(f"{key} is active; first run: anbar keys disable {key}")
        await store.keys.delete(key, actor=operator(), now_s=_now_s())

    run_with_store(read_settings(config), work)
    print(f"deleted {key}")


def require_principal(installation: Installation, project: str, principal: str) -> Principal:
    """Refuse a principal that no policy file names; a key of nobody could do nothing."""
    found = require_project(installation.policies, project)
    if principal not in found.principals:
        known = ", ".join(sorted(found.principals)) or "none"
        raise Refused(f'project {project} has no principal "{principal}"; it has {known}')
    return found.principals[principal]


async def _create(store: OpenStore, project: str, principal: str, beside: str | None = None) -> "NewAccessKey":
    return await store.keys.create(project, principal, _now_s(), actor=operator(), beside=beside)


async def _find(store: OpenStore, key: str) -> "AccessKeyRecord":
    found = await store.keys.find(key)
    if found is None:
        raise Refused(f"there is no access key {key}")
    return found


def _set_state(key: str, state: Literal["active", "disabled"], config: ConfigOption) -> None:
    run_with_store(
        read_settings(config), lambda store: store.keys.set_state(key, state, actor=operator(), now_s=_now_s())
    )
    print(f"{key} is {state}")


def _print_new(key: "NewAccessKey", as_json: bool) -> None:
    if as_json:
        print_json({"access_key_id": key.access_key_id, "secret_access_key": key.secret_access_key})
    else:
        print(f"access key id      {key.access_key_id}")
        print(f"secret access key  {key.secret_access_key}")
        print("The secret is not shown again.")


def _as_json(record: "AccessKeyRecord") -> dict[str, str | None]:
    return {
        "access_key_id": record.access_key_id,
        "project": record.project,
        "principal": record.principal,
        "state": record.state,
        "created": render_time(record.created_s),
        "last_used": render_time(record.last_used_s),
    }


def _print_table(records: Sequence["AccessKeyRecord"]) -> None:
    titles = ("ACCESS KEY ID", "PROJECT", "PRINCIPAL", "STATE", "MADE", "LAST USED")
    rows = [
        (
            record.access_key_id,
            record.project,
            record.principal,
            record.state,
            render_time(record.created_s) or "",
            render_time(record.last_used_s) or "never",
        )
        for record in records
    ]
    print_table(titles, rows)


def _now_s() -> int:
    return int(time.time())
