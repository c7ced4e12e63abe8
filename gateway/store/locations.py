"""Who gets a key's own location at an origin: one write, object, upload or piece of garbage at a time.

For use inside a write transaction. A location may be followed by `?` and what the origin says of an upload that will
lie there; it is the same place then.
"""

from gateway.store.database import Connection

# "@" is the character after "?".
_TAKEN = """
    SELECT 1 FROM objects WHERE origin = ?1 AND location = ?2 AND origin_etag IS NOT NULL
    UNION ALL SELECT 1 FROM intents
        WHERE origin = ?1 AND (location = ?2 OR location > ?2 || '?' AND location < ?2 || '@')
    UNION ALL SELECT 1 FROM garbage
        WHERE origin = ?1 AND (location = ?2 OR location > ?2 || '?' AND location < ?2 || '@')
    UNION ALL SELECT 1 FROM uploads
        WHERE origin = ?1 AND location > ?2 || '?' AND location < ?2 || '@' AND state != 'done'
    LIMIT 1
"""


def choose_location(connection: Connection, origin: str, location: str, own_location: str | None) -> str:
    """The key's own location where there is one and nothing lies there, nor is about to; else `location`."""
    if own_location is None or connection.execute(_TAKEN, (origin, own_location)).fetchone() is not None:
        return location
    return own_location
