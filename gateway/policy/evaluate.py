"""May they? The one evaluator, asked for every resource that a request names.

    1. A statement that denies and applies: denied, whoever asks.
    2. The object is in a public category and is to be read: allowed, to everybody.
    3. Anonymous requests, and principals of other projects: denied.
    4. The role reaches it, or a statement that allows applies: allowed. Otherwise denied. Sessions are begun by role
       alone.
    5. A session that was given a policy of its own: denied unless that allows it as well.

`Rules` are compiled policies. They remember, for each asker, action and bucket, the few statements that can apply, so
that a decision costs what its bucket's statements cost, not what the project has.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from typing import Final, NamedTuple

from gateway.bounded import BoundedMap
from gateway.policy.model import (
    ANONYMOUS,
    EVERYBODY,
    UNCONDITIONAL,
    Effect,
    Identity,
    PolicySet,
    Project,
    Statement,
)
from gateway.policy.roles import ASSUME_ROLE, LISTINGS, Reach, reach_of
from gateway.policy.spans import Span, intersection, visible_spans
from gateway.policy.wildcards import Matcher, compile_wildcard, matches_wildcard

_REMEMBERED: Final = 16_384


class Resource(NamedTuple):
    """What an action touches: a bucket's project (None: nobody's), the bucket, the key, and whose it is.

    An action on the service itself, such as s3:ListAllMyBuckets, names the caller's own project and no bucket. `owner`
    is the uploader of the object or upload that is there, None where there is none; `initiator` is who began an upload.
    """

    project: str | None
    bucket: str | None = None
    key: str | None = None
    owner: str | None = None
    initiator: str | None = None


@dataclass(frozen=True, slots=True)
class Context:
    """What a request says beside who asks for what. An address that is not known satisfies no permission."""

    source_ip: IPv4Address | IPv6Address | None = None
    secure_transport: bool = False


NO_CONTEXT: Final = Context()


@dataclass(frozen=True, slots=True)
class Decision:
    """The answer and why, with the statement that decided; for logs and admins, never for the caller."""

    allowed: bool
    reason: str
    statement: Statement | None = None


_NOWHERE = Decision(False, "the resource is in no project")
_ANONYMOUS = Decision(False, "anonymous requests may only read objects of public categories")
_OTHER_PROJECT = Decision(False, "the resource is not in the principal's project")
_PUBLIC = Decision(True, "the category is public: everybody may read its objects")
_NO_RULE = Decision(False, "no rule allows it")
_NOT_OWN = Decision(False, "the role reaches own objects only, and no statement allows more")
_NARROWED = Decision(False, "the session's own policy does not allow it")
_BY_ROLE = {reach: Decision(True, f"the role allows it ({reach.value})") for reach in Reach}


class _Rows:
    """The statements of one effect that can apply to one asker, action and bucket, sorted by how they are tried."""

    __slots__ = ("_any_key", "_bucket", "_by_prefix", "_exact", "_others", "_prefixes", "on_bucket")

    def __init__(self, statements: Iterable[Statement], bucket: str | None) -> None:
        self.on_bucket: list[tuple[Statement, Decision]] = []
        self._bucket = bucket
        self._any_key: Decision | None = None
        self._exact: dict[str, Decision] = {}
        self._by_prefix: dict[str, Decision] = {}
        self._others: list[tuple[Matcher, Statement, Decision]] = []
        for statement in statements:
            self._add(statement, _decision_of(statement))
        self._prefixes = tuple(self._by_prefix)

    def _add(self, statement: Statement, decision: Decision) -> None:
        if any(matches_wildcard(pattern, self._bucket or "") for pattern in statement.resources):
            self.on_bucket.append((statement, decision))
        for pattern in statement.resources if self._bucket is not None else ():
            self._add_pattern(pattern, statement, decision)

    def _add_pattern(self, pattern: str, statement: Statement, decision: Decision) -> None:
        """Sort a pattern by what it costs: all keys, one key, keys with a beginning, anything else."""
        begin, plain = f"{self._bucket}/", pattern.rstrip("*")
        if "*" not in pattern.partition("/")[0] and not pattern.startswith(begin):
            return  # of another bucket, or of this one without its keys
        if statement.conditions != UNCONDITIONAL or "*" in plain:
            self._others.append((compile_wildcard(pattern), statement, decision))
        elif plain == pattern:
            self._exact.setdefault(pattern.removeprefix(begin), decision)
        elif begin.startswith(plain):
            self._any_key = self._any_key or decision
        elif plain.startswith(begin):
            self._by_prefix.setdefault(plain.removeprefix(begin), decision)

    def __bool__(self) -> bool:
        return bool(self.on_bucket or self._any_key or self._exact or self._by_prefix or self._others)

    def on_key(self, key: str, context: Context) -> Decision | None:
        """What a statement decides about an action on an object."""
        if self._any_key is not None:
            return self._any_key
        found = self._exact.get(key)
        if found is not None:
            return found
        if self._prefixes and key.startswith(self._prefixes):
            return next(decision for prefix, decision in self._by_prefix.items() if key.startswith(prefix))
        if self._others:
            text = f"{self._bucket}/{key}"
            for matches, statement, decision in self._others:
                if matches(text) and _hold(statement, key, context, listing=False):
                    return decision
        return None

    def on_bucket_itself(self, key: str | None, context: Context, *, listing: bool) -> Decision | None:
        """What a statement decides about an action on the bucket or the service, or (`listing`) about one entry."""
        for statement, decision in self.on_bucket:
            if _hold(statement, key, context, listing=listing):
                return decision
        return None


_NO_ROWS: Final = _Rows((), None)


@dataclass(frozen=True, slots=True)
class _Group:
    """What can decide for one asker, action and bucket."""

    deny: _Rows
    allow: _Rows
    reach: Reach
    public: bool


class Rules:
    """Policies, compiled. Decisions are functions of the arguments; what is remembered only saves work.

    `revision` is the number under which the policies were applied.
    """

    def __init__(self, policies: PolicySet, revision: int = 0) -> None:
        self.policies = policies
        self.revision = revision
        self._identities = {
            (project.name, each.name): Identity(each, each.name)
            for project in policies.projects
            for each in project.principals.values()
        }
        self._groups: BoundedMap[tuple[str, str, str, str | None], _Group] = BoundedMap(_REMEMBERED)
        self._about = {project.name: _by_principal(project.statements) for project in policies.projects}
        self._asks_context = {
            project.name for project in policies.projects if any(_asks_context(each) for each in project.statements)
        }

    def identity(self, project: str, principal: str) -> Identity | None:
        """A principal as one who asks, if the policies name it."""
        return self._identities.get((project, principal))

    def decide(
        self, identity: Identity | None, action: str, resource: Resource, context: Context = NO_CONTEXT
    ) -> Decision:
        """Decide one action (`s3:GetObject`) on one resource; what no rule allows is denied."""
        project = self.policies.project(resource.project) if resource.project is not None else None
        if project is None:
            return _NOWHERE
        if identity is not None and identity.principal.project != project.name:
            stranger = self._decide(project, None, action, resource, context)
            return _OTHER_PROJECT if stranger is _ANONYMOUS else stranger
        decision = self._decide(project, identity, action, resource, context)
        if decision.allowed and identity is not None and identity.narrowed_by is not None:
            return decision if _narrow_allows(identity.narrowed_by, action, resource, context) else _NARROWED
        return decision

    def may_any(self, identity: Identity | None, action: str, resource: Resource) -> bool:
        """Could the action on some object of a bucket be allowed? If not, nothing that a request names need be read."""
        if identity is None or identity.principal.project != resource.project:
            return False
        project = self.policies.project(resource.project)
        if project is None:
            return False
        group = self._group(project, identity, action, resource.bucket)
        return group.reach is not Reach.NONE or bool(group.allow)

    def visible(
        self, identity: Identity, action: str, resource: Resource, context: Context = NO_CONTEXT
    ) -> tuple[Span, ...]:
        """The entries that a listing of the bucket may show: those for whose keys `decide` allows the action."""
        project = self.policies.project(identity.project)
        if project is None or identity.project != resource.project:
            return ()
        group = self._group(project, identity, action, resource.bucket)
        allowed = _listed_prefixes((each for each, _ in group.allow.on_bucket), context)
        denied = _listed_prefixes((each for each, _ in group.deny.on_bucket), context)
        own = identity.uploader if group.reach is not Reach.NONE else None
        spans = visible_spans(everything=group.reach is Reach.ALL, own=own, allowed=allowed, denied=denied)
        if identity.narrowed_by is None:
            return spans
        narrow = [each for each in identity.narrowed_by if _concerns(each, action, resource.bucket or "")]
        return intersection(
            spans,
            visible_spans(
                everything=False,
                own=None,
                allowed=_listed_prefixes((each for each in narrow if each.effect is Effect.ALLOW), context),
                denied=_listed_prefixes((each for each in narrow if each.effect is Effect.DENY), context),
            ),
        )

    def asks_context(self, identity: Identity | None, project: str) -> bool:
        """Does any rule ask for more than who does what?"""
        return project in self._asks_context or (identity is not None and identity.narrowed_by is not None)

    def _decide(
        self, project: Project, identity: Identity | None, action: str, resource: Resource, context: Context
    ) -> Decision:
        group = self._group(project, identity, action, resource.bucket)
        denied = _ask(group.deny, action, resource, context)
        if denied is not None:
            return denied
        if group.public and resource.key is not None:
            return _PUBLIC
        if identity is None:
            return _ANONYMOUS
        if group.reach is Reach.ALL or (
            group.reach is not Reach.NONE and _reaches(group.reach, action, identity, resource)
        ):
            return _BY_ROLE[group.reach]
        allowed = _ask(group.allow, action, resource, context)
        if allowed is not None:
            return allowed
        return _NO_RULE if group.reach is Reach.NONE else _NOT_OWN

    def _group(self, project: Project, identity: Identity | None, action: str, bucket: str | None) -> _Group:
        who = ANONYMOUS if identity is None else self._remembered_as(identity)
        name = (project.name, who, action, bucket)
        group = self._groups.get(name)
        if group is None:
            group = self._compile(project, identity, action, bucket)
            self._groups.put(name, group)
        return group

    def _remembered_as(self, identity: Identity) -> str:
        """Whose statements count: end users whom no statement names are all alike."""
        if not identity.session or identity.label in self._about[identity.project]:
            return identity.label
        return f"{identity.principal.name}/*"

    def _compile(self, project: Project, identity: Identity | None, action: str, bucket: str | None) -> _Group:
        allow, deny = _names_of(identity)
        if action in ASSUME_ROLE:  # or one session that may do "*" would begin those of all others
            allow = set()
        category = self.policies.bucket(bucket) if bucket is not None else None
        public = category is not None and category.public and category.project == project.name
        return _Group(
            deny=self._rows(project, Effect.DENY, deny, action, bucket),
            allow=self._rows(project, Effect.ALLOW, allow, action, bucket),
            reach=Reach.NONE if identity is None else reach_of(identity.role, action),
            public=public and action == "s3:GetObject",
        )

    def _rows(self, project: Project, effect: Effect, names: set[str], action: str, bucket: str | None) -> _Rows:
        about = self._about[project.name]
        positions = sorted({position for name in names for position in about.get(name, ())})
        named = (project.statements[position] for position in positions)
        rows = _Rows((each for each in named if each.effect is effect and _names_action(each, action)), bucket)
        return rows or _NO_ROWS


def _by_principal(statements: Sequence[Statement]) -> dict[str, list[int]]:
    """Where the statements that name each principal stand."""
    found: dict[str, list[int]] = {}
    for position, statement in enumerate(statements):
        for name in statement.principals:
            found.setdefault(name, []).append(position)
    return found


def _names_of(identity: Identity | None) -> tuple[set[str], set[str]]:
    """The names under which a statement that allows, and one that denies, means somebody.

    What is denied to a service is denied to its sessions; what is allowed to it is not allowed to every end user.
    """
    if identity is None:
        return set(), {EVERYBODY, ANONYMOUS}
    if not identity.session:
        names = {EVERYBODY, identity.principal.name}
        return names, names
    names = {EVERYBODY, f"{identity.principal.name}/*", identity.label}
    return names, names | {identity.principal.name}


def _names_action(statement: Statement, action: str) -> bool:
    return any(matches_wildcard(pattern, action) for pattern in statement.actions)


def _ask(rows: _Rows, action: str, resource: Resource, context: Context) -> Decision | None:
    if not rows:
        return None
    listing = action in LISTINGS
    if listing or resource.key is None:
        return rows.on_bucket_itself(resource.key, context, listing=listing)
    return rows.on_key(resource.key, context)


def _reaches(reach: Reach, action: str, identity: Identity, resource: Resource) -> bool:
    """Does a right that ends at own things reach this one? A listing may begin; what it shows is asked by entry."""
    if resource.key is None:
        return action in LISTINGS
    if resource.owner is None:
        return reach is Reach.FREE
    return resource.owner == identity.uploader or (
        resource.initiator is not None and resource.initiator == identity.label
    )


def _hold(statement: Statement, key: str | None, context: Context, *, listing: bool) -> bool:
    """Do a statement's conditions hold? What is not known fails a permission and fulfils a denial."""
    conditions = statement.conditions
    if conditions is UNCONDITIONAL:
        return True
    if not _context_holds(statement, context):
        return False
    if conditions.prefix is None:
        return True
    if key is None:  # a listing may begin where some of its entries may be shown
        return listing and statement.effect is Effect.ALLOW
    return key.startswith(conditions.prefix)


def _context_holds(statement: Statement, context: Context) -> bool:
    conditions, address = statement.conditions, context.source_ip
    if conditions.secure_transport is not None and conditions.secure_transport != context.secure_transport:
        return False
    if conditions.source_ip is None and conditions.not_source_ip is None:
        return True
    if address is None:
        return statement.effect is Effect.DENY
    if conditions.source_ip is not None and not any(address in network for network in conditions.source_ip):
        return False
    return conditions.not_source_ip is None or not any(address in network for network in conditions.not_source_ip)


def _listed_prefixes(statements: Iterable[Statement], context: Context) -> list[str]:
    """Beginnings of the keys that statements about a listing mean, "" for all keys."""
    found: list[str] = []
    for statement in statements:
        if _context_holds(statement, context):
            found += ("",) if statement.conditions.prefix is None else statement.conditions.prefix
    return found


def _narrow_allows(statements: Iterable[Statement], action: str, resource: Resource, context: Context) -> bool:
    """Does a session's own policy allow what is asked? It has few statements, which are tried one by one."""
    listing = action in LISTINGS
    on_bucket = listing or resource.key is None
    text = (resource.bucket or "") if on_bucket else f"{resource.bucket}/{resource.key}"
    allowed = False
    for statement in statements:
        if _concerns(statement, action, text) and _hold(statement, resource.key, context, listing=listing):
            if statement.effect is Effect.DENY:
                return False
            allowed = True
    return allowed


def _concerns(statement: Statement, action: str, text: str) -> bool:
    return _names_action(statement, action) and any(matches_wildcard(each, text) for each in statement.resources)


def _asks_context(statement: Statement) -> bool:
    conditions = statement.conditions
    asked = (conditions.source_ip, conditions.not_source_ip, conditions.secure_transport)
    return any(each is not None for each in asked)


def _decision_of(statement: Statement) -> Decision:
    allowed = statement.effect is Effect.ALLOW
    return Decision(allowed, f"{statement.name} {'allows' if allowed else 'denies'} it", statement)
