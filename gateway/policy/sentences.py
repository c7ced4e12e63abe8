"""What roles and statements let people do, in words for them."""

import json
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Final

from gateway.policy.model import ANONYMOUS, EVERYBODY, Conditions, Effect, Role, Statement
from gateway.policy.roles import (
    ASSUME_ROLE,
    CHANGE_OBJECTS,
    LIST_OBJECTS,
    LIST_UPLOADS,
    MANAGE_BUCKETS,
    READ_OBJECTS,
    SEE_BUCKETS,
    STORE_OBJECTS,
    Reach,
    reach_of,
)
from gateway.toml_fields import GIB, KIB, MIB, TIB

_UNITS: Final = (
    (TIB, "TiB"), (10**12, "TB"), (GIB, "GiB"), (10**9, "GB"), (MIB, "MiB"), (10**6, "MB"), (KIB, "KiB"), (1000, "KB"),
)  # fmt: skip
_NON_JOINER: Final = "\u200c"  # invisible, and part of Persian spelling
_OBJECTS: Final = (
    # noun, actions, verbs
    ("objects", STORE_OBJECTS, ("overwrites",)),
    ("objects", READ_OBJECTS, ("reads",)),
    ("objects", LIST_OBJECTS, ("lists",)),
    ("objects", CHANGE_OBJECTS, ("changes", "deletes")),
    ("unfinished uploads", LIST_UPLOADS, ("lists",)),
)
_OTHERS: Final = (
    (STORE_OBJECTS, "stores new objects"),
    (SEE_BUCKETS, "sees buckets and their settings"),
    (MANAGE_BUCKETS, "makes and removes buckets"),
    (ASSUME_ROLE, "begins sessions of end users, who act as uploaders"),
)
_SPANS: Final = {Reach.NONE: (), Reach.OWN: ("own",), Reach.FREE: ("own",), Reach.ALL: ("own", "others")}
_WHOSE: Final = {
    frozenset({"own", "others"}): "all {}",
    frozenset({"own"}): "its own {}",
    frozenset({"others"}): "the {} of others",
}
Right = tuple[str, str, str]
"""Verb, noun and span (own, others); only the first where it is a whole phrase."""


@lru_cache
def _rights(role: Role | None) -> Mapping[Right, None]:
    """All that a role may do, in the order in which it is told; the actions of a group reach equally far."""
    if role is None:
        return {}
    phrases = [(phrase, "", "") for actions, phrase in _OTHERS if reach_of(role, actions[0]) is not Reach.NONE]
    on_objects = [
        (verb, noun, span)
        for noun, actions, verbs in _OBJECTS
        for span in _SPANS[reach_of(role, actions[0])]
        for verb in verbs
    ]
    return dict.fromkeys([*phrases, *on_objects])


@lru_cache
def rights_beyond(role: Role | None, other: Role | None) -> str:
    """What one role may do and the other may not: "stores new objects; reads and lists its own objects"."""
    rights = [right for right in _rights(role) if right not in _rights(other)]
    phrases = [verb for verb, noun, _ in rights if not noun]
    spans: dict[tuple[str, str], set[str]] = {}
    for verb, noun, span in rights:
        if noun:
            spans.setdefault((verb, noun), set()).add(span)
    verbs: dict[str, list[str]] = {}
    for (verb, noun), of_whom in spans.items():
        verbs.setdefault(_WHOSE[frozenset(of_whom)].format(noun), []).append(verb)
    return "; ".join([*phrases, *(f"{_and(several)} {whose}" for whose, several in verbs.items())])


def _and(words: list[str]) -> str:
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def render_statement(statement: Statement) -> str:
    """Who may, or may not, do what: "backend: s3:DeleteObject on demo-voice/tmp/*, from 10.0.0.0/8"."""
    everybody = "everybody who signs" if statement.effect is Effect.ALLOW else "everybody"
    names = {EVERYBODY: everybody, ANONYMOUS: "requests without a signature"}
    who = ", ".join(names.get(each, each) for each in sorted(statement.principals))
    text = f"{who}: {listed(statement.actions)} on {listed(statement.resources)}"
    return ", ".join([text, *_conditions(statement.conditions)])


def _conditions(conditions: Conditions) -> Iterator[str]:
    if conditions.source_ip is not None:
        yield f"from {listed(conditions.source_ip)}"
    if conditions.not_source_ip is not None:
        yield f"from elsewhere than {listed(conditions.not_source_ip)}"
    if conditions.prefix is not None:
        yield f"where keys begin with {listed(conditions.prefix)}"
    if conditions.secure_transport is not None:
        yield "over HTTPS" if conditions.secure_transport else "over plain HTTP"


def render_size(size: int) -> str:
    """Bytes in the largest unit that tells them exactly: "5 MiB", "20 GB", "1,234 bytes"."""
    for unit, name in _UNITS:
        if size and size % unit == 0:
            return f"{size // unit:,} {name}"
    return f"{size:,} bytes"


def listed(values: Iterable[object]) -> str:
    """Values in the order of their texts, with commas between them."""
    return ", ".join(sorted(quoted(str(value)) for value in values))


def quoted(text: str) -> str:
    """A text as it is, or in quotes where it could be taken for several or has what a terminal would obey."""
    printable = text.replace(_NON_JOINER, "").isprintable()
    if printable and not any(mark in text for mark in ' ,"'):
        return text
    return json.dumps(text, ensure_ascii=not printable)
