"""What rules cost: one decision in a project with many statements, and a large policy from its file into force."""

import asyncio
import random
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from bench.environment import Environment
from bench.report import Sample, Target
from gateway.policy.documents import parse_policies
from gateway.policy.evaluate import NO_CONTEXT, Resource, Rules
from gateway.policy.model import Identity, PolicySet
from gateway.rulebook import carry_out_plan, make_plan, read_folder
from gateway.store.buckets import Buckets
from gateway.store.database import Database
from gateway.store.revisions import Revisions, digest_of

_ORIGINS = ("local",)
_QUESTIONS = 20_000
_ACTIONS = ("s3:GetObject", "s3:PutObject", "s3:DeleteObject")


class Evaluate:
    """Decisions about random objects in a project with 200 statements; also where all are about the one who asks."""

    name = "evaluate"
    target = Target(5.0, "CPU µs")

    def measure(self, _environment: Environment, /) -> Sample:
        spread = _policies(lambda number: f"backend-{number % 20}")
        alone = _policies(lambda _number: "backend-0")
        return Sample(_cost(spread), {"all about one principal": _cost(alone), "first of its kind": _first(spread)})


class LargePolicy:
    """1,000 principals, 500 categories and 200 statements: read and checked, compared, applied to a new store."""

    name = "policy-large"
    target = Target(2.0, "s")

    def measure(self, _environment: Environment, /) -> Sample:
        with tempfile.TemporaryDirectory() as directory:
            folder = Path(directory, "policies")
            folder.mkdir()
            (folder / "bench.toml").write_text(_text(1000, 500, lambda number: f"backend-{number % 20}"))
            spent = asyncio.run(_apply(folder, Path(directory, "anbar.sqlite")))
        return Sample(sum(spent.values()), spent)


async def _apply(folder: Path, store: Path) -> dict[str, float]:
    database = await Database.open(store)
    try:
        revisions, spent = Revisions(database, Buckets(database)), {}
        began = time.monotonic()
        texts, policies = read_folder(folder, _ORIGINS)
        spent["check s"] = time.monotonic() - began
        plan = await make_plan(revisions, texts, policies, digest_of(texts), _ORIGINS, 0)
        spent["plan s"] = time.monotonic() - began - spent["check s"]
        await carry_out_plan(revisions, plan, author="bench", comment="", now_s=0)
        spent["apply s"] = time.monotonic() - began - spent["check s"] - spent["plan s"]
        return spent
    finally:
        await database.close()


def _policies(whom: Callable[[int], str]) -> PolicySet:
    return parse_policies({Path("bench.toml"): _text(100, 10, whom)}, _ORIGINS)


def _text(principals: int, categories: int, whom: Callable[[int], str]) -> str:
    """A policy with 200 statements, each about one prefix of one bucket."""
    lines = ['project = "bench"']
    lines += [f"[categories.c{number}]" for number in range(categories)]
    for number in range(principals):
        lines += [f"[principals.backend-{number}]", f'role = "{"service" if number < 20 else "uploader"}"']
    for number in range(200):
        lines += [
            "[[statements]]",
            f'effect = "{"deny" if number % 4 == 0 else "allow"}"',
            f'principals = ["{whom(number)}"]',
            'actions = ["s3:GetObject", "s3:DeleteObject"]',
            f'resources = ["bench-c{number % 10}/dir-{number}/*"]',
        ]
    return "\n".join(lines) + "\n"


def _questions(policies: PolicySet, count: int) -> list[tuple[Identity, str, Resource]]:
    chance, project = random.Random(1), policies.projects[0]
    asking = [Identity(each, each.name) for each in list(project.principals.values())[:20]]
    return [
        (
            chance.choice(asking),
            chance.choice(_ACTIONS),
            Resource("bench", f"bench-c{chance.randrange(10)}", f"dir-{chance.randrange(200)}/photo.jpg", "somebody"),
        )
        for _ in range(count)
    ]


def _cost(policies: PolicySet) -> float:
    """CPU µs for one decision of many, when the statements that can apply are known."""
    rules, questions = Rules(policies), _questions(policies, _QUESTIONS)
    for _ in range(2):
        before_ns = time.process_time_ns()
        for identity, action, resource in questions:
            rules.decide(identity, action, resource, NO_CONTEXT)
        spent_ns = time.process_time_ns() - before_ns
    return spent_ns / len(questions) / 1000


def _first(policies: PolicySet) -> float:
    """CPU µs for a decision that nobody has asked for yet."""
    rules, questions = Rules(policies), _questions(policies, 5000)
    fresh = list({(identity, action, resource.bucket): resource for identity, action, resource in questions}.items())
    before_ns = time.process_time_ns()
    for (identity, action, _), resource in fresh:
        rules.decide(identity, action, resource, NO_CONTEXT)
    return (time.process_time_ns() - before_ns) / len(fresh) / 1000
