"""Keys for the demo project and commands to paste: what `make run` prints before it serves.

The key is made once and kept beside the store in `demo-key.json` (0600), so that a second `make run` prints the same.
"""

import json
import os
import time
from pathlib import Path

from gateway.cli.installation import Installation, OpenStore, load_installation, operator, run_with_store
from gateway.cli.presign import UrlToSign, default_region, endpoint_of, sign_url

PROJECT = "demo"
LIFETIME_S = 12 * 3600


def main() -> None:
    installation = load_installation(Path("gateway.toml"))
    project = installation.policies.project(PROJECT)
    if project is None or not project.principals or not project.categories:
        return  # somebody has put their own policies here, and makes keys with `anbar keys create`
    if installation.settings.server.listen.port == 0:
        return
    print(run_with_store(installation.settings, lambda store: _text(store, installation)), flush=True)


async def _text(store: OpenStore, installation: Installation) -> str:
    project = installation.policies.project(PROJECT)
    assert project is not None
    principal = next(iter(project.principals.values()))
    key = await _demo_key(store, principal.name, installation.settings.store.path.with_name("demo-key.json"))
    buckets = [category.bucket for category in project.categories.values()]
    endpoint, region = endpoint_of(installation), default_region(installation)
    name = "LICENSE"
    put, get = [
        await sign_url(store, principal, UrlToSign(method, endpoint, buckets[0], name, LIFETIME_S, region))
        for method in ("PUT", "GET")
    ]
    return f"""
The demo project has the buckets {", ".join(buckets)}. Paste into another terminal, in this directory:

  export AWS_ACCESS_KEY_ID={key["access_key_id"]}
  export AWS_SECRET_ACCESS_KEY={key["secret_access_key"]}
  export AWS_ENDPOINT_URL={endpoint} AWS_DEFAULT_REGION={region}
  aws s3 cp README.md s3://{buckets[0]}/
  aws s3 ls s3://{buckets[0]}/

Or without any S3 client, up and down again by presigned URLs, good for {LIFETIME_S // 3600} hours:

  curl -f -T {name} '{put}'
  curl -f -o /tmp/{name} '{get}'

More URLs: .venv/bin/anbar presign GET s3://{buckets[0]}/{name}
More keys: .venv/bin/anbar keys create --project {PROJECT} --principal {principal.name}
Ctrl-C stops the gateway; what was uploaded stays.
"""


async def _demo_key(store: OpenStore, principal: str, file: Path) -> dict[str, str]:
    """The key in `file` if the store still has it, or a new one."""
    try:
        kept: dict[str, str] = json.loads(file.read_text(encoding="ascii"))
        found = await store.keys.find(kept["access_key_id"])
        if found is not None and found.state == "active":
            return kept
    except (OSError, ValueError, KeyError):
        pass
    new = await store.keys.create(PROJECT, principal, int(time.time()), actor=operator())
    key = {"access_key_id": new.access_key_id, "secret_access_key": new.secret_access_key}
    draft = file.with_name(f".{file.name}.{os.getpid()}")
    with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii") as opened:
        json.dump(key, opened)
    draft.replace(file)
    return key


if __name__ == "__main__":
    main()
