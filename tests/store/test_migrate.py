"""Migrations: each applied once, all or nothing, and never to a file that is not ours."""

import sqlite3
from collections.abc import Iterator

import pytest

from gateway.store import recount, writes
from gateway.store.migrate import migrate, migrations, require_ours
from gateway.store.records import Garbage


@pytest.fixture
def connection() -> Iterator[sqlite3.Connection]:
    opened = sqlite3.connect(":memory:", isolation_level=None)
    yield opened
    opened.close()


def schema(connection: sqlite3.Connection) -> list[tuple[str, str]]:
    return connection.execute("SELECT name, sql FROM sqlite_schema ORDER BY name").fetchall()


def test_numbers_go_up_by_one_from_one():
    assert [number for number, _ in migrations()] == list(range(1, len(migrations()) + 1))


def test_an_empty_file_gets_the_whole_schema(connection):
    migrate(connection, check=True)
    assert connection.execute("PRAGMA user_version").fetchone() == (len(migrations()),)
    assert {"objects", "uploads", "intents", "garbage", "usage"} <= {name for name, _ in schema(connection)}


def test_a_second_time_changes_nothing(connection):
    migrate(connection, check=False)
    before = schema(connection)
    migrate(connection, check=True)
    assert schema(connection) == before


def test_a_store_of_the_first_schema_keeps_what_is_in_it(connection):
    connection.executescript(f"{migrations()[0][1]}; PRAGMA user_version = 1;")
    connection.execute("INSERT INTO buckets VALUES ('b', 'p', 'c', 'local', 'b', '', 'policy', 1)")
    connection.execute(
        "INSERT INTO objects (bucket, key, version_id, uploader, size, etag, modified_s, origin, location, part_count, "
        "headers, metadata, tags) VALUES ('b', 'k', 'null', 'u', 3, 'e', 1, 'local', 'l', 0, '{}', '{}', '{}')"
    )
    migrate(connection, check=True)
    assert connection.execute("PRAGMA user_version").fetchone() == (len(migrations()),)
    plan = "SELECT key FROM objects WHERE bucket = 'b' AND uploader = 'u' AND key > '' ORDER BY key"
    assert connection.execute(plan).fetchall() == [("k",)]
    assert "objects_by_uploader" in connection.execute(f"EXPLAIN QUERY PLAN {plan}").fetchone()[3]
    assert connection.execute("SELECT count(*) FROM revisions").fetchone() == (0,)


def test_uploads_that_were_open_before_there_was_a_ledger_hold_their_room(connection):
    for number, sql in migrations()[:2]:
        connection.executescript(f"{sql}; PRAGMA user_version = {number};")
    connection.execute("INSERT INTO buckets VALUES ('b', 'p', 'c', 'local', 'b', '', 'policy', 1)")
    connection.execute("INSERT INTO buckets VALUES ('v', 'p', 'd', 'local', 'v', '', 'policy', 1)")
    connection.execute(
        "INSERT INTO objects (bucket, key, version_id, uploader, size, etag, modified_s, origin, location, part_count, "
        "headers, metadata, tags) VALUES ('b', 'k', 'null', 'u', 3, 'e', 1, 'local', 'l', 0, '{}', '{}', '{}')"
    )
    for scope in (("p", "", ""), ("p", "c", ""), ("p", "c", "u")):
        connection.execute("INSERT INTO usage VALUES (?, ?, ?, 3, 1)", scope)
    uploads = [("two", "b", "u", "open", 2), ("none", "b", "u", "open", 0), ("done", "b", "u", "done", 0)]
    uploads += [("ending", "b", "w", "completing", 1), ("elsewhere", "v", "u", "open", 1)]
    for upload_id, bucket, uploader, state, parts in uploads:
        connection.execute(
            "INSERT INTO uploads VALUES (?1, ?2, 'k', ?3, ?3, ?4, 1, 1, 'local', ?1, NULL, NULL, '{}', '{}', '{}', NULL)",
            (upload_id, bucket, uploader, state),
        )
        for number in range(parts):
            connection.execute(
                "INSERT INTO upload_parts VALUES (?, ?, 5, 'e', 1, 'l', NULL, NULL)", (upload_id, number)
            )
    migrate(connection, check=True)
    assert recount._look(connection, None, None) == []
    reserved = "SELECT bytes, objects, reserved_bytes, reserved_objects FROM usage WHERE category = ? AND uploader = ?"
    assert connection.execute(reserved, ("", "")).fetchone() == (3, 1, 20, 4)
    assert connection.execute(reserved, ("c", "u")).fetchone() == (3, 1, 10, 2)


def test_bodies_that_were_stored_or_waited_before_anybody_remembered_which_they_are(connection):
    for number, sql in migrations()[:4]:
        connection.executescript(f"{sql}; PRAGMA user_version = {number};")
    connection.execute("INSERT INTO buckets VALUES ('b', 'p', 'c', 'local', 'b', '', 'policy', 1)")
    connection.execute(
        "INSERT INTO objects (bucket, key, version_id, uploader, size, etag, modified_s, origin, location, origin_etag, "
        "part_count, headers, metadata, tags) "
        "VALUES ('b', 'k', 'null', 'u', 3, 'e', 1, 'local', 'b/k', 'o', 0, '{}', '{}', '{}')"
    )
    connection.execute("INSERT INTO garbage VALUES ('b/l', 'local', 'p', 'c', 'u', 3, 1, '', 0)")
    migrate(connection, check=True)
    assert writes.list_garbage(connection, 10, None) == [Garbage("b/l", "local", "p", "c", "u", 3, 1)]
    found = writes.find_object(connection, "b", "k")
    assert found is not None
    assert (found.write_id, found.origin_etag) == ("", "o")


def test_what_was_watched_before_anybody_remembered_its_beginning_may_have_begun_lately(connection):
    for number, sql in migrations()[:5]:
        connection.executescript(f"{sql}; PRAGMA user_version = {number};")
    insert = "INSERT INTO garbage VALUES (?, 'local', '', '', 'u', 0, 0, 'w', ?, NULL)"
    connection.executemany(insert, [("gone", 0), ("watched", 10_000)])
    migrate(connection, check=True)
    found = writes.list_garbage(connection, 10, None)
    assert [(each.location, each.begun_s) for each in found] == [("gone", 0), ("watched", 6400)]


def test_a_newer_schema_is_refused(connection):
    migrate(connection, check=False)
    connection.execute("PRAGMA user_version = 1000")
    with pytest.raises(sqlite3.DatabaseError, match="newer version"):
        require_ours(connection)


@pytest.mark.parametrize("version", [0, 1])
def test_somebody_elses_file_is_refused_and_left_as_it_is(connection, version):
    connection.execute("CREATE TABLE somebody (else_ TEXT)")
    connection.execute(f"PRAGMA user_version = {version}")
    before = schema(connection)
    with pytest.raises(sqlite3.DatabaseError, match="not a store of anbar"):
        require_ours(connection)
    assert schema(connection) == before


def test_an_empty_file_and_a_store_of_ours_are_let_in(connection):
    require_ours(connection)
    migrate(connection, check=False)
    require_ours(connection)


def test_sizes_and_usage_cannot_become_negative(connection):
    migrate(connection, check=False)
    connection.execute("INSERT INTO usage (project, category, uploader, bytes, objects) VALUES ('p', '', '', 5, 1)")
    with pytest.raises(sqlite3.IntegrityError):
        connection.execute("UPDATE usage SET bytes = bytes - 6")
    with pytest.raises(sqlite3.IntegrityError):
        connection.execute("UPDATE usage SET reserved_bytes = -1")
