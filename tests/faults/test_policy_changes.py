"""X37, X38, Q01, Q02: rules, categories and keys that change beside a running gateway, or are broken.

The change counts from the very next request; what cannot be read changes nothing, and never opens anything.
"""

import contextlib
import os
import shutil
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.support.caller import Caller, refused
from tests.support.gateway import Gateway, GatewayError
from tests.support.oracle import at_rest, rows, usage_is_the_sum_of_the_objects
from tests.support.raw_http import Connection, eventually
from tests.support.signer import UNSIGNED, Signer

POLICY = """\
project = "demo"

[categories.media]

[categories.voice]

[principals.ops]
role = "admin"

[principals.sara]
role = "uploader"

[principals.dashboard]
role = "reader"

[[statements]]
name = "recordings are not read from the dashboard"
effect = "deny"
principals = ["dashboard"]
actions = ["s3:GetObject"]
resources = ["demo-voice/*"]
"""
OTHER = 'project = "other"\n\n[principals.ops]\nrole = "admin"\n'
SARA_READS = POLICY.replace('[principals.sara]\nrole = "uploader"', '[principals.sara]\nrole = "reader"')
WITHOUT_SARA = POLICY.replace('[principals.sara]\nrole = "uploader"\n', "")
PUBLIC = POLICY.replace("[categories.media]", '[categories.media]\nread = "public"')
MORE = POLICY.replace("[categories.media]", "[categories.films]\n\n[categories.media]")


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[Gateway]:
    """A gateway that knows `POLICY`."""
    with Gateway(tmp_path, policies={"demo": POLICY, "other": OTHER}) as running:
        yield running


@pytest.fixture
def ops(gateway: Gateway) -> Caller:
    return Caller.of(gateway)


@pytest.fixture
def sara(gateway: Gateway) -> Caller:
    return caller_of(gateway, "sara")


def caller_of(gateway: Gateway, principal: str) -> Caller:
    """A principal of the project demo, with a new key."""
    return Caller(gateway.host, gateway.port, Signer(*gateway.create_key("demo", principal)))


def policy_file(gateway: Gateway) -> Path:
    return gateway.directory / "policies" / "demo.toml"


def apply(gateway: Gateway, text: str) -> None:
    policy_file(gateway).write_text(text)
    gateway.command("policy", "apply")


def status(caller: Caller, method: str, target: str, body: bytes = b"") -> int:
    return caller.call(method, target, body).status


def anonymous(caller: Caller, target: str) -> int:
    return caller.ask(caller.request("GET", target)).status


def revision(gateway: Gateway) -> object:
    return rows(gateway, "SELECT max(revision) FROM revisions")[0][0]


def in_force(gateway: Gateway) -> object:
    """What demo's file said when the latest revision was applied."""
    return rows(
        gateway,
        "SELECT text FROM revision_files JOIN policy_texts USING (digest) WHERE name = 'demo.toml' "
        "ORDER BY revision DESC LIMIT 1",
    )[0][0]


def begin_put(caller: Caller, target: str, body: bytes) -> Connection:
    """An upload that was let in, and whose last byte is still to come."""
    request = caller.request("PUT", target, body).with_header("Expect", "100-continue")
    connection = caller.connect()
    connection.send(caller.signer.sign(request, payload=UNSIGNED).head())
    assert connection.interim() == 100
    connection.send(body[:-1])
    return connection


def test_a_principal_that_loses_its_role_is_refused_at_the_next_request(gateway: Gateway, sara: Caller):
    with sara.connect() as connection:
        put = sara.signed("PUT", "/demo-media/hers", b"bytes")
        assert connection.exchange(put).status == 200
        apply(gateway, SARA_READS)
        refused(connection.exchange(put), 403, "AccessDenied")
        assert connection.exchange(sara.signed("GET", "/demo-media/hers")).body == b"bytes"
        apply(gateway, POLICY)
        assert connection.exchange(put).status == 200


def test_the_keys_of_a_principal_that_is_gone_are_nobodys(gateway: Gateway, sara: Caller):
    presigned = sara.presigned("GET", "/demo-media/hers")
    sara.put("demo-media", "hers", b"bytes")
    assert sara.ask(presigned).status == 200
    apply(gateway, WITHOUT_SARA)
    refused(sara.get("demo-media", "hers"), 403, "InvalidAccessKeyId")
    refused(sara.ask(presigned), 403, "InvalidAccessKeyId")
    apply(gateway, POLICY)
    assert sara.ask(presigned).status == 200


def test_a_category_is_public_and_private_again_at_the_next_request(gateway: Gateway, ops: Caller):
    ops.put("demo-media", "k", b"bytes")
    assert anonymous(ops, "/demo-media/k") == 403
    apply(gateway, PUBLIC)
    assert anonymous(ops, "/demo-media/k") == 200
    apply(gateway, POLICY)
    assert anonymous(ops, "/demo-media/k") == 403


def test_a_new_category_can_be_used_at_once_and_an_empty_one_taken_away(gateway: Gateway, ops: Caller):
    assert status(ops, "PUT", "/demo-films/k", b"bytes") == 404
    apply(gateway, MORE)
    ops.put("demo-films", "k", b"bytes")
    policy_file(gateway).write_text(POLICY)
    with pytest.raises(GatewayError, match='its bucket "demo-films" would be dropped, but it holds 1 object'):
        gateway.command("policy", "apply")
    assert ops.get("demo-films", "k").body == b"bytes"
    assert status(ops, "DELETE", "/demo-films/k") == 204
    gateway.command("policy", "apply")
    assert status(ops, "GET", "/demo-films/k") == 404
    assert status(ops, "PUT", "/demo-films/k", b"bytes") == 404
    usage_is_the_sum_of_the_objects(gateway)


def test_a_rollback_counts_at_the_next_request_and_outlives_a_restart(gateway: Gateway, sara: Caller):
    apply(gateway, SARA_READS)
    assert status(sara, "PUT", "/demo-media/hers", b"bytes") == 403
    gateway.command("policy", "rollback", "1")
    assert status(sara, "PUT", "/demo-media/hers", b"bytes") == 200
    gateway.restart()
    assert status(sara, "PUT", "/demo-media/hers", b"bytes") == 200
    assert revision(gateway) == 3
    policy_file(gateway).write_text(SARA_READS + "# changed since\n")
    gateway.restart()
    assert status(sara, "PUT", "/demo-media/hers", b"bytes") == 403
    assert revision(gateway) == 4


def test_an_upload_that_was_let_in_ends_by_the_rules_it_came_in_under(gateway: Gateway, sara: Caller):
    body = b"x" * 300_000
    with begin_put(sara, "/demo-media/slow", body) as connection:
        apply(gateway, SARA_READS)
        assert status(sara, "PUT", "/demo-media/other", b"bytes") == 403
        connection.send(body[-1:])
        assert connection.answer("PUT").status == 200
        refused(connection.exchange(sara.signed("PUT", "/demo-media/slow", b"bytes")), 403, "AccessDenied")
    assert sara.get("demo-media", "slow").body == body
    usage_is_the_sum_of_the_objects(gateway)


def test_an_upload_into_a_category_that_goes_meanwhile_leaves_nothing(gateway: Gateway, ops: Caller):
    apply(gateway, MORE)
    body = b"x" * 300_000
    with begin_put(ops, "/demo-films/slow", body) as connection:
        apply(gateway, POLICY)
        connection.send(body[-1:])
        refused(connection.answer("PUT"), 404, "NoSuchBucket")
    assert eventually(lambda: at_rest(gateway))
    usage_is_the_sum_of_the_objects(gateway)


def test_x38_an_upload_whose_key_is_disabled_meanwhile_is_stored_and_the_next_one_refused(
    gateway: Gateway, sara: Caller
):
    body = b"x" * 300_000
    with begin_put(sara, "/demo-media/slow", body) as connection:
        gateway.command("keys", "disable", sara.signer.access_key_id)
        refused(sara.get("demo-media", "slow"), 403, "InvalidAccessKeyId")
        connection.send(body[-1:])
        assert connection.answer("PUT").status == 200
        refused(connection.exchange(sara.signed("GET", "/demo-media/slow")), 403, "InvalidAccessKeyId")
    assert Caller.of(gateway).get("demo-media", "slow").body == body


def flip_pages_of(gateway: Gateway, table: str) -> None:
    """Damage the first page of a table and of its indexes; once more makes them whole again."""
    with closing(sqlite3.connect(gateway.store_file, isolation_level=None)) as store:
        store.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        pages = store.execute("SELECT rootpage FROM sqlite_master WHERE tbl_name = ? AND rootpage > 0", (table,))
        offsets = [(page - 1) * 4096 for (page,) in pages]
    with gateway.store_file.open("r+b") as file:
        for offset in offsets:
            file.seek(offset)
            damaged = bytes(byte ^ 0xFF for byte in file.read(64))
            file.seek(offset)
            file.write(damaged)


def test_q02_while_a_revision_cannot_be_read_nothing_is_served_by_the_old_one(gateway: Gateway, sara: Caller):
    """The store breaks between the commit of a revision and the request that has to follow it."""
    sara.put("demo-media", "hers", b"bytes")
    apply(gateway, SARA_READS)
    flip_pages_of(gateway, "revision_files")
    for _ in range(2):
        refused(sara.call("PUT", "/demo-media/hers", b"others"), 503)
        refused(sara.get("demo-media", "hers"), 503)
        assert anonymous(sara, "/demo-media/hers") == 503
    assert "the store failed: database disk image is malformed" in gateway.stderr()
    flip_pages_of(gateway, "revision_files")
    assert sara.get("demo-media", "hers").body == b"bytes"
    assert status(sara, "PUT", "/demo-media/hers", b"others") == 403


# Q01: what is wrong at the start.


def make_empty(file: Path) -> None:
    file.write_text("")


def make_malformed(file: Path) -> None:
    file.write_text(POLICY + "[principals.tina\n")


def make_unreadable(file: Path) -> None:
    """Root reads files of any mode, but no directory."""
    file.unlink()
    file.mkdir()


def make_no_text(file: Path) -> None:
    file.write_bytes(POLICY.encode() + b"# \xff\n")


def add_unknown_field(file: Path) -> None:
    file.write_text(POLICY.replace("[categories.media]", "[categories.media]\npublic = true"))


def add_key_twice(file: Path) -> None:
    file.write_text(POLICY.replace("[categories.media]", '[categories.media]\nread = "private"\nread = "public"'))


def remove_folder(file: Path) -> None:
    shutil.rmtree(file.parent)


@pytest.mark.parametrize("has_served", [False, True], ids=["first start", "later start"])
@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (make_empty, "demo.toml: project: this key is required"),
        (make_malformed, "demo.toml: Expected ']' at the end of a table declaration (at line 22, column 17)"),
        (make_unreadable, "demo.toml: cannot be read: Is a directory"),
        (make_no_text, "demo.toml: not UTF-8 text"),
        (add_unknown_field, "demo.toml: line 4: categories.media.public: unknown key"),
        (add_key_twice, "demo.toml: Cannot overwrite a value (at line 5, column 16)"),
        (remove_folder, "policies: cannot be read: No such file or directory"),
    ],
)
def test_q01_policies_with_a_mistake_are_not_started_with(
    tmp_path: Path, damage: Callable[[Path], None], said: str, has_served: bool
):
    gateway = Gateway(tmp_path, policies={"demo": POLICY, "other": OTHER})
    if has_served:
        gateway.start().stop()
    damage(policy_file(gateway))
    with pytest.raises(GatewayError) as refusal:
        gateway.start()
    assert "exit code 1\n" in str(refusal.value)
    assert said in str(refusal.value)
    assert "Traceback" not in str(refusal.value)
    if has_served:
        assert revision(gateway) == 1
    else:
        assert not gateway.store_file.exists()
        assert not gateway.origin_directory.exists()


# X37: a folder that is watched.


@dataclass(slots=True)
class Prober:
    """Asks without a pause for what is permitted and what is forbidden, whatever happens to the folder."""

    ops: Caller
    dashboard: Caller
    asked: int = 0
    mistakes: list[str] = field(default_factory=list)
    ending: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        with self.ops.connect() as first, self.dashboard.connect() as second:
            while not self.ending.is_set():
                permitted = first.exchange(self.ops.signed("GET", "/demo-voice/k"))
                forbidden = second.exchange(self.dashboard.signed("GET", "/demo-voice/k"))
                if (permitted.status, permitted.body, forbidden.status) != (200, b"bytes", 403):
                    self.mistakes.append(f"{permitted.status} {forbidden.status}")
                self.asked += 1


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A gateway that watches its policies."""
    settings = {"policies": {"watch": True}}
    directory = tmp_path_factory.mktemp("watched")
    with Gateway(directory, policies={"demo": POLICY, "other": OTHER}, settings=settings) as running:
        Caller.of(running).put("demo-voice", "k", b"bytes")
        yield running


@pytest.fixture(scope="module")
def callers(watched: Gateway) -> tuple[Caller, Caller]:
    return Caller.of(watched), caller_of(watched, "dashboard")


@pytest.fixture
def prober(callers: tuple[Caller, Caller]) -> Iterator[Prober]:
    """At every moment of the test the permitted is permitted and the forbidden forbidden."""
    prober = Prober(*callers)
    thread = threading.Thread(target=prober.run)
    thread.start()
    yield prober
    prober.ending.set()
    thread.join()
    assert prober.asked
    assert prober.mistakes == []


def version(name: str) -> str:
    """A policy that says the same about everybody else, and has one more principal."""
    return POLICY.replace("[principals.sara]", f'[principals.{name}]\nrole = "reader"\n\n[principals.sara]')


def says(gateway: Gateway, said: str) -> bool:
    return eventually(lambda: said in gateway.stderr(), within_s=15)


def follows(gateway: Gateway, text: str) -> bool:
    return eventually(lambda: in_force(gateway) == text, within_s=15)


def replace_by_rename(file: Path, text: str) -> None:
    beside = file.with_name(".demo.toml.new")
    beside.write_text(text)
    beside.replace(file)


def write_in_pieces(file: Path, text: str) -> None:
    """Truncated, then line by line: several beginnings are policies without a mistake, and without the denial."""
    with file.open("w") as opened:
        for line in text.splitlines(keepends=True):
            opened.write(line)
            opened.flush()
            time.sleep(0.1)  # the writer's pace


def test_x37_a_file_that_is_replaced_by_rename_is_followed(watched: Gateway, prober: Prober):
    for number in range(3):
        replace_by_rename(policy_file(watched), version(f"renamed-{number}"))
        assert follows(watched, version(f"renamed-{number}"))
    [(author,)] = rows(watched, "SELECT author FROM revisions ORDER BY revision DESC LIMIT 1")
    assert author == "serve"


def test_x37_a_file_that_is_written_in_pieces_is_followed_as_a_whole(watched: Gateway, prober: Prober):
    before = revision(watched)
    write_in_pieces(policy_file(watched), version("pieces"))
    assert follows(watched, version("pieces"))
    assert revision(watched) == int(str(before)) + 1, "no beginning of it was in force"


def test_x37_a_file_that_cannot_be_read_changes_nothing_and_is_told(watched: Gateway, prober: Prober):
    file, before = policy_file(watched), revision(watched)
    file.unlink()
    file.mkdir()
    assert says(watched, f"stays in force: {file}: cannot be read: Is a directory")
    file.rmdir()
    file.write_bytes(b"\xff")
    assert says(watched, f"stays in force: {file}: not UTF-8 text (byte 0)")
    file.write_text(POLICY + "x = 1\n")
    assert says(watched, f"stays in force: {file}: line 22: statements.0.x: unknown key")
    assert revision(watched) == before
    file.write_text(version("readable"))
    assert follows(watched, version("readable"))
    told = watched.command("audit", "--event", "policy.refused")
    assert "Is a directory" in told
    assert "not UTF-8 text" in told


def test_x37_a_folder_that_is_removed_and_made_again_is_followed(watched: Gateway, prober: Prober):
    folder, before = policy_file(watched).parent, revision(watched)
    shutil.rmtree(folder)
    assert says(watched, f"stays in force: {folder}: cannot be read: No such file or directory")
    assert revision(watched) == before
    folder.mkdir()
    policy_file(watched).write_text(version("again"))
    (folder / "other.toml").write_text(OTHER)
    assert follows(watched, version("again"))


def test_x37_of_many_changes_the_last_good_one_ends_in_force(watched: Gateway, prober: Prober):
    file = policy_file(watched)
    for number in range(50):
        file.write_text(version(f"many-{number}"))
        file.write_text(version(f"many-{number}").replace('role = "admin"', 'role = "boss"'))
    file.write_text(version("many-last"))
    assert follows(watched, version("many-last"))
    for _ in range(50):
        file.write_text(version("too-many"))
        file.write_text("project = ")
    assert says(watched, f"stays in force: {file}: Invalid value (at end of document)")
    assert in_force(watched) == version("many-last")


def test_x37_a_rollback_stays_in_force_beside_a_watched_folder(watched: Gateway, prober: Prober):
    file = policy_file(watched)
    file.write_text(version("rolled-1"))
    assert follows(watched, version("rolled-1"))
    good = revision(watched)
    file.write_text(version("rolled-2"))
    assert follows(watched, version("rolled-2"))
    watched.command("policy", "rollback", str(good))
    (file.parent / "notes.txt").write_text("something happens in the folder")
    os.utime(file)
    assert in_force(watched) == version("rolled-1")
    assert revision(watched) == int(str(good)) + 2
    file.write_text(version("rolled-3"))
    assert follows(watched, version("rolled-3"))
    assert revision(watched) == int(str(good)) + 3, "the rolled-back files were not applied in between"


def test_a_watching_gateway_ends_at_once(tmp_path: Path):
    gateway = Gateway(
        tmp_path, policies={"demo": POLICY, "other": OTHER}, settings={"policies": {"watch": True}}
    ).start()
    assert gateway.stop() == 0
    with contextlib.suppress(FileNotFoundError):
        assert "Traceback" not in gateway.stderr()
