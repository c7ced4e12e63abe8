"""Policy files → PolicySet.

One TOML file a project, `<project>.toml`. A mistake anywhere refuses the whole set: there is no half-applied policy,
and nothing that was not understood is passed over.
"""

import re
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, ValidationError

from gateway.config import ConfigError, Name, Table, describe_mistakes, mistake, parse_toml
from gateway.policy.model import Category, CorsRule, PolicySet, Principal, Project, Role

_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_ADDRESS = re.compile(r"[0-9]{1,3}(\.[0-9]{1,3}){3}")
_PRINCIPAL = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._@-]{0,62}[A-Za-z0-9])?")
_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,128}")
_WEB_ORIGIN = re.compile(r"[\x21-\x7e]{1,256}")


def check_bucket_name(bucket: str) -> str:
    """Refuse what S3 does not take for a bucket's name.

    https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html
    """
    if not _BUCKET.fullmatch(bucket) or _ADDRESS.fullmatch(bucket) or any(bad in bucket for bad in ("..", ".-", "-.")):
        raise mistake(f'"{bucket}" is no bucket name: 3 to 63 of a-z, 0-9, - and ., not an IP address')
    if bucket.startswith(("xn--", "sthree-")) or bucket.endswith(("-s3alias", "--ol-s3")):
        raise mistake(f'"{bucket}" is no bucket name: S3 reserves its beginning or ending')
    return bucket


def _check_principal(name: str) -> str:
    if not _PRINCIPAL.fullmatch(name):
        raise mistake("a principal has 1 to 64 of letters, digits, . _ @ - and begins and ends with a letter or digit")
    return name


def _check_role(value: object) -> object:
    if value in ("service", "uploader", "reader"):
        raise mistake(f'the role "{value}" is not there yet; the only role is "admin"')
    if value != Role.ADMIN.value:
        raise mistake('the only role yet is "admin"')
    return value


def _check_web_origin(value: str) -> str:
    if not _WEB_ORIGIN.fullmatch(value) or value.count("*") > 1:
        raise mistake('an origin is "*" or like "https://app.example", with one * at most')
    return value


def _check_header(value: str) -> str:
    if not _HEADER.fullmatch(value) or value.count("*") > 1:
        raise mistake("a header name, with one * at most")
    return value


def _check_exposed_header(value: str) -> str:
    # S3 takes no wildcard here: browsers read a lone * as a name when credentials are sent.
    if "*" in value:
        raise mistake("headers are exposed by their full names, without *")
    return _check_header(value)


def _listed(value: object) -> object:
    return tuple(value) if isinstance(value, list) else value


Method = Literal["GET", "PUT", "POST", "HEAD", "DELETE"]


class CorsDocument(Table):
    """A `[[cors]]` table."""

    allowed_origins: Annotated[
        tuple[Annotated[str, AfterValidator(_check_web_origin)], ...], BeforeValidator(_listed), Field(min_length=1)
    ] = Field(description='Pages\' origins, `"https://app.example"`; one `*` each at most.')
    allowed_methods: Annotated[tuple[Method, ...], BeforeValidator(_listed), Field(min_length=1)] = Field(
        description="Of GET, PUT, POST, HEAD and DELETE."
    )
    allowed_headers: Annotated[tuple[Annotated[str, AfterValidator(_check_header)], ...], BeforeValidator(_listed)] = (
        Field(default=(), description="Request headers a page may send; one `*` each at most.")
    )
    expose_headers: Annotated[
        tuple[Annotated[str, AfterValidator(_check_exposed_header)], ...], BeforeValidator(_listed)
    ] = Field(default=(), description="Answer headers a page may read.")
    max_age_s: int | None = Field(
        default=None, ge=0, le=86400, description="How long a browser may keep the answer to a preflight."
    )

    def to_model(self) -> CorsRule:
        return CorsRule(
            self.allowed_origins, self.allowed_methods, self.allowed_headers, self.expose_headers, self.max_age_s
        )


CorsDocuments = Annotated[tuple[CorsDocument, ...], BeforeValidator(_listed), Field(max_length=100)]


class CategoryDocument(Table):
    """A `[categories.NAME]` table."""

    bucket: Annotated[str, AfterValidator(check_bucket_name)] | None = Field(
        default=None, description='The bucket that clients see. Default: "<project>-<category>".'
    )
    origin: Name | None = Field(
        default=None, description="The name of an origin in gateway.toml. Default: the project's."
    )
    cors: CorsDocuments = Field(default=(), description="The category's own CORS rules, instead of the project's.")


class PrincipalDocument(Table):
    """A `[principals.NAME]` table."""

    role: Annotated[Literal["admin"], BeforeValidator(_check_role)] = Field(
        description='"admin": everything in the project.'
    )


class ProjectDocument(Table):
    """A whole policy file."""

    project: Name = Field(description="The project's name; the file is called `<project>.toml`.")
    origin: Name | None = Field(
        default=None,
        description="The origin of categories that name none and of buckets that clients make. "
        "Default: the only origin in gateway.toml.",
    )
    categories: dict[Name, CategoryDocument] = Field(default={}, description="The project's kinds of media.")
    principals: dict[Annotated[str, AfterValidator(_check_principal)], PrincipalDocument] = Field(
        default={}, description="Who may hold access keys."
    )
    cors: CorsDocuments = Field(default=(), description="CORS rules for the categories that have none of their own.")


def parse_policies(texts: Mapping[Path, str], origins: Collection[str]) -> PolicySet:
    """All the projects of a directory's files; `origins` are the names that gateway.toml defines.

    Raises ConfigError for the first file with mistakes, with all of that file's mistakes, and for a bucket that two
    categories claim.
    """
    projects = tuple(parse_policy(text, path, origins) for path, text in texts.items())
    claimed: dict[str, tuple[Path, Category]] = {}
    for path, project in zip(texts, projects, strict=True):
        for category in project.categories.values():
            if category.bucket in claimed:
                other_path, other = claimed[category.bucket]
                place = f"categories.{other.name}" if other_path == path else f"{other_path}: categories.{other.name}"
                what = f'categories.{category.name}.bucket: "{category.bucket}" is taken by {place}'
                raise ConfigError(path, [what])
            claimed[category.bucket] = path, category
    return PolicySet(projects)


def parse_policy(text: str, path: Path, origins: Collection[str]) -> Project:
    """One project from the text of its file; raises ConfigError with every mistake."""
    data = parse_toml(text, path)
    try:
        document = ProjectDocument.model_validate(data)
    except ValidationError as error:
        raise ConfigError(path, describe_mistakes(error, text)) from None
    found = list(_mistakes(document, path, origins))
    if found:
        raise ConfigError(path, found)
    return _to_model(document, origins)


def _mistakes(document: ProjectDocument, path: Path, origins: Collection[str]) -> Iterator[str]:
    """What only shows when the tables are seen together, or beside gateway.toml."""
    if path.stem != document.project:
        yield f"project: the file of project {document.project} is called {document.project}.toml"
    known = ", ".join(sorted(origins))
    if document.origin is not None and document.origin not in origins:
        yield f'origin: there is no origin "{document.origin}" in gateway.toml; there is {known}'
    if document.origin is None and len(origins) != 1:
        yield f"origin: this key is required, since gateway.toml has several origins: {known}"
    for name, category in document.categories.items():
        if category.origin is not None and category.origin not in origins:
            yield f'categories.{name}.origin: there is no origin "{category.origin}" in gateway.toml; there is {known}'
        try:
            check_bucket_name(category.bucket or f"{document.project}-{name}")
        except ValueError as error:
            yield f"categories.{name}.bucket: {error}"


def _to_model(document: ProjectDocument, origins: Collection[str]) -> Project:
    origin = document.origin or next(iter(origins))
    cors = tuple(rule.to_model() for rule in document.cors)
    categories = {}
    for name, category in document.categories.items():
        bucket = category.bucket or f"{document.project}-{name}"
        own_cors = tuple(rule.to_model() for rule in category.cors)
        categories[name] = Category(
            project=document.project,
            name=name,
            bucket=bucket,
            origin=category.origin or origin,
            origin_bucket=bucket,
            cors=own_cors or cors,
        )
    principals = {
        name: Principal(document.project, name, Role(principal.role)) for name, principal in document.principals.items()
    }
    return Project(document.project, categories, principals, cors, origin)
