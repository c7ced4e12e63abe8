"""A command run in this process, and an installation to run it on."""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from gateway.cli import main


@dataclass(frozen=True)
class Ended:
    """How a command ended and what it printed."""

    code: int
    out: str
    err: str


Anbar = Callable[..., Ended]


@pytest.fixture
def anbar(capsys, monkeypatch) -> Anbar:
    """Run `anbar ARGUMENTS…`; commands find `gateway.toml` in the working directory."""

    def run(*arguments: str | Path) -> Ended:
        capsys.readouterr()
        monkeypatch.setattr(sys, "argv", ["anbar", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        captured = capsys.readouterr()
        assert isinstance(ended.value.code, int | None)
        return Ended(ended.value.code or 0, captured.out, captured.err)

    return run


@pytest.fixture
def installation(anbar, tmp_path, monkeypatch) -> Path:
    """The directory of a new installation, which is the working directory; it has no server."""
    monkeypatch.delenv("ANBAR_CONFIG", raising=False)
    monkeypatch.chdir(tmp_path)
    assert anbar("init").code == 0
    config = tmp_path / "gateway.toml"
    text = config.read_text(encoding="utf-8").replace("127.0.0.1:9000", "127.0.0.1:0").replace("127.0.0.1:9001", "off")
    config.write_text(text, encoding="utf-8")
    return tmp_path
