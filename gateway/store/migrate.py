"""Numbered migrations: `migrations/NNNN_name.sql`, each applied once, in order, in one transaction; never edited.

SQLite's `user_version` holds the number of the last one. A store with a higher number was made by a newer program.
"""

import sqlite3
from importlib import resources

_APPLICATION_ID = 0x414E4252  # "ANBR": tells our stores from other SQLite files


def migrations() -> list[tuple[int, str]]:
    """All migrations, as (number, SQL text)."""
    folder = resources.files("gateway.store") / "migrations"
    files = sorted((entry for entry in folder.iterdir() if entry.name.endswith(".sql")), key=lambda e: e.name)
    return [(int(entry.name[:4]), entry.read_text(encoding="utf-8")) for entry in files]


def require_ours(connection: sqlite3.Connection) -> None:
    """Look, without changing anything, whether the file is a store of ours or empty.

    Raises sqlite3.DatabaseError with a text for the operator where it is neither.
    """
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    application = connection.execute("PRAGMA application_id").fetchone()[0]
    if application != _APPLICATION_ID and (version or connection.execute("SELECT 1 FROM sqlite_schema").fetchone()):
        raise sqlite3.DatabaseError("this SQLite file is not a store of anbar")
    newest = migrations()[-1][0]
    if version > newest:
        raise sqlite3.DatabaseError(
            f"the store has schema {version}, this program knows {newest}: it was made by a newer version"
        )


def migrate(connection: sqlite3.Connection, *, check: bool) -> None:
    """Bring the schema up to date; with `check`, read the whole file first and refuse a damaged one.

    Raises sqlite3.DatabaseError with a text for the operator where the file cannot be used.
    """
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    found = connection.execute("PRAGMA quick_check(1)").fetchone()[0] if check else "ok"
    if found != "ok":
        what = found.replace("*** in database main ***", "").strip().replace("\n", "; ")
        raise sqlite3.DatabaseError(f"the store is damaged ({what}): restore it from a backup")
    for number, sql in migrations():
        if number > version:
            connection.executescript(
                f"BEGIN IMMEDIATE;\n{sql}\nPRAGMA application_id = {_APPLICATION_ID};\n"
                f"PRAGMA user_version = {number};\nCOMMIT;"
            )
