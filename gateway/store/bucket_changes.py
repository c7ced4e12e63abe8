"""How buckets follow the policies: what a new state of the policies makes, changes and removes, and what it must not.

A bucket that holds objects is never dropped and never becomes another category's: the operator is told of every such
one, and of the way out. Objects stay where they are; only new ones go to a place that has changed.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from gateway.store.buckets import Bucket, all_buckets, delete_bucket, insert_bucket, is_empty
from gateway.store.database import Connection


class PolicyRefused(Exception):
    """The policies cannot take effect; `lines` tell the operator of everything that is in the way, and the ways out."""

    def __init__(self, lines: Sequence[str]) -> None:
        super().__init__("\n".join(lines))
        self.lines = tuple(lines)


@dataclass(frozen=True, slots=True)
class BucketChanges:
    """What has to happen to the buckets: `changed` as they will be. With refusals nothing happens."""

    removed: tuple[Bucket, ...]
    changed: tuple[Bucket, ...]
    made: tuple[Bucket, ...]
    refusals: tuple[str, ...]

    @property
    def is_empty(self) -> bool:
        return not (self.removed or self.changed or self.made or self.refusals)


@dataclass(frozen=True, slots=True)
class _Wanted:
    """The buckets that the policies name, by both names that a bucket has, and by their places at an origin."""

    buckets: dict[str, Bucket]
    categories: dict[tuple[str, str], Bucket]
    places: dict[tuple[str, str], Bucket]
    projects: Collection[str]


def find_changes(connection: Connection, buckets: Sequence[Bucket], projects: Collection[str]) -> BucketChanges:
    """What makes the store's buckets those of the policies; for use inside a transaction, it writes nothing.

    `buckets` are those of all categories of all `projects`. What clients made in these projects stays.
    """
    wanted = _Wanted(
        {each.bucket: each for each in buckets},
        {(each.project, each.category): each for each in buckets},
        {(each.origin, each.origin_bucket): each for each in buckets},
        projects,
    )
    removed, changed, refusals = [], [], []
    kept = set()
    for old in all_buckets(connection):
        own = wanted.categories.get((old.project, old.category))
        if own is not None and own.bucket == old.bucket:
            kept.add(old.bucket)
            new = replace(own, created_s=old.created_s)
            if new != old:
                changed.append(new)
        elif old.source == "client" and old.project in projects:
            refusals += _claims_on(old, wanted)
        else:
            removed.append(old)
            held = _what_is_held(connection, old)
            if held:
                refusals.append(_must_stay(old, held, wanted))
    made = [each for each in buckets if each.bucket not in kept]
    return BucketChanges(tuple(removed), tuple(changed), tuple(made), tuple(refusals))


def carry_out(connection: Connection, changes: BucketChanges) -> None:
    """Do all of it, inside the transaction in which it was found; raises PolicyRefused."""
    if changes.refusals:
        raise PolicyRefused(changes.refusals)
    for bucket in changes.removed:  # first: they free names and categories
        delete_bucket(connection, bucket.bucket)
    for bucket in changes.changed:
        connection.execute(
            "UPDATE buckets SET origin = ?, origin_bucket = ?, origin_prefix = ?, source = ? WHERE bucket = ?",
            (bucket.origin, bucket.origin_bucket, bucket.origin_prefix, bucket.source, bucket.bucket),
        )
    for bucket in changes.made:
        insert_bucket(connection, bucket)


def _what_is_held(connection: Connection, bucket: Bucket) -> str | None:
    """What is in a bucket, in words; None where it is empty.

    The sums are those of the usage: to count millions of rows would keep everybody else from writing.
    """
    if is_empty(connection, bucket.bucket):
        return None
    row = connection.execute(
        "SELECT objects, bytes FROM usage WHERE project = ? AND category = ? AND uploader = ''",
        (bucket.project, bucket.category),
    ).fetchone()
    if row is None or row[0] == 0:
        return "an upload that is being completed"
    return f"{row[0]:,} object{'' if row[0] == 1 else 's'} ({row[1]:,} bytes)"


def _must_stay(old: Bucket, held: str, wanted: _Wanted) -> str:
    """Why a bucket cannot go, and what to do."""
    name, own, claim = old.bucket, wanted.categories.get((old.project, old.category)), wanted.buckets.get(old.bucket)
    if own is not None:
        would, back = f'replaced by "{own.bucket}"', f'put bucket = "{name}" back'
    else:
        would = "dropped" if claim is None else f"that of category {claim.category} of project {claim.project}"
        back = f'put that category with bucket = "{name}" back'
        if old.project not in wanted.projects:
            back = f"put the file of project {old.project} back"
    return (
        f'project {old.project}, category {old.category}: its bucket "{name}" would be {would}, but it holds {held}; '
        f"{back}, or move or delete its objects first"
    )


def _claims_on(old: Bucket, wanted: _Wanted) -> list[str]:
    """What the policies want of a bucket that a client made, and cannot have."""
    name, lines = old.bucket, []
    own, claim = wanted.categories.get((old.project, old.category)), wanted.buckets.get(old.bucket)
    if own is not None:
        lines.append(
            f'project {own.project}, category {own.category}: it cannot have the bucket "{own.bucket}", '
            f'for a client made the bucket "{name}" of the same name as the category; '
            f'put bucket = "{name}" into the category, or delete that bucket first'
        )
    if claim is not None:
        lines.append(
            f'project {claim.project}, category {claim.category}: it cannot have the bucket "{name}", '
            f"which a client of project {old.project} made; take another name, or delete that bucket first"
        )
    place = wanted.places.get((old.origin, old.origin_bucket))
    if place is not None and place not in (own, claim):
        lines.append(
            f"project {place.project}, category {place.category}: its objects cannot lie in {old.origin_bucket} at "
            f'origin {old.origin}, where those of the bucket "{name}" lie, which a client made; '
            f"take another origin_bucket, or delete that bucket first"
        )
    return lines
