"""What the stores that speak S3 do, each in its own way: one preset a provider.

A fact is stated where a source says so; what nobody has confirmed is set so that nothing depends on it, and marked.
`[origins.NAME.capabilities]` overrides what was measured to be otherwise. Pure.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from gateway.origin_settings import Addressing, Endpoint, S3OriginSettings, parse_endpoint
from gateway.toml_fields import GIB, KIB, MIB, TIB


@dataclass(frozen=True, slots=True)
class Provider:
    """How a provider behaves; the defaults are what every store that calls itself S3-compatible can do.

    `endpoint` may have `{region}` in it. `max_metadata_bytes` is of all names and values of user metadata together.
    The flags are those of OriginCapabilities, which says what each means.
    """

    name: str
    endpoint: str | None = None
    region: str = "us-east-1"
    addressing: Addressing = "path"
    conditional_writes: bool = False
    batch_delete: bool = False
    copy_object: bool = False
    upload_part_copy: bool = False
    tagging: bool = False
    checksum_headers: bool = False
    md5_etags: bool = False
    multipart_etags: bool = False
    list_url_encoding: bool = False
    # The limits of S3 itself, which the others copied. https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html
    # https://docs.aws.amazon.com/AmazonS3/latest/userguide/UsingMetadata.html (2 KB)
    max_metadata_bytes: int = 2 * KIB
    max_put_bytes: int = 5 * GIB
    max_copy_bytes: int = (
        5 * GIB
    )  # of one CopyObject: https://docs.aws.amazon.com/AmazonS3/latest/API/API_CopyObject.html
    min_part_bytes: int = 5 * MIB
    max_part_bytes: int = 5 * GIB
    max_parts: int = 10_000


@dataclass(frozen=True, slots=True)
class Upstream:
    """Where requests to an S3 origin go, what they are signed for, and what may be asked: settings without gaps."""

    endpoint: Endpoint
    region: str
    addressing: Addressing
    profile: Provider


# Which engine Liara runs is not known, and its documentation names no limit and few features:
# https://docs.liara.ir/object-storage/
_LIARA = Provider(
    name="liara",
    # The host of today's documentation (liara-cloud/docs@3f0aa50a); storage.iran.liara.space before May 2026.
    endpoint="https://storage.iran.liara.site",
    # "us-east-1" in the Laravel, PHP and Go samples, "default" in the Node ones: any seems to do.
    # https://docs.liara.ir/object-storage/how-tos/connect-via-platform/laravel/
    region="us-east-1",
    # Path style in the same samples (AWS_USE_PATH_STYLE_ENDPOINT=true); subdomains are said to work, too.
    addressing="path",
    # Measured by rclone's contributor in 2022: encoding-type=url is not to be relied on, ETags of multipart objects are
    # not AWS's. https://github.com/rclone/rclone/blob/master/backend/s3/provider/Liara.yaml, rclone/rclone#6516
    list_url_encoding=False,
    multipart_etags=False,
    # Unconfirmed: one public code base says "Liara rejects them" of the SDKs' flexible checksums.
    checksum_headers=False,
    # Unconfirmed, not in the documentation: all the rest. rclone's own tests compare MD5s and copy, and seem to have
    # passed in 2022 (rclone/rclone#6516); that is no promise for the store of today.
    conditional_writes=False,
    batch_delete=False,
    copy_object=False,
    upload_part_copy=False,
    tagging=False,
    md5_etags=False,
)

_AWS = Provider(
    name="aws",
    # https://docs.aws.amazon.com/general/latest/gr/s3.html; China's end in .amazonaws.com.cn
    endpoint="https://s3.{region}.amazonaws.com",
    # A bucket with a dot in its name has no certificate as a subdomain, and each is a host with its own connections.
    # https://docs.aws.amazon.com/AmazonS3/latest/userguide/VirtualHosting.html
    addressing="path",
    # Since August 2024: https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html
    conditional_writes=True,
    batch_delete=True,  # https://docs.aws.amazon.com/AmazonS3/latest/API/API_DeleteObjects.html
    copy_object=True,
    upload_part_copy=True,  # https://docs.aws.amazon.com/AmazonS3/latest/API/API_UploadPartCopy.html
    tagging=True,  # https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-tagging.html
    # https://docs.aws.amazon.com/AmazonS3/latest/userguide/checking-object-integrity.html
    checksum_headers=True,
    # Unless the bucket encrypts with SSE-KMS, or is a directory bucket: then the capabilities must say false.
    # https://docs.aws.amazon.com/AmazonS3/latest/API/API_Object.html (ETag)
    md5_etags=True,
    multipart_etags=True,
    list_url_encoding=True,  # https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListObjectsV2.html
)

_GCS = Provider(
    name="gcs",
    # https://docs.cloud.google.com/storage/docs/aws-simple-migration (HMAC keys; a region is not looked at)
    endpoint="https://storage.googleapis.com",
    region="auto",
    # Preconditions of writes are generations (x-goog-if-generation-match), not ETags.
    # https://docs.cloud.google.com/storage/docs/xml-api/reference-headers
    conditional_writes=False,
    # https://docs.cloud.google.com/storage/docs/xml-api/post-bucket (up to 1,000 keys); older reports say otherwise
    batch_delete=True,
    copy_object=True,  # x-goog-copy-source, and its x-amz- twin, in the same reference
    # https://issuetracker.google.com/issues/323465186, and rclone's backend/s3/provider/GCS.yaml
    upload_part_copy=False,
    tagging=False,  # the XML API's reference has no tags of objects
    # SDK checksums are refused: aws/aws-sdk-go-v2#1816, apache/iceberg-go#1423
    checksum_headers=False,
    # Not of composite and multipart objects; that it is so of all the others is unconfirmed.
    # https://github.com/gaul/s3proxy (README, gcloudsdk)
    md5_etags=False,
    multipart_etags=False,
    list_url_encoding=False,  # unconfirmed
)

_MINIO = Provider(
    name="minio",
    conditional_writes=True,  # minio/minio#20346; If-None-Match: * of a PutObject
    # https://docs.min.io/community/minio-object-store/reference/s3-api-compatibility.html
    batch_delete=True,
    copy_object=True,
    upload_part_copy=True,
    tagging=True,
    # Taken and verified: https://github.com/minio/minio/blob/master/internal/hash/checksum.go
    checksum_headers=True,
    # Unless it encrypts with a KMS key or was started with --no-compat: then the capabilities must say false.
    md5_etags=True,
    multipart_etags=True,
    # rclone's Minio.yaml leaves encoding-type=url on, as for AWS.
    list_url_encoding=True,
    # A single PUT may have 5 TiB; 2 KiB of metadata is S3's limit, and parts are S3's, too.
    # https://docs.min.io/community/minio-object-store/operations/concepts/thresholds.html
    max_put_bytes=5 * TIB,
)

_GENERIC = Provider(name="generic")

PROVIDERS: Mapping[str, Provider] = {each.name: each for each in (_LIARA, _AWS, _GCS, _MINIO, _GENERIC)}


def profile_of(provider: str, overrides: Mapping[str, bool]) -> Provider:
    """A provider's preset, with what was found to be otherwise; names are those of OriginCapabilities."""
    flags: dict[str, Any] = dict(overrides)
    return replace(PROVIDERS[provider], **flags)


def upstream_of(settings: S3OriginSettings) -> Upstream:
    """The settings of an origin with its provider's defaults where they say nothing."""
    profile = profile_of(settings.provider, settings.capabilities.known())
    region = settings.region or profile.region
    endpoint = settings.endpoint
    if endpoint is None:
        assert profile.endpoint is not None, "the settings require an endpoint"  # noqa: S101
        endpoint = parse_endpoint(profile.endpoint.format(region=region))
    return Upstream(endpoint, region, settings.addressing or profile.addressing, profile)


def bucket_region(upstream: Upstream) -> str | None:
    """What a CreateBucket must say of its region; None: nothing.

    AWS refuses one that names none, except in us-east-1, where it refuses one that does; at others a region is only a
    word in signatures. https://docs.aws.amazon.com/AmazonS3/latest/API/API_CreateBucket.html
    """
    return upstream.region if upstream.profile.name == "aws" and upstream.region != "us-east-1" else None
