"""The policy that a session brings along: an IAM document in JSON → statements that narrow the session's rights.

    {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": ["s3:PutObject"],
      "Resource": "arn:aws:s3:::voice/sara/*", "Condition": {"IpAddress": {"aws:SourceIp": "203.0.113.0/24"}}}]}

https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_grammar.html
https://docs.aws.amazon.com/IAM/latest/UserGuide/access_policies.html#policies_session
A statement that is half understood may permit what its author denied, so nothing is passed over: what has no exact
counterpart here is refused, and its author told.
"""

import json
import re
from collections.abc import Callable, Iterable, Mapping
from ipaddress import IPv6Network, ip_network
from typing import Any, Final, NoReturn

from gateway.policy.model import EVERYBODY, Conditions, Effect, Network, Statement
from gateway.policy.roles import ACTIONS, LISTINGS
from gateway.policy.wildcards import matches_wildcard

_ARN: Final = "arn:aws:s3:::"
_VERSIONS: Final = ("2012-10-17", "2008-10-17")
_EFFECTS: Final = {"Allow": Effect.ALLOW, "Deny": Effect.DENY}
_ELEMENTS: Final = frozenset({"Sid", "Effect", "Action", "Resource", "Condition"})
_SID: Final = re.compile(r"[A-Za-z0-9]{1,128}")
_ACTION: Final = re.compile(r"\*|[A-Za-z0-9]+:[A-Za-z*]+")
_SURROGATE: Final = re.compile("[\ud800-\udfff]")
_NETWORK: Final = re.compile(r"[0-9A-Fa-f:.]{2,45}(?:/[0-9]{1,3})?")


class MalformedSessionPolicy(ValueError):
    """A session's policy that is not one, or says what cannot be said here; the message may go to the client."""


def parse_session_policy(text: str) -> tuple[Statement, ...]:
    """The statements of a policy document, in its order; each is about everybody, as a session has one user.

    Raises MalformedSessionPolicy.
    """
    policy = _object(_parse_json(text), "the policy")
    _check_names(policy, {"Version", "Id", "Statement"}, "the policy")
    if "Version" in policy and policy["Version"] not in _VERSIONS:
        _refuse(f"Version is one of {', '.join(_VERSIONS)}")
    if not isinstance(policy.get("Id", ""), str):
        _refuse("Id is a text")
    found = policy.get("Statement")
    items = found if isinstance(found, list) else [found]
    if not items:
        _refuse("Statement is empty")
    statements = tuple(_statement(item, f"statement {number}") for number, item in enumerate(items, 1))
    if len({statement.name for statement in statements}) != len(statements):
        _refuse("two statements have one Sid")
    return statements


def _parse_json(text: str) -> Any:
    try:
        return json.loads(text, object_pairs_hook=_unique_members, parse_constant=_no_constant)
    except MalformedSessionPolicy:
        raise
    except (ValueError, RecursionError):
        raise MalformedSessionPolicy("the policy is not JSON") from None


def _unique_members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        _refuse("an object of the policy has a member twice")
    return members


def _no_constant(name: str) -> NoReturn:
    _refuse(f"{name} is not JSON")


def _refuse(message: str) -> NoReturn:
    raise MalformedSessionPolicy(message)


def _shown(text: str) -> str:
    """A text of the client for a message: short, and in ASCII."""
    return json.dumps(text[:64])


def _object(value: object, place: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        _refuse(f"{place} is not an object")
    return value


def _check_names(members: Mapping[str, Any], known: Iterable[str], place: str) -> None:
    for name in members:
        if name not in known:
            _refuse(f"{place}: {_shown(name)} is not supported")


def _texts(value: object, place: str) -> tuple[str, ...]:
    """A text, or a list of at least one."""
    texts = value if isinstance(value, list) else [value]
    if not texts or not all(isinstance(text, str) and text and not _SURROGATE.search(text) for text in texts):
        _refuse(f"{place} is a text or a list of texts")
    return tuple(texts)


def _statement(value: object, place: str) -> Statement:
    members = _object(value, place)
    _check_names(members, _ELEMENTS, place)
    name = place
    if "Sid" in members:
        name = members["Sid"]
        if not isinstance(name, str) or not _SID.fullmatch(name):
            _refuse(f"{place}: Sid is of letters and digits")
    effect = members.get("Effect")
    if not isinstance(effect, str) or effect not in _EFFECTS:
        _refuse(f"{place}: Effect is Allow or Deny")
    actions = tuple(action for text in _texts(members.get("Action"), f"{place}: Action") for action in _actions(text))
    resources = tuple(_resource(text) for text in _texts(members.get("Resource"), f"{place}: Resource"))
    conditions = _conditions(_object(members.get("Condition", {}), f"{place}: Condition"), _EFFECTS[effect])
    if conditions.prefix is not None:
        _check_listings(actions)
    return Statement(name, _EFFECTS[effect], (EVERYBODY,), actions, resources, conditions)


# --- actions


def _actions(pattern: str) -> tuple[str, ...]:
    """The pattern, where minding case makes no difference; AWS does not mind it, so else the actions it means."""
    meant = tuple(name for name in ACTIONS if matches_wildcard(pattern.lower(), name.lower()))
    if not meant or not _ACTION.fullmatch(pattern):
        _refuse(f"{_shown(pattern)} is no action of this service")
    return (pattern,) if meant == tuple(name for name in ACTIONS if matches_wildcard(pattern, name)) else meant


def _check_listings(actions: tuple[str, ...]) -> None:
    """AWS sends s3:prefix with listings only: with other actions the statement would mean something else here."""
    for pattern in actions:
        if not all(name in LISTINGS for name in ACTIONS if matches_wildcard(pattern, name)):
            _refuse(f"s3:prefix goes with the actions {', '.join(sorted(LISTINGS))} only, not with {_shown(pattern)}")


# --- resources


def _resource(text: str) -> str:
    """`arn:aws:s3:::bucket/key*` → "bucket/key*"; `*` is everything."""
    if text != "*" and (not text.startswith(_ARN) or text == _ARN):
        _refuse(f"{_shown(text)} is no resource; one begins with {_ARN} or is *")
    _check_wildcards(text)
    return text.removeprefix(_ARN)


def _check_wildcards(text: str) -> None:
    if "?" in text or "${" in text:
        _refuse(f"{_shown(text)}: the wildcard ? and variables are not supported")


# --- conditions


def _conditions(operators: Mapping[str, Any], effect: Effect) -> Conditions:
    """Every operator and key that is there must hold."""
    asked: dict[str, Any] = {}
    for operator, value in operators.items():
        tests = _object(value, _shown(operator))
        if not tests:
            _refuse(f"the condition {_shown(operator)} is empty")
        for key, values in tests.items():
            name, parse = _CONDITIONS.get((operator, key.lower()), (None, None))
            if name is None or parse is None:
                _refuse(f"the condition {_shown(operator)} on {_shown(key)} is not supported")
            if name in asked:
                _refuse(f"{_shown(key)} is asked twice in one statement")
            asked[name] = parse(operator, values, effect)
    return Conditions(**asked)


def _networks(operator: str, values: object, _effect: Effect) -> tuple[Network, ...]:
    return tuple(_network(text) for text in _texts(values, operator))


def _network(text: str) -> Network:
    try:
        if not _NETWORK.fullmatch(text):
            raise ValueError(text)
        network = ip_network(text)
    except ValueError:
        raise MalformedSessionPolicy(f"{_shown(text)} is no address, and no network by its first address") from None
    if isinstance(network, IPv6Network) and network.network_address.ipv4_mapped is not None:
        _refuse(f"{_shown(text)}: callers with IPv4 addresses have them without ::ffff:")
    return network


def _prefixes(operator: str, values: object, effect: Effect) -> tuple[str, ...]:
    texts = [""] if values == "" else _texts(values, operator)
    return tuple(_prefix(operator, text, effect) for text in texts)


def _prefix(operator: str, text: str, effect: Effect) -> str:
    """The beginning of keys that a condition on a listing's prefix means.

    To allow the listing of exactly `a/` is to show the keys that begin so, however the listing asks. To deny it would
    deny more here than its author wrote.
    """
    _check_wildcards(text)
    if operator == "StringLike" and text.endswith("*") and text.count("*") == 1:
        return text[:-1]
    if "*" in text or effect is Effect.DENY:
        _refuse(f"s3:prefix {_shown(text)}: a beginning of keys and one * after it, by StringLike")
    return text


def _secure_transport(_operator: str, values: object, _effect: Effect) -> bool:
    value = values[0] if isinstance(values, list) and len(values) == 1 else values
    if value is True or value == "true":
        return True
    if value is False or value == "false":
        return False
    _refuse("aws:SecureTransport is true or false")


# By operator and key, which AWS reads in any case: the field of Conditions, and how its values are read.
_CONDITIONS: Final[Mapping[tuple[str, str], tuple[str, Callable[[str, object, Effect], Any]]]] = {
    ("IpAddress", "aws:sourceip"): ("source_ip", _networks),
    ("NotIpAddress", "aws:sourceip"): ("not_source_ip", _networks),
    ("StringLike", "s3:prefix"): ("prefix", _prefixes),
    ("StringEquals", "s3:prefix"): ("prefix", _prefixes),
    ("Bool", "aws:securetransport"): ("secure_transport", _secure_transport),
}
