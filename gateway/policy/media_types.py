"""What a category's `content_types` let in: the type that is declared, and the first bytes that have to bear it out.

A list names types ("image/jpeg") and groups of them ("image/*"). A browser believes the type and runs what is HTML or
SVG, so those two are never let in by a group of pictures, sounds or films, nor under another type's name.
https://mimesniff.spec.whatwg.org/
"""

import re
from collections.abc import Sequence
from typing import Final

import filetype

from gateway.errors import Code, S3Error

HEAD_SIZE: Final = 4096
"""Bytes at the beginning of a body that are looked at."""

_TYPE = re.compile(r"[a-z0-9][a-z0-9!#$&^_.+-]{0,126}/[a-z0-9][a-z0-9!#$&^_.+-]{0,126}")
_QUOTED = re.compile(r'"(?:[^"\\]|\\.)*+("?)')  # with an end or without, so that all are found in one pass
_UNKNOWN = frozenset({"", "application/octet-stream", "binary/octet-stream"})  # SDKs send these when they know nothing
_MEDIA = ("image/", "audio/", "video/")
_HTML, _SVG, _XML = "text/html", "image/svg+xml", "text/xml"

# The format that is found: the types it may be declared as. Not one to one:
# - clients have old names and x- names, and an animated PNG is a PNG with one chunk more;
# - containers say little: Ogg, WebM, MP4 and ASF hold sound, film or both, and one cannot tell from the first bytes;
# - MP4, QuickTime and 3GPP are one format (ISO 14496-12) with brands that their writers choose freely, and phones call
#   a recording in it audio/aac; WebM is a kind of Matroska;
# - HEIC is HEIF with a certain codec; raw pictures of cameras are TIFF;
# - an ID3 tag stands before AAC as well as before MP3.
# fmt: off
_DECLARED_AS: Final = {found: frozenset(types.split()) for found, types in {
    "image/jpeg": "image/jpeg image/jpg image/pjpeg",
    "image/png": "image/png image/apng image/x-png",
    "image/gif": "image/gif",
    "image/webp": "image/webp",
    "image/avif": "image/avif image/avif-sequence",
    "image/heif": "image/heif image/heic image/heif-sequence image/heic-sequence",
    "image/tiff": "image/tiff image/x-tiff image/x-adobe-dng image/x-canon-cr2 image/x-nikon-nef image/x-sony-arw",
    "image/bmp": "image/bmp image/x-bmp image/x-ms-bmp",
    "image/x-icon": "image/x-icon image/vnd.microsoft.icon",
    "image/jxl": "image/jxl",
    "audio/mpeg": "audio/mpeg audio/mp3 audio/x-mp3 audio/x-mpeg audio/mpeg3 audio/x-mpeg-3 audio/aac audio/x-aac",
    "audio/aac": "audio/aac audio/x-aac audio/aacp",
    "audio/ogg": "audio/ogg video/ogg application/ogg audio/opus audio/x-opus+ogg audio/vorbis audio/x-vorbis+ogg",
    "audio/wav": "audio/wav audio/x-wav audio/wave audio/vnd.wave",
    "audio/flac": "audio/flac audio/x-flac",
    "audio/aiff": "audio/aiff audio/x-aiff",
    "audio/amr": "audio/amr audio/amr-wb",
    "audio/midi": "audio/midi audio/x-midi audio/mid",
    "video/mp4": "video/mp4 audio/mp4 application/mp4 audio/m4a audio/x-m4a audio/aac audio/x-aac video/x-m4v "
                 "video/quicktime video/3gpp audio/3gpp video/3gpp2 audio/3gpp2",
    "video/webm": "video/webm audio/webm video/x-matroska audio/x-matroska video/matroska audio/matroska",
    "video/x-msvideo": "video/x-msvideo video/avi video/msvideo video/vnd.avi",
    "video/x-ms-wmv": "video/x-ms-wmv video/x-ms-asf audio/x-ms-wma",
    "video/x-flv": "video/x-flv",
    "application/pdf": "application/pdf application/x-pdf",
}.items()}
# What filetype calls otherwise, or tells apart where clients do not.
_SAME_FORMAT: Final = {
    "image/apng": "image/png",
    "image/x-canon-cr2": "image/tiff",
    "audio/x-wav": "audio/wav",
    "audio/x-flac": "audio/flac",
    "audio/x-aiff": "audio/aiff",
}
# What filetype does not know, or takes from fewer bytes than the format has: (where, bytes, the format found).
_SIGNATURES: Final = (
    (0, b"\x1aE\xdf\xa3",            "video/webm"),   # EBML; filetype wants the DocType's length in one byte
    (0, b"\xff\x0a",                 "image/jxl"),
    (0, b"\0\0\0\x0cJXL \r\n\x87\n", "image/jxl"),
    (0, b"RF64",                     "audio/wav"),    # of more than 4 GiB
    (0, b"#!AMR-WB\n",               "audio/amr"),
    (4, b"moov",                     "video/mp4"),    # QuickTime from before there was ftyp
    (4, b"mdat",                     "video/mp4"),
    (4, b"wide",                     "video/mp4"),
    (4, b"styp",                     "video/mp4"),    # a segment of a stream
)
_WHOLE_SIGNATURES: Final = {"image/gif": (b"GIF87a", b"GIF89a"), "image/png": (b"\x89PNG\r\n\x1a\n",)}
_PICTURE_BRANDS: Final = {brand: found for found, brands in {
    "image/avif": (b"avif", b"avis"),
    "image/heif": (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"),
    "image/x-canon-cr3": (b"crx ",),
}.items() for brand in brands}
# fmt: on
# Recordings that begin in the middle of a frame, or with padding, are played all the same; they are never text.
_WITHOUT_SURE_BEGINNING: Final = _DECLARED_AS["audio/mpeg"] | _DECLARED_AS["audio/aac"]
_SURE: Final = frozenset().union(*_DECLARED_AS.values()) - _WITHOUT_SURE_BEGINNING
_BINARY = re.compile(rb"[\0-\x08\x0b\x0e-\x1a\x1c-\x1f]")  # https://mimesniff.spec.whatwg.org/#binary-data-byte

# Types that are markup themselves: what they may hold of it.
_MARKUP: Final = {
    _HTML: frozenset({_HTML, _SVG, _XML}),
    "application/xhtml+xml": frozenset({_HTML, _SVG, _XML}),
    "text/markdown": frozenset({_HTML, _SVG, _XML}),
    _SVG: frozenset({_SVG, _XML}),
}
_SPACE = "\t\n\f\r "
_BYTE_ORDER_MARKS = ((b"\xef\xbb\xbf", "utf-8"), (b"\xff\xfe", "utf-16-le"), (b"\xfe\xff", "utf-16-be"))
_WIDE_BEGINNINGS = (
    (re.compile(rb"(?:[\t\n\f\r ]\0)*<\0"), "utf-16-le"),
    (re.compile(rb"(?:\0[\t\n\f\r ])*\0<\0"), "utf-16-be"),
)
# A comment of HTML may end earlier than one of XML: <!--> is a whole one. An instruction of XML is a comment in HTML.
_SKIPPED = re.compile(r"<!--|<\?")
_ENDS = {"<!--": re.compile("--!?>"), "<?": re.compile(">")}
_ROOT = re.compile(r"<(?:!doctype\s+)?(?:[a-z_][\w.-]*:)?([a-z][a-z0-9]*)")
# Tags by which browsers know HTML, and some more that run scripts:
# https://mimesniff.spec.whatwg.org/#identifying-a-resource-with-an-unknown-mime-type
# fmt: off
_HTML_TAGS: Final = frozenset({
    "a", "b", "body", "br", "div", "font", "form", "h1", "head", "html", "iframe", "img", "link", "meta", "p", "script",
    "style", "table", "title",
})
# fmt: on


def check_declared(types: Sequence[str], declared: str) -> None:
    """Look at a declared type alone, before the body; one that says nothing is left to the bytes.

    Raises S3Error: InvalidRequest.
    """
    name = _essence(declared)
    if name not in _UNKNOWN and not _listed(types, name):
        raise S3Error(
            Code.InvalidRequest, f"The declared content type is none of those that are stored here: {_told(types)}."
        )


def check_bytes(types: Sequence[str], declared: str, head: bytes) -> None:
    """Compare a body's first HEAD_SIZE bytes (all of a shorter one) with its declared type, which is listed.

    A type that says nothing is what is found in the bytes. Raises S3Error: InvalidRequest.
    """
    name = _essence(declared)
    if name in _UNKNOWN and not _listed(types, name):
        fits = any(_listed(types, each) for each in _found_types(head))
    else:
        fits = not head or _fits(name, head)
    if not fits:
        raise S3Error(
            Code.InvalidRequest,
            f"The first bytes are not those of the declared content type. Stored here: {_told(types)}.",
        )


def _essence(declared: str) -> str:
    """The type without its parameters, in lower case; of a list it is no type at all.

    A browser splits the header at its commas and goes by the last type, so "image/png;x=, text/html" would be run.
    https://fetch.spec.whatwg.org/#concept-header-extract-mime-type
    """
    if "," in _QUOTED.sub(lambda quoted: "" if quoted[1] else quoted[0], declared):
        return declared
    return declared.partition(";")[0].strip(" \t").lower()


def _told(types: Sequence[str]) -> str:
    return ", ".join(types)


def _listed(types: Sequence[str], name: str) -> bool:
    """Is a type in the list, by its name or by its group? What browsers run is not let in by a group of media."""
    if not _TYPE.fullmatch(name):
        return False
    runs = name.startswith(_MEDIA) and ("svg" in name or "xml" in name)
    return name in types or (f"{name.partition('/')[0]}/*" in types and not runs)


def _found_types(head: bytes) -> frozenset[str]:
    """All types that these bytes may be."""
    markup = _find_markup(head)
    if markup is not None:
        return frozenset({markup})
    found = _find_format(head)
    return frozenset() if found is None else _DECLARED_AS.get(found, frozenset({found}))


def _fits(name: str, head: bytes) -> bool:
    markup = _find_markup(head)
    if name == _SVG:
        return markup in _MARKUP[_SVG]
    if not name.startswith(_MEDIA) and name not in _SURE:
        return markup in (None, _XML) or markup in _MARKUP.get(name, ())
    return markup is None and _fits_format(name, head)


def _fits_format(name: str, head: bytes) -> bool:
    found = _find_format(head)
    if found is None:
        return name not in _SURE and (name not in _WITHOUT_SURE_BEGINNING or _BINARY.search(head) is not None)
    if name in _SURE or name in _WITHOUT_SURE_BEGINNING:
        return name in _DECLARED_AS.get(found, ())
    families = {each.partition("/")[0] for each in _DECLARED_AS.get(found, (found,))}
    return name.partition("/")[0] in families  # a format of which we know nothing, and may call by another's name


def _find_format(head: bytes) -> str | None:
    """The format that a signature tells."""
    if head[4:8] == b"ftyp":
        return _find_brand(head)
    for offset, signature, found in _SIGNATURES:
        if head.startswith(signature, offset):
            return found
    if _begins_frame(head):
        return "audio/aac" if head[1] & 0x06 == 0 else "audio/mpeg"
    guessed: str | None = filetype.guess_mime(head)
    if guessed is None:
        return None
    found = _SAME_FORMAT.get(guessed, guessed)
    return found if head.startswith(_WHOLE_SIGNATURES.get(found, b"")) else None


def _find_brand(head: bytes) -> str:
    """A picture or film in the ISO base media format, by its brands: the major one first.

    https://www.rfc-editor.org/rfc/rfc6381#section-3.4 and ISO/IEC 14496-12, 4.3
    """
    end = min(int.from_bytes(head[:4], "big"), len(head))
    major, compatible = head[8:12], {head[at : at + 4] for at in range(16, end, 4)}
    if compatible & {b"avif", b"avis"} and major in (b"mif1", b"msf1"):
        return "image/avif"
    return _PICTURE_BRANDS.get(major, "video/mp4")


def _begins_frame(head: bytes) -> bool:
    """Does a frame of MPEG audio begin here: eleven bits set, layer II or III, or ADTS of AAC?

    https://www.rfc-editor.org/rfc/rfc3119 and ISO/IEC 11172-3, 2.4.1.3; 0xFFFE is a byte order mark, not layer I.
    """
    if len(head) < 2 or head[0] != 0xFF:
        return False
    version, layer = head[1] >> 3 & 3, head[1] >> 1 & 3
    if layer == 0:
        return head[1] & 0xF0 == 0xF0
    return head[1] & 0xE0 == 0xE0 and version != 1 and layer in (1, 2)


def _find_markup(head: bytes) -> str | None:
    """HTML, SVG or other XML, behind whatever a reader skips: byte order marks, white space, comments, declarations."""
    text = _skip(_decoded(head))
    if not text.startswith("<"):
        return None
    root = _ROOT.match(text)
    name = root[1] if root else ""
    if name == "svg":
        return _SVG
    # A comment or a declaration without an end might hide anything.
    return _HTML if name in _HTML_TAGS or text.startswith(("<!--", "<?")) else _XML


def _decoded(head: bytes) -> str:
    """The beginning as text in lower case; what is no text stays what it is, one character a byte."""
    for mark, encoding in _BYTE_ORDER_MARKS:
        if head.startswith(mark):
            return head[len(mark) :].decode(encoding, "replace").lower()
    for beginning, encoding in _WIDE_BEGINNINGS:
        if beginning.match(head):
            return head.decode(encoding, "replace").lower()
    return head.decode("latin-1").lower()


def _skip(text: str) -> str:
    """Leave out white space, comments and XML's instructions; one without an end stays."""
    text = text.lstrip(_SPACE)
    while (opened := _SKIPPED.match(text)) and (end := _ENDS[opened[0]].search(text, 2)):
        text = text[end.end() :].lstrip(_SPACE)
    return text
