"""The command `anbar`: one module a command or group of commands; what they do is done by the other rooms."""

import sys

import typer

from gateway import __version__
from gateway.cli import audit, cache, doctor, init, keys, move_in, policy, presign, reconcile, serve, usage, worker
from gateway.cli.installation import Refused

# Tracebacks with local variables would print secrets.
app = typer.Typer(
    name="anbar",
    help="A self-hosted S3 gateway.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"anbar {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: bool = typer.Option(False, "--version", callback=_print_version, is_eager=True, help="Print the version."),
) -> None:
    pass


app.command("init")(init.init)
app.command("serve")(serve.serve)
app.command("worker", hidden=True)(worker.worker)
app.add_typer(keys.app, name="keys")
app.add_typer(policy.app, name="policy")
app.command("usage")(usage.usage)
app.command("reconcile")(reconcile.reconcile)
app.command("import")(move_in.move_in)
app.command("audit")(audit.audit)
app.add_typer(cache.app, name="cache")
app.command("presign")(presign.presign)
app.command("doctor")(doctor.doctor)


def main() -> None:
    """Run a command and exit: 0 done, 1 refused (the reason is on standard error), 2 wrong usage."""
    try:
        app()
    except Refused as refusal:
        for line in str(refusal).split("\n"):
            print(f"anbar: {line}", file=sys.stderr)
        sys.exit(1)
