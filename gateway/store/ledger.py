"""The ledger: how much every project, category and uploader holds and has reserved, exact at every moment.

    begin    a write reserves what it may add           reserved += new
    commit   what it held becomes what it has added      reserved -= held, used += net
    release  a write that failed gives back what it held  reserved -= held
    delete   an object's room comes back when its body is gone

Used and reserved together never exceed a limit: whoever would is refused, in the transaction that would have made it
so. What was reserved may be used, also where the limit was lowered meanwhile. All functions run inside a write
transaction of their caller, so nobody else decides between a look and what follows from it.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from gateway.errors import Code, S3Error
from gateway.policy.model import Quota
from gateway.store.database import Connection, Database

_ADD = """INSERT INTO usage (project, category, uploader, bytes, objects, reserved_bytes, reserved_objects)
          VALUES (?1, '', '', max(?4, 0), max(?5, 0), max(?6, 0), max(?7, 0)),
                 (?1, ?2, '', max(?4, 0), max(?5, 0), max(?6, 0), max(?7, 0)),
                 (?1, ?2, ?3, max(?4, 0), max(?5, 0), max(?6, 0), max(?7, 0))
          ON CONFLICT (project, category, uploader) DO UPDATE SET
              bytes = max(usage.bytes + ?4, 0), objects = max(usage.objects + ?5, 0),
              reserved_bytes = max(usage.reserved_bytes + ?6, 0),
              reserved_objects = max(usage.reserved_objects + ?7, 0)"""
_FIND = """SELECT category, uploader, bytes, objects, reserved_bytes, reserved_objects FROM usage
           WHERE (project, category, uploader) IN (VALUES (?1, '', ''), (?1, ?2, ''), (?1, ?2, ?3))"""
_NEAR_PERCENT = (80, 95)


class Amount(NamedTuple):
    """Bytes and objects; of a difference either may be negative."""

    bytes: int = 0
    objects: int = 0

    def plus(self, other: "Amount") -> "Amount":
        return Amount(self.bytes + other.bytes, self.objects + other.objects)

    def less(self, other: "Amount") -> "Amount":
        return Amount(self.bytes - other.bytes, self.objects - other.objects)

    @property
    def positive(self) -> "Amount":
        """What of a difference is growth."""
        return Amount(max(self.bytes, 0), max(self.objects, 0))


NOTHING = Amount()


@dataclass(frozen=True, slots=True)
class Allowance:
    """The limits that hold for one write: of its project, of its category, and of an uploader in that category.

    `open_uploads`: how many multipart uploads its principal may have open in the project.
    """

    project: Quota | None = None
    category: Quota | None = None
    uploader: Quota | None = None
    open_uploads: int | None = None

    @property
    def is_limited(self) -> bool:
        """Is there a quota?"""
        return self.project is not None or self.category is not None or self.uploader is not None


NO_LIMITS = Allowance()


@dataclass(frozen=True, slots=True)
class Account:
    """Where a write is charged; without a project nowhere."""

    project: str
    category: str
    uploader: str


@dataclass(frozen=True, slots=True)
class Near:
    """A scope that a write has brought to 80 or 95 percent of a limit, or beyond; `unit` is bytes or objects."""

    project: str
    scope: str
    unit: str
    limit: int
    used: int

    @property
    def percent(self) -> int:
        return 100 * self.used // self.limit

    @property
    def threshold(self) -> int:
        """The highest of the percentages that it has come to."""
        return max(percent for percent in _NEAR_PERCENT if percent * self.limit <= 100 * self.used)


class _Standing(NamedTuple):
    """What a scope holds, and what is reserved in it."""

    used: Amount = NOTHING
    reserved: Amount = NOTHING

    @property
    def total(self) -> Amount:
        return self.used.plus(self.reserved)


_Scope = tuple[str, str]  # category and uploader, empty where it is wider
_Standings = Mapping[_Scope, _Standing]
_EMPTY = _Standing()


def reserve(connection: Connection, account: Account, wanted: Amount, allowance: Allowance) -> S3Error | None:
    """Take room for a write that begins; gives the refusal where a scope is full, and then has changed nothing."""
    refusal = _refusal_anew(connection, account, wanted, wanted, allowance)
    if refusal is None:
        _add(connection, account, NOTHING, wanted)
    return refusal


def settle(
    connection: Connection,
    account: Account,
    added: Amount,
    held: Amount,
    allowance: Allowance,
    *,
    replaced: Amount = NOTHING,
    replaced_uploader: str | None = None,
) -> tuple[Near, ...]:
    """A write is done: what it held is given back, what it has added counts, less what it replaced.

    Where it comes to more than it held, since what it replaces has shrunk or gone meanwhile, the limits decide anew.
    Gives the limits that it has come near to. Raises S3Error: QuotaExceeded.
    """
    net = added.less(replaced)
    same_hands = replaced_uploader in (None, account.uploader)
    own_net = net if same_hands else added
    near: tuple[Near, ...] = ()
    if allowance.is_limited:
        standings = _find(connection, account)
        refusal = _refusal(standings, account, net.less(held), added, allowance, own_net.less(held))
        if refusal is not None:
            raise refusal
        near = tuple(_nearing(standings, account, net, own_net, allowance))
    if same_hands:
        _add(connection, account, net, NOTHING.less(held))
    else:
        _add(connection, account, added, NOTHING.less(held))
        give_back(connection, Account(account.project, account.category, replaced_uploader or ""), replaced)
    return near


def exchange(connection: Connection, account: Account, kept: Amount, held: Amount, allowance: Allowance) -> None:
    """A part is stored: what its write held is given back, what the upload holds more (or less) is reserved.

    Raises S3Error: QuotaExceeded.
    """
    growth = kept.less(held)
    refusal = _refusal_anew(connection, account, growth, kept, allowance)
    if refusal is not None:
        raise refusal
    _add(connection, account, NOTHING, growth)


def release(connection: Connection, account: Account, held: Amount) -> None:
    """Give back what a write or an upload held and has not used."""
    if held != NOTHING:
        _add(connection, account, NOTHING, NOTHING.less(held))


def give_back(connection: Connection, account: Account, gone: Amount) -> None:
    """What was charged is gone from the origin."""
    _add(connection, account, NOTHING.less(gone), NOTHING)


def _find(connection: Connection, account: Account) -> _Standings:
    rows = connection.execute(_FIND, (account.project, account.category, account.uploader)).fetchall()
    return {(row[0], row[1]): _Standing(Amount(row[2], row[3]), Amount(row[4], row[5])) for row in rows}


def _refusal_anew(
    connection: Connection, account: Account, growth: Amount, requested: Amount, allowance: Allowance
) -> S3Error | None:
    """Why the scopes cannot grow so much; the store is not asked where they do not grow, or have no limits."""
    if not allowance.is_limited or growth.positive == NOTHING:
        return None
    return _refusal(_find(connection, account), account, growth, requested, allowance, growth)


def _refusal(
    standings: _Standings,
    account: Account,
    growth: Amount,
    requested: Amount,
    allowance: Allowance,
    own_growth: Amount,
) -> S3Error | None:
    """The same of what was found; `own_growth` is that of the uploader's scope, where an object changes hands."""
    for name, scope, quota in _limited(account, allowance):
        total, more_of = standings.get(scope, _EMPTY).total, own_growth if scope[1] else growth
        for unit, limit, has, more, asked in (
            ("bytes", quota.bytes, total.bytes, more_of.bytes, requested.bytes),
            ("objects", quota.objects, total.objects, more_of.objects, requested.objects),
        ):
            if limit is not None and more > 0 and has + more > limit:
                return quota_exceeded(name, unit, limit, has, asked)
    return None


def _nearing(
    standings: _Standings, account: Account, net: Amount, own_net: Amount, allowance: Allowance
) -> Iterator[Near]:
    """The limits to which the scopes come near by growing so much; those that they were as near to are not told."""
    for name, scope, quota in _limited(account, allowance):
        used, more_of = standings.get(scope, _EMPTY).used, own_net if scope[1] else net
        for unit, limit, before, more in (
            ("bytes", quota.bytes, used.bytes, more_of.bytes),
            ("objects", quota.objects, used.objects, more_of.objects),
        ):
            after = before + more
            if limit is not None and any(100 * before < percent * limit <= 100 * after for percent in _NEAR_PERCENT):
                yield Near(account.project, name, unit, limit, after)


def _limited(account: Account, allowance: Allowance) -> Iterator[tuple[str, _Scope, Quota]]:
    """The scopes that have a limit, the smallest first: who is told of it can do most about that."""
    if allowance.uploader is not None:
        scope = account.category, account.uploader
        yield scope_name(account.project, *scope), scope, allowance.uploader
    if allowance.category is not None:
        yield scope_name(account.project, account.category), (account.category, ""), allowance.category
    if allowance.project is not None:
        yield scope_name(account.project), ("", ""), allowance.project


def scope_name(project: str, category: str | None = None, uploader: str | None = None) -> str:
    """What a scope is called: "project demo", "category media", "uploader sara in category media"."""
    if not category:
        return f"project {project}"
    return f"uploader {uploader} in category {category}" if uploader else f"category {category}"


def quota_exceeded(scope: str, unit: str, limit: int, used: int, requested: int) -> S3Error:
    """The refusal of what does not fit; `unit` is bytes, objects or open uploads."""
    message = f"The quota of {scope} is {limit} {unit}; {used} are used or reserved, {requested} more were requested."
    return S3Error(Code.QuotaExceeded, message, Scope=scope, Unit=unit, Limit=limit, Used=used, Requested=requested)


def _add(connection: Connection, account: Account, used: Amount, reserved: Amount) -> None:
    connection.execute(_ADD, (account.project, account.category, account.uploader, *used, *reserved))


async def tightest(database: Database, account: Account, allowance: Allowance) -> tuple[int, int] | None:
    """Limit and use, in bytes, of the scope with the least room left; reserved bytes are used. None: no limit."""
    if not allowance.is_limited:
        return None
    standings = await database.read(lambda connection: _find(connection, account))
    found = [
        (quota.bytes, standings.get(scope, _EMPTY).total.bytes)
        for _, scope, quota in _limited(account, allowance)
        if quota.bytes is not None
    ]
    return min(found, key=lambda each: each[0] - each[1], default=None)


@dataclass(frozen=True, slots=True)
class UsageRow:
    """What one scope holds and has reserved: a project (no category), a category (no uploader), an uploader in one."""

    project: str
    category: str | None
    uploader: str | None
    bytes: int
    objects: int
    reserved_bytes: int = 0
    reserved_objects: int = 0


async def read_usage(database: Database, project: str | None = None) -> list[UsageRow]:
    """Every scope that holds or reserves something, sums before their parts; of one project or of all."""
    rows = await database.read(
        lambda connection: connection.execute(
            "SELECT project, category, uploader, bytes, objects, reserved_bytes, reserved_objects FROM usage "
            "WHERE (?1 IS NULL OR project = ?1) "
            "AND (bytes > 0 OR objects > 0 OR reserved_bytes > 0 OR reserved_objects > 0) "
            "ORDER BY project, category, uploader",
            (project,),
        ).fetchall()
    )
    return [UsageRow(p, c or None, u or None, *amounts) for p, c, u, *amounts in rows]


async def read_totals(database: Database) -> list[UsageRow]:
    """What projects and their categories hold and have reserved, without the uploaders'."""
    rows = await database.read(
        lambda connection: connection.execute(
            "SELECT project, category, bytes, objects, reserved_bytes, reserved_objects FROM usage WHERE uploader = ''"
        ).fetchall()
    )
    return [UsageRow(project, category or None, None, *amounts) for project, category, *amounts in rows]
