"""What lies in a directory origin: every body that was finished has its description beside it, which says what it is.

    sara.jpg@ID  and  sara.jpg@ID.json        a body in one file
    film.mp4@ID/manifest.json, meta.json      one in parts

A file without a description was never finished and is not shown.
"""

import json
import os
import stat
from collections.abc import AsyncIterator, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from gateway.origin.errors import BodyNotFound, OriginError, origin_errors
from gateway.origin.measure import measure_body
from gateway.origin.paths import object_path, write_id_of
from gateway.origin.survey import ExaminedBody, LyingBody
from gateway.threads import Threads

_PAGE = 500
_BESIDE = ".json"
_META = "meta.json"


class DirectorySurvey:
    """Implements gateway.origin.survey.Survey."""

    def __init__(self, root: Path, threads: Threads) -> None:
        self._root = root
        self._threads = threads

    async def bodies(self, bucket: str, prefix: str, after: str) -> AsyncIterator[Sequence[LyingBody]]:
        found = _walk(f"{self._root}/", _folder(bucket, prefix), after)

        def page() -> list[LyingBody]:
            return [_lying(self._root, location) for location in islice(found, _PAGE)]

        with origin_errors(str(self._root)):
            while bodies := await self._threads.run(page):
                yield bodies

    async def examine(self, location: str) -> ExaminedBody | None:
        with origin_errors(location):
            return await self._threads.run(_examine, self._root, location)


def _folder(bucket: str, prefix: str) -> str:
    """Where the bodies of a place are: a prefix ends in a slash, so it is a directory."""
    leaf = "x@w"
    return object_path(bucket, f"{prefix}x", "w").removesuffix(leaf)


def _walk(root: str, folder: str, after: str) -> Iterator[str]:
    """The locations of finished bodies after `after`, in the order of their texts; blocks."""
    try:
        with os.scandir(root + folder) as entries:
            names = sorted(f"{folder}{each.name}{_slash(each)}" for each in entries)
    except FileNotFoundError:  # nothing was ever stored there, or it has just become empty
        return
    known = set(names)
    for name in names:
        if not name.endswith("/"):
            if name + _BESIDE in known and name > after:
                yield name
        elif "@" in name[len(folder) :] and os.path.exists(root + name + _META):
            if name > after:
                yield name
        elif name > after or after.startswith(name):
            yield from _walk(root, name, after)


def _slash(entry: "os.DirEntry[str]") -> str:
    return "/" if entry.is_dir(follow_symlinks=False) else ""


def _lying(root: Path, location: str) -> LyingBody:
    described = _description(root, location)
    size = None
    try:
        size = measure_body(root, location)
    except OriginError:
        pass
    key = described.get("key") if described else None
    return LyingBody(location, (key,) if isinstance(key, str) else (), size, None, location)


def _examine(root: Path, location: str) -> ExaminedBody | None:
    described = _description(root, location)
    if described is None:
        return None
    try:
        size = measure_body(root, location)
    except BodyNotFound:
        return None
    try:
        return ExaminedBody(
            size=size,
            etag=str(described["etag"]),
            origin_etag=None,
            modified_s=int(os.stat(f"{root}/{location}", follow_symlinks=False).st_mtime),
            uploader=str(described["uploader"]),
            write_id=write_id_of(location),
            key=str(described["key"]),
            headers=_texts(described["headers"]),
            metadata=_texts(described["metadata"]),
            tags=_texts(described["tags"]),
        )
    except (KeyError, TypeError) as error:
        raise OriginError(f"{location}: its description is damaged") from error


def _description(root: Path, location: str) -> dict[str, Any] | None:
    path = f"{root}/{location}{_META if location.endswith('/') else _BESIDE}"
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        return None
    with open(fd, "rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            return None
        text = file.read()
    try:
        described = json.loads(text)
    except ValueError:
        return None
    return described if isinstance(described, dict) else None


def _texts(found: Any) -> dict[str, str]:
    if not isinstance(found, dict):
        raise TypeError("not a table")
    return {str(name): str(value) for name, value in found.items()}
