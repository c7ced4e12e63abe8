"""What botocore writes and reads, and the texts that XML can carry to it."""

from typing import Any

import botocore.parsers
import botocore.serialize
import botocore.session
from hypothesis import strategies as st

MODEL = botocore.session.get_session().get_service_model("s3")
# Everything that XML 1.0 can carry. (A carriage return has to be written as a reference, which is tested, too.)
texts = st.text(
    st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\ufffe\uffff") | st.sampled_from("\t\n\r&<>\"'"),
    max_size=30,
)


def read(operation: str, body: bytes, status: int = 200) -> dict[str, Any]:
    """What botocore makes of an answer, without what every answer has."""
    parser = botocore.parsers.RestXMLParser()
    parsed = parser.parse(
        {"body": body, "headers": {}, "status_code": status}, MODEL.operation_model(operation).output_shape
    )
    parsed.pop("ResponseMetadata")
    return dict(parsed)


def serialized(operation: str, parameters: dict[str, Any]) -> bytes:
    """The body that botocore sends."""
    serializer = botocore.serialize.create_serializer("rest-xml")
    body = serializer.serialize_to_request(parameters, MODEL.operation_model(operation))["body"]
    assert isinstance(body, bytes)
    return body
