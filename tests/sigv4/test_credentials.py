"""gateway/sigv4/credentials.py: who a request says it comes from, read strictly."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import Code, S3Error
from gateway.sigv4.credentials import Credentials, CredentialScope, Scheme, parse_credentials
from tests.sigv4.signers import (
    ACCESS_KEY_ID,
    AWS_NOW_S,
    EMPTY,
    ENDPOINT,
    header_signed,
    presigned,
    presigned_v2,
    refused,
    wire,
    with_headers,
    with_query,
)

SCOPE = "20130524/us-east-1/s3/aws4_request"
SIGNATURE = "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"
AUTHORIZATION = (
    f"AWS4-HMAC-SHA256 Credential={ACCESS_KEY_ID}/{SCOPE}, SignedHeaders=host;x-amz-date, Signature={SIGNATURE}"
)
DATE = "20130524T000000Z"
URL = f"{ENDPOINT}/media/key"
QUERY = (
    f"X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential={ACCESS_KEY_ID}%2F{SCOPE.replace('/', '%2F')}"
    f"&X-Amz-Date={DATE}&X-Amz-Expires=60&X-Amz-SignedHeaders=host&X-Amz-Signature={SIGNATURE}"
)
V2_SIGNATURE = "NpgCjnDzrM%2BWFzoENXmpNDUsSn8%3D"
V2_QUERY = f"AWSAccessKeyId={ACCESS_KEY_ID}&Expires=1175139620&Signature={V2_SIGNATURE}"


def parse(authorization: str | None = AUTHORIZATION, query: str = "", **headers: str) -> Credentials | None:
    request = wire("PUT", f"{URL}?{query}")
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    if authorization is not None:
        named["authorization"] = authorization
    return parse_credentials(with_headers(request, **({"x_amz_date": DATE} | named)))


def claimed(authorization: str | None = AUTHORIZATION, query: str = "", **headers: str) -> Credentials:
    found = parse(authorization, query, **headers)
    assert found is not None
    return found


def changed(parameter: str, value: str) -> str:
    """QUERY with another value for one parameter."""
    pairs = [pair.split("=") for pair in QUERY.split("&")]
    return "&".join(f"{name}={value if name == parameter else old}" for name, old in pairs)


def without(parameter: str) -> str:
    return "&".join(pair for pair in QUERY.split("&") if not pair.startswith(parameter + "="))


# --- what is read


def test_an_authorization_header_is_read():
    assert parse() == Credentials(
        Scheme.HEADER,
        ACCESS_KEY_ID,
        CredentialScope("20130524", "us-east-1", "s3"),
        ("host", "x-amz-date"),
        SIGNATURE,
        AWS_NOW_S,
        None,
        None,
        DATE,
    )


def test_a_presigned_query_is_read():
    assert parse(None, QUERY) == Credentials(
        Scheme.QUERY,
        ACCESS_KEY_ID,
        CredentialScope("20130524", "us-east-1", "s3"),
        ("host",),
        SIGNATURE,
        AWS_NOW_S,
        60,
        None,
        DATE,
    )


def test_a_sigv2_query_is_read():
    found = parse(None, V2_QUERY)
    assert found is not None
    assert (found.scheme, found.access_key_id, found.signature) == (
        Scheme.SIGV2_QUERY,
        ACCESS_KEY_ID,
        "NpgCjnDzrM+WFzoENXmpNDUsSn8=",
    )
    assert (found.time_s, found.expires_s, found.timestamp) == (0, 1175139620, "1175139620")


@pytest.mark.parametrize(
    "query", ["", "acl", "prefix=a&Expires=1", "x-id=GetObject", "X-Amz-Date=1", "x-amz-acl=private"]
)
def test_a_request_that_claims_nothing_is_anonymous(query):
    assert parse(None, query) is None


def test_session_tokens_are_never_overlooked():
    assert claimed(x_amz_security_token="T").session_token == "T"
    for name in ("X-Amz-Security-Token", "x-amz-security-token", "X-Amz%2dSecurity-Token"):
        assert claimed(None, f"{QUERY}&{name}=a%2Fb").session_token == "a/b"
        assert claimed(None, f"{V2_QUERY}&{name}=a%2Fb").session_token == "a/b"
    with refused(Code.InvalidArgument):
        parse(AUTHORIZATION, "X-Amz-Security-Token=T")


def test_the_payload_hash_of_a_presigned_query_is_read_in_either_case():
    for name in ("X-Amz-Content-Sha256", "x-amz-content-sha256"):
        assert claimed(None, f"{QUERY}&{name}=UNSIGNED-PAYLOAD").payload_hash == "UNSIGNED-PAYLOAD"


@pytest.mark.parametrize(
    "authorization",
    [
        AUTHORIZATION.replace(", ", ","),
        AUTHORIZATION.replace(", ", " ,  ").replace(" ,", ","),
        f"AWS4-HMAC-SHA256 Signature={SIGNATURE},SignedHeaders=host;x-amz-date,Credential={ACCESS_KEY_ID}/{SCOPE}",
        f"AWS4-HMAC-SHA256  Credential={ACCESS_KEY_ID}/{SCOPE}, Signature={SIGNATURE}, SignedHeaders=x-amz-date;host",
    ],
)
def test_components_may_come_in_any_order_and_spacing(authorization):
    assert parse(authorization) == parse()
    assert parse(authorization) == parse()  # and again, now that the scope is known


def test_a_header_read_before_is_read_again_with_another_signature():
    other = "0" * 64
    assert claimed(AUTHORIZATION.replace(SIGNATURE, other)).signature == other
    assert claimed().signature == SIGNATURE


def test_signed_headers_are_sorted():
    assert claimed(AUTHORIZATION.replace("host;x-amz-date", "x-amz-date;host")).signed_headers == ("host", "x-amz-date")


@pytest.mark.parametrize(
    "date", ["Fri, 24 May 2013 00:00:00 GMT", "Fri, 24 May 2013 00:00:00 -0000", "20130524T000000Z"]
)
def test_the_date_header_counts_where_x_amz_date_is_not(date):
    request = with_headers(wire("GET", URL), authorization=AUTHORIZATION, date=date)
    found = parse_credentials(request)
    assert found is not None
    assert (found.timestamp, found.time_s) == (DATE, AWS_NOW_S)


# --- what is refused in a header


@pytest.mark.parametrize(
    "algorithm", ["AWS4-HMAC-SHA256X", "AWS4-HMAC-SHA1", "AWSX", "aws4-hmac-sha256", "AWS4", "AWS4-"]
)
def test_a10_other_algorithms_are_not_taken_for_sigv4(algorithm):
    with refused(Code.InvalidArgument):
        parse(AUTHORIZATION.replace("AWS4-HMAC-SHA256", algorithm))


def test_a10_sigv4a_is_not_implemented():
    with refused(Code.NotImplemented):
        parse(AUTHORIZATION.replace("AWS4-HMAC-SHA256", "AWS4-ECDSA-P256-SHA256"))


def test_a11_sigv2_headers_are_told_to_use_sigv4():
    with refused(Code.InvalidRequest) as caught:
        parse("AWS AKIAIOSFODNN7EXAMPLE:qgk2+6Sv9/oM7G3qLEjTH1a1l1g=")
    assert "AWS4-HMAC-SHA256" in caught.error.message


@pytest.mark.parametrize("authorization", ["Bearer x", "Basic dXNlcjpwYXNz", "", "x", "Digest a=b, c=d"])
def test_a_foreign_authorization_is_refused(authorization):
    with refused(Code.InvalidArgument) as caught:
        parse(authorization)
    assert caught.error.message == "Unsupported Authorization Type"


@pytest.mark.parametrize(
    "sentinel",
    [
        "STREAMING-UNSIGNED-PAYLOAD-TRAILER",
        "STREAMING-AWS4-HMAC-SHA256-PAYLOAD",
        "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER",
        "STREAMING-X",
    ],
)
@pytest.mark.parametrize("authorization", [None, "Bearer x", "Basic x", ""])
def test_a07_streaming_without_aws_authentication_is_access_denied(authorization, sentinel):
    with refused(Code.AccessDenied):
        parse(authorization, x_amz_content_sha256=sentinel)


@pytest.mark.parametrize("query", [QUERY, V2_QUERY])
def test_a05_b08_streaming_with_credentials_in_the_query_is_access_denied(query):
    with refused(Code.AccessDenied):
        parse(None, query, x_amz_content_sha256="STREAMING-UNSIGNED-PAYLOAD-TRAILER")


def test_b08_a_streaming_sentinel_in_a_presigned_query_is_access_denied():
    with refused(Code.AccessDenied):
        parse(None, f"{QUERY}&X-Amz-Content-Sha256=STREAMING-UNSIGNED-PAYLOAD-TRAILER")


@pytest.mark.parametrize(
    "credential",
    [
        "",
        ACCESS_KEY_ID,
        f"{ACCESS_KEY_ID}/20130524/us-east-1/s3",
        f"{ACCESS_KEY_ID}/20130524//s3/aws4_request",
        f"/{SCOPE}",
        f"{ACCESS_KEY_ID}/{SCOPE}/x",
        f"{ACCESS_KEY_ID}/{SCOPE} ".replace("/", " / "),
        f"{ACCESS_KEY_ID}/20130524/us-east-1/sts/aws4_request",
        f"{ACCESS_KEY_ID}/20130524/us-east-1/s3/aws5_request",
        f"{ACCESS_KEY_ID}/2013052/us-east-1/s3/aws4_request",
        f"{ACCESS_KEY_ID}/٢٠١٣٠٥٢٤/us-east-1/s3/aws4_request",
        f"{ACCESS_KEY_ID}/20130525/us-east-1/s3/aws4_request",
        f"AK\udce9ID/{SCOPE}",
        f"{'A' * 129}/{SCOPE}",
    ],
)
def test_a14_a_malformed_credential_is_400(credential):
    with refused(Code.AuthorizationHeaderMalformed):
        parse(AUTHORIZATION.replace(f"{ACCESS_KEY_ID}/{SCOPE}", credential))
    with refused(Code.AuthorizationQueryParametersError):
        parse(None, changed("X-Amz-Credential", credential.replace("/", "%2F")))


@pytest.mark.parametrize(
    "names", ["", ";", "host;", ";host", "host;host", "Host", "host,x", "ho st", "host;x-é", "a:b"]
)
def test_a_malformed_list_of_signed_headers_is_400(names):
    with refused(Code.AuthorizationHeaderMalformed):
        parse(AUTHORIZATION.replace("host;x-amz-date", names))
    with refused(Code.AuthorizationQueryParametersError):
        parse(None, changed("X-Amz-SignedHeaders", names.replace(";", "%3B")))


@pytest.mark.parametrize(
    "authorization",
    [
        "AWS4-HMAC-SHA256",
        "AWS4-HMAC-SHA256 ",
        "AWS4-HMAC-SHA256 x",
        f"AWS4-HMAC-SHA256 Credential={ACCESS_KEY_ID}/{SCOPE}",
        AUTHORIZATION + ",",
        AUTHORIZATION + ", Signature=" + SIGNATURE,
        AUTHORIZATION + ", Foo=bar",
        AUTHORIZATION.replace("SignedHeaders=", "Credential="),
        AUTHORIZATION.replace("Credential", "credential"),
        AUTHORIZATION.replace("=", " = "),
        "\u2003".join(AUTHORIZATION.split(" ")[1:]),
    ],
)
def test_a_malformed_header_is_400_or_403(authorization):
    with refused(Code.AuthorizationHeaderMalformed, Code.SignatureDoesNotMatch, Code.InvalidArgument):
        parse(authorization)


@pytest.mark.parametrize(
    "signature",
    ["", SIGNATURE[:-1], SIGNATURE + "0", SIGNATURE.upper(), "é" * 64, "\udce9" * 64, "0" * 1_000_000, "٠" * 64, "x y"],
)
def test_a19_a_signature_of_impossible_form_does_not_match(signature):
    with refused(Code.SignatureDoesNotMatch) as caught:
        parse(AUTHORIZATION.replace(SIGNATURE, signature))
    assert len(caught.error.fields["SignatureProvided"]) <= 128
    caught.error.fields["SignatureProvided"].encode("ascii")
    with refused(Code.SignatureDoesNotMatch):
        parse(None, changed("X-Amz-Signature", signature.replace(" ", "%20")))


@pytest.mark.parametrize(
    "date", ["", "x", "20130524", "20130524T000000", "20130532T000000Z", "20130524T000000Z,20130524T000000Z"]
)
def test_without_a_valid_date_the_request_is_access_denied(date):
    with refused(Code.AccessDenied):
        parse(x_amz_date=date)
    with refused(Code.AccessDenied):
        parse_credentials(with_headers(wire("GET", URL), authorization=AUTHORIZATION, date=date))
    with refused(Code.AuthorizationQueryParametersError):
        parse(None, changed("X-Amz-Date", date))


# --- two mechanisms


@pytest.mark.parametrize(
    "authorization",
    [
        f"{AUTHORIZATION},{AUTHORIZATION}",
        f"{AUTHORIZATION}, {AUTHORIZATION}",
        f"{AUTHORIZATION},Bearer x",
        f"Bearer x,{AUTHORIZATION}",
    ],
)
def test_a16_two_authorization_headers_are_invalid(authorization):
    for _ in range(2):
        with refused(Code.InvalidArgument) as caught:
            parse(authorization)
        assert caught.error.message.startswith("Only one auth mechanism allowed")
        assert parse() is not None


@pytest.mark.parametrize("query", [QUERY, V2_QUERY, "X-Amz-Signature=x", "Signature=x", "X%2DAmz-Signature=x"])
@pytest.mark.parametrize("authorization", [AUTHORIZATION, "AWS akid:sig", "AWS4-ECDSA-P256-SHA256 x"])
def test_a16_header_and_query_together_are_invalid(authorization, query):
    with refused(Code.InvalidArgument) as caught:
        parse(authorization, query)
    assert caught.error.message.startswith("Only one auth mechanism allowed")


def test_a16_both_kinds_of_query_together_are_invalid():
    with refused(Code.InvalidArgument):
        parse(None, f"{QUERY}&{V2_QUERY}")


@pytest.mark.parametrize("query", [QUERY, V2_QUERY])
def test_a17_a_presigned_url_decides_beside_a_foreign_authorization(query):
    assert parse("Bearer x", query) == parse(None, query)


# --- what is refused in a query


@pytest.mark.parametrize(
    "parameter",
    ["X-Amz-Algorithm", "X-Amz-Credential", "X-Amz-Date", "X-Amz-Expires", "X-Amz-SignedHeaders", "X-Amz-Signature"],
)
def test_b05_a_parameter_that_is_missing_or_there_twice_is_400(parameter):
    with refused(Code.AuthorizationQueryParametersError):
        parse(None, without(parameter))
    for again in (parameter, parameter.replace("-", "%2D")):
        with refused(Code.AuthorizationQueryParametersError):
            parse(None, f"{QUERY}&{again}=60")
        with refused(Code.AuthorizationQueryParametersError):
            parse(None, f"{again}=60&{QUERY}")


@pytest.mark.parametrize("name", ["X-Amz-Security-Token", "X-Amz-Content-Sha256"])
def test_b05_token_and_payload_hash_must_not_be_there_twice_in_any_case(name):
    with refused(Code.AuthorizationQueryParametersError):
        parse(None, f"{QUERY}&{name}=a&{name.lower()}=a")


@pytest.mark.parametrize(
    "expires",
    [
        "604801",
        "0",
        "-1",
        "1e3",
        "%2B60",
        "+60",
        "60%20",
        " 60",
        "٦٠",
        "%D9%A6%D9%A0",
        "1" + "0" * 30,
        "",
        "060",
        "6_0",
        "²",
        "9" * 5000,
    ],
)
def test_b05_expires_is_read_strictly(expires):
    with refused(Code.AuthorizationQueryParametersError):
        parse(None, changed("X-Amz-Expires", expires))


@pytest.mark.parametrize("expires", ["1", "604800"])
def test_b05_a_second_and_a_week_are_the_bounds(expires):
    assert claimed(None, changed("X-Amz-Expires", expires)).expires_s == int(expires)


@pytest.mark.parametrize("algorithm", ["", "AWS4-HMAC-SHA1", "aws4-hmac-sha256", "AWS4-HMAC-SHA256X"])
def test_a10_other_algorithms_in_the_query_are_400(algorithm):
    with refused(Code.AuthorizationQueryParametersError):
        parse(None, changed("X-Amz-Algorithm", algorithm))
    with refused(Code.NotImplemented):
        parse(None, changed("X-Amz-Algorithm", "AWS4-ECDSA-P256-SHA256"))


@pytest.mark.parametrize("parameter", ["Expires", "Signature", "AWSAccessKeyId"])
def test_a11_an_incomplete_sigv2_query_is_access_denied(parameter):
    query = "&".join(pair for pair in V2_QUERY.split("&") if not pair.startswith(parameter))
    with refused(Code.AccessDenied, Code.InvalidArgument):
        if parse(None, query) is None:
            raise S3Error(Code.InvalidArgument)
    with refused(Code.AuthorizationQueryParametersError):
        parse(None, f"{V2_QUERY}&{parameter}=1")


@pytest.mark.parametrize("expires", ["", "-1", "1e9", "1175139620.5", "+1", "٦٠", "1" * 13])
def test_a11_sigv2_expires_is_read_strictly(expires):
    with refused(Code.AccessDenied):
        parse(None, V2_QUERY.replace("1175139620", expires))


@pytest.mark.parametrize("signature", ["", "x", "NpgCjnDzrM+WFzoENXmpNDUsSn8%3D", V2_SIGNATURE + "%3D", "%FF" * 28])
def test_a11_a_sigv2_signature_of_impossible_form_does_not_match(signature):
    with refused(Code.SignatureDoesNotMatch):
        parse(None, V2_QUERY.replace(V2_SIGNATURE, signature))


# --- garbage


@given(st.text(st.characters()))
def test_garbage_in_the_header_is_a_4xx(text):
    for authorization in (text, "AWS4-HMAC-SHA256 " + text, AUTHORIZATION.replace(SIGNATURE, text)):
        try:
            parse(authorization)
        except S3Error as error:
            assert 400 <= error.code.status < 500


@given(st.sampled_from(QUERY.split("&") + V2_QUERY.split("&")), st.text(st.characters()))
def test_garbage_in_the_query_is_a_4xx(pair, text):
    name = pair.split("=")[0]
    for query in (
        text,
        f"{QUERY}&{text}",
        f"{V2_QUERY}&{text}",
        changed(name, text),
        V2_QUERY.replace(pair, f"{name}={text}"),
    ):
        try:
            parse_credentials(with_query(wire("GET", URL), query))
        except S3Error as error:
            assert 400 <= error.code.status < 500


def test_what_botocore_signs_is_read():
    for request in (
        header_signed("GET", URL, token="T"),
        presigned("GET", URL, token="T"),
        presigned_v2("GET", URL, token="T"),
    ):
        found = parse_credentials(request)
        assert found is not None
        assert (found.access_key_id, found.session_token) == (ACCESS_KEY_ID, "T")
    assert header_signed("GET", URL).headers["x-amz-content-sha256"] == EMPTY
