"""gateway/s3/xml.py: documents in, strictly; documents out, as botocore's parser reads them."""

import urllib.parse
from datetime import UTC, datetime
from typing import Any

import botocore.parsers
import botocore.serialize
import botocore.session
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import etree

from gateway.errors import Code, S3Error
from gateway.s3 import xml
from gateway.s3.cors import CorsRule
from gateway.s3.results import (
    BucketList,
    CompleteResult,
    CopyResult,
    DeletedObject,
    DeleteFailure,
    ListedBucket,
    ListedObject,
    ListedPart,
    ListedUpload,
    ListedVersion,
    ObjectAttributes,
    ObjectList,
    ObjectListV2,
    ObjectParts,
    Owner,
    PartList,
    UploadList,
    VersionList,
)
from gateway.s3.xml import CompletePart, DeleteTarget, parse_complete, parse_create_bucket, parse_delete, parse_tagging
from tests.s3.refusal import refused

MODEL = botocore.session.get_session().get_service_model("s3")
NS = 'xmlns="http://s3.amazonaws.com/doc/2006-03-01/"'
TIME_S = 1795338000
TIME = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)
OWNER = Owner("id-1", "photoapp & <co>")
OWNER_READ = {"ID": "id-1", "DisplayName": "photoapp & <co>"}
ETAG = '"9bb58f26192e4ba00f01e2e7b136bbd8"'
# Everything that XML 1.0 can carry. (A carriage return has to be written as a reference, which is tested, too.)
texts = st.text(
    st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\ufffe\uffff") | st.sampled_from("\t\n\r&<>\"'"),
    max_size=30,
)
anything = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)

PARSERS = {"delete": parse_delete, "complete": parse_complete, "tagging": parse_tagging, "create": parse_create_bucket}
BODIES = {
    "delete": "<Delete><Object><Key>k</Key></Object></Delete>",
    "complete": "<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>e</ETag></Part></CompleteMultipartUpload>",
    "tagging": "<Tagging><TagSet><Tag><Key>k</Key><Value>v</Value></Tag></TagSet></Tagging>",
    "create": "<CreateBucketConfiguration><LocationConstraint>default</LocationConstraint></CreateBucketConfiguration>",
}
each_document = pytest.mark.parametrize("name", PARSERS)


def read(operation: str, body: bytes, status: int = 200) -> dict[str, Any]:
    """What botocore makes of an answer, without what every answer has."""
    parser = botocore.parsers.RestXMLParser()
    parsed = parser.parse(
        {"body": body, "headers": {}, "status_code": status}, MODEL.operation_model(operation).output_shape
    )
    parsed.pop("ResponseMetadata")
    return dict(parsed)


def root_of(body: bytes) -> str:
    assert body.startswith(b'<?xml version="1.0" encoding="UTF-8"?>\n<')
    return str(etree.fromstring(body).tag)


def serialized(operation: str, parameters: dict[str, Any]) -> bytes:
    """The body that botocore sends."""
    serializer = botocore.serialize.create_serializer("rest-xml")
    body = serializer.serialize_to_request(parameters, MODEL.operation_model(operation))["body"]
    assert isinstance(body, bytes)
    return body


def no_entity(text: str) -> str:
    """A text as element content."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace("\r", "&#13;")


# --- requests


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


@pytest.mark.parametrize(
    ("key", "code"),
    [
        ("a/../b", Code.InvalidURI),
        ("..", Code.InvalidURI),
        ("a\nb", Code.InvalidURI),
        ("k" * 1025, Code.KeyTooLongError),
    ],
)
def test_a_key_that_no_request_may_name_is_refused_in_a_delete_too(key, code):
    with refused(code):
        parse_delete(f"<Delete><Object><Key>a</Key></Object><Object><Key>{key}</Key></Object></Delete>".encode())


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
    ids=["deep", "wide", "comments", "attributes", "name", "brackets", "big", "deep-and-closed"],
)
def test_h02_a_document_that_would_be_big_in_memory_is_refused(name, inside):
    root = BODIES[name][1:].partition(">")[0]
    with refused(Code.MalformedXML):
        PARSERS[name](f"<{root}>{inside}</{root}>".encode())


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


# --- answers


def test_an_error_has_what_sdks_read():
    body = xml.render_error("NoSuchKey", "No <key>", "/media/a&b\x01", "R1", {"Key": "a&b", "Size": 5}, "H1")
    assert body == (
        b'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>NoSuchKey</Code><Message>No &lt;key&gt;</Message>'
        b"<Key>a&amp;b</Key><Size>5</Size><Resource>/media/a&amp;b\xef\xbf\xbd</Resource>"
        b"<RequestId>R1</RequestId><HostId>H1</HostId></Error>"
    )
    parser = botocore.parsers.RestXMLParser()
    parsed = parser.parse(
        {"body": body, "headers": {}, "status_code": 404}, MODEL.operation_model("GetObject").output_shape
    )
    assert parsed["Error"]["Code"] == "NoSuchKey"
    assert parsed["Error"]["Key"] == "a&b"


@given(st.text(max_size=30))
def test_an_error_about_anything_is_well_formed(text):
    found = etree.fromstring(xml.render_error("InvalidArgument", text, text, text, {"ArgumentValue": text}, text))
    assert [child.tag for child in found] == ["Code", "Message", "ArgumentValue", "Resource", "RequestId", "HostId"]


def test_list_buckets_is_read_by_the_sdk():
    listed = BucketList(OWNER, [ListedBucket("a", TIME_S), ListedBucket("b", TIME_S, "default")], "a", "next")
    body = xml.render_list_buckets(listed)
    assert root_of(body) == "{http://s3.amazonaws.com/doc/2006-03-01/}ListAllMyBucketsResult"
    assert read("ListBuckets", body) == {
        "Owner": OWNER_READ,
        "Buckets": [
            {"Name": "a", "CreationDate": TIME},
            {"Name": "b", "CreationDate": TIME, "BucketRegion": "default"},
        ],
        "Prefix": "a",
        "ContinuationToken": "next",
    }
    assert read("ListBuckets", xml.render_list_buckets(BucketList(OWNER, []))) == {"Owner": OWNER_READ, "Buckets": []}


def test_a_bucket_s_few_words_are_read_by_the_sdk():
    # botocore reads this one document by a handler of its own: the root's text.
    assert etree.fromstring(xml.render_location("ir-thr-1")).text == "ir-thr-1"
    assert etree.fromstring(xml.render_location(None)).text is None
    assert read("GetBucketVersioning", xml.render_versioning()) == {}
    assert read("GetBucketVersioning", xml.render_versioning("Enabled")) == {"Status": "Enabled"}
    assert read("GetBucketRequestPayment", xml.render_request_payment()) == {"Payer": "BucketOwner"}


@pytest.mark.parametrize(
    ("operation", "root"),
    [
        ("GetBucketLogging", "BucketLoggingStatus"),
        ("GetBucketNotificationConfiguration", "NotificationConfiguration"),
        ("GetBucketAccelerateConfiguration", "AccelerateConfiguration"),
    ],
)
def test_what_was_never_set_is_an_empty_document(operation, root):
    body = xml.render_unset(operation)
    assert root_of(body) == f"{{http://s3.amazonaws.com/doc/2006-03-01/}}{root}"
    assert read(operation, body) == {}


def test_an_acl_is_read_by_the_sdk():
    full = {"Grantee": {**OWNER_READ, "Type": "CanonicalUser"}, "Permission": "FULL_CONTROL"}
    everybody = {
        "Grantee": {"Type": "Group", "URI": "http://acs.amazonaws.com/groups/global/AllUsers"},
        "Permission": "READ",
    }
    for operation in ("GetObjectAcl", "GetBucketAcl"):
        assert read(operation, xml.render_acl(OWNER)) == {"Owner": OWNER_READ, "Grants": [full]}
        assert read(operation, xml.render_acl(OWNER, public_read=True))["Grants"] == [full, everybody]


def test_cors_rules_read_as_they_were_written():
    rule = CorsRule(("https://app.example", "https://*.example"), ("GET", "PUT"), ("*",), ("ETag",), 3600)
    answer = read("GetBucketCors", xml.render_cors([rule, CorsRule(("*",), ("GET",))]))
    assert answer["CORSRules"] == [
        {
            "AllowedOrigins": ["https://app.example", "https://*.example"],
            "AllowedMethods": ["GET", "PUT"],
            "AllowedHeaders": ["*"],
            "ExposeHeaders": ["ETag"],
            "MaxAgeSeconds": 3600,
        },
        {"AllowedOrigins": ["*"], "AllowedMethods": ["GET"]},
    ]


PLAIN = ListedObject("a b", TIME_S, ETAG, 5)
FULL = ListedObject("é&<", TIME_S, ETAG, 5 << 40, "id-1", OWNER.name, ("CRC32", "SHA256"), "COMPOSITE")
PLAIN_READ = {"Key": "a b", "LastModified": TIME, "ETag": ETAG, "Size": 5, "StorageClass": "STANDARD"}
FULL_READ = {
    **PLAIN_READ,
    "Key": "é&<",
    "Size": 5 << 40,
    "Owner": OWNER_READ,
    "ChecksumAlgorithm": ["CRC32", "SHA256"],
    "ChecksumType": "COMPOSITE",
}


def test_list_objects_is_read_by_the_sdk():
    listed = ObjectList("media", 2, True, [PLAIN, FULL], ["p/", "q&/"], "x<", "/", "m>", "n&")
    body = xml.render_list_objects(listed)
    assert root_of(body) == "{http://s3.amazonaws.com/doc/2006-03-01/}ListBucketResult"
    assert read("ListObjects", body) == {
        "Name": "media",
        "Prefix": "x<",
        "Marker": "m>",
        "NextMarker": "n&",
        "MaxKeys": 2,
        "Delimiter": "/",
        "IsTruncated": True,
        "Contents": [PLAIN_READ, FULL_READ],
        "CommonPrefixes": [{"Prefix": "p/"}, {"Prefix": "q&/"}],
    }


def test_an_empty_list_has_the_elements_that_are_always_there():
    assert read("ListObjects", xml.render_list_objects(ObjectList("media", 1000, False, []))) == {
        **{"Name": "media", "Prefix": "", "Marker": "", "MaxKeys": 1000, "IsTruncated": False},
    }
    assert read("ListObjectsV2", xml.render_list_objects_v2(ObjectListV2("media", 1000, False, []))) == {
        **{"Name": "media", "Prefix": "", "KeyCount": 0, "MaxKeys": 1000, "IsTruncated": False},
    }


def test_list_objects_v2_is_read_by_the_sdk():
    listed = ObjectListV2("media", 3, True, [PLAIN, FULL], ["p/"], "x", "/", "s", "t1&", "t2&", None)
    assert read("ListObjectsV2", xml.render_list_objects_v2(listed)) == {
        "Name": "media",
        "Prefix": "x",
        "StartAfter": "s",
        "ContinuationToken": "t1&",
        "NextContinuationToken": "t2&",
        "KeyCount": 3,
        "MaxKeys": 3,
        "Delimiter": "/",
        "IsTruncated": True,
        "Contents": [PLAIN_READ, FULL_READ],
        "CommonPrefixes": [{"Prefix": "p/"}],
    }


def test_list_object_versions_is_read_by_the_sdk():
    versions = [ListedVersion(FULL), ListedVersion(PLAIN, "v2", False), ListedVersion(FULL, "v3", True, True)]
    listed = VersionList("media", 3, True, versions, ["p/"], "x", "/", "k1", "v1", "k2", "v2")
    assert read("ListObjectVersions", xml.render_list_versions(listed)) == {
        **{"Name": "media", "Prefix": "x", "MaxKeys": 3, "Delimiter": "/", "IsTruncated": True},
        **{"KeyMarker": "k1", "VersionIdMarker": "v1", "NextKeyMarker": "k2", "NextVersionIdMarker": "v2"},
        "Versions": [
            {**FULL_READ, "VersionId": "null", "IsLatest": True},
            {**PLAIN_READ, "VersionId": "v2", "IsLatest": False},
        ],
        "DeleteMarkers": [
            {"Key": "é&<", "VersionId": "v3", "IsLatest": True, "LastModified": TIME, "Owner": OWNER_READ}
        ],
        "CommonPrefixes": [{"Prefix": "p/"}],
    }


@given(st.lists(anything, max_size=5), anything)
def test_with_encoding_type_url_every_key_comes_back_as_it_was(keys, other):
    objects = [ListedObject(key, 0, ETAG, 0) for key in keys]
    named = {"prefix": other, "delimiter": other, "encoding_type": "url"}
    uploads = [ListedUpload(key, "u", 0, OWNER) for key in keys]
    versions = [ListedVersion(one) for one in objects]
    v1 = xml.render_list_objects(ObjectList("media", 9, True, objects, keys, marker=other, next_marker=other, **named))
    v2 = xml.render_list_objects_v2(ObjectListV2("media", 9, True, objects, keys, start_after=other, **named))
    v3 = xml.render_list_versions(
        VersionList("media", 9, True, versions, keys, key_marker=other, next_key_marker=other, **named)
    )
    v4 = xml.render_list_uploads(
        UploadList("media", 9, True, uploads, keys, key_marker=other, next_key_marker=other, **named)
    )
    for operation, body, entries, names in [
        ("ListObjects", v1, "Contents", ("Prefix", "Delimiter", "Marker", "NextMarker")),
        ("ListObjectsV2", v2, "Contents", ("Prefix", "Delimiter", "StartAfter")),
        ("ListObjectVersions", v3, "Versions", ("Prefix", "Delimiter", "KeyMarker", "NextKeyMarker")),
        ("ListMultipartUploads", v4, "Uploads", ("Prefix", "Delimiter", "KeyMarker", "NextKeyMarker")),
    ]:
        assert body.isascii()
        found = read(operation, body)
        assert found["EncodingType"] == "url"
        for decode in (urllib.parse.unquote, urllib.parse.unquote_plus):
            assert [decode(one["Key"]) for one in found.get(entries, [])] == keys
            assert [decode(one["Prefix"]) for one in found.get("CommonPrefixes", [])] == keys
            assert {decode(found[name]) for name in names} == {other}


@given(st.lists(texts, max_size=5), texts)
def test_without_encoding_type_what_xml_can_carry_comes_back_as_it_was(keys, other):
    objects = [ListedObject(key, 0, other, 0) for key in keys]
    found = read("ListObjectsV2", xml.render_list_objects_v2(ObjectListV2("media", 9, False, objects, keys, other)))
    assert [(one["Key"], one["ETag"]) for one in found.get("Contents", [])] == [(key, other) for key in keys]
    assert [one["Prefix"] for one in found.get("CommonPrefixes", [])] == keys
    assert found["Prefix"] == other


def test_without_encoding_type_one_odd_key_does_not_spoil_the_page():
    objects = [ListedObject(key, 0, ETAG, 0) for key in ("a\ufffe", "b\uffff", "c\x01", "d")]
    found = read("ListObjects", xml.render_list_objects(ObjectList("media", 9, False, objects)))
    assert [one["Key"] for one in found["Contents"]] == ["a\ufffd", "b\ufffd", "c\ufffd", "d"]


def test_a_delete_s_result_is_read_by_the_sdk():
    deleted = [DeletedObject("a&"), DeletedObject("b", "null")]
    failures = [DeleteFailure("c<", "AccessDenied", "Access Denied"), DeleteFailure("d", "InternalError", "m", "null")]
    assert read("DeleteObjects", xml.render_delete(deleted, failures)) == {
        "Deleted": [{"Key": "a&"}, {"Key": "b", "VersionId": "null"}],
        "Errors": [
            {"Key": "c<", "Code": "AccessDenied", "Message": "Access Denied"},
            {"Key": "d", "VersionId": "null", "Code": "InternalError", "Message": "m"},
        ],
    }
    assert read("DeleteObjects", xml.render_delete([], [])) == {}


def test_copies_are_read_by_the_sdk():
    copied = CopyResult(ETAG, TIME_S, {"CRC32": "AAAAAA==", "SHA256": "x"}, "FULL_OBJECT")
    expected = {"ETag": ETAG, "LastModified": TIME, "ChecksumCRC32": "AAAAAA==", "ChecksumSHA256": "x"}
    assert read("CopyObject", xml.render_copy_object(copied)) == {
        "CopyObjectResult": {**expected, "ChecksumType": "FULL_OBJECT"}
    }
    part = CopyResult(ETAG, TIME_S, {"CRC32": "AAAAAA==", "SHA256": "x"})
    assert read("UploadPartCopy", xml.render_copy_part(part)) == {"CopyPartResult": expected}


def test_tags_are_read_by_the_sdk():
    tags = {"a&": "<b>", "صدا": ""}
    assert read("GetObjectTagging", xml.render_tagging(tags)) == {
        "TagSet": [{"Key": "a&", "Value": "<b>"}, {"Key": "صدا", "Value": ""}]
    }
    assert read("GetObjectTagging", xml.render_tagging({})) == {"TagSet": []}
    assert parse_tagging(xml.render_tagging({"a": "b/c"})) == {"a": "b/c"}


def test_object_attributes_are_read_by_the_sdk():
    parts = ObjectParts(3, 1, 2, 1, True, [ListedPart(2, 5, checksums={"SHA256": "x"})])
    attributes = ObjectAttributes(ETAG, {"SHA256": "y-3"}, "COMPOSITE", parts, "STANDARD", 0)
    assert read("GetObjectAttributes", xml.render_object_attributes(attributes)) == {
        "ETag": ETAG.strip('"'),
        "Checksum": {"ChecksumSHA256": "y-3", "ChecksumType": "COMPOSITE"},
        "ObjectParts": {
            **{
                "TotalPartsCount": 3,
                "PartNumberMarker": 1,
                "NextPartNumberMarker": 2,
                "MaxParts": 1,
                "IsTruncated": True,
            },
            "Parts": [{"PartNumber": 2, "Size": 5, "ChecksumSHA256": "x"}],
        },
        "StorageClass": "STANDARD",
        "ObjectSize": 0,
    }
    assert read("GetObjectAttributes", xml.render_object_attributes(ObjectAttributes(checksums={}))) == {}


@given(texts, texts, texts)
def test_the_steps_of_a_multipart_upload_are_read_by_the_sdk(bucket, key, upload_id):
    assert read("CreateMultipartUpload", xml.render_initiate(bucket, key, upload_id)) == {
        **{"Bucket": bucket, "Key": key, "UploadId": upload_id},
    }
    result = CompleteResult(f"https://h/{key}", bucket, key, ETAG, {"CRC64NVME": "x"}, "FULL_OBJECT")
    assert read("CompleteMultipartUpload", xml.render_complete(result)) == {
        **{"Location": f"https://h/{key}", "Bucket": bucket, "Key": key, "ETag": ETAG},
        **{"ChecksumCRC64NVME": "x", "ChecksumType": "FULL_OBJECT"},
    }


def test_list_parts_is_read_by_the_sdk():
    parts = [ListedPart(1, 5, TIME_S, ETAG), ListedPart(2, 6, TIME_S, ETAG, {"CRC32": "AAAAAA=="})]
    listed = PartList("media", "k&", "u<", 2, True, parts, OWNER, Owner("i", "n"), 0, 2, "CRC32", "COMPOSITE")
    assert read("ListParts", xml.render_list_parts(listed)) == {
        **{"Bucket": "media", "Key": "k&", "UploadId": "u<", "MaxParts": 2, "IsTruncated": True},
        **{"PartNumberMarker": 0, "NextPartNumberMarker": 2, "StorageClass": "STANDARD"},
        **{"ChecksumAlgorithm": "CRC32", "ChecksumType": "COMPOSITE", "Owner": OWNER_READ},
        "Initiator": {"ID": "i", "DisplayName": "n"},
        "Parts": [
            {"PartNumber": 1, "Size": 5, "LastModified": TIME, "ETag": ETAG},
            {"PartNumber": 2, "Size": 6, "LastModified": TIME, "ETag": ETAG, "ChecksumCRC32": "AAAAAA=="},
        ],
    }


def test_list_multipart_uploads_is_read_by_the_sdk():
    uploads = [ListedUpload("k&", "u<", TIME_S, OWNER, checksum_algorithm="SHA1", checksum_type="COMPOSITE")]
    listed = UploadList("media", 1, True, uploads, ["p/"], "x", "/", "k1", "u1", "k2", "u2")
    assert read("ListMultipartUploads", xml.render_list_uploads(listed)) == {
        **{"Bucket": "media", "Prefix": "x", "Delimiter": "/", "MaxUploads": 1, "IsTruncated": True},
        **{"KeyMarker": "k1", "UploadIdMarker": "u1", "NextKeyMarker": "k2", "NextUploadIdMarker": "u2"},
        "Uploads": [
            {
                **{"Key": "k&", "UploadId": "u<", "Initiated": TIME, "StorageClass": "STANDARD", "Owner": OWNER_READ},
                **{"Initiator": OWNER_READ, "ChecksumAlgorithm": "SHA1", "ChecksumType": "COMPOSITE"},
            }
        ],
        "CommonPrefixes": [{"Prefix": "p/"}],
    }


def test_a_form_s_answer_names_the_object():
    found = etree.fromstring(xml.render_post_response("https://h/media/a&b", "media", "a&b", ETAG))
    assert found.tag == "PostResponse"
    assert {child.tag: child.text for child in found} == {
        **{"Location": "https://h/media/a&b", "Bucket": "media", "Key": "a&b", "ETag": ETAG},
    }
