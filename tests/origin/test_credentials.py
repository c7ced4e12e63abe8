"""Where the keys to an S3 origin come from, and that new ones are picked up while the gateway runs."""

import asyncio
import json
import os
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from gateway.origin import credentials as module
from gateway.origin.credentials import (
    ChainCredentials,
    ConfiguredCredentials,
    CredentialsError,
    OriginCredentials,
    credentials_of,
    read_credentials,
)
from gateway.origin_settings import S3OriginSettings
from gateway.sigv4.model import SecretAccessKey

ROOT = Path(__file__).resolve().parent.parent.parent
SECRET = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
ENVIRON = {"KEY": "AKIDEXAMPLE", "SECRET": SECRET, "TOKEN": "IQoJb3JpZ2luX2VjE=="}


class Clock:
    """A clock that a test moves."""

    def __init__(self, now: float = 1000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


def settings(**sources) -> S3OriginSettings:
    return S3OriginSettings.model_validate({"kind": "s3", "provider": "liara"} | sources)


def in_environment(**more) -> S3OriginSettings:
    return settings(access_key_id={"env": "KEY"}, secret_access_key={"env": "SECRET"}, **more)


def write(file: Path, text: str) -> Path:
    """Replace a file as careful tools do: a new one, moved over the old one."""
    fresh = file.with_suffix(".new")
    fresh.write_text(text, encoding="ascii")
    fresh.chmod(0o600)
    return fresh.rename(file)


@pytest.fixture
def files(tmp_path) -> S3OriginSettings:
    key = write(tmp_path / "key", "AKIDEXAMPLE\n")
    secret = write(tmp_path / "secret", SECRET + "\n")
    return settings(access_key_id={"file": str(key)}, secret_access_key={"file": str(secret)})


def told(found: OriginCredentials) -> tuple[str, str, str | None]:
    return found.access_key_id, found.secret_access_key.reveal().decode(), found.session_token


def test_credentials_are_read_from_environment_variables():
    assert told(read_credentials(in_environment(), ENVIRON)) == ("AKIDEXAMPLE", SECRET, None)
    with_token = in_environment(session_token={"env": "TOKEN"})
    assert told(read_credentials(with_token, ENVIRON)) == ("AKIDEXAMPLE", SECRET, ENVIRON["TOKEN"])


def test_credentials_are_read_from_files_without_the_end_of_the_line(files):
    assert told(read_credentials(files, {})) == ("AKIDEXAMPLE", SECRET, None)


def test_environment_and_files_can_be_mixed(files):
    mixed = settings(access_key_id={"env": "KEY"}, secret_access_key={"file": str(files.secret_access_key.file)})
    assert told(read_credentials(mixed, {"KEY": "OTHER"})) == ("OTHER", SECRET, None)


def test_a_variable_that_is_not_set_is_named():
    for environ in ({"KEY": "AKIDEXAMPLE"}, {"KEY": "AKIDEXAMPLE", "SECRET": ""}):
        with pytest.raises(CredentialsError, match="secret_access_key: the environment variable SECRET is not set"):
            read_credentials(in_environment(), environ)


@pytest.mark.parametrize("value", ["two words", "two\nlines", "  ", "süß", "nul\0", "x" * 40_000])
def test_a_value_that_is_no_secret_is_refused_and_not_repeated(value):
    with pytest.raises(CredentialsError) as refused:
        read_credentials(in_environment(), ENVIRON | {"SECRET": value})
    assert str(refused.value) == (
        "secret_access_key: what the environment variable SECRET holds is not one word of visible ASCII characters"
    )


@pytest.mark.parametrize("value", ["AKID/x", "AKID,x", "a b", "x" * 300])
def test_an_access_key_id_that_would_break_the_authorization_header_is_refused(value):
    with pytest.raises(CredentialsError, match="access_key_id"):
        read_credentials(in_environment(), ENVIRON | {"KEY": value})


def test_a_file_that_others_may_read_is_refused_with_advice(files):
    file = files.secret_access_key.file
    file.chmod(0o640)
    with pytest.raises(CredentialsError, match=rf"secret_access_key: {file}: others may .*chmod 600"):
        read_credentials(files, {})


def test_a_file_that_is_not_there_is_named(files):
    files.secret_access_key.file.unlink()
    with pytest.raises(CredentialsError, match="secret: No such file or directory"):
        read_credentials(files, {})


def test_credentials_do_not_show_their_secrets():
    found = OriginCredentials("AKIDEXAMPLE", SecretAccessKey(SECRET), "a-token", 7)
    assert repr(found) == (
        "OriginCredentials(access_key_id='AKIDEXAMPLE', secret_access_key=SecretAccessKey(…), expires_s=7)"
    )


def test_credentials_are_the_same_where_they_sign_the_same():
    one = OriginCredentials("A", SecretAccessKey("s"), "t", 7)
    assert one.same_as(OriginCredentials("A", SecretAccessKey("s"), "t", 8))
    assert not one.same_as(OriginCredentials("B", SecretAccessKey("s"), "t"))
    assert not one.same_as(OriginCredentials("A", SecretAccessKey("x"), "t"))
    assert not one.same_as(OriginCredentials("A", SecretAccessKey("s"), None))


def test_the_settings_decide_the_source(files):
    assert isinstance(credentials_of(files), ConfiguredCredentials)
    assert isinstance(credentials_of(settings()), ChainCredentials)


async def test_the_same_credentials_are_given_while_nothing_changes(files):
    clock = Clock()
    source = ConfiguredCredentials(files, {}, clock)
    first = await source.current()
    clock.now += 5
    assert await source.current() is first
    assert not await source.refresh()
    assert not await source.refresh(first)


async def test_a_file_that_changed_is_read_again_within_a_second(files):
    clock = Clock()
    source = ConfiguredCredentials(files, {}, clock)
    await source.current()
    write(files.access_key_id.file, "AKIDNEW")
    clock.now += 0.9
    assert (await source.current()).access_key_id == "AKIDEXAMPLE", "files are not looked at for every request"
    clock.now += 0.2
    assert (await source.current()).access_key_id == "AKIDNEW"


async def test_a_file_that_was_overwritten_in_place_with_as_many_bytes_is_noticed(files):
    clock = Clock()
    source = ConfiguredCredentials(files, {}, clock)
    await source.current()
    await asyncio.sleep(0.02)  # of a clock tick of the file system
    files.access_key_id.file.write_text("AKIDEXAMPLF\n", encoding="ascii")
    clock.now += 2
    assert (await source.current()).access_key_id == "AKIDEXAMPLF"


async def test_what_cannot_be_read_leaves_the_credentials_as_they_are(files, caplog):
    clock = Clock()
    source = ConfiguredCredentials(files, {}, clock)
    first = await source.current()
    files.secret_access_key.file.unlink()
    clock.now += 2
    assert await source.current() is first
    assert not await source.refresh(first)
    assert "credentials stay as they are" in caplog.text
    write(files.secret_access_key.file, "another-secret")
    clock.now += 2
    assert (await source.current()).secret_access_key.reveal() == b"another-secret"


async def test_no_credentials_at_all_are_asked_for_again(files):
    secret = files.secret_access_key.file
    secret.rename(secret.with_name("away"))
    source = ConfiguredCredentials(files, {}, Clock())
    for ask in (source.current, source.refresh):
        with pytest.raises(CredentialsError):
            await ask()
    secret.with_name("away").rename(secret)
    assert (await source.current()).access_key_id == "AKIDEXAMPLE"


async def test_refresh_picks_up_a_rotated_key_at_once(files):
    source = ConfiguredCredentials(files, {}, Clock())
    old = await source.current()
    write(files.access_key_id.file, "AKIDNEW")
    assert await source.refresh(old)
    assert (await source.current()).access_key_id == "AKIDNEW"


async def test_refresh_reads_the_environment_again():
    environ = dict(ENVIRON)
    source = ConfiguredCredentials(in_environment(), environ)
    await source.current()
    environ["KEY"] = "AKIDNEW"
    assert (await source.current()).access_key_id == "AKIDEXAMPLE"
    assert await source.refresh()
    assert (await source.current()).access_key_id == "AKIDNEW"


async def test_everybody_who_was_refused_together_hears_of_the_new_key(files):
    source = ConfiguredCredentials(files, {}, Clock())
    old = await source.current()
    write(files.access_key_id.file, "AKIDNEW")
    assert await asyncio.gather(*(source.refresh(old) for _ in range(20))) == [True] * 20


async def test_many_at_once_read_the_files_once(files, monkeypatch):
    reads = []

    def read(*given):
        reads.append(given)
        return read_credentials(*given)

    monkeypatch.setattr(module, "read_credentials", read)
    clock = Clock()
    source = ConfiguredCredentials(files, {}, clock)
    found = await asyncio.gather(*(source.current() for _ in range(20)))
    assert len({id(each) for each in found}) == 1
    clock.now += 2
    write(files.access_key_id.file, "AKIDNEW")
    await asyncio.gather(*(source.current() for _ in range(20)))
    assert len(reads) == 2


def test_aiobotocore_is_loaded_by_those_who_use_it_alone():
    program = "import sys, gateway.app; sys.exit('aiobotocore' in sys.modules or 'botocore' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=False).returncode == 0


@pytest.fixture
def home(tmp_path, monkeypatch) -> Path:
    """A home without any credentials, and nothing in the environment that leads elsewhere."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    return tmp_path


def write_profile(home: Path, key: str, secret: str = SECRET) -> None:
    write(home / "credentials", f"[default]\naws_access_key_id = {key}\naws_secret_access_key = {secret}\n")


async def test_the_chain_reads_profiles(home):
    write_profile(home, "AKIDPROFILE")
    source = ChainCredentials()
    found = await source.current()
    assert told(found) == ("AKIDPROFILE", SECRET, None)
    assert found.expires_s is None
    assert await source.current() is found


async def test_the_chain_reads_the_environment_first(home, monkeypatch):
    write_profile(home, "AKIDPROFILE")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDENV")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "token")
    assert told(await ChainCredentials().current()) == ("AKIDENV", "secret", "token")


async def test_a_profile_that_was_rotated_is_picked_up_by_refresh(home):
    write_profile(home, "AKIDPROFILE")
    source = ChainCredentials(ask_again_after_s=0)
    old = await source.current()
    assert not await source.refresh(old)
    write_profile(home, "AKIDNEW")
    assert await asyncio.gather(*(source.refresh(old) for _ in range(5))) == [True] * 5
    assert (await source.current()).access_key_id == "AKIDNEW"


async def test_the_chain_is_not_asked_at_every_refusal(home):
    write_profile(home, "AKIDPROFILE")
    clock = Clock()
    source = ChainCredentials(clock)
    old = await source.current()
    write_profile(home, "AKIDNEW")
    assert not await source.refresh(old)
    clock.now += 6
    assert await source.refresh(old)


async def test_a_chain_that_has_nothing_says_where_it_looked(home):
    source = ChainCredentials(ask_again_after_s=0)
    for ask in (source.current, source.refresh):
        with pytest.raises(CredentialsError, match="the settings name no access_key_id"):
            await ask()
    write_profile(home, "AKIDPROFILE")
    assert (await source.current()).access_key_id == "AKIDPROFILE"


async def test_half_a_profile_is_refused(home):
    write(home / "credentials", "[default]\naws_access_key_id = AKIDPROFILE\n")
    with pytest.raises(CredentialsError, match="where AWS's tools do: Partial credentials"):
        await ChainCredentials().current()


@pytest.fixture
def program(home) -> Path:
    """A profile whose credentials a program prints, as those of single sign-on do; each run counts."""
    script = home / "program.py"
    script.write_text(
        "import json, pathlib, sys\n"
        f"home = pathlib.Path({str(home)!r})\n"
        "(home / 'runs').open('a').write('x')\n"
        "sys.stdout.write((home / 'answer').read_text())\n",
        encoding="utf-8",
    )
    (home / "config").write_text(f"[default]\ncredential_process = {sys.executable} {script}\n", encoding="utf-8")
    return home


def answer(home: Path, key: str, seconds: float) -> int:
    end = datetime.now(UTC) + timedelta(seconds=seconds)
    found = {"Version": 1, "AccessKeyId": key, "SecretAccessKey": SECRET, "SessionToken": "t"}
    (home / "answer").write_text(json.dumps(found | {"Expiration": end.isoformat()}), encoding="utf-8")
    return int(end.timestamp())


async def test_credentials_that_end_are_replaced_before_they_do(program):
    clock = Clock(time.time())
    source = ChainCredentials(clock)
    end = answer(program, "AKIDONE", 3600)
    first = await source.current()
    assert (first.access_key_id, first.session_token, first.expires_s) == ("AKIDONE", "t", end)
    clock.now += 1800
    assert await source.current() is first
    assert (program / "runs").read_text() == "x", "nobody is asked while they are good"
    answer(program, "AKIDTWO", 7200)
    clock.now += 1000
    assert (await source.current()).access_key_id == "AKIDTWO"


async def test_a_chain_that_fails_is_used_until_its_credentials_end(program, caplog):
    clock = Clock(time.time())
    source = ChainCredentials(clock)
    answer(program, "AKIDONE", 3600)
    first = await source.current()
    (program / "answer").write_text("out of order", encoding="utf-8")
    clock.now += 3000
    assert await source.current() is first
    assert "credentials stay as they are" in caplog.text
    clock.now += 600
    with pytest.raises(CredentialsError):
        await source.current()


async def test_the_loop_turns_while_the_chain_is_asked(program):
    answer(program, "AKIDONE", 3600)
    source, gaps = ChainCredentials(), []

    async def turn() -> None:
        while True:
            before = time.monotonic()
            await asyncio.sleep(0)
            gaps.append(time.monotonic() - before)

    turning = asyncio.ensure_future(turn())
    await source.current()
    turning.cancel()
    assert len(gaps) > 100
