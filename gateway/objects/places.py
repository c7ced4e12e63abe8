"""Before the first request: is every origin there that the store needs, and is it the one that the store knows?"""

import asyncio
from collections.abc import Mapping
from pathlib import Path

from gateway.origin.errors import OriginError
from gateway.origin.identity import make_identity, read_identity
from gateway.store.database import Database
from gateway.store.origins import known_identity, origins_in_use, remember_identity


async def confirm_origins(database: Database, roots: Mapping[str, Path | None]) -> None:
    """Compare the configured directories, by their origins' names, with what the store remembers; changes nothing.

    An origin that is no directory (None) only has to be configured.
    Raises OriginError with a text for the operator: an origin is missing, or its directory is another one.
    """
    in_use = await origins_in_use(database)
    for name, count in in_use.items():
        if name not in roots:
            raise OriginError(
                f'the store has {count} objects at the origin "{name}", which the settings do not name; '
                f"they name: {', '.join(roots)}"
            )
        root = roots[name]
        if root is None:
            continue
        known, found = await known_identity(database, name), await _told(name, root)
        if known is not None and found != known:
            raise OriginError(
                f"origin {name}: {root} is not the directory that the store knows "
                f"({'no .anbar-origin is in it' if found is None else 'its .anbar-origin is another one'}): "
                "is the disk mounted?"
            )


async def remember_origins(database: Database, roots: Mapping[str, Path | None]) -> None:
    """Give every directory an identity if it has none, and remember it; after they were confirmed.

    Raises OriginError: a directory cannot be written.
    """
    for name, root in roots.items():
        if root is None:
            continue
        try:
            identity = await asyncio.to_thread(make_identity, root)
        except (OSError, ValueError) as error:
            raise OriginError(f"origin {name}: {error}") from error
        if identity != await known_identity(database, name):
            await remember_identity(database, name, identity)


async def _told(name: str, root: Path) -> str | None:
    try:
        return await asyncio.to_thread(read_identity, root)
    except (OSError, ValueError) as error:
        raise OriginError(f"origin {name}: {error}") from error
