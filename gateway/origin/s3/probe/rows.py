"""What is probed, in the order in which it is told, and what to do where it is not so. Pure.

need     the gateway cannot serve without it
flag     a capability of the settings: what they promise must be so, what they leave out may be added
fact     good to know: it is done without, or limits what clients can store
"""

from dataclasses import dataclass
from enum import Enum


class Weight(Enum):
    NEED = "need"
    FLAG = "flag"
    FACT = "fact"


@dataclass(frozen=True, slots=True)
class Row:
    """One thing that is probed: its name in the profile, its title for people, and what to do where it is not so."""

    name: str
    title: str
    weight: Weight
    advice: str = ""


_RIGHT = "the key needs the right {}"
# fmt: off
ROWS = (
    Row("reachable", "reachable", Weight.NEED, "endpoint, ca_file, a firewall or a proxy: nothing can be served that is not cached"),
    Row("certificate_days", "days of its certificate", Weight.FACT, "whoever runs the origin has to renew it soon"),
    Row("clock_skew_s", "seconds its clock is ahead", Weight.FACT, "set this machine's clock by NTP: signatures more than 15 minutes off are refused"),
    Row("region", "endpoint and region", Weight.NEED, "set endpoint and region to what it names"),
    Row("credentials", "access key", Weight.NEED, "access_key_id and secret_access_key have to be a key of this provider that is in use"),
    Row("bucket", "bucket", Weight.NEED, "make the bucket at the origin, or name another with origin_bucket in the policy file"),
    Row("list", "may list", Weight.NEED, _RIGHT.format("s3:ListBucket")),
    Row("left_before", "keys of earlier probes", Weight.FACT, "a probe that was killed has left them: remove them, unless one is running"),
    Row("put", "PutObject", Weight.NEED, _RIGHT.format("s3:PutObject")),
    Row("get", "GetObject", Weight.NEED, _RIGHT.format("s3:GetObject")),
    Row("head", "HeadObject", Weight.NEED, _RIGHT.format("s3:GetObject")),
    Row("missing", "404 for a missing key", Weight.NEED, _RIGHT.format("s3:ListBucket: without it, missing looks like forbidden")),
    Row("delete", "DeleteObject", Weight.NEED, _RIGHT.format("s3:DeleteObject")),
    Row("unsigned_payload", "UNSIGNED-PAYLOAD", Weight.NEED, "bodies are streamed so: Anbar cannot store at this origin"),
    Row("if_match", "GET with If-Match", Weight.NEED, "without it a changed body is served as if it were the old one"),
    Row("range", "GET with Range", Weight.NEED, "without it no part of an object can be read"),
    Row("metadata", "metadata", Weight.NEED, "Anbar knows its own writes by their metadata"),
    Row("metadata_words", "metadata, encoded words", Weight.FACT, "metadata that is not ASCII comes back changed when the catalog is rebuilt from the origin"),
    Row("metadata_upper", "metadata, upper-case names", Weight.FACT, "Anbar writes all names in lower case"),
    Row("metadata_bytes", "bytes of metadata", Weight.FACT, "uploads with more metadata than that are refused by the origin"),
    Row("headers_kept", "standard headers", Weight.FACT, "clients get them from the catalog all the same; whoever reads the origin itself does not"),
    Row("md5_etags", "ETag is the MD5", Weight.FLAG),
    Row("md5_checked", "wrong Content-MD5 refused", Weight.FACT, "a body that is damaged on the way is noticed only where ETags are MD5s"),
    Row("sha256_checked", "wrong SHA-256 refused", Weight.FACT, "use https: nothing else protects bodies on the way"),
    Row("conditional_writes", "If-None-Match: *", Weight.FLAG),
    Row("checksum_headers", "x-amz-checksum-*", Weight.FLAG),
    Row("checksums_checked", "wrong CRC32 refused", Weight.FACT, "it does not check what it takes; Anbar checks clients' checksums itself"),
    Row("streaming", "aws-chunked, signed", Weight.FACT, "Anbar never sends it; tools that go to the origin directly may fail"),
    Row("trailer", "aws-chunked with trailer", Weight.FACT, "Anbar never sends it; SDKs of 2025 and later need when_required to go to the origin directly"),
    Row("special_keys", "keys with odd characters", Weight.NEED, "these keys cannot be stored, or replace one another"),
    Row("prefixes", "a prefix is kept apart", Weight.NEED, "give Anbar a bucket of its own: others' objects would be listed as its own"),
    Row("pages", "listings in pages", Weight.FACT, "listings of more than one page are not whole"),
    Row("list_url_encoding", "encoding-type=url", Weight.FLAG),
    Row("tagging", "tags", Weight.FLAG),
    Row("batch_delete", "DeleteObjects", Weight.FLAG),
    Row("versioning", "versions are kept", Weight.FACT, "what Anbar deletes or replaces stays and is paid for: suspend versioning, or let a lifecycle rule expire old versions"),
    Row("copy_object", "CopyObject", Weight.FLAG),
    Row("abort", "uploads can be aborted", Weight.FACT, "parts of unfinished uploads stay: set a lifecycle rule at the origin"),
    Row("upload_part_copy", "UploadPartCopy", Weight.FLAG),
    Row("list_uploads", "uploads are listed", Weight.FACT, "an upload whose answer was lost stays: set a lifecycle rule at the origin"),
    Row("multipart", "multipart uploads", Weight.NEED, "clients upload large objects in parts"),
    Row("multipart_etags", "multipart ETags as AWS's", Weight.FLAG),
)
# fmt: on
