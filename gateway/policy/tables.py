"""The tables of a policy file: their keys, what may stand in each, and what they mean as values of the model.

What shows only when tables are seen together is in `gateway.policy.mistakes`.
"""

from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, ConfigDict, Field, model_validator

from gateway.policy.model import ANONYMOUS, UPLOADER_HEADER, Conditions, CorsRule, Quota
from gateway.policy.roles import CHANGE_OBJECTS, READ_OBJECTS, STORE_OBJECTS
from gateway.policy.values import (
    Action,
    BucketName,
    Distinct,
    ExposedHeader,
    Header,
    KeyBeginning,
    Listed,
    MediaType,
    Method,
    OriginPrefix,
    PrincipalName,
    Resource,
    Some,
    SourceNetwork,
    StatementName,
    StatementPrincipal,
    UploaderHeader,
    WebOrigin,
    matching_actions,
)
from gateway.toml_fields import Name, PositiveSize, Table, mistake, mistake_at

MAX_STATEMENTS = 2000
MAX_PREFIXES = 100
MAX_OBJECTS = 2**63 - 1

_ABOUT_OBJECTS = frozenset(READ_OBJECTS + STORE_OBJECTS + CHANGE_OBJECTS)


def _parse_quota(value: object) -> object:
    if not isinstance(value, dict | QuotaDocument) or value == {}:
        raise mistake('a quota is a table such as { bytes = "20GiB", objects = 500_000 }, or one of the two')
    return value


def _parse_cache(value: object) -> object:
    if value is True or value is False:
        return CacheDocument() if value else None
    if not isinstance(value, dict | CacheDocument):
        raise mistake('must be true, false or a table such as { max_object_size = "8MiB" }')
    return value


class CorsDocument(Table):
    """A `[[cors]]` table."""

    allowed_origins: Annotated[tuple[WebOrigin, ...], Listed, Field(min_length=1)] = Field(
        description='Pages\' origins, `"https://app.example"`; one `*` each at most.'
    )
    allowed_methods: Annotated[tuple[Method, ...], Listed, Field(min_length=1)] = Field(
        description="Of GET, PUT, POST, HEAD and DELETE."
    )
    allowed_headers: Annotated[tuple[Header, ...], Listed] = Field(
        default=(), description="Request headers a page may send; one `*` each at most."
    )
    expose_headers: Annotated[tuple[ExposedHeader, ...], Listed] = Field(
        default=(), description="Answer headers a page may read."
    )
    max_age_s: int | None = Field(
        default=None, ge=0, le=86400, description="How long a browser may keep the answer to a preflight."
    )

    def to_model(self) -> CorsRule:
        return CorsRule(
            self.allowed_origins, self.allowed_methods, self.allowed_headers, self.expose_headers, self.max_age_s
        )


CorsDocuments = Annotated[tuple[CorsDocument, ...], Listed, Field(max_length=100)]


class QuotaDocument(Table):
    """A `quota` table: one limit or both."""

    model_config = ConfigDict(json_schema_extra={"minProperties": 1})

    bytes: PositiveSize | None = Field(default=None, description='How many bytes, `"20GiB"`. Unset: any.')
    objects: int | None = Field(default=None, ge=1, le=MAX_OBJECTS, description="How many objects. Unset: any.")

    def to_model(self) -> Quota:
        return Quota(self.bytes, self.objects)


QuotaTable = Annotated[QuotaDocument, BeforeValidator(_parse_quota)]


class CacheDocument(Table):
    """A `cache` table."""

    max_object_size: PositiveSize | None = Field(
        default=None, description="Larger objects are not kept close. Unset: all of them are."
    )


class CategoryDocument(Table):
    """A `[categories.NAME]` table."""

    bucket: BucketName | None = Field(
        default=None, description='The bucket that clients see. Default: "<project>-<category>".'
    )
    origin: Name | None = Field(
        default=None, description="The name of an origin in gateway.toml. Default: the project's."
    )
    origin_bucket: BucketName | None = Field(
        default=None, description="The bucket at the origin that keeps the bytes. Default: the same as `bucket`."
    )
    origin_prefix: OriginPrefix = Field(
        default="",
        description='What the keys at the origin begin with, `"profile-images/"`, so that categories can share a '
        "bucket there. No two categories share a place.",
    )
    adopt: bool = Field(
        default=False,
        description="Objects that lie at its place at the origin and were not stored through here are taken in as they "
        "are asked for; they belong to the admins. For a bucket that was there before, or that others write to.",
    )
    read: Literal["private", "public"] = Field(
        default="private",
        description='Who reads its objects beside those whom roles and statements let: "public" is everybody, without '
        "a signature (GET and HEAD of objects; never listings).",
    )
    content_types: Annotated[tuple[MediaType, ...], Distinct, Some] = Field(
        default=(),
        description='The media types that may be stored, `"image/jpeg"` or `"image/*"`; the first bytes must be of the '
        "declared type. Unset: any.",
    )
    max_object_size: PositiveSize | None = Field(
        default=None, description='The largest object that may be stored, `"5MiB"`. Unset: any that `[limits]` allows.'
    )
    quota: QuotaTable | None = Field(default=None, description="How much all its objects may be together.")
    quota_per_uploader: QuotaTable | None = Field(
        default=None, description="How much the objects of one uploader in it may be together."
    )
    cache: Annotated[
        CacheDocument | None, BeforeValidator(_parse_cache, json_schema_input_type=bool | CacheDocument)
    ] = Field(
        default=None,
        description="Keep objects that were read close: true, false (default) or a table. What lies in a local "
        "directory is close already.",
    )
    max_age_s: Annotated[int | None, Field(ge=0, le=366 * 86400)] = Field(
        default=None,
        description="Of a public category: for how many seconds browsers and proxies may keep its objects without "
        "asking again. Default: 0, they ask each time. An object's own Cache-Control comes first.",
    )
    cors: CorsDocuments = Field(default=(), description="The category's own CORS rules, instead of the project's.")

    @model_validator(mode="after")
    def _only_public_objects_are_kept_by_others(self) -> Self:
        if self.max_age_s is not None and self.read != "public":
            raise mistake_at("max_age_s", 'only a category with read = "public" has one')
        return self


class PrincipalDocument(Table):
    """A `[principals.NAME]` table."""

    role: Literal["admin", "service", "uploader", "reader"] = Field(
        description='"admin": everything in the project. "service": stores and reads for end users, each of whom owns '
        'what is stored in their name. "uploader": stores; reads, lists, changes and deletes its own. '
        '"reader": reads and lists everything.'
    )


class StatementDocument(Table):
    """A `[[statements]]` table."""

    name: StatementName | None = Field(
        default=None, description="How decisions call it; one name once. Default: `statements.N`, counted from 0."
    )
    effect: Literal["allow", "deny"] = Field(description='"allow" or "deny"; a denial wins over everything.')
    principals: Annotated[tuple[StatementPrincipal, ...], Distinct, Some] = Field(
        description='Principals of this file, end users of a service (`"backend/sara"`, `"backend/*"`), or `"*"`: all '
        f'of these. A denial may name `"{ANONYMOUS}"`, requests without a signature; its `"*"` means them, too.'
    )
    actions: Annotated[tuple[Action, ...], Distinct, Some] = Field(
        description='S3\'s actions, `"s3:GetObject"`, `"s3:Get*"`, `"*"`; what denies may name `"sts:AssumeRole"`, too.'
    )
    resources: Annotated[tuple[Resource, ...], Distinct, Some] = Field(
        description='`"BUCKET"` is the bucket itself, `"BUCKET/*"` its objects; `*` is any text, `"*"` everything. '
        "`arn:aws:s3:::` may stand before it."
    )
    source_ip: Annotated[tuple[SourceNetwork, ...], Distinct, Some] | None = Field(
        default=None, description='Only requests from these addresses or networks, `"10.0.0.0/8"`.'
    )
    not_source_ip: Annotated[tuple[SourceNetwork, ...], Distinct, Some] | None = Field(
        default=None, description="Only requests from elsewhere than these addresses or networks."
    )
    prefix: Annotated[tuple[KeyBeginning, ...], Distinct, Some, Field(max_length=MAX_PREFIXES)] | None = Field(
        default=None, description="Only keys, and listings of keys, that begin with one of these."
    )
    secure_transport: bool | None = Field(
        default=None, description="Only requests over HTTPS (true), or only those over plain HTTP (false)."
    )

    @model_validator(mode="after")
    def _actions_fit_resources(self) -> Self:
        about_objects = all(_ABOUT_OBJECTS.issuperset(matching_actions(action)) for action in self.actions)
        if about_objects and not any("/" in resource or "*" in resource for resource in self.resources):
            raise mistake(f'its actions are about objects, its resources are not; write "{self.resources[0]}/*"')
        return self

    def conditions(self) -> Conditions:
        return Conditions(self.source_ip, self.not_source_ip, self.prefix, self.secure_transport)


class ProjectDocument(Table):
    """A whole policy file."""

    project: Name = Field(description="The project's name; the file is called `<project>.toml`.")
    origin: Name | None = Field(
        default=None,
        description="The origin of categories that name none and of buckets that clients make. "
        "Default: the only origin in gateway.toml.",
    )
    quota: QuotaTable | None = Field(default=None, description="How much the whole project may hold.")
    max_open_uploads: int | None = Field(
        default=None,
        ge=1,
        le=MAX_OBJECTS,
        description="How many multipart uploads each principal, and each end user in a session, may have open at a "
        "time. Unset: any.",
    )
    uploader_header: UploaderHeader = Field(
        default=UPLOADER_HEADER, description="The header by which a service names the end user it stores for."
    )
    categories: dict[Name, CategoryDocument] = Field(default={}, description="The project's kinds of media.")
    principals: dict[PrincipalName, PrincipalDocument] = Field(default={}, description="Who may hold access keys.")
    cors: CorsDocuments = Field(default=(), description="CORS rules for the categories that have none of their own.")
    statements: Annotated[tuple[StatementDocument, ...], Listed, Field(max_length=MAX_STATEMENTS)] = Field(
        default=(), description="What is allowed or denied beyond the roles."
    )

    def bucket_of(self, category: str) -> str:
        """The bucket that clients see as this category."""
        return self.categories[category].bucket or f"{self.project}-{category}"
