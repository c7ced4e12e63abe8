"""gateway/s3/documents.py: documents in, strictly."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.errors import Code, S3Error
from gateway.s3.documents import (
    MAX_ATTRIBUTES,
    CompletePart,
    DeleteTarget,
    parse_complete,
    parse_create_bucket,
    parse_delete,
    parse_tagging,
)
from tests.s3.refusal import refused
from tests.s3.sdk import serialized, texts

NS = 'xmlns="http://s3.amazonaws.com/doc/2006-03-01/"'
TIME_S = 1795338000
ETAG = '"9bb58f26192e4ba00f01e2e7b136bbd8"'

PARSERS = {"delete": parse_delete, "complete": parse_complete, "tagging": parse_tagging, "create": parse_create_bucket}
BODIES = {
    "delete": "<Delete><Object><Key>k</Key></Object></Delete>",
    "complete": "<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>e</ETag></Part></CompleteMultipartUpload>",
    "tagging": "<Tagging><TagSet><Tag><Key>k</Key><Value>v</Value></Tag></TagSet></Tagging>",
    "create": "<CreateBucketConfiguration><LocationConstraint>default</LocationConstraint></CreateBucketConfiguration>",
}
each_document = pytest.mark.parametrize("name", PARSERS)


def no_entity(text: str) -> str:
    """A text as element content."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace("\r", "&#13;")


def test_delete_names_objects_with_versions_and_conditions():
    body = f"""<?xml version="1.0" encoding="UTF-8"?>
        <Delete {NS}>
          <Object><Key>a b</Key></Object>
          <Object><VersionId>null</VersionId><Key>é/&amp;&lt;</Key></Object>
          <Object><Key>c</Key><ETag>{ETAG}</ETag><LastModifiedTime>Sun, 22 Nov 2026 09:00:00 GMT</LastModifiedTime><Size>5</Size></Object>
          <Object><Key> d </Key><VersionId/><ETag>e</ETag><LastModifiedTime>2026-11-22T09:00:00.000Z</LastModifiedTime></Object>
          <Quiet>true</Quiet>
        </Delete>"""
    request = parse_delete(body.encode())
    assert request.quiet
    assert request.objects == (
        DeleteTarget("a b"),
        DeleteTarget("é/&<", "null"),
        DeleteTarget("c", None, ETAG, TIME_S, 5),
        DeleteTarget(" d ", None, '"e"', TIME_S),
    )


@pytest.mark.parametrize(
    ("quiet", "expected"),
    [("", False), ("<Quiet>false</Quiet>", False), ("<Quiet>true</Quiet>", True), ("<Quiet> True\n</Quiet>", True)],
)
def test_quiet_may_come_first_or_last_or_not_at_all(quiet, expected):
    entry = "<Object><Key>k</Key></Object>"
    for body in (f"<Delete>{quiet}{entry}</Delete>", f"<Delete>{entry}{quiet}</Delete>"):
        assert parse_delete(body.encode()).quiet is expected


@pytest.mark.parametrize(
    "inside",
    [
        "",
        "<Quiet>true</Quiet>",
        "<Object/>",
        "<Object><Key/></Object>",
        "<Object><Key>a</Key><Key>b</Key></Object>",
        "<Object><VersionId>null</VersionId></Object>",
        "<Object><Key>a</Key><Other>b</Other></Object>",
        "<Object><Key>a<b/></Key></Object>",
        "<Object>text<Key>a</Key></Object>",
        "<Object><Key>a</Key></Object>text",
        "<Object><Key>a</Key><Size>+5</Size></Object>",
        "<Object><Key>a</Key><Size>٥</Size></Object>",
        "<Object><Key>a</Key><ETag/></Object>",
        "<Object><Key>a</Key><LastModifiedTime>yesterday</LastModifiedTime></Object>",
        "<Object><Key>a</Key></Object><Quiet>yes</Quiet>",
        "<Object><Key>a</Key></Object><Quiet/>",
        "<Object><Key>a</Key></Object><Quiet>true</Quiet><Quiet>false</Quiet>",
        "<Object><Key>a</Key></Object><Bypass/>",
        "<Object><Key>a</Key></Object>" * 1001,
    ],
)
def test_h04_h05_a_delete_outside_the_schema_is_malformed_xml(inside):
    with refused(Code.MalformedXML):
        parse_delete(f"<Delete>{inside}</Delete>".encode())


def test_a_delete_has_up_to_a_thousand_objects_with_keys_of_1024_bytes():
    key = no_entity("&<é" * 256)
    condition = "<VersionId>null</VersionId><ETag>e</ETag><Size>1</Size>"
    body = f"<Delete {NS}>" + f"<Object><Key>{key}</Key>{condition}</Object>\n" * 1000 + "<Quiet>true</Quiet></Delete>"
    assert len(parse_delete(body.encode()).objects) == 1000


@pytest.mark.parametrize("key", ["a/../b", "..", "a\nb", "k" * 1025])
def test_a_key_that_no_object_can_have_does_not_refuse_the_others(key):
    body = f"<Delete><Object><Key>a</Key></Object><Object><Key>{key}</Key></Object></Delete>"
    assert [target.key for target in parse_delete(body.encode()).objects] == ["a", key]


def test_n_a_key_that_no_answer_should_repeat_refuses_a_delete():
    with refused(Code.KeyTooLongError):
        parse_delete(f"<Delete><Object><Key>{'k' * 4097}</Key></Object></Delete>".encode())


@pytest.mark.parametrize("key", ["a<!-- b -->c", "<![CDATA[a]]>c", "a<?b c?>c", "&#97;c", "a<![CDATA[]]>c"])
def test_h05_comments_and_cdata_in_a_key_are_read_as_xml_has_it(key):
    assert parse_delete(f"<Delete><Object><Key>{key}</Key></Object></Delete>".encode()).objects == (DeleteTarget("ac"),)


@pytest.mark.parametrize(
    "namespace",
    ["", f" {NS}", ' xmlns="http://s3.amazonaws.com/doc/2006-03-01"', ' xmlns="urn:x"', " xmlns:x='urn:y'"],
)
def test_any_namespace_or_none_is_read(namespace):
    assert parse_delete(f"<Delete{namespace}><Object><Key>k</Key></Object></Delete>".encode()).objects
    prefixed = b'<s:Delete xmlns:s="urn:x"><s:Object><s:Key>k</s:Key></s:Object></s:Delete>'
    assert parse_delete(prefixed).objects == (DeleteTarget("k"),)


@given(
    st.lists(
        texts.filter(lambda key: not any(ord(one) < 0x20 for one in key) and not {"", ".", ".."} & set(key.split("/"))),
        min_size=1,
        max_size=9,
    )
)
def test_a_delete_that_the_sdk_writes_is_read_back(keys):
    body = serialized(
        "DeleteObjects", {"Bucket": "b", "Delete": {"Objects": [{"Key": key} for key in keys], "Quiet": True}}
    )
    assert parse_delete(body).objects == tuple(DeleteTarget(key) for key in keys)


@pytest.mark.parametrize(
    "etag", [ETAG, ETAG.strip('"'), ETAG.replace('"', "&quot;"), f"\n  {ETAG}\n  ", ETAG.replace('"', "&#34;")]
)
@pytest.mark.parametrize("space", ["", "\n    "])
@pytest.mark.parametrize("namespace", ["", f" {NS}"])
def test_complete_is_read_from_every_client(etag, space, namespace):
    part = f"{space}<ETag>{etag}</ETag>{space}<PartNumber>2</PartNumber>{space}<ChecksumCRC64NVME>AAAAAAAAAAA=</ChecksumCRC64NVME>{space}"
    body = f"<CompleteMultipartUpload{namespace}>{space}<Part>{part}</Part>{space}</CompleteMultipartUpload>"
    assert parse_complete(body.encode()) == (CompletePart(2, ETAG, {"CRC64NVME": "AAAAAAAAAAA="}),)


def test_a_complete_that_the_sdk_writes_is_read_back():
    digest = "n4bQgYhMfWWaL+qgxVrQFaO/TxsrC4Is0V1sFbDwCgg="
    parts = [{"PartNumber": number, "ETag": ETAG, "ChecksumSHA256": digest} for number in (1, 5, 10_000)]
    body = serialized(
        "CompleteMultipartUpload", {"Bucket": "b", "Key": "k", "UploadId": "u", "MultipartUpload": {"Parts": parts}}
    )
    assert parse_complete(body) == tuple(CompletePart(number, ETAG, {"SHA256": digest}) for number in (1, 5, 10_000))


@pytest.mark.parametrize(
    "checksums",
    [
        "<ChecksumCRC32>AAAAAA==</ChecksumCRC32><ChecksumCRC32C>AAAAAA==</ChecksumCRC32C>",
        "<ChecksumXXHASH128>AAAAAA==</ChecksumXXHASH128>",
        "<ChecksumSHA256>AAAAAA==</ChecksumSHA256>",
        "<ChecksumCRC32>invalid</ChecksumCRC32>",
    ],
)
def test_a_part_has_one_checksum_of_the_right_form(checksums):
    body = f"<CompleteMultipartUpload>{part_xml(1, f'<ETag>e</ETag>{checksums}')}</CompleteMultipartUpload>"
    with refused(Code.InvalidRequest):
        parse_complete(body.encode())


def part_xml(number: object, rest: str = "<ETag>e</ETag>") -> str:
    return f"<Part><PartNumber>{number}</PartNumber>{rest}</Part>"


@pytest.mark.parametrize(
    ("inside", "code"),
    [
        ("", Code.MalformedXML),
        ("<Part/>", Code.MalformedXML),
        (part_xml(1, ""), Code.MalformedXML),
        (part_xml(1, "<ETag></ETag>"), Code.MalformedXML),
        ("<Part><ETag>e</ETag></Part>", Code.MalformedXML),
        (part_xml("x"), Code.MalformedXML),
        (part_xml("+1"), Code.MalformedXML),
        (part_xml("1_0"), Code.MalformedXML),
        (part_xml("١"), Code.MalformedXML),
        (part_xml("9" * 5000), Code.MalformedXML),
        (part_xml(1, "<ETag>e</ETag><ETag>e</ETag>"), Code.MalformedXML),
        (part_xml(1, "<ETag>e</ETag><Size>5</Size>"), Code.MalformedXML),
        (part_xml(1, "<ETag>e<b/></ETag>"), Code.MalformedXML),
        (f"{part_xml(1)}<Other/>", Code.MalformedXML),
        (part_xml(0), Code.InvalidArgument),
        (part_xml(10_001), Code.InvalidArgument),
        (part_xml(2) + part_xml(1), Code.InvalidPartOrder),
        (part_xml(1) + part_xml(1), Code.InvalidPartOrder),
    ],
)
def test_d13_a_complete_outside_the_rules_is_refused(inside, code):
    with refused(code):
        parse_complete(f"<CompleteMultipartUpload>{inside}</CompleteMultipartUpload>".encode())


def test_a_complete_has_up_to_ten_thousand_parts():
    rest = f"<ETag>&quot;9bb58f26192e4ba00f01e2e7b136bbd8&quot;</ETag><ChecksumSHA256>{'A' * 43}=</ChecksumSHA256>"
    parts = "".join(part_xml(number, rest) for number in range(1, 10_001))
    assert len(parse_complete(f"<CompleteMultipartUpload>{parts}</CompleteMultipartUpload>".encode())) == 10_000
    few = "".join(part_xml(number) for number in range(1, 10_002))
    with refused(Code.MalformedXML):
        parse_complete(f"<CompleteMultipartUpload>{few}</CompleteMultipartUpload>".encode())


def test_tagging_is_read():
    tags = {"kind": "voice", "صدا": " a b+c ", "empty": ""}
    body = serialized(
        "PutObjectTagging",
        {
            "Bucket": "b",
            "Key": "k",
            "Tagging": {"TagSet": [{"Key": key, "Value": value} for key, value in tags.items()]},
        },
    )
    assert parse_tagging(body) == tags
    assert parse_tagging(b"<Tagging><TagSet/></Tagging>") == {}


@pytest.mark.parametrize(
    ("inside", "code"),
    [
        ("", Code.MalformedXML),
        ("<TagSet/><TagSet/>", Code.MalformedXML),
        ("<Tag><Key>a</Key><Value>b</Value></Tag>", Code.MalformedXML),
        ("<TagSet><Tag><Key>a</Key></Tag></TagSet>", Code.MalformedXML),
        ("<TagSet><Tag><Key>a</Key><Value>b</Value><Value>c</Value></Tag></TagSet>", Code.MalformedXML),
        ("<TagSet><Key>a</Key></TagSet>", Code.MalformedXML),
        ("<TagSet>text</TagSet>", Code.MalformedXML),
        ("<TagSet><Tag><Key></Key><Value>b</Value></Tag></TagSet>", Code.InvalidTag),
        ("<TagSet>" + "<Tag><Key>a</Key><Value>b</Value></Tag>" * 2 + "</TagSet>", Code.InvalidTag),
        ("<TagSet>" + "".join(f"<Tag><Key>{n}</Key><Value/></Tag>" for n in range(11)) + "</TagSet>", Code.BadRequest),
    ],
)
def test_h07_tagging_outside_the_rules_is_refused(inside, code):
    with refused(code):
        parse_tagging(f"<Tagging>{inside}</Tagging>".encode())


def test_create_bucket_may_say_where():
    assert parse_create_bucket(b"") is None
    assert parse_create_bucket(b"<CreateBucketConfiguration/>") is None
    body = serialized("CreateBucket", {"Bucket": "b", "CreateBucketConfiguration": {"LocationConstraint": "ir-thr-1"}})
    assert parse_create_bucket(body) == "ir-thr-1"
    for inside in ("<Tags/>", "<Bucket><Type>Directory</Type></Bucket>", "<Location/>"):
        with refused(Code.NotImplemented):
            parse_create_bucket(f"<CreateBucketConfiguration>{inside}</CreateBucketConfiguration>".encode())
    for inside in ("<Other/>", "<LocationConstraint>a</LocationConstraint>" * 2, "text"):
        with refused(Code.MalformedXML):
            parse_create_bucket(f"<CreateBucketConfiguration>{inside}</CreateBucketConfiguration>".encode())


@each_document
@pytest.mark.parametrize("encode", [str.encode, lambda text: b"\xef\xbb\xbf" + text.encode()], ids=["plain", "bom"])
@pytest.mark.parametrize(
    "declaration", ["", '<?xml version="1.0"?>', "<?xml version='1.0' encoding='utf-8' standalone='yes'?>\n"]
)
def test_utf8_is_read_with_and_without_declaration(name, encode, declaration):
    assert PARSERS[name](encode(f"{declaration}{BODIES[name]}"))


@each_document
@pytest.mark.parametrize(
    "body",
    [
        b" ",
        b"junk",
        b"<",
        b"<Other/>",
        b"<Delete>",
        b"\x00",
        b"\xff\xfe",
        b"<!DOCTYPE x><x/>",
        b"{}",
        b"<a></b>",
        b"&amp;",
        b"<\xff/>",
        b"\xed\xa0\x80",
        b'<?xml version="1.0" encoding="UTF-16"?><a/>',
    ],
)
def test_what_is_no_document_is_malformed_xml(name, body):
    with refused(Code.MalformedXML):
        PARSERS[name](body)


@each_document
@pytest.mark.parametrize("codec", ["utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_h05_no_other_encoding_is_read(name, codec):
    for text in (BODIES[name], f'<?xml version="1.0" encoding="{codec}"?>{BODIES[name]}'):
        with refused(Code.MalformedXML):
            PARSERS[name](text.encode(codec))


@each_document
@pytest.mark.parametrize("encoding", ["utf-7", "utf-16", "iso-8859-1", "x", "UTF-8 ", ""])
def test_h05_no_other_encoding_is_declared(name, encoding):
    with refused(Code.MalformedXML):
        PARSERS[name](f"<?xml version='1.0' encoding='{encoding}'?>{BODIES[name]}".encode())


@each_document
@pytest.mark.parametrize(
    "subset",
    [
        '<!DOCTYPE a SYSTEM "file:///etc/hostname">',
        '<!DOCTYPE a [<!ENTITY e SYSTEM "file:///etc/hostname">]>',
        '<!DOCTYPE a [<!ENTITY % e SYSTEM "http://127.0.0.1:1/"> %e;]>',
        '<!DOCTYPE a [<!ENTITY e "eeeeeeeeee"><!ENTITY f "&e;&e;&e;&e;&e;&e;&e;&e;&e;&e;">]>',
        "<!DOCTYPE a>",
        "<!DOCTYPE\na\n[]>",
        "<!doctype a>",
    ],
)
def test_h01_h02_a_document_type_is_refused_whatever_is_in_it(name, subset):
    for body in (
        f"{subset}{BODIES[name]}",
        f'<?xml version="1.0"?>\n{subset}\n{BODIES[name]}',
        f"<!-- -->{subset}{BODIES[name]}",
    ):
        with refused(Code.MalformedXML):
            PARSERS[name](body.encode())


@each_document
def test_an_entity_that_is_not_xml_s_own_is_refused(name):
    with refused(Code.MalformedXML):
        PARSERS[name](
            BODIES[name].replace(">k<", ">&e;<").replace(">1<", ">&e;<").replace(">default<", ">&e;<").encode()
        )


@each_document
@pytest.mark.parametrize(
    "inside",
    [
        "<a>" * 100_000,
        "<a/>" * 1_000_000,
        "<!---->" * 1_000_000,
        "<a " + " ".join(f"a{number}=''" for number in range(100_000)) + "/>",
        f"<{'a' * 100_000}/>",
        "<" * 9000,
        "a" * 9_000_000,
        "<a>" * 300 + "</a>" * 300,
    ],
    ids=[
        "deep",
        "wide",
        "comments",
        "attributes",
        "name",
        "brackets",
        "big",
        "deep-and-closed",
    ],
)
def test_h02_a_document_that_would_be_big_in_memory_is_refused(name, inside):
    root = BODIES[name][1:].partition(">")[0]
    with refused(Code.MalformedXML):
        PARSERS[name](f"<{root}>{inside}</{root}>".encode())


@each_document
@pytest.mark.parametrize("equals", ["=", " = ", "=\n"])
@pytest.mark.parametrize("quote", ["'", '"'])
def test_h02_attributes_are_counted_wherever_they_stand(name, equals, quote):
    """Also behind one that holds what looks like the end of its tag."""

    def with_attributes(count: int) -> bytes:
        written = " ".join(f"a{number}{equals}{quote}>{quote}" for number in range(count))
        return BODIES[name].replace(">", f" {written}>", 1).encode()

    assert PARSERS[name](with_attributes(10))
    with refused(Code.MalformedXML):
        PARSERS[name](with_attributes(MAX_ATTRIBUTES + 1))


@given(
    st.sampled_from(list(PARSERS)),
    st.binary(max_size=60) | st.text("<>/&;!?-[]=\"' kTagDelete\u00e9", max_size=60).map(str.encode),
    st.integers(0, 80),
)
@settings(max_examples=300)
def test_any_body_gives_a_request_or_a_refusal(name, noise, position):
    body = BODIES[name].encode()
    for candidate in (noise, body[:position] + noise + body[position:], body[:position]):
        try:
            PARSERS[name](candidate)
        except S3Error as error:
            assert error.code.status < 500 or error.code is Code.NotImplemented
