"""What tests expect of S3 and do not get over one origin or another: each with the reason, none left out in silence."""

import re
from collections.abc import Mapping

_ANSWERS_100 = "nginx answers 100 Continue itself, before it asks the gateway"
_NUL = "nginx refuses a NUL itself, and not in XML"
_BUCKET_NAMES = "it takes no bucket of this name"

DEVIATIONS: Mapping[str, tuple[tuple[str, str], ...]] = {
    "anbar": (),
    "seaweedfs": ((r"test_names_that_s3_or_its_neighbours_allow.*(xn--|s3alias)", _BUCKET_NAMES),),
    "moto": (
        (
            "test_a_part_that_comes_after_the_end_of_its_upload_is_not_taken",
            "it answers 500 to such a part, which may mean anything",
        ),
    ),
    "nginx": (
        ("test_a_client_that_waits_is_refused_before_its_body", _ANSWERS_100),
        ("test_a_client_that_waits_for_100_continue_is_refused_without_it", _ANSWERS_100),
        (r"test_keys_that_cannot_be_are_refused.*nul", _NUL),
        (r"test_a_key_that_could_not_be_named_in_xml_or_a_path_is_refused.*nul", _NUL),
    ),
}
"""By origin: what the id of a test matches, and why it fails over that origin."""


def reason_of(origin: str, nodeid: str) -> str | None:
    """Why a test is expected to fail over an origin; None: it is not."""
    _, _, parameters = nodeid.partition("[")
    if origin not in parameters.rstrip("]").split("-"):
        return None
    return next((reason for pattern, reason in DEVIATIONS[origin] if re.search(pattern, nodeid)), None)
