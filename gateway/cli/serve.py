"""anbar serve: the gateway in the foreground."""

import atexit
import os
import shutil
from tempfile import mkdtemp

from gateway.cli.installation import DEFAULT_CONFIG, ConfigOption, Refused, load_installation
from gateway.cli.runtime import runtime_mistakes


def serve(config: ConfigOption = DEFAULT_CONFIG) -> None:
    """Serve until SIGTERM or SIGINT; prints `ready: http://HOST:PORT` when requests are accepted."""
    if mistakes := runtime_mistakes():
        raise Refused("\n".join(f"not served with this Python: {mistake}" for mistake in mistakes))
    installation = load_installation(config)
    if installation.settings.server.worker_count > 1:
        _count_together()
    from gateway.serving import serve as serve_until_stopped
    from gateway.startup import StartError

    try:
        serve_until_stopped(installation.settings, installation.config)
    except StartError as error:
        raise Refused(str(error)) from error


def _count_together() -> None:
    """Let all workers count for /-/metrics in files of one directory; it must be known before anything is counted.

    https://prometheus.github.io/client_python/multiprocess/
    """
    try:
        folder = mkdtemp(prefix="anbar-counted-")
    except OSError as error:
        raise Refused(f"no directory for what the workers count: {error}") from error
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = folder
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
