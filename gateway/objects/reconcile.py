"""Are the bodies of all objects at their origins, whole? A look that changes nothing, also beside a running gateway."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from gateway.origin.errors import BodyNotFound, OriginError
from gateway.origin.measure import measure_body
from gateway.store.database import Database
from gateway.store.recount import StoredBody, is_current, list_bodies

_PAGE = 500


@dataclass(frozen=True, slots=True)
class BadBody:
    """An object whose bytes are not what they must be; `found` is how many there are, where that is known."""

    body: StoredBody
    state: Literal["missing", "short", "long", "unreadable"]
    found: int | None = None


async def check_bodies(
    database: Database,
    roots: Mapping[str, Path | None],
    told: Callable[[int], None],
    project: str | None = None,
    category: str | None = None,
) -> tuple[int, list[BadBody]]:
    """How many bodies there are, and those that are not whole; `roots` are the directories by their origins' names.

    Bodies at an origin that is no directory (None) are not looked at, and not counted.
    `told` hears from time to time how many were looked at.
    """
    count, bad, last = 0, list[BadBody](), None
    while page := await list_bodies(database, last, _PAGE, project, category):
        seen = [body for body in page if body.origin not in roots or roots[body.origin] is not None]
        found = await asyncio.to_thread(_bad_ones, roots, seen)
        bad += [each for each in found if await is_current(database, each.body)]  # unless it was replaced meanwhile
        count, last = count + len(seen), page[-1]
        told(count)
    return count, bad


def _bad_ones(roots: Mapping[str, Path | None], page: Sequence[StoredBody]) -> list[BadBody]:
    return [bad for body in page if (bad := _look(roots, body)) is not None]


def _look(roots: Mapping[str, Path | None], body: StoredBody) -> BadBody | None:
    root = roots.get(body.origin)
    if root is None:
        return BadBody(body, "unreadable")
    try:
        size = measure_body(root, body.location)
    except BodyNotFound:
        return BadBody(body, "missing")
    except OriginError:
        return BadBody(body, "unreadable")
    if size == body.size:
        return None
    return BadBody(body, "short" if size < body.size else "long", size)
