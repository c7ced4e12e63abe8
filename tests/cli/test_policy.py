"""anbar policy: checked, planned, applied all or nothing, listed, taken back."""

import json
import sqlite3
import threading
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from gateway.cli import policy as commands

CHANGE = ('[principals.sara]\nrole = "uploader"', '[principals.sara]\nrole = "reader"')
TABLES = ("revisions", "revision_files", "policy_texts", "buckets", "audit")


@pytest.fixture(autouse=True)
def tina(monkeypatch) -> None:
    """Who runs the commands."""
    monkeypatch.delenv("SUDO_USER", raising=False)
    monkeypatch.setenv("LOGNAME", "tina")


@pytest.fixture
def applied(anbar, installation) -> Path:
    """An installation whose files are revision 1."""
    assert anbar("policy", "apply").code == 0
    return installation


@pytest.fixture
def state(installation):
    """Everything that applying writes."""

    def read() -> dict[str, list[Any]]:
        with closing(sqlite3.connect(installation / "var/anbar.sqlite")) as store:
            return {table: store.execute(f"SELECT * FROM {table}").fetchall() for table in TABLES}

    return read


@pytest.fixture
def parsed(anbar):
    """What a command prints with --json, which must end well."""

    def run(*arguments: str) -> Any:
        ended = anbar(*arguments, "--json")
        assert ended.code == 0, ended
        return json.loads(ended.out)

    return run


BROKEN = {
    "unknown key": (
        "[categories.voice]",
        "[categories.voice]\nquotas = 1",
        "line 13: categories.voice.quotas: unknown",
    ),
    "not TOML": ('project = "demo"', 'project = "demo', "line 6"),
    "a key twice": ('project = "demo"', 'project = "demo"\nproject = "demo"', "line 7"),
    "another project's name": ('project = "demo"', 'project = "shop"', "line 6: project: "),
    "nobody's role": ('role = "reader"', 'role = "boss"', "principals.dashboard.role: must be"),
    "unknown principal": ('principals = ["backend"]', 'principals = ["back"]', "line 37: statements.0"),
    "unknown origin": ('origin = "local"', 'origin = "moon"', "line 10: categories.media.origin: "),
}


@pytest.fixture(params=list(BROKEN.values()), ids=list(BROKEN))
def broken(request, edit_policy) -> str:
    """The policy file has a mistake; what is said of it begins so, behind the file's name."""
    old, new, said = request.param
    edit_policy(old, new)
    return str(said)


def test_good_files_are_counted(anbar, parsed, installation):
    ended = anbar("policy", "check")
    assert (ended.code, ended.out) == (0, "ok    demo: 3 categories, 4 principals, 2 statements\n")
    counts = {"project": "demo", "categories": 3, "principals": 4, "statements": 2}
    assert parsed("policy", "check") == {"ok": True, "projects": [counts]}
    assert not (installation / "var/anbar.sqlite").exists(), "to check files no store is needed"


def test_a_mistake_is_told_with_its_file_and_line(anbar, installation, broken):
    ended = anbar("policy", "check")
    assert (ended.code, ended.out) == (1, "")
    assert ended.err.startswith(f"anbar: {installation}/policies/demo.toml: ")
    assert broken in ended.err


def test_mistakes_are_told_to_machines(anbar, installation, broken):
    ended = anbar("policy", "check", "--json")
    assert (ended.code, ended.err) == (1, "")
    told = json.loads(ended.out)
    assert told["ok"] is False
    assert broken in told["mistakes"][0]


@pytest.mark.parametrize("command", ["plan", "apply"])
def test_files_with_mistakes_are_neither_planned_nor_applied(anbar, applied, state, broken, command):
    before = state()
    for arguments in ((), ("--json",)):
        ended = anbar("policy", command, *arguments)
        assert (ended.code, ended.out) == (1, "")
        assert broken in ended.err
    assert state() == before


@pytest.mark.parametrize("command", ["check", "plan", "apply"])
def test_a_folder_without_policies_is_refused(anbar, installation, command):
    folder = installation / "policies"
    (folder / "demo.toml").unlink()
    assert f"{folder}: there is no policy file" in anbar("policy", command).err
    (folder / "policy.schema.json").unlink()
    folder.rmdir()
    ended = anbar("policy", command)
    assert ended.code == 1
    assert f"{folder}: cannot be read: No such file or directory" in ended.err


def test_bytes_that_are_no_text_are_refused(anbar, installation):
    (installation / "policies/demo.toml").write_bytes(b"project = \xff\xfe")
    ended = anbar("policy", "check")
    assert ended.code == 1
    assert "demo.toml: not UTF-8 text (byte 10)" in ended.err


def test_a_plan_tells_what_would_change_and_changes_nothing(anbar, parsed, applied, state, edit_policy):
    assert anbar("policy", "plan").out == "the rules stay as they are\n"
    edit_policy(*CHANGE)
    before = state()
    ended = anbar("policy", "plan")
    assert ended.code == 0
    assert "  ~ principal sara: role uploader → reader\n" in ended.out
    assert "      gains  sara: reads and lists the objects of others\n" in ended.out
    assert "      loses  sara: stores new objects;" in ended.out
    told = parsed("policy", "plan")
    assert set(told) == {"base", "changes", "buckets", "refusals"}
    assert (told["base"], told["refusals"]) == (1, [])
    assert told["buckets"] == {"made": [], "changed": [], "removed": []}
    [change] = told["changes"]
    assert set(change) == {"project", "sign", "kind", "name", "text", "gains", "loses"}
    assert [change[key] for key in ("project", "sign", "kind", "name")] == ["demo", "~", "principal", "sara"]
    assert state() == before


def test_a_plan_without_any_revision_yet_has_everything_as_new(parsed, installation):
    told = parsed("policy", "plan")
    assert told["base"] is None
    assert sorted(told["buckets"]["made"]) == ["demo-avatars", "demo-media", "demo-voice"]
    assert {change["sign"] for change in told["changes"]} == {"+"}


def test_applying_makes_a_revision(anbar, parsed, installation, edit_policy):
    assert anbar("policy", "apply").out.endswith("\nrevision 1 is in force\n")
    edit_policy(*CHANGE)
    told = parsed("policy", "apply", "--author", "omar", "-m", "سارا می\u200cخواند")
    assert (told["base"], told["revision"], len(told["changes"])) == (1, 2, 1)
    newest, first = parsed("policy", "history")
    assert (newest["revision"], newest["author"], newest["comment"]) == (2, "omar", "سارا می\u200cخواند")
    assert (first["revision"], first["author"], first["comment"]) == (1, "tina", "")
    assert newest["changes"] == told["changes"]


def test_applying_the_same_again_makes_no_revision(anbar, parsed, applied, state):
    before = state()
    ended = anbar("policy", "apply")
    assert (ended.code, ended.out) == (0, "nothing to apply: revision 1 says the same as these files\n")
    assert parsed("policy", "apply")["revision"] == 1
    assert state() == before


def test_a_comment_in_a_file_is_a_revision_without_changes(anbar, parsed, applied, edit_policy):
    edit_policy('project = "demo"', 'project = "demo"  # ours')
    assert anbar("policy", "apply").out == "the rules stay as they are\nrevision 2 is in force\n"
    assert parsed("policy", "history")[0]["changes"] == []


def test_an_empty_category_goes_with_its_bucket(anbar, parsed, applied, edit_policy):
    edit_policy("[categories.voice]", "[categories.speech]")
    edit_policy("demo-voice/", "demo-speech/")
    ended = anbar("policy", "plan")
    assert "the bucket demo-voice is empty and is removed\n" in ended.out
    assert parsed("policy", "apply")["buckets"] == {"made": ["demo-speech"], "changed": [], "removed": ["demo-voice"]}


def test_a_category_that_holds_objects_stays(anbar, applied, state, edit_policy, hold):
    hold("demo-voice", "a")
    edit_policy("[categories.voice]", "[categories.speech]")
    edit_policy("demo-voice/", "demo-speech/")
    why = (
        'project demo, category voice: its bucket "demo-voice" would be dropped, but it holds 1 object (100 bytes); '
        'put that category with bucket = "demo-voice" back, or move or delete its objects first'
    )
    before = state()
    planned = anbar("policy", "plan")
    assert planned.code == 1
    assert f"refused: {why}\n" in planned.out
    assert "is removed" not in planned.out
    told = anbar("policy", "plan", "--json")
    assert (told.code, json.loads(told.out)["refusals"]) == (1, [why])
    for arguments in ((), ("--json",)):
        ended = anbar("policy", "apply", *arguments)
        assert (ended.code, ended.out, ended.err) == (1, "", f"anbar: {why}\n")
    assert state() == before


def test_of_two_that_apply_at_once_one_is_told_to_look_again(anbar, applied, state, edit_policy, monkeypatch):
    """The other one gets in between plan and apply."""
    edit_policy(*CHANGE)
    carry_out = commands._carry_out

    async def late(*arguments: Any, **more: Any) -> Any:
        monkeypatch.setattr(commands, "_carry_out", carry_out)
        other = threading.Thread(target=lambda: ended.append(anbar("policy", "apply", "--author", "omar")))
        other.start()
        other.join()
        return await carry_out(*arguments, **more)

    ended: list[Any] = []
    monkeypatch.setattr(commands, "_carry_out", late)
    slow = anbar("policy", "apply", "--author", "tina")
    assert [each.code for each in ended] == [0]
    assert slow.code == 1
    assert "the latest revision is 2, not 1: somebody else has applied policies meanwhile" in slow.err
    assert [row[2] for row in state()["revisions"]] == ["tina", "omar"]


def test_history_lists_the_newest_first(anbar, parsed, applied, edit_policy):
    edit_policy(*CHANGE)
    assert anbar("policy", "apply", "-m", "sara reads").code == 0
    titles, newest, oldest = anbar("policy", "history").out.splitlines()
    assert titles.split() == ["REVISION", "APPLIED", "AUTHOR", "CHANGES", "COMMENT"]
    assert (newest.split()[0], newest.split()[2:]) == ("2", ["tina", "1", "sara", "reads"])
    assert oldest.split()[0] == "1"
    assert [each["revision"] for each in parsed("policy", "history", "--limit", "1")] == [2]
    assert set(parsed("policy", "history")[0]) == {"revision", "applied", "author", "comment", "changes"}


def test_history_tells_what_one_revision_changed_as_its_plan_did(anbar, parsed, applied, edit_policy):
    edit_policy(*CHANGE)
    plan = anbar("policy", "plan").out
    assert anbar("policy", "apply", "-m", "sara reads").code == 0
    shown = anbar("policy", "history", "2")
    assert shown.code == 0
    assert shown.out.startswith("revision 2, applied 20")
    assert shown.out.endswith(f" by tina\nsara reads\n{plan}")
    assert parsed("policy", "history", "2") == parsed("policy", "history")[0]


def test_a_store_without_revisions_has_no_history(anbar, parsed, installation):
    assert parsed("policy", "history") == []
    assert anbar("policy", "history").code == 0


@pytest.mark.parametrize("command", [("history", "7"), ("rollback", "7")])
def test_an_unknown_revision_is_refused(anbar, applied, state, command):
    before = state()
    ended = anbar("policy", *command)
    assert (ended.code, ended.out) == (1, "")
    assert ended.err == "anbar: there is no revision 7; see: anbar policy history\n"
    assert state() == before


def test_a_rollback_is_a_new_revision_that_says_what_the_old_one_said(anbar, parsed, applied, edit_policy):
    edit_policy(*CHANGE)
    assert anbar("policy", "apply").code == 0
    ended = anbar("policy", "rollback", "1", "-m", "sara must store")
    assert ended.code == 0
    assert "  ~ principal sara: role reader → uploader\n" in ended.out
    assert ended.out.endswith(
        "revision 3 is in force: it says what revision 1 said\n"
        f"the files in {applied}/policies say something else; they count again once they are changed\n"
    )
    assert parsed("policy", "history", "3")["comment"] == "rollback to 1: sara must store"
    assert [each["event"] for each in parsed("audit")] == ["policy.apply", "policy.apply", "policy.rollback"]
    assert 'role = "reader"' in (applied / "policies/demo.toml").read_text()


def test_a_rollback_to_what_the_files_say_does_not_warn_of_them(anbar, applied, edit_policy):
    text = (applied / "policies/demo.toml").read_text()
    edit_policy(*CHANGE)
    assert anbar("policy", "apply").code == 0
    (applied / "policies/demo.toml").write_text(text)
    assert anbar("policy", "rollback", "1").out.endswith("it says what revision 1 said\n")
    assert anbar("policy", "apply").out == "nothing to apply: revision 3 says the same as these files\n"


def test_a_rollback_to_what_is_in_force_makes_no_revision(anbar, parsed, applied, state):
    before = state()
    ended = anbar("policy", "rollback", "1")
    assert ended.code == 0
    assert ended.out == "nothing to roll back: revision 1, which is in force, says the same as revision 1\n"
    assert parsed("policy", "rollback", "1")["revision"] == 1
    assert state() == before


def test_a_rollback_works_while_the_files_are_broken(anbar, parsed, applied, edit_policy, broken):
    (applied / "policies/demo.toml").rename(applied / "broken")
    (applied / "policies/demo.toml").write_text('project = "demo"\n[principals.ops]\nrole = "admin"\n')
    assert anbar("policy", "apply").code == 0
    (applied / "broken").rename(applied / "policies/demo.toml")
    ended = anbar("policy", "rollback", "1")
    assert ended.code == 0
    assert ended.out.endswith(f"the files in {applied}/policies have mistakes: until they are mended, "
                              "the gateway does not start again\n")  # fmt: skip
    assert parsed("policy", "rollback", "2")["revision"] == 4


def test_a_rollback_that_would_drop_objects_is_refused(anbar, applied, state, edit_policy, hold):
    edit_policy("[categories.voice]", "[categories.voice]\n[categories.scans]")
    assert anbar("policy", "apply").code == 0
    hold("demo-scans", "a")
    before = state()
    ended = anbar("policy", "rollback", "1")
    assert ended.code == 1
    assert 'project demo, category scans: its bucket "demo-scans" would be dropped' in ended.err
    assert state() == before


def test_a_revision_whose_origin_is_gone_cannot_be_gone_back_to(anbar, applied, state, edit, edit_policy):
    edit("[origins.local]", "[origins.disk]")
    edit_policy('origin = "local"', 'origin = "disk"')
    assert anbar("policy", "apply").code == 0
    before = state()
    ended = anbar("policy", "rollback", "1")
    assert ended.code == 1
    assert ended.err.startswith("anbar: revision 1 cannot be used any more:\nanbar: demo.toml: line 10: ")
    assert state() == before


def test_files_that_are_put_back_after_a_rollback_are_news_when_they_change_again(anbar, parsed, applied, edit_policy):
    """Undone and done again by hand: the last word of the files counts, not what was once rolled back."""
    edit_policy(*CHANGE)
    assert parsed("policy", "apply")["revision"] == 2
    assert parsed("policy", "rollback", "1")["revision"] == 3
    edit_policy(*reversed(CHANGE))
    assert parsed("policy", "apply")["revision"] == 4
    edit_policy(*CHANGE)
    assert parsed("policy", "apply")["revision"] == 5


def test_the_schema_is_the_one_beside_the_policies(anbar, installation):
    ended = anbar("policy", "schema")
    assert ended.code == 0
    assert ended.out == (installation / "policies/policy.schema.json").read_text()
    Draft202012Validator.check_schema(json.loads(ended.out))


@pytest.mark.parametrize(
    "arguments",
    [
        ("rollback",),
        ("rollback", "0"),
        ("rollback", "first"),
        ("history", "0"),
        ("history", "--limit", "0"),
        ("apply", "now"),
        ("apply", "-m", "x" * 501),
        ("apply", "-m", "two\nlines"),
        ("apply", "--author", "\udcff"),
        ("rollback", "1", "--author", "x" * 501),
        ("schema", "--json"),
        ("undo",),
        (),
    ],
)
def test_wrong_usage_is_exit_code_2_and_changes_nothing(anbar, applied, state, arguments):
    before = state()
    assert anbar("policy", *arguments).code == 2
    assert state() == before


def test_a_missing_installation_is_told_with_the_command_that_makes_one(anbar, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for arguments in (("check",), ("plan",), ("apply",), ("history",), ("rollback", "1")):
        ended = anbar("policy", *arguments)
        assert ended.code == 1
        assert "gateway.toml: cannot be read: No such file or directory" in ended.err
        assert "To make a new installation, run: anbar init" in ended.err


def test_the_longest_words_fit_into_the_audit(parsed, installation):
    told = parsed("policy", "apply", "-m", '"' * 500, "--author", "🎧" * 500)
    assert told["revision"] == 1
    assert len(parsed("audit")) == 1
