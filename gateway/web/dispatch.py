"""The handler of every operation that the table says is done."""

from collections.abc import Awaitable, Callable, Mapping

from gateway.web.answers import Answer
from gateway.web.call import Call
from gateway.web.cors import get_bucket_cors, preflight
from gateway.web.handlers import acls, assume_role, buckets, deletes, listing, multipart, objects, post, tagging

Handler = Callable[[Call], Awaitable[Answer]]

HANDLERS: Mapping[str, Handler] = {
    "AbortMultipartUpload": multipart.abort_multipart_upload,
    "AssumeRole": assume_role.assume_role,
    "CompleteMultipartUpload": multipart.complete_multipart_upload,
    "CopyObject": objects.copy_object,
    "CreateBucket": buckets.create_bucket,
    "CreateMultipartUpload": multipart.create_multipart_upload,
    "DeleteBucket": buckets.delete_bucket,
    "DeleteObject": objects.delete_object,
    "DeleteObjects": deletes.delete_objects,
    "DeleteObjectTagging": tagging.delete_object_tagging,
    "GetBucketAccelerateConfiguration": buckets.get_unset,
    "GetBucketAcl": acls.get_bucket_acl,
    "GetBucketCors": get_bucket_cors,
    "GetBucketLocation": buckets.get_bucket_location,
    "GetBucketLogging": buckets.get_unset,
    "GetBucketNotification": buckets.get_unset,
    "GetBucketNotificationConfiguration": buckets.get_unset,
    "GetBucketRequestPayment": buckets.get_request_payment,
    "GetBucketVersioning": buckets.get_bucket_versioning,
    "GetObject": objects.get_object,
    "GetObjectAcl": acls.get_object_acl,
    "GetObjectAttributes": objects.get_object_attributes,
    "GetObjectTagging": tagging.get_object_tagging,
    "HeadBucket": buckets.head_bucket,
    "HeadObject": objects.head_object,
    "ListBuckets": buckets.list_buckets,
    "ListMultipartUploads": multipart.list_multipart_uploads,
    "ListObjects": listing.list_objects,
    "ListObjectsV2": listing.list_objects_v2,
    "ListObjectVersions": listing.list_object_versions,
    "ListParts": multipart.list_parts,
    "PostObject": post.post_object,
    "Preflight": preflight,
    "PutBucketAcl": acls.put_bucket_acl,
    "PutObject": objects.put_object,
    "PutObjectAcl": acls.put_object_acl,
    "PutObjectTagging": tagging.put_object_tagging,
    "UploadPart": multipart.upload_part,
    "UploadPartCopy": multipart.upload_part_copy,
}
