"""What the outcomes of a probe mean for the gateway: one table, verdicts, and the profile of the origin. Pure.

need     the gateway cannot serve without it
flag     a capability of the settings: what they promise must be so, what they leave out may be added
fact     good to know: it is done without, or limits what clients can store
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum

from gateway.origin.providers import Provider, Upstream
from gateway.origin.s3.probe.outcomes import MOST_SKEW_S, Outcome
from gateway.origin.s3.probe.rows import ROWS, Row, Weight
from gateway.origin_settings import OriginCapabilities

_SMALL_SKEW_S = 60
_FEW_DAYS = 14


class Verdict(Enum):
    """How an outcome is judged; UNKNOWN: it was not tried, because of something else."""

    OK = "ok"
    NOTE = "note"
    FAIL = "FAIL"
    UNKNOWN = "?"


@dataclass(frozen=True, slots=True)
class Judged:
    """An outcome with its verdict; `expected` is what the settings say, None where they say nothing."""

    row: Row
    outcome: Outcome
    expected: bool | None
    verdict: Verdict
    advice: str


_UNWANTED = frozenset({"versioning"})
_NUMBERS: Mapping[str, Callable[[int], Verdict]] = {
    "certificate_days": lambda days: Verdict.OK if days > _FEW_DAYS else Verdict.NOTE,
    "clock_skew_s": lambda skew: (
        Verdict.OK if abs(skew) <= _SMALL_SKEW_S else Verdict.NOTE if abs(skew) <= MOST_SKEW_S else Verdict.FAIL
    ),
    "left_before": lambda keys: Verdict.OK if not keys else Verdict.NOTE,
    "metadata_bytes": lambda size: Verdict.OK if size >= Provider("").max_metadata_bytes else Verdict.NOTE,
}


def judge(outcomes: Mapping[str, Outcome], profile: Provider) -> list[Judged]:
    """Every outcome there is, in the table's order; `profile` is what the settings come to."""
    return [_judged(row, outcomes[row.name], profile) for row in ROWS if row.name in outcomes]


def _judged(row: Row, outcome: Outcome, profile: Provider) -> Judged:
    expected: bool | None = None
    if row.weight is Weight.FLAG:
        expected = getattr(profile, row.name)
    elif row.weight is Weight.NEED:
        expected = True
    verdict, advice = _verdict(row, outcome, expected)
    return Judged(row, outcome, expected, verdict, "" if verdict in (Verdict.OK, Verdict.UNKNOWN) else advice)


def _verdict(row: Row, outcome: Outcome, expected: bool | None) -> tuple[Verdict, str]:
    value = outcome.value
    if not outcome.tried:
        return Verdict.UNKNOWN, ""
    if value is None:
        return (Verdict.FAIL if row.weight is Weight.NEED else Verdict.NOTE), row.advice or "it was not learned"
    if row.name in _NUMBERS:
        return _NUMBERS[row.name](int(value)), row.advice
    if row.weight is Weight.FLAG:
        if value is expected:
            return Verdict.OK, ""
        if value:
            return Verdict.NOTE, f"it may be made use of: {row.name} = true"
        return Verdict.FAIL, f"the settings promise what is not so: {row.name} = false"
    if bool(value) is (row.name not in _UNWANTED):
        return Verdict.OK, ""
    return (Verdict.FAIL if row.weight is Weight.NEED else Verdict.NOTE), row.advice


def measured(outcomes: Mapping[str, Outcome]) -> dict[str, bool]:
    """The capabilities that were learned, by the names of OriginCapabilities."""
    found = {name: outcomes[name].value for name in OriginCapabilities.model_fields if name in outcomes}
    return {name: value for name, value in found.items() if isinstance(value, bool)}


def differences(found: Mapping[str, bool], profile: Provider) -> dict[str, bool]:
    """What was measured to be otherwise than the settings have it."""
    return {name: value for name, value in found.items() if getattr(profile, name) is not value}


def render_capabilities(found: Mapping[str, bool], preset: Provider, overrides: Mapping[str, bool]) -> str:
    """The line for gateway.toml that makes the settings what was found; overrides that were not measured stay."""
    wanted = {name: found.get(name, overrides.get(name)) for name in OriginCapabilities.model_fields}
    named = [
        f"{name} = {str(value).lower()}"
        for name, value in wanted.items()
        if value is not None and (value is not getattr(preset, name) or name not in found)
    ]
    return f"capabilities = {{ {', '.join(named)} }}" if named else "capabilities = {}"


def render_place(upstream: Upstream) -> dict[str, str]:
    """Where an origin is, as a profile has it: a profile of another place says nothing about this one."""
    return {"endpoint": str(upstream.endpoint), "region": upstream.region, "addressing": upstream.addressing}


def rendered(judged: list[Judged]) -> Iterator[dict[str, object]]:
    """The rows for machines."""
    for each in judged:
        yield {
            "name": each.row.name,
            "expected": each.expected,
            "found": each.outcome.value,
            "answered": each.outcome.told,
            "verdict": "unknown" if each.verdict is Verdict.UNKNOWN else each.verdict.value.lower(),
            "advice": each.advice,
        }
