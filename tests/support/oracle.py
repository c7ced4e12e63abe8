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
    return rows_at_once(gateway, sql)[0]


def rows_at_once(gateway: Gateway, *queries: str) -> list[list[tuple[object, ...]]]:
    """The rows of several queries, all of one and the same moment, however much is written meanwhile."""
    with closing(sqlite3.connect(f"file:{gateway.store_file}?mode=ro", uri=True, timeout=10)) as connection:
        connection.execute("BEGIN")
        return [connection.execute(sql).fetchall() for sql in queries]


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

USED = """
    SELECT project, category, uploader, size, 1 FROM objects JOIN buckets USING (bucket)
    UNION ALL SELECT project, category, uploader, bytes, objects FROM garbage WHERE bytes > 0 OR objects > 0
"""
"""What is charged: objects, and bodies of deleted ones that are not gone yet."""

Scope = tuple[str, str, str]
"""Project, category and uploader, where "" stands for all of them, as in the store's table of usage."""


def usage_is_the_sum_of_the_objects(gateway: Gateway) -> None:
    """Inv4, at any moment: the books say what the catalog holds, and what open writes and uploads have reserved."""
    for columns, sql in (("bytes, objects", USED), ("reserved_bytes, reserved_objects", RESERVED)):
        size: Counter[Scope] = Counter()
        count: Counter[Scope] = Counter()
        charged, books = rows_at_once(gateway, sql, _usage(columns))
        for project, category, uploader, bytes_, objects_ in charged:
            for scope in scopes(str(project), str(category), str(uploader)):
                size[scope] += int(str(bytes_))
                count[scope] += int(str(objects_))
        for scope, told in _by_scope(books).items():
            assert told == (size.pop(scope, 0), count.pop(scope, 0)), (scope, columns)
        assert not any(size.values())
        assert not any(count.values())


def scopes(project: str, category: str, uploader: str) -> tuple[Scope, Scope, Scope]:
    return (project, "", ""), (project, category, ""), (project, category, uploader)


def recorded_usage(gateway: Gateway, columns: str = "bytes, objects") -> dict[Scope, tuple[int, int]]:
    """Bytes and objects of each scope."""
    return _by_scope(rows(gateway, _usage(columns)))


def _usage(columns: str) -> str:
    return f"SELECT project, category, uploader, {columns} FROM usage"


def _by_scope(found: list[tuple[object, ...]]) -> dict[Scope, tuple[int, int]]:
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
