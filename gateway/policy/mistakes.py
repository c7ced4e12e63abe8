"""What is wrong with policy files though each table is right: names that nobody has, places that two share."""

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from gateway.config import did_you_mean
from gateway.policy.model import ANONYMOUS, EVERYBODY, Category, Project
from gateway.policy.roles import ASSUME_ROLE
from gateway.policy.tables import ProjectDocument, StatementDocument
from gateway.policy.values import check_bucket_name, matching_actions

_MAX_NAMES = 20
_BEGINS_SESSIONS = frozenset(ASSUME_ROLE)  # the evaluator knows no statement that allows it


@dataclass(frozen=True, slots=True)
class Mistake:
    """One mistake of a file: the key it is at, and what is wrong, in the words that the admin reads."""

    key: tuple[str, ...]
    what: str


def mistakes_of(document: ProjectDocument, path: Path, origins: Collection[str]) -> Iterator[Mistake]:
    """What only shows when the tables of a file are seen together, or beside gateway.toml with its `origins`."""
    if path.stem != document.project:
        yield Mistake(("project",), f"the file of project {document.project} is called {document.project}.toml")
    if document.origin is None and len(origins) != 1:
        known = ", ".join(sorted(origins))
        yield Mistake(("origin",), f"this key is required, since gateway.toml has several origins: {known}")
    yield from _origin_mistakes(document.origin, (), origins)
    for name, category in document.categories.items():
        yield from _origin_mistakes(category.origin, ("categories", name), origins)
        try:
            check_bucket_name(document.bucket_of(name))
        except ValueError as error:
            yield Mistake(("categories", name, "bucket"), str(error))
    yield from _statement_mistakes(document)


def taken_buckets(projects: Iterable[tuple[Path, Project]]) -> Iterator[tuple[Path, Mistake]]:
    """The categories whose bucket another one before them has, each with its file."""
    claimed: dict[str, tuple[Path, Category]] = {}
    for path, category in _categories(projects):
        other_path, other = claimed.setdefault(category.bucket, (path, category))
        if other is not category:
            what = f'"{category.bucket}" is taken by {_called(other, other_path, path)}'
            yield path, Mistake(("categories", category.name, "bucket"), what)


def shared_places(projects: Iterable[tuple[Path, Project]]) -> Iterator[tuple[Path, Mistake]]:
    """The categories whose place at an origin is another one's, or inside it: the later of the two, with its file."""
    placed = [(_place(category), order, path, category) for order, (path, category) in enumerate(_categories(projects))]
    outer = None
    for each in sorted(placed, key=lambda each: each[:2]):
        if outer is None or each[0][:2] != outer[0][:2] or not each[0][2].startswith(outer[0][2]):
            outer = each
            continue
        first, (place, _, path, category) = sorted((outer, each), key=lambda each: each[1])
        relation = "is" if place == first[0] else "is inside" if each[3] is category else "holds"
        what = f"its place at the origin, {_render(place)}, {relation} that of {_called(first[3], first[2], path)}"
        key = ("categories", category.name, "origin_prefix")
        yield path, Mistake(key, f"{what}, {_render(first[0])}; every category has a place of its own")


def _categories(projects: Iterable[tuple[Path, Project]]) -> Iterator[tuple[Path, Category]]:
    return ((path, category) for path, project in projects for category in project.categories.values())


def _called(category: Category, path: Path, seen_from: Path) -> str:
    return f"categories.{category.name}" if path == seen_from else f"{path}: categories.{category.name}"


def _place(category: Category) -> tuple[str, str, str]:
    return category.origin, category.origin_bucket, category.origin_prefix


def _render(place: tuple[str, str, str]) -> str:
    origin, bucket, prefix = place
    return f"{origin}:{bucket}/{prefix}"


def _origin_mistakes(origin: str | None, table: tuple[str, ...], origins: Collection[str]) -> Iterator[Mistake]:
    if origin is not None and origin not in origins:
        known = ", ".join(sorted(origins))
        yield Mistake((*table, "origin"), f'there is no origin "{origin}" in gateway.toml; there is {known}')


def _statement_mistakes(document: ProjectDocument) -> Iterator[Mistake]:
    buckets = {document.bucket_of(name) for name in document.categories}
    names: dict[str, int] = {}
    for number, statement in enumerate(document.statements):
        table = ("statements", str(number))
        first = names.setdefault(statement.name or ".".join(table), number)
        if first != number:
            yield Mistake((*table, "name"), f"statements.{first} has this name")
        for index, principal in enumerate(statement.principals):
            for what in _principal_mistakes(principal, statement, document):
                yield Mistake((*table, "principals", str(index)), what)
        for index, action in enumerate(statement.actions):
            if statement.effect == "allow" and _BEGINS_SESSIONS.issuperset(matching_actions(action)):
                what = 'no statement lets anybody begin sessions; a principal with role = "service" may'
                yield Mistake((*table, "actions", str(index)), what)
        for index, resource in enumerate(statement.resources):
            for what in _resource_mistakes(resource.partition("/")[0], buckets, document):
                yield Mistake((*table, "resources", str(index)), what)


def _principal_mistakes(principal: str, statement: StatementDocument, document: ProjectDocument) -> Iterator[str]:
    name, slash, _ = principal.partition("/")
    found = document.principals.get(name)
    if principal == ANONYMOUS and statement.effect == "allow":
        yield 'no statement allows requests without a signature; `read = "public"` in a category lets everybody read it'
    elif principal not in (ANONYMOUS, EVERYBODY) and found is None:
        yield f'there is no principal "{name}" in this file; {_there_are(name, document.principals)}'
    elif slash and found is not None and found.role != "service":
        yield f'only a service has end users, and the role of "{name}" is "{found.role}"'


def _resource_mistakes(bucket: str, buckets: Collection[str], document: ProjectDocument) -> Iterator[str]:
    """A bucket that the file does not know is one that a client makes; a category's name is a slip."""
    if "*" in bucket or bucket in buckets:
        return
    if bucket in document.categories:
        yield f'"{bucket}" is a category; clients see it as the bucket "{document.bucket_of(bucket)}"'
        return
    try:
        check_bucket_name(bucket)
    except ValueError as error:
        yield f"{error}; {_there_are(bucket, buckets)}"


def _there_are(wanted: str, names: Collection[str]) -> str:
    some = sorted(names)[:_MAX_NAMES]
    more = f" and {len(names) - len(some)} more" if len(names) > len(some) else ""
    return f"there is {', '.join(some) or 'none'}{more}{did_you_mean(wanted, names)}"
