"""How files of many formats begin: what their writers really write there, as far as a reader looks."""

import struct

_REST = bytes(300)


def boxes(major: bytes, *compatible: bytes) -> bytes:
    """The ftyp box that an ISO base media file begins with, and the start of what follows."""
    body = major + b"\0\0\2\0" + b"".join(compatible)
    return struct.pack(">I", 8 + len(body)) + b"ftyp" + body + b"\0\0\0\x08free" + _REST


def ebml(doctype: bytes, width: int = 1) -> bytes:
    """The EBML header of Matroska and WebM, the length of the DocType written in one byte or in two."""
    length = bytes([0x80 | len(doctype)]) if width == 1 else bytes([0x40, len(doctype)])
    return b"\x1aE\xdf\xa3\x9fB\x86\x81\1B\xf7\x81\1B\xf2\x81\4B\xf3\x81\x08B\x82" + length + doctype + _REST


def ogg(codec: bytes) -> bytes:
    return b"OggS\0\2" + bytes(20) + bytes([1, len(codec)]) + codec + _REST


JPEG = b"\xff\xd8\xff\xe0\0\x10JFIF\0\1\1" + _REST
PNG = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + _REST
GIF = b"GIF89a\1\0\1\0\x80\0\0" + _REST
MP3 = b"\xff\xfb\x90\x64" + _REST
MP4 = boxes(b"isom", b"isom", b"iso2", b"avc1", b"mp41")
PDF = b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n" + _REST
HTML = b"<!DOCTYPE html><html><script>alert(1)</script></html>"
SVG = b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'

FORMATS = {
    "image/jpeg": [
        JPEG,
        b"\xff\xd8\xff\xe1\x1c\x45Exif\0\0" + _REST,
        b"\xff\xd8\xff\xe2\x02\x1cICC_PROFILE\0" + _REST,
        b"\xff\xd8\xff\xdb\0\x43\0" + _REST,
        b"\xff\xd8\xff\xee\0\x0eAdobe\0" + _REST,
    ],
    "image/png": [PNG],
    "image/gif": [GIF, b"GIF87a" + _REST],
    "image/webp": [b"RIFF\x24\0\0\0WEBPVP8" + kind + _REST for kind in (b" ", b"L", b"X")],
    "image/avif": [boxes(b"avif", b"mif1", b"miaf"), boxes(b"avis", b"msf1"), boxes(b"mif1", b"mif1", b"avif")],
    "image/heic": [boxes(b"heic", b"mif1", b"heic"), boxes(b"heix", b"mif1"), boxes(b"mif1", b"mif1", b"heic")],
    "image/tiff": [b"II*\0\x08\0\0\0\x10\0" + _REST, b"MM\0*\0\0\0\x08\0\x10" + _REST],
    "image/bmp": [b"BM\x36\0\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0" + _REST],
    "image/x-icon": [b"\0\0\1\0\1\0\x10\x10" + _REST],
    "image/jxl": [b"\xff\x0a" + _REST, b"\0\0\0\x0cJXL \r\n\x87\n" + _REST],
    "audio/mpeg": [b"ID3\4\0\0\0\0\0\x23TSSE" + _REST, MP3]
    + [b"\xff" + bytes([second]) + b"\x90\x64" + _REST for second in (0xFA, 0xF3, 0xF2, 0xE3, 0xFD)],
    "audio/aac": [b"\xff\xf1\x50\x80" + _REST, b"\xff\xf9\x50\x80" + _REST, b"\xff\xf0\x50\x80" + _REST],
    "audio/ogg": [ogg(b"\1vorbis"), ogg(b"OpusHead\1")],
    "video/ogg": [ogg(b"\x80theora")],
    "audio/wav": [b"RIFF\x24\0\0\0WAVEfmt " + _REST, b"RF64\xff\xff\xff\xffWAVEds64" + _REST],
    "audio/flac": [b"fLaC\0\0\0\x22" + _REST],
    "audio/aiff": [b"FORM\0\0\1\0AIFFCOMM" + _REST],
    "audio/amr": [b"#!AMR\n\x3c" + _REST, b"#!AMR-WB\n\x3c" + _REST],
    "audio/midi": [b"MThd\0\0\0\6\0\1" + _REST],
    "audio/mp4": [boxes(b"M4A ", b"M4A ", b"mp42", b"isom"), boxes(b"mp42", b"isom"), boxes(b"iso5", b"hlsf")],
    "video/mp4": [
        MP4,
        boxes(b"iso6", b"iso6", b"cmfc"),
        boxes(b"M4V ", b"mp42"),
        boxes(b"isom", *[b"iso2"] * 11),  # a box of 60 bytes: its length ends with "<"
    ],
    "video/quicktime": [boxes(b"qt  ", b"qt  "), b"\0\0\x10\0moov\0\0\0\x6cmvhd" + _REST, b"\0\0\0\x08wide" + _REST],
    "video/3gpp": [boxes(b"3gp4", b"isom", b"3gp4"), boxes(b"3gp5", b"3gp5")],
    "video/webm": [ebml(b"webm"), ebml(b"webm", 2)],
    "video/x-matroska": [ebml(b"matroska")],
    "video/x-msvideo": [b"RIFF\x24\0\0\0AVI LIST" + _REST],
    "video/x-flv": [b"FLV\1\5\0\0\0\t" + _REST],
    "application/pdf": [PDF],
}
"""Beginnings of files, by the type they are usually declared as."""
