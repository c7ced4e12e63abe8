"""How far a long command has come, for people at a terminal."""

import pytest

from gateway.cli.progress import Progress


@pytest.mark.parametrize("terminal", [True, False])
def test_progress_is_for_terminals(monkeypatch, capsys, terminal):
    monkeypatch.setattr("sys.stderr.isatty", lambda: terminal)
    monkeypatch.setattr("gateway.cli.progress._EVERY_S", 0.0)
    progress = Progress()
    progress.show("1,500 bodies looked at")
    progress.end()
    assert capsys.readouterr().err == ("\r1,500 bodies looked at\x1b[K\n" if terminal else "")
