"""The XML of origins: what is needed is found however it is dressed, and garbage is an OriginError and nothing else."""

from collections.abc import Callable

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from lxml import etree

from gateway.origin.errors import OriginError
from gateway.origin.s3.documents import (
    MOST_BYTES,
    ErrorAnswer,
    ListedKey,
    ListedPage,
    ListedUpload,
    parse_error,
    parse_etag,
    parse_page,
    parse_tags,
    parse_upload_id,
    parse_uploads,
    render_complete,
    render_tagging,
)

NAMESPACE = "http://s3.amazonaws.com/doc/2006-03-01/"
PARSERS: tuple[Callable[[bytes], object], ...] = (parse_etag, parse_page, parse_tags, parse_upload_id, parse_uploads)
XML_TEXT = st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\ufffe\uffff"), max_size=20)


def page(contents: str, more: str = "") -> bytes:
    return f'<?xml version="1.0"?><ListBucketResult xmlns="{NAMESPACE}">{contents}{more}</ListBucketResult>'.encode()


@pytest.mark.parametrize(
    "body",
    [
        b"<R><ETag>&quot;a-2&quot;</ETag></R>",
        b"<R><ETag>a-2</ETag></R>",
        b'<R xmlns="urn:x"><ETag>"a-2"</ETag></R>',
        b'<x:R xmlns:x="urn:x"><x:Key>k</x:Key><x:ETag>"a-2"</x:ETag></x:R>',
        b'\n \n <?xml version="1.0"?>\n<R>\n <ETag>\n"a-2" </ETag>\n</R>\n',
        b'<R><ETag>"a<!-- no end -->-2"</ETag></R>',
        b'<R><ETag><![CDATA["a-2"]]></ETag></R>',
        b'<R><?x y?><ETag>"a<?x y?>-2"</ETag></R>',
    ],
)
def test_an_etag_is_found_however_it_is_written(body):
    assert parse_etag(body) == '"a-2"'


def test_a_weak_etag_stays_one():
    assert parse_etag(b'<R><ETag>W/"a"</ETag></R>') == 'W/"a"'


def test_an_upload_id_is_whatever_the_origin_calls_it():
    assert parse_upload_id(b"<R><Bucket>b</Bucket><UploadId>a+b/c==&amp;~</UploadId></R>") == "a+b/c==&~"


@pytest.mark.parametrize("body", [b"<R/>", b"<R><UploadId/></R>", b"<R><X><UploadId>1</UploadId></X></R>"])
def test_an_answer_without_what_was_asked_for_is_an_error(body):
    with pytest.raises(OriginError, match="UploadId"):
        parse_upload_id(body)


def test_an_error_is_known_by_its_name():
    body = f'<Error xmlns="{NAMESPACE}"><Code>SlowDown</Code><Message>Reduce.</Message><X/></Error>'.encode()
    assert parse_error(body) == ErrorAnswer("SlowDown", "Reduce.")
    assert parse_error(b"<Error/>") == ErrorAnswer("", "")


@pytest.mark.parametrize(
    "body", [b"", b"<html><body>502", b"<html/>", b"<Errors><Code>x</Code></Errors>", b"\xff\xfe", b"{}"]
)
def test_what_is_no_error_document_is_none(body):
    assert parse_error(body) is None


def test_a_page_of_a_listing():
    first = (
        "<Contents><Key>a</Key><LastModified>2026-01-01T00:00:00.000Z</LastModified>"
        "<ETag>&quot;e&quot;</ETag><Size>5</Size><Owner><ID>x</ID></Owner></Contents>"
    )
    second = "<Contents><Key>b c+%41</Key><Size>0</Size><ETag>f</ETag></Contents><CommonPrefixes><Prefix>p/</Prefix></CommonPrefixes>"
    more = "<IsTruncated>true</IsTruncated><NextContinuationToken>t+/=</NextContinuationToken>"
    assert parse_page(page(first + second, more)) == ListedPage(
        (ListedKey("a", 5, '"e"', "2026-01-01T00:00:00.000Z"), ListedKey("b c+%41", 0, '"f"', "")), "t+/="
    )


def test_keys_of_a_listing_are_decoded_only_where_the_origin_says_so():
    contents = "<Contents><Key>b%20c+%2B%FF</Key><Size>0</Size></Contents>"
    assert parse_page(page(contents, "<EncodingType>url</EncodingType>")).keys[0].key == "b c +\udcff"
    assert parse_page(page(contents)).keys[0].key == "b%20c+%2B%FF"


@pytest.mark.parametrize(
    ("more", "token"),
    [
        ("", None),
        ("<IsTruncated>false</IsTruncated>", None),
        ("<IsTruncated>false</IsTruncated><NextContinuationToken>t</NextContinuationToken>", None),
        ("<IsTruncated>true</IsTruncated><NextContinuationToken>t</NextContinuationToken>", "t"),
    ],
)
def test_the_last_page_has_no_next(more, token):
    assert parse_page(page("", more)) == ListedPage((), token)


@pytest.mark.parametrize("size", ["", "-1", "+1", "1_0", " 1", "٣", "1.0", "9" * 19])
def test_an_object_without_a_size_is_an_error(size):
    with pytest.raises(OriginError, match="size"):
        parse_page(page(f"<Contents><Key>a</Key><Size>{size}</Size></Contents>"))


def test_a_page_that_leads_nowhere_is_an_error():
    with pytest.raises(OriginError, match="next"):
        parse_page(page("", "<IsTruncated>true</IsTruncated>"))


def test_uploads_under_way():
    body = "<R><Upload><Key>a+b</Key><UploadId>1</UploadId></Upload><Upload><UploadId>2</UploadId><Key>c</Key></Upload>{}</R>"
    assert parse_uploads(body.format("").encode()) == [ListedUpload("a+b", "1"), ListedUpload("c", "2")]
    encoded = body.format("<EncodingType>url</EncodingType>").encode()
    assert parse_uploads(encoded) == [ListedUpload("a b", "1"), ListedUpload("c", "2")]
    assert parse_uploads(b"<R/>") == []


@pytest.mark.parametrize(
    ("told", "initiated_s"),
    [
        ("2023-11-14T22:13:20.000Z", 1_700_000_000),
        ("2023-11-14T22:13:20", 1_700_000_000),
        ("2023-11-15T00:13:20.500+02:00", 1_700_000_000.5),
        ("yesterday", None),
        ("", None),
        ("1700000000", None),
    ],
)
def test_when_an_upload_was_begun(told, initiated_s):
    body = f"<R><Upload><Key>a</Key><UploadId>1</UploadId><Initiated>{told}</Initiated></Upload></R>"
    (upload,) = parse_uploads(body.encode())
    assert upload.initiated_s == initiated_s


@pytest.mark.parametrize("upload", ["<Key>a</Key>", "<UploadId>1</UploadId>", "<Key>a</Key><UploadId/>"])
def test_an_upload_without_an_id_is_an_error(upload):
    """Ended under an empty id, it would be the object that is deleted."""
    with pytest.raises(OriginError):
        parse_uploads(f"<R><Upload>{upload}</Upload></R>".encode())


@given(st.dictionaries(XML_TEXT.filter(bool), XML_TEXT, max_size=10))
@example({"<a>&\"'": "]]>"})
def test_tags_survive(tags):
    assert parse_tags(render_tagging(tags)) == tags


def test_complete_lists_its_parts_in_order():
    root = etree.fromstring(render_complete([(1, '"a"'), (7, "<&>")]))
    assert root.tag == f"{{{NAMESPACE}}}CompleteMultipartUpload"
    assert [[child.text for child in part] for part in root] == [["1", '"a"'], ["7", "<&>"]]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
@pytest.mark.parametrize(
    "document",
    [
        '<!DOCTYPE R [<!ENTITY x "y">]><R><ETag>&x;</ETag></R>',
        '<!DOCTYPE R [<!ENTITY x SYSTEM "file:///etc/passwd">]><R><ETag>a&x;</ETag></R>',
        '<!DOCTYPE R SYSTEM "http://127.0.0.1/x.dtd"><R><ETag>a</ETag></R>',
        "<!DOCTYPE R><R><ETag>a</ETag></R>",
    ],
)
def test_a_document_type_is_refused(document, encoding):
    declared = f'<?xml version="1.0" encoding="{encoding}"?>{document}'.encode(encoding)
    with pytest.raises(OriginError):
        parse_etag(declared)


@pytest.mark.parametrize("parse", PARSERS)
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"   ",
        b"<R>",
        b"<R><ETag>&x;</ETag></R>",
        b"not xml",
        b'<?xml version="1.0" encoding="nonsense"?><R/>',
        b"\x00<R/>",
        b"<R>" * 5000,
        b"<R>" + b" " * MOST_BYTES + b"</R>",
    ],
)
def test_what_is_no_document_is_an_origin_error(parse, body):
    with pytest.raises(OriginError):
        parse(body)


@pytest.mark.parametrize("parse", PARSERS)
@given(body=st.binary(max_size=60) | st.text("<>/&;!?[]-RCodeKyUplETagSizx\"'= ", max_size=60).map(str.encode))
def test_garbage_raises_an_origin_error_and_nothing_else(parse, body):
    try:
        parse(body)
    except OriginError:
        pass
    parse_error(body)
