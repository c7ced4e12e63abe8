"""Policy files → PolicySet.

One TOML file a project, `<project>.toml`. A mistake anywhere refuses the whole set: there is no half-applied policy,
and nothing that was not understood is passed over.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from pathlib import Path

from pydantic import ValidationError

from gateway.config import ConfigError, describe_mistakes, parse_toml, place_mistakes
from gateway.policy.mistakes import Mistake, mistakes_of, shared_places, taken_buckets
from gateway.policy.model import Category, Effect, PolicySet, Principal, Project, Role, Statement
from gateway.policy.tables import CategoryDocument, ProjectDocument, StatementDocument
from gateway.policy.values import check_bucket_name
from gateway.toml_lines import lines_of_keys

__all__ = ["check_bucket_name", "parse_policies", "parse_policy"]

Projects = Iterable[tuple[Path, Project]]


def parse_policies(texts: Mapping[Path, str], origins: Collection[str]) -> PolicySet:
    """All the projects of a directory's files; `origins` are the names that gateway.toml defines.

    Raises ConfigError for the first file with mistakes, with all of that file's mistakes, and for a bucket or a place
    at an origin that two categories claim.
    """
    projects = [(path, parse_policy(text, path, origins)) for path, text in texts.items()]
    _refuse(taken_buckets, projects, texts)
    _refuse(shared_places, projects, texts)
    return PolicySet(tuple(project for _, project in projects))


def _refuse(
    look: Callable[[Projects], Iterator[tuple[Path, Mistake]]], projects: Projects, texts: Mapping[Path, str]
) -> None:
    found = list(look(projects))
    for path, text in texts.items():
        if mistakes := [mistake for of, mistake in found if of == path]:
            raise ConfigError(path, _describe(mistakes, text))


def parse_policy(text: str, path: Path, origins: Collection[str]) -> Project:
    """One project from the text of its file; raises ConfigError with every mistake."""
    data = parse_toml(text, path)
    try:
        document = ProjectDocument.model_validate(data)
    except ValidationError as error:
        raise ConfigError(path, describe_mistakes(error, text, ProjectDocument)) from None
    found = list(mistakes_of(document, path, origins))
    if found:
        raise ConfigError(path, _describe(found, text))
    return _to_model(document, text, path, document.origin or next(iter(origins)))


def _describe(mistakes: Iterable[Mistake], text: str) -> list[str]:
    return place_mistakes(((mistake.key, mistake.what) for mistake in mistakes), text)


def _to_model(document: ProjectDocument, text: str, path: Path, origin: str) -> Project:
    lines = lines_of_keys(text) if document.statements else {}
    line_of_all = lines.get(("statements",), 0)
    name = document.project
    return Project(
        name=name,
        categories={each: _category(document, each, table, origin) for each, table in document.categories.items()},
        principals={each: Principal(name, each, Role(table.role)) for each, table in document.principals.items()},
        cors=tuple(rule.to_model() for rule in document.cors),
        origin=origin,
        statements=tuple(
            _statement(f"statements.{number}", table, lines.get(("statements", str(number)), line_of_all))
            for number, table in enumerate(document.statements)
        ),
        quota=document.quota.to_model() if document.quota else None,
        uploader_header=document.uploader_header,
        max_open_uploads=document.max_open_uploads,
        file=path.name,
    )


def _category(document: ProjectDocument, name: str, table: CategoryDocument, origin: str) -> Category:
    bucket = document.bucket_of(name)
    return Category(
        project=document.project,
        name=name,
        bucket=bucket,
        origin=table.origin or origin,
        origin_bucket=table.origin_bucket or bucket,
        origin_prefix=table.origin_prefix,
        cors=tuple(rule.to_model() for rule in table.cors or document.cors),
        adopt=table.adopt,
        public=table.read == "public",
        content_types=table.content_types,
        max_object_size=table.max_object_size,
        quota=table.quota.to_model() if table.quota else None,
        quota_per_uploader=table.quota_per_uploader.to_model() if table.quota_per_uploader else None,
        cache=table.cache is not None,
        cache_max_object_size=table.cache.max_object_size if table.cache else None,
        max_age_s=table.max_age_s or 0,
    )


def _statement(default_name: str, table: StatementDocument, line: int) -> Statement:
    return Statement(
        name=table.name or default_name,
        effect=Effect(table.effect),
        principals=table.principals,
        actions=table.actions,
        resources=table.resources,
        conditions=table.conditions(),
        line=line,
    )
