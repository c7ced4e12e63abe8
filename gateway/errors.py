"""The S3 error table and the one exception that carries an answer to the client.

A row is what S3 says on the wire: the code's name, the HTTP status and the default message.
https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html
Those that only STS answers with: https://docs.aws.amazon.com/STS/latest/APIReference/CommonErrors.html
"""

from enum import Enum, unique


@unique
class Code(Enum):
    """An S3 error code: its name on the wire, its HTTP status, its default message."""

    # fmt: off
    AccessControlListNotSupported     = 400, "The bucket does not allow ACLs"
    AccessDenied                      = 403, "Access Denied"
    AuthorizationHeaderMalformed      = 400, "The authorization header is malformed."
    AuthorizationQueryParametersError = 400, "The authorization query parameters are malformed."
    BadDigest                         = 400, "The Content-MD5 or checksum value that you specified did not match what the server received."
    BadRequest                        = 400, "Bad Request"
    BucketAlreadyExists               = 409, "The requested bucket name is not available."
    BucketAlreadyOwnedByYou           = 409, "The bucket that you tried to create already exists, and you own it."
    BucketNotEmpty                    = 409, "The bucket that you tried to delete is not empty."
    ConditionalRequestConflict        = 409, "A conflicting operation occurred during the write; upload the object again."
    EntityTooLarge                    = 400, "Your proposed upload exceeds the maximum allowed object size."
    EntityTooSmall                    = 400, "Your proposed upload is smaller than the minimum allowed object size."
    ExpiredToken                      = 400, "The provided token has expired."
    IncompleteBody                    = 400, "You did not provide the number of bytes specified by the Content-Length HTTP header."
    InternalError                     = 500, "We encountered an internal error. Please try again."
    InvalidAccessKeyId                = 403, "The access key ID that you provided does not exist in our records."
    InvalidAction                     = 400, "The action or operation requested is not valid."
    InvalidArgument                   = 400, "Invalid Argument"
    InvalidBucketName                 = 400, "The specified bucket is not valid."
    InvalidChunkSizeError             = 403, "Only the last chunk is allowed to have a size less than 8192 bytes."
    InvalidClientTokenId              = 403, "The security token included in the request is invalid."
    InvalidDigest                     = 400, "The Content-MD5 or checksum value that you specified is not valid."
    InvalidEncodingAlgorithm          = 400, "The encoding algorithm you specified is not supported."
    InvalidLocationConstraint         = 400, "The specified location constraint is not valid."
    InvalidPart                       = 400, "One or more of the specified parts could not be found. The part may not have been uploaded, or the specified entity tag may not match the part's entity tag."
    InvalidPartNumber                 = 416, "The requested partnumber is not satisfiable."
    InvalidPartOrder                  = 400, "The list of parts was not in ascending order. The parts list must be specified in order by part number."
    InvalidPolicyDocument             = 400, "The content of the form does not meet the conditions specified in the policy document."
    InvalidRange                      = 416, "The requested range is not satisfiable."
    InvalidRequest                    = 400, "Invalid Request"
    InvalidStorageClass               = 400, "The storage class that you specified is not valid."
    InvalidTag                        = 400, "The tag provided was not a valid tag."
    InvalidToken                      = 400, "The provided token is malformed or otherwise not valid."
    InvalidURI                        = 400, "The specified URI couldn't be parsed."
    KeyTooLongError                   = 400, "Your key is too long."
    MalformedPOSTRequest              = 400, "The body of your POST request is not well-formed multipart/form-data."
    MalformedPolicyDocument           = 400, "The policy document was malformed."
    MalformedTrailerError             = 400, "The request contained trailing data that was not well-formed or did not conform to our published schema."
    MalformedXML                      = 400, "The XML that you provided was not well formed or did not validate against our published schema."
    MaxMessageLengthExceeded          = 400, "Your request was too big."
    MaxPostPreDataLengthExceeded      = 400, "Your POST request fields preceding the upload file were too large."
    MetadataTooLarge                  = 400, "Your metadata headers exceed the maximum allowed metadata size."
    MethodNotAllowed                  = 405, "The specified method is not allowed against this resource."
    MissingAction                     = 400, "The request does not contain an action."
    MissingAuthenticationToken        = 403, "The request must contain a valid access key ID, and be signed."
    MissingContentLength              = 411, "You must provide the Content-Length HTTP header."
    MissingRequestBodyError           = 400, "You sent an empty XML document as a request."
    MissingSecurityHeader             = 400, "Your request is missing a required header."
    NoSuchBucket                      = 404, "The specified bucket does not exist."
    NoSuchBucketPolicy                = 404, "The bucket policy does not exist."
    NoSuchCORSConfiguration           = 404, "The CORS configuration does not exist."
    NoSuchKey                         = 404, "The specified key does not exist."
    NoSuchLifecycleConfiguration      = 404, "The lifecycle configuration does not exist."
    NoSuchObjectLockConfiguration     = 404, "The specified object does not have an ObjectLock configuration."
    NoSuchPublicAccessBlockConfiguration = 404, "The public access block configuration was not found."
    NoSuchTagSet                      = 404, "The TagSet does not exist."
    NoSuchUpload                      = 404, "The specified upload does not exist. The upload ID may be invalid, or the upload may have been aborted or completed."
    NoSuchVersion                     = 404, "The specified version does not exist."
    NoSuchWebsiteConfiguration        = 404, "The specified bucket does not have a website configuration."
    NotImplemented                    = 501, "A header or query you provided implies functionality that is not implemented."
    NotModified                       = 304, "Not Modified"
    ObjectLockConfigurationNotFoundError = 404, "Object Lock configuration does not exist for this bucket."
    OperationAborted                  = 409, "A conflicting conditional operation is currently in progress against this resource. Try again."
    OwnershipControlsNotFoundError    = 404, "The bucket ownership controls were not found."
    PackedPolicyTooLarge              = 400, "The session policy is too large."
    PreconditionFailed                = 412, "At least one of the preconditions that you specified did not hold."
    QuotaExceeded                     = 403, "The quota is used up."
    ReplicationConfigurationNotFoundError = 404, "There is no replication configuration for this bucket."
    RequestHeaderSectionTooLarge      = 400, "Your request header section exceeds the maximum allowed request header section size."
    RequestTimeout                    = 400, "Your socket connection to the server was not read from or written to within the timeout period."
    RequestTimeTooSkewed              = 403, "The difference between the request time and the server's time is too large."
    RequestURITooLong                 = 414, "Your request URI is too long."
    ServerSideEncryptionConfigurationNotFoundError = 404, "The server side encryption configuration was not found."
    ServiceUnavailable                = 503, "Service is unable to handle request."
    SignatureDoesNotMatch             = 403, "The request signature that the server calculated does not match the signature that you provided. Check your secret access key and signing method."
    SlowDown                          = 503, "Please reduce your request rate."
    TooManyBuckets                    = 400, "You have attempted to create more buckets than are allowed."
    UnresolvableGrantByEmailAddress   = 400, "The email address that you provided does not match any account on record."
    ValidationError                   = 400, "The input fails to satisfy the constraints of the service."
    XAmzContentChecksumMismatch       = 400, "The provided 'x-amz-checksum' header does not match what was computed."
    XAmzContentSHA256Mismatch         = 400, "The provided 'x-amz-content-sha256' header does not match what was computed."
    # fmt: on

    @property
    def status(self) -> int:
        """The HTTP status code."""
        status: int = self.value[0]
        return status

    @property
    def message(self) -> str:
        """The message where the place that raises has none of its own."""
        message: str = self.value[1]
        return message


class S3Error(Exception):
    """An answer for the client; everything else that escapes a handler is a bug.

    `fields` become further XML elements after Code and Message, in their order; SDKs read them.
    """

    def __init__(self, code: Code, message: str | None = None, **fields: str | int) -> None:
        super().__init__(code.name if message is None else f"{code.name}: {message}")
        self.code = code
        self.message = code.message if message is None else message
        self.fields = fields
