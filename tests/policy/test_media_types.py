"""What a list of content types lets in: by what is declared, and by how the bytes begin."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import Code, S3Error
from gateway.policy.media_types import HEAD_SIZE, check_bytes, check_declared
from tests.support.media import FORMATS, GIF, HTML, JPEG, MP3, MP4, PDF, PNG, SVG, boxes, ebml, ogg

MEDIA = ("image/*", "audio/*", "video/*", "application/pdf", "application/ogg")
HEADS = [(declared, head) for declared, heads in FORMATS.items() for head in heads]
SURE = [declared for declared in FORMATS if declared not in ("audio/mpeg", "audio/aac")]
# Names of one format, or of one container, that stand for each other.
ONE_CONTAINER = (
    {"audio/ogg", "video/ogg"},
    {"audio/mp4", "video/mp4", "video/quicktime", "video/3gpp"},
    {"video/webm", "video/x-matroska"},
)


def is_declared(types, declared) -> bool:
    return passes(check_declared, types, declared)


def is_of_type(types, declared, head) -> bool:
    return passes(check_bytes, types, declared, head)


def passes(check, types, *arguments) -> bool:
    try:
        check(types, *arguments)
    except S3Error as error:
        assert error.code is Code.InvalidRequest
        assert all(each in error.message for each in types), "the refusal names what is stored"
        return False
    return True


@pytest.mark.parametrize(
    ("types", "declared"),
    [
        (["image/jpeg"], "image/jpeg"),
        (["image/jpeg"], "IMAGE/JPEG"),
        (["text/plain"], "text/plain; charset=utf-8"),
        (["text/plain"], " text/plain ;charset=utf-8"),
        (["audio/webm"], 'audio/webm;codecs="opus"'),
        (["image/*"], "image/x-whatever"),
        (["image/png", "image/svg+xml"], "image/svg+xml"),
        (["image/jpeg"], ""),
        (["image/jpeg"], "application/octet-stream"),
        (["image/jpeg"], "Binary/Octet-Stream"),
        (["text/*"], "text/html"),
    ],
)
def test_a_declared_type_in_the_list_passes_and_one_that_says_nothing_is_left_to_the_bytes(types, declared):
    assert is_declared(types, declared)


@pytest.mark.parametrize(
    ("types", "declared"),
    [
        (["image/jpeg"], "image/png"),
        (["image/jpeg"], "image/jpg"),
        (["image/jpeg"], "image/jpegx"),
        (["image/*"], "text/html"),
        (["image/*"], "image/"),
        (["image/*"], "image"),
        (["image/*"], "image/*"),
        (["image/*"], "image/jpeg, text/html"),
        (["image/*"], "image/jpeg text/html"),
        (["image/*"], "image/jpeg/x"),
        (["image/*"], "images/jpeg"),
        (["image/*"], "image/svg+xml"),
        (["image/*"], "IMAGE/SVG+XML; charset=utf-8"),
        (["image/*"], "image/svg"),
        (["image/*"], "image/svg-xml"),
        (["image/*"], "image/x+xml"),
        (["image/jpeg"], "charset=utf-8"),
        (["image/jpeg"], "*/*"),
    ],
)
def test_a_declared_type_that_is_not_in_the_list_is_refused(types, declared):
    assert not is_declared(types, declared)


@pytest.mark.parametrize(
    "declared",
    [
        "image/png, text/html",
        "image/png;x=, text/html",
        'image/png;x=", text/html',
        'image/png;x="a\\", text/html',
        'image/png;x="a", text/html;y="b"',
        'image/png;x="a, text/html\\"',
        ";, text/html",
        ",",
        "application/octet-stream;x=, text/html",
    ],
)
def test_a_list_of_types_is_none_since_browsers_go_by_the_last(declared):
    assert not is_declared(MEDIA, declared)


def test_a_comma_between_quotes_makes_no_list():
    assert is_declared(MEDIA, 'video/mp4; codecs="avc1.42E01E, mp4a.40.2"')


@pytest.mark.parametrize(("declared", "head"), HEADS)
def test_every_format_passes_as_what_it_is(declared, head):
    assert is_of_type(MEDIA, declared, head)
    assert is_of_type([declared], f"{declared.upper()}; x=y", head)
    assert is_of_type([declared], "application/octet-stream", head)


@pytest.mark.parametrize("declared", FORMATS)
def test_no_format_passes_as_another(declared):
    container = next((names for names in ONE_CONTAINER if declared in names), {declared})
    if declared == "audio/aac":  # phones call a recording in MP4 so, and ID3 stands before AAC too
        container = {declared, "audio/mpeg", *ONE_CONTAINER[1]}
    for other, head in HEADS:
        assert is_of_type([declared], declared, head) == (other in container), (other, head[:16])


@pytest.mark.parametrize(
    "head", [b"hello", b"alert(1)", b"{}", bytes(100), b"PK\3\4" + bytes(30), b"\x7fELF\2" + bytes(30)]
)
@pytest.mark.parametrize("declared", SURE)
def test_what_has_no_signature_of_its_own_passes_as_no_format_that_has_one(declared, head):
    assert not is_of_type([declared], declared, head)


@pytest.mark.parametrize("declared", ["audio/mpeg", "audio/mp3", "audio/aac"])
def test_a_recording_that_begins_inside_a_frame_passes_but_text_does_not(declared):
    assert is_of_type(["audio/*"], declared, bytes(200) + MP3)
    assert is_of_type(["audio/*"], declared, b"\x12\x00\xaa\xfe" * 100)
    assert not is_of_type(["audio/*"], declared, b"alert(document.cookie)//")
    assert not is_of_type(["audio/*"], declared, JPEG)
    assert not is_of_type(["audio/*"], declared, PDF)


@pytest.mark.parametrize(
    ("declared", "head"),
    [
        ("image/jpg", JPEG),
        ("image/pjpeg", JPEG),
        ("image/apng", PNG),
        ("image/heif", boxes(b"heic", b"mif1")),
        ("image/x-nikon-nef", b"II*\0\x08\0\0\0\x10\0" + bytes(50)),
        ("image/x-canon-cr3", boxes(b"crx ", b"crx ", b"isom")),
        ("audio/opus", ogg(b"OpusHead\1")),
        ("application/ogg", ogg(b"\1vorbis")),
        ("audio/webm", ebml(b"webm")),
        ("audio/x-m4a", boxes(b"M4A ", b"mp42")),
        ("audio/aac", boxes(b"M4A ", b"mp42")),
        ("audio/3gpp", boxes(b"3gp4", b"isom")),
        ("audio/aac", b"ID3\4" + bytes(60)),
        ("audio/x-wav", b"RIFF\x24\0\0\0WAVEfmt "),
        ("video/mp2t", b"\x47\x40\x11\x10" + bytes(184)),
        ("image/x-unheard-of", b"\x01\x02\x03\x04"),
        ("video/x-unheard-of", MP4),
        ("audio/x-unheard-of", MP4),
    ],
)
def test_other_names_of_a_format_and_formats_nobody_knows_pass(declared, head):
    assert is_of_type(MEDIA, declared, head)


@pytest.mark.parametrize("declared", ["image/x-unheard-of", "audio/x-unheard-of", "video/x-unheard-of"])
@pytest.mark.parametrize("head", [PDF, b"PK\3\4" + bytes(30), b"MZ\x90\0" + bytes(60), HTML, SVG])
def test_under_a_name_nobody_knows_another_family_is_refused(declared, head):
    assert not is_of_type(MEDIA, declared, head)


def test_a_picture_under_a_name_nobody_knows_is_no_sound():
    assert is_of_type(MEDIA, "image/x-unheard-of", JPEG)
    assert not is_of_type(MEDIA, "audio/x-unheard-of", JPEG)


DISGUISES = [
    HTML,
    SVG,
    b"<script>alert(1)</script>",
    b"<ScRiPt>alert(1)</ScRiPt>",
    b"<html:script>",
    b"\n\t \f\r" + HTML,
    b" " * (HEAD_SIZE - 10) + b"<html>",
    b"\xef\xbb\xbf" + HTML,
    b"\xef\xbb\xbf \n" + SVG,
    HTML.decode().encode("utf-16"),
    HTML.decode().encode("utf-16-le"),
    HTML.decode().encode("utf-16-be"),
    b"\xfe\xff" + SVG.decode().encode("utf-16-be"),
    " \n<svg>".encode("utf-16-le"),
    " \n<svg>".encode("utf-16-be"),
    b"<!-- a picture --><svg>",
    b"<!--><script>alert(1)</script>-->",
    b"<!--->" + HTML + b"-->",
    b"<!-- --!><script>alert(1)</script>-->",
    b"<!--" + b"x" * HEAD_SIZE,
    b"<?xml version='1.0'?>\n" + SVG,
    b"<?x > <html> ?><svg/>",
    b"<?" + b"x" * HEAD_SIZE,
    b'<?xml version="1.0"?><!-- Generator --><!DOCTYPE svg PUBLIC "-//W3C//DTD SVG 1.1//EN" "x"><svg/>',
    b'<s:svg xmlns:s="http://www.w3.org/2000/svg"/>',
]


@pytest.mark.parametrize(
    "declared",
    [
        *FORMATS,
        "image/x-unheard-of",
        "audio/mp3",
        "text/plain",
        "application/json",
        "text/css",
        "application/zip",
        "text/xml",
        "application/rss+xml",
    ],
)
def test_html_and_svg_pass_under_no_other_name(declared):
    for head in DISGUISES:
        assert not is_of_type([declared], declared, head[:HEAD_SIZE]), head[:40]


@pytest.mark.parametrize("head", DISGUISES)
def test_html_and_svg_are_not_what_an_unknown_type_may_turn_out_to_be(head):
    assert not is_of_type(MEDIA, "application/octet-stream", head[:HEAD_SIZE])


@pytest.mark.parametrize(
    ("declared", "head"),
    [
        ("text/plain", b"hello"),
        ("text/plain", b""),
        ("text/plain", b"1 < 2"),
        ("text/plain", b"BMW drivers are nice people"),
        ("text/plain", JPEG),
        ("application/json", b'{"html": "<script>"}'),
        ("application/zip", b"PK\3\4" + bytes(30)),
        ("application/xml", b"<?xml version='1.0'?><feed/>"),
        ("application/rss+xml", b"<rss><channel><html/></channel></rss>"),
        ("text/html", HTML),
        ("text/html", SVG),
        ("application/xhtml+xml", b"<?xml version='1.0'?><html/>"),
        ("text/markdown", b'<p align="center">'),
        ("image/svg+xml", SVG),
        (
            "image/svg+xml",
            b"\xef\xbb\xbf<?xml version='1.0'?>\n<!-- Generator -->\n<!DOCTYPE svg PUBLIC 'x' 'y'>\n<svg/>",
        ),
    ],
)
def test_types_without_a_signature_pass_and_markup_as_what_it_is(declared, head):
    assert is_of_type([declared], declared, head)


@pytest.mark.parametrize("head", [HTML, JPEG, b"hello", b"\n" + HTML])
def test_only_svg_is_svg(head):
    assert not is_of_type(["image/svg+xml"], "image/svg+xml", head)


@pytest.mark.parametrize("head", [b"GIF=1;/*", b"GIF8", b"GIF<script>", b"\x89PNG<script>", b"\x89PNG\r\n\x1a"])
def test_half_a_signature_is_none(head):
    assert not is_of_type(["image/*"], "image/gif", head)
    assert not is_of_type(["image/*"], "image/png", head)


def test_a_picture_that_is_also_a_script_is_only_ever_a_picture():
    polyglot = b"GIF89a/*<svg onload=alert(1)>*/=1;alert(1)"
    assert is_of_type(["image/gif"], "image/gif", polyglot)
    assert not is_of_type(["image/*"], "image/jpeg", polyglot)
    assert not is_of_type(["image/*", "image/svg+xml"], "image/svg+xml", polyglot)


@pytest.mark.parametrize("declared", ["", "application/octet-stream", "binary/octet-stream"])
def test_without_a_type_the_bytes_must_be_of_a_listed_one(declared):
    assert is_of_type(["image/png"], declared, PNG)
    assert is_of_type(["image/*"], declared, PNG)
    assert is_of_type(["audio/webm"], declared, ebml(b"webm"))
    assert is_of_type(["image/svg+xml"], declared, SVG)
    for head in (GIF, SVG, b"hello", b"", bytes(50)):
        assert not is_of_type(["image/png"], declared, head)
    assert not is_of_type(["image/*"], declared, SVG)
    assert not is_of_type(["text/plain"], declared, b"hello")


def test_octet_streams_that_the_list_names_may_be_anything_but_html_and_svg():
    for head in (b"", b"hello", JPEG, b"MZ\x90\0"):
        assert is_of_type(["application/octet-stream"], "application/octet-stream", head)
    assert not is_of_type(["application/octet-stream"], "application/octet-stream", HTML)


@pytest.mark.parametrize("declared", FORMATS)
def test_an_empty_object_of_a_listed_type_passes(declared):
    assert is_of_type([declared], declared, b"")


BEGINNINGS = st.sampled_from([b"", *(head[:24] for _, head in HEADS), b"<!--", b"<?xml", b"\xff\xfe<\0", b"PK\3\4"])


@given(BEGINNINGS, st.binary(max_size=200), st.sampled_from([*FORMATS, "", "text/plain", "image/svg+xml", "a/b", "x"]))
def test_any_bytes_pass_or_are_refused_and_nothing_else(beginning, rest, declared):
    is_of_type(MEDIA, declared, beginning + rest)


@given(st.text(max_size=100))
def test_any_declared_type_passes_or_is_refused_and_nothing_else(declared):
    is_declared(MEDIA, declared)
