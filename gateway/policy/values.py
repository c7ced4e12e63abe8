"""The values in a policy file's tables: how each is written, and in which words others are refused."""

import re
from functools import lru_cache
from ipaddress import IPv6Network, ip_network
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema

from gateway.config import did_you_mean
from gateway.policy.model import ANONYMOUS, Network
from gateway.policy.roles import ACTIONS
from gateway.policy.wildcards import matches_wildcard
from gateway.toml_fields import distinct_list, matching, mistake, pattern_schema

_MAX_ORIGIN_PREFIX = 200

_BUCKET = re.compile(r"(?!.*(\.\.|\.-|-\.))[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_ADDRESS = re.compile(r"[0-9]{1,3}(\.[0-9]{1,3}){3}")
_PRINCIPAL = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._@-]{0,62}[A-Za-z0-9])?")
_STATEMENT_PRINCIPAL = re.compile(rf"\*|{_PRINCIPAL.pattern}(/(\*|[A-Za-z0-9_+=.@:|-]{{1,128}}))?")
_STATEMENT_NAME = re.compile(r"[A-Za-z0-9._ -]{1,64}")
_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,128}")
_UPLOADER_HEADER = re.compile(r"[Xx]-[Aa][Mm][Zz]-[Mm][Ee][Tt][Aa]-[A-Za-z0-9._-]{1,64}")
_WEB_ORIGIN = re.compile(r"[\x21-\x7e]{1,256}")
_MEDIA_TYPE = re.compile(r"[a-z0-9][a-z0-9!#$&^_.+-]{0,126}/(\*|[a-z0-9][a-z0-9!#$&^_.+-]{0,126})")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_RESOURCE = re.compile(r"(arn:aws:s3:::)?([a-z0-9.-]*\*[^?/]*|[a-z0-9][a-z0-9.-]{1,61}[a-z0-9])(/[^?]+)?")
_ORIGIN_PREFIX = re.compile(r"([^/]+/)*")
_KEY_BEGINNING = re.compile(r"[^*]+")
_ARN = "arn:aws:s3:::"
_IPV4_IN_IPV6 = IPv6Network("::ffff:0:0/96")


def check_bucket_name(bucket: str) -> str:
    """Refuse what S3 does not take for a bucket's name.

    https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html
    """
    if not _BUCKET.fullmatch(bucket) or _ADDRESS.fullmatch(bucket):
        raise mistake(f'"{bucket}" is no bucket name: 3 to 63 of a-z, 0-9, - and ., not an IP address')
    if bucket.startswith(("xn--", "sthree-")) or bucket.endswith(("-s3alias", "--ol-s3")):
        raise mistake(f'"{bucket}" is no bucket name: S3 reserves its beginning or ending')
    return bucket


@lru_cache(1024)
def matching_actions(pattern: str) -> frozenset[str]:
    """The actions that a statement's pattern names."""
    return frozenset(action for action in ACTIONS if matches_wildcard(pattern, action))


def _check_not_reserved(name: str) -> str:
    if name == ANONYMOUS:
        raise mistake(f'"{ANONYMOUS}" stands for requests without a signature; give the principal another name')
    return name


def _check_web_origin(value: str) -> str:
    if not _WEB_ORIGIN.fullmatch(value) or value.count("*") > 1:
        raise mistake('an origin is "*" or like "https://app.example", with one * at most')
    return value


def _check_header(value: str) -> str:
    if not _HEADER.fullmatch(value) or value.count("*") > 1:
        raise mistake("a header name, with one * at most")
    return value


def _check_exposed_header(value: str) -> str:
    # S3 takes no wildcard here: browsers read a lone * as a name when credentials are sent.
    if "*" in value:
        raise mistake("headers are exposed by their full names, without *")
    return _check_header(value)


def _check_origin_prefix(prefix: str) -> str:
    if prefix.startswith("/") or (prefix and not prefix.endswith("/")):
        raise mistake('a prefix ends in "/" and does not begin with one, for example "profile-images/"')
    if any(part in ("", ".", "..") for part in prefix.split("/")[:-1]):
        raise mistake('between two "/" of a prefix there is a name, and not "." or ".."')
    if _CONTROL.search(prefix):
        raise mistake("a prefix has no control characters")
    if len(prefix.encode()) > _MAX_ORIGIN_PREFIX:
        raise mistake(f"a prefix has at most {_MAX_ORIGIN_PREFIX} bytes of UTF-8")
    return prefix


def _check_media_type(value: str) -> str:
    if not _MEDIA_TYPE.fullmatch(value):
        raise mistake('a type is like "image/jpeg" or "image/*", in lower case, without parameters')
    return value


def _check_action(pattern: str) -> str:
    known = pattern in ("*", "sts:*") or (pattern.startswith("s3:") and "*" in pattern) or pattern in ACTIONS
    if "?" in pattern:
        raise mistake("only * is a wildcard, ? is not")
    if not known or not matching_actions(pattern):
        like = did_you_mean(pattern.replace("*", ""), ACTIONS)
        raise mistake(f'"{pattern}" is no action that Anbar knows, nor a pattern like "s3:Get*", "sts:*" or "*"{like}')
    return pattern


def _check_resource(resource: str) -> str:
    resource = resource.removeprefix(_ARN)
    bucket, slash, key = resource.partition("/")
    if "?" in resource:
        raise mistake("only * is a wildcard, ? is not")
    if _CONTROL.search(resource):
        raise mistake("a resource has no control characters; * stands for any text")
    if not bucket:
        raise mistake('a resource begins with its bucket: "BUCKET", "BUCKET/KEY", or "*" for everything')
    if slash and not key:
        raise mistake(f'"{resource}" is no object; "{resource}*" are all objects of the bucket, "{bucket}" is itself')
    return resource


def _parse_network(value: object) -> Network:
    try:
        if not isinstance(value, str) or "%" in value:
            raise ValueError
        network = ip_network(value, strict=False)
    except ValueError:
        raise mistake('a text with an address or a network, such as "10.0.0.1" or "10.0.0.0/8"') from None
    if isinstance(network, IPv6Network) and network.subnet_of(_IPV4_IN_IPV6):
        raise mistake("write the IPv4 address or network itself, without ::ffff:")
    if "/" in value and ip_network(value.partition("/")[0]).network_address != network.network_address:
        raise mistake(f'the address has bits beyond the network\'s; the network is "{network}"')
    return network


def _check_prefix(prefix: str) -> str:
    if not prefix:
        raise mistake("must not be empty")
    if "*" in prefix:
        raise mistake("a prefix is the beginning of keys as it is, without *: whatever follows it is meant already")
    if _CONTROL.search(prefix):
        raise mistake("a prefix has no control characters")
    return prefix


def _from_list(value: object) -> object:
    return tuple(value) if isinstance(value, list) else value


Method = Literal["GET", "PUT", "POST", "HEAD", "DELETE"]
BucketName = Annotated[str, AfterValidator(check_bucket_name), pattern_schema(_BUCKET)]
PrincipalName = Annotated[
    str,
    matching(
        _PRINCIPAL, "a principal has 1 to 64 of letters, digits, . _ @ - and begins and ends with a letter or digit"
    ),
    AfterValidator(_check_not_reserved),
    WithJsonSchema({"type": "string", "pattern": f"^(?!{ANONYMOUS}$){_PRINCIPAL.pattern}$"}),
]
WebOrigin = Annotated[str, AfterValidator(_check_web_origin), pattern_schema(_WEB_ORIGIN)]
Header = Annotated[str, AfterValidator(_check_header), pattern_schema(_HEADER)]
ExposedHeader = Annotated[
    str, AfterValidator(_check_exposed_header), pattern_schema(re.compile(_HEADER.pattern.replace("*", "")))
]
UploaderHeader = Annotated[
    str,
    matching(_UPLOADER_HEADER, 'a header "x-amz-meta-…" with 1 to 64 of letters, digits, . _ - at its end'),
    AfterValidator(str.lower),
    pattern_schema(_UPLOADER_HEADER),
]
OriginPrefix = Annotated[str, AfterValidator(_check_origin_prefix), pattern_schema(_ORIGIN_PREFIX)]
MediaType = Annotated[str, AfterValidator(_check_media_type), pattern_schema(_MEDIA_TYPE)]
StatementName = Annotated[
    str,
    matching(_STATEMENT_NAME, "a statement's name has 1 to 64 of letters, digits, spaces and . _ -"),
    pattern_schema(_STATEMENT_NAME),
]
StatementPrincipal = Annotated[
    str,
    matching(_STATEMENT_PRINCIPAL, f'a principal, "NAME/ENDUSER", "NAME/*", "*" or "{ANONYMOUS}"'),
    pattern_schema(_STATEMENT_PRINCIPAL),
]
Action = Annotated[
    str,
    AfterValidator(_check_action),
    WithJsonSchema({"anyOf": [{"enum": ["*", "sts:*", *ACTIONS]}, {"pattern": r"^s3:[A-Za-z]*(\*[A-Za-z]*)+$"}]}),
]
Resource = Annotated[str, AfterValidator(_check_resource), pattern_schema(_RESOURCE)]
SourceNetwork = Annotated[Network, BeforeValidator(_parse_network), WithJsonSchema({"type": "string"})]
KeyBeginning = Annotated[str, AfterValidator(_check_prefix), pattern_schema(_KEY_BEGINNING)]
Listed = BeforeValidator(_from_list)
Distinct = BeforeValidator(distinct_list)
Some = Field(min_length=1, json_schema_extra={"uniqueItems": True})
