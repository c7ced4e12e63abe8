"""G: what a browser's form may store: exactly what somebody with a key has signed."""

import base64
import json
import time
from collections.abc import Sequence

import pytest

from tests.support.caller import Caller, refused, text
from tests.support.process import MIB, forget_peak, peak_memory
from tests.support.raw_http import Answer, Request
from tests.support.signer import BOUNDARY, Signer, form_body, post_policy


def conditions_for(bucket: str, signer: Signer, *more: object) -> list[object]:
    """A policy's conditions for any key of the bucket, with those that cover the signature's own fields."""
    return [
        {"bucket": bucket},
        ["starts-with", "$key", ""],
        ["starts-with", "$x-amz-credential", signer.access_key_id],
        {"x-amz-algorithm": signer.algorithm},
        ["starts-with", "$x-amz-date", ""],
        *more,
    ]


def send_form(caller: Caller, bucket: str, body: bytes, **headers: str) -> Answer:
    named = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"} | headers
    return caller.ask(caller.request("POST", f"/{bucket}", body, list(named.items())))


def post(
    caller: Caller,
    bucket: str,
    *,
    key: str = "k",
    conditions: Sequence[object] | None = None,
    more: Sequence[tuple[str, str]] = (),
    file: bytes | None = b"mine",
    filename: str = "a.txt",
    policy: str | None = None,
    url_bucket: str | None = None,
) -> Answer:
    """A form with the fields that its policy's signature needs, `key` and `more`."""
    conditions = conditions_for(bucket, caller.signer) if conditions is None else conditions
    fields = caller.signer.post_fields(post_policy(conditions) if policy is None else policy)
    body = form_body([("key", key), *more, *fields.items()], file, filename=filename)
    return send_form(caller, url_bucket or bucket, body)


def test_g00_a_signed_form_stores_its_file(caller, bucket):
    answer = post(caller, bucket, key="a/${filename}")
    assert answer.status == 204, answer
    assert caller.get(bucket, "a/a.txt").body == b"mine"


def test_g01_a_form_without_policy_or_signature_stores_nothing(caller, untouched):
    body = form_body([("key", "k")], b"mine")
    refused(send_form(caller, untouched, body), {400, 403})
    fields = caller.signer.post_fields(post_policy(conditions_for(untouched, caller.signer)))
    for missing in fields:
        kept = [(name, value) for name, value in fields.items() if name != missing]
        refused(send_form(caller, untouched, form_body([("key", "k"), *kept], b"mine")), {400, 403})


@pytest.mark.parametrize("name", ["x-amz-signature", "policy", "x-amz-credential", "x-amz-date", "x-amz-algorithm"])
def test_g01_a_forged_field_stores_nothing(caller, untouched, name):
    fields = caller.signer.post_fields(post_policy(conditions_for(untouched, caller.signer)))
    other_policy = post_policy(conditions_for(untouched, caller.signer, ["starts-with", "$acl", ""]))
    for value in ("", "x", "0" * 64, other_policy, "é" * 64, "AWS4-HMAC-SHA1", "20260101T000000Z"):
        forged = fields | {name: value}
        refused(send_form(caller, untouched, form_body([("key", "k"), *forged.items()], b"mine")), {400, 403, 501})


def test_g01_a_form_of_another_projects_key_stores_nothing(caller, stranger, untouched):
    conditions = conditions_for(untouched, stranger.signer)
    refused(post(stranger, untouched, conditions=conditions), 403, "AccessDenied")


@pytest.mark.parametrize(
    ("condition", "statuses"),
    [
        (["starts-with", "$key", "alice/"], {403}),
        (["eq", "$key", "another"], {403}),
        ({"key": "another"}, {403}),
        (["starts-with", "$Content-Type", "image/"], {403}),
        (["eq", "$acl", "private"], {403}),
        (["content-length-range", 0, 3], {400}),
        (["content-length-range", 5, 100], {400}),
        (["content-length-range", 100, 5], {400, 403}),
        (["content-length-range", "0", "x"], {400, 403}),
        (["content-length-range", -1, 100], {400, 403}),
        (["contains", "$key", "k"], {400, 403}),
        (["eq", "key", "k"], {400, 403}),
        (["eq", "$key"], {400, 403}),
        ({"bucket": "another", "key": "k"}, {400, 403}),
        ({}, {400, 403}),
        ("key", {400, 403}),
        (["eq", "$key", 1], {400, 403}),
        (None, {400, 403}),
    ],
)
def test_g02_a_condition_that_does_not_hold_stores_nothing(caller, untouched, condition, statuses):
    conditions = conditions_for(untouched, caller.signer, condition)
    refused(post(caller, untouched, conditions=conditions), statuses)


@pytest.mark.parametrize(
    "field",
    [
        "acl",
        "x-amz-meta-mark",
        "Content-Type",
        "success_action_redirect",
        "x-amz-storage-class",
        "tagging",
        "Cache-Control",
        "unknown",
    ],
)
def test_g02_a_field_that_no_condition_covers_stores_nothing(caller, untouched, field):
    refused(post(caller, untouched, more=[(field, "https://app.example/")]), {400, 403})


def test_g02_a_field_after_the_file_is_not_believed(caller, untouched):
    fields = caller.signer.post_fields(post_policy(conditions_for(untouched, caller.signer)))
    body = form_body([("key", "k")], b"mine")
    end = f"--{BOUNDARY}--\r\n".encode()
    late = form_body(list(fields.items()), None)
    refused(send_form(caller, untouched, body.removesuffix(end) + late), {400, 403})


def test_g02_a_field_twice_is_refused(caller, untouched):
    conditions = [{"bucket": untouched}, {"key": "k"}, *conditions_for(untouched, caller.signer)[2:]]
    answer = post(caller, untouched, conditions=conditions, more=[("key", "victim")])
    refused(answer, {400, 403})


def test_g02_the_length_range_counts_the_file_and_not_the_form(caller, bucket):
    conditions = conditions_for(bucket, caller.signer, ["content-length-range", 4, 4])
    assert post(caller, bucket, conditions=conditions).status == 204
    refused(post(caller, bucket, conditions=conditions, file=b"longer"), 400, "EntityTooLarge")
    refused(post(caller, bucket, conditions=conditions, file=b""), 400, "EntityTooSmall")
    assert caller.get(bucket, "k").body == b"mine"


def test_g02_a_file_beyond_the_length_range_is_cut_off_early(caller, gateway, untouched):
    conditions = conditions_for(untouched, caller.signer, ["content-length-range", 0, 1000])
    before = forget_peak(gateway.pid)
    refused(post(caller, untouched, conditions=conditions, file=bytes(32 * MIB)), 400, "EntityTooLarge")
    assert peak_memory(gateway.pid) - before < 24 * MIB


def test_g04_the_bucket_of_the_address_must_be_the_policys(caller, untouched):
    conditions = conditions_for(untouched, caller.signer)
    refused(post(caller, untouched, conditions=conditions, url_bucket="demo-media"), 403)
    for name in ("..", "A_b", "%2e%2e", "a%2Fb"):
        refused(post(caller, untouched, conditions=conditions, url_bucket=name), {400, 403, 404, 405, 501})


@pytest.mark.parametrize("key", ["../../x", "..", "a/../../x", "a\x00b", "a\x01b", "", "k" * 1025, "a/./b"])
def test_g05_a_key_that_is_no_key_stores_nothing(caller, untouched, key):
    refused(post(caller, untouched, key=key), 400)


@pytest.mark.parametrize("filename", ["../../x", "..", "a\x00b", "", "\x7f"])
def test_g05_a_file_name_leads_nowhere(caller, bucket, filename):
    """Only the last part of the name counts, and what is no key is refused."""
    answer = post(caller, bucket, key="up/${filename}", filename=filename)
    if answer.status == 204:
        assert all(key.startswith("up/") and ".." not in key for key in caller.keys(bucket))
    else:
        refused(answer, 400)
        assert caller.keys(bucket) == []


def test_g05_a_windows_path_gives_its_last_part_or_is_refused(caller, bucket):
    answer = post(caller, bucket, key="up/${filename}", filename="C:\\\\dir\\\\a.txt")
    assert answer.status == 204 or refused(answer, 400) is not None
    assert all(key.startswith("up/") for key in caller.keys(bucket))


def signed_text(caller: Caller, bucket: str, document: str | bytes) -> Answer:
    data = document.encode() if isinstance(document, str) else document
    return post(caller, bucket, policy=base64.b64encode(data).decode())


def test_g07_a_policy_that_has_expired_stores_nothing(caller, untouched):
    policy = post_policy(conditions_for(untouched, caller.signer), expiration_s=time.time() - 2)
    root = refused(post(caller, untouched, policy=policy), 403, "AccessDenied")
    assert "Policy expired" in text(root, "Message")


@pytest.mark.parametrize(
    "expiration", [None, "", "tomorrow", "2060-01-01", 4102444800, "2060-13-01T00:00:00Z", ["2060-01-01T00:00:00Z"]]
)
def test_g07_a_policy_without_a_valid_end_stores_nothing(caller, untouched, expiration):
    document: dict[str, object] = {"conditions": conditions_for(untouched, caller.signer)}
    if expiration is not None:
        document["expiration"] = expiration
    refused(signed_text(caller, untouched, json.dumps(document)), {400, 403})


def test_g07_p08_a_policy_that_is_no_strict_json_stores_nothing(caller, untouched):
    good = {"expiration": "2060-01-01T00:00:00.000Z", "conditions": conditions_for(untouched, caller.signer)}
    text = json.dumps(good)
    for document in (
        "",
        "{",
        "[]",
        "null",
        "1",
        '"x"',
        "{}",
        text + "x",
        "\ufeff" + text,
        text[:-1] + ', "conditions": []}',
        text[:-1] + ', "expiration": "2061-01-01T00:00:00.000Z"}',
        text[:-1] + ', "x": NaN}',
        text[:-1] + ', "x": Infinity}',
        text.replace("}", ",}", 1),
        text[:-1] + ', "x": ' + "[" * 100_000 + "]" * 100_000 + "}",
        text[:-1] + ', "x": ' + "9" * 5000 + "}",
        text.encode("utf-16"),
        text.encode() + b"\xff",
        json.dumps({"expiration": "2060-01-01T00:00:00.000Z"}),
        json.dumps({"expiration": "2060-01-01T00:00:00.000Z", "conditions": {}}),
        json.dumps({"expiration": "2060-01-01T00:00:00.000Z", "conditions": []}),
    ):
        refused(signed_text(caller, untouched, document), {400, 403})


@pytest.mark.parametrize("junk", ["!", "\n", " ", "=", "$"])
def test_p05_a_policy_in_base64_with_junk_stores_nothing(caller, untouched, junk):
    """Signed with its junk: the signature holds, the encoding does not."""
    policy = post_policy(conditions_for(untouched, caller.signer))
    refused(post(caller, untouched, policy=policy[:8] + junk + policy[8:]), {400, 403})


@pytest.mark.parametrize(
    "target",
    [
        "javascript:alert(1)",
        "data:text/html,x",
        "//evil.example",
        "/relative",
        "ftp://x/",
        "https://evil.example/\r\nSet-Cookie: a=b",
        "https://\udcff/",
    ],
)
def test_g08_a_redirect_that_is_no_web_address_is_refused_even_when_signed(caller, untouched, target):
    conditions = conditions_for(untouched, caller.signer, ["starts-with", "$success_action_redirect", ""])
    answer = post(caller, untouched, conditions=conditions, more=[("success_action_redirect", target)])
    refused(answer, {400, 403})


def test_g08_a_redirect_goes_where_the_policy_says(caller, bucket):
    home = "https://app.example/done?x=1"
    conditions = conditions_for(bucket, caller.signer, {"success_action_redirect": home})
    answer = post(caller, bucket, conditions=conditions, more=[("success_action_redirect", home)])
    assert answer.status == 303
    location = answer.header("location") or ""
    assert location.startswith("https://app.example/done?")
    assert f"bucket={bucket}" in location
    refused(
        post(caller, bucket, conditions=conditions, more=[("success_action_redirect", "https://evil.example/")]), 403
    )


@pytest.mark.parametrize("status", ["200", "201", "204", "301", "500", "x", "99999", "²"])
def test_g08_only_three_statuses_can_be_asked_for(caller, bucket, status):
    conditions = conditions_for(bucket, caller.signer, ["starts-with", "$success_action_status", ""])
    answer = post(caller, bucket, conditions=conditions, more=[("success_action_status", status)])
    assert answer.status in (200, 201, 204, 400)
    assert answer.status == int(status) if status in ("200", "201", "204") else answer.status in (204, 400)


@pytest.mark.parametrize("value", ["a\r\nSet-Cookie: x", "a\x00b", "a\x1fb"])
def test_j01_a_form_field_with_control_characters_stores_nothing(caller, untouched, value):
    conditions = conditions_for(
        untouched, caller.signer, ["starts-with", "$x-amz-meta-mark", ""], ["starts-with", "$Content-Disposition", ""]
    )
    for field in ("x-amz-meta-mark", "Content-Disposition"):
        refused(post(caller, untouched, conditions=conditions, more=[(field, value)]), 400)


@pytest.mark.parametrize(
    "content_type",
    [
        "multipart/form-data",
        "multipart/form-data; boundary=",
        "multipart/form-data; boundary=" + "b" * 300,
        "multipart/form-data; boundary=\udcff",
        "multipart/mixed; boundary=" + BOUNDARY,
        "multipart/form-data; boundary=another",
        "application/x-www-form-urlencoded",
        "text/plain",
    ],
)
def test_n10_a_form_of_another_type_or_boundary_stores_nothing(caller, untouched, content_type):
    fields = caller.signer.post_fields(post_policy(conditions_for(untouched, caller.signer)))
    body = form_body([("key", "k"), *fields.items()], b"mine")
    refused(send_form(caller, untouched, body, **{"Content-Type": content_type}), {400, 403, 405, 412, 415, 501})


def test_n10_a_flood_of_fields_is_refused_in_little_memory(caller, gateway, untouched):
    fields = caller.signer.post_fields(post_policy(conditions_for(untouched, caller.signer)))
    before = forget_peak(gateway.pid)
    many = [(f"x-ignore-{number}", "x") for number in range(20_000)]
    refused(send_form(caller, untouched, form_body([("key", "k"), *fields.items(), *many], b"mine")), 400)
    large = [("x-ignore-large", "x" * 8 * MIB)]
    refused(send_form(caller, untouched, form_body([("key", "k"), *fields.items(), *large], b"mine")), 400)
    head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="key"\r\n'.encode()
    headers = b"".join(b"X-%d: y\r\n" % number for number in range(100_000))
    refused(send_form(caller, untouched, head + headers + b"\r\nk\r\n"), 400)
    refused(send_form(caller, untouched, head + b"X: " + b"y" * 8 * MIB + b"\r\n\r\nk\r\n"), 400)
    assert peak_memory(gateway.pid) - before < 24 * MIB


@pytest.mark.parametrize("cut", [0.1, 0.5, 0.9, 0.999])
def test_n10_a_form_that_ends_early_stores_nothing(caller, untouched, cut):
    fields = caller.signer.post_fields(post_policy(conditions_for(untouched, caller.signer)))
    body = form_body([("key", "k"), *fields.items()], b"m" * 3000)
    refused(send_form(caller, untouched, body[: int(len(body) * cut)]), {400, 403})


def test_n10_a_form_without_a_file_stores_nothing(caller, untouched):
    refused(post(caller, untouched, file=None), 400)


def test_n10_a_form_without_a_length_is_refused_or_stored_whole(caller, bucket):
    fields = caller.signer.post_fields(post_policy(conditions_for(bucket, caller.signer)))
    body = form_body([("key", "k"), *fields.items()], b"mine")
    headers = (
        ("Host", caller.authority),
        ("Content-Type", f"multipart/form-data; boundary={BOUNDARY}"),
        ("Transfer-Encoding", "chunked"),
    )
    request = Request("POST", f"/{bucket}", headers, b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body))
    answer = caller.ask(request)
    if answer.status == 204:
        assert caller.get(bucket, "k").body == b"mine"
    else:
        refused(answer, {400, 411})


def test_a11_a_form_of_signature_version_2_is_verified_as_strictly(caller, bucket):
    signer = caller.signer
    conditions = [{"bucket": bucket}, ["starts-with", "$key", "up/"]]
    policy = post_policy(conditions)
    fields = [("AWSAccessKeyId", signer.access_key_id), ("policy", policy), ("signature", signer.signature_v2(policy))]
    assert send_form(caller, bucket, form_body([("key", "up/k"), *fields], b"mine")).status == 204
    refused(send_form(caller, bucket, form_body([("key", "elsewhere"), *fields], b"mine")), 403)
    for number, value in ((0, "AK" + "0" * 18), (1, post_policy([{"bucket": bucket}])), (2, signer.signature_v2("x"))):
        forged = [*fields]
        forged[number] = (fields[number][0], value)
        refused(send_form(caller, bucket, form_body([("key", "up/forged"), *forged], b"mine")), {400, 403})
    assert caller.keys(bucket) == ["up/k"]
