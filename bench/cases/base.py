"""What a case is."""

from typing import Protocol

from bench.environment import Environment
from bench.report import Sample, Target


class Case(Protocol):
    """One thing that is measured, once in every round; nginx and the gateway are measured in the same round."""

    @property
    def name(self) -> str: ...

    @property
    def target(self) -> Target: ...

    def measure(self, environment: Environment, /) -> Sample:
        """Run one round; the first one may prepare what all of them use."""
        ...
