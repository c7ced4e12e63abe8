"""python -m bench: nginx and the gateway in turn, and what each request costs.

Absolute figures depend on the machine and on who else uses it; ratios of one round do so much less.
"""

import argparse
import sys

from bench import machine
from bench.cases import CASES
from bench.environment import Environment
from bench.load import BadAnswer
from bench.report import Result, Sample, render_json, render_table
from bench.servers import NotReady


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__.splitlines()[0])
    parser.add_argument("cases", nargs="*", metavar="CASE", help=f"which ones (default: all): {', '.join(CASES)}")
    parser.add_argument("--rounds", type=int, default=5, metavar="N", help="rounds; the cases of one are interleaved")
    parser.add_argument("--seconds", type=float, default=3.0, metavar="S", help="of load for each server in a round")
    parser.add_argument("--json", action="store_true", help="every figure of every round")
    parser.add_argument("--check", action="store_true", help="exit 1 when a median misses its target")
    arguments = parser.parse_args()
    unknown = [name for name in arguments.cases if name not in CASES]
    if unknown or arguments.rounds < 1 or arguments.seconds <= 0:
        parser.error(f"there is no case {unknown[0]}" if unknown else "rounds and seconds must be more than nothing")
    try:
        results = measure(arguments.cases or list(CASES), arguments.rounds, arguments.seconds)
    except (BadAnswer, NotReady) as error:
        print(f"bench: {error}", file=sys.stderr)
        return 2
    print(render_json(results) if arguments.json else render_table(results))
    return 1 if arguments.check and not all(result.reached for result in results) else 0


def measure(names: list[str], rounds: int, seconds: float) -> list[Result]:
    """All cases, round by round."""
    machine.take_load_core()
    samples: dict[str, list[Sample]] = {name: [] for name in names}
    with Environment(seconds) as environment:
        for number in range(rounds):
            for name in names:
                _say(f"round {number + 1} of {rounds}: {name}")
                samples[name].append(CASES[name].measure(environment))
    _say("")
    return [Result(name, CASES[name].target, samples[name]) for name in names]


def _say(text: str) -> None:
    """What is going on, for whoever watches; a log gets only the results."""
    if sys.stderr.isatty():
        print(f"\r{text:<60}", end="" if text else "\r", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
