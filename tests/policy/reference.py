"""A slow, obvious evaluator, read from the documentation's sentences; what the real one says must be the same."""

import re

from gateway.policy.evaluate import Context, Resource
from gateway.policy.model import Effect, Identity, PolicySet, Role, Statement
from gateway.policy.roles import ASSUME_ROLE, LISTINGS, Reach, reach_of


def like(pattern: str, text: str) -> bool:
    return re.fullmatch(".*".join(map(re.escape, pattern.split("*"))), text, re.DOTALL) is not None


def may(policies: PolicySet, identity: Identity | None, action: str, resource: Resource, context: Context) -> bool:
    project = next((each for each in policies.projects if each.name == resource.project), None)
    if project is None:
        return False
    stranger = identity is None or identity.project != project.name
    applying = [each for each in project.statements if applies(each, identity, stranger, action, resource, context)]
    if any(each.effect is Effect.DENY for each in applying):
        return False
    category = next((each for each in project.categories.values() if each.bucket == resource.bucket), None)
    public = category is not None and category.public and action == "s3:GetObject" and resource.key is not None
    if not public:
        if stranger:
            return False
        assert identity is not None
        by_statement = action not in ASSUME_ROLE and any(each.effect is Effect.ALLOW for each in applying)
        if not by_statement and not by_role(identity, action, resource):
            return False
    if identity is None or stranger or identity.narrowed_by is None:
        return True
    narrow = [each for each in identity.narrowed_by if fits(each, action, resource, context)]
    return bool(narrow) and all(each.effect is Effect.ALLOW for each in narrow)


def by_role(identity: Identity, action: str, resource: Resource) -> bool:
    reach = reach_of(Role.UPLOADER if identity.session else identity.principal.role, action)
    if reach in (Reach.NONE, Reach.ALL):
        return reach is Reach.ALL
    if resource.key is None:
        return action in LISTINGS
    if resource.owner is None:
        return reach is Reach.FREE
    label = f"{identity.principal.name}/{identity.uploader}" if identity.session else identity.principal.name
    return resource.owner == identity.uploader or (resource.initiator or "") == label


def applies(
    statement: Statement,
    identity: Identity | None,
    stranger: bool,
    action: str,
    resource: Resource,
    context: Context,
) -> bool:
    return means(statement, identity, stranger) and fits(statement, action, resource, context)


def means(statement: Statement, identity: Identity | None, stranger: bool) -> bool:
    names = statement.principals
    deny = statement.effect is Effect.DENY
    if identity is None or stranger:
        return deny and ("*" in names or "anonymous" in names)
    if "*" in names:
        return True
    principal = identity.principal.name
    if not identity.session:
        return principal in names
    return f"{principal}/*" in names or f"{principal}/{identity.uploader}" in names or (deny and principal in names)


def fits(statement: Statement, action: str, resource: Resource, context: Context) -> bool:
    if not any(like(pattern, action) for pattern in statement.actions):
        return False
    listing = action in LISTINGS
    text = resource.bucket or ""
    if not listing and resource.key is not None:
        text = f"{resource.bucket}/{resource.key}"
    if not any(like(pattern, text) for pattern in statement.resources):
        return False
    deny, conditions = statement.effect is Effect.DENY, statement.conditions
    if conditions.secure_transport not in (None, context.secure_transport):
        return False
    for networks, wanted in ((conditions.source_ip, True), (conditions.not_source_ip, False)):
        if networks is None:
            continue
        if context.source_ip is None:
            if not deny:
                return False
        elif any(context.source_ip in network for network in networks) is not wanted:
            return False
    if conditions.prefix is None:
        return True
    if resource.key is None:
        return listing and not deny
    return any(resource.key.startswith(prefix) for prefix in conditions.prefix)
