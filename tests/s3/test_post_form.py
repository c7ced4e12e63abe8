"""gateway/s3/post_form.py: forms as browsers and SDKs send them, policies, and what is refused."""

import json
from base64 import b64encode
from datetime import UTC, datetime

import botocore.session
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.errors import Code, S3Error
from gateway.s3.post_form import (
    MAX_FIELDS_SIZE,
    PostFormParser,
    PostPolicy,
    SuccessAction,
    check_content_length,
    check_policy,
    expand_filename,
    parse_policy,
    parse_success_action,
    render_redirect,
    required_field,
)

NOW_S = 1_700_000_000
BOUNDARY = "----WebKitFormBoundary7MA4YWxkTrZu0gW"
TYPE = f"multipart/form-data; boundary={BOUNDARY}"


def part(name: str, value: bytes, extra: str = "") -> bytes:
    return f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"{extra}\r\n\r\n'.encode() + value + b"\r\n"


def form(*parts: bytes) -> bytes:
    return b"".join(parts) + f"--{BOUNDARY}--\r\n".encode()


FILE = part("file", b"\r\n--binary\r\n\x00\xff", '; filename="photo.jpg"\r\nContent-Type: image/jpeg')
FORM = form(part("Key", b"user/${filename}"), part("X-Amz-Meta-Name", "é".encode()), FILE)


def parse(body: bytes, size: int | None = None, content_type: str = TYPE) -> tuple[PostFormParser, bytes]:
    parser = PostFormParser(content_type)
    content = b""
    for start in range(0, len(body), size or len(body) or 1):
        content += b"".join(parser.feed(body[start : start + (size or len(body))]))
    parser.finish()
    return parser, content


def refusal(function, *arguments, **options) -> S3Error:
    with pytest.raises(S3Error) as caught:
        function(*arguments, **options)
    return caught.value


def encoded(document: object) -> str:
    return b64encode(json.dumps(document).encode()).decode()


def policy_of(*conditions: object, expiration: str = "2030-01-01T00:00:00Z") -> PostPolicy:
    return parse_policy(encoded({"expiration": expiration, "conditions": list(conditions)}))


# ------------------------------------------------------------------ forms


@pytest.mark.parametrize("size", [1, 2, 7, 64, None])
def test_pieces_of_any_size_give_the_same_form(size):
    parser, content = parse(FORM, size)
    assert parser.fields == {"key": "user/${filename}", "x-amz-meta-name": "é"}
    assert content == b"\r\n--binary\r\n\x00\xff"
    assert (parser.filename, parser.file_content_type) == ("photo.jpg", "image/jpeg")
    assert parser.file_finished


def test_every_split_into_two_pieces_gives_the_same_form():
    for split in range(1, len(FORM)):
        parser = PostFormParser(TYPE)
        content = b"".join(parser.feed(FORM[:split]) + parser.feed(FORM[split:]))
        parser.finish()
        assert content == b"\r\n--binary\r\n\x00\xff"


CONTENT = b"\r\n--binary\r\n\x00\xff"


@pytest.mark.parametrize("ending", [b"", b"\r\n"])
def test_the_file_is_at_most_what_the_form_leaves_for_it(ending):
    """Told as soon as the file begins, wherever its bytes were split; the line end behind a form is left out by some."""
    body = FORM.removesuffix(b"\r\n") + ending
    for split in range(FORM.index(CONTENT), len(body)):
        parser = PostFormParser(TYPE)
        parser.feed(body[:split])
        known = parser.largest_file(len(body))
        assert known - len(CONTENT) == (0 if parser.file_finished else len(ending)), split
        parser.feed(body[split:])
        assert parser.largest_file(len(body)) - len(CONTENT) in (0, len(ending))


def test_a_form_that_announces_less_than_it_has_sent_has_the_file_that_came():
    parser = PostFormParser(TYPE)
    parser.feed(FORM[: FORM.index(CONTENT)] + b"12345678")
    assert parser.largest_file(10) == 8


def test_fields_are_complete_when_the_file_begins():
    parser = PostFormParser(TYPE)
    parser.feed(part("key", b"k"))
    assert not parser.file_started
    parser.feed(FILE[:-10])
    assert parser.file_started
    assert not parser.file_finished
    assert parser.fields == {"key": "k"}


def test_fields_behind_the_file_are_ignored():
    parser, _ = parse(form(part("key", b"k"), FILE, part("key", b"other"), part("acl", b"public-read")))
    assert parser.fields == {"key": "k"}


@pytest.mark.parametrize(
    "content_type",
    [
        f'multipart/form-data; boundary="{BOUNDARY}"',
        f"Multipart/Form-Data;boundary={BOUNDARY}",
        f"multipart/form-data; charset=utf-8; boundary={BOUNDARY}",
        f"multipart/form-data; BOUNDARY={BOUNDARY} ; charset=utf-8",
    ],
)
def test_a_boundary_is_written_in_several_ways(content_type):
    assert parse(FORM, content_type=content_type)[0].fields["key"] == "user/${filename}"


@pytest.mark.parametrize(
    "content_type",
    [
        "multipart/form-data",
        "multipart/form-data; boundary=",
        'multipart/form-data; boundary=""',
        "multipart/form-data; boundary=a; boundary=b",
        "multipart/form-data; boundary=" + "a" * 71,
        "multipart/form-data; boundary=a\nb",
        "multipart/form-data; boundary=\xe9",
        'multipart/form-data; boundary="a',
        "multipart/form-data; junk; boundary=a",
    ],
)
def test_a_form_without_one_good_boundary_is_malformed(content_type):
    assert refusal(PostFormParser, content_type).code is Code.MalformedPOSTRequest


@pytest.mark.parametrize(
    "content_type", ["", "text/html", "multipart/mixed; boundary=a", "multipart/form-data2; boundary=a"]
)
def test_another_type_than_a_form_is_precondition_failed(content_type):
    assert refusal(PostFormParser, content_type).code is Code.PreconditionFailed


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"key=value",
        b"preamble\r\n" + FORM,
        FORM[:-40],
        form(part("", b"x"), FILE),
        form(part("a\tb", b"x"), FILE),
        form(part("k%0D%0Ax", b"x"), FILE),
        form(part("key", b"\xff"), FILE),
        form(b"--" + BOUNDARY.encode() + b"\r\n\r\nno header\r\n", FILE),
        form(b"--" + BOUNDARY.encode() + b"\r\nContent-Disposition: attachment; name=a\r\n\r\nx\r\n", FILE),
        form(b"--" + BOUNDARY.encode() + b"\nContent-Disposition: form-data; name=a\n\nx\n", FILE),
        form(b"--" + BOUNDARY.encode() + b"\r\nContent-Disposition: form-data;\r\n name=a\r\n\r\nx\r\n", FILE),
    ],
)
@pytest.mark.parametrize("size", [1, None])
def test_what_is_not_a_form_is_malformed(body, size):
    assert refusal(parse, body, size).code is Code.MalformedPOSTRequest


def test_a_form_without_a_file_is_invalid_argument():
    error = refusal(parse, form(part("key", b"k")))
    assert (error.code, error.fields["ArgumentName"]) == (Code.InvalidArgument, "file")


def test_a_field_twice_is_invalid_argument():
    error = refusal(parse, form(part("key", b"a"), part("KEY", b"b"), FILE))
    assert error.code is Code.InvalidArgument


@pytest.mark.parametrize("size", [1000, None])
def test_fields_of_more_than_20_kb_are_refused_n10(size):
    assert parse(form(part("key", b"a" * (MAX_FIELDS_SIZE - 1000)), FILE), size)[1]
    error = refusal(parse, form(part("key", b"a" * MAX_FIELDS_SIZE), FILE), size)
    assert error.code is Code.MaxPostPreDataLengthExceeded


def test_a_flood_of_fields_is_refused_n10():
    many = form(*(part(f"x-ignore-{number}", b"") for number in range(101)), FILE)
    assert refusal(parse, many).code is Code.MaxPostPreDataLengthExceeded


@pytest.mark.parametrize(
    "headers",
    [
        "\r\n" + "\r\n".join(f"X-H{number}: v" for number in range(9)),
        "\r\nX-H: " + "v" * 5000,
        "\r\nX-" + "h" * 100_000,
    ],
)
def test_a_flood_of_part_headers_is_refused_n10(headers):
    assert refusal(parse, form(part("key", b"k", headers), FILE), 4096).code is Code.MaxPostPreDataLengthExceeded


def test_a_large_file_comes_out_in_pieces_and_is_not_kept():
    content = b"\r\n--" + b"x" * 300_000
    parser = PostFormParser(TYPE)
    body = form(part("key", b"k"), part("file", content, '; filename="f"'))
    pieces = [piece for start in range(0, len(body), 4096) for piece in parser.feed(body[start : start + 4096])]
    parser.finish()
    assert b"".join(pieces) == content
    assert max(map(len, pieces)) <= 4096 + 100


def outcome(body: bytes, size: int | None) -> tuple[object, ...] | None:
    """What a form is read as; None: it is refused. Of several mistakes, which one is named depends on the pieces."""
    try:
        parser, content = parse(body, size)
    except S3Error as error:
        assert 400 <= error.code.status < 500
        return None
    return (parser.fields, content)


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.one_of(
            st.sampled_from([part("key", b"k"), FILE, b"--" + BOUNDARY.encode(), b"--", b"\r\n", b"\n", b": "]),
            st.binary(max_size=30),
        ),
        max_size=10,
    ).map(lambda pieces: b"--" + BOUNDARY.encode() + b"\r\n" + b"".join(pieces)),
    st.integers(1, 50),
)
def test_garbage_is_read_alike_or_refused_however_it_is_split(body, size):
    assert outcome(body, size) == outcome(body, None)


# ------------------------------------------------------------------ keys


@pytest.mark.parametrize(
    ("template", "filename", "key"),
    [
        ("user/${filename}", "photo.jpg", "user/photo.jpg"),
        ("user/${filename}", "C:\\pictures\\photo.jpg", "user/photo.jpg"),
        ("user/${filename}", "pictures/photo.jpg", "user/photo.jpg"),
        ("user/${filename}", "", "user/"),
        ("user/${filename}", None, "user/${filename}"),
        ("${filename}-${filename}", "a", "a-a"),
        ("fixed", "../x", "fixed"),
        ("${filename}", "${filename}", "${filename}"),
        ("${filename}", "..photo..jpg", "..photo..jpg"),
    ],
)
def test_the_base_name_of_the_file_is_put_into_the_key(template, filename, key):
    assert expand_filename(template, filename) == key


@pytest.mark.parametrize("filename", ["../x", "a/../x", "..", ".", "..\\x", "a\x00b", "a\r\nb", "\x85"])
def test_a_file_name_that_climbs_or_hides_is_refused_g05(filename):
    assert refusal(expand_filename, "user/${filename}", filename).code is Code.InvalidArgument


def test_a_field_that_must_be_there_is_named():
    assert required_field({"key": "k"}, "key") == "k"
    error = refusal(required_field, {}, "X-Amz-Signature")
    assert error.code is Code.InvalidArgument
    assert "'X-Amz-Signature'.  If it is specified" in error.message


# ------------------------------------------------------------------ policies

FIELDS = {"key": "user/${filename}", "acl": "private", "policy": "…", "awsaccesskeyid": "AK", "signature": "…"}
CONDITIONS = ({"bucket": "media"}, ["starts-with", "$key", "user/"], {"acl": "private"})


def check(policy: PostPolicy, fields=FIELDS, bucket="media", key="user/a.jpg", now_s=NOW_S) -> None:
    check_policy(policy, fields, bucket, key, now_s=now_s)


def test_a_form_that_keeps_to_its_policy_may_be():
    check(policy_of(*CONDITIONS))


@pytest.mark.parametrize("version", ["s3", "s3v4"])
def test_policies_of_botocore_hold_for_its_own_forms(version):
    session = botocore.session.Session()
    session.set_credentials("AKIAIOSFODNN7EXAMPLE", "secret")
    config = botocore.config.Config(signature_version=version)
    client = session.create_client("s3", "us-east-1", endpoint_url="http://127.0.0.1:9000", config=config)
    post = client.generate_presigned_post(
        "media",
        "user/${filename}",
        Fields={"acl": "private", "Content-Type": "image/png"},
        Conditions=[{"acl": "private"}, ["starts-with", "$Content-Type", "image/"], ["content-length-range", 1, 100]],
    )
    parser, _ = parse(form(*(part(name, value.encode()) for name, value in post["fields"].items()), FILE))
    policy = parse_policy(parser.fields["policy"])
    assert policy.content_length_range == (1, 100)
    now_s = policy.expires_s - 3600
    check_policy(policy, parser.fields, "media", expand_filename(parser.fields["key"], "a.png"), now_s=now_s)
    fields = {**parser.fields, "content-type": "text/html"}
    assert refusal(check_policy, policy, fields, "media", "user/a.png", now_s=now_s).code is Code.AccessDenied


def test_field_names_and_operators_are_of_any_case():
    policy = policy_of({"bUcKeT": "media"}, ["StArTs-WiTh", "$KeY", "user/"], ["EQ", "$AcL", "private"])
    check(policy)


@pytest.mark.parametrize(
    ("condition", "message"),
    [
        ({"bucket": "other"}, '["eq", "$bucket", "other"]'),
        ({"acl": "public-read"}, '["eq", "$acl", "public-read"]'),
        (["eq", "$acl", "Private"], '["eq", "$acl", "Private"]'),
        (["eq", "acl", "private"], '["eq", "acl", "private"]'),
        (["starts-with", "$key", "admin/"], '["starts-with", "$key", "admin/"]'),
        (["eq", "$x-amz-meta-a", ""], '["eq", "$x-amz-meta-a", ""]'),
        (["starts-with", "$x-amz-meta-a", "é"], '["starts-with", "$x-amz-meta-a", "\\u00e9"]'),
        (["eq", "$key", "user/${filename}"], '["eq", "$key", "user/${filename}"]'),
    ],
)
def test_a_condition_that_does_not_hold_is_access_denied_g02_g04(condition, message):
    error = refusal(check, policy_of(*CONDITIONS, condition))
    assert error.code is Code.AccessDenied
    assert error.message == f"Invalid according to Policy: Policy Condition failed: {message}"


def test_a_bucket_field_that_is_not_the_address_is_access_denied_g04():
    check(policy_of(*CONDITIONS), {**FIELDS, "bucket": "media"})
    assert refusal(check, policy_of(*CONDITIONS), {**FIELDS, "bucket": "other"}).code is Code.AccessDenied
    assert refusal(check, policy_of(*CONDITIONS), bucket="other").code is Code.AccessDenied


def test_every_field_needs_a_condition():
    error = refusal(check, policy_of(*CONDITIONS), {**FIELDS, "x-amz-meta-b": "1", "tagging": ""})
    assert error.code is Code.AccessDenied
    assert error.message == "Invalid according to Policy: Extra input fields: tagging, x-amz-meta-b"
    check(policy_of(*CONDITIONS), {**FIELDS, "x-ignore-b": "1", "x-amz-signature": "…"})
    v4 = {**FIELDS, "x-amz-algorithm": "AWS4-HMAC-SHA256"}
    assert refusal(check, policy_of(*CONDITIONS, {"x-amz-algorithm": "AWS4-HMAC-SHA256"}), v4).code is Code.AccessDenied


@pytest.mark.parametrize("missing", [0, 1])
def test_a_policy_without_bucket_or_key_covers_neither(missing):
    conditions = [condition for number, condition in enumerate(CONDITIONS) if number != missing]
    assert refusal(check, policy_of(*conditions)).code is Code.AccessDenied


def test_any_content_fits_an_empty_prefix_even_none():
    policy = policy_of(*CONDITIONS, ["starts-with", "$x-amz-meta-a", ""])
    check(policy)
    check(policy, {**FIELDS, "x-amz-meta-a": "anything"})


def test_commas_in_a_content_type_make_a_list():
    policy = policy_of(*CONDITIONS, ["starts-with", "$Content-Type", "image/"])
    check(policy, {**FIELDS, "content-type": "image/jpg, image/png"})
    for content_type in ("image/jpg,text/plain", "text/plain", ""):
        assert refusal(check, policy, {**FIELDS, "content-type": content_type}).code is Code.AccessDenied


def test_an_expired_policy_is_access_denied_g07():
    expires = datetime.fromtimestamp(NOW_S, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    check(policy_of(*CONDITIONS, expiration=expires + "Z"))
    check(policy_of(*CONDITIONS, expiration=expires + ".000Z"))
    error = refusal(check, policy_of(*CONDITIONS, expiration=expires + ".999Z"), now_s=NOW_S + 1)
    assert (error.code, error.message) == (Code.AccessDenied, "Invalid according to Policy: Policy expired.")


@pytest.mark.parametrize("bounds", [[5, 10], ["5", "10"]])
def test_the_size_of_the_file_is_within_both_ends_g02(bounds):
    policy = policy_of(["content-length-range", *bounds])
    for size in (5, 10):
        check_content_length(policy, size)
    error = refusal(check_content_length, policy, 11)
    assert (error.code, error.fields) == (Code.EntityTooLarge, {"ProposedSize": 11, "MaxSizeAllowed": 10})
    error = refusal(check_content_length, policy, 4)
    assert (error.code, error.fields) == (Code.EntityTooSmall, {"ProposedSize": 4, "MinSizeAllowed": 5})


def test_of_several_size_ranges_all_must_hold():
    assert policy_of(["content-length-range", 0, 10], ["content-length-range", 5, 20]).content_length_range == (5, 10)
    check_content_length(policy_of(), 1 << 50)


EXPIRATION = '"expiration": "2030-01-01T00:00:00Z"'


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "null",
        '"x"',
        "{}",
        "{" + EXPIRATION + "}",
        '{"conditions": []}',
        "{" + EXPIRATION + ', "conditions": {}}',
        "{" + EXPIRATION + ', "conditions": [], "version": 1}',
        "{" + EXPIRATION.upper() + ', "conditions": []}',
        "{" + EXPIRATION + ', "CONDITIONS": []}',
        "{" + EXPIRATION + ", " + EXPIRATION + ', "conditions": []}',
        "{" + EXPIRATION + ', "conditions": [{"key": "a", "key": "b"}]}',
        "{" + EXPIRATION + ', "conditions": [NaN]}',
        "{" + EXPIRATION + ', "conditions": [["content-length-range", 0, Infinity]]}',
        "{" + EXPIRATION + ', "conditions": ' + "[" * 100_000 + "]" * 100_000 + "}",
        "{" + EXPIRATION + ', "conditions": [["content-length-range", 0, ' + "9" * 5000 + "]]}",
        "\ufeff{" + EXPIRATION + ', "conditions": []}',
        "{" + EXPIRATION + ", 'conditions': []}",
        "{" + EXPIRATION + ', "conditions": []} x',
        "{" + EXPIRATION + ', "conditions": [' + ",".join(["{}"] * 201) + "]}",
    ],
)
def test_json_that_is_not_a_policy_is_refused_p08(text):
    assert refusal(parse_policy, b64encode(text.encode()).decode()).code is Code.InvalidPolicyDocument


@pytest.mark.parametrize(
    "condition",
    [
        {},
        {"key": "a", "acl": "b"},
        {"key": 1},
        {"key": None},
        [],
        ["eq", "$key"],
        ["eq", "$key", "a", "b"],
        ["eq", "$key", 1],
        ["ends-with", "$key", "a"],
        ["eq\u0000", "$key", "a"],
        [1, 2, 3],
        "eq",
        7,
        None,
        ["content-length-range", 0],
        ["content-length-range", -1, 0],
        ["content-length-range", "+1", "2"],
        ["content-length-range", "1_0", "20"],
        ["content-length-range", "١", "2"],
        ["content-length-range", 0.5, 2],
        ["content-length-range", True, 2],
        ["content-length-range", 0, 10**18],
    ],
)
def test_conditions_that_are_none_are_refused_g07(condition):
    assert refusal(policy_of, condition).code is Code.InvalidPolicyDocument


@pytest.mark.parametrize(
    "expiration",
    [
        "",
        "2030-01-01",
        "2030-01-01T00:00:00",
        "2030-01-01 00:00:00Z",
        "2030-13-01T00:00:00Z",
        "٢٠30-01-01T00:00:00Z",
        "0000-01-01T00:00:00Z",
        "2030-01-01T00:00:00+01:00",
    ],
)
def test_an_expiration_that_is_no_utc_time_is_refused_g07(expiration):
    assert refusal(policy_of, expiration=expiration).code is Code.InvalidPolicyDocument


@pytest.mark.parametrize("text", ["YW$Jj!", "e30", "e30=\n", " e30=", "é", "_w==", "\udcff"])
def test_base64_that_python_would_forgive_is_refused_p05(text):
    assert refusal(parse_policy, text).code is Code.InvalidPolicyDocument


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.sampled_from(["eq", "$key"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=300, deadline=None)
@given(
    st.one_of(
        st.text(max_size=30),
        st.binary(max_size=60).map(lambda data: b64encode(data).decode()),
        json_values.map(lambda value: encoded({"expiration": "2030-01-01T00:00:00Z", "conditions": [value]})),
        json_values.map(encoded),
    )
)
def test_garbage_is_a_policy_or_an_s3_error(text):
    try:
        policy = parse_policy(text)
    except S3Error as error:
        code = error.code
    else:
        code = Code.InvalidPolicyDocument
        assert policy.expires_s > 0
    assert code is Code.InvalidPolicyDocument


# ------------------------------------------------------------------ answers


@pytest.mark.parametrize(
    ("fields", "action"),
    [
        ({}, SuccessAction(204, None)),
        ({"success_action_status": "201"}, SuccessAction(201, None)),
        ({"success_action_status": "200"}, SuccessAction(200, None)),
        ({"success_action_status": "404"}, SuccessAction(204, None)),
        ({"success_action_status": "٢٠١"}, SuccessAction(204, None)),
        ({"success_action_redirect": ""}, SuccessAction(204, None)),
        ({"redirect": "https://a.example/x"}, SuccessAction(204, "https://a.example/x")),
        (
            {"success_action_redirect": "http://a.example/", "redirect": "http://b.example/"},
            SuccessAction(204, "http://a.example/"),
        ),
    ],
)
def test_the_form_says_how_success_is_answered(fields, action):
    assert parse_success_action(fields) == action


@pytest.mark.parametrize(
    "redirect",
    [
        "javascript:alert(1)",
        "/relative",
        "//host/x",
        "ftp://a/",
        "https://",
        "http://a/\r\nSet-Cookie: x",
        "data:text/html,x",
        " http://a/",
    ],
)
def test_a_redirect_is_an_absolute_http_address_g08(redirect):
    assert refusal(parse_success_action, {"success_action_redirect": redirect}).code is Code.InvalidArgument


def test_a_redirect_names_bucket_key_and_etag():
    query = "bucket=media&key=a%2Fb%20%C3%A9&etag=%22d41d%22"
    assert render_redirect("http://a/x", "media", "a/b é", '"d41d"') == f"http://a/x?{query}"
    assert render_redirect("http://a/x?y=1#z", "media", "a/b é", '"d41d"') == f"http://a/x?y=1&{query}#z"
