"""anbar serve: the gateway in the foreground."""

from gateway.cli.installation import DEFAULT_CONFIG, ConfigOption, Refused, load_installation
from gateway.cli.runtime import runtime_mistakes


def serve(config: ConfigOption = DEFAULT_CONFIG) -> None:
    """Serve until SIGTERM or SIGINT; prints `ready: http://HOST:PORT` when requests are accepted."""
    if mistakes := runtime_mistakes():
        raise Refused("\n".join(f"not served with this Python: {mistake}" for mistake in mistakes))
    installation = load_installation(config)
    from gateway.serving import serve as serve_until_stopped
    from gateway.startup import StartError

    try:
        serve_until_stopped(installation.settings, installation.config)
    except StartError as error:
        raise Refused(str(error)) from error
