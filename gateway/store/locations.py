"""Who gets a key's own location at an origin: one write, object, upload or piece of garbage at a time.

For use inside a write transaction. A location may be followed by `?` and what the origin says of an upload that will
lie there; it is the same place then.
"""

from gateway.store.database import Connection

# "@" is the character after "?".
_HELD = """
    SELECT 1 FROM intents
        WHERE origin = ?1 AND (location = ?2 OR location > ?2 || '?' AND location < ?2 || '@')
    UNION ALL SELECT 1 FROM garbage
        WHERE origin = ?1 AND (location = ?2 OR location > ?2 || '?' AND location < ?2 || '@')
    UNION ALL SELECT 1 FROM uploads
        WHERE origin = ?1 AND (location = ?2 OR location > ?2 || '?' AND location < ?2 || '@') AND state != 'done'
"""
_TAKEN = f"""{_HELD}
    UNION ALL SELECT 1 FROM objects WHERE origin = ?1 AND location = ?2 AND origin_etag IS NOT NULL
    LIMIT 1
"""


def is_held(connection: Connection, origin: str, location: str) -> bool:
    """Is a write, an upload or a removal about to change what lies at a place?"""
    return connection.execute(f"{_HELD} LIMIT 1", (origin, location)).fetchone() is not None


def is_taken(connection: Connection, origin: str, location: str) -> bool:
    """Does something lie at a place, or is it about to, or about to go?"""
    return connection.execute(_TAKEN, (origin, location)).fetchone() is not None


def choose_location(connection: Connection, origin: str, location: str, own_location: str | None) -> str:
    """The key's own location where there is one and nothing lies there, nor is about to; else `location`."""
    if own_location is None or is_taken(connection, origin, own_location):
        return location
    return own_location
