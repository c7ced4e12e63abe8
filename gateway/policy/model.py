"""Projects, their categories and their principals: what the policy files say, as values."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum, unique


@unique
class Role(Enum):
    """What a principal may do without further statements."""

    ADMIN = "admin"


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
    under `origin_bucket` and below `origin_prefix`.
    """

    project: str
    name: str
    bucket: str
    origin: str
    origin_bucket: str
    origin_prefix: str = ""
    cors: tuple[CorsRule, ...] = ()


@dataclass(frozen=True, slots=True)
class Principal:
    """Who signs: the holder of access keys."""

    project: str
    name: str
    role: Role


@dataclass(frozen=True, slots=True)
class Project:
    """A tenant. `origin` and `cors` hold for categories that name none, and for buckets made by CreateBucket."""

    name: str
    categories: Mapping[str, Category]
    principals: Mapping[str, Principal]
    cors: tuple[CorsRule, ...]
    origin: str


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
