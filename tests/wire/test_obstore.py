"""obstore (Rust's object_store): creates by If-None-Match, updates by If-Match, Complete without a namespace."""

from datetime import timedelta

import obstore
import pytest
from obstore.exceptions import AlreadyExistsError, PreconditionError
from obstore.store import S3Store

from tests.support.data import MIB, ODD_KEYS, pattern
from tests.support.gateway import Gateway
from tests.support.plain_http import fetch


@pytest.fixture
def store(any_gateway: Gateway, bucket: str, monkeypatch: pytest.MonkeyPatch) -> S3Store:
    if any_gateway.ca_file:
        monkeypatch.setenv("SSL_CERT_FILE", str(any_gateway.ca_file))
    return S3Store(
        bucket,
        endpoint=any_gateway.endpoint,
        access_key_id=any_gateway.access_key_id,
        secret_access_key=any_gateway.secret_access_key,
        region="us-east-1",
        virtual_hosted_style_request=False,
        client_options={"allow_http": not any_gateway.tls},
        retry_config={"max_retries": 0},
    )


@pytest.mark.parametrize("size", [0, 1, 100_000, 12 * MIB])
def test_bodies_of_any_size_come_back_whole_and_in_ranges(store: S3Store, size: int) -> None:
    body = pattern(size)
    obstore.put(store, "dir/a", body, chunk_size=5 * MIB)
    assert bytes(obstore.get(store, "dir/a").bytes()) == body
    assert obstore.head(store, "dir/a")["size"] == size
    if size > 20:
        assert bytes(obstore.get_range(store, "dir/a", start=5, length=10)) == body[5:15]
        many = obstore.get_ranges(store, "dir/a", starts=[0, size - 5], lengths=[5, 5])
        assert [bytes(part) for part in many] == [body[:5], body[-5:]]


def test_create_never_overwrites_and_update_needs_what_was_read(store: S3Store) -> None:
    first = obstore.put(store, "lock", b"1", mode="create")
    with pytest.raises(AlreadyExistsError):
        obstore.put(store, "lock", b"2", mode="create")
    obstore.put(store, "lock", b"3", mode={"e_tag": first["e_tag"]})
    with pytest.raises(PreconditionError):
        obstore.put(store, "lock", b"4", mode={"e_tag": first["e_tag"]})
    assert bytes(obstore.get(store, "lock").bytes()) == b"3"


def test_attributes_listing_copy_rename_and_bulk_delete(store: S3Store) -> None:
    keys = [key for key in ODD_KEYS if "//" not in key and not key.startswith("/") and not key.endswith("/")]
    for key in keys:
        obstore.put(store, key, key.encode(), attributes={"Content-Type": "text/plain", "kind": "odd"})
    found = obstore.get(store, keys[0])
    assert (found.attributes["Content-Type"], found.attributes["kind"]) == ("text/plain", "odd")
    found.bytes()
    assert sorted(entry["path"] for entry in obstore.list(store).collect()) == sorted(keys)
    grouped = obstore.list_with_delimiter(store, "dir")
    assert [entry["path"] for entry in grouped["objects"]] == ["dir/.well-known"]
    assert list(grouped["common_prefixes"]) == ["dir/..hidden.."]
    obstore.copy(store, keys[0], "copy")
    obstore.rename(store, "copy", "renamed")
    assert bytes(obstore.get(store, "renamed").bytes()) == keys[0].encode()
    obstore.delete(store, [*keys, "renamed"])
    assert obstore.list(store).collect() == []


def test_presigned_urls(store: S3Store, any_gateway: Gateway) -> None:
    url = obstore.sign(store, "PUT", "a b é", timedelta(minutes=5))
    assert fetch(any_gateway, "PUT", url, body=b"browser").status == 200
    url = obstore.sign(store, "GET", "a b é", timedelta(minutes=5))
    assert fetch(any_gateway, "GET", url).body == b"browser"
