"""M13: a content type that lies about what is stored, against a category that takes pictures and recordings only."""

import secrets
from collections.abc import Iterator, Sequence

import pytest

from tests.support.caller import Caller, complete_document, refused, text
from tests.support.gateway import Gateway
from tests.support.media import GIF, HTML, JPEG, MP3, PNG, SVG, ebml, ogg
from tests.support.raw_http import Answer
from tests.support.signer import BOUNDARY, form_body, object_path, post_policy

LARGEST_HEAD = 4096
PICTURES, ANYTHING, VECTORS = "demo-pictures", "demo-media", "demo-vectors"
POLICY = """\
project = "demo"
origin = "local"
[categories.pictures]
content_types = ["image/*", "audio/ogg", "audio/webm", "audio/mpeg"]
[categories.vectors]
content_types = ["image/svg+xml"]
[categories.media]
[principals.ops]
role = "admin"
"""
OTHER = 'project = "other"\norigin = "local"\n[categories.media]\n[principals.ops]\nrole = "admin"\n'
PART = 5 << 20


@pytest.fixture(scope="module")
def choosy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A gateway with categories that take some types only."""
    with Gateway(tmp_path_factory.mktemp("choosy"), policies={"demo": POLICY, "other": OTHER}) as running:
        yield running


@pytest.fixture
def sender(choosy: Gateway) -> Caller:
    return Caller.of(choosy)


@pytest.fixture
def key(sender: Caller) -> Iterator[str]:
    """A key that nothing may be stored under, nor under way to, when the test ends."""
    name = secrets.token_hex(8)
    yield name
    assert sender.get(PICTURES, name).status == 404
    for upload_id in sender.uploads(PICTURES):
        assert sender.call("DELETE", f"/{PICTURES}/{name}?uploadId={upload_id}").status == 204


def typed(content_type: str | None) -> list[tuple[str, str]]:
    return [] if content_type is None else [("Content-Type", content_type)]


def put(sender: Caller, key: str, body: bytes, content_type: str | None, bucket: str = PICTURES) -> Answer:
    return sender.call("PUT", object_path(bucket, key), body, typed(content_type))


def is_refused(answer: Answer) -> None:
    root = refused(answer, 400, "InvalidRequest")
    assert "image/*, audio/ogg, audio/webm, audio/mpeg" in text(root, "Message")


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("image/jpeg", JPEG),
        ("IMAGE/JPEG; x=y", JPEG),
        ("image/png", PNG + bytes(300_000)),
        ("audio/webm;codecs=opus", ebml(b"webm")),
        ("audio/ogg", ogg(b"OpusHead\1")),
        ("audio/mpeg", MP3),
        ("image/png", b""),
        ("application/octet-stream", JPEG),
        (None, JPEG),
    ],
)
def test_m13_what_is_what_it_says_is_stored_as_it_was_sent(sender, content_type, body):
    assert put(sender, "good", body, content_type).status == 200
    found = sender.get(PICTURES, "good")
    assert found.body == body
    assert found.header("content-type") == (content_type or "binary/octet-stream")


LIES: list[tuple[str | None, bytes]] = [
    ("image/png", JPEG),
    ("image/jpeg", PNG + bytes(300_000)),
    ("image/jpeg", HTML),
    ("image/jpeg", b"\n\t " + HTML),
    ("image/jpeg", b"\xef\xbb\xbf" + HTML),
    ("image/jpeg", HTML.decode().encode("utf-16")),
    ("image/jpeg", b" " * (LARGEST_HEAD - 5) + HTML),
    ("image/jpeg", b" " * LARGEST_HEAD + HTML),
    ("image/gif", b"GIF=1;alert(1)"),
    ("image/jpeg", b"GIF89a/*<script>*/=1;alert(1)"),
    ("image/x-unheard-of", HTML),
    ("image/x-unheard-of", b"%PDF-1.7\n<script>"),
    ("image/jpeg", SVG),
    ("audio/ogg", b"<?xml version='1.0'?>" + SVG),
    ("audio/mpeg", b"alert(1)//"),
    ("application/octet-stream", HTML),
    ("binary/octet-stream", SVG),
    (None, b"hello"),
    (None, b""),
]
NOT_LISTED: list[tuple[str | None, bytes]] = [
    ("image/svg+xml", SVG),
    ("image/svg+xml", JPEG),
    ("text/html", HTML),
    ("text/html", GIF),
    ("application/pdf", b"%PDF-1.7\n"),
    ("image/jpeg, text/html", JPEG),
    ("image/jpeg text/html", JPEG),
    ("image/", JPEG),
    ("video/webm", ebml(b"webm")),
]


@pytest.mark.parametrize(("content_type", "body"), LIES + NOT_LISTED)
def test_m13_a_put_that_lies_is_refused(sender, key, content_type, body):
    is_refused(put(sender, key, body, content_type))


@pytest.mark.parametrize(("content_type", "body"), LIES[:8])
def test_m13_a_lie_in_signed_chunks_is_refused(sender, key, content_type, body):
    pieces = [body[start : start + 8192] for start in range(0, len(body), 8192)]
    head, chunks = sender.streamed(object_path(PICTURES, key), pieces, typed(content_type))
    sent = chunks.body(pieces)
    is_refused(sender.ask(head.with_header("Content-Length", str(len(sent))).with_body(sent)))


@pytest.mark.parametrize("body", [JPEG, HTML])
def test_m13_a_lie_in_packets_of_one_byte_is_refused(sender, key, body):
    request = sender.signed("PUT", object_path(PICTURES, key), body[:60], typed("image/png"))
    with sender.connect() as connection:
        connection.send(request.head())
        for each in body[:60]:
            connection.send(bytes([each]))
        is_refused(connection.answer("PUT"))


def test_m13_a_lie_in_a_presigned_url_is_refused(sender, key):
    target = object_path(PICTURES, key)
    is_refused(sender.ask(sender.presigned("PUT", target, HTML, typed("image/jpeg"))))
    is_refused(sender.ask(sender.presigned("PUT", target, HTML, typed("text/html"))))
    is_refused(sender.ask(sender.presigned("PUT", target, HTML)))
    assert sender.ask(sender.presigned("PUT", object_path(PICTURES, "good"), JPEG, typed("image/jpeg"))).status == 200


@pytest.mark.parametrize("content_type", ["text/html", "image/svg+xml", "video/mp4"])
def test_m13_a_wrong_type_spares_the_client_its_body(sender, key, content_type):
    request = sender.signed("PUT", object_path(PICTURES, key), JPEG, typed(content_type))
    with sender.connect() as connection:
        connection.send(request.with_header("Expect", "100-continue").head())
        answer = connection.answer("PUT")
    is_refused(answer)
    assert answer.interim == ()


def test_m13_a_lie_is_known_before_the_whole_body_is_there(sender, key):
    request = sender.signed("PUT", object_path(PICTURES, key), HTML.ljust(1 << 20), typed("image/jpeg"))
    with sender.connect() as connection:
        connection.send(request.head() + request.body[:LARGEST_HEAD])
        is_refused(connection.answer("PUT"))


def test_m13_a_refused_replacement_leaves_the_object_there(sender):
    assert put(sender, "kept", JPEG, "image/jpeg").status == 200
    is_refused(put(sender, "kept", HTML, "image/jpeg"))
    is_refused(put(sender, "kept", HTML, "text/html"))
    assert sender.get(PICTURES, "kept").body == JPEG


def test_m13_svg_is_stored_where_it_is_named_and_nothing_else_with_it(sender):
    assert put(sender, "v.svg", SVG, "image/svg+xml", VECTORS).status == 200
    for content_type, body in (("image/svg+xml", HTML), ("image/svg+xml", JPEG), ("image/png", PNG)):
        refused(put(sender, "x.svg", body, content_type, VECTORS), 400, "InvalidRequest")
    assert sender.keys(VECTORS) == ["v.svg"]


def test_m13_a_polyglot_is_answered_as_what_it_was_declared(sender):
    """GIF that is JavaScript too: a picture by its type, and browsers are told to believe it."""
    polyglot = b"GIF89a/*<svg onload=alert(1)>*/=1;alert(1)"
    assert put(sender, "polyglot", polyglot, "image/gif").status == 200
    found = sender.get(PICTURES, "polyglot")
    assert (found.header("content-type"), found.header("x-content-type-options")) == ("image/gif", "nosniff")


def copy(sender: Caller, key: str, source: str, headers: Sequence[tuple[str, str]] = ()) -> Answer:
    return sender.call("PUT", object_path(PICTURES, key), b"", [("x-amz-copy-source", source), *headers])


def test_m13_a_copy_from_a_category_that_takes_anything_is_checked(sender, key):
    for content_type, body in (*LIES[:7], *NOT_LISTED[:3]):
        assert put(sender, "source", body, content_type, ANYTHING).status == 200
        is_refused(copy(sender, key, f"/{ANYTHING}/source"))
        is_refused(
            copy(sender, key, f"/{ANYTHING}/source", [("x-amz-metadata-directive", "REPLACE"), *typed("image/webp")])
        )
    assert put(sender, "source", JPEG, "text/plain", ANYTHING).status == 200
    is_refused(copy(sender, key, f"/{ANYTHING}/source"))
    replaced = [("x-amz-metadata-directive", "REPLACE"), *typed("image/jpeg")]
    assert copy(sender, "good", f"/{ANYTHING}/source", replaced).status == 200


def test_m13_a_copy_onto_itself_cannot_change_the_type_into_a_lie(sender):
    assert put(sender, "itself", JPEG, "image/jpeg").status == 200
    for content_type in ("text/html", "image/png", "image/svg+xml"):
        is_refused(
            copy(
                sender, "itself", f"/{PICTURES}/itself", [("x-amz-metadata-directive", "REPLACE"), *typed(content_type)]
            )
        )
    assert sender.get(PICTURES, "itself").header("content-type") == "image/jpeg"


def form(sender: Caller, key: str, file: bytes, more: Sequence[tuple[str, str]]) -> Answer:
    conditions: list[object] = [{"bucket": PICTURES}, ["starts-with", "$key", ""], ["starts-with", "$Content-Type", ""]]
    conditions += [["starts-with", f"$x-amz-{name}", ""] for name in ("credential", "algorithm", "date")]
    fields = sender.signer.post_fields(post_policy(conditions))
    body = form_body([("key", key), *more, *fields.items()], file)
    return sender.ask(sender.request("POST", f"/{PICTURES}", body, typed(f"multipart/form-data; boundary={BOUNDARY}")))


@pytest.mark.parametrize(("content_type", "body"), [*LIES[:-2], *NOT_LISTED])
def test_m13_a_form_that_lies_is_refused(sender, key, content_type, body):
    is_refused(form(sender, key, body, [("Content-Type", content_type or "")]))


def test_m13_a_form_with_the_truth_is_stored(sender):
    assert form(sender, "form", JPEG, [("Content-Type", "image/jpeg")]).status == 204
    assert sender.get(PICTURES, "form").header("content-type") == "image/jpeg"


@pytest.mark.parametrize("content_type", ["text/html", "image/svg+xml", "video/mp4"])
def test_m13_an_upload_of_a_wrong_type_does_not_begin(sender, key, content_type):
    is_refused(sender.call("POST", object_path(PICTURES, key) + "?uploads=", b"", typed(content_type)))
    assert sender.uploads(PICTURES) == []


def test_m13_a_wrong_first_part_is_refused_when_it_comes(sender, key):
    upload_id = sender.start_upload(PICTURES, key, typed("image/jpeg"))
    is_refused(sender.call("PUT", object_path(PICTURES, key) + f"?partNumber=1&uploadId={upload_id}", HTML))
    is_refused(
        sender.call(
            "PUT", object_path(PICTURES, key) + f"?partNumber=1&uploadId={upload_id}", b"",
            [("x-amz-copy-source", f"/{ANYTHING}/{stored_html(sender)}")],
        )
    )  # fmt: skip


@pytest.mark.parametrize("order", [(2, 3), (3, 2)])
def test_m13_a_wrong_first_part_that_is_not_number_one_is_refused_in_whatever_order_parts_come(sender, key, order):
    upload_id = sender.start_upload(PICTURES, key, typed("image/jpeg"))
    bodies = {2: HTML.ljust(PART), 3: JPEG}
    etags = {number: sender.put_part(PICTURES, key, upload_id, number, bodies[number]) for number in order}
    is_refused(sender.complete(PICTURES, key, upload_id, complete_document(sorted(etags.items()))))


def test_m13_a_wrong_first_part_copied_from_elsewhere_is_refused(sender, key):
    upload_id = sender.start_upload(PICTURES, key, typed("image/jpeg"))
    answer = sender.call(
        "PUT", object_path(PICTURES, key) + f"?partNumber=2&uploadId={upload_id}", b"",
        [("x-amz-copy-source", f"/{ANYTHING}/{stored_html(sender)}")],
    )  # fmt: skip
    assert answer.status == 200
    etag = answer.body.partition(b"<ETag>")[2].partition(b"</ETag>")[0].decode()
    is_refused(sender.complete(PICTURES, key, upload_id, complete_document([(2, etag)])))


def test_m13_parts_that_begin_with_the_truth_become_an_object(sender):
    upload_id = sender.start_upload(PICTURES, "film", typed("image/jpeg"))
    second = sender.put_part(PICTURES, "film", upload_id, 2, HTML)
    first = sender.put_part(PICTURES, "film", upload_id, 1, JPEG.ljust(PART))
    assert sender.complete(PICTURES, "film", upload_id, complete_document([(1, first), (2, second)])).status == 200


def stored_html(sender: Caller) -> str:
    assert put(sender, "page", HTML, "text/html", ANYTHING).status == 200
    return "page"


def test_m13_categories_without_a_list_take_anything(sender):
    for content_type, body in (*LIES, *NOT_LISTED):
        assert put(sender, "any", body, content_type, ANYTHING).status == 200
