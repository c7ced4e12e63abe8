"""The operations of multipart uploads of a scripted origin.

https://docs.aws.amazon.com/AmazonS3/latest/userguide/mpuoverview.html
"""

import re
from collections.abc import Callable, Mapping

from tests.support.s3_calls import Call, copy_source, description_of, iso
from tests.support.s3_documents import Reply, child_text, parse_document, tag, text, xml_reply
from tests.support.s3_model import Refusal, Upload

COPY_RANGE = re.compile(r"bytes=([0-9]+)-([0-9]+)")


def create_multipart_upload(call: Call) -> Reply:
    upload = call.model.create_upload(*call.place, description_of(call))
    return xml_reply("InitiateMultipartUploadResult", *_place(call), text("UploadId", upload.upload_id))


def upload_part(call: Call) -> Reply:
    part = call.model.put_part(*call.place, call.entry.query["uploadId"], call.count("partNumber", 0), call.body)
    return Reply(200, (("ETag", part.etag),))


def upload_part_copy(call: Call) -> Reply:
    if not (call.model.switches.copy and call.model.switches.upload_part_copy):
        raise Refusal("NotImplemented")
    _, source = copy_source(call)
    body = source.body
    header = call.entry.header("x-amz-copy-source-range")
    if header is not None:
        match = COPY_RANGE.fullmatch(header)
        if match is None or not int(match[1]) <= int(match[2]) < len(body):
            raise Refusal("InvalidArgument", ArgumentName="x-amz-copy-source-range", ArgumentValue=header)
        body = body[int(match[1]) : int(match[2]) + 1]
    part = call.model.put_part(*call.place, call.entry.query["uploadId"], call.count("partNumber", 0), body)
    return xml_reply("CopyPartResult", text("LastModified", iso(part.modified)), text("ETag", part.etag))


def complete_multipart_upload(call: Call) -> Reply:
    asked = []
    for item in parse_document(call.body, "CompleteMultipartUpload").iterfind("Part"):
        number = child_text(item, "PartNumber")
        if not re.fullmatch(r"[0-9]{1,5}", number):
            raise Refusal("MalformedXML")
        asked.append((int(number), child_text(item, "ETag")))
    made = call.model.complete(*call.place, call.entry.query["uploadId"], asked, call.condition)
    location = text("Location", f"http://{call.entry.header('host')}{call.entry.request.raw_path}")
    return xml_reply("CompleteMultipartUploadResult", location, *_place(call), text("ETag", made.etag))


def abort_multipart_upload(call: Call) -> Reply:
    call.model.abort(*call.place, call.entry.query["uploadId"])
    return Reply(204)


def list_parts(call: Call) -> Reply:
    upload = call.upload
    marker, most = call.count("part-number-marker", 0), min(call.count("max-parts", 1000), 1000)
    numbers = sorted(number for number in upload.parts if number > marker)
    shown, more = numbers[:most], len(numbers) > most
    return xml_reply(
        "ListPartsResult",
        *_place(call),
        text("UploadId", upload.upload_id),
        text("PartNumberMarker", marker),
        text("NextPartNumberMarker", shown[-1]) if more and shown else "",
        text("MaxParts", most),
        text("IsTruncated", str(more).lower()),
        text("StorageClass", "STANDARD"),
        *(_part(upload, number) for number in shown),
    )


def list_multipart_uploads(call: Call) -> Reply:
    """Uploads by key, those of one key by the time of their beginning."""
    query, uploads = call.entry.query, call.model.bucket(call.entry.bucket).uploads
    prefix, most = query.get("prefix", ""), min(call.count("max-uploads", 1000), 1000)
    ordered = sorted(
        (upload for upload in uploads.values() if upload.key.startswith(prefix)),
        key=lambda upload: (upload.key.encode("utf-8", "surrogateescape"), upload.initiated, upload.upload_id),
    )
    rest = _after(ordered, query.get("key-marker", ""), query.get("upload-id-marker", ""))
    shown, more = rest[:most], len(rest) > most
    last = shown[-1] if more and shown else None
    return xml_reply(
        "ListMultipartUploadsResult",
        text("Bucket", call.entry.bucket),
        text("KeyMarker", call.encoded(query.get("key-marker", ""))),
        text("UploadIdMarker", query.get("upload-id-marker", "")),
        text("NextKeyMarker", call.encoded(last.key)) if last else "",
        text("NextUploadIdMarker", last.upload_id) if last else "",
        text("Prefix", call.encoded(prefix)),
        text("EncodingType", "url") if call.encodes else "",
        text("MaxUploads", most),
        text("IsTruncated", str(more).lower()),
        *(
            tag(
                "Upload",
                text("Key", call.encoded(upload.key)),
                text("UploadId", upload.upload_id),
                text("StorageClass", "STANDARD"),
                text("Initiated", iso(upload.initiated)),
            )
            for upload in shown
        ),
    )


def _after(uploads: list[Upload], key_marker: str, upload_id_marker: str) -> list[Upload]:
    """What comes after the markers: without an upload's id, all uploads of the marker's key are passed over."""
    for index, upload in enumerate(uploads):
        if upload.key == key_marker and upload.upload_id == upload_id_marker:
            return uploads[index + 1 :]
    marker = key_marker.encode("utf-8", "surrogateescape")
    return [upload for upload in uploads if upload.key.encode("utf-8", "surrogateescape") > marker]


def _part(upload: Upload, number: int) -> str:
    part = upload.parts[number]
    return tag(
        "Part",
        text("PartNumber", number),
        text("LastModified", iso(part.modified)),
        text("ETag", part.etag),
        text("Size", len(part.body)),
    )


def _place(call: Call) -> tuple[str, str]:
    return text("Bucket", call.entry.bucket), text("Key", call.entry.key)


MULTIPART_HANDLERS: Mapping[str, Callable[[Call], Reply]] = {
    "CreateMultipartUpload": create_multipart_upload,
    "UploadPart": upload_part,
    "UploadPartCopy": upload_part_copy,
    "CompleteMultipartUpload": complete_multipart_upload,
    "AbortMultipartUpload": abort_multipart_upload,
    "ListParts": list_parts,
    "ListMultipartUploads": list_multipart_uploads,
}
