"""The XML that a scripted origin reads and writes, and one answer of it."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from xml.etree import ElementTree
from xml.sax.saxutils import escape

from tests.support.raw_http import Headers
from tests.support.s3_model import Refusal

NAMESPACE = "http://s3.amazonaws.com/doc/2006-03-01/"
DECLARATION = '<?xml version="1.0" encoding="UTF-8"?>\n'
XML_TYPE: Headers = (("Content-Type", "application/xml"),)


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer before it is framed: what every answer has (Date, Content-Length, …) is not yet among its headers."""

    status: int
    headers: Headers = ()
    body: bytes = b""
    code: str | None = None
    """The S3 error code, of an error."""

    def header(self, name: str) -> str | None:
        return next((value for key, value in self.headers if key.lower() == name.lower()), None)

    def with_header(self, name: str, value: str) -> "Reply":
        return replace(self, headers=(*self.without_header(name).headers, (name, value)))

    def without_header(self, name: str) -> "Reply":
        return replace(self, headers=tuple(pair for pair in self.headers if pair[0].lower() != name.lower()))


def tag(name: str, *content: str) -> str:
    return f"<{name}>{''.join(content)}</{name}>"


def text(name: str, value: object) -> str:
    return tag(name, escape(str(value), {"\r": "&#13;"}))


def document(root: str, *content: str) -> bytes:
    return (f'{DECLARATION}<{root} xmlns="{NAMESPACE}">{"".join(content)}</{root}>').encode("utf-8", "surrogateescape")


def xml_reply(root: str, *content: str, headers: Headers = ()) -> Reply:
    return Reply(200, (*XML_TYPE, *headers), document(root, *content))


def error_document(code: str, message: str, elements: Mapping[str, str]) -> bytes:
    """S3's errors have no namespace."""
    more = [text(name, value) for name, value in elements.items()]
    inner = "".join([text("Code", code), text("Message", message), *more, text("RequestId", "SCRIPTED0REQUEST")])
    return (DECLARATION + tag("Error", inner, text("HostId", "scripted-host-id"))).encode("utf-8", "surrogateescape")


def refusal_reply(refusal: Refusal) -> Reply:
    if refusal.status == 304:
        return Reply(304, code=refusal.code)
    return error_reply(refusal.status, refusal.code, refusal.message, **refusal.elements)


def error_reply(status: int, code: str, message: str = "", **elements: str) -> Reply:
    said = message or f"The origin answers {code}."
    return Reply(status, XML_TYPE, error_document(code, said, elements), code)


def parse_document(body: bytes, root: str) -> ElementTree.Element:
    """The root element of this name, its descendants' names without namespaces. Raises Refusal: MalformedXML."""
    try:
        found = ElementTree.fromstring(body)
    except ElementTree.ParseError:
        raise Refusal("MalformedXML") from None
    for element in found.iter():
        element.tag = element.tag.rpartition("}")[2]
    if found.tag != root:
        raise Refusal("MalformedXML")
    return found


def child_text(element: ElementTree.Element, name: str) -> str:
    """Raises Refusal: MalformedXML without such a child."""
    child = element.find(name)
    if child is None or child.text is None:
        raise Refusal("MalformedXML")
    return child.text


def optional_text(element: ElementTree.Element, name: str) -> str:
    return element.findtext(name) or ""
