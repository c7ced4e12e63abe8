"""gateway.toml: what is accepted, and that every mistake is named with its line and key."""

import copy
import string
from ipaddress import ip_network
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.config import (
    GIB,
    MIB,
    ConfigError,
    Listen,
    Server,
    init_command,
    is_missing,
    load_settings,
    parse_settings,
    read_policy_files,
)

ROOT = Path(__file__).resolve().parent.parent
BASE = Path("/srv/anbar")
SMALLEST = """\
[store]
path = "var/anbar.sqlite"
[secrets]
key_ring = "/etc/anbar/key_ring"
[origins.local]
kind = "directory"
path = "var/objects"
[policies]
path = "policies"
"""


def settings_of(more: str = ""):
    return parse_settings(SMALLEST + more, BASE / "gateway.toml")


def mistakes_of(text: str) -> list[str]:
    with pytest.raises(ConfigError) as refusal:
        parse_settings(text, BASE / "gateway.toml")
    assert str(BASE / "gateway.toml") in str(refusal.value)
    return refusal.value.mistakes


def test_the_smallest_file_gets_the_defaults():
    settings = settings_of()
    assert settings.server.listen == Listen(host="127.0.0.1", port=9000)
    assert settings.server.admin_listen == Listen(host="127.0.0.1", port=9001)
    assert settings.server.tls is None
    assert settings.server.regions is None
    assert settings.server.sigv2
    assert settings.origins["local"].durable
    assert settings.limits.max_object_size == 5 * GIB
    assert settings.limits.memory_budget == 256 * MIB


def test_relative_paths_belong_to_the_directory_of_the_file():
    settings = settings_of()
    assert settings.store.path == BASE / "var/anbar.sqlite"
    assert settings.secrets.key_ring == Path("/etc/anbar/key_ring")
    assert settings.origins["local"].path == BASE / "var/objects"


def test_a_relative_config_path_gives_absolute_paths(tmp_path, monkeypatch):
    (tmp_path / "gateway.toml").write_text(SMALLEST, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    assert load_settings(Path("gateway.toml")).store.path == tmp_path / "var/anbar.sqlite"


def test_every_server_key_is_read():
    server = settings_of(
        """
        [server]
        listen = "[::1]:0"
        admin_listen = "off"
        tls = { certificate = "cert.pem", key = "/k.pem" }
        domains = ["s3.example.com", "localhost"]
        public_hosts = ["media.example.com", "10.0.0.5:8080"]
        regions = ["ir-thr-at1"]
        sigv2 = false
        workers = 1
        trusted_proxies = ["10.0.0.0/8", "::1"]
        """
    ).server
    assert (server.listen.host, server.listen.port, str(server.listen)) == ("::1", 0, "[::1]:0")
    assert server.admin_listen is None
    assert server.tls is not None
    assert server.tls.certificate == BASE / "cert.pem"
    assert server.domains == ("s3.example.com", "localhost")
    assert server.public_hosts == ("media.example.com", "10.0.0.5:8080")
    assert server.regions == frozenset({"ir-thr-at1"})
    assert not server.sigv2
    assert server.trusted_proxies == (ip_network("10.0.0.0/8"), ip_network("::1"))


@pytest.mark.parametrize(
    ("text", "size"),
    [("1", 1), ('"7"', 7), ('"5MiB"', 5 * MIB), ('"5 GiB"', 5 * GIB), ('"20MB"', 20_000_000), ('"1KiB"', 1024)],
)
def test_sizes_are_bytes_or_texts_with_a_unit(text, size):
    assert settings_of(f"[limits]\nmax_object_size = {text}").limits.max_object_size == size


@pytest.mark.parametrize(
    "text", ['"5 mb"', '"1_000"', '"-1"', "-1", "1.5", '"+5"', '"5MiB "', '"٣MiB"', "true", '""', '"1e3"', "[]"]
)
def test_a_size_that_python_would_forgive_is_refused(text):
    [mistake] = mistakes_of(SMALLEST + f"[limits]\nmax_object_size = {text}")
    assert mistake.startswith("line 11: limits.max_object_size: ")


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ("[server]\nlisen = 'x:1'", "line 11: server.lisen: unknown key"),
        ("[sever]\n", "line 10: sever: unknown key"),
        ("[cache]\npath = 'x'", "line 10: cache: unknown key"),
        ("[server]\nlisten = '127.0.0.1'", "line 11: server.listen: an address is a text"),
        ("[server]\nlisten = '127.0.0.1:65536'", "line 11: server.listen: an address is a text"),
        ("[server]\nlisten = 9000", "line 11: server.listen: an address is a text"),
        ("[server]\nworkers = 2", "line 11: server.workers: only 1 worker yet"),
        ("[server]\nworkers = true", "line 11: server.workers: only 1 worker yet"),
        ("[server]\nsigv2 = 'false'", "line 11: server.sigv2: must be true or false"),
        ("[server]\ndomains = 's3.x'", "line 11: server.domains: must be a list"),
        ("[server]\ndomains = ['S3.x']", "line 11: server.domains.0: a domain is"),
        ("[server]\ndomains = ['a', 'a']", "line 11: server.domains: a value is listed twice"),
        ("[server]\nregions = []", "line 11: server.regions: must not be empty"),
        ("[server]\ntls = { certificate = 'a' }", "line 11: server.tls.key: this key is required"),
        ("[server]\ntrusted_proxies = ['all']", "line 11: server.trusted_proxies: a proxy is an address"),
        ("[server]\ntrusted_proxies = [3]", "line 11: server.trusted_proxies: a proxy is a text"),
        ("[server]\nlisten = 'a:1'\nadmin_listen = 'a:1'", "line 10: server: listen and admin_listen are the same"),
        ("[origins.liara]\nkind = 's3'\npath = 'x'", 'line 11: origins.liara.kind: the only kind yet is "directory"'),
        ("[origins.x]\nkind = 'directory'", "line 10: origins.x.path: this key is required"),
        ("[origins.'Ünï']\nkind = 'directory'\npath = 'x'", "line 10: origins.Ünï: a name has"),
        ("[limits]\ndrain_s = 0", "line 11: limits.drain_s: "),
        ("[limits]\ndrain_s = nan", "line 11: limits.drain_s: "),
        ("[limits]\ndrain_s = '30'", "line 11: limits.drain_s: must be a number"),
        ("[limits]\nmax_object_size = '6GiB'", "line 11: limits.max_object_size: "),
        ("[limits]\nmemory_budget = '1MiB'", "line 10: limits: memory_budget is smaller than small_body"),
    ],
)
def test_a_mistake_is_named_with_its_line_and_key(more, expected):
    [mistake] = mistakes_of(SMALLEST + more)
    assert mistake.startswith(expected)


def test_all_mistakes_are_told_at_once_in_the_order_of_the_file():
    mistakes = mistakes_of("[server]\nworkers = 2\nx = 1\n[limits]\ny = 2\n")
    assert [mistake.split(":")[0] for mistake in mistakes] == [
        "store", "secrets", "origins", "policies", "line 2", "line 3", "line 5",
    ]  # fmt: skip


@pytest.mark.parametrize("key", ["store", "secrets", "origins", "policies"])
def test_a_missing_section_is_never_replaced_by_a_default(key):
    without = "".join(part for part in SMALLEST.split("[") if part and not part.startswith(key) for part in ("[", part))
    assert mistakes_of(without) == [f"{key}: this key is required"]


def test_an_empty_file_is_refused():
    assert len(mistakes_of("")) == 4


def test_an_empty_origins_table_is_refused():
    assert mistakes_of(SMALLEST.replace('[origins.local]\nkind = "directory"\npath = "var/objects"', "[origins]"))


def test_what_is_not_toml_is_refused_with_its_line():
    [mistake] = mistakes_of("[store]\npath = \n")
    assert "line 2" in mistake


def test_a_key_given_twice_is_refused_with_its_line():
    [mistake] = mistakes_of(SMALLEST + "[limits]\ndrain_s = 1\ndrain_s = 2\n")
    assert "line 12" in mistake


def test_a_mistake_does_not_repeat_the_value():
    secret = "wJalrXUtnFEMI"
    assert secret not in "".join(mistakes_of(SMALLEST + f"[server]\nlisten = '{secret}'\n{secret[:3]} = '{secret}'"))


def test_a_file_that_cannot_be_read_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"gateway\.toml: cannot be read: No such file"):
        load_settings(tmp_path / "gateway.toml")
    with pytest.raises(ConfigError, match="cannot be read: Is a directory"):
        load_settings(tmp_path)


def test_a_file_that_is_not_utf8_is_refused(tmp_path):
    file = tmp_path / "gateway.toml"
    file.write_bytes(b"# caf\xe9\n")
    with pytest.raises(ConfigError, match="not UTF-8"):
        load_settings(file)


def test_a_huge_file_is_refused(tmp_path):
    file = tmp_path / "gateway.toml"
    file.write_bytes(b"#" * (5 * MIB))
    with pytest.raises(ConfigError, match="larger than"):
        load_settings(file)


def test_settings_cannot_be_changed():
    settings = settings_of()
    with pytest.raises(ValueError, match="frozen"):
        settings.server.sigv2 = False
    assert copy.deepcopy(settings) == settings


@given(st.text(alphabet=string.printable, max_size=200))
def test_garbage_is_config_error_and_nothing_else(text):
    with pytest.raises(ConfigError):
        parse_settings(text, BASE / "gateway.toml")


@given(
    st.recursive(
        st.one_of(st.integers(), st.booleans(), st.text(string.ascii_letters, max_size=5)),
        lambda inner: st.lists(inner, max_size=3),
        max_leaves=4,
    ),
    st.sampled_from(
        ["listen", "admin_listen", "tls", "domains", "public_hosts", "regions", "workers", "trusted_proxies"]
    ),
)
def test_a_value_of_any_type_is_taken_or_refused_by_name(value, key):
    text = SMALLEST + f"[server]\n{key} = {str(value).lower() if isinstance(value, bool) else repr(value)}\n"
    try:
        parse_settings(text.replace("True", "true").replace("False", "false"), BASE / "gateway.toml")
    except ConfigError as error:
        assert all(f"server.{key}" in mistake for mistake in error.mistakes)


def test_settings_know_where_they_come_from(tmp_path, monkeypatch):
    assert settings_of().directory == BASE
    (tmp_path / "gateway.toml").write_text(SMALLEST, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    assert load_settings(Path("gateway.toml")).directory == tmp_path


def test_what_may_not_be_looked_at_is_not_missing(tmp_path):
    (tmp_path / "file").write_text("")
    (tmp_path / "loop").symlink_to("loop")
    assert [is_missing(tmp_path / name) for name in ("file", "file/below", "loop", "none", "none/below")] == [
        False, False, False, True, True,
    ]  # fmt: skip


def test_the_command_that_makes_an_installation_names_its_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for here in (Path(), tmp_path):
        assert init_command(here) == "anbar init"
    assert init_command(Path("new")) == "anbar init --dir new"
    assert init_command(Path("/a b")) == "anbar init --dir '/a b'"


def test_the_descriptions_promise_nothing_that_is_not_there():
    described = {name: field.description or "" for name, field in Server.model_fields.items()}
    assert "`X-Forwarded-For`" in described["trusted_proxies"]
    assert "`X-Forwarded-Proto`" in described["trusted_proxies"]
    assert "Only 1 yet" in described["workers"]


def test_policy_files_are_read_in_the_order_of_their_names(tmp_path):
    for name in ("b.toml", "a.toml", ".#a.toml", "notes.txt"):
        (tmp_path / name).write_text(name, encoding="utf-8")
    assert list(read_policy_files(tmp_path).items()) == [
        (tmp_path / "a.toml", "a.toml"),
        (tmp_path / "b.toml", "b.toml"),
    ]


def test_a_folder_without_policy_files_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="there is no policy file"):
        read_policy_files(tmp_path)
    with pytest.raises(ConfigError, match="cannot be read"):
        read_policy_files(tmp_path / "nowhere")


def test_the_file_that_is_shipped_is_valid():
    settings = load_settings(ROOT / "gateway.toml")
    assert settings.server.domains == ("s3.localhost",)
    assert read_policy_files(settings.policies.path)


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ("[sever]", 'line 10: sever: unknown key; did you mean "server"?'),
        ("[server]\nlisen = 'x:1'", 'line 11: server.lisen: unknown key; did you mean "listen"?'),
        ("[server]\ntls = { certificat = 'a', key = 'b' }", 'unknown key; did you mean "certificate"?'),
        ("[origins.server]\nkind = 'directory'\npath = 'x'\npth = 'y'", 'unknown key; did you mean "path"?'),
        ("[origins.x]\nkind = 'directory'\npath = 'x'\nserver = 1", "line 13: origins.x.server: unknown key"),
    ],
)
def test_an_unknown_key_is_named_with_the_one_it_is_like(more, expected):
    assert any(mistake.endswith(expected) for mistake in mistakes_of(SMALLEST + more))
