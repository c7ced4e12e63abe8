"""Figures of several rounds, and how they are shown."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Target:
    """What a case is to reach: at most `limit` of `unit`."""

    limit: float
    unit: str


@dataclass(frozen=True, slots=True)
class Sample:
    """One round of a case. `value` is in the target's unit; `details` are the figures it comes from."""

    value: float
    details: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Result:
    """All rounds of a case."""

    name: str
    target: Target
    samples: Sequence[Sample]

    @property
    def spread(self) -> tuple[float, float, float]:
        """Minimum, median, maximum."""
        return _spread([sample.value for sample in self.samples])

    @property
    def reached(self) -> bool:
        return self.spread[1] <= self.target.limit

    def details(self) -> dict[str, tuple[float, float, float]]:
        return {name: _spread([sample.details[name] for sample in self.samples]) for name in self.samples[0].details}


def _spread(values: Sequence[float]) -> tuple[float, float, float]:
    ordered = sorted(values)
    return ordered[0], ordered[len(ordered) // 2], ordered[-1]


def render_table(results: Sequence[Result]) -> str:
    """A table for people: minimum / median / maximum over the rounds."""
    lines = [f"{'case':<24} {'min':>8} {'median':>8} {'max':>8}  {'unit':<18} {'target':>8}", "-" * 84]
    for result in results:
        low, middle, high = result.spread
        verdict = "reached" if result.reached else "MISSED"
        unit, limit = result.target.unit, result.target.limit
        lines.append(f"{result.name:<24} {low:8.1f} {middle:8.1f} {high:8.1f}  {unit:<18} {limit:8.1f} {verdict}")
        lines += [
            f"    {name:<20} {low:8.1f} {middle:8.1f} {high:8.1f}"
            for name, (low, middle, high) in result.details().items()
        ]
    return "\n".join(lines)


def render_json(results: Sequence[Result]) -> str:
    """The same for machines, with every round."""
    return json.dumps(
        [
            {
                "case": result.name,
                "unit": result.target.unit,
                "target": result.target.limit,
                "reached": result.reached,
                "min": result.spread[0],
                "median": result.spread[1],
                "max": result.spread[2],
                "rounds": [{"value": sample.value, **sample.details} for sample in result.samples],
            }
            for result in results
        ],
        indent=2,
    )
