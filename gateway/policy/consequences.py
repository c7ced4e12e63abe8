"""What a change of the policies means, for people: what is new, changed or gone, and who gains or loses what by it.

    project demo
      ~ principal sara: role uploader → reader
          gains  sara: reads and lists the objects of others
          loses  sara: stores new objects; overwrites, changes and deletes its own objects
      + statement "backend clears temporary files": allow
          gains  backend: s3:DeleteObject on demo-voice/tmp/*

Rights of roles are compared role by role, never principal by category. A statement is told by what it says; whether
somebody could or could not do it anyhow is not looked up.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Final, Literal

from gateway.policy.model import (
    Category,
    CorsRule,
    Effect,
    PolicySet,
    Project,
    Quota,
    Statement,
)
from gateway.policy.sentences import listed, quoted, render_size, render_statement, rights_beyond

Sign = Literal["+", "~", "-"]
Kind = Literal["project", "settings", "category", "principal", "statement"]

_LISTS: Final = ("principals", "actions", "resources")
_DEFAULT_NAME: Final = re.compile(r"statements\.[0-9]+")


@dataclass(frozen=True, slots=True)
class Consequence:
    """One thing that is new (+), changed (~) or gone (-), and what it means.

    `text` says what it is or what of it changed; `gains` and `loses` are sentences, "WHO: what they may do".
    """

    project: str
    sign: Sign
    kind: Kind
    name: str
    text: str
    gains: tuple[str, ...] = ()
    loses: tuple[str, ...] = ()


def consequences(old: PolicySet | None, new: PolicySet) -> tuple[Consequence, ...]:
    """All that differs, by project, then kind, then name; statements in the order of their files, those gone first."""
    before = {project.name: project for project in old.projects} if old else {}
    after = {project.name: project for project in new.projects}
    return tuple(
        each for name in sorted(before | after) for each in _of_project(name, before.get(name), after.get(name))
    )


def orphaned(old: PolicySet | None, new: PolicySet) -> tuple[Category, ...]:
    """The categories whose buckets are no category's any more; whether they hold objects the store knows."""
    categories = [each for project in old.projects for each in project.categories.values()] if old else []
    return tuple(each for each in categories if new.bucket(each.bucket) is None)


def render_consequences(found: Iterable[Consequence]) -> str:
    """The same for people, one paragraph a project; lines end in a newline."""
    lines: list[str] = []
    project = None
    for each in found:
        if each.project != project:
            lines += [*([""] if lines else []), f"project {each.project}"]
            project = each.project
        lines.append(f"  {each.sign} {each.kind} {quoted(each.name)}: {each.text}")
        lines += [f"      gains  {sentence}" for sentence in each.gains]
        lines += [f"      loses  {sentence}" for sentence in each.loses]
    return "".join(f"{line}\n" for line in lines or ["nothing changes"])


def to_json(found: Iterable[Consequence]) -> list[dict[str, Any]]:
    """The same for machines: one table for each, with its fields' names."""
    return [asdict(each) | {"gains": list(each.gains), "loses": list(each.loses)} for each in found]


def from_json(found: Iterable[Mapping[str, Any]]) -> tuple[Consequence, ...]:
    """What `to_json` was made of."""
    return tuple(
        Consequence(**{**each, "gains": tuple(each["gains"]), "loses": tuple(each["loses"])}) for each in found
    )


def _of_project(name: str, old: Project | None, new: Project | None) -> Iterator[Consequence]:
    nothing = Project(name, {}, {}, (), "")
    if old and new:
        yield from _of_settings(old, new)
    else:
        yield Consequence(name, "+" if new else "-", "project", name, _summary(new or old or nothing))
    for look in (_of_categories, _of_principals, _of_statements):
        yield from look(old or nothing, new or nothing)


def _summary(project: Project) -> str:
    counts = {
        "categories": f"{len(project.categories):,}",
        "principals": f"{len(project.principals):,}",
        "statements": f"{len(project.statements):,}",
    }
    return ", ".join(filter(None, map(_render_facts, (counts, *_settings(project).values()))))


# What a thing says, key by key as in the file; None: nothing. Two of them are compared, one is told as it is.
Facts = Mapping[str, str | None]


def _render_facts(facts: Facts) -> str:
    return ", ".join(f"{key} {value}" for key, value in facts.items() if value is not None)


def _render_change(old: Facts, new: Facts) -> str:
    return ", ".join(f"{key} {old[key] or 'unset'} → {new[key] or 'unset'}" for key in new if old[key] != new[key])


def _compare(
    thing: tuple[str, Kind, str],
    old: Facts | None,
    new: Facts | None,
    gains: Iterable[str] = (),
    loses: Iterable[str] = (),
) -> Iterator[Consequence]:
    """What became of a thing, by project, kind and name; None where it is not there."""
    project, kind, name = thing
    if old is None or new is None:
        sign: Sign = "-" if new is None else "+"
        yield Consequence(project, sign, kind, name, _render_facts(old or new or {}), tuple(gains), tuple(loses))
    elif old != new:
        yield Consequence(project, "~", kind, name, _render_change(old, new), tuple(gains), tuple(loses))


def _settings(project: Project) -> Mapping[str, Facts]:
    return {
        "origin": {"origin": project.origin},
        "quota": _quota_facts("quota", project.quota),
        "max_open_uploads": {"max_open_uploads": _count_or_none(project.max_open_uploads)},
        "uploader_header": {"uploader_header": project.uploader_header},
        "cors": {"cors": _render_cors(project.cors)},
    }


def _of_settings(old: Project, new: Project) -> Iterator[Consequence]:
    before = _settings(old)
    for name, facts in _settings(new).items():
        yield from _compare((new.name, "settings", name), before[name], facts)


def _quota_facts(key: str, quota: Quota | None) -> Facts:
    limits = quota or Quota()
    return {
        f"{key}.bytes": None if limits.bytes is None else render_size(limits.bytes),
        f"{key}.objects": _count_or_none(limits.objects),
    }


def _count_or_none(count: int | None) -> str | None:
    return None if count is None else f"{count:,}"


def _render_cors(rules: tuple[CorsRule, ...]) -> str | None:
    return " and ".join(map(_render_cors_rule, rules)) or None


def _render_cors_rule(rule: CorsRule) -> str:
    text = f"{'/'.join(rule.allowed_methods)} from {' '.join(rule.allowed_origins)}"
    more = {
        "sending": " ".join(rule.allowed_headers),
        "exposing": " ".join(rule.expose_headers),
        "for": "" if rule.max_age_s is None else f"{rule.max_age_s} s",
    }
    return " ".join([text, *(f"{word} {value}" for word, value in more.items() if value)])


def _of_categories(old: Project, new: Project) -> Iterator[Consequence]:
    for name in sorted(old.categories.keys() | new.categories.keys()):
        was, becomes = old.categories.get(name), new.categories.get(name)
        read, reads = _public_reads(was), _public_reads(becomes)
        yield from _compare(
            (new.name, "category", name),
            _category_facts(was, old) if was else None,
            _category_facts(becomes, new) if becomes else None,
            gains=[sentence for sentence in reads if sentence not in read],
            loses=[sentence for sentence in read if sentence not in reads],
        )


def _public_reads(category: Category | None) -> list[str]:
    if category is None or not category.public:
        return []
    return [f"everybody: reads the objects of {category.bucket} without a signature"]


def _category_facts(category: Category, project: Project) -> Facts:
    """Rules for CORS that are the project's are told with the project, not again with each category."""
    return {
        "bucket": category.bucket,
        "origin": category.origin,
        "origin_bucket": category.origin_bucket,
        "origin_prefix": category.origin_prefix or None,
        "adopt": "on" if category.adopt else None,
        "read": "public" if category.public else "private",
        "content_types": listed(category.content_types) or None,
        "max_object_size": _size_or_none(category.max_object_size),
        **_quota_facts("quota", category.quota),
        **_quota_facts("quota_per_uploader", category.quota_per_uploader),
        "cache": "on" if category.cache else None,
        "cache.max_object_size": _size_or_none(category.cache_max_object_size),
        "max_age_s": str(category.max_age_s) if category.max_age_s else None,
        "cors": None if category.cors == project.cors else _render_cors(category.cors),
    }


def _size_or_none(size: int | None) -> str | None:
    return None if size is None else render_size(size)


def _of_principals(old: Project, new: Project) -> Iterator[Consequence]:
    before = {name: principal.role for name, principal in old.principals.items()}
    after = {name: principal.role for name, principal in new.principals.items()}
    for name in sorted(before.keys() | after.keys()):
        was, becomes = before.get(name), after.get(name)
        gained, lost = rights_beyond(becomes, was), rights_beyond(was, becomes)
        yield from _compare(
            (new.name, "principal", name),
            {"role": was.value} if was else None,
            {"role": becomes.value} if becomes else None,
            gains=[f"{name}: {gained}"] if gained else [],
            loses=[f"{name}: {lost}"] if lost else [],
        )


def _of_statements(old: Project, new: Project) -> Iterator[Consequence]:
    """A statement is the same wherever it stands; one that has a name and says something else has changed."""
    before = {_content(statement): statement for statement in old.statements}
    after = {_content(statement): statement for statement in new.statements}
    made = {statement.name: statement for content, statement in after.items() if content not in before}
    for content, statement in before.items():
        if content in after:
            heir = after[content]
            yield from _compare((new.name, "statement", heir.name), _name_facts(statement), _name_facts(heir))
        elif statement.name in made and _own_name(statement):
            yield _changed(new.name, statement, made.pop(statement.name))
        else:
            yield _whole(new.name, "-", statement)
    yield from (_whole(new.name, "+", statement) for statement in made.values())


def _own_name(statement: Statement) -> str | None:
    """The name that the file gives it; the one that only tells its place says nothing."""
    return None if _DEFAULT_NAME.fullmatch(statement.name) else statement.name


def _name_facts(statement: Statement) -> Facts:
    return {"name": _own_name(statement)}


def _content(statement: Statement) -> tuple[object, ...]:
    """What a statement says, without its name and its place, and whatever the order of its lists."""
    conditions = statement.conditions
    lists = (statement.principals, statement.actions, statement.resources)
    asked = (conditions.source_ip, conditions.not_source_ip, conditions.prefix)
    return (
        statement.effect,
        *map(frozenset, lists),
        *(None if each is None else frozenset(each) for each in asked),
        conditions.secure_transport,
    )


def _whole(project: str, sign: Sign, statement: Statement) -> Consequence:
    gained = (statement.effect is Effect.ALLOW) == (sign == "+")
    sentences = (render_statement(statement),)
    return Consequence(
        project,
        sign,
        "statement",
        statement.name,
        statement.effect.value,
        gains=sentences if gained else (),
        loses=() if gained else sentences,
    )


def _changed(project: str, old: Statement, new: Statement) -> Consequence:
    was, becomes = _difference(old, new)
    gains = [*_sentences(becomes, Effect.ALLOW), *_sentences(was, Effect.DENY)]
    loses = [*_sentences(was, Effect.ALLOW), *_sentences(becomes, Effect.DENY)]
    text = _render_change(_statement_facts(old), _statement_facts(new))
    return Consequence(project, "~", "statement", new.name, text, tuple(gains), tuple(loses))


def _difference(old: Statement, new: Statement) -> tuple[Statement, Statement]:
    """Both without what they have in common, where they differ in one list only; else both as they are."""
    for key in _LISTS:
        was, becomes = getattr(old, key), getattr(new, key)
        if _content(_with(old, key, becomes)) == _content(new):
            return (
                _with(old, key, tuple(each for each in was if each not in becomes)),
                _with(new, key, tuple(each for each in becomes if each not in was)),
            )
    return old, new


def _with(statement: Statement, key: str, values: tuple[str, ...]) -> Statement:
    principals, actions, resources = (values if each == key else getattr(statement, each) for each in _LISTS)
    return replace(statement, principals=principals, actions=actions, resources=resources)


def _sentences(statement: Statement, effect: Effect) -> list[str]:
    says_something = statement.principals and statement.actions and statement.resources
    return [render_statement(statement)] if statement.effect is effect and says_something else []


def _statement_facts(statement: Statement) -> Facts:
    conditions = statement.conditions
    return {
        "effect": statement.effect.value,
        "principals": listed(statement.principals),
        "actions": listed(statement.actions),
        "resources": listed(statement.resources),
        "source_ip": _listed_or_none(conditions.source_ip),
        "not_source_ip": _listed_or_none(conditions.not_source_ip),
        "prefix": _listed_or_none(conditions.prefix),
        "secure_transport": None if conditions.secure_transport is None else str(conditions.secure_transport).lower(),
    }


def _listed_or_none(values: Iterable[object] | None) -> str | None:
    return None if values is None else listed(values)
