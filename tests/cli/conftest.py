"""A command run in this process, and an installation to run it on."""

import asyncio
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import trustme

from gateway.cli import main
from gateway.store.buckets import Buckets
from gateway.store.catalog import Catalog
from gateway.store.database import Database
from gateway.store.key_ring import KeyRing
from gateway.store.records import Intent, ObjectRecord


@dataclass(frozen=True)
class Ended:
    """How a command ended and what it printed."""

    code: int
    out: str
    err: str


Anbar = Callable[..., Ended]
Edit = Callable[[str, str], None]
Hold = Callable[..., None]


@pytest.fixture
def edit(installation) -> Edit:
    """Replace a text in the installation's gateway.toml."""

    def replace(old: str, new: str) -> None:
        config = installation / "gateway.toml"
        text = config.read_text(encoding="utf-8")
        assert old in text
        config.write_text(text.replace(old, new), encoding="utf-8")

    return replace


@pytest.fixture
def edit_policy(installation) -> Edit:
    """Replace a text in the installation's policies/demo.toml."""

    def replace(old: str, new: str) -> None:
        file = installation / "policies/demo.toml"
        text = file.read_text(encoding="utf-8")
        assert old in text
        file.write_text(text.replace(old, new), encoding="utf-8")

    return replace


@pytest.fixture
def hold(installation) -> Hold:
    """Store an object of 100 bytes in a bucket that is there, as a gateway would."""

    async def store(bucket: str, key: str, uploader: str) -> None:
        database = await Database.open(installation / "var/anbar.sqlite")
        buckets = Buckets(database)
        await buckets.load()
        catalog = Catalog(database)
        intent = Intent(f"i-{key}", "put", bucket, key, uploader, 100, "local", f"at-{bucket}-{key}", 1)
        await catalog.begin(intent, None)
        record = ObjectRecord(bucket, key, uploader, 100, '"e"', 1, "local", intent.location)
        await catalog.commit(buckets.get(bucket), intent, record, None)
        await database.close()

    return lambda bucket, key, uploader="ops": asyncio.run(store(bucket, key, uploader))


@pytest.fixture
def foreign_ring(anbar, installation) -> tuple[str, str]:
    """The store has three access keys, and beside it lies a key ring that is not its own: (its key, the one here)."""
    ring = installation / "var/key_ring"
    for _ in range(3):
        assert anbar("keys", "create", "--project", "demo", "--principal", "ops").code == 0
    own = KeyRing.load(ring).primary_id
    ring.rename(ring.with_name("own_ring"))
    return own, KeyRing.create(ring).primary_id


@pytest.fixture
def certificates(installation) -> Path:
    """The installation's directory with a certificate and its key, cert.pem and key.pem, which [server] tls names."""
    issued = trustme.CA().issue_cert("media.example.com", "127.0.0.1")
    issued.private_key_pem.write_to_path(installation / "key.pem")
    for number, part in enumerate(issued.cert_chain_pems):
        part.write_to_path(installation / "cert.pem", append=number > 0)
    config = installation / "gateway.toml"
    tls = 'tls = { certificate = "cert.pem", key = "key.pem" }'
    config.write_text(config.read_text().replace(f"# {tls}", tls))
    return installation


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
