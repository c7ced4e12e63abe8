"""anbar doctor --origin NAME: what an S3 origin can do, measured on scratch keys that are removed again."""

import asyncio
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import typer

from gateway import __version__
from gateway.cli.check_origins import origins_unlogged
from gateway.cli.finding import Finding, Level
from gateway.cli.installation import Installation, Refused, print_json, print_table, render_time
from gateway.origin_settings import S3OriginSettings

if TYPE_CHECKING:
    from gateway.origin.providers import Upstream
    from gateway.origin.s3.probe.judgement import Judged
    from gateway.origin.s3.probe.run import Probe

MOST_CONNECT_S = 5.0
MOST_WAIT_S = 10.0
INTERRUPTED = 130


@dataclass(frozen=True, slots=True)
class Target:
    """What is probed: an origin's settings, and the bucket and prefix of one category there."""

    name: str
    settings: S3OriginSettings
    bucket: str
    prefix: str


@dataclass(frozen=True, slots=True)
class Report:
    """A probe that has ended; `paste` is the line for gateway.toml, None where it has the right one already."""

    target: Target
    upstream: "Upstream"
    scratch: str
    measured_s: int
    took_s: float
    judged: Sequence["Judged"]
    capabilities: dict[str, bool]
    paste: str | None
    left: Sequence[str]
    interrupted: bool

    @property
    def fit(self) -> bool:
        from gateway.origin.s3.probe.judgement import Verdict

        return not any(each.verdict is Verdict.FAIL for each in self.judged)

    @property
    def ok(self) -> bool:
        return self.fit and not self.left and not self.interrupted


def probe_origin(
    installation: Installation, name: str, bucket: str | None, *, as_json: bool, write_profile: bool
) -> None:
    """Probe, tell, and exit: 0 it serves, 1 it does not, 130 interrupted; raises BadParameter."""
    target = find_target(installation, name, bucket)
    with origins_unlogged():
        report = run_probe(target)
    profile = render_report(report)
    if as_json:
        print_json(profile)
    else:
        _print_report(report)
    if write_profile and not report.interrupted:
        _write(installation, target, profile, told=not as_json)
    if report.interrupted:
        raise typer.Exit(INTERRUPTED)
    if not report.ok:
        raise typer.Exit(1)


def find_target(installation: Installation, name: str, bucket: str | None) -> Target:
    """The place where the policy files let this origin keep bytes; raises BadParameter."""
    origins = installation.settings.origins
    settings = origins.get(name)
    if settings is None:
        raise typer.BadParameter(f'no origin "{name}"; there is {", ".join(sorted(origins))}', param_hint="--origin")
    if not isinstance(settings, S3OriginSettings):
        raise typer.BadParameter(
            f'{name} is kind = "{settings.kind}": anbar doctor alone checks it', param_hint="--origin"
        )
    places = [
        (category.origin_bucket, category.origin_prefix)
        for project in installation.policies.projects
        for category in project.categories.values()
        if category.origin == name
    ]
    if not places:
        raise typer.BadParameter(f"no category of the policy files keeps its bytes at {name}", param_hint="--origin")
    chosen = [place for place in places if bucket in (None, place[0])]
    if not chosen:
        known = ", ".join(dict.fromkeys(place[0] for place in places))
        raise typer.BadParameter(f"no category keeps its bytes in {bucket}; there is {known}", param_hint="--bucket")
    return Target(name, settings, *chosen[0])


def run_probe(target: Target, clock: Callable[[], float] = time.time) -> Report:
    """Ask everything, within two minutes; raises Refused: the settings name files that cannot be read."""
    from gateway.origin.credentials import credentials_of
    from gateway.origin.http_client import Deadlines
    from gateway.origin.providers import upstream_of
    from gateway.origin.s3.probe.run import Probe
    from gateway.startup import StartError, origin_tls

    settings, upstream = target.settings, upstream_of(target.settings)
    try:
        tls = origin_tls(target.name, settings)
    except StartError as error:
        raise Refused(str(error)) from None
    deadlines = Deadlines(
        min(settings.connect_timeout_s, MOST_CONNECT_S),
        min(settings.first_byte_timeout_s, MOST_WAIT_S),
        min(settings.gap_timeout_s, MOST_WAIT_S),
    )
    probe = Probe(
        target.name, upstream, credentials_of(settings), tls, deadlines, target.bucket, target.prefix, clock=clock
    )
    began, began_s = time.monotonic(), int(time.time())
    interrupted = not _finished(probe)
    return _report(target, upstream, probe, began_s, time.monotonic() - began, interrupted=interrupted)


def _finished(probe: "Probe") -> bool:
    """Run the probe; False: somebody interrupted it, and it has cleaned up all the same."""

    async def run() -> None:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
        await probe.run()

    try:
        asyncio.run(run())
    except (KeyboardInterrupt, asyncio.CancelledError):
        return False
    return True


def _report(
    target: Target, upstream: "Upstream", probe: "Probe", began_s: int, took_s: float, *, interrupted: bool
) -> Report:
    from gateway.origin.providers import PROVIDERS
    from gateway.origin.s3.probe.judgement import differences, judge, measured, render_capabilities

    found = measured(probe.outcomes)
    overrides = target.settings.capabilities.known()
    line = render_capabilities(found, PROVIDERS[target.settings.provider], overrides)
    return Report(
        target=target,
        upstream=upstream,
        scratch=f"s3://{target.bucket}/{probe.prefix}",
        measured_s=began_s,
        took_s=took_s,
        judged=judge(probe.outcomes, upstream.profile),
        capabilities=found,
        paste=line if differences(found, upstream.profile) else None,
        left=probe.left,
        interrupted=interrupted,
    )


def render_report(report: Report) -> dict[str, Any]:
    """The report as JSON, which is the profile, too."""
    from gateway.origin.profile_file import FORMAT
    from gateway.origin.s3.probe.judgement import render_place, rendered

    return {
        "format": FORMAT,
        "anbar": __version__,
        "origin": report.target.name,
        "provider": report.target.settings.provider,
        **render_place(report.upstream),
        "bucket": report.target.bucket,
        "prefix": report.target.prefix,
        "measured": render_time(report.measured_s),
        "seconds": round(report.took_s, 1),
        "ok": report.ok,
        "probes": list(rendered(list(report.judged))),
        "capabilities": report.capabilities,
        "paste": report.paste,
        "left": list(report.left),
    }


def _print_report(report: Report) -> None:
    target, upstream = report.target, report.upstream
    print(f'{upstream.endpoint} as "{target.settings.provider}", region {upstream.region}, {report.scratch}\n')
    print_table(("", "WHAT", "EXPECTED", "FOUND", "ANSWERED"), map(_row, report.judged))
    print()
    for finding in _findings(report):
        print(f"{finding.level.value:<4}  {finding.about}: {finding.text}")
    if report.paste is not None:
        print(f"\nTo go by what was found, write under [origins.{target.name}] in gateway.toml:\n\n{report.paste}")


def _row(judged: "Judged") -> tuple[str, str, str, str, str]:
    return (
        judged.verdict.value,
        judged.row.title,
        _word(judged.expected),
        _word(judged.outcome.value),
        judged.outcome.told,
    )


def _word(value: bool | int | None) -> str:
    if value is None:
        return "–"
    return ("yes" if value else "no") if isinstance(value, bool) else f"{value:,}"


def _findings(report: Report) -> Iterator[Finding]:
    """What is to be done, a line each, and how it ended."""
    for each in report.judged:
        if each.advice:
            yield Finding(Level(each.verdict.value), each.row.title, each.advice)
    for place in report.left:
        yield Finding(Level.FAIL, "could not be removed", place)
    about = f"origin {report.target.name}"
    ended = f"{report.took_s:.1f} s, {'not all was removed' if report.left else 'nothing is left there'}"
    if report.interrupted:
        yield Finding(Level.FAIL, about, f"interrupted after {ended}")
    elif report.fit:
        yield Finding(Level.OK, about, f"fit to be served from with these settings; {ended}")
    else:
        yield Finding(Level.FAIL, about, f"not fit to be served from with these settings; {ended}")


def _write(installation: Installation, target: Target, profile: dict[str, Any], *, told: bool) -> None:
    from gateway.origin.profile_file import profile_path, write_profile

    path = profile_path(installation.settings.store.path, target.name)
    try:
        write_profile(path, profile)
    except OSError as error:
        raise Refused(f"the profile could not be written: {path}: {error.strerror}") from error
    if told:
        print(f"\nprofile: {path}")
