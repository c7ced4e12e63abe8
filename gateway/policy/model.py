"""Projects, categories, principals and statements: what the policy files say, as values, and who asks."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum, unique
from ipaddress import IPv4Network, IPv6Network
from typing import Final

ANONYMOUS: Final = "anonymous"
"""Who has no signature, among the principals of a statement. No principal has this name."""

EVERYBODY: Final = "*"
"""All principals and all end users, among the principals of a statement; of a denial, anonymous requests too."""

UPLOADER_HEADER: Final = "x-amz-meta-uploader"
"""The header by which a service names the end user it stores for, where the project names no other."""

Network = IPv4Network | IPv6Network


@unique
class Role(Enum):
    """What a principal may do without further statements; `gateway.policy.roles` has the table."""

    ADMIN = "admin"
    SERVICE = "service"
    UPLOADER = "uploader"
    READER = "reader"


@unique
class Effect(Enum):
    """What a statement does where it applies; a denial wins over everything."""

    ALLOW = "allow"
    DENY = "deny"


@dataclass(frozen=True, slots=True)
class Conditions:
    """When a statement applies, all of them together; what is None is not asked.

    `prefix` are beginnings of keys, without wildcards.
    """

    source_ip: tuple[Network, ...] | None = None
    not_source_ip: tuple[Network, ...] | None = None
    prefix: tuple[str, ...] | None = None
    secure_transport: bool | None = None


UNCONDITIONAL: Final = Conditions()


@dataclass(frozen=True, slots=True)
class Statement:
    """One rule beyond the roles, in S3's words.

    `principals` are names of principals ("backend"), their end users ("backend/sara", "backend/*"), EVERYBODY or
    ANONYMOUS. `actions` ("s3:GetObject") and `resources` ("bucket" or "bucket/key") may hold `*`, any text.
    `name` is how decisions call it, `line` where it stands in its file (0: in none).
    """

    name: str
    effect: Effect
    principals: tuple[str, ...]
    actions: tuple[str, ...]
    resources: tuple[str, ...]
    conditions: Conditions = UNCONDITIONAL
    line: int = 0


@dataclass(frozen=True, slots=True)
class Quota:
    """How much may be stored; None is no limit."""

    bytes: int | None = None
    objects: int | None = None


@dataclass(frozen=True, slots=True)
class CorsRule:
    """One CORS rule: which pages may read answers. Origins and headers may hold one `*` each."""

    allowed_origins: tuple[str, ...]
    allowed_methods: tuple[str, ...]
    allowed_headers: tuple[str, ...] = ()
    expose_headers: tuple[str, ...] = ()
    max_age_s: int | None = None


@dataclass(frozen=True, slots=True)
class Category:
    """One kind of media in a project; clients see it as the bucket `bucket`.

    `cors` are the rules in effect: the category's own, or the project's where it has none. Its bytes lie at `origin`
    under `origin_bucket` and below `origin_prefix`; what others have put there is taken in where `adopt` says so.
    `public`: everybody may read its objects, and keep them for `max_age_s` without asking again. Sizes are bytes.
    """

    project: str
    name: str
    bucket: str
    origin: str
    origin_bucket: str
    origin_prefix: str = ""
    cors: tuple[CorsRule, ...] = ()
    adopt: bool = False
    public: bool = False
    content_types: tuple[str, ...] = ()
    max_object_size: int | None = None
    quota: Quota | None = None
    quota_per_uploader: Quota | None = None
    cache: bool = False
    cache_max_object_size: int | None = None
    max_age_s: int = 0


@dataclass(frozen=True, slots=True)
class Principal:
    """Who signs: the holder of access keys."""

    project: str
    name: str
    role: Role


@dataclass(frozen=True, slots=True)
class Project:
    """A tenant. `origin` and `cors` hold for categories that name none, and for buckets made by CreateBucket.

    `uploader_header` is in lower case. `file` is the name of the policy file, for people. `max_open_uploads` is how
    many multipart uploads each principal, and each end user in a session, may have open; None is no limit.
    """

    name: str
    categories: Mapping[str, Category]
    principals: Mapping[str, Principal]
    cors: tuple[CorsRule, ...]
    origin: str
    statements: tuple[Statement, ...] = ()
    quota: Quota | None = None
    uploader_header: str = UPLOADER_HEADER
    file: str = ""
    max_open_uploads: int | None = None


@dataclass(frozen=True, slots=True)
class PolicySet:
    """All projects at one moment. Raises ValueError where two projects or two buckets share a name."""

    projects: tuple[Project, ...]
    _projects: Mapping[str, Project] = field(init=False, repr=False, compare=False)
    _buckets: Mapping[str, Category] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        projects = {project.name: project for project in self.projects}
        categories = [category for project in self.projects for category in project.categories.values()]
        buckets = {category.bucket: category for category in categories}
        if len(projects) != len(self.projects) or len(buckets) != len(categories):
            raise ValueError("two projects or two buckets share a name")
        object.__setattr__(self, "_projects", projects)
        object.__setattr__(self, "_buckets", buckets)

    def project(self, name: str) -> Project | None:
        return self._projects.get(name)

    def bucket(self, bucket: str) -> Category | None:
        """The category that clients see as this bucket."""
        return self._buckets.get(bucket)

    def principal(self, project: str, name: str) -> Principal | None:
        found = self._projects.get(project)
        return found.principals.get(name) if found else None


@dataclass(frozen=True, slots=True)
class Identity:
    """Who asks: a principal, or an end user in a session that a service principal has begun.

    `uploader` is the name under which objects are stored, and by which own ones are known: the principal's, the end
    user's in a session, or the one that a service names in a request. `narrowed_by` is a session's own policy: what it
    does not allow is denied, whatever the role allows.
    """

    principal: Principal
    uploader: str
    session: bool = False
    narrowed_by: tuple[Statement, ...] | None = None

    @property
    def project(self) -> str:
        return self.principal.project

    @property
    def role(self) -> Role:
        """What counts for rights: an end user's session is an uploader's, whoever began it."""
        return Role.UPLOADER if self.session else self.principal.role

    @property
    def label(self) -> str:
        """The name in records and statements: "backend", or "backend/sara" for a session."""
        return f"{self.principal.name}/{self.uploader}" if self.session else self.principal.name
