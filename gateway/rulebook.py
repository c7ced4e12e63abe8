"""The rules in force: the latest revision of the policies, compiled, and replaced whole.

A revision is applied by a command, at start, or when the folder is watched. Whichever process did it, every other one
sees it before its next request. A revision that cannot be read here leaves the last one in force, loudly.
"""

import asyncio
import logging
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from gateway.config import ConfigError, read_policy_files
from gateway.policy.consequences import Consequence, consequences, to_json
from gateway.policy.documents import parse_policies
from gateway.policy.evaluate import Rules
from gateway.policy.model import PolicySet
from gateway.store.bucket_changes import BucketChanges
from gateway.store.buckets import Bucket
from gateway.store.ledger import NO_LIMITS, Allowance
from gateway.store.revisions import NewRevision, Revision, RevisionConflict, Revisions, digest_of

_log = logging.getLogger("anbar.policies")
_TRIES = 5


@dataclass(frozen=True, slots=True)
class Plan:
    """What applying some texts would do: to rights and categories, and to the buckets in the store.

    `folder_digest` is that of the policy folder when they were planned. `old` is None where there is no revision yet,
    or the one in force cannot be read any more.
    """

    texts: Mapping[str, str]
    folder_digest: str
    policies: PolicySet
    old: PolicySet | None
    base: int | None
    is_recorded: bool
    changes: tuple[Consequence, ...]
    buckets: BucketChanges

    @property
    def is_empty(self) -> bool:
        """Is all this in force already?"""
        return self.is_recorded and self.buckets.is_empty


class Rulebook:
    """The rules of this process, in step with the store's latest revision."""

    def __init__(self, revisions: Revisions, origins: Collection[str], rules: Rules) -> None:
        self._revisions = revisions
        self._origins = origins
        self.rules = rules
        self._unreadable = 0

    async def refresh(self) -> None:
        """Take up what another process has applied; raises S3Error: SlowDown."""
        latest = await self._revisions.latest_number()
        if latest is None or latest <= max(self.rules.revision, self._unreadable):
            return
        texts = await self._revisions.texts(latest)
        try:
            self.take(await asyncio.to_thread(parse_texts, texts, self._origins), latest)
        except ConfigError as error:
            self._unreadable = latest
            _log.error(
                "revision %d of the policies cannot be used here, revision %d stays in force: %s",
                latest,
                self.rules.revision,
                error,
            )

    def take(self, policies: PolicySet, revision: int) -> None:
        """Put a revision in force, unless a later one is."""
        if revision > self.rules.revision:
            self.rules = Rules(policies, revision)
            _log.info("revision %d of the policies is in force", revision)


def parse_texts(texts: Mapping[str, str], origins: Collection[str]) -> PolicySet:
    """The policies of a revision's files, name → text; raises ConfigError."""
    return parse_policies({Path(name): text for name, text in texts.items()}, origins)


def read_folder(folder: Path, origins: Collection[str]) -> tuple[dict[str, str], PolicySet]:
    """The files of the policy folder, name → text, and what they say; raises ConfigError."""
    files = read_policy_files(folder)
    return {file.name: text for file, text in files.items()}, parse_policies(files, origins)


async def make_plan(
    revisions: Revisions,
    texts: Mapping[str, str],
    policies: PolicySet,
    folder_digest: str,
    origins: Collection[str],
    now_s: int,
) -> Plan:
    """Compare texts, and the policies that they are, with what is in force; raises S3Error: SlowDown."""
    latest = await revisions.latest()
    old_texts = await revisions.texts(latest.revision) if latest is not None else None
    old = await _parse_old(old_texts, origins)
    return Plan(
        texts=texts,
        folder_digest=folder_digest,
        policies=policies,
        old=old,
        base=latest.revision if latest is not None else None,
        is_recorded=latest is not None and old_texts == texts and latest.folder_digest == folder_digest,
        changes=await asyncio.to_thread(consequences, old, policies),
        buckets=await revisions.bucket_changes(*_bucket_arguments(policies, now_s)),
    )


async def carry_out_plan(
    revisions: Revisions, plan: Plan, *, author: str, comment: str, now_s: int, event: str = "policy.apply"
) -> Revision:
    """Apply a plan: all of it or nothing.

    Raises PolicyRefused (a bucket that holds objects would go), RevisionConflict (the plan is out of date).
    """
    new = NewRevision(
        applied_s=now_s,
        author=author,
        comment=comment,
        folder_digest=plan.folder_digest,
        changes=to_json(plan.changes),
        texts=plan.texts,
        event=event,
        details={"comment": comment, "changes": len(plan.changes)},
    )
    return await revisions.apply(new, *_bucket_arguments(plan.policies, now_s), base=plan.base)


async def apply_folder(
    revisions: Revisions, folder: Path, origins: Collection[str], *, author: str, comment: str, now_s: int
) -> tuple[PolicySet, int]:
    """Put the policy folder in force as it is now; the same as `apply_files` otherwise."""
    files = await asyncio.to_thread(read_policy_files, folder)
    return await apply_files(revisions, files, origins, author=author, comment=comment, now_s=now_s)


async def apply_files(
    revisions: Revisions, files: Mapping[Path, str], origins: Collection[str], *, author: str, comment: str, now_s: int
) -> tuple[PolicySet, int]:
    """Put policy files in force, if they say something else than when a revision was last applied.

    After a rollback they are older news: they count again once somebody has changed them. Gives what is in force.
    Raises ConfigError, PolicyRefused, S3Error: SlowDown.
    """
    texts = {file.name: text for file, text in files.items()}
    policies = await asyncio.to_thread(parse_policies, files, origins)
    digest = digest_of(texts)
    for _ in range(_TRIES):
        latest = await revisions.latest()
        if latest is not None and latest.folder_digest == digest:
            texts = await revisions.texts(latest.revision)
            policies = await _parse_in_force(texts, origins, latest.revision)
        plan = await make_plan(revisions, texts, policies, digest, origins, now_s)
        if plan.is_empty and plan.base is not None:
            return plan.policies, plan.base
        try:
            made = await carry_out_plan(revisions, plan, author=author, comment=comment, now_s=now_s)
        except RevisionConflict:
            continue
        return plan.policies, made.revision
    raise ConfigError("the policies", ["other processes apply some all the time; try again"])


def policy_buckets(policies: PolicySet, now_s: int) -> list[Bucket]:
    """The buckets that the policies name."""
    return [
        Bucket(
            category.bucket,
            category.project,
            category.name,
            category.origin,
            category.origin_bucket,
            category.origin_prefix,
            "policy",
            now_s,
        )
        for project in policies.projects
        for category in project.categories.values()
    ]


def _bucket_arguments(policies: PolicySet, now_s: int) -> tuple[list[Bucket], list[str]]:
    return policy_buckets(policies, now_s), [project.name for project in policies.projects]


async def _parse_in_force(texts: Mapping[str, str], origins: Collection[str], revision: int) -> PolicySet:
    """Raises ConfigError that tells it apart from a mistake in the folder."""
    try:
        return await asyncio.to_thread(parse_texts, texts, origins)
    except ConfigError as error:
        mistakes = [*str(error).split("\n"), "to put the policy files in force instead, run: anbar policy apply"]
        raise ConfigError(f"revision {revision}, which is in force", mistakes) from None


async def _parse_old(texts: Mapping[str, str] | None, origins: Collection[str]) -> PolicySet | None:
    if texts is None:
        return None
    try:
        return await asyncio.to_thread(parse_texts, texts, origins)
    except ConfigError:  # an origin that it names is gone from gateway.toml
        return None


def allowance_of(policies: PolicySet, bucket: Bucket) -> Allowance:
    """The limits on what is stored in a bucket."""
    project, category = policies.project(bucket.project), policies.bucket(bucket.bucket)
    if project is None:
        return NO_LIMITS
    if category is None:
        return Allowance(project.quota, open_uploads=project.max_open_uploads)
    return Allowance(project.quota, category.quota, category.quota_per_uploader, project.max_open_uploads)
