"""What the store knows of origins: which names its rows use, and which place each name stood for.

An origin tells an identity of its own. One that does not tell the identity the store knows is another place (a disk
that is not mounted, a wrong path): removing bodies there would remove nothing and give their room back.
"""

from gateway.store.database import Connection, Database

_IN_USE = """SELECT origin, count(*) FROM (
                 SELECT origin FROM objects UNION ALL SELECT origin FROM uploads UNION ALL SELECT origin FROM garbage
             ) GROUP BY origin"""


async def origins_in_use(database: Database) -> dict[str, int]:
    """How many objects, uploads and bodies to be removed lie at each origin, by its name."""
    return dict(await database.read(lambda connection: connection.execute(_IN_USE).fetchall()))


async def known_identity(database: Database, origin: str) -> str | None:
    """The identity that an origin had when it was first used; None for a new one."""
    row = await database.read(
        lambda connection: connection.execute("SELECT identity FROM origins WHERE origin = ?", (origin,)).fetchone()
    )
    return None if row is None else str(row[0])


async def remember_identity(database: Database, origin: str, identity: str) -> None:
    """From now on the origin of this name is that one."""

    def work(connection: Connection) -> None:
        connection.execute(
            "INSERT INTO origins (origin, identity) VALUES (?, ?) "
            "ON CONFLICT (origin) DO UPDATE SET identity = excluded.identity",
            (origin, identity),
        )

    await database.write(work)
