"""What the gateway looks at before it serves, and how it says that it will not."""

import errno
import fcntl
import os
import socket
import ssl

import pytest
import trustme
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from gateway.config import Tls, parse_settings
from gateway.origin_settings import DirectoryOriginSettings, S3OriginSettings
from gateway.startup import StartError, TlsError, address_error, is_serving, open_origin, open_rooms, tls_context
from gateway.store.database import Database
from gateway.store.key_ring import KeyRing
from gateway.store.store import Store


@pytest.fixture
def tls(tmp_path) -> Tls:
    """A certificate and its key, and beside them `other.pem`, another key."""
    issued, other = trustme.CA().issue_cert("a.example"), trustme.CA().issue_cert("b.example")
    for number, part in enumerate(issued.cert_chain_pems):
        part.write_to_path(tmp_path / "cert.pem", append=number > 0)
    issued.private_key_pem.write_to_path(tmp_path / "key.pem")
    other.private_key_pem.write_to_path(tmp_path / "other.pem")
    return Tls(certificate=tmp_path / "cert.pem", key=tmp_path / "key.pem")


def mistake_of(tls: Tls) -> str:
    with pytest.raises(TlsError) as refused:
        tls_context(tls)
    return str(refused.value)


def test_without_tls_there_is_no_context():
    assert tls_context(None) is None


def test_a_certificate_with_its_key_is_served_with(tls):
    context = tls_context(tls)
    assert context is not None
    assert context.minimum_version == ssl.TLSVersion.TLSv1_2


def test_a_key_of_another_certificate_is_named(tls):
    other = tls.key.with_name("other.pem")
    wrong = Tls(certificate=tls.certificate, key=other)
    assert mistake_of(wrong) == f"{other} is not the key of {tls.certificate}"


@pytest.mark.parametrize(
    "text", ["", "no certificate", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"]
)
def test_what_is_no_certificate_is_named(tls, text):
    tls.certificate.write_text(text)
    assert mistake_of(tls) == f"{tls.certificate}: not a PEM certificate"


def test_what_is_no_key_is_named(tls):
    for text in ("", "no key", tls.certificate.read_text()):
        tls.key.write_text(text)
        assert mistake_of(tls) == f"{tls.key}: not a PEM private key"


def test_files_that_cannot_be_read_are_named(tls, tmp_path):
    assert mistake_of(Tls(certificate=tmp_path, key=tls.key)) == f"{tmp_path}: Is a directory"
    assert (
        mistake_of(Tls(certificate=tls.certificate, key=tmp_path / "x")) == f"{tmp_path}/x: No such file or directory"
    )


def test_a_key_with_a_passphrase_is_refused_and_the_terminal_not_asked(tls):
    key = load_pem_private_key(tls.key.read_bytes(), None)
    sealed = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"open sesame"))
    tls.key.write_bytes(sealed)
    assert mistake_of(tls) == f"{tls.key}: it has a passphrase; write it without one"


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (OSError(errno.EADDRINUSE, "error while attempting to bind on address"), "Address already in use"),
        (socket.gaierror(socket.EAI_NONAME, "Name or service not known"), "Name or service not known"),
        (OSError("could not bind on any interface"), "could not bind on any interface"),
        (UnicodeError("label too long"), "not a host name"),
    ],
)
def test_an_address_error_says_why_and_nothing_twice(error, text):
    assert address_error(error) == text


def test_a_store_is_served_from_while_its_lock_is_held(tmp_path):
    store = tmp_path / "anbar.sqlite"
    assert not is_serving(store)
    assert list(tmp_path.iterdir()) == []
    with (tmp_path / "anbar.sqlite-serving").open("w") as lock:
        assert not is_serving(store)
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert is_serving(store)
    assert not is_serving(store)


def refusing(code: int, monkeypatch) -> None:
    """From now on no file can be made."""
    open_file = os.open

    def refuse(path, flags, *arguments, **named):
        if flags & os.O_CREAT:
            raise OSError(code, os.strerror(code))
        return open_file(path, flags, *arguments, **named)

    monkeypatch.setattr(os, "open", refuse)


@pytest.mark.parametrize("code", [errno.EACCES, errno.EROFS, errno.EIO])
def test_an_origin_that_cannot_be_written_is_refused_by_name_and_path(tmp_path, monkeypatch, code):
    refusing(code, monkeypatch)
    with pytest.raises(StartError) as refused:
        open_origin("photos", DirectoryOriginSettings(kind="directory", path=tmp_path))
    assert str(refused.value) == f"origin photos: cannot write in {tmp_path}: {os.strerror(code)}"


async def test_a_full_origin_is_opened_to_be_read_and_emptied(tmp_path, monkeypatch):
    refusing(errno.ENOSPC, monkeypatch)
    await open_origin("photos", DirectoryOriginSettings(kind="directory", path=tmp_path)).close()


async def test_an_s3_origin_opens_without_an_answer(tmp_path):
    """What it has is needed by the requests that ask for it, not by the others."""
    settings = S3OriginSettings(kind="s3", provider="liara")
    opened = open_origin("photos", settings)
    await opened.close()


@pytest.mark.parametrize(("text", "what"), [(None, "No such file or directory"), ("-----", "no PEM certificates")])
def test_an_origins_certificates_that_cannot_be_read_are_named(tmp_path, text, what):
    file = tmp_path / "ca.pem"
    if text is not None:
        file.write_text(text)
    settings = S3OriginSettings(kind="s3", provider="liara", ca_file=file)
    with pytest.raises(StartError, match=f"origin photos: ca_file {file}: {what}"):
        open_origin("photos", settings)


async def test_each_worker_has_its_part_of_the_memory_of_bodies(tmp_path):
    directory = f'kind = "directory"\npath = "{tmp_path}/objects"\n'
    text = f"""
        [server]
        workers = 4
        [store]
        path = "{tmp_path}/anbar.sqlite"
        [secrets]
        key_ring = "key_ring"
        [policies]
        path = "policies"
        [limits]
        memory_budget = "64MiB"
        [origins.local]
        {directory}
    """
    settings = parse_settings(text, tmp_path / "gateway.toml")
    database = await Database.open(settings.store.path)
    try:
        async with open_rooms(settings, Store(database, KeyRing.create(tmp_path / "key_ring"))) as rooms:
            assert rooms.budget.take_kept(16 << 20)
            assert not rooms.budget.take_kept(1)
    finally:
        await database.close()
