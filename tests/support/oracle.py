"""What must hold for the store and the origin's directory of a gateway at rest, seen from outside.

Read with sqlite3 and os alone, so that no code of the gateway judges itself.
"""

import json
import sqlite3
from collections import Counter
from contextlib import closing
from pathlib import Path

from tests.support.gateway import Gateway


def rows(gateway: Gateway, sql: str) -> list[tuple[object, ...]]:
    """The rows of a query on the store, whose other users go on meanwhile."""
    with closing(sqlite3.connect(f"file:{gateway.store_file}?mode=ro", uri=True, timeout=10)) as connection:
        return connection.execute(sql).fetchall()


def open_intents(gateway: Gateway) -> int:
    """Writes that have begun and not ended."""
    return len(rows(gateway, "SELECT intent_id FROM intents"))


def garbage(gateway: Gateway) -> int:
    """Bodies that nothing refers to and that still wait for their end."""
    return len(rows(gateway, "SELECT location FROM garbage"))


IDENTITY = ".anbar-origin"
"""The file by which an origin's directory is known again."""


def files_of(directory: Path) -> set[str]:
    """Every file below a directory, relative to it."""
    return {str(path.relative_to(directory)) for path in directory.rglob("*") if not path.is_dir()}


def stray_files(gateway: Gateway) -> set[str]:
    """Files in the origin's directory that no object and no open upload needs."""
    whole = {IDENTITY}
    folders: tuple[str, ...] = ()
    for (location,) in rows(
        gateway, "SELECT location FROM objects UNION SELECT location FROM uploads WHERE state <> 'done'"
    ):
        place = str(location)
        if place.endswith("/"):
            folders += (place,)
        else:
            whole |= {place, place + ".json"}
    return {name for name in files_of(gateway.origin_directory) - whole if not name.startswith(folders) or not folders}


def at_rest(gateway: Gateway) -> bool:
    """Whether everything that began has ended and been cleaned up."""
    return not open_intents(gateway) and not garbage(gateway) and not stray_files(gateway)


RESERVED = """
    SELECT project, category, uploader, reserved_bytes, reserved_objects FROM intents
    UNION ALL SELECT project, category, uploader, 0, reserved_objects FROM uploads JOIN buckets USING (bucket)
        WHERE state <> 'done'
    UNION ALL SELECT project, category, uploader, size, 0
        FROM upload_parts JOIN uploads USING (upload_id) JOIN buckets USING (bucket)
"""
"""What writes under way and open uploads have reserved: project, category, uploader, bytes, objects."""

Scope = tuple[str, str, str]
"""Project, category and uploader, where "" stands for all of them, as in the store's table of usage."""


def usage_is_the_sum_of_the_objects(gateway: Gateway) -> None:
    """Inv4: the books say what the catalog holds, and what open uploads have reserved."""
    objects = "SELECT project, category, uploader, size, 1 FROM objects JOIN buckets USING (bucket)"
    for columns, sql in (("bytes, objects", objects), ("reserved_bytes, reserved_objects", RESERVED)):
        size: Counter[Scope] = Counter()
        count: Counter[Scope] = Counter()
        for project, category, uploader, bytes_, objects_ in rows(gateway, sql):
            for scope in scopes(str(project), str(category), str(uploader)):
                size[scope] += int(str(bytes_))
                count[scope] += int(str(objects_))
        for scope, told in recorded_usage(gateway, columns).items():
            assert told == (size.pop(scope, 0), count.pop(scope, 0)), (scope, columns)
        assert not any(size.values())
        assert not any(count.values())


def scopes(project: str, category: str, uploader: str) -> tuple[Scope, Scope, Scope]:
    return (project, "", ""), (project, category, ""), (project, category, uploader)


def recorded_usage(gateway: Gateway, columns: str = "bytes, objects") -> dict[Scope, tuple[int, int]]:
    """Bytes and objects of each scope."""
    found = rows(gateway, f"SELECT project, category, uploader, {columns} FROM usage")
    return {(str(p), str(c), str(u)): (int(str(size)), int(str(count))) for p, c, u, size, count in found}


def usage_command_agrees(gateway: Gateway) -> None:
    """`anbar usage --json` tells what the books say."""
    told: dict[Scope, tuple[int, int]] = {}
    for project in json.loads(gateway.command("usage", "--json"))["projects"]:
        name = project["project"]
        told[name, "", ""] = (project["bytes"], project["objects"])
        for category in project["categories"]:
            told[name, category["category"], ""] = (category["bytes"], category["objects"])
            for each in category["uploaders"]:
                told[name, category["category"], each["uploader"]] = (each["bytes"], each["objects"])
    recorded = recorded_usage(gateway)
    for scope in told.keys() | recorded.keys():
        assert told.get(scope, (0, 0)) == recorded.get(scope, (0, 0)), scope
