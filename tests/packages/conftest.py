"""What `make packages` brings: a Debian in a directory, and how the machine reaches the network."""

import os
from pathlib import Path

import pytest

_PASSED_ON = ("PIP_DEFAULT_TIMEOUT", "PIP_INDEX_URL", "HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy")
_CLEAN_ROOT = "ANBAR_CLEAN_ROOT"
_CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """What needs a root to install into is for `make packages`, which takes minutes to make one."""
    if _CLEAN_ROOT in os.environ:
        return
    left = [item for item in items if "clean_root" in getattr(item, "fixturenames", ())]
    if left:
        config.hook.pytest_deselected(items=left)
        items[:] = [item for item in items if item not in left]


@pytest.fixture(scope="session")
def clean_root() -> Path:
    """A root directory to be copied, never changed."""
    return Path(os.environ[_CLEAN_ROOT])


@pytest.fixture(scope="session")
def network() -> dict[str, str]:
    """The environment in which packages can be installed."""
    passed_on = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    return passed_on | {"SSL_CERT_FILE": _CERTIFICATES, "PIP_CERT": _CERTIFICATES}
