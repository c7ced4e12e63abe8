"""What `make packages` brings: a Debian in a directory, and how the machine reaches the network."""

import os
from pathlib import Path

import pytest

_PASSED_ON = ("PIP_DEFAULT_TIMEOUT", "PIP_INDEX_URL", "HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy")
_CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt"


@pytest.fixture(scope="session")
def clean_root() -> Path:
    """A root directory to be copied, never changed."""
    root = os.environ.get("ANBAR_CLEAN_ROOT")
    if not root:
        pytest.skip("make packages gives it a clean root")
    return Path(root)


@pytest.fixture(scope="session")
def network() -> dict[str, str]:
    """The environment in which packages can be installed."""
    passed_on = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    return passed_on | {"SSL_CERT_FILE": _CERTIFICATES, "PIP_CERT": _CERTIFICATES}
