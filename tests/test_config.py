"""gateway.toml: what is accepted, and that every mistake is named with its line and key."""

import copy
import os
import string
from ipaddress import ip_network
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.config import (
    Cache,
    ConfigError,
    Listen,
    Server,
    init_command,
    is_missing,
    load_settings,
    parse_settings,
    read_policy_files,
)
from gateway.origin_settings import S3OriginSettings
from gateway.toml_fields import GIB, MIB

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


def test_the_cache_is_in_memory_unless_it_has_a_place():
    assert settings_of().cache == Cache(path=None, max_bytes=10 << 30, memory_bytes=128 * MIB)
    cache = settings_of("[cache]\npath = 'var/cache'\nmax_bytes = '64MiB'\nmemory_bytes = 0").cache
    assert cache == Cache(path=BASE / "var/cache", max_bytes=64 * MIB, memory_bytes=0)


def test_relative_paths_belong_to_the_directory_of_the_file():
    settings = settings_of()
    assert settings.store.path == BASE / "var/anbar.sqlite"
    assert settings.secrets.key_ring == Path("/etc/anbar/key_ring")
    assert settings.origins["local"].path == BASE / "var/objects"


def test_a_relative_config_path_gives_absolute_paths(tmp_path, monkeypatch):
    (tmp_path / "gateway.toml").write_text(SMALLEST, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    assert load_settings(Path("gateway.toml")).store.path == tmp_path / "var/anbar.sqlite"


@pytest.mark.parametrize(
    ("text", "access"), [('"off"', "off"), ('"-"', "-"), ('"log/access.log"', Path("/srv/anbar/log/access.log"))]
)
def test_the_access_log_is_off_standard_output_or_a_file(text, access):
    assert settings_of(f"[log]\naccess = {text}").log.access == access


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
        ("[cache]\nsize = '1GiB'", "line 11: cache.size: unknown key"),
        ("[cache]\nmax_byte = '1GiB'", 'line 11: cache.max_byte: unknown key; did you mean "max_bytes"?'),
        ("[cache]\npath = ''", "line 11: cache.path: a path is a text that is not empty"),
        ("[cache]\nmax_bytes = '1MiB'", "line 11: cache.max_bytes: "),
        ("[cache]\nmax_bytes = 'much'", "line 11: cache.max_bytes: a size is a whole number of bytes or a text"),
        ("[cache]\nmemory_bytes = -1", "line 11: cache.memory_bytes: a size is between 0"),
        ("[server]\nlisten = '127.0.0.1'", "line 11: server.listen: an address is a text"),
        ("[server]\nlisten = '127.0.0.1:65536'", "line 11: server.listen: an address is a text"),
        ("[server]\nlisten = 9000", "line 11: server.listen: an address is a text"),
        ("[server]\nworkers = -1", "line 11: server.workers: a number of processes from 0 (one for each processor)"),
        ("[server]\nworkers = 65", "line 11: server.workers: a number of processes from 0 (one for each processor)"),
        ("[server]\nworkers = true", "line 11: server.workers: a number of processes from 0"),
        ("[server]\nsigv2 = 'false'", "line 11: server.sigv2: must be true or false"),
        ("[server]\ndomains = 's3.x'", "line 11: server.domains: must be a list"),
        ("[server]\ndomains = ['S3.x']", "line 11: server.domains.0: a domain is"),
        ("[server]\ndomains = ['a', 'a']", "line 11: server.domains: a value is listed twice"),
        ("[server]\nregions = []", "line 11: server.regions: must not be empty"),
        ("[server]\ntls = { certificate = 'a' }", "line 11: server.tls.key: this key is required"),
        ("[server]\ntrusted_proxies = ['all']", "line 11: server.trusted_proxies: a proxy is an address"),
        ("[server]\ntrusted_proxies = [3]", "line 11: server.trusted_proxies: a proxy is a text"),
        ("[nginx]\nlisten = '127.0.0.1:9000'", "line 11: nginx.listen: it is the address of another listener"),
        ("[nginx]\nlisten = '127.0.0.1:9001'", "line 11: nginx.listen: it is the address of another listener"),
        ("[nginx]\nlisten = 'off'", "line 11: nginx.listen: an address is a text"),
        ("[nginx]\noffload = ['local']", "line 11: nginx.offload: nginx is told which file to send at [nginx] listen"),
        ("[nginx]\nlisten = 'a:1'\noffload = ['b']", 'line 12: nginx.offload: there is no origin "b" of kind'),
        ("[nginx]\nauthorisation_s = 301", "line 11: nginx.authorisation_s: must be at most 300"),
        ("[nginx]\npublic_s = -1", "line 11: nginx.public_s: must be at least 0"),
        ("[server]\nlisten = 'a:1'\nadmin_listen = 'a:1'", "line 10: server: listen and admin_listen are the same"),
        ("[origins.liara]\nkind = 's4'\npath = 'x'", "line 11: origins.liara.kind: must be one of 'directory', 's3'"),
        ("[origins.liara]\nkind = ['s3']", "line 11: origins.liara.kind: must be one of"),
        ("[origins.liara]\npath = 'x'", "line 10: origins.liara.kind: this key is required"),
        ("[origins]\nliara = 's3'", "line 11: origins.liara: must be a table"),
        ("[origins.x]\nkind = 'directory'", "line 10: origins.x.path: this key is required"),
        ("[origins.'Ünï']\nkind = 'directory'\npath = 'x'", "line 10: origins.Ünï: a name has"),
        ("[limits]\ndrain_s = 0", "line 11: limits.drain_s: "),
        ("[log]\nlevel = 'loud'", "line 11: log.level: "),
        ("[log]\nformat = 'xml'", "line 11: log.format: "),
        ("[log]\naccess = true", "line 11: log.access: a path is a text that is not empty"),
        ("[log]\nacces = '-'", 'line 11: log.acces: unknown key; did you mean "access"?'),
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
    mistakes = mistakes_of("[server]\nworkers = -2\nx = 1\n[limits]\ny = 2\n")
    assert [mistake.split(":")[0] for mistake in mistakes] == [
        "store", "secrets", "origins", "policies", "line 2", "line 3", "line 5",
    ]  # fmt: skip


LIARA = "[origins.liara]\nkind = 's3'\nprovider = 'liara'\n"
OTHER = "[origins.other]\nkind = 's3'\n"


def s3_of(more: str, name: str = "liara"):
    found = settings_of(more).origins[name]
    assert isinstance(found, S3OriginSettings)
    return found


def test_an_s3_origin_needs_no_more_than_its_provider():
    origin = s3_of(LIARA)
    assert (origin.endpoint, origin.region, origin.addressing, origin.access_key_id) == (None, None, None, None)
    assert (origin.allow_http, origin.retries, origin.max_connections) == (False, 3, 256)
    assert (origin.connect_timeout_s, origin.first_byte_timeout_s, origin.gap_timeout_s) == (5, 30, 30)
    assert origin.capabilities.known() == {}


def test_every_key_of_an_s3_origin_is_read():
    origin = s3_of(
        """
        [origins.liara]
        kind = "s3"
        provider = "minio"
        endpoint = "https://Minio.Internal:9000"
        region = "ir-thr-at1"
        addressing = "virtual"
        access_key_id = { env = "MINIO_KEY" }
        secret_access_key = { file = "secrets/minio" }
        session_token = { file = "/run/token" }
        ca_file = "ca.pem"
        allow_http = true
        connect_timeout_s = 1
        first_byte_timeout_s = 2.5
        gap_timeout_s = 3
        whole_timeout_s = 4
        retries = 0
        max_connections = 7
        capabilities = { conditional_writes = true, tagging = false }
        """
    )
    assert str(origin.endpoint) == "https://minio.internal:9000"
    assert origin.access_key_id is not None
    assert (origin.access_key_id.env, origin.access_key_id.file) == ("MINIO_KEY", None)
    assert origin.secret_access_key is not None
    assert origin.secret_access_key.file == BASE / "secrets/minio"
    assert (origin.ca_file, origin.first_byte_timeout_s, origin.retries) == (BASE / "ca.pem", 2.5, 0)
    assert origin.capabilities.known() == {"conditional_writes": True, "tagging": False}


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("https://s3.example.com", ("https", "s3.example.com", 443, "s3.example.com")),
        ("https://s3.example.com:443", ("https", "s3.example.com", 443, "s3.example.com")),
        ("https://S3.Example.com:8443", ("https", "s3.example.com", 8443, "s3.example.com:8443")),
        ("https://10.0.0.5", ("https", "10.0.0.5", 443, "10.0.0.5")),
        ("https://[2001:DB8::5]:9000", ("https", "2001:db8::5", 9000, "[2001:db8::5]:9000")),
        ("https://minio", ("https", "minio", 443, "minio")),
    ],
)
def test_an_endpoint_is_taken_apart(text, parts):
    found = s3_of(OTHER + f"endpoint = '{text}'", "other").endpoint
    assert found is not None
    assert (found.scheme, found.host, found.port, found.authority) == parts


@pytest.mark.parametrize(
    "text",
    [
        "", "s3.example.com", "ftp://s3.example.com", "HTTPS://s3.example.com", "https://", "https://:443",
        "https://s3.example.com/", "https://s3.example.com/bucket", "https://s3.example.com?x", "https://s3.example.com#x",
        "https://user@s3.example.com", "https://user:secret@s3.example.com", "https://s3.example.com:", "https://a b",
        "https://s3.example.com:65536", "https://s3.example.com:0", "https://s3..example.com", "https://-s3.example.com",
        "https://s3.example.com.", "https://2130706433", "https://127.1", "https://0x7f.0.0.1", "https://010.0.0.1",
        "https://[::1", "https://[nine]", "https://[fd00::1%25eth0]", "https://س3.example.com", " https://s3.example.com",
    ],
)  # fmt: skip
def test_what_is_no_endpoint_is_refused(text):
    [mistake] = mistakes_of(SMALLEST + OTHER + f"endpoint = '{text}'")
    assert mistake.startswith("line 12: origins.other.endpoint: ")
    assert "secret" not in mistake


@pytest.mark.parametrize(
    "host",
    [
        "169.254.169.254", "169.254.0.1", "[fe80::1]", "[::ffff:169.254.169.254]", "[::ffff:a9fe:a9fe]", "[fd00:ec2::254]",
        "[64:ff9b::a9fe:a9fe]", "[2002:a9fe:a9fe::1]", "0.0.0.0", "[::]", "224.0.0.1", "100.100.100.200",
    ],
)  # fmt: skip
def test_an_endpoint_is_never_a_metadata_service(host):
    [mistake] = mistakes_of(SMALLEST + OTHER + f"endpoint = 'http://{host}'\nallow_http = true")
    assert mistake.startswith("line 12: origins.other.endpoint: no endpoint is at")


def test_plain_http_is_only_used_where_it_is_wanted():
    for host in ("127.0.0.1:9000", "minio.internal"):
        [mistake] = mistakes_of(SMALLEST + OTHER + f"endpoint = 'http://{host}'")
        assert mistake.startswith("line 12: origins.other.endpoint: plain http")
        assert "allow_http = true (a loopback address needs it, too)" in mistake
    assert s3_of(OTHER + "endpoint = 'http://127.0.0.1:9000'\nallow_http = true", "other").endpoint


@pytest.mark.parametrize("key", ["access_key_id", "secret_access_key", "session_token"])
@pytest.mark.parametrize("value", ["'wJalrXUtnFEMI'", "['wJalrXUtnFEMI']", "7", "{ value = 'wJalrXUtnFEMI' }"])
def test_credentials_in_clear_are_refused_without_being_repeated(key, value):
    mistakes = mistakes_of(SMALLEST + LIARA + f"{key} = {value}")
    assert mistakes[0].startswith(f"line 13: origins.liara.{key}")
    assert "wJalrXUtnFEMI" not in "".join(mistakes)
    if "value" not in value:
        assert '{ env = "NAME" }, or a file of mode 0600, { file = "PATH" }' in mistakes[0]


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        (OTHER, 'line 10: origins.other.endpoint: this key is required with provider = "generic"'),
        (OTHER + "provider = 'minio'", 'line 10: origins.other.endpoint: this key is required with provider = "minio"'),
        (OTHER + "provider = 'r2'", "line 12: origins.other.provider: must be 'liara', 'aws', 'gcs', 'minio' or"),
        (LIARA + "region = 'a b'", "line 13: origins.liara.region: a region consists of"),
        (LIARA + "addressing = 'dns'", "line 13: origins.liara.addressing: must be 'path' or 'virtual'"),
        (LIARA + "retries = 11", "line 13: origins.liara.retries: must be at most 10"),
        (LIARA + "retries = true", "line 13: origins.liara.retries: must be a whole number"),
        (LIARA + "max_connections = 0", "line 13: origins.liara.max_connections: must be at least 1"),
        (LIARA + "gap_timeout_s = 0", "line 13: origins.liara.gap_timeout_s: must be more than 0"),
        (LIARA + "durable = true", "line 13: origins.liara.durable: unknown key"),
        (LIARA + "adressing = 'path'", 'line 13: origins.liara.adressing: unknown key; did you mean "addressing"?'),
        (LIARA + "capabilities = 3", "line 13: origins.liara.capabilities: must be a table"),
        (LIARA + "capabilities.tagging = 1", "line 13: origins.liara.capabilities.tagging: must be true or false"),
        (
            LIARA + "[origins.liara.capabilities]\nmd5_etag = true",
            'line 14: origins.liara.capabilities.md5_etag: unknown key; did you mean "md5_etags"?',
        ),
        (
            LIARA + "access_key_id = {}\nsecret_access_key = { env = 'A' }",
            "line 13: origins.liara.access_key_id: either {",
        ),
        (
            LIARA + "access_key_id = { env = 'A', file = 'b' }\nsecret_access_key = { env = 'A' }",
            "line 13: origins.liara.access_key_id: either {",
        ),
        (
            LIARA + "access_key_id = { env = 'A-B' }\nsecret_access_key = { env = 'A' }",
            "line 13: origins.liara.access_key_id.env: this is not the name of an environment variable",
        ),
        (
            LIARA + "access_key_id = { env = 'A' }",
            "line 10: origins.liara.secret_access_key: this key is required beside",
        ),
        (
            LIARA + "secret_access_key = { env = 'A' }",
            "line 10: origins.liara.access_key_id: this key is required beside",
        ),
        (LIARA + "session_token = { env = 'A' }", "line 13: origins.liara.session_token: only beside"),
        (
            OTHER + "endpoint = 'https://10.0.0.5'\naddressing = 'virtual'",
            "line 13: origins.other.addressing: an address has no subdomains",
        ),
    ],
)
def test_a_mistake_in_an_s3_origin_is_named_with_its_line_and_key(more, expected):
    [mistake] = mistakes_of(SMALLEST + more)
    assert mistake.startswith(expected)


def test_the_roots_are_the_directories_of_the_origins():
    assert settings_of(LIARA).roots == {"local": BASE / "var/objects", "liara": None}


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


def test_workers_are_counted_as_the_file_says_or_by_the_processors():
    assert settings_of("[server]\nworkers = 3").server.worker_count == 3
    assert settings_of("").server.worker_count == 1
    assert settings_of("[server]\nworkers = 0").server.worker_count == os.cpu_count()


def test_the_descriptions_promise_nothing_that_is_not_there():
    described = {name: field.description or "" for name, field in Server.model_fields.items()}
    assert "`X-Forwarded-For`" in described["trusted_proxies"]
    assert "`X-Forwarded-Proto`" in described["trusted_proxies"]


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
